/* drover: reads the configuration, wires the parts, and waits for signals.
 *
 * The main thread takes all signals: SIGTERM and SIGINT stop gracefully, SIGHUP reopens the log,
 * re-reads its level and looks at the control plane anew. The start-up sequence runs beside it on a
 * thread of its own, so that a stop is heard while conductor or libvirtd is still away. This file
 * owns all process-wide state; everybody else gets a pointer. */
#include "agent/agent.h"
#include "agent/arrivals.h"
#include "agent/cli.h"
#include "agent/health_http.h"
#include "agent/heartbeat.h"
#include "agent/lifecycle.h"
#include "agent/live_queue.h"
#include "agent/methods.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/live.h"
#include "agent/periodic.h"
#include "agent/startup.h"
#include "agent/watchdog.h"

#include "util/log.h"
#include "util/thread.h"

#include <signal.h>
#include <unistd.h>

#define LIBVIRT_RETRY_MS 2000
#define FLUSH_MS 5000

typedef struct Process {
    Agent agent;
    Cli cli;
    DvConfig *options;
    RpcConfig rpc_config;
    AuthConfig service_user;
    ServiceConfig placement, neutron, glance, barbican;
    AuthConfig barbican_user;
    VendordataConfig vendordata;
    TrackerConfig tracker_config;
    RpcServer *servers[2];
    Heartbeat *beat;
    Periodic *periodic;
    HealthHttp *health; /* NULL when nobody wants to ask */
    Watchdog *watchdog;
    GThread *starter;
    atomic_int exit_code;
} Process;

/* ---- configuration ---- */

static bool read_config(Process *process, GError **err)
{
    const DvConfig *options;
    LogConfig log;

    process->options = options_load((const char *const *)process->cli.config_files,
                                    (const char *const *)process->cli.config_dirs, err);
    options = process->options;
    if (!options)
        return false;
    options_log(options, &log);
    if (!dv_log_init(process->cli.log_file ? process->cli.log_file : log.file,
                     process->cli.debug ? DV_LOG_DEBUG : log.level, err))
        return false;
    options_rpc(options, &process->rpc_config);
    options_service_user(options, &process->service_user);
    options_tracker(options, &process->tracker_config);
    process->agent.pointer_model = dv_config_str(options, "DEFAULT", "pointer_model");
    return options_agent(options, &process->agent.config, err) &&
           options_virt(options, &process->agent.virt_config, err) &&
           options_disks(options, &process->agent.disks_config, err) &&
           options_service(options, "placement", &process->service_user, &process->placement,
                           err) &&
           options_service(options, "neutron", &process->service_user, &process->neutron, err) &&
           options_service(options, "glance", &process->service_user, &process->glance, err) &&
           options_barbican(options, &process->barbican_user, &process->barbican, err) &&
           options_vendordata(options, &process->vendordata, err);
}

static void say_warnings(const DvConfig *options)
{
    for (const char *const *text = dv_config_warnings(options); *text; text++)
        dv_warning(NULL, "%s", *text);
}

/* --check-config: what was understood, and what is wrong with it. */
static int check_config(const Cli *cli)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(DvConfig) options = options_load((const char *const *)cli->config_files,
                                               (const char *const *)cli->config_dirs, &err);
    g_autofree char *dump = NULL;

    if (!options || !options_check(options, &err)) {
        fprintf(stderr, "drover: %s\n", err->message);
        return 1;
    }
    dump = dv_config_dump(options);
    fputs(dump, stdout);
    for (const char *const *text = dv_config_warnings(options); *text; text++)
        printf("# warning: %s\n", *text);
    return 0;
}

static int sample_config(void)
{
    size_t length = 0;
    const DvOption *table = options_table(&length);
    g_autofree char *sample = dv_config_sample(table, length);

    fputs(sample, stdout);
    return 0;
}

/* ---- wiring ---- */

static bool host_facts(void *arg, HostFacts **out, GError **err)
{
    const Agent *agent = arg;

    return agent->virt->ops->host_facts(agent->virt->self, out, err);
}

static void make_pools(Agent *agent)
{
    agent->pools[POOL_GENERAL] = dv_pool_new("general",
                                             (unsigned)agent->config.executor_thread_pool_size);
    agent->pools[POOL_BUILD] = dv_pool_new("build", (unsigned)agent->config.max_concurrent_builds);
    agent->pools[POOL_SNAPSHOT] = dv_pool_new("snapshot",
                                              (unsigned)agent->config.max_concurrent_snapshots);
    agent->pools[POOL_MIGRATE] = dv_pool_new(
        "migrate", (unsigned)agent->config.max_concurrent_live_migrations);
    agent->pools[POOL_PERIODIC] = dv_pool_new("periodic", 1);
    agent->pools[POOL_BEAT] = dv_pool_new("beat", 1);
}

/* On rpc-listen. */
static void doubt_events(void *waits)
{
    waits_doubt(waits);
}

static bool wire(Process *process, GError **err)
{
    Agent *agent = &process->agent;

    atomic_store(&agent->vitals.begin_ms, dv_now_ms());
    process->watchdog = watchdog_new(agent);
    agent->second_look_ms = MAX(agent->config.recovery_delay_s, 1) * 1000;
    agent->timer = dv_timer_new();
    agent->lanes = dv_lanes_new();
    agent->gate = gate_new();
    agent->waits = waits_new();
    agent->refreshes = pending_new();
    agent->ports = pending_new();
    agent->saves = pending_new();
    agent->live = live_queue_new((unsigned)agent->config.max_concurrent_live_migrations);
    agent->arrivals = arrivals_new(dv_clock_real());
    make_pools(agent);
    agent->http = http_client_new();
    agent->disks = disks_new(&agent->disks_config);
    agent->virt_config.disks = agent->disks;
    agent->rpc = rpc_new(&process->rpc_config, agent->timer, err);
    if (!agent->rpc || !notifier_new(&agent->config.notify, &process->rpc_config, agent->rpc,
                                     agent->timer, &agent->notifier, err))
        return false;
    rpc_on_renewed(agent->rpc, doubt_events, agent->waits);
    agent->con = conductor_new(agent->rpc, NOVA_ZED);
    agent->peers = peers_new(agent->rpc, &(PeerTimes){agent->config.rpc_response_timeout_s * 1000,
                                                      agent->config.long_rpc_timeout_s * 1000});
    agent->placement = service_new(agent->http, &process->placement, err);
    agent->neutron = agent->placement ? service_new(agent->http, &process->neutron, err) : NULL;
    agent->glance = agent->neutron ? service_new(agent->http, &process->glance, err) : NULL;
    agent->barbican = agent->glance ? service_new(agent->http, &process->barbican, err) : NULL;
    agent->vendordata = agent->barbican ? vendordata_new(agent->http, &process->vendordata, err)
                                        : NULL;
    if (!agent->vendordata)
        return false;
    agent->tracker = tracker_new(&process->tracker_config, agent->con, agent->placement, host_facts,
                                 agent);
    if (agent->config.health_listen)
        process->health = health_http_start(agent, agent->config.health_listen, err);
    return process->health || !agent->config.health_listen;
}

/* In the opposite order; everything that could still call into a part has been stopped before. */
static void unwire(Process *process)
{
    Agent *agent = &process->agent;

    health_http_stop(process->health);
    watchdog_free(process->watchdog);
    heartbeat_free(process->beat);
    periodic_free(process->periodic);
    virt_driver_free(agent->virt);
    tracker_free(agent->tracker);
    vendordata_free(agent->vendordata);
    service_free(agent->barbican);
    service_free(agent->glance);
    service_free(agent->neutron);
    service_free(agent->placement);
    conductor_free(agent->con);
    dv_lanes_free(agent->lanes);
    for (size_t i = 0; i < POOL_COUNT; i++)
        dv_pool_free(agent->pools[i]);
    dv_timer_free(agent->timer);
    notifier_free(agent->notifier);
    peers_free(agent->peers);
    rpc_free(agent->rpc);
    disks_free(agent->disks);
    http_client_free(agent->http);
    live_queue_free(agent->live);
    arrivals_free(agent->arrivals);
    pending_free(agent->saves);
    pending_free(agent->ports);
    pending_free(agent->refreshes);
    waits_free(agent->waits);
    gate_free(agent->gate);
    dv_config_free(process->options);
    cli_done(&process->cli);
}

/* ---- start ---- */

static bool open_hypervisor(Agent *agent, const DvCtx *ctx, GError **err)
{
    bool said = false;

    while (!agent_stopping(agent)) {
        g_autoptr(GError) cause = NULL;

        agent->virt = virt_libvirt_new(&agent->virt_config, &cause);
        if (agent->virt) {
            atomic_store(&agent->vitals.virt, agent->virt);
            return true;
        }
        if (!dv_is(cause, DV_E_UNAVAILABLE)) {
            g_propagate_error(err, g_steal_pointer(&cause));
            return false;
        }
        if (!said)
            dv_warning(ctx, "waiting for libvirt: %s", cause->message);
        said = true;
        g_usleep(LIBVIRT_RETRY_MS * 1000UL);
    }
    return dv_fail(err, DV_E_CANCELLED, "stopping before libvirt answered");
}

static bool serve(Process *process, GError **err)
{
    static const char *const topics[] = {"compute", "compute-alt"};
    size_t count = 0;
    const RpcEndpoint *endpoints = methods_endpoints(process->rpc_config.ping_enabled, &count);

    for (size_t i = 0; i < G_N_ELEMENTS(topics); i++) {
        process->servers[i] = rpc_serve(process->agent.rpc, topics[i], process->agent.config.host,
                                        endpoints, count, dispatch_request, &process->agent, err);
        if (!process->servers[i])
            return dv_within(err, "serving %s", topics[i]);
    }
    return true;
}

/* The service is up before the host is audited, which takes placement's time: requests that come
 * meanwhile are kept at the gate. */
static bool start(Process *process, const DvCtx *ctx, GError **err)
{
    Agent *agent = &process->agent;
    g_autoptr(Ovo) service = NULL;

    watchdog_say(process->watchdog, "STATUS=waiting for RabbitMQ, libvirt or nova-conductor");
    if (!rpc_start(agent->rpc, err) || !notifier_start(agent->notifier, err) ||
        !open_hypervisor(agent, ctx, err) || !startup_register(agent, ctx, &service, err) ||
        !serve(process, err))
        return false;
    process->beat = heartbeat_start(agent, g_steal_pointer(&service));
    agent->virt->ops->set_event_sink(agent->virt->self, lifecycle_event, agent);
    watchdog_say(process->watchdog, "STATUS=recovering instances and auditing the host");
    if (!startup_open(agent, ctx, err))
        return false;
    process->periodic = periodic_start(agent);
    watchdog_start(process->watchdog);
    watchdog_say(process->watchdog, "READY=1\nSTATUS=running");
    return true;
}

static void *start_thread(void *arg)
{
    Process *process = arg;
    g_autoptr(DvCtx) ctx = dv_ctx_new_admin();
    g_autoptr(GError) err = NULL;
    int64_t start_ms = dv_now_ms();

    if (start(process, ctx, &err)) {
        dv_info(ctx, "drover %s runs as host %s, started in %d ms", DROVER_VERSION,
                process->agent.config.host, (int)(dv_now_ms() - start_ms));
        return NULL;
    }
    if (!dv_is(err, DV_E_CANCELLED)) {
        dv_error(ctx, "cannot start: %s", err->message);
        atomic_store(&process->exit_code, 1);
    }
    kill(getpid(), SIGTERM); /* the main thread stops what runs already */
    return NULL;
}

/* ---- stop ---- */

static void stop(Process *process)
{
    Agent *agent = &process->agent;
    int64_t deadline_ms = dv_now_ms() + agent->config.graceful_shutdown_timeout_s * 1000;

    dv_info(NULL, "stopping");
    watchdog_say(process->watchdog, "STOPPING=1\nSTATUS=ending operations");
    atomic_store(&agent->stopping, true);
    gate_close(agent->gate);
    g_thread_join(process->starter);
    for (size_t i = 0; i < G_N_ELEMENTS(process->servers); i++) {
        if (process->servers[i])
            rpc_server_stop(process->servers[i]);
    }
    dv_pool_stop(agent->pools[POOL_PERIODIC], deadline_ms);
    live_cancel_waiting(agent);
    if (!dv_pool_stop(agent->pools[POOL_BUILD], deadline_ms))
        dv_warning(NULL, "builds still run at the end of graceful_shutdown_timeout");
    waits_cancel(agent->waits, NULL);
    if (!dv_pool_stop(agent->pools[POOL_SNAPSHOT], deadline_ms))
        dv_warning(NULL, "snapshots still run at the end of graceful_shutdown_timeout");
    if (!dv_pool_stop(agent->pools[POOL_MIGRATE], deadline_ms))
        dv_warning(NULL, "live migrations go on without us; the next start ends them");
    if (!dv_pool_stop(agent->pools[POOL_GENERAL], deadline_ms))
        dv_warning(NULL, "operations still run at the end of graceful_shutdown_timeout");
    dv_pool_stop(agent->pools[POOL_BEAT], dv_now_ms() + FLUSH_MS);
    notifier_stop(agent->notifier, dv_now_ms() + FLUSH_MS);
    rpc_stop(agent->rpc, dv_now_ms() + FLUSH_MS);
}

static void refresh(void *arg)
{
    startup_refresh(arg);
}

static void reload(Process *process)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(DvConfig) options = options_load((const char *const *)process->cli.config_files,
                                               (const char *const *)process->cli.config_dirs, &err);
    LogConfig log;

    if (!options) {
        dv_error(NULL, "not reloaded: %s", err->message);
        return;
    }
    options_log(options, &log);
    if (!dv_log_reopen(process->cli.debug ? DV_LOG_DEBUG : log.level, &err))
        dv_error(NULL, "not reloaded: %s", err->message);
    else
        dv_info(NULL, "log reopened");
    dv_pool_submit(process->agent.pools[POOL_GENERAL], refresh, &process->agent, NULL);
}

/* For the fault tests: ends the process like a power failure at the step that DROVER_KILL_AT names.
 */
static void kill_at(void *self, const char *point)
{
    if (strcmp(self, point) == 0)
        kill(getpid(), SIGKILL);
}

static void wait_for_stop(Process *process, const sigset_t *signals)
{
    int number = 0;

    while (sigwait(signals, &number) == 0 && number != SIGTERM && number != SIGINT) {
        if (number == SIGHUP)
            reload(process);
    }
}

static int run(Process *process)
{
    g_autoptr(GError) err = NULL;
    char *kill_point = getenv("DROVER_KILL_AT");
    sigset_t signals;
    bool wired;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);

    if (!read_config(process, &err)) {
        fprintf(stderr, "drover: %s\n", err->message);
        dv_config_free(process->options);
        return 1;
    }
    say_warnings(process->options);
    if (kill_point)
        op_set_observer(kill_at, kill_point);
    wired = wire(process, &err);
    if (wired) {
        process->starter = dv_thread_new("start", start_thread, process);
        wait_for_stop(process, &signals);
        stop(process);
    } else {
        dv_error(NULL, "cannot start: %s", err->message);
        atomic_store(&process->exit_code, 1);
    }
    unwire(process);
    return atomic_load(&process->exit_code);
}

int main(int argc, char **argv)
{
    static Process process;
    g_autoptr(GError) err = NULL;

    if (!cli_parse(argc, argv, &process.cli, &err)) {
        fprintf(stderr, "drover: %s\n", err->message);
        return 2;
    }
    if (process.cli.version) {
        printf("drover %s\n", DROVER_VERSION);
        return 0;
    }
    if (process.cli.sample_config)
        return sample_config();
    if (process.cli.check_config)
        return check_config(&process.cli);
    return run(&process);
}
