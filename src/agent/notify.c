/* Notifications; see notify.h. How payloads look is in objects/notification*.c. */
#include "agent/notify.h"

#include "agent/faults.h"
#include "objects/notification.h"
#include "util/log.h"

#define RETRY_FIRST_S 1 /* oslo's pauses between tries to send */
#define RETRY_STEP_S 2
#define RETRY_MOST_S 30

struct Notifier {
    const NotifyConfig *config; /* [const] */
    Rpc *rpc;                   /* [const] the agent's, or `own` */
    Rpc *own;                   /* [const] NULL: the brokers are the same */
    int64_t keep_ms;            /* [const] 0: rpc's default */
};

/* ---- the table ---- */

typedef enum {
    FROM_END = 1 << 0, /* the unversioned one is only sent at the end, without a phase */
    BDMS = 1 << 1,     /* the versioned one tells of volumes whatever bdms_in_notifications says */
} ActionFlags;

/* NULL: there is none of that kind. */
/* clang-format off */
static const struct {
    const char *versioned;   /* instance.<this>.<phase> */
    const char *unversioned; /* compute.instance.<this>.<phase> */
    NotificationPayload payload;
    unsigned flags;
} actions[NOTIFY_ACTIONS] = {
    [NOTIFY_CREATE]           = {"create",           "create",           PAYLOAD_CREATE,      BDMS},
    [NOTIFY_DELETE]           = {"delete",           "delete",           PAYLOAD_ACTION,      BDMS},
    [NOTIFY_SOFT_DELETE]      = {"soft_delete",      "soft_delete",      PAYLOAD_ACTION,      0},
    [NOTIFY_RESTORE]          = {"restore",          "restore",          PAYLOAD_ACTION,      0},
    [NOTIFY_SHUTDOWN]         = {"shutdown",         "shutdown",         PAYLOAD_ACTION,      BDMS},
    [NOTIFY_POWER_ON]         = {"power_on",         "power_on",         PAYLOAD_ACTION,      0},
    [NOTIFY_POWER_OFF]        = {"power_off",        "power_off",        PAYLOAD_ACTION,      0},
    [NOTIFY_REBOOT]           = {"reboot",           "reboot",           PAYLOAD_ACTION,      BDMS},
    [NOTIFY_PAUSE]            = {"pause",            "pause",            PAYLOAD_ACTION,      0},
    [NOTIFY_UNPAUSE]          = {"unpause",          "unpause",          PAYLOAD_ACTION,      0},
    [NOTIFY_SUSPEND]          = {"suspend",          "suspend",          PAYLOAD_ACTION,      0},
    [NOTIFY_RESUME]           = {"resume",           "resume",           PAYLOAD_ACTION,      BDMS},
    [NOTIFY_RESCUE]           = {"rescue",           "rescue",           PAYLOAD_RESCUE,      0},
    [NOTIFY_UNRESCUE]         = {"unrescue",         "unrescue",         PAYLOAD_ACTION,      0},
    [NOTIFY_REBUILD]          = {"rebuild",          "rebuild",          PAYLOAD_REBUILD,     BDMS},
    [NOTIFY_SNAPSHOT]         = {"snapshot",         "snapshot",         PAYLOAD_SNAPSHOT,    0},
    [NOTIFY_SHELVE]           = {"shelve",           "shelve",           PAYLOAD_ACTION,      0},
    [NOTIFY_SHELVE_OFFLOAD]   = {"shelve_offload",   "shelve_offload",   PAYLOAD_ACTION,      BDMS},
    [NOTIFY_UNSHELVE]         = {"unshelve",         "unshelve",         PAYLOAD_ACTION,      BDMS},
    [NOTIFY_RESIZE_PREP]      = {"resize_prep",      "resize.prep",      PAYLOAD_RESIZE_PREP, 0},
    [NOTIFY_RESIZE]           = {"resize",           "resize",           PAYLOAD_ACTION,      BDMS},
    [NOTIFY_RESIZE_FINISH]    = {"resize_finish",    "finish_resize",    PAYLOAD_ACTION,      BDMS},
    [NOTIFY_RESIZE_CONFIRM]   = {"resize_confirm",   "resize.confirm",   PAYLOAD_ACTION,      0},
    [NOTIFY_RESIZE_REVERT]    = {"resize_revert",    "resize.revert",    PAYLOAD_ACTION,      BDMS},
    [NOTIFY_LIVE_MIGRATION_PRE] =
        {"live_migration_pre", "live_migration.pre", PAYLOAD_ACTION, BDMS},
    [NOTIFY_LIVE_MIGRATION_POST] =
        {"live_migration_post", "live_migration._post", PAYLOAD_ACTION, 0},
    [NOTIFY_LIVE_MIGRATION_POST_DEST] =
        {"live_migration_post_dest", "live_migration.post.dest", PAYLOAD_ACTION, 0},
    [NOTIFY_LIVE_MIGRATION_ROLLBACK] =
        {"live_migration_rollback", "live_migration._rollback", PAYLOAD_ACTION, BDMS},
    [NOTIFY_LIVE_MIGRATION_ROLLBACK_DEST] =
        {"live_migration_rollback_dest", "live_migration.rollback.dest", PAYLOAD_ACTION, 0},
    [NOTIFY_LIVE_MIGRATION_ABORT] =
        {"live_migration_abort", "live.migration.abort", PAYLOAD_ACTION, 0},
    [NOTIFY_LIVE_MIGRATION_FORCE_COMPLETE] =
        {"live_migration_force_complete", "live.migration.force.complete", PAYLOAD_ACTION, 0},
    [NOTIFY_VOLUME_ATTACH]    = {"volume_attach",    "volume.attach",    PAYLOAD_VOLUME, FROM_END},
    [NOTIFY_VOLUME_DETACH]    = {"volume_detach",    "volume.detach",    PAYLOAD_VOLUME, FROM_END},
    [NOTIFY_VOLUME_SWAP]      = {"volume_swap",      NULL,               PAYLOAD_VOLUME_SWAP, 0},
    [NOTIFY_INTERFACE_ATTACH] = {"interface_attach", NULL,               PAYLOAD_ACTION,      0},
    [NOTIFY_INTERFACE_DETACH] = {"interface_detach", NULL,               PAYLOAD_ACTION,      0},
    [NOTIFY_TRIGGER_CRASH_DUMP] =
        {"trigger_crash_dump", "trigger_crash_dump", PAYLOAD_ACTION, 0},
    [NOTIFY_EXISTS]           = {"exists",           "exists",           PAYLOAD_EXISTS,      0},
};
/* clang-format on */

static const char *const phases[] = {
    [NOTIFY_NO_PHASE] = NULL,
    [NOTIFY_START] = "start",
    [NOTIFY_END] = "end",
    [NOTIFY_ERROR] = "error",
};

/* ---- what the instance must bring along ---- */

/* The lists that a payload reads, all of which a request need not carry. */
static const struct {
    const char *field;
    bool versioned_only;
    int payload; /* of this class only, -1: all */
} needed[] = {
    {"flavor", false, -1},
    {"metadata", false, -1},
    {"system_metadata", false, -1},
    {"info_cache", true, -1},
    {"keypairs", true, PAYLOAD_CREATE},
    {"tags", true, PAYLOAD_CREATE},
    {"trusted_certs", true, PAYLOAD_CREATE},
    {"trusted_certs", true, PAYLOAD_REBUILD},
};

static bool complete(Agent *agent, const DvCtx *ctx, Ovo *instance, NotificationPayload payload,
                     GError **err)
{
    const char *missing[G_N_ELEMENTS(needed) + 1] = {NULL};
    g_autoptr(Ovo) loaded = NULL;
    size_t count = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(needed); i++) {
        if ((!needed[i].versioned_only || agent->config.notify.versioned) &&
            (needed[i].payload < 0 || needed[i].payload == (int)payload) &&
            !ovo_has(instance, needed[i].field))
            missing[count++] = needed[i].field;
    }
    if (count == 0)
        return true;
    if (!conductor_instance_get(agent->con, ctx, ovo_str_or(instance, "uuid", ""), missing, &loaded,
                                err))
        return false;
    for (size_t i = 0; i < count; i++)
        ovo_load_from(instance, missing[i], loaded);
    return true;
}

/* ---- sending ---- */

typedef struct Event {
    Agent *agent;
    const DvCtx *ctx;
    NotifyAction action;
    NotifyPhase phase;
    const NotifyExtra *extra;
    const Ovo *unversioned; /* what the unversioned one tells of, NULL: the instance itself */
    Notification n;
} Event;

static void publish(const Agent *agent, const DvCtx *ctx, const char *const *topics,
                    const char *publisher_id, const char *event_type, const char *priority,
                    json_t *payload)
{
    const Notifier *notifier = agent->notifier;
    const RpcNotice notice = {
        .topics = topics,
        .priority = priority,
        .publisher_id = publisher_id,
        .event_type = event_type,
        .v1 = notifier->config->v1,
        .v2 = notifier->config->v2,
        .keep_ms = notifier->keep_ms,
    };

    rpc_notify(notifier->rpc, ctx, &notice, payload);
}

static char *event_type(const char *prefix, const char *name, const char *phase)
{
    return phase ? g_strconcat(prefix, name, ".", phase, NULL) : g_strconcat(prefix, name, NULL);
}

static void send_unversioned(const Event *event)
{
    const NotifyConfig *config = &event->agent->config.notify;
    const char *name = actions[event->action].unversioned;
    const char *phase = phases[event->phase];
    Notification n = event->n;
    const char *image;
    g_autofree char *type = NULL;
    g_autofree char *publisher = NULL;
    g_autofree char *url = NULL;

    if (!config->unversioned || !name)
        return;
    if (actions[event->action].flags & FROM_END) {
        if (event->phase != NOTIFY_END)
            return;
        phase = NULL;
    }
    if (event->unversioned)
        n.instance = event->unversioned;
    if (event->phase != NOTIFY_END)
        n.new_flavor = NULL; /* resize.prep.end alone has it */
    image = ovo_str_or(n.instance, "image_ref", NULL);
    url = glance_image_url(event->agent->glance, event->ctx, image ? image : "");
    n.image_ref_url = url ? url : image;
    type = event_type("compute.instance.", name, phase);
    publisher = g_strconcat("compute.", event->agent->config.host, NULL);
    publish(event->agent, event->ctx, config->topics, publisher, type,
            event->phase == NOTIFY_ERROR ? "ERROR" : "INFO", notification_unversioned(&n));
}

/* The block devices of the versioned payload: what the caller has, else what conductor has.
 * *out_loaded is the caller's. */
static const Ovo *bdms_of(const Event *event, Ovo **out_loaded)
{
    Agent *agent = event->agent;
    bool wanted = (actions[event->action].flags & BDMS) ||
                  agent->config.notify.bdms_in_notifications;
    g_autoptr(GError) err = NULL;

    if (event->extra->bdms || !wanted)
        return event->extra->bdms;
    if (!conductor_bdms_get(agent->con, event->ctx, ovo_str_or(event->n.instance, "uuid", ""),
                            out_loaded, &err))
        dv_warning(event->ctx, "block devices left out of a notification: %s", err->message);
    return *out_loaded;
}

static void send_versioned(Event *event)
{
    const NotifyConfig *config = &event->agent->config.notify;
    const char *name = actions[event->action].versioned;
    g_autofree char *type = NULL;
    g_autofree char *publisher = NULL;
    g_autofree char *instance_name = NULL;
    g_autoptr(Ovo) bdms = NULL;

    if (!config->versioned || !name)
        return;
    instance_name = options_instance_name(&event->agent->config,
                                          ovo_i64_or(event->n.instance, "id", 0),
                                          ovo_str_or(event->n.instance, "uuid", ""));
    event->n.instance_name = instance_name;
    event->n.bdms = bdms_of(event, &bdms);
    type = event_type("instance.", name, phases[event->phase]);
    publisher = g_strconcat("nova-compute:", event->agent->config.host, NULL);
    publish(event->agent, event->ctx, config->versioned_topics, publisher, type,
            event->n.fault ? "ERROR" : "INFO",
            notification_versioned(&event->n, actions[event->action].payload));
}

/* `function` and *out_message are borrowed by *out. */
static void describe_fault(const char *function, const GError *err, char **out_message,
                           NotificationFault *out)
{
    RpcFault fault;

    fault_of_error(err, &fault);
    *out_message = fault_message(err);
    *out = (NotificationFault){
        .class_name = fault.class_name,
        .message = *out_message,
        .module = fault.module,
        .function = function,
        .code = fault.code,
    };
}

static void send(Event *event, Ovo *instance, const GError *err)
{
    const NotifyExtra *extra = event->extra;
    g_autoptr(GError) why = NULL;
    g_autofree char *message = NULL;
    NotificationFault fault;

    if (!complete(event->agent, event->ctx, instance, actions[event->action].payload, &why)) {
        dv_warning(event->ctx, "notification of %s not sent: %s", actions[event->action].versioned,
                   why->message);
        return;
    }
    event->n.instance = instance;
    event->n.ctx = event->ctx;
    event->n.network = extra->network;
    event->n.image_name = extra->image_name;
    event->n.message = extra->message;
    event->n.volume_id = extra->volume_id;
    event->n.old_volume_id = extra->old_volume_id;
    event->n.new_volume_id = extra->new_volume_id;
    event->n.snapshot_image_id = extra->snapshot_image_id;
    event->n.rescue_image_ref = extra->rescue_image_ref;
    event->n.rescue_image_name = extra->rescue_image_name;
    event->n.new_flavor = extra->new_flavor;
    if (err) {
        describe_fault(actions[event->action].versioned, err, &message, &fault);
        event->n.fault = &fault;
    }
    send_unversioned(event);
    send_versioned(event);
}

bool notify_enabled(const Agent *agent)
{
    return agent->notifier != NULL;
}

void notify_instance_with(Agent *agent, const DvCtx *ctx, Ovo *instance, NotifyAction action,
                          NotifyPhase phase, const NotifyExtra *extra, const GError *err)
{
    static const NotifyExtra nothing = {.bdms = NULL};
    Event event = {
        .agent = agent,
        .ctx = ctx,
        .action = action,
        .phase = phase,
        .extra = extra ? extra : &nothing,
    };

    if (notify_enabled(agent))
        send(&event, instance, err);
}

void notify_instance(Agent *agent, const DvCtx *ctx, Ovo *instance, NotifyAction action,
                     NotifyPhase phase, const GError *err)
{
    notify_instance_with(agent, ctx, instance, action, phase, NULL, err);
}

static void notify_period(Agent *agent, const DvCtx *ctx, Ovo *instance, const Ovo *before,
                          int64_t begin_ms, int64_t end_ms)
{
    static const NotifyExtra nothing = {.bdms = NULL};
    Event event = {
        .agent = agent,
        .ctx = ctx,
        .action = NOTIFY_EXISTS,
        .phase = NOTIFY_NO_PHASE,
        .extra = &nothing,
        .unversioned = before,
    };

    event.n.audit = true;
    event.n.audit_begin_ms = begin_ms;
    event.n.audit_end_ms = end_ms;
    send(&event, instance, NULL);
}

void notify_exists(Agent *agent, const DvCtx *ctx, Ovo *instance, const Ovo *before)
{
    int64_t now_ms = dv_clock_wall_ms(dv_clock_real());
    int64_t before_ms = 0;
    int64_t begin_ms = 0;

    if (!notify_enabled(agent))
        return;
    /* The current period began where the last one ended, and ends now. */
    if (notification_period(agent->config.notify.audit_period, now_ms, &before_ms, &begin_ms))
        notify_period(agent, ctx, instance, before, begin_ms, now_ms);
    else
        dv_warning(ctx, "instance_usage_audit_period %s has no day in this month",
                   agent->config.notify.audit_period);
}

void notify_existed(Agent *agent, const DvCtx *ctx, Ovo *instance, int64_t begin_ms, int64_t end_ms)
{
    if (notify_enabled(agent))
        notify_period(agent, ctx, instance, NULL, begin_ms, end_ms);
}

void notify_failed_request(Agent *agent, const DvCtx *ctx, const char *method, const Ovo *args,
                           const GError *err)
{
    const NotifyConfig *config = &agent->config.notify;
    g_autofree char *message = NULL;
    g_autofree char *unversioned = NULL;
    g_autofree char *versioned = NULL;
    NotificationFault fault;

    if (!notify_enabled(agent))
        return;
    describe_fault(method, err, &message, &fault);
    unversioned = g_strconcat("compute.", agent->config.host, NULL);
    versioned = g_strconcat("nova-compute:", agent->config.host, NULL);
    if (config->unversioned)
        publish(agent, ctx, config->topics, unversioned, method, "ERROR",
                notification_failed_request(&fault, args));
    if (config->versioned)
        publish(agent, ctx, config->versioned_topics, versioned, "compute.exception", "ERROR",
                notification_exception(&fault));
}

/* ---- the way out ---- */

/* How long oslo's `retry` tries last; 0: for ever, for which rpc has its own measure. */
static int64_t keep_ms_of(int64_t retry)
{
    int64_t sum_s = 1, pause_s = RETRY_FIRST_S;

    if (retry < 0)
        return 0;
    for (int64_t i = 0; i < retry && sum_s < 3600; i++) {
        sum_s += pause_s;
        pause_s = MIN(pause_s + RETRY_STEP_S, RETRY_MOST_S);
    }
    return sum_s * 1000;
}

bool notifier_new(const NotifyConfig *config, const RpcConfig *rpc_config, Rpc *rpc, DvTimer *timer,
                  Notifier **out, GError **err)
{
    g_autoptr(Notifier) notifier = NULL;

    *out = NULL;
    if (!config->v1 && !config->v2)
        return true;
    notifier = g_new0(Notifier, 1);
    notifier->config = config;
    notifier->rpc = rpc;
    notifier->keep_ms = keep_ms_of(config->retry);
    if (config->transport_url && rpc_config) {
        RpcConfig own = *rpc_config;

        own.transport_url = config->transport_url;
        notifier->own = rpc_new(&own, timer, err);
        if (!notifier->own)
            return dv_within(err, "[oslo_messaging_notifications] transport_url");
        notifier->rpc = notifier->own;
    }
    *out = g_steal_pointer(&notifier);
    return true;
}

bool notifier_start(Notifier *notifier, GError **err)
{
    return !notifier || !notifier->own || rpc_start_sending(notifier->own, err);
}

void notifier_stop(Notifier *notifier, int64_t deadline_ms)
{
    if (notifier && notifier->own)
        rpc_stop(notifier->own, deadline_ms);
}

void notifier_free(Notifier *notifier)
{
    if (!notifier)
        return;
    rpc_free(notifier->own);
    g_free(notifier);
}
