/* Devices and consoles of guests of the hypervisor in memory, as virt/driver.h promises them. */
#include "virt/fake/fake_priv.h"

#define FIRST_SLOT 3 /* what libvirt puts before a guest's own devices */
#define SPICE_OFFSET 1000
#define SERIAL_OFFSET 5000

static void add_device(FakeGuest *guest, VirtDeviceKind kind, const char *mac, const char *target)
{
    VirtDevice *device = g_new0(VirtDevice, 1);

    device->kind = kind;
    device->mac = g_strdup(mac);
    device->target = g_strdup(target);
    device->bus = g_strdup("pci");
    device->address = g_strdup_printf("0000:00:%02x.0", FIRST_SLOT + guest->devices->len);
    g_ptr_array_add(guest->devices, device);
}

static VirtDisk *copy_disk(const VirtDisk *disk)
{
    VirtDisk *copy = g_memdup2(disk, sizeof(*disk));

    copy->target = g_strdup(disk->target);
    copy->path = g_strdup(disk->path);
    copy->format = g_strdup(disk->format);
    copy->serial = g_strdup(disk->serial);
    return copy;
}

static void add_disk(FakeGuest *guest, const DiskSpec *disk)
{
    const char *format = disk->format == DISK_FORMAT_QCOW2 ? "qcow2" : "raw";
    const VirtDisk as_disk = {
        .target = disk->target,
        .path = disk->path,
        .format = (char *)format,
        .serial = disk->serial,
        .cdrom = g_strcmp0(disk->device, "cdrom") == 0,
        .readonly = disk->readonly,
    };

    g_ptr_array_add(guest->disks, copy_disk(&as_disk));
}

void fake_take_devices(FakeVirt *fake, FakeGuest *guest, const GuestSpec *spec)
{
    g_ptr_array_set_size(guest->devices, 0);
    g_ptr_array_set_size(guest->disks, 0);
    for (guint i = 0; i < spec->disks->len; i++) {
        const DiskSpec *disk = g_ptr_array_index(spec->disks, i);

        add_device(guest, VIRT_DEVICE_DISK, NULL, disk->target);
        add_disk(guest, disk);
    }
    for (guint i = 0; i < spec->nics->len; i++) {
        const NicSpec *nic = g_ptr_array_index(spec->nics, i);

        add_device(guest, VIRT_DEVICE_NIC, nic->mac, NULL);
    }
    g_free(guest->vnc_listen);
    g_free(guest->spice_listen);
    g_free(guest->serial_host);
    guest->vnc_listen = g_strdup(spec->vnc_listen);
    guest->spice_listen = g_strdup(spec->spice_listen);
    guest->serial_host = spec->serial_count ? g_strdup(spec->serial_host) : NULL;
    guest->vnc_port = fake->next_vnc_port++;
    if (guest->serial_host && !guest->serial_port)
        guest->serial_port = guest->vnc_port + SERIAL_OFFSET;
}

static const char *listen_of(const FakeGuest *guest, VirtConsoleKind kind, int *out_port)
{
    switch (kind) {
    case VIRT_CONSOLE_VNC:
        *out_port = guest->vnc_port;
        return fake_is_active(guest) ? guest->vnc_listen : NULL;
    case VIRT_CONSOLE_SPICE:
        *out_port = guest->vnc_port + SPICE_OFFSET;
        return fake_is_active(guest) ? guest->spice_listen : NULL;
    case VIRT_CONSOLE_SERIAL: /* the guest's as long as it is defined */
        *out_port = guest->serial_port;
        return guest->serial_host;
    }
    return NULL;
}

bool fake_console(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                  VirtConsoleKind kind, VirtConsole *out, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest = fake_enter_guest(fake, "console", uuid, err);
    const char *listen;
    int port = 0;

    if (!guest)
        return false;
    listen = listen_of(guest, kind, &port);
    if (listen)
        *out = (VirtConsole){.host = g_strdup(listen), .port = port};
    fake_leave(fake);
    return listen ||
           dv_fail(err, DV_E_CONSOLE_TYPE_UNAVAILABLE, "guest %s has no such console now", uuid);
}

static bool find_nic(const FakeGuest *guest, const char *mac, guint *out_index)
{
    for (guint i = 0; i < guest->devices->len; i++) {
        const VirtDevice *device = g_ptr_array_index(guest->devices, i);

        if (device->kind == VIRT_DEVICE_NIC && g_ascii_strcasecmp(device->mac, mac) == 0) {
            *out_index = i;
            return true;
        }
    }
    return false;
}

bool fake_attach_nic(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                     const NicSpec *nic, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = fake_enter_guest(fake, "attach_nic", uuid, err);
    guint index;

    if (!guest)
        return false;
    if (find_nic(guest, nic->mac, &index)) {
        fake_leave(fake);
        return dv_fail(err, DV_E_HYPERVISOR, "guest %s has a device with MAC %s", uuid, nic->mac);
    }
    add_device(guest, VIRT_DEVICE_NIC, nic->mac, NULL);
    fake_leave(fake);
    return true;
}

bool fake_detach_nic(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                     const NicSpec *nic, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = fake_enter_guest(fake, "detach_nic", uuid, err);
    guint index;

    if (!guest)
        return false;
    if (find_nic(guest, nic->mac, &index))
        g_ptr_array_remove_index(guest->devices, index);
    fake_leave(fake);
    return true;
}

bool fake_devices(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GPtrArray **out,
                  GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest = fake_enter_guest(fake, "devices", uuid, err);

    if (!guest)
        return false;
    *out = g_ptr_array_new_with_free_func((GDestroyNotify)virt_device_free);
    for (guint i = 0; i < guest->devices->len; i++) {
        const VirtDevice *device = g_ptr_array_index(guest->devices, i);
        VirtDevice *copy = g_new0(VirtDevice, 1);

        copy->kind = device->kind;
        copy->mac = g_strdup(device->mac);
        copy->target = g_strdup(device->target);
        copy->bus = g_strdup(device->bus);
        copy->address = g_strdup(device->address);
        g_ptr_array_add(*out, copy);
    }
    fake_leave(fake);
    return true;
}

bool fake_disks(void *self, const char *uuid, GPtrArray **out, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest = fake_enter_guest(fake, "disks", uuid, err);

    if (!guest)
        return false;
    *out = g_ptr_array_new_with_free_func((GDestroyNotify)virt_disk_free);
    for (guint i = 0; i < guest->disks->len; i++)
        g_ptr_array_add(*out, copy_disk(g_ptr_array_index(guest->disks, i)));
    fake_leave(fake);
    return true;
}

bool fake_reserve_serial(void *self, const char *uuid G_GNUC_UNUSED, const char *host G_GNUC_UNUSED,
                         unsigned count, int *out_ports, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;

    if (!fake_enter(fake, "reserve_serial", err))
        return false;
    for (unsigned i = 0; i < count; i++)
        out_ports[i] = fake->next_vnc_port++ + SERIAL_OFFSET;
    fake_leave(fake);
    return true;
}
