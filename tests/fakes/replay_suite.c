/* The tests of a program of replays; see replay_suite.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fakes/replay_suite.h"

static const ReplaySuite *running; /* [thread: main] likewise the next */
static bool *used;                 /* of its rows */

static void says_what_nova_says(void **state)
{
    const ReplayHow *how = *state;
    json_auto_t *nova = NULL;
    json_auto_t *ours = NULL;

    replay_run(how, &nova, &ours);
    if (!replay_compare(how->name, nova, ours, running->rows, running->row_count, used))
        fail_msg("%s: not what nova sends, see above", how->name);
}

/* What was recorded is also played. */
static void every_recording_is_played(void **state G_GNUC_UNUSED)
{
    g_autoptr(GDir) folder = g_dir_open(running->folder, 0, NULL);
    unsigned files = 0;

    assert_non_null(folder);
    while (g_dir_read_name(folder))
        files++;
    assert_int_equal(files, running->talk_count);
}

/* A row that nobody needs hides the next bug. */
static void every_row_is_needed(void **state G_GNUC_UNUSED)
{
    bool all = true;

    for (size_t i = 0; i < running->row_count; i++) {
        const ReplayRow *row = &running->rows[i];

        if (!used[i])
            print_error("useless: %s: %s %s\n", row->in, row->what, row->arg ? row->arg : "");
        all = all && used[i];
    }
    assert_true(all);
}

int replay_suite_run(const ReplaySuite *suite, int argc, char **argv)
{
    size_t count = suite->talk_count;
    g_autofree struct CMUnitTest *tests = g_new0(struct CMUnitTest, count + 2);
    g_autofree bool *marks = g_new0(bool, suite->row_count);

    running = suite;
    used = marks;
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){suite->talks[i].name, says_what_nova_says, NULL, NULL,
                                       (void *)&suite->talks[i]};
    tests[count] = (struct CMUnitTest)cmocka_unit_test(every_row_is_needed);
    tests[count + 1] = (struct CMUnitTest)cmocka_unit_test(every_recording_is_played);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return _cmocka_run_group_tests("tests", tests, count + 2, NULL, NULL);
}
