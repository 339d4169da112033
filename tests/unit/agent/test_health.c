/* Health over real sockets: what each check says in each state, what is refused, and that answers
 * come while every worker is busy and the hypervisor hangs. There is no broker: both connections
 * count as down throughout; a healthy whole is seen in tests/cloud. */
#include "agent/health_http.h"

#include "services/conductor_priv.h"
#include "util/fs.h"
#include "util/metrics.h"
#include "util/thread.h"
#include "virt/fake/fake_driver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#define SECRET "pa55word"

typedef struct Fixture {
    Agent agent;
    DvErrorCode conductor_fails; /* 0: it answers */
    ServiceConfig placement;
    char *folder, *path, *listen;
    HealthHttp *http;
} Fixture;

static bool fake_call(void *self, const DvCtx *ctx G_GNUC_UNUSED,
                      const RpcTarget *target G_GNUC_UNUSED, const char *method G_GNUC_UNUSED,
                      json_t *args, int64_t timeout_ms G_GNUC_UNUSED, json_t **out_result,
                      RpcRemote *remote G_GNUC_UNUSED, GError **err)
{
    const Fixture *f = self;

    json_decref(args);
    if (f->conductor_fails)
        return dv_fail(err, f->conductor_fails, "no answer");
    if (out_result)
        *out_result = json_object();
    return true;
}

static int setup(void **state)
{
    static const char *const names[POOL_COUNT] = {
        [POOL_GENERAL] = "general", [POOL_BUILD] = "build",       [POOL_SNAPSHOT] = "snapshot",
        [POOL_MIGRATE] = "migrate", [POOL_PERIODIC] = "periodic", [POOL_BEAT] = "beat",
    };
    static const RpcConfig rpc = {
        .transport_url = "rabbit://u:" SECRET "@127.0.0.1:1/",
        .control_exchange = "nova",
        .response_timeout_ms = 60000,
    };
    Fixture *f = g_new0(Fixture, 1);
    Agent *agent = &f->agent;
    const ConductorTransport transport = {fake_call, NULL, f};

    agent->config.host = "host1";
    agent->config.service_down_time_s = 60;
    agent->config.periodic = (PeriodicConfig){.enable = true, .update_resources_s = 60};
    atomic_store(&agent->vitals.begin_ms, dv_now_ms());
    agent->timer = dv_timer_new();
    for (size_t i = 0; i < POOL_COUNT; i++)
        agent->pools[i] = dv_pool_new(names[i], 2);
    agent->rpc = rpc_new(&rpc, agent->timer, NULL);
    agent->con = conductor_new_with(&transport, NOVA_ZED);
    agent->http = http_client_new();
    f->placement = (ServiceConfig){
        .name = "placement",
        .service_type = "placement",
        .endpoint_override = "http://127.0.0.1:1",
        .auth = {.auth_type = "none"},
    };
    agent->placement = service_new(agent->http, &f->placement, NULL);
    agent->virt = virt_fake_new(NULL);
    atomic_store(&agent->vitals.virt, agent->virt);
    f->folder = g_dir_make_tmp("health-XXXXXX", NULL);
    f->path = g_build_filename(f->folder, "health.sock", NULL);
    f->listen = g_strconcat("unix:", f->path, NULL);
    f->http = health_http_start(agent, f->listen, NULL);
    assert_non_null(f->http);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    Agent *agent = &f->agent;

    health_http_stop(f->http);
    for (size_t i = 0; i < POOL_COUNT; i++)
        assert_true(dv_pool_stop(agent->pools[i], dv_now_ms() + 60000));
    virt_driver_free(agent->virt);
    service_free(agent->placement);
    http_client_free(agent->http);
    conductor_free(agent->con);
    for (size_t i = 0; i < POOL_COUNT; i++)
        dv_pool_free(agent->pools[i]);
    rpc_free(agent->rpc);
    dv_timer_free(agent->timer);
    dv_remove_tree(f->folder, NULL);
    g_free(f->folder);
    g_free(f->path);
    g_free(f->listen);
    g_free(f);
    return 0;
}

/* ---- a client ---- */

static int dial_unix(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(at.sun_path, path, sizeof at.sun_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* Sends `text` and reads until the server closes. */
static char *exchange(int fd, const char *text)
{
    GString *answer = g_string_new(NULL);
    char buffer[4096];
    ssize_t n;

    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0)
        g_string_append_len(answer, buffer, n);
    close(fd);
    return g_string_free(answer, FALSE);
}

static char *ask(const Fixture *f, const char *method, const char *path)
{
    g_autofree char *text = g_strdup_printf(
        "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", method, path);

    return exchange(dial_unix(f->path), text);
}

/* The JSON of an answer, whose status must be `status`. */
static json_t *get_json(const Fixture *f, const char *path, int status)
{
    g_autofree char *answer = ask(f, "GET", path);
    g_autofree char *want = g_strdup_printf("HTTP/1.1 %d ", status);
    const char *body = strstr(answer, "\r\n\r\n");
    json_t *json;

    if (!g_str_has_prefix(answer, want) || !body)
        fail_msg("%s: want %d, got: %s", path, status, answer);
    json = json_loads(body + 4, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_is_true(json_object_get(json, "ok")), status == 200);
    return json;
}

static void assert_check(const Fixture *f, const char *name, bool ok)
{
    json_t *report = get_json(f, "/healthz", 503);
    json_t *check = json_object_get(json_object_get(report, "checks"), name);

    assert_non_null(check);
    if (json_is_true(json_object_get(check, "ok")) != ok) {
        g_autofree char *text = json_dumps(check, JSON_ENCODE_ANY);

        fail_msg("%s: want %d, got %s", name, ok, text);
    }
    json_decref(report);
}

/* ---- checks ---- */

static void without_a_broker_it_is_not_well(void **state)
{
    Fixture *f = *state;

    assert_check(f, "amqp_listen", false);
    assert_check(f, "amqp_send", false);
    assert_check(f, "amqp_threads", true);
}

static void libvirt_away_is_told(void **state)
{
    Fixture *f = *state;

    assert_check(f, "libvirt", true);
    fake_virt_set_connected(fake_virt(f->agent.virt), false);
    assert_check(f, "libvirt", false);
    atomic_store(&f->agent.vitals.virt, NULL); /* while the start still waits for it */
    assert_check(f, "libvirt", false);
    assert_check(f, "libvirt_calls", true);
}

static void *call_state(void *arg)
{
    VirtDriver *virt = arg;
    GuestState guest;

    virt->ops->state(virt->self, "6f70c1f6-0000-4000-8000-000000000000", &guest, NULL);
    return NULL;
}

static void a_stuck_call_is_told(void **state)
{
    Fixture *f = *state;
    FakeVirt *virt = fake_virt(f->agent.virt);
    GThread *thread;

    assert_check(f, "libvirt_calls", true);
    fake_virt_hold(virt, "state");
    thread = dv_thread_new("caller", call_state, f->agent.virt);
    assert_true(fake_virt_wait_held(virt, "state", 60000));
    assert_check(f, "libvirt_calls", false);
    fake_virt_release(virt, "state");
    g_thread_join(thread);
    assert_check(f, "libvirt_calls", true);
}

static void a_heartbeat_that_is_too_old_is_told(void **state)
{
    Fixture *f = *state;
    Vitals *vitals = &f->agent.vitals;

    assert_check(f, "heartbeat", true); /* the process is young */
    atomic_store(&vitals->begin_ms, dv_now_ms() - 61500);
    assert_check(f, "heartbeat", false);
    atomic_store(&vitals->beat_ms, dv_now_ms() - 30000);
    assert_check(f, "heartbeat", true);
    atomic_store(&vitals->beat_ms, dv_now_ms() - 61500);
    assert_check(f, "heartbeat", false);
}

static void an_audit_that_is_too_old_is_told(void **state)
{
    Fixture *f = *state;
    Vitals *vitals = &f->agent.vitals;

    atomic_store(&vitals->begin_ms, dv_now_ms() - 200000);
    atomic_store(&vitals->audit_ms, dv_now_ms() - 170000);
    assert_check(f, "audit", true);
    atomic_store(&vitals->audit_ms, dv_now_ms() - 190000);
    assert_check(f, "audit", false);
    f->agent.config.periodic.update_resources_s = 0; /* never, says the operator */
    assert_check(f, "audit", true);
}

static void a_conductor_that_does_not_answer_is_told(void **state)
{
    Fixture *f = *state;
    g_autoptr(DvCtx) ctx = dv_ctx_new_admin();

    assert_check(f, "conductor", true);
    f->conductor_fails = DV_E_TIMEOUT;
    assert_false(conductor_ping(f->agent.con, ctx, 10, NULL));
    assert_check(f, "conductor", false);
    f->conductor_fails = DV_E_CANCELLED; /* says nothing about it */
    assert_false(conductor_ping(f->agent.con, ctx, 10, NULL));
    assert_check(f, "conductor", false);
    f->conductor_fails = 0;
    assert_true(conductor_ping(f->agent.con, ctx, 10, NULL));
    assert_check(f, "conductor", true);
}

static void a_placement_that_is_away_is_told(void **state)
{
    Fixture *f = *state;
    g_autoptr(DvCtx) ctx = dv_ctx_new_admin();

    assert_check(f, "placement", true);
    assert_false(service_call(f->agent.placement, ctx, AS_SERVICE, "GET", "/", NULL, NULL, NULL,
                              NULL, NULL, NULL));
    assert_check(f, "placement", false);
}

/* ---- answering whatever hangs ---- */

typedef struct Hold {
    DvMutex lock;
    DvCond changed;
    bool open;
    unsigned inside;
} Hold;

static void stand(void *arg)
{
    Hold *hold = arg;

    dv_lock(&hold->lock);
    hold->inside++;
    dv_cond_broadcast(&hold->changed);
    while (!hold->open)
        dv_cond_wait(&hold->changed, &hold->lock);
    dv_unlock(&hold->lock);
}

static void it_answers_while_all_workers_are_busy(void **state)
{
    Fixture *f = *state;
    Hold hold = {.open = false};
    json_t *report, *queues;
    g_autofree char *metrics = NULL;

    dv_mutex_init(&hold.lock);
    dv_cond_init(&hold.changed);
    for (size_t i = 0; i < POOL_COUNT; i++)
        for (int j = 0; j < 5; j++)
            dv_pool_submit(f->agent.pools[i], stand, &hold, NULL);
    dv_lock(&hold.lock);
    while (hold.inside < 2 * POOL_COUNT)
        dv_cond_wait(&hold.changed, &hold.lock);
    dv_unlock(&hold.lock);

    report = get_json(f, "/healthz", 503);
    queues = json_object_get(json_object_get(report, "checks"), "queues");
    queues = json_object_get(queues, "general");
    assert_int_equal(json_integer_value(json_object_get(queues, "queued")), 3);
    assert_int_equal(json_integer_value(json_object_get(queues, "running")), 2);
    json_decref(report);
    metrics = ask(f, "GET", "/metrics");
    assert_non_null(strstr(metrics, "\ndrover_pool_queued{pool=\"build\"} 3\n"));

    dv_lock(&hold.lock);
    hold.open = true;
    dv_cond_broadcast(&hold.changed);
    dv_unlock(&hold.lock);
    for (size_t i = 0; i < POOL_COUNT; i++)
        assert_true(dv_pool_stop(f->agent.pools[i], dv_now_ms() + 60000));
    dv_cond_done(&hold.changed);
    dv_mutex_done(&hold.lock);
}

/* A client that says nothing holds up nobody else. */
static void a_silent_client_holds_up_nobody(void **state)
{
    Fixture *f = *state;
    int silent[8];

    for (size_t i = 0; i < G_N_ELEMENTS(silent); i++)
        silent[i] = dial_unix(f->path);
    assert_check(f, "libvirt", true);
    for (size_t i = 0; i < G_N_ELEMENTS(silent); i++)
        close(silent[i]);
}

/* More of them wait in the kernel until one of the others is gone. */
static void connections_are_bounded(void **state)
{
    static const char request[] = "GET /readyz HTTP/1.0\r\n\r\n";
    const struct timeval moment = {.tv_usec = 100000}, minute = {.tv_sec = 60};
    Fixture *f = *state;
    int silent[32], late;
    char byte = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(silent); i++)
        silent[i] = dial_unix(f->path);
    late = dial_unix(f->path);
    setsockopt(late, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
    assert_int_equal(send(late, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    assert_int_equal(recv(late, &byte, 1, 0), -1);
    for (size_t i = 0; i < G_N_ELEMENTS(silent); i++)
        close(silent[i]);
    setsockopt(late, SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof minute);
    assert_int_equal(recv(late, &byte, 1, 0), 1);
    assert_int_equal(byte, 'H');
    close(late);
}

/* ---- the other pages ---- */

static void ready_is_between_start_and_stop(void **state)
{
    Fixture *f = *state;

    json_decref(get_json(f, "/readyz", 503));
    atomic_store(&f->agent.vitals.ready, true);
    json_decref(get_json(f, "/readyz", 200));
    atomic_store(&f->agent.stopping, true);
    json_decref(get_json(f, "/readyz", 503));
}

static void metrics_are_those_that_were_counted(void **state)
{
    Fixture *f = *state;
    g_autoptr(GPtrArray) guests = g_ptr_array_new();
    VirtGuest running = {.state = GUEST_STATE_RUNNING}, off = {.state = GUEST_STATE_OFF};
    g_autofree char *text = NULL;

    g_ptr_array_add(guests, &running);
    g_ptr_array_add(guests, &running);
    g_ptr_array_add(guests, &off);
    health_count_guests(guests);
    text = ask(f, "GET", "/metrics");
    assert_true(g_str_has_prefix(text, "HTTP/1.1 200 "));
    assert_non_null(strstr(text, "\r\nContent-Type: text/plain; version=0.0.4"));
    assert_non_null(strstr(text, "\n# TYPE drover_guests gauge\n"));
    assert_non_null(strstr(text, "\ndrover_guests{state=\"running\"} 2\n"));
    assert_non_null(strstr(text, "\ndrover_guests{state=\"off\"} 1\n"));
    assert_non_null(strstr(text, "\ndrover_guests{state=\"paused\"} 0\n"));
    assert_non_null(strstr(text, "\ndrover_rpc_up{connection=\"listen\"} 0\n"));
    assert_non_null(strstr(text, "\ndrover_rpc_requests_total "));
    assert_non_null(strstr(text, "\ndrover_libvirt_up 1\n"));
    assert_null(strstr(text, SECRET));
}

static void only_get_is_answered(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"};
    Fixture *f = *state;
    g_autofree char *post = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
        g_autofree char *text = ask(f, methods[i], "/healthz");

        assert_true(g_str_has_prefix(text, "HTTP/1.1 405 "));
        assert_non_null(strstr(text, "\r\nAllow: GET\r\n"));
    }
    post = exchange(dial_unix(f->path), "POST /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                        "Content-Length: 5\r\n\r\nhello");
    assert_true(g_str_has_prefix(post, "HTTP/1.1 405 "));
}

static void other_pages_are_not_there(void **state)
{
    static const char *const paths[] = {"/", "/health", "/healthz/", "/metrics/../healthz",
                                        "/etc/passwd"};
    Fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *text = ask(f, "GET", paths[i]);

        assert_true(g_str_has_prefix(text, "HTTP/1.1 404 "));
    }
}

static void too_long_requests_are_refused(void **state)
{
    Fixture *f = *state;
    g_autofree char *filler = g_strnfill((gsize)64 * 1024, 'a');
    g_autofree char *path = g_strconcat("/", filler, NULL);
    g_autofree char *text = ask(f, "GET", path);

    assert_false(g_str_has_prefix(text, "HTTP/1.1 200 "));
    assert_check(f, "libvirt", true);
}

/* ---- addresses ---- */

static void it_listens_on_tcp_too(void **state)
{
    Fixture *f = *state;
    g_autoptr(HealthHttp) http = health_http_start(&f->agent, "127.0.0.1:0", NULL);
    struct sockaddr_in at = {.sin_family = AF_INET};
    g_autoptr(GError) err = NULL;
    g_autofree char *answer = NULL;
    g_autofree char *taken = NULL;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_non_null(http);
    at.sin_port = htons((uint16_t)health_http_port(http));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    answer = exchange(fd, "GET /readyz HTTP/1.0\r\n\r\n");
    assert_non_null(strstr(answer, "starting"));
    taken = g_strdup_printf("127.0.0.1:%u", health_http_port(http));
    assert_null(health_http_start(&f->agent, taken, &err));
    assert_true(dv_is(err, DV_E_IO));
    assert_non_null(strstr(err->message, "health_listen"));
}

static void a_socket_file_is_private_and_replaced(void **state)
{
    Fixture *f = *state;
    g_autofree char *file = g_build_filename(f->folder, "precious", NULL);
    g_autofree char *listen = g_strconcat("unix:", file, NULL);
    struct stat st;

    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    health_http_stop(f->http);
    assert_int_not_equal(stat(f->path, &st), 0);

    /* a run that was killed leaves its socket */
    assert_int_equal(mknod(f->path, S_IFSOCK | 0600, 0), 0);
    f->http = health_http_start(&f->agent, f->listen, NULL);
    assert_non_null(f->http);
    assert_check(f, "libvirt", true);

    assert_true(dv_write_file(file, "x", 1, 0600, NULL));
    assert_null(health_http_start(&f->agent, listen, NULL));
    assert_true(dv_exists(file));
}

static void wrong_addresses_are_refused(void **state G_GNUC_UNUSED)
{
    static const char *const wrong[] = {
        "9104",         "localhost:9104", "127.0.0.1", "127.0.0.1:",    "127.0.0.1:65536",
        "127.0.0.1:x",  "::1:9104",       "[::1]",     "[127.0.0.1]:1", "unix:",
        "unix:a/b",     "/run/x",         "[]:1",      "127.0.0.1:-1",  ":9104",
        "127.0.0.1: 1",
    };
    static const char *const right[] = {"127.0.0.1:9104", "0.0.0.0:1", "[::1]:9104", "[::]:65535",
                                        "unix:/run/drover/health"};
    g_autofree char *longest = g_strnfill(200, 'a');
    g_autofree char *too_long = g_strconcat("unix:/", longest, NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) err = NULL;

        if (health_http_check(wrong[i], &err))
            fail_msg("%s is taken", wrong[i]);
        assert_true(dv_is(err, DV_E_BAD_CONFIG));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(right); i++)
        assert_true(health_http_check(right[i], NULL));
    assert_false(health_http_check(too_long, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_broker_it_is_not_well),
        TEST(libvirt_away_is_told),
        TEST(a_stuck_call_is_told),
        TEST(a_heartbeat_that_is_too_old_is_told),
        TEST(an_audit_that_is_too_old_is_told),
        TEST(a_conductor_that_does_not_answer_is_told),
        TEST(a_placement_that_is_away_is_told),
        TEST(it_answers_while_all_workers_are_busy),
        TEST(a_silent_client_holds_up_nobody),
        TEST(connections_are_bounded),
        TEST(ready_is_between_start_and_stop),
        TEST(metrics_are_those_that_were_counted),
        TEST(only_get_is_answered),
        TEST(other_pages_are_not_there),
        TEST(too_long_requests_are_refused),
        TEST(it_listens_on_tcp_too),
        TEST(a_socket_file_is_private_and_replaced),
        cmocka_unit_test(wrong_addresses_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
