/* The connection and the read-only operations on libvirt's test:///default driver, which needs no
 * daemon. What needs QEMU is in tests/virt. */
#include "virt/libvirt/libvirt_priv.h"

#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The guest that the test hypervisor starts with, running. */
#define TEST_GUEST "6695eb01-f6a4-8304-79aa-97f2502e193f"

static VirtConfig test_config(void)
{
    return (VirtConfig){.virt_type = "qemu",
                        .connection_uri = "test:///default",
                        .instances_path = "/tmp",
                        .cpu_mode = "host-model",
                        .call_limit_ms = 5000};
}

static void must(bool ok, GError *err)
{
    if (!ok)
        fail_msg("%s", err ? err->message : "failed without a reason");
}

static GuestState state_now(VirtDriver *driver, const char *uuid)
{
    g_autoptr(GError) err = NULL;
    GuestState state = GUEST_STATE_CRASHED;

    must(driver->ops->state(driver->self, uuid, &state, &err), err);
    return state;
}

static void opens_and_closes_again_and_again(void **state G_GNUC_UNUSED)
{
    VirtConfig config = test_config();

    for (int i = 0; i < 5; i++) {
        g_autoptr(GError) err = NULL;
        g_autoptr(VirtDriver) driver = virt_libvirt_new(&config, &err);

        must(driver != NULL, err);
        assert_true(driver->ops->connected(driver->self));
    }
}

static void unreachable_libvirt_is_unavailable(void **state G_GNUC_UNUSED)
{
    VirtConfig config = test_config();
    g_autoptr(GError) err = NULL;

    config.connection_uri = "qemu+unix:///system?socket=/nonexistent/libvirt-sock";
    assert_null(virt_libvirt_new(&config, &err));
    assert_int_equal(err->code, DV_E_UNAVAILABLE);
    assert_non_null(strstr(err->message, "/nonexistent/libvirt-sock"));
}

static void unknown_virt_type_is_bad_config(void **state G_GNUC_UNUSED)
{
    VirtConfig config = test_config();
    g_autoptr(GError) err = NULL;

    config.virt_type = "lxc";
    assert_null(virt_libvirt_new(&config, &err));
    assert_int_equal(err->code, DV_E_BAD_CONFIG);
    assert_non_null(strstr(err->message, "lxc"));
}

static void domains_of_others_are_not_listed(void **state G_GNUC_UNUSED)
{
    VirtConfig config = test_config();
    g_autoptr(VirtDriver) driver = virt_libvirt_new(&config, NULL);
    g_autoptr(GPtrArray) guests = NULL;
    g_autoptr(GError) err = NULL;

    /* The default test hypervisor has a running domain "test" without nova's metadata. */
    must(driver->ops->list(driver->self, &guests, &err), err);
    assert_int_equal(guests->len, 0);
    assert_int_equal(state_now(driver, TEST_GUEST), GUEST_STATE_RUNNING);
}

static void refused_start_leaves_nothing_defined(void **state G_GNUC_UNUSED)
{
    VirtConfig config = test_config();
    g_autoptr(VirtDriver) driver = virt_libvirt_new(&config, NULL);
    g_autoptr(GuestSpec) spec = guest_spec_new();
    g_autoptr(GError) err = NULL;

    spec->uuid = g_strdup("00000000-0000-4000-8000-000000000001");
    spec->name = g_strdup("instance-1");
    spec->console_log_path = g_strdup("/tmp/console.log");
    spec->memory_mib = 64;
    spec->vcpus = 1;
    assert_false(driver->ops->start(driver->self, NULL, spec, true, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_NONE);
}

/* What a call on TEST_GUEST ends in; 0: success. */
static int end_of(bool ok, GError **err)
{
    int code = ok ? 0 : (*err)->code;

    g_clear_error(err);
    return code;
}

static void guest_is_turned_on_and_off(void **state G_GNUC_UNUSED)
{
    VirtConfig config = test_config();
    g_autoptr(VirtDriver) driver = virt_libvirt_new(&config, NULL);
    const VirtOps *ops = driver->ops;
    void *self = driver->self;
    GError *err = NULL;

    for (int i = 0; i < 2; i++) { /* shutting down what is off already is success */
        assert_int_equal(end_of(ops->shutdown(self, NULL, TEST_GUEST, &err), &err), 0);
        assert_int_equal(state_now(driver, TEST_GUEST), GUEST_STATE_OFF);
    }
    assert_int_equal(end_of(ops->pause(self, NULL, TEST_GUEST, &err), &err), DV_E_HYPERVISOR);
    assert_int_equal(end_of(ops->resume(self, NULL, TEST_GUEST, &err), &err), DV_E_HYPERVISOR);
    assert_int_equal(end_of(ops->save(self, NULL, TEST_GUEST, &err), &err), DV_E_HYPERVISOR);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(end_of(ops->launch(self, NULL, TEST_GUEST, NULL, false, &err), &err), 0);
        assert_int_equal(state_now(driver, TEST_GUEST), GUEST_STATE_RUNNING);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(end_of(ops->power_off(self, NULL, TEST_GUEST, &err), &err), 0);
        assert_int_equal(state_now(driver, TEST_GUEST), GUEST_STATE_OFF);
    }
    assert_int_equal(end_of(ops->launch(self, NULL, TEST_GUEST, NULL, false, &err), &err), 0);
}

static void guest_is_paused_and_saved(void **state G_GNUC_UNUSED)
{
    VirtConfig config = test_config();
    g_autoptr(VirtDriver) driver = virt_libvirt_new(&config, NULL);
    const VirtOps *ops = driver->ops;
    void *self = driver->self;
    GError *err = NULL;

    for (int i = 0; i < 2; i++) {
        assert_int_equal(end_of(ops->pause(self, NULL, TEST_GUEST, &err), &err), 0);
        assert_int_equal(state_now(driver, TEST_GUEST), GUEST_STATE_PAUSED);
    }
    assert_int_equal(end_of(ops->launch(self, NULL, TEST_GUEST, NULL, false, &err), &err), 0);
    assert_int_equal(state_now(driver, TEST_GUEST), GUEST_STATE_PAUSED);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(end_of(ops->resume(self, NULL, TEST_GUEST, &err), &err), 0);
        assert_int_equal(state_now(driver, TEST_GUEST), GUEST_STATE_RUNNING);
    }
    assert_int_equal(end_of(ops->save(self, NULL, TEST_GUEST, &err), &err), 0);
    assert_int_equal(state_now(driver, TEST_GUEST), GUEST_STATE_OFF);
    assert_int_equal(end_of(ops->launch(self, NULL, TEST_GUEST, NULL, false, &err), &err), 0);
    assert_int_equal(state_now(driver, TEST_GUEST), GUEST_STATE_RUNNING);
}

static void absent_guest_cannot_be_turned_on(void **state G_GNUC_UNUSED)
{
    VirtConfig config = test_config();
    g_autoptr(VirtDriver) driver = virt_libvirt_new(&config, NULL);
    const VirtOps *ops = driver->ops;
    void *self = driver->self;
    const char *uuid = "00000000-0000-4000-8000-00000000dead";
    GError *err = NULL;

    assert_int_equal(end_of(ops->power_off(self, NULL, uuid, &err), &err), 0);
    assert_int_equal(end_of(ops->shutdown(self, NULL, uuid, &err), &err), DV_E_INSTANCE_NOT_FOUND);
    assert_int_equal(end_of(ops->launch(self, NULL, uuid, NULL, true, &err), &err),
                     DV_E_INSTANCE_NOT_FOUND);
    assert_int_equal(end_of(ops->pause(self, NULL, uuid, &err), &err), DV_E_INSTANCE_NOT_FOUND);
    assert_int_equal(end_of(ops->save(self, NULL, uuid, &err), &err), DV_E_INSTANCE_NOT_FOUND);
}

static void guest_tells_what_it_used(void **state G_GNUC_UNUSED)
{
    VirtConfig config = test_config();
    g_autoptr(VirtDriver) driver = virt_libvirt_new(&config, NULL);
    g_autoptr(GuestStats) stats = NULL;
    g_autoptr(GError) err = NULL;

    must(driver->ops->stats(driver->self, TEST_GUEST, &stats, &err), err);
    assert_int_equal(stats->state, GUEST_STATE_RUNNING);
    assert_false(
        driver->ops->stats(driver->self, "00000000-0000-4000-8000-00000000dead", &stats, &err));
    assert_int_equal(err->code, DV_E_INSTANCE_NOT_FOUND);
}

static void guest_is_reached_from_outside(void **state G_GNUC_UNUSED)
{
    VirtConfig config = test_config();
    g_autoptr(VirtDriver) driver = virt_libvirt_new(&config, NULL);
    const VirtOps *ops = driver->ops;
    void *self = driver->self;
    GError *err = NULL;

    assert_int_equal(end_of(ops->inject_nmi(self, NULL, TEST_GUEST, &err), &err), 0);
    assert_int_equal(end_of(ops->set_password(self, NULL, TEST_GUEST, "root", "x", &err), &err), 0);
    ops->sync_time(self, NULL, TEST_GUEST);
    assert_int_equal(end_of(ops->power_off(self, NULL, TEST_GUEST, &err), &err), 0);
    assert_int_equal(end_of(ops->abort_job(self, NULL, TEST_GUEST, &err), &err), 0);
    assert_int_equal(end_of(ops->launch(self, NULL, TEST_GUEST, NULL, false, &err), &err), 0);
}

typedef struct Calls {
    VirtConn *conn;
    DvMutex lock;
    DvCond go;
    bool entered, leave;
} Calls;

static gpointer long_call(gpointer arg)
{
    Calls *calls = arg;
    VIRT_CALL(calls->conn, "a long call");

    dv_lock(&calls->lock);
    calls->entered = true;
    dv_cond_broadcast(&calls->go);
    while (!calls->leave)
        dv_cond_wait(&calls->go, &calls->lock);
    dv_unlock(&calls->lock);
    return NULL;
}

static void ignore_open(void *arg G_GNUC_UNUSED, virConnectPtr conn G_GNUC_UNUSED)
{
}

static void long_calls_are_known(void **state G_GNUC_UNUSED)
{
    Calls calls = {0};
    const char *name = NULL;
    int64_t oldest_ms = 0;
    unsigned stuck = 0;
    GThread *thread;

    int64_t deadline = dv_now_ms() + 10000;

    calls.conn = virt_conn_new("test:///default", 1, ignore_open, NULL, NULL);
    assert_non_null(calls.conn);
    dv_mutex_init(&calls.lock);
    dv_cond_init(&calls.go);
    thread = g_thread_new("caller", long_call, &calls);
    dv_lock(&calls.lock);
    while (!calls.entered)
        dv_cond_wait(&calls.go, &calls.lock);
    dv_unlock(&calls.lock);
    while (stuck == 0 && dv_now_ms() < deadline)
        stuck = virt_conn_stuck(calls.conn, &oldest_ms, &name);
    assert_int_equal(stuck, 1);
    assert_string_equal(name, "a long call");
    assert_true(oldest_ms > 1);
    dv_lock(&calls.lock);
    calls.leave = true;
    dv_cond_broadcast(&calls.go);
    dv_unlock(&calls.lock);
    g_thread_join(thread);
    assert_int_equal(virt_conn_stuck(calls.conn, &oldest_ms, &name), 0);
    assert_null(name);
    virt_conn_free(calls.conn);
    dv_cond_done(&calls.go);
    dv_mutex_done(&calls.lock);
}

static gpointer list_often(gpointer arg)
{
    VirtDriver *driver = arg;

    for (int i = 0; i < 50; i++) {
        g_autoptr(GPtrArray) guests = NULL;
        GuestState state;

        if (!driver->ops->list(driver->self, &guests, NULL) ||
            !driver->ops->state(driver->self, TEST_GUEST, &state, NULL))
            return GINT_TO_POINTER(1);
    }
    return NULL;
}

static void many_threads_share_the_connection(void **state G_GNUC_UNUSED)
{
    VirtConfig config = test_config();
    g_autoptr(VirtDriver) driver = virt_libvirt_new(&config, NULL);
    GThread *threads[4];

    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("lister", list_often, driver);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        assert_null(g_thread_join(threads[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_and_closes_again_and_again),
        cmocka_unit_test(unreachable_libvirt_is_unavailable),
        cmocka_unit_test(unknown_virt_type_is_bad_config),
        cmocka_unit_test(domains_of_others_are_not_listed),
        cmocka_unit_test(refused_start_leaves_nothing_defined),
        cmocka_unit_test(guest_is_turned_on_and_off),
        cmocka_unit_test(guest_is_paused_and_saved),
        cmocka_unit_test(absent_guest_cannot_be_turned_on),
        cmocka_unit_test(guest_tells_what_it_used),
        cmocka_unit_test(guest_is_reached_from_outside),
        cmocka_unit_test(long_calls_are_known),
        cmocka_unit_test(many_threads_share_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
