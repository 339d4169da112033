/* Periodic jobs; see periodic.h. */
#include "agent/periodic_priv.h"

#include "agent/cleanup.h"
#include "agent/evacuated.h"
#include "agent/health.h"
#include "agent/image_cache.h"
#include "agent/network_cache.h"
#include "agent/ops/shelve.h"
#include "agent/polls.h"
#include "agent/power_sync.h"
#include "agent/usage_audit.h"
#include "services/scheduler.h"
#include "util/log.h"

typedef struct JobRow {
    const char *name;
    size_t spacing_offset; /* in PeriodicConfig: seconds, 0 never */
    bool at_once;          /* first run without the fuzzy delay */
    bool (*run)(Periodic *periodic, const DvCtx *ctx, GError **err);
} JobRow;

typedef struct Job {
    Periodic *periodic;
    const JobRow *row;
    atomic_bool queued;
    uint64_t timer_id;
} Job;

#define JOBS_MAX 24

struct Periodic {
    Agent *agent;
    GQueue *heal; /* [thread: the periodic worker] char * uuids still to be healed in this round */
    Job jobs[JOBS_MAX];
    size_t job_count;
};

/* ---- the jobs ---- */

static bool audit(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    Agent *agent = periodic->agent;
    g_autoptr(GPtrArray) guests = NULL;

    if (!tracker_audit(agent->tracker, ctx, false, err))
        return false;
    atomic_store(&agent->vitals.audit_ms, dv_now_ms());
    if (agent->virt->ops->list(agent->virt->self, &guests, NULL))
        health_count_guests(guests);
    return true;
}

static bool sync_power_states(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return power_sync_all(periodic->agent, ctx, err);
}

static bool sync_scheduler(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    Agent *agent = periodic->agent;
    g_auto(GStrv) uuids = NULL;

    if (!agent->config.track_instance_changes)
        return true;
    uuids = tracker_instances(agent->tracker);
    return scheduler_sync_instance_info(agent->rpc, ctx, agent->config.host,
                                        (const char *const *)uuids, err);
}

/* One instance per run. */
static bool heal_network_cache(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    Agent *agent = periodic->agent;
    g_autofree char *uuid = NULL;

    if (g_queue_is_empty(periodic->heal)) {
        g_auto(GStrv) uuids = tracker_instances(agent->tracker);

        for (size_t i = 0; uuids[i]; i++)
            g_queue_push_tail(periodic->heal, g_strdup(uuids[i]));
    }
    uuid = g_queue_pop_head(periodic->heal);
    if (!uuid)
        return true;
    if (!network_cache_heal(agent, ctx, uuid, err)) {
        if (!dv_is(*err, DV_E_INSTANCE_NOT_FOUND))
            return dv_within(err, "instance %s", uuid);
        g_clear_error(err);
    }
    return true;
}

static bool clean_image_cache(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return image_cache_pass(periodic->agent, ctx, err);
}

static bool poll_shelved(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return shelve_offload_due(periodic->agent, ctx, err);
}

static bool confirm_resizes(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return poll_unconfirmed_resizes(periodic->agent, ctx, err);
}

static bool end_rescues(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return poll_rescued(periodic->agent, ctx, err);
}

static bool reclaim(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return cleanup_reclaim(periodic->agent, ctx, err);
}

static bool stuck_builds(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return cleanup_stuck_builds(periodic->agent, ctx, err);
}

static bool stuck_reboots(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return cleanup_stuck_reboots(periodic->agent, ctx, err);
}

static bool running_deleted(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return cleanup_running_deleted(periodic->agent, ctx, err);
}

static bool pending_deletes(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return cleanup_pending_deletes(periodic->agent, ctx, err);
}

static bool console_tokens(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return cleanup_console_tokens(periodic->agent, ctx, err);
}

static bool incomplete_migrations(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return cleanup_incomplete_migrations(periodic->agent, ctx, err);
}

static bool settle_evacuated(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return evacuated_settle(periodic->agent, ctx, err);
}

static bool audit_usage(Periodic *periodic, const DvCtx *ctx, GError **err)
{
    return usage_audit(periodic->agent, ctx, err);
}

#define SPACING(field) offsetof(PeriodicConfig, field)

static const JobRow job_rows[] = {
    {"update_available_resource", SPACING(update_resources_s), false, audit},
    {"sync_power_states", SPACING(sync_power_state_s), true, sync_power_states},
    {"heal_instance_info_cache", SPACING(heal_instance_info_cache_s), false, heal_network_cache},
    {"sync_scheduler_instance_info", SPACING(scheduler_instance_sync_s), false, sync_scheduler},
    {"image_cache", SPACING(image_cache_s), false, clean_image_cache},
    {"shelved_instances", SPACING(shelved_poll_s), false, poll_shelved},
    {"poll_unconfirmed_resizes", SPACING(minute_s), false, confirm_resizes},
    {"poll_rescued_instances", SPACING(minute_s), false, end_rescues},
    {"reclaim_queued_deletes", SPACING(minute_s), false, reclaim},
    {"check_instance_build_time", SPACING(minute_s), false, stuck_builds},
    {"poll_rebooting_instances", SPACING(minute_s), false, stuck_reboots},
    {"cleanup_running_deleted_instances", SPACING(running_deleted_poll_s), true, running_deleted},
    {"run_pending_deletes", SPACING(instance_delete_s), false, pending_deletes},
    {"cleanup_incomplete_migrations", SPACING(instance_delete_s), false, incomplete_migrations},
    {"settle_evacuated", SPACING(minute_s), false, settle_evacuated},
    {"instance_usage_audit", SPACING(minute_s), false, audit_usage},
    {"cleanup_expired_console_auth_tokens", SPACING(instance_delete_s), false, console_tokens},
};
G_STATIC_ASSERT(G_N_ELEMENTS(job_rows) <= JOBS_MAX);

/* ---- running them ---- */

static void job_run(void *arg)
{
    Job *job = arg;
    g_autoptr(DvCtx) ctx = dv_ctx_new_admin();
    g_autoptr(GError) err = NULL;
    int64_t start_ms = dv_now_ms();

    if (!agent_stopping(job->periodic->agent) && !job->row->run(job->periodic, ctx, &err))
        dv_warning(ctx, "periodic %s: %s", job->row->name, err->message);
    dv_debug(ctx, "periodic %s took %d ms", job->row->name, (int)(dv_now_ms() - start_ms));
    atomic_store(&job->queued, false);
}

static void job_due(void *arg)
{
    Job *job = arg;

    if (!atomic_exchange(&job->queued, true))
        dv_pool_submit(job->periodic->agent->pools[POOL_PERIODIC], job_run, job, NULL);
}

Periodic *periodic_new(Agent *agent)
{
    Periodic *periodic = g_new0(Periodic, 1);

    periodic->agent = agent;
    periodic->heal = g_queue_new();
    return periodic;
}

bool periodic_run(Periodic *periodic, const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(job_rows); i++) {
        Job job = {.periodic = periodic, .row = &job_rows[i]};

        if (strcmp(job_rows[i].name, name) != 0)
            continue;
        job_run(&job);
        return true;
    }
    return false;
}

Periodic *periodic_start(Agent *agent)
{
    const PeriodicConfig *config = &agent->config.periodic;
    Periodic *periodic = periodic_new(agent);

    for (size_t i = 0; config->enable && i < G_N_ELEMENTS(job_rows); i++) {
        int64_t spacing_s = *(const int64_t *)(const void *)((const char *)config +
                                                             job_rows[i].spacing_offset);
        int64_t fuzz_ms = job_rows[i].at_once || !config->fuzzy_delay_s
                              ? 0
                              : g_random_int_range(0, (int)config->fuzzy_delay_s * 1000);
        Job *job = &periodic->jobs[periodic->job_count];

        if (spacing_s <= 0)
            continue;
        periodic->job_count++;
        job->periodic = periodic;
        job->row = &job_rows[i];
        job->timer_id = dv_timer_add(agent->timer, fuzz_ms, spacing_s * 1000, job_due, job, NULL);
    }
    return periodic;
}

void periodic_free(Periodic *periodic)
{
    if (!periodic)
        return;
    for (size_t i = 0; i < periodic->job_count; i++)
        dv_timer_cancel(periodic->agent->timer, periodic->jobs[i].timer_id);
    g_queue_free_full(periodic->heal, g_free);
    g_free(periodic);
}
