/* The disks of an instance: files below <instances_path>/<uuid>, made from the image cache.
 *
 * Layout     nova's, so that either agent can take over: disk, disk.eph0.., disk.swap, disk.config,
 *            console.log, disk.info (JSON path -> format), _base/<sha1 of the image id>.
 * Errors     DV_E_IMAGE_UNACCEPTABLE, DV_E_IMAGE_TOO_LARGE, DV_E_FLAVOR_DISK_TOO_SMALL,
 * DV_E_NO_SPACE, DV_E_IO, DV_E_DISK_EXISTS, and what the fetcher returned. Threads    any; one
 * image is fetched once while others wait for it. Sources    nova virt/libvirt/imagebackend.py,
 * imagecache.py, virt/images.py (Zed). */
#pragma once

#include "util/ctx.h"
#include "util/error.h"
#include "virt/spec.h"

typedef struct Disks Disks;

typedef struct DisksConfig {
    const char *instances_path;
    const char *base_dir_name; /* "_base" */
    const char *images_type;   /* default, raw, qcow2, flat */
    bool use_cow_images, force_raw_images;
    bool deep_inspection; /* not [workarounds] disable_deep_image_inspection */
    const char *const *vmdk_allowed_types;
    const char *config_drive_format;      /* iso9660, vfat */
    const char *mkisofs_cmd;              /* genisoimage */
    const char *default_ephemeral_format; /* or NULL */
    const char *preallocate_images;       /* none, space */
} DisksConfig;

Disks *disks_new(const DisksConfig *config);
void disks_free(Disks *disks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Disks, disks_free)

/* Writes the image's data into fd (glance, without virt knowing it). */
typedef struct ImageSource {
    const char *id;
    const char *disk_format; /* as the image record says: raw, qcow2, vmdk, iso ... */
    uint64_t size_bytes;     /* of the record, 0 unknown */
    bool (*fetch)(void *arg, int fd, GError **err);
    void *arg;
} ImageSource;

/* A file for the config drive; shaped like objects/metadata.h's, without including it. */
typedef struct ConfigDriveFile {
    const char *path;
    const void *data;
    size_t length;
} ConfigDriveFile;

/* Makes the instance directory and console.log. DV_E_DISK_EXISTS when the directory already has
 * disks. */
bool disks_prepare_dir(Disks *disks, const DvCtx *ctx, const char *uuid, GError **err);
/* The cached base file of an image (fetched, inspected and, with force_raw_images, converted when
 * missing). */
bool disks_cache_image(Disks *disks, const DvCtx *ctx, const ImageSource *image, char **out_path,
                       uint64_t *out_virtual_bytes, GError **err);
/* Creates every disk of the spec (root from `image`, ephemeral, swap) and writes disk.info; fills
 * path, format, backing_path of each DiskSpec. The config drive is made from `files` when the spec
 * has that disk. Whatever it made is removed when it fails. */
bool disks_create(Disks *disks, const DvCtx *ctx, GuestSpec *spec, const ImageSource *image,
                  const ConfigDriveFile *files, size_t file_count, GError **err);
/* The disks of a guest that is defined anew: fills path, format and backing_path of each DiskSpec
 * from what is there. console.log and base files of the cache that are gone are made again, that of
 * the root disk only with `image` (may be NULL). DV_E_INVALID_DISK: a disk or its base is missing.
 */
bool disks_adopt(Disks *disks, const DvCtx *ctx, GuestSpec *spec, const ImageSource *image,
                 GError **err);
/* Fetches an image as a plain file of the instance directory: kernel, ramdisk. */
bool disks_fetch_plain(Disks *disks, const DvCtx *ctx, const ImageSource *image, const char *path,
                       GError **err);
/* Removes the instance directory (and <uuid>_resize, <uuid>_del). Absent is success. */
bool disks_remove(Disks *disks, const DvCtx *ctx, const char *uuid, GError **err);
/* uuids of the instance directories present. NULL-terminated, g_strfreev. */
bool disks_list(Disks *disks, char ***out, GError **err);
/* Sum of what the disks of these instances may still grow by (virtual - allocated), for
 * disk_available_least. NULL-terminated; instances without a directory count nothing. */
bool disks_overcommit_of(Disks *disks, const char *const *uuids, uint64_t *out, GError **err);
char *disks_instance_dir(Disks *disks, const char *uuid); /* caller frees */
