/* Sets of host CPUs and the JSON writer. */
#include "virt/libvirt/cpuset.h"
#include "virt/libvirt/jtext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_normal(const char *text, const char *want)
{
    g_autofree char *got = NULL;
    CpuSet set;

    assert_true(cpuset_parse(text, &set, NULL));
    got = cpuset_format(&set);
    assert_string_equal(got, want);
}

static void reads_novas_notation(void **state G_GNUC_UNUSED)
{
    assert_normal("0", "0");
    assert_normal("0-3,^2", "0-1,3");
    assert_normal("^2,0-3", "0-1,3");
    assert_normal(" 4 - 6 , 8,9 ", "4-6,8-9");
    assert_normal("1,,2", "1-2");
    assert_normal("", "");
    assert_normal("8191", "8191");
}

static void refuses_what_is_no_set(void **state G_GNUC_UNUSED)
{
    static const char *const bad[] = {
        "a", "-1", "3-1", "1-", "8192", "^", "1-2-3", "0x1", "99999999999999999999", "1;2"};

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        CpuSet set;

        if (cpuset_parse(bad[i], &set, &err))
            fail_msg("took '%s'", bad[i]);
        assert_int_equal(err->code, DV_E_BAD_INPUT);
    }
}

static void does_set_arithmetic(void **state G_GNUC_UNUSED)
{
    CpuSet a;
    CpuSet b;

    assert_true(cpuset_parse("0-70", &a, NULL));
    assert_true(cpuset_parse("64-65", &b, NULL));
    assert_true(cpuset_contains(&a, &b));
    assert_false(cpuset_contains(&b, &a));
    assert_int_equal(cpuset_count(&a), 71);
    cpuset_intersect(&a, &b);
    assert_true(cpuset_equal(&a, &b));
    assert_true(cpuset_has(&a, 64));
    assert_false(cpuset_has(&a, CPUSET_MAX + 64));
}

static void writes_json_as_python_does(void **state G_GNUC_UNUSED)
{
    g_autofree char *out = NULL;
    JText text;

    jtext_init(&text);
    jtext_open(&text, NULL, '{');
    jtext_str(&text, "s", "a\"b\\c\n\x01\xff");
    jtext_str(&text, "n", NULL);
    jtext_int(&text, "i", -5);
    jtext_bool(&text, "b", true);
    jtext_open(&text, "a", '[');
    jtext_int(&text, NULL, 1);
    jtext_open(&text, NULL, '[');
    jtext_close(&text, ']');
    jtext_close(&text, ']');
    jtext_close(&text, '}');
    out = jtext_take(&text);
    assert_string_equal(out, "{\"s\": \"a\\\"b\\\\c\\u000a\\u0001\xEF\xBF\xBD\", \"n\": null, "
                             "\"i\": -5, \"b\": true, \"a\": [1, []]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_novas_notation),
        cmocka_unit_test(refuses_what_is_no_set),
        cmocka_unit_test(does_set_arithmetic),
        cmocka_unit_test(writes_json_as_python_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
