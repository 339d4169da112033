/* Cold migrations of servers with emulated TPMs: what they remember goes with them, and comes back.
 */
#include "flow/pair.h"
#include "flow/tpm.h"

#define OPTIONS PEER_OPTIONS TPM_OPTIONS

typedef struct Moving {
    TpmServer server;
    Pair *pair;
} Moving;

static int setup_shared_or_not(void **state, bool shared)
{
    Moving *m = g_new0(Moving, 1);

    tpm_server_init(&m->server, TPM_OPTIONS);
    boot(&m->server);
    m->pair = pair_of(m->server.fake, OPTIONS, shared);
    *state = m;
    return 0;
}

static int setup(void **state)
{
    return setup_shared_or_not(state, false);
}

static int setup_shared(void **state)
{
    return setup_shared_or_not(state, true);
}

static int teardown(void **state)
{
    Moving *m = *state;

    pair_free(m->pair);
    keys_done(&m->server.keys);
    g_free(m);
    return 0;
}

static void move(Moving *m)
{
    json_t *args = prep_args(m->pair->source, &same, "vm");
    json_t *flavor = json_object_get(json_object_get(args, "flavor"), "nova_object.data");
    json_t *specs = json_object_get(flavor, "extra_specs");

    json_object_set_new(specs, "hw:tpm_version", json_string("2.0"));
    json_object_set_new(specs, "hw:tpm_model", json_string("tpm-crb"));
    json_object_set_new(args, "node", json_string(DEST));
    json_object_set_new(args, "migration", migration_of(&same, "pre-migrating", NULL));
    fake_agent_request(m->pair->dest, "prep_resize", args);
}

/* ---- looking ---- */

static bool has_state(FakeAgent *fake)
{
    g_autofree char *under = fake_virt_tpm(fake_agent_virt(fake), UUID);

    return under != NULL;
}

/* Nothing of it lies where it was on its way. */
static void assert_unpacked(FakeAgent *fake)
{
    g_autofree char *folder = disks_tpm_dir(fake_agent(fake)->disks, UUID);

    assert_false(dv_exists(folder));
}

static void assert_arrived(Moving *m)
{
    assert_row(m->pair, "vm_state", "resized");
    assert_row(m->pair, "host", DEST);
    assert_runs_only(m->pair->dest, m->pair->source);
    assert_tpm_at(&m->server, m->pair->dest);
    assert_unpacked(m->pair->dest);
}

static void move_there(Moving *m)
{
    move(m);
    settle(m->pair);
    assert_arrived(m);
}

/* ---- tests ---- */

static void the_tpm_goes_with_the_disks(void **state)
{
    Moving *m = *state;

    move_there(m);
    confirm(m->pair, &same);
    assert_row(m->pair, "vm_state", "active");
    assert_false(has_state(m->pair->source));
    assert_tpm_at(&m->server, m->pair->dest);
    assert_int_equal(faults(m->pair->source), 0);
}

static void a_revert_leaves_it_at_the_source(void **state)
{
    Moving *m = *state;

    move_there(m);
    revert(m->pair, &same);
    assert_row(m->pair, "vm_state", "active");
    assert_row(m->pair, "host", "vm");
    assert_runs_only(m->pair->source, m->pair->dest);
    assert_false(has_state(m->pair->dest));
    assert_tpm(&m->server);
    assert_unpacked(m->pair->source);
}

/* As a nova-compute leaves it: the state itself has gone aside with the disks. */
static void a_revert_finds_it_aside(void **state)
{
    Moving *m = *state;
    GError *err = NULL;
    VirtDriver *virt = fake_agent(m->pair->source)->virt;

    move_there(m);
    if (!virt->ops->destroy(virt->self, fake_agent_ctx(m->pair->source), UUID, &err))
        fail_msg("%s", err->message);
    assert_false(has_state(m->pair->source));
    revert(m->pair, &same);
    assert_row(m->pair, "vm_state", "active");
    assert_tpm(&m->server);
}

static void a_move_that_ends_early_leaves_nothing_there(void **state)
{
    Moving *m = *state;
    g_autofree char *there = disks_instance_dir(fake_agent(m->pair->dest)->disks, UUID);

    fake_virt_hold(fake_agent_virt(m->pair->source), "power_off");
    move(m);
    assert_true(fake_virt_wait_held(fake_agent_virt(m->pair->source), "power_off", 300000));
    fake_conductor_fail(fake_agent_conductor(m->pair->source), "Instance.save", "timeout");
    fake_virt_release(fake_agent_virt(m->pair->source), "power_off");
    settle(m->pair);
    assert_row(m->pair, "vm_state", "error");
    assert_row(m->pair, "host", "vm");
    assert_false(dv_exists(there));
    assert_false(has_state(m->pair->dest));
    assert_tpm(&m->server);
    assert_unpacked(m->pair->source);
}

/* Of two folders the first has come, and goes again. */
static void what_comes_in_part_is_taken_back(void **state)
{
    Moving *m = *state;
    g_autofree char *there = disks_instance_dir(fake_agent(m->pair->dest)->disks, UUID);
    g_autofree char *blocked = g_build_filename(there, "swtpm", NULL);

    fake_virt_hold(fake_agent_virt(m->pair->source), "power_off");
    move(m);
    assert_true(fake_virt_wait_held(fake_agent_virt(m->pair->source), "power_off", 300000));
    assert_true(g_file_set_contents(blocked, "in the way", -1, NULL));
    fake_virt_release(fake_agent_virt(m->pair->source), "power_off");
    settle(m->pair);
    assert_row(m->pair, "vm_state", "error");
    assert_row(m->pair, "host", "vm");
    assert_false(fake_agent_has_file(m->pair->dest, UUID, "disk"));
    assert_tpm(&m->server);
}

/* An administrator, say, whose the secret is not. */
static void who_cannot_read_the_secret_does_not_move_it(void **state)
{
    Moving *m = *state;

    keys_refuse(&m->server.keys, 403);
    move(m);
    settle(m->pair);
    assert_row(m->pair, "vm_state", "active");
    assert_row(m->pair, "host", "vm");
    assert_int_equal(guest(m->pair->source), GUEST_STATE_RUNNING);
    assert_int_equal(calls(m->pair->source, "power_off"), 0);
    assert_int_equal(calls(m->pair->source, "shutdown"), 0);
}

static void a_server_that_is_off_needs_no_secret_to_move(void **state)
{
    Moving *m = *state;
    VirtDriver *virt = fake_agent(m->pair->source)->virt;

    assert_true(virt->ops->power_off(virt->self, fake_agent_ctx(m->pair->source), UUID, NULL));
    fake_conductor_set(fake_agent_conductor(m->pair->source), UUID, "vm_state", "stopped");
    keys_refuse(&m->server.keys, 403);
    move(m);
    settle(m->pair);
    assert_row(m->pair, "vm_state", "resized");
    assert_row(m->pair, "host", DEST);
    assert_int_equal(guest(m->pair->dest), GUEST_STATE_OFF);
    assert_tpm_at(&m->server, m->pair->dest);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define S(name)                                             \
    {                                                       \
#name "/shared", name, setup_shared, teardown, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_tpm_goes_with_the_disks),
        S(the_tpm_goes_with_the_disks),
        T(a_revert_leaves_it_at_the_source),
        S(a_revert_leaves_it_at_the_source),
        T(a_revert_finds_it_aside),
        S(a_revert_finds_it_aside),
        T(a_move_that_ends_early_leaves_nothing_there),
        T(what_comes_in_part_is_taken_back),
        T(who_cannot_read_the_secret_does_not_move_it),
        T(a_server_that_is_off_needs_no_secret_to_move),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
