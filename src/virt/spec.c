/* Construction and release of GuestSpec; see spec.h. */
#include "virt/spec.h"

#include <string.h>

static void disk_spec_free(gpointer data)
{
    DiskSpec *disk = data;

    g_free(disk->path);
    g_free(disk->backing_path);
    g_free(disk->image_id);
    g_free(disk->fs_format);
    g_free(disk->fs_label);
    g_free(disk->bus);
    g_free(disk->device);
    g_free(disk->target);
    g_free(disk->serial);
    g_free(disk->cache);
    g_free(disk);
}

void nic_spec_free(NicSpec *nic)
{
    if (!nic)
        return;
    g_free(nic->port_id);
    g_free(nic->mac);
    g_free(nic->devname);
    g_free(nic->model);
    g_free(nic->type);
    g_free(nic->bridge);
    g_free(nic->ovs_interfaceid);
    g_free(nic->ovs_datapath);
    for (unsigned i = 0; i < nic->address_count; i++)
        g_free(nic->addresses[i]);
    g_free(nic->addresses);
    g_free(nic->address_versions);
    g_free(nic);
}

GuestSpec *guest_spec_new(void)
{
    GuestSpec *spec = g_new0(GuestSpec, 1);

    spec->disks = g_ptr_array_new_with_free_func(disk_spec_free);
    spec->nics = g_ptr_array_new_with_free_func((GDestroyNotify)nic_spec_free);
    return spec;
}

void guest_secret_done(GuestSecret *secret)
{
    if (secret->value)
        explicit_bzero(secret->value, strlen(secret->value));
    g_clear_pointer(&secret->value, g_free);
    g_clear_pointer(&secret->uuid, g_free);
}

void guest_spec_free(GuestSpec *spec)
{
    if (!spec)
        return;
    char *strings[] = {
        spec->uuid,
        spec->name,
        spec->title,
        spec->arch,
        spec->machine_type,
        spec->kernel_path,
        spec->ramdisk_path,
        spec->kernel_cmdline,
        spec->instance_dir,
        spec->console_log_path,
        spec->vnc_listen,
        spec->vnc_keymap,
        spec->spice_listen,
        spec->serial_host,
        spec->video_model,
        spec->input_bus,
        spec->scsi_model,
        spec->watchdog_action,
        spec->iommu_model,
        spec->tpm_version,
        spec->tpm_model,
        spec->disk_bus,
        spec->cdrom_bus,
        spec->vif_model,
        spec->os_type,
        spec->flavor_name,
        spec->flavor_id,
        spec->image_ref,
        spec->user_id,
        spec->user_name,
        spec->project_id,
        spec->project_name,
        spec->package_version,
    };

    for (size_t i = 0; i < G_N_ELEMENTS(strings); i++)
        g_free(strings[i]);
    guest_secret_done(&spec->tpm_secret);
    g_clear_pointer(&spec->cpu_traits, g_ptr_array_unref);
    g_ptr_array_unref(spec->disks);
    g_ptr_array_unref(spec->nics);
    g_free(spec);
}

DiskSpec *guest_spec_add_disk(GuestSpec *spec, DiskRole role)
{
    DiskSpec *disk = g_new0(DiskSpec, 1);

    disk->role = role;
    disk->scsi_unit = -1;
    g_ptr_array_add(spec->disks, disk);
    return disk;
}

NicSpec *guest_spec_add_nic(GuestSpec *spec)
{
    NicSpec *nic = g_new0(NicSpec, 1);

    g_ptr_array_add(spec->nics, nic);
    return nic;
}

const DiskSpec *guest_spec_disk(const GuestSpec *spec, DiskRole role)
{
    for (guint i = 0; i < spec->disks->len; i++) {
        const DiskSpec *disk = g_ptr_array_index(spec->disks, i);

        if (disk->role == role)
            return disk;
    }
    return NULL;
}

NicSpec *guest_spec_take_nic(GuestSpec *spec, guint i)
{
    return g_ptr_array_steal_index(spec->nics, i);
}
