/* An instance's files by ssh and scp, or by rsync; see move_remote.h.
 *
 * As nova's: the other host is reached as the agent's own user without a password, and what runs
 * there are mkdir, rm, scp and rsync. A copy has no limit but that of the largest disk.
 * Sources    nova virt/libvirt/volume/remotefs.py SshDriver, RsyncDriver, utils.py ssh_execute
 *            (Zed). */
#include "agent/ops/move_remote.h"

#include "util/spawn.h"

#include <string.h>

#define COMMAND_TIMEOUT_MS 60000
#define COPY_TIMEOUT_MS ((int64_t)24 * 3600 * 1000)

/* argv is NULL-terminated. */
static bool run(const char *const *argv, int64_t timeout_ms, GError **err)
{
    return dv_spawn(&(DvSpawn){.argv = argv, .timeout_ms = timeout_ms}, NULL, err);
}

/* Paths hold nothing that a shell on the other side would see: instances_path is the operator's,
 * and the rest is a uuid and names of ours. */
static bool over_ssh(const Move *move, const char *command, const char *option, const char *path,
                     GError **err)
{
    const char *argv[] = {"ssh", "-o", "BatchMode=yes", move_address(move), command, option,
                          path,  NULL};

    return run(argv, COMMAND_TIMEOUT_MS, err);
}

static bool remote_begin(const Move *move, uint64_t bytes G_GNUC_UNUSED, GError **err)
{
    g_autofree char *folder = disks_instance_dir(move->agent->disks, move->uuid);

    return over_ssh(move, "mkdir", "-p", folder, err);
}

/* Where nothing was sent only an empty directory goes: both hosts may see the guest's own. */
static bool remote_take_back(const Move *move, const char *const *names, GError **err)
{
    g_autofree char *folder = disks_instance_dir(move->agent->disks, move->uuid);

    return over_ssh(move, "rm", names[0] ? "-rf" : "-df", folder, err);
}

typedef bool (*CopyFn)(const char *from, const char *to, GError **err);

static bool scp(const char *from, const char *to, GError **err)
{
    const char *argv[] = {"scp", "-o", "BatchMode=yes", from, to, NULL};

    return run(argv, COPY_TIMEOUT_MS, err);
}

static bool rsync(const char *from, const char *to, GError **err)
{
    const char *argv[] = {"rsync", "--sparse", from, to, NULL};

    return run(argv, COPY_TIMEOUT_MS, err);
}

/* Of a file in a folder within. */
static bool make_parent(const Move *move, const char *folder, const char *name, GError **err)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *parent = g_path_get_dirname(path);

    return !strchr(name, '/') || over_ssh(move, "mkdir", "-p", parent, err);
}

static bool send_all(const Move *move, const char *const *names, CopyFn copy, GError **err)
{
    g_autofree char *folder = disks_instance_dir(move->agent->disks, move->uuid);
    /* they take what is before a colon for a host */
    g_autofree char *host = options_uri_host(move_address(move));
    g_autoptr(GError) left = NULL;

    for (size_t i = 0; names[i]; i++) {
        g_autofree char *from = disks_aside_file(move->agent->disks, move->uuid, names[i]);
        g_autofree char *to = g_strdup_printf("%s:%s/%s", host, folder, names[i]);

        if (waits_closed(move->agent->waits, move->uuid))
            dv_fail(err, DV_E_CANCELLED, "the copy was stopped");
        else if (make_parent(move, folder, names[i], err) && copy(from, to, err))
            continue;
        (void)remote_take_back(move, names, &left);
        return dv_within(err, "copying %s", names[i]);
    }
    return true;
}

static bool scp_all(const Move *move, const char *const *names, GError **err)
{
    return send_all(move, names, scp, err);
}

static bool rsync_all(const Move *move, const char *const *names, GError **err)
{
    return send_all(move, names, rsync, err);
}

static const struct {
    const char *transport;
    MoveCarrier carrier;
} rows[] = {
    {"ssh", {remote_begin, scp_all, remote_take_back}},
    {"rsync", {remote_begin, rsync_all, remote_take_back}},
};

const MoveCarrier *move_remote_carrier(const char *transport)
{
    size_t i = 0;

    while (i + 1 < G_N_ELEMENTS(rows) && strcmp(rows[i].transport, transport) != 0)
        i++;
    return &rows[i].carrier;
}
