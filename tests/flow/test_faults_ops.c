/* What goes wrong outside while an operation on a server works; see faults.h. Operations that begin
 * or end a server, or give it another guest, are in test_faults_lives.c. */
#include "flow/faults.h"
#include "flow/interfaces.h"

static void be_off(FakeAgent *fake)
{
    const VirtDriver *virt = fake_agent(fake)->virt;

    assert_true(virt->ops->power_off(virt->self, NULL, UUID, NULL));
}

static void be_paused(FakeAgent *fake)
{
    const VirtDriver *virt = fake_agent(fake)->virt;

    assert_true(virt->ops->pause(virt->self, NULL, UUID, NULL));
}

static void be_saved(FakeAgent *fake)
{
    const VirtDriver *virt = fake_agent(fake)->virt;

    assert_true(virt->ops->save(virt->self, NULL, UUID, NULL));
}

static void be_rescued(FakeAgent *fake)
{
    send(fake, "rescue_instance", with(args_of(fake, "rescuing"), "clean_shutdown", json_false()));
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "rescued");
}

/* clang-format off */
static const Operation operations[] = {
    {"stop", "stop_instance", "powering-off", "{'clean_shutdown':false}", "power_off", NULL, "active", .services = 0},
    {"clean stop", "stop_instance", "powering-off", "{'clean_shutdown':true}", "shutdown", NULL, "active", .services = 0},
    {"start", "start_instance", "powering-on", "{}", "start", be_off, "stopped", .services = NETWORK},
    {"soft reboot", "reboot_instance", "rebooting", "{'block_device_info':null,'reboot_type':'SOFT'}", "shutdown", NULL, "active", .services = 0},
    {"hard reboot", "reboot_instance", "rebooting_hard", "{'block_device_info':null,'reboot_type':'HARD'}", "start", NULL, "active", .services = NETWORK},
    {"pause", "pause_instance", "pausing", "{}", "pause", NULL, "active", .services = 0},
    {"unpause", "unpause_instance", "unpausing", "{}", "resume", be_paused, "paused", .services = 0},
    {"suspend", "suspend_instance", "suspending", "{}", "save", NULL, "active", .services = 0},
    {"resume", "resume_instance", "resuming", "{}", "launch", be_saved, "suspended", .services = 0},
    {"rescue", "rescue_instance", "rescuing", "{'rescue_password':null,'rescue_image_ref':null,'clean_shutdown':false}", "start", NULL, "active", .services = NETWORK | IMAGE},
    {"shelve", "shelve_instance", "shelving", "{'image_id':'" SNAP_ID "','clean_shutdown':false}", "power_off", NULL, "active", .services = IMAGE},
    {"soft delete", "soft_delete_instance", "soft-deleting", "{}", "power_off", NULL, "active", .services = 0},
    {"detach interface", "detach_interface", NULL, "{'port_id':'" FLOW_PORT_B "'}", "detach_nic", NULL, "active", .services = 0},
    {"unrescue", "unrescue_instance", "unrescuing", "{}", "launch", be_rescued, "rescued", .services = 0},
    {"snapshot", "snapshot_instance", "image_snapshot_pending", "{'image_id':'" SNAP_ID "'}", "block_copy", NULL, "active", .services = IMAGE, .gone_is_fine = IMAGE},
    {"backup", "backup_instance", "image_backup", "{'image_id':'" SNAP_ID "','backup_type':'daily','rotation':1}", "block_copy", NULL, "active", .services = IMAGE, .gone_is_fine = IMAGE},
    {"attach interface", "attach_interface", NULL, "{'network_id':'" NET_B "','port_id':null,'requested_ip':null,'tag':null}", "attach_nic", offer_port_c, "active", .services = NETWORK},
};
/* clang-format on */

int main(int argc, char **argv)
{
    return run_faults(operations, G_N_ELEMENTS(operations), argc > 1 ? argv[1] : NULL);
}
