/* What is done to running guests of the hypervisor in memory, as virt/driver.h promises it. */
#include "virt/fake/fake_priv.h"

bool fake_inject_nmi(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                     GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = fake_enter_guest(fake, "inject_nmi", uuid, err);
    bool active;

    if (!guest)
        return false;
    active = fake_is_active(guest);
    guest->nmis += active;
    fake_leave(fake);
    return active || dv_fail(err, DV_E_INSTANCE_NOT_RUNNING, "Instance %s is not running.", uuid);
}

bool fake_set_password(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                       const char *user, const char *password, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = fake_enter_guest(fake, "set_password", uuid, err);
    bool has_agent;

    if (!guest)
        return false;
    has_agent = guest->agent && fake_is_active(guest);
    if (has_agent) {
        g_free(guest->password);
        guest->password = g_strdup_printf("%s:%s", user, password);
    }
    fake_leave(fake);
    return has_agent || dv_fail(err, DV_E_HYPERVISOR, "guest %s has no agent", uuid);
}

void fake_sync_time(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid G_GNUC_UNUSED)
{
    FakeVirt *fake = self;

    dv_lock(&fake->lock);
    fake_op_of(fake, "sync_time")->calls++;
    dv_unlock(&fake->lock);
}

/* A guest with one of everything; the numbers tell the fields apart. */
static GuestStats *some_stats(const FakeGuest *guest)
{
    GuestStats *stats = guest_stats_new();
    GuestDiskStats *disk = guest_stats_add_disk(stats, "vda");
    GuestNicStats *nic = guest_stats_add_nic(stats, "tap73d86ab9-e0", "fa:16:3e:00:00:01");
    GuestCpuStats cpu = {.id = 0, .time_ns = 12000000000};
    GuestMemoryStat memory = {"actual", 131072};

    stats->state = guest->state;
    stats->memory_kib = 131072;
    stats->memory_max_kib = 2097152;
    g_array_append_val(stats->cpus, cpu);
    g_array_append_val(stats->memory, memory);
    disk->read_requests = 11;
    disk->read_bytes = 12;
    disk->write_requests = 13;
    disk->write_bytes = 14;
    *nic = (GuestNicStats){nic->target, nic->mac, 21, 22, 23, 24, 31, 32, 33, 34};
    return stats;
}

bool fake_stats(void *self, const char *uuid, GuestStats **out, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest = fake_enter_guest(fake, "stats", uuid, err);

    if (!guest)
        return false;
    *out = some_stats(guest);
    fake_leave(fake);
    return true;
}

bool fake_abort_job(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                    GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest;
    FakeOp *save;
    bool ok;

    if (!fake_enter(fake, "abort_job", err))
        return false;
    save = fake_op_of(fake, "save");
    save->aborted = save->held_now > 0;
    guest = fake_find(fake, uuid);
    ok = !guest || !guest->move || fake_move_cancel(fake, guest, err);
    dv_cond_broadcast(&fake->changed);
    fake_leave(fake);
    return ok;
}
