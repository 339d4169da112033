/* The option table of drover, and the translation of a loaded configuration into the config structs
 * of the modules. The names, groups and defaults are nova's, so that an existing nova.conf works
 * unchanged; what drover adds is in group [drover].
 *
 * Ownership  all strings and lists of the filled structs are borrowed from the DvConfig: keep it as
 *            long as the structs (a reload makes a second DvConfig beside the first).
 * Units      in the names: _s seconds, _ms milliseconds, _mib, _gib.
 * Errors     DV_E_BAD_CONFIG names file, line, option and what was expected.
 * Threads    any; a DvConfig is read-only.
 * Sources    nova.conf.* (Zed and 2026.1), oslo.messaging 14.0.3, oslo.log 5.0.1, keystoneauth1 5.
 */
#pragma once

#include "rpc/rpc.h"
#include "scheduler_hints/tracker.h"
#include "services/auth.h"
#include "services/vendordata.h"
#include "util/config.h"
#include "util/log.h"
#include "virt/disk/disks.h"
#include "virt/driver.h"

/* Of [vnc] and [consoleauth]. */
typedef struct VncConfig {
    bool enabled;
    const char *server_listen;              /* the guest's listen address */
    const char *server_proxyclient_address; /* what the console proxy connects to */
    const char *novncproxy_base_url;
    int64_t token_ttl_s; /* [consoleauth] token_ttl */
} VncConfig;

typedef struct SpiceConfig {
    bool enabled, agent_enabled;
    const char *server_listen;              /* the guest's listen address */
    const char *server_proxyclient_address; /* what the console proxy connects to */
    const char *html5proxy_base_url;
} SpiceConfig;

typedef struct SerialConfig {
    bool enabled;
    const char *base_url; /* of the proxy */
    const char
        *proxyclient_address; /* the guest's listen address, and what the proxy connects to */
} SerialConfig;

/* Of [api]. */
typedef struct ConfigDriveConfig {
    const char *dhcp_domain;       /* "": none */
    const char *ec2_skip_versions; /* separated by spaces */
} ConfigDriveConfig;

/* Live migration: [libvirt], [compute], [workarounds]. Addresses NULL: unset. */
typedef struct LiveConfig {
    const char *scheme, *uri, *inbound_addr;
    bool tunnelled, tls, auto_converge, post_copy;
    int64_t bandwidth_mib; /* per second; 0: all there is */
    int64_t connections;
    int64_t downtime_ms, downtime_steps, downtime_delay_s;
    int64_t completion_timeout_s; /* for each GiB; 0: none */
    bool force_complete;          /* what is done then; else it is cancelled */
    int64_t monitor_interval_s;
    int64_t plug_tries; /* live_migration_retry_count */
    bool wait_for_vif_plug, compare_cpu;
    int64_t reserved_disk_mib; /* reserved_host_disk_mb */
} LiveConfig;

/* Of [notifications] and [oslo_messaging_notifications]. */
typedef struct NotifyConfig {
    bool v1, v2; /* driver: messaging, messagingv2 (with the envelope); none: nothing is sent */
    bool unversioned;                    /* notification_format unversioned or both */
    bool versioned;                      /* notification_format versioned or both */
    const char *const *topics;           /* unversioned: "notifications" */
    const char *const *versioned_topics; /* "versioned_notifications" */
    const char *transport_url;           /* other brokers, or NULL */
    const char *audit_period;            /* instance_usage_audit_period: "month", "day@6" */
    bool bdms_in_notifications;
    int64_t retry; /* -1: for ever */
} NotifyConfig;

/* Periodic jobs. nova's convention for spacings: 0 means 60 s, below 0 means never; the values here
 * are already resolved: 0 means never. */
typedef struct PeriodicConfig {
    bool enable;           /* periodic_enable */
    int64_t fuzzy_delay_s; /* periodic_fuzzy_delay: random first delay up to this */
    int64_t minute_s;      /* of the jobs that have no option for it */
    int64_t update_resources_s;
    int64_t sync_power_state_s;
    int64_t heal_instance_info_cache_s;
    int64_t scheduler_instance_sync_s;
    int64_t running_deleted_poll_s;
    int64_t instance_delete_s; /* pending deletes, incomplete migrations, expired console tokens */
    int64_t image_cache_s;     /* [image_cache] manager_interval */
    int64_t shelved_poll_s;
    int64_t volume_usage_s;
} PeriodicConfig;

/* What the agent itself reads. */
typedef struct AgentConfig {
    /* who we are */
    const char *host;  /* service host; default the host name */
    const char *my_ip; /* default the address of the default route's interface */
    const char *my_block_storage_ip;
    const char *state_path;
    const char *instances_path;
    const char *instance_name_template; /* "instance-%08x", checked: one integer conversion */

    /* service record */
    int64_t report_interval_s;
    int64_t service_down_time_s;
    const char *control_plane_release; /* [drover]: "auto", "zed", ... "2026.1" */
    const char *health_listen;         /* [drover]: address for health and metrics, or NULL */
    int64_t recovery_delay_s;          /* [drover] */
    const char *pin_compute;           /* [upgrade_levels] compute, or NULL */
    const char *pin_conductor;         /* [upgrade_levels] conductor, or NULL */

    /* RPC */
    int64_t rpc_response_timeout_s;
    int64_t long_rpc_timeout_s;

    /* concurrency and time limits */
    int64_t executor_thread_pool_size;
    int64_t max_concurrent_builds; /* 0: unlimited */
    int64_t max_concurrent_snapshots;
    int64_t max_concurrent_live_migrations;
    int64_t vif_plugging_timeout_s; /* 0: do not wait */
    bool vif_plugging_is_fatal;
    int64_t network_allocate_retries;
    int64_t block_device_allocate_retries;
    int64_t block_device_allocate_retries_interval_s;
    int64_t shutdown_timeout_s; /* of a guest asked to power off */
    int64_t shutdown_retry_interval_s;
    int64_t wait_soft_reboot_s;          /* [libvirt] wait_soft_reboot_seconds */
    int64_t graceful_shutdown_timeout_s; /* of the agent: running operations at SIGTERM */

    /* behaviour */
    bool resume_guests_state_on_host_boot;
    bool handle_lifecycle_events; /* [workarounds] handle_virt_lifecycle_events */
    bool force_config_drive;
    bool track_instance_changes;                 /* [filter_scheduler] track_instance_changes */
    const char *default_access_ip_network_name;  /* or NULL */
    const char *running_deleted_instance_action; /* noop, log, shutdown, reap */
    int64_t running_deleted_instance_timeout_s;
    bool instance_usage_audit;
    int64_t reclaim_instance_interval_s; /* 0: delete at once */
    int64_t instance_build_timeout_s;    /* 0: never */
    int64_t maximum_instance_delete_attempts;
    const char *rescue_kernel_id, *rescue_ramdisk_id; /* [libvirt], or NULL: the instance's own */
    int64_t reboot_timeout_s, rescue_timeout_s, resize_confirm_window_s; /* 0: off */
    int64_t shelved_offload_time_s;                                      /* 0 at once, -1 never */
    int64_t max_disk_devices_to_attach;                                  /* -1: unlimited */
    int64_t max_local_block_devices;
    /* [libvirt] remote_filesystem_transport where the operator has set it: ssh or rsync carry disks
     * to another host; NULL: libvirt does. */
    const char *remote_transport;
    bool live_snapshots; /* not [workarounds] disable_libvirt_livesnapshot */
    int64_t password_length;
    bool flat_injected;
    const char *ovs_bridge;           /* [neutron] ovs_bridge */
    int64_t neutron_extension_sync_s; /* [neutron] extension_sync_interval */
    unsigned glance_retries;          /* [glance] num_retries */
    const char *const *wait_for_vif_plugged_event_during_hard_reboot; /* vnic types */

    VncConfig vnc;
    SpiceConfig spice;
    SerialConfig serial;
    ConfigDriveConfig config_drive;
    LiveConfig live;
    NotifyConfig notify;
    PeriodicConfig periodic;
} AgentConfig;

/* Logging, needed before everything else. */
typedef struct LogConfig {
    const char *file; /* absolute, NULL: standard error */
    DvLogLevel level;
} LogConfig;

/* THE table, every row: nova's, oslo's, keystoneauth's, ours. Lives for ever. */
const DvOption *options_table(size_t *out_length);

/* Reads the files and folders (NULL-terminated; NULL or empty: nova's defaults, those of
 * /etc/nova/nova.conf, /etc/nova/nova-compute.conf that exist), with the defaults that depend on
 * this machine (host, my_ip) filled in. */
DvConfig *options_load(const char *const *files, const char *const *dirs, GError **err);

/* Each fills its struct. Those with err check what a single option's type cannot say. */
bool options_agent(const DvConfig *config, AgentConfig *out, GError **err);
void options_log(const DvConfig *config, LogConfig *out);
void options_rpc(const DvConfig *config, RpcConfig *out);
/* `group` is "placement", "neutron" or "glance". `service_user` (may be NULL) must outlive `out`;
 * it is referred to only when [service_user] send_service_user_token is on. */
bool options_service(const DvConfig *config, const char *group, const AuthConfig *service_user,
                     ServiceConfig *out, GError **err);
/* [service_user]'s credentials. */
void options_service_user(const DvConfig *config, AuthConfig *out);
/* The key manager. `service_user` is filled with [barbican_service_user]'s credentials and must
 * outlive `out`, which refers to it when send_service_user_token is on. */
bool options_barbican(const DvConfig *config, AuthConfig *service_user, ServiceConfig *out,
                      GError **err);
bool options_virt(const DvConfig *config, VirtConfig *out, GError **err);
bool options_disks(const DvConfig *config, DisksConfig *out, GError **err);
bool options_vendordata(const DvConfig *config, VendordataConfig *out, GError **err);
void options_tracker(const DvConfig *config, TrackerConfig *out);

/* The guest's name of an instance by instance_name_template (options_name.c). Caller frees; NULL
 * when the template is wrong, which options_agent has excluded. */
char *options_instance_name(const AgentConfig *config, int64_t id, const char *uuid);

/* Parts of options_agent and options_virt (options_guest.c). */
void options_spice(const DvConfig *config, SpiceConfig *out);
void options_serial(const DvConfig *config, SerialConfig *out);
void options_config_drive(const DvConfig *config, ConfigDriveConfig *out);
/* Options that exclude each other are refused (options_live.c). */
bool options_live(const DvConfig *config, LiveConfig *out, GError **err);
/* libvirt of another host at that address, as this host reaches it. Caller frees. */
char *options_live_uri(const LiveConfig *live, const char *address);
/* An address as the host of a URI: [addr] for IPv6. Caller frees. */
char *options_uri_host(const char *address);
/* [serial_console] port_range: first to end - 1. */
bool options_serial_range(const DvConfig *config, int64_t *out_first, int64_t *out_end,
                          GError **err);

/* All the checks at once, for --check-config and the start: fills and drops every struct. */
bool options_check(const DvConfig *config, GError **err);
