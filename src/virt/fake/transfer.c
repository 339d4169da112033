/* Files between hypervisors in memory. The files are real; what stands for the other host is
 * another fake, with its instances in a folder of its own. */
#include "virt/fake/fake_priv.h"

#include "util/fs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A host that tests have named; under the lock of the fake that knows it. */
struct FakeHost {
    char *uri;
    FakeVirt *virt;
    char *here, *there; /* the same folder as both sides name it */
    uint64_t free_bytes;
};

static void fake_host_free(gpointer data)
{
    FakeHost *host = data;

    g_free(host->uri);
    g_free(host->here);
    g_free(host->there);
    g_free(host);
}

GHashTable *fake_hosts_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, NULL, fake_host_free);
}

/* What a transfer is about, found under the lock and used without it. */
typedef struct FakeWay {
    FakeVirt *other;
    char *folder; /* over there, as it is reached from here */
    uint64_t free_bytes;
} FakeWay;

static void fake_way_done(FakeWay *way)
{
    g_free(way->folder);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FakeWay, fake_way_done)

static char *map_folder(const FakeHost *host, const char *folder)
{
    size_t length = strlen(host->here);

    return strncmp(folder, host->here, length) == 0
               ? g_strconcat(host->there, folder + length, NULL)
               : g_strdup(folder);
}

/* The other side must be there, and its libvirt, too. */
static bool is_reached(FakeVirt *other)
{
    bool connected;

    dv_lock(&other->lock);
    connected = other->connected;
    dv_unlock(&other->lock);
    return connected;
}

static bool find_way(FakeVirt *fake, const char *op, const VirtTransfer *what, FakeWay *out,
                     GError **err) DV_NO_ANALYSIS
{
    const FakeHost *host;

    if (!fake_enter(fake, op, err))
        return false;
    host = g_hash_table_lookup(fake->hosts, what->uri);
    if (host)
        *out = (FakeWay){host->virt, map_folder(host, what->folder), host->free_bytes};
    fake_leave(fake);
    if (out->other && is_reached(out->other))
        return true;
    return dv_fail(err, DV_E_UNAVAILABLE, "libvirt at %s: fake: no such host", what->uri);
}

static bool is_idle(const FakeWay *way, const char *uuid, GError **err)
{
    const FakeGuest *guest;
    bool active;

    dv_lock(&way->other->lock);
    guest = fake_find(way->other, uuid);
    active = guest && fake_is_active(guest);
    dv_unlock(&way->other->lock);
    return !active || dv_fail(err, DV_E_INSTANCE_EXISTS, "guest %s runs there", uuid);
}

static bool copy_file(const VirtTransfer *what, const char *from, const char *to, GError **err)
{
    g_autofree char *data = NULL;
    size_t length = 0;

    if (what->stop && what->stop(what->stop_arg))
        return dv_fail(err, DV_E_CANCELLED, "the transfer of %s was stopped", from);
    return dv_read_file(from, (size_t)1 << 30, &data, &length, err) &&
           dv_write_file(to, data, length, 0644, err);
}

bool fake_send_files(void *self, const DvCtx *ctx G_GNUC_UNUSED, const VirtTransfer *what,
                     GError **err)
{
    g_auto(FakeWay) way = {0};
    bool made;
    bool ok;
    size_t i;

    if (!find_way(self, "send_files", what, &way, err) || !is_idle(&way, what->uuid, err))
        return false;
    if (what->need_bytes > way.free_bytes)
        return dv_fail(err, DV_E_NO_SPACE, "fake: no room for the disks");
    made = mkdir(way.folder, 0755) == 0; /* as libvirt's pools: no folders above it */
    ok = made || errno == EEXIST || dv_fail_errno(err, errno, "making", way.folder);
    for (i = 0; ok && i < what->file_count; i++) {
        g_autofree char *to = g_build_filename(way.folder, what->files[i].name, NULL);

        ok = copy_file(what, what->files[i].path, to, err);
    }
    while (!ok && i-- > 0) {
        g_autofree char *to = g_build_filename(way.folder, what->files[i].name, NULL);

        (void)unlink(to);
    }
    if (!ok && made)
        (void)rmdir(way.folder);
    return ok;
}

bool fake_remove_files(void *self, const DvCtx *ctx G_GNUC_UNUSED, const VirtTransfer *what,
                       GError **err)
{
    g_auto(FakeWay) way = {0};

    if (!find_way(self, "remove_files", what, &way, err) || !is_idle(&way, what->uuid, err))
        return false;
    for (size_t i = 0; i < what->file_count; i++) {
        g_autofree char *path = g_build_filename(way.folder, what->files[i].name, NULL);

        if (unlink(path) < 0 && errno != ENOENT)
            return dv_fail_errno(err, errno, "removing", path);
    }
    (void)rmdir(way.folder);
    return true;
}

static bool fetch_file(const VirtTransfer *what, const char *folder, const VirtFile *file,
                       GError **err)
{
    g_autofree char *from = g_build_filename(folder, file->name, NULL);

    return !dv_exists(file->path) ? copy_file(what, from, file->path, err)
                                  : dv_fail(err, DV_E_IO, "%s is there already", file->path);
}

bool fake_fetch_files(void *self, const DvCtx *ctx G_GNUC_UNUSED, const VirtTransfer *what,
                      GError **err)
{
    g_auto(FakeWay) way = {0};
    size_t made = 0;

    if (!find_way(self, "fetch_files", what, &way, err))
        return false;
    while (made < what->file_count && fetch_file(what, way.folder, &what->files[made], err))
        made++;
    if (made == what->file_count)
        return true;
    while (made-- > 0)
        (void)unlink(what->files[made].path);
    return false;
}

/* --- steering -------------------------------------------------------------------------------- */

void fake_virt_add_host(FakeVirt *fake, const char *uri, FakeVirt *other, const char *here,
                        const char *there)
{
    FakeHost *host = g_new0(FakeHost, 1);

    *host = (FakeHost){g_strdup(uri), other, g_strdup(here), g_strdup(there), UINT64_MAX};
    dv_lock(&fake->lock);
    g_hash_table_replace(fake->hosts, host->uri, host);
    dv_unlock(&fake->lock);
}

void fake_virt_set_room(FakeVirt *fake, const char *uri, uint64_t free_bytes)
{
    FakeHost *host;

    dv_lock(&fake->lock);
    host = g_hash_table_lookup(fake->hosts, uri);
    if (host)
        host->free_bytes = free_bytes;
    dv_unlock(&fake->lock);
}
