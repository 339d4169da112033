/* May an instance be live migrated? Asked by conductor of the destination, which asks the source in
 * turn; see live.h. Nothing of the guest is touched.
 *
 * Whether the two share the folder of instances is found by a file that the destination makes for
 * the time of the question. A refusal of the kinds that scheduling knows (MigrationPreCheckError,
 * Invalid...) makes conductor try another host.
 * Sources    nova compute/manager.py check_can_live_migrate_destination, ..._source;
 *            virt/libvirt/driver.py of the same names, _assert_dest_node_has_enough_disk,
 *            _compare_cpu (Zed and 2026.1). */
#include "agent/arrivals.h"
#include "agent/guest_spec.h"
#include "agent/guest_tpm.h"
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/op.h"
#include "agent/ops/live.h"
#include "agent/ops/ops.h"

#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define MIB (1024 * 1024)
#define RANDOM "XXXXXX" /* what mkstemp replaces by letters and digits */

/* ---- the destination ---- */

typedef struct Check {
    const OpCall *call;
    Agent *agent;
    const DvCtx *ctx;
    DvCtx *admin;
    Ovo *instance;
    char *file; /* made for the time of the question, whole path; NULL: not yet */
    Ovo *data;  /* what the source gets, then what it answered */
    NetworkInfo *network;
    bool bindings; /* ports can be bound on two hosts */
    bool grouped;  /* it belongs to a server group */
} Check;

static void check_done(Check *check)
{
    if (check->file && g_unlink(check->file) < 0 && errno != ENOENT)
        dv_warning(check->ctx, "%s stays: %s", check->file, g_strerror(errno));
    g_free(check->file);
    ovo_unref(check->data);
    network_info_free(check->network);
    dv_ctx_unref(check->admin);
}

static bool check_group(void *self, GError **err)
{
    Check *check = self;
    g_autoptr(GError) why = NULL;

    if (tracker_check_group(check->agent->tracker, check->admin, check->instance, &check->grouped,
                            &why))
        return true;
    if (dv_is(why, DV_E_AFFINITY))
        return dv_fail(err, DV_E_MIGRATION_PRECHECK,
                       "Migration pre-check error: Failed to validate instance group policy due "
                       "to: %s",
                       why->message);
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

/* Whether this host could make the guest at all: what it could not, it must not take. NUMA cells,
 * devices of the host and volumes are refused here. */
static bool check_guest(void *self, GError **err)
{
    static const char *const attrs[] = {"flavor",        "info_cache",   "system_metadata",
                                        "numa_topology", "pci_requests", NULL};
    Check *check = self;
    g_autoptr(Ovo) bdms = NULL;
    g_autoptr(GuestSpec) spec = NULL;
    g_autoptr(GError) why = NULL;

    if (!instance_load(check->agent, check->ctx, check->instance, attrs, err))
        return false;
    check->network = network_cache_read(check->instance, err);
    if (!check->network ||
        !conductor_bdms_get(check->agent->con, check->ctx, check->call->uuid, &bdms, err))
        return false;
    spec = guest_spec_build(check->agent,
                            &(GuestSource){check->instance, NULL, bdms, check->network, check->ctx},
                            &why);
    if (!spec)
        return dv_fail(err, DV_E_MIGRATION_PRECHECK, "Migration pre-check error: %s", why->message);
    if (ovo_has_value(check->instance, "numa_topology"))
        return dv_fail(err, DV_E_MIGRATION_PRECHECK,
                       "Migration pre-check error: this host has no NUMA cells to give");
    arrivals_note(check->agent->arrivals, check->call->uuid, g_steal_pointer(&bdms),
                  check->grouped);
    return true;
}

/* The features of either form: objects with name and policy, or plain names. */
static void add_features(const Ovo *cpu, VirtCpu *out)
{
    for (size_t i = 0; i < ovo_count(cpu, "features"); i++) {
        g_autoptr(Ovo) feature = ovo_at(cpu, "features", i);
        const char *name = feature ? ovo_str_or(feature, "name", NULL)
                                   : ovo_str_at(cpu, "features", i);

        if (name)
            virt_cpu_add_feature(out, name, feature ? ovo_str_or(feature, "policy", NULL) : NULL);
    }
}

static VirtCpu *cpu_of(const Ovo *cpu)
{
    g_autoptr(Ovo) topology = ovo_child(cpu, "topology");
    VirtCpu *out = virt_cpu_new();

    out->arch = g_strdup(ovo_str_or(cpu, "arch", NULL));
    out->model = g_strdup(ovo_str_or(cpu, "model", NULL));
    out->vendor = g_strdup(ovo_str_or(cpu, "vendor", NULL));
    out->mode = g_strdup(ovo_str_or(cpu, "mode", NULL));
    out->match = g_strdup(ovo_str_or(cpu, "match", NULL));
    out->sockets = topology ? (unsigned)ovo_i64_or(topology, "sockets", 0) : 0;
    out->cores = topology ? (unsigned)ovo_i64_or(topology, "cores", 0) : 0;
    out->threads = topology ? (unsigned)ovo_i64_or(topology, "threads", 0) : 0;
    add_features(cpu, out);
    return out;
}

static bool compare(Check *check, const Ovo *cpu, GError **err)
{
    const VirtDriver *virt = check->agent->virt;
    g_autoptr(VirtCpu) asked = cpu_of(cpu);
    g_autoptr(GError) why = NULL;

    if (virt->ops->compare_cpu(virt->self, check->ctx, asked, &why))
        return true;
    if (dv_is(why, DV_E_CPU_MODEL))
        return dv_fail(err, DV_E_MIGRATION_PRECHECK,
                       "Migration pre-check error: Unacceptable CPU info: %s", why->message);
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

/* The guest's CPU where its host wrote it down, else that host's own. Emulated CPUs are the same
 * everywhere. */
static bool check_cpu(void *self, GError **err)
{
    static const char *const attrs[] = {"vcpu_model", NULL};
    Check *check = self;
    g_autoptr(Ovo) model = NULL;
    g_autoptr(Ovo) node = NULL;
    g_autoptr(Ovo) host_cpu = NULL;
    const char *text;

    if (!check->agent->config.live.compare_cpu ||
        g_strcmp0(check->agent->virt_config.virt_type, "kvm") != 0)
        return true;
    if (!instance_load(check->agent, check->ctx, check->instance, attrs, err))
        return false;
    model = ovo_child(check->instance, "vcpu_model");
    if (model && ovo_has_value(model, "model"))
        return compare(check, model, err);
    if (!conductor_compute_node_of(check->agent->con, check->admin,
                                   ovo_str_or(check->instance, "host", ""), &node, err) ||
        !ovo_str(node, "cpu_info", &text, err))
        return false;
    host_cpu = ovo_parse_dict(text, err);
    return host_cpu && compare(check, host_cpu, err);
}

/* It says whose it is: where the folder is shared, what a dead agent has left must not be taken for
 * another host's. */
static char *file_prefix(const Agent *agent)
{
    return g_strdelimit(g_strconcat("tmp-", agent->config.host, "-", NULL), "/", '_');
}

void live_check_clean(Agent *agent, const DvCtx *ctx)
{
    g_autofree char *prefix = file_prefix(agent);
    g_autoptr(GDir) dir = g_dir_open(agent->config.instances_path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(agent->config.instances_path, name, NULL);

        if (!g_str_has_prefix(name, prefix) || strlen(name + strlen(prefix)) != strlen(RANDOM) ||
            strchr(name + strlen(prefix), '-'))
            continue;
        if (g_unlink(path) == 0)
            dv_info(ctx, "removed %s, left by a question about a live migration", path);
        else
            dv_warning(ctx, "%s stays: %s", path, g_strerror(errno));
    }
}

static bool check_file(void *self, GError **err)
{
    Check *check = self;
    g_autofree char *prefix = file_prefix(check->agent);
    g_autofree char *name = g_strconcat(prefix, RANDOM, NULL);
    g_autofree char *path = g_build_filename(check->agent->config.instances_path, name, NULL);
    dv_autofd int fd = g_mkstemp_full(path, O_RDWR, 0600);

    if (fd < 0)
        return dv_fail_errno(err, errno, "making a file in", check->agent->config.instances_path);
    check->file = g_steal_pointer(&path);
    return true;
}

/* MiB that disks may take here, by what this host has reported of itself. */
static void set_disk_available(Check *check, bool over_commit)
{
    int64_t gib = 0;

    if (tracker_free_disk(check->agent->tracker, over_commit, &gib))
        ovo_set_i64(check->data, "disk_available_mb",
                    gib * 1024 - check->agent->config.live.reserved_disk_mib);
    else
        ovo_set_null(check->data, "disk_available_mb");
}

/* What is asked for is passed on only where it is asked for. */
static void pass_on(Check *check, const char *field)
{
    if (ovo_has_value(check->call->args, field))
        ovo_set_bool(check->data, field, ovo_bool_or(check->call->args, field, false));
}

static bool check_data(void *self, GError **err)
{
    Check *check = self;
    const AgentConfig *config = &check->agent->config;
    NovaRelease release = conductor_release(check->agent->con);
    g_autofree char *name = g_path_get_basename(check->file);

    check->data = migrate_data_new(release);
    ovo_set_str(check->data, "filename", name);
    ovo_set_str(check->data, "image_type", check->agent->virt_config.images_type);
    ovo_set_str(check->data, "graphics_listen_addr_vnc", config->vnc.server_listen);
    ovo_set_str(check->data, "graphics_listen_addr_spice", config->spice.server_listen);
    ovo_set_str(check->data, "serial_listen_addr",
                config->serial.enabled ? config->serial.proxyclient_address : NULL);
    ovo_set_bool(check->data, "dst_wants_file_backed_memory", false);
    pass_on(check, "block_migration");
    pass_on(check, "disk_over_commit");
    set_disk_available(check, ovo_bool_or(check->call->args, "disk_over_commit", false));
    if (!neutron_has_bindings(check->agent->neutron, check->admin, &check->bindings, err))
        return false;
    if (check->bindings)
        migrate_data_set_vifs(check->data, release, check->network);
    return true;
}

static bool check_source(void *self, GError **err)
{
    Check *check = self;
    const char *source = NULL;
    g_autoptr(Ovo) args = ovo_new_dict();
    Ovo *answer;
    json_t *result = NULL;

    if (!ovo_str(check->instance, "host", &source, err))
        return false;
    ovo_set_child(args, "instance", check->instance);
    ovo_set_child(args, "dest_check_data", check->data);
    if (!peer_call(check->agent->peers, check->ctx, source, "check_can_live_migrate_source",
                   PEER_VERSION, args, PEER_SHORT, &result, err))
        return false;
    answer = ovo_take(result, "LibvirtLiveMigrateData", err);
    if (!answer)
        return dv_within(err, "check_can_live_migrate_source on %s", source);
    ovo_unref(check->data);
    check->data = answer;
    if (check->bindings && !ovo_has(answer, "vifs"))
        migrate_data_set_vifs(answer, conductor_release(check->agent->con), check->network);
    return true;
}

static const OpStep check_steps[] = {
    {"group", check_group, NULL}, {"guest", check_guest, NULL}, {"cpu", check_cpu, NULL},
    {"file", check_file, NULL},   {"data", check_data, NULL},   {"source", check_source, NULL},
};

bool op_live_check_dest(const OpCall *call, json_t **out_result, GError **err)
{
    Check check = {.call = call, .agent = call->agent, .ctx = call->ctx};
    bool ok;

    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT,
                       "check_can_live_migrate_destination without an instance");
    check.instance = call->instance;
    check.admin = dv_ctx_elevated(call->ctx);
    ok = op_run("check_live_destination", check_steps, G_N_ELEMENTS(check_steps), &check, call->ctx,
                err);
    if (ok)
        *out_result = ovo_json(check.data);
    check_done(&check);
    return ok;
}

/* ---- the source ---- */

/* A name without a folder, from another host. */
static bool sees_file(const Agent *agent, const char *name)
{
    g_autofree char *path = NULL;

    if (!*name || strchr(name, '/') || name[0] == '.')
        return false;
    path = g_build_filename(agent->config.instances_path, name, NULL);
    /* A client of NFS looks again only when the folder has changed. */
    utimensat(AT_FDCWD, agent->config.instances_path, NULL, 0);
    return dv_exists(path);
}

/* The targets of its volumes, NULL-terminated, and whether it boots from one. bdms NULL: none. */
static GPtrArray *volumes_of(const Ovo *bdms, bool *out_root)
{
    GPtrArray *targets = g_ptr_array_new_with_free_func(g_free);

    *out_root = false;
    for (size_t i = 0; bdms && i < ovo_count(bdms, NULL); i++) {
        g_autoptr(Ovo) bdm = ovo_at(bdms, NULL, i);
        const char *device = bdm ? ovo_str_or(bdm, "device_name", NULL) : NULL;

        if (!bdm || strcmp(ovo_str_or(bdm, "destination_type", ""), "volume") != 0)
            continue;
        if (ovo_i64_or(bdm, "boot_index", -1) == 0)
            *out_root = true;
        if (device)
            g_ptr_array_add(targets, g_path_get_basename(device));
    }
    g_ptr_array_add(targets, NULL);
    return targets;
}

/* All of them are files that this host made for the instance: then none is a volume, and nobody
 * need be asked. */
static bool are_own_files(const OpCall *call, const GPtrArray *disks)
{
    g_autofree char *folder = g_strdup_printf("%s/%s/", call->agent->config.instances_path,
                                              call->uuid);

    for (guint i = 0; i < disks->len; i++) {
        const VirtDisk *disk = g_ptr_array_index(disks, i);

        if (disk->block || !disk->path || !g_str_has_prefix(disk->path, folder))
            return false;
    }
    return true;
}

static bool has_room(const Ovo *data, const GPtrArray *facts, const char *uuid, GError **err)
{
    int64_t available = MAX(ovo_i64_or(data, "disk_available_mb", 0), 0) * MIB;
    bool over_commit = ovo_bool_or(data, "disk_over_commit", false);
    uint64_t necessary = 0;

    for (guint i = 0; i < facts->len; i++) {
        const DiskFacts *disk = g_ptr_array_index(facts, i);

        necessary += over_commit ? disk->allocated_bytes : disk->virtual_bytes;
    }
    return necessary <= (uint64_t)available ||
           dv_fail(err, DV_E_MIGRATION_PRECHECK,
                   "Migration pre-check error: Unable to migrate %s: Disk of instance is too "
                   "large(available on destination host:%" G_GINT64_FORMAT
                   " < need:%" G_GUINT64_FORMAT ")",
                   uuid, available, necessary);
}

/* Copying disks and sharing them exclude each other. */
static bool check_storage(const OpCall *call, Ovo *data, const GPtrArray *facts, GError **err)
{
    const Agent *agent = call->agent;
    bool shared = migrate_data_is_shared(data);

    if (!ovo_has(data, "block_migration"))
        ovo_set_bool(data, "block_migration", !shared);
    if (!ovo_bool_or(data, "block_migration", false))
        return shared || dv_fail(err, DV_E_SHARED_STORAGE,
                                 "%s is not on shared storage: Shared storage live-migration "
                                 "requires either shared storage or boot-from-volume with no "
                                 "local disks.",
                                 agent->config.host);
    if (shared)
        return dv_fail(err, DV_E_LOCAL_STORAGE,
                       "%s is not on local storage: Block migration can not be used with shared "
                       "storage.",
                       agent->config.host);
    if (ovo_has(data, "disk_over_commit") && !has_room(data, facts, call->uuid, err))
        return false;
    /* QEMU copies disks on connections of its own only. nova asks for it, and libvirt refuses. */
    return !agent->config.live.tunnelled ||
           dv_fail(err, DV_E_MIGRATION_PRECHECK,
                   "Migration pre-check error: Cannot block migrate instance %s: disks are not "
                   "copied with live_migration_tunnelled, which host %s sets",
                   call->uuid, agent->config.host);
}

/* nova's API refuses it already; newer ones ask the agent, which cannot hand the secret over. */
static bool check_tpm(const OpCall *call, GError **err)
{
    static const char *const attrs[] = {"flavor", "system_metadata", NULL};
    GuestTpm tpm;

    return instance_load(call->agent, call->ctx, call->instance, attrs, err) &&
           guest_tpm_of(call->instance, "flavor", &tpm, err) &&
           (!tpm.version || dv_fail(err, DV_E_MIGRATION_PRECHECK,
                                    "Migration pre-check error: a server with an emulated TPM is"
                                    " not migrated live by this host"));
}

bool op_live_check_source(const OpCall *call, json_t **out_result, GError **err)
{
    const VirtDriver *virt = call->agent->virt;
    g_autoptr(Ovo) data = ovo_child(call->args, "dest_check_data");
    g_autoptr(Ovo) bdms = NULL;
    g_autoptr(GPtrArray) disks = NULL;
    g_autoptr(GPtrArray) facts = NULL;
    g_autoptr(GPtrArray) volumes = NULL;
    bool from_volume = false;
    bool shared_path;

    if (!call->instance || !data)
        return dv_fail(err, DV_E_BAD_INPUT,
                       "check_can_live_migrate_source: want an instance and dest_check_data");
    if (!check_tpm(call, err) || !virt->ops->disks(virt->self, call->uuid, &disks, err) ||
        (!are_own_files(call, disks) &&
         !conductor_bdms_get(call->agent->con, call->ctx, call->uuid, &bdms, err)))
        return false;
    volumes = volumes_of(bdms, &from_volume);
    if (!disks_facts_of(disks, (const char *const *)volumes->pdata, &facts, err))
        return false;
    shared_path = sees_file(call->agent, ovo_str_or(data, "filename", ""));
    ovo_set_bool(data, "is_volume_backed", from_volume);
    ovo_set_bool(data, "is_shared_instance_path", shared_path);
    ovo_set_bool(data, "is_shared_block_storage", shared_path || (from_volume && facts->len == 0));
    ovo_set_str(data, "instance_relative_path", call->uuid);
    if (!check_storage(call, data, facts, err))
        return false;
    *out_result = ovo_json(data);
    return true;
}
