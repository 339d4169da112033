/* The hypervisor's part of a live migration: begun or adopted, watched, judged at every pass,
 * helped along, and in the end: where is the guest? See live.h; the judgement is
 * agent/convergence's.
 *
 * Sources    nova virt/libvirt/driver.py _live_migration_operation, _live_migration_monitor;
 *            virt/libvirt/migration.py run_tasks (Zed). */
#include "agent/convergence.h"
#include "agent/guest_spec.h"
#include "agent/network_cache.h"
#include "agent/ops/live.h"

#include "util/log.h"
#include "util/metrics.h"

#include <string.h>
#include <sys/stat.h>

enum {
    SAY_MS = 30000,    /* between two lines of progress in the log */
    AWAY_MS = 3000,    /* between two looks whether somebody is back */
    ASK_TRIES = 200,   /* of a destination that does not answer: ten minutes and more */
    STANDS_MS = 1000,  /* between two looks whether a guest still stands there, */
    STANDS_TRIES = 45, /* so many: libvirtd gives a lost connection up after 30 s */
    MAX_SERIAL = 64,   /* ports; QEMU has fewer */
    MAX_TARGETS = 256, /* disks */
};

typedef struct Job {
    Live *live;
    Converge converge;
    int64_t saved_ms, said_ms; /* dv_now_ms base */
    VirtJob last;              /* as it was seen last while it ran */
    bool cancelling;           /* we have asked the hypervisor to end it */
    bool post_copy;            /* the record says so */
} Job;

/* ---- what is asked of the hypervisor ---- */

typedef struct Plan {
    char *uri, *migrate_uri, *xml;
    GPtrArray *targets; /* char *, NULL-terminated */
    GArray *sizes;      /* uint64_t: their files' bytes */
    VirtMigration migration;
} Plan;

static void plan_done(Plan *plan)
{
    g_free(plan->uri);
    g_free(plan->migrate_uri);
    g_free(plan->xml);
    g_clear_pointer(&plan->targets, g_ptr_array_unref);
    g_clear_pointer(&plan->sizes, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Plan, plan_done)

static void plan_addresses(const Live *live, Plan *plan)
{
    const LiveConfig *config = &live->agent->config.live;
    const char *address = ovo_str_or(live->data, "target_connect_addr", NULL);
    g_autofree char *host = address ? options_uri_host(address) : NULL;

    plan->uri = options_live_uri(config, address ? address : live->dest);
    if (host && !config->tunnelled)
        plan->migrate_uri = g_strconcat("tcp://", host, NULL);
}

/* The disks that the guest writes to, where both hosts have their own. */
static bool plan_disks(const Live *live, Plan *plan, GError **err)
{
    const VirtDriver *virt = live->agent->virt;
    g_autoptr(GPtrArray) disks = NULL;

    plan->targets = g_ptr_array_new_with_free_func(g_free);
    plan->sizes = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    if (ovo_bool_or(live->data, "block_migration", false)) {
        if (!virt->ops->disks(virt->self, live->uuid, &disks, err))
            return false;
        for (guint i = 0; i < MIN(disks->len, MAX_TARGETS); i++) {
            const VirtDisk *disk = g_ptr_array_index(disks, i);
            struct stat st = {0};
            uint64_t bytes;

            if (!disk->path || disk->readonly || disk->shareable)
                continue;
            stat(disk->path, &st); /* only for the limits of time: unknown counts as small */
            bytes = (uint64_t)MAX(st.st_size, 0);
            g_array_append_val(plan->sizes, bytes);
            g_ptr_array_add(plan->targets, g_strdup(disk->target));
        }
    }
    g_ptr_array_add(plan->targets, NULL);
    return true;
}

/* The ports' devices as they are at the destination. */
static bool make_nics(const Live *live, GPtrArray **out, GError **err)
{
    g_autoptr(NetworkInfo) network = migrate_data_dest_network(live->data, err);
    const GuestSource source = {live->instance, NULL, NULL, network, live->ctx};
    GPtrArray *nics;

    if (!network)
        return false;
    nics = g_ptr_array_new_with_free_func((GDestroyNotify)nic_spec_free);
    for (size_t i = 0; i < network_info_count(network); i++) {
        NicSpec *nic = guest_nic_build(live->agent, &source, network_info_at(network, i)->id, err);

        if (!nic) {
            g_ptr_array_unref(nics);
            return false;
        }
        g_ptr_array_add(nics, nic);
    }
    *out = nics;
    return true;
}

/* "0,1,2,3"; NULL: the destination did not say. Caller frees. */
static char *shared_cpus(const Ovo *data)
{
    size_t count = migrate_data_ints(data, "dst_cpu_shared_set_info", NULL, 0);
    g_autofree int *cpus = g_new0(int, count + 1);
    g_autoptr(GString) text = g_string_new(NULL);

    if (!ovo_has_value(data, "dst_cpu_shared_set_info"))
        return NULL;
    migrate_data_ints(data, "dst_cpu_shared_set_info", cpus, count);
    for (size_t i = 0; i < count; i++)
        g_string_append_printf(text, "%s%d", i ? "," : "", cpus[i]);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static char **perf_events(const Ovo *data)
{
    size_t count = ovo_count(data, "supported_perf_events");
    char **out = g_new0(char *, count + 1);
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        const char *event = ovo_str_at(data, "supported_perf_events", i);

        if (event)
            out[n++] = g_strdup(event);
    }
    return out;
}

static bool sets_cpu_shares(const Ovo *instance)
{
    g_autoptr(Ovo) flavor = ovo_child(instance, "flavor");

    return flavor && ovo_dict_str(flavor, "extra_specs", "quota:cpu_shares");
}

static bool plan_xml(const Live *live, Plan *plan, GError **err)
{
    const VirtDriver *virt = live->agent->virt;
    const Ovo *data = live->data;
    g_autoptr(GPtrArray) nics = NULL;
    g_autofree char *cpuset = shared_cpus(data);
    g_auto(GStrv) events = perf_events(data);
    int ports[MAX_SERIAL] = {0};
    size_t port_count = MIN(migrate_data_ints(data, "serial_listen_ports", ports, MAX_SERIAL),
                            MAX_SERIAL);
    VirtDestination destination = {
        .vnc_listen = ovo_str_or(data, "graphics_listen_addr_vnc", NULL),
        .spice_listen = ovo_str_or(data, "graphics_listen_addr_spice", NULL),
        .serial_listen = ovo_str_or(data, "serial_listen_addr", NULL),
        .serial_ports = ports,
        .serial_port_count = port_count,
        .perf_events = (const char *const *)events,
        .file_backed_memory = ovo_bool_or(data, "dst_wants_file_backed_memory", false),
        .keep_cpu_shares = sets_cpu_shares(live->instance),
        .cpuset = cpuset,
    };

    /* Its serial consoles would listen on an address of this host. */
    if (live->agent->config.serial.enabled && !destination.serial_listen)
        return dv_fail(err, DV_E_MIGRATION,
                       "Migration error: host %s has no serial consoles, and this guest does",
                       live->dest);
    if (migrate_data_has_vifs(data) && !make_nics(live, &nics, err))
        return false;
    destination.nics = nics;
    return virt->ops->migration_xml(virt->self, live->uuid, &destination, &plan->xml, err);
}

static bool may_post_copy(const Live *live)
{
    return live->agent->config.live.post_copy &&
           g_strcmp0(ovo_str_or(live->instance, "vm_state", NULL), "paused") != 0;
}

static bool plan_make(const Live *live, Plan *plan, GError **err)
{
    const LiveConfig *config = &live->agent->config.live;

    plan_addresses(live, plan);
    if (!plan_disks(live, plan, err) || !plan_xml(live, plan, err))
        return dv_within(err, "planning the live migration");
    plan->migration = (VirtMigration){
        .dest_uri = plan->uri,
        .migrate_uri = plan->migrate_uri,
        .dest_xml = plan->xml,
        .disks = (const char *const *)plan->targets->pdata,
        .bandwidth_mib = (uint64_t)config->bandwidth_mib,
        .connections = (unsigned)config->connections,
        .tunnelled = config->tunnelled,
        .tls = config->tls,
        .auto_converge = config->auto_converge,
        .post_copy = may_post_copy(live),
    };
    return true;
}

/* ---- while it runs ---- */

static void judge_begin(Job *job, const Plan *plan)
{
    const Live *live = job->live;
    const LiveConfig *config = &live->agent->config.live;
    const uint64_t *sizes = plan->sizes ? (const uint64_t *)(const void *)plan->sizes->data : NULL;
    const ConvergeConfig converge = {
        .downtime_ms = config->downtime_ms,
        .downtime_steps = config->downtime_steps,
        .downtime_delay_s = config->downtime_delay_s,
        .completion_timeout_s = config->completion_timeout_s,
        .force_complete = config->force_complete,
        .auto_converge = config->auto_converge,
        .post_copy = may_post_copy(live),
        .gib = converge_gib(ovo_i64_or(live->instance, "memory_mb", 0), sizes,
                            sizes ? plan->sizes->len : 0),
    };

    converge_init(&job->converge, &converge);
    job->saved_ms = job->said_ms = dv_now_ms();
}

static void cancel(Job *job)
{
    const Live *live = job->live;
    const VirtDriver *virt = live->agent->virt;
    g_autoptr(GError) err = NULL;

    job->cancelling = true;
    if (!virt->ops->abort_job(virt->self, live->ctx, live->uuid, &err))
        dv_warning(live->ctx, "the live migration is not cancelled: %s", err->message);
}

/* The record follows what the hypervisor does, however it came to it. */
static void say_post_copy(Job *job)
{
    g_autoptr(GError) err = NULL;

    if (job->post_copy)
        return;
    job->post_copy = true;
    if (!live_status(job->live, "running (post-copy)", &err))
        dv_warning(job->live->ctx, "migration not set to post-copy: %s", err->message);
}

static void switch_post_copy(Job *job)
{
    const Live *live = job->live;
    const VirtDriver *virt = live->agent->virt;
    g_autoptr(GError) err = NULL;

    if (virt->ops->post_copy(virt->self, live->ctx, live->uuid, &err))
        say_post_copy(job);
    else
        dv_warning(live->ctx, "no switch to post-copy: %s", err->message);
}

/* A guest that stands writes no more. */
static void pause_guest(Job *job)
{
    Live *live = job->live;
    const VirtDriver *virt = live->agent->virt;
    g_autoptr(GError) err = NULL;

    if (live->paused || g_strcmp0(ovo_str_or(live->instance, "vm_state", NULL), "paused") == 0)
        return;
    live->paused = virt->ops->pause(virt->self, live->ctx, live->uuid, &err);
    if (!live->paused)
        dv_warning(live->ctx, "the guest is not paused: %s", err->message);
}

static void allow_downtime(Job *job, int64_t downtime_ms)
{
    const Live *live = job->live;
    const VirtDriver *virt = live->agent->virt;
    g_autoptr(GError) err = NULL;

    if (!virt->ops->set_max_downtime(virt->self, live->ctx, live->uuid, (uint64_t)downtime_ms,
                                     &err))
        dv_warning(live->ctx, "downtime of %d ms not allowed: %s", (int)downtime_ms, err->message);
}

/* Caller frees. */
static char *eta_text(const VirtJob *seen)
{
    int64_t eta_s = converge_eta_s(seen);

    return eta_s < 0 ? g_strdup("no end in sight") : g_strdup_printf("%d s to go", (int)eta_s);
}

/* nova's record of a migration has no place for these. */
static void count_step(const char *step)
{
    g_autofree char *name = g_strdup_printf("drover_live_migration_steps_total{step=\"%s\"}", step);

    dv_metric_add(dv_metric(name, "What live migrations from here were helped along with."), 1);
}

static void set_gauges(const VirtJob *seen)
{
    dv_metric_set(dv_metric("drover_live_migration_eta_seconds",
                            "When the live migration looked at last will be over; -1: never so."),
                  converge_eta_s(seen));
    dv_metric_set(dv_metric("drover_live_migration_dirty_bytes_per_second",
                            "How fast its guest writes memory."),
                  (int64_t)seen->dirty_rate);
    dv_metric_set(dv_metric("drover_live_migration_sent_bytes_per_second",
                            "How fast its memory gets across."),
                  (int64_t)seen->bandwidth);
}

static void act(Job *job, const ConvergeAdvice *advice)
{
    static const struct {
        const char *step, *what;
    } rows[] = {
        [CONVERGE_DOWNTIME] = {"downtime", "more downtime"},
        [CONVERGE_POST_COPY] = {"post_copy", "switching to post-copy"},
        [CONVERGE_PAUSE] = {"pause", "pausing the guest"},
        [CONVERGE_CANCEL] = {"cancel", "cancelling it"},
    };
    g_autofree char *eta = NULL;
    g_autofree char *text = NULL;

    if (advice->act == CONVERGE_NOTHING)
        return;
    eta = eta_text(&job->last);
    text = g_strdup_printf("live migration: %s: %s; the guest writes %d MiB/s, %d MiB/s get "
                           "across, %d ms of downtime are allowed; %s",
                           rows[advice->act].what, advice->reason,
                           (int)(job->last.dirty_rate >> 20), (int)(job->last.bandwidth >> 20),
                           (int)job->converge.allowed_ms, eta);
    if (advice->act == CONVERGE_DOWNTIME)
        dv_info(job->live->ctx, "%s", text);
    else
        dv_warning(job->live->ctx, "%s", text);
    count_step(rows[advice->act].step);
    switch (advice->act) {
    case CONVERGE_NOTHING:
        break;
    case CONVERGE_DOWNTIME:
        allow_downtime(job, advice->downtime_ms);
        break;
    case CONVERGE_POST_COPY:
        switch_post_copy(job);
        break;
    case CONVERGE_PAUSE:
        pause_guest(job);
        break;
    case CONVERGE_CANCEL:
        cancel(job);
        break;
    }
}

static void force(Job *job, const VirtJob *seen)
{
    if (seen->state == VIRT_JOB_POST_COPY)
        dv_warning(job->live->ctx, "the live migration is in post-copy already");
    else if (may_post_copy(job->live))
        switch_post_copy(job);
    else
        pause_guest(job);
}

/* Into the objects, unsaved. */
static void put_counters(Job *job)
{
    const VirtJob *seen = &job->last;
    const struct {
        const char *field;
        uint64_t value;
    } counters[] = {
        {"memory_total", seen->memory_total},         {"memory_processed", seen->memory_processed},
        {"memory_remaining", seen->memory_remaining}, {"disk_total", seen->disk_total},
        {"disk_processed", seen->disk_processed},     {"disk_remaining", seen->disk_remaining},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(counters); i++)
        ovo_set_i64(job->live->migration, counters[i].field, (int64_t)counters[i].value);
}

static void save_progress(Job *job)
{
    const Live *live = job->live;
    g_autoptr(GError) err = NULL;

    put_counters(job);
    ovo_set_i64(live->instance, "progress", converge_progress(&job->last));
    if (!conductor_save(live->agent->con, live->admin, live->migration, &err) ||
        !conductor_instance_save(live->agent->con, live->ctx, live->instance, NULL, &err))
        dv_debug(live->ctx, "progress not saved: %s", err->message);
}

static void say_progress(const Job *job)
{
    const VirtJob *seen = &job->last;
    g_autofree char *eta = eta_text(seen);

    dv_info(job->live->ctx,
            "live migration for %d s: %d%% of memory there (%d of %d MiB left, pass %d), %d of %d "
            "MiB of disks left; the guest writes %d MiB/s, %d MiB/s get across; throttled by "
            "%d%%; %s",
            (int)(seen->elapsed_ms / 1000), (int)converge_progress(seen),
            (int)(seen->memory_remaining >> 20), (int)(seen->memory_total >> 20),
            (int)seen->iteration, (int)(seen->disk_remaining >> 20), (int)(seen->disk_total >> 20),
            (int)(seen->dirty_rate >> 20), (int)(seen->bandwidth >> 20),
            (int)seen->throttle_percent, eta);
}

/* VirtWatch: on the thread that waits for the migration. */
static void on_job(void *arg, const VirtJob *seen)
{
    Job *job = arg;
    Live *live = job->live;
    int64_t now_ms = dv_now_ms();
    ConvergeAdvice advice;

    if (seen->state != VIRT_JOB_RUNNING && seen->state != VIRT_JOB_POST_COPY)
        return;
    job->last = *seen;
    set_gauges(seen);
    if (seen->state == VIRT_JOB_POST_COPY)
        say_post_copy(job);
    /* A cancel that came before the hypervisor had begun found nothing to end. */
    if (live->ticket && live_ticket_cancelled(live->ticket) && !job->cancelling)
        cancel(job);
    if (live->ticket && live_ticket_take_force(live->ticket))
        force(job, seen);
    converge_judge(&job->converge, seen, &advice);
    act(job, &advice);
    if (now_ms - job->saved_ms >= live->agent->config.live.monitor_interval_s * 1000) {
        job->saved_ms = now_ms;
        save_progress(job);
    }
    if (now_ms - job->said_ms >= SAY_MS) {
        job->said_ms = now_ms;
        say_progress(job);
    }
}

/* ---- where is the guest? ---- */

typedef enum { THERE_NOT, THERE_RUNS, THERE_STANDS } There;

static bool ask(const Live *live, const char *method, const char *tail, GError **err)
{
    g_autoptr(Ovo) args = ovo_new_dict();

    ovo_set_child(args, "instance", live->instance);
    if (tail)
        ovo_set_str(args, "tail_length", tail);
    return peer_call(live->agent->peers, live->ctx, live->dest, method, PEER_VERSION, args,
                     PEER_SHORT, NULL, err);
}

/* What nova-compute answers as well, and what changes nothing: the console of any guest that it
 * has, the diagnostics of one that runs. */
static bool look_there(const Live *live, There *out, GError **err)
{
    g_autoptr(GError) console = NULL;
    g_autoptr(GError) why = NULL;

    *out = THERE_NOT;
    if (!ask(live, "get_console_output", "1", &console)) {
        if (dv_is(console, DV_E_INSTANCE_NOT_FOUND))
            return true;
        if (!dv_is(console, DV_E_CONSOLE_NOT_AVAILABLE)) {
            g_propagate_error(err, g_steal_pointer(&console));
            return false;
        }
    }
    *out = THERE_RUNS;
    if (ask(live, "get_diagnostics", NULL, &why))
        return true;
    *out = THERE_STANDS;
    if (!dv_is(why, DV_E_TIMEOUT) && !dv_is(why, DV_E_UNAVAILABLE))
        return true;
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

/* One that stands still there may be half of a guest that was still coming: its libvirtd takes that
 * away when it notices that nothing more comes. What is there after that is a whole one. */
bool live_ask_dest(const Live *live, bool *out_there, GError **err)
{
    There there = THERE_STANDS;

    for (unsigned try = 0; there == THERE_STANDS && try < STANDS_TRIES; try++) {
        if (try > 0)
            g_usleep(STANDS_MS * 1000UL);
        if (!look_there(live, &there, err))
            return dv_within(err, "asking host %s for the guest", live->dest);
        if (try == 0 && there == THERE_STANDS)
            dv_info(live->ctx, "the guest stands still on host %s: does it stay?", live->dest);
        if (agent_stopping(live->agent) && there == THERE_STANDS)
            return dv_fail(err, DV_E_UNAVAILABLE, "this agent stops");
    }
    *out_there = there != THERE_NOT;
    return true;
}

/* A guest that libvirt lost sight of at the switch may still stand here, and must not go on when it
 * does there. */
static void end_here(const Live *live)
{
    const VirtDriver *virt = live->agent->virt;
    g_autoptr(GError) err = NULL;

    if (!virt->ops->destroy(virt->self, live->ctx, live->uuid, &err))
        dv_error(live->ctx, "what is left of the guest here does not go: %s", err->message);
}

/* Or it must go on here, as it does not there. */
static void go_on_here(const Live *live)
{
    const VirtDriver *virt = live->agent->virt;
    g_autoptr(GError) err = NULL;

    if (g_strcmp0(ovo_str_or(live->instance, "vm_state", NULL), "paused") == 0 ||
        virt->ops->resume(virt->self, live->ctx, live->uuid, &err) ||
        dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        return;
    dv_error(live->ctx, "the guest stands still: %s", err->message);
}

/* The guest is not here, or stands still, and the hypervisor does not know why. */
static LiveOutcome ask_until_known(const Live *live, GError **why)
{
    for (unsigned try = 1; try <= ASK_TRIES && !agent_stopping(live->agent); try++) {
        g_autoptr(GError) err = NULL;
        bool there = false;

        if (live_ask_dest(live, &there, &err)) {
            if (there) {
                end_here(live);
                return LIVE_MOVED;
            }
            go_on_here(live);
            dv_fail(why, DV_E_MIGRATION, "Migration error: the guest has not arrived");
            return LIVE_STAYED;
        }
        if (try == 1)
            dv_warning(live->ctx, "the guest left, and where it is, is not known yet: %s",
                       err->message);
        g_usleep(AWAY_MS * 1000UL);
    }
    dv_fail(why, DV_E_UNAVAILABLE, "host %s does not say whether the guest is there", live->dest);
    return LIVE_UNKNOWN;
}

/* False: the service stops first. */
static bool wait_for_hypervisor(const Live *live)
{
    const VirtDriver *virt = live->agent->virt;

    dv_warning(live->ctx, "the hypervisor is away; the live migration may go on without us");
    do {
        g_usleep(AWAY_MS * 1000UL);
    } while (!agent_stopping(live->agent) && !virt->ops->connected(virt->self));
    return !agent_stopping(live->agent);
}

static LiveOutcome conclude(Job *job, GError *failure, bool *out_cancelled, GError **why)
{
    const Live *live = job->live;
    DvErrorCode code = dv_code(failure);

    *out_cancelled = code == DV_E_CANCELLED || job->cancelling ||
                     (live->ticket && live_ticket_cancelled(live->ticket));
    if (code == DV_E_INSTANCE_NOT_FOUND) {
        g_error_free(failure);
        return ask_until_known(live, why);
    }
    g_propagate_error(why, failure);
    return code == DV_E_POST_COPY_BROKEN ? LIVE_BROKEN
           : code == DV_E_UNAVAILABLE    ? LIVE_UNKNOWN
                                         : LIVE_STAYED;
}

LiveOutcome live_job(Live *live, bool adopt, bool *out_cancelled, GError **why)
{
    const VirtDriver *virt = live->agent->virt;
    Job job = {.live = live};
    const VirtWatch watch = {on_job, &job};
    g_auto(Plan) plan = {0};
    GError *failure = NULL;
    bool moved;

    *out_cancelled = false;
    if (!adopt && !plan_make(live, &plan, &failure))
        return conclude(&job, failure, out_cancelled, why);
    if (adopt && live->data && !plan_disks(live, &plan, &failure))
        g_clear_error(&failure); /* then the limits of time are those of its memory */
    judge_begin(&job, &plan);
    moved = adopt ? virt->ops->migrate_watch(virt->self, live->ctx, live->uuid, &watch, &failure)
                  : virt->ops->migrate(virt->self, live->ctx, live->uuid, &plan.migration, &watch,
                                       &failure);
    while (!moved && dv_is(failure, DV_E_UNAVAILABLE) && wait_for_hypervisor(live)) {
        g_clear_error(&failure);
        moved = virt->ops->migrate_watch(virt->self, live->ctx, live->uuid, &watch, &failure);
    }
    if (job.last.memory_total > 0)
        put_counters(&job);
    return moved ? LIVE_MOVED : conclude(&job, failure, out_cancelled, why);
}
