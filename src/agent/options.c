/* Assembles the option table and fills the modules' config structs from it; see options.h.
 *
 * The rows stand in options_nova.c, options_libvirt.c, options_oslo.c, options_keystone.c and
 * options_ignored.c. The table is built once and lives for ever. */
#include "agent/options.h"

#include "agent/health_http.h"
#include "agent/options_priv.h"

#include "objects/notification.h"
#include "util/fs.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEFAULT_LOG_NAME "drover.log"
#define MINUTE_S 60

/* ---- the table ---- */

static void append_part(GArray *rows, const OptionPart *part)
{
    g_array_append_vals(rows, part->rows, (guint)part->length);
}

/* Rows of one group must stand together, in the order in which groups first appear. */
static GArray *grouped(const GArray *rows)
{
    GArray *out = g_array_sized_new(FALSE, FALSE, sizeof(DvOption), rows->len);
    g_autoptr(GHashTable) done = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < rows->len; i++) {
        const char *group = g_array_index(rows, DvOption, i).group;

        if (!g_hash_table_add(done, (gpointer)group))
            continue;
        for (guint j = i; j < rows->len; j++)
            if (strcmp(g_array_index(rows, DvOption, j).group, group) == 0)
                g_array_append_val(out, g_array_index(rows, DvOption, j));
    }
    return out;
}

static void *build_table(void *unused G_GNUC_UNUSED)
{
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(DvOption));

    append_part(rows, &options_part_nova);
    append_part(rows, &options_part_guest);
    append_part(rows, &options_part_libvirt);
    append_part(rows, &options_part_barbican);
    append_part(rows, &options_part_oslo);
    options_keystone_rows(rows);
    append_part(rows, &options_part_drover);
    append_part(rows, &options_part_ignored);
    return grouped(rows);
}

const DvOption *options_table(size_t *out_length)
{
    static GOnce once = G_ONCE_INIT;
    const GArray *table = g_once(&once, build_table, NULL);

    *out_length = table->len;
    return (const DvOption *)(const void *)table->data;
}

/* ---- defaults of this machine ---- */

static const char *machine_host(void)
{
    char name[256] = "";

    if (gethostname(name, sizeof name - 1) < 0 || !*name)
        return "localhost";
    return g_intern_string(name);
}

/* The address we would use towards the default route. Connecting a datagram socket sends nothing;
 * the address is one reserved for documentation. */
static const char *machine_ip(void)
{
    struct sockaddr_in far = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct sockaddr_in near = {.sin_family = AF_INET};
    socklen_t length = sizeof near;
    char text[INET_ADDRSTRLEN];
    dv_autofd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, "198.51.100.1", &far.sin_addr);
    if (fd < 0 || connect(fd, (struct sockaddr *)&far, sizeof far) < 0 ||
        getsockname(fd, (struct sockaddr *)&near, &length) < 0 ||
        !inet_ntop(AF_INET, &near.sin_addr, text, sizeof text))
        return "127.0.0.1";
    return g_intern_string(text);
}

/* The table as it is loaded: defaults that depend on the machine are filled in. */
static const DvOption *machine_table(size_t *out_length)
{
    const DvOption *table = options_table(out_length);
    DvOption *copy = g_memdup2(table, *out_length * sizeof *table);

    for (size_t i = 0; i < *out_length; i++) {
        if (strcmp(copy[i].name, "host") == 0 && strcmp(copy[i].group, "DEFAULT") == 0)
            copy[i].fallback = machine_host();
        else if (strcmp(copy[i].name, "my_ip") == 0 && strcmp(copy[i].group, "DEFAULT") == 0)
            copy[i].fallback = machine_ip();
        else if (strcmp(copy[i].name, "hostname") == 0)
            copy[i].fallback = machine_host();
    }
    return copy;
}

DvConfig *options_load(const char *const *files, const char *const *dirs, GError **err)
{
    static const char *const defaults[] = {"/etc/nova/nova.conf", "/etc/nova/nova-compute.conf"};
    static GMutex lock;
    static const DvOption *table;
    static size_t length;
    const char *present[G_N_ELEMENTS(defaults) + 1] = {NULL};
    size_t n = 0;

    g_mutex_lock(&lock);
    if (!table)
        table = machine_table(&length);
    g_mutex_unlock(&lock);
    if ((!files || !*files) && (!dirs || !*dirs)) {
        for (size_t i = 0; i < G_N_ELEMENTS(defaults); i++)
            if (dv_exists(defaults[i]))
                present[n++] = defaults[i];
        files = present;
    }
    return dv_config_load(files, dirs, table, length, err);
}

/* ---- words that the fillers share ---- */

const char *option_str(const DvConfig *config, const char *group, const char *name)
{
    const char *text = dv_config_str(config, group, name);

    return text && *text ? text : NULL;
}

bool option_fail(const DvConfig *config, const char *group, const char *name, const char *want,
                 GError **err)
{
    const char *origin = dv_config_origin(config, group, name);
    const char *text = dv_config_str(config, group, name);

    return dv_fail(err, DV_E_BAD_CONFIG, "%s: [%s] %s = %s: %s", origin ? origin : "default", group,
                   name, text ? text : "<unset>", want);
}

static bool is_one_of(const char *text, const char *const *words)
{
    return text && g_strv_contains(words, text);
}

/* nova's spacing of a periodic job: 0 is a minute, below 0 is never. Here 0 is never. */
static int64_t spacing_s(const DvConfig *config, const char *group, const char *name)
{
    int64_t value = dv_config_int(config, group, name);

    if (value < 0)
        return 0;
    return value == 0 ? MINUTE_S : value;
}

/* ---- the agent ---- */

static void fill_periodic(const DvConfig *config, PeriodicConfig *out)
{
    int64_t heal_s = dv_config_int(config, "DEFAULT", "heal_instance_info_cache_interval");

    *out = (PeriodicConfig){
        .enable = dv_config_bool(config, "DEFAULT", "periodic_enable"),
        .fuzzy_delay_s = dv_config_int(config, "DEFAULT", "periodic_fuzzy_delay"),
        .minute_s = MINUTE_S,
        .update_resources_s = spacing_s(config, "DEFAULT", "update_resources_interval"),
        .sync_power_state_s = spacing_s(config, "DEFAULT", "sync_power_state_interval"),
        .heal_instance_info_cache_s = MAX(heal_s, 0), /* here 0 is never for nova too */
        .scheduler_instance_sync_s = spacing_s(config, "DEFAULT",
                                               "scheduler_instance_sync_interval"),
        .running_deleted_poll_s = spacing_s(config, "DEFAULT",
                                            "running_deleted_instance_poll_interval"),
        .instance_delete_s = spacing_s(config, "DEFAULT", "instance_delete_interval"),
        .image_cache_s = spacing_s(config, "image_cache", "manager_interval"),
        .shelved_poll_s = spacing_s(config, "DEFAULT", "shelved_poll_interval"),
        .volume_usage_s = MAX(dv_config_int(config, "DEFAULT", "volume_usage_poll_interval"), 0),
    };
}

static void fill_vnc(const DvConfig *config, VncConfig *out)
{
    *out = (VncConfig){
        .enabled = dv_config_bool(config, "vnc", "enabled"),
        .server_listen = dv_config_str(config, "vnc", "server_listen"),
        .server_proxyclient_address = dv_config_str(config, "vnc", "server_proxyclient_address"),
        .novncproxy_base_url = dv_config_str(config, "vnc", "novncproxy_base_url"),
        .token_ttl_s = dv_config_int(config, "consoleauth", "token_ttl"),
    };
}

static void fill_notify(const DvConfig *config, NotifyConfig *out)
{
    const char *const *drivers = dv_config_list(config, "oslo_messaging_notifications", "driver");
    const char *format = dv_config_str(config, "notifications", "notification_format");

    *out = (NotifyConfig){
        .v1 = g_strv_contains(drivers, "messaging"),
        .v2 = g_strv_contains(drivers, "messagingv2"),
        .unversioned = g_strcmp0(format, "versioned") != 0,
        .versioned = format && strcmp(format, "unversioned") != 0,
        .topics = dv_config_list(config, "oslo_messaging_notifications", "topics"),
        .versioned_topics = dv_config_list(config, "notifications",
                                           "versioned_notifications_topics"),
        .transport_url = option_str(config, "oslo_messaging_notifications", "transport_url"),
        .audit_period = dv_config_str(config, "DEFAULT", "instance_usage_audit_period"),
        .bdms_in_notifications = dv_config_bool(config, "notifications", "bdms_in_notifications"),
        .retry = dv_config_int(config, "oslo_messaging_notifications", "retry"),
    };
}

static void fill_agent(const DvConfig *config, AgentConfig *out)
{
    *out = (AgentConfig){
        .host = dv_config_str(config, "DEFAULT", "host"),
        .my_ip = dv_config_str(config, "DEFAULT", "my_ip"),
        .my_block_storage_ip = dv_config_str(config, "DEFAULT", "my_block_storage_ip"),
        .state_path = dv_config_str(config, "DEFAULT", "state_path"),
        .instances_path = dv_config_str(config, "DEFAULT", "instances_path"),
        .instance_name_template = dv_config_str(config, "DEFAULT", "instance_name_template"),
        .report_interval_s = dv_config_int(config, "DEFAULT", "report_interval"),
        .service_down_time_s = dv_config_int(config, "DEFAULT", "service_down_time"),
        .control_plane_release = dv_config_str(config, "drover", "control_plane_release"),
        .health_listen = option_str(config, "drover", "health_listen"),
        .recovery_delay_s = dv_config_int(config, "drover", "recovery_delay"),
        .pin_compute = option_str(config, "upgrade_levels", "compute"),
        .pin_conductor = option_str(config, "upgrade_levels", "conductor"),
        .rpc_response_timeout_s = dv_config_int(config, "DEFAULT", "rpc_response_timeout"),
        .long_rpc_timeout_s = dv_config_int(config, "DEFAULT", "long_rpc_timeout"),
        .executor_thread_pool_size = dv_config_int(config, "DEFAULT", "executor_thread_pool_size"),
        .max_concurrent_builds = dv_config_int(config, "DEFAULT", "max_concurrent_builds"),
        .max_concurrent_snapshots = dv_config_int(config, "DEFAULT", "max_concurrent_snapshots"),
        .max_concurrent_live_migrations = dv_config_int(config, "DEFAULT",
                                                        "max_concurrent_live_migrations"),
        .vif_plugging_timeout_s = dv_config_int(config, "DEFAULT", "vif_plugging_timeout"),
        .vif_plugging_is_fatal = dv_config_bool(config, "DEFAULT", "vif_plugging_is_fatal"),
        .network_allocate_retries = dv_config_int(config, "DEFAULT", "network_allocate_retries"),
        .block_device_allocate_retries = dv_config_int(config, "DEFAULT",
                                                       "block_device_allocate_retries"),
        .block_device_allocate_retries_interval_s = dv_config_int(
            config, "DEFAULT", "block_device_allocate_retries_interval"),
        .shutdown_timeout_s = dv_config_int(config, "DEFAULT", "shutdown_timeout"),
        .shutdown_retry_interval_s = dv_config_int(config, "compute", "shutdown_retry_interval"),
        .wait_soft_reboot_s = dv_config_int(config, "libvirt", "wait_soft_reboot_seconds"),
        .graceful_shutdown_timeout_s = dv_config_int(config, "DEFAULT",
                                                     "graceful_shutdown_timeout"),
        .resume_guests_state_on_host_boot = dv_config_bool(config, "DEFAULT",
                                                           "resume_guests_state_on_host_boot"),
        .handle_lifecycle_events = dv_config_bool(config, "workarounds",
                                                  "handle_virt_lifecycle_events"),
        .force_config_drive = dv_config_bool(config, "DEFAULT", "force_config_drive"),
        .track_instance_changes = dv_config_bool(config, "filter_scheduler",
                                                 "track_instance_changes"),
        .default_access_ip_network_name = option_str(config, "DEFAULT",
                                                     "default_access_ip_network_name"),
        .running_deleted_instance_action = dv_config_str(config, "DEFAULT",
                                                         "running_deleted_instance_action"),
        .running_deleted_instance_timeout_s = dv_config_int(config, "DEFAULT",
                                                            "running_deleted_instance_timeout"),
        .instance_usage_audit = dv_config_bool(config, "DEFAULT", "instance_usage_audit"),
        .reclaim_instance_interval_s = dv_config_int(config, "DEFAULT",
                                                     "reclaim_instance_interval"),
        .instance_build_timeout_s = dv_config_int(config, "DEFAULT", "instance_build_timeout"),
        .maximum_instance_delete_attempts = dv_config_int(config, "DEFAULT",
                                                          "maximum_instance_delete_attempts"),
        .reboot_timeout_s = dv_config_int(config, "DEFAULT", "reboot_timeout"),
        .rescue_kernel_id = dv_config_str(config, "libvirt", "rescue_kernel_id"),
        .rescue_ramdisk_id = dv_config_str(config, "libvirt", "rescue_ramdisk_id"),
        .rescue_timeout_s = dv_config_int(config, "DEFAULT", "rescue_timeout"),
        .resize_confirm_window_s = dv_config_int(config, "DEFAULT", "resize_confirm_window"),
        .shelved_offload_time_s = dv_config_int(config, "DEFAULT", "shelved_offload_time"),
        .max_disk_devices_to_attach = dv_config_int(config, "compute",
                                                    "max_disk_devices_to_attach"),
        .max_local_block_devices = dv_config_int(config, "DEFAULT", "max_local_block_devices"),
        .remote_transport = dv_config_is_set(config, "libvirt", "remote_filesystem_transport")
                                ? dv_config_str(config, "libvirt", "remote_filesystem_transport")
                                : NULL,
        .live_snapshots = !dv_config_bool(config, "workarounds", "disable_libvirt_livesnapshot"),
        .password_length = dv_config_int(config, "DEFAULT", "password_length"),
        .flat_injected = dv_config_bool(config, "DEFAULT", "flat_injected"),
        .ovs_bridge = dv_config_str(config, "neutron", "ovs_bridge"),
        .neutron_extension_sync_s = dv_config_int(config, "neutron", "extension_sync_interval"),
        .glance_retries = (unsigned)MIN(dv_config_int(config, "glance", "num_retries"), 100),
        .wait_for_vif_plugged_event_during_hard_reboot = dv_config_list(
            config, "workarounds", "wait_for_vif_plugged_event_during_hard_reboot"),
    };
    fill_vnc(config, &out->vnc);
    options_spice(config, &out->spice);
    options_serial(config, &out->serial);
    options_config_drive(config, &out->config_drive);
    fill_notify(config, &out->notify);
    fill_periodic(config, &out->periodic);
}

/* As nova does: a service that would count as down between two heartbeats is never of use. */
static void raise_service_down_time(AgentConfig *out)
{
    if (out->service_down_time_s > out->report_interval_s)
        return;
    out->service_down_time_s = out->report_interval_s * 5 / 2;
    dv_warning(
        NULL,
        "[DEFAULT] service_down_time must be more than report_interval: using %" G_GINT64_FORMAT
        " s; set the same in the control plane",
        out->service_down_time_s);
}

static bool check_driver(const DvConfig *config, GError **err)
{
    static const char *const drivers[] = {"libvirt.LibvirtDriver",
                                          "nova.virt.libvirt.LibvirtDriver", NULL};

    if (is_one_of(dv_config_str(config, "DEFAULT", "compute_driver"), drivers))
        return true;
    return option_fail(config, "DEFAULT", "compute_driver",
                       "want libvirt.LibvirtDriver, the one hypervisor driver that drover has",
                       err);
}

static bool check_rabbit(const DvConfig *config, GError **err)
{
    static const char group[] = "oslo_messaging_rabbit";

    if (dv_config_bool(config, group, "rabbit_ha_queues") &&
        dv_config_bool(config, group, "rabbit_quorum_queue"))
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "%s: [%s] rabbit_ha_queues and rabbit_quorum_queue are both on: queues are"
                       " either mirrored or quorum queues",
                       dv_config_origin(config, group, "rabbit_quorum_queue"), group);
    if (dv_config_bool(config, group, "rabbit_stream_fanout") &&
        (!dv_config_bool(config, group, "rabbit_transient_quorum_queue") ||
         dv_config_int(config, group, "rabbit_qos_prefetch_count") == 0))
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "%s: [%s] rabbit_stream_fanout needs rabbit_transient_quorum_queue and a"
                       " rabbit_qos_prefetch_count above 0",
                       dv_config_origin(config, group, "rabbit_stream_fanout"), group);
    return true;
}

static bool check_release(const DvConfig *config, GError **err)
{
    static const char *const known[] = {
        "auto",   "zed",       "2023.1", "antelope", "2023.2", "bobcat",   "2024.1", "caracal",
        "2024.2", "dalmatian", "2025.1", "epoxy",    "2025.2", "flamingo", "2026.1", NULL};

    if (is_one_of(dv_config_str(config, "drover", "control_plane_release"), known))
        return true;
    return option_fail(config, "drover", "control_plane_release",
                       "want auto or a release from zed on: zed, 2023.1, 2023.2, 2024.1 ... 2026.1",
                       err);
}

static bool check_notifications(const DvConfig *config, GError **err)
{
    static const char *const known[] = {"messaging", "messagingv2", "noop", "", NULL};
    const char *const *drivers = dv_config_list(config, "oslo_messaging_notifications", "driver");
    int64_t begin_ms, end_ms;

    for (size_t i = 0; drivers[i]; i++) {
        if (!is_one_of(drivers[i], known))
            dv_warning(NULL,
                       "[oslo_messaging_notifications] driver %s is not supported: it is sent no"
                       " notifications",
                       drivers[i]);
    }
    return notification_period(dv_config_str(config, "DEFAULT", "instance_usage_audit_period"), 0,
                               &begin_ms, &end_ms) ||
           option_fail(config, "DEFAULT", "instance_usage_audit_period",
                       "want hour, day, month or year, perhaps with @OFFSET", err);
}

static bool check_health(const DvConfig *config, GError **err)
{
    const char *listen = option_str(config, "drover", "health_listen");
    g_autoptr(GError) why = NULL;

    return !listen || health_http_check(listen, &why) ||
           option_fail(config, "drover", "health_listen", why->message, err);
}

static bool check_paths(const DvConfig *config, GError **err)
{
    static const char *const names[] = {"state_path", "instances_path"};

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        const char *path = dv_config_str(config, "DEFAULT", names[i]);

        if (!g_path_is_absolute(path))
            return option_fail(config, "DEFAULT", names[i], "want an absolute path", err);
    }
    return true;
}

static bool check_service_user(const DvConfig *config, GError **err)
{
    AuthConfig auth;

    if (!dv_config_bool(config, "service_user", "send_service_user_token"))
        return true;
    if (!options_auth_check(config, "service_user", err))
        return false;
    options_auth(config, "service_user", &auth);
    if (auth.auth_type)
        return true;
    return option_fail(config, "service_user", "auth_type",
                       "send_service_user_token is on, so want password or another way to log in",
                       err);
}

bool options_agent(const DvConfig *config, AgentConfig *out, GError **err)
{
    AgentConfig filled;
    g_autofree char *name = NULL;

    fill_agent(config, &filled);
    if (!check_driver(config, err) || !check_rabbit(config, err) || !check_release(config, err) ||
        !check_health(config, err) || !check_notifications(config, err) ||
        !check_paths(config, err) || !check_service_user(config, err) ||
        !options_live(config, &filled.live, err))
        return false;
    if (!filled.host || !*filled.host)
        return option_fail(config, "DEFAULT", "host", "want a name", err);
    name = options_instance_name(&filled, 1, "00000000-0000-0000-0000-000000000000");
    if (!name)
        return option_fail(config, "DEFAULT", "instance_name_template",
                           "want a template like instance-%08x or %(uuid)s", err);
    raise_service_down_time(&filled);
    *out = filled;
    return true;
}

/* ---- the other modules ---- */

void options_log(const DvConfig *config, LogConfig *out)
{
    const char *file = option_str(config, "DEFAULT", "log_file");
    const char *dir = option_str(config, "DEFAULT", "log_dir");
    g_autofree char *path = NULL;

    *out = (LogConfig){
        .level = dv_config_bool(config, "DEFAULT", "debug") ? DV_LOG_DEBUG : DV_LOG_INFO,
    };
    if (!file && !dir)
        return;
    if (dir && !(file && g_path_is_absolute(file)))
        path = g_build_filename(dir, file ? file : DEFAULT_LOG_NAME, NULL);
    else
        path = g_strdup(file);
    out->file = g_intern_string(path); /* one per process, and the struct borrows */
}

void options_rpc(const DvConfig *config, RpcConfig *out)
{
    static const char group[] = "oslo_messaging_rabbit";

    *out = (RpcConfig){
        .transport_url = dv_config_str(config, "DEFAULT", "transport_url"),
        .control_exchange = dv_config_str(config, "DEFAULT", "control_exchange"),
        .host_name = dv_config_str(config, group, "hostname"),
        .process_name = dv_config_str(config, group, "processname"),
        .durable_queues = dv_config_bool(config, group, "amqp_durable_queues"),
        .auto_delete = dv_config_bool(config, group, "amqp_auto_delete"),
        .ha_queues = dv_config_bool(config, group, "rabbit_ha_queues"),
        .quorum_queue = dv_config_bool(config, group, "rabbit_quorum_queue"),
        .quorum_delivery_limit = dv_config_int(config, group, "rabbit_quorum_delivery_limit"),
        .quorum_max_memory_length = dv_config_int(config, group, "rabbit_quorum_max_memory_length"),
        .quorum_max_memory_bytes = dv_config_int(config, group, "rabbit_quorum_max_memory_bytes"),
        .transient_quorum_queue = dv_config_bool(config, group, "rabbit_transient_quorum_queue"),
        .stream_fanout = dv_config_bool(config, group, "rabbit_stream_fanout"),
        .use_queue_manager = dv_config_bool(config, group, "use_queue_manager"),
        .transient_queues_ttl_s = dv_config_int(config, group, "rabbit_transient_queues_ttl"),
        .qos_prefetch_count = dv_config_int(config, group, "rabbit_qos_prefetch_count"),
        .heartbeat_timeout_s = dv_config_int(config, group, "heartbeat_timeout_threshold"),
        .heartbeat_rate = dv_config_int(config, group, "heartbeat_rate"),
        .missing_consumer_retry_s = dv_config_int(config, group,
                                                  "kombu_missing_consumer_retry_timeout"),
        .reconnect_delay_s = dv_config_float(config, group, "kombu_reconnect_delay"),
        .reconnect_splay_s = dv_config_float(config, group, "kombu_reconnect_splay"),
        .retry_interval_s = dv_config_int(config, group, "rabbit_retry_interval"),
        .retry_backoff_s = dv_config_int(config, group, "rabbit_retry_backoff"),
        .interval_max_s = dv_config_int(config, group, "rabbit_interval_max"),
        .failover_shuffle = strcmp(dv_config_str(config, group, "kombu_failover_strategy"),
                                   "shuffle") == 0,
        .login_method = dv_config_str(config, group, "rabbit_login_method"),
        .ssl = dv_config_bool(config, group, "ssl"),
        .ssl_version = option_str(config, group, "ssl_version"),
        .ssl_key_file = option_str(config, group, "ssl_key_file"),
        .ssl_cert_file = option_str(config, group, "ssl_cert_file"),
        .ssl_ca_file = option_str(config, group, "ssl_ca_file"),
        .ssl_enforce_hostname = dv_config_bool(config, group, "ssl_enforce_hostname_verification"),
        .enable_cancel_on_failover = dv_config_bool(config, group, "enable_cancel_on_failover"),
        .ping_enabled = dv_config_bool(config, "DEFAULT", "rpc_ping_enabled"),
        .response_timeout_ms = dv_config_int(config, "DEFAULT", "rpc_response_timeout") * 1000,
    };
}

bool options_service(const DvConfig *config, const char *group, const AuthConfig *service_user,
                     ServiceConfig *out, GError **err)
{
    bool is_glance = strcmp(group, "glance") == 0;
    bool is_neutron = strcmp(group, "neutron") == 0;
    const char *const *api_servers = dv_config_list(config, "glance", "api_servers");
    ServiceConfig filled = {
        .name = g_intern_string(group),
        .service_type = dv_config_str(config, group, "service_type"),
        .valid_interfaces = dv_config_list(config, group, "valid_interfaces"),
        .region_name = option_str(config, group, "region_name"),
        .endpoint_override = option_str(config, group, "endpoint_override"),
        .connect_retries = (unsigned)dv_config_int(config, group, "connect_retries"),
        .status_code_retries = (unsigned)dv_config_int(config, group, "status_code_retries"),
    };

    if (!options_auth_check(config, group, err))
        return false;
    options_auth(config, group, &filled.auth);
    if (is_glance && !filled.endpoint_override)
        filled.endpoint_override = api_servers[0];
    if (is_neutron && filled.connect_retries == 0)
        filled.connect_retries = (unsigned)MIN(dv_config_int(config, group, "http_retries"), 100);
    filled.user_token_only = is_glance && !filled.auth.auth_type;
    if (!filled.auth.auth_type && !is_glance)
        return option_fail(config, group, "auth_type", "want password or another way to log in",
                           err);
    if (service_user && dv_config_bool(config, "service_user", "send_service_user_token"))
        filled.service_user = service_user;
    *out = filled;
    return true;
}

void options_service_user(const DvConfig *config, AuthConfig *out)
{
    options_auth(config, "service_user", out);
}

static bool check_queue_size(const DvConfig *config, const char *name, GError **err)
{
    int64_t size = dv_config_int(config, "libvirt", name);

    if (size == 0 || size == 256 || size == 512 || size == 1024)
        return true;
    return dv_fail(err, DV_E_BAD_CONFIG,
                   "%s: [libvirt] %s = %" G_GINT64_FORMAT ": want 256, 512 or 1024",
                   dv_config_origin(config, "libvirt", name), name, size);
}

static bool check_cpu_model(const DvConfig *config, const VirtConfig *virt, GError **err)
{
    bool custom = virt->cpu_mode && strcmp(virt->cpu_mode, "custom") == 0;

    if (custom && !virt->cpu_models[0])
        return option_fail(config, "libvirt", "cpu_mode", "needs cpu_models, which is not set",
                           err);
    if (!custom && virt->cpu_models[0])
        return dv_fail(err, DV_E_BAD_CONFIG, "%s: [libvirt] cpu_models: only for cpu_mode = custom",
                       dv_config_origin(config, "libvirt", "cpu_models"));
    return true;
}

static bool check_virt(const DvConfig *config, const VirtConfig *virt, GError **err)
{
    static const char *const types[] = {"kvm", "qemu", NULL};

    if (!is_one_of(virt->virt_type, types))
        return option_fail(config, "libvirt", "virt_type", "drover has kvm and qemu", err);
    return check_cpu_model(config, virt, err) && check_queue_size(config, "rx_queue_size", err) &&
           check_queue_size(config, "tx_queue_size", err);
}

bool options_virt(const DvConfig *config, VirtConfig *out, GError **err)
{
    VirtConfig filled = {
        .virt_type = dv_config_str(config, "libvirt", "virt_type"),
        .connection_uri = option_str(config, "libvirt", "connection_uri"),
        .instances_path = dv_config_str(config, "DEFAULT", "instances_path"),
        .cpu_mode = option_str(config, "libvirt", "cpu_mode"),
        .cpu_models = dv_config_list(config, "libvirt", "cpu_models"),
        .cpu_model_extra_flags = dv_config_list(config, "libvirt", "cpu_model_extra_flags"),
        .hw_machine_type = dv_config_list(config, "libvirt", "hw_machine_type"),
        .disk_cachemodes = dv_config_list(config, "libvirt", "disk_cachemodes"),
        .image_type_exclude_list = dv_config_list(config, "compute", "image_type_exclude_list"),
        .images_type = dv_config_str(config, "libvirt", "images_type"),
        .cpu_shared_set = option_str(config, "compute", "cpu_shared_set"),
        .rng_dev_path = dv_config_str(config, "libvirt", "rng_dev_path"),
        .sysinfo_serial = dv_config_str(config, "libvirt", "sysinfo_serial"),
        .mem_stats_period_s = dv_config_int(config, "libvirt", "mem_stats_period_seconds"),
        .reserved_host_memory_mib = dv_config_int(config, "DEFAULT", "reserved_host_memory_mb"),
        .use_cow_images = dv_config_bool(config, "DEFAULT", "use_cow_images"),
        .force_raw_images = dv_config_bool(config, "DEFAULT", "force_raw_images"),
        .use_virtio_for_bridges = dv_config_bool(config, "libvirt", "use_virtio_for_bridges"),
        .swtpm_enabled = dv_config_bool(config, "libvirt", "swtpm_enabled"),
        .swtpm_user = dv_config_str(config, "libvirt", "swtpm_user"),
        .swtpm_group = dv_config_str(config, "libvirt", "swtpm_group"),
        .preallocate = strcmp(dv_config_str(config, "DEFAULT", "preallocate_images"), "space") == 0,
        .disable_apic = dv_config_bool(config, "workarounds", "libvirt_disable_apic"),
        .hw_disk_discard = option_str(config, "libvirt", "hw_disk_discard"),
        .disk_prefix = option_str(config, "libvirt", "disk_prefix"),
        .perf_events = dv_config_list(config, "libvirt", "enabled_perf_events"),
        .num_pcie_ports = dv_config_int(config, "libvirt", "num_pcie_ports"),
        .max_queues = dv_config_int(config, "libvirt", "max_queues"),
        .rx_queue_size = dv_config_int(config, "libvirt", "rx_queue_size"),
        .tx_queue_size = dv_config_int(config, "libvirt", "tx_queue_size"),
        .device_detach_attempts = dv_config_int(config, "libvirt", "device_detach_attempts"),
        .device_detach_timeout_s = dv_config_int(config, "libvirt", "device_detach_timeout"),
        .package_version = DROVER_VERSION,
    };

    if (!check_virt(config, &filled, err) ||
        !options_serial_range(config, &filled.serial_port_first, &filled.serial_port_end, err))
        return false;
    *out = filled;
    return true;
}

bool options_disks(const DvConfig *config, DisksConfig *out, GError **err)
{
    static const char *const kinds[] = {"default", "raw", "qcow2", "flat", NULL};
    DisksConfig filled = {
        .instances_path = dv_config_str(config, "DEFAULT", "instances_path"),
        .base_dir_name = dv_config_str(config, "image_cache", "subdirectory_name"),
        .images_type = dv_config_str(config, "libvirt", "images_type"),
        .use_cow_images = dv_config_bool(config, "DEFAULT", "use_cow_images"),
        .force_raw_images = dv_config_bool(config, "DEFAULT", "force_raw_images"),
        .deep_inspection = !dv_config_bool(config, "workarounds", "disable_deep_image_inspection"),
        .vmdk_allowed_types = dv_config_list(config, "compute", "vmdk_allowed_types"),
        .config_drive_format = dv_config_str(config, "DEFAULT", "config_drive_format"),
        .mkisofs_cmd = dv_config_str(config, "DEFAULT", "mkisofs_cmd"),
        .default_ephemeral_format = option_str(config, "DEFAULT", "default_ephemeral_format"),
        .preallocate_images = dv_config_str(config, "DEFAULT", "preallocate_images"),
        .snapshots_directory = dv_config_str(config, "libvirt", "snapshots_directory"),
        .snapshot_image_format = option_str(config, "libvirt", "snapshot_image_format"),
        .snapshot_compression = dv_config_bool(config, "libvirt", "snapshot_compression"),
        .remove_unused_bases = dv_config_bool(config, "image_cache", "remove_unused_base_images"),
        .unused_age_s = dv_config_int(config, "image_cache",
                                      "remove_unused_original_minimum_age_seconds"),
        .unused_resized_age_s = dv_config_int(config, "image_cache",
                                              "remove_unused_resized_minimum_age_seconds"),
    };

    if (!is_one_of(filled.images_type, kinds))
        return option_fail(config, "libvirt", "images_type",
                           "not supported yet; drover has default, raw, qcow2 and flat", err);
    if (!*filled.base_dir_name || strchr(filled.base_dir_name, '/'))
        return option_fail(config, "image_cache", "subdirectory_name", "want one folder name", err);
    *out = filled;
    return true;
}

void options_tracker(const DvConfig *config, TrackerConfig *out)
{
    *out = (TrackerConfig){
        .host = dv_config_str(config, "DEFAULT", "host"),
        .my_ip = dv_config_str(config, "DEFAULT", "my_ip"),
        .move_address = dv_config_str(config, "libvirt", "migration_inbound_addr"),
        .state_path = dv_config_str(config, "DEFAULT", "state_path"),
        .reserved_host_memory_mib = dv_config_int(config, "DEFAULT", "reserved_host_memory_mb"),
        .reserved_host_disk_mib = dv_config_int(config, "DEFAULT", "reserved_host_disk_mb"),
        .reserved_host_cpus = dv_config_int(config, "DEFAULT", "reserved_host_cpus"),
        .cpu_ratio = dv_config_float(config, "DEFAULT", "cpu_allocation_ratio"),
        .ram_ratio = dv_config_float(config, "DEFAULT", "ram_allocation_ratio"),
        .disk_ratio = dv_config_float(config, "DEFAULT", "disk_allocation_ratio"),
        .initial_cpu_ratio = dv_config_float(config, "DEFAULT", "initial_cpu_allocation_ratio"),
        .initial_ram_ratio = dv_config_float(config, "DEFAULT", "initial_ram_allocation_ratio"),
        .initial_disk_ratio = dv_config_float(config, "DEFAULT", "initial_disk_allocation_ratio"),
        .failed_build_threshold = dv_config_int(config, "compute",
                                                "consecutive_build_service_disable_threshold"),
        .disable_group_policy_check = dv_config_bool(config, "workarounds",
                                                     "disable_group_policy_check_upcall"),
        .association_refresh_s = dv_config_int(config, "compute",
                                               "resource_provider_association_refresh"),
    };
}

bool options_check(const DvConfig *config, GError **err)
{
    AgentConfig agent;
    VirtConfig virt;
    DisksConfig disks;
    ServiceConfig service;
    VendordataConfig vendordata;
    AuthConfig user;

    return options_agent(config, &agent, err) && options_virt(config, &virt, err) &&
           options_disks(config, &disks, err) &&
           options_service(config, "placement", NULL, &service, err) &&
           options_service(config, "neutron", NULL, &service, err) &&
           options_service(config, "glance", NULL, &service, err) &&
           options_barbican(config, &user, &service, err) &&
           options_vendordata(config, &vendordata, err);
}
