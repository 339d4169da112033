/* Rows of nova's own groups, [libvirt] aside. */
#include "agent/options_priv.h"

/* clang-format off */
static const DvOption rows[] = {
    /* ---- who we are ---- */
    OPT_STR("DEFAULT", "host", NULL, "Name of this host: of its queues, its service record and its"
            " instances. Must never change. Default: the host name."),
    OPT_STR("DEFAULT", "my_ip", NULL, "Management address of this host. Default: the address of the"
            " interface of the default route, else 127.0.0.1."),
    OPT_STR("DEFAULT", "my_block_storage_ip", "$my_ip", "Address told to volume backends.",
            UNHONOURED),
    /* Where nova's Python modules are: only so that $pybasedir means what it does for nova. */
    OPT_STR("DEFAULT", "pybasedir", "/usr/lib/python3/dist-packages", "Only for $pybasedir in"
            " other values.", IGNORED),
    /* nova's default is $pybasedir, which every distribution overrides with this. */
    OPT_STR("DEFAULT", "state_path", "/var/lib/nova", "Folder of what must survive a restart."),
    OPT_STR("DEFAULT", "instances_path", "$state_path/instances", "Folder of the instances' disks"
            " and of the image cache."),
    OPT_STR("DEFAULT", "compute_driver", NULL, "Must be libvirt.LibvirtDriver."),
    OPT_STR("DEFAULT", "instance_name_template", "instance-%08x", "Name of a guest, from the"
            " instance's id; also %(uuid)s and %(id)d."),

    /* ---- service record and RPC ---- */
    OPT_INT("DEFAULT", "report_interval", "10", "Seconds between two heartbeats.", AT_LEAST(1)),
    OPT_INT("DEFAULT", "service_down_time", "60", "Seconds without a heartbeat after which a service"
            " counts as down; raised to 2.5 report intervals where it is less than one.",
            AT_LEAST(1)),
    OPT_INT("DEFAULT", "long_rpc_timeout", "1800", "Seconds that long calls to peers may take.",
            AT_LEAST(1), IGNORED),
    OPT_STR("upgrade_levels", "compute", NULL, "Version or release name that calls to peer hosts"
            " are held to; auto: found out.", UNHONOURED),
    OPT_STR("upgrade_levels", "conductor", NULL, "The same for calls to conductor.", UNHONOURED),
    OPT_STR("upgrade_levels", "scheduler", NULL, "The same for calls to the scheduler.",
            UNHONOURED),
    OPT_STR("upgrade_levels", "baseapi", NULL, "The same for the base API.", IGNORED),
    OPT_STR("upgrade_levels", "cert", NULL, "Gone.", IGNORED),

    /* ---- concurrency and time limits ---- */
    OPT_INT("DEFAULT", "max_concurrent_builds", "10", "Boots at a time; 0: no limit.", AT_LEAST(0)),
    OPT_INT("DEFAULT", "max_concurrent_snapshots", "5", "Snapshots at a time; 0: no limit.",
            AT_LEAST(0)),
    OPT_INT("DEFAULT", "max_concurrent_live_migrations", "1", "Live migrations from this"
            " host at a time; 0: as many as are asked for.", AT_LEAST(0)),
    OPT_BOOL("DEFAULT", "vif_plugging_is_fatal", "true", "Whether a boot fails when neutron does not"
             " report its port as plugged."),
    OPT_INT("DEFAULT", "vif_plugging_timeout", "300", "Seconds to wait for that report; 0: do not"
            " wait.", AT_LEAST(0)),
    OPT_INT("DEFAULT", "network_allocate_retries", "0", "How often allocating networks is tried"
            " again.", AT_LEAST(0), UNHONOURED),
    OPT_INT("DEFAULT", "block_device_allocate_retries", "60", "How often a volume that is being"
            " created is looked at.", AT_LEAST(0), UNHONOURED),
    OPT_INT("DEFAULT", "block_device_allocate_retries_interval", "3", "Seconds between these.",
            AT_LEAST(0), UNHONOURED),
    OPT_INT("DEFAULT", "live_migration_retry_count", "30", "Tries to set networks up at the"
            " destination.", AT_LEAST(0)),
    OPT_INT("DEFAULT", "shutdown_timeout", "60", "Seconds a guest gets to power itself off.",
            AT_LEAST(0)),
    OPT_INT("compute", "shutdown_retry_interval", "10", "Seconds between two reminders to it.",
            AT_LEAST(1)),
    OPT_INT("DEFAULT", "arq_binding_timeout", "300", "Seconds to wait for accelerators.",
            AT_LEAST(1), UNHONOURED),
    OPT_INT("DEFAULT", "reimage_timeout_per_gb", "20", "Seconds per GiB to wait for a volume's new"
            " image.", AT_LEAST(1), UNHONOURED),
    OPT_INT("DEFAULT", "reboot_timeout", "0", "Seconds after which a reboot counts as stuck; 0:"
            " never.", AT_LEAST(0)),
    OPT_INT("DEFAULT", "instance_build_timeout", "0", "Seconds after which a boot counts as stuck;"
            " 0: never.", AT_LEAST(0)),
    OPT_INT("DEFAULT", "rescue_timeout", "0", "Seconds after which a rescue is ended; 0: never.",
            AT_LEAST(0)),
    OPT_INT("DEFAULT", "resize_confirm_window", "0", "Seconds after which a resize confirms itself;"
            " 0: never.", AT_LEAST(0)),
    OPT_INT("DEFAULT", "shelved_offload_time", "0", "Seconds until a shelved instance leaves the"
            " host; -1: never."),
    OPT_INT("DEFAULT", "shelved_poll_interval", "3600", "Seconds between two looks for these."),

    /* ---- capacity ---- */
    OPT_INT("DEFAULT", "reserved_host_memory_mb", "512", "MiB of memory kept from guests.",
            AT_LEAST(0)),
    OPT_INT("DEFAULT", "reserved_host_disk_mb", "0", "MiB of disk kept from guests.", AT_LEAST(0)),
    OPT_INT("DEFAULT", "reserved_host_cpus", "0", "CPUs kept from guests.", AT_LEAST(0)),
    OPT_FLOAT("DEFAULT", "cpu_allocation_ratio", NULL, "Virtual CPUs per CPU; overrides what"
              " placement has.", AT_LEAST(0)),
    OPT_FLOAT("DEFAULT", "ram_allocation_ratio", NULL, "The same for memory.", AT_LEAST(0)),
    OPT_FLOAT("DEFAULT", "disk_allocation_ratio", NULL, "The same for disk.", AT_LEAST(0)),
    OPT_FLOAT("DEFAULT", "initial_cpu_allocation_ratio", "16.0", "Virtual CPUs per CPU where"
              " placement has none yet.", AT_LEAST(0)),
    OPT_FLOAT("DEFAULT", "initial_ram_allocation_ratio", "1.5", "The same for memory.",
              AT_LEAST(0)),
    OPT_FLOAT("DEFAULT", "initial_disk_allocation_ratio", "1.0", "The same for disk.",
              AT_LEAST(0)),
    OPT_MULTI("DEFAULT", "reserved_huge_pages", NULL, "Huge pages kept from guests.", UNHONOURED),
    OPT_STR("DEFAULT", "vcpu_pin_set", NULL, "Old way to say which CPUs guests may use.",
            UNHONOURED),
    OPT_LIST("DEFAULT", "compute_monitors", "", "Metrics for the scheduler.", UNHONOURED),
    OPT_STR("compute", "cpu_shared_set", NULL, "CPUs that guests share, \"0-3,^2\"."),
    OPT_STR("compute", "cpu_dedicated_set", NULL, "CPUs that guests may have to themselves.",
            UNHONOURED),
    OPT_INT("compute", "consecutive_build_service_disable_threshold", "10", "Failed boots in a row"
            " that make the scheduler avoid this host; 0: not counted.", AT_LEAST(0)),
    OPT_INT("compute", "resource_provider_association_refresh", "300", "Seconds until inventory,"
            " traits and aggregates are read from placement again; 0: never.", AT_LEAST(0), RELOAD),
    OPT_STR("compute", "provider_config_location", "/etc/nova/provider_config/", "Folder of YAML"
            " files with further inventory.", UNHONOURED),
    OPT_LIST("compute", "image_type_exclude_list", "", "Image formats this host does not offer."),
    OPT_LIST("compute", "vmdk_allowed_types", "streamOptimized,monolithicSparse", "Kinds of VMDK"
             " image that may be used."),
    OPT_INT("compute", "max_disk_devices_to_attach", "-1", "Disks per guest; -1: no limit.",
            AT_LEAST(-1)),
    OPT_INT("compute", "max_concurrent_disk_ops", "0", "Disk copies at a time; 0: no limit.",
            AT_LEAST(0), UNHONOURED),
    OPT_BOOL("compute", "live_migration_wait_for_vif_plug", "true", "Whether a live migration waits"
             " to this host waits for the ports here."),
    OPT_BOOL("compute", "packing_host_numa_cells_allocation_strategy", "false", "Fill one NUMA cell"
             " after the other.", UNHONOURED),
    OPT_BOOL("filter_scheduler", "track_instance_changes", "true", "Tell the scheduler of each"
             " instance that comes or goes."),
    OPT_STR("filter_scheduler", "*", NULL, NULL, IGNORED),

    /* ---- instances ---- */
    OPT_BOOL("DEFAULT", "resume_guests_state_on_host_boot", "false", "Start the guests that ran"
             " before this host was booted."),
    OPT_STR("DEFAULT", "running_deleted_instance_action", "reap", "What happens to a guest whose"
            " instance is deleted.", CHOICES("reap|log|shutdown|noop")),
    OPT_INT("DEFAULT", "running_deleted_instance_poll_interval", "1800", "Seconds between two looks"
            " for these; 0: 60, below 0: never."),
    OPT_INT("DEFAULT", "running_deleted_instance_timeout", "0", "Seconds after the deletion that"
            " they are left alone."),
    OPT_INT("DEFAULT", "reclaim_instance_interval", "0", "Seconds for which a deleted instance can"
            " be restored; 0: deletes are final."),
    OPT_INT("DEFAULT", "instance_delete_interval", "300", "Seconds between two tries to remove what"
            " a delete left behind; 0: 60, below 0: never."),
    OPT_INT("DEFAULT", "maximum_instance_delete_attempts", "5", "How often that is tried.",
            AT_LEAST(1)),
    OPT_STR("DEFAULT", "default_access_ip_network_name", NULL, "Network whose addresses become an"
            " instance's access addresses."),
    OPT_BOOL("DEFAULT", "force_config_drive", "false", "Give every instance a config drive."),
    OPT_STR("DEFAULT", "config_drive_format", "iso9660", "File system of config drives.",
            CHOICES("iso9660|vfat")),
    OPT_STR("DEFAULT", "mkisofs_cmd", "genisoimage", "Program that makes iso9660 config drives."),
    OPT_INT("DEFAULT", "password_length", "12", "Length of generated passwords.", AT_LEAST(0),
            IGNORED),
    OPT_INT("DEFAULT", "max_local_block_devices", "3", "Local disks per instance; below 0: no"
            " limit.", IGNORED),
    OPT_BOOL("DEFAULT", "flat_injected", "false", "Passed on in the network model."),
    OPT_STR("DEFAULT", "injected_network_template", "$pybasedir/nova/virt/interfaces.template",
            "Template of injected network files.", IGNORED),
    OPT_STR("DEFAULT", "pointer_model", "usbtablet", "Pointer of graphical guests.",
            CHOICES("|ps2mouse|usbtablet")),

    /* ---- disks ---- */
    OPT_BOOL("DEFAULT", "use_cow_images", "true", "Overlays on the image cache instead of copies."),
    OPT_BOOL("DEFAULT", "force_raw_images", "true", "Keep images as raw in the cache."),
    OPT_STR("DEFAULT", "preallocate_images", "none", "Reserve the space of disks when they are"
            " made.", CHOICES("none|space")),
    OPT_STR("DEFAULT", "default_ephemeral_format", NULL, "File system of ephemeral disks; unset: by"
            " the guest's os_type."),
    OPT_MULTI("DEFAULT", "virt_mkfs", NULL, "os_type=command to make file systems.", UNHONOURED),
    OPT_BOOL("DEFAULT", "resize_fs_using_block_device", "false", "Grow file systems through nbd.",
             UNHONOURED),
    OPT_INT("DEFAULT", "timeout_nbd", "10", "Seconds to wait for an nbd device.", IGNORED),
    OPT_STR("DEFAULT", "tempdir", NULL, "Folder of temporary files.", UNHONOURED),
    OPT_STR("image_cache", "subdirectory_name", "_base", "Folder of the image cache, below"
            " instances_path.", OLD("DEFAULT.image_cache_subdirectory_name")),
    OPT_INT("image_cache", "manager_interval", "2400", "Seconds between two cleanings of the cache.",
            AT_LEAST(-1), OLD("DEFAULT.image_cache_manager_interval")),
    OPT_BOOL("image_cache", "remove_unused_base_images", "true", "Remove images nobody uses.",
             OLD("DEFAULT.remove_unused_base_images")),
    OPT_INT("image_cache", "remove_unused_original_minimum_age_seconds", "86400", "Age at which an"
            " unused image is removed.",
            OLD("DEFAULT.remove_unused_original_minimum_age_seconds")),
    OPT_INT("image_cache", "remove_unused_resized_minimum_age_seconds", "3600", "The same for"
            " resized ones.",
            OLD("libvirt.remove_unused_resized_minimum_age_seconds")),
    OPT_INT("image_cache", "precache_concurrency", "1", "Hosts that fetch at a time.", IGNORED),
    OPT_BOOL("ephemeral_storage_encryption", "enabled", "false", "Encrypt LVM disks.", UNHONOURED),
    OPT_STR("ephemeral_storage_encryption", "*", NULL, NULL, IGNORED),

    /* ---- periodic jobs ---- */
    OPT_BOOL("DEFAULT", "periodic_enable", "true", "Run the periodic jobs."),
    OPT_INT("DEFAULT", "periodic_fuzzy_delay", "60", "Seconds up to which the first run is delayed"
            " at random.", AT_LEAST(0)),
    OPT_INT("DEFAULT", "update_resources_interval", "0", "Seconds between two audits; 0: 60, below"
            " 0: never."),
    OPT_INT("DEFAULT", "sync_power_state_interval", "600", "Seconds between two comparisons of power"
            " states; 0: 60, below 0: never."),
    OPT_INT("DEFAULT", "sync_power_state_pool_size", "1000", "Threads for these.", IGNORED),
    OPT_INT("DEFAULT", "heal_instance_info_cache_interval", "60", "Seconds between two refreshes of"
            " one instance's network model; 0 or below: never."),
    OPT_INT("DEFAULT", "scheduler_instance_sync_interval", "120", "Seconds between two lists of"
            " instances sent to the scheduler; 0: 60, below 0: never."),
    OPT_INT("DEFAULT", "volume_usage_poll_interval", "0", "Seconds between two readings of volume"
            " usage; 0: never.", UNHONOURED),
    OPT_BOOL("DEFAULT", "instance_usage_audit", "false", "Send an \"exists\" notification of each"
             " instance at the end of instance_usage_audit_period."),
    OPT_STR("DEFAULT", "instance_usage_audit_period", "month", "The span of time that"
            " \"exists\" notifications tell of: hour, day, month or year, perhaps with @OFFSET."),
    OPT_BOOL("DEFAULT", "run_external_periodic_tasks", "true", "Not used by nova-compute.",
             IGNORED),

    /* ---- consoles ---- */
    OPT_BOOL("vnc", "enabled", "true", "Give guests a VNC console.", OLD("DEFAULT.vnc_enabled")),
    OPT_STR("vnc", "server_listen", "127.0.0.1", "Address on which guests' VNC servers listen."),
    OPT_STR("vnc", "server_proxyclient_address", "127.0.0.1", "Address at which the console proxy"
            " reaches them."),
    OPT_STR("vnc", "novncproxy_base_url", "http://127.0.0.1:6080/vnc_auto.html", "Public address of"
            " the noVNC proxy.", OLD("DEFAULT.novncproxy_base_url")),
    OPT_STR("vnc", "*", NULL, NULL, IGNORED), /* the proxy's */
    OPT_INT("consoleauth", "token_ttl", "600", "Seconds for which a console address is valid.",
            AT_LEAST(0), OLD("DEFAULT.console_token_ttl")),
    OPT_STR("consoleauth", "*", NULL, NULL, IGNORED),

    /* ---- devices ---- */
    OPT_MULTI("pci", "device_spec", NULL, "PCI devices for guests.", UNHONOURED,
              OLD("pci.passthrough_whitelist|DEFAULT.pci_passthrough_whitelist")),
    OPT_MULTI("pci", "alias", NULL, "Names for kinds of PCI device.", UNHONOURED,
              OLD("DEFAULT.pci_alias")),
    OPT_BOOL("pci", "report_in_placement", "false", "Tell placement of PCI devices.", UNHONOURED),
    OPT_LIST("devices", "enabled_mdev_types", "", "Kinds of mediated device for guests.", UNHONOURED,
             OLD("devices.enabled_vgpu_types")),

    /* ---- notifications ---- */
    OPT_STR("notifications", "notification_format", "unversioned", "Format of notifications.",
            CHOICES("unversioned|versioned|both"), OLD("DEFAULT.notification_format")),
    OPT_LIST("notifications", "versioned_notifications_topics", "versioned_notifications", "Topics"
             " of versioned notifications."),
    /* instance.update is sent by who writes the database: conductor. */
    OPT_STR("notifications", "notify_on_state_change", NULL, "Which changes of state are notified.",
            CHOICES("|vm_state|vm_and_task_state"), OLD("DEFAULT.notify_on_state_change"), IGNORED),
    OPT_STR("notifications", "default_level", "INFO", "Priority of notifications that have none.",
            CHOICES("DEBUG|INFO|WARN|ERROR|CRITICAL"), OLD("DEFAULT.default_notification_level"),
            IGNORED),
    OPT_BOOL("notifications", "bdms_in_notifications", "false", "Include block devices."),

    /* ---- workarounds ---- */
    OPT_BOOL("workarounds", "handle_virt_lifecycle_events", "true", "Follow the hypervisor's events"
             " in the power state."),
    OPT_BOOL("workarounds", "disable_group_policy_check_upcall", "false", "Do not check server group"
             " policies again on this host."),
    OPT_BOOL("workarounds", "disable_deep_image_inspection", "false", "Do not check an image's"
             " content against its declared format."),
    OPT_BOOL("workarounds", "disable_libvirt_livesnapshot", "false", "Suspend guests for their"
             " snapshots."),
    OPT_BOOL("workarounds", "skip_cpu_compare_on_dest", "false", "Do not compare an incoming"
             " guest's CPU with this host's."),
    OPT_BOOL("workarounds", "skip_cpu_compare_at_startup", "false", "Do not compare cpu_models with"
             " this host's CPU at start.", UNHONOURED),
    OPT_BOOL("workarounds", "reserve_disk_resource_for_image_cache", "false", "Count the image cache"
             " as reserved disk.", UNHONOURED),
    OPT_BOOL("workarounds", "ensure_libvirt_rbd_instance_dir_cleanup", "false", "Remove instance"
             " folders on rbd.", UNHONOURED),
    OPT_BOOL("workarounds", "enable_qemu_monitor_announce_self", "false", "Announce guests after a"
             " live migration.", UNHONOURED),
    OPT_LIST("workarounds", "wait_for_vif_plugged_event_during_hard_reboot", "", "Kinds of port for"
             " which a hard reboot waits."),
    OPT_BOOL("workarounds", "libvirt_disable_apic", "false", "Guests without APIC."),
    OPT_BOOL("workarounds", "never_download_image_if_on_rbd", "false", "Fail rather than copy.",
             UNHONOURED),
    OPT_BOOL("workarounds", "disable_rootwrap", "false", "Use sudo.", IGNORED),
    OPT_STR("workarounds", "*", NULL, NULL, IGNORED), /* the control plane's */

    /* ---- neighbours; their credentials are in options_keystone.c ---- */
    OPT_STR("neutron", "ovs_bridge", "br-int", "Bridge of Open vSwitch ports that name none."),
    OPT_INT("neutron", "extension_sync_interval", "600", "Seconds for which neutron's list of"
            " extensions is kept.", AT_LEAST(0), UNHONOURED),
    OPT_INT("neutron", "http_retries", "3", "How often connecting is tried again.", AT_LEAST(0)),
    OPT_LIST("neutron", "physnets", "", "Physical networks with a NUMA affinity.", UNHONOURED),
    /* os-vif's own, which it registers in nova's file; ovs-vsctl uses OVS's usual socket, as libvirt
     * does. */
    OPT_BOOL("os_vif_ovs", "isolate_vif", "false", "Whether a new port stays in a dead VLAN until"
             " neutron's agent has seen to it.", UNHONOURED),
    OPT_BOOL("os_vif_ovs", "per_port_bridge", "false", "A bridge of its own for each port.",
             UNHONOURED),
    OPT_STR("os_vif_ovs", "ovsdb_connection", "tcp:127.0.0.1:6640", "Address of OVS's database.",
            UNHONOURED),
    OPT_STR("os_vif_ovs", "ovsdb_interface", "native", "How it is spoken to.",
            CHOICES("vsctl|native"), UNHONOURED),
    OPT_INT("os_vif_ovs", "ovs_vsctl_timeout", "120", "Seconds that it may take.", UNHONOURED,
            OLD("DEFAULT.ovs_vsctl_timeout")),
    OPT_INT("os_vif_ovs", "network_device_mtu", "1500", "MTU of networks that have none.",
            UNHONOURED, OLD("DEFAULT.network_device_mtu")),
    OPT_STR("neutron", "default_floating_pool", "nova", "The API's.", IGNORED),
    OPT_BOOL("neutron", "service_metadata_proxy", "false", "The API's.", IGNORED),
    OPT_STR("neutron", "metadata_proxy_shared_secret", NULL, "The API's.",
            .flags = CONF_IGNORED | CONF_SECRET),
    OPT_STR("neutron_tunnel", "*", NULL, NULL, IGNORED),
    OPT_LIST("glance", "api_servers", NULL, "Addresses of glance; the first is used. Unset: from"
             " the catalog."),
    OPT_INT("glance", "num_retries", "3", "How often a download is tried again.", AT_LEAST(0)),
    OPT_BOOL("glance", "verify_glance_signatures", "false", "Check images' signatures.",
             UNHONOURED),
    OPT_BOOL("glance", "enable_certificate_validation", "false", "Check the signers' certificates.",
             UNHONOURED),
    OPT_LIST("glance", "default_trusted_certificate_ids", "", "Certificates for that.", UNHONOURED),
    OPT_BOOL("glance", "enable_rbd_download", "false", "Read images from rbd.", UNHONOURED),
    OPT_STR("glance", "rbd_user", "", "Of rbd downloads.", IGNORED),
    OPT_STR("glance", "rbd_pool", "", "Of rbd downloads.", IGNORED),
    OPT_STR("glance", "rbd_ceph_conf", "", "Of rbd downloads.", IGNORED),
    OPT_INT("glance", "rbd_connect_timeout", "5", "Of rbd downloads.", IGNORED),
    OPT_BOOL("glance", "debug", "false", "Log of the Python client.", IGNORED),
    OPT_STR("cinder", "catalog_info", "volumev3::publicURL", "Catalog entry of cinder.", UNHONOURED),
    OPT_STR("cinder", "endpoint_template", NULL, "Address of cinder.", UNHONOURED),
    OPT_STR("cinder", "os_region_name", NULL, "Region of cinder.", UNHONOURED),
    OPT_INT("cinder", "http_retries", "3", "How often connecting is tried again.", UNHONOURED),
    OPT_BOOL("cinder", "cross_az_attach", "true", "Volumes of other availability zones.",
             UNHONOURED),
    OPT_BOOL("cinder", "debug", "false", "Log of the Python client.", IGNORED),
    OPT_BOOL("service_user", "send_service_user_token", "false", "Send the service's own token"
             " beside a user's."),
};
/* clang-format on */

const OptionPart options_part_nova = {rows, G_N_ELEMENTS(rows)};
