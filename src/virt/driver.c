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

static void cpu_feature_free(void *arg)
{
    VirtCpuFeature *feature = arg;

    g_free(feature->name);
    g_free(feature->policy);
    g_free(feature);
}

VirtCpu *virt_cpu_new(void)
{
    VirtCpu *cpu = g_new0(VirtCpu, 1);

    cpu->features = g_ptr_array_new_with_free_func(cpu_feature_free);
    return cpu;
}

void virt_cpu_add_feature(VirtCpu *cpu, const char *name, const char *policy)
{
    VirtCpuFeature *feature = g_new0(VirtCpuFeature, 1);

    feature->name = g_strdup(name);
    feature->policy = g_strdup(policy);
    g_ptr_array_add(cpu->features, feature);
}

void virt_cpu_free(VirtCpu *cpu)
{
    if (!cpu)
        return;
    g_free(cpu->arch);
    g_free(cpu->vendor);
    g_free(cpu->mode);
    g_free(cpu->match);
    g_free(cpu->model);
    g_ptr_array_unref(cpu->features);
    g_free(cpu);
}

void virt_driver_free(VirtDriver *driver)
{
    if (!driver)
        return;
    driver->ops->free(driver->self);
    g_free(driver);
}
