/* Connecting: socket options, TLS, login; see link.h. */
#include "rpc/link.h"

#include "rpc/link_priv.h"
#include "util/log.h"

#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LINK_FRAME_BYTES = 131072,
    LINK_ANSWER_MS = 30000, /* for declares and the like */
    LINK_GOODBYE_MS = 1000,
};

static struct timeval ms_timeval(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
}

/* ---- TLS ---- */

typedef struct TlsVersion {
    const char *name;
    amqp_tls_version_t version;
} TlsVersion;

/* The names that Python's ssl module knows; SSLv23 and "" negotiate. */
static const TlsVersion tls_versions[] = {
    {"tlsv1", AMQP_TLSv1}, {"tlsv1_1", AMQP_TLSv1_1}, {"tlsv1_2", AMQP_TLSv1_2}};

static bool tls_set_version(amqp_socket_t *socket, const char *name, GError **err)
{
    if (!name || !*name || g_ascii_strcasecmp(name, "sslv23") == 0)
        return true;
    for (size_t i = 0; i < G_N_ELEMENTS(tls_versions); i++) {
        amqp_tls_version_t version = tls_versions[i].version;

        if (g_ascii_strcasecmp(name, tls_versions[i].name) != 0)
            continue;
        if (amqp_ssl_socket_set_ssl_versions(socket, version, version) == AMQP_STATUS_OK)
            return true;
        break;
    }
    return dv_fail(err, DV_E_BAD_CONFIG, "ssl_version %s is not supported", name);
}

static bool is_set(const char *path)
{
    return path && *path;
}

/* As oslo: with a CA file the chain is verified, without one nothing is. */
static bool tls_setup(amqp_socket_t *socket, const RpcConfig *config, GError **err)
{
    bool verify = is_set(config->ssl_ca_file);
    const char *key = is_set(config->ssl_key_file) ? config->ssl_key_file : config->ssl_cert_file;

    amqp_ssl_socket_set_verify_peer(socket, verify);
    amqp_ssl_socket_set_verify_hostname(socket, verify && config->ssl_enforce_hostname);
    if (verify && amqp_ssl_socket_set_cacert(socket, config->ssl_ca_file) != AMQP_STATUS_OK)
        return dv_fail(err, DV_E_BAD_CONFIG, "ssl_ca_file %s cannot be used", config->ssl_ca_file);
    if (is_set(config->ssl_cert_file) &&
        amqp_ssl_socket_set_key(socket, config->ssl_cert_file, key) != AMQP_STATUS_OK)
        return dv_fail(err, DV_E_BAD_CONFIG, "ssl_cert_file %s or ssl_key_file %s cannot be used",
                       config->ssl_cert_file, key);
    return tls_set_version(socket, config->ssl_version, err);
}

/* ---- socket ---- */

void rpc_link_user_timeout(RpcLink *link, unsigned timeout_ms)
{
    (void)setsockopt(rpc_link_fd(link), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms,
                     sizeof timeout_ms);
}

/* A broker that dies without a word is noticed after about the heartbeat timeout even while we
 * wait for it to take our bytes. */
static void socket_tune(RpcLink *link, int64_t heartbeat_s)
{
    int fd = rpc_link_fd(link);
    int on = 1;
    int idle_s = 30;
    int interval_s = 10;
    int probes = 3;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    link->user_timeout_ms = (unsigned)(heartbeat_s > 0 ? heartbeat_s * 1000 : 60000);
    rpc_link_user_timeout(link, link->user_timeout_ms);
}

static bool socket_open(RpcLink *link, const RpcLinkOptions *options, const RpcHost *host,
                        GError **err)
{
    const RpcConfig *config = options->config;
    struct timeval limit = ms_timeval(options->connect_ms);
    amqp_socket_t *socket = config->ssl ? amqp_ssl_socket_new(link->state)
                                        : amqp_tcp_socket_new(link->state);
    int status;

    if (!socket)
        return dv_fail(err, DV_E_INTERNAL, "%s: no socket", link->name);
    if (config->ssl && !tls_setup(socket, config, err))
        return dv_within(err, "%s: TLS", link->name);
    status = amqp_socket_open_noblock(socket, host->host, host->port, &limit);
    if (status != AMQP_STATUS_OK)
        return dv_fail(err, DV_E_UNAVAILABLE, "%s: %s", link->name, amqp_error_string2(status));
    socket_tune(link, config->heartbeat_timeout_s);
    return true;
}

/* ---- login ---- */

/* oslo's default mechanism AMQPLAIN is not in librabbitmq. PLAIN carries the same user and password
 * and RabbitMQ offers both unless told otherwise, so AMQPLAIN falls back to PLAIN; rpc_new says so
 * once. */
static amqp_rpc_reply_t login(RpcLink *link, const RpcConfig *config, const RpcHost *host,
                              const char *vhost, const amqp_table_t *properties)
{
    int heartbeat = (int)MIN(config->heartbeat_timeout_s, UINT16_MAX);

    if (config->login_method && g_ascii_strcasecmp(config->login_method, "EXTERNAL") == 0)
        return amqp_login_with_properties(link->state, vhost, RPC_LINK_CHANNELS - 1,
                                          LINK_FRAME_BYTES, heartbeat, properties,
                                          AMQP_SASL_METHOD_EXTERNAL, host->user);
    return amqp_login_with_properties(link->state, vhost, RPC_LINK_CHANNELS - 1, LINK_FRAME_BYTES,
                                      heartbeat, properties, AMQP_SASL_METHOD_PLAIN, host->user,
                                      host->password);
}

static amqp_table_entry_t entry_true(const char *key)
{
    return (amqp_table_entry_t){amqp_cstring_bytes(key),
                                {AMQP_FIELD_KIND_BOOLEAN, {.boolean = true}}};
}

static amqp_table_entry_t entry_text(const char *key, const char *text)
{
    return (amqp_table_entry_t){amqp_cstring_bytes(key),
                                {AMQP_FIELD_KIND_UTF8, {.bytes = amqp_cstring_bytes(text)}}};
}

static bool log_in(RpcLink *link, const RpcLinkOptions *options, const RpcHost *host,
                   const char *vhost, GError **err)
{
    g_autofree char *uuid = g_uuid_string_random();
    g_autofree char *name = g_strdup_printf("%s:%d:%s", options->program, (int)getpid(), uuid);
    amqp_table_entry_t capabilities[] = {entry_true("authentication_failure_close"),
                                         entry_true("basic.nack"), entry_true("connection.blocked"),
                                         entry_true("consumer_cancel_notify"),
                                         entry_true("publisher_confirms")};
    amqp_table_entry_t entries[] = {
        entry_text("connection_name", name),
        entry_text("product", "drover"),
        entry_text("version", DROVER_VERSION),
        {amqp_cstring_bytes("capabilities"),
         {AMQP_FIELD_KIND_TABLE, {.table = {G_N_ELEMENTS(capabilities), capabilities}}}},
    };
    amqp_table_t properties = {G_N_ELEMENTS(entries), entries};
    struct timeval limit = ms_timeval(options->connect_ms);

    amqp_set_handshake_timeout(link->state, &limit);
    if (!rpc_link_answered(link, 0, login(link, options->config, host, vhost, &properties), err))
        return dv_within(err, "logging in as %s to virtual host %s", host->user, vhost);
    limit = ms_timeval(LINK_ANSWER_MS);
    amqp_set_rpc_timeout(link->state, &limit);
    amqp_maybe_release_buffers_on_channel(link->state, 0);
    return true;
}

bool rpc_link_open(const RpcLinkOptions *options, const RpcHost *host, const char *vhost,
                   RpcLink **out, GError **err)
{
    RpcLink *link = g_new0(RpcLink, 1);

    link->name = g_strdup_printf("%s:%d", host->host, host->port);
    link->max_message_bytes = options->max_message_bytes;
    link->state = amqp_new_connection();
    link->alive = true;
    if (!link->state) {
        rpc_link_free(link);
        return dv_fail(err, DV_E_INTERNAL, "out of memory");
    }
    if (!socket_open(link, options, host, err) || !log_in(link, options, host, vhost, err)) {
        link->alive = false;
        rpc_link_free(link);
        return false;
    }
    *out = link;
    return true;
}

void rpc_link_free(RpcLink *link)
{
    struct timeval limit = ms_timeval(LINK_GOODBYE_MS);

    if (!link)
        return;
    if (link->alive && rpc_link_room(link)) {
        amqp_set_rpc_timeout(link->state, &limit);
        amqp_connection_close(link->state, AMQP_REPLY_SUCCESS);
    }
    if (link->state)
        amqp_destroy_connection(link->state);
    for (int i = 0; i < RPC_LINK_CHANNELS; i++)
        rpc_link_assembly_reset(&link->channels[i]);
    g_free(link->name);
    g_free(link);
}
