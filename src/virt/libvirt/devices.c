/* Where a guest's NICs and disks are, as the guest itself finds them.
 *
 * Sources    nova virt/libvirt/driver.py _prepare_device_bus, config.py format_address (Zed). */
#include "virt/libvirt/libvirt_priv.h"

/* xpath's value below device `path`; "" when it is not there. */
static char *value(xmlDoc *doc, const char *path, const char *below)
{
    g_autofree char *xpath = g_strconcat(path, below, NULL);
    char *text = xml_find(doc, xpath);

    return text ? text : g_strdup("");
}

/* "0x0a" without its prefix, as nova writes addresses. */
static const char *bare(const char *number)
{
    return g_str_has_prefix(number, "0x") ? number + 2 : number;
}

/* The address in nova's form, which has one for PCI only; NULL for others. */
static char *pci_address(xmlDoc *doc, const char *path)
{
    g_autofree char *type = value(doc, path, "/address/@type");
    g_autofree char *domain = value(doc, path, "/address/@domain");
    g_autofree char *bus = value(doc, path, "/address/@bus");
    g_autofree char *slot = value(doc, path, "/address/@slot");
    g_autofree char *function = value(doc, path, "/address/@function");

    if (!g_str_equal(type, "pci"))
        return NULL;
    return g_strdup_printf("%s:%s:%s.%s", bare(domain), bare(bus), bare(slot), bare(function));
}

static VirtDevice *read_device(xmlDoc *doc, const char *path, VirtDeviceKind kind)
{
    static const char *const disk_buses[] = {"scsi", "ide", "usb", NULL};
    VirtDevice *device = g_new0(VirtDevice, 1);
    g_autofree char *target_bus = value(doc, path, "/target/@bus");

    device->kind = kind;
    if (kind == VIRT_DEVICE_NIC)
        device->mac = value(doc, path, "/mac/@address");
    else
        device->target = value(doc, path, "/target/@dev");
    device->address = pci_address(doc, path);
    if (device->address)
        device->bus = g_strdup("pci");
    else if (kind == VIRT_DEVICE_DISK && g_strv_contains(disk_buses, target_bus))
        device->bus = g_strdup(target_bus);
    return device;
}

bool devices_read(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GPtrArray **out,
                  GError **err)
{
    static const struct {
        const char *element;
        VirtDeviceKind kind;
    } kinds[] = {{"disk", VIRT_DEVICE_DISK}, {"interface", VIRT_DEVICE_NIC}};
    g_autoptr(GPtrArray) devices = g_ptr_array_new_with_free_func((GDestroyNotify)virt_device_free);
    g_autoptr(xmlDoc) doc = NULL;
    g_autofree char *text = NULL;

    if (!guest_describe(self, uuid, &text, err))
        return false;
    doc = xml_parse(text, "the guest's XML", err);
    if (!doc)
        return false;
    for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++) {
        for (unsigned i = 1;; i++) {
            g_autofree char *path = g_strdup_printf("/domain/devices/%s[%u]", kinds[k].element, i);
            g_autofree char *there = xml_find(doc, path);

            if (!there)
                break;
            g_ptr_array_add(devices, read_device(doc, path, kinds[k].kind));
        }
    }
    *out = g_steal_pointer(&devices);
    return true;
}

/* ---- disks as they are defined ---- */

static char *value_or_null(xmlDoc *doc, const char *path, const char *below)
{
    g_autofree char *xpath = g_strconcat(path, below, NULL);

    return xml_find(doc, xpath);
}

static bool has(xmlDoc *doc, const char *path, const char *below)
{
    g_autofree char *text = value_or_null(doc, path, below);

    return text;
}

static VirtDisk *read_disk(xmlDoc *doc, const char *path)
{
    VirtDisk *disk = g_new0(VirtDisk, 1);
    g_autofree char *type = value(doc, path, "/@type");
    g_autofree char *device = value(doc, path, "/@device");

    disk->block = g_str_equal(type, "block");
    disk->cdrom = g_str_equal(device, "cdrom");
    disk->readonly = has(doc, path, "/readonly");
    disk->shareable = has(doc, path, "/shareable");
    disk->target = value(doc, path, "/target/@dev");
    disk->format = value(doc, path, "/driver/@type");
    disk->serial = value_or_null(doc, path, "/serial");
    if (disk->block || g_str_equal(type, "file"))
        disk->path = value_or_null(doc, path, disk->block ? "/source/@dev" : "/source/@file");
    return disk;
}

bool devices_disks(void *self, const char *uuid, GPtrArray **out, GError **err)
{
    g_autoptr(GPtrArray) disks = g_ptr_array_new_with_free_func((GDestroyNotify)virt_disk_free);
    g_autofree char *xml = NULL;
    g_autoptr(xmlDoc) doc = NULL;

    if (!guest_describe(self, uuid, &xml, err))
        return false;
    doc = xml_parse(xml, "the guest's XML", err);
    for (unsigned i = 1; doc; i++) {
        g_autofree char *path = g_strdup_printf("/domain/devices/disk[%u]", i);
        g_autofree char *there = xml_find(doc, path);

        if (!there)
            break;
        g_ptr_array_add(disks, read_disk(doc, path));
    }
    if (!doc)
        return false;
    *out = g_steal_pointer(&disks);
    return true;
}
