/* The image cache: <instances_path>/_base/<sha1 of the image id>, shared by all guests of an image.
 *
 * An image is fetched into <base>.part, inspected there, converted into <base>.converted when it
 * is no raw disk, and renamed when all is good: a base file is whole or not there. Each later use
 * inspects it again, since the rules may have become stricter since it was fetched. */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512
#define COMPARE_BUFFER ((size_t)1024 * 1024)

void disk_base_done(DiskBase *base)
{
    g_clear_pointer(&base->path, g_free);
    g_clear_pointer(&base->lock_name, g_free);
}

static void unlink_quietly(const char *path)
{
    (void)unlink(path); /* it may never have been made */
}

static bool open_new(const char *path, int *out_fd, GError **err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, DISK_FILE_MODE);

    if (fd < 0)
        return dv_fail_errno(err, errno, "creating", path);
    *out_fd = fd;
    return true;
}

static bool sync_and_rename(int fd, const char *from, const char *to, GError **err)
{
    if (fsync(fd) < 0)
        return dv_fail_errno(err, errno, "writing", from);
    if (rename(from, to) < 0)
        return dv_fail_errno(err, errno, "renaming", from);
    return true;
}

/* Without deep inspection the label is not held against the content, but a file that could make a
 * tool open others is refused all the same. */
static bool inspect_fetched(const Disks *disks, const ImageSource *image, int fd, ImageFacts *out,
                            GError **err)
{
    const char *const *types = (const char *const *)disks->vmdk_allowed_types;

    if (disks->deep_inspection)
        return image_inspect_as(fd, image->disk_format, types, out, err);
    return image_inspect(fd, out, err) && image_vmdk_allowed(out, types, err);
}

static bool is_plain(ImageFormat format)
{
    return format == IMAGE_RAW || format == IMAGE_ISO;
}

/* The converted disk is what the guest's author wrote into the image: it must not look like an
 * image once more, or a later tool that guesses would follow what it says. */
static bool convert(const ImageFacts *facts, const char *part, const char *base, GError **err)
{
    g_autofree char *converted = g_strdup_printf("%s.converted", base);
    dv_autofd int fd = -1;
    ImageFacts now;
    bool ok = false;

    if (!disk_tool_convert_raw(part, image_format_name(facts->format), converted, err))
        goto out;
    fd = open(converted, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        (void)dv_fail_errno(err, errno, "opening", converted);
        goto out;
    }
    if (!image_inspect(fd, &now, err))
        goto out;
    if (!is_plain(now.format)) {
        (void)dv_fail(err, DV_E_IMAGE_UNACCEPTABLE, "converted to raw, it now looks like %s",
                      image_format_name(now.format));
        goto out;
    }
    ok = sync_and_rename(fd, converted, base, err);
out:
    if (!ok)
        unlink_quietly(converted);
    unlink_quietly(part);
    return ok;
}

/* What the image is for: a guest's disk, or a file that QEMU reads as plain bytes (a kernel). */
typedef struct FetchUse {
    bool plain;
    uint64_t max_bytes; /* of the disk, 0: any */
} FetchUse;

static bool size_ok(const FetchUse *use, uint64_t virtual_bytes, GError **err)
{
    if (use->max_bytes == 0 || virtual_bytes <= use->max_bytes)
        return true;
    return dv_fail(err, DV_E_IMAGE_TOO_LARGE, IMAGE_TOO_LARGE_TEXT, use->max_bytes, virtual_bytes);
}

static bool fetch_to(const Disks *disks, const ImageSource *image, const FetchUse *use,
                     const char *part, const char *base, GError **err)
{
    dv_autofd int fd = -1;
    ImageFacts facts;

    if (!open_new(part, &fd, err) || !image->fetch(image->arg, fd, err))
        return false;
    if (use->plain)
        return sync_and_rename(fd, part, base, err);
    if (!inspect_fetched(disks, image, fd, &facts, err) || !size_ok(use, facts.virtual_bytes, err))
        return false;
    /* Whatever is neither raw nor qcow2 has no business below a guest. */
    if (is_plain(facts.format) || (facts.format == IMAGE_QCOW2 && !disks->force_raw_images))
        return sync_and_rename(fd, part, base, err);
    return convert(&facts, part, base, err);
}

/* Whom a refused image concerns reads nova's words; any other failure is not the image's. */
static bool within_image(GError **err, const char *id)
{
    bool refused = err && dv_is(*err, DV_E_IMAGE_UNACCEPTABLE);

    return dv_within(err, refused ? "Image %s is unacceptable" : "image %s", id);
}

static bool fetch_missing(const Disks *disks, const DvCtx *ctx, const ImageSource *image,
                          const FetchUse *use, const DiskBase *base, GError **err)
{
    g_autofree char *part = g_strdup_printf("%s.part", base->path);
    g_auto(DiskLock) lock = {-1};

    if (!dv_mkdirs(disks->base_path, DISK_DIR_MODE, err) ||
        !disk_lock_take(&lock, disks, base->lock_name, DISK_LOCK_CHANGE, err))
        return false;
    if (dv_exists(base->path)) /* another boot was quicker */
        return true;
    dv_debug(ctx, "fetching image %s into %s", image->id, base->path);
    if (!fetch_to(disks, image, use, part, base->path, err)) {
        unlink_quietly(part);
        return within_image(err, image->id);
    }
    return true;
}

/* Reads what the base file is; cached files are plain or qcow2, whatever they were before. */
static bool base_check(DiskBase *base, const char *disk_format, GError **err)
{
    dv_autofd int fd = open(base->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ImageFacts facts;

    if (fd < 0)
        return dv_fail_errno(err, errno, "opening", base->path);
    if (!image_inspect(fd, &facts, err))
        return dv_within(err, "%s", base->path);
    if (facts.format == IMAGE_QCOW2 && disk_format && !g_str_equal(disk_format, "qcow2"))
        return dv_fail(err, DV_E_IMAGE_UNACCEPTABLE, "%s: it is qcow2, not %s", base->path,
                       disk_format);
    if (!is_plain(facts.format) && facts.format != IMAGE_QCOW2)
        return dv_fail(err, DV_E_IMAGE_UNACCEPTABLE, "%s: a base file must not be %s", base->path,
                       image_format_name(facts.format));
    base->format = facts.format == IMAGE_QCOW2 ? DISK_FORMAT_QCOW2 : DISK_FORMAT_RAW;
    base->cluster_bytes = facts.cluster_bytes;
    base->virtual_bytes = (facts.virtual_bytes + SECTOR - 1) / SECTOR * SECTOR;
    return true;
}

/* The age of a base file tells the cache's cleaning that it is in use. On shared storage it may
 * belong to another host's user, which is no reason to fail. */
void disk_base_touch(const char *path)
{
    (void)utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
}

char *disk_base_name(const char *image_id)
{
    return g_compute_checksum_for_string(G_CHECKSUM_SHA1, image_id, -1);
}

bool disk_is_base_of(const char *name, const ImageSource *image)
{
    g_autofree char *base = image && image->id ? disk_base_name(image->id) : NULL;

    return base && g_strcmp0(name, base) == 0;
}

static bool base_of(const Disks *disks, const DvCtx *ctx, const ImageSource *image,
                    const FetchUse *use, DiskBase *base, GError **err)
{
    if (!image || !image->id || !*image->id)
        return dv_fail(err, DV_E_BAD_INPUT, "a disk without an image");
    base->lock_name = disk_base_name(image->id);
    base->path = g_build_filename(disks->base_path, base->lock_name, NULL);
    return dv_exists(base->path) || fetch_missing(disks, ctx, image, use, base, err);
}

bool disk_fetch_plain(const Disks *disks, const DvCtx *ctx, const ImageSource *image,
                      const char *path, GError **err)
{
    const FetchUse use = {.plain = true};
    g_auto(DiskLock) lock = {-1};
    g_auto(DiskBase) base = {0};

    if (!base_of(disks, ctx, image, &use, &base, err) ||
        !disk_lock_take(&lock, disks, base.lock_name, DISK_LOCK_USE, err))
        return false;
    disk_base_touch(base.path);
    if (dv_exists(path) || disk_copy_file(base.path, path, err))
        return true;
    unlink_quietly(path);
    return false;
}

bool disk_cache_image(const Disks *disks, const DvCtx *ctx, const ImageSource *image,
                      uint64_t max_bytes, DiskBase *out, GError **err)
{
    const FetchUse use = {.max_bytes = max_bytes};
    g_auto(DiskBase) base = {0};

    if (!base_of(disks, ctx, image, &use, &base, err))
        return false;
    if (!base_check(&base, disks->deep_inspection ? image->disk_format : NULL, err) ||
        !size_ok(&use, base.virtual_bytes, err))
        return within_image(err, image->id);
    disk_base_touch(base.path);
    *out = base;
    base = (DiskBase){0};
    return true;
}

static bool generate(const char *path, const DiskSpec *disk, DiskFillFn fill, GError **err)
{
    g_autofree char *part = g_strdup_printf("%s.part", path);
    dv_autofd int fd = -1;

    if (!open_new(part, &fd, err))
        return false;
    if (ftruncate(fd, (off_t)disk->size_bytes) < 0)
        (void)dv_fail_errno(err, errno, "sizing", part);
    else if (fill(part, disk, err) && sync_and_rename(fd, part, path, err))
        return true;
    unlink_quietly(part);
    return false;
}

bool disk_cache_generated(const Disks *disks, const char *name, const DiskSpec *disk,
                          DiskFillFn fill, DiskBase *out, GError **err)
{
    g_auto(DiskBase) base = {.format = DISK_FORMAT_RAW, .virtual_bytes = disk->size_bytes};

    base.lock_name = g_strdup(name);
    base.path = g_build_filename(disks->base_path, name, NULL);
    if (!dv_exists(base.path)) {
        g_auto(DiskLock) lock = {-1};

        if (!dv_mkdirs(disks->base_path, DISK_DIR_MODE, err) ||
            !disk_lock_take(&lock, disks, name, DISK_LOCK_CHANGE, err))
            return false;
        if (!dv_exists(base.path) && !generate(base.path, disk, fill, err))
            return dv_within(err, "making %s", base.path);
    }
    disk_base_touch(base.path);
    *out = base;
    base = (DiskBase){0};
    return true;
}

static bool same_content(int a, int b, bool *out, GError **err)
{
    g_autofree char *left = g_malloc(COMPARE_BUFFER), *right = g_malloc(COMPARE_BUFFER);
    off_t at = 0;

    *out = false;
    for (;;) {
        ssize_t got = pread(a, left, COMPARE_BUFFER, at);
        ssize_t other = got < 0 ? got : pread(b, right, COMPARE_BUFFER, at);

        if (got < 0 || other < 0)
            return dv_fail(err, DV_E_IO, "comparing base files: %s", g_strerror(errno));
        if (got != other || memcmp(left, right, (size_t)got) != 0)
            return true;
        if (got == 0)
            break;
        at += got;
    }
    *out = true;
    return true;
}

/* Under the base's lock. */
static bool keep_or_compare(const DiskBase *base, const char *copy, DiskBase *out_theirs,
                            GError **err)
{
    dv_autofd int fd = open(copy, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), there = -1;
    g_auto(DiskBase) theirs = {.path = g_strdup(copy)};
    bool same = false;

    /* What is below a guest must be a disk, whoever sent it. */
    if (fd < 0)
        return dv_fail_errno(err, errno, "opening", copy);
    if (!base_check(&theirs, NULL, err))
        return false;
    there = open(base->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (there < 0)
        return errno == ENOENT ? sync_and_rename(fd, copy, base->path, err)
                               : dv_fail_errno(err, errno, "opening", base->path);
    if (!same_content(fd, there, &same, err))
        return false;
    if (same) {
        unlink_quietly(copy);
        return true;
    }
    *out_theirs = theirs;
    theirs = (DiskBase){0};
    return true;
}

bool disk_cache_adopt(const Disks *disks, const char *name, const char *copy, DiskBase *out,
                      DiskBase *out_theirs, GError **err)
{
    g_auto(DiskBase) base = {0};
    g_auto(DiskLock) lock = {-1};

    base.lock_name = g_strdup(name);
    base.path = g_build_filename(disks->base_path, name, NULL);
    if (!dv_mkdirs(disks->base_path, DISK_DIR_MODE, err) ||
        !disk_lock_take(&lock, disks, name, DISK_LOCK_CHANGE, err) ||
        !keep_or_compare(&base, copy, out_theirs, err) || !base_check(&base, NULL, err))
        return dv_within(err, "base file %s", name);
    disk_base_touch(base.path);
    *out = base;
    base = (DiskBase){0};
    return true;
}
