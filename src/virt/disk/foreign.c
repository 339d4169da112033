/* Base files of disks that come from another host.
 *
 * Below an overlay the guest must find what it found at the source. An image of glance is the same
 * on all hosts; a file system that a host made itself is not, nor can the image be had that a
 * shelved guest came back from. Such base files are copied. Where this host has another of that
 * name, the copy stays beside it until the disk has what differs between them. */
#include "virt/disk/disks_priv.h"

#include "util/log.h"

#include <unistd.h>

#define BASE_COPY "base.incoming"

bool disk_base_name_ok(const char *name, GError **err)
{
    g_autofree char *base = g_path_get_basename(name);

    if (*name && *name != '.' && *name != '/' && g_str_equal(base, name))
        return true;
    return dv_fail(err, DV_E_INVALID_DISK, "'%s' is no file name", name);
}

/* The source's base file lies in the guest's directory until it is known what it is good for. */
static bool copy_base(const DiskForeign *f, const char *name, const char *there, DiskBase *out,
                      DiskBase *out_theirs, GError **err)
{
    g_autofree char *copy = g_build_filename(f->dir, BASE_COPY, NULL);

    if (!f->fetch)
        return dv_fail(err, DV_E_MIGRATION_PRECHECK,
                       "its base file %s is not made of the instance's image", name);
    (void)unlink(copy); /* of an earlier try */
    dv_info(f->ctx, "base file %s is copied from the source", name);
    if (!f->fetch(f->fetch_arg, there, copy, err))
        return dv_within(err, "copying %s", there);
    if (disk_cache_adopt(f->disks, name, copy, out, out_theirs, err))
        return true;
    (void)unlink(copy);
    return false;
}

bool disk_foreign_base(const DiskForeign *f, const char *name, const char *there,
                       uint64_t max_bytes, DiskBase *out, DiskBase *out_theirs, GError **err)
{
    g_autoptr(GError) cause = NULL;

    if (!disk_base_name_ok(name, err))
        return false;
    if (!disk_is_base_of(name, f->image))
        return copy_base(f, name, there, out, out_theirs, err);
    if (disk_cache_image(f->disks, f->ctx, f->image, max_bytes, out, &cause))
        return true;
    /* An image that is gone from glance may still be the base of the source's disk. */
    if (dv_is(cause, DV_E_IMAGE_NOT_FOUND) && f->fetch) {
        dv_info(f->ctx, "%s", cause->message);
        return copy_base(f, name, there, out, out_theirs, err);
    }
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}
