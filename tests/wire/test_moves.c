/* Recorded moves between two hosts, replayed: each host's half by itself. drover is asked what
 * nova-compute was asked, the other host answers what it answered, and drover must send what
 * nova-compute sent. What differs on purpose is a row with its reason; see docs/wire/replay.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "fakes/replay_suite.h"

#include <string.h>

#define SAVE "conductor Instance.save"
#define MIGRATION_SAVE "conductor Migration.save"
#define CACHE_SAVE "conductor InstanceInfoCache.save"
#define NODE_SAVE "conductor ComputeNode.save"
#define FAULT "conductor InstanceFault.create"
#define EVENT_END "conductor InstanceActionEvent.event_finish_with_failure"
#define DROP_CONTEXT "conductor Instance.drop_migration_context"
#define CHECK_SOURCE "compute.cmp2 check_can_live_migrate_source"
#define PRE "compute.cmp2 pre_live_migration"
#define POST "compute.cmp2 post_live_migration_at_destination"
#define ROLLBACK "compute.cmp2 rollback_live_migration_at_destination"
#define MOVED                                                        \
    "lm_ok_local.source lm_ok_shared.source lm_nohost_local.source " \
    "lm_nohost_shared.source lm_force_complete_shared.source"
#define KILLED "lm_dest_libvirtd_killed_"
#define STAYED \
    "lm_abort_local.source lm_abort_shared.source " KILLED "local.source " KILLED "shared.source"
#define MOVED_LOCAL "lm_ok_local.source lm_nohost_local.source"
#define STAYED_LOCAL "lm_abort_local.source " KILLED "local.source"
#define SAVED_TWICE "lm_abort_local.source lm_abort_shared.source " KILLED "shared.source"
#define COLD "cold_* resize_other_*"
#define EVACUATED "evacuate_local.dest evacuate_shared.dest"
#define OFF COLD " evacuate_*" /* the guest is */
#define BEGUN_SOURCES \
    "cold_migrate_local.source cold_migrate_shared.source resize_other_shared.source"
#define BEGUN_DESTS "cold_migrate_local.dest cold_migrate_shared.dest resize_other_shared.dest"
#define CONFIRMED "*_confirm_*.source"
#define INFO "scheduler fanout update_instance_info"
#define SENT_INFO "args/instance_info/data/objects/*/data/"
#define SHARED "compute.cmp2 check_instance_shared_storage"
#define NETWORK "set/network_info/json/*/"
#define SAVED_NETWORK "set/info_cache/data/network_info/json/*/"
#define SENT_NETWORK "args/instance/data/info_cache/data/network_info/json/*/"

#define UNCHANGED "nova marks it as changed when it sets it to what it was"
#define LAZY "nova loads it when somebody looks at it; we do not look, or have it from the request"
#define COUNTED "how often removing the files was tried; only counts while they are not removed"
#define SAME_PORTS "conductor has it: it is what it was"
#define AMOUNTS "how far it is: saved as often as the configuration says, and these end before that"
#define AUDIT "nova audits its whole host when a guest has left; we take away what it used"
#define STANDS_IN "what neutron answered is not in the record: another port stands in for it"
#define HUNG_ON "nova's objects carry along what its driver has hung on them; nobody reads it there"
#define TRACEBACK "where nova has a traceback, we have the error"
#define ENDED_FIRST "whoever waits until the instance is free finds its migration ended"
#define ONE_SAVE "nobody can see the states between: one compare-and-set, docs/architecture.md 4"
#define LOADED "schedulers do not look at it; nova sends what it happens to have loaded"
#define NO_TIMES "the conductor of this test keeps no times"
#define NOT_LOST "an active server is never said to be on the host that is lost"
#define OTHER_SERVERS "the recorded host had other servers besides"
#define OTHER_DISK "another disk, in another folder"

// clang-format off
static const ReplayRow rows[] = {
    /* ---- everywhere ---- */
    {"*", REPLAY_MORE, "conductor BlockDeviceMappingList.get_by_instance_uuid", NULL,
     "the destination looks whether it could make this guest, volumes and all"},
    {"*", REPLAY_LESS, "conductor Instance.get_by_uuid", NULL, LAZY},
    {"*", REPLAY_MORE, "conductor Instance.get_by_uuid", NULL,
     "an event refreshes the cache of the instance as it is then, not as the event brought it"},
    {"*", REPLAY_LESS, "conductor InstanceInfoCache.refresh", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor InstancePCIRequests.get_by_instance_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor MigrationContext.get_by_instance_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor TrustedCerts.get_by_instance_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor VirtCPUModel.get_by_instance_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, DROP_CONTEXT, NULL, "a save of null drops it, too"},
    {"*", REPLAY_OTHER, CACHE_SAVE, NETWORK "active", STANDS_IN},
    {"*", REPLAY_OTHER, CACHE_SAVE, NETWORK "profile", STANDS_IN},
    {"*", REPLAY_OTHER, SAVE, SAVED_NETWORK "profile", STANDS_IN},

    /* ---- the checks ---- */
    {"lm_*.dest", REPLAY_OTHER, CHECK_SOURCE, "args/dest_check_data/data/filename",
     "any name that is not there yet"},
    {"lm_*.dest", REPLAY_WITHOUT, CHECK_SOURCE, "args/instance/data/vcpu_model", LAZY},
    {"lm_*.dest", REPLAY_LESS, "conductor ComputeNode.get_first_node_by_host_for_old_compat", NULL,
     "the source's CPU is looked at only where guests run on it"},
    {"lm_precheck_*", REPLAY_OTHER, FAULT, "set/details", TRACEBACK},
    {"lm_precheck_*", REPLAY_OTHER, EVENT_END, "kwargs/exc_tb", TRACEBACK},

    /* ---- live migration: the source ---- */
    {"lm_*.source", REPLAY_ANYTIME, EVENT_END "#2", NULL,
     "the request has ended when it is queued, and the worker begins beside"},
    {"lm_*_local.source", REPLAY_OTHER, PRE, "args/disk/json/*/*", OTHER_DISK},
    {"lm_*.source", REPLAY_LESS, MIGRATION_SAVE "#1", NULL,
     "a migration whose turn it is at once does not wait, and is not said to"},
    {"lm_*.source", REPLAY_LESS, "conductor BlockDeviceMappingList.get_by_instance_uuid", NULL,
     "all disks are files of the instance's own: none of them is a volume"},
    {MOVED " " STAYED, REPLAY_LESS, MIGRATION_SAVE "#4", NULL, AMOUNTS},
    {MOVED, REPLAY_LESS, SAVE "#1", NULL, AMOUNTS},
    {"lm_*.source", REPLAY_OTHER, POST, "args/instance/data/progress", AMOUNTS},
    {"lm_*.source", REPLAY_LESS, CACHE_SAVE "#1", NULL, SAME_PORTS},
    {MOVED_LOCAL, REPLAY_LESS, SAVE "#2", NULL, COUNTED},
    {"lm_ok_local.source", REPLAY_OTHER, POST, "args/instance/data/cleaned", COUNTED},
    {"lm_ok_local.source", REPLAY_WITHOUT, POST,
     "args/instance/data/system_metadata/clean_attempts", COUNTED},
    {"lm_nohost_local.source", REPLAY_OTHER, POST,
     "args/instance/data/system_metadata/clean_attempts", COUNTED},
    {"lm_*.source", REPLAY_OTHER, POST, SENT_NETWORK "active", STANDS_IN},
    {MOVED, REPLAY_WITHOUT, POST, "args/instance/data/migration_context", LAZY},
    {"lm_*_shared.source", REPLAY_WITHOUT, POST,
     SENT_NETWORK "network/subnets/*/ips/*/label " SENT_NETWORK "network/subnets/*/ips/*/vif_mac",
     HUNG_ON},
    {MOVED, REPLAY_LESS, "conductor ComputeNodeList.get_all_by_host", NULL, AUDIT},
    {MOVED, REPLAY_LESS, "conductor InstanceList.get_by_host_and_node", NULL, AUDIT},
    {MOVED, REPLAY_LESS, "conductor MigrationList.get_in_progress_and_error", NULL, AUDIT},
    {MOVED, REPLAY_LESS, "conductor Service.get_by_compute_host", NULL, LAZY},
    {"lm_*.source", REPLAY_WITHOUT, NODE_SAVE,
     "set/cpu_info set/current_workload set/disk_available_least set/host_ip set/hypervisor_* "
     "set/local_gb set/memory_mb set/metrics set/numa_topology set/pci_device_pools "
     "set/supported_hv_specs set/vcpus", AUDIT},
    {"lm_*.source", REPLAY_WITH, NODE_SAVE, "set/stats/num_* set/stats/io_workload", AUDIT},
    {"lm_nohost_local.source", REPLAY_MORE, NODE_SAVE, NULL,
     "nova's audit had nothing to save there"},
    {MOVED, REPLAY_LESS, "scheduler fanout update_instance_info", NULL,
     "it says that the guest is here, which it is no more"},
    {MOVED, REPLAY_MORE, "scheduler fanout delete_instance_info", NULL,
     "schedulers are told at once that the guest is not here any more"},

    /* ---- live migration: the guest stays ---- */
    {SAVED_TWICE, REPLAY_LESS, MIGRATION_SAVE "#5", NULL, AMOUNTS},
    {SAVED_TWICE, REPLAY_LESS, SAVE "#2", NULL, AMOUNTS},
    {SAVED_TWICE, REPLAY_JOIN, SAVE "#1", SAVE "#3", AMOUNTS},
    {SAVED_TWICE, REPLAY_AFTER, SAVE "#3", MIGRATION_SAVE "#6", ENDED_FIRST},
    {KILLED "local.source", REPLAY_JOIN, SAVE "#1", SAVE "#2", AMOUNTS},
    {KILLED "local.source", REPLAY_AFTER, SAVE "#2", MIGRATION_SAVE "#5", ENDED_FIRST},
    {STAYED, REPLAY_WITHOUT, SAVE, "set/pci_requests set/progress", UNCHANGED},
    {"lm_abort_local.source", REPLAY_OTHER, MIGRATION_SAVE, "set/status",
     "libvirt called it failed there, though it was cancelled: either may happen"},
    {"lm_abort_shared.source " KILLED "shared.source", REPLAY_MORE, ROLLBACK, NULL,
     "nova tells a destination that shares the disks nothing: the ports stay plugged there"},
    {STAYED_LOCAL, REPLAY_WITHOUT, ROLLBACK, "args/instance/data/migration_context", LAZY},
    {STAYED_LOCAL, REPLAY_WITHOUT, ROLLBACK, "args/migrate_data/data/migration", HUNG_ON},
    {STAYED_LOCAL, REPLAY_OTHER, ROLLBACK, "args/instance/data/progress", AMOUNTS},
    {"lm_abort_local.source", REPLAY_OTHER, ROLLBACK, SENT_NETWORK "active", STANDS_IN},
    {"lm_abort_local.source", REPLAY_OTHER, ROLLBACK, SENT_NETWORK "profile", STANDS_IN},

    /* ---- live migration: the destination ---- */
    {"lm_*.dest", REPLAY_LESS, CACHE_SAVE "#1", NULL,
     "the ports are those that the request brings: nothing of them has changed yet"},
    {"lm_*.dest", REPLAY_WITHOUT, SAVE,
     SAVED_NETWORK "network/subnets/*/ips/*/meta/label "
     SAVED_NETWORK "network/subnets/*/ips/*/meta/vif_mac", HUNG_ON},
    {"lm_*.dest", REPLAY_WITHOUT, SAVE, "set/power_state", UNCHANGED},
    {"lm_ok_local.dest lm_ok_shared.dest lm_nohost_local.dest", REPLAY_WITHOUT, SAVE,
     "set/progress", UNCHANGED},
    {"lm_abort_local.dest " KILLED "local.dest", REPLAY_LESS, CACHE_SAVE "#2", NULL,
     "they are unplugged as the request brings them, and the source looks after the cache"},
    {"lm_abort_local.dest " KILLED "local.dest", REPLAY_LESS, SAVE, NULL, COUNTED},

    /* ---- cold migration and resize ---- */
    {COLD, REPLAY_LESS, CACHE_SAVE, NULL, STANDS_IN},
    {COLD, REPLAY_MORE, CACHE_SAVE, NULL, STANDS_IN},
    {COLD, REPLAY_WITHOUT, SAVE, "set/info_cache", STANDS_IN},
    {COLD, REPLAY_WITH, SAVE, "set/info_cache", STANDS_IN},
    {OFF, REPLAY_WITHOUT, NODE_SAVE, "set/pci_device_pools", UNCHANGED},
    {BEGUN_DESTS " " CONFIRMED " " EVACUATED, REPLAY_WITHOUT, NODE_SAVE, "set/running_vms",
     UNCHANGED},
    {"cold_migrate_local.dest resize_other_confirm_shared.source", REPLAY_OTHER, NODE_SAVE,
     "set/*_used", OTHER_SERVERS},
    {"cold_migrate_local.dest resize_other_confirm_shared.source", REPLAY_OTHER, NODE_SAVE,
     "set/free_*", OTHER_SERVERS},
    {OFF, REPLAY_LESS, "conductor InstanceNUMATopology.get_by_instance_uuid", NULL, LAZY},
    {OFF, REPLAY_LESS, "conductor Migration.get_by_id", NULL, LAZY},
    {OFF, REPLAY_LESS, "conductor PciDeviceList.get_by_instance_uuid", NULL, LAZY},
    {OFF, REPLAY_LESS, "conductor ResourceList.get_by_instance_uuid", NULL, LAZY},
    {OFF, REPLAY_LESS, "conductor Service.get_by_compute_host", NULL, LAZY},
    {OFF, REPLAY_LESS, "conductor VirtualInterfaceList.get_by_instance_uuid", NULL, LAZY},
    {BEGUN_DESTS " " EVACUATED, REPLAY_MORE,
     "conductor BlockDeviceMappingList.get_by_instance_uuids", NULL,
     "the same, with the name"},

    {BEGUN_SOURCES, REPLAY_MORE, SHARED, NULL, "nova finds it out over ssh"},
    {BEGUN_SOURCES, REPLAY_WITHOUT, SAVE "#2", "set/migration_context", UNCHANGED},
    {BEGUN_SOURCES, REPLAY_OTHER, "compute.cmp2 finish_resize", "args/disk_info/json/*/*",
     OTHER_DISK},
    {COLD, REPLAY_OTHER, "compute.cmp2 finish_*", SENT_NETWORK "active", STANDS_IN},
    {COLD, REPLAY_OTHER, "compute.cmp2 finish_*", SENT_NETWORK "profile", STANDS_IN},

    {BEGUN_DESTS, REPLAY_WITHOUT, MIGRATION_SAVE "#1", "set/status", UNCHANGED},
    {BEGUN_DESTS, REPLAY_WITHOUT, SAVE "#2", "set/resources", UNCHANGED},
    {BEGUN_DESTS, REPLAY_WITHOUT, "compute.cmp2 resize_instance",
     "args/instance/data/pci_* args/instance/data/resources", LAZY},
    {"cold_migrate_local.dest cold_migrate_shared.dest", REPLAY_WITHOUT,
     "compute.cmp2 resize_instance", "args/instance/data/numa_topology", LAZY},
    {BEGUN_DESTS, REPLAY_OTHER, "compute.cmp2 resize_instance", "args/migration/data/updated_at",
     NO_TIMES},
    {BEGUN_DESTS, REPLAY_WITHOUT, SAVE "#3",
     "set/numa_topology set/old_flavor set/pci_* set/resources", UNCHANGED},
    {"resize_other_shared.dest", REPLAY_WITHOUT, SAVE "#3", "set/ephemeral_gb set/vcpus",
     UNCHANGED},
    {BEGUN_DESTS, REPLAY_WITHOUT, SAVE "#4",
     "set/device_metadata set/migration_context set/pci_* set/trusted_certs", UNCHANGED},
    {BEGUN_DESTS, REPLAY_WITHOUT, INFO,
     SENT_INFO "device_metadata " SENT_INFO "trusted_certs", LOADED},
    {BEGUN_DESTS, REPLAY_OTHER, INFO, SENT_INFO "services", LOADED},
    {COLD, REPLAY_OTHER, INFO, SENT_INFO "info_cache", STANDS_IN},

    {CONFIRMED, REPLAY_WITHOUT, SAVE "#1", "set/task_state", UNCHANGED},
    {"resize_other_confirm_local.source", REPLAY_LESS, "scheduler fanout delete_instance_info",
     NULL, "it was resized on one host: schedulers would forget a guest that is still there"},

    {"cold_revert_*.source", REPLAY_WITHOUT, SAVE "#1",
     "set/ephemeral_gb set/flavor set/instance_type_id set/memory_mb set/root_gb set/vcpus",
     UNCHANGED},
    {"cold_revert_*.source", REPLAY_JOIN, SAVE "#2", SAVE "#3", ONE_SAVE},
    {"cold_revert_*.source", REPLAY_WITHOUT, SAVE "#4", "set/vcpu_model", UNCHANGED},
    {"cold_revert_*.dest", REPLAY_OTHER, SHARED, "args/data/filename",
     "in another folder, with a name of its own"},
    {"cold_revert_*.dest", REPLAY_LESS, "conductor BlockDeviceMappingList.get_by_instance_uuid",
     NULL, LAZY},
    {"cold_revert_*.dest", REPLAY_WITH, NODE_SAVE, "set/stats", AUDIT},
    {"cold_revert_local.dest", REPLAY_LESS, SAVE "#1", NULL, COUNTED},
    {"cold_revert_local.dest", REPLAY_WITHOUT, SAVE "#2",
     "set/migration_context set/numa_topology set/pci_* set/resources", UNCHANGED},
    {"cold_revert_shared.dest", REPLAY_WITHOUT, SAVE "#1",
     "set/migration_context set/numa_topology set/pci_* set/resources", UNCHANGED},
    {"cold_revert_shared.dest", REPLAY_WITH, SAVE "#1", "set/task_state",
     "without a column that changes conductor compares nothing, and a delete is not seen"},
    {"cold_revert_*.dest", REPLAY_WITHOUT, "compute.cmp2 finish_revert_resize",
     "args/instance/data/migration_context args/instance/data/pci_* args/instance/data/resources",
     LAZY},
    {"cold_revert_local.dest", REPLAY_OTHER, "compute.cmp2 finish_revert_resize",
     "args/instance/data/system_metadata/clean_attempts", COUNTED},

    /* ---- evacuation ---- */
    {EVACUATED, REPLAY_WITHOUT, MIGRATION_SAVE "#1", "set/dest_compute", UNCHANGED},
    {EVACUATED, REPLAY_WITHOUT, SAVE "#1", "set/resources", UNCHANGED},
    {"evacuate_shared.dest", REPLAY_WITHOUT, NODE_SAVE,
     "set/cpu_info set/current_workload set/disk_available_least set/host_ip set/hypervisor_* "
     "set/local_gb set/memory_mb set/metrics set/numa_topology set/stats set/supported_hv_specs "
     "set/vcpus",
     "the recorded nova-compute had just started, and saved its node for the first time"},
    {EVACUATED, REPLAY_WITHOUT, SAVE "#2",
     "set/migration_context set/task_state set/trusted_certs", UNCHANGED},
    {EVACUATED, REPLAY_WITHOUT, SAVE "#3", "set/info_cache", "saved with the ports"},
    {EVACUATED, REPLAY_WITHOUT, SAVE "#3",
     "set/migration_context set/numa_topology set/pci_* set/resources", UNCHANGED},
    {EVACUATED, REPLAY_WITHOUT, SAVE "#4", "set/migration_context", UNCHANGED},
    {EVACUATED, REPLAY_LESS, CACHE_SAVE "#2", NULL, STANDS_IN},
    {EVACUATED, REPLAY_LESS, CACHE_SAVE "#3", NULL, STANDS_IN},
    {EVACUATED, REPLAY_JOIN, SAVE "#6", SAVE "#5", NOT_LOST},
    {EVACUATED, REPLAY_WITHOUT, SAVE "#5",
     "set/device_metadata set/numa_topology set/pci_* set/resources set/vm_state", UNCHANGED},
    {EVACUATED, REPLAY_OTHER, SAVE "#5", "set/migration_context",
     "it is dropped in the same save; nova has a call for it"},
    {EVACUATED, REPLAY_AFTER, INFO, MIGRATION_SAVE "#2",
     "schedulers are told when the server is this host's"},
    {EVACUATED, REPLAY_OTHER, INFO, SENT_INFO "host", NOT_LOST},
    {EVACUATED, REPLAY_OTHER, INFO, SENT_INFO "node", NOT_LOST},
    {EVACUATED, REPLAY_OTHER, INFO, SENT_INFO "migration_context", NOT_LOST},
    {EVACUATED, REPLAY_WITHOUT, INFO,
     SENT_INFO "device_metadata " SENT_INFO "numa_topology " SENT_INFO "pci_* "
     SENT_INFO "resources " SENT_INFO "trusted_certs", LOADED},
};

/* Events and what the user wants come while the migration is at a pass. */
#define SOURCE_OF(name_) \
    {.name = name_ ".source", .half = true, .hold = "iteration", .guest = REPLAY_GUEST_RUNNING}
#define STAYING_AT(name_) \
    {.name = name_ ".source", .half = true, .hold = "iteration", .guest = REPLAY_GUEST_RUNNING, \
     .stays = true}
#define FAILING_AT(name_) \
    {.name = name_ ".source", .half = true, .hold = "iteration", .guest = REPLAY_GUEST_RUNNING, \
     .breaks = true}
#define DEST_OF(name_) {.name = name_ ".dest", .half = true}
#define COLD_SOURCE_OF(name_) {.name = name_ ".source", .half = true, .guest = REPLAY_GUEST_RUNNING}
#define COLD_DEST_OF(name_) {.name = name_ ".dest", .half = true, .hold = "start"}
#define MADE_AGAIN(name_) {.name = name_ ".dest", .half = true, .hold = "start"}
#define MADE_AGAIN_OF_DISKS(name_) \
    {.name = name_ ".dest", .half = true, .hold = "start", .disk = true}
#define ARRIVED_AT(name_) \
    {.name = name_ ".dest", .half = true, .guest = REPLAY_GUEST_RUNNING, .moved = true}
#define LEFT_FROM(name_) \
    {.name = name_ ".source", .half = true, .hold = "start", .guest = REPLAY_GUEST_OFF, \
     .aside = true, .moved = true}

static const ReplayHow talks[] = {
    SOURCE_OF("lm_ok_local"), DEST_OF("lm_ok_local"),
    SOURCE_OF("lm_ok_shared"), DEST_OF("lm_ok_shared"),
    SOURCE_OF("lm_nohost_local"), DEST_OF("lm_nohost_local"),
    SOURCE_OF("lm_nohost_shared"), DEST_OF("lm_nohost_shared"),
    SOURCE_OF("lm_precheck_fail_local"), DEST_OF("lm_precheck_fail_local"),
    SOURCE_OF("lm_precheck_fail_shared"), DEST_OF("lm_precheck_fail_shared"),
    STAYING_AT("lm_abort_local"), DEST_OF("lm_abort_local"),
    STAYING_AT("lm_abort_shared"), DEST_OF("lm_abort_shared"),
    STAYING_AT("lm_force_complete_shared"), DEST_OF("lm_force_complete_shared"),
    FAILING_AT("lm_dest_libvirtd_killed_local"), DEST_OF("lm_dest_libvirtd_killed_local"),
    FAILING_AT("lm_dest_libvirtd_killed_shared"), DEST_OF("lm_dest_libvirtd_killed_shared"),
    COLD_SOURCE_OF("cold_migrate_local"), COLD_DEST_OF("cold_migrate_local"),
    COLD_SOURCE_OF("cold_migrate_shared"), COLD_DEST_OF("cold_migrate_shared"),
    COLD_SOURCE_OF("resize_other_shared"), COLD_DEST_OF("resize_other_shared"),
    LEFT_FROM("cold_confirm_local"), LEFT_FROM("cold_confirm_shared"),
    LEFT_FROM("resize_other_confirm_local"), LEFT_FROM("resize_other_confirm_shared"),
    LEFT_FROM("cold_revert_local"), ARRIVED_AT("cold_revert_local"),
    LEFT_FROM("cold_revert_shared"), ARRIVED_AT("cold_revert_shared"),
    MADE_AGAIN("evacuate_local"), MADE_AGAIN_OF_DISKS("evacuate_shared"),
};
// clang-format on

int main(int argc, char **argv)
{
    const ReplaySuite suite = {
        .talks = talks,
        .talk_count = G_N_ELEMENTS(talks),
        .rows = rows,
        .row_count = G_N_ELEMENTS(rows),
        .folder = "tests/wire/data/moves",
    };

    return replay_suite_run(&suite, argc, argv);
}
