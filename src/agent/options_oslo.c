/* Rows of the oslo libraries (messaging, log, service, concurrency), and drover's own. */
#include "agent/options_priv.h"

#define RABBIT "oslo_messaging_rabbit"

/* clang-format off */
static const DvOption oslo_rows[] = {
    /* ---- oslo.messaging ---- */
    OPT_STR("DEFAULT", "transport_url", "rabbit://", "Brokers:"
            " rabbit://user:password@host:port,user:password@host:port/vhost", SECRET),
    OPT_STR("DEFAULT", "control_exchange", "nova", "Exchange of all RPC queues."),
    OPT_INT("DEFAULT", "rpc_response_timeout", "60", "Seconds to wait for a reply.", AT_LEAST(1)),
    OPT_BOOL("DEFAULT", "rpc_ping_enabled", "false", "Answer oslo_rpc_server_ping."),
    OPT_INT("DEFAULT", "executor_thread_pool_size", "64", "Requests worked on at a time.",
            AT_LEAST(1), OLD("DEFAULT.rpc_thread_pool_size")),
    OPT_BOOL(RABBIT, "ssl", "false", "TLS to the broker.", OLD(RABBIT ".rabbit_use_ssl")),
    OPT_STR(RABBIT, "ssl_version", "", "Lowest TLS version; empty: negotiated.",
            OLD(RABBIT ".kombu_ssl_version")),
    OPT_STR(RABBIT, "ssl_key_file", "", "Key of the client certificate.",
            OLD(RABBIT ".kombu_ssl_keyfile")),
    OPT_STR(RABBIT, "ssl_cert_file", "", "Client certificate.", OLD(RABBIT ".kombu_ssl_certfile")),
    OPT_STR(RABBIT, "ssl_ca_file", "", "Authorities of the broker's certificate; empty: not"
            " checked.", OLD(RABBIT ".kombu_ssl_ca_certs")),
    OPT_BOOL(RABBIT, "ssl_enforce_hostname_verification", "false", "Check the name in it."),
    OPT_BOOL(RABBIT, "ssl_enforce_fips_mode", "false", "FIPS mode.", UNHONOURED),
    OPT_STR(RABBIT, "rabbit_login_method", "AMQPLAIN", "How to log in.",
            CHOICES("PLAIN|AMQPLAIN|EXTERNAL|RABBIT-CR-DEMO"), OLD("DEFAULT.rabbit_login_method")),
    OPT_BOOL(RABBIT, "amqp_durable_queues", "false", "Queues survive a restart of the broker.",
             OLD("DEFAULT.amqp_durable_queues|DEFAULT.rabbit_durable_queues")),
    OPT_BOOL(RABBIT, "amqp_auto_delete", "false", "Queues vanish with their last consumer.",
             OLD("DEFAULT.amqp_auto_delete")),
    OPT_BOOL(RABBIT, "rabbit_ha_queues", "false", "Mirrored queues.",
             OLD("DEFAULT.rabbit_ha_queues")),
    OPT_BOOL(RABBIT, "rabbit_quorum_queue", "false", "Quorum queues."),
    OPT_BOOL(RABBIT, "rabbit_transient_quorum_queue", "false", "Also for replies and fanout."),
    OPT_INT(RABBIT, "rabbit_quorum_delivery_limit", "0", "Deliveries of a message; 0: no limit.",
            AT_LEAST(0)),
    OPT_INT(RABBIT, "rabbit_quorum_max_memory_length", "0", "Messages a quorum queue keeps in"
            " memory; 0: no limit.", AT_LEAST(0), OLD(RABBIT ".rabbit_quroum_max_memory_length")),
    OPT_INT(RABBIT, "rabbit_quorum_max_memory_bytes", "0", "Bytes of these; 0: no limit.",
            AT_LEAST(0), OLD(RABBIT ".rabbit_quroum_max_memory_bytes")),
    OPT_INT(RABBIT, "rabbit_transient_queues_ttl", "1800", "Seconds until an unused reply or fanout"
            " queue goes away; 0: never.", AT_LEAST(0)),
    OPT_INT(RABBIT, "rabbit_qos_prefetch_count", "0", "Messages taken ahead; 0: no limit.",
            .min = 0, .max = 65535),
    OPT_BOOL(RABBIT, "rabbit_stream_fanout", "false", "One stream per fanout."),
    OPT_BOOL(RABBIT, "use_queue_manager", "false", "Queue names that stay the same."),
    OPT_STR(RABBIT, "hostname", NULL, "Host in these names. Default: the host name."),
    OPT_STR(RABBIT, "processname", "nova-compute", "Process in these names."),
    OPT_INT(RABBIT, "heartbeat_timeout_threshold", "60", "Seconds until a silent broker counts as"
            " dead; 0: never.", .min = 0, .max = 65535),
    OPT_INT(RABBIT, "heartbeat_rate", "2", "Checks in that time.", .min = 1, .max = 100),
    OPT_BOOL(RABBIT, "heartbeat_in_pthread", "false", "A thread for heartbeats.", IGNORED),
    OPT_INT(RABBIT, "rabbit_retry_interval", "1", "Seconds until the first reconnection.",
            AT_LEAST(0), OLD("DEFAULT.rabbit_retry_interval")),
    OPT_INT(RABBIT, "rabbit_retry_backoff", "2", "Seconds added for each further one.", AT_LEAST(0),
            OLD("DEFAULT.rabbit_retry_backoff")),
    OPT_INT(RABBIT, "rabbit_interval_max", "30", "The most of these.", AT_LEAST(0)),
    OPT_FLOAT(RABBIT, "kombu_reconnect_delay", "1.0", "Seconds before each reconnection.",
              .min = 0, .max = 4.5, OLD("DEFAULT.kombu_reconnect_delay")),
    OPT_FLOAT(RABBIT, "kombu_reconnect_splay", "0.0", "Random seconds added to it.", AT_LEAST(0)),
    OPT_STR(RABBIT, "kombu_failover_strategy", "round-robin", "Order of brokers.",
            CHOICES("round-robin|shuffle")),
    OPT_INT(RABBIT, "kombu_missing_consumer_retry_timeout", "60", "Seconds to try to deliver a reply"
            " whose queue is missing.", AT_LEAST(0), OLD(RABBIT ".kombu_reconnect_timeout")),
    OPT_STR(RABBIT, "kombu_compression", NULL, "Compression of messages.", UNHONOURED),
    OPT_BOOL(RABBIT, "enable_cancel_on_failover", "false", "Have consumers cancelled when a queue"
             " moves."),
    OPT_BOOL(RABBIT, "direct_mandatory_flag", "true", "Cannot be turned off.", IGNORED),
    OPT_INT(RABBIT, "rpc_conn_pool_size", "30", "drover has two connections.", IGNORED),
    OPT_INT(RABBIT, "conn_pool_min_size", "2", "drover has two connections.", IGNORED),
    OPT_INT(RABBIT, "conn_pool_ttl", "1200", "drover has two connections.", IGNORED),
    OPT_MULTI("oslo_messaging_notifications", "driver", NULL, "messagingv2, messaging, or none of"
              " them: no notifications.", OLD("DEFAULT.notification_driver")),
    OPT_LIST("oslo_messaging_notifications", "topics", "notifications", "Topics of unversioned"
             " notifications.", OLD("rpc_notifier2.topics|DEFAULT.notification_topics")),
    OPT_INT("oslo_messaging_notifications", "retry", "-1", "Tries to send one; -1: for ever.",
            AT_LEAST(-1)),
    OPT_STR("oslo_messaging_notifications", "transport_url", NULL, "Other brokers for"
            " notifications.", OLD("DEFAULT.notification_transport_url"),
            SECRET),
    OPT_BOOL("oslo_messaging_metrics", "metrics_enabled", "false", "Metrics to a socket.",
             UNHONOURED),
    OPT_STR("oslo_messaging_metrics", "*", NULL, NULL, IGNORED),

    /* ---- oslo.log ---- */
    OPT_BOOL("DEFAULT", "debug", "false", "Log at level DEBUG.", RELOAD),
    OPT_STR("DEFAULT", "log_file", NULL, "Log file; unset: standard error.",
            OLD("DEFAULT.logfile")),
    OPT_STR("DEFAULT", "log_dir", NULL, "Folder of log_file; alone: drover.log in it.",
            OLD("DEFAULT.logdir")),
    OPT_BOOL("DEFAULT", "use_syslog", "false", "Log to syslog.", UNHONOURED),
    OPT_BOOL("DEFAULT", "use_journal", "false", "Log to the journal.", UNHONOURED),
    OPT_BOOL("DEFAULT", "use_json", "false", "Log as JSON.", UNHONOURED),
    OPT_BOOL("DEFAULT", "use_eventlog", "false", "Windows.", IGNORED),
    OPT_BOOL("DEFAULT", "use_stderr", "false", "Log to standard error too.", UNHONOURED),
    OPT_STR("DEFAULT", "log_config_append", NULL, "Python logging configuration.", UNHONOURED,
            OLD("DEFAULT.log_config")),
    OPT_STR("DEFAULT", "syslog_log_facility", "LOG_USER", "Of syslog.", IGNORED),
    OPT_STR("DEFAULT", "log_date_format", "%Y-%m-%d %H:%M:%S", "Layout of log lines.", UNHONOURED),
    OPT_STR("DEFAULT", "log_rotation_type", "none", "Rotation by the service itself.",
            CHOICES("interval|size|none"), UNHONOURED),
    OPT_BOOL("DEFAULT", "watch_log_file", "false", "Reopen a moved log file; drover does on SIGHUP.",
             UNHONOURED),
    OPT_LIST("DEFAULT", "default_log_levels", NULL, "Of Python modules.", IGNORED),
    OPT_BOOL("DEFAULT", "publish_errors", "false", "Errors as notifications.", UNHONOURED),

    /* ---- oslo.service, oslo.concurrency ---- */
    OPT_INT("DEFAULT", "graceful_shutdown_timeout", "60", "Seconds that running operations get when"
            " drover is asked to end.", AT_LEAST(0)),
    OPT_STR("oslo_concurrency", "lock_path", NULL, "Folder of file locks that other services share.",
            OLD("DEFAULT.lock_path"), IGNORED),
    OPT_BOOL("oslo_concurrency", "disable_process_locking", "false", "No file locks.", IGNORED,
             OLD("DEFAULT.disable_process_locking")),
};

static const DvOption drover_rows[] = {
    OPT_STR("drover", "control_plane_release", "auto", "Release of the control plane (zed, 2023.1,"
            " 2023.2, 2024.1 ...); auto: found out from conductor."),
    OPT_STR("drover", "health_listen", "", "Where to answer GET /healthz, /readyz and /metrics:"
            " ADDRESS:PORT, [IPV6]:PORT or unix:/PATH; empty: nowhere."),
    OPT_INT("drover", "recovery_delay", "30", "Seconds after a start that an interrupted move is left"
            " alone whose next message may still be on its way.", AT_LEAST(1)),
};
/* clang-format on */

const OptionPart options_part_oslo = {oslo_rows, G_N_ELEMENTS(oslo_rows)};
const OptionPart options_part_drover = {drover_rows, G_N_ELEMENTS(drover_rows)};
