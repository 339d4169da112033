/* A libvirtd that hangs, dies and comes back: which calls end how and when, and that guests and
 * events are there again. */
#include "virt/guest.h"

#include <signal.h>
#include <unistd.h>

/* A silent libvirtd is given up after at most 35 s, see virt/libvirt/conn.c. */
#define GIVE_UP_MS 45000
/* A call without connection waits 3 s for one. */
#define AWAY_MS 8000
#define INSTANT_MS 500

typedef struct Starter {
    VirtDriver *driver;
    const GuestSpec *spec;
    GError *err;
    int64_t took_ms;
    bool ok;
} Starter;

static gpointer start_in_thread(gpointer arg)
{
    Starter *starter = arg;
    int64_t began_ms = dv_now_ms();

    starter->ok = starter->driver->ops->start(starter->driver->self, NULL, starter->spec, false,
                                              &starter->err);
    starter->took_ms = dv_now_ms() - began_ms;
    return NULL;
}

static void wait_connected(VirtDriver *driver, bool wanted)
{
    int64_t deadline = dv_now_ms() + CONTRACT_WAIT_MS;

    while (driver->ops->connected(driver->self) != wanted && dv_now_ms() < deadline)
        g_usleep(20 * 1000);
    assert_int_equal(driver->ops->connected(driver->self), wanted);
}

/* The state of a guest is asked, and cannot be had. How long that took. */
static int64_t ask_in_vain(VirtDriver *driver, const char *uuid)
{
    g_autoptr(GError) err = NULL;
    int64_t began_ms = dv_now_ms();
    GuestState answer;

    assert_false(driver->ops->state(driver->self, uuid, &answer, &err));
    assert_int_equal(err->code, DV_E_UNAVAILABLE);
    return dv_now_ms() - began_ms;
}

static void assert_one_stuck_start(VirtDriver *driver)
{
    int64_t deadline = dv_now_ms() + CONTRACT_WAIT_MS;
    int64_t oldest_ms = 0;
    const char *name = NULL;

    while (driver->ops->stuck_calls(driver->self, &oldest_ms, &name) == 0 && dv_now_ms() < deadline)
        g_usleep(20 * 1000);
    assert_true(oldest_ms > VIRT_CALL_LIMIT_MS);
    assert_string_equal(name, "start");
}

static void hanging_libvirtd_stalls_nothing_for_ever(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) running = virt_spec(50, false);
    g_autoptr(GuestSpec) spec = virt_spec(51, false);
    static Starter starter; /* outlives a test that fails */
    int libvirtd = virt_pid_in("libvirtd.pid");
    int64_t began_ms;
    GThread *thread;

    starter = (Starter){.driver = driver, .spec = spec};
    start(driver, running, false);
    thread = g_thread_new("starter", start_in_thread, &starter);
    while (access(spec->console_log_path, F_OK) != 0) /* the start is under way */
        g_usleep(1000);
    assert_int_equal(kill(libvirtd, SIGSTOP), 0);
    assert_one_stuck_start(driver);
    /* What health asks never waits for libvirtd. */
    began_ms = dv_now_ms();
    driver->ops->connected(driver->self);
    assert_true(driver->ops->stuck_calls(driver->self, NULL, NULL) >= 1);
    assert_true(dv_now_ms() - began_ms < INSTANT_MS);
    /* A call of now is given up with the others, one without a connection sooner. */
    assert_true(ask_in_vain(driver, running->uuid) < GIVE_UP_MS);
    g_thread_join(thread);
    assert_false(starter.ok);
    assert_int_equal(starter.err->code, DV_E_UNAVAILABLE);
    assert_true(starter.took_ms < GIVE_UP_MS + AWAY_MS);
    g_clear_error(&starter.err);
    wait_connected(driver, false); /* the cut is noticed by the thread that reads */
    assert_int_equal(driver->ops->stuck_calls(driver->self, NULL, NULL), 0);
    assert_true(ask_in_vain(driver, running->uuid) < AWAY_MS);

    assert_int_equal(kill(libvirtd, SIGCONT), 0);
    wait_connected(driver, true);
    assert_int_equal(state_now(driver, running->uuid), GUEST_STATE_RUNNING);
    /* libvirtd goes on with what it was asked before; destroying ends either outcome. */
    destroy(driver, spec);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_NONE);
    destroy(driver, running);
}

static void killed_libvirtd_comes_back_with_its_guests(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) running = virt_spec(52, false);
    g_autoptr(GuestSpec) off = virt_spec(53, false);
    g_autoptr(GError) err = NULL;
    g_autofree char *name = NULL;
    g_autofree char *pid_file = g_strdup_printf("run/qemu/%s.pid", running->name);
    GuestState listed = GUEST_STATE_NONE;
    static EventLog log; /* outlives a test that fails */
    int qemu;

    event_log_start(&log, driver);
    start(driver, running, false);
    must(driver->ops->define(driver->self, NULL, off, &err), err);
    qemu = virt_pid_in(pid_file);
    virt_daemon("kill-libvirtd");
    wait_connected(driver, false);
    assert_true(ask_in_vain(driver, running->uuid) < AWAY_MS);
    assert_int_equal(kill(qemu, 0), 0);

    virt_daemon("start-libvirtd");
    wait_connected(driver, true);
    assert_int_equal(state_now(driver, running->uuid), GUEST_STATE_RUNNING);
    assert_int_equal(virt_pid_in(pid_file), qemu);
    assert_true(is_listed(driver, off->uuid, &listed, &name));
    assert_int_equal(listed, GUEST_STATE_OFF);
    /* Events come over the new connection, and the console goes on. */
    assert_true(virt_wait_console(driver, running->uuid, VIRT_GREETING));
    must(driver->ops->power_off(driver->self, NULL, running->uuid, &err), err);
    assert_true(wait_event(&log, running->uuid, GUEST_EVENT_STOPPED));
    destroy(driver, running);
    destroy(driver, off);
    event_log_stop(&log, driver);
}

static void guest_that_ends_without_libvirtd_is_found_off(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(54, false);
    g_autofree char *pid_file = g_strdup_printf("run/qemu/%s.pid", spec->name);
    g_autofree char *name = NULL;
    GuestState listed = GUEST_STATE_NONE;

    start(driver, spec, false);
    int qemu = virt_pid_in(pid_file);

    virt_daemon("stop-libvirtd");
    assert_int_equal(kill(qemu, SIGKILL), 0);
    virt_daemon("start-libvirtd");
    wait_connected(driver, true);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_OFF);
    assert_true(is_listed(driver, spec->uuid, &listed, &name));
    assert_int_equal(listed, GUEST_STATE_OFF);
    destroy(driver, spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VIRT_TEST(hanging_libvirtd_stalls_nothing_for_ever),
        VIRT_TEST(killed_libvirtd_comes_back_with_its_guests),
        VIRT_TEST(guest_that_ends_without_libvirtd_is_found_off),
    };

    return cmocka_run_group_tests(tests, virt_open, virt_close);
}
