/* The configuration reader: oslo.config's dialect, one rule per test. Expected values were taken
 * from oslo.config 9.0 itself. */
#include "util/config.h"
#include "util/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* clang-format off */
static const DvOption table[] = {
    {.group = "DEFAULT", .name = "my_ip", .fallback = "1.2.3.4", .help = "An address."},
    {.group = "DEFAULT", .name = "text", .help = "Any text."},
    {.group = "DEFAULT", .name = "other", .help = "Any other text."},
    {.group = "DEFAULT", .name = "n", .type = CONF_INT, .fallback = "5", .min = -1, .max = 1e18},
    {.group = "DEFAULT", .name = "m", .type = CONF_INT, .fallback = "$n", .min = 1, .max = 10},
    {.group = "DEFAULT", .name = "ratio", .type = CONF_FLOAT},
    {.group = "DEFAULT", .name = "flag", .type = CONF_BOOL, .fallback = "true"},
    {.group = "DEFAULT", .name = "kind", .fallback = "kvm", .choices = "kvm|qemu"},
    {.group = "DEFAULT", .name = "items", .type = CONF_LIST, .fallback = "a,b"},
    {.group = "DEFAULT", .name = "pairs", .type = CONF_DICT},
    {.group = "DEFAULT", .name = "many", .type = CONF_MULTI},
    {.group = "DEFAULT", .name = "password", .flags = CONF_SECRET},
    {.group = "DEFAULT", .name = "later", .flags = CONF_UNHONOURED, .fallback = "no"},
    {.group = "DEFAULT", .name = "later_flag", .type = CONF_BOOL, .flags = CONF_UNHONOURED,
     .fallback = "false"},
    {.group = "DEFAULT", .name = "foreign", .type = CONF_INT, .flags = CONF_IGNORED},
    {.group = "g", .name = "a"},
    {.group = "g", .name = "b", .fallback = "$my_ip"},
    {.group = "g", .name = "renamed", .old_names = "g.ancient|DEFAULT.g_renamed"},
    {.group = "elsewhere", .name = "*", .flags = CONF_IGNORED},
};
/* clang-format on */

static DvConfig *parse(const char *text, GError **err)
{
    return dv_config_parse(text, strlen(text), "x.conf", table, G_N_ELEMENTS(table), err);
}

static DvConfig *parsed(const char *text)
{
    g_autoptr(GError) err = NULL;
    DvConfig *config = parse(text, &err);

    if (err)
        fail_msg("%s", err->message);
    return config;
}

static void assert_text(const char *value, const char *want)
{
    g_autofree char *text = g_strconcat("[DEFAULT]\ntext = ", value, "\n", NULL);
    g_autoptr(DvConfig) config = parsed(text);

    assert_string_equal(dv_config_str(config, "DEFAULT", "text"), want);
}

static void assert_refused(const char *text, const char *want)
{
    g_autoptr(GError) err = NULL;

    assert_null(parse(text, &err));
    assert_int_equal(dv_code(err), DV_E_BAD_CONFIG);
    assert_string_equal(err->message, want);
}

static void assert_list(const DvConfig *config, const char *name, const char *want)
{
    g_autofree char *got = g_strjoinv("|", (char **)dv_config_list(config, "DEFAULT", name));

    assert_string_equal(got, want);
}

/* ---- the dialect ---- */

static void values_are_stripped_and_unquoted_once(void **state G_GNUC_UNUSED)
{
    assert_text("  x y  ", "x y");
    assert_text("\"x y \"", "x y ");
    assert_text("'\"x\"'", "\"x\"");
    assert_text("\"x'", "\"x'");
    assert_text("\"", "");
    assert_text("", "");
}

static void there_are_no_inline_comments(void **state G_GNUC_UNUSED)
{
    assert_text("x ; y # z", "x ; y # z");
    assert_text("pa;ss#word", "pa;ss#word");
}

static void long_values_survive(void **state G_GNUC_UNUSED)
{
    g_autoptr(GString) url = g_string_new("rabbit://");

    for (int i = 0; i < 200; i++)
        g_string_append_printf(url, "%suser:secret@host-%d.example:5672", i ? "," : "", i);
    assert_true(url->len > 5000);
    assert_text(url->str, url->str);
}

static void colon_or_equals_whichever_is_first(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = parsed("[DEFAULT]\ntext: a=b\nother=c:d\n");

    assert_string_equal(dv_config_str(config, "DEFAULT", "text"), "a=b");
    assert_string_equal(dv_config_str(config, "DEFAULT", "other"), "c:d");
}

static void continuation_lines_join_with_newlines(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig)
        config = parsed("[DEFAULT]\ntext = x\n y\n\tz\n\nitems = a,\n   b,\n   c\n");

    assert_string_equal(dv_config_str(config, "DEFAULT", "text"), "x\ny\nz");
    assert_list(config, "items", "a|b|c");
}

static void a_comment_or_blank_line_ends_a_value(void **state G_GNUC_UNUSED)
{
    assert_refused("[DEFAULT]\ntext = x\n# c\n y\n",
                   "x.conf:4: continues nothing: the line starts with white space");
    assert_refused("[DEFAULT]\ntext = x\n\n y\n",
                   "x.conf:4: continues nothing: the line starts with white space");
}

static void groups_ignore_case_but_for_default(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = parsed("[DEFAULT]\n[G]\na=up\n[default]\ntext=not this\n");

    assert_string_equal(dv_config_str(config, "g", "a"), "up");
    assert_null(dv_config_str(config, "DEFAULT", "text"));
}

static void dashes_are_underscores(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = parsed("[DEFAULT]\nmy-ip = 5.6.7.8\n");

    assert_string_equal(dv_config_str(config, "DEFAULT", "my_ip"), "5.6.7.8");
}

static void line_ends_of_windows_are_read(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = parsed("[DEFAULT]\r\ntext = x\r\n");

    assert_string_equal(dv_config_str(config, "DEFAULT", "text"), "x");
}

static void broken_lines_name_file_and_line(void **state G_GNUC_UNUSED)
{
    assert_refused("text = x\n", "x.conf:1: the option stands before the first [group]");
    assert_refused("[DEFAULT]\ntext\n",
                   "x.conf:2: want 'name = value', a [group] or a '#' comment");
    assert_refused("[DEFAULT]\n= x\n", "x.conf:2: the option has no name");
    assert_refused("[g\n", "x.conf:1: a group must end with ']', with nothing behind it");
    assert_refused("[g] # c\n", "x.conf:1: a group must end with ']', with nothing behind it");
    assert_refused("[]\n", "x.conf:1: the group has no name");
    assert_refused("[DEFAULT]\n# ok\ntext = \xff\n", "x.conf:3: not UTF-8 text");
}

static void a_nul_byte_is_refused(void **state G_GNUC_UNUSED)
{
    static const char text[] = "[DEFAULT]\ntext = a\0b\n";
    g_autoptr(GError) err = NULL;

    assert_null(dv_config_parse(text, sizeof text - 1, "x.conf", table, G_N_ELEMENTS(table), &err));
    assert_string_equal(err->message, "x.conf:2: not UTF-8 text");
}

/* ---- substitution ---- */

static void names_are_substituted(void **state G_GNUC_UNUSED)
{
    assert_text("http://$my_ip:80/${my_ip}x", "http://1.2.3.4:80/1.2.3.4x");
    assert_text("$g.b ${g.b}", "1.2.3.4 1.2.3.4");
    assert_text("$other", ""); /* known, unset */
    assert_text("$n", "5");
}

static void literal_dollars(void **state G_GNUC_UNUSED)
{
    assert_text("$$x \\$y $ 5$ $5 \\x", "$x $y $ 5$ $5 \\x");
    assert_text("${", "${");
    assert_text("${my_ip", "${my_ip");
}

static void the_own_group_comes_before_default(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = parsed("[DEFAULT]\nextra = d\n[g]\na = $extra/$own\nown = g\n");

    assert_string_equal(dv_config_str(config, "g", "a"), "d/g"); /* neither is in our table */
}

static void defaults_are_substituted_too(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = parsed("[DEFAULT]\nn = 7\nmy_ip = 9.9.9.9\n");

    assert_int_equal(dv_config_int(config, "DEFAULT", "m"), 7);
    assert_string_equal(dv_config_str(config, "g", "b"), "9.9.9.9");
}

static void references_that_lead_nowhere_are_refused(void **state G_GNUC_UNUSED)
{
    assert_refused("[DEFAULT]\ntext = pa$word\n",
                   "x.conf:2: [DEFAULT] text = pa$word: refers to $word, and there is no such"
                   " option (a literal '$' is written $$)");
    assert_refused("[DEFAULT]\ntext = $text\n",
                   "x.conf:2: [DEFAULT] text = $text: [DEFAULT] text refers to itself");
}

static void an_error_does_not_show_a_secret(void **state G_GNUC_UNUSED)
{
    assert_refused("[DEFAULT]\npassword = hunter$two\n",
                   "x.conf:2: [DEFAULT] password = ***: refers to an option that there is not (a"
                   " literal '$' is written $$)");
}

static void bombs_do_not_go_off(void **state G_GNUC_UNUSED)
{
    g_autoptr(GString) text = g_string_new("[DEFAULT]\ntext = $x0\n");
    g_autoptr(GError) err = NULL;

    for (int i = 0; i < 30; i++)
        g_string_append_printf(text, "x%d = $x%d$x%d$x%d$x%d\n", i, i + 1, i + 1, i + 1, i + 1);
    assert_null(parse(text->str, &err));
    assert_non_null(strstr(err->message, "too many nested references"));
}

static void a_long_expansion_is_refused(void **state G_GNUC_UNUSED)
{
    g_autoptr(GString) text = g_string_new("[DEFAULT]\nother = ");
    g_autoptr(GError) err = NULL;

    for (int i = 0; i < 10000; i++)
        g_string_append(text, "0123456789");
    g_string_append(text, "\ntext = $other$other$other\n");
    assert_null(parse(text->str, &err));
    assert_non_null(strstr(err->message, "after substitution"));
}

/* ---- types ---- */

static void whole_numbers(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = parsed("[DEFAULT]\nn = +9\nm =\n");

    assert_int_equal(dv_config_int(config, "DEFAULT", "n"), 9);
    assert_int_equal(dv_config_int(config, "DEFAULT", "m"), 9); /* empty: the default, $n */
}

static void whole_numbers_are_checked(void **state G_GNUC_UNUSED)
{
    assert_refused("[DEFAULT]\nn = 0x10\n", "x.conf:2: [DEFAULT] n = 0x10: want a whole number");
    assert_refused("[DEFAULT]\nn = 1.5\n", "x.conf:2: [DEFAULT] n = 1.5: want a whole number");
    assert_refused("[DEFAULT]\nn = -2\n", "x.conf:2: [DEFAULT] n = -2: want at least -1");
    assert_refused("[DEFAULT]\nm = 11\n", "x.conf:2: [DEFAULT] m = 11: want 1 to 10");
    assert_refused("[DEFAULT]\nn = 99999999999999999999\n",
                   "x.conf:2: [DEFAULT] n = 99999999999999999999: want a whole number");
}

static void numbers(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = parsed("[DEFAULT]\nratio = 1.5\n");

    assert_true(dv_config_float(config, "DEFAULT", "ratio") == 1.5);
    assert_refused("[DEFAULT]\nratio = nan\n", "x.conf:2: [DEFAULT] ratio = nan: want a number");
    assert_refused("[DEFAULT]\nratio = 1,5\n", "x.conf:2: [DEFAULT] ratio = 1,5: want a number");
}

static void truths(void **state G_GNUC_UNUSED)
{
    static const char *const yes[] = {"true", "True", "1", "on", "YES"};
    static const char *const no[] = {"false", "FALSE", "0", "off", "No"};

    for (size_t i = 0; i < G_N_ELEMENTS(yes); i++) {
        g_autofree char *on = g_strconcat("[DEFAULT]\nflag = ", yes[i], "\n", NULL);
        g_autofree char *off = g_strconcat("[DEFAULT]\nflag = ", no[i], "\n", NULL);
        g_autoptr(DvConfig) a = parsed(on);
        g_autoptr(DvConfig) b = parsed(off);

        assert_true(dv_config_bool(a, "DEFAULT", "flag"));
        assert_false(dv_config_bool(b, "DEFAULT", "flag"));
    }
    assert_refused("[DEFAULT]\nflag = maybe\n",
                   "x.conf:2: [DEFAULT] flag = maybe: want true or false");
    assert_refused("[DEFAULT]\nflag =\n", "x.conf:2: [DEFAULT] flag = : want true or false");
}

static void choices_are_checked(void **state G_GNUC_UNUSED)
{
    assert_refused("[DEFAULT]\nkind = xen\n",
                   "x.conf:2: [DEFAULT] kind = xen: want one of kvm, qemu");
}

static void lists(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = parsed("[DEFAULT]\nitems = [x , y,]\npairs = a:b, c = d:e\n");
    g_autoptr(DvConfig) plain = parsed("");

    assert_list(config, "items", "x|y");
    assert_list(config, "pairs", "a=b|c=d:e");
    assert_list(plain, "items", "a|b");
    assert_list(plain, "pairs", "");
    assert_list(plain, "many", "");
    assert_refused("[DEFAULT]\npairs = a\n",
                   "x.conf:2: [DEFAULT] pairs = a: want key:value pairs separated by ','");
}

static void repeated_options_collect_only_where_they_may(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig)
        config = parsed("[DEFAULT]\nmany = a,b\ntext = 1\nmany = $my_ip\ntext = 2\n");

    assert_list(config, "many", "a,b|1.2.3.4");
    assert_string_equal(dv_config_str(config, "DEFAULT", "text"), "2");
}

/* ---- names, origins, warnings ---- */

static void old_names_work_and_the_new_one_wins(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) old = parsed("[DEFAULT]\ng_renamed = old\n");
    g_autoptr(DvConfig) both = parsed("[g]\nrenamed = new\nancient = old\n");

    assert_string_equal(dv_config_str(old, "g", "renamed"), "old");
    assert_string_equal(dv_config_origin(old, "g", "renamed"), "x.conf:2");
    assert_string_equal(
        dv_config_warnings(old)[0],
        "x.conf:2: [DEFAULT] g_renamed: an old name; the option is [g] renamed now");
    assert_string_equal(dv_config_str(both, "g", "renamed"), "new");
}

static void origins_tell_file_and_line(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = parsed("# c\n[DEFAULT]\ntext = a\n\n[g]\na = b\n c\n");

    assert_string_equal(dv_config_origin(config, "DEFAULT", "text"), "x.conf:3");
    assert_string_equal(dv_config_origin(config, "g", "a"), "x.conf:6");
    assert_null(dv_config_origin(config, "DEFAULT", "my_ip"));
    assert_true(dv_config_is_set(config, "g", "a"));
    assert_false(dv_config_is_set(config, "g", "b"));
}

static void what_has_no_effect_is_said(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = parsed("[DEFAULT]\nlater = yes\ntypo = 1\nforeign = not a number\n"
                                        "[elsewhere]\nx = 1\n[nobody]\na = 1\nb = 2\n");
    const char *const *warnings = dv_config_warnings(config);

    assert_string_equal(warnings[0],
                        "x.conf:3: [DEFAULT] typo: an option that drover does not know, it has no"
                        " effect");
    assert_string_equal(warnings[1], "x.conf:8: [nobody] a: a group that drover does not know,"
                                     " nothing in it has an effect");
    assert_string_equal(warnings[2],
                        "x.conf:2: [DEFAULT] later: drover does not honour this option yet");
    assert_null(warnings[3]);
}

static void a_default_that_is_spelled_out_is_no_warning(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = parsed("[DEFAULT]\nlater = no\nlater_flag = 0\n");

    assert_null(dv_config_warnings(config)[0]);
}

static void a_dump_shows_values_and_origins_but_no_secret(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig)
        config = parsed("[DEFAULT]\npassword = hunter2\ntext = a\n b\nmany=1\nmany=2\n");
    g_autofree char *dump = dv_config_dump(config);

    assert_null(strstr(dump, "hunter2"));
    assert_non_null(strstr(dump, "[DEFAULT]\nmy_ip = 1.2.3.4  # default\n"));
    assert_non_null(strstr(dump, "password = ***  # x.conf:2\n"));
    assert_non_null(strstr(dump, "text = a b  # x.conf:3\n"));
    assert_non_null(strstr(dump, "many = 1  # x.conf:6\nmany = 2  # x.conf:6\n"));
    assert_non_null(strstr(dump, "other = <unset>  # default\n"));
    assert_non_null(strstr(dump, "\n[g]\na = "));
    assert_null(strstr(dump, "elsewhere"));
    assert_null(strstr(dump, "later"));
}

static void a_sample_can_be_read_back(void **state G_GNUC_UNUSED)
{
    g_autofree char *sample = dv_config_sample(table, G_N_ELEMENTS(table));
    g_autoptr(DvConfig) config = parsed(sample);

    assert_non_null(strstr(sample, "# An address. (text)\n#my_ip = 1.2.3.4\n"));
    assert_null(strstr(sample, "later"));
    assert_null(dv_config_warnings(config)[0]);
}

/* ---- files ---- */

static char *folder;

static void put(const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);

    assert_true(dv_write_file(path, text, strlen(text), 0600, NULL));
}

static void later_files_and_folders_win(void **state G_GNUC_UNUSED)
{
    g_autofree char *a = g_build_filename(folder, "a.conf", NULL);
    g_autofree char *b = g_build_filename(folder, "b.conf", NULL);
    g_autofree char *dir = g_build_filename(folder, "d", NULL);
    g_autoptr(DvConfig) config = NULL;
    g_autoptr(GError) err = NULL;

    assert_true(dv_mkdirs(dir, 0700, NULL));
    put("a.conf", "[DEFAULT]\ntext = a\nother = a\nn = 1\nmany = a\n[g]\nrenamed = new in a\n");
    put("b.conf", "[DEFAULT]\ntext = b\nother = b\nmany = b\n[g]\nancient = old in b\n");
    put("d/20.conf", "[DEFAULT]\ntext = d20\n");
    put("d/10.conf", "[DEFAULT]\ntext = d10\nmany = d\n");
    put("d/30.txt", "not read");
    put("d/.hidden.conf", "not read");
    config = dv_config_load((const char *const[]){a, b, NULL}, (const char *const[]){dir, NULL},
                            table, G_N_ELEMENTS(table), &err);
    assert_null(err);
    assert_string_equal(dv_config_str(config, "DEFAULT", "text"), "d20");
    assert_string_equal(dv_config_str(config, "DEFAULT", "other"), "b");
    assert_int_equal(dv_config_int(config, "DEFAULT", "n"), 1);
    assert_string_equal(dv_config_str(config, "g", "renamed"), "old in b"); /* a later file */
    assert_list(config, "many", "a|b|d");
    assert_true(g_str_has_suffix(dv_config_origin(config, "DEFAULT", "text"), "/d/20.conf:2"));
}

static void missing_files_and_folders_are_errors(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) no_file = NULL;
    g_autoptr(GError) no_folder = NULL;

    assert_null(dv_config_load((const char *const[]){"/nowhere.conf", NULL}, NULL, table,
                               G_N_ELEMENTS(table), &no_file));
    assert_int_equal(dv_code(no_file), DV_E_BAD_CONFIG);
    assert_non_null(strstr(no_file->message, "/nowhere.conf"));
    assert_null(dv_config_load(NULL, (const char *const[]){"/nowhere.d", NULL}, table,
                               G_N_ELEMENTS(table), &no_folder));
    assert_non_null(strstr(no_folder->message, "/nowhere.d"));
}

static int make_folder(void **state G_GNUC_UNUSED)
{
    folder = g_dir_make_tmp("drover-config-XXXXXX", NULL);
    return folder ? 0 : -1;
}

static int remove_folder(void **state G_GNUC_UNUSED)
{
    bool ok = dv_remove_tree(folder, NULL);

    g_free(folder);
    return ok ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_stripped_and_unquoted_once),
        cmocka_unit_test(there_are_no_inline_comments),
        cmocka_unit_test(long_values_survive),
        cmocka_unit_test(colon_or_equals_whichever_is_first),
        cmocka_unit_test(continuation_lines_join_with_newlines),
        cmocka_unit_test(a_comment_or_blank_line_ends_a_value),
        cmocka_unit_test(groups_ignore_case_but_for_default),
        cmocka_unit_test(dashes_are_underscores),
        cmocka_unit_test(line_ends_of_windows_are_read),
        cmocka_unit_test(broken_lines_name_file_and_line),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(names_are_substituted),
        cmocka_unit_test(literal_dollars),
        cmocka_unit_test(the_own_group_comes_before_default),
        cmocka_unit_test(defaults_are_substituted_too),
        cmocka_unit_test(references_that_lead_nowhere_are_refused),
        cmocka_unit_test(an_error_does_not_show_a_secret),
        cmocka_unit_test(bombs_do_not_go_off),
        cmocka_unit_test(a_long_expansion_is_refused),
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(whole_numbers_are_checked),
        cmocka_unit_test(numbers),
        cmocka_unit_test(truths),
        cmocka_unit_test(choices_are_checked),
        cmocka_unit_test(lists),
        cmocka_unit_test(repeated_options_collect_only_where_they_may),
        cmocka_unit_test(old_names_work_and_the_new_one_wins),
        cmocka_unit_test(origins_tell_file_and_line),
        cmocka_unit_test(what_has_no_effect_is_said),
        cmocka_unit_test(a_default_that_is_spelled_out_is_no_warning),
        cmocka_unit_test(a_dump_shows_values_and_origins_but_no_secret),
        cmocka_unit_test(a_sample_can_be_read_back),
        cmocka_unit_test(later_files_and_folders_win),
        cmocka_unit_test(missing_files_and_folders_are_errors),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
