/* What asks or changes a guest that runs: crash dump, password, diagnostics, network info; and what
 * is asked of the host itself. */
#include "flow/server.h"

static int setup(void **state)
{
    *state = booted(NULL);
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

static void a_crash_dump_is_an_nmi(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(GError) err = NULL;

    assert_true(call(fake, "trigger_crash_dump", args_of(fake, NULL), NULL, NULL));
    assert_int_equal(fake_virt_nmis(fake_agent_virt(fake), UUID), 1);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_event(fake, "compute_trigger_crash_dump", false);
    stop(fake, false);
    assert_false(call(fake, "trigger_crash_dump", args_of(fake, NULL), NULL, &err));
    assert_int_equal(err->code, DV_E_INSTANCE_NOT_RUNNING);
    g_clear_error(&err);
    fake_virt_fail(fake_agent_virt(fake), "inject_nmi", DV_E_UNSUPPORTED, 1);
    assert_false(call(fake, "trigger_crash_dump", args_of(fake, NULL), NULL, &err));
    assert_int_equal(err->code, DV_E_CRASH_DUMP_UNSUPPORTED);
}

#define RSA_KEY                                                                                    \
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCypczvr/u5566CcHpfDmkbG9ilHFTUuE6TUgHpJzt57bpDJemKVtuM" \
    "iCsTej4MUDFcl6t+f+MQPDRt1E3AeMUqtnLun3JfFWsUjYuqSa0sukjnZSEAQkkZDbh9hq0P0I/12/86d0Zjn7rYtANq" \
    "GPs9gGnhU4WTO2sxdi33ve3Z2w== root@vm"

static json_t *with_key(json_t *args, const char *key)
{
    json_object_set_new(json_object_get(json_object_get(args, "instance"), "nova_object.data"),
                        "key_data", json_string(key));
    return args;
}

static json_t *password_args(FakeAgent *fake, bool agent, const char *user)
{
    json_t *args = with(args_of(fake, "updating_password"), "new_pass", json_string("s3cr3t"));
    json_t *metadata = json_object_get(
        json_object_get(json_object_get(args, "instance"), "nova_object.data"), "system_metadata");

    if (agent)
        json_object_set_new(metadata, "image_hw_qemu_guest_agent", json_string("yes"));
    if (user)
        json_object_set_new(metadata, "image_os_admin_user", json_string(user));
    fake_virt_set_agent(fake_agent_virt(fake), UUID, agent);
    return with_key(args, RSA_KEY);
}

static void assert_password(FakeAgent *fake, const char *text)
{
    g_autofree char *is = fake_virt_password(fake_agent_virt(fake), UUID);

    assert_string_equal(is, text);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
}

static void the_agent_in_the_guest_sets_the_password(void **state)
{
    FakeAgent *fake = *state;
    json_t *windows;

    assert_true(call(fake, "set_admin_password", password_args(fake, true, NULL), NULL, NULL));
    assert_password(fake, "root:s3cr3t");
    windows = password_args(fake, true, NULL);
    json_object_set_new(json_object_get(json_object_get(windows, "instance"), "nova_object.data"),
                        "os_type", json_string("windows"));
    assert_true(call(fake, "set_admin_password", windows, NULL, NULL));
    assert_password(fake, "Administrator:s3cr3t");
    assert_true(call(fake, "set_admin_password", password_args(fake, true, "toor"), NULL, NULL));
    assert_password(fake, "toor:s3cr3t");
}

static char *kept_password(FakeAgent *fake)
{
    g_autofree char *text = fake_conductor_field(fake_agent_conductor(fake), UUID,
                                                 "system_metadata");
    json_t *metadata = json_loads(text, 0, NULL);
    const char *first = json_string_value(json_object_get(metadata, "password_0"));
    char *kept = g_strdup(first);

    if (first) {
        assert_string_equal(json_string_value(json_object_get(metadata, "password_1")), "");
        assert_string_equal(json_string_value(json_object_get(metadata, "password_3")), "");
        assert_null(json_object_get(metadata, "password_4"));
    }
    json_decref(metadata);
    return kept;
}

static void a_password_is_kept_for_who_has_an_rsa_key(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *none = NULL;
    g_autofree char *kept = NULL;
    g_autoptr(GError) err = NULL;

    assert_true(call(fake, "set_admin_password",
                     with_key(password_args(fake, true, NULL), "ssh-ed25519 AAAA"), NULL, NULL));
    none = kept_password(fake);
    assert_null(none);
    assert_true(call(fake, "set_admin_password", with_key(password_args(fake, true, NULL), RSA_KEY),
                     NULL, NULL));
    kept = kept_password(fake);
    assert_int_equal(strlen(kept), 172); /* 128 bytes in base64 */
    assert_null(strstr(kept, "s3cr3t"));
    assert_password(fake, "root:s3cr3t");
    assert_false(call(fake, "set_admin_password",
                      with_key(password_args(fake, true, NULL), "ssh-rsa broken"), NULL, &err));
    assert_int_equal(err->code, DV_E_PASSWORD_FAILED);
}

static void a_password_that_cannot_be_set_is_told_nobody(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);
    g_autoptr(GError) err = NULL;
    g_autofree char *fault = NULL;
    g_autofree char *event = NULL;

    assert_false(call(fake, "set_admin_password", password_args(fake, false, NULL), NULL, &err));
    assert_int_equal(err->code, DV_E_AGENT_NOT_ENABLED);
    assert_string_equal(err->message, "QEMU guest agent is not enabled");
    fake_agent_assert_row(fake, "task_state", "");
    g_clear_error(&err);
    fake_virt_fail(virt, "set_password", DV_E_NOT_IMPLEMENTED, 1);
    assert_false(call(fake, "set_admin_password", password_args(fake, true, NULL), NULL, &err));
    assert_int_equal(err->code, DV_E_NOT_IMPLEMENTED);
    fake_agent_assert_row(fake, "task_state", "");
    g_clear_error(&err);
    fake_virt_fail(virt, "set_password", DV_E_HYPERVISOR, 1);
    assert_false(call(fake, "set_admin_password", password_args(fake, true, NULL), NULL, &err));
    assert_int_equal(err->code, DV_E_PASSWORD_FAILED);
    assert_null(strstr(err->message, "fake:")); /* nor what the hypervisor said */
    fake_agent_assert_row(fake, "task_state", "");
    g_clear_error(&err);
    fake_virt_guest_does(virt, UUID, GUEST_EVENT_STOPPED, "shutdown");
    assert_false(call(fake, "set_admin_password", password_args(fake, true, NULL), NULL, &err));
    assert_int_equal(err->code, DV_E_PASSWORD_FAILED);
    fault = fake_conductor_last(fake_agent_conductor(fake), "InstanceFault.create");
    event = fake_conductor_last(fake_agent_conductor(fake),
                                "InstanceActionEvent.event_finish_with_failure");
    assert_null(strstr(fault, "s3cr3t"));
    assert_null(strstr(event, "s3cr3t"));
}

static void assert_number(const json_t *dict, const char *key, json_int_t value)
{
    const json_t *is = json_object_get(dict, key);

    if (!json_is_integer(is) || json_integer_value(is) != value)
        fail_msg("%s is not %lld", key, (long long)value);
}

static void diagnostics_are_counters_by_device(void **state)
{
    FakeAgent *fake = *state;
    json_t *result = NULL;

    assert_true(call(fake, "get_diagnostics", args_of(fake, NULL), &result, NULL));
    assert_number(result, "cpu0_time", 12000000000);
    assert_number(result, "vda_read_req", 11);
    assert_number(result, "vda_write", 14);
    assert_number(result, "vda_errors", -1);
    assert_number(result, "tap73d86ab9-e0_rx", 21);
    assert_number(result, "tap73d86ab9-e0_tx_drop", 34);
    assert_number(result, "memory", 2097152);
    assert_number(result, "memory-actual", 131072);
    json_decref(result);
}

static const json_t *item(const json_t *data, const char *list)
{
    assert_int_equal(json_array_size(json_object_get(data, list)), 1);
    return json_object_get(json_array_get(json_object_get(data, list), 0), "nova_object.data");
}

static void diagnostics_are_an_object_too(void **state)
{
    FakeAgent *fake = *state;
    json_t *result = NULL;
    const json_t *data;

    assert_true(call(fake, "get_instance_diagnostics", args_of(fake, NULL), &result, NULL));
    data = json_object_get(result, "nova_object.data");
    assert_string_equal(json_string_value(json_object_get(result, "nova_object.name")),
                        "Diagnostics");
    assert_string_equal(json_string_value(json_object_get(data, "state")), "running");
    assert_string_equal(json_string_value(json_object_get(data, "hypervisor")), "qemu");
    assert_true(json_is_false(json_object_get(data, "config_drive")));
    assert_number(item(data, "cpu_details"), "time", 12000000000);
    assert_number(item(data, "disk_details"), "write_requests", 13);
    assert_number(item(data, "disk_details"), "errors_count", -1);
    assert_number(item(data, "nic_details"), "tx_octets", 31);
    assert_true(json_is_null(json_object_get(item(data, "nic_details"), "rx_rate")));
    assert_number(data, "num_cpus", 1);
    assert_number(data, "num_nics", 1);
    assert_number(data, "num_disks", 1);
    assert_number(json_object_get(json_object_get(data, "memory_details"), "nova_object.data"),
                  "maximum", 2);
    json_decref(result);
}

static void diagnostics_need_a_running_guest(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(GError) err = NULL;

    stop(fake, false);
    assert_false(call(fake, "get_diagnostics", args_of(fake, NULL), NULL, &err));
    assert_int_equal(err->code, DV_E_INSTANCE_INVALID_STATE);
    assert_non_null(strstr(err->message, "in power state shutdown"));
    g_clear_error(&err);
    assert_false(call(fake, "get_instance_diagnostics", args_of(fake, NULL), NULL, &err));
    assert_int_equal(err->code, DV_E_INSTANCE_INVALID_STATE);
}

static void injecting_network_info_reads_the_ports_again(void **state)
{
    FakeAgent *fake = *state;
    unsigned before = http_server_count(fake_agent_server(fake), "GET", FLOW_NEUTRON "/ports?*");

    ask(fake, "inject_network_info", NULL);
    assert_true(http_server_count(fake_agent_server(fake), "GET", FLOW_NEUTRON "/ports?*") >
                before);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
}

static void the_host_itself_is_not_rebooted(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;

    assert_false(call(fake, "host_power_action",
                      with(json_object(), "action", json_string("reboot")), NULL, &e1));
    assert_int_equal(e1->code, DV_E_NOT_IMPLEMENTED);
    assert_false(call(fake, "host_maintenance_mode", json_object(), NULL, &e2));
    assert_int_equal(e2->code, DV_E_NOT_IMPLEMENTED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_crash_dump_is_an_nmi),
        T(the_agent_in_the_guest_sets_the_password),
        T(a_password_is_kept_for_who_has_an_rsa_key),
        T(a_password_that_cannot_be_set_is_told_nobody),
        T(diagnostics_are_counters_by_device),
        T(diagnostics_are_an_object_too),
        T(diagnostics_need_a_running_guest),
        T(injecting_network_info_reads_the_ports_again),
        T(the_host_itself_is_not_rebooted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
