/* Rows of what a nova.conf that all nova services share also holds, and that has rightly no effect
 * on a compute agent: known here, so that a typing error stands out among the warnings. */
#include "agent/options_priv.h"

/* clang-format off */
#define OTHER(g, n) {.group = (g), .name = (n), .type = CONF_STR, .flags = CONF_IGNORED}
#define OTHERS(g)   OTHER(g, "*")

static const DvOption rows[] = {
    /* groups of nova-api, nova-scheduler, nova-conductor, the proxies and other drivers */
    OTHERS("api"), OTHERS("api_database"), OTHERS("cache"), OTHERS("conductor"), OTHERS("console"),
    OTHERS("cyborg"), OTHERS("database"), OTHERS("guestfs"), OTHERS("healthcheck"),
    OTHERS("hyperv"), OTHERS("ironic"), OTHERS("keystone"), OTHERS("keystone_authtoken"),
    OTHERS("metrics"), OTHERS("mks"),
    OTHERS("oslo_limit"), OTHERS("oslo_messaging_amqp"), OTHERS("oslo_messaging_kafka"),
    OTHERS("oslo_middleware"), OTHERS("oslo_policy"), OTHERS("oslo_reports"),
    OTHERS("oslo_versionedobjects"), OTHERS("cors"), OTHERS("powervm"), OTHERS("privsep"),
    OTHERS("privsep_osbrick"), OTHERS("vif_plug_ovs_privileged"),
    OTHERS("vif_plug_linux_bridge_privileged"), OTHERS("os_vif_linux_bridge"),
    OTHERS("nova_sys_admin"), OTHERS("profiler"), OTHERS("quota"), OTHERS("remote_debug"),
    OTHERS("scheduler"), OTHERS("vmware"), OTHERS("wsgi"),
    OTHERS("xenserver"), OTHERS("zvm"),
    /* the rest of these groups is for other users of castellan, and other key managers */
    OTHERS("barbican"), OTHERS("key_manager"), OTHERS("vault"),
    /* shares: used by what drover does not have yet */
    OTHERS("manila"),

    /* [DEFAULT] options of theirs */
    OTHER("DEFAULT", "allow_resize_to_same_host"), OTHER("DEFAULT", "api_paste_config"),
    OTHER("DEFAULT", "backdoor_port"), OTHER("DEFAULT", "backdoor_socket"),
    OTHER("DEFAULT", "bindir"), OTHER("DEFAULT", "cell_worker_thread_pool_size"),
    OTHER("DEFAULT", "cert"), OTHER("DEFAULT", "client_socket_timeout"),
    OTHER("DEFAULT", "concurrency_backend"), OTHER("DEFAULT", "config_source"),
    OTHER("DEFAULT", "console_host"), OTHER("DEFAULT", "daemon"),
    OTHER("DEFAULT", "default_availability_zone"), OTHER("DEFAULT", "default_green_pool_size"),
    OTHER("DEFAULT", "default_schedule_zone"), OTHER("DEFAULT", "default_thread_pool_size"),
    OTHER("DEFAULT", "enable_new_services"), OTHER("DEFAULT", "enabled_apis"),
    OTHER("DEFAULT", "enabled_ssl_apis"), OTHER("DEFAULT", "instance_format"),
    OTHER("DEFAULT", "instance_uuid_format"), OTHER("DEFAULT", "internal_service_availability_zone"),
    OTHER("DEFAULT", "key"), OTHER("DEFAULT", "log_options"), OTHER("DEFAULT", "log_rotate_interval"),
    OTHER("DEFAULT", "log_rotate_interval_type"), OTHER("DEFAULT", "logging_context_format_string"),
    OTHER("DEFAULT", "logging_debug_format_suffix"),
    OTHER("DEFAULT", "logging_default_format_string"), OTHER("DEFAULT", "logging_exception_prefix"),
    OTHER("DEFAULT", "logging_user_identity_format"), OTHER("DEFAULT", "manager_shutdown_timeout"),
    OTHER("DEFAULT", "max_header_line"), OTHER("DEFAULT", "max_logfile_count"),
    OTHER("DEFAULT", "max_logfile_size_mb"), OTHER("DEFAULT", "metadata_listen"),
    OTHER("DEFAULT", "metadata_listen_port"), OTHER("DEFAULT", "metadata_workers"),
    OTHER("DEFAULT", "migrate_max_retries"), OTHER("DEFAULT", "non_inheritable_image_properties"),
    OTHER("DEFAULT", "osapi_compute_listen"), OTHER("DEFAULT", "osapi_compute_listen_port"),
    OTHER("DEFAULT", "osapi_compute_unique_server_name_scope"),
    OTHER("DEFAULT", "osapi_compute_workers"), OTHER("DEFAULT", "rate_limit_burst"),
    OTHER("DEFAULT", "rate_limit_except_level"), OTHER("DEFAULT", "rate_limit_interval"),
    OTHER("DEFAULT", "record"), OTHER("DEFAULT", "rootwrap_config"),
    OTHER("DEFAULT", "servicegroup_driver"), OTHER("DEFAULT", "source_is_ipv6"),
    OTHER("DEFAULT", "ssl_only"), OTHER("DEFAULT", "tcp_keepidle"),
    OTHER("DEFAULT", "thread_pool_statistic_period"), OTHER("DEFAULT", "use_rootwrap_daemon"),
    OTHER("DEFAULT", "web"), OTHER("DEFAULT", "wsgi_default_pool_size"),
    OTHER("DEFAULT", "wsgi_keep_alive"), OTHER("DEFAULT", "wsgi_log_format"),
    OTHER("DEFAULT", "wsgi_server_debug"),
    /* gone, and still found in many files */
    OTHER("DEFAULT", "auth_strategy"), OTHER("DEFAULT", "dhcpbridge"),
    OTHER("DEFAULT", "dhcpbridge_flagfile"), OTHER("DEFAULT", "firewall_driver"),
    OTHER("DEFAULT", "force_dhcp_release"), OTHER("DEFAULT", "libvirt_use_virtio_for_bridges"),
    OTHER("DEFAULT", "linuxnet_interface_driver"), OTHER("DEFAULT", "rpc_backend"),
    OTHER("DEFAULT", "use_neutron"), OTHER("DEFAULT", "verbose"),
};
/* clang-format on */

const OptionPart options_part_ignored = {rows, G_N_ELEMENTS(rows)};
