/* Shared by the files of this folder: the Disks object, bases of the image cache, the tools.
 *
 * Threads    Disks is [const] after disks_new; what threads share is files, guarded by DiskLock. */
#pragma once

#include "virt/disk/disks.h"
#include "virt/disk/inspect.h"

#define DISK_DIR_MODE 0755
#define DISK_FILE_MODE 0644
#define DISK_ASIDE "_resize" /* behind the name of a directory that a resize has set aside */

typedef struct DiskBackend DiskBackend;

struct Disks {
    char *instances_path;
    char *base_path;  /* <instances_path>/_base */
    char *locks_path; /* <instances_path>/locks, where nova keeps the same locks */
    const DiskBackend *backend;
    bool force_raw_images, deep_inspection, preallocate;
    char **vmdk_allowed_types;
    char *config_drive_format;
    char *mkisofs_cmd;
    char *default_ephemeral_format; /* or NULL */
    char *snapshots_path;
    char *snapshot_format; /* NULL: as the disk is */
    bool snapshot_compression;
    bool remove_unused_bases;
    int64_t unused_age_s, unused_resized_age_s;
};

/* ---- locks between threads, processes and hosts that share the file system ---- */

typedef struct DiskLock {
    int fd;
} DiskLock;

typedef enum { DISK_LOCK_USE, DISK_LOCK_CHANGE } DiskLockKind; /* shared, exclusive */

bool disk_lock_take(DiskLock *lock, const Disks *disks, const char *name, DiskLockKind kind,
                    GError **err);
void disk_lock_drop(DiskLock *lock);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DiskLock, disk_lock_drop)

/* ---- cache.c ---- */

/* A base file, checked just now. */
typedef struct DiskBase {
    char *path;
    char *lock_name; /* its basename */
    DiskFormat format;
    uint64_t virtual_bytes;
    uint32_t cluster_bytes; /* of qcow2 */
} DiskBase;

void disk_base_done(DiskBase *base);
/* Notes that a base file is in use now. */
void disk_base_touch(const char *path);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DiskBase, disk_base_done)

/* nova's FlavorDiskSmallerThanImage: the flavor's bytes, the image's bytes. */
#define IMAGE_TOO_LARGE_TEXT                                                            \
    "Flavor's disk is too small for requested image. Flavor disk is %" G_GUINT64_FORMAT \
    " bytes, image is %" G_GUINT64_FORMAT " bytes."

/* The name of the base file of an image; caller frees. */
char *disk_base_name(const char *image_id);
/* image may be NULL: false. */
bool disk_is_base_of(const char *name, const ImageSource *image);
/* The image's base file, fetched when missing. One whose disk is larger than `max_bytes` (0: any)
 * is DV_E_IMAGE_TOO_LARGE, and is not even converted: a small file can describe a disk that fills
 * the host. */
bool disk_cache_image(const Disks *disks, const DvCtx *ctx, const ImageSource *image,
                      uint64_t max_bytes, DiskBase *out, GError **err);
/* The image as it is, without inspection (kernels are no disks), copied from the cache to `path`.
 */
bool disk_fetch_plain(const Disks *disks, const DvCtx *ctx, const ImageSource *image,
                      const char *path, GError **err);
/* A raw base file of `size_bytes` that `fill` formats when it is missing. */
typedef bool (*DiskFillFn)(const char *path, const DiskSpec *disk, GError **err);
bool disk_cache_generated(const Disks *disks, const char *name, const DiskSpec *disk,
                          DiskFillFn fill, DiskBase *out, GError **err);
/* The base file `name`; `copy`, which another host has under that name, becomes it when it is
 * missing. *out_theirs: the copy, checked, where this host's has another content; else `copy` is
 * gone. */
bool disk_cache_adopt(const Disks *disks, const char *name, const char *copy, DiskBase *out,
                      DiskBase *out_theirs, GError **err);

/* ---- shared.c ---- */

/* Marks: files that say of an instance's directory why it is there. To clear one that is not there:
 * success. */
bool disk_mark_set(const char *dir, const char *mark, GError **err);
bool disk_mark_clear(const char *dir, const char *mark, GError **err);
bool disk_mark_is_set(const char *dir, const char *mark);

/* ---- foreign.c ---- */

/* A guest whose disks come from another host. Everything borrowed. */
typedef struct DiskForeign {
    const Disks *disks;
    const DvCtx *ctx;
    const char *dir;          /* the guest's directory, where a copy of a base file may lie */
    const ImageSource *image; /* of the root disk's base; NULL: none */
    /* Makes the new file `here` of a file at the source; NULL: there is no way to. */
    bool (*fetch)(void *arg, const char *there, const char *here, GError **err);
    void *fetch_arg;
} DiskForeign;

/* A name that came from another host is one of a file. */
bool disk_base_name_ok(const char *name, GError **err);
/* This host's base file for a disk that stands on `name`, `there` at the source. *out_theirs: where
 * the source's has another content, a copy of it in `dir`, for the caller to remove. max_bytes as
 * for disk_cache_image. DV_E_MIGRATION_PRECHECK: it would have to be fetched. */
bool disk_foreign_base(const DiskForeign *foreign, const char *name, const char *there,
                       uint64_t max_bytes, DiskBase *out, DiskBase *out_theirs, GError **err);

/* ---- backends: qcow2.c, raw.c ---- */

struct DiskBackend {
    const char *name;
    /* Makes disk->path from the base, at least disk->size_bytes large, and fills format and
     * backing. */
    bool (*clone)(const Disks *disks, const DvCtx *ctx, const DiskBase *base, DiskSpec *disk,
                  GError **err);
    bool clones_generated; /* ephemeral and swap disks are clones of a cached base too */
};

extern const DiskBackend disk_backend_qcow2, disk_backend_raw;

/* A new file with the content of `source`, sharing blocks or keeping holes where possible. */
bool disk_copy_file(const char *source, const char *target, GError **err);

/* ---- tools.c ---- */

bool disk_tool_convert_raw(const char *source, const char *source_format, const char *target,
                           GError **err);
/* What disk_tool_convert writes. */
typedef struct DiskTarget {
    const char *path, *format; /* qemu-img's name */
    bool compressed;
} DiskTarget;
bool disk_tool_convert(const char *source, DiskFormat source_format, const DiskTarget *target,
                       GError **err);
/* An empty qcow2 file of that size, without a base. */
bool disk_tool_create_qcow2(const char *path, uint64_t size_bytes, GError **err);
bool disk_tool_create_overlay(const char *path, const DiskBase *base, uint64_t size_bytes,
                              GError **err);
bool disk_tool_resize(const char *path, DiskFormat format, uint64_t size_bytes, GError **err);
/* Puts the overlay on another base: of the same content, then only its header changes; or of
 * another, then what differs becomes the overlay's, and what the guest sees stays. */
bool disk_tool_rebase(const char *path, const DiskBase *base, bool same_content, GError **err);
/* fs: "ext4", "vfat" ..., or "swap"; label may be NULL. */
bool disk_tool_mkfs(const char *path, const char *fs, const char *label, GError **err);
bool disk_preallocate(const DvCtx *ctx, const char *path, uint64_t size_bytes, GError **err);

/* ---- disk_info.c ---- */

#define DISK_INFO_MAX_BYTES (64 * 1024)

/* The JSON object of disk.info as path -> format name; a missing file is an empty table. */
bool disk_info_read(const char *instance_dir, GHashTable **out, GError **err);
bool disk_info_write(const char *instance_dir, GHashTable *formats, GError **err);
bool disk_info_parse(const char *text, GHashTable **out, GError **err);
bool disk_format_parse(const char *name, DiskFormat *out);
const char *disk_format_name(DiskFormat format);

/* ---- disks.c ---- */

/* Fills the paths that are not set: nova's names in the instance directory. */
void disk_name_all(GuestSpec *spec, const char *dir);
/* "ext4": the disk's own, the option, else by the guest's os_type. Borrowed. */
const char *disk_ephemeral_fs(const Disks *disks, const DiskSpec *disk, const char *os_type);
bool disk_fill_ephemeral(const char *path, const DiskSpec *disk, GError **err); /* DiskFillFn */
bool disk_fill_swap(const char *path, const DiskSpec *disk, GError **err);      /* DiskFillFn */
bool disk_ensure_console_log(const char *dir, GError **err);

/* ---- adopt.c ---- */

/* Format and backing of a disk that is there, as disk.info (`formats`) and its own header say. */
bool disk_read_format(GHashTable *formats, DiskSpec *disk, GError **err);

/* ---- usage.c ---- */

/* "disk", "disk.eph0" ... but not disk.info. */
bool disk_is_disk_name(const char *name);
/* Fills the backing of a qcow2 disk from its header; DV_E_INVALID_DISK when it names none of ours.
 */
bool disk_backing_read(DiskSpec *disk, GError **err);

/* Size of the disk that the guest sees, by its own header. */
bool disk_virtual_size(const char *path, DiskFormat format, uint64_t *out, GError **err);

/* ---- move.c ---- */

/* What a disk is, by its own header, which must be of that format. */
bool disk_facts_read(const char *path, DiskFormat format, DiskFacts *out, GError **err);

/* ---- configdrive.c ---- */

bool configdrive_make(const Disks *disks, const char *instance_dir, const char *path,
                      const ConfigDriveFile *files, size_t file_count, GError **err);

/* True for names that may become a folder below instances_path. */
bool disk_uuid_ok(const char *uuid, GError **err);
