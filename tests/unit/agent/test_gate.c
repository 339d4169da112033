/* The gate: who comes early waits, who comes after the end is turned away. */
#include "agent/gate.h"

#include "util/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define WAITERS 4

static void *waiter(void *gate)
{
    return GINT_TO_POINTER(gate_pass(gate));
}

/* How many of the waiters came through once `act` was done. */
static int passed_after(Gate *gate, void (*act)(Gate *gate))
{
    GThread *threads[WAITERS];
    int passed = 0;

    for (int i = 0; i < WAITERS; i++)
        threads[i] = dv_thread_new("waiter", waiter, gate);
    act(gate);
    for (int i = 0; i < WAITERS; i++)
        passed += GPOINTER_TO_INT(g_thread_join(threads[i]));
    return passed;
}

static void all_pass_once_it_is_open(void **state G_GNUC_UNUSED)
{
    Gate *gate = gate_new();

    assert_int_equal(passed_after(gate, gate_open), WAITERS);
    assert_true(gate_pass(gate));
    gate_free(gate);
}

static void nobody_passes_once_it_is_closed(void **state G_GNUC_UNUSED)
{
    Gate *gate = gate_new();

    assert_int_equal(passed_after(gate, gate_close), 0);
    gate_open(gate); /* a start that ends after the stop has begun */
    assert_false(gate_pass(gate));
    gate_free(gate);
}

static void closing_an_open_gate_turns_the_next_away(void **state G_GNUC_UNUSED)
{
    Gate *gate = gate_new();

    gate_open(gate);
    gate_close(gate);
    assert_false(gate_pass(gate));
    gate_free(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_pass_once_it_is_open),
        cmocka_unit_test(nobody_passes_once_it_is_closed),
        cmocka_unit_test(closing_an_open_gate_turns_the_next_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
