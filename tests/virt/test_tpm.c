/* Guests with emulated TPMs on real QEMU and swtpm: the contract, and what is left of them where.
 */
#include "virt/guest.h"

#include "unit/virt/contract_tpm.h"

#include <sys/stat.h>

static char *tpm_dir(const char *uuid)
{
    return g_build_filename(virt_dir(), "lib", "swtpm", uuid, NULL);
}

static bool libvirt_has_secrets(void)
{
    g_autofree char *uri = virt_uri();
    g_autofree char *list = virt_run("virsh", "-c", uri, "-q", "secret-list", NULL);

    return *g_strstrip(list) != '\0';
}

static ino_t inode_of(const char *dir)
{
    g_autofree char *path = g_build_filename(dir, "tpm2", "tpm2-00.permall", NULL);
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(stat(dir, &st), 0);
    return st.st_ino;
}

static void the_state_stays_as_long_as_the_guest(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = tpm_spec(1, "sesame");
    g_autofree char *dir = tpm_dir(spec->uuid);
    g_autofree char *uri = virt_uri();
    g_autofree char *seen = NULL;
    ino_t made;

    start(driver, spec, false);
    assert_false(libvirt_has_secrets());
    seen = virt_run("virsh", "-c", uri, "qemu-monitor-command", spec->uuid,
                    "{\"execute\": \"query-tpm\"}", NULL);
    assert_non_null(strstr(seen, "tpm-tis"));
    made = inode_of(dir);
    retire(driver, spec);
    assert_int_equal(inode_of(dir), made);
    start(driver, spec, false);
    assert_int_equal(inode_of(dir), made);
    destroy(driver, spec);
    assert_false(dv_exists(dir));
    assert_false(libvirt_has_secrets());
}

static void a_refused_start_leaves_the_state_alone(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = tpm_spec(2, "sesame");
    g_autoptr(GuestSpec) wrong = tpm_spec(2, "mustard");
    g_autofree char *dir = tpm_dir(spec->uuid);
    ino_t made;

    start(driver, spec, true);
    made = inode_of(dir);
    retire(driver, spec);
    assert_refuses(driver, wrong, DV_E_HYPERVISOR);
    assert_int_equal(inode_of(dir), made);
    assert_false(libvirt_has_secrets());
    start(driver, spec, true);
    destroy(driver, spec);
    assert_false(dv_exists(dir));
}

/* One that a crash left, with another uuid, is in the way of the guest's own. */
static void a_secret_left_in_libvirt_does_not_matter(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = tpm_spec(3, "sesame");
    g_autofree char *uri = virt_uri();
    g_autofree char *file = virt_path("secret.xml");
    g_autofree char *xml = g_strdup_printf(
        "<secret ephemeral='yes' private='yes'><usage type='vtpm'><name>%s</name></usage></secret>",
        spec->uuid);
    g_autoptr(GError) err = NULL;

    must(dv_write_file(file, xml, strlen(xml), 0600, &err), err);
    g_free(virt_run("virsh", "-c", uri, "secret-define", file, NULL));
    assert_true(libvirt_has_secrets());
    start(driver, spec, true);
    assert_false(libvirt_has_secrets());
    destroy(driver, spec);
}

static void the_older_version_and_the_newer_model_work(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) old = tpm_spec(4, "sesame");
    g_autoptr(GuestSpec) crb = tpm_spec(5, "sesame");

    g_free(old->tpm_version);
    old->tpm_version = g_strdup("1.2");
    g_free(crb->tpm_model);
    crb->tpm_model = g_strdup("tpm-crb");
    start(driver, old, true);
    start(driver, crb, true);
    destroy(driver, old);
    destroy(driver, crb);
}

static unsigned mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

/* A nova-compute that takes them elsewhere cannot make them swtpm's own again. */
static void what_is_saved_can_be_read_by_swtpm_whoever_has_it(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = tpm_spec(9, "sesame");
    g_autofree char *folder = tpm_folder();
    g_autofree char *guest = g_build_filename(folder, spec->uuid, NULL);
    g_autofree char *version = g_build_filename(guest, "tpm2", NULL);
    g_autofree char *path = g_build_filename(version, "tpm2-00.permall", NULL);
    g_autoptr(GError) err = NULL;

    start(driver, spec, true);
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &err), err);
    must(driver->ops->tpm_save(driver->self, spec->uuid, folder, &err), err);
    assert_int_equal(mode_of(guest), 0755);
    assert_int_equal(mode_of(version), 0755);
    assert_int_equal(mode_of(path), 0644);
    destroy(driver, spec);
    remove_parent(folder);
}

/* What came from another host is not followed anywhere, and does not cost the state that is here.
 */
static void a_state_that_is_none_is_refused(void **state)
{
    static const char *const rows[] = {"link to a file", "link to a folder", "too large", "many"};
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = tpm_spec(8, "sesame");
    g_autofree char *dir = tpm_dir(spec->uuid);
    g_autoptr(GError) failure = NULL;
    ino_t made;

    start(driver, spec, true);
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &failure), failure);
    made = inode_of(dir);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *folder = tpm_folder();
        g_autofree char *version = g_build_filename(folder, spec->uuid, "tpm2", NULL);
        g_autofree char *path = g_build_filename(version, "tpm2-00.permall", NULL);
        g_autoptr(GError) err = NULL;

        assert_true(dv_mkdirs(version, 0755, NULL));
        switch (i) {
        case 0:
            assert_int_equal(symlink("/etc/hostname", path), 0);
            break;
        case 1:
            assert_int_equal(rmdir(version), 0);
            assert_int_equal(symlink("/etc", version), 0);
            break;
        case 2:
            assert_true(g_file_set_contents(path, "", 0, NULL));
            assert_int_equal(truncate(path, 64 << 20), 0);
            break;
        default:
            for (unsigned n = 0; n < 40; n++) {
                g_autofree char *more = g_strdup_printf("%s/f%u", version, n);

                assert_true(g_file_set_contents(more, "x", 1, NULL));
            }
        }
        if (driver->ops->tpm_restore(driver->self, spec->uuid, folder, &err))
            fail_msg("%s: taken", rows[i]);
        assert_int_equal(inode_of(dir), made);
        remove_parent(folder);
    }
    destroy(driver, spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TPM_TESTS,
        VIRT_TEST(the_state_stays_as_long_as_the_guest),
        VIRT_TEST(a_refused_start_leaves_the_state_alone),
        VIRT_TEST(a_secret_left_in_libvirt_does_not_matter),
        VIRT_TEST(the_older_version_and_the_newer_model_work),
        VIRT_TEST(what_is_saved_can_be_read_by_swtpm_whoever_has_it),
        VIRT_TEST(a_state_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, virt_open, virt_close);
}
