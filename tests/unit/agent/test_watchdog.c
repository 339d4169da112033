/* The service manager's side of the watchdog: a socket that hears what is said, and when it is fed
 * no more. */
#include "agent/watchdog.h"

#include "util/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Fixture {
    Agent agent;
    char *folder;
    int fd; /* of the service manager */
} Fixture;

static int setup(void **state)
{
    static const RpcConfig rpc = {
        .transport_url = "rabbit://u:p@127.0.0.1:1/",
        .control_exchange = "nova",
        .response_timeout_ms = 60000,
    };
    Fixture *f = g_new0(Fixture, 1);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = 60};
    g_autofree char *path = NULL;

    f->folder = g_dir_make_tmp("watchdog-XXXXXX", NULL);
    path = g_build_filename(f->folder, "notify", NULL);
    g_strlcpy(at.sun_path, path, sizeof at.sun_path);
    f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->fd, (struct sockaddr *)&at, sizeof at), 0);
    setsockopt(f->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
    f->agent.config.report_interval_s = 10;
    f->agent.config.rpc_response_timeout_s = 60;
    f->agent.timer = dv_timer_new();
    f->agent.rpc = rpc_new(&rpc, f->agent.timer, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    rpc_free(f->agent.rpc);
    dv_timer_free(f->agent.timer);
    close(f->fd);
    dv_remove_tree(f->folder, NULL);
    g_free(f->folder);
    g_free(f);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return 0;
}

static void assert_hears(const Fixture *f, const char *want)
{
    char text[256] = "";
    ssize_t n = recv(f->fd, text, sizeof text - 1, 0);

    assert_true(n > 0);
    assert_string_equal(text, want);
}

static bool hears_nothing(const Fixture *f)
{
    char byte;

    return recv(f->fd, &byte, 1, MSG_DONTWAIT) < 0;
}

static void set_watchdog(const char *usec, pid_t pid)
{
    g_autofree char *text = g_strdup_printf("%d", (int)pid);

    assert_int_equal(setenv("WATCHDOG_USEC", usec, 1), 0);
    assert_int_equal(setenv("WATCHDOG_PID", text, 1), 0);
}

static void states_are_said(void **state)
{
    Fixture *f = *state;
    g_autoptr(Watchdog) dog = watchdog_new(&f->agent);

    watchdog_say(dog, "READY=1\nSTATUS=running");
    assert_hears(f, "READY=1\nSTATUS=running");
    assert_null(getenv("NOTIFY_SOCKET")); /* programs that we start do not speak for us */
}

static void nobody_is_told_without_a_socket(void **state)
{
    Fixture *f = *state;
    g_autoptr(Watchdog) dog = NULL;

    unsetenv("NOTIFY_SOCKET");
    set_watchdog("1000", getpid());
    dog = watchdog_new(&f->agent);
    watchdog_say(dog, "READY=1");
    watchdog_start(dog);
    assert_true(hears_nothing(f));
}

static void an_abstract_socket_is_heard_too(void **state)
{
    Fixture *f = *state;
    g_autoptr(Watchdog) dog = NULL;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    g_autofree char *name = g_strdup_printf("@drover-test-%d", (int)getpid());
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    char text[16] = "";
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(at.sun_path, name, strlen(name));
    at.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (struct sockaddr *)&at, length), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    dog = watchdog_new(&f->agent);
    watchdog_say(dog, "STOPPING=1");
    assert_true(recv(fd, text, sizeof text - 1, MSG_DONTWAIT) > 0);
    assert_string_equal(text, "STOPPING=1");
    close(fd);
}

static void it_is_fed_while_all_come_round(void **state)
{
    Fixture *f = *state;
    g_autoptr(Watchdog) dog = NULL;

    set_watchdog("30000", getpid()); /* 30 ms */
    dog = watchdog_new(&f->agent);
    assert_true(hears_nothing(f));
    watchdog_start(dog);
    assert_hears(f, "WATCHDOG=1");
    assert_hears(f, "WATCHDOG=1");
}

static void it_is_not_fed_for_another_process(void **state)
{
    Fixture *f = *state;
    g_autoptr(Watchdog) dog = NULL;

    set_watchdog("1000", getpid() + 1);
    dog = watchdog_new(&f->agent);
    watchdog_start(dog);
    g_usleep(20000);
    assert_true(hears_nothing(f));
}

static void a_heartbeat_that_hangs_starves_it(void **state)
{
    Fixture *f = *state;
    int64_t now_ms = dv_now_ms();
    const char *why = NULL;

    assert_true(watchdog_alive(&f->agent, now_ms, &why)); /* not started yet */
    assert_null(why);
    atomic_store(&f->agent.vitals.beat_turn_ms, now_ms - 95000);
    assert_true(watchdog_alive(&f->agent, now_ms, NULL)); /* a call that timed out */
    atomic_store(&f->agent.vitals.beat_turn_ms, now_ms - 101000);
    assert_false(watchdog_alive(&f->agent, now_ms, &why));
    assert_string_equal(why, "the heartbeat hangs");
}

static void a_starving_dog_is_silent(void **state)
{
    Fixture *f = *state;
    g_autoptr(Watchdog) dog = NULL;

    set_watchdog("3000", getpid());
    dog = watchdog_new(&f->agent);
    atomic_store(&f->agent.vitals.beat_turn_ms, dv_now_ms() - 101000);
    watchdog_start(dog);
    g_usleep(30000);
    assert_true(hears_nothing(f));
    atomic_store(&f->agent.vitals.beat_turn_ms, dv_now_ms());
    assert_hears(f, "WATCHDOG=1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(states_are_said),
        TEST(nobody_is_told_without_a_socket),
        TEST(an_abstract_socket_is_heard_too),
        TEST(it_is_fed_while_all_come_round),
        TEST(it_is_not_fed_for_another_process),
        TEST(a_heartbeat_that_hangs_starves_it),
        TEST(a_starving_dog_is_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
