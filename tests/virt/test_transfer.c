/* Files to and from another host over a real libvirt: the contract, with this libvirtd as the other
 * one, and what only files that are real show: owners, holes, what a guest and other pools leave.
 */
#define CONTRACT_TRANSFER

#include "virt/guest.h"
#include "unit/virt/contract_transfer.h"

#include <unistd.h>

static char *contract_uri(void)
{
    return virt_uri();
}

static char *contract_folder(const char *name)
{
    return virt_path(name);
}

/* nova-compute runs as a user of its own, to whom instances_path belongs. */
static void what_arrives_is_owned_as_its_parent(void **state)
{
    VirtDriver *driver = *state;
    g_autofree char *parent = virt_path("owned");
    g_autoptr(GError) err = NULL;
    struct stat st;
    TransferCase c;

    transfer_case_init(&c, 80);
    assert_true(dv_mkdirs(parent, 0755, NULL));
    assert_int_equal(chown(parent, 4242, 4243), 0);
    g_free(c.there);
    c.there = g_build_filename(parent, c.uuid, NULL);
    c.what.folder = c.there;
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    assert_int_equal(stat(c.there, &st), 0);
    assert_int_equal(st.st_uid, 4242);
    assert_int_equal(st.st_mode & 07777, 0755);
    for (size_t i = 0; i < 2; i++) {
        g_autofree char *path = g_build_filename(c.there, c.files[i].name, NULL);

        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, 4242);
        assert_int_equal(st.st_gid, 4243);
        assert_int_equal(st.st_mode & 07777, 0644);
    }
    assert_arrived(&c);
    transfer_case_done(&c);
    assert_true(dv_remove_tree(parent, NULL));
}

static void holes_stay_holes(void **state)
{
    VirtDriver *driver = *state;
    g_autofree char *there = NULL;
    g_autoptr(GError) err = NULL;
    struct stat st;
    TransferCase c;

    transfer_case_init(&c, 81);
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    there = g_build_filename(c.there, "disk", NULL);
    assert_int_equal(stat(there, &st), 0);
    assert_int_equal(st.st_size, 64 * 1024 * 1024);
    assert_true(st.st_blocks * 512 < 4 * 1024 * 1024);
    transfer_case_done(&c);
}

/* As a disk on a base that the other host has not got yet. */
static void an_overlay_arrives_before_its_base(void **state)
{
    VirtDriver *driver = *state;
    g_autofree char *base = NULL;
    g_autoptr(GError) err = NULL;
    TransferCase c;

    transfer_case_init(&c, 82);
    base = g_build_filename(c.here, "base", NULL);
    g_free(virt_run("qemu-img", "create", "-q", "-f", "raw", base, "16M", NULL));
    assert_int_equal(remove(c.paths[0]), 0);
    g_free(virt_run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, c.paths[0],
                    NULL));
    assert_int_equal(remove(base), 0);
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    assert_arrived(&c);
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    assert_arrived(&c);
    transfer_case_done(&c);
}

static void a_guest_that_runs_there_is_left_alone(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(83, false);
    g_autoptr(GError) err = NULL;
    TransferCase c;

    transfer_case_init(&c, 83);
    c.what.uuid = spec->uuid;
    start(driver, spec, false);
    assert_false(driver->ops->send_files(driver->self, NULL, &c.what, &err));
    assert_int_equal(err->code, DV_E_INSTANCE_EXISTS);
    assert_false(dv_exists(c.there));
    destroy(driver, spec);
    transfer_case_done(&c);
}

static char *virsh(const char *a, const char *b)
{
    g_autofree char *uri = virt_uri();

    return virt_run("virsh", "-q", "-c", uri, a, b, NULL);
}

/* No pool of ours is left, and one of somebody else's stays and serves. */
static void pools_of_others_are_used_and_left(void **state)
{
    VirtDriver *driver = *state;
    g_autofree char *xml = NULL;
    g_autofree char *file = NULL;
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    g_autoptr(GError) err = NULL;
    TransferCase c;

    transfer_case_init(&c, 84);
    assert_true(dv_mkdirs(c.there, 0755, NULL));
    before = virsh("pool-list", "--name");
    assert_null(strstr(before, "drover"));
    xml = g_strdup_printf("<pool type='dir'><name>theirs</name><target><path>%s</path></target>"
                          "</pool>",
                          c.there);
    file = g_build_filename(c.here, "pool.xml", NULL);
    assert_true(g_file_set_contents(file, xml, -1, NULL));
    g_free(virsh("pool-create", file));
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    assert_arrived(&c);
    after = virsh("pool-list", "--name");
    assert_non_null(strstr(after, "theirs"));
    assert_null(strstr(after, "drover"));
    g_free(virsh("pool-destroy", "theirs"));
    transfer_case_done(&c);
}

#define SENDERS 6
#define ROUNDS 5

/* One of several transfers that run side by side. */
typedef struct Side {
    bool (*run)(void *self, const DvCtx *ctx, const VirtTransfer *what, GError **err);
    VirtDriver *driver;
    const VirtTransfer *what;
} Side;

/* What went wrong, or NULL. */
static gpointer run_side(gpointer arg)
{
    const Side *side = arg;
    g_autoptr(GError) err = NULL;

    return side->run(side->driver->self, NULL, side->what, &err) ? NULL : g_strdup(err->message);
}

static void run_all(Side *sides)
{
    GThread *threads[SENDERS];

    for (unsigned i = 0; i < SENDERS; i++)
        threads[i] = g_thread_new("side", run_side, &sides[i]);
    for (unsigned i = 0; i < SENDERS; i++) {
        g_autofree char *wrong = g_thread_join(threads[i]);

        if (wrong)
            fail_msg("transfer %u: %s", i, wrong);
    }
}

static void assert_owned_as_parent(const TransferCase *c)
{
    struct stat st;

    assert_int_equal(stat(c->there, &st), 0);
    assert_int_equal(st.st_uid, 4242);
    for (size_t i = 0; i < 2; i++) {
        g_autofree char *path = g_build_filename(c->there, c->files[i].name, NULL);

        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, 4242);
    }
}

/* Several servers come to one host, whose folder all of them ask for. */
static void several_at_once_do_not_disturb_each_other(void **state)
{
    VirtDriver *driver = *state;
    g_autofree char *parent = virt_path("busy");
    TransferCase cases[SENDERS];
    Side sides[SENDERS];

    assert_true(dv_mkdirs(parent, 0755, NULL));
    assert_int_equal(chown(parent, 4242, 4243), 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        transfer_case_init(&cases[i], 90 + i);
        g_free(cases[i].there);
        cases[i].there = g_build_filename(parent, cases[i].uuid, NULL);
        cases[i].what.folder = cases[i].there;
        sides[i] = (Side){driver->ops->send_files, driver, &cases[i].what};
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        run_all(sides);
        for (unsigned i = 0; i < SENDERS; i++) {
            assert_arrived(&cases[i]);
            assert_owned_as_parent(&cases[i]);
        }
        for (unsigned i = 0; i < SENDERS; i++)
            sides[i].run = driver->ops->remove_files;
        run_all(sides);
        for (unsigned i = 0; i < SENDERS; i++) {
            assert_false(dv_exists(cases[i].there));
            sides[i].run = driver->ops->send_files;
        }
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_true(dv_mkdirs(cases[i].here, 0755, NULL)); /* they share it */
        transfer_case_done(&cases[i]);
    }
    assert_true(dv_remove_tree(parent, NULL));
}

/* Base files of several servers lie in one folder. */
static void several_fetch_from_one_folder(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    TransferCase c;
    VirtFile files[SENDERS];
    char *uuids[SENDERS];
    VirtTransfer whats[SENDERS];
    Side sides[SENDERS];

    transfer_case_init(&c, 98);
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    for (unsigned i = 0; i < SENDERS; i++) {
        g_autofree char *name = g_strdup_printf("back-%u", i);

        files[i] = (VirtFile){g_build_filename(c.here, name, NULL), c.files[i % 2].name};
        uuids[i] = g_strdup_printf("00000000-0000-4000-8000-%012u", 100 + i);
        whats[i] = c.what;
        whats[i].uuid = uuids[i];
        whats[i].files = &files[i];
        whats[i].file_count = 1;
        sides[i] = (Side){driver->ops->fetch_files, driver, &whats[i]};
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        run_all(sides);
        for (unsigned i = 0; i < SENDERS; i++) {
            assert_same_file(files[i].path, c.paths[i % 2]);
            assert_int_equal(remove(files[i].path), 0);
        }
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        g_free((char *)files[i].path);
        g_free(uuids[i]);
    }
    transfer_case_done(&c);
}

/* Where libvirtd is, which has mounts of its own. */
static void mount_there(const char *a, const char *b, const char *c, const char *d)
{
    g_autofree char *pid = g_strdup_printf("%d", virt_pid_in("libvirtd.pid"));

    g_free(virt_run("nsenter", "-m", "-t", pid, a, b, c, d, "-t", "tmpfs", "-o", "size=8M", NULL));
}

/* A tmpfs of 8 MiB as the other host's disk. */
static void a_full_disk_there_is_told_apart(void **state)
{
    VirtDriver *driver = *state;
    g_autofree char *parent = virt_path("tight");
    g_autofree char *data = g_malloc(16 * 1024 * 1024);
    g_autofree char *pid = g_strdup_printf("%d", virt_pid_in("libvirtd.pid"));
    g_autofree char *left = NULL;
    g_autoptr(GError) err = NULL;
    TransferCase c;

    transfer_case_init(&c, 85);
    memset(data, 'x', 16 * 1024 * 1024);
    assert_true(g_file_set_contents(c.paths[0], data, 16 * 1024 * 1024, NULL));
    assert_true(dv_mkdirs(parent, 0755, NULL));
    mount_there("mount", "tight", parent, "-n");
    g_free(c.there);
    c.there = g_build_filename(parent, c.uuid, NULL);
    c.what.folder = c.there;
    assert_false(driver->ops->send_files(driver->self, NULL, &c.what, &err));
    if (err->code != DV_E_NO_SPACE)
        fail_msg("code %d: %s", err->code, err->message);
    left = virt_run("nsenter", "-m", "-t", pid, "ls", parent, NULL);
    assert_string_equal(left, "");
    g_free(virt_run("nsenter", "-m", "-t", pid, "umount", parent, NULL));
    transfer_case_done(&c);
}

#define TEST(test) cmocka_unit_test_teardown(test, virt_clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TRANSFER_AWAY_TESTS,
        CONTRACT_TRANSFER_TESTS,
        TEST(what_arrives_is_owned_as_its_parent),
        TEST(holes_stay_holes),
        TEST(an_overlay_arrives_before_its_base),
        TEST(a_guest_that_runs_there_is_left_alone),
        TEST(pools_of_others_are_used_and_left),
        TEST(several_at_once_do_not_disturb_each_other),
        TEST(several_fetch_from_one_folder),
        TEST(a_full_disk_there_is_told_apart),
    };

    return cmocka_run_group_tests(tests, virt_open, virt_close);
}
