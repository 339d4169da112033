/* The driver contract on the fake, and what tests can make the fake do. tests/virt/test_contract.c
 * runs the same contract on real libvirt. */
#include "virt/fake/fake_driver.h"

#include "unit/virt/contract_devices.h"
#include "unit/virt/contract_tpm.h"
#include "unit/virt/contract_migration.h"
#include "unit/virt/contract_snapshot.h"

static GuestSpec *contract_spec(unsigned number)
{
    GuestSpec *spec = guest_spec_new();

    spec->uuid = g_strdup_printf("00000000-0000-4000-8000-%012u", number);
    spec->name = g_strdup_printf("instance-%08u", number);
    spec->vnc_listen = g_strdup("127.0.0.1");
    return spec;
}

static NicSpec *contract_nic(unsigned number)
{
    NicSpec *nic = g_new0(NicSpec, 1);

    nic->port_id = g_strdup_printf("11111111-0000-4000-8000-%012u", number);
    nic->mac = g_strdup_printf("fa:16:3e:00:00:%02u", number);
    nic->devname = g_strdup_printf("tapcontract%02u", number);
    nic->type = g_strdup("bridge");
    nic->bridge = g_strdup("brqcontract");
    return nic;
}

static VirtDriver *peer;

static VirtDriver *contract_peer(void)
{
    return peer;
}

static const char *contract_peer_uri(void)
{
    return "qemu+tcp://peer/system";
}

static int open_driver(void **state)
{
    VirtDriver *driver = virt_fake_new(NULL);

    peer = virt_fake_new(NULL);
    fake_virt_add_peer(fake_virt(driver), "peer", fake_virt(peer));
    *state = driver;
    return 0;
}

static int close_driver(void **state)
{
    virt_driver_free(*state);
    virt_driver_free(peer);
    return 0;
}

static void fails_as_told_and_leaves_nothing(void **state G_GNUC_UNUSED)
{
    g_autoptr(VirtDriver) driver = virt_fake_new(NULL);
    g_autoptr(GuestSpec) spec = contract_spec(1);
    FakeVirt *fake = fake_virt(driver);
    g_autoptr(GError) err = NULL;

    fake_virt_fail(fake, "start", DV_E_HYPERVISOR, 1);
    assert_false(driver->ops->start(driver->self, NULL, spec, true, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    assert_int_equal(fake_virt_guest_count(fake), 0);
    start(driver, spec, true);
    assert_int_equal(fake_virt_calls(fake, "start"), 2);
    g_clear_error(&err);
    fake_virt_fail(fake, "destroy", DV_E_POWER_OFF, G_MAXUINT);
    for (int i = 0; i < 3; i++) {
        assert_false(driver->ops->destroy(driver->self, NULL, spec->uuid, &err));
        assert_int_equal(err->code, DV_E_POWER_OFF);
        g_clear_error(&err);
    }
    assert_int_equal(fake_virt_guest_count(fake), 1);
}

static void is_away_when_told(void **state G_GNUC_UNUSED)
{
    g_autoptr(VirtDriver) driver = virt_fake_new(NULL);
    g_autoptr(GPtrArray) guests = NULL;
    g_autoptr(GError) err = NULL;

    fake_virt_set_connected(fake_virt(driver), false);
    assert_false(driver->ops->connected(driver->self));
    assert_false(driver->ops->list(driver->self, &guests, &err));
    assert_int_equal(err->code, DV_E_UNAVAILABLE);
}

static void guests_act_on_their_own(void **state G_GNUC_UNUSED)
{
    g_autoptr(VirtDriver) driver = virt_fake_new(NULL);
    FakeVirt *fake = fake_virt(driver);
    const char *uuid = "00000000-0000-4000-8000-000000000009";
    g_autofree char *text = NULL;
    size_t length = 0;
    EventLog log;

    event_log_start(&log, driver);
    fake_virt_add_guest(fake, uuid, "instance-9", GUEST_STATE_RUNNING);
    fake_virt_set_console(fake, uuid, "login: ");
    fake_virt_guest_does(fake, uuid, GUEST_EVENT_STOPPED, "shutdown");
    assert_int_equal(state_now(driver, uuid), GUEST_STATE_OFF);
    assert_true(wait_event(&log, uuid, GUEST_EVENT_STOPPED));
    assert_true(driver->ops->console_output(driver->self, NULL, uuid, 4, &text, &length, NULL));
    assert_string_equal(text, "in: ");
    assert_int_equal(length, 4);
    event_log_stop(&log, driver);
}

static gpointer start_in_thread(gpointer arg)
{
    VirtDriver *driver = arg;
    g_autoptr(GuestSpec) spec = contract_spec(8);

    return GINT_TO_POINTER(driver->ops->start(driver->self, NULL, spec, true, NULL) ? 1 : 2);
}

static bool say_stop(void *arg)
{
    unsigned *asked = arg;

    return ++*asked > 0;
}

/* What libvirt's test driver cannot do: a whole copy. */
static void a_copy_goes_on_until_it_is_ended(void **state G_GNUC_UNUSED)
{
    g_autoptr(VirtDriver) driver = virt_fake_new(NULL);
    g_autoptr(GuestSpec) spec = contract_spec(1);
    FakeVirt *fake = fake_virt(driver);
    unsigned asked = 0;
    VirtBlockCopy copy = {.disk_path = "/i/disk", .copy_path = "/s/delta"};
    g_autoptr(GError) err = NULL;

    start(driver, spec, false);
    assert_true(driver->ops->block_copy(driver->self, NULL, spec->uuid, &copy, NULL));
    assert_true(fake_virt_is_copied(fake, spec->uuid));
    assert_false(driver->ops->block_copy_end(driver->self, NULL, spec->uuid, "/i/other", NULL));
    assert_true(driver->ops->block_copy_end(driver->self, NULL, spec->uuid, "/i/disk", NULL));
    assert_false(fake_virt_is_copied(fake, spec->uuid));
    copy.stop = say_stop;
    copy.stop_arg = &asked;
    assert_false(driver->ops->block_copy(driver->self, NULL, spec->uuid, &copy, &err));
    assert_int_equal(err->code, DV_E_CANCELLED);
    assert_int_equal(asked, 1);
    assert_false(fake_virt_is_copied(fake, spec->uuid));
}

static void a_guest_without_an_agent_is_not_frozen(void **state G_GNUC_UNUSED)
{
    g_autoptr(VirtDriver) driver = virt_fake_new(NULL);
    g_autoptr(GuestSpec) spec = contract_spec(1);
    FakeVirt *fake = fake_virt(driver);
    g_autoptr(GError) err = NULL;

    start(driver, spec, false);
    assert_false(driver->ops->freeze(driver->self, NULL, spec->uuid, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    fake_virt_set_agent(fake, spec->uuid, true);
    assert_true(driver->ops->freeze(driver->self, NULL, spec->uuid, NULL));
    assert_true(fake_virt_is_frozen(fake, spec->uuid));
    assert_true(driver->ops->thaw(driver->self, NULL, spec->uuid, NULL));
    assert_false(fake_virt_is_frozen(fake, spec->uuid));
}

static void holds_a_call_until_released(void **state G_GNUC_UNUSED)
{
    g_autoptr(VirtDriver) driver = virt_fake_new(NULL);
    FakeVirt *fake = fake_virt(driver);
    GThread *thread;

    fake_virt_hold(fake, "start");
    thread = g_thread_new("starter", start_in_thread, driver);
    assert_true(fake_virt_wait_held(fake, "start", CONTRACT_WAIT_MS));
    assert_int_equal(driver->ops->stuck_calls(driver->self, NULL, NULL), 1);
    assert_int_equal(fake_virt_guest_count(fake), 0);
    fake_virt_release(fake, "start");
    assert_int_equal(GPOINTER_TO_INT(g_thread_join(thread)), 1);
    assert_int_equal(fake_virt_guest_count(fake), 1);
}

static void reports_the_facts_it_was_given(void **state G_GNUC_UNUSED)
{
    g_autoptr(VirtDriver) driver = virt_fake_new(NULL);
    g_autoptr(HostFacts) facts = NULL;
    g_autoptr(HostFacts) again = NULL;

    assert_true(driver->ops->host_facts(driver->self, &facts, NULL));
    facts->vcpus = 3;
    g_ptr_array_add(facts->traits, g_strdup("CUSTOM_X"));
    fake_virt_set_facts(fake_virt(driver), facts);
    assert_true(driver->ops->host_facts(driver->self, &again, NULL));
    assert_int_equal(again->vcpus, 3);
    assert_int_equal(again->traits->len, facts->traits->len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TESTS,
        CONTRACT_DEVICE_TESTS,
        CONTRACT_SNAPSHOT_TESTS,
        CONTRACT_MIGRATION_TESTS,
        CONTRACT_PAIR_TESTS,
        CONTRACT_TPM_TESTS,
        cmocka_unit_test(a_copy_goes_on_until_it_is_ended),
        cmocka_unit_test(a_guest_without_an_agent_is_not_frozen),
        cmocka_unit_test(fails_as_told_and_leaves_nothing),
        cmocka_unit_test(is_away_when_told),
        cmocka_unit_test(guests_act_on_their_own),
        cmocka_unit_test(holds_a_call_until_released),
        cmocka_unit_test(reports_the_facts_it_was_given),
    };

    return cmocka_run_group_tests(tests, open_driver, close_driver);
}
