/* Live migration of real guests between two libvirtds: what the contract says of a pair, and what
 * only real ones show: copied disks, ways of transport, and what may be done meanwhile. What dies
 * in the middle, and post-copy, are in test_migrate_ends.c. */
#include "virt/busy.h"

#include "virt/disk/disks.h"

#include <sys/socket.h>
#include <sys/un.h>

/* ---- how it goes ---- */

static void guest_goes_on_at_the_destination(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 60);
    g_autofree char *inactive = NULL;
    Told told = {0};

    assert_int_equal(migrate(driver, spec, (VirtMigration){.post_copy = true}, &told), 0);
    assert_true(told.last.memory_processed > 0);
    assert_true(told.last.elapsed_ms > 0);
    /* What a reboot would use is what runs. */
    inactive = virt_run("virsh", "-c", contract_peer_uri(), "dumpxml", "--inactive", spec->uuid,
                        NULL);
    assert_non_null(strstr(inactive, "listen='127.0.0.2'"));
    assert_null(strstr(inactive, "listen='127.0.0.1'"));
    assert_goes_on_at_peer(driver, spec);
}

static void more_downtime_ends_a_busy_guests_migration(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 61);
    Told told = {.act = allow_five_seconds};

    assert_int_equal(migrate(driver, spec, (VirtMigration){.bandwidth_mib = SLOW_MIB}, &told), 0);
    assert_true(told.acted);
    assert_goes_on_at_peer(driver, spec);
}

static void give_all_bandwidth(Told *told)
{
    g_autoptr(GError) err = NULL;

    must(told->driver->ops->set_bandwidth(told->driver->self, NULL, told->uuid, 0, &err), err);
}

static void more_bandwidth_ends_it(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 62);
    Told told = {.act = give_all_bandwidth};

    assert_int_equal(migrate(driver, spec, (VirtMigration){.bandwidth_mib = SLOW_MIB}, &told), 0);
    assert_goes_on_at_peer(driver, spec);
}

static void pause_it(Told *told)
{
    g_autoptr(GError) err = NULL;

    must(told->driver->ops->pause(told->driver->self, NULL, told->uuid, &err), err);
}

static void pausing_ends_it_and_the_guest_goes_on(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 63);
    Told told = {.act = pause_it};

    assert_int_equal(migrate(driver, spec, (VirtMigration){.bandwidth_mib = SLOW_MIB}, &told), 0);
    assert_goes_on_at_peer(driver, spec);
}

static void pause_and_cancel(Told *told)
{
    pause_it(told);
    cancel(told);
}

static void paused_on_its_way_and_cancelled_it_goes_on_here(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 76);
    Told told = {.act = pause_and_cancel};

    assert_int_equal(migrate(driver, spec, (VirtMigration){.bandwidth_mib = SLOW_MIB}, &told),
                     DV_E_CANCELLED);
    assert_goes_on_here(driver, spec);
}

static void progress_is_told_pass_by_pass(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 64);
    Told told = {0};

    /* Slowed down by QEMU until it is slow enough. */
    assert_int_equal(migrate(driver, spec,
                             (VirtMigration){.bandwidth_mib = SLOW_MIB, .auto_converge = true},
                             &told),
                     0);
    assert_true(told.calls >= 2);
    assert_goes_on_at_peer(driver, spec);
}

/* ---- ways across ---- */

static void memory_goes_over_several_connections(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 65);
    Told told = {0};

    assert_int_equal(migrate(driver, spec, (VirtMigration){.connections = 2}, &told), 0);
    assert_goes_on_at_peer(driver, spec);
}

static void memory_goes_through_libvirts_connection(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 66);
    Told told = {0};

    assert_int_equal(migrate(driver, spec, (VirtMigration){.tunnelled = true}, &told), 0);
    assert_goes_on_at_peer(driver, spec);
}

static void migrate_uri_is_used(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 67);
    Told told = {0};

    assert_int_equal(
        migrate(driver, spec, (VirtMigration){.migrate_uri = "tcp://no.such.host.invalid"}, &told),
        DV_E_HYPERVISOR);
    assert_int_equal(
        migrate(driver, spec, (VirtMigration){.migrate_uri = "tcp://127.0.0.3"}, &told), 0);
    assert_goes_on_at_peer(driver, spec);
}

/* The certificates are for 127.0.0.3: at any other address QEMU must refuse to go on. */
static void memory_is_encrypted_for_the_right_host_only(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 77);
    Told told = {0};

    assert_int_equal(migrate(driver, spec,
                             (VirtMigration){.tls = true, .migrate_uri = "tcp://localhost"}, &told),
                     DV_E_HYPERVISOR);
    assert_int_equal(migrate(driver, spec,
                             (VirtMigration){.tls = true, .migrate_uri = "tcp://127.0.0.3"}, &told),
                     0);
    assert_goes_on_at_peer(driver, spec);
}

static void add_nic(GuestSpec *spec, const char *tap, const char *bridge)
{
    NicSpec *nic = guest_spec_add_nic(spec);

    nic->port_id = g_strdup("11111111-0000-4000-8000-000000000078");
    nic->mac = g_strdup("fa:16:3e:00:00:78");
    nic->devname = g_strdup(tap);
    nic->type = g_strdup("bridge");
    nic->model = g_strdup("virtio");
    nic->bridge = g_strdup(bridge);
    nic->create_bridge = true;
}

static bool is_port_of(const char *tap, const char *bridge)
{
    g_autofree char *path = g_strdup_printf("/sys/class/net/%s/brif/%s", bridge, tap);

    return dv_exists(path);
}

/* Both hosts share the network here, so that the port must have another tap there. */
/* From the definition that came along, as a soft reboot does. */
static void start_again_at_peer(const GuestSpec *spec)
{
    g_autofree char *inactive = virt_run("virsh", "-c", contract_peer_uri(), "dumpxml",
                                         "--inactive", spec->uuid, NULL);

    assert_non_null(strstr(inactive, "dev='tapmigthere'"));
    assert_non_null(strstr(inactive, "bridge='brqmigthere'"));
    assert_null(strstr(inactive, "mighere"));
    g_free(virt_run("virsh", "-c", contract_peer_uri(), "destroy", spec->uuid, NULL));
    g_free(virt_run("virsh", "-c", contract_peer_uri(), "start", spec->uuid, NULL));
}

static void port_is_plugged_as_the_destination_binds_it(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(78);
    g_autoptr(GuestSpec) there = guest_spec_new();
    g_autofree char *xml = NULL;
    g_autoptr(GError) err = NULL;

    add_nic(spec, "tapmighere", "brqmighere");
    add_nic(there, "tapmigthere", "brqmigthere");
    start(driver, spec, false);
    assert_true(is_port_of("tapmighere", "brqmighere"));
    must(driver->ops->plug(driver->self, NULL, there, &err), err);
    must(driver->ops->migration_xml(
             driver->self, spec->uuid,
             &(VirtDestination){.vnc_listen = "127.0.0.2", .nics = there->nics}, &xml, &err),
         err);
    must(driver->ops->migrate(driver->self, NULL, spec->uuid,
                              &(VirtMigration){.dest_uri = contract_peer_uri(), .dest_xml = xml},
                              NULL, &err),
         err);
    assert_is_at_peer(driver, spec, GUEST_STATE_RUNNING);
    assert_true(is_port_of("tapmigthere", "brqmigthere"));
    assert_false(is_port_of("tapmighere", "brqmighere"));
    start_again_at_peer(spec);
    assert_is_at_peer(driver, spec, GUEST_STATE_RUNNING);
    assert_true(is_port_of("tapmigthere", "brqmigthere"));
    assert_false(is_port_of("tapmighere", "brqmighere"));
    must(driver->ops->unplug(driver->self, NULL, spec, &err), err);
    destroy(contract_peer(), spec);
    must(driver->ops->unplug(driver->self, NULL, there, &err), err);
}

/* ---- disks ---- */

/* The root disk becomes an overlay on a base file in the image cache's place, both here and there,
 * with something above the base here. */
static void make_overlay(GuestSpec *spec, const char *base_name)
{
    DiskSpec *disk = g_ptr_array_index(spec->disks, 0);
    g_autofree char *folder = virt_path("_base");
    g_autofree char *base = g_build_filename(folder, base_name, NULL);
    g_autofree char *there = peer_path(base);
    g_autofree char *folder_there = peer_path(folder);
    g_autoptr(GError) err = NULL;

    must(dv_mkdirs(folder, 0755, &err), err);
    must(dv_mkdirs(folder_there, 0755, &err), err);
    g_free(virt_run("cp", disk->path, base, NULL));
    g_free(virt_run("cp", disk->path, there, NULL));
    remove(disk->path);
    g_free(virt_run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, disk->path,
                    "4M", NULL));
    g_free(virt_run("qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 1M 1M", disk->path, NULL));
    disk->format = DISK_FORMAT_QCOW2;
    disk->backing_path = g_steal_pointer(&base);
    disk->backing_format = DISK_FORMAT_RAW;
    disk->readonly = false;
}

/* Glance is not asked: the base is there. */
static bool no_glance(void *arg G_GNUC_UNUSED, int fd G_GNUC_UNUSED, GError **err)
{
    return dv_fail(err, DV_E_IMAGE_NOT_FOUND, "no glance here");
}

static GPtrArray *facts_of(VirtDriver *driver, const GuestSpec *spec)
{
    g_autoptr(GPtrArray) disks = NULL;
    g_autoptr(GError) err = NULL;
    GPtrArray *facts = NULL;

    must(driver->ops->disks(driver->self, spec->uuid, &disks, &err), err);
    must(disks_facts_of(disks, NULL, &facts, &err), err);
    return facts;
}

static void disks_are_copied_above_their_base(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(68);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA1, "image-1", -1);
    g_autofree char *root_there = g_build_filename(virt_dir(), "peer", "instances", NULL);
    g_autofree char *dir_there = peer_path(spec->instance_dir);
    const char *path = guest_spec_disk(spec, DISK_ROLE_ROOT)->path;
    g_autofree char *path_there = peer_path(path);
    g_autoptr(Disks) there = disks_new(&(DisksConfig){
        .instances_path = root_there, .base_dir_name = "_base", .images_type = "qcow2"});
    const ImageSource image = {.id = "image-1", .disk_format = "raw", .fetch = no_glance};
    g_autoptr(GPtrArray) facts = NULL;
    g_autoptr(GError) err = NULL;
    Told told = {0};

    make_overlay(spec, digest);
    start(driver, spec, false);
    assert_true(virt_wait_console(driver, spec->uuid, "...."));
    facts = facts_of(driver, spec);
    assert_int_equal(facts->len, 1);
    must(dv_remove_tree(dir_there, &err), err);
    must(disks_receive(there, NULL,
                       &(DiskReceive){.uuid = spec->uuid, .disks = facts, .image = &image}, &err),
         err);
    assert_int_equal(
        migrate(driver, spec, (VirtMigration){.disks = (const char *[]){"vda", NULL}}, &told), 0);
    assert_true(told.last.disk_processed > 0);
    assert_is_at_peer(driver, spec, GUEST_STATE_RUNNING);
    assert_true(wait_dots_at_peer(spec));
    must(disks_receive_done(there, spec->uuid, &err), err);
    assert_false(disks_is_receiving(there, spec->uuid));
    destroy(contract_peer(), spec);
    /* Nothing but what is above the base was copied, and that whole. */
    g_free(virt_run("qemu-img", "compare", "-q", "-f", "qcow2", "-F", "qcow2", path, path_there,
                    NULL));
}

static void tunnelled_migration_with_disks_is_refused(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 69);
    Told told = {0};

    assert_int_equal(
        migrate(driver, spec,
                (VirtMigration){.disks = (const char *[]){"vda", NULL}, .tunnelled = true}, &told),
        DV_E_UNSUPPORTED);
    assert_goes_on_here(driver, spec);
}

/* ---- cancelled ---- */

static void busy_guest_is_cancelled(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 70);
    Told told = {.act = cancel};

    assert_int_equal(migrate(driver, spec, (VirtMigration){.bandwidth_mib = SLOW_MIB}, &told),
                     DV_E_CANCELLED);
    assert_goes_on_here(driver, spec);
}

static unsigned connections_to_libvirtd(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned count = 0;
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        struct sockaddr_un to = {0};
        socklen_t length = sizeof(to) - 1;

        count += getpeername((int)g_ascii_strtoll(name, NULL, 10), (struct sockaddr *)(void *)&to,
                             &length) == 0 &&
                 g_str_has_suffix(to.sun_path, "/libvirt-sock");
    }
    return count;
}

/* Waits for it: the event loop closes a connection's socket after the connection is gone. */
static void assert_connections_to_libvirtd(unsigned count)
{
    for (unsigned i = 0; i < 500 && connections_to_libvirtd() != count; i++)
        g_usleep(10000);
    assert_int_equal(connections_to_libvirtd(), count);
}

static unsigned connections_during;

static void count_and_cancel(Told *told)
{
    connections_during = connections_to_libvirtd();
    cancel(told);
}

/* libvirt's client may let what shares a connection with it wait until it is over. */
static void migration_has_a_connection_of_its_own(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = start_busy(driver, 82);
    Told told = {.act = count_and_cancel};
    unsigned before = connections_to_libvirtd();

    assert_int_equal(migrate(driver, spec, (VirtMigration){.bandwidth_mib = SLOW_MIB}, &told),
                     DV_E_CANCELLED);
    assert_int_equal(before, 1);
    assert_int_equal(connections_during, 2);
    assert_connections_to_libvirtd(1);
    assert_goes_on_here(driver, spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_MIGRATION_TESTS,
        CONTRACT_PAIR_TESTS,
        PAIR_TEST(guest_goes_on_at_the_destination),
        PAIR_TEST(more_downtime_ends_a_busy_guests_migration),
        PAIR_TEST(more_bandwidth_ends_it),
        PAIR_TEST(pausing_ends_it_and_the_guest_goes_on),
        PAIR_TEST(paused_on_its_way_and_cancelled_it_goes_on_here),
        PAIR_TEST(progress_is_told_pass_by_pass),
        PAIR_TEST(memory_goes_over_several_connections),
        PAIR_TEST(memory_goes_through_libvirts_connection),
        PAIR_TEST(migrate_uri_is_used),
        PAIR_TEST(memory_is_encrypted_for_the_right_host_only),
        PAIR_TEST(port_is_plugged_as_the_destination_binds_it),
        PAIR_TEST(disks_are_copied_above_their_base),
        PAIR_TEST(tunnelled_migration_with_disks_is_refused),
        PAIR_TEST(busy_guest_is_cancelled),
        PAIR_TEST(migration_has_a_connection_of_its_own),
    };

    return cmocka_run_group_tests(tests, open_pair, close_pair);
}
