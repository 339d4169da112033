/* What all hypervisor drivers share; the drivers themselves are in libvirt/ and fake/. */
#include "virt/driver.h"

void virt_guest_free(VirtGuest *guest)
{
    if (!guest)
        return;
    g_free(guest->name);
    g_free(guest);
}

void virt_driver_free(VirtDriver *driver)
{
    if (!driver)
        return;
    driver->ops->free(driver->self);
    g_free(driver);
}
