/* The part of the driver contract that is about copies of disks and frozen file systems; see
 * contract.h. libvirt's test:///default has no block jobs, so what a copy does is held to account
 * for the fake only (test_driver_contract.c), and for libvirt by the cloud tests. */
#pragma once

static const VirtBlockCopy contract_copy = {.disk_path = "/nowhere/disk",
                                            .copy_path = "/nowhere/copy"};

static void contract_absent_guest_is_neither_copied_nor_frozen(void **state)
{
    VirtDriver *driver = *state;
    const char *uuid = "00000000-0000-4000-8000-00000000dead";
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;
    g_autoptr(GError) e3 = NULL;
    g_autoptr(GError) e4 = NULL;

    assert_false(driver->ops->block_copy(driver->self, NULL, uuid, &contract_copy, &e1));
    assert_int_equal(e1->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->block_copy_end(driver->self, NULL, uuid, "/nowhere/disk", &e2));
    assert_int_equal(e2->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->freeze(driver->self, NULL, uuid, &e3));
    assert_int_equal(e3->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->thaw(driver->self, NULL, uuid, &e4));
    assert_int_equal(e4->code, DV_E_INSTANCE_NOT_FOUND);
}

static void contract_guest_that_is_off_is_neither_copied_nor_frozen(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(40);
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;
    g_autoptr(GError) e3 = NULL;

    spec->guest_agent = true;
    start(driver, spec, false);
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &e1), e1);
    assert_false(driver->ops->freeze(driver->self, NULL, spec->uuid, &e2));
    assert_int_equal(e2->code, DV_E_HYPERVISOR);
    assert_false(driver->ops->block_copy(driver->self, NULL, spec->uuid, &contract_copy, &e3));
    assert_int_equal(e3->code, DV_E_HYPERVISOR);
    destroy(driver, spec);
}

static void contract_agent_freezes_and_thaws(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(41);
    g_autoptr(GError) err = NULL;

    spec->guest_agent = true;
    start(driver, spec, false);
    must(driver->ops->freeze(driver->self, NULL, spec->uuid, &err), err);
    must(driver->ops->thaw(driver->self, NULL, spec->uuid, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    destroy(driver, spec);
}

static void contract_ending_no_copy_is_refused(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(42);
    g_autoptr(GError) err = NULL;

    start(driver, spec, false);
    assert_false(
        driver->ops->block_copy_end(driver->self, NULL, spec->uuid, "/nowhere/disk", &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    destroy(driver, spec);
}

/* clang-format off */
#define CONTRACT_SNAPSHOT_TESTS                                                      \
        cmocka_unit_test(contract_absent_guest_is_neither_copied_nor_frozen),        \
        cmocka_unit_test(contract_guest_that_is_off_is_neither_copied_nor_frozen),   \
        cmocka_unit_test(contract_agent_freezes_and_thaws),                          \
        cmocka_unit_test(contract_ending_no_copy_is_refused)
/* clang-format on */
