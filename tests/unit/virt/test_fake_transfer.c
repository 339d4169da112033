/* The contract of files to and from other hosts on the fake. tests/virt/test_transfer.c runs the
 * same on real libvirt. */
#define CONTRACT_TRANSFER

/* Of the contract only its helpers. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "unit/virt/contract.h"
#pragma GCC diagnostic pop

#include "unit/virt/contract_transfer.h"
#include "virt/fake/fake_driver.h"

#include <stdio.h>
#include <unistd.h>

#define URI "qemu+tcp://other/system"

static VirtDriver *other;
static char *folder;

static GuestSpec *contract_spec(unsigned number)
{
    GuestSpec *spec = guest_spec_new();

    spec->uuid = g_strdup_printf("00000000-0000-4000-8000-%012u", number);
    spec->name = g_strdup_printf("instance-%08u", number);
    return spec;
}

static char *contract_uri(void)
{
    return g_strdup(URI);
}

static char *contract_folder(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

static int set_up(void **state)
{
    VirtDriver *driver = virt_fake_new(NULL);

    folder = g_dir_make_tmp("transfer-XXXXXX", NULL);
    other = virt_fake_new(NULL);
    fake_virt_add_host(fake_virt(driver), URI, fake_virt(other), "/elsewhere", "/somewhere");
    fake_virt_set_room(fake_virt(driver), URI, (uint64_t)1 << 40);
    *state = driver;
    return 0;
}

static int tear_down(void **state)
{
    virt_driver_free(*state);
    virt_driver_free(other);
    assert_true(dv_remove_tree(folder, NULL));
    g_free(folder);
    return 0;
}

static void a_guest_that_runs_there_is_left_alone(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(70);
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;
    TransferCase c;

    transfer_case_init(&c, 70);
    start(other, spec, false);
    assert_false(driver->ops->send_files(driver->self, NULL, &c.what, &e1));
    assert_int_equal(e1->code, DV_E_INSTANCE_EXISTS);
    assert_false(driver->ops->remove_files(driver->self, NULL, &c.what, &e2));
    assert_int_equal(e2->code, DV_E_INSTANCE_EXISTS);
    destroy(other, spec);
    transfer_case_done(&c);
}

static void folders_are_found_where_the_other_side_has_them(void **state)
{
    VirtDriver *driver = *state;
    g_autofree char *there = contract_folder("mapped");
    g_autofree char *arrived = g_build_filename(there, "1", "disk", NULL);
    g_autoptr(GError) err = NULL;
    TransferCase c;

    assert_true(dv_mkdirs(there, 0755, NULL));
    transfer_case_init(&c, 71);
    fake_virt_add_host(fake_virt(driver), URI, fake_virt(other), "/elsewhere", there);
    c.what.folder = "/elsewhere/1";
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    assert_same_file(c.paths[0], arrived);
    transfer_case_done(&c);
}

static void one_that_is_told_to_be_away_is(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    TransferCase c;

    transfer_case_init(&c, 72);
    fake_virt_set_connected(fake_virt(other), false);
    assert_false(driver->ops->send_files(driver->self, NULL, &c.what, &err));
    assert_int_equal(err->code, DV_E_UNAVAILABLE);
    fake_virt_set_connected(fake_virt(other), true);
    transfer_case_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TRANSFER_AWAY_TESTS,
        CONTRACT_TRANSFER_TESTS,
        cmocka_unit_test(a_guest_that_runs_there_is_left_alone),
        cmocka_unit_test(folders_are_found_where_the_other_side_has_them),
        cmocka_unit_test(one_that_is_told_to_be_away_is),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
