/* agent/op: steps in order, undone backwards from the one that failed. */
#include "agent/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef struct Trace {
    GString *text;
    const char *fail_at;
} Trace;

#define STEP(name)                                               \
    static bool do_##name(void *self, GError **err)              \
    {                                                            \
        Trace *trace = self;                                     \
        g_string_append(trace->text, "+" #name);                 \
        if (g_strcmp0(trace->fail_at, #name) == 0)               \
            return dv_fail(err, DV_E_NO_SPACE, #name " failed"); \
        return true;                                             \
    }                                                            \
    static void undo_##name(void *self)                          \
    {                                                            \
        g_string_append(((Trace *)self)->text, "-" #name);       \
    }

STEP(a)
STEP(b)
STEP(c)

static const OpStep steps[] = {
    {"a", do_a, undo_a},
    {"b", do_b, undo_b},
    {"c", do_c, undo_c},
};

static char *run(const char *fail_at, GError **err)
{
    Trace trace = {g_string_new(NULL), fail_at};
    bool ok = op_run("test", steps, G_N_ELEMENTS(steps), &trace, NULL, err);

    assert_int_equal(ok, fail_at == NULL);
    return g_string_free(trace.text, FALSE);
}

static void what_only_goes_forward_goes_on(void **state G_GNUC_UNUSED)
{
    Trace trace = {g_string_new(NULL), "b"};
    g_autoptr(GError) err = NULL;

    assert_false(op_run_all("test", steps, G_N_ELEMENTS(steps), &trace, NULL, &err));
    assert_string_equal(trace.text->str, "+a+b+c");
    assert_int_equal(dv_code(err), DV_E_NO_SPACE);
    g_string_assign(trace.text, "");
    trace.fail_at = NULL;
    assert_true(op_run_all("test", steps, G_N_ELEMENTS(steps), &trace, NULL, NULL));
    assert_string_equal(trace.text->str, "+a+b+c");
    g_string_free(trace.text, TRUE);
}

static void all_steps_run_in_order(void **state G_GNUC_UNUSED)
{
    g_autofree char *text = run(NULL, NULL);

    assert_string_equal(text, "+a+b+c");
}

static void a_failure_walks_back_over_the_steps_before_it(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = run("c", &err);

    assert_string_equal(text, "+a+b+c-b-a");
    assert_int_equal(err->code, DV_E_NO_SPACE);
}

static void a_failure_of_the_first_step_undoes_nothing(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = run("a", &err);

    assert_string_equal(text, "+a");
}

static void note(void *self, const char *point)
{
    g_string_append_printf(self, "%s ", point);
}

static void the_observer_sees_every_point_before_it_happens(void **state G_GNUC_UNUSED)
{
    g_autoptr(GString) points = g_string_new(NULL);
    g_autofree char *text = NULL;

    op_set_observer(note, points);
    text = run(NULL, NULL);
    op_set_observer(NULL, NULL);
    assert_string_equal(points->str, "test.a test.b test.c test.done ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_steps_run_in_order),
        cmocka_unit_test(what_only_goes_forward_goes_on),
        cmocka_unit_test(a_failure_walks_back_over_the_steps_before_it),
        cmocka_unit_test(a_failure_of_the_first_step_undoes_nothing),
        cmocka_unit_test(the_observer_sees_every_point_before_it_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
