/* Recorded conversations of nova-compute, replayed: drover gets what nova got and must send what
 * nova sent. What differs on purpose is a row with its reason; see docs/wire/replay.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "fakes/replay.h"
#include "fakes/replay_compare.h"

#include <string.h>

#define SAVE "conductor Instance.save"
#define BDM_SAVE "conductor BlockDeviceMapping.save"
#define NODE_SAVE "conductor ComputeNode.save"
#define CACHE_SAVE "conductor InstanceInfoCache.save"
#define INFO "scheduler fanout update_instance_info"
#define EVENT_END "conductor InstanceActionEvent.event_finish_with_failure"
#define BOOTS "boot boot_port boot_fails"
#define LAZY "nova loads it when somebody looks at it; we do not look, or have it from the request"
#define ONE_SAVE "nobody can see the states between: one compare-and-set, docs/architecture.md 4"
#define BESIDE "nova makes the ports beside the boot and waits for them before the guest"
#define UNCHANGED "nova marks it as changed when it sets it to what it was"
#define READ_BACK "nova reads its own allocation to log it or to find providers for PCI and QoS"
#define AUDIT "nova's provider tree is read again at each claim; ours is kept by the audit"
#define GONE_COUNTS "nova keeps counting states that no instance is in any more"
#define EARLY_TASK "the claim comes with the task state networking"
#define PORTS_AT_ONCE "all ports that the user made are read with one request"
#define NO_TIMES "the conductor of this test keeps no times"
#define TAG_GAP "GAP: devices and their tags are not told to the guest"
#define CPU_GAP "GAP: only live migration reads it, and falls back to the host's CPU"
#define COUNTED "how often removing the files was tried; only counts while they are not removed"

// clang-format off
static const ReplayRow rows[] = {
    /* ---- everywhere ---- */
    {"*", REPLAY_WITHOUT, SAVE, "set/ec2_ids",
     "nova computes the ids of EC2 whenever it loads an instance; conductor saves no such field"},
    {"*", REPLAY_WITH, SAVE, "set/ec2_ids",
     "was marked in the request, and goes along"},
    {"*", REPLAY_LESS, "placement GET /allocations/*", NULL, READ_BACK},
    {"*", REPLAY_LESS, "placement GET /resource_providers/*/allocations", NULL, AUDIT},
    {"*", REPLAY_LESS, "conductor Service.get_by_compute_host", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor BlockDeviceMappingList.get_by_instance_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor InstanceInfoCache.refresh", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor MigrationContext.get_by_instance_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor PciDeviceList.get_by_instance_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor VirtualInterfaceList.get_by_instance_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor ResourceList.get_by_instance_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, "glance GET /v2/schemas/image", NULL, "glanceclient's own affair"},
    {"*", REPLAY_LESS, "neutron GET /v2.0/networks/*?fields=segments", NULL,
     "the list of networks had the segments, if any"},
    {"*", REPLAY_LESS, "neutron GET /v2.0/networks/*?fields=provider:*", NULL,
     "the list of networks had the provider's network"},
    {"*", REPLAY_LESS, "neutron GET /v2.0/floatingips*", NULL,
     "asked only where neutron has floating addresses (the extension router)"},
    {"*", REPLAY_MORE, "neutron GET /v2.0/extensions", NULL,
     "nova-compute had asked before the record began"},
    {"*", REPLAY_MORE, "conductor Instance.get_by_uuid", NULL,
     "an event refreshes the cache of the instance as it is then, not as the event brought it"},
    {"*", REPLAY_WITHOUT, NODE_SAVE, "set/pci_device_pools", UNCHANGED},

    {"boot_port", REPLAY_WITHOUT, NODE_SAVE, "set/stats/num_vm_active", GONE_COUNTS},
    {"*", REPLAY_AFTER, INFO, EVENT_END,
     "the action ends without waiting for what schedulers may hear later"},

    /* ---- boot ---- */
    {BOOTS, REPLAY_JOIN, SAVE "#2", SAVE "#1", ONE_SAVE},
    {BOOTS, REPLAY_JOIN, SAVE "#3", SAVE "#1", ONE_SAVE},
    {BOOTS, REPLAY_WITHOUT, SAVE "#1", "set/vm_state set/numa_topology set/resources", UNCHANGED},
    {BOOTS, REPLAY_OTHER, NODE_SAVE "#1", "set/current_workload", EARLY_TASK},
    {BOOTS, REPLAY_WITHOUT, NODE_SAVE, "set/stats/num_task_None", EARLY_TASK},
    {BOOTS, REPLAY_WITH, NODE_SAVE, "set/stats/num_task_networking", EARLY_TASK},
    {BOOTS, REPLAY_BEFORE, "neutron P*", BDM_SAVE "#1", BESIDE},
    {BOOTS, REPLAY_BEFORE, "conductor VirtualInterface.create", BDM_SAVE "#1", BESIDE},
    {BOOTS, REPLAY_BEFORE, CACHE_SAVE "#1", BDM_SAVE "#1", BESIDE},
    {BOOTS, REPLAY_JOIN, BDM_SAVE "#1", BDM_SAVE "#2", ONE_SAVE},
    {BOOTS, REPLAY_WITHOUT, SAVE "#4", "set/vm_state", UNCHANGED},
    {BOOTS, REPLAY_WITH, SAVE "#2", "kwargs/expected_task_state",
     "nova saves this state unconditionally; we find out about a delete here already"},
    {BOOTS, REPLAY_WITH, SAVE "#2", "set/info_cache set/system_metadata",
     "the ports are known by now; nova saves them with what the guest got"},
    {BOOTS, REPLAY_WITHOUT, SAVE "#5", "set/vm_state", UNCHANGED},
    {"boot boot_port", REPLAY_JOIN, SAVE "#6", SAVE "#7", ONE_SAVE},
    {"boot boot_port", REPLAY_WITHOUT, SAVE "#7", "set/info_cache", "saved with the ports"},
    {"boot", REPLAY_WITHOUT, SAVE "#7", "set/device_metadata", UNCHANGED},
    {"boot_port", REPLAY_WITHOUT, SAVE "#7", "set/device_metadata",
     TAG_GAP},
    {"boot boot_port", REPLAY_WITHOUT, SAVE "#7", "set/vcpu_model",
     CPU_GAP},
    {BOOTS, REPLAY_LESS, CACHE_SAVE "#2", NULL,
     "the event's refresh found what was stored already"},
    {"boot boot_port", REPLAY_OTHER, INFO, "args/instance_info/data/objects/*/data/updated_at",
     NO_TIMES},
    {"boot boot_port", REPLAY_OTHER, INFO,
     "args/instance_info/data/objects/*/data/info_cache/data/updated_at", NO_TIMES},
    {"boot boot_port", REPLAY_WITHOUT, INFO,
     "args/instance_info/data/objects/*/data/migration_context "
     "args/instance_info/data/objects/*/data/pci_devices",
     "schedulers look at neither; nova sends what it happens to have loaded"},
    {"boot boot_port", REPLAY_OTHER, INFO, "args/instance_info/data/objects/*/data/vcpu_model",
     CPU_GAP},
    {"boot_port", REPLAY_OTHER, INFO, "args/instance_info/data/objects/*/data/device_metadata",
     TAG_GAP},
    {"boot_port", REPLAY_LESS, "neutron GET /v2.0/ports/*", NULL, PORTS_AT_ONCE},
    {"boot_port", REPLAY_MORE, "neutron GET /v2.0/ports?id=*", NULL, PORTS_AT_ONCE},

    /* ---- a boot that fails ---- */
    {"boot_fails", REPLAY_OTHER, NODE_SAVE, "set/stats/failed_builds",
     "the recorded host had failed before"},
    {"boot_fails", REPLAY_LESS, SAVE "#6", NULL, COUNTED},
    {"boot_fails", REPLAY_JOIN, SAVE "#7", SAVE "#8", ONE_SAVE},
    {"boot_fails", REPLAY_JOIN, SAVE "#8", SAVE "#9", ONE_SAVE},
    {"boot_fails", REPLAY_OTHER, SAVE, "set/info_cache/data/updated_at", NO_TIMES},
    {"boot_fails", REPLAY_WITHOUT, SAVE "#9", "set/system_metadata/clean_attempts", COUNTED},
    {"boot_fails", REPLAY_AFTER, NODE_SAVE "#2", CACHE_SAVE "#3",
     "nova gives the claim back before it gives up the ports, we walk back the way we came"},
    {"boot_fails", REPLAY_AFTER, "conductor VirtualInterface.delete_by_instance_uuid",
     CACHE_SAVE "#3", "either may be first"},
    {"boot_fails", REPLAY_OTHER, "conductor InstanceFault.create", "set/details",
     "where nova has a traceback, we have the error"},
    {"boot_fails", REPLAY_OTHER, "conductor InstanceFault.create", "set/message",
     "says in other words what is wrong with the image"},
    {"boot_fails", REPLAY_BEFORE, "placement DELETE /allocations/*", EVENT_END,
     "the action ends when all is done"},

    /* ---- delete ---- */
    {"delete", REPLAY_JOIN, SAVE "#1", SAVE "#2", ONE_SAVE},
    {"delete", REPLAY_WITHOUT, SAVE "#2", "set/cleaned set/resources set/info_cache", UNCHANGED},
    {"delete", REPLAY_WITHOUT, SAVE "#2", "set/system_metadata", COUNTED},
    {"delete", REPLAY_WITHOUT, NODE_SAVE,
     "set/cpu_info set/current_workload set/disk_available_least set/host_ip set/hypervisor_* set/local_gb "
     "set/memory_mb set/metrics set/numa_topology set/supported_hv_specs set/vcpus",
     "the recorded nova-compute had just started, and saved its node for the first time"},
};
// clang-format on
static bool used[G_N_ELEMENTS(rows)];

static const ReplayHow talks[] = {
    {.name = "boot", .hold = "start"},
    {.name = "boot_port", .hold = "start"},
    {.name = "boot_fails", .broken_image = true},
    {.name = "delete", .hold = "destroy", .guest = REPLAY_GUEST_RUNNING},
};

static void says_what_nova_says(void **state)
{
    const ReplayHow *how = *state;
    json_auto_t *nova = NULL;
    json_auto_t *ours = NULL;

    replay_run(how, &nova, &ours);
    if (!replay_compare(how->name, nova, ours, rows, G_N_ELEMENTS(rows), used))
        fail_msg("%s: not what nova sends, see above", how->name);
}

/* A row that no conversation needs hides the next bug. */
static void every_row_is_needed(void **state G_GNUC_UNUSED)
{
    bool all = true;

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (!used[i])
            print_error("useless: %s: %s %s\n", rows[i].in, rows[i].what,
                        rows[i].arg ? rows[i].arg : "");
        all = all && used[i];
    }
    assert_true(all);
}

int main(void)
{
    struct CMUnitTest tests[G_N_ELEMENTS(talks) + 1];
    size_t count = G_N_ELEMENTS(talks);

    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){talks[i].name, says_what_nova_says, NULL, NULL,
                                       (void *)&talks[i]};
    tests[count] = (struct CMUnitTest)cmocka_unit_test(every_row_is_needed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
