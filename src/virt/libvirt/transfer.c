/* Files to and from other hosts, through the libvirt that runs there; see virt/transfer.h.
 *
 * A file goes as a raw volume of a pool on its folder, so that its bytes arrive as they are
 * whatever they mean, over a stream that knows holes. libvirtd makes and owns what arrives: volumes
 * are given to the owner of the folder, so that either kind of agent can work with them there. */
#include "virt/libvirt/libvirt_priv.h"

#include "util/fs.h"
#include "util/log.h"
#include "virt/libvirt/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <libvirt/virterror.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE "0644"

typedef struct Transfer {
    const DvCtx *ctx;
    const VirtTransfer *what;
    virConnectPtr conn;
    char *name; /* of our pool on the folder */
    RemotePool pool;
    int64_t owner, group;
    size_t done; /* files that this call may have made */
} Transfer;

/* One file on its way, either way. */
typedef struct Flow {
    const VirtTransfer *what;
    int fd;
    off_t size;
    bool stopped;
    int error; /* errno of our own side */
} Flow;

static void transfer_done(Transfer *transfer)
{
    remote_pool_close(&transfer->pool);
    if (transfer->conn)
        virConnectClose(transfer->conn);
    g_free(transfer->name);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Transfer, transfer_done)

static bool is_stopped(Flow *flow)
{
    flow->stopped = flow->stopped || (flow->what->stop && flow->what->stop(flow->what->stop_arg));
    return flow->stopped;
}

static bool fail_flow(const Flow *flow, const char *name, GError **err)
{
    if (flow->stopped)
        return dv_fail(err, DV_E_CANCELLED, "the transfer of %s was stopped", name);
    if (flow->error)
        return dv_fail_errno(err, flow->error, "transferring", name);
    return remote_conn_fail(err, name);
}

/* Pools of two purposes may be on their way for one instance: its disks, and their base files. */
static char *pool_name(const VirtTransfer *what)
{
    g_autofree char *base = g_path_get_basename(what->folder);

    return strcmp(base, what->uuid) == 0 ? g_strdup_printf("drover-%s", what->uuid)
                                         : g_strdup_printf("drover-%s-%s", what->uuid, base);
}

static bool begin(Transfer *transfer, bool make, GError **err)
{
    return remote_pool_open(transfer->conn, transfer->name, transfer->what->folder, make,
                            &transfer->pool, err);
}

static bool connect_to(Transfer *transfer, GError **err)
{
    transfer->name = pool_name(transfer->what);
    return remote_open(transfer->what->uri, &transfer->conn, err);
}

typedef bool (*StepFn)(Transfer *transfer, const VirtFile *file, GError **err);

typedef struct Step {
    Transfer *transfer;
    const VirtFile *file;
    StepFn fn;
} Step;

static bool run_step(const RemotePool *pool G_GNUC_UNUSED, void *arg, GError **err)
{
    const Step *step = arg;

    return step->fn(step->transfer, step->file, err);
}

/* With the pool that there is, or another one. */
static bool with_pool(Transfer *transfer, StepFn fn, const VirtFile *file, GError **err)
{
    Step step = {transfer, file, fn};

    return remote_pool_retry(transfer->conn, transfer->name, transfer->what->folder, run_step,
                             &step, &transfer->pool, err);
}

/* ---- sending ---- */

static int read_data(virStreamPtr stream G_GNUC_UNUSED, char *data, size_t length, void *arg)
{
    Flow *flow = arg;
    ssize_t got;

    if (is_stopped(flow))
        return -1;
    do
        got = read(flow->fd, data, length);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        flow->error = errno;
    return (int)got;
}

/* Where the data or the hole that begins here ends. */
static int measure(virStreamPtr stream G_GNUC_UNUSED, int *in_data, long long *length, void *arg)
{
    Flow *flow = arg;
    off_t at = lseek(flow->fd, 0, SEEK_CUR);
    off_t data = at < 0 ? -1 : lseek(flow->fd, at, SEEK_DATA);
    off_t end;

    if (at < 0 || (data < 0 && errno != ENXIO)) {
        flow->error = errno;
        return -1;
    }
    *in_data = data == at;
    end = data < 0 ? flow->size : data;
    if (*in_data)
        end = lseek(flow->fd, at, SEEK_HOLE);
    if (end < 0 || lseek(flow->fd, at, SEEK_SET) < 0) {
        flow->error = errno;
        return -1;
    }
    *length = MAX(end - at, 0);
    return 0;
}

static int skip_hole(virStreamPtr stream G_GNUC_UNUSED, long long length, void *arg)
{
    Flow *flow = arg;

    if (lseek(flow->fd, (off_t)length, SEEK_CUR) >= 0)
        return 0;
    flow->error = errno;
    return -1;
}

static char *volume_xml(const Transfer *transfer, const char *name, off_t size)
{
    xmlNode *volume = NULL;
    g_autoptr(xmlDoc) doc = xml_new("volume", &volume);
    xmlNode *target;

    xml_add_text(volume, "name", name);
    xml_add_u64(volume, "capacity", (uint64_t)size);
    xml_add_u64(volume, "allocation", 0);
    target = xml_add(volume, "target");
    xml_attr(xml_add(target, "format"), "type", "raw");
    remote_add_permissions(target, FILE_MODE, transfer->owner, transfer->group);
    return xml_text(doc);
}

static bool delete_volume(Transfer *transfer, const VirtFile *file, GError **err)
{
    const char *name = file->name;
    g_auto(virStorageVolPtr) volume = virStorageVolLookupByName(transfer->pool.pool, name);

    if (!volume)
        return virt_conn_last_code() == VIR_ERR_NO_STORAGE_VOL || remote_conn_fail(err, name);
    return virStorageVolDelete(volume, 0) == 0 || remote_conn_fail(err, name);
}

static bool upload(Transfer *transfer, virStorageVolPtr volume, Flow *flow, const char *name,
                   GError **err)
{
    g_auto(virStreamPtr) stream = virStreamNew(transfer->conn, 0);

    if (!stream || virStorageVolUpload(volume, stream, 0, (unsigned long long)flow->size,
                                       VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM) < 0)
        return remote_conn_fail(err, name);
    if (virStreamSparseSendAll(stream, read_data, measure, skip_hole, flow) < 0)
        return fail_flow(flow, name, err);
    return virStreamFinish(stream) == 0 || remote_conn_fail(err, name);
}

static bool send_file(Transfer *transfer, const VirtFile *file, GError **err)
{
    dv_autofd int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    g_auto(virStorageVolPtr) volume = NULL;
    g_autofree char *xml = NULL;
    struct stat st;
    Flow flow = {.what = transfer->what, .fd = fd};

    if (fd < 0 || fstat(fd, &st) < 0)
        return dv_fail_errno(err, errno, "opening", file->path);
    flow.size = st.st_size;
    xml = volume_xml(transfer, file->name, st.st_size);
    if (!delete_volume(transfer, file, err))
        return false;
    volume = virStorageVolCreateXML(transfer->pool.pool, xml, 0);
    if (!volume)
        return remote_conn_fail(err, file->name);
    return st.st_size == 0 || upload(transfer, volume, &flow, file->name, err);
}

static void take_back(Transfer *transfer)
{
    bool made_folder = transfer->pool.made_folder;
    g_autoptr(GError) left = NULL;

    for (size_t i = 0; i < transfer->done; i++)
        if (!with_pool(transfer, delete_volume, &transfer->what->files[i], &left))
            break;
    remote_pool_close(&transfer->pool);
    if (left ||
        (made_folder && !remote_remove_folder(transfer->conn, transfer->what->folder, &left)))
        dv_warning(transfer->ctx, "files of a transfer that failed stay at %s: %s",
                   transfer->what->uri, left->message);
}

static bool look_at_folder(Transfer *transfer, const VirtFile *file G_GNUC_UNUSED, GError **err)
{
    uint64_t available = 0;
    uint64_t need = transfer->what->need_bytes;

    if (!remote_pool_owner(&transfer->pool, &transfer->owner, &transfer->group, err))
        return false;
    if (!need)
        return true;
    return remote_pool_free_bytes(&transfer->pool, &available, err) &&
           (available >= need ||
            dv_fail(err, DV_E_NO_SPACE,
                    "the other host has %" G_GUINT64_FORMAT " MiB free of the %" G_GUINT64_FORMAT
                    " MiB that the disks take",
                    available >> 20, need >> 20));
}

bool transfer_send(void *self G_GNUC_UNUSED, const DvCtx *ctx, const VirtTransfer *what,
                   GError **err)
{
    g_auto(Transfer) transfer = {.ctx = ctx, .what = what};
    bool ok;

    if (!connect_to(&transfer, err) || !remote_check_idle(transfer.conn, what->uuid, err) ||
        !begin(&transfer, true, err))
        return false;
    ok = with_pool(&transfer, look_at_folder, NULL, err);
    for (size_t i = 0; ok && i < what->file_count; i++) {
        transfer.done = i + 1;
        ok = with_pool(&transfer, send_file, &what->files[i], err);
    }
    if (!ok)
        take_back(&transfer);
    return ok;
}

bool transfer_remove(void *self G_GNUC_UNUSED, const DvCtx *ctx, const VirtTransfer *what,
                     GError **err)
{
    g_auto(Transfer) transfer = {.ctx = ctx, .what = what};
    g_autoptr(GError) cause = NULL;

    if (!connect_to(&transfer, err) || !remote_check_idle(transfer.conn, what->uuid, err))
        return false;
    if (!begin(&transfer, false, &cause)) {
        if (dv_is(cause, DV_E_NOT_FOUND))
            return true;
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    for (size_t i = 0; i < what->file_count; i++)
        if (!with_pool(&transfer, delete_volume, &what->files[i], err))
            return false;
    remote_pool_close(&transfer.pool);
    return remote_remove_folder(transfer.conn, what->folder, err);
}

/* ---- fetching ---- */

static int write_data(virStreamPtr stream G_GNUC_UNUSED, const char *data, size_t length, void *arg)
{
    Flow *flow = arg;
    ssize_t put;

    if (is_stopped(flow))
        return -1;
    do
        put = write(flow->fd, data, length);
    while (put < 0 && errno == EINTR);
    if (put < 0)
        flow->error = errno;
    else
        flow->size += put;
    return (int)put;
}

static int make_hole(virStreamPtr stream, long long length, void *arg)
{
    Flow *flow = arg;

    flow->size += (off_t)length;
    return skip_hole(stream, length, arg);
}

static bool download(Transfer *transfer, virStorageVolPtr volume, Flow *flow, const char *name,
                     GError **err)
{
    g_auto(virStreamPtr) stream = virStreamNew(transfer->conn, 0);

    if (!stream ||
        virStorageVolDownload(volume, stream, 0, 0, VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM) < 0)
        return remote_conn_fail(err, name);
    if (virStreamSparseRecvAll(stream, write_data, make_hole, flow) < 0)
        return fail_flow(flow, name, err);
    if (virStreamFinish(stream) < 0)
        return remote_conn_fail(err, name);
    return ftruncate(flow->fd, flow->size) == 0 || dv_fail_errno(err, errno, "sizing", name);
}

static bool fetch_file(Transfer *transfer, const VirtFile *file, GError **err)
{
    g_auto(virStorageVolPtr) volume = virStorageVolLookupByName(transfer->pool.pool, file->name);
    dv_autofd int fd = -1;
    Flow flow = {.what = transfer->what};

    if (!volume && virt_conn_last_code() == VIR_ERR_NO_STORAGE_VOL)
        return dv_fail(err, DV_E_NOT_FOUND, "the other host has no %s", file->name);
    if (!volume)
        return remote_conn_fail(err, file->name);
    fd = open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return dv_fail_errno(err, errno, "creating", file->path);
    flow.fd = fd;
    if (download(transfer, volume, &flow, file->name, err))
        return true;
    (void)unlink(file->path);
    return false;
}

bool transfer_fetch(void *self G_GNUC_UNUSED, const DvCtx *ctx, const VirtTransfer *what,
                    GError **err)
{
    g_auto(Transfer) transfer = {.ctx = ctx, .what = what};
    bool ok = connect_to(&transfer, err) && begin(&transfer, false, err);

    for (size_t i = 0; ok && i < what->file_count; i++) {
        ok = with_pool(&transfer, fetch_file, &what->files[i], err);
        transfer.done += ok;
    }
    for (size_t i = 0; !ok && i < transfer.done; i++)
        (void)unlink(what->files[i].path);
    return ok;
}
