/* Recorded conversations of nova-compute, replayed: drover gets what nova got and must send what
 * nova sent. What differs on purpose is a row with its reason; see docs/wire/replay.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "fakes/replay_suite.h"

#include <string.h>

#define SAVE "conductor Instance.save"
#define MIGRATION_SAVE "conductor Migration.save"
#define BDM_SAVE "conductor BlockDeviceMapping.save"
#define NODE_SAVE "conductor ComputeNode.save"
#define CACHE_SAVE "conductor InstanceInfoCache.save"
#define DIAGNOSTICS "reply get_instance_diagnostics"
#define GUEST "another guest: what it did differs, what is said of it does not"
#define INFO "scheduler fanout update_instance_info"
#define EVENT_START "conductor InstanceActionEvent.event_start"
#define EVENT_END "conductor InstanceActionEvent.event_finish_with_failure"
#define BUILT "boot boot_port boot_full boot_from_snapshot"
#define RESIZES "resize resize_again"
#define MANY_BOOTS "multi_boot/boot.1 multi_boot/boot.2 bench_boot/boot.1"
#define MANY_DELETES "multi_boot/delete.1 multi_boot/delete.2 bench_boot/delete.1"
#define EARLY "boot_delete_early/boot.1"
#define EARLY_HOST "boot_delete_early/host"
#define MANY_HOST "multi_boot/host bench_boot/host"
#define IN_TWO_SAVES "boot boot_port boot_full " MANY_BOOTS
#define BOOTS BUILT " boot_fails " EARLY " " MANY_BOOTS
#define DELETES "delete delete_full delete_port_kept delete_fromsnap"
#define ALL_DELETES DELETES " " MANY_DELETES
#define MY_STARTS \
    "startup_empty/start startup_with_instance/start startup_two_instances_shared/start"
#define RETURNS "evacuate_source_back_shared/start evacuate_source_back_local/start"
#define STARTS MY_STARTS " " RETURNS
#define OTHERS_NOW "it is the other host's by now"
#define TRACKED "the tracker knows the instances of this host"
#define MAIN_DATABASE "a replica of the database may be late"
#define DELETED_EARLY \
    "nova builds on to the last state and then writes it all; we hear of the delete at once"
#define NO_PCI "PCI devices are of a later day"
#define DISK_SIZES "the hypervisor knows how large its disks are"
#define LAZY "nova loads it when somebody looks at it; we do not look, or have it from the request"
#define ONE_SAVE "nobody can see the states between: one compare-and-set, docs/architecture.md 4"
#define FOUND_NO_PORT \
    "an event's refresh found no port yet and emptied the cache; ours waits for the boot"
#define BESIDE "nova makes the ports beside the boot and waits for them before the guest"
#define UNCHANGED "nova marks it as changed when it sets it to what it was"
#define READ_BACK "nova reads its own allocation to log it or to find providers for PCI and QoS"
#define AUDIT "nova's provider tree is read again at each claim; ours is kept by the audit"
#define GONE_COUNTS "nova keeps counting states that no instance is in any more"
#define EARLY_TASK "the claim comes with the task state networking"
#define AT_ONCE "what nova reads one by one is read with one request"
#define NO_TIMES "the conductor of this test keeps no times"
#define BUS_ADDRESS "data/devices/*/data/bus/data/address"
#define OTHER_BUS "the fake hypervisor gives other addresses"
#define POWER "stop start start_after_died guest_died_outside pause unpause resume"
#define AUDITED "nova had audited the host while the API's task state was set"
#define ANY_ORDER "either may be first"
#define DIRECT_COPY \
    "nova first asks the backend for a copy, which only Ceph can make, and starts again"
#define LOADED "schedulers do not look at it; nova sends what it happens to have loaded"
#define SAME_PORTS "conductor has it: it is what it was"
#define OTHER_DISK "another disk, in another folder"
#define BEATS "nova loaded the record of its service anew"
#define ONE_HOST "the ports stay bound to this host"
#define NOBODY_ELSE "a migration's allocation is nobody else's: no need to compare generations"
#define MTU_LOST "nova forgets the MTU of the networks it did not ask for"
#define MADE_ANEW "the recorded host's unrescue.xml is not here, so the guest is made anew"
#define NEW_PORT "only the new port is read"
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

    {"boot_port boot_full", REPLAY_WITHOUT, NODE_SAVE, "set/stats/num_vm_active", GONE_COUNTS},
    {"*", REPLAY_LESS, "conductor Instance.get_by_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor InstanceNUMATopology.get_by_instance_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor VirtCPUModel.get_by_instance_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor TrustedCerts.get_by_instance_uuid", NULL, LAZY},
    {"*", REPLAY_LESS, "conductor InstancePCIRequests.get_by_instance_uuid", NULL, LAZY},

    /* ---- boot ---- */
    {BOOTS, REPLAY_JOIN, SAVE "#2", SAVE "#1", ONE_SAVE},
    {BOOTS, REPLAY_JOIN, SAVE "#3", SAVE "#1", ONE_SAVE},
    {BOOTS, REPLAY_WITHOUT, SAVE "#1", "set/vm_state set/numa_topology set/resources", UNCHANGED},
    {BUILT " boot_fails " EARLY_HOST " " MANY_HOST, REPLAY_OTHER, NODE_SAVE "#1",
     "set/current_workload", EARLY_TASK},
    {BUILT " boot_fails " EARLY_HOST " " MANY_HOST, REPLAY_WITHOUT, NODE_SAVE,
     "set/stats/num_task_None", EARLY_TASK},
    {BUILT " boot_fails " EARLY_HOST " " MANY_HOST, REPLAY_WITH, NODE_SAVE,
     "set/stats/num_task_networking", EARLY_TASK},
    {BUILT " boot_fails " EARLY, REPLAY_BEFORE, "neutron P*", BDM_SAVE "#1", BESIDE},
    {BOOTS, REPLAY_BEFORE, "conductor VirtualInterface.create", BDM_SAVE "#1", BESIDE},
    {"boot boot_port boot_fails boot_from_snapshot multi_boot/boot.2 bench_boot/boot.1 " EARLY,
     REPLAY_BEFORE, CACHE_SAVE "#1", BDM_SAVE "#1", BESIDE},
    {"multi_boot/boot.1", REPLAY_LESS, CACHE_SAVE "#1", NULL, FOUND_NO_PORT},
    {"multi_boot/boot.1", REPLAY_BEFORE, CACHE_SAVE "#2", BDM_SAVE "#1", BESIDE},
    {"boot_full", REPLAY_LESS, CACHE_SAVE "#1", NULL, FOUND_NO_PORT},
    {"boot_full", REPLAY_BEFORE, CACHE_SAVE "#3", BDM_SAVE "#1", BESIDE},
    {BOOTS, REPLAY_JOIN, BDM_SAVE "#1", BDM_SAVE "#2", ONE_SAVE},
    {BOOTS, REPLAY_WITHOUT, SAVE "#4", "set/vm_state", UNCHANGED},
    {BOOTS, REPLAY_WITH, SAVE "#2", "kwargs/expected_task_state",
     "nova saves this state unconditionally; we find out about a delete here already"},
    {BOOTS, REPLAY_WITH, SAVE "#2", "set/info_cache set/system_metadata",
     "the ports are known by now; nova saves them with what the guest got"},
    {BOOTS, REPLAY_WITHOUT, SAVE "#5", "set/vm_state", UNCHANGED},
    {IN_TWO_SAVES, REPLAY_JOIN, SAVE "#6", SAVE "#7", ONE_SAVE},
    {IN_TWO_SAVES, REPLAY_WITHOUT, SAVE "#7", "set/info_cache", "saved with the ports"},
    {"boot_from_snapshot", REPLAY_WITHOUT, SAVE "#6", "set/info_cache", "saved with the ports"},
    {"boot_from_snapshot", REPLAY_WITHOUT, SAVE "#6", "set/device_metadata", UNCHANGED},
    {"boot_from_snapshot", REPLAY_WITH, SAVE "#4", "set/system_metadata",
     "takes back the note that there are ports, which the second save wrote"},
    {"boot boot_full " MANY_BOOTS, REPLAY_WITHOUT, SAVE "#7", "set/device_metadata", UNCHANGED},
    {"boot_port", REPLAY_OTHER, SAVE, "set/device_metadata/" BUS_ADDRESS, OTHER_BUS},
    {BUILT " boot_fails multi_boot/boot.2 bench_boot/boot.1 " EARLY, REPLAY_LESS, CACHE_SAVE "#2", NULL,
     "the event's refresh found what was stored already"},
    {BUILT " " MANY_BOOTS, REPLAY_AFTER, INFO, EVENT_END,
     "the action ends without waiting for what schedulers may hear later"},
    {BUILT " " MANY_BOOTS, REPLAY_OTHER, INFO, "args/instance_info/data/objects/*/data/updated_at",
     NO_TIMES},
    {BUILT " " MANY_BOOTS, REPLAY_OTHER, INFO,
     "args/instance_info/data/objects/*/data/info_cache/data/updated_at", NO_TIMES},
    {BUILT " " MANY_BOOTS, REPLAY_WITHOUT, INFO,
     "args/instance_info/data/objects/*/data/migration_context "
     "args/instance_info/data/objects/*/data/pci_devices",
     LOADED},
    {"boot_port", REPLAY_OTHER, INFO,
     "args/instance_info/data/objects/*/data/device_metadata/" BUS_ADDRESS, OTHER_BUS},
    {"boot_full", REPLAY_LESS, "neutron GET /v2.0/networks?shared=*", NULL,
     "an event's refresh that knows of no network yet lists them all"},
    {"boot_full", REPLAY_MORE, "neutron GET /v2.0/networks?id=*", NULL,
     "an event's refresh reads the network of the port it names"},
    {"boot_full", REPLAY_MORE, "neutron GET /v2.0/subnets*", NULL, AT_ONCE},
    {"boot_full", REPLAY_MORE, "neutron GET /v2.0/ports?device_owner=*", NULL, AT_ONCE},
    {"boot_full", REPLAY_LESS, "neutron GET /v2.0/ports?device_id=*", NULL,
     "the ports with their security groups were read for the network info"},
    {"boot_port", REPLAY_LESS, "neutron GET /v2.0/ports/*", NULL, AT_ONCE},
    {"boot_port", REPLAY_MORE, "neutron GET /v2.0/ports?id=*", NULL, AT_ONCE},

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
     CACHE_SAVE "#3", ANY_ORDER},
    {"boot_fails", REPLAY_OTHER, "conductor InstanceFault.create", "set/details",
     "where nova has a traceback, we have the error"},
    {"boot_fails", REPLAY_OTHER, "conductor InstanceFault.create", "set/message",
     "says in other words what is wrong with the image"},
    {"boot_fails", REPLAY_BEFORE, "placement DELETE /allocations/*", EVENT_END,
     "the action ends when all is done"},

    /* ---- a boot that is deleted ---- */
    {EARLY, REPLAY_LESS, SAVE "#6", NULL, DELETED_EARLY},
    {EARLY, REPLAY_LESS, SAVE "#7", NULL, DELETED_EARLY},
    {EARLY, REPLAY_LESS, SAVE "#8", NULL, DELETED_EARLY},
    {EARLY, REPLAY_AFTER, "conductor VirtualInterface.delete_by_instance_uuid#1", CACHE_SAVE "#3",
     ANY_ORDER},
    {EARLY, REPLAY_BEFORE, "placement DELETE /allocations/*#1", EVENT_END "#1",
     "the action ends when all is done"},
    {EARLY, REPLAY_AFTER, EVENT_START "#2", EVENT_END "#1",
     "the delete begins when the boot has ended; nova says so while it still waits"},
    {EARLY, REPLAY_LESS, CACHE_SAVE "#4", NULL, "the event's refresh found what was stored already"},
    {EARLY, REPLAY_JOIN, SAVE "#9", SAVE "#10", ONE_SAVE},
    {EARLY, REPLAY_WITHOUT, SAVE "#10",
     "set/info_cache set/power_state set/resources set/system_metadata", UNCHANGED},
    {EARLY_HOST, REPLAY_OTHER, NODE_SAVE, "set/stats/failed_builds",
     "counted when the claim has been given back: the next save of the node has it"},
    {EARLY_HOST " bench_boot/host", REPLAY_WITHOUT, NODE_SAVE, "set/stats/num_vm_active",
     GONE_COUNTS},
    {EARLY_HOST, REPLAY_LESS, "neutron GET /v2.0/networks?shared=*", NULL,
     "an event's refresh that knows of no network yet lists them all"},

    /* ---- several at once ---- */
    {"multi_boot/host", REPLAY_OTHER, NODE_SAVE, "set/stats/failed_builds",
     "the recorded host had failed before"},
    {"multi_boot/host", REPLAY_OTHER, NODE_SAVE "#2", "set/current_workload", EARLY_TASK},
    {"multi_boot/delete.2 bench_boot/delete.1", REPLAY_LESS, CACHE_SAVE "#2", NULL,
     "the event's refresh waits until the delete has ended, and then there is no instance"},

    /* ---- delete ---- */
    {ALL_DELETES, REPLAY_JOIN, SAVE "#1", SAVE "#2", ONE_SAVE},
    {ALL_DELETES, REPLAY_WITHOUT, SAVE "#2", "set/resources", UNCHANGED},
    {ALL_DELETES, REPLAY_WITHOUT, SAVE "#2", "set/system_metadata", COUNTED},
    {DELETES, REPLAY_WITHOUT, NODE_SAVE, "set/current_workload", AUDITED},
    {"delete", REPLAY_WITHOUT, SAVE "#2", "set/cleaned", UNCHANGED},
    {"delete", REPLAY_WITHOUT, NODE_SAVE,
     "set/cpu_info set/disk_available_least set/host_ip set/hypervisor_* set/local_gb "
     "set/memory_mb set/metrics set/numa_topology set/supported_hv_specs set/vcpus",
     "the recorded nova-compute had just started, and saved its node for the first time"},
    {"delete_port_kept delete_fromsnap", REPLAY_WITHOUT, NODE_SAVE, "set/stats/num_vm_building",
     GONE_COUNTS},
    {"delete_port_kept", REPLAY_LESS, "neutron GET /v2.0/ports/*", NULL,
     "the list of ports had all fields"},
    {"delete_port_kept", REPLAY_LESS, "neutron GET /v2.0/networks/*?fields=dns_domain", NULL,
     "asked only for ports with a DNS name"},
    {"delete_full delete_fromsnap", REPLAY_LESS, CACHE_SAVE "#1", NULL,
     "the event's refresh waits until the delete has ended, and then there is no instance"},
    {"delete_full", REPLAY_AFTER, "neutron DELETE *#1", "neutron DELETE *#2", ANY_ORDER},

    /* ---- power ---- */
    {POWER, REPLAY_WITHOUT, SAVE, "set/new_flavor set/old_flavor", UNCHANGED},
    {"start start_after_died reboot_hard", REPLAY_WITHOUT, SAVE,
     "set/resources set/trusted_certs", UNCHANGED},
    {"start resume reboot_soft reboot_hard inject_network_info", REPLAY_LESS, CACHE_SAVE, NULL,
     SAME_PORTS},
    {"start resume reboot_soft reboot_hard", REPLAY_WITHOUT, SAVE, "set/info_cache",
     SAME_PORTS},
    {"guest_died_outside reboot_soft reboot_hard", REPLAY_WITHOUT, SAVE, "set/power_state",
     UNCHANGED},
    {"reboot_soft reboot_hard", REPLAY_WITHOUT, SAVE "#3", "set/vm_state", UNCHANGED},
    {"reboot_soft reboot_hard", REPLAY_WITH, SAVE "#3", "kwargs/expected_task_state",
     "nova overwrites whatever others did meanwhile"},
    {"reboot_soft", REPLAY_LESS, "neutron GET *", NULL,
     "the guest keeps its devices, so nothing is to be known of its ports"},

    /* ---- images ---- */
    {"snapshot", REPLAY_LESS, SAVE "#2", NULL, "the power state is what it was"},
    {"create_backup", REPLAY_LESS, SAVE "#1", NULL, "the power state is what it was"},
    {"create_backup", REPLAY_WITHOUT, SAVE "#2", "set/new_flavor set/old_flavor", UNCHANGED},
    {"snapshot", REPLAY_LESS, SAVE "#4", NULL, DIRECT_COPY},
    {"snapshot", REPLAY_LESS, SAVE "#5", NULL, DIRECT_COPY},
    {"create_backup", REPLAY_LESS, SAVE "#3", NULL, DIRECT_COPY},
    {"create_backup", REPLAY_LESS, SAVE "#4", NULL, DIRECT_COPY},
    {"shelve", REPLAY_LESS, SAVE "#2", NULL, DIRECT_COPY},
    {"shelve", REPLAY_LESS, SAVE "#3", NULL, DIRECT_COPY},
    {"shelve", REPLAY_LESS, SAVE "#6", NULL, COUNTED},
    {"shelve", REPLAY_WITHOUT, SAVE "#7", "set/power_state", UNCHANGED},
    {"shelve", REPLAY_WITH, SAVE "#4", "set/info_cache", "nova saves it with the removed files"},
    {"shelve", REPLAY_WITHOUT, NODE_SAVE, "set/current_workload", AUDITED},

    /* ---- rebuild ---- */
    {"rebuild", REPLAY_WITHOUT, SAVE "#1", "set/power_state set/task_state set/trusted_certs",
     UNCHANGED},
    {"rebuild", REPLAY_LESS, SAVE "#2", NULL, COUNTED},
    {"rebuild", REPLAY_JOIN, SAVE "#5", SAVE "#6", ONE_SAVE},
    {"rebuild", REPLAY_WITHOUT, SAVE "#6", "set/device_metadata set/power_state set/vm_state",
     UNCHANGED},
    {"rebuild", REPLAY_WITHOUT, SAVE "#6", "set/system_metadata/clean_attempts", COUNTED},
    {"rebuild", REPLAY_LESS, SAVE "#7", NULL, "only an evacuation changes the host"},
    {"rebuild", REPLAY_LESS, "conductor Instance.drop_migration_context", NULL,
     "only an evacuation has one"},
    {"rebuild", REPLAY_AFTER, EVENT_END, INFO, ANY_ORDER},
    {"rebuild", REPLAY_OTHER, INFO, "args/instance_info/data/objects/*/data/cleaned", COUNTED},
    {"rebuild", REPLAY_WITHOUT, INFO,
     "args/instance_info/data/objects/*/data/system_metadata/clean_attempts", COUNTED},
    {"rebuild", REPLAY_WITHOUT, INFO,
     "args/instance_info/data/objects/*/data/device_metadata "
     "args/instance_info/data/objects/*/data/migration_context "
     "args/instance_info/data/objects/*/data/pci_* "
     "args/instance_info/data/objects/*/data/resources "
     "args/instance_info/data/objects/*/data/trusted_certs", LOADED},

    /* ---- resize on one host ---- */
    {RESIZES, REPLAY_WITHOUT, MIGRATION_SAVE "#1", "set/status", UNCHANGED},
    {RESIZES, REPLAY_WITHOUT, SAVE "#2", "set/resources", UNCHANGED},
    {RESIZES " resize_confirm resize_revert", REPLAY_WITHOUT, NODE_SAVE, "set/running_vms", UNCHANGED},
    {RESIZES, REPLAY_WITHOUT, "compute.vm *",
     "args/instance/data/pci_* args/instance/data/resources", LAZY},
    {RESIZES, REPLAY_OTHER, "compute.vm *", "args/migration/data/updated_at", NO_TIMES},
    {"resize", REPLAY_LESS, CACHE_SAVE "#1", NULL, SAME_PORTS},
    {"resize", REPLAY_WITHOUT, SAVE "#3", "set/info_cache", UNCHANGED},
    {RESIZES, REPLAY_WITHOUT, SAVE "#3", "set/migration_context set/resources", UNCHANGED},
    {RESIZES, REPLAY_WITHOUT, SAVE "#4", "set/host set/node set/migration_context", UNCHANGED},
    {RESIZES, REPLAY_OTHER, "compute.vm finish_resize", "args/disk_info/json/*/*", OTHER_DISK},
    {RESIZES, REPLAY_OTHER, "compute.vm finish_resize",
     "args/instance/data/services/data/objects/*/data/report_count", BEATS},
    {RESIZES, REPLAY_WITHOUT, SAVE "#5",
     "set/ephemeral_gb set/migration_context set/numa_topology set/old_flavor set/pci_* "
     "set/resources set/root_gb set/vcpus", UNCHANGED},
    {RESIZES, REPLAY_WITHOUT, SAVE "#6",
     "set/device_metadata set/migration_context set/pci_* set/trusted_certs", UNCHANGED},
    {RESIZES, REPLAY_WITHOUT, INFO,
     "args/instance_info/data/objects/*/data/device_metadata "
     "args/instance_info/data/objects/*/data/pci_* "
     "args/instance_info/data/objects/*/data/resources "
     "args/instance_info/data/objects/*/data/trusted_certs", LOADED},
    {RESIZES, REPLAY_OTHER, INFO,
     "args/instance_info/data/objects/*/data/services/data/objects/*/data/report_count", BEATS},
    {RESIZES, REPLAY_LESS, "neutron GET /v2.0/ports/*/bindings/vm", NULL, ONE_HOST},
    {RESIZES, REPLAY_LESS, "conductor Migration.get_by_id", NULL, LAZY},

    {"resize_confirm resize_revert", REPLAY_LESS, CACHE_SAVE "#1", NULL, SAME_PORTS},
    {"resize_confirm resize_revert", REPLAY_LESS, "conductor Instance.drop_migration_context",
     NULL, "a save of null drops it, too"},
    {"resize_confirm resize_revert", REPLAY_LESS, "neutron GET /v2.0/ports?binding:host_id=*",
     NULL, ONE_HOST},
    {"resize_confirm", REPLAY_WITHOUT, SAVE "#1", "set/info_cache set/task_state", UNCHANGED},
    {"resize_confirm", REPLAY_LESS, "neutron GET *", NULL, ONE_HOST},
    {"resize_confirm", REPLAY_LESS, "placement PUT /allocations/*", NULL, NOBODY_ELSE},
    {"resize_confirm", REPLAY_MORE, "placement DELETE /allocations/*", NULL, NOBODY_ELSE},
    {"resize_confirm", REPLAY_LESS, "scheduler fanout delete_instance_info", NULL,
     "on one host it makes schedulers forget a guest that is still there"},
    {"resize_revert", REPLAY_WITHOUT, SAVE "#1",
     "set/info_cache set/migration_context set/numa_topology set/pci_* set/resources", UNCHANGED},
    {"resize_revert", REPLAY_WITH, SAVE "#1", "set/task_state",
     "so that there is a save that finds out whether somebody deletes"},
    {"resize_revert", REPLAY_WITHOUT, "compute.vm finish_revert_resize",
     "args/instance/data/migration_context args/instance/data/pci_* args/instance/data/resources",
     LAZY},
    {"resize_revert", REPLAY_WITHOUT, SAVE "#2",
     "set/ephemeral_gb set/host set/node set/info_cache set/migration_context set/numa_topology "
     "set/pci_* set/resources set/root_gb set/vcpus", UNCHANGED},
    {"resize_revert", REPLAY_WITHOUT, "placement POST /allocations",
     "body/*/allocations/*/generation", "nova sends back what it read; placement ignores it"},
    {"resize_revert", REPLAY_JOIN, SAVE "#3", SAVE "#4", ONE_SAVE},
    {"resize_revert", REPLAY_WITHOUT, SAVE "#5", "set/vcpu_model", UNCHANGED},
    {"resize_revert", REPLAY_LESS, "neutron GET /v2.0/ports/*/bindings/vm", NULL, ONE_HOST},

    /* ---- unshelve, rescue ---- */
    {"unshelve", REPLAY_JOIN, SAVE "#2", SAVE "#1", ONE_SAVE},
    {"unshelve", REPLAY_WITHOUT, SAVE "#1", "set/auto_disk_config set/key_data", UNCHANGED},
    {"unshelve", REPLAY_WITHOUT, SAVE "#1", "set/image_ref",
     "the row names the image it was booted from all the time"},
    {"unshelve", REPLAY_WITH, SAVE "#1", "kwargs/expected_task_state",
     "nova saves this state unconditionally; we find out about a delete here already"},
    {"unshelve", REPLAY_WITH, SAVE "#1", "set/resources", "the claim writes it"},
    {"unshelve", REPLAY_WITHOUT, NODE_SAVE, "set/stats/num_task_None set/stats/num_vm_active",
     GONE_COUNTS},
    {"unshelve", REPLAY_WITHOUT, SAVE "#3",
     "set/auto_disk_config set/device_metadata set/info_cache set/key_data set/resources "
     "set/trusted_certs", UNCHANGED},
    {"unshelve", REPLAY_AFTER, "glance DELETE *", SAVE "#3",
     "the image goes when the guest is surely there"},
    {"unshelve", REPLAY_WITHOUT, INFO,
     "args/instance_info/data/objects/*/data/device_metadata "
     "args/instance_info/data/objects/*/data/migration_context "
     "args/instance_info/data/objects/*/data/pci_* "
     "args/instance_info/data/objects/*/data/trusted_certs", LOADED},
    {"rescue unrescue", REPLAY_LESS, CACHE_SAVE, NULL, SAME_PORTS},
    {"rescue unrescue", REPLAY_WITHOUT, SAVE, "set/info_cache set/power_state", UNCHANGED},
    {"rescue", REPLAY_WITHOUT, SAVE, "set/device_metadata set/resources set/trusted_certs",
     UNCHANGED},
    {"unrescue", REPLAY_WITHOUT, SAVE, "set/new_flavor set/old_flavor", UNCHANGED},
    {"unrescue", REPLAY_MORE, "conductor BlockDeviceMappingList.get_by_instance_uuid", NULL,
     MADE_ANEW},
    {"unrescue", REPLAY_WITH, SAVE, "set/vcpu_model", MADE_ANEW},

    /* ---- interfaces ---- */
    {"attach_interface detach_interface", REPLAY_WITHOUT, SAVE "#1",
     "set/new_flavor set/old_flavor", UNCHANGED},
    {"attach_interface", REPLAY_JOIN, SAVE "#2", SAVE "#1", ONE_SAVE},
    {"attach_interface", REPLAY_OTHER, CACHE_SAVE "#1", "set/network_info/json/*/network/meta/mtu",
     MTU_LOST},
    {"attach_interface", REPLAY_OTHER, SAVE "#1",
     "set/info_cache/data/network_info/json/*/network/meta/mtu", MTU_LOST},
    {"attach_interface", REPLAY_LESS, CACHE_SAVE "#2", NULL, SAME_PORTS},
    {"attach_interface", REPLAY_LESS, "neutron GET /v2.0/subnets*", NULL, NEW_PORT},
    {"attach_interface", REPLAY_LESS, "neutron GET /v2.0/ports?device_owner=*", NULL, NEW_PORT},
    {"detach_interface", REPLAY_LESS, CACHE_SAVE "#2", NULL, SAME_PORTS},
    {"detach_interface", REPLAY_OTHER, SAVE "#1",
     "set/info_cache/data/network_info/json/*/network/meta/mtu",
     "the cache had lost it, and is not read again for the ports that stay"},
    {"detach_interface", REPLAY_LESS, "neutron GET *", NULL, "the ports that stay are known"},
    {"detach_interface", REPLAY_MORE, "conductor *List.get_by_instance_uuid", NULL,
     "for the metadata of the devices that are left"},

    /* ---- others ---- */
    {"set_admin_password", REPLAY_LESS, SAVE "#2", NULL, "nova resets the task state twice"},
    {"set_admin_password", REPLAY_OTHER, EVENT_END, "kwargs/exc_tb",
     "where nova has a traceback, we have the error"},
    {"diagnostics", REPLAY_OTHER, DIAGNOSTICS, "result/data/cpu_details/*/data/time", GUEST},
    {"diagnostics", REPLAY_OTHER, DIAGNOSTICS, "result/data/disk_details/*/data/*", GUEST},
    {"diagnostics", REPLAY_OTHER, DIAGNOSTICS, "result/data/nic_details/*/data/*", GUEST},
    {"diagnostics", REPLAY_OTHER, DIAGNOSTICS, "result/data/memory_details/data/*", GUEST},
    {"diagnostics", REPLAY_OTHER, DIAGNOSTICS, "result/data/uptime", GUEST},
    {"service_disable service_enable", REPLAY_MORE, "placement GET /resource_providers/*", NULL,
     "nova keeps the provider in memory between audits"},
    /* ---- the start ---- */
    {STARTS, REPLAY_OTHER, "conductor ping", "args/arg", "any text will do"},
    {MY_STARTS, REPLAY_LESS, NODE_SAVE, NULL, "nova saves its node at its start, changed or not"},
    {STARTS, REPLAY_LESS, "conductor ComputeNode.get_by_host_and_nodename", NULL, AT_ONCE},
    {STARTS, REPLAY_LESS, "conductor PciDeviceList.get_by_compute_node", NULL, NO_PCI},
    {STARTS, REPLAY_MORE, "conductor Service.get_minimum_version", NULL,
     "nova asks only for computes; we adapt to the release of the control plane"},
    {STARTS, REPLAY_LESS, "conductor InstanceList.get_by_host", NULL, AT_ONCE},
    {STARTS, REPLAY_MORE, "conductor InstanceList.get_by_host", NULL, AT_ONCE},
    {"startup_with_instance/start startup_two_instances_shared/start "
     "evacuate_source_back_local/start", REPLAY_WITH, INFO,
     "args/instance_info/data/objects/*/data/migration_context "
     "args/instance_info/data/objects/*/data/resources",
     LOADED},
    {"startup_with_instance/start", REPLAY_LESS, "placement GET ", NULL,
     "that placement answers is seen when it is asked"},
    {"startup_with_instance/start", REPLAY_LESS, "placement GET /resource_providers*", NULL,
     "there is one provider, and nobody shares disks with it over placement"},
    {"startup_with_instance/start", REPLAY_MORE, "placement GET /resource_providers/*", NULL,
     "its record and generation; nova lists the tree"},
    {"startup_with_instance/start startup_two_instances_shared/start "
     "evacuate_source_back_local/start",
     REPLAY_MORE, "conductor BlockDeviceMappingList.get_by_instance_uuids", NULL,
     "the same, with the name"},

    /* ---- a host comes back after an evacuation ---- */
    {RETURNS, REPLAY_LESS, CACHE_SAVE, NULL, OTHERS_NOW},
    {"evacuate_source_back_local/start", REPLAY_LESS, SAVE, NULL, OTHERS_NOW},
    {RETURNS, REPLAY_BEFORE, NODE_SAVE, "compute.cmp2 check_instance_shared_storage",
     "what is left of others is cleaned up when this host is ready for its own"},
    {"evacuate_source_back_local/start", REPLAY_ANYTIME, INFO, NULL,
     "the clean-up works in the instances' lanes, and nobody waits for it"},
    {"evacuate_source_back_shared/start", REPLAY_WITHOUT, NODE_SAVE, "set/current_workload", UNCHANGED},
    {RETURNS, REPLAY_WITHOUT, NODE_SAVE,
     "set/cpu_info set/disk_available_least set/host_ip set/hypervisor_* set/local_gb set/memory_mb "
     "set/metrics set/numa_topology set/supported_hv_specs set/vcpus",
     "nova saves its node at its start, changed or not"},
    {RETURNS, REPLAY_OTHER, "compute.cmp2 check_instance_shared_storage", "args/data/filename",
     "in another folder, with a name of its own"},
    {RETURNS, REPLAY_MORE, "conductor MigrationList.get_in_progress_by_host_and_node", NULL,
     "moves that an earlier run has left, which nova does not look for"},

    /* ---- periodic jobs ---- */
    {"*", REPLAY_LESS, "conductor InstanceList.get_by_filters", NULL, DISK_SIZES},
    {"*", REPLAY_LESS, "conductor BlockDeviceMappingList.get_by_instance_uuids", NULL, DISK_SIZES},
    {"*/update_available_resource", REPLAY_MORE, "conductor Service.get_by_host_and_binary", NULL,
     "nova looks it up by the host alone"},
    {"metadata_update/update_available_resource", REPLAY_WITHOUT, NODE_SAVE,
     "set/cpu_info set/current_workload set/disk_available_least set/free_* set/host_ip "
     "set/hypervisor_* set/local_gb* set/memory_mb* set/metrics set/numa_topology set/running_vms "
     "set/supported_hv_specs set/vcpus*",
     "the recorded nova-compute had just started, and saved its node for the first time"},
    {"*/heal_instance_info_cache", REPLAY_LESS, "conductor InstanceList.get_by_host", NULL,
     TRACKED},
    {"*/sync_scheduler_instance_info", REPLAY_LESS, "conductor InstanceList.get_by_host", NULL,
     TRACKED},
    {"*/heal_instance_info_cache", REPLAY_LESS, "neutron GET /v2.0/ports?*fields=binding*", NULL,
     "the list of the ports has all of their fields"},
    {"*/heal_instance_info_cache", REPLAY_LESS, CACHE_SAVE, NULL, SAME_PORTS},
    {"*/sync_power_states", REPLAY_LESS, "conductor InstanceList.get_by_host", NULL, MAIN_DATABASE},
    {"*/sync_power_states", REPLAY_LESS, "conductor Instance.refresh", NULL,
     "it is in the list, and that is of now"},
    {"*/sync_power_states", REPLAY_MORE, "conductor InstanceList.get_by_host", NULL, MAIN_DATABASE},
    {"*/cleanup_running_deleted_instances", REPLAY_MORE, "conductor InstanceList.get_by_filters",
     NULL, MAIN_DATABASE},
    {"*/cleanup_running_deleted_instances", REPLAY_LESS, "conductor Instance.refresh", NULL,
     "it is in the list, and that is of now"},

    {"hypervisor_show", REPLAY_OTHER, "reply get_host_uptime", "result", "another host"},
};
// clang-format on

static const ReplayHow talks[] = {
    {.name = "boot", .hold = "start"},
    {.name = "boot_port", .hold = "start"},
    {.name = "boot_full", .hold = "start", .latest = true},
    {.name = "boot_from_snapshot", .hold = "start", .latest = true, .neighbour = true},
    {.name = "boot_fails", .broken_image = true},
    {.name = "delete", .hold = "destroy", .guest = REPLAY_GUEST_RUNNING},
    {.name = "delete_full", .hold = "destroy", .guest = REPLAY_GUEST_RUNNING},
    {.name = "delete_fromsnap",
     .hold = "destroy",
     .guest = REPLAY_GUEST_RUNNING,
     .neighbour = true},
    {.name = "delete_port_kept", .hold = "destroy", .guest = REPLAY_GUEST_RUNNING},
    {.name = "stop", .guest = REPLAY_GUEST_RUNNING},
    {.name = "start", .guest = REPLAY_GUEST_OFF},
    {.name = "start_after_died", .guest = REPLAY_GUEST_OFF},
    {.name = "guest_died_outside", .guest = REPLAY_GUEST_OFF},
    {.name = "reboot_soft", .guest = REPLAY_GUEST_RUNNING},
    {.name = "reboot_hard", .guest = REPLAY_GUEST_RUNNING},
    {.name = "pause", .guest = REPLAY_GUEST_RUNNING},
    {.name = "unpause", .guest = REPLAY_GUEST_PAUSED},
    {.name = "suspend", .guest = REPLAY_GUEST_RUNNING},
    {.name = "resume", .guest = REPLAY_GUEST_OFF},
    {.name = "snapshot", .guest = REPLAY_GUEST_RUNNING},
    {.name = "create_backup", .guest = REPLAY_GUEST_RUNNING},
    {.name = "shelve", .guest = REPLAY_GUEST_RUNNING},
    {.name = "rebuild", .guest = REPLAY_GUEST_RUNNING},
    {.name = "unshelve", .hold = "start"},
    {.name = "rescue", .guest = REPLAY_GUEST_RUNNING},
    {.name = "unrescue", .guest = REPLAY_GUEST_RUNNING},
    {.name = "attach_interface", .guest = REPLAY_GUEST_RUNNING},
    {.name = "detach_interface", .guest = REPLAY_GUEST_RUNNING},
    {.name = "resize", .guest = REPLAY_GUEST_RUNNING},
    {.name = "resize_again", .guest = REPLAY_GUEST_RUNNING},
    {.name = "resize_confirm", .guest = REPLAY_GUEST_RUNNING, .moved = true},
    {.name = "resize_revert", .hold = "start", .guest = REPLAY_GUEST_RUNNING, .moved = true},
    {.name = "diagnostics", .guest = REPLAY_GUEST_RUNNING},
    {.name = "set_admin_password", .guest = REPLAY_GUEST_RUNNING},
    {.name = "inject_network_info", .guest = REPLAY_GUEST_RUNNING},
    {.name = "crash_dump", .guest = REPLAY_GUEST_RUNNING},
    {.name = "image_cache"},
    {.name = "console_log", .guest = REPLAY_GUEST_RUNNING},
    {.name = "console_log_length", .guest = REPLAY_GUEST_RUNNING},
    {.name = "vnc_console",
     .guest = REPLAY_GUEST_RUNNING,
     .screen = true,
     .options = "[vnc]\nnovncproxy_base_url = http://127.0.0.1:6080/vnc_lite.html\n"},
    {.name = "service_disable"},
    {.name = "service_enable"},
    {.name = "hypervisor_show"},
    /* several operations */
    {.name = "boot_delete_early", .hold = "start"},
    {.name = "multi_boot"},
    {.name = "bench_boot"},
    /* what the host does by itself */
    {.name = "startup_empty", .start = true},
    {.name = "startup_with_instance", .start = true, .guest = REPLAY_GUEST_RUNNING},
    {.name = "startup_two_instances_shared",
     .start = true,
     .guest = REPLAY_GUEST_RUNNING,
     .options = "my_ip = 198.18.0.11\n"},
    {.name = "evacuate_source_back_shared",
     .start = true,
     .guest = REPLAY_GUEST_OFF,
     .options = "my_ip = 198.18.0.11\n"},
    {.name = "evacuate_source_back_local",
     .start = true,
     .guest = REPLAY_GUEST_OFF,
     .options = "my_ip = 198.18.0.11\n"},
    {.name = "periodic_idle_empty"},
    {.name = "periodic_idle_one", .guest = REPLAY_GUEST_RUNNING},
    {.name = "metadata_update", .guest = REPLAY_GUEST_RUNNING},
};

int main(int argc, char **argv)
{
    const ReplaySuite suite = {
        .talks = talks,
        .talk_count = G_N_ELEMENTS(talks),
        .rows = rows,
        .row_count = G_N_ELEMENTS(rows),
        .folder = "tests/wire/data/replay",
    };

    return replay_suite_run(&suite, argc, argv);
}
