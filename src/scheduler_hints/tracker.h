/* The resource tracker: what this host tells the scheduler and placement, and what it re-checks for
 * them.
 *
 * It owns the compute node record and this host's usage. Claims and the audit take one lock for the
 * arithmetic only; conductor and placement are called outside it, one update at a time. Units
 * memory MiB, disk GiB. Errors     DV_E_NO_CAPACITY, DV_E_AFFINITY, those of conductor and
 * placement. Threads    any; calls block on RPC and REST. Sources    nova
 * compute/resource_tracker.py, claims.py, scheduler/client/report.py (Zed). */
#pragma once

#include "services/conductor.h"
#include "services/placement.h"
#include "virt/host_facts.h"

typedef struct Tracker Tracker;

typedef struct TrackerConfig {
    const char *host; /* [DEFAULT] host */
    const char *my_ip;
    const char *move_address; /* where other hosts send the disks of servers that come here */
    const char *state_path;   /* holds compute_id */
    int64_t reserved_host_memory_mib, reserved_host_disk_mib, reserved_host_cpus;
    double cpu_ratio, ram_ratio, disk_ratio; /* 0: not set */
    double initial_cpu_ratio, initial_ram_ratio, initial_disk_ratio;
    int64_t failed_build_threshold;  /* consecutive_build_service_disable_threshold */
    bool disable_group_policy_check; /* [workarounds] disable_group_policy_check_upcall */
    int64_t association_refresh_s;   /* resource_provider_association_refresh */
} TrackerConfig;

typedef bool (*HostFactsFn)(void *arg, HostFacts **out, GError **err);

Tracker *tracker_new(const TrackerConfig *config, Conductor *con, Service *placement,
                     HostFactsFn facts, void *facts_arg);
void tracker_free(Tracker *tracker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tracker, tracker_free)

/* The audit (update_available_resource): reads facts, records, instances and migrations; writes
 * compute node, inventory, traits; heals stale allocations. `startup` true for the first. */
bool tracker_audit(Tracker *tracker, const DvCtx *ctx, bool startup, GError **err);
/* hypervisor_hostname, NULL before the first audit. Caller frees. */
char *tracker_node(Tracker *tracker);
/* uuid and id of the compute node; false before the first audit. uuid: caller frees. */
bool tracker_node_identity(Tracker *tracker, char **out_uuid, int64_t *out_id);

/* Takes the instance's resources: checks, sets host, node, launched_on (and compute_id where the
 * version has it), saves the instance, writes the compute node. On failure nothing is taken. */
bool tracker_claim(Tracker *tracker, const DvCtx *ctx, Ovo *instance, const char *node,
                   GError **err);
/* What the caller already knows of a claim, each of it a call saved. */
typedef enum { ROOT_UNKNOWN, ROOT_LOCAL, ROOT_VOLUME } TrackerRoot;
typedef struct TrackerClaim {
    /* As for conductor_instance_save. The claim's save carries every change that the caller has
     * made to the object, so that "building" and the claim can be one compare-and-set. */
    const char *const *expected;
    TrackerRoot root; /* where the root disk is; unknown: asked of conductor */
} TrackerClaim;
/* tracker_claim with `how` (NULL: nothing known). On failure host, node and launched_on are as they
 * were; the caller's own changes are still in the object, unsaved. */
bool tracker_claim_with(Tracker *tracker, const DvCtx *ctx, Ovo *instance, const char *node,
                        const TrackerClaim *how, GError **err);
/* Gives a claim back and clears host, node, launched_on in the object (not saved). */
void tracker_unclaim(Tracker *tracker, const DvCtx *ctx, Ovo *instance);
/* ---- moves: resize and cold migration (move_claims.c) ---- */

/* Destination: takes room for `flavor` beside what the instance uses now. Writes the destination
 * and the status pre-migrating into the migration, and what changes for the instance into its
 * migration context; both are saved. On failure nothing is taken. */
bool tracker_move_claim(Tracker *tracker, const DvCtx *ctx, Ovo *instance, Ovo *migration,
                        const Ovo *flavor, const char *node, GError **err);
/* Gives it back, and takes the migration context out of the instance; troubles are logged. */
void tracker_move_unclaim(Tracker *tracker, const DvCtx *ctx, Ovo *instance);
/* The instance's place becomes `node` of this host, in the object: the caller saves it. */
void tracker_move_place(Tracker *tracker, Ovo *instance, const char *node);
/* The instance has come to stay: what was held for it is what it uses here. */
bool tracker_move_arrive(Tracker *tracker, const DvCtx *ctx, Ovo *instance, GError **err);
/* The move is over: nothing more is held for it here, and the instance uses what its `flavor`
 * says; or nothing, when its host is another by now, or flavor is NULL: it goes back to where it
 * came from. */
bool tracker_move_end(Tracker *tracker, const DvCtx *ctx, Ovo *instance, const Ovo *flavor,
                      GError **err);

/* GiB that disks may still take, as the compute node's record says: what is neither used nor
 * promised (free_disk_gb), or what is really free. False: the record does not say. */
bool tracker_free_disk(Tracker *tracker, bool over_commit, int64_t *out_gib);
/* The policy of the instance's server group, which is asked for. *out_grouped: it has one. */
bool tracker_check_group(Tracker *tracker, const DvCtx *ctx, const Ovo *instance, bool *out_grouped,
                         GError **err);
/* Server group policy against what really runs here. NULL group hint: success. */
bool tracker_check_affinity(Tracker *tracker, const DvCtx *ctx, const Ovo *instance,
                            const Ovo *request_spec, GError **err);
/* The instance changed or is gone: usage follows its vm_state and host. */
bool tracker_update_usage(Tracker *tracker, const DvCtx *ctx, const Ovo *instance, GError **err);
/* The migrations in progress and in error that the last audit found; NULL before the first. The
 * caller unrefs. */
Ovo *tracker_migrations(Tracker *tracker);
void tracker_build_succeeded(Tracker *tracker);
void tracker_build_failed(Tracker *tracker);
/* Placement's answers are read again by the next audit, whatever their age (SIGHUP). */
void tracker_forget_provider(Tracker *tracker);
/* services.disabled changed: add or remove COMPUTE_STATUS_DISABLED. */
bool tracker_set_disabled(Tracker *tracker, const DvCtx *ctx, bool disabled, GError **err);
/* Uuids of tracked instances, NULL-terminated, g_strfreev. */
char **tracker_instances(Tracker *tracker);
