/* Moving a guest to another host, and finding out where it is when that is over.
 *
 * libvirt's call blocks until the end, on a thread of its own, while the caller's thread hears of
 * the progress. The source's libvirtd drives the migration (peer to peer): it goes on when we die,
 * or when the connection to libvirtd breaks, and the call then fails although nothing is over. So
 * whatever the call says, the guest and its job are looked at, and that decides. The thread that
 * waits for a migration which an earlier process began does the same without a call.
 *
 * Threads    "migrate", one for each migration: it makes the call and leaves its outcome.
 * Sources    nova virt/libvirt/{driver,guest,migration}.py _live_migration_operation, migrate,
 *            find_job_type (Zed); libvirt virDomainMigrateToURI3. */
#include "virt/libvirt/libvirt_priv.h"

#include "util/clock.h"
#include "util/log.h"

#include <libvirt/virterror.h>

#define TELL_MS 1000      /* the caller hears at least so often */
#define AWAY_MAX_MS 60000 /* a libvirtd that restarts is back by then */
#define AWAY_PAUSE_MS 500 /* between attempts to reach it */
#define LAST_STATS_MS 500 /* libvirt's event with them may come after the call's end */
#define STANDS_MAX_MS 10000
#define HEAL_MAX_MS 60000    /* a broken post-copy goes on by itself when the link comes back, */
#define RESUME_PAUSE_MS 5000 /* or when it is asked to: so often */

/* ---- the call ---- */

/* What the thread that makes the call shares with the one that waits. */
typedef struct Call {
    virDomainPtr domain;         /* [const] a reference */
    char *dest_uri;              /* [const] */
    virTypedParameterPtr params; /* [const] */
    int param_count;
    unsigned flags; /* [const] */
    MoveWait *wait; /* [const] woken at the end */
    /* [thread: migrate] until `wait` says that the call is over, then the caller's */
    bool ok;
    bool aborted; /* by libvirt's own word */
    GError *err;
} Call;

static void call_done(Call *call)
{
    if (call->domain)
        virDomainFree(call->domain);
    virTypedParamsFree(call->params, call->param_count);
    g_free(call->dest_uri);
    g_clear_error(&call->err);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Call, call_done)

static gpointer run_call(gpointer arg)
{
    Call *call = arg;

    call->ok = virDomainMigrateToURI3(call->domain, call->dest_uri, call->params,
                                      (unsigned)call->param_count, call->flags) == 0;
    if (!call->ok) {
        call->aborted = virt_conn_last_code() == VIR_ERR_OPERATION_ABORTED;
        virt_conn_fail(&call->err, "migrating the guest");
    }
    move_wait_set_returned(call->wait);
    return NULL;
}

static bool add_params(Call *call, const VirtMigration *migration)
{
    unsigned long long bandwidth = migration->bandwidth_mib ? migration->bandwidth_mib
                                                            : JOB_BANDWIDTH_UNLIMITED;
    int max = 0;
    bool ok = true;

    /* Always: libvirt would else use what an earlier migration that failed left. */
    ok = virTypedParamsAddULLong(&call->params, &call->param_count, &max,
                                 VIR_MIGRATE_PARAM_BANDWIDTH, bandwidth) == 0;
    if (ok && migration->migrate_uri && !migration->tunnelled)
        ok = virTypedParamsAddString(&call->params, &call->param_count, &max, VIR_MIGRATE_PARAM_URI,
                                     migration->migrate_uri) == 0;
    if (ok && migration->dest_xml)
        ok = virTypedParamsAddString(&call->params, &call->param_count, &max,
                                     VIR_MIGRATE_PARAM_DEST_XML, migration->dest_xml) == 0 &&
             virTypedParamsAddString(&call->params, &call->param_count, &max,
                                     VIR_MIGRATE_PARAM_PERSIST_XML, migration->dest_xml) == 0;
    for (const char *const *disk = migration->disks; ok && disk && *disk; disk++)
        ok = virTypedParamsAddString(&call->params, &call->param_count, &max,
                                     VIR_MIGRATE_PARAM_MIGRATE_DISKS, *disk) == 0;
    if (ok && migration->connections > 1)
        ok = virTypedParamsAddInt(&call->params, &call->param_count, &max,
                                  VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS,
                                  (int)migration->connections) == 0;
    return ok;
}

static unsigned flags_of(const VirtMigration *migration, bool paused)
{
    unsigned flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_UNDEFINE_SOURCE |
                     VIR_MIGRATE_PERSIST_DEST;

    if (migration->disks && migration->disks[0])
        flags |= VIR_MIGRATE_NON_SHARED_INC;
    if (migration->tunnelled)
        flags |= VIR_MIGRATE_TUNNELLED;
    if (migration->tls)
        flags |= VIR_MIGRATE_TLS;
    if (migration->auto_converge)
        flags |= VIR_MIGRATE_AUTO_CONVERGE;
    if (migration->connections > 1)
        flags |= VIR_MIGRATE_PARALLEL;
    if (migration->post_copy && !paused)
        flags |= VIR_MIGRATE_POSTCOPY;
    return flags;
}

/* ---- where the guest is ---- */

typedef enum {
    PLACE_GONE,   /* not here, not even defined */
    PLACE_LEFT,   /* defined here, off since it is at the destination */
    PLACE_OFF,    /* here, off for another reason */
    PLACE_SPLIT,  /* here and there, in a post-copy that broke */
    PLACE_MOVING, /* its migration runs */
    PLACE_STANDS, /* here, stopped by the switch, and libvirt does not know whether it got there */
    PLACE_HERE,   /* as if there had been no migration */
} Place;

/* clang-format off */
static const struct {
    int state, reason;
    Place place;
} places[] = {
    {VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_MIGRATED,       PLACE_LEFT},
    {VIR_DOMAIN_PAUSED,  VIR_DOMAIN_PAUSED_POSTCOPY_FAILED, PLACE_SPLIT},
};
/* clang-format on */

static bool find_place(LibvirtDriver *driver, const char *uuid, Place *out, VirtJob *out_job,
                       GError **err)
{
    g_auto(virDomainPtr) domain = NULL;
    g_autoptr(GError) cause = NULL;
    int state = VIR_DOMAIN_NOSTATE, reason = 0;

    *out = PLACE_GONE;
    *out_job = (VirtJob){.state = VIRT_JOB_NONE};
    if (!guest_lookup(driver, uuid, &domain, err))
        return false;
    if (!domain)
        return true;
    {
        VIRT_CALL(driver->conn, "state");
        if (virDomainGetState(domain, &state, &reason, 0) < 0)
            return virt_conn_last_code() == VIR_ERR_NO_DOMAIN ||
                   virt_conn_fail(err, "looking where the guest is");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        if (places[i].state == state && places[i].reason == reason) {
            *out = places[i].place;
            return true;
        }
    }
    *out = PLACE_OFF;
    if (state == VIR_DOMAIN_SHUTOFF || state == VIR_DOMAIN_CRASHED)
        return true;
    *out = PLACE_GONE;
    if (!job_of_domain(driver, domain, out_job, &cause)) {
        if (dv_is(cause, DV_E_INSTANCE_NOT_FOUND))
            return true;
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    if (out_job->state != VIRT_JOB_NONE)
        *out = PLACE_MOVING;
    else if (state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_MIGRATION)
        *out = PLACE_STANDS;
    else
        *out = PLACE_HERE;
    return true;
}

/* The same, and waits for a libvirtd that is away. */
static bool find_place_patiently(LibvirtDriver *driver, const DvCtx *ctx, const char *uuid,
                                 Place *out, VirtJob *out_job, GError **err)
{
    int64_t deadline_ms = dv_now_ms() + AWAY_MAX_MS;

    for (;;) {
        g_autoptr(GError) cause = NULL;

        if (find_place(driver, uuid, out, out_job, &cause))
            return true;
        if (!dv_is(cause, DV_E_UNAVAILABLE) || dv_now_ms() > deadline_ms) {
            g_propagate_error(err, g_steal_pointer(&cause));
            return dv_within(err, "where the guest is could not be asked");
        }
        dv_debug(ctx, "waiting for libvirt: %s", cause->message);
        g_usleep(AWAY_PAUSE_MS * 1000UL);
    }
}

/* ---- the wait ---- */

typedef struct Watching {
    LibvirtDriver *driver;
    const DvCtx *ctx;
    const char *uuid;
    const VirtWatch *watch; /* may be NULL */
    MoveWait *wait;
    int64_t told_ms;   /* when the caller was told last */
    int64_t split_ms;  /* since when post-copy is broken, 0: it is not */
    int64_t resume_ms; /* when it may be asked to go on */
    int64_t stands_ms; /* since when it was seen to stand still, 0: it was not */
} Watching;

static void tell(Watching *w, const VirtJob *job)
{
    w->told_ms = dv_now_ms();
    if (w->watch && w->watch->job)
        w->watch->job(w->watch->arg, job);
}

/* Looks at the job and passes it on. A failure is no news: the end of the call tells. */
static void look_and_tell(Watching *w)
{
    g_autoptr(GError) err = NULL;
    VirtJob job = {0};

    if (!guest_job(w->driver, w->uuid, &job, &err)) {
        dv_debug(w->ctx, "%s", err->message);
        w->told_ms = dv_now_ms();
        return;
    }
    if (job.state == VIRT_JOB_RUNNING || job.state == VIRT_JOB_POST_COPY)
        tell(w, &job);
    else
        w->told_ms = dv_now_ms();
}

static int64_t until_next(const Watching *w)
{
    int64_t left_ms = w->told_ms + TELL_MS - dv_now_ms();

    return CLAMP(left_ms, 0, TELL_MS);
}

static void wait_for_call(Watching *w)
{
    for (;;) {
        MoveNews news = {0};

        move_wait(w->wait, until_next(w), &news);
        if (news.returned)
            return;
        if (news.iterations > 0 || until_next(w) == 0)
            look_and_tell(w);
    }
}

static void run(Watching *w, Call *call)
{
    GThread *thread = g_thread_new("migrate", run_call, call);

    wait_for_call(w);
    g_thread_join(thread);
    if (call->err)
        dv_debug(w->ctx, "%s", call->err->message);
}

/* libvirt's own account of a migration that succeeded, which comes as an event. */
static bool succeed(Watching *w)
{
    int64_t deadline_ms = dv_now_ms() + LAST_STATS_MS;
    VirtJob job = {0};

    while (!move_wait_end(w->wait, &job) && dv_now_ms() < deadline_ms) {
        MoveNews news = {0};

        move_wait(w->wait, deadline_ms - dv_now_ms(), &news);
    }
    job.state = VIRT_JOB_COMPLETED;
    tell(w, &job);
    serial_ports_give(w->driver, w->uuid);
    return true;
}

/* Off, since it is elsewhere: a definition that libvirt failed to take away must not be started. */
static bool succeed_and_undefine(Watching *w)
{
    g_autoptr(GError) err = NULL;

    if (!guest_undefine_left(w->driver, w->uuid, &err))
        dv_warning(w->ctx, "the guest has moved, its definition stays here: %s", err->message);
    return succeed(w);
}

static bool fail_here(const Watching *w, const Call *call, GError **err)
{
    VirtJob end = {0};
    bool known = move_wait_end(w->wait, &end);
    const char *why = call && call->err ? call->err->message : "libvirt does not say why";

    if (move_wait_cancelled(w->wait) || (call && call->aborted) ||
        (known && end.state == VIRT_JOB_CANCELLED))
        return dv_fail(err, DV_E_CANCELLED, "the migration was cancelled: %s", why);
    return dv_fail(err, DV_E_HYPERVISOR, "the migration failed: %s", why);
}

/* Gone from here: whether it arrived must be known, not guessed. */
static bool judge_gone(Watching *w, const Call *call, GError **err)
{
    VirtJob end = {0};

    if ((call && call->ok) || move_wait_left(w->wait) ||
        (move_wait_end(w->wait, &end) && end.state == VIRT_JOB_COMPLETED))
        return succeed(w);
    return dv_fail(err, DV_E_INSTANCE_NOT_FOUND,
                   "guest %s is not here any more, and libvirt did not say that it has moved",
                   w->uuid);
}

static bool is_healing(Watching *w)
{
    if (!w->split_ms) {
        dv_warning(w->ctx, "post-copy broke off; it may go on when the link comes back");
        w->split_ms = dv_now_ms();
        w->resume_ms = w->split_ms + RESUME_PAUSE_MS;
    }
    return dv_now_ms() - w->split_ms < HEAL_MAX_MS;
}

/* Both sides hold their part of a broken post-copy and can take it up again. As long as they cannot
 * reach each other this fails, and changes nothing. */
static void resume_post_copy(Watching *w, const Call *broken)
{
    g_autoptr(MoveWait) wait = move_wait_new(w->driver->events, w->uuid);
    g_auto(virDomainPtr) domain = NULL;
    Watching resuming = *w;
    Call again = *broken; /* borrows its strings */

    if (!guest_find_alone(w->driver, w->uuid, &domain, NULL))
        return;
    dv_info(w->ctx, "asking the broken post-copy to go on");
    again.domain = domain;
    again.flags |= VIR_MIGRATE_POSTCOPY_RESUME;
    again.err = NULL;
    again.wait = resuming.wait = wait;
    run(&resuming, &again);
    g_clear_error(&again.err);
    w->resume_ms = dv_now_ms() + RESUME_PAUSE_MS;
}

/* A libvirtd that was lost during the switch and is back lets the guest go on, unless the
 * destination may have it. */
static bool is_recovering(Watching *w)
{
    if (!w->stands_ms)
        w->stands_ms = dv_now_ms();
    return dv_now_ms() - w->stands_ms < STANDS_MAX_MS;
}

/* Decides by where the guest is, and watches on as long as its migration runs without a call of
 * ours. `call` is NULL for somebody else's migration. */
static bool judge(Watching *w, const Call *call, GError **err)
{
    /* What libvirtd itself answered is about our migration; then another one is not ours. */
    bool answered = call && !call->ok && !dv_is(call->err, DV_E_UNAVAILABLE);

    for (;;) {
        Place place = PLACE_HERE;
        VirtJob job = {0};
        MoveNews news = {0};

        if (!find_place_patiently(w->driver, w->ctx, w->uuid, &place, &job, err))
            return false;
        switch (place) {
        case PLACE_GONE:
            return judge_gone(w, call, err);
        case PLACE_LEFT:
            return succeed_and_undefine(w);
        case PLACE_OFF:
        case PLACE_HERE:
            return fail_here(w, call, err);
        case PLACE_SPLIT:
            if (!is_healing(w))
                return dv_fail(err, DV_E_POST_COPY_BROKEN,
                               "post-copy broke off: the guest is on neither side whole");
            if (call && call->flags & VIR_MIGRATE_POSTCOPY && dv_now_ms() >= w->resume_ms)
                resume_post_copy(w, call);
            break;
        case PLACE_STANDS:
            if (!is_recovering(w))
                return dv_fail(err, DV_E_INSTANCE_NOT_FOUND,
                               "guest %s stands still since it was switched over, and libvirt does "
                               "not know whether it runs at the destination",
                               w->uuid);
            break;
        case PLACE_MOVING:
            if (answered && job.state == VIRT_JOB_RUNNING)
                return fail_here(w, call, err);
            w->split_ms = 0;
            tell(w, &job);
            break;
        }
        move_wait(w->wait, TELL_MS, &news);
    }
}

/* ---- the operations ---- */

static bool is_paused(virDomainPtr domain)
{
    int state = VIR_DOMAIN_NOSTATE;

    return virDomainGetState(domain, &state, NULL, 0) == 0 && state == VIR_DOMAIN_PAUSED;
}

bool guest_migrate(void *self, const DvCtx *ctx, const char *uuid, const VirtMigration *migration,
                   const VirtWatch *watch, GError **err)
{
    LibvirtDriver *driver = self;
    g_autoptr(MoveWait) wait = NULL;
    g_auto(Call) call = {0};
    Watching watching = {driver, ctx, uuid, watch, NULL, dv_now_ms(), 0, 0, 0};

    if (migration->tunnelled && migration->disks && migration->disks[0])
        return dv_fail(err, DV_E_UNSUPPORTED, "a tunnelled migration cannot copy disks");
    if (!guest_find_alone(driver, uuid, &call.domain, err))
        return false;
    call.dest_uri = g_strdup(migration->dest_uri);
    call.flags = flags_of(migration, is_paused(call.domain));
    if (!add_params(&call, migration))
        return virt_conn_fail(err, "migrating the guest");
    wait = move_wait_new(driver->events, uuid);
    call.wait = watching.wait = wait;
    dv_debug(ctx, "migrating to %s, flags 0x%x", call.dest_uri, call.flags);
    run(&watching, &call);
    return judge(&watching, &call, err);
}

bool guest_migrate_watch(void *self, const DvCtx *ctx, const char *uuid, const VirtWatch *watch,
                         GError **err)
{
    LibvirtDriver *driver = self;
    g_autoptr(MoveWait) wait = move_wait_new(driver->events, uuid); /* before the first look */
    Watching watching = {driver, ctx, uuid, watch, wait, dv_now_ms(), 0, 0, 0};
    Place place = PLACE_HERE;
    VirtJob job = {0};

    if (!find_place_patiently(driver, ctx, uuid, &place, &job, err))
        return false;
    if (place == PLACE_GONE)
        return dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is not here", uuid);
    if (place == PLACE_HERE || place == PLACE_OFF)
        return dv_fail(err, DV_E_NOT_FOUND, "no migration of guest %s runs", uuid);
    return judge(&watching, NULL, err);
}
