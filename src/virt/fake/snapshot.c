/* Copies of disks and frozen file systems of the hypervisor in memory.
 *
 * Guests here have no content, so a copy leaves its file as it was made: empty, on the disk's base.
 * What is kept is the order of the calls, which is where an agent can go wrong. */
#include "virt/fake/fake_priv.h"

/* Enters and finds the guest, which must run: NULL with err. */
static FakeGuest *enter_running(FakeVirt *fake, const char *op, const char *uuid,
                                GError **err) DV_NO_ANALYSIS
{
    FakeGuest *guest = fake_enter_guest(fake, op, uuid, err);

    if (!guest || fake_is_active(guest))
        return guest;
    fake_leave(fake);
    dv_fail(err, DV_E_HYPERVISOR, "guest %s is not running", uuid);
    return NULL;
}

bool fake_block_copy(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                     const VirtBlockCopy *copy, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = enter_running(fake, "block_copy", uuid, err);

    if (!guest)
        return false;
    g_free(guest->copied);
    guest->copied = NULL;
    if (copy->stop && copy->stop(copy->stop_arg)) {
        fake_leave(fake);
        return dv_fail(err, DV_E_CANCELLED, "the copy was stopped");
    }
    guest->copied = g_strdup(copy->disk_path);
    fake_leave(fake);
    return true;
}

bool fake_block_copy_end(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                         const char *disk_path, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = enter_running(fake, "block_copy_end", uuid, err);
    bool was_copied;

    if (!guest)
        return false;
    was_copied = g_strcmp0(guest->copied, disk_path) == 0;
    if (was_copied)
        g_clear_pointer(&guest->copied, g_free);
    fake_leave(fake);
    return was_copied || dv_fail(err, DV_E_HYPERVISOR, "no copy of %s is under way", disk_path);
}

static bool set_frozen(FakeVirt *fake, const char *op, const char *uuid, bool frozen,
                       GError **err) DV_NO_ANALYSIS
{
    FakeGuest *guest = enter_running(fake, op, uuid, err);
    bool agent;

    if (!guest)
        return false;
    agent = guest->agent;
    if (agent)
        guest->frozen = frozen;
    fake_leave(fake);
    return agent || dv_fail(err, DV_E_HYPERVISOR, "guest %s: its agent does not answer", uuid);
}

bool fake_freeze(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    return set_frozen(self, "freeze", uuid, true, err);
}

bool fake_thaw(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    return set_frozen(self, "thaw", uuid, false, err);
}

/* --- steering -------------------------------------------------------------------------------- */

void fake_virt_set_agent(FakeVirt *fake, const char *uuid, bool answers)
{
    FakeGuest *guest;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    if (guest)
        guest->agent = answers;
    dv_unlock(&fake->lock);
}

bool fake_virt_is_frozen(FakeVirt *fake, const char *uuid)
{
    const FakeGuest *guest;
    bool frozen;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    frozen = guest && guest->frozen;
    dv_unlock(&fake->lock);
    return frozen;
}

bool fake_virt_is_copied(FakeVirt *fake, const char *uuid)
{
    const FakeGuest *guest;
    bool copied;

    dv_lock(&fake->lock);
    guest = fake_find(fake, uuid);
    copied = guest && guest->copied;
    dv_unlock(&fake->lock);
    return copied;
}
