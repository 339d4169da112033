/* An instance's files on their way to another host; see move_files.h. */
#include "agent/ops/move_files.h"

#include "agent/ops/move_remote.h"
#include "util/fs.h"
#include "util/log.h"

#include <string.h>
#include <unistd.h>

/* ---- is it the same directory? ---- */

static bool ask(const Move *move, const char *host, const char *path, bool *out, GError **err)
{
    g_autoptr(Ovo) args = ovo_new_dict();
    g_autoptr(Ovo) data = ovo_new_dict();
    g_autoptr(Ovo) answer = ovo_new_dict();
    json_t *sees = NULL;

    ovo_set_str(data, "filename", path);
    ovo_set_child(args, "data", data);
    if (!peer_call(move->agent->peers, move->ctx, host, "check_instance_shared_storage",
                   PEER_VERSION, args, PEER_SHORT, &sees, err))
        return false;
    ovo_set_json(answer, "sees", sees);
    return ovo_bool(answer, "sees", out, err);
}

bool move_files_shared(const Move *move, const char *host, bool *out, GError **err)
{
    g_autofree char *path = NULL;
    bool ok = true;

    *out = true;
    if (!disks_probe(move->agent->disks, move->uuid, &path, err))
        return false;
    if (path) {
        ok = ask(move, host, path, out, err);
        (void)unlink(path);
    }
    return ok;
}

/* ---- over libvirt ---- */

/* A delete that has come in waits for nothing that can be given up. A stop of the agent does not
 * end a copy: what it cuts short is taken back at the next start. */
static bool should_stop(void *arg)
{
    const Move *move = arg;

    return waits_closed(move->agent->waits, move->uuid);
}

typedef bool (*TransferFn)(void *self, const DvCtx *ctx, const VirtTransfer *transfer,
                           GError **err);

/* Files of one folder: `below` the instance directory, "." for itself. */
static bool transfer(const Move *move, TransferFn run, const char *below, const char *const *names,
                     size_t count, uint64_t bytes, GError **err)
{
    g_autofree char *uri = options_live_uri(&move->agent->config.live, move_address(move));
    g_autofree char *dir = disks_instance_dir(move->agent->disks, move->uuid);
    g_autofree char *folder = strcmp(below, ".") == 0 ? g_strdup(dir)
                                                      : g_build_filename(dir, below, NULL);
    g_autofree VirtFile *files = g_new0(VirtFile, count + 1);
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    const VirtTransfer what = {
        .uri = uri,
        .uuid = move->uuid,
        .folder = folder,
        .files = files,
        .file_count = count,
        .need_bytes = bytes,
        .stop = should_stop,
        .stop_arg = (void *)move,
    };

    for (size_t i = 0; i < count; i++) {
        files[i] = (VirtFile){disks_aside_file(move->agent->disks, move->uuid, names[i]),
                              g_path_get_basename(names[i])};
        g_ptr_array_add(texts, (char *)files[i].path);
        g_ptr_array_add(texts, (char *)files[i].name);
    }
    return run(move->agent->virt->self, move->ctx, &what, err);
}

/* How many of the names, which are in order, lie in the folder of the first. */
static size_t in_one_folder(const char *const *names, const char *folder)
{
    size_t count = 0;
    bool same = true;

    while (same && names[count]) {
        g_autofree char *other = g_path_get_dirname(names[count]);

        same = strcmp(other, folder) == 0;
        count += same;
    }
    return count;
}

/* Where the source is reached: its record has the address that it calls its own. */
static char *source_address(const Move *move)
{
    const char *host = ovo_str_or(move->migration, "source_compute", "");
    g_autoptr(Ovo) node = NULL;

    if (!conductor_compute_node_of(move->agent->con, move->admin, host, &node, NULL))
        return g_strdup(host);
    return g_strdup(ovo_str_or(node, "host_ip", host));
}

bool move_files_fetch_at(const Move *move, const char *address, const char *there, const char *here,
                         GError **err)
{
    const VirtDriver *virt = move->agent->virt;
    g_autofree char *uri = options_live_uri(&move->agent->config.live, address);
    g_autofree char *folder = g_path_get_dirname(there);
    g_autofree char *name = g_path_get_basename(there);
    const VirtFile file = {here, name};
    const VirtTransfer what = {
        .uri = uri,
        .uuid = move->uuid,
        .folder = folder,
        .files = &file,
        .file_count = 1,
        .stop = should_stop,
        .stop_arg = (void *)move,
    };

    dv_info(move->ctx, "fetching %s from %s", name, address);
    return virt->ops->fetch_files(virt->self, move->ctx, &what, err);
}

bool move_files_fetch(void *arg, const char *there, const char *here, GError **err)
{
    const Move *move = arg;
    g_autofree char *address = source_address(move);

    return move_files_fetch_at(move, address, there, here, err);
}

static const char *const nothing[] = {NULL};

static bool libvirt_begin(const Move *move, uint64_t bytes, GError **err)
{
    return transfer(move, move->agent->virt->ops->send_files, ".", nothing, 0, bytes, err);
}

/* Takes files away from one folder, and the folder with those above it where they are empty then;
 * the instance directory itself has a turn of its own. */
static bool take_from(const Move *move, const char *folder, const char *const *names, size_t count,
                      GError **err)
{
    TransferFn remove = move->agent->virt->ops->remove_files;
    g_autofree char *above = g_path_get_dirname(folder);

    return transfer(move, remove, folder, names, count, 0, err) &&
           (strcmp(above, ".") == 0 || take_from(move, above, nothing, 0, err));
}

/* Folders within others come last in order, and go first. What fails does not stop the rest. */
static bool libvirt_take_back(const Move *move, const char *const *names, GError **err)
{
    g_autofree char *folder = names[0] ? g_path_get_dirname(names[0]) : g_strdup(".");
    size_t count = in_one_folder(names, folder);
    bool rest = !names[count] || libvirt_take_back(move, names + count, err);

    return take_from(move, folder, names, count, rest ? err : NULL) && rest;
}

/* The folders above one within: libvirt makes the last one of a path only. */
static bool make_above(const Move *move, const char *folder, GError **err)
{
    g_autofree char *above = g_path_get_dirname(folder);

    return strcmp(above, ".") == 0 ||
           (make_above(move, above, err) &&
            transfer(move, move->agent->virt->ops->send_files, above, nothing, 0, 0, err));
}

static bool libvirt_send(const Move *move, const char *const *names, GError **err)
{
    size_t count;

    for (size_t i = 0; names[i]; i += count) {
        g_autofree char *folder = g_path_get_dirname(names[i]);
        g_autoptr(GError) left = NULL;

        count = in_one_folder(names + i, folder);
        if (make_above(move, folder, err) &&
            transfer(move, move->agent->virt->ops->send_files, folder, names + i, count, 0, err))
            continue;
        if (i > 0 && !libvirt_take_back(move, names, &left))
            dv_warning(move->ctx, "files stay on %s: %s", move_address(move), left->message);
        return false;
    }
    return true;
}

/* ---- whichever carries them ---- */

static const MoveCarrier libvirt_carrier = {libvirt_begin, libvirt_send, libvirt_take_back};

static const MoveCarrier *carrier_of(const Move *move)
{
    const char *transport = move->agent->config.remote_transport;

    return transport ? move_remote_carrier(transport) : &libvirt_carrier;
}

bool move_files_begin(const Move *move, uint64_t bytes, GError **err)
{
    return carrier_of(move)->begin(move, bytes, err);
}

bool move_files_send(const Move *move, GError **err)
{
    g_auto(GStrv) names = NULL;
    g_autoptr(GError) cause = NULL;
    int64_t start_ms = dv_now_ms();

    if (!disks_names_aside(move->agent->disks, move->uuid, &names, err))
        return false;
    if (carrier_of(move)->send(move, (const char *const *)names, &cause)) {
        dv_info(move->ctx, "disks sent to %s in %d ms", move_address(move),
                (int)(dv_now_ms() - start_ms));
        return true;
    }
    if (dv_is(cause, DV_E_CANCELLED))
        return dv_fail(err, DV_E_DELETING, "the instance is being deleted");
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

void move_files_take_back(const Move *move)
{
    g_autofree char *aside = disks_aside_dir(move->agent->disks, move->uuid);
    g_auto(GStrv) names = NULL;
    g_autoptr(GError) err = NULL;

    if ((dv_exists(aside) && !disks_names_aside(move->agent->disks, move->uuid, &names, &err)) ||
        !carrier_of(move)->take_back(move, names ? (const char *const *)names : nothing, &err))
        dv_warning(move->ctx, "its files stay on %s: %s", move_address(move), err->message);
}
