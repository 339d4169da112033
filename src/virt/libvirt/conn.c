/* The connection to libvirtd, the thread that runs libvirt's event loop, and the one that finds out
 * whether libvirtd still answers; see conn.h.
 *
 * libvirt-ev opens the connection itself, between two turns of the event loop: while there is no
 * connection there are no events to miss. A permanent timeout handle of the loop serves to wake it
 * and to time the next attempt. What callers of libvirt do with the connection is in guest.c,
 * host.c and console.c; what events mean is in events.c. */
#include "virt/libvirt/conn.h"

#include "util/clock.h"
#include "util/log.h"
#include "util/thread.h"
#include "virt/libvirt/hangup.h"

#include <assert.h>
#include <inttypes.h>
#include <libvirt/virterror.h>
#include <stdatomic.h>

/* A libvirtd that hangs fails the calls after 25 to 30 s: while calls are under way libvirt-ping
 * asks it something small every PING_PERIOD_MS, and libvirt-ev cuts the connection when that has
 * had no answer for PING_LIMIT_MS. Where nobody waits for it, asking each PING_IDLE_MS will do: an
 * idle agent shall be idle, and /healthz still tells within a minute. Not libvirt's keepalive, see
 * hangup.h. */
#define PING_PERIOD_MS 5000
#define PING_IDLE_MS 20000
#define PING_LIMIT_MS 25000
#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 5000
#define OPEN_WAIT_MS 15000
#define GET_WAIT_MS 3000
#define FREE_WAIT_MS 2000

struct VirtConn {
    gatomicrefcount refs;
    char *uri;                  /* [const] */
    int64_t call_limit_ms;      /* [const] */
    VirtConnOpenedFn opened_fn; /* [const] */
    void *opened_arg;           /* [const] */
    GThread *thread;            /* [thread: main] libvirt-ev */
    GThread *ping_thread;       /* [thread: main] libvirt-ping */
    int timer;                  /* [const] after the loop started */
    int watch;                  /* [const] likewise: runs while a ping waits for its answer */
    int retry_ms;               /* [thread: libvirt-ev] */
    atomic_bool stopping;       /* [atomic] */
    atomic_bool want_open;      /* [atomic] the timer fired: try to open */

    DvMutex lock;
    DvCond changed;
    virConnectPtr conn DV_GUARDED_BY(lock);  /* NULL while closed */
    bool in_process DV_GUARDED_BY(lock);     /* there is no libvirtd between us and the driver */
    unsigned generation DV_GUARDED_BY(lock); /* openings so far */
    unsigned attempts DV_GUARDED_BY(lock);   /* tries so far, failed ones included */
    unsigned running DV_GUARDED_BY(lock);    /* threads that have not left their loop */
    int64_t asked_ms DV_GUARDED_BY(lock);    /* when the last ping was sent */
    char *last_error DV_GUARDED_BY(lock);    /* of the last failed attempt */
    GSList *stale DV_GUARDED_BY(lock);       /* closed handles to release */
    VirtCall *calls DV_GUARDED_BY(lock);     /* calls under way, newest first */
};

static void ignore_libvirt_error(void *arg G_GNUC_UNUSED, virErrorPtr error G_GNUC_UNUSED)
{
    /* libvirt would print each error to stderr; ours carry them to who asked. */
}

static void conn_unref(VirtConn *conn)
{
    if (!g_atomic_ref_count_dec(&conn->refs))
        return;
    g_free(conn->uri);
    g_free(conn->last_error);
    dv_cond_done(&conn->changed);
    dv_mutex_done(&conn->lock);
    g_free(conn);
}

/* --- errors --------------------------------------------------------------------------------- */

static DvErrorCode code_of(const virError *error)
{
    switch (error->code) {
    case VIR_ERR_NO_CONNECT:
    case VIR_ERR_RPC:
    case VIR_ERR_INVALID_CONN:
        return DV_E_UNAVAILABLE;
    case VIR_ERR_SYSTEM_ERROR:
    case VIR_ERR_INTERNAL_ERROR: /* "client socket is closed" */
        return error->domain == VIR_FROM_RPC || error->domain == VIR_FROM_REMOTE ? DV_E_UNAVAILABLE
                                                                                 : DV_E_HYPERVISOR;
    case VIR_ERR_OPERATION_TIMEOUT:
        return DV_E_TIMEOUT;
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_OPERATION_DENIED:
        return DV_E_DENIED;
    default:
        return DV_E_HYPERVISOR;
    }
}

bool virt_conn_fail(GError **err, const char *what)
{
    const virError *error = virGetLastError();

    if (!error || error->code == VIR_ERR_OK)
        return dv_fail(err, DV_E_HYPERVISOR, "%s: libvirt: no reason given", what);
    return dv_fail(err, code_of(error), "%s: libvirt: %s", what, error->message);
}

int virt_conn_last_code(void)
{
    const virError *error = virGetLastError();

    return error ? error->code : VIR_ERR_OK;
}

/* --- opening, on libvirt-ev ----------------------------------------------------------------- */

/* Runs on whichever thread noticed, with libvirt's locks held: the handle is released later, on
 * libvirt-ev. */
static void on_close(virConnectPtr handle G_GNUC_UNUSED, int reason, void *arg)
{
    static const char *const reasons[] = {"error", "end of file", "keepalive timeout", "client"};
    VirtConn *conn = arg;

    dv_lock(&conn->lock);
    if (conn->conn)
        conn->stale = g_slist_prepend(conn->stale, g_steal_pointer(&conn->conn));
    dv_cond_broadcast(&conn->changed);
    dv_unlock(&conn->lock);
    if (!atomic_load(&conn->stopping))
        dv_warning(NULL, "connection to libvirt lost (%s), reopening",
                   (size_t)reason < G_N_ELEMENTS(reasons) ? reasons[reason] : "unknown reason");
    virEventUpdateTimeout(conn->timer, 0);
}

static void close_stale(VirtConn *conn)
{
    GSList *stale;

    dv_lock(&conn->lock);
    stale = g_steal_pointer(&conn->stale);
    dv_unlock(&conn->lock);
    for (GSList *at = stale; at; at = at->next)
        virConnectClose(at->data);
    g_slist_free(stale);
}

static virConnectPtr open_handle(VirtConn *conn, bool *out_in_process, GError **err)
{
    g_auto(virConnectPtr) handle = virConnectOpen(conn->uri);

    if (!handle) {
        virt_conn_fail(err, "opening");
        return NULL;
    }
    /* test:// and other in-process drivers have none.
     * No reference of its own: drivers without the callback take it and never give it back. That of
     * libvirt-ev outlives every handle. */
    *out_in_process = virConnectRegisterCloseCallback(handle, on_close, conn, NULL) < 0;
    return g_steal_pointer(&handle);
}

static void try_open(VirtConn *conn)
{
    g_autoptr(GError) err = NULL;
    bool in_process = false;
    virConnectPtr handle = open_handle(conn, &in_process, &err);
    unsigned generation = 0;

    if (handle && atomic_load(&conn->stopping)) /* virt_conn_free may have given up on us */
        virConnectClose(g_steal_pointer(&handle));
    if (handle)
        conn->opened_fn(conn->opened_arg, handle);
    dv_lock(&conn->lock);
    conn->attempts++;
    g_clear_pointer(&conn->last_error, g_free);
    if (handle) {
        conn->conn = handle;
        conn->in_process = in_process;
        generation = ++conn->generation;
    } else {
        conn->last_error = g_strdup(err ? err->message : "stopping");
    }
    dv_cond_broadcast(&conn->changed);
    dv_unlock(&conn->lock);

    if (handle) {
        conn->retry_ms = RETRY_FIRST_MS;
        dv_info(NULL, "connected to libvirt at %s (generation %u)", conn->uri, generation);
        return;
    }
    if (conn->retry_ms >= RETRY_MAX_MS && err)
        dv_debug(NULL, "libvirt at %s: %s", conn->uri, err->message);
    virEventUpdateTimeout(conn->timer, conn->retry_ms);
    conn->retry_ms = MIN(conn->retry_ms * 2, RETRY_MAX_MS);
}

/* A ping had no answer for PING_LIMIT_MS. Runs on libvirt-ev. */
static void on_watch(int watch G_GNUC_UNUSED, void *arg)
{
    VirtConn *conn = arg;

    if (virt_hangup() > 0)
        dv_warning(NULL, "libvirt at %s does not answer, connection cut", conn->uri);
}

static void on_timer(int timer, void *arg)
{
    VirtConn *conn = arg;

    virEventUpdateTimeout(timer, -1);
    atomic_store(&conn->want_open, true);
}

static bool is_open(VirtConn *conn)
{
    bool open;

    dv_lock(&conn->lock);
    open = conn->conn != NULL;
    dv_unlock(&conn->lock);
    return open;
}

/* Closing talks to libvirtd, which may hang: here, where virt_conn_free need not wait for it. */
static void close_all(VirtConn *conn)
{
    virConnectPtr handle;

    dv_lock(&conn->lock);
    handle = g_steal_pointer(&conn->conn);
    dv_unlock(&conn->lock);
    if (handle) {
        virConnectUnregisterCloseCallback(handle, on_close);
        virConnectClose(handle);
    }
    close_stale(conn);
}

/* The end of a thread: it may be after virt_conn_free. */
static void thread_left(VirtConn *conn)
{
    dv_lock(&conn->lock);
    conn->running--;
    dv_cond_broadcast(&conn->changed);
    dv_unlock(&conn->lock);
    conn_unref(conn);
}

static void *event_loop(void *arg)
{
    VirtConn *conn = arg;

    while (!atomic_load(&conn->stopping)) {
        close_stale(conn);
        if (atomic_exchange(&conn->want_open, false) && !is_open(conn))
            try_open(conn);
        if (atomic_load(&conn->stopping))
            break;
        if (virEventRunDefaultImpl() < 0)
            g_usleep(100 * 1000); /* only when poll itself fails: do not spin */
    }
    close_all(conn);
    thread_left(conn);
    return NULL;
}

/* --- asking whether it is there, on libvirt-ping --------------------------------------------- */

/* The handle to ask by, or NULL: no need, none, or it is time to go. Waits PING_PERIOD_MS. */
static virConnectPtr wait_for_ping(VirtConn *conn)
{
    int64_t deadline = dv_now_ms() + PING_PERIOD_MS;
    virConnectPtr handle = NULL;

    dv_lock(&conn->lock);
    while (!atomic_load(&conn->stopping) &&
           dv_cond_wait_until(&conn->changed, &conn->lock, deadline))
        ;
    if (conn->conn && !atomic_load(&conn->stopping) &&
        (conn->calls || dv_now_ms() - conn->asked_ms >= PING_IDLE_MS)) {
        handle = conn->conn;
        virConnectRef(handle);
        conn->asked_ms = dv_now_ms();
    }
    dv_unlock(&conn->lock);
    return handle;
}

static void *ping_loop(void *arg)
{
    VirtConn *conn = arg;

    while (!atomic_load(&conn->stopping)) {
        g_auto(virConnectPtr) handle = wait_for_ping(conn);
        unsigned long version;

        if (!handle)
            continue;
        virEventUpdateTimeout(conn->watch, PING_LIMIT_MS);
        virConnectGetLibVersion(handle, &version); /* that it ended is the answer */
        virEventUpdateTimeout(conn->watch, -1);
    }
    thread_left(conn);
    return NULL;
}

/* --- the callers' side ---------------------------------------------------------------------- */

static gpointer register_event_loop(gpointer arg G_GNUC_UNUSED)
{
    virSetErrorFunc(NULL, ignore_libvirt_error);
    return GINT_TO_POINTER(virInitialize() == 0 && virEventRegisterDefaultImpl() == 0);
}

/* Waits for the first attempt's end; false with the reason when it failed. */
static bool wait_first_attempt(VirtConn *conn, GError **err)
{
    int64_t deadline = dv_now_ms() + OPEN_WAIT_MS;
    bool ok;

    dv_lock(&conn->lock);
    while (conn->attempts == 0 && dv_cond_wait_until(&conn->changed, &conn->lock, deadline))
        ;
    ok = conn->conn != NULL;
    if (!ok)
        dv_fail(err, DV_E_UNAVAILABLE, "libvirt at %s: %s", conn->uri,
                conn->last_error ? conn->last_error : "no answer");
    dv_unlock(&conn->lock);
    return ok;
}

VirtConn *virt_conn_new(const char *uri, int64_t call_limit_ms, VirtConnOpenedFn opened, void *arg,
                        GError **err)
{
    static GOnce once = G_ONCE_INIT;
    VirtConn *conn;

    if (!g_once(&once, register_event_loop, NULL)) {
        dv_fail(err, DV_E_INTERNAL, "libvirt's event loop cannot be registered");
        return NULL;
    }
    conn = g_new0(VirtConn, 1);
    g_atomic_ref_count_init(&conn->refs);
    conn->uri = g_strdup(uri);
    conn->call_limit_ms = call_limit_ms;
    conn->opened_fn = opened;
    conn->opened_arg = arg;
    conn->retry_ms = RETRY_FIRST_MS;
    dv_mutex_init(&conn->lock);
    dv_cond_init(&conn->changed);
    atomic_init(&conn->want_open, true);
    conn->timer = virEventAddTimeout(-1, on_timer, conn, NULL);
    conn->watch = virEventAddTimeout(-1, on_watch, conn, NULL);
    conn->running = 2; /* each thread holds a reference */
    g_atomic_ref_count_inc(&conn->refs);
    g_atomic_ref_count_inc(&conn->refs);
    conn->thread = dv_thread_new("libvirt-ev", event_loop, conn);
    conn->ping_thread = dv_thread_new("libvirt-ping", ping_loop, conn);
    if (!wait_first_attempt(conn, err))
        g_clear_pointer(&conn, virt_conn_free);
    return conn;
}

void virt_conn_free(VirtConn *conn)
{
    int64_t deadline = dv_now_ms() + FREE_WAIT_MS;
    bool finished;

    if (!conn)
        return;
    atomic_store(&conn->stopping, true);
    virEventUpdateTimeout(conn->timer, 0);
    dv_lock(&conn->lock);
    dv_cond_broadcast(&conn->changed);
    while (conn->running > 0 && dv_cond_wait_until(&conn->changed, &conn->lock, deadline))
        ;
    finished = conn->running == 0;
    assert(conn->calls == NULL);
    dv_unlock(&conn->lock);
    if (finished) {
        g_thread_join(conn->thread);
        g_thread_join(conn->ping_thread);
    } else {
        /* One hangs in a call that libvirtd does not answer; it keeps a reference. */
        dv_warning(NULL, "libvirt at %s does not answer, leaving its threads behind", conn->uri);
        g_thread_unref(conn->thread);
        g_thread_unref(conn->ping_thread);
    }
    virEventRemoveTimeout(conn->timer);
    virEventRemoveTimeout(conn->watch);
    conn_unref(conn);
}

bool virt_conn_get(VirtConn *conn, virConnectPtr *out, unsigned *out_generation, GError **err)
{
    int64_t deadline = dv_now_ms() + GET_WAIT_MS;
    bool ok;

    dv_lock(&conn->lock);
    while (!conn->conn && !atomic_load(&conn->stopping) &&
           dv_cond_wait_until(&conn->changed, &conn->lock, deadline))
        ;
    ok = conn->conn != NULL;
    if (ok) {
        virConnectRef(conn->conn);
        *out = conn->conn;
        if (out_generation)
            *out_generation = conn->generation;
    } else {
        dv_fail(err, DV_E_UNAVAILABLE, "no connection to libvirt: %s",
                conn->last_error ? conn->last_error : "no answer");
    }
    dv_unlock(&conn->lock);
    return ok;
}

bool virt_conn_own(VirtConn *conn, virConnectPtr *out, GError **err)
{
    g_auto(virConnectPtr) shared = NULL;
    bool in_process;

    if (!virt_conn_get(conn, &shared, NULL, err)) /* away: known, and not waited for */
        return false;
    dv_lock(&conn->lock);
    in_process = conn->in_process;
    dv_unlock(&conn->lock);
    if (in_process) {
        *out = g_steal_pointer(&shared);
        return true;
    }
    VIRT_CALL(conn, "open");
    *out = virConnectOpen(conn->uri);
    return *out || virt_conn_fail(err, "opening");
}

bool virt_conn_alive(VirtConn *conn)
{
    return is_open(conn);
}

void virt_call_begin(VirtConn *conn, VirtCall *call, const char *name)
{
    call->conn = conn;
    call->name = name;
    call->since_ms = dv_now_ms();
    dv_lock(&conn->lock);
    call->prev = NULL;
    call->next = conn->calls;
    if (call->next)
        call->next->prev = call;
    conn->calls = call;
    dv_unlock(&conn->lock);
}

void virt_call_end(VirtCall *call)
{
    VirtConn *conn = call->conn;
    int64_t took_ms;

    if (!conn)
        return;
    dv_lock(&conn->lock);
    if (call->prev)
        call->prev->next = call->next;
    else
        conn->calls = call->next;
    if (call->next)
        call->next->prev = call->prev;
    dv_unlock(&conn->lock);
    took_ms = dv_now_ms() - call->since_ms;
    if (took_ms > conn->call_limit_ms)
        dv_warning(NULL, "libvirt took %" PRId64 " ms for %s", took_ms, call->name);
    call->conn = NULL;
}

unsigned virt_conn_stuck(VirtConn *conn, int64_t *out_oldest_ms, const char **out_name)
{
    int64_t now = dv_now_ms();
    const VirtCall *oldest = NULL;
    unsigned stuck = 0;

    dv_lock(&conn->lock);
    for (const VirtCall *call = conn->calls; call; call = call->next) {
        if (now - call->since_ms > conn->call_limit_ms)
            stuck++;
        if (!oldest || call->since_ms < oldest->since_ms)
            oldest = call;
    }
    if (out_oldest_ms)
        *out_oldest_ms = oldest ? now - oldest->since_ms : 0;
    if (out_name)
        *out_name = oldest ? oldest->name : NULL;
    dv_unlock(&conn->lock);
    return stuck;
}
