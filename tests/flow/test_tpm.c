/* Servers with emulated TPMs: when their secret is made, read and deleted, and what becomes of the
 * server when the key manager does not answer. */
#include "flow/resize.h"
#include "flow/tpm.h"

#include "agent/recovery.h"

static int setup_with(void **state, const char *options)
{
    TpmServer *f = g_new0(TpmServer, 1);

    tpm_server_init(f, options);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, TPM_OPTIONS);
}

static int setup_disabled(void **state)
{
    return setup_with(state, NULL);
}

static int teardown(void **state)
{
    TpmServer *f = *state;

    fake_agent_free(f->fake);
    keys_done(&f->keys);
    g_free(f);
    return 0;
}

static void assert_nothing_left(TpmServer *f)
{
    g_autofree char *under = fake_virt_tpm(fake_agent_virt(f->fake), UUID);

    assert_null(under);
    assert_int_equal(keys_count(&f->keys), 0);
    assert_int_equal(guest(f->fake), GUEST_STATE_NONE);
}

static void a_boot_makes_the_secret(void **state)
{
    TpmServer *f = *state;
    VirtDriver *virt = fake_agent(f->fake)->virt;
    g_autofree char *id = NULL;
    g_autofree char *xml = NULL;

    boot(f);
    assert_tpm(f);
    id = secret_id(f);
    assert_true(virt->ops->describe(virt->self, UUID, &xml, NULL));
    assert_non_null(strstr(xml, id));
    assert_non_null(strstr(xml, "<tpm model='tpm-crb'><backend type='emulator' version='2.0'>"));
    assert_int_equal(keys_reads(&f->keys), 0); /* it was at hand */
    assert_int_equal(http_server_count(fake_agent_server(f->fake), "POST", keys_path), 1);
}

static void a_delete_takes_it_away(void **state)
{
    TpmServer *f = *state;

    boot(f);
    fake_agent_terminate(f->fake, UUID);
    fake_agent_wait(f->fake, UUID);
    assert_nothing_left(f);
    assert_int_equal(faults(f->fake), 0);
}

static void a_server_without_one_asks_nobody(void **state)
{
    TpmServer *f = *state;

    boot_with(f, NULL, "tpm-tis"); /* a model alone asks for nothing */
    fake_agent_assert_row(f->fake, "vm_state", "active");
    reboot(f->fake, "HARD");
    fake_agent_terminate(f->fake, UUID);
    fake_agent_wait(f->fake, UUID);
    assert_int_equal(http_server_count(fake_agent_server(f->fake), NULL, "/v1/secrets*"), 0);
}

static void every_start_gets_the_same_secret(void **state)
{
    TpmServer *f = *state;

    boot(f);
    stop(f->fake, true);
    ask(f->fake, "start_instance", "powering-on");
    assert_is(f->fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(keys_reads(&f->keys), 1);
    reboot(f->fake, "HARD");
    assert_is(f->fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(keys_reads(&f->keys), 2);
    reboot(f->fake, "SOFT");
    assert_is(f->fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(keys_reads(&f->keys), 3);
    assert_int_equal(calls(f->fake, "launch"), 1); /* it was not made anew */
    ask(f->fake, "suspend_instance", "suspending");
    ask(f->fake, "resume_instance", "resuming");
    assert_is(f->fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(keys_reads(&f->keys), 4);
    assert_int_equal(calls(f->fake, "destroy"), 0);
    assert_tpm(f);
    assert_int_equal(faults(f->fake), 0);
}

static void what_does_not_start_it_needs_none(void **state)
{
    TpmServer *f = *state;

    boot(f);
    keys_refuse(&f->keys, 500);
    ask(f->fake, "pause_instance", "pausing");
    ask(f->fake, "unpause_instance", "unpausing");
    stop(f->fake, true);
    assert_is(f->fake, "stopped", "4", GUEST_STATE_OFF);
    assert_int_equal(faults(f->fake), 0);
}

/* A guest that could not be started again goes on. */
static void a_reboot_without_the_key_manager_leaves_the_guest_alone(void **state)
{
    TpmServer *f = *state;
    g_autofree char *fault = NULL;

    boot(f);
    keys_refuse(&f->keys, 503);
    reboot(f->fake, "HARD");
    assert_int_equal(guest(f->fake), GUEST_STATE_RUNNING);
    assert_int_equal(calls(f->fake, "retire"), 0);
    fault = fake_conductor_last(fake_agent_conductor(f->fake), "InstanceFault.create");
    assert_non_null(strstr(fault, "KeyManagerError"));
    assert_null(strstr(fault, "http"));
    keys_refuse(&f->keys, 0);
    reboot(f->fake, "HARD");
    assert_is(f->fake, "active", "1", GUEST_STATE_RUNNING);
    assert_tpm(f);
}

static void a_secret_that_is_gone_is_not_made_again(void **state)
{
    TpmServer *f = *state;
    g_autofree char *fault = NULL;

    boot(f);
    stop(f->fake, true);
    keys_lose(&f->keys);
    ask(f->fake, "start_instance", "powering-on");
    assert_int_equal(guest(f->fake), GUEST_STATE_OFF);
    fault = fake_conductor_last(fake_agent_conductor(f->fake), "InstanceFault.create");
    assert_non_null(strstr(fault, "ManagedObjectNotFoundError"));
    assert_int_equal(keys_count(&f->keys), 0);
}

static void a_boot_without_the_key_manager_is_given_back(void **state)
{
    TpmServer *f = *state;

    keys_refuse(&f->keys, 403);
    boot_with(f, "2.0", NULL);
    assert_int_equal(guest(f->fake), GUEST_STATE_NONE);
    assert_false(fake_agent_has_disks(f->fake, UUID));
    assert_int_equal(fake_conductor_count(fake_agent_conductor(f->fake), "build_instances"), 1);
}

static void a_boot_that_fails_later_takes_its_secret_back(void **state)
{
    TpmServer *f = *state;
    g_autofree char *id = NULL;

    fake_virt_fail(fake_agent_virt(f->fake), "resume", DV_E_HYPERVISOR, 1);
    boot_with(f, "2.0", NULL);
    id = secret_id(f);
    assert_null(id);
    assert_nothing_left(f);
}

static void a_delete_that_the_key_manager_refuses_can_be_repeated(void **state)
{
    TpmServer *f = *state;

    boot(f);
    keys_refuse(&f->keys, 403);
    fake_agent_terminate(f->fake, UUID);
    fake_agent_wait(f->fake, UUID);
    fake_agent_assert_row(f->fake, "vm_state", "error");
    assert_int_equal(faults(f->fake), 1);
    keys_refuse(&f->keys, 0);
    fake_agent_terminate(f->fake, UUID);
    fake_agent_wait(f->fake, UUID);
    assert_nothing_left(f);
}

static void requests_that_make_no_sense_are_refused(void **state)
{
    static const char *const rows[][2] = {{"1.2", "tpm-crb"}, {"3.0", NULL}, {"2.0", "tpm-spapr"}};
    TpmServer *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        boot_with(f, rows[i][0], rows[i][1]);
        assert_int_equal(guest(f->fake), GUEST_STATE_NONE);
    }
    assert_int_equal(http_server_count(fake_agent_server(f->fake), NULL, "/v1/secrets*"), 0);
}

static void a_host_without_tpms_refuses_them(void **state)
{
    TpmServer *f = *state;

    boot_with(f, "2.0", NULL);
    assert_int_equal(guest(f->fake), GUEST_STATE_NONE);
    assert_int_equal(keys_count(&f->keys), 0);
    assert_int_equal(http_server_count(fake_agent_server(f->fake), NULL, "/v1/secrets*"), 0);
}

/* ---- moves ---- */

static void resize(TpmServer *f, const char *version)
{
    json_t *args = prep_args(f->fake, &larger, "vm");
    json_t *flavor = json_object_get(json_object_get(args, "flavor"), "nova_object.data");

    if (version)
        json_object_set_new(json_object_get(flavor, "extra_specs"), "hw:tpm_version",
                            json_string(version));
    json_object_set_new(json_object_get(flavor, "extra_specs"), "hw:tpm_model",
                        json_string("tpm-crb"));
    send_and_wait(f->fake, "prep_resize", args);
}

static void a_resize_here_keeps_the_tpm(void **state)
{
    TpmServer *f = *state;

    boot(f);
    script_allocations(fake_agent_server(f->fake));
    resize(f, "2.0");
    fake_agent_assert_row(f->fake, "vm_state", "resized");
    assert_int_equal(guest(f->fake), GUEST_STATE_RUNNING);
    assert_tpm(f);
    fake_conductor_set(fake_agent_conductor(f->fake), UUID, "task_state", "resize_reverting");
    end_with(f->fake, "revert_resize", "reverting");
    assert_is(f->fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(calls(f->fake, "destroy"), 0);
    assert_tpm(f);
}

static void what_would_change_the_tpm_is_refused_while_it_runs(void **state)
{
    static const char *const rows[] = {NULL, "1.2"};
    TpmServer *f = *state;

    boot(f);
    script_allocations(fake_agent_server(f->fake));
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        resize(f, rows[i]);
        fake_agent_assert_row(f->fake, "vm_state", "active");
        assert_int_equal(guest(f->fake), GUEST_STATE_RUNNING);
        assert_int_equal(calls(f->fake, "power_off"), 0);
        assert_int_equal(calls(f->fake, "shutdown"), 0);
        assert_int_equal(faults(f->fake), i + 1);
    }
    assert_tpm(f);
}

static void a_live_migration_is_refused(void **state)
{
    TpmServer *f = *state;
    g_autoptr(GError) err = NULL;
    json_t *answer = NULL;
    json_t *data = fake_agent_object("LibvirtLiveMigrateData", "1.10", json_object());

    boot(f);
    assert_false(call(f->fake, "check_can_live_migrate_source",
                      json_pack("{s:o, s:o}", "instance", fake_agent_instance(f->fake, UUID),
                                "dest_check_data", data),
                      &answer, &err));
    assert_int_equal(err->code, DV_E_MIGRATION_PRECHECK);
    assert_non_null(strstr(err->message, "TPM"));
}

/* ---- the start of the agent ---- */

static void put_server_with_tpm(TpmServer *f, const char *version)
{
    json_t *request = fake_agent_boot_request();
    json_t *instance = fake_agent_data(request, "instance");
    json_t *flavor = json_object_get(json_object_get(instance, "flavor"), "nova_object.data");
    g_autoptr(Ovo) row = NULL;

    json_object_set_new(json_object_get(flavor, "extra_specs"), "hw:tpm_version",
                        json_string(version));
    json_object_set_new(instance, "vm_state", json_string("stopped"));
    json_object_set_new(instance, "task_state", json_null());
    json_object_set_new(instance, "host", json_string(FLOW_NODE));
    row = ovo_view(json_object_get(json_object_get(request, "args"), "instance"), "Instance", NULL);
    fake_conductor_put(fake_agent_conductor(f->fake), row);
    json_decref(request);
}

static void an_agent_that_could_not_start_its_servers_does_not_start(void **state)
{
    TpmServer *f = *state;
    g_autoptr(GError) err = NULL;

    put_server_with_tpm(f, "2.0");
    assert_false(recovery_run(fake_agent(f->fake), fake_agent_ctx(f->fake), &err));
    assert_int_equal(err->code, DV_E_BAD_CONFIG);
    assert_non_null(strstr(err->message, "enable vTPM support"));
}

static void a_request_without_sense_does_not_keep_it(void **state)
{
    TpmServer *f = *state;
    g_autoptr(GError) err = NULL;

    put_server_with_tpm(f, "9.9");
    assert_true(recovery_run(fake_agent(f->fake), fake_agent_ctx(f->fake), &err));
}

#define TPM_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define PLAIN_TEST(test) cmocka_unit_test_setup_teardown(test, setup_disabled, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TPM_TEST(a_boot_makes_the_secret),
        TPM_TEST(a_delete_takes_it_away),
        TPM_TEST(a_server_without_one_asks_nobody),
        TPM_TEST(every_start_gets_the_same_secret),
        TPM_TEST(what_does_not_start_it_needs_none),
        TPM_TEST(a_reboot_without_the_key_manager_leaves_the_guest_alone),
        TPM_TEST(a_secret_that_is_gone_is_not_made_again),
        TPM_TEST(a_boot_without_the_key_manager_is_given_back),
        TPM_TEST(a_boot_that_fails_later_takes_its_secret_back),
        TPM_TEST(a_delete_that_the_key_manager_refuses_can_be_repeated),
        TPM_TEST(requests_that_make_no_sense_are_refused),
        TPM_TEST(a_resize_here_keeps_the_tpm),
        TPM_TEST(what_would_change_the_tpm_is_refused_while_it_runs),
        TPM_TEST(a_live_migration_is_refused),
        PLAIN_TEST(a_host_without_tpms_refuses_them),
        PLAIN_TEST(an_agent_that_could_not_start_its_servers_does_not_start),
        PLAIN_TEST(a_request_without_sense_does_not_keep_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
