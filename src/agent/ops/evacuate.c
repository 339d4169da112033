/* An evacuation: the guest of a host that is lost is made here, with its own disks where this host
 * sees them, from its image where it does not.
 *
 * The lost host may still run the guest, with its agent dead: only the operator, who forced it
 * down, knows better. What can be checked is: a guest that is here already is not ours to make.
 * Until the disks are made nothing of the instance is touched but its records and ports. What is
 * undone are the guest and the disks that were made here; disks that were found are never removed.
 * A failure gives the room on this host back; the instance stays with the host that it was on, and
 * can be evacuated again. The lost host cleans up when its agent starts again (evacuated.c).
 *
 * nova saves the new host after the instance is active and, if need be, stopped again, so that for
 * a moment an active server is still said to be on the lost host. Here both are one save.
 * Sources: nova compute/manager.py rebuild_instance, _do_rebuild_instance_with_claim,
 * _do_rebuild_instance; compute/resource_tracker.py rebuild_claim, finish_evacuation (Zed; 2023.1
 * for target_state). */
#include "agent/faults.h"
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/op.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/rebuild.h"
#include "agent/ops/unplug.h"
#include "util/log.h"

#include <string.h>

typedef struct Evacuate {
    Rebuild rebuild; /* first: its steps take either */
    Ovo *migration;
    char *node;
    bool own_disks; /* this host sees the guest's disks: they stay */
} Evacuate;

static void evacuate_done(Evacuate *evac)
{
    rebuild_done(&evac->rebuild);
    ovo_unref(evac->migration);
    g_free(evac->node);
}

/* ---- before anything is touched ---- */

static bool evac_claim(void *self, GError **err)
{
    Evacuate *evac = self;
    Rebuild *rebuild = &evac->rebuild;
    g_autoptr(Ovo) flavor = ovo_child(rebuild->instance, "flavor");

    if (!flavor)
        return dv_fail(err, DV_E_BAD_INPUT, "Instance.flavor: want a flavor");
    return tracker_move_claim(rebuild->agent->tracker, rebuild->ctx, rebuild->instance,
                              evac->migration, flavor, evac->node, err);
}

static void evac_unclaim(void *self)
{
    Rebuild *rebuild = self;

    tracker_move_unclaim(rebuild->agent->tracker, rebuild->ctx, rebuild->instance);
}

static bool evac_affinity(void *self, GError **err)
{
    Rebuild *rebuild = self;
    g_autoptr(Ovo) request_spec = ovo_child(rebuild->args, "request_spec");

    return !request_spec || tracker_check_affinity(rebuild->agent->tracker, rebuild->ctx,
                                                   rebuild->instance, request_spec, err);
}

static bool evac_absent(void *self, GError **err)
{
    Rebuild *rebuild = self;
    const VirtDriver *virt = rebuild->agent->virt;
    GuestState state = GUEST_STATE_NONE;

    if (!virt->ops->state(virt->self, rebuild->uuid, &state, err))
        return false;
    return state == GUEST_STATE_NONE ||
           dv_fail(err, DV_E_INSTANCE_EXISTS, "Instance %s already exists.", rebuild->uuid);
}

/* Up to microversion 2.13 the user says whether the disks are shared; since then this host looks.
 * An empty directory is what some other failure left: the disks are made. */
static bool evac_storage(void *self, GError **err)
{
    Evacuate *evac = self;
    Rebuild *rebuild = &evac->rebuild;
    bool told = ovo_has_value(rebuild->args, "on_shared_storage");
    bool want = ovo_bool_or(rebuild->args, "on_shared_storage", false);
    Disks *disks = rebuild->agent->disks;
    DisksPresence there = disks_presence(disks, rebuild->uuid);

    if (told && want != (there != DISKS_ABSENT))
        return dv_fail(err, DV_E_SHARED_STORAGE,
                       "Invalid state of instance files on shared storage");
    if (told && want && there == DISKS_EMPTY)
        return dv_fail(err, DV_E_SHARED_STORAGE,
                       "Invalid state of instance files on shared storage: the root disk is gone");
    evac->own_disks = there == DISKS_PRESENT && !disks_are_marked(disks, rebuild->uuid);
    dv_info(rebuild->ctx, "evacuating %s",
            evac->own_disks ? "with the disks on shared storage" : "from the image");
    return true;
}

/* Whether this host could make the guest at all, asked before ports and disks are touched. */
static bool evac_check(void *self, GError **err)
{
    Rebuild *rebuild = self;

    rebuild->network = network_cache_read(rebuild->instance, err);
    return rebuild->network && rebuild_spec(rebuild, err);
}

/* ---- the guest's place here ---- */

static bool evac_networks(void *self, GError **err)
{
    Rebuild *rebuild = self;
    NetworkInfo *network = NULL;

    if (!spawn_bind_networks(rebuild->agent, rebuild->ctx, rebuild->instance, &network, err))
        return dv_within(err, "networks");
    network_info_free(rebuild->network);
    rebuild->network = network;
    return network_cache_store(rebuild->agent, rebuild->ctx, rebuild->instance, network, err) &&
           rebuild_spec(rebuild, err);
}

/* What an evacuation that broke off has left here goes first. */
static bool make_disks(const Rebuild *rebuild, Spawn *spawn, GError **err)
{
    Disks *disks = rebuild->agent->disks;

    return (!disks_are_marked(disks, rebuild->uuid) ||
            disks_remove(disks, rebuild->ctx, rebuild->uuid, err)) &&
           disks_mark_made(disks, rebuild->uuid, err) && spawn_disks(spawn, err);
}

/* Disks that were found may lack what can be made again: swap, the base of an image. */
static bool evac_disks(void *self, GError **err)
{
    Evacuate *evac = self;
    Spawn *spawn = &evac->rebuild.spawn;
    BootDisks disks = spawn_boot_disks(spawn);

    if (!evac->own_disks)
        return make_disks(&evac->rebuild, spawn, err);
    return boot_disks_complete(&disks, err) && boot_disks_adopt(&disks, err);
}

static void evac_remove_disks(void *self)
{
    Evacuate *evac = self;
    const Rebuild *rebuild = &evac->rebuild;
    g_autoptr(GError) err = NULL;

    if (!evac->own_disks && !disks_remove(rebuild->agent->disks, rebuild->ctx, rebuild->uuid, &err))
        dv_warning(rebuild->ctx, "disks of a failed evacuation stay: %s", err->message);
}

static bool evac_guest(void *self, GError **err)
{
    return spawn_guest(&((Rebuild *)self)->spawn, err);
}

static void evac_destroy_guest(void *self)
{
    Rebuild *rebuild = self;
    const VirtDriver *virt = rebuild->agent->virt;
    g_autoptr(GError) err = NULL;

    if (!virt->ops->destroy(virt->self, rebuild->ctx, rebuild->uuid, &err)) {
        dv_warning(rebuild->ctx, "guest of a failed evacuation stays: %s", err->message);
        return;
    }
    op_unplug(rebuild->agent, rebuild->ctx, rebuild->instance, rebuild->network);
}

static bool evac_plugged(void *self, GError **err)
{
    return spawn_plugged(&((Rebuild *)self)->spawn, err);
}

static bool evac_resume(void *self, GError **err)
{
    return spawn_resume(&((Rebuild *)self)->spawn, err);
}

/* ---- from here on it is ours ---- */

/* A save without an answer may have been made: the guest is undone only when it was not. */
static bool is_here_already(const Rebuild *rebuild, const GError *cause)
{
    static const char *const attrs[] = {NULL};
    g_autoptr(Ovo) now = NULL;

    return (dv_is(cause, DV_E_TIMEOUT) || dv_is(cause, DV_E_UNAVAILABLE)) &&
           conductor_instance_get(rebuild->agent->con, rebuild->ctx, rebuild->uuid, attrs, &now,
                                  NULL) &&
           g_strcmp0(ovo_str_or(now, "host", NULL), rebuild->agent->config.host) == 0;
}

/* What was set and not saved must not reach the record with what the way back saves. */
static void set_back(Ovo *instance, const Ovo *before)
{
    static const char *const fields[] = {"vm_state", "task_state",        "host",
                                         "node",     "migration_context", "compute_id"};

    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
        ovo_load_from(instance, fields[i], before);
    ovo_reset_changes(instance);
}

static bool evac_active(void *self, GError **err)
{
    static const char *const expected[] = {"rebuild_spawning", NULL};
    Evacuate *evac = self;
    Rebuild *rebuild = &evac->rebuild;
    Agent *agent = rebuild->agent;
    g_autoptr(Ovo) before = ovo_copy(rebuild->instance);
    g_autoptr(GError) cause = NULL;

    spawn_record(&rebuild->spawn);
    outcome_active(rebuild->instance, "active");
    tracker_move_place(agent->tracker, rebuild->instance, evac->node);
    ovo_set_null(rebuild->instance, "migration_context");
    if (conductor_instance_save(agent->con, rebuild->ctx, rebuild->instance, expected, &cause) ||
        is_here_already(rebuild, cause))
        return true;
    set_back(rebuild->instance, before);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

static const OpStep evacuate_steps[] = {
    {"claim", evac_claim, evac_unclaim},
    {"affinity", evac_affinity, NULL},
    {"absent", evac_absent, NULL},
    {"storage", evac_storage, NULL},
    {"load", rebuild_load, NULL},
    {"check", evac_check, NULL},
    {"announce", rebuild_announce, NULL},
    {"begin", rebuild_begin, NULL},
    {"networks", evac_networks, NULL},
    {"devices", rebuild_devices, NULL},
    {"disks", evac_disks, evac_remove_disks},
    {"guest", evac_guest, evac_destroy_guest},
    {"plugged", evac_plugged, NULL},
    {"resume", evac_resume, NULL},
    {"active", evac_active, NULL},
};

bool evacuation_is_under_way(const Ovo *instance)
{
    static const char *const tasks[] = {"rebuilding", "rebuild_block_device_mapping",
                                        "rebuild_spawning", NULL};

    return g_strv_contains(tasks, ovo_str_or(instance, "task_state", ""));
}

/* ---- how it ends ---- */

static void set_migration(const Evacuate *evac, const char *status)
{
    const Rebuild *rebuild = &evac->rebuild;
    g_autoptr(GError) err = NULL;

    ovo_set_str(evac->migration, "status", status);
    if (!conductor_save(rebuild->agent->con, rebuild->ctx, evac->migration, &err))
        dv_warning(rebuild->ctx, "migration not set to %s: %s", status, err->message);
}

bool evacuation_drop_allocation(Agent *agent, const DvCtx *ctx, const char *uuid, GError **err)
{
    g_autofree char *provider = NULL;
    const char *gone[] = {NULL, NULL};

    if (!tracker_node_identity(agent->tracker, &provider, NULL))
        return dv_fail(err, DV_E_UNAVAILABLE, "this host has no compute node record yet");
    gone[0] = provider;
    return placement_allocations_remove_providers(agent->placement, ctx, uuid, gone, err);
}

/* The scheduler has put the instance's resources on this host, too. */
static void give_allocation_back(const Rebuild *rebuild)
{
    g_autoptr(GError) err = NULL;

    if (!evacuation_drop_allocation(rebuild->agent, rebuild->ctx, rebuild->uuid, &err))
        dv_error(rebuild->ctx, "allocation on this host not removed: %s", err->message);
}

/* Those after which the instance is as it was; there is no other host to try. */
static bool changed_nothing(const GError *cause)
{
    return dv_is(cause, DV_E_NO_CAPACITY) || dv_is(cause, DV_E_AFFINITY);
}

/* True when there is nothing to tell the user. */
static bool failed(Evacuate *evac, const GError *cause, GError **err)
{
    Rebuild *rebuild = &evac->rebuild;

    dv_warning(rebuild->ctx, "evacuation failed: %s", cause->message);
    set_migration(evac, "failed");
    if (!outcome_gone(cause))
        give_allocation_back(rebuild);
    rebuild_notify(rebuild, NOTIFY_ERROR, cause);
    if (outcome_gone(cause))
        return true;
    if (changed_nothing(cause)) {
        g_autofree char *text = fault_build_aborted(rebuild->uuid, cause->message);

        outcome_restore(rebuild->agent, rebuild->ctx, rebuild->instance, rebuild->old_state);
        return dv_fail(err, DV_E_BUILD_ABORTED, "%s", text);
    }
    outcome_error(rebuild->agent, rebuild->ctx, rebuild->instance);
    g_propagate_error(err, g_error_copy(cause));
    return false;
}

/* The server stands: what fails now does not take it away again. */
static bool succeeded(Evacuate *evac, GError **err)
{
    Rebuild *rebuild = &evac->rebuild;
    g_autoptr(GError) why = NULL;

    disks_unmark_made(rebuild->agent->disks, rebuild->ctx, rebuild->uuid);
    set_migration(evac, "done");
    if (!tracker_move_arrive(rebuild->agent->tracker, rebuild->ctx, rebuild->instance, &why))
        dv_warning(rebuild->ctx, "the next audit counts it: %s", why->message);
    g_clear_error(&why);
    if (!rebuild_stop_again(rebuild, &why)) {
        rebuild_notify(rebuild, NOTIFY_ERROR, why);
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    outcome_announce(rebuild->agent, rebuild->ctx, rebuild->instance);
    rebuild_notify(rebuild, NOTIFY_END, NULL);
    return true;
}

/* From 2023.1 on the user may want it stopped; one that was in error has no state to keep. */
static bool take_target_state(Rebuild *rebuild, GError **err)
{
    const char *target = ovo_str_or(rebuild->args, "target_state", NULL);

    if (!target || strcmp(rebuild->old_state, "error") == 0)
        return true;
    if (strcmp(target, "stopped") != 0)
        return dv_fail(err, DV_E_EVACUATE_TARGET,
                       "Target state '%s' for instance evacuate is not supported.", target);
    g_free(rebuild->old_state);
    rebuild->old_state = g_strdup(target);
    return true;
}

static bool run(Evacuate *evac, GError **err)
{
    Rebuild *rebuild = &evac->rebuild;
    g_autofree char *old_state = g_strdup(rebuild->old_state);
    g_autoptr(GError) cause = NULL;

    if (take_target_state(rebuild, &cause) &&
        op_run("evacuate", evacuate_steps, G_N_ELEMENTS(evacuate_steps), evac, rebuild->ctx,
               &cause))
        return succeeded(evac, err);
    g_free(rebuild->old_state);
    rebuild->old_state = g_steal_pointer(&old_state);
    return failed(evac, cause, err);
}

bool op_evacuate(const OpCall *call, GError **err)
{
    static const char *const attrs[] = {"flavor", "system_metadata", NULL};
    int64_t start_ms = dv_now_ms();
    const char *node = ovo_str_or(call->args, "scheduled_node", NULL);
    Evacuate evac = {.migration = ovo_child(call->args, "migration")};
    bool ok;

    rebuild_init(&evac.rebuild, call);
    evac.node = node ? g_strdup(node) : tracker_node(call->agent->tracker);
    ok = evac.migration ? instance_load(call->agent, evac.rebuild.ctx, call->instance, attrs, err)
                        : dv_fail(err, DV_E_BAD_INPUT, "evacuation without a migration");
    ok = ok && run(&evac, err);
    if (ok)
        dv_info(call->ctx, "evacuation ended after %d ms", (int)(dv_now_ms() - start_ms));
    evacuate_done(&evac);
    return ok;
}

/* ---- after the death of the agent that had begun ---- */

static const OpStep adopt_steps[] = {
    {"load", rebuild_load, NULL},  {"check", evac_check, NULL},   {"networks", evac_networks, NULL},
    {"resume", evac_resume, NULL}, {"active", evac_active, NULL},
};

static bool adopt(Evacuate *evac, GError **err)
{
    const Rebuild *rebuild = &evac->rebuild;
    g_autoptr(GError) cause = NULL;

    if (op_run("evacuate_adopt", adopt_steps, G_N_ELEMENTS(adopt_steps), evac, rebuild->ctx,
               &cause)) {
        g_autoptr(GError) end = NULL;

        dv_info(rebuild->ctx, "an evacuation that the last run had begun is finished");
        if (!succeeded(evac, &end))
            dv_error(rebuild->ctx, "evacuated, but: %s", end->message);
        return true;
    }
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

/* Somebody may have given the instance another state meanwhile: then only what is here goes. */
static void abandon(Evacuate *evac, const GError *cause)
{
    Rebuild *rebuild = &evac->rebuild;
    Agent *agent = rebuild->agent;
    g_autoptr(GError) told = NULL;

    evac_destroy_guest(evac);
    evac_remove_disks(evac);
    evac_unclaim(evac);
    if (!evacuation_is_under_way(rebuild->instance)) {
        set_migration(evac, "failed");
        give_allocation_back(rebuild);
        return;
    }
    if (failed(evac, cause, &told))
        return;
    dispatch_record_fault(agent, rebuild->ctx, rebuild->uuid, cause, NULL);
    outcome_restore(agent, rebuild->ctx, rebuild->instance, "error");
}

bool evacuate_recover(Agent *agent, const DvCtx *ctx, Ovo *instance, Ovo *migration,
                      GuestState guest, GError **err)
{
    g_autoptr(Ovo) args = ovo_new_dict();
    const OpCall call = {
        .agent = agent,
        .ctx = ctx,
        .args = args,
        .instance = instance,
        .uuid = ovo_str_or(instance, "uuid", ""),
    };
    Evacuate evac = {
        .migration = ovo_ref(migration),
        .node = g_strdup(ovo_str_or(migration, "dest_node", NULL)),
        .own_disks = !disks_are_marked(agent->disks, call.uuid),
    };
    bool up = guest == GUEST_STATE_RUNNING || guest == GUEST_STATE_PAUSED;
    g_autoptr(GError) cause = NULL;
    bool ok;

    rebuild_init(&evac.rebuild, &call);
    ok = up && evacuation_is_under_way(instance) && adopt(&evac, &cause);
    if (!ok) {
        if (!cause)
            dv_fail(&cause, DV_E_INTERNAL, "the agent ended while evacuating");
        abandon(&evac, cause);
        g_propagate_error(err, g_steal_pointer(&cause));
    }
    evacuate_done(&evac);
    return ok;
}
