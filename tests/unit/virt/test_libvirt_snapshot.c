/* The snapshot operations of the libvirt driver on test:///default, as far as that has them: it
 * freezes file systems and knows no block jobs. */
#include "virt/libvirt/libvirt_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The guest that the test hypervisor starts with, running. */
#define TEST_GUEST "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define ABSENT_GUEST "00000000-0000-4000-8000-00000000dead"

static const VirtConfig config = {.virt_type = "qemu",
                                  .connection_uri = "test:///default",
                                  .instances_path = "/tmp",
                                  .cpu_mode = "host-model",
                                  .call_limit_ms = 5000};
static const VirtBlockCopy copy = {.disk_path = "/guest/diskimage1", .copy_path = "/nowhere/copy"};

static int setup(void **state)
{
    *state = virt_libvirt_new(&config, NULL);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    virt_driver_free(*state);
    return 0;
}

/* 0: success. */
static int end_of(bool ok, GError **err)
{
    int code = ok ? 0 : (*err)->code;

    g_clear_error(err);
    return code;
}

static void file_systems_are_frozen_and_thawed(void **state)
{
    const VirtDriver *driver = *state;
    GError *err = NULL;

    assert_int_equal(end_of(driver->ops->freeze(driver->self, NULL, TEST_GUEST, &err), &err), 0);
    assert_int_equal(end_of(driver->ops->thaw(driver->self, NULL, TEST_GUEST, &err), &err), 0);
}

static void a_guest_that_is_off_is_not_frozen(void **state)
{
    const VirtDriver *driver = *state;
    GError *err = NULL;

    assert_true(driver->ops->power_off(driver->self, NULL, TEST_GUEST, NULL));
    assert_int_equal(end_of(driver->ops->freeze(driver->self, NULL, TEST_GUEST, &err), &err),
                     DV_E_HYPERVISOR);
    assert_int_equal(end_of(driver->ops->thaw(driver->self, NULL, TEST_GUEST, &err), &err),
                     DV_E_HYPERVISOR);
}

static void an_absent_guest_is_neither_copied_nor_frozen(void **state)
{
    const VirtDriver *driver = *state;
    const VirtOps *ops = driver->ops;
    void *self = driver->self;
    GError *err = NULL;

    assert_int_equal(end_of(ops->freeze(self, NULL, ABSENT_GUEST, &err), &err),
                     DV_E_INSTANCE_NOT_FOUND);
    assert_int_equal(end_of(ops->thaw(self, NULL, ABSENT_GUEST, &err), &err),
                     DV_E_INSTANCE_NOT_FOUND);
    assert_int_equal(end_of(ops->block_copy(self, NULL, ABSENT_GUEST, &copy, &err), &err),
                     DV_E_INSTANCE_NOT_FOUND);
    assert_int_equal(end_of(ops->block_copy_end(self, NULL, ABSENT_GUEST, "x", &err), &err),
                     DV_E_INSTANCE_NOT_FOUND);
}

static void a_refused_copy_says_why(void **state)
{
    const VirtDriver *driver = *state;
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;

    assert_false(driver->ops->block_copy(driver->self, NULL, TEST_GUEST, &copy, &e1));
    assert_int_equal(e1->code, DV_E_HYPERVISOR);
    assert_non_null(strstr(e1->message, "copying the disk: libvirt: "));
    assert_false(driver->ops->block_copy_end(driver->self, NULL, TEST_GUEST, "x", &e2));
    assert_int_equal(e2->code, DV_E_HYPERVISOR);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(file_systems_are_frozen_and_thawed),
        T(a_guest_that_is_off_is_not_frozen),
        T(an_absent_guest_is_neither_copied_nor_frozen),
        T(a_refused_copy_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
