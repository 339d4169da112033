/* The uptime line: the fields of uptime(1), and the same text where that program is installed. */
#include "virt/host_facts.h"

#include "util/spawn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void has_the_fields_of_uptime(void **state G_GNUC_UNUSED)
{
    g_autofree char *line = host_uptime();
    g_autoptr(GRegex)
        want = g_regex_new("^ [0-9:]{8} up (\\d+ days?, )?( ?\\d+:\\d\\d|\\d+ min), +\\d+ users?,  "
                           "load average: \\d+\\.\\d\\d, \\d+\\.\\d\\d, \\d+\\.\\d\\d\n$",
                           G_REGEX_DEFAULT, G_REGEX_MATCH_DEFAULT, NULL);

    if (!g_regex_match(want, line, G_REGEX_MATCH_DEFAULT, NULL))
        fail_msg("'%s'", line);
}

/* Load and seconds move: compare once they stood still around the child. */
static void says_what_uptime_says(void **state G_GNUC_UNUSED)
{
    static const char *const argv[] = {"uptime", NULL};
    DvSpawn spawn = {.argv = argv, .timeout_ms = 10000};
    g_autofree char *theirs = NULL;

    for (int attempt = 0; attempt < 50; attempt++) {
        g_autofree char *before = host_uptime();
        g_autofree char *after = NULL;

        g_clear_pointer(&theirs, g_free);
        if (!dv_spawn(&spawn, &theirs, NULL))
            skip(); /* not installed */
        after = host_uptime();
        if (g_str_equal(before, after)) {
            assert_string_equal(theirs, before);
            return;
        }
    }
    fail_msg("the clock never stood still");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_fields_of_uptime),
        cmocka_unit_test(says_what_uptime_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
