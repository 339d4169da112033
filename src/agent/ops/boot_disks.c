/* The disks of a boot; see boot_disks.h. An image that is in the cache costs no call to glance.
 * Sources: nova virt/libvirt/driver.py _create_image, _create_configdrive (Zed). */
#include "agent/ops/boot_disks.h"

#include "agent/guest_spec.h"
#include "agent/network_cache.h"
#include "objects/metadata.h"
#include "util/fs.h"
#include "util/log.h"

typedef struct ImageFetch {
    const BootDisks *disks;
    const char *id;
} ImageFetch;

/* ImageSource.fetch: asks glance for the record, then streams the data. */
static bool fetch_image(void *arg, int fd, GError **err)
{
    const ImageFetch *fetch = arg;
    Agent *agent = fetch->disks->agent;
    g_autoptr(GlanceImage) image = NULL;

    if (!glance_image_get(agent->glance, fetch->disks->ctx, fetch->id, &image, err))
        return false;
    if (strcmp(image->status, "active") != 0)
        return dv_fail(err, DV_E_IMAGE_NOT_ACTIVE, "Image %s is not active.", fetch->id);
    return glance_download(agent->glance, fetch->disks->ctx, image, fd, 0,
                           agent->config.glance_retries, err);
}

/* Kernel and ramdisk lie beside the disks as plain files. */
static bool fetch_file(const BootDisks *disks, const char *id, const char *path, GError **err)
{
    ImageFetch fetch = {disks, id};
    ImageSource source = {.id = id, .disk_format = "raw", .fetch = fetch_image, .arg = &fetch};

    return disks_fetch_plain(disks->agent->disks, disks->ctx, &source, path, err);
}

static bool fetch_plain(const BootDisks *disks, const char *field, const char *path, GError **err)
{
    return !path || fetch_file(disks, ovo_str_or(disks->instance, field, NULL), path, err);
}

/* Each method that makes a config drive has its own name for the password. */
static const char *password_of(const Ovo *args)
{
    static const char *const names[] = {"admin_password", "new_pass", "rescue_password"};

    for (size_t i = 0; args && i < G_N_ELEMENTS(names); i++)
        if (ovo_has_value(args, names[i]))
            return ovo_str_or(args, names[i], NULL);
    return NULL;
}

static bool fetch_missing(const BootDisks *disks, const char *field, const char *path, GError **err)
{
    return (path && dv_exists(path)) || fetch_plain(disks, field, path, err);
}

static GPtrArray *config_drive_files(const BootDisks *disks, GError **err)
{
    Agent *agent = disks->agent;
    NetworkInstance who = network_instance_of(agent, disks->instance);
    g_auto(GStrv) groups = NULL;
    g_autofree char *vendordata = NULL;
    g_autofree char *vendordata2 = NULL;
    MetadataExtra extra = {
        .admin_password = password_of(disks->args),
        .availability_zone = ovo_str_or(disks->instance, "availability_zone", NULL),
        .project_name = disks->ctx->project_name,
        .injected_files = disks->args,
        .bdms = disks->bdms,
        .dhcp_domain = agent->config.config_drive.dhcp_domain,
        .ec2_skip_versions = agent->config.config_drive.ec2_skip_versions,
    };

    if (!neutron_group_names(agent->neutron, disks->ctx, &who, &groups, err) ||
        !vendordata_fetch(agent->vendordata, disks->ctx, disks->instance, &vendordata, &vendordata2,
                          err))
        return NULL;
    extra.security_groups = (const char *const *)groups;
    extra.vendordata_json = vendordata;
    extra.vendordata2_json = vendordata2;
    return metadata_files(disks->instance, disks->network, &extra, err);
}

typedef bool (*WriteDriveFn)(const BootDisks *disks, const ImageSource *source,
                             const ConfigDriveFile *files, size_t count, GError **err);

static bool with_config_drive(const BootDisks *disks, const ImageSource *source,
                              WriteDriveFn write_drive, GError **err)
{
    g_autoptr(GPtrArray) files = NULL;
    g_autofree ConfigDriveFile *drive = NULL;
    size_t count = 0;

    if (guest_spec_disk(disks->spec, DISK_ROLE_CONFIG)) {
        files = config_drive_files(disks, err);
        if (!files)
            return dv_within(err, "config drive");
        count = files->len;
        drive = g_new0(ConfigDriveFile, count);
        for (size_t i = 0; i < count; i++) {
            const MetadataFile *file = g_ptr_array_index(files, i);

            drive[i] = (ConfigDriveFile){file->path, file->data, file->length};
        }
    }
    return write_drive(disks, source, drive, count, err);
}

static bool create_disks(const BootDisks *disks, const ImageSource *source,
                         const ConfigDriveFile *files, size_t count, GError **err)
{
    return disks_create(disks->agent->disks, disks->ctx, disks->spec, source, files, count, err);
}

static bool rewrite_drive(const BootDisks *disks, const ImageSource *source G_GNUC_UNUSED,
                          const ConfigDriveFile *files, size_t count, GError **err)
{
    return disks_rewrite_config(disks->agent->disks, disks->spec, files, count, err);
}

bool boot_disks_rewrite_config(const BootDisks *disks, GError **err)
{
    return !guest_spec_disk(disks->spec, DISK_ROLE_CONFIG) ||
           with_config_drive(disks, NULL, rewrite_drive, err);
}

bool boot_disks_create(const BootDisks *disks, GError **err)
{
    g_autoptr(GError) cleanup = NULL;
    const Ovo *image = disks->image;
    const char *id = ovo_str_or(disks->instance, "image_ref", NULL);
    const char *uuid = disks->spec->uuid;
    ImageFetch fetch = {disks, id};
    ImageSource source = {
        .id = id,
        .disk_format = image
                           ? ovo_str_or(image, "disk_format", NULL)
                           : ovo_dict_str(disks->instance, "system_metadata", "image_disk_format"),
        .size_bytes = image ? (uint64_t)MAX(ovo_i64_or(image, "size", 0), 0) : 0,
        .fetch = fetch_image,
        .arg = &fetch,
    };

    if (!id || !*id)
        return dv_fail(err, DV_E_UNSUPPORTED,
                       "booting from a volume is not supported by this host");
    if (!disks_prepare_dir(disks->agent->disks, disks->ctx, uuid, err))
        return false;
    if (fetch_plain(disks, "kernel_id", disks->spec->kernel_path, err) &&
        fetch_plain(disks, "ramdisk_id", disks->spec->ramdisk_path, err) &&
        with_config_drive(disks, &source, create_disks, err))
        return true;
    if (!disks_remove(disks->agent->disks, disks->ctx, uuid, &cleanup))
        dv_warning(disks->ctx, "instance directory not removed: %s", cleanup->message);
    return false;
}

bool boot_disks_adopt(const BootDisks *disks, GError **err)
{
    const char *id = ovo_str_or(disks->instance, "image_ref", NULL);
    bool may_fetch = disks->ctx->auth_token && id && *id;
    ImageFetch fetch = {disks, id};
    ImageSource source = {
        .id = id,
        .disk_format = ovo_dict_str(disks->instance, "system_metadata", "image_disk_format"),
        .fetch = fetch_image,
        .arg = &fetch,
    };

    return disks_adopt(disks->agent->disks, disks->ctx, disks->spec, may_fetch ? &source : NULL,
                       err) &&
           (!may_fetch || (fetch_missing(disks, "kernel_id", disks->spec->kernel_path, err) &&
                           fetch_missing(disks, "ramdisk_id", disks->spec->ramdisk_path, err)));
}

bool boot_disks_complete(const BootDisks *disks, GError **err)
{
    const char *id = ovo_str_or(disks->instance, "image_ref", NULL);
    ImageFetch fetch = {disks, id};
    ImageSource source = {.id = id, .fetch = fetch_image, .arg = &fetch};
    g_autofree char *root = g_build_filename(disks->spec->instance_dir, "disk", NULL);

    if (!dv_exists(root))
        return dv_fail(err, DV_E_INVALID_DISK, "the root disk did not arrive");
    return fetch_missing(disks, "kernel_id", disks->spec->kernel_path, err) &&
           fetch_missing(disks, "ramdisk_id", disks->spec->ramdisk_path, err) &&
           with_config_drive(disks, &source, create_disks, err);
}

bool boot_disks_rescue(const BootDisks *disks, const RescueImages *images, GError **err)
{
    ImageFetch fetch = {disks, images->id};
    ImageSource source = {
        .id = images->id,
        .disk_format = ovo_str_or(images->meta, "disk_format", NULL),
        .size_bytes = (uint64_t)MAX(ovo_i64_or(images->meta, "size", 0), 0),
        .fetch = fetch_image,
        .arg = &fetch,
    };

    return (!images->kernel_id ||
            fetch_file(disks, images->kernel_id, disks->spec->kernel_path, err)) &&
           (!images->ramdisk_id ||
            fetch_file(disks, images->ramdisk_id, disks->spec->ramdisk_path, err)) &&
           with_config_drive(disks, &source, create_disks, err);
}

/* *out stays all zero when the instance has no such image. */
static const ImageSource *source_of(const Ovo *instance, const char *field, ImageFetch *fetch,
                                    ImageSource *out)
{
    fetch->id = ovo_str_or(instance, field, NULL);
    if (!fetch->id || !*fetch->id)
        return NULL;
    *out = (ImageSource){.id = fetch->id, .fetch = fetch_image, .arg = fetch};
    return out;
}

bool boot_disks_receive(Agent *agent, const DvCtx *ctx, const Ovo *instance,
                        const DiskReceive *receive, GError **err)
{
    const BootDisks disks = {.agent = agent, .ctx = ctx, .instance = instance};
    ImageFetch fetches[3] = {{&disks, NULL}, {&disks, NULL}, {&disks, NULL}};
    ImageSource sources[3] = {0};
    DiskReceive whole = *receive;

    whole.image = source_of(instance, "image_ref", &fetches[0], &sources[0]);
    sources[0].disk_format = ovo_dict_str(instance, "system_metadata", "image_disk_format");
    whole.kernel = source_of(instance, "kernel_id", &fetches[1], &sources[1]);
    whole.ramdisk = source_of(instance, "ramdisk_id", &fetches[2], &sources[2]);
    if (whole.kernel)
        sources[1].disk_format = "raw";
    if (whole.ramdisk)
        sources[2].disk_format = "raw";
    return disks_receive(agent->disks, ctx, &whole, err);
}

bool boot_disks_arrived(Agent *agent, const DvCtx *ctx, const Ovo *instance,
                        const DiskArrival *arrival, GError **err)
{
    const BootDisks disks = {.agent = agent, .ctx = ctx, .instance = instance};
    const char *id = ovo_str_or(instance, "image_ref", NULL);
    ImageFetch fetch = {&disks, id};
    const ImageSource source = {
        .id = id,
        .disk_format = ovo_dict_str(instance, "system_metadata", "image_disk_format"),
        .fetch = fetch_image,
        .arg = &fetch,
    };
    DiskArrival whole = *arrival;

    whole.image = id && *id ? &source : NULL;
    return disks_arrived(agent->disks, ctx, &whole, err);
}
