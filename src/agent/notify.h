/* Notifications of what happens to instances, unversioned and versioned, as the operator wants them
 * ([notifications], [oslo_messaging_notifications]). Without a messaging driver nothing is built.
 *
 * An operation says one line at each of its phases:
 *     notify_instance(agent, ctx, instance, NOTIFY_POWER_OFF, NOTIFY_START, NULL);
 * and, where there is more to say, passes it along with notify_instance_with.
 * instance.update is not sent from here: conductor sends it when it saves our changes.
 * Errors     none: what cannot be sent is logged, and the operation goes on.
 * Threads    workers. Blocks on conductor where the instance lacks what is to be told, and on
 *            keystone for the address of glance; never on the broker.
 * Sources    nova compute/manager.py, compute/utils.py, rpc.py (Zed). */
#pragma once

#include "agent/agent.h"

typedef enum {
    NOTIFY_CREATE,
    NOTIFY_DELETE,
    NOTIFY_SOFT_DELETE,
    NOTIFY_RESTORE,
    NOTIFY_SHUTDOWN,
    NOTIFY_POWER_ON,
    NOTIFY_POWER_OFF,
    NOTIFY_REBOOT,
    NOTIFY_PAUSE,
    NOTIFY_UNPAUSE,
    NOTIFY_SUSPEND,
    NOTIFY_RESUME,
    NOTIFY_RESCUE,
    NOTIFY_UNRESCUE,
    NOTIFY_REBUILD,
    NOTIFY_SNAPSHOT,
    NOTIFY_SHELVE,
    NOTIFY_SHELVE_OFFLOAD,
    NOTIFY_UNSHELVE,
    NOTIFY_RESIZE_PREP,
    NOTIFY_RESIZE,
    NOTIFY_RESIZE_FINISH,
    NOTIFY_RESIZE_CONFIRM,
    NOTIFY_RESIZE_REVERT,
    NOTIFY_LIVE_MIGRATION_PRE,
    NOTIFY_LIVE_MIGRATION_POST,
    NOTIFY_LIVE_MIGRATION_POST_DEST,
    NOTIFY_LIVE_MIGRATION_ROLLBACK,
    NOTIFY_LIVE_MIGRATION_ROLLBACK_DEST,
    NOTIFY_LIVE_MIGRATION_ABORT,
    NOTIFY_LIVE_MIGRATION_FORCE_COMPLETE,
    NOTIFY_VOLUME_ATTACH,
    NOTIFY_VOLUME_DETACH,
    NOTIFY_VOLUME_SWAP,
    NOTIFY_INTERFACE_ATTACH,
    NOTIFY_INTERFACE_DETACH,
    NOTIFY_TRIGGER_CRASH_DUMP,
    NOTIFY_EXISTS,
    NOTIFY_ACTIONS
} NotifyAction;

typedef enum { NOTIFY_NO_PHASE, NOTIFY_START, NOTIFY_END, NOTIFY_ERROR } NotifyPhase;

/* What an operation can tell besides; NULL: nothing. Everything is borrowed. */
typedef struct NotifyExtra {
    const Ovo *bdms;            /* the mappings that the request brought, all actions */
    const NetworkInfo *network; /* unversioned: the addresses */
    const char *image_name;     /* unversioned: create.start, rebuild */
    const char *message;        /* unversioned: "Success" of create.end */
    const char *volume_id;      /* volume_attach, volume_detach */
    const char *old_volume_id, *new_volume_id;        /* volume_swap */
    const char *snapshot_image_id;                    /* snapshot */
    const char *rescue_image_ref, *rescue_image_name; /* rescue */
    const Ovo *new_flavor;                            /* resize_prep */
} NotifyExtra;

/* Whether anything is sent at all, for callers who would have to fetch something first. */
bool notify_enabled(const Agent *agent);
/* err: why it failed, or NULL. What the instance lacks is loaded into it, unchanged as far as a
 * save is concerned. */
void notify_instance(Agent *agent, const DvCtx *ctx, Ovo *instance, NotifyAction action,
                     NotifyPhase phase, const GError *err);
void notify_instance_with(Agent *agent, const DvCtx *ctx, Ovo *instance, NotifyAction action,
                          NotifyPhase phase, const NotifyExtra *extra, const GError *err);
/* "exists" of the current audit period, which some operations send on the way. `before` (may be
 * NULL): what the unversioned one tells of, where that is not the instance as it is now. */
void notify_exists(Agent *agent, const DvCtx *ctx, Ovo *instance, const Ovo *before);

/* "exists" of a period that is over. */
void notify_existed(Agent *agent, const DvCtx *ctx, Ovo *instance, int64_t begin_ms,
                    int64_t end_ms);

/* A request that ended with an exception. */
void notify_failed_request(Agent *agent, const DvCtx *ctx, const char *method, const Ovo *args,
                           const GError *err);

/* ---- the way out, made by main ---- */

/* Borrows all. rpc_config (may be NULL) is for brokers of their own, [oslo_messaging_notifications]
 * transport_url; else `rpc` is used. *out NULL: no messaging driver is set. */
bool notifier_new(const NotifyConfig *config, const RpcConfig *rpc_config, Rpc *rpc, DvTimer *timer,
                  Notifier **out, GError **err);
bool notifier_start(Notifier *notifier, GError **err);
/* Sends what waits, until deadline (dv_now_ms base); then nothing more is sent. */
void notifier_stop(Notifier *notifier, int64_t deadline_ms);
void notifier_free(Notifier *notifier);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Notifier, notifier_free)
