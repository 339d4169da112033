/* The checks behind /healthz and the numbers behind /metrics; see health.h.
 *
 * A check is a row of `checks` and a function that says what it looked at. Something that did not
 * happen yet counts from the start of the process, so that a start that hangs becomes visible by
 * the same limits. */
#include "agent/health.h"

#include "util/metrics.h"

#define QUEUE_WAIT_LIMIT_MS 60000 /* of requests whose lane is free but that find no worker */
#define AUDITS_MISSED 3
#define QUIET_LIMIT_MS 60000

/* ---- checks: what was looked at goes into `out`, the result says whether it is well ---- */

typedef bool (*CheckFn)(Agent *agent, int64_t now_ms, Ovo *out);

static bool check_amqp_listen(Agent *agent, int64_t now_ms G_GNUC_UNUSED, Ovo *out G_GNUC_UNUSED)
{
    RpcStatus status;

    rpc_status(agent->rpc, &status);
    return status.listening;
}

static bool check_amqp_send(Agent *agent, int64_t now_ms G_GNUC_UNUSED, Ovo *out)
{
    RpcStatus status;

    rpc_status(agent->rpc, &status);
    ovo_set_i64(out, "unsent", (int64_t)status.unsent);
    return status.sending && status.unsent < status.unsent_limit / 2;
}

static bool check_amqp_threads(Agent *agent, int64_t now_ms G_GNUC_UNUSED, Ovo *out)
{
    RpcStatus status;

    rpc_status(agent->rpc, &status);
    ovo_set_i64(out, "quiet_s", status.quiet_ms / 1000);
    return status.quiet_ms <= QUIET_LIMIT_MS;
}

static bool check_libvirt(Agent *agent, int64_t now_ms G_GNUC_UNUSED, Ovo *out G_GNUC_UNUSED)
{
    const VirtDriver *virt = atomic_load(&agent->vitals.virt);

    return virt && virt->ops->connected(virt->self);
}

static bool check_libvirt_calls(Agent *agent, int64_t now_ms G_GNUC_UNUSED, Ovo *out)
{
    const VirtDriver *virt = atomic_load(&agent->vitals.virt);
    int64_t oldest_ms = 0;
    const char *name = NULL;
    unsigned stuck = virt ? virt->ops->stuck_calls(virt->self, &oldest_ms, &name) : 0;

    ovo_set_i64(out, "stuck", stuck);
    ovo_set_i64(out, "oldest_s", oldest_ms / 1000);
    ovo_set_str(out, "oldest", name);
    return stuck == 0;
}

/* Age of what should happen again and again; well while it is below the limit. */
static bool check_age(const Agent *agent, int64_t last_ms, int64_t limit_s, int64_t now_ms,
                      Ovo *out)
{
    int64_t since_ms = MAX(last_ms, atomic_load(&agent->vitals.begin_ms));
    int64_t age_s = (now_ms - since_ms) / 1000;

    ovo_set_i64(out, "age_s", age_s);
    ovo_set_i64(out, "limit_s", limit_s);
    ovo_set_bool(out, "ever", last_ms != 0);
    return age_s <= limit_s;
}

/* The control plane counts us as down when it is older. */
static bool check_heartbeat(Agent *agent, int64_t now_ms, Ovo *out)
{
    return check_age(agent, atomic_load(&agent->vitals.beat_ms), agent->config.service_down_time_s,
                     now_ms, out);
}

static bool check_audit(Agent *agent, int64_t now_ms, Ovo *out)
{
    const PeriodicConfig *periodic = &agent->config.periodic;

    if (!periodic->enable || periodic->update_resources_s == 0)
        return true; /* the operator wants none */
    return check_age(agent, atomic_load(&agent->vitals.audit_ms),
                     AUDITS_MISSED * periodic->update_resources_s + periodic->fuzzy_delay_s, now_ms,
                     out);
}

static bool check_conductor(Agent *agent, int64_t now_ms G_GNUC_UNUSED, Ovo *out)
{
    ovo_set_i64(out, "calls", (int64_t)conductor_calls(agent->con));
    return !conductor_silent(agent->con);
}

static bool check_placement(Agent *agent, int64_t now_ms G_GNUC_UNUSED, Ovo *out G_GNUC_UNUSED)
{
    return !service_away(agent->placement);
}

/* Builds may wait for each other as long as they like; everything else should find a worker. */
static bool check_queues(Agent *agent, int64_t now_ms G_GNUC_UNUSED, Ovo *out)
{
    bool ok = true;

    for (size_t i = 0; i < POOL_COUNT; i++) {
        g_autoptr(Ovo) pool = ovo_new_dict();
        DvPoolLoad load;

        dv_pool_load(agent->pools[i], &load);
        ovo_set_i64(pool, "queued", load.queued);
        ovo_set_i64(pool, "running", load.running);
        ovo_set_i64(pool, "workers", load.max_workers);
        ovo_set_i64(pool, "oldest_s", load.oldest_ms / 1000);
        ovo_set_child(out, load.name, pool);
        if (i == POOL_GENERAL)
            ok = load.oldest_ms <= QUEUE_WAIT_LIMIT_MS;
    }
    return ok;
}

static const struct {
    const char *name;
    CheckFn run;
} checks[] = {
    {"amqp_listen", check_amqp_listen},     {"amqp_send", check_amqp_send},
    {"amqp_threads", check_amqp_threads},   {"libvirt", check_libvirt},
    {"libvirt_calls", check_libvirt_calls}, {"heartbeat", check_heartbeat},
    {"conductor", check_conductor},         {"audit", check_audit},
    {"placement", check_placement},         {"queues", check_queues},
};

/* ---- reports ---- */

static Ovo *report_new(const Agent *agent, bool ok)
{
    Ovo *report = ovo_new_dict();

    ovo_set_bool(report, "ok", ok);
    ovo_set_str(report, "host", agent->config.host);
    ovo_set_str(report, "version", DROVER_VERSION);
    return report;
}

/* With the newline that makes it readable on a terminal. */
static char *report_text(const Ovo *report)
{
    g_autofree char *text = ovo_text(report);

    return g_strconcat(text, "\n", NULL);
}

char *health_report(Agent *agent, bool *out_ok)
{
    int64_t now_ms = dv_now_ms();
    g_autoptr(Ovo) all = ovo_new_dict();
    g_autoptr(Ovo) report = NULL;
    bool ok = true;

    for (size_t i = 0; i < G_N_ELEMENTS(checks); i++) {
        g_autoptr(Ovo) one = ovo_new_dict();
        bool well = checks[i].run(agent, now_ms, one);

        ovo_set_bool(one, "ok", well);
        ovo_set_child(all, checks[i].name, one);
        ok = ok && well;
    }
    report = report_new(agent, ok);
    ovo_set_i64(report, "uptime_s", (now_ms - atomic_load(&agent->vitals.begin_ms)) / 1000);
    ovo_set_child(report, "checks", all);
    *out_ok = ok;
    return report_text(report);
}

char *health_ready(Agent *agent, bool *out_ok)
{
    bool ready = atomic_load(&agent->vitals.ready);
    bool stopping = agent_stopping(agent);
    g_autoptr(Ovo) report = report_new(agent, ready && !stopping);

    ovo_set_str(report, "state", stopping ? "stopping" : ready ? "ready" : "starting");
    *out_ok = ready && !stopping;
    return report_text(report);
}

/* ---- metrics ---- */

static void set(const char *name, const char *help, int64_t value)
{
    dv_metric_set(dv_metric(name, help), value);
}

static void set_of(const char *family, const char *label, const char *which, const char *help,
                   int64_t value)
{
    g_autofree char *name = g_strdup_printf("%s{%s=\"%s\"}", family, label, which);

    set(name, help, value);
}

static void measure_pools(Agent *agent)
{
    for (size_t i = 0; i < POOL_COUNT; i++) {
        DvPoolLoad load;

        dv_pool_load(agent->pools[i], &load);
        set_of("drover_pool_queued", "pool", load.name, "Jobs that wait for a worker.",
               load.queued);
        set_of("drover_pool_running", "pool", load.name, "Jobs that run.", load.running);
        set_of("drover_pool_workers", "pool", load.name,
               "Jobs that may run at a time, 0: no limit.", load.max_workers);
    }
}

static void measure_rpc(Agent *agent)
{
    RpcStatus status;

    rpc_status(agent->rpc, &status);
    set_of("drover_rpc_up", "connection", "listen", "1 while the connection to the broker is up.",
           status.listening);
    set_of("drover_rpc_up", "connection", "send", "1 while the connection to the broker is up.",
           status.sending);
    set("drover_rpc_unsent", "Messages that the broker has not confirmed yet.",
        (int64_t)status.unsent);
    set("drover_conductor_calls_total", "Calls made to nova-conductor.",
        (int64_t)conductor_calls(agent->con));
}

static void measure_libvirt(const Agent *agent)
{
    const VirtDriver *virt = atomic_load(&agent->vitals.virt);

    set("drover_libvirt_up", "1 while the connection to libvirt is up.",
        virt && virt->ops->connected(virt->self));
    set("drover_libvirt_stuck_calls", "Calls to libvirt that last longer than they should.",
        virt ? virt->ops->stuck_calls(virt->self, NULL, NULL) : 0);
}

static void measure_age(const char *name, const char *help, int64_t last_ms)
{
    if (last_ms)
        set(name, help, (dv_now_ms() - last_ms) / 1000);
}

static void measure_agent(const Agent *agent)
{
    set_of("drover_build_info", "version", DROVER_VERSION, "Always 1.", 1);
    set("drover_ready", "1 once the start has finished.", atomic_load(&agent->vitals.ready));
    set("drover_uptime_seconds", "Since the process started.",
        (dv_now_ms() - atomic_load(&agent->vitals.begin_ms)) / 1000);
    measure_age("drover_heartbeat_age_seconds", "Since a heartbeat went through.",
                atomic_load(&agent->vitals.beat_ms));
    measure_age("drover_audit_age_seconds", "Since an audit went through.",
                atomic_load(&agent->vitals.audit_ms));
}

char *health_metrics(Agent *agent)
{
    measure_agent(agent);
    measure_pools(agent);
    measure_rpc(agent);
    measure_libvirt(agent);
    return dv_metrics_text();
}

/* clang-format off */
static const struct {
    GuestState state;
    const char *name;
} guest_states[] = {
    {GUEST_STATE_NONE,      "none"},
    {GUEST_STATE_RUNNING,   "running"},
    {GUEST_STATE_PAUSED,    "paused"},
    {GUEST_STATE_OFF,       "off"},
    {GUEST_STATE_CRASHED,   "crashed"},
    {GUEST_STATE_SUSPENDED, "suspended"},
};
/* clang-format on */

void health_count_guests(const GPtrArray *guests)
{
    for (size_t i = 0; i < G_N_ELEMENTS(guest_states); i++) {
        int64_t count = 0;

        for (guint j = 0; j < guests->len; j++)
            count += ((const VirtGuest *)guests->pdata[j])->state == guest_states[i].state;
        set_of("drover_guests", "state", guest_states[i].name, "Guests at the last listing.",
               count);
    }
}
