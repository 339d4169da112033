/* agent/live_queue: a live migration from place to place, and what others may want meanwhile. */
#include "agent/live_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "util/thread.h"

#define UUID "353645e8-9125-47a8-9571-53655fd8b5dc"
#define OTHER "6b0c6c1e-7b0e-4b57-a1ba-0a2a3e4f7a55"

static int setup(void **state)
{
    *state = live_queue_new(1);
    return 0;
}

static int teardown(void **state)
{
    live_queue_free(*state);
    return 0;
}

static LiveTicket *enter(LiveQueue *queue)
{
    LiveTicket *ticket = live_queue_enter(queue, UUID, "there", NULL, NULL);

    assert_non_null(ticket);
    return ticket;
}

static void a_migration_goes_from_phase_to_phase(void **state)
{
    LiveQueue *queue = *state;
    LiveTicket *ticket = enter(queue);
    g_autofree char *dest = live_queue_dest(queue, UUID);

    g_autofree char *ports = NULL;

    assert_string_equal(dest, "there");
    assert_null(live_queue_ports(queue, UUID));
    live_ticket_set_ports(ticket, "[]");
    ports = live_queue_ports(queue, UUID);
    assert_string_equal(ports, "[]");
    assert_int_equal(live_queue_phase(queue, UUID), LIVE_QUEUED);
    assert_true(live_ticket_prepare(ticket));
    assert_int_equal(live_queue_phase(queue, UUID), LIVE_PREPARING);
    assert_true(live_ticket_run(ticket));
    assert_int_equal(live_queue_phase(queue, UUID), LIVE_RUNNING);
    assert_false(live_ticket_cancelled(ticket));
    live_ticket_leave(ticket);
    assert_int_equal(live_queue_phase(queue, UUID), LIVE_NONE);
    assert_null(live_queue_dest(queue, UUID));
}

static void one_more_than_there_are_workers_waits(void **state)
{
    LiveQueue *queue = *state;
    bool turn = false;
    LiveTicket *first = live_queue_enter(queue, UUID, "there", &turn, NULL);
    LiveTicket *second;

    assert_true(turn);
    second = live_queue_enter(queue, OTHER, "there", &turn, NULL);
    assert_false(turn);
    live_ticket_leave(first);
    live_ticket_leave(second);
    second = live_queue_enter(queue, OTHER, "there", &turn, NULL);
    assert_true(turn);
    live_ticket_leave(second);
}

static void an_instance_has_one_at_a_time(void **state)
{
    LiveQueue *queue = *state;
    LiveTicket *ticket = enter(queue);
    g_autoptr(GError) err = NULL;

    assert_null(live_queue_enter(queue, UUID, "elsewhere", NULL, &err));
    assert_int_equal(dv_code(err), DV_E_MIGRATION);
    live_ticket_leave(ticket);
}

/* Its place is free at once, although its worker comes later. */
static void a_queued_one_never_begins(void **state)
{
    LiveQueue *queue = *state;
    LiveTicket *ticket = enter(queue);
    g_auto(GStrv) waiting = live_queue_waiting(queue);
    LiveTicket *next;

    assert_string_equal(waiting[0], UUID);
    assert_null(waiting[1]);
    assert_int_equal(live_queue_cancel(queue, UUID), LIVE_QUEUED);
    next = enter(queue);
    assert_false(live_ticket_prepare(ticket));
    live_ticket_leave(ticket);
    assert_int_equal(live_queue_phase(queue, UUID), LIVE_QUEUED);
    assert_true(live_ticket_prepare(next));
    live_ticket_leave(next);
}

static void a_prepared_one_does_not_run(void **state)
{
    LiveQueue *queue = *state;
    LiveTicket *ticket = enter(queue);

    assert_true(live_ticket_prepare(ticket));
    assert_int_equal(live_queue_cancel(queue, UUID), LIVE_PREPARING);
    assert_false(live_ticket_run(ticket));
    assert_true(live_ticket_cancelled(ticket));
    live_ticket_leave(ticket);
    assert_int_equal(live_queue_cancel(queue, UUID), LIVE_NONE);
}

static void only_a_running_one_is_forced(void **state)
{
    LiveQueue *queue = *state;
    LiveTicket *ticket = enter(queue);

    assert_false(live_queue_force(queue, UUID));
    live_ticket_prepare(ticket);
    assert_false(live_queue_force(queue, UUID));
    live_ticket_run(ticket);
    assert_false(live_ticket_take_force(ticket));
    assert_true(live_queue_force(queue, UUID));
    assert_true(live_ticket_take_force(ticket));
    assert_false(live_ticket_take_force(ticket));
    live_ticket_leave(ticket);
}

static void ports_change_hosts_once(void **state)
{
    LiveQueue *queue = *state;
    LiveTicket *ticket = enter(queue);

    assert_false(live_queue_bind(queue, UUID));
    live_ticket_prepare(ticket);
    live_ticket_run(ticket);
    assert_true(live_queue_bind(queue, UUID));
    live_queue_bound(queue, UUID, false);
    assert_true(live_queue_bind(queue, UUID));
    live_queue_bound(queue, UUID, true);
    assert_false(live_queue_bind(queue, UUID));
    live_ticket_leave(ticket);
}

static void *leave_later(void *arg)
{
    g_usleep(20000);
    live_ticket_leave(arg);
    return NULL;
}

static void somebody_waits_for_its_end(void **state)
{
    LiveQueue *queue = *state;
    LiveTicket *ticket = enter(queue);
    GThread *thread;

    assert_true(live_queue_wait_gone(queue, "another", 0));
    assert_false(live_queue_wait_gone(queue, UUID, 1));
    thread = dv_thread_new("leave", leave_later, ticket);
    assert_true(live_queue_wait_gone(queue, UUID, 60000));
    g_thread_join(thread);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_migration_goes_from_phase_to_phase),
        CASE(one_more_than_there_are_workers_waits),
        CASE(an_instance_has_one_at_a_time),
        CASE(a_queued_one_never_begins),
        CASE(a_prepared_one_does_not_run),
        CASE(only_a_running_one_is_forced),
        CASE(ports_change_hosts_once),
        CASE(somebody_waits_for_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
