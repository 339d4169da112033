/* What tests make the hypervisor in memory do; see fake_driver.h. */
#include "virt/fake/fake_priv.h"

void fake_virt_fail(FakeVirt *fake, const char *name, DvErrorCode code, unsigned times)
{
    FakeOp *op;

    dv_lock(&fake->lock);
    op = fake_op_of(fake, name);
    op->code = code;
    op->failures_left = times;
    dv_unlock(&fake->lock);
}

static void set_hold(FakeVirt *fake, const char *name, bool hold)
{
    dv_lock(&fake->lock);
    fake_op_of(fake, name)->hold = hold;
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
    while (fake_op_of(fake, name)->held_now == 0 &&
           dv_cond_wait_until(&fake->changed, &fake->lock, deadline))
        ;
    held = fake_op_of(fake, name)->held_now > 0;
    dv_unlock(&fake->lock);
    return held;
}

unsigned fake_virt_held(FakeVirt *fake, const char *name)
{
    unsigned held;

    dv_lock(&fake->lock);
    held = fake_op_of(fake, name)->held_now;
    dv_unlock(&fake->lock);
    return held;
}

unsigned fake_virt_calls(FakeVirt *fake, const char *name)
{
    unsigned calls;

    dv_lock(&fake->lock);
    calls = fake_op_of(fake, name)->calls;
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
        [GUEST_EVENT_INCOMING] = GUEST_STATE_PAUSED,
        [GUEST_EVENT_POSTCOPY_STARTED] = GUEST_STATE_PAUSED,
        [GUEST_EVENT_MIGRATION_SWITCHES] = GUEST_STATE_PAUSED,
        [GUEST_EVENT_MOVED_AWAY] = GUEST_STATE_OFF,
    };
    FakeGuest *guest;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    if (guest && kind == GUEST_EVENT_UNDEFINED)
        g_hash_table_remove(fake->guests, uuid);
    else if (guest)
        guest->state = after[kind];
    dv_unlock(&fake->lock);
    fake_send_event(fake, uuid, kind, detail);
}

void fake_virt_add_guest(FakeVirt *fake, const char *uuid, const char *name, GuestState state)
{
    dv_lock(&fake->lock);
    fake_add_guest(fake, uuid, name, state);
    dv_unlock(&fake->lock);
}

void fake_virt_set_console(FakeVirt *fake, const char *uuid, const char *text)
{
    FakeGuest *guest;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    if (guest) {
        g_free(guest->console);
        guest->console = g_strdup(text);
    }
    dv_unlock(&fake->lock);
}

void fake_virt_ignore_shutdown(FakeVirt *fake, const char *uuid, bool ignores)
{
    FakeGuest *guest;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    if (guest)
        guest->ignores = ignores;
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

unsigned fake_virt_nmis(FakeVirt *fake, const char *uuid)
{
    const FakeGuest *guest;
    unsigned nmis;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    nmis = guest ? guest->nmis : 0;
    dv_unlock(&fake->lock);
    return nmis;
}

char *fake_virt_password(FakeVirt *fake, const char *uuid)
{
    const FakeGuest *guest;
    char *text;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    text = guest ? g_strdup(guest->password) : NULL;
    dv_unlock(&fake->lock);
    return text;
}

char *fake_virt_tpm(FakeVirt *fake, const char *uuid)
{
    char *value;

    dv_lock(&fake->lock);
    value = g_strdup(g_hash_table_lookup(fake->tpms, uuid));
    dv_unlock(&fake->lock);
    return value;
}
