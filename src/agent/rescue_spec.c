/* Rescues as guest descriptions; see rescue_spec.h. */
#include "agent/rescue_spec.h"

#include "agent/guest_spec_priv.h"

#include <string.h>

static const char *prop(const Ovo *image, const char *name)
{
    return ovo_has_value(image, "properties") ? ovo_dict_str(image, "properties", name) : NULL;
}

bool rescue_is_stable(const Ovo *image)
{
    return prop(image, "hw_rescue_device") || prop(image, "hw_rescue_bus");
}

/* The next place on a virtio-scsi controller, -1 elsewhere. */
static int next_scsi_unit(const GuestSpec *spec, const char *bus)
{
    int unit = 0;

    if (g_strcmp0(spec->scsi_model, "virtio-scsi") != 0 || strcmp(bus, "scsi") != 0)
        return -1;
    for (guint i = 0; i < spec->disks->len; i++) {
        const DiskSpec *disk = g_ptr_array_index(spec->disks, i);

        unit = MAX(unit, disk->scsi_unit + 1);
    }
    return unit;
}

/* The flavor's limits hold for this disk, too. */
static DiskSpec *add_rescue_disk(GuestSpec *spec, const DiskSpec *root, const char *bus,
                                 const char *device, char *target)
{
    int unit = next_scsi_unit(spec, bus);
    DiskSpec *disk = guest_spec_add_disk(spec, DISK_ROLE_RESCUE);

    disk->bus = g_strdup(bus);
    disk->device = g_strdup(device);
    disk->target = target;
    disk->scsi_unit = unit;
    if (root)
        memcpy(disk->tune, root->tune, sizeof(disk->tune));
    return disk;
}

/* ---- classic ---- */

/* Gives a disk that was taken out of the spec back to it, under the next name of its bus. */
static bool put_back(const Agent *agent, GuestSpec *spec, DiskSpec *disk, GError **err)
{
    char *target = NULL;
    int unit = next_scsi_unit(spec, disk->bus);
    bool ok = guest_spec_free_name(agent, spec, disk->bus, &target, err);

    g_ptr_array_add(spec->disks, disk);
    if (!ok)
        return false;
    g_free(disk->target);
    disk->target = target;
    disk->boot_order = 0;
    disk->scsi_unit = unit;
    return true;
}

/* Behind the rescue disk it is a plain disk, whatever it was. */
static bool put_back_root(const Agent *agent, GuestSpec *spec, DiskSpec *root, GError **err)
{
    g_free(root->bus);
    root->bus = g_strdup(spec->disk_bus);
    g_free(root->device);
    root->device = g_strdup("disk");
    return put_back(agent, spec, root, err);
}

/* Takes the disk of a role out of the array, or NULL. */
static DiskSpec *take_role(GPtrArray *disks, DiskRole role)
{
    for (guint i = 0; i < disks->len; i++) {
        const DiskSpec *disk = g_ptr_array_index(disks, i);

        if (disk->role == role)
            return g_ptr_array_steal_index(disks, i);
    }
    return NULL;
}

static bool apply_classic(const Agent *agent, GuestSpec *spec, GError **err)
{
    DiskSpec *root = take_role(spec->disks, DISK_ROLE_ROOT);
    DiskSpec *config = take_role(spec->disks, DISK_ROLE_CONFIG);
    char *target = NULL;
    bool ok;

    g_ptr_array_set_size(spec->disks, 0);
    ok = guest_spec_free_name(agent, spec, spec->disk_bus, &target, err);
    if (ok)
        add_rescue_disk(spec, root, spec->disk_bus, "disk", target);
    /* each is given to the spec in any case, which frees it */
    if (root)
        ok = put_back_root(agent, spec, root, ok ? err : NULL) && ok;
    if (config) {
        ok = put_back(agent, spec, config, ok ? err : NULL) && ok;
        g_free(config->path);
        config->path = g_build_filename(spec->instance_dir, "disk.config.rescue", NULL);
    }
    return ok;
}

/* ---- stable ---- */

static bool choose_device(const Ovo *image, const char **out, GError **err)
{
    const char *device = prop(image, "hw_rescue_device");

    *out = device ? device : "disk";
    return strcmp(*out, "disk") == 0 || strcmp(*out, "cdrom") == 0 ||
           dv_fail(err, DV_E_RESCUE_DEVICE, "Requested rescue device '%s' is not supported", *out);
}

static bool choose_bus(const Agent *agent, const GuestSpec *spec, const Ovo *image,
                       const char *device, const char **out, GError **err)
{
    bool cdrom = strcmp(device, "cdrom") == 0;
    const char *bus = prop(image, "hw_rescue_bus");
    const char *fallback = prop(image, cdrom ? "hw_cdrom_bus" : "hw_disk_bus");

    if (!fallback)
        fallback = cdrom ? spec->cdrom_bus : "virtio";
    *out = bus ? bus : fallback;
    return guest_spec_knows_bus(*out) ||
           dv_fail(err, DV_E_RESCUE_BUS,
                   "Requested rescue bus '%s' is not supported by the '%s' virt driver", *out,
                   agent->virt_config.virt_type);
}

static bool apply_stable(const Agent *agent, GuestSpec *spec, const Ovo *image, GError **err)
{
    const char *device = NULL;
    const char *bus = NULL;
    char *target = NULL;

    if (!choose_device(image, &device, err) || !choose_bus(agent, spec, image, device, &bus, err) ||
        !guest_spec_free_name(agent, spec, bus, &target, err))
        return false;
    /* the one way to boot from a disk that is not the first */
    add_rescue_disk(spec, guest_spec_disk(spec, DISK_ROLE_ROOT), bus, device, target)
        ->own_boot_order = 1;
    return true;
}

bool rescue_spec_apply(const Agent *agent, GuestSpec *spec, const Ovo *image, GError **err)
{
    return rescue_is_stable(image) ? apply_stable(agent, spec, image, err)
                                   : apply_classic(agent, spec, err);
}

/* The command line is the usual one: the image's own is for its kernel. Only in a classic rescue
 * the rescue disk takes the root disk's place. */
void rescue_spec_kernel(const Agent *agent, GuestSpec *spec, const char *kernel_id,
                        const char *ramdisk_id)
{
    const DiskSpec *rescue = guest_spec_disk(spec, DISK_ROLE_RESCUE);
    const DiskSpec *root = rescue && !rescue->own_boot_order
                               ? rescue
                               : guest_spec_disk(spec, DISK_ROLE_ROOT);

    g_clear_pointer(&spec->kernel_path, g_free);
    g_clear_pointer(&spec->ramdisk_path, g_free);
    g_clear_pointer(&spec->kernel_cmdline, g_free);
    if (kernel_id) {
        spec->kernel_path = g_build_filename(spec->instance_dir, "kernel.rescue", NULL);
        spec->kernel_cmdline = guest_spec_cmdline(agent, root ? root->target : "vda");
    }
    if (ramdisk_id)
        spec->ramdisk_path = g_build_filename(spec->instance_dir, "ramdisk.rescue", NULL);
}
