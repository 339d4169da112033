/* agent/waits: events wake exactly those who wait for them. */
#include "agent/waits.h"

#include "util/clock.h"
#include "util/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define PLUGGED "network-vif-plugged"
static const char *const two_ports[] = {"p1", "p2", NULL};
static const char *const no_ports[] = {NULL};

static void a_wait_for_nothing_is_over_at_once(void **state G_GNUC_UNUSED)
{
    g_autoptr(Waits) waits = waits_new();
    g_autoptr(WaitSet) set = waits_register(waits, "i", PLUGGED, no_ports);

    assert_true(waits_wait(set, 60000, NULL));
}

static void events_that_come_before_the_wait_count(void **state G_GNUC_UNUSED)
{
    g_autoptr(Waits) waits = waits_new();
    g_autoptr(WaitSet) set = waits_register(waits, "i", PLUGGED, two_ports);

    assert_true(waits_deliver(waits, "i", PLUGGED, "p2", "completed"));
    assert_true(waits_deliver(waits, "i", PLUGGED, "p1", "completed"));
    assert_true(waits_wait(set, 60000, NULL));
}

static void an_event_of_another_instance_port_or_name_wakes_nobody(void **state G_GNUC_UNUSED)
{
    g_autoptr(Waits) waits = waits_new();
    g_autoptr(WaitSet) set = waits_register(waits, "i", PLUGGED, two_ports);
    g_autoptr(GError) err = NULL;

    assert_false(waits_deliver(waits, "other", PLUGGED, "p1", "completed"));
    assert_false(waits_deliver(waits, "i", PLUGGED, "p3", "completed"));
    assert_false(waits_deliver(waits, "i", "network-vif-unplugged", "p1", "completed"));
    assert_false(waits_deliver(waits, "i", PLUGGED, NULL, "completed"));
    assert_true(waits_deliver(waits, "i", PLUGGED, "p1", "completed"));
    assert_false(waits_wait(set, 10, &err));
    assert_int_equal(err->code, DV_E_TIMEOUT);
}

static void a_doubt_ends_the_wait_once(void **state G_GNUC_UNUSED)
{
    static const char *const first[] = {"p1", "p3", NULL};
    static const char *const second[] = {"p2", NULL};
    g_autoptr(Waits) waits = waits_new();
    g_autoptr(WaitSet) set = waits_register(waits, "i", PLUGGED, two_ports);
    g_autoptr(GError) doubt = NULL;
    g_autoptr(GError) late = NULL;

    waits_doubt(waits);
    assert_false(waits_wait(set, 60000, &doubt));
    assert_int_equal(doubt->code, DV_E_UNAVAILABLE);
    assert_int_equal(wait_set_complete(set, first), 1);
    assert_false(waits_wait(set, 10, &late));
    assert_int_equal(late->code, DV_E_TIMEOUT);
    assert_int_equal(wait_set_complete(set, first), 0);
    assert_int_equal(wait_set_complete(set, second), 1);
    waits_doubt(waits);
    assert_true(waits_wait(set, 60000, NULL));
}

static void what_failed_stays_failed(void **state G_GNUC_UNUSED)
{
    static const char *const both[] = {"p1", "p2", NULL};
    g_autoptr(Waits) waits = waits_new();
    g_autoptr(WaitSet) set = waits_register(waits, "i", PLUGGED, two_ports);
    g_autoptr(GError) err = NULL;

    waits_deliver(waits, "i", PLUGGED, "p1", "failed");
    assert_int_equal(wait_set_complete(set, both), 1);
    assert_false(waits_wait(set, 60000, &err));
    assert_int_equal(err->code, DV_E_VIF_PLUG);
}

static void a_failed_event_ends_the_wait_and_names_the_port(void **state G_GNUC_UNUSED)
{
    g_autoptr(Waits) waits = waits_new();
    g_autoptr(WaitSet) set = waits_register(waits, "i", PLUGGED, two_ports);
    g_autoptr(GError) err = NULL;

    waits_deliver(waits, "i", PLUGGED, "p1", "failed");
    assert_false(waits_wait(set, 60000, &err));
    assert_int_equal(err->code, DV_E_VIF_PLUG);
    assert_non_null(strstr(err->message, "p1"));
}

static void an_event_in_progress_is_not_the_end(void **state G_GNUC_UNUSED)
{
    g_autoptr(Waits) waits = waits_new();
    g_autoptr(WaitSet) set = waits_register(waits, "i", PLUGGED, two_ports);
    g_autoptr(GError) err = NULL;

    waits_deliver(waits, "i", PLUGGED, "p1", "in-progress");
    waits_deliver(waits, "i", PLUGGED, "p2", "completed");
    assert_false(waits_wait(set, 10, &err));
    assert_int_equal(err->code, DV_E_TIMEOUT);
}

static void *deliver_both(void *arg)
{
    g_usleep(20000);
    waits_deliver(arg, "i", PLUGGED, "p1", "completed");
    waits_deliver(arg, "i", PLUGGED, "p2", "completed");
    return NULL;
}

static void a_waiting_thread_is_woken(void **state G_GNUC_UNUSED)
{
    g_autoptr(Waits) waits = waits_new();
    g_autoptr(WaitSet) set = waits_register(waits, "i", PLUGGED, two_ports);
    GThread *thread = dv_thread_new("deliver", deliver_both, waits);

    assert_true(waits_wait(set, 60000, NULL));
    g_thread_join(thread);
}

static void *cancel(void *arg)
{
    g_usleep(20000);
    waits_cancel(arg, "i");
    return NULL;
}

static void a_delete_cancels_the_wait(void **state G_GNUC_UNUSED)
{
    g_autoptr(Waits) waits = waits_new();
    g_autoptr(WaitSet) set = waits_register(waits, "i", PLUGGED, two_ports);
    g_autoptr(WaitSet) other = waits_register(waits, "other", PLUGGED, no_ports);
    g_autoptr(GError) err = NULL;
    GThread *thread = dv_thread_new("cancel", cancel, waits);

    assert_false(waits_wait(set, 60000, &err));
    assert_int_equal(err->code, DV_E_CANCELLED);
    assert_true(waits_wait(other, 0, NULL));
    g_thread_join(thread);
}

static void a_set_that_is_freed_is_no_longer_found(void **state G_GNUC_UNUSED)
{
    g_autoptr(Waits) waits = waits_new();

    wait_set_free(waits_register(waits, "i", PLUGGED, two_ports));
    assert_false(waits_deliver(waits, "i", PLUGGED, "p1", "completed"));
    assert_int_equal(waits_cancel(waits, NULL), 0);
}

/* A delete is on its way: neither who waits nor who comes to wait goes on waiting. */
static void closed_waits_end_at_once_until_all_opened(void **state G_GNUC_UNUSED)
{
    g_autoptr(Waits) waits = waits_new();
    g_autoptr(WaitSet) before = waits_register(waits, "i", PLUGGED, two_ports);
    g_autoptr(WaitSet) other = waits_register(waits, "j", PLUGGED, no_ports);
    g_autoptr(WaitSet) meanwhile = NULL;
    g_autoptr(WaitSet) after = NULL;
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;
    g_autoptr(GError) e3 = NULL;

    waits_close(waits, "i");
    waits_close(waits, "i");
    meanwhile = waits_register(waits, "i", PLUGGED, two_ports);
    assert_false(waits_wait(before, 60000, &e1));
    assert_int_equal(e1->code, DV_E_CANCELLED);
    assert_false(waits_wait(meanwhile, 60000, &e2));
    assert_int_equal(e2->code, DV_E_CANCELLED);
    assert_true(waits_wait(other, 60000, NULL));
    waits_open(waits, "i");
    assert_true(waits_closed(waits, "i"));
    waits_open(waits, "i");
    assert_false(waits_closed(waits, "i"));
    after = waits_register(waits, "i", PLUGGED, two_ports);
    assert_false(waits_wait(after, 1, &e3));
    assert_int_equal(e3->code, DV_E_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_for_nothing_is_over_at_once),
        cmocka_unit_test(events_that_come_before_the_wait_count),
        cmocka_unit_test(an_event_of_another_instance_port_or_name_wakes_nobody),
        cmocka_unit_test(a_doubt_ends_the_wait_once),
        cmocka_unit_test(what_failed_stays_failed),
        cmocka_unit_test(a_failed_event_ends_the_wait_and_names_the_port),
        cmocka_unit_test(an_event_in_progress_is_not_the_end),
        cmocka_unit_test(a_waiting_thread_is_woken),
        cmocka_unit_test(a_delete_cancels_the_wait),
        cmocka_unit_test(a_set_that_is_freed_is_no_longer_found),
        cmocka_unit_test(closed_waits_end_at_once_until_all_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
