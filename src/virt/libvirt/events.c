/* Lifecycle events: which of libvirt's are passed on, and under what name.
 *
 * Sources    libvirt virDomainEventType and its details; nova virt/libvirt/host.py (Zed) for which
 *            events matter. */
#include "virt/libvirt/events.h"

#include "util/log.h"
#include "util/thread.h"

#include <libvirt/virterror.h>

struct VirtEvents {
    gatomicrefcount refs;
    DvMutex lock; /* held while the sink runs: it posts and returns */
    GuestEventFn sink DV_GUARDED_BY(lock);
    void *arg DV_GUARDED_BY(lock);
};

typedef struct EventRow {
    int event;
    int detail; /* ANY_DETAIL: all others of the event */
    GuestEventKind kind;
    const char *text;
} EventRow;

#define ANY_DETAIL (-1)

/* clang-format off */
static const EventRow rows[] = {
    {VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_BOOTED,         GUEST_EVENT_STARTED, "booted"},
    {VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_MIGRATED,       GUEST_EVENT_STARTED, "migrated"},
    {VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_RESTORED,       GUEST_EVENT_STARTED, "restored"},
    {VIR_DOMAIN_EVENT_STARTED, ANY_DETAIL,                              GUEST_EVENT_STARTED, "started"},
    {VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED,     GUEST_EVENT_PAUSED, "paused"},
    {VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED,   GUEST_EVENT_PAUSED, "migrated"},
    {VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR,    GUEST_EVENT_PAUSED, "io-error"},
    {VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY,   GUEST_EVENT_PAUSED, "postcopy"},
    {VIR_DOMAIN_EVENT_SUSPENDED, ANY_DETAIL,                            GUEST_EVENT_PAUSED, "suspended"},
    {VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_MIGRATED,       GUEST_EVENT_RESUMED, "migrated"},
    {VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_POSTCOPY,       GUEST_EVENT_RESUMED, "postcopy"},
    {VIR_DOMAIN_EVENT_RESUMED, ANY_DETAIL,                              GUEST_EVENT_RESUMED, "unpaused"},
    {VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN,       GUEST_EVENT_STOPPED, "shutdown"},
    {VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_DESTROYED,      GUEST_EVENT_STOPPED, "destroyed"},
    {VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_CRASHED,        GUEST_EVENT_STOPPED, "crashed"},
    {VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_MIGRATED,       GUEST_EVENT_STOPPED, "migrated"},
    {VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SAVED,          GUEST_EVENT_STOPPED, "saved"},
    {VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_FAILED,         GUEST_EVENT_STOPPED, "failed"},
    {VIR_DOMAIN_EVENT_STOPPED, ANY_DETAIL,                              GUEST_EVENT_STOPPED, "stopped"},
    {VIR_DOMAIN_EVENT_PMSUSPENDED, ANY_DETAIL,                          GUEST_EVENT_SUSPENDED, "pmsuspended"},
    {VIR_DOMAIN_EVENT_CRASHED, ANY_DETAIL,                              GUEST_EVENT_CRASHED, "panicked"},
    {VIR_DOMAIN_EVENT_UNDEFINED, ANY_DETAIL,                            GUEST_EVENT_UNDEFINED, "undefined"},
};
/* clang-format on */

static const EventRow *row_of(int event, int detail)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].event == event && (rows[i].detail == detail || rows[i].detail == ANY_DETAIL))
            return &rows[i];
    }
    return NULL;
}

static int on_lifecycle(virConnectPtr conn G_GNUC_UNUSED, virDomainPtr domain, int event,
                        int detail, void *arg)
{
    VirtEvents *events = arg;
    const EventRow *row = row_of(event, detail);
    GuestEvent out = {0};

    if (!row || virDomainGetUUIDString(domain, out.uuid) < 0)
        return 0;
    out.kind = row->kind;
    out.detail = row->text;
    dv_lock(&events->lock);
    if (events->sink)
        events->sink(events->arg, &out);
    dv_unlock(&events->lock);
    return 0;
}

VirtEvents *virt_events_new(void)
{
    VirtEvents *events = g_new0(VirtEvents, 1);

    g_atomic_ref_count_init(&events->refs);
    dv_mutex_init(&events->lock);
    return events;
}

void virt_events_unref(VirtEvents *events)
{
    if (!events || !g_atomic_ref_count_dec(&events->refs))
        return;
    dv_mutex_done(&events->lock);
    g_free(events);
}

void virt_events_set_sink(VirtEvents *events, GuestEventFn sink, void *arg)
{
    dv_lock(&events->lock);
    events->sink = sink;
    events->arg = arg;
    dv_unlock(&events->lock);
}

static void forget(void *arg)
{
    virt_events_unref(arg);
}

void virt_events_register(VirtEvents *events, virConnectPtr conn)
{
    g_atomic_ref_count_inc(&events->refs);
    if (virConnectDomainEventRegisterAny(conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                         VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), events,
                                         forget) < 0) {
        const virError *error = virGetLastError();

        virt_events_unref(events);
        /* Power states are still found by the periodic sync. */
        dv_warning(NULL, "no lifecycle events from libvirt: %s", error ? error->message : "?");
    }
}
