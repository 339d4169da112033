/* Migrations between two hypervisors in memory, as virt/driver.h promises them.
 *
 * A migration belongs to the guest at the source and advances by passes, which whoever waits for
 * its end drives: the caller of migrate, or of migrate_watch for one that somebody else began. What
 * a pass reports, and what follows the last, is the test's plan.
 *
 * Threads    never the locks of two hypervisors at once. */
#include "virt/fake/fake_priv.h"

#define REPEAT_PAUSE_US 1000

void fake_move_free(FakeMove *move)
{
    if (!move)
        return;
    g_free(move->dest_xml);
    g_free(move);
}

/* ---- the destination ---- */

static bool receive(FakeVirt *peer, const char *uuid, const char *name, GError **err)
{
    FakeGuest *there;
    bool connected, busy;

    dv_lock(&peer->lock);
    connected = peer->connected && !peer->stopping;
    there = fake_find(peer, uuid);
    busy = there && fake_is_active(there);
    if (connected && !busy)
        fake_add_guest(peer, uuid, name, GUEST_STATE_PAUSED);
    dv_unlock(&peer->lock);
    if (!connected)
        return dv_fail(err, DV_E_HYPERVISOR, "fake: unable to connect to the destination");
    if (busy)
        return dv_fail(err, DV_E_HYPERVISOR, "fake: guest %s is active at the destination", uuid);
    fake_send_event(peer, uuid, GUEST_EVENT_INCOMING, "migrated");
    return true;
}

/* What was received of a guest that stays where it was. */
static void give_up(FakeVirt *peer, const char *uuid)
{
    bool was_there;

    dv_lock(&peer->lock);
    was_there = g_hash_table_remove(peer->guests, uuid);
    dv_unlock(&peer->lock);
    if (was_there)
        fake_send_event(peer, uuid, GUEST_EVENT_STOPPED, "failed");
}

static bool is_there(FakeVirt *peer)
{
    bool connected;

    dv_lock(&peer->lock);
    connected = peer->connected && !peer->stopping;
    dv_unlock(&peer->lock);
    return connected;
}

/* The guest becomes the destination's. */
static void arrive(FakeVirt *peer, FakeGuest *guest, GuestState state)
{
    g_autofree char *uuid = g_strdup(guest->uuid);

    guest->state = state;
    dv_lock(&peer->lock);
    g_hash_table_replace(peer->guests, guest->uuid, guest);
    dv_unlock(&peer->lock);
    if (state == GUEST_STATE_RUNNING)
        fake_send_event(peer, uuid, GUEST_EVENT_RESUMED, "migrated");
}

/* ---- the beginning ---- */

static char *as_text(const VirtMigration *migration, bool post_copy)
{
    GString *text = g_string_new(migration->dest_uri);

    if (migration->migrate_uri)
        g_string_append_printf(text, " %s", migration->migrate_uri);
    if (migration->disks && migration->disks[0]) {
        g_autofree char *disks = g_strjoinv(",", (char **)migration->disks);

        g_string_append_printf(text, " disks=%s", disks);
    }
    g_string_append_printf(text, " bandwidth=%" G_GUINT64_FORMAT, migration->bandwidth_mib);
    if (migration->connections > 1)
        g_string_append_printf(text, " connections=%u", migration->connections);
    g_string_append_printf(
        text, "%s%s%s%s", migration->tunnelled ? " tunnelled" : "", migration->tls ? " tls" : "",
        migration->auto_converge ? " auto_converge" : "", post_copy ? " post_copy" : "");
    return g_string_free(text, FALSE);
}

static FakeVirt *peer_of(FakeVirt *fake, const char *dest_uri) DV_REQUIRES(fake->lock)
{
    g_autoptr(GUri) uri = g_uri_parse(dest_uri, G_URI_FLAGS_NONE, NULL);

    return uri ? g_hash_table_lookup(fake->peers, g_uri_get_host(uri)) : NULL;
}

/* With the lock; the move is the guest's when it succeeds. */
static bool begin(FakeVirt *fake, FakeGuest *guest, const VirtMigration *migration, GError **err)
    DV_REQUIRES(fake->lock)
{
    bool may_post_copy = migration->post_copy && guest->state != GUEST_STATE_PAUSED;
    FakeVirt *peer = peer_of(fake, migration->dest_uri);
    FakeMove *move;

    if (!fake_is_active(guest))
        return dv_fail(err, DV_E_HYPERVISOR, "fake: guest %s is not running", guest->uuid);
    if (guest->move)
        return dv_fail(err, DV_E_HYPERVISOR, "fake: another migration of %s runs", guest->uuid);
    if (!peer)
        return dv_fail(err, DV_E_HYPERVISOR, "fake: unable to connect to %s", migration->dest_uri);
    g_free(fake->last_migration);
    fake->last_migration = as_text(migration, may_post_copy);
    move = g_new0(FakeMove, 1);
    move->peer = peer;
    move->dest_xml = g_strdup(migration->dest_xml);
    move->bandwidth_mib = migration->bandwidth_mib;
    move->may_post_copy = may_post_copy;
    move->before = guest->state;
    move->job.state = VIRT_JOB_RUNNING;
    guest->move = move;
    return true;
}

static void drop_move(FakeVirt *fake, const char *uuid)
{
    FakeGuest *guest;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    if (guest) {
        fake_move_free(guest->move);
        guest->move = NULL;
    }
    dv_unlock(&fake->lock);
}

/* ---- passes ---- */

typedef enum { PASS_TOLD, PASS_LAST, PASS_CANCELLED, PASS_GONE } Pass;

static bool is_settled(const FakeVirt *fake, const FakeGuest *guest) DV_REQUIRES(fake->lock)
{
    const FakeMove *move = guest->move;

    switch (fake->plan.end) {
    case FAKE_MIGRATION_COMPLETES:
    case FAKE_MIGRATION_FAILS:
    case FAKE_MIGRATION_FORGETS:
    case FAKE_MIGRATION_FORGETS_HERE:
    case FAKE_MIGRATION_FORGETS_HALF:
        return true;
    case FAKE_MIGRATION_STAYS:
    case FAKE_MIGRATION_BREAKS:
        break;
    }
    return guest->state == GUEST_STATE_PAUSED ||
           (move->job.downtime_ms > 0 && move->max_downtime_ms >= move->job.downtime_ms);
}

/* What the next pass reports. */
static void advance(FakeVirt *fake, FakeMove *move) DV_REQUIRES(fake->lock)
{
    const FakeMigration *plan = &fake->plan;
    VirtJobState state = move->job.state;
    uint64_t elapsed_ms = move->job.elapsed_ms;

    if (move->passes < plan->job_count)
        move->job = plan->jobs[move->passes];
    else
        move->job.elapsed_ms = elapsed_ms + plan->pass_ms;
    move->passes++;
    move->job.state = state;
    if (move->job.iteration == 0 || move->passes > plan->job_count)
        move->job.iteration = move->passes;
}

static Pass next_pass(FakeVirt *fake, const char *uuid, VirtJob *out) DV_REQUIRES(fake->lock)
{
    FakeGuest *guest = fake_find(fake, uuid);
    FakeMove *move = guest ? guest->move : NULL;
    unsigned planned = MAX(fake->plan.job_count, 1);
    bool leaving;

    if (!move)
        return PASS_GONE;
    if (move->cancelled)
        return PASS_CANCELLED;
    leaving = move->job.state == VIRT_JOB_POST_COPY;
    if (leaving ? move->post_copy_told : move->passes >= planned && is_settled(fake, guest))
        return PASS_LAST;
    move->post_copy_told = leaving;
    advance(fake, move);
    *out = move->job;
    return PASS_TOLD;
}

bool fake_move_cancel(FakeVirt *fake, FakeGuest *guest, GError **err)
{
    FakeOp *iteration = fake_op_of(fake, "iteration");

    if (guest->move->job.state == VIRT_JOB_POST_COPY)
        return dv_fail(err, DV_E_HYPERVISOR, "fake: the migration is in post-copy");
    guest->move->cancelled = true;
    iteration->aborted = iteration->held_now > 0;
    return true;
}

/* ---- the end ---- */

/* The guest stays, and is as it was before: what stopped it was for the migration's sake. */
static bool stay(FakeVirt *fake, const char *uuid, DvErrorCode code, GError **err)
{
    FakeVirt *peer = NULL;
    bool resumed = false;
    FakeGuest *guest;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    if (guest && guest->move) {
        peer = guest->move->peer;
        resumed = guest->state != guest->move->before;
        guest->state = guest->move->before;
    }
    dv_unlock(&fake->lock);
    drop_move(fake, uuid);
    if (peer)
        give_up(peer, uuid);
    if (resumed)
        fake_send_event(fake, uuid, GUEST_EVENT_RESUMED, "migrated");
    return dv_fail(err, code, "fake: the migration of guest %s %s", uuid,
                   code == DV_E_CANCELLED ? "was cancelled" : "failed");
}

static bool break_off(FakeVirt *fake, const char *uuid, FakeVirt *peer, GError **err)
{
    drop_move(fake, uuid); /* paused here since post-copy began */
    give_up(peer, uuid);
    return dv_fail(err, DV_E_POST_COPY_BROKEN,
                   "fake: the destination was lost in post-copy of guest %s", uuid);
}

/* The guest stands still here, and is there as `end` says. */
static bool forget(FakeVirt *fake, const char *uuid, FakeVirt *peer, FakeMigrationEnd end,
                   GError **err)
{
    drop_move(fake, uuid);
    if (end == FAKE_MIGRATION_FORGETS_HERE) {
        give_up(peer, uuid);
    } else if (end == FAKE_MIGRATION_FORGETS) {
        dv_lock(&peer->lock);
        if (fake_find(peer, uuid))
            fake_find(peer, uuid)->state = GUEST_STATE_RUNNING;
        dv_unlock(&peer->lock);
        fake_send_event(peer, uuid, GUEST_EVENT_RESUMED, "migrated");
    }
    return dv_fail(err, DV_E_INSTANCE_NOT_FOUND,
                   "fake: nobody here knows where guest %s runs since it was switched over", uuid);
}

/* The source's part is taken away, and is the destination's. */
static void leave(FakeVirt *fake, const char *uuid, FakeVirt *peer, VirtJob *job)
{
    FakeGuest *guest = NULL;
    FakeMove *move;
    GuestState state;

    dv_lock(&fake->lock);
    if (fake_find(fake, uuid))
        g_hash_table_steal_extended(fake->guests, uuid, NULL, (gpointer *)&guest);
    dv_unlock(&fake->lock);
    if (!guest)
        return;
    move = g_steal_pointer(&guest->move);
    state = move->before;
    *job = move->job;
    job->state = VIRT_JOB_COMPLETED;
    if (move->dest_xml) {
        g_free(guest->xml);
        guest->xml = g_steal_pointer(&move->dest_xml);
    }
    fake_move_free(move);
    arrive(peer, guest, state);
    fake_send_event(fake, uuid, GUEST_EVENT_MOVED_AWAY, "migrated");
    fake_send_event(fake, uuid, GUEST_EVENT_UNDEFINED, "undefined");
}

static bool switch_over(FakeVirt *fake, const char *uuid, const VirtWatch *watch, GError **err)
{
    g_autoptr(GError) cause = NULL;
    FakeVirt *peer = NULL;
    FakeMigrationEnd end;
    FakeGuest *guest;
    bool stops = false, post_copy = false;
    VirtJob job = {0};

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    end = fake->plan.end;
    if (guest && guest->move) {
        peer = guest->move->peer;
        post_copy = guest->move->job.state == VIRT_JOB_POST_COPY;
        stops = guest->state == GUEST_STATE_RUNNING && end != FAKE_MIGRATION_FAILS;
        if (stops)
            guest->state = GUEST_STATE_PAUSED;
    }
    dv_unlock(&fake->lock);
    if (!peer)
        return dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is not there", uuid);
    if (end == FAKE_MIGRATION_FAILS)
        return stay(fake, uuid, DV_E_HYPERVISOR, err);
    if (post_copy && end == FAKE_MIGRATION_BREAKS)
        return break_off(fake, uuid, peer, err);
    if (stops)
        fake_send_event(fake, uuid, GUEST_EVENT_MIGRATION_SWITCHES, "migrated");
    if (end >= FAKE_MIGRATION_FORGETS)
        return forget(fake, uuid, peer, end, err);
    if (!fake_enter(fake, "switch", &cause))
        return stay(fake, uuid, dv_code(cause), err);
    fake_leave(fake);
    if (!is_there(peer))
        return stay(fake, uuid, DV_E_HYPERVISOR, err);
    leave(fake, uuid, peer, &job);
    if (watch)
        watch->job(watch->arg, &job);
    return true;
}

/* A pass that did not come about. Away, the migration goes on without us. */
static bool interrupted(FakeVirt *fake, const char *uuid, bool cancelled, GError *cause,
                        GError **err)
{
    bool fails;

    dv_lock(&fake->lock);
    fails = fake->plan.cancel_fails;
    dv_unlock(&fake->lock);
    if (cancelled)
        return stay(fake, uuid, fails ? DV_E_HYPERVISOR : DV_E_CANCELLED, err);
    if (!dv_is(cause, DV_E_UNAVAILABLE))
        return stay(fake, uuid, dv_code(cause), err);
    g_propagate_error(err, g_error_copy(cause));
    return false;
}

static bool is_cancelled(FakeVirt *fake, const char *uuid)
{
    const FakeGuest *guest;
    bool cancelled;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    cancelled = guest && guest->move && guest->move->cancelled;
    dv_unlock(&fake->lock);
    return cancelled;
}

static bool peer_is_lost(FakeVirt *fake, const char *uuid)
{
    const FakeGuest *guest;
    FakeVirt *peer;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    peer = guest && guest->move ? guest->move->peer : NULL;
    dv_unlock(&fake->lock);
    return peer && !is_there(peer);
}

static bool drive(FakeVirt *fake, const char *uuid, const VirtWatch *watch,
                  GError **err) DV_NO_ANALYSIS
{
    for (unsigned round = 0;; round++) {
        g_autoptr(GError) cause = NULL;
        VirtJob job = {0};
        Pass pass;

        if (!fake_enter(fake, "iteration", &cause))
            return interrupted(fake, uuid, is_cancelled(fake, uuid), cause, err);
        pass = next_pass(fake, uuid, &job);
        fake_leave(fake);
        if (pass == PASS_GONE)
            return dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is not there", uuid);
        if (pass == PASS_CANCELLED)
            return interrupted(fake, uuid, true, NULL, err);
        if (peer_is_lost(fake, uuid))
            return stay(fake, uuid, DV_E_HYPERVISOR, err);
        if (pass == PASS_LAST)
            return switch_over(fake, uuid, watch, err);
        if (watch)
            watch->job(watch->arg, &job);
        if (round > 0)
            g_usleep(REPEAT_PAUSE_US);
    }
}

/* ---- the operations ---- */

/* As fake_enter_guest, of a guest that is on its way. */
static FakeGuest *enter_move(FakeVirt *fake, const char *op, const char *uuid,
                             GError **err) DV_NO_ANALYSIS
{
    FakeGuest *guest = fake_enter_guest(fake, op, uuid, err);

    if (!guest || guest->move)
        return guest;
    fake_leave(fake);
    dv_fail(err, DV_E_HYPERVISOR, "fake: no migration of guest %s runs", uuid);
    return NULL;
}

static bool send_off(FakeVirt *fake, const char *op, const char *uuid,
                     const VirtMigration *migration, GError **err) DV_NO_ANALYSIS
{
    FakeGuest *guest;
    g_autofree char *name = NULL;
    FakeVirt *peer = NULL;
    bool ok;

    if (migration->tunnelled && migration->disks && migration->disks[0])
        return dv_fail(err, DV_E_UNSUPPORTED, "fake: a tunnelled migration cannot copy disks");
    guest = fake_enter_guest(fake, op, uuid, err);
    if (!guest)
        return false;
    ok = begin(fake, guest, migration, err);
    if (ok) {
        name = g_strdup(guest->name);
        peer = guest->move->peer;
    }
    fake_leave(fake);
    if (!ok)
        return false;
    if (receive(peer, uuid, name, err))
        return true;
    drop_move(fake, uuid);
    return false;
}

bool fake_migrate(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                  const VirtMigration *migration, const VirtWatch *watch, GError **err)
{
    return send_off(self, "migrate", uuid, migration, err) && drive(self, uuid, watch, err);
}

bool fake_migrate_watch(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                        const VirtWatch *watch, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest = fake_enter_guest(fake, "migrate_watch", uuid, err);
    bool moves;

    if (!guest)
        return false;
    moves = guest->move;
    fake_leave(fake);
    if (!moves)
        return dv_fail(err, DV_E_NOT_FOUND, "fake: no migration of guest %s runs", uuid);
    return drive(fake, uuid, watch, err);
}

bool fake_job(void *self, const char *uuid, VirtJob *out, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest = fake_enter_guest(fake, "job", uuid, err);

    if (!guest)
        return false;
    *out = guest->move ? guest->move->job : (VirtJob){.state = VIRT_JOB_NONE};
    fake_leave(fake);
    return true;
}

bool fake_post_copy(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                    GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = enter_move(fake, "post_copy", uuid, err);
    bool may;

    if (!guest)
        return false;
    may = guest->move->may_post_copy;
    if (may) {
        guest->move->job.state = VIRT_JOB_POST_COPY;
        guest->state = GUEST_STATE_PAUSED;
    }
    fake_leave(fake);
    if (!may)
        return dv_fail(err, DV_E_HYPERVISOR, "fake: post-copy was not permitted");
    fake_send_event(fake, uuid, GUEST_EVENT_POSTCOPY_STARTED, "postcopy");
    return true;
}

bool fake_set_max_downtime(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                           uint64_t downtime_ms, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = enter_move(fake, "set_max_downtime", uuid, err);

    if (!guest)
        return false;
    guest->move->max_downtime_ms = downtime_ms;
    fake_leave(fake);
    return true;
}

bool fake_set_bandwidth(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                        uint64_t mib_per_s, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = enter_move(fake, "set_bandwidth", uuid, err);

    if (!guest)
        return false;
    guest->move->bandwidth_mib = mib_per_s;
    fake_leave(fake);
    return true;
}

/* ---- the description ---- */

static const NicSpec *nic_of(const GPtrArray *nics, const char *mac)
{
    for (guint i = 0; i < nics->len; i++) {
        const NicSpec *nic = g_ptr_array_index(nics, i);

        if (g_ascii_strcasecmp(nic->mac, mac) == 0)
            return nic;
    }
    return NULL;
}

static bool describe_nics(GString *xml, const FakeGuest *guest, const GPtrArray *nics, GError **err)
{
    for (guint i = 0; nics && i < guest->devices->len; i++) {
        const VirtDevice *device = g_ptr_array_index(guest->devices, i);
        const NicSpec *nic;

        if (device->kind != VIRT_DEVICE_NIC)
            continue;
        nic = nic_of(nics, device->mac);
        if (!nic)
            return dv_fail(err, DV_E_MIGRATION_PRECHECK,
                           "port with MAC %s is not among the destination's", device->mac);
        g_string_append_printf(xml,
                               "<interface type='%s'><mac address='%s'/><source bridge='%s'/>"
                               "<target dev='%s'/></interface>",
                               nic->type, nic->mac, nic->bridge ? nic->bridge : "",
                               nic->devname ? nic->devname : "");
    }
    return true;
}

/* The guest's own description with what the destination changes behind it. */
static bool describe_for(const FakeGuest *guest, const VirtDestination *destination, char **out,
                         GError **err)
{
    g_autoptr(GString) xml = g_string_new(guest->xml);

    g_string_truncate(xml, xml->len - strlen("</domain>"));
    if (destination->vnc_listen)
        g_string_append_printf(xml, "<graphics type='vnc' listen='%s'/>", destination->vnc_listen);
    if (destination->spice_listen)
        g_string_append_printf(xml, "<graphics type='spice' listen='%s'/>",
                               destination->spice_listen);
    for (size_t i = 0; i < destination->serial_port_count; i++)
        g_string_append_printf(xml, "<serial type='tcp'><source host='%s' service='%d'/></serial>",
                               destination->serial_listen, destination->serial_ports[i]);
    if (destination->cpuset)
        g_string_append_printf(xml, "<vcpu cpuset='%s'/>", destination->cpuset);
    if (!describe_nics(xml, guest, destination->nics, err))
        return false;
    g_string_append(xml, "</domain>");
    *out = g_strdup(xml->str);
    return true;
}

bool fake_migration_xml(void *self, const char *uuid, const VirtDestination *destination,
                        char **out, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest = fake_enter_guest(fake, "migration_xml", uuid, err);
    bool ok;

    if (!guest)
        return false;
    ok = describe_for(guest, destination, out, err);
    fake_leave(fake);
    return ok;
}

/* Every CPU will do, unless the test says otherwise. */
bool fake_compare_cpu(void *self, const DvCtx *ctx G_GNUC_UNUSED, const VirtCpu *cpu G_GNUC_UNUSED,
                      GError **err) DV_NO_ANALYSIS
{
    if (!fake_enter(self, "compare_cpu", err))
        return false;
    fake_leave(self);
    return true;
}

/* ---- steering ---- */

void fake_virt_add_peer(FakeVirt *fake, const char *address, FakeVirt *peer)
{
    dv_lock(&fake->lock);
    g_hash_table_replace(fake->peers, g_strdup(address), peer);
    dv_unlock(&fake->lock);
}

void fake_virt_plan_migration(FakeVirt *fake, const FakeMigration *plan)
{
    dv_lock(&fake->lock);
    g_free((void *)fake->plan.jobs);
    fake->plan = *plan;
    fake->plan.jobs = g_memdup2(plan->jobs, plan->job_count * sizeof(*plan->jobs));
    dv_unlock(&fake->lock);
}

void fake_virt_begin_migration(FakeVirt *fake, const char *uuid, const VirtMigration *migration)
{
    g_autoptr(GError) err = NULL;

    if (!send_off(fake, "begin_migration", uuid, migration, &err))
        g_error("beginning a migration: %s", err->message);
}

char *fake_virt_last_migration(FakeVirt *fake)
{
    char *text;

    dv_lock(&fake->lock);
    text = g_strdup(fake->last_migration);
    dv_unlock(&fake->lock);
    return text;
}

uint64_t fake_virt_max_downtime(FakeVirt *fake, const char *uuid)
{
    const FakeGuest *guest;
    uint64_t downtime_ms;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    downtime_ms = guest && guest->move ? guest->move->max_downtime_ms : 0;
    dv_unlock(&fake->lock);
    return downtime_ms;
}

uint64_t fake_virt_bandwidth(FakeVirt *fake, const char *uuid)
{
    const FakeGuest *guest;
    uint64_t mib_per_s;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    mib_per_s = guest && guest->move ? guest->move->bandwidth_mib : 0;
    dv_unlock(&fake->lock);
    return mib_per_s;
}
