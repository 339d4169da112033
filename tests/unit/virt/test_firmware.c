/* virt/libvirt/firmware and the JSON reader under it. */
#include "virt/libvirt/firmware.h"
#include "virt/libvirt/jread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <glib/gstdio.h>

#define DIR "tests/golden/firmware"

static const char *const dirs[] = {"/nonexistent", DIR, NULL};

static void note_leaf(void *arg, const char *path, const char *value)
{
    g_string_append_printf(arg, "%s=%s;", path, value);
}

static void every_scalar_is_reported_with_its_path(void **state G_GNUC_UNUSED)
{
    g_autoptr(GString) seen = g_string_new(NULL);

    assert_true(jread(" {\"a\": [1, {\"b\": \"x\\u00e9\\n\\\"\"}, []], \"c\": {}, \"d\": null} ",
                      note_leaf, seen, NULL));
    assert_string_equal(seen->str, "a.0=1;a.1.b=x\xc3\xa9\n\";d=null;");
}

static void what_is_no_json_is_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *deep = g_strnfill(100, '[');
    const char *const texts[] = {"",       "{",    "{\"a\"}",   "[1,]",        "{\"a\": 1",
                                 "\"x",    "{} x", "[\"\\x\"]", "[\"\\u12\"]", "[\"a\nb\"]",
                                 "{1: 2}", deep};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GString) seen = g_string_new(NULL);
        g_autoptr(GError) err = NULL;

        assert_false(jread(texts[i], note_leaf, seen, &err));
        assert_int_equal(err->code, DV_E_BAD_INPUT);
    }
}

static void the_first_descriptor_that_fits_is_taken(void **state G_GNUC_UNUSED)
{
    static const struct {
        const char *arch, *machine;
        bool secure, found, smm;
        const char *executable;
    } rows[] = {
        {"x86_64", "pc-q35-7.2", true, true, true, "/usr/share/OVMF/OVMF_CODE_4M.ms.fd"},
        {"x86_64", "pc-q35-7.2", false, true, false, "/usr/share/OVMF/OVMF_CODE_4M.fd"},
        {"x86_64", "pc-i440fx-7.2", false, true, false, "/usr/share/OVMF/OVMF_CODE_4M.fd"},
        {"x86_64", "pc-i440fx-7.2", true, false, false, NULL},
        {"x86_64", "q35", false, false, false, NULL},
        {"i686", "pc-q35-7.2", false, false, false, NULL},
    };
    g_autoptr(FirmwareList) list = firmware_load(dirs, NULL);

    assert_non_null(list);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Firmware firmware = {0};

        assert_int_equal(
            firmware_find(list, rows[i].arch, rows[i].machine, rows[i].secure, &firmware),
            rows[i].found);
        if (!rows[i].found)
            continue;
        assert_string_equal(firmware.executable, rows[i].executable);
        assert_int_equal(firmware.requires_smm, rows[i].smm);
        assert_non_null(strstr(firmware.nvram_template, "OVMF_VARS"));
    }
}

static void a_host_without_descriptors_is_an_error(void **state G_GNUC_UNUSED)
{
    static const char *const none[] = {"/nonexistent", NULL};
    g_autoptr(GError) err = NULL;

    assert_null(firmware_load(none, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
}

static void a_broken_descriptor_is_named(void **state G_GNUC_UNUSED)
{
    g_autofree char *dir = g_dir_make_tmp("drover-firmware-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "10-broken.json", NULL);
    const char *const one[] = {dir, NULL};
    g_autoptr(GError) err = NULL;

    assert_true(g_file_set_contents(path, "{\"mapping\": ", -1, NULL));
    assert_null(firmware_load(one, &err));
    assert_int_equal(err->code, DV_E_BAD_INPUT);
    assert_non_null(strstr(err->message, "10-broken.json"));
    g_unlink(path);
    g_rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_is_reported_with_its_path),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(the_first_descriptor_that_fits_is_taken),
        cmocka_unit_test(a_host_without_descriptors_is_an_error),
        cmocka_unit_test(a_broken_descriptor_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
