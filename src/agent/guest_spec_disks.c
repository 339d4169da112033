/* The local disks of a guest: which there are, on which bus, under which name.
 *
 * Root disk, ephemeral disks, swap, config drive, in this order, whatever the order of the block
 * device mappings. Names that mappings carry are kept; the others take the first free letters of
 * their bus. Only the config drive may take a name that a mapping without disk holds.
 * Sources    nova virt/libvirt/blockinfo.py _get_disk_mapping, get_info_from_bdm;
 *            virt/libvirt/imagebackend.py disk_qos; virt/osinfo.py (Zed). */
#include "agent/guest_spec_priv.h"

#define IDE_DISKS 4

typedef struct DiskPlan {
    const GuestBuild *build;
    const char *disk_bus, *cdrom_bus;
    int next_scsi_unit; /* -1: not on a virtio-scsi controller, libvirt numbers them */
    SpecNumber tune[DISK_TUNE_COUNT];
} DiskPlan;

static const char *const tune_keys[DISK_TUNE_COUNT] = {
    [DISK_TUNE_READ_BYTES] = "quota:disk_read_bytes_sec",
    [DISK_TUNE_READ_IOPS] = "quota:disk_read_iops_sec",
    [DISK_TUNE_WRITE_BYTES] = "quota:disk_write_bytes_sec",
    [DISK_TUNE_WRITE_IOPS] = "quota:disk_write_iops_sec",
    [DISK_TUNE_TOTAL_BYTES] = "quota:disk_total_bytes_sec",
    [DISK_TUNE_TOTAL_IOPS] = "quota:disk_total_iops_sec",
};

/* ---- buses ---- */

static const struct {
    const char *bus, *prefix;
} bus_rows[] = {{"virtio", "vd"}, {"ide", "hd"}, {"scsi", "sd"},
                {"sata", "sd"},   {"usb", "sd"}, {"fdc", "fd"}};

static const char *bus_prefix(const char *bus)
{
    for (size_t i = 0; bus && i < G_N_ELEMENTS(bus_rows); i++) {
        if (strcmp(bus_rows[i].bus, bus) == 0)
            return bus_rows[i].prefix;
    }
    return NULL;
}

/* The most likely bus of a name. */
static const char *bus_of_name(const char *target)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bus_rows); i++) {
        if (g_str_has_prefix(target, bus_rows[i].prefix))
            return bus_rows[i].bus;
    }
    return NULL;
}

static bool choose_bus(const GuestBuild *build, const char *prop, const char *fallback, char **out,
                       GError **err)
{
    char *bus = guest_asks_word(&build->asks, prop);

    *out = bus ? bus : g_strdup(fallback);
    return bus_prefix(*out) ||
           dv_fail(err, DV_E_DISK_BUS,
                   "Requested hardware '%s' is not supported by the '%s' virt driver", *out,
                   build->agent->virt_config.virt_type);
}

static bool is_q35(const GuestSpec *spec)
{
    return spec->machine_type && strstr(spec->machine_type, "q35");
}

/* ---- names ---- */

static const char *strip_dev(const char *device_name)
{
    if (!device_name || !*device_name)
        return NULL;
    return g_str_has_prefix(device_name, "/dev/") ? device_name + 5 : device_name;
}

/* 0 is "a", 25 "z", 26 "aa". */
static char *letters_of(int64_t index)
{
    GString *out = g_string_new(NULL);

    for (index++; index > 0; index = (index - 1) / 26)
        g_string_prepend_c(out, (char)('a' + (index - 1) % 26));
    return g_string_free(out, FALSE);
}

static bool is_taken(const GuestSpec *spec, const char *name)
{
    for (guint i = 0; i < spec->disks->len; i++) {
        const DiskSpec *disk = g_ptr_array_index(spec->disks, i);

        if (g_strcmp0(disk->target, name) == 0)
            return true;
    }
    return false;
}

static bool is_reserved(const Ovo *bdms, const char *name)
{
    size_t count = bdms ? ovo_count(bdms, NULL) : 0;

    for (size_t i = 0; i < count; i++) {
        g_autoptr(Ovo) bdm = ovo_at(bdms, NULL, i);

        if (bdm && g_strcmp0(strip_dev(ovo_str_or(bdm, "device_name", NULL)), name) == 0)
            return true;
    }
    return false;
}

/* The first free name of the bus: "vdb". */
static bool next_target(const GuestBuild *build, const char *bus, const Ovo *bdms, char **out,
                        GError **err)
{
    const char *prefix = build->agent->virt_config.disk_prefix;
    int64_t limit = strcmp(bus, "ide") == 0 ? IDE_DISKS
                                            : build->agent->config.max_disk_devices_to_attach;

    prefix = prefix ? prefix : bus_prefix(bus);
    for (int64_t i = 0; limit < 0 || i < limit; i++) {
        g_autofree char *letters = letters_of(i);
        g_autofree char *name = g_strconcat(prefix, letters, NULL);

        if (!is_taken(build->spec, name) && !is_reserved(bdms, name)) {
            *out = g_steal_pointer(&name);
            return true;
        }
    }
    return dv_fail(err, DV_E_DISK_COUNT,
                   "The maximum allowed number of disk devices (%" G_GINT64_FORMAT
                   ") to attach to a single instance has been exceeded.",
                   limit);
}

bool guest_spec_free_name(const Agent *agent, GuestSpec *spec, const char *bus, char **out,
                          GError **err)
{
    const GuestBuild build = {.agent = agent, .spec = spec};

    return next_target(&build, bus, NULL, out, err);
}

bool guest_spec_knows_bus(const char *bus)
{
    return bus_prefix(bus) != NULL;
}

/* ---- disks ---- */

static DiskSpec *add_disk(DiskPlan *plan, DiskRole role, const char *bus, const char *device,
                          char *target, uint64_t size_bytes)
{
    DiskSpec *disk = guest_spec_add_disk(plan->build->spec, role);

    disk->bus = g_strdup(bus);
    disk->device = g_strdup(device);
    disk->target = target;
    disk->size_bytes = size_bytes;
    memcpy(disk->tune, plan->tune, sizeof(disk->tune));
    if (plan->next_scsi_unit >= 0 && strcmp(bus, "scsi") == 0)
        disk->scsi_unit = plan->next_scsi_unit++;
    return disk;
}

/* The image's disk, a blank one, or swap: what the mapping says wins over the defaults. */
static bool add_mapped(DiskPlan *plan, DiskRole role, const Ovo *bdm, const char *fallback_name,
                       uint64_t size_bytes, DiskSpec **out, GError **err)
{
    static const char *const devices[] = {"disk", "cdrom", "floppy", "lun", NULL};
    const GuestBuild *build = plan->build;
    const char *name = strip_dev(ovo_str_or(bdm, "device_name", NULL));
    const char *device = ovo_str_or(bdm, "device_type", NULL);
    const char *bus = ovo_str_or(bdm, "disk_bus", NULL);
    char *target;

    name = name ? name : fallback_name;
    if (!device || role == DISK_ROLE_SWAP || !g_strv_contains(devices, device))
        device = "disk";
    bus = bus && *bus ? bus : plan->disk_bus;
    if (!bus_prefix(bus)) /* another hypervisor's bus */
        bus = name                              ? bus_of_name(name)
              : g_strcmp0(device, "cdrom") == 0 ? plan->cdrom_bus
                                                : plan->disk_bus;
    if (!bus)
        return dv_fail(err, DV_E_INVALID_DISK, "no disk bus is known for device %s", name);
    if (name)
        target = g_strdup(name);
    else if (!next_target(build, bus, build->asks.source->bdms, &target, err))
        return false;
    *out = add_disk(plan, role, bus, device, target, size_bytes);
    return true;
}

typedef enum { BDM_IMAGE, BDM_EPHEMERAL, BDM_SWAP, BDM_VOLUME, BDM_OTHER } BdmKind;

static BdmKind kind_of(const Ovo *bdm)
{
    const char *source = ovo_str_or(bdm, "source_type", "");
    bool local = strcmp(ovo_str_or(bdm, "destination_type", ""), "local") == 0;

    if (strcmp(ovo_str_or(bdm, "destination_type", ""), "volume") == 0)
        return BDM_VOLUME;
    if (strcmp(source, "image") == 0)
        return local ? BDM_IMAGE : BDM_OTHER;
    if (strcmp(source, "blank") != 0 || !local)
        return BDM_OTHER;
    return g_strcmp0(ovo_str_or(bdm, "guest_format", NULL), "swap") == 0 ? BDM_SWAP : BDM_EPHEMERAL;
}

static bool refuse_volumes(const Ovo *bdms, GError **err)
{
    size_t count = bdms ? ovo_count(bdms, NULL) : 0;

    for (size_t i = 0; i < count; i++) {
        g_autoptr(Ovo) bdm = ovo_at(bdms, NULL, i);

        if (bdm && kind_of(bdm) == BDM_VOLUME)
            return dv_fail(err, DV_E_UNSUPPORTED, "volumes are not supported by this host");
    }
    return true;
}

/* The first mapping of a kind; NULL when there is none. Caller unrefs. */
static Ovo *find_bdm(const Ovo *bdms, BdmKind kind)
{
    size_t count = bdms ? ovo_count(bdms, NULL) : 0;

    for (size_t i = 0; i < count; i++) {
        g_autoptr(Ovo) bdm = ovo_at(bdms, NULL, i);

        if (bdm && kind_of(bdm) == kind)
            return g_steal_pointer(&bdm);
    }
    return NULL;
}

/* What the image record said, or what the instance remembers of it. */
static const char *image_disk_format(const GuestSource *source)
{
    return source->image ? ovo_str_or(source->image, "disk_format", NULL)
                         : ovo_dict_str(source->instance, "system_metadata", "image_disk_format");
}

/* An ISO image is a CD-ROM only where no mapping says what it is. */
static bool add_root(DiskPlan *plan, GError **err)
{
    const GuestBuild *build = plan->build;
    const GuestSource *source = build->asks.source;
    g_autoptr(Ovo) bdm = find_bdm(source->bdms, BDM_IMAGE);
    const char *name = strip_dev(ovo_str_or(source->instance, "root_device_name", NULL));
    uint64_t size = (uint64_t)MAX(ovo_i64_or(build->asks.flavor, "root_gb", 0), 0) << 30;
    DiskSpec *disk = NULL;

    if (bdm) {
        if (!add_mapped(plan, DISK_ROLE_ROOT, bdm, name, size, &disk, err))
            return false;
    } else {
        bool iso = g_strcmp0(image_disk_format(source), "iso") == 0;
        const char *bus = iso ? plan->cdrom_bus : plan->disk_bus;
        char *target = g_strdup(name);

        if (!target && !next_target(build, bus, NULL, &target, err))
            return false;
        disk = add_disk(plan, DISK_ROLE_ROOT, bus, iso ? "cdrom" : "disk", target, size);
    }
    disk->image_id = g_strdup(ovo_str_or(source->instance, "image_ref", NULL));
    disk->boot_order = 1;
    return true;
}

static bool add_ephemerals(DiskPlan *plan, GError **err)
{
    const Ovo *bdms = plan->build->asks.source->bdms;
    size_t count = bdms ? ovo_count(bdms, NULL) : 0;
    unsigned number = 0;

    for (size_t i = 0; i < count; i++) {
        g_autoptr(Ovo) bdm = ovo_at(bdms, NULL, i);
        uint64_t size = bdm ? (uint64_t)MAX(ovo_i64_or(bdm, "volume_size", 0), 0) : 0;
        DiskSpec *disk = NULL;

        if (!bdm || kind_of(bdm) != BDM_EPHEMERAL)
            continue;
        if (!add_mapped(plan, DISK_ROLE_EPHEMERAL, bdm, NULL, size << 30, &disk, err))
            return false;
        disk->fs_format = g_strdup(ovo_str_or(bdm, "guest_format", NULL));
        disk->fs_label = g_strdup_printf("ephemeral%u", number++);
    }
    return true;
}

static bool add_swap(DiskPlan *plan, GError **err)
{
    const GuestBuild *build = plan->build;
    const Ovo *bdms = build->asks.source->bdms;
    g_autoptr(Ovo) bdm = find_bdm(bdms, BDM_SWAP);
    uint64_t size = bdm ? (uint64_t)MAX(ovo_i64_or(bdm, "volume_size", 0), 0) : 0;
    char *target = NULL;
    DiskSpec *disk = NULL;

    if (size)
        return add_mapped(plan, DISK_ROLE_SWAP, bdm, NULL, size << 20, &disk, err);
    size = (uint64_t)MAX(ovo_i64_or(build->asks.flavor, "swap", 0), 0);
    if (!size)
        return true;
    if (!next_target(build, plan->disk_bus, bdms, &target, err))
        return false;
    add_disk(plan, DISK_ROLE_SWAP, plan->disk_bus, "disk", target, size << 20);
    return true;
}

static bool add_config_drive(DiskPlan *plan, GError **err)
{
    const GuestBuild *build = plan->build;
    bool cdrom = strcmp(build->agent->disks_config.config_drive_format, "iso9660") == 0;
    const char *bus = cdrom ? plan->cdrom_bus : plan->disk_bus;
    char *target = NULL;

    if (!guest_needs_config_drive(build->agent, build->asks.source))
        return true;
    if (!next_target(build, bus, NULL, &target, err))
        return false;
    add_disk(plan, DISK_ROLE_CONFIG, bus, cdrom ? "cdrom" : "disk", target, 0);
    return true;
}

static bool read_tune(DiskPlan *plan, GError **err)
{
    for (int i = 0; i < DISK_TUNE_COUNT; i++) {
        if (!guest_asks_number(&plan->build->asks, tune_keys[i], &plan->tune[i], err))
            return false;
    }
    return true;
}

bool guest_spec_disks(const GuestBuild *build, GError **err)
{
    GuestSpec *spec = build->spec;
    DiskPlan plan = {.build = build};

    if (!choose_bus(build, "hw_disk_bus", "virtio", &spec->disk_bus, err) ||
        !choose_bus(build, "hw_cdrom_bus", is_q35(spec) ? "sata" : "ide", &spec->cdrom_bus, err))
        return false;
    plan.disk_bus = spec->disk_bus;
    plan.cdrom_bus = spec->cdrom_bus;
    spec->scsi_model = guest_asks_word(&build->asks, "hw_scsi_model");
    plan.next_scsi_unit = g_strcmp0(spec->scsi_model, "virtio-scsi") == 0 ? 0 : -1;
    return refuse_volumes(build->asks.source->bdms, err) && read_tune(&plan, err) &&
           add_root(&plan, err) && add_ephemerals(&plan, err) && add_swap(&plan, err) &&
           add_config_drive(&plan, err);
}
