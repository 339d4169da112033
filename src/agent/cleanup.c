/* What should not be here any more; see cleanup.h. */
#include "agent/cleanup.h"

#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "util/log.h"

static const char *const no_attrs[] = {NULL};

/* Whether the time in `field` lies more than `seconds` back; without a time: `fallback`. */
static bool is_older(const Ovo *instance, const char *field, int64_t seconds, bool fallback)
{
    const char *text = ovo_str_or(instance, field, NULL);
    int64_t then_ms = 0;

    if (!text || !dv_time_parse(text, &then_ms))
        return fallback;
    return dv_clock_wall_ms(dv_clock_real()) - then_ms > seconds * 1000;
}

/* ---- work in a server's lane ---- */

typedef bool (*CleanFn)(Agent *agent, const DvCtx *ctx, const char *uuid, GError **err);

typedef struct CleanJob {
    Agent *agent;
    DvCtx *ctx; /* with the server's uuid */
    char *uuid;
    CleanFn run;
} CleanJob;

static void job_free(void *arg)
{
    CleanJob *job = arg;

    dv_ctx_unref(job->ctx);
    g_free(job->uuid);
    g_free(job);
}

static void job_run(void *arg)
{
    CleanJob *job = arg;
    g_autoptr(GError) err = NULL;

    if (!job->run(job->agent, job->ctx, job->uuid, &err) && !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_warning(job->ctx, "periodic cleanup: %s", err->message);
    job_free(job);
}

static void queue(Agent *agent, const DvCtx *ctx, const char *uuid, CleanFn run)
{
    CleanJob *job;

    /* Behind what is being done it looks again. Jobs do not pile up behind something long; but to
     * give way to any work would be to give way for ever to a job of the same period. */
    if (dv_lanes_depth(agent->lanes, uuid) > 1)
        return;
    job = g_new0(CleanJob, 1);
    *job = (CleanJob){agent, dv_ctx_with_instance(ctx, uuid), g_strdup(uuid), run};
    dv_lanes_submit(agent->lanes, uuid, agent->pools[POOL_GENERAL], job_run, job, job_free);
}

/* ---- soft-deleted servers ---- */

static bool is_reclaimable(const Agent *agent, const Ovo *instance)
{
    return strcmp(ovo_str_or(instance, "vm_state", ""), "soft-delete") == 0 &&
           !ovo_has_value(instance, "task_state") &&
           strcmp(ovo_str_or(instance, "host", ""), agent->config.host) == 0 &&
           is_older(instance, "deleted_at", agent->config.reclaim_instance_interval_s, true);
}

static bool reclaim_one(Agent *agent, const DvCtx *ctx, const char *uuid, GError **err)
{
    static const char *const attrs[] = {"metadata", "system_metadata", "info_cache", "flavor",
                                        NULL};
    g_autoptr(Ovo) instance = NULL;

    if (!conductor_instance_get(agent->con, ctx, uuid, attrs, &instance, err))
        return false;
    if (!is_reclaimable(agent, instance)) /* restored, or deleted by its user */
        return true;
    dv_info(ctx, "deleting a server that was soft-deleted");
    return op_delete_instance(agent, ctx, instance, err);
}

bool cleanup_reclaim(Agent *agent, const DvCtx *ctx, GError **err)
{
    g_autoptr(Ovo) filters = ovo_new_dict();
    g_autoptr(Ovo) list = NULL;

    if (agent->config.reclaim_instance_interval_s <= 0)
        return true;
    ovo_set_str(filters, "vm_state", "soft-delete");
    ovo_set_null(filters, "task_state");
    ovo_set_str(filters, "host", agent->config.host);
    if (!conductor_instances_by_filters(agent->con, ctx, filters, no_attrs, &list, err))
        return false;
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);

        if (instance && is_reclaimable(agent, instance))
            queue(agent, ctx, ovo_str_or(instance, "uuid", ""), reclaim_one);
    }
    return true;
}

/* ---- what does not end ---- */

bool cleanup_stuck_builds(Agent *agent, const DvCtx *ctx, GError **err)
{
    int64_t timeout_s = agent->config.instance_build_timeout_s;
    g_autoptr(Ovo) filters = ovo_new_dict();
    g_autoptr(Ovo) list = NULL;

    if (timeout_s <= 0)
        return true;
    ovo_set_str(filters, "vm_state", "building");
    ovo_set_str(filters, "host", agent->config.host);
    if (!conductor_instances_by_filters(agent->con, ctx, filters, no_attrs, &list, err))
        return false;
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);
        g_autoptr(DvCtx) mine = NULL;

        if (!instance || !is_older(instance, "created_at", timeout_s, false))
            continue;
        mine = dv_ctx_with_instance(ctx, ovo_str_or(instance, "uuid", NULL));
        outcome_error(agent, mine, instance);
        dv_warning(mine, "the build has not ended in %d s: set to error", (int)timeout_s);
    }
    return true;
}

bool cleanup_stuck_reboots(Agent *agent, const DvCtx *ctx, GError **err)
{
    static const char *const tasks[] = {"rebooting", "reboot_started", "reboot_pending", NULL};
    int64_t timeout_s = agent->config.reboot_timeout_s;
    g_autoptr(Ovo) filters = ovo_new_dict();
    g_autoptr(Ovo) list = NULL;

    if (timeout_s <= 0)
        return true;
    ovo_set_strv(filters, "task_state", tasks);
    ovo_set_str(filters, "host", agent->config.host);
    if (!conductor_instances_by_filters(agent->con, ctx, filters, no_attrs, &list, err))
        return false;
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);
        g_autoptr(DvCtx) mine = NULL;

        if (!instance || !is_older(instance, "updated_at", timeout_s, false))
            continue;
        mine = dv_ctx_with_instance(ctx, ovo_str_or(instance, "uuid", NULL));
        dv_warning(mine, "the reboot has not ended in %d s", (int)timeout_s);
    }
    return true;
}

/* ---- guests of deleted servers ---- */

static bool log_one(Agent *agent G_GNUC_UNUSED, const DvCtx *ctx, const char *uuid G_GNUC_UNUSED,
                    GError **err G_GNUC_UNUSED)
{
    dv_warning(ctx, "a guest is still here although its server is deleted");
    return true;
}

static bool shutdown_one(Agent *agent, const DvCtx *ctx, const char *uuid, GError **err)
{
    dv_info(ctx, "powering off a guest whose server is deleted");
    return agent->virt->ops->power_off(agent->virt->self, ctx, uuid, err);
}

static bool reap_one(Agent *agent, const DvCtx *ctx, const char *uuid, GError **err)
{
    static const char *const attrs[] = {"info_cache", NULL};
    g_autoptr(Ovo) instance = NULL;

    if (!conductor_instance_get(agent->con, ctx, uuid, attrs, &instance, err))
        return false;
    dv_info(ctx, "destroying a guest whose server is deleted");
    return op_reap_guest(agent, ctx, instance, err);
}

static const struct {
    const char *action;
    CleanFn run;
} deleted_actions[] = {
    {"log", log_one},
    {"shutdown", shutdown_one},
    {"reap", reap_one},
};

/* The deleted servers among the guests of this host. */
static bool read_deleted(Agent *agent, const DvCtx *ctx, Ovo **out, GError **err)
{
    const VirtDriver *virt = agent->virt;
    g_autoptr(GPtrArray) guests = NULL;
    g_autoptr(GPtrArray) uuids = g_ptr_array_new();
    g_autoptr(Ovo) filters = ovo_new_dict();

    *out = NULL;
    if (!virt->ops->list(virt->self, &guests, err))
        return false;
    if (guests->len == 0)
        return true;
    for (guint i = 0; i < guests->len; i++)
        g_ptr_array_add(uuids, ((VirtGuest *)g_ptr_array_index(guests, i))->uuid);
    g_ptr_array_add(uuids, NULL);
    ovo_set_bool(filters, "deleted", true);
    ovo_set_bool(filters, "soft_deleted", false);
    ovo_set_strv(filters, "uuid", (const char *const *)uuids->pdata);
    return conductor_instances_by_filters(agent->con, ctx, filters, no_attrs, out, err);
}

bool cleanup_running_deleted(Agent *agent, const DvCtx *ctx, GError **err)
{
    const char *action = agent->config.running_deleted_instance_action;
    g_autoptr(DvCtx) all = dv_ctx_with_read_deleted(ctx, "yes");
    g_autoptr(Ovo) list = NULL;
    CleanFn run = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(deleted_actions); i++) {
        if (g_strcmp0(deleted_actions[i].action, action) == 0)
            run = deleted_actions[i].run;
    }
    if (!run) /* noop; options.c lets no other word through */
        return true;
    if (!read_deleted(agent, all, &list, err))
        return false;
    for (size_t i = 0; list && i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);
        const char *uuid = instance ? ovo_str_or(instance, "uuid", NULL) : NULL;

        if (uuid && is_older(instance, "deleted_at",
                             agent->config.running_deleted_instance_timeout_s, true))
            queue(agent, all, uuid, run);
    }
    return true;
}

/* ---- files of deleted servers ---- */

static bool clean_files(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err)
{
    const char *uuid = ovo_str_or(instance, "uuid", "");
    const char *text = ovo_dict_str(instance, "system_metadata", "clean_attempts");
    int64_t attempts = text ? g_ascii_strtoll(text, NULL, 10) : 0;
    g_autofree char *next = g_strdup_printf("%" G_GINT64_FORMAT, attempts + 1);
    g_autoptr(DvCtx) mine = dv_ctx_with_instance(ctx, uuid);
    g_autoptr(GError) cause = NULL;

    if (attempts >= agent->config.maximum_instance_delete_attempts)
        return true;
    if (disks_remove(agent->disks, mine, uuid, &cause))
        ovo_set_bool(instance, "cleaned", true);
    else
        dv_warning(mine, "files of a deleted server, try %s: %s", next, cause->message);
    ovo_dict_set(instance, "system_metadata", "clean_attempts", next);
    return conductor_instance_save(agent->con, mine, instance, NULL, err);
}

bool cleanup_pending_deletes(Agent *agent, const DvCtx *ctx, GError **err)
{
    static const char *const attrs[] = {"system_metadata", NULL};
    g_autoptr(DvCtx) all = dv_ctx_with_read_deleted(ctx, "yes");
    g_autoptr(Ovo) filters = ovo_new_dict();
    g_autoptr(Ovo) list = NULL;

    ovo_set_bool(filters, "deleted", true);
    ovo_set_bool(filters, "soft_deleted", false);
    ovo_set_str(filters, "host", agent->config.host);
    ovo_set_bool(filters, "cleaned", false);
    if (!conductor_instances_by_filters(agent->con, all, filters, attrs, &list, err))
        return false;
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);
        g_autoptr(GError) cause = NULL;

        if (instance && !clean_files(agent, all, instance, &cause))
            dv_warning(ctx, "files of deleted server %s: %s", ovo_str_or(instance, "uuid", "?"),
                       cause->message);
    }
    return true;
}

/* ---- moves that ended in error ---- */

/* The servers of these migrations that are deleted; *out NULL: there is no migration. */
static bool read_deleted_of(Agent *agent, const DvCtx *ctx, const Ovo *migrations, Ovo **out,
                            GError **err)
{
    static const char *const attrs[] = {"info_cache", NULL};
    g_autoptr(GPtrArray) uuids = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Ovo) filters = ovo_new_dict();

    *out = NULL;
    for (size_t i = 0; i < ovo_count(migrations, NULL); i++) {
        g_autoptr(Ovo) migration = ovo_at(migrations, NULL, i);
        const char *uuid = migration ? ovo_str_or(migration, "instance_uuid", NULL) : NULL;

        if (uuid && !g_ptr_array_find_with_equal_func(uuids, uuid, g_str_equal, NULL))
            g_ptr_array_add(uuids, g_strdup(uuid));
    }
    if (uuids->len == 0)
        return true;
    g_ptr_array_add(uuids, NULL);
    ovo_set_bool(filters, "deleted", true);
    ovo_set_bool(filters, "soft_deleted", false);
    ovo_set_strv(filters, "uuid", (const char *const *)uuids->pdata);
    return conductor_instances_by_filters(agent->con, ctx, filters, attrs, out, err);
}

static bool is_deleted_elsewhere(const Agent *agent, const Ovo *deleted, const char *uuid)
{
    for (size_t i = 0; deleted && i < ovo_count(deleted, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(deleted, NULL, i);

        if (instance && strcmp(ovo_str_or(instance, "uuid", ""), uuid) == 0)
            return strcmp(ovo_str_or(instance, "host", ""), agent->config.host) != 0;
    }
    return false;
}

bool cleanup_incomplete_migrations(Agent *agent, const DvCtx *ctx, GError **err)
{
    g_autoptr(DvCtx) all = dv_ctx_with_read_deleted(ctx, "yes");
    g_autoptr(Ovo) filters = ovo_new_dict();
    g_autoptr(Ovo) migrations = NULL;
    g_autoptr(Ovo) deleted = NULL;

    ovo_set_str(filters, "host", agent->config.host);
    ovo_set_str(filters, "status", "error");
    if (!conductor_migrations_by_filters(agent->con, ctx, filters, &migrations, err) ||
        !read_deleted_of(agent, all, migrations, &deleted, err))
        return false;
    for (size_t i = 0; i < ovo_count(migrations, NULL); i++) {
        g_autoptr(Ovo) migration = ovo_at(migrations, NULL, i);
        const char *uuid = migration ? ovo_str_or(migration, "instance_uuid", "") : "";
        g_autoptr(DvCtx) mine = dv_ctx_with_instance(ctx, uuid);
        g_autoptr(GError) cause = NULL;

        if (!is_deleted_elsewhere(agent, deleted, uuid))
            continue;
        dv_info(mine, "removing what a move left here of a server that is deleted");
        ovo_set_str(migration, "status", "failed");
        if (!disks_remove(agent->disks, mine, uuid, &cause) ||
            !conductor_save(agent->con, mine, migration, &cause))
            dv_warning(mine, "a move's leftovers: %s", cause->message);
    }
    return true;
}

/* ---- console tokens ---- */

bool cleanup_console_tokens(Agent *agent, const DvCtx *ctx, GError **err)
{
    return conductor_console_clean_expired(agent->con, ctx, err);
}
