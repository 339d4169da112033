/* Turning a guest on and off: shutdown, power off, launch, pause, resume, save.
 *
 * What the caller wants is a state. libvirt refuses a call that would lead where the guest is
 * already, so a refusal is held against the state before it is passed on.
 * Sources    nova virt/libvirt/{guest,driver}.py (Zed): which calls and flags, and that a QEMU that
 *            does not die is tried again. */
#include "virt/libvirt/libvirt_priv.h"

#include "util/log.h"

#include <libvirt/virterror.h>

#define DESTROY_ATTEMPTS 6

static bool is_in_state(virDomainPtr domain, int wanted)
{
    int state = VIR_DOMAIN_NOSTATE;

    return virDomainGetState(domain, &state, NULL, 0) == 0 && state == wanted;
}

/* What a call that failed means: `wanted` is the state in which it was not needed. Right after the
 * call, while libvirt's error of this thread is still its own. */
static bool unless_in_state(virDomainPtr domain, int wanted, const char *what, GError **err)
{
    g_autoptr(GError) cause = NULL;

    if (virt_conn_last_code() == VIR_ERR_NO_DOMAIN)
        return dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "%s: it is gone", what);
    virt_conn_fail(&cause, what);
    if (!dv_is(cause, DV_E_UNAVAILABLE) && is_in_state(domain, wanted))
        return true;
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

bool guest_resume(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_find(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "resume");
    return virDomainResume(domain) == 0 ||
           unless_in_state(domain, VIR_DOMAIN_RUNNING, "resuming the guest", err);
}

bool guest_shutdown(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_find(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "shut down");
    return virDomainShutdown(domain) == 0 ||
           unless_in_state(domain, VIR_DOMAIN_SHUTOFF, "shutting down the guest", err);
}

static bool launch(LibvirtDriver *driver, virDomainPtr domain, bool paused, GError **err)
{
    g_autoptr(GError) cause = NULL;

    VIRT_CALL(driver->conn, "start");
    if (virDomainCreateWithFlags(domain, paused ? VIR_DOMAIN_START_PAUSED : 0) == 0)
        return true;
    if (unless_in_state(domain, VIR_DOMAIN_RUNNING, "starting the guest", &cause) ||
        (dv_is(cause, DV_E_HYPERVISOR) && is_in_state(domain, VIR_DOMAIN_PAUSED)))
        return true;
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

bool guest_launch(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                  const GuestSecret *secret, bool paused, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;
    virSecretPtr held = NULL;
    bool ok;

    if (!guest_find_alone(driver, uuid, &domain, err) ||
        (secret && !secret_hold(driver, uuid, secret, &held, err)))
        return false;
    ok = launch(driver, domain, paused, err);
    secret_drop(driver, held);
    return ok;
}

bool guest_pause(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_find(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "pause");
    return virDomainSuspend(domain) == 0 ||
           unless_in_state(domain, VIR_DOMAIN_PAUSED, "pausing the guest", err);
}

bool guest_save(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_find_alone(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "save");
    if (virDomainManagedSave(domain, 0) == 0)
        return true;
    return virt_conn_last_code() == VIR_ERR_NO_DOMAIN
               ? dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is gone", uuid)
               : virt_conn_fail(err, "saving the guest");
}

/* Off is what we want, however it came about. A QEMU that the kernel cannot end at once (hung
 * storage) is tried again, as nova does. */
bool guest_domain_off(LibvirtDriver *driver, virDomainPtr domain, GError **err)
{
    g_auto(virDomainPtr) own = NULL;
    g_autoptr(GError) missing = NULL;

    if (!guest_alone(driver, domain, &own, &missing)) {
        if (dv_is(missing, DV_E_INSTANCE_NOT_FOUND))
            return true;
        g_propagate_error(err, g_steal_pointer(&missing));
        return false;
    }
    for (int attempt = 1;; attempt++) {
        g_autoptr(GError) cause = NULL;
        int code;

        VIRT_CALL(driver->conn, "destroy");
        if (virDomainDestroyFlags(own, VIR_DOMAIN_DESTROY_DEFAULT) == 0)
            return true;
        code = virt_conn_last_code();
        if (code == VIR_ERR_NO_DOMAIN)
            return true;
        virt_conn_fail(&cause, "powering off the guest");
        if (dv_is(cause, DV_E_UNAVAILABLE)) {
            g_propagate_error(err, g_steal_pointer(&cause));
            return false;
        }
        if (is_in_state(own, VIR_DOMAIN_SHUTOFF))
            return true;
        if (code != VIR_ERR_SYSTEM_ERROR || attempt >= DESTROY_ATTEMPTS)
            return dv_fail(err, DV_E_POWER_OFF, "%s", cause->message);
    }
}

bool guest_power_down(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_lookup(driver, uuid, &domain, err))
        return false;
    return !domain || guest_domain_off(driver, domain, err);
}
