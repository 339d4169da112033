/* Programs: their output, their failures, and every limit that ends them. */
#include "util/clock.h"
#include "util/fs.h"
#include "util/spawn.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGV(...)         \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

/* Runs a shell line: tests may, drover may not. */
static bool shell(const char *line, char **out, GError **err)
{
    return dv_spawn(&(DvSpawn){.argv = ARGV("sh", "-c", line), .timeout_ms = 10000}, out, err);
}

static void output_comes_back(void **state G_GNUC_UNUSED)
{
    g_autofree char *out = NULL;

    assert_true(shell("echo one; echo two", &out, NULL));
    assert_string_equal(out, "one\ntwo\n");
}

static void output_need_not_be_wanted(void **state G_GNUC_UNUSED)
{
    assert_true(shell("echo x", NULL, NULL));
}

static void arguments_are_not_interpreted(void **state G_GNUC_UNUSED)
{
    g_autofree char *out = NULL;

    assert_true(dv_spawn(&(DvSpawn){.argv = ARGV("echo", "$HOME `id` ; rm")}, &out, NULL));
    assert_string_equal(out, "$HOME `id` ; rm\n");
}

static void a_failure_carries_code_and_last_line(void **state G_GNUC_UNUSED)
{
    g_autofree char *out = NULL;
    g_autoptr(GError) err = NULL;

    assert_false(shell("echo first >&2; echo 'the reason' >&2; exit 3", &out, &err));
    assert_int_equal(dv_code(err), DV_E_IO);
    assert_string_equal(err->message, "sh: exit code 3: the reason");
    assert_null(out);
}

static void a_signal_is_named(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;

    assert_false(shell("kill -TERM $$", NULL, &err));
    assert_string_equal(err->message, "sh: ended by signal 15");
}

static void a_missing_program_is_not_found(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;

    assert_false(dv_spawn(&(DvSpawn){.argv = ARGV("no-such-program-here")}, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_NOT_FOUND);
}

static void a_program_that_cannot_start_says_why(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) err = NULL;
    int fd = g_file_open_tmp("drover-exec-XXXXXX", &path, NULL);

    assert_true(dv_write_all(fd,
                             "\x7f"
                             "ELF nonsense",
                             12, NULL));
    assert_int_equal(fchmod(fd, 0755), 0);
    close(fd);
    assert_false(dv_spawn(&(DvSpawn){.argv = ARGV(path)}, NULL, &err));
    assert_non_null(strstr(err->message, "Exec format error"));
    unlink(path);
}

static void the_deadline_kills_helpers_too(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = NULL;
    g_autofree char *line = NULL;
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;
    int64_t before = dv_now_ms();
    int fd = g_file_open_tmp("drover-pid-XXXXXX", &path, NULL);
    pid_t helper;

    close(fd);
    line = g_strdup_printf("sleep 100 & echo $! > %s; wait", path);
    assert_false(
        dv_spawn(&(DvSpawn){.argv = ARGV("sh", "-c", line), .timeout_ms = 300}, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_TIMEOUT);
    assert_true(dv_now_ms() - before < 5000);
    assert_true(dv_read_file(path, 100, &text, NULL, NULL));
    helper = (pid_t)g_ascii_strtoll(text, NULL, 10);
    assert_true(helper > 1);
    for (int i = 0; i < 200 && kill(helper, 0) == 0; i++) {
        g_autofree char *stat_path = g_strdup_printf("/proc/%d/stat", (int)helper);
        g_autofree char *stat_text = NULL;

        /* Killed, though init may not have collected it yet. */
        if (!dv_read_file(stat_path, 4096, &stat_text, NULL, NULL) || strstr(stat_text, ") Z "))
            break;
        g_usleep(10000);
        assert_int_not_equal(i, 199);
    }
    unlink(path);
}

static void a_helper_that_keeps_the_pipes_does_not_hold_us(void **state G_GNUC_UNUSED)
{
    g_autofree char *out = NULL;
    int64_t before = dv_now_ms();

    assert_true(shell("sleep 100 & echo done", &out, NULL));
    assert_string_equal(out, "done\n");
    assert_true(dv_now_ms() - before < 5000);
}

static void too_much_output_ends_the_program(void **state G_GNUC_UNUSED)
{
    g_autofree char *out = NULL;
    g_autoptr(GError) err = NULL;

    assert_false(shell("yes", &out, &err));
    assert_int_equal(dv_code(err), DV_E_IO);
    assert_non_null(strstr(err->message, "more than"));
    assert_null(out);
}

static void endless_complaints_are_drained(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;

    assert_false(
        shell("head -c 3000000 /dev/zero | tr '\\0' 'x' >&2; echo >&2; echo end >&2; exit 1", NULL,
              &err));
    assert_string_equal(err->message, "sh: exit code 1: end");
}

static void the_environment_is_the_c_locale(void **state G_GNUC_UNUSED)
{
    g_autofree char *out = NULL;

    assert_true(shell("echo $LC_ALL; pwd", &out, NULL));
    assert_true(g_str_has_prefix(out, "C\n"));
}

static void the_folder_can_be_chosen(void **state G_GNUC_UNUSED)
{
    g_autofree char *out = NULL;

    assert_true(dv_spawn(&(DvSpawn){.argv = ARGV("pwd"), .cwd = "/"}, &out, NULL));
    assert_string_equal(out, "/\n");
}

static void only_the_passed_descriptor_is_inherited(void **state G_GNUC_UNUSED)
{
    dv_autofd int secret = open("/dev/null", O_RDONLY); /* inheritable on purpose */
    dv_autofd int passed = open("/dev/null", O_RDONLY | O_CLOEXEC);
    g_autofree char *line = g_strdup_printf(
        "test -e /proc/self/fd/%d && ! test -e /proc/self/fd/%d", passed, secret);
    g_autoptr(GError) err = NULL;

    assert_true(
        dv_spawn(&(DvSpawn){.argv = ARGV("sh", "-c", line), .pass_fd = passed}, NULL, &err));
}

static void limits_hold(void **state G_GNUC_UNUSED)
{
    g_autofree char *out = NULL;
    g_autoptr(GError) err = NULL;
    const DvSpawn limited = {
        .argv = ARGV("sh", "-c", "ulimit -v; ulimit -t; ulimit -c"),
        .max_memory_bytes = 512ULL * 1024 * 1024,
        .max_cpu_s = 7,
    };
    const DvSpawn busy = {
        .argv = ARGV("sh", "-c", "while :; do :; done"),
        .max_cpu_s = 1,
        .timeout_ms = 60000,
    };

    assert_true(dv_spawn(&limited, &out, NULL));
    assert_string_equal(out, "524288\n7\n0\n");
    assert_false(dv_spawn(&busy, NULL, &err));
    assert_non_null(strstr(err->message, "ended by signal"));
}

static void the_child_has_default_signals(void **state G_GNUC_UNUSED)
{
    g_autofree char *out = NULL;
    g_auto(GStrv) lines = NULL;
    sigset_t all;
    sigset_t before;

    signal(SIGPIPE, SIG_IGN);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    assert_true(shell("sed -n 's/^Sig\\(Blk\\|Ign\\):.//p' /proc/self/status", &out, NULL));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    lines = g_strsplit(out, "\n", -1);
    assert_string_equal(lines[0], "0000000000000000");
    /* 32 and 33 belong to the C library and stay as inherited. */
    assert_int_equal(g_ascii_strtoull(lines[1], NULL, 16) & ~(3ULL << 31), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_comes_back),
        cmocka_unit_test(output_need_not_be_wanted),
        cmocka_unit_test(arguments_are_not_interpreted),
        cmocka_unit_test(a_failure_carries_code_and_last_line),
        cmocka_unit_test(a_signal_is_named),
        cmocka_unit_test(a_missing_program_is_not_found),
        cmocka_unit_test(a_program_that_cannot_start_says_why),
        cmocka_unit_test(the_deadline_kills_helpers_too),
        cmocka_unit_test(a_helper_that_keeps_the_pipes_does_not_hold_us),
        cmocka_unit_test(too_much_output_ends_the_program),
        cmocka_unit_test(endless_complaints_are_drained),
        cmocka_unit_test(the_environment_is_the_c_locale),
        cmocka_unit_test(the_folder_can_be_chosen),
        cmocka_unit_test(only_the_passed_descriptor_is_inherited),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(the_child_has_default_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
