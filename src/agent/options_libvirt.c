/* Rows of [libvirt]. */
#include "agent/options_priv.h"

/* clang-format off */
static const DvOption rows[] = {
    OPT_STR("libvirt", "virt_type", "kvm", "Kind of hypervisor; drover has kvm and qemu.",
            CHOICES("kvm|qemu|lxc|parallels")),
    OPT_STR("libvirt", "connection_uri", "", "Address of libvirt; empty: qemu:///system."),

    /* ---- CPU, machine and devices ---- */
    OPT_STR("libvirt", "cpu_mode", NULL, "CPU of guests; unset: host-model.",
            CHOICES("host-model|host-passthrough|custom|none")),
    OPT_LIST("libvirt", "cpu_models", "", "With cpu_mode custom: models, the best last.",
             OLD("libvirt.cpu_model")),
    OPT_LIST("libvirt", "cpu_model_extra_flags", "", "CPU features to add or, with '-', remove."),
    OPT_LIST("libvirt", "hw_machine_type", NULL, "Machine type by architecture, \"x86_64=q35\"."),
    OPT_STR("libvirt", "rng_dev_path", "/dev/urandom", "Source of guests' random numbers."),
    OPT_STR("libvirt", "sysinfo_serial", "unique", "Serial number that guests see.",
            CHOICES("none|os|hardware|auto|unique")),
    OPT_INT("libvirt", "mem_stats_period_seconds", "10", "Seconds between two memory statistics; 0"
            " or below: no balloon statistics."),
    OPT_BOOL("libvirt", "swtpm_enabled", "false", "Offer emulated TPMs."),
    OPT_STR("libvirt", "swtpm_user", "tss", "User of swtpm, whom the state of TPMs belongs to."),
    OPT_STR("libvirt", "swtpm_group", "tss", "Group of swtpm."),
    OPT_INT("libvirt", "max_queues", NULL, "Most queues of a network device.", AT_LEAST(1)),
    OPT_INT("libvirt", "rx_queue_size", NULL, "Receive queue: 256, 512 or 1024.", .min = 256,
            .max = 1024),
    OPT_INT("libvirt", "tx_queue_size", NULL, "Send queue: 256, 512 or 1024.", .min = 256,
            .max = 1024, UNHONOURED),
    OPT_BOOL("libvirt", "use_virtio_for_bridges", "true", "virtio network devices by default."),
    OPT_INT("libvirt", "num_pcie_ports", "0", "Free PCIe ports of q35 guests; 0: libvirt's default.",
            .min = 0, .max = 28),
    OPT_INT("libvirt", "file_backed_memory", "0", "MiB of memory backed by files.", AT_LEAST(0),
            UNHONOURED),
    OPT_LIST("libvirt", "enabled_perf_events", "", "Performance events of guests."),
    OPT_LIST("libvirt", "pmem_namespaces", "", "Persistent memory for guests.", UNHONOURED),
    OPT_INT("libvirt", "num_memory_encrypted_guests", NULL, "Guests with SEV.", UNHONOURED),
    OPT_INT("libvirt", "realtime_scheduler_priority", "1", "Of real-time guests.", UNHONOURED),
    OPT_BOOL("libvirt", "cpu_power_management", "false", "Power dedicated CPUs down.", UNHONOURED),
    OPT_STR("libvirt", "cpu_power_management_strategy", "cpu_state", "How.",
            CHOICES("cpu_state|governor"), UNHONOURED),
    OPT_STR("libvirt", "cpu_power_governor_low", "powersave", "Governor of idle CPUs.", UNHONOURED),
    OPT_STR("libvirt", "cpu_power_governor_high", "performance", "Of busy ones.", UNHONOURED),
    OPT_INT("libvirt", "tb_cache_size", NULL, "MiB of translated code of qemu guests.", UNHONOURED),

    /* ---- disks ---- */
    OPT_STR("libvirt", "images_type", "default", "Kind of disks; drover has default, raw, qcow2 and"
            " flat.", CHOICES("default|raw|flat|qcow2|lvm|rbd|ploop")),
    OPT_LIST("libvirt", "disk_cachemodes", "", "Cache mode by kind of disk, \"file=none\"."),
    OPT_STR("libvirt", "hw_disk_discard", NULL, "What a guest's discard does.",
            CHOICES("ignore|unmap")),
    OPT_STR("libvirt", "disk_prefix", NULL, "Prefix of device names."),
    OPT_STR("libvirt", "images_volume_group", NULL, "LVM.", UNHONOURED),
    OPT_BOOL("libvirt", "sparse_logical_volumes", "false", "LVM.", UNHONOURED),
    OPT_STR("libvirt", "volume_clear", "zero", "LVM.", UNHONOURED),
    OPT_INT("libvirt", "volume_clear_size", "0", "LVM.", UNHONOURED),
    OPT_STR("libvirt", "images_rbd_pool", "rbd", "rbd.", UNHONOURED),
    OPT_STR("libvirt", "images_rbd_ceph_conf", "", "rbd.", UNHONOURED),
    OPT_STR("libvirt", "images_rbd_glance_store_name", "", "rbd.", UNHONOURED),
    OPT_INT("libvirt", "images_rbd_glance_copy_poll_interval", "15", "rbd.", UNHONOURED),
    OPT_INT("libvirt", "images_rbd_glance_copy_timeout", "600", "rbd.", UNHONOURED),
    OPT_STR("libvirt", "rbd_user", NULL, "rbd.", UNHONOURED),
    OPT_STR("libvirt", "rbd_secret_uuid", NULL, "rbd.", UNHONOURED),
    OPT_INT("libvirt", "rbd_connect_timeout", "5", "rbd.", UNHONOURED),
    OPT_INT("libvirt", "rbd_destroy_volume_retries", "12", "rbd.", UNHONOURED),
    OPT_INT("libvirt", "rbd_destroy_volume_retry_interval", "5", "rbd.", UNHONOURED),
    OPT_STR("libvirt", "snapshot_image_format", NULL, "Format of snapshots.",
            CHOICES("raw|qcow2|vmdk|vdi")),
    OPT_STR("libvirt", "snapshots_directory", "$instances_path/snapshots", "Folder of snapshots."),
    OPT_BOOL("libvirt", "snapshot_compression", "false", "Compress snapshots."),
    OPT_BOOL("libvirt", "inject_password", "false", "Write passwords into disks.", UNHONOURED),
    OPT_BOOL("libvirt", "inject_key", "false", "Write keys into disks.", UNHONOURED),
    OPT_INT("libvirt", "inject_partition", "-2", "Where to; -2: nowhere.", UNHONOURED),

    /* ---- volumes ---- */
    OPT_BOOL("libvirt", "volume_use_multipath", "false", "Volumes.", UNHONOURED,
             OLD("libvirt.iscsi_use_multipath")),
    OPT_BOOL("libvirt", "volume_enforce_multipath", "false", "Volumes.", UNHONOURED),
    OPT_INT("libvirt", "num_volume_scan_tries", "5", "Volumes.", UNHONOURED,
            OLD("libvirt.num_iscsi_scan_tries")),
    OPT_STR("libvirt", "iscsi_iface", NULL, "Volumes.", UNHONOURED, OLD("libvirt.iscsi_transport")),
    OPT_BOOL("libvirt", "iser_use_multipath", "false", "Volumes.", UNHONOURED),
    OPT_INT("libvirt", "num_iser_scan_tries", "5", "Volumes.", UNHONOURED),
    OPT_INT("libvirt", "num_nvme_discover_tries", "5", "Volumes.", UNHONOURED),
    OPT_INT("libvirt", "num_aoe_discover_tries", "3", "Volumes.", UNHONOURED),
    OPT_STR("libvirt", "nfs_mount_point_base", "$state_path/mnt", "Volumes.", UNHONOURED),
    OPT_STR("libvirt", "nfs_mount_options", NULL, "Volumes.", UNHONOURED),
    OPT_STR("libvirt", "smbfs_mount_point_base", "$state_path/mnt", "Volumes.", UNHONOURED),
    OPT_STR("libvirt", "smbfs_mount_options", "", "Volumes.", UNHONOURED),
    OPT_STR("libvirt", "quobyte_mount_point_base", "$state_path/mnt", "Volumes.", UNHONOURED),
    OPT_STR("libvirt", "quobyte_client_cfg", NULL, "Volumes.", UNHONOURED),
    OPT_STR("libvirt", "vzstorage_mount_point_base", "$state_path/mnt", "Volumes.", UNHONOURED),
    OPT_STR("libvirt", "vzstorage_mount_user", "stack", "Volumes.", UNHONOURED),
    OPT_STR("libvirt", "vzstorage_mount_group", "qemu", "Volumes.", UNHONOURED),
    OPT_STR("libvirt", "vzstorage_mount_perms", "0770", "Volumes.", UNHONOURED),
    OPT_STR("libvirt", "vzstorage_log_path", "/var/log/vstorage/%(cluster_name)s/nova.log.gz",
            "Volumes.", UNHONOURED),
    OPT_STR("libvirt", "vzstorage_cache_path", NULL, "Volumes.", UNHONOURED),
    OPT_LIST("libvirt", "vzstorage_mount_opts", "", "Volumes.", UNHONOURED),

    /* ---- operations ---- */
    OPT_INT("libvirt", "wait_soft_reboot_seconds", "120", "Seconds a soft reboot may take.",
            UNHONOURED),
    OPT_INT("libvirt", "device_detach_attempts", "8", "Tries to detach a device from a running"
            " guest.", AT_LEAST(1)),
    OPT_INT("libvirt", "device_detach_timeout", "20", "Seconds of each.", AT_LEAST(1)),
    OPT_STR("libvirt", "rescue_image_id", NULL, "Rescue.", UNHONOURED),
    OPT_STR("libvirt", "rescue_kernel_id", NULL, "Image of the kernel that rescues boot."),
    OPT_STR("libvirt", "rescue_ramdisk_id", NULL, "Image of its ramdisk."),
    OPT_STR("libvirt", "remote_filesystem_transport", "ssh", "What carries disks to another host when"
            " a server moves there cold. Only where it is set; otherwise libvirt does.",
            CHOICES("ssh|rsync")),
    OPT_STR("libvirt", "migration_inbound_addr", "$my_ip", "Address that other hosts send the disks"
            " of servers to that move here cold."),
    OPT_STR("libvirt", "live_migration_scheme", NULL, "How a guest's source reaches libvirt at its"
            " destination: tcp, tls, ssh; unset: tcp."),
    OPT_STR("libvirt", "live_migration_inbound_addr", NULL, "Address of this host for incoming live"
            " migrations; unset: its host name."),
    OPT_STR("libvirt", "live_migration_uri", NULL, "The whole address, with %s for the destination;"
            " unset: qemu+<scheme>://%s/system."),
    OPT_BOOL("libvirt", "live_migration_tunnelled", "false", "Send memory through libvirt's own"
             " connection."),
    OPT_BOOL("libvirt", "live_migration_with_native_tls", "false", "Let QEMU encrypt memory and"
             " disks on their way."),
    OPT_INT("libvirt", "live_migration_bandwidth", "0", "Most MiB per second; 0: all there is.",
            AT_LEAST(0)),
    OPT_INT("libvirt", "live_migration_completion_timeout", "800", "Seconds for each GiB of memory"
            " and disk until live_migration_timeout_action; 0: never.", AT_LEAST(0)),
    OPT_STR("libvirt", "live_migration_timeout_action", "abort", "abort, or force_complete: post-copy"
            " where it is permitted, else the guest is paused.", CHOICES("abort|force_complete")),
    OPT_BOOL("libvirt", "live_migration_permit_post_copy", "false", "Let a guest run at the"
             " destination before all of its memory is there, when nothing else ends the migration."),
    OPT_BOOL("libvirt", "live_migration_permit_auto_converge", "false", "Let QEMU slow a guest down"
             " that writes memory faster than it can be sent."),
    OPT_INT("libvirt", "live_migration_downtime", "500", "Most milliseconds a guest may stand at the"
            " switch.", AT_LEAST(100)),
    OPT_INT("libvirt", "live_migration_downtime_steps", "10", "In how many steps that is reached.",
            AT_LEAST(3)),
    OPT_INT("libvirt", "live_migration_downtime_delay", "75", "Seconds between two of them for each"
            " GiB, at most.", AT_LEAST(3)),
    OPT_INT("libvirt", "live_migration_parallel_connections", "1", "Connections that memory is sent"
            " on.", .min = 1, .max = 255),
    OPT_INT("libvirt", "live_migration_monitor_interval", "5", "Seconds between two saves of a live"
            " migration's progress.", AT_LEAST(1)),

    /* ---- of nova's lxc driver ---- */
    OPT_LIST("libvirt", "uid_maps", "", "lxc.", IGNORED),
    OPT_LIST("libvirt", "gid_maps", "", "lxc.", IGNORED),
};
/* clang-format on */

const OptionPart options_part_libvirt = {rows, G_N_ELEMENTS(rows)};
