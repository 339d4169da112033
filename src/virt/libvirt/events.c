/* Events: which of libvirt's are passed on, and under what name; and the waits for devices and
 * migrations.
 *
 * Sources    libvirt virDomainEventType and its details, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED and
 *            _REMOVAL_FAILED; nova virt/libvirt/host.py, event.py (Zed) for which events matter. */
#include "virt/libvirt/events.h"

#include "virt/libvirt/libvirt_priv.h"

#include "util/clock.h"
#include "util/log.h"
#include "util/thread.h"

#include <libvirt/virterror.h>

struct VirtEvents {
    gatomicrefcount refs;
    DvMutex lock; /* held while the sink runs: it posts and returns */
    GuestEventFn sink DV_GUARDED_BY(lock);
    void *arg DV_GUARDED_BY(lock);
    GPtrArray *waits DV_GUARDED_BY(lock); /* DeviceWait, borrowed */
    DvCond fates;                         /* some wait's fate was sealed */
    GPtrArray *moves DV_GUARDED_BY(lock); /* MoveWait, borrowed */
    DvCond news;                          /* some MoveWait has news */
};

struct DeviceWait {
    VirtEvents *events;
    char *uuid, *alias;
    DeviceFate fate; /* [events->lock] */
};

struct MoveWait {
    VirtEvents *events;
    char *uuid;
    /* [events->lock] */
    bool changed; /* since the last wait */
    unsigned iterations;
    bool returned, cancelled, left, ended;
    VirtJob end;
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
    {VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_MIGRATED,       GUEST_EVENT_INCOMING, "migrated"},
    {VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_RESTORED,       GUEST_EVENT_STARTED, "restored"},
    {VIR_DOMAIN_EVENT_STARTED, ANY_DETAIL,                              GUEST_EVENT_STARTED, "started"},
    {VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED,     GUEST_EVENT_PAUSED, "paused"},
    {VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED,   GUEST_EVENT_MIGRATION_SWITCHES, "migrated"},
    {VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR,    GUEST_EVENT_PAUSED, "io-error"},
    {VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY,   GUEST_EVENT_POSTCOPY_STARTED, "postcopy"},
    {VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED, GUEST_EVENT_PAUSED, "postcopy-failed"},
    {VIR_DOMAIN_EVENT_SUSPENDED, ANY_DETAIL,                            GUEST_EVENT_PAUSED, "suspended"},
    {VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_MIGRATED,       GUEST_EVENT_RESUMED, "migrated"},
    {VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_POSTCOPY,       GUEST_EVENT_RESUMED, "migrated"},
    {VIR_DOMAIN_EVENT_RESUMED, ANY_DETAIL,                              GUEST_EVENT_RESUMED, "unpaused"},
    {VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN,       GUEST_EVENT_STOPPED, "shutdown"},
    {VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_DESTROYED,      GUEST_EVENT_STOPPED, "destroyed"},
    {VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_CRASHED,        GUEST_EVENT_STOPPED, "crashed"},
    {VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_MIGRATED,       GUEST_EVENT_MOVED_AWAY, "migrated"},
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

/* ---- devices ---- */

/* alias NULL: all waits of the guest. */
static void seal(VirtEvents *events, const char *uuid, const char *alias, DeviceFate fate)
    DV_REQUIRES(events->lock)
{
    for (guint i = 0; i < events->waits->len; i++) {
        DeviceWait *wait = g_ptr_array_index(events->waits, i);

        if (wait->fate == DEVICE_PENDING && g_str_equal(wait->uuid, uuid) &&
            (!alias || g_str_equal(wait->alias, alias)))
            wait->fate = fate;
    }
    dv_cond_broadcast(&events->fates);
}

static void on_device(VirtEvents *events, virDomainPtr domain, const char *alias, DeviceFate fate)
{
    char uuid[VIR_UUID_STRING_BUFLEN];

    if (!alias || virDomainGetUUIDString(domain, uuid) < 0)
        return;
    dv_lock(&events->lock);
    seal(events, uuid, alias, fate);
    dv_unlock(&events->lock);
}

static void on_device_removed(virConnectPtr conn G_GNUC_UNUSED, virDomainPtr domain,
                              const char *alias, void *arg)
{
    on_device(arg, domain, alias, DEVICE_REMOVED);
}

static void on_removal_failed(virConnectPtr conn G_GNUC_UNUSED, virDomainPtr domain,
                              const char *alias, void *arg)
{
    on_device(arg, domain, alias, DEVICE_NOT_REMOVED);
}

DeviceWait *device_wait_new(VirtEvents *events, const char *uuid, const char *alias)
{
    DeviceWait *wait = g_new0(DeviceWait, 1);

    g_atomic_ref_count_inc(&events->refs);
    wait->events = events;
    wait->uuid = g_strdup(uuid);
    wait->alias = g_strdup(alias);
    dv_lock(&events->lock);
    g_ptr_array_add(events->waits, wait);
    dv_unlock(&events->lock);
    return wait;
}

void device_wait_free(DeviceWait *wait)
{
    if (!wait)
        return;
    dv_lock(&wait->events->lock);
    g_ptr_array_remove_fast(wait->events->waits, wait);
    dv_unlock(&wait->events->lock);
    virt_events_unref(wait->events);
    g_free(wait->uuid);
    g_free(wait->alias);
    g_free(wait);
}

DeviceFate device_wait(DeviceWait *wait, int64_t timeout_ms)
{
    VirtEvents *events = wait->events;
    int64_t deadline_ms = dv_now_ms() + timeout_ms;
    DeviceFate fate;

    dv_lock(&events->lock);
    while (wait->fate == DEVICE_PENDING &&
           dv_cond_wait_until(&events->fates, &events->lock, deadline_ms))
        ;
    fate = wait->fate;
    dv_unlock(&events->lock);
    return fate;
}

/* ---- migrations ---- */

typedef void (*MoveNote)(MoveWait *move, const void *what);

static void note(VirtEvents *events, const char *uuid, MoveNote fn, const void *what)
    DV_REQUIRES(events->lock)
{
    for (guint i = 0; i < events->moves->len; i++) {
        MoveWait *move = g_ptr_array_index(events->moves, i);

        if (!g_str_equal(move->uuid, uuid))
            continue;
        fn(move, what);
        move->changed = true;
    }
    dv_cond_broadcast(&events->news);
}

static void note_iteration(MoveWait *move, const void *what G_GNUC_UNUSED)
{
    move->iterations++;
}

static void note_left(MoveWait *move, const void *what G_GNUC_UNUSED)
{
    move->left = true;
}

static void note_cancelled(MoveWait *move, const void *what G_GNUC_UNUSED)
{
    move->cancelled = true;
}

static void note_end(MoveWait *move, const void *what)
{
    move->ended = true;
    move->end = *(const VirtJob *)what;
}

static void on_iteration(virConnectPtr conn G_GNUC_UNUSED, virDomainPtr domain,
                         int iteration G_GNUC_UNUSED, void *arg)
{
    VirtEvents *events = arg;
    char uuid[VIR_UUID_STRING_BUFLEN];

    if (virDomainGetUUIDString(domain, uuid) < 0)
        return;
    dv_lock(&events->lock);
    note(events, uuid, note_iteration, NULL);
    dv_unlock(&events->lock);
}

/* libvirt tells the type of an ended job by "success", which only newer ones have. */
static int type_of_ended(virTypedParameterPtr params, int count)
{
    const char *error = NULL;
    int success = 1;

    virTypedParamsGetBoolean(params, count, VIR_DOMAIN_JOB_SUCCESS, &success);
    virTypedParamsGetString(params, count, VIR_DOMAIN_JOB_ERRMSG, &error);
    if (success && !error)
        return VIR_DOMAIN_JOB_COMPLETED;
    return error && strstr(error, "cancel") ? VIR_DOMAIN_JOB_CANCELLED : VIR_DOMAIN_JOB_FAILED;
}

static void on_job_completed(virConnectPtr conn G_GNUC_UNUSED, virDomainPtr domain,
                             virTypedParameterPtr params, int count, void *arg)
{
    VirtEvents *events = arg;
    char uuid[VIR_UUID_STRING_BUFLEN];
    VirtJob job = {0};

    if (!job_read(type_of_ended(params, count), params, count, &job) ||
        virDomainGetUUIDString(domain, uuid) < 0)
        return;
    dv_lock(&events->lock);
    note(events, uuid, note_end, &job);
    dv_unlock(&events->lock);
}

MoveWait *move_wait_new(VirtEvents *events, const char *uuid)
{
    MoveWait *move = g_new0(MoveWait, 1);

    g_atomic_ref_count_inc(&events->refs);
    move->events = events;
    move->uuid = g_strdup(uuid);
    dv_lock(&events->lock);
    g_ptr_array_add(events->moves, move);
    dv_unlock(&events->lock);
    return move;
}

void move_wait_free(MoveWait *wait)
{
    if (!wait)
        return;
    dv_lock(&wait->events->lock);
    g_ptr_array_remove_fast(wait->events->moves, wait);
    dv_unlock(&wait->events->lock);
    virt_events_unref(wait->events);
    g_free(wait->uuid);
    g_free(wait);
}

void move_wait(MoveWait *wait, int64_t timeout_ms, MoveNews *out)
{
    VirtEvents *events = wait->events;
    int64_t deadline_ms = dv_now_ms() + timeout_ms;

    dv_lock(&events->lock);
    while (!wait->changed && dv_cond_wait_until(&events->news, &events->lock, deadline_ms))
        ;
    out->iterations = wait->iterations;
    out->returned = wait->returned;
    wait->iterations = 0;
    wait->changed = false;
    dv_unlock(&events->lock);
}

void move_wait_set_returned(MoveWait *wait)
{
    dv_lock(&wait->events->lock);
    wait->returned = wait->changed = true;
    dv_cond_broadcast(&wait->events->news);
    dv_unlock(&wait->events->lock);
}

void move_waits_cancel(VirtEvents *events, const char *uuid)
{
    dv_lock(&events->lock);
    note(events, uuid, note_cancelled, NULL);
    dv_unlock(&events->lock);
}

bool move_wait_cancelled(MoveWait *wait)
{
    bool cancelled;

    dv_lock(&wait->events->lock);
    cancelled = wait->cancelled;
    dv_unlock(&wait->events->lock);
    return cancelled;
}

bool move_wait_left(MoveWait *wait)
{
    bool left;

    dv_lock(&wait->events->lock);
    left = wait->left;
    dv_unlock(&wait->events->lock);
    return left;
}

bool move_wait_end(MoveWait *wait, VirtJob *out)
{
    bool ended;

    dv_lock(&wait->events->lock);
    ended = wait->ended;
    if (ended)
        *out = wait->end;
    dv_unlock(&wait->events->lock);
    return ended;
}

/* ---- life of guests ---- */

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
    if (out.kind == GUEST_EVENT_MOVED_AWAY)
        note(events, out.uuid, note_left, NULL);
    if (out.kind == GUEST_EVENT_STOPPED || out.kind == GUEST_EVENT_UNDEFINED ||
        out.kind == GUEST_EVENT_MOVED_AWAY)
        seal(events, out.uuid, NULL, DEVICE_GUEST_STOPPED);
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
    dv_cond_init(&events->fates);
    dv_cond_init(&events->news);
    events->waits = g_ptr_array_new();
    events->moves = g_ptr_array_new();
    return events;
}

void virt_events_unref(VirtEvents *events)
{
    if (!events || !g_atomic_ref_count_dec(&events->refs))
        return;
    g_ptr_array_unref(events->waits);
    g_ptr_array_unref(events->moves);
    dv_cond_done(&events->fates);
    dv_cond_done(&events->news);
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

/* clang-format off */
static const struct {
    int id;
    virConnectDomainEventGenericCallback callback;
    const char *name, *instead; /* what we do without it */
} registrations[] = {
    {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle),
     "lifecycle", "power states are found by the periodic sync"},
    {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device_removed),
     "device removal", "the end of a removal is looked for after its timeout"},
    {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, VIR_DOMAIN_EVENT_CALLBACK(on_removal_failed),
     "failed device removal", "a refused removal is tried until its attempts are over"},
    {VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, VIR_DOMAIN_EVENT_CALLBACK(on_iteration),
     "migration pass", "a migration is looked at once a second"},
    {VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, VIR_DOMAIN_EVENT_CALLBACK(on_job_completed),
     "job end", "a migration's last figures are not known"},
};
/* clang-format on */

void virt_events_register(VirtEvents *events, virConnectPtr conn)
{
    for (size_t i = 0; i < G_N_ELEMENTS(registrations); i++) {
        g_atomic_ref_count_inc(&events->refs);
        if (virConnectDomainEventRegisterAny(conn, NULL, registrations[i].id,
                                             registrations[i].callback, events, forget) < 0) {
            const virError *error = virGetLastError();

            virt_events_unref(events);
            dv_warning(NULL, "no %s events from libvirt (%s): %s", registrations[i].name,
                       error ? error->message : "?", registrations[i].instead);
        }
    }
}
