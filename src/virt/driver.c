/* What all hypervisor drivers share; the drivers themselves are in libvirt/ and fake/. */
#include "virt/driver.h"

void virt_guest_free(VirtGuest *guest)
{
    if (!guest)
        return;
    g_free(guest->name);
    g_free(guest);
}

void virt_device_free(VirtDevice *device)
{
    if (!device)
        return;
    g_free(device->mac);
    g_free(device->target);
    g_free(device->bus);
    g_free(device->address);
    g_free(device);
}

void virt_disk_free(VirtDisk *disk)
{
    if (!disk)
        return;
    g_free(disk->target);
    g_free(disk->path);
    g_free(disk->format);
    g_free(disk->serial);
    g_free(disk);
}

void virt_driver_free(VirtDriver *driver)
{
    if (!driver)
        return;
    driver->ops->free(driver->self);
    g_free(driver);
}
