/* Events of guests; see lifecycle.h. */
#include "agent/lifecycle.h"

#include "agent/ops/live.h"
#include "agent/power_sync.h"
#include "util/log.h"

#define STOPPED_DELAY_MS 15000 /* so that a reboot does not look like a shutdown */

#define WAIT_STOPPED "guest-stopped"

typedef struct Look {
    Agent *agent;
    char uuid[37];
} Look;

static void look_due(void *arg)
{
    const Look *look = arg;

    power_sync_want(look->agent, look->uuid);
}

WaitSet *lifecycle_expect_stop(Agent *agent, const char *instance_uuid)
{
    static const char *const any[] = {"", NULL};

    return waits_register(agent->waits, instance_uuid, WAIT_STOPPED, any);
}

bool lifecycle_wait(Agent *agent, WaitSet *stop, const char *instance_uuid, int64_t timeout_ms,
                    bool *out_stopped, GError **err)
{
    g_autoptr(GError) cause = NULL;

    *out_stopped = waits_wait(stop, timeout_ms, &cause);
    if (!dv_is(cause, DV_E_CANCELLED))
        return true;
    return waits_closed(agent->waits, instance_uuid)
               ? dv_fail(err, DV_E_DELETING, "the instance is being deleted")
               : dv_fail(err, DV_E_CANCELLED, "the service is stopping");
}

/* The operation that moves the guest waits for its end and saves the state, at both hosts. A guest
 * that moved away is not off, and must not be taken for it. */
static bool is_of_migration(const GuestEvent *event)
{
    return event->kind >= GUEST_EVENT_INCOMING ||
           (event->kind == GUEST_EVENT_RESUMED && g_strcmp0(event->detail, "migrated") == 0);
}

void lifecycle_event(void *self, const GuestEvent *event)
{
    Agent *agent = self;
    bool off = event->kind == GUEST_EVENT_STOPPED || event->kind == GUEST_EVENT_CRASHED;
    Look *look;

    dv_debug(NULL, "guest %s: event %d (%s)", event->uuid, (int)event->kind,
             event->detail ? event->detail : "");
    if (off || event->kind == GUEST_EVENT_UNDEFINED)
        waits_deliver(agent->waits, event->uuid, WAIT_STOPPED, "", "completed");
    if ((event->kind == GUEST_EVENT_POSTCOPY_STARTED ||
         event->kind == GUEST_EVENT_MIGRATION_SWITCHES) &&
        agent->config.handle_lifecycle_events)
        live_guest_switches(agent, event->uuid);
    /* Before the gate is open the start looks at all guests itself. */
    if (!gate_is_open(agent->gate) || event->kind == GUEST_EVENT_UNDEFINED ||
        is_of_migration(event) || !agent->config.handle_lifecycle_events)
        return;
    /* An operation on this instance is under way: it causes these events and saves the state
     * itself. */
    if (dv_lanes_depth(agent->lanes, event->uuid) > 0)
        return;
    look = g_new0(Look, 1);
    look->agent = agent;
    g_strlcpy(look->uuid, event->uuid, sizeof look->uuid);
    dv_timer_add(agent->timer, off ? STOPPED_DELAY_MS : 0, 0, look_due, look, g_free);
}
