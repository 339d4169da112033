/* What is done to a running guest from outside: an NMI, a password, its clock, the end of its job.
 *
 * Sources    nova virt/libvirt/{guest,driver}.py (Zed): which errors mean what. */
#include "virt/libvirt/libvirt_priv.h"

#include "util/log.h"

#include <libvirt/virterror.h>

bool guest_inject_nmi(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_find(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "inject NMI");
    if (virDomainInjectNMI(domain, 0) == 0)
        return true;
    switch (virt_conn_last_code()) {
    case VIR_ERR_NO_DOMAIN:
        return dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is gone", uuid);
    case VIR_ERR_NO_SUPPORT:
        return dv_fail(err, DV_E_UNSUPPORTED, "the hypervisor has no NMI for its guests");
    case VIR_ERR_OPERATION_INVALID:
        return dv_fail(err, DV_E_INSTANCE_NOT_RUNNING, "Instance %s is not running.", uuid);
    default:
        return virt_conn_fail(err, "injecting an NMI");
    }
}

bool guest_set_password(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                        const char *user, const char *password, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_find_alone(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "set a password");
    if (virDomainSetUserPassword(domain, user, password, 0) == 0)
        return true;
    switch (virt_conn_last_code()) {
    case VIR_ERR_NO_DOMAIN:
        return dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is gone", uuid);
    case VIR_ERR_AGENT_UNRESPONSIVE:
        return dv_fail(err, DV_E_NOT_IMPLEMENTED, "the guest agent does not answer");
    default:
        return virt_conn_fail(err, "setting a password");
    }
}

void guest_sync_time(void *self, const DvCtx *ctx, const char *uuid)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;
    g_autoptr(GError) err = NULL;
    int64_t now_us = g_get_real_time();

    if (guest_find_alone(driver, uuid, &domain, &err)) {
        VIRT_CALL(driver->conn, "set the guest's clock");
        if (virDomainSetTime(domain, now_us / G_USEC_PER_SEC,
                             (unsigned)(now_us % G_USEC_PER_SEC) * 1000, 0) == 0)
            return;
        virt_conn_fail(&err, "setting the guest's clock");
    }
    /* It needs an agent in the guest: most have none, and set their clock themselves. */
    dv_debug(ctx, "%s", err->message);
}

/* libvirt refuses to end what is not under way in the same words as what must not be ended. */
static bool is_past_return(LibvirtDriver *driver, virDomainPtr domain)
{
    VirtJob job = {0};

    return job_of_domain(driver, domain, &job, NULL) && job.state == VIRT_JOB_POST_COPY;
}

bool guest_abort_job(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;
    g_autoptr(GError) cause = NULL;
    int code;

    if (!guest_lookup(driver, uuid, &domain, err))
        return false;
    if (!domain)
        return true;
    {
        VIRT_CALL(driver->conn, "abort job");
        if (virDomainAbortJob(domain) == 0) {
            move_waits_cancel(driver->events, uuid);
            return true;
        }
    }
    code = virt_conn_last_code();
    virt_conn_fail(&cause, "aborting the guest's job");
    /* OPERATION_INVALID: it has no job, or is off. NO_SUPPORT: there are no jobs at all. */
    if (code == VIR_ERR_NO_DOMAIN || code == VIR_ERR_NO_SUPPORT ||
        (code == VIR_ERR_OPERATION_INVALID && !is_past_return(driver, domain)))
        return true;
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}
