/* A hypervisor in memory that keeps the contract of virt/driver.h; see fake_driver.h.
 *
 * tests/unit/virt/contract.h is run on this and on real libvirt, so that the two do not drift. */
#include "virt/fake/fake_driver.h"

#include "util/clock.h"
#include "util/thread.h"

#define FIRST_VNC_PORT 5900

typedef struct FakeGuest {
    char *uuid, *name, *console, *vnc_listen;
    GuestState state;
    int vnc_port;
} FakeGuest;

/* What a test said about one operation. */
typedef struct FakeOp {
    unsigned calls, failures_left, held_now;
    DvErrorCode code;
    bool hold;
} FakeOp;

struct FakeVirt {
    DvMutex lock;
    DvCond changed;
    GHashTable *guests DV_GUARDED_BY(lock); /* uuid -> FakeGuest */
    GHashTable *ops DV_GUARDED_BY(lock);    /* name -> FakeOp */
    HostFacts *facts DV_GUARDED_BY(lock);
    GuestEventFn sink DV_GUARDED_BY(lock);
    void *sink_arg DV_GUARDED_BY(lock);
    int next_vnc_port DV_GUARDED_BY(lock);
    bool connected DV_GUARDED_BY(lock);
    bool stopping DV_GUARDED_BY(lock);
};

static void fake_guest_free(gpointer data)
{
    FakeGuest *guest = data;

    g_free(guest->uuid);
    g_free(guest->name);
    g_free(guest->console);
    g_free(guest->vnc_listen);
    g_free(guest);
}

static HostFacts *default_facts(void)
{
    HostFacts facts = {
        .hypervisor_hostname = (char *)"fake-host",
        .hypervisor_type = (char *)"QEMU",
        .hypervisor_version = 7002022,
        .vcpus = 16,
        .memory_mib = 32768,
        .memory_used_mib = 1024,
        .disk_gib = 500,
        .disk_used_gib = 20,
        .disk_available_least_gib = 480,
        .cpu_info = (char *)"{\"arch\": \"x86_64\", \"model\": \"qemu64\", \"vendor\": \"AMD\", "
                            "\"topology\": {\"cells\": 1, \"sockets\": 1, \"cores\": 16, "
                            "\"threads\": 1}, \"features\": [\"sse\", \"sse2\"]}",
        .cpu_arch = (char *)"x86_64",
        .cpu_model = (char *)"qemu64",
        .cpu_vendor = (char *)"AMD",
    };
    HostFacts *out = host_facts_copy(&facts);

    g_ptr_array_add(out->cpu_features, g_strdup("sse"));
    g_ptr_array_add(out->cpu_features, g_strdup("sse2"));
    g_ptr_array_add(out->specs, host_spec_triple_new("x86_64", "qemu", "hvm"));
    g_ptr_array_add(out->traits, g_strdup("COMPUTE_IMAGE_TYPE_QCOW2"));
    g_ptr_array_add(out->traits, g_strdup("HW_CPU_X86_SSE"));
    g_ptr_array_add(out->traits, g_strdup("HW_CPU_X86_SSE2"));
    return out;
}

/* --- what the test said ---------------------------------------------------------------------- */

static FakeOp *op_of(FakeVirt *fake, const char *name) DV_REQUIRES(fake->lock)
{
    FakeOp *op = g_hash_table_lookup(fake->ops, name);

    if (!op) {
        op = g_new0(FakeOp, 1);
        g_hash_table_insert(fake->ops, g_strdup(name), op);
    }
    return op;
}

/* Every operation starts here, with the lock held on return when it may go on. */
static bool enter(FakeVirt *fake, const char *name, GError **err) DV_NO_ANALYSIS
{
    FakeOp *op;

    dv_lock(&fake->lock);
    op = op_of(fake, name);
    op->calls++;
    op->held_now++;
    dv_cond_broadcast(&fake->changed);
    while (op->hold && !fake->stopping)
        dv_cond_wait(&fake->changed, &fake->lock);
    op->held_now--;
    dv_cond_broadcast(&fake->changed);
    if (fake->connected && !fake->stopping && op->failures_left == 0)
        return true;
    if (!fake->connected || fake->stopping)
        dv_fail(err, DV_E_UNAVAILABLE, "fake: no connection to the hypervisor");
    else
        dv_fail(err, op->code, "fake: told to fail %s", name);
    if (op->failures_left > 0 && op->failures_left != G_MAXUINT)
        op->failures_left--;
    dv_unlock(&fake->lock);
    return false;
}

static void leave(FakeVirt *fake) DV_NO_ANALYSIS
{
    dv_unlock(&fake->lock);
}

static void send_event(FakeVirt *fake, const char *uuid, GuestEventKind kind, const char *detail)
{
    GuestEvent event = {.kind = kind, .detail = detail};
    GuestEventFn sink;
    void *arg;

    g_strlcpy(event.uuid, uuid, sizeof(event.uuid));
    dv_lock(&fake->lock);
    sink = fake->sink;
    arg = fake->sink_arg;
    dv_unlock(&fake->lock);
    if (sink)
        sink(arg, &event);
}

static FakeGuest *find(FakeVirt *fake, const char *uuid) DV_REQUIRES(fake->lock)
{
    return g_hash_table_lookup(fake->guests, uuid);
}

static bool not_there(FakeVirt *fake, const char *uuid, GError **err) DV_NO_ANALYSIS
{
    leave(fake);
    return dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is not there", uuid);
}

/* --- the operations -------------------------------------------------------------------------- */

static bool fake_host_facts(void *self, HostFacts **out, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;

    if (!enter(fake, "host_facts", err))
        return false;
    *out = host_facts_copy(fake->facts);
    g_free((*out)->uptime);
    (*out)->uptime = host_uptime();
    leave(fake);
    return true;
}

static bool fake_list(void *self, GPtrArray **out, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    GHashTableIter iter;
    gpointer value;

    if (!enter(fake, "list", err))
        return false;
    *out = g_ptr_array_new_with_free_func((GDestroyNotify)virt_guest_free);
    g_hash_table_iter_init(&iter, fake->guests);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const FakeGuest *guest = value;
        VirtGuest *copy = g_new0(VirtGuest, 1);

        g_strlcpy(copy->uuid, guest->uuid, sizeof(copy->uuid));
        copy->name = g_strdup(guest->name);
        copy->state = guest->state;
        g_ptr_array_add(*out, copy);
    }
    leave(fake);
    return true;
}

static bool fake_state(void *self, const char *uuid, GuestState *out, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest;

    if (!enter(fake, "state", err))
        return false;
    guest = find(fake, uuid);
    *out = guest ? guest->state : GUEST_STATE_NONE;
    leave(fake);
    return true;
}

static bool fake_plug(void *self, const DvCtx *ctx G_GNUC_UNUSED, const GuestSpec *spec,
                      GError **err) DV_NO_ANALYSIS
{
    static const char *const types[] = {"bridge", "ovs", NULL};
    FakeVirt *fake = self;

    if (!enter(fake, "plug", err))
        return false;
    leave(fake);
    for (guint i = 0; i < spec->nics->len; i++) {
        const NicSpec *nic = g_ptr_array_index(spec->nics, i);

        if (!nic->type || !g_strv_contains(types, nic->type))
            return dv_fail(err, DV_E_UNSUPPORTED, "plugging port %s: VIF type %s is not supported",
                           nic->port_id, nic->type ? nic->type : "(none)");
    }
    return true;
}

static FakeGuest *add_guest(FakeVirt *fake, const char *uuid, const char *name, GuestState state)
    DV_REQUIRES(fake->lock)
{
    FakeGuest *guest = g_new0(FakeGuest, 1);

    guest->uuid = g_strdup(uuid);
    guest->name = g_strdup(name);
    guest->state = state;
    guest->console = g_strdup("");
    g_hash_table_replace(fake->guests, guest->uuid, guest);
    return guest;
}

static bool is_active(const FakeGuest *guest)
{
    return guest->state != GUEST_STATE_OFF && guest->state != GUEST_STATE_CRASHED;
}

static bool fake_start(void *self, const DvCtx *ctx G_GNUC_UNUSED, const GuestSpec *spec,
                       bool paused, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest;

    if (!enter(fake, "start", err))
        return false;
    guest = find(fake, spec->uuid);
    if (guest && is_active(guest)) {
        leave(fake);
        return dv_fail(err, DV_E_INSTANCE_EXISTS, "guest %s runs already", spec->uuid);
    }
    guest = add_guest(fake, spec->uuid, spec->name,
                      paused ? GUEST_STATE_PAUSED : GUEST_STATE_RUNNING);
    guest->vnc_listen = g_strdup(spec->vnc_listen);
    guest->vnc_port = fake->next_vnc_port++;
    leave(fake);
    send_event(fake, spec->uuid, GUEST_EVENT_STARTED, "booted");
    if (paused)
        send_event(fake, spec->uuid, GUEST_EVENT_PAUSED, "paused");
    return true;
}

static bool fake_resume(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                        GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest;
    bool was_paused;

    if (!enter(fake, "resume", err))
        return false;
    guest = find(fake, uuid);
    if (!guest)
        return not_there(fake, uuid, err);
    if (!is_active(guest)) {
        leave(fake);
        return dv_fail(err, DV_E_HYPERVISOR, "guest %s is not running", uuid);
    }
    was_paused = guest->state == GUEST_STATE_PAUSED;
    guest->state = GUEST_STATE_RUNNING;
    leave(fake);
    if (was_paused)
        send_event(fake, uuid, GUEST_EVENT_RESUMED, "unpaused");
    return true;
}

static bool fake_destroy(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                         GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest;
    bool was_active;

    if (!enter(fake, "destroy", err))
        return false;
    guest = find(fake, uuid);
    if (!guest) {
        leave(fake);
        return true;
    }
    was_active = is_active(guest);
    g_hash_table_remove(fake->guests, uuid);
    leave(fake);
    if (was_active)
        send_event(fake, uuid, GUEST_EVENT_STOPPED, "destroyed");
    send_event(fake, uuid, GUEST_EVENT_UNDEFINED, "undefined");
    return true;
}

static bool fake_console_output(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                                size_t max_bytes, char **out, size_t *out_length,
                                GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest;
    size_t length;

    if (!enter(fake, "console_output", err))
        return false;
    guest = find(fake, uuid);
    if (!guest)
        return not_there(fake, uuid, err);
    length = strlen(guest->console);
    *out = g_strdup(guest->console + (length > max_bytes ? length - max_bytes : 0));
    if (out_length)
        *out_length = MIN(length, max_bytes);
    leave(fake);
    return true;
}

static bool fake_vnc_console(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                             VirtConsole *out, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest;
    bool has_vnc;

    if (!enter(fake, "vnc_console", err))
        return false;
    guest = find(fake, uuid);
    if (!guest)
        return not_there(fake, uuid, err);
    has_vnc = is_active(guest) && guest->vnc_listen;
    if (has_vnc)
        *out = (VirtConsole){.host = g_strdup(guest->vnc_listen), .port = guest->vnc_port};
    leave(fake);
    return has_vnc ||
           dv_fail(err, DV_E_CONSOLE_TYPE_UNAVAILABLE, "guest %s has no VNC server now", uuid);
}

static bool fake_describe(void *self, const char *uuid, char **out_xml, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest;

    if (!enter(fake, "describe", err))
        return false;
    guest = find(fake, uuid);
    if (!guest)
        return not_there(fake, uuid, err);
    *out_xml = g_markup_printf_escaped(
        "<domain type='fake'><name>%s</name><uuid>%s</uuid></domain>", guest->name, guest->uuid);
    leave(fake);
    return true;
}

static void fake_set_event_sink(void *self, GuestEventFn sink, void *arg)
{
    FakeVirt *fake = self;

    dv_lock(&fake->lock);
    fake->sink = sink;
    fake->sink_arg = arg;
    dv_unlock(&fake->lock);
}

static bool fake_connected(void *self)
{
    FakeVirt *fake = self;
    bool connected;

    dv_lock(&fake->lock);
    connected = fake->connected;
    dv_unlock(&fake->lock);
    return connected;
}

/* Calls that a test holds count as stuck. */
static unsigned fake_stuck_calls(void *self, int64_t *out_oldest_ms, const char **out_name)
{
    FakeVirt *fake = self;
    GHashTableIter iter;
    gpointer value;
    unsigned stuck = 0;

    dv_lock(&fake->lock);
    g_hash_table_iter_init(&iter, fake->ops);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        stuck += ((const FakeOp *)value)->held_now;
    dv_unlock(&fake->lock);
    if (out_oldest_ms)
        *out_oldest_ms = 0;
    if (out_name)
        *out_name = stuck > 0 ? "held by a test" : NULL;
    return stuck;
}

static unsigned count_held(FakeVirt *fake) DV_REQUIRES(fake->lock)
{
    GHashTableIter iter;
    gpointer value;
    unsigned held = 0;

    g_hash_table_iter_init(&iter, fake->ops);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        held += ((const FakeOp *)value)->held_now;
    return held;
}

static void fake_free(void *self)
{
    FakeVirt *fake = self;

    dv_lock(&fake->lock);
    fake->stopping = true;
    dv_cond_broadcast(&fake->changed);
    while (count_held(fake) > 0)
        dv_cond_wait(&fake->changed, &fake->lock);
    dv_unlock(&fake->lock);
    g_hash_table_unref(fake->guests);
    g_hash_table_unref(fake->ops);
    host_facts_free(fake->facts);
    dv_cond_done(&fake->changed);
    dv_mutex_done(&fake->lock);
    g_free(fake);
}

static const VirtOps fake_ops = {
    .host_facts = fake_host_facts,
    .list = fake_list,
    .state = fake_state,
    .plug = fake_plug,
    .start = fake_start,
    .resume = fake_resume,
    .destroy = fake_destroy,
    .console_output = fake_console_output,
    .vnc_console = fake_vnc_console,
    .describe = fake_describe,
    .set_event_sink = fake_set_event_sink,
    .connected = fake_connected,
    .stuck_calls = fake_stuck_calls,
    .free = fake_free,
};

VirtDriver *virt_fake_new(const VirtConfig *config G_GNUC_UNUSED)
{
    FakeVirt *fake = g_new0(FakeVirt, 1);
    VirtDriver *driver = g_new0(VirtDriver, 1);

    dv_mutex_init(&fake->lock);
    dv_cond_init(&fake->changed);
    fake->guests = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, fake_guest_free);
    fake->ops = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    fake->facts = default_facts();
    fake->next_vnc_port = FIRST_VNC_PORT;
    fake->connected = true;
    driver->ops = &fake_ops;
    driver->self = fake;
    return driver;
}

/* --- steering -------------------------------------------------------------------------------- */

FakeVirt *fake_virt(VirtDriver *driver)
{
    g_assert(driver->ops == &fake_ops);
    return driver->self;
}

void fake_virt_fail(FakeVirt *fake, const char *name, DvErrorCode code, unsigned times)
{
    FakeOp *op;

    dv_lock(&fake->lock);
    op = op_of(fake, name);
    op->code = code;
    op->failures_left = times;
    dv_unlock(&fake->lock);
}

static void set_hold(FakeVirt *fake, const char *name, bool hold)
{
    dv_lock(&fake->lock);
    op_of(fake, name)->hold = hold;
    dv_cond_broadcast(&fake->changed);
    dv_unlock(&fake->lock);
}

void fake_virt_hold(FakeVirt *fake, const char *name)
{
    set_hold(fake, name, true);
}

void fake_virt_release(FakeVirt *fake, const char *name)
{
    set_hold(fake, name, false);
}

bool fake_virt_wait_held(FakeVirt *fake, const char *name, int64_t timeout_ms)
{
    int64_t deadline = dv_now_ms() + timeout_ms;
    bool held;

    dv_lock(&fake->lock);
    while (op_of(fake, name)->held_now == 0 &&
           dv_cond_wait_until(&fake->changed, &fake->lock, deadline))
        ;
    held = op_of(fake, name)->held_now > 0;
    dv_unlock(&fake->lock);
    return held;
}

unsigned fake_virt_calls(FakeVirt *fake, const char *name)
{
    unsigned calls;

    dv_lock(&fake->lock);
    calls = op_of(fake, name)->calls;
    dv_unlock(&fake->lock);
    return calls;
}

void fake_virt_set_connected(FakeVirt *fake, bool connected)
{
    dv_lock(&fake->lock);
    fake->connected = connected;
    dv_unlock(&fake->lock);
}

void fake_virt_guest_does(FakeVirt *fake, const char *uuid, GuestEventKind kind, const char *detail)
{
    static const GuestState after[] = {
        [GUEST_EVENT_STARTED] = GUEST_STATE_RUNNING,
        [GUEST_EVENT_STOPPED] = GUEST_STATE_OFF,
        [GUEST_EVENT_PAUSED] = GUEST_STATE_PAUSED,
        [GUEST_EVENT_RESUMED] = GUEST_STATE_RUNNING,
        [GUEST_EVENT_SUSPENDED] = GUEST_STATE_SUSPENDED,
        [GUEST_EVENT_CRASHED] = GUEST_STATE_CRASHED,
        [GUEST_EVENT_UNDEFINED] = GUEST_STATE_NONE,
    };
    FakeGuest *guest;

    dv_lock(&fake->lock);
    guest = find(fake, uuid);
    if (guest && kind == GUEST_EVENT_UNDEFINED)
        g_hash_table_remove(fake->guests, uuid);
    else if (guest)
        guest->state = after[kind];
    dv_unlock(&fake->lock);
    send_event(fake, uuid, kind, detail);
}

void fake_virt_add_guest(FakeVirt *fake, const char *uuid, const char *name, GuestState state)
{
    dv_lock(&fake->lock);
    add_guest(fake, uuid, name, state);
    dv_unlock(&fake->lock);
}

void fake_virt_set_console(FakeVirt *fake, const char *uuid, const char *text)
{
    FakeGuest *guest;

    dv_lock(&fake->lock);
    guest = find(fake, uuid);
    if (guest) {
        g_free(guest->console);
        guest->console = g_strdup(text);
    }
    dv_unlock(&fake->lock);
}

void fake_virt_set_facts(FakeVirt *fake, const HostFacts *facts)
{
    dv_lock(&fake->lock);
    host_facts_free(fake->facts);
    fake->facts = host_facts_copy(facts);
    dv_unlock(&fake->lock);
}

unsigned fake_virt_guest_count(FakeVirt *fake)
{
    unsigned count;

    dv_lock(&fake->lock);
    count = g_hash_table_size(fake->guests);
    dv_unlock(&fake->lock);
    return count;
}
