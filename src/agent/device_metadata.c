/* Device metadata of an instance; see device_metadata.h. */
#include "agent/device_metadata.h"

typedef struct Build {
    Agent *agent;
    Ovo *vifs;       /* VirtualInterfaceList */
    const Ovo *bdms; /* BlockDeviceMappingList */
} Build;

static Ovo *object(const Build *build, const char *name)
{
    return ovo_new(name, ovo_version_of(conductor_release(build->agent->con), name));
}

static const char *tag_of(const Ovo *record)
{
    const char *tag = ovo_str_or(record, "tag", NULL);

    return tag && *tag ? tag : NULL;
}

static bool any_tag(const Ovo *list)
{
    for (size_t i = 0; list && i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) record = ovo_at(list, NULL, i);

        if (record && tag_of(record))
            return true;
    }
    return false;
}

/* The tagged record of a NIC's MAC or of a disk's target; NULL: it has none. Caller unrefs. */
static Ovo *record_of(const Build *build, const VirtDevice *device)
{
    bool nic = device->kind == VIRT_DEVICE_NIC;
    const Ovo *list = nic ? build->vifs : build->bdms;

    for (size_t i = 0; list && i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) record = ovo_at(list, NULL, i);
        const char *name = record ? ovo_str_or(record, nic ? "address" : "device_name", "") : "";

        if (g_str_has_prefix(name, "/dev/"))
            name += strlen("/dev/");
        if (record && tag_of(record) &&
            g_ascii_strcasecmp(name, nic ? device->mac : device->target) == 0)
            return g_steal_pointer(&record);
    }
    return NULL;
}

static void set_bus(const Build *build, Ovo *metadata, const VirtDevice *device)
{
    static const char *const classes[][2] = {
        {"pci", "PCIDeviceBus"},
        {"scsi", "SCSIDeviceBus"},
        {"ide", "IDEDeviceBus"},
        {"usb", "USBDeviceBus"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(classes); i++) {
        g_autoptr(Ovo) bus = NULL;

        if (g_strcmp0(device->bus, classes[i][0]) != 0)
            continue;
        bus = object(build, classes[i][1]);
        if (device->address)
            ovo_set_str(bus, "address", device->address);
        ovo_set_child(metadata, "bus", bus);
    }
}

static Ovo *describe(const Build *build, const VirtDevice *device, const Ovo *record)
{
    bool nic = device->kind == VIRT_DEVICE_NIC;
    const char *const tags[] = {tag_of(record), NULL};
    Ovo *metadata = object(build, nic ? "NetworkInterfaceMetadata" : "DiskMetadata");

    ovo_set_strv(metadata, "tags", tags);
    if (nic) {
        ovo_set_str(metadata, "mac", ovo_str_or(record, "address", NULL));
        ovo_set_bool(metadata, "vf_trusted", false);
    } else {
        ovo_set_str(metadata, "serial", ovo_str_or(record, "volume_id", NULL));
    }
    set_bus(build, metadata, device);
    return metadata;
}

static bool build_all(const Build *build, const DvCtx *ctx, const char *uuid, Ovo **out,
                      GError **err)
{
    const VirtDriver *virt = build->agent->virt;
    g_autoptr(GPtrArray) devices = NULL;
    g_autoptr(Ovo) all = object(build, "InstanceDeviceMetadata");

    if (!virt->ops->devices(virt->self, ctx, uuid, &devices, err))
        return false;
    for (guint i = 0; i < devices->len; i++) {
        const VirtDevice *device = g_ptr_array_index(devices, i);
        g_autoptr(Ovo) record = record_of(build, device);
        g_autoptr(Ovo) metadata = record ? describe(build, device, record) : NULL;

        if (metadata)
            ovo_append(all, "devices", metadata);
    }
    *out = ovo_count(all, "devices") > 0 ? g_steal_pointer(&all) : NULL;
    return true;
}

bool device_metadata_wanted(Agent *agent, const DvCtx *ctx, const Ovo *instance, const Ovo *bdms,
                            bool *out, GError **err)
{
    g_autoptr(Ovo) vifs = NULL;

    *out = any_tag(bdms);
    if (*out)
        return true;
    if (!conductor_vifs_get(agent->con, ctx, ovo_str_or(instance, "uuid", ""), &vifs, err))
        return dv_within(err, "device metadata");
    *out = any_tag(vifs);
    return true;
}

bool device_metadata_build(Agent *agent, const DvCtx *ctx, Ovo *instance, const Ovo *bdms,
                           GError **err)
{
    const char *uuid = ovo_str_or(instance, "uuid", "");
    g_autoptr(Ovo) vifs = NULL;
    g_autoptr(Ovo) stored = NULL;
    g_autoptr(Ovo) metadata = NULL;
    Build build = {.agent = agent};

    if (!conductor_vifs_get(agent->con, ctx, uuid, &vifs, err) ||
        (!bdms && !conductor_bdms_get(agent->con, ctx, uuid, &stored, err)))
        return dv_within(err, "device metadata");
    build.vifs = vifs;
    build.bdms = bdms ? bdms : stored;
    if ((any_tag(vifs) || any_tag(build.bdms)) && !build_all(&build, ctx, uuid, &metadata, err))
        return dv_within(err, "device metadata");
    ovo_set_child(instance, "device_metadata", metadata);
    return true;
}
