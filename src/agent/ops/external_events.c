/* External events: what neutron, cinder and operators tell nova-api about an instance, passed on to
 * its host.
 *
 * Runs beside the instance's lane: a boot that holds the lane waits for exactly these events.
 * Sources: nova compute/manager.py external_instance_event; docs/wire/compute.md. */
#include "agent/network_cache.h"
#include "agent/ops/ops.h"

#include "util/log.h"

typedef struct EventCall {
    const OpCall *call;
    const DvCtx *ctx; /* with the instance's uuid */
    const char *uuid, *name, *tag, *status;
} EventCall;

static void event_wake(const EventCall *event)
{
    if (!waits_deliver(event->call->agent->waits, event->uuid, event->name, event->tag,
                       event->status))
        dv_debug(event->ctx, "nobody waits for event %s-%s", event->name,
                 event->tag ? event->tag : "");
}

static void event_network_changed(const EventCall *event)
{
    network_cache_want(event->call->agent, event->ctx, event->uuid);
}

static void event_refused(const EventCall *event)
{
    dv_warning(event->ctx, "event %s is not supported by this agent and was ignored", event->name);
}

static const struct {
    const char *name;
    void (*run)(const EventCall *event);
} event_rows[] = {
    {"network-changed", event_network_changed},
    {"network-vif-plugged", event_wake},
    {"network-vif-unplugged", event_wake},
    /* the guest keeps the device until interfaces can be detached; the cache follows */
    {"network-vif-deleted", event_network_changed},
    {"volume-extended", event_refused},
    {"volume-reimaged", event_refused},
    {"power-update", event_refused},
    {"accelerator-request-bound", event_refused},
};

static void run_event(const EventCall *event)
{
    for (size_t i = 0; i < G_N_ELEMENTS(event_rows); i++) {
        if (g_strcmp0(event_rows[i].name, event->name) == 0) {
            event_rows[i].run(event);
            return;
        }
    }
    dv_warning(event->ctx, "unknown event %s ignored", event->name);
}

bool op_external_event(const OpCall *call, json_t **out_result G_GNUC_UNUSED,
                       GError **err G_GNUC_UNUSED)
{
    size_t count = ovo_count(call->args, "events");

    for (size_t i = 0; i < count; i++) {
        g_autoptr(Ovo) item = ovo_at(call->args, "events", i);
        const char *uuid = item ? ovo_str_or(item, "instance_uuid", NULL) : NULL;
        g_autoptr(DvCtx) ctx = NULL;

        if (!uuid) {
            dv_warning(call->ctx, "external event without an instance ignored");
            continue;
        }
        ctx = dv_ctx_with_instance(call->ctx, uuid);
        run_event(&(EventCall){call, ctx, uuid, ovo_str_or(item, "name", ""),
                               ovo_str_or(item, "tag", NULL), ovo_str_or(item, "status", NULL)});
    }
    return true;
}
