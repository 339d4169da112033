/* Turning guests of the hypervisor in memory on and off, as virt/driver.h promises it. */
#include "virt/fake/fake_priv.h"

#include <string.h>

static bool not_running(FakeVirt *fake, const char *uuid, GError **err) DV_NO_ANALYSIS
{
    fake_leave(fake);
    return dv_fail(err, DV_E_HYPERVISOR, "guest %s is not running", uuid);
}

bool fake_resume(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                 GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = fake_enter_guest(fake, "resume", uuid, err);
    bool was_paused;

    if (!guest)
        return false;
    if (!fake_is_active(guest))
        return not_running(fake, uuid, err);
    was_paused = guest->state == GUEST_STATE_PAUSED;
    guest->state = GUEST_STATE_RUNNING;
    fake_leave(fake);
    if (was_paused)
        fake_send_event(fake, uuid, GUEST_EVENT_RESUMED, "unpaused");
    return true;
}

/* As QEMU's guests do it: one whose CPUs stand still would not hear, and is not asked. */
bool fake_shutdown(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                   GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = fake_enter_guest(fake, "shutdown", uuid, err);
    bool reacts;

    if (!guest)
        return false;
    if (guest->state == GUEST_STATE_PAUSED)
        return not_running(fake, uuid, err);
    reacts = guest->state == GUEST_STATE_RUNNING && !guest->ignores;
    if (reacts)
        guest->state = GUEST_STATE_OFF;
    fake_leave(fake);
    if (reacts)
        fake_send_event(fake, uuid, GUEST_EVENT_STOPPED, "shutdown");
    return true;
}

bool fake_power_off(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                    GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest;
    bool was_active;

    if (!fake_enter(fake, "power_off", err))
        return false;
    guest = fake_find(fake, uuid);
    was_active = guest && fake_is_active(guest);
    if (guest)
        guest->state = GUEST_STATE_OFF;
    fake_leave(fake);
    if (was_active)
        fake_send_event(fake, uuid, GUEST_EVENT_STOPPED, "destroyed");
    return true;
}

bool fake_launch(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                 const GuestSecret *secret, bool paused, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = fake_enter_guest(fake, "launch", uuid, err);
    bool was_saved;

    if (!guest)
        return false;
    if (fake_is_active(guest)) {
        fake_leave(fake);
        return true;
    }
    if (guest->tpm_secret && !secret) {
        fake_leave(fake);
        return dv_fail(err, DV_E_HYPERVISOR, "fake: no secret %s", guest->tpm_secret);
    }
    if (guest->tpm_secret && !fake_tpm_start(fake, uuid, guest->tpm_secret, secret, err)) {
        fake_leave(fake);
        return false;
    }
    was_saved = guest->saved;
    guest->saved = false;
    guest->state = paused ? GUEST_STATE_PAUSED : GUEST_STATE_RUNNING;
    if (!guest->vnc_port)
        guest->vnc_port = fake->next_vnc_port++;
    fake_leave(fake);
    fake_send_event(fake, uuid, GUEST_EVENT_STARTED, was_saved ? "restored" : "booted");
    if (paused)
        fake_send_event(fake, uuid, GUEST_EVENT_PAUSED, "paused");
    return true;
}

bool fake_pause(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = fake_enter_guest(fake, "pause", uuid, err);
    bool was_running;

    if (!guest)
        return false;
    if (!fake_is_active(guest))
        return not_running(fake, uuid, err);
    was_running = guest->state == GUEST_STATE_RUNNING;
    guest->state = GUEST_STATE_PAUSED;
    fake_leave(fake);
    if (was_running)
        fake_send_event(fake, uuid, GUEST_EVENT_PAUSED, "paused");
    return true;
}

bool fake_save(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
               GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest = fake_enter_guest(fake, "save", uuid, err);

    if (!guest)
        return false;
    if (!fake_is_active(guest))
        return not_running(fake, uuid, err);
    guest->state = GUEST_STATE_OFF;
    guest->saved = true;
    fake_leave(fake);
    fake_send_event(fake, uuid, GUEST_EVENT_STOPPED, "saved");
    return true;
}

bool fake_define(void *self, const DvCtx *ctx G_GNUC_UNUSED, const GuestSpec *spec,
                 GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest;

    if (!fake_enter(fake, "define", err))
        return false;
    if (spec->tpm_version && !spec->tpm_secret.uuid) {
        fake_leave(fake);
        return dv_fail(err, DV_E_INVALID, "Refusing to create an emulated TPM with no secret!");
    }
    guest = fake_find(fake, spec->uuid);
    if (!guest)
        guest = fake_add_guest(fake, spec->uuid, spec->name, GUEST_STATE_OFF);
    fake_take_devices(fake, guest, spec);
    guest->agent = spec->guest_agent;
    g_free(guest->tpm_secret);
    guest->tpm_secret = spec->tpm_version ? g_strdup(spec->tpm_secret.uuid) : NULL;
    fake_describe_as(guest, spec);
    fake_leave(fake);
    return true;
}

static char *secret_in(const char *xml)
{
    static const char mark[] = "<encryption secret='";
    const char *at = strstr(xml, mark);

    return at ? g_strndup(at + strlen(mark), strcspn(at + strlen(mark), "'")) : NULL;
}

bool fake_define_xml(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, const char *xml,
                     GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest;

    if (!fake_enter(fake, "define_xml", err))
        return false;
    if (!g_str_has_prefix(xml, "<domain ") || !strstr(xml, uuid)) {
        fake_leave(fake);
        return dv_fail(err, DV_E_HYPERVISOR, "no description of guest %s", uuid);
    }
    guest = fake_find(fake, uuid);
    if (!guest)
        guest = fake_add_guest(fake, uuid, "anew", GUEST_STATE_OFF);
    g_free(guest->xml);
    guest->xml = g_strdup(xml);
    g_free(guest->tpm_secret);
    guest->tpm_secret = secret_in(xml);
    fake_leave(fake);
    return true;
}
