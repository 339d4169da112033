/* Cold migrations whose disks are carried by commands, as [libvirt] remote_filesystem_transport
 * says: with an ssh, scp and rsync that know where the other host's folder is. */
#include "agent/recovery.h"
#include "agent/recovery_moves.h"
#include "flow/resize.h"

#include <stdlib.h>
#include <sys/stat.h>

#define DEST "cmp2"
#define DEST_IP "198.51.100.2"
#define MARK "what the guest has written"

typedef struct Pair {
    FakeAgent *source, *dest;
    char *bin, *path_before;
} Pair;

static const NewFlavor same = {1, 128, 1, 0, 0};

/* A program that logs how it was called and does `body` with the last argument as $to. */
static void install(const Pair *pair, const char *name, const char *body)
{
    g_autofree char *path = g_build_filename(pair->bin, name, NULL);
    g_autofree char *text = g_strdup_printf(
        "#!/bin/sh\nset -e\necho \"%s $*\" >> %s/log\nfor to in \"$@\"; do :; done\n"
        "to=${to#" DEST_IP ":}\nto=%s${to#%s}\n%s\n",
        name, pair->bin, fake_agent_instances_path(pair->dest),
        fake_agent_instances_path(pair->source), body);

    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_int_equal(chmod(path, 0755), 0);
}

static void install_all(Pair *pair)
{
    g_autofree char *path = NULL;

    pair->bin = g_dir_make_tmp("bin-XXXXXX", NULL);
    pair->path_before = g_strdup(g_getenv("PATH"));
    install(pair, "ssh", "test \"$3\" = " DEST_IP "; \"$4\" \"$5\" \"$to\"");
    install(pair, "scp", "cp \"$3\" \"$to\"");
    install(pair, "rsync", "cp \"$2\" \"$to\"");
    path = g_strdup_printf("%s:%s", pair->bin, pair->path_before);
    g_setenv("PATH", path, TRUE);
}

static int setup_with(void **state, const char *options)
{
    Pair *pair = g_new0(Pair, 1);
    g_autofree char *disk = NULL;

    pair->source = booted(options);
    script_allocations(fake_agent_server(pair->source));
    pair->dest = fake_agent_new_beside(pair->source, DEST, "my_ip = " DEST_IP "\n");
    disk = instance_path(pair->source, "", "disk.eph0");
    assert_true(g_file_set_contents(disk, MARK, -1, NULL));
    install_all(pair);
    *state = pair;
    return 0;
}

static int setup_ssh(void **state)
{
    return setup_with(state, "[libvirt]\nremote_filesystem_transport = ssh\n");
}

static int setup_rsync(void **state)
{
    return setup_with(state, "[libvirt]\nremote_filesystem_transport = rsync\n");
}

static int teardown(void **state)
{
    Pair *pair = *state;

    g_setenv("PATH", pair->path_before, TRUE);
    assert_true(dv_remove_tree(pair->bin, NULL));
    fake_agent_free(pair->dest);
    fake_agent_free(pair->source);
    g_free(pair->bin);
    g_free(pair->path_before);
    g_free(pair);
    return 0;
}

static void move(Pair *pair)
{
    json_t *args = prep_args(pair->source, &same, "vm");

    json_object_set_new(args, "node", json_string(DEST));
    json_object_set_new(args, "migration",
                        migration_record("migration", same.id, "pre-migrating", "vm", NULL));
    fake_agent_request(pair->dest, "prep_resize", args);
    for (int i = 0; i < 3; i++) {
        fake_agent_wait(pair->dest, UUID);
        fake_agent_wait(pair->source, UUID);
    }
}

static char *log_of(const Pair *pair)
{
    g_autofree char *path = g_build_filename(pair->bin, "log", NULL);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

static void assert_moved(Pair *pair, const char *command)
{
    g_autofree char *log = log_of(pair);
    g_autofree char *path = instance_path(pair->dest, "", "disk.eph0");
    g_autofree char *text = NULL;

    fake_agent_assert_row(pair->source, "vm_state", "resized");
    fake_agent_assert_row(pair->source, "host", DEST);
    assert_int_equal(guest(pair->dest), GUEST_STATE_RUNNING);
    assert_true(is_aside(pair->source));
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_string_equal(text, MARK);
    if (!strstr(log, command))
        fail_msg("'%s' is not in %s", command, log);
    assert_int_equal(fake_virt_calls(fake_agent_virt(pair->source), "send_files"), 0);
}

static void disks_go_by_scp(void **state)
{
    Pair *pair = *state;

    move(pair);
    assert_moved(pair, "scp -o BatchMode=yes ");
}

static void disks_go_by_rsync(void **state)
{
    Pair *pair = *state;

    move(pair);
    assert_moved(pair, "rsync --sparse ");
}

static void a_host_that_ssh_cannot_reach_is_refused(void **state)
{
    Pair *pair = *state;

    install(pair, "ssh", "exit 255");
    move(pair);
    fake_agent_assert_row(pair->source, "vm_state", "active");
    fake_agent_assert_row(pair->source, "host", "vm");
    assert_int_equal(guest(pair->source), GUEST_STATE_RUNNING);
    assert_false(is_aside(pair->source));
    assert_fault(pair->source, "Resize error: not able to reach the destination host.");
}

static void a_copy_that_fails_brings_everything_back(void **state)
{
    Pair *pair = *state;

    install(pair, "scp", "case $3 in */disk.info) exit 1;; esac; cp \"$3\" \"$to\"");
    move(pair);
    fake_agent_assert_row(pair->source, "vm_state", "error");
    fake_agent_assert_row(pair->source, "host", "vm");
    assert_true(fake_agent_has_file(pair->source, UUID, "disk"));
    assert_false(is_aside(pair->source));
    assert_false(fake_agent_has_disks(pair->dest, UUID));
}

/* Killed after the guest was stopped, on a folder that both hosts see: here two, each with files.
 */
static void a_start_after_a_kill_removes_no_files_of_the_guest(void **state)
{
    Pair *pair = *state;
    Agent *agent = fake_agent(pair->source);
    FakeConductor *con = fake_agent_conductor(pair->source);
    g_autofree char *there = instance_path(pair->dest, "", "disk");
    g_autofree char *folder = g_path_get_dirname(there);
    json_auto_t *record = migration_record("migration", same.id, "migrating", "vm", DEST);
    json_t *data = json_object_get(record, "nova_object.data");
    g_autofree char *log = NULL;

    assert_int_equal(mkdir(folder, 0755), 0);
    assert_true(g_file_set_contents(there, MARK, -1, NULL));
    json_object_set_new(data, "dest_host", json_string(DEST_IP));
    fake_conductor_put_migration(con, json_incref(data));
    fake_conductor_set(con, UUID, "task_state", "resize_migrating");
    assert_true(
        agent->virt->ops->power_off(agent->virt->self, fake_agent_ctx(pair->source), UUID, NULL));
    assert_true(recovery_run(agent, fake_agent_ctx(pair->source), NULL));
    recovery_moves(agent, fake_agent_ctx(pair->source));
    fake_agent_wait(pair->source, UUID);
    fake_agent_assert_row(pair->source, "task_state", "");
    assert_int_equal(guest(pair->source), GUEST_STATE_RUNNING);
    assert_true(fake_agent_has_file(pair->source, UUID, "disk"));
    log = log_of(pair);
    assert_non_null(strstr(log, "ssh -o BatchMode=yes " DEST_IP " rm "));
    assert_true(dv_exists(there));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(disks_go_by_scp, setup_ssh, teardown),
        cmocka_unit_test_setup_teardown(disks_go_by_rsync, setup_rsync, teardown),
        cmocka_unit_test_setup_teardown(a_host_that_ssh_cannot_reach_is_refused, setup_ssh,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_copy_that_fails_brings_everything_back, setup_ssh,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_start_after_a_kill_removes_no_files_of_the_guest,
                                        setup_ssh, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
