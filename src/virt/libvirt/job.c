/* What libvirt says of a guest's job, and what can be changed while a migration runs.
 *
 * libvirt takes a new limit also for a guest that no migration is under way of, and keeps it for
 * the next one; so the job is looked at first.
 * Sources    libvirt virDomainGetJobStats, virDomainMigrate*; nova virt/libvirt/guest.py (Zed). */
#include "virt/libvirt/libvirt_priv.h"

#include "util/clock.h"

#include <libvirt/virterror.h>

#define FLOW_WAIT_MS 10000
#define FLOW_LOOK_MS 1000 /* where libvirt does not tell of passes */

/* ---- statistics ---- */

/* clang-format off */
static const struct {
    const char *name;
    size_t offset;
} fields[] = {
    {VIR_DOMAIN_JOB_MEMORY_TOTAL,            G_STRUCT_OFFSET(VirtJob, memory_total)},
    {VIR_DOMAIN_JOB_MEMORY_PROCESSED,        G_STRUCT_OFFSET(VirtJob, memory_processed)},
    {VIR_DOMAIN_JOB_MEMORY_REMAINING,        G_STRUCT_OFFSET(VirtJob, memory_remaining)},
    {VIR_DOMAIN_JOB_DISK_TOTAL,              G_STRUCT_OFFSET(VirtJob, disk_total)},
    {VIR_DOMAIN_JOB_DISK_PROCESSED,          G_STRUCT_OFFSET(VirtJob, disk_processed)},
    {VIR_DOMAIN_JOB_DISK_REMAINING,          G_STRUCT_OFFSET(VirtJob, disk_remaining)},
    {VIR_DOMAIN_JOB_MEMORY_ITERATION,        G_STRUCT_OFFSET(VirtJob, iteration)},
    {VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE,       G_STRUCT_OFFSET(VirtJob, dirty_rate)},
    {VIR_DOMAIN_JOB_MEMORY_BPS,              G_STRUCT_OFFSET(VirtJob, bandwidth)},
    {VIR_DOMAIN_JOB_MEMORY_CONSTANT,         G_STRUCT_OFFSET(VirtJob, constant_pages)},
    {VIR_DOMAIN_JOB_DOWNTIME,                G_STRUCT_OFFSET(VirtJob, downtime_ms)},
    {VIR_DOMAIN_JOB_TIME_ELAPSED,            G_STRUCT_OFFSET(VirtJob, elapsed_ms)},
    {VIR_DOMAIN_JOB_SETUP_TIME,              G_STRUCT_OFFSET(VirtJob, setup_ms)},
    {VIR_DOMAIN_JOB_MEMORY_POSTCOPY_REQS,    G_STRUCT_OFFSET(VirtJob, post_copy_requests)},
};
/* clang-format on */

static VirtJobState state_of(int type)
{
    switch (type) {
    case VIR_DOMAIN_JOB_BOUNDED:
    case VIR_DOMAIN_JOB_UNBOUNDED:
        return VIRT_JOB_RUNNING;
    case VIR_DOMAIN_JOB_COMPLETED:
        return VIRT_JOB_COMPLETED;
    case VIR_DOMAIN_JOB_FAILED:
        return VIRT_JOB_FAILED;
    case VIR_DOMAIN_JOB_CANCELLED:
        return VIRT_JOB_CANCELLED;
    default:
        return VIRT_JOB_NONE;
    }
}

static void read_numbers(virTypedParameterPtr params, int count, VirtJob *out)
{
    unsigned long long page_bytes = 0;
    int throttle = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        unsigned long long value = 0;

        virTypedParamsGetULLong(params, count, fields[i].name, &value);
        G_STRUCT_MEMBER(uint64_t, out, fields[i].offset) = value;
    }
    /* It counts pages. */
    virTypedParamsGetULLong(params, count, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, &page_bytes);
    out->dirty_rate *= page_bytes ? page_bytes : 4096;
    virTypedParamsGetInt(params, count, VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, &throttle);
    out->throttle_percent = throttle > 0 ? (uint64_t)throttle : 0;
}

bool job_read(int type, virTypedParameterPtr params, int count, VirtJob *out)
{
    int operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;

    *out = (VirtJob){.state = state_of(type)};
    if (out->state == VIRT_JOB_NONE)
        return false;
    virTypedParamsGetInt(params, count, VIR_DOMAIN_JOB_OPERATION, &operation);
    if (operation != VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT) { /* a save, a dump ... */
        out->state = VIRT_JOB_NONE;
        return false;
    }
    read_numbers(params, count, out);
    return true;
}

static bool is_post_copy(virDomainPtr domain)
{
    int state = VIR_DOMAIN_NOSTATE, reason = 0;

    return virDomainGetState(domain, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
           reason == VIR_DOMAIN_PAUSED_POSTCOPY;
}

bool job_of_domain(LibvirtDriver *driver, virDomainPtr domain, VirtJob *out, GError **err)
{
    virTypedParameterPtr params = NULL;
    int type = VIR_DOMAIN_JOB_NONE, count = 0;

    *out = (VirtJob){.state = VIRT_JOB_NONE};
    VIRT_CALL(driver->conn, "job statistics");
    if (virDomainGetJobStats(domain, &type, &params, &count, 0) < 0) {
        int code = virt_conn_last_code();
        const virError *error = virGetLastError();

        if (code == VIR_ERR_NO_DOMAIN)
            return dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "the guest is gone");
        /* OPERATION_INVALID: it is off. NO_SUPPORT: there are no jobs at all. QEMU's statistics
         * lack memory for a moment while a migration begins or ends. */
        if (code == VIR_ERR_OPERATION_INVALID || code == VIR_ERR_NO_SUPPORT ||
            (code == VIR_ERR_INTERNAL_ERROR && error->message &&
             strstr(error->message, "no RAM info was set")))
            return true;
        return virt_conn_fail(err, "looking at the guest's job");
    }
    if (job_read(type, params, count, out) && out->state == VIRT_JOB_RUNNING &&
        is_post_copy(domain))
        out->state = VIRT_JOB_POST_COPY;
    virTypedParamsFree(params, count);
    return true;
}

bool guest_job(void *self, const char *uuid, VirtJob *out, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    return guest_find(driver, uuid, &domain, err) && job_of_domain(driver, domain, out, err);
}

/* ---- changes ---- */

/* A change that came too late: the guest has just left. */
static bool fail_change(const char *uuid, const char *what, GError **err)
{
    return virt_conn_last_code() == VIR_ERR_NO_DOMAIN
               ? dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "%s: guest %s is gone", what, uuid)
               : virt_conn_fail(err, what);
}

/* The domain, when a migration of it runs. */
static bool find_moving(LibvirtDriver *driver, const char *uuid, virDomainPtr *out, GError **err)
{
    VirtJob job = {0};

    if (!guest_find(driver, uuid, out, err) || !job_of_domain(driver, *out, &job, err))
        return false;
    return job.state == VIRT_JOB_RUNNING || job.state == VIRT_JOB_POST_COPY ||
           dv_fail(err, DV_E_HYPERVISOR, "no migration of guest %s runs", uuid);
}

/* QEMU can switch only once memory flows: until then libvirt's job is there, and QEMU refuses. */
static bool find_flowing(LibvirtDriver *driver, const char *uuid, virDomainPtr *out, GError **err)
{
    g_autoptr(MoveWait) wait = move_wait_new(driver->events, uuid); /* before the first look */
    int64_t deadline_ms = dv_now_ms() + FLOW_WAIT_MS;
    VirtJob job = {0};

    if (!find_moving(driver, uuid, out, err))
        return false;
    while (job_of_domain(driver, *out, &job, err)) {
        MoveNews news = {0};

        if (job.iteration > 0 || dv_now_ms() > deadline_ms)
            return true;
        if (job.state != VIRT_JOB_RUNNING)
            return dv_fail(err, DV_E_HYPERVISOR, "the migration of guest %s is over", uuid);
        move_wait(wait, FLOW_LOOK_MS, &news);
    }
    return false;
}

bool guest_post_copy(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    if (!find_flowing(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "start post-copy");
    return virDomainMigrateStartPostCopy(domain, 0) == 0 ||
           fail_change(uuid, "switching to post-copy", err);
}

bool guest_set_max_downtime(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                            uint64_t downtime_ms, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    if (!find_moving(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "set downtime");
    return virDomainMigrateSetMaxDowntime(domain, downtime_ms, 0) == 0 ||
           fail_change(uuid, "setting the largest downtime", err);
}

bool guest_set_bandwidth(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                         uint64_t mib_per_s, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;
    unsigned long limit = mib_per_s ? (unsigned long)mib_per_s : JOB_BANDWIDTH_UNLIMITED;

    if (!find_moving(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "set bandwidth");
    return virDomainMigrateSetMaxSpeed(domain, limit, 0) == 0 ||
           fail_change(uuid, "setting the bandwidth", err);
}
