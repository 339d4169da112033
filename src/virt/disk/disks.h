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
#include "virt/migration.h"
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
    const char *snapshots_directory;      /* NULL: <instances_path>/snapshots */
    const char *snapshot_image_format;    /* raw, qcow2, vmdk, vdi; NULL: as the disk is */
    bool snapshot_compression;            /* of qcow2 snapshots */
    bool remove_unused_bases;             /* of the image cache, when they are as old as this: */
    int64_t unused_age_s, unused_resized_age_s;
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
/* Makes the spec's config drive anew, for a guest that does not run; the disk must be there. */
bool disks_rewrite_config(Disks *disks, const GuestSpec *spec, const ConfigDriveFile *files,
                          size_t file_count, GError **err);
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
/* uuids of the directories that a resize has set aside, by whichever host that shares this folder.
 * NULL-terminated, g_strfreev. */
bool disks_list_aside(Disks *disks, char ***out, GError **err);
/* Sum of what the disks of these instances may still grow by (virtual - allocated), for
 * disk_available_least. NULL-terminated; instances without a directory count nothing. */
bool disks_overcommit_of(Disks *disks, const char *const *uuids, uint64_t *out, GError **err);
char *disks_instance_dir(Disks *disks, const char *uuid); /* caller frees */

/* ---- directories that hosts may share (shared.c) ---- */

/* What this host sees of an instance's directory: for one that was never here, whether it lies on
 * storage that both share. */
typedef enum {
    DISKS_ABSENT,  /* no directory, or not writable */
    DISKS_EMPTY,   /* a directory without a root disk */
    DISKS_PRESENT, /* its root disk is there */
} DisksPresence;
DisksPresence disks_presence(Disks *disks, const char *uuid);
/* Disks that are made here for an instance of another host carry a mark until the instance is here:
 * what a crash leaves of them is told from disks on shared storage, which must stay. */
bool disks_mark_made(Disks *disks, const char *uuid, GError **err);
void disks_unmark_made(Disks *disks, const DvCtx *ctx, const char *uuid);
bool disks_are_marked(Disks *disks, const char *uuid);

/* ---- rescue (rescue.c) ---- */

/* Keeps the description of the guest that is to come back: unrescue.xml, which nova reads, too. */
bool disks_keep_guest(Disks *disks, const char *uuid, const char *xml, GError **err);
/* *out NULL when none was kept. Caller frees. */
bool disks_kept_guest(Disks *disks, const char *uuid, char **out, GError **err);
/* Removes what a rescue brought: every *.rescue file and, with `guest`, the kept description. */
bool disks_end_rescue(Disks *disks, const char *uuid, bool guest, GError **err);

/* ---- resize and cold migration (move.c); the guest is off ---- */

/* One disk as it is before a move. */
typedef struct DiskFacts {
    char *path; /* in the instance directory */
    DiskFormat format;
    char *backing_file; /* its name without a folder, or NULL */
    uint64_t virtual_bytes, allocated_bytes;
} DiskFacts;
void disk_facts_free(DiskFacts *facts);

/* The disks that disk.info names, GPtrArray of DiskFacts in the order of their names. */
bool disks_facts(Disks *disks, const char *uuid, GPtrArray **out, GError **err);
/* The same of what is set aside, as it was before. */
bool disks_facts_aside(Disks *disks, const char *uuid, GPtrArray **out, GError **err);
/* Source: renames the instance directory to <uuid>_resize, and puts copies of what moves along into
 * a new one: disks, config drive, kernel, ramdisk, disk.info; not swap, which is made anew. When it
 * fails, the directory is as it was. */
bool disks_set_aside(Disks *disks, const DvCtx *ctx, const char *uuid, GError **err);
/* Source: the same where the other host has a folder of its own: no copies are made here. */
bool disks_rename_aside(Disks *disks, const char *uuid, GError **err);
/* Source: names of the files set aside that move along, in order, those in folders (of a TPM) with
 * them. NULL-terminated, g_strfreev. */
bool disks_names_aside(Disks *disks, const char *uuid, char ***out, GError **err);
char *disks_aside_dir(Disks *disks, const char *uuid); /* caller frees */
/* Where the state of the guest's TPM lies on its way, beside the disks; caller frees. */
char *disks_tpm_dir(Disks *disks, const char *uuid);
/* Source: disks set aside that stand on a base which the other host cannot have as it is here get a
 * whole copy: all but those on the base of `image_id` (NULL: on none). The base of an ephemeral
 * disk is a file system that each host makes for itself. `facts` (DiskFacts) of these lose their
 * backing file. */
bool disks_flatten_aside(Disks *disks, const DvCtx *ctx, const char *uuid, const char *image_id,
                         GPtrArray *facts, GError **err);
/* The file to send for a name of disks_names_aside; caller frees. */
char *disks_aside_file(Disks *disks, const char *uuid, const char *name);
/* The whole copies go. */
void disks_unflatten_aside(Disks *disks, const DvCtx *ctx, const char *uuid);
/* Source: the directory set aside takes its place again, over what was made there meanwhile. None
 * set aside: success, and nothing happens. */
bool disks_take_back(Disks *disks, const DvCtx *ctx, const char *uuid, GError **err);
/* Source: the directory set aside goes. Absent: success. */
bool disks_forget_aside(Disks *disks, const DvCtx *ctx, const char *uuid, GError **err);
/* Destination: disks of the spec (paths and formats filled by disks_create) that are smaller than
 * their size_bytes grow to it; none shrinks. Swap and config drives are left alone. */
bool disks_grow(Disks *disks, const DvCtx *ctx, const GuestSpec *spec, GError **err);
/* What the destination knows of disks that have been sent. Everything borrowed. */
typedef struct DiskArrival {
    const char *uuid;
    const GPtrArray *told;    /* DiskFacts as the source told; of their paths, the names count */
    bool shared;              /* base files are on shared storage, too */
    const ImageSource *image; /* of the root disk's base; NULL: none */
    /* Makes the new file `here` of a file at the source: base files that are the source's own, or
     * whose image is gone. May be NULL. */
    bool (*fetch)(void *arg, const char *there, const char *here, GError **err);
    void *fetch_arg;
} DiskArrival;

/* Destination: what has come is put right. disk.info names this host's paths, with the formats of
 * `told` where it had none. Overlays stand on the same bases as at the source, in this host's
 * cache: where a base here has its name but another content, the disk gets what differs. Raw disks
 * become overlays' format where the host makes qcow2 disks, as whoever takes them for nova's does
 * not ask disk.info. DV_E_MIGRATION_PRECHECK: a base cannot be had. */
bool disks_arrived(Disks *disks, const DvCtx *ctx, const DiskArrival *arrival, GError **err);
/* Destination: the instance directory goes, and nothing else. Absent: success. */
bool disks_drop(Disks *disks, const char *uuid, GError **err);
/* An empty file of the moment in the instance directory, for asking another host whether it sees
 * it; the caller removes and frees it. *out NULL: there is no directory. */
bool disks_probe(Disks *disks, const char *uuid, char **out, GError **err);

/* ---- live migration (receive.c); the guest runs ---- */

/* Source: what the files of a running guest's disks are, in the order of its definition. Disks that
 * are no files, and those whose target is in `volumes` (NULL-terminated, may be NULL), are passed
 * over. GPtrArray of DiskFacts. */
bool disks_facts_of(const GPtrArray *guest_disks, const char *const *volumes, GPtrArray **out,
                    GError **err);

/* What the destination is told. Everything borrowed. */
typedef struct DiskReceive {
    const char *uuid;
    const GPtrArray *disks; /* DiskFacts as they are at the source; of their paths, the names count.
                               NULL: none */
    bool shared; /* the disks are on shared storage, or there are none: only the rest is made */
    const ImageSource *image, *kernel, *ramdisk; /* NULL: none */
    /* Makes the new file `here` of a file at the source: a config drive that the guest cannot write
     * (and so libvirt does not copy), and base files that no image is the origin of. NULL: a config
     * drive is left empty for libvirt to fill, and such base files are DV_E_MIGRATION_PRECHECK. */
    bool (*fetch)(void *arg, const char *there, const char *here, GError **err);
    void *fetch_arg;
} DiskReceive;

/* Destination: makes the instance directory, which must not be there (DV_E_DISK_EXISTS), with
 * disk.info, console.log, kernel and ramdisk, and a disk of the same size and format for each that
 * is to be copied: empty, on the same base, which comes from the image and never from a disk. What
 * it made is removed when it fails. */
bool disks_receive(Disks *disks, const DvCtx *ctx, const DiskReceive *receive, GError **err);
/* Whether the instance directory was made by disks_receive, and the guest has not arrived. */
bool disks_is_receiving(Disks *disks, const char *uuid);
/* The guest has arrived: its directory is one like any other. Absent: success. */
bool disks_receive_done(Disks *disks, const char *uuid, GError **err);
/* The guest stays away: removes the directory. Only one of disks_is_receiving is touched; nothing
 * to remove: success. No guest of that uuid may run here. */
bool disks_receive_undo(Disks *disks, const DvCtx *ctx, const char *uuid, GError **err);

/* ---- snapshots (snapshot.c) ---- */

/* A snapshot of an instance's root disk on its way to glance. Paths lie in a folder of its own. */
typedef struct DiskSnapshot {
    char *disk_path;          /* the root disk */
    DiskFormat format;        /* of it */
    char *folder;             /* below snapshots_directory */
    char *delta_path;         /* qcow2: where a running guest's writes are copied to */
    char *image_path;         /* what is uploaded */
    const char *image_format; /* its disk_format for glance, static */
} DiskSnapshot;

/* Finds the root disk and makes the folder. DV_E_INVALID_DISK: disk.info does not say what the disk
 * is; DV_E_NOT_FOUND: there is none. */
bool disks_snapshot_open(Disks *disks, const char *uuid, DiskSnapshot *out, GError **err);
/* Makes the delta: as large as the disk, on the same base. */
bool disks_snapshot_delta(const DiskSnapshot *snapshot, GError **err);
/* Writes the image: all of the disk without a base, from the delta or from the disk itself, which
 * nobody may write to meanwhile. The delta is removed. */
bool disks_snapshot_extract(Disks *disks, const DiskSnapshot *snapshot, bool from_delta,
                            GError **err);
/* Removes what a crash has left of snapshots of this instance; failures are logged. */
void disks_snapshot_forget(Disks *disks, const DvCtx *ctx, const char *uuid);
/* Removes the folder and frees what the struct holds; failures are logged. */
void disks_snapshot_close(const DvCtx *ctx, DiskSnapshot *snapshot);

/* ---- the image cache's upkeep (cache_clean.c, registry.c) ---- */

/* Whether the image is in the cache; then it counts as used just now. */
bool disks_cache_has(Disks *disks, const char *image_id);

typedef struct CacheCleaning {
    unsigned in_use, unused, removed; /* base files */
} CacheCleaning;

/* One pass over the base files: those that an image id of `images` (NULL-terminated) names or that
 * a disk below instances_path is made on are marked as used now; others are removed when the
 * options say so and they are old enough. When a disk cannot be read, nothing is removed. */
bool disks_cache_clean(Disks *disks, const DvCtx *ctx, const char *const *images,
                       CacheCleaning *out, GError **err);
/* Rewrites <instances_path>/compute_nodes, in which all hosts that share this folder note
 * themselves, under the lock that they all take. `edit` gets its text (NULL: there is none) and
 * returns the new one, which is freed here. */
bool disks_registry_edit(Disks *disks, char *(*edit)(void *arg, const char *text), void *arg,
                         GError **err);
