/* The logger: layout, levels, rotation; and redaction, on which all of drover relies. */
#include "util/fs.h"
#include "util/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *folder;
static char *path;

static char *logged(const char *file)
{
    char *text = NULL;

    assert_true(dv_read_file(file, 1024 * 1024, &text, NULL, NULL));
    return text;
}

static void assert_redacted(const char *text, const char *want)
{
    g_autofree char *got = dv_redact(text);

    assert_string_equal(got, want);
}

static void a_line_has_novas_layout(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvCtx) ctx = dv_ctx_new_blank();
    g_autofree char *text = NULL;
    g_autofree char *want = NULL;

    ctx->request_id = g_strdup("req-81c2");
    ctx->user_id = g_strdup("demo");
    ctx->project_id = g_strdup("lab");
    ctx->instance_uuid = g_strdup("6f70");
    dv_info(ctx, "running after %d ms", 812);
    text = logged(path);
    want = g_strdup_printf("^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3} %d INFO [a-z._]+ "
                           "\\[req-81c2 demo lab\\] \\[instance: 6f70\\] running after 812 ms$",
                           (int)getpid());
    assert_true(g_regex_match_simple(want, text, G_REGEX_MULTILINE, 0));
}

static void a_line_without_context_says_so(void **state G_GNUC_UNUSED)
{
    g_autofree char *text = NULL;

    dv_warning(NULL, "no broker yet");
    text = logged(path);
    assert_non_null(strstr(text, " WARNING "));
    assert_non_null(strstr(text, " [-] no broker yet\n"));
}

static void text_from_outside_cannot_forge_a_line(void **state G_GNUC_UNUSED)
{
    g_autofree char *text = NULL;

    dv_error(NULL, "peer said: %s", "a\nb\r2026-01-01 INFO forged");
    text = logged(path);
    assert_non_null(strstr(text, "peer said: a b 2026-01-01 INFO forged\n"));
}

static void lines_below_the_level_are_not_written(void **state G_GNUC_UNUSED)
{
    g_autofree char *text = NULL;

    assert_false(dv_log_enabled(DV_LOG_DEBUG));
    dv_debug(NULL, "too quiet to hear");
    assert_true(dv_log_reopen(DV_LOG_DEBUG, NULL));
    dv_debug(NULL, "loud enough");
    assert_true(dv_log_reopen(DV_LOG_INFO, NULL));
    text = logged(path);
    assert_null(strstr(text, "too quiet"));
    assert_non_null(strstr(text, "loud enough"));
}

static void secrets_do_not_reach_the_file(void **state G_GNUC_UNUSED)
{
    g_autofree char *text = NULL;

    dv_info(NULL, "connecting to rabbit://nova:hunter2@10.0.0.1:5672/");
    text = logged(path);
    assert_null(strstr(text, "hunter2"));
    assert_non_null(strstr(text, "rabbit://nova:***@10.0.0.1:5672/"));
}

static void reopening_follows_a_rotation(void **state G_GNUC_UNUSED)
{
    g_autofree char *old = g_strconcat(path, ".1", NULL);
    g_autofree char *text = NULL;

    assert_int_equal(rename(path, old), 0);
    assert_true(dv_log_reopen(DV_LOG_INFO, NULL));
    dv_info(NULL, "after the rotation");
    text = logged(path);
    assert_non_null(strstr(text, "after the rotation"));
}

static void a_log_that_cannot_be_opened_is_an_error(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;

    assert_false(dv_log_init("/nowhere/at/all.log", DV_LOG_INFO, &err));
    assert_non_null(strstr(err->message, "/nowhere/at/all.log"));
}

static void passwords_in_urls_are_masked(void **state G_GNUC_UNUSED)
{
    assert_redacted("rabbit://u:p%40ss@h1:5672,u2:q@h2:5672/v",
                    "rabbit://u:***@h1:5672,u2:***@h2:5672/v");
    assert_redacted("rabbit://u:p@a,h2:5672/v", "rabbit://u:***@a,h2:5672/v");
    assert_redacted("see http://h:8774/v2.1 and mysql://n:secret@db/x",
                    "see http://h:8774/v2.1 and mysql://n:***@db/x");
    assert_redacted("http://user@host/", "http://user@host/");
    assert_redacted("http://h:80/v2/ports?name=a@b", "http://h:80/v2/ports?name=a@b");
    assert_redacted("x://u:p@ss@host/", "x://u:***@host/");
    assert_redacted("x://u:pa/ss@host/v", "x://u:***@host/v"); /* not escaped, still a secret */
    assert_redacted("://", "://");
}

static void values_of_secret_keys_are_masked(void **state G_GNUC_UNUSED)
{
    assert_redacted("{\"password\": \"x\", \"user\": \"nova\"}",
                    "{\"password\": \"***\", \"user\": \"nova\"}");
    assert_redacted("{'admin_pass': 'abc', 'n': 1}", "{'admin_pass': '***', 'n': 1}");
    assert_redacted("X-Auth-Token: abcdef", "X-Auth-Token: ***");
    assert_redacted("password=abc&x=1", "password=***&x=1");
    assert_redacted("{\"password\": {\"user\": {\"name\": \"n\", \"password\": \"p\"}}}",
                    "{\"password\": {\"user\": {\"name\": \"n\", \"password\": \"***\"}}}");
}

static void keystone_tokens_are_masked_wherever_they_stand(void **state G_GNUC_UNUSED)
{
    assert_redacted("token gAAAAABm_x-Y= expired", "token *** expired");
}

static void other_text_is_left_alone(void **state G_GNUC_UNUSED)
{
    assert_redacted("the password is wrong", "the password is wrong");
    assert_redacted("", "");
    assert_null(dv_redact(NULL));
}

static int make_folder(void **state G_GNUC_UNUSED)
{
    folder = g_dir_make_tmp("drover-log-XXXXXX", NULL);
    path = g_build_filename(folder, "drover.log", NULL);
    return dv_log_init(path, DV_LOG_INFO, NULL) ? 0 : -1;
}

static int remove_folder(void **state G_GNUC_UNUSED)
{
    bool ok = dv_remove_tree(folder, NULL);

    g_free(folder);
    g_free(path);
    return ok ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_novas_layout),
        cmocka_unit_test(a_line_without_context_says_so),
        cmocka_unit_test(text_from_outside_cannot_forge_a_line),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(secrets_do_not_reach_the_file),
        cmocka_unit_test(reopening_follows_a_rotation),
        cmocka_unit_test(a_log_that_cannot_be_opened_is_an_error),
        cmocka_unit_test(passwords_in_urls_are_masked),
        cmocka_unit_test(values_of_secret_keys_are_masked),
        cmocka_unit_test(keystone_tokens_are_masked_wherever_they_stand),
        cmocka_unit_test(other_text_is_left_alone),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
