/* What goes wrong outside while a server begins or ends, or gets another guest; see faults.h. */
#include "agent/cleanup.h"
#include "flow/faults.h"
#include "flow/resize.h"
#include "flow/shelved.h"

/* ---- boot and delete ---- */

/* The API deletes a server without a host by itself; a guest that had to stay is found later. */
static void delete_without_host(FakeAgent *fake)
{
    fake_conductor_set_json(fake_agent_conductor(fake), UUID, "deleted", json_true());
    assert_true(cleanup_running_deleted(fake_agent(fake), fake_agent_ctx(fake), NULL));
    wait_all(fake);
    fake_conductor_remove(fake_agent_conductor(fake), UUID);
}

/* Another host tries, or it is in error. */
static void boot_ended(FakeAgent *fake)
{
    if (has_vm_state(fake, "active")) {
        assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
        return;
    }
    fake_agent_assert_row(fake, "host", "");
    if (has_vm_state(fake, "building")) {
        fake_agent_assert_row(fake, "task_state", "scheduling");
        assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "build_instances"), 1);
    } else {
        fake_agent_assert_row(fake, "vm_state", "error");
        fake_agent_assert_row(fake, "task_state", "");
        delete_without_host(fake);
    }
    assert_nothing_left(fake);
}

/* What has not ended is in error, and can be deleted again. */
static void delete_ended(FakeAgent *fake)
{
    if (is_gone(fake))
        return;
    fake_agent_assert_row(fake, "vm_state", "error");
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "host", "vm");
}

/* ---- rebuild ---- */

static json_t *rebuild_args(FakeAgent *fake, json_t *args)
{
    fake_conductor_set(fake_agent_conductor(fake), UUID, "image_ref", SHELVED_IMAGE);
    return args;
}

#define REBUILD                                                                                \
    "{'new_pass':'secret','injected_files':[],'image_ref':'" SHELVED_IMAGE                     \
    "','orig_image_ref':'" FLOW_IMAGE "','orig_sys_metadata':{},'bdms':null,'recreate':false," \
    "'on_shared_storage':null,'preserve_ephemeral':false,'migration':null,"                    \
    "'scheduled_node':null,'limits':null,'request_spec':null,'accel_uuids':[],"                \
    "'reimage_boot_volume':false}"

/* The old disks are gone by then: what helps is another rebuild. */
static void rebuild_again(FakeAgent *fake)
{
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "host", "vm");
    assert_int_equal(fake_agent_allocations_deleted(fake), 0);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "rebuilding");
    send(fake, "rebuild_instance",
         with(rebuild_args(fake, args_from(REBUILD)), "instance", fake_agent_instance(fake, UUID)));
    fake_agent_wait(fake, UUID);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
}

/* ---- shelve ---- */

static void offload(FakeAgent *fake)
{
    script_shelved_image(fake);
    send(fake, "shelve_offload_instance",
         with(args_of(fake, "shelving_offloading"), "clean_shutdown", json_false()));
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "shelved_offloaded");
}

static json_t *unshelve_args(FakeAgent *fake G_GNUC_UNUSED, json_t *args)
{
    return with(args, "image",
                json_pack("{s:s, s:s, s:i, s:{}}", "id", SHELVED_IMAGE, "disk_format", "raw",
                          "size", 65536, "properties"));
}

static void unshelve_again(FakeAgent *fake)
{
    json_t *args;

    if (has_vm_state(fake, "active"))
        return;
    fake_agent_assert_row(fake, "vm_state", "shelved_offloaded");
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "host", "");
    assert_nothing_left(fake);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "unshelving");
    args = args_from("{'filter_properties':{'limits':{}},'node':'vm','accel_uuids':[],"
                     "'request_spec':null}");
    send(fake, "unshelve_instance",
         with(unshelve_args(fake, args), "instance", fake_agent_instance(fake, UUID)));
    fake_agent_wait(fake, UUID);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
}

static void offload_again(FakeAgent *fake)
{
    if (has_vm_state(fake, "shelved")) {
        fake_agent_assert_row(fake, "task_state", "");
        fake_agent_assert_row(fake, "host", "vm");
        assert_true(fake_agent_has_file(fake, UUID, "disk"));
        send(fake, "shelve_offload_instance",
             with(args_of(fake, "shelving_offloading"), "clean_shutdown", json_false()));
        fake_agent_wait(fake, UUID);
    }
    unshelve_again(fake);
}

/* ---- resize ---- */

static void moves(FakeAgent *fake)
{
    script_allocations(fake_agent_server(fake));
}

static json_t *resize_args(FakeAgent *fake, json_t *args)
{
    json_t *more = prep_args(fake, &larger, "vm");

    json_object_update(args, more);
    json_decref(more);
    return args;
}

static void resized(FakeAgent *fake)
{
    moves(fake);
    send_and_wait(fake, "prep_resize", prep_args(fake, &larger, "vm"));
    fake_agent_assert_row(fake, "vm_state", "resized");
}

static json_t *confirm_args(FakeAgent *fake G_GNUC_UNUSED, json_t *args)
{
    return with(args, "migration", make_migration("confirming", "vm", "vm"));
}

static json_t *revert_args(FakeAgent *fake G_GNUC_UNUSED, json_t *args)
{
    return with(args, "migration", make_migration("reverting", "vm", "vm"));
}

/* clang-format off */
static const Operation operations[] = {
    {"boot", "build_and_run_instance", NULL, "{}", "start", NULL, NULL, .services = NETWORK | IMAGE, .mend = boot_ended, .is_boot = true},
    {"boot at its end", "build_and_run_instance", NULL, "{}", "resume", NULL, NULL, .services = 0, .mend = boot_ended, .is_boot = true},
    {"delete", "terminate_instance", "deleting", "{'bdms':[]}", "destroy", NULL, NULL, .services = NETWORK | PLACEMENT, .mend = delete_ended, .gone_is_fine = PLACEMENT},
    {"rebuild", "rebuild_instance", "rebuilding", REBUILD, "start", script_shelved_image, NULL, .services = IMAGE, .unneeded = NETWORK, .more = rebuild_args, .mend = rebuild_again},
    {"shelve offload", "shelve_offload_instance", "shelving_offloading", "{'clean_shutdown':false,'accel_uuids':[]}", "destroy", script_shelved_image, "shelved", .services = 0, .mend = offload_again},
    {"unshelve", "unshelve_instance", "unshelving", "{'filter_properties':{'limits':{}},'node':'vm','request_spec':null,'accel_uuids':[]}", "start", offload, NULL, .services = NETWORK | IMAGE, .more = unshelve_args, .mend = unshelve_again},
    {"resize at its source", "prep_resize", "resize_prep", "{}", "power_off", moves, NULL, .services = 0, .more = resize_args},
    {"resize at its destination", "prep_resize", "resize_prep", "{}", "start", moves, NULL, .services = NETWORK, .more = resize_args},
    {"confirm", "confirm_resize", NULL, "{'request_spec':null}", NULL, resized, NULL, .services = PLACEMENT, .more = confirm_args, .gone_is_fine = PLACEMENT},
    {"revert", "revert_resize", "resize_reverting", "{'request_spec':null}", "start", resized, NULL, .services = NETWORK | PLACEMENT, .more = revert_args, .gone_is_fine = PLACEMENT},
};
/* clang-format on */

int main(int argc, char **argv)
{
    return run_faults(operations, G_N_ELEMENTS(operations), argc > 1 ? argv[1] : NULL);
}
