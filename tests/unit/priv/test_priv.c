/* The privileged functions, in a network namespace of the test's own. Without root the kernel parts
 * are skipped. */
#include "priv/priv.h"

#include "util/fs.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static bool isolated;

/* A namespace of its own for devices, and a sysfs that shows them. */
static int isolate(void **state G_GNUC_UNUSED)
{
    isolated = geteuid() == 0 && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
               mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("sysfs", "/sys", "sysfs", 0, NULL) == 0;
    return 0;
}

static void need_namespace(void)
{
    if (!isolated)
        skip();
}

static char *read_file(const char *path)
{
    char *text = NULL;

    assert_true(dv_read_file(path, 100, &text, NULL, NULL));
    return g_strstrip(text);
}

static void creates_a_bridge_that_is_up(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *flags = NULL;
    g_autofree char *stp = NULL;

    need_namespace();
    if (!priv_bridge_create("brqtest", 1400, &err))
        fail_msg("%s", err->message);
    flags = read_file("/sys/class/net/brqtest/flags");
    stp = read_file("/sys/class/net/brqtest/bridge/stp_state");
    assert_true(g_ascii_strtoull(flags, NULL, 16) & IFF_UP);
    assert_string_equal(stp, "0");
    if (dv_exists("/proc/sys/net/ipv6/conf/brqtest")) {
        g_autofree char *ipv6 = read_file("/proc/sys/net/ipv6/conf/brqtest/disable_ipv6");

        assert_string_equal(ipv6, "1");
    }
    g_autofree char *mtu = read_file("/sys/class/net/brqtest/mtu");

    assert_string_equal(mtu, "1400");
}

static void takes_a_bridge_that_is_there(void **state G_GNUC_UNUSED)
{
    g_autofree char *mtu = NULL;

    need_namespace();
    assert_true(priv_bridge_create("brqthere", 1400, NULL));
    assert_true(priv_bridge_create("brqthere", 9000, NULL));
    mtu = read_file("/sys/class/net/brqthere/mtu");
    assert_string_equal(mtu, "1400");
}

static void flooding_bridge_learns_nothing(void **state G_GNUC_UNUSED)
{
    static const char *const zero[] = {"stp_state", "forward_delay", "multicast_snooping",
                                       "ageing_time"};

    need_namespace();
    for (int i = 0; i < 2; i++) /* and is brought up when it is there */
        assert_true(priv_bridge_create_flooding("qbrtest", NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(zero); i++) {
        g_autofree char *path = g_strdup_printf("/sys/class/net/qbrtest/bridge/%s", zero[i]);
        g_autofree char *value = read_file(path);

        assert_string_equal(value, "0");
    }
    assert_false(priv_bridge_create_flooding("lo", NULL));
}

static void cables_have_two_ends(void **state G_GNUC_UNUSED)
{
    g_autofree char *mtu = NULL;
    g_autofree char *flags = NULL;
    g_autofree char *changed = NULL;
    g_autoptr(GError) err = NULL;

    need_namespace();
    assert_true(priv_bridge_create_flooding("qbrcable", NULL));
    for (int i = 0; i < 2; i++) { /* the second replaces the first */
        if (!priv_veth_create("qvbcable", "qvocable", 1400, &err))
            fail_msg("%s", err->message);
    }
    assert_true(priv_link_enslave("qvbcable", "qbrcable", NULL));
    assert_true(dv_exists("/sys/class/net/qbrcable/brif/qvbcable"));
    mtu = read_file("/sys/class/net/qvocable/mtu");
    assert_string_equal(mtu, "1400");
    flags = read_file("/sys/class/net/qvbcable/flags");
    assert_int_equal(g_ascii_strtoull(flags, NULL, 16) & (IFF_UP | IFF_PROMISC),
                     IFF_UP | IFF_PROMISC);
    assert_true(priv_link_set_mtu("qvbcable", 1300, NULL));
    changed = read_file("/sys/class/net/qvbcable/mtu");
    assert_string_equal(changed, "1300");
    assert_true(priv_link_exists("qvocable"));
    assert_true(priv_link_delete("qvbcable", NULL));
    assert_false(priv_link_exists("qvocable"));
}

static void absent_devices_are_not_found(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;

    need_namespace();
    assert_true(priv_bridge_create("brqlone", 0, NULL));
    assert_false(priv_link_enslave("absent0", "brqlone", &e1));
    assert_false(priv_link_enslave("brqlone", "absent0", &e2));
    assert_false(priv_link_set_mtu("absent0", 1400, NULL));
    assert_false(priv_link_exists("absent0"));
    assert_non_null(e1);
    assert_non_null(e2);
}

static void ovs_takes_no_words_of_others(void **state G_GNUC_UNUSED)
{
    static const char *const bad[] = {"", "a b", "a\"b", "a=b", NULL};
    PrivOvsPort port = {.bridge = "br-int",
                        .name = "tap0",
                        .mac = "fa:16:3e:00:00:01",
                        .vm_uuid = "00000000-0000-4000-8000-000000000001"};

    for (size_t i = 0; bad[i]; i++) {
        g_autoptr(GError) err = NULL;

        port.iface_id = bad[i];
        assert_false(priv_ovs_port_add(&port, &err));
        assert_int_equal(err->code, DV_E_BAD_INPUT);
    }
    assert_false(priv_ovs_bridge_create("br 1", NULL, NULL));
    assert_false(priv_ovs_bridge_create("br1", "netdev -- x", NULL));
    assert_false(priv_ovs_port_delete("../x", NULL));
    assert_false(priv_ovs_bridge_delete("", NULL));
}

static void refuses_a_device_that_is_no_bridge(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;

    need_namespace();
    assert_false(priv_bridge_create("lo", 0, &err));
    assert_int_equal(err->code, DV_E_CONFLICT);
}

static void deletes_and_deletes_again(void **state G_GNUC_UNUSED)
{
    need_namespace();
    assert_true(priv_bridge_create("brqgone", 0, NULL));
    assert_true(priv_link_delete("brqgone", NULL));
    assert_false(dv_exists("/sys/class/net/brqgone"));
    assert_true(priv_link_delete("brqgone", NULL));
}

static void refuses_names_that_are_paths(void **state G_GNUC_UNUSED)
{
    static const char *const bad[] = {"", ".", "..", "../../x", "a b", "sixteen-letters-", "a:1"};

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) first = NULL;
        g_autoptr(GError) second = NULL;

        assert_false(priv_bridge_create(bad[i], 0, &first));
        assert_int_equal(first->code, DV_E_BAD_INPUT);
        assert_false(priv_link_delete(bad[i], &second));
        assert_int_equal(second->code, DV_E_BAD_INPUT);
    }
}

static void changes_the_link_not_its_target(void **state G_GNUC_UNUSED)
{
    g_autofree char *dir = g_dir_make_tmp("priv-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(dir, "file", NULL);
    g_autofree char *link = g_build_filename(dir, "link", NULL);
    struct stat of_file;
    struct stat of_link;
    uid_t wanted = geteuid() == 0 ? 12345 : geteuid();

    assert_true(g_file_set_contents(file, "x", 1, NULL));
    assert_int_equal(symlink("file", link), 0);
    assert_true(priv_chown(link, wanted, getegid(), NULL));
    assert_int_equal(stat(file, &of_file), 0);
    assert_int_equal(lstat(link, &of_link), 0);
    assert_int_equal(of_link.st_uid, wanted);
    assert_int_equal(of_file.st_uid, geteuid());
    assert_true(dv_remove_tree(dir, NULL));
}

static void missing_file_is_not_found(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;

    assert_false(priv_chown("/nonexistent/file", 0, 0, &err));
    assert_int_equal(err->code, DV_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creates_a_bridge_that_is_up),
        cmocka_unit_test(takes_a_bridge_that_is_there),
        cmocka_unit_test(flooding_bridge_learns_nothing),
        cmocka_unit_test(cables_have_two_ends),
        cmocka_unit_test(absent_devices_are_not_found),
        cmocka_unit_test(ovs_takes_no_words_of_others),
        cmocka_unit_test(refuses_a_device_that_is_no_bridge),
        cmocka_unit_test(deletes_and_deletes_again),
        cmocka_unit_test(refuses_names_that_are_paths),
        cmocka_unit_test(changes_the_link_not_its_target),
        cmocka_unit_test(missing_file_is_not_found),
    };

    return cmocka_run_group_tests(tests, isolate, NULL);
}
