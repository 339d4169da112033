/* The contract's part about emulated TPMs, run on the fake and on real QEMU with swtpm: libvirt's
 * test driver has neither. Include it after contract.h. */
#pragma once

#include "util/fs.h"
#include "virt/driver.h"

#define TPM_SECRET "7f0b7ee4-3c34-4a3b-9d42-5d0a6a0f9a01"

static GuestSpec *tpm_spec(unsigned number, const char *value)
{
    GuestSpec *spec = contract_spec(number);

    spec->tpm_version = g_strdup("2.0");
    spec->tpm_model = g_strdup("tpm-tis");
    spec->tpm_secret.uuid = g_strdup(TPM_SECRET);
    spec->tpm_secret.value = g_strdup(value);
    return spec;
}

static void retire(VirtDriver *driver, const GuestSpec *spec)
{
    g_autoptr(GError) err = NULL;

    must(driver->ops->retire(driver->self, NULL, spec->uuid, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_NONE);
}

static void assert_refuses(VirtDriver *driver, const GuestSpec *spec, int code)
{
    g_autoptr(GError) err = NULL;

    assert_false(driver->ops->start(driver->self, NULL, spec, false, &err));
    assert_int_equal(err->code, code);
    if (spec->tpm_secret.value)
        assert_null(strstr(err->message, spec->tpm_secret.value));
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_NONE);
}

static void contract_tpm_is_described(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = tpm_spec(1, "sesame");
    g_autoptr(GError) err = NULL;
    g_autofree char *xml = NULL;

    start(driver, spec, true);
    must(driver->ops->describe(driver->self, spec->uuid, &xml, &err), err);
    assert_non_null(strstr(xml, "<tpm model='tpm-tis'>"));
    assert_non_null(strstr(xml, "version='2.0'"));
    assert_non_null(strstr(xml, TPM_SECRET));
    assert_null(strstr(xml, "sesame"));
    destroy(driver, spec);
}

/* The state is made at the first start, and cannot be read with another secret. */
static void contract_tpm_is_kept_when_the_guest_is_retired(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = tpm_spec(2, "sesame");
    g_autoptr(GuestSpec) wrong = tpm_spec(2, "mustard");

    start(driver, spec, true);
    retire(driver, spec);
    assert_refuses(driver, wrong, DV_E_HYPERVISOR);
    start(driver, spec, true);
    destroy(driver, spec);
    start(driver, wrong, true); /* nothing is left that it could not read */
    destroy(driver, wrong);
}

static void contract_tpm_needs_its_secret(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = tpm_spec(3, NULL);
    g_autoptr(GError) err = NULL;

    assert_refuses(driver, spec, DV_E_INVALID);
    g_clear_pointer(&spec->tpm_secret.uuid, g_free);
    assert_refuses(driver, spec, DV_E_INVALID);
    assert_false(driver->ops->define(driver->self, NULL, spec, &err));
    assert_int_equal(err->code, DV_E_INVALID);
}

static void contract_tpm_launches_with_its_secret(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = tpm_spec(4, "sesame");
    g_autoptr(GError) err = NULL;
    g_autoptr(GError) refusal = NULL;

    must(driver->ops->define(driver->self, NULL, spec, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_OFF);
    assert_false(driver->ops->launch(driver->self, NULL, spec->uuid, NULL, true, &refusal));
    assert_int_equal(refusal->code, DV_E_HYPERVISOR);
    must(driver->ops->launch(driver->self, NULL, spec->uuid, &spec->tpm_secret, true, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_PAUSED);
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &err), err);
    /* It is not kept anywhere from one start to the next. */
    assert_false(driver->ops->launch(driver->self, NULL, spec->uuid, NULL, true, NULL));
    must(driver->ops->launch(driver->self, NULL, spec->uuid, &spec->tpm_secret, true, &err), err);
    destroy(driver, spec);
}

static char *tpm_folder(void)
{
    char *parent = g_dir_make_tmp("tpm-XXXXXX", NULL);
    char *folder = g_build_filename(parent, "swtpm", NULL);

    g_free(parent);
    return folder;
}

static void remove_parent(const char *folder)
{
    g_autofree char *parent = g_path_get_dirname(folder);

    assert_true(dv_remove_tree(parent, NULL));
}

/* The state of a TPM that was taken away is there again: it cannot be read with another secret. */
static void contract_tpm_is_saved_and_restored(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = tpm_spec(6, "sesame");
    g_autoptr(GuestSpec) wrong = tpm_spec(6, "mustard");
    g_autofree char *folder = tpm_folder();
    g_autofree char *saved = g_build_filename(folder, spec->uuid, "tpm2", "tpm2-00.permall", NULL);
    g_autoptr(GError) err = NULL;

    start(driver, spec, true);
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &err), err);
    must(driver->ops->tpm_save(driver->self, spec->uuid, folder, &err), err);
    must(driver->ops->tpm_save(driver->self, spec->uuid, folder, &err), err);
    assert_true(dv_exists(saved));
    destroy(driver, spec);
    must(driver->ops->tpm_restore(driver->self, spec->uuid, folder, &err), err);
    must(driver->ops->tpm_restore(driver->self, spec->uuid, folder, &err), err);
    assert_refuses(driver, wrong, DV_E_HYPERVISOR);
    start(driver, spec, true);
    destroy(driver, spec);
    remove_parent(folder);
}

static void contract_without_a_tpm_nothing_is_saved(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(7);
    g_autofree char *folder = tpm_folder();
    g_autoptr(GError) err = NULL;

    start(driver, spec, true);
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &err), err);
    must(driver->ops->tpm_save(driver->self, spec->uuid, folder, &err), err);
    assert_false(dv_exists(folder));
    must(driver->ops->tpm_restore(driver->self, spec->uuid, folder, &err), err);
    destroy(driver, spec);
    remove_parent(folder);
}

static void contract_guest_without_a_tpm_is_retired(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(5);
    g_autoptr(GError) err = NULL;

    start(driver, spec, true);
    retire(driver, spec);
    retire(driver, spec);
    start(driver, spec, true);
    destroy(driver, spec);
}

/* clang-format off */
#define CONTRACT_TPM_TESTS                                                  \
        cmocka_unit_test(contract_tpm_is_described),                        \
        cmocka_unit_test(contract_tpm_is_kept_when_the_guest_is_retired),   \
        cmocka_unit_test(contract_tpm_needs_its_secret),                    \
        cmocka_unit_test(contract_tpm_launches_with_its_secret),            \
        cmocka_unit_test(contract_tpm_is_saved_and_restored),               \
        cmocka_unit_test(contract_without_a_tpm_nothing_is_saved),          \
        cmocka_unit_test(contract_guest_without_a_tpm_is_retired)
/* clang-format on */
