/* agent/faults: every code has nova's class, and a user reads no secret and no path of the host. */
#include "agent/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void every_code_has_a_class_of_an_accepted_module(void **state G_GNUC_UNUSED)
{
    for (int code = 1; code < DV_E_KEY_MANAGER; code++) {
        g_autoptr(GError) err = g_error_new(DV_ERROR, code, "text");
        RpcFault fault;

        fault_of_error(err, &fault);
        assert_non_null(fault.class_name);
        assert_true(strcmp(fault.module, "nova.exception") == 0 ||
                    strcmp(fault.module, "builtins") == 0);
        assert_string_equal(fault.message, "text");
    }
}

/* nova-compute lets its key manager client's errors out as they are: callers cannot make the class
 * again, and users read nothing but its name. */
static void key_manager_errors_are_those_of_novas_client(void **state G_GNUC_UNUSED)
{
    static const struct {
        int code;
        const char *class_name;
    } known[] = {
        {DV_E_KEY_MANAGER, "KeyManagerError"},
        {DV_E_SECRET_NOT_FOUND, "ManagedObjectNotFoundError"},
    };

    assert_int_equal(DV_E_LAST - DV_E_KEY_MANAGER, G_N_ELEMENTS(known));
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        g_autoptr(GError) err = g_error_new(DV_ERROR, known[i].code, "http://keys:9311 says no");
        g_autofree char *text = fault_message(err);
        RpcFault fault;

        fault_of_error(err, &fault);
        assert_string_equal(fault.class_name, known[i].class_name);
        assert_string_equal(fault.module, "castellan.common.exception");
        assert_int_equal(fault.code, 0);
        assert_string_equal(text, known[i].class_name);
    }
}

static void classes_that_the_control_plane_branches_on(void **state G_GNUC_UNUSED)
{
    static const struct {
        int code;
        const char *class_name;
        int http_code;
    } rows[] = {
        {DV_E_INSTANCE_NOT_FOUND, "InstanceNotFound", 404},
        {DV_E_NO_CAPACITY, "ComputeResourcesUnavailable", 400},
        {DV_E_CONSOLE_TYPE_INVALID, "ConsoleTypeInvalid", 400},
        {DV_E_INSTANCE_NOT_READY, "InstanceNotReady", 400},
        {DV_E_NOT_IMPLEMENTED, "NotImplementedError", 0},
        {DV_E_VIDEO_RAM, "RequestedVRamTooHigh", 500},
        {DV_E_DISK_COUNT, "TooManyDiskDevices", 403},
        {DV_E_UEFI, "UEFINotSupported", 400},
        {DV_E_TRUSTED_CERTS, "BuildAbortException", 500},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = g_error_new(DV_ERROR, rows[i].code, "x");
        RpcFault fault;

        fault_of_error(err, &fault);
        assert_string_equal(fault.class_name, rows[i].class_name);
        assert_int_equal(fault.code, rows[i].http_code);
    }
}

static void an_unknown_error_tells_only_its_name(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = g_error_new(DV_ERROR, DV_E_INTERNAL, "assertion at /usr/src/x.c");
    g_autofree char *text = fault_message(err);

    assert_string_equal(text, "NovaException");
}

static void paths_of_the_host_are_hidden(void **state G_GNUC_UNUSED)
{
    g_autofree char *a = fault_hide_paths("creating '/var/lib/nova/instances/x/disk': full");
    g_autofree char *b = fault_hide_paths("GET http://10.0.0.1:9292/v2/images: 500 and/or 7/8");
    g_autofree char *c = fault_hide_paths("/etc/shadow");

    assert_string_equal(a, "creating '<path>': full");
    assert_string_equal(b, "GET http://10.0.0.1:9292/v2/images: 500 and/or 7/8");
    assert_string_equal(c, "<path>");
}

static void secrets_are_masked_and_the_length_is_bounded(void **state G_GNUC_UNUSED)
{
    g_autofree char *filler = g_strnfill(400, 'x');
    g_autoptr(GError) err = g_error_new(
        DV_ERROR, DV_E_HYPERVISOR, "rabbit://nova:s3cret@host password=s3cret %s\xc3\xa9", filler);
    g_autofree char *text = fault_message(err);

    assert_null(strstr(text, "s3cret"));
    assert_true(strlen(text) <= 255);
    assert_true(g_utf8_validate(text, -1, NULL));
}

static void an_aborted_build_reads_as_nova_says_it(void **state G_GNUC_UNUSED)
{
    g_autofree char *text = fault_build_aborted("6f70", "no disk");

    assert_string_equal(text, "Build of instance 6f70 aborted: no disk");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_class_of_an_accepted_module),
        cmocka_unit_test(key_manager_errors_are_those_of_novas_client),
        cmocka_unit_test(classes_that_the_control_plane_branches_on),
        cmocka_unit_test(an_unknown_error_tells_only_its_name),
        cmocka_unit_test(paths_of_the_host_are_hidden),
        cmocka_unit_test(secrets_are_masked_and_the_length_is_bounded),
        cmocka_unit_test(an_aborted_build_reads_as_nova_says_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
