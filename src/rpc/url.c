/* Reads transport URLs; see url.h.
 *
 * Written against what oslo accepts: every host carries its own credentials, an absent port is 5672
 * with TLS too, and a URL without hosts means guest at localhost. */
#include "rpc/url.h"

#include "util/log.h"

#include <stddef.h>
#include <string.h>

enum {
    URL_MAX_BYTES = 64 * 1024,
    URL_MAX_HOSTS = 64,
    URL_MAX_OPTIONS = 64,
    URL_DEFAULT_PORT = 5672,
};

static bool scheme_known(const char *scheme, size_t length)
{
    static const char *const names[] = {"rabbit", "kombu", "amqp"};
    g_autofree char *text = g_strndup(scheme, length);
    const char *name = g_str_has_prefix(text, "kombu+") ? text + strlen("kombu+") : text;

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Percent-decodes; NULL for a bad escape or an escaped NUL. */
static char *unescape(const char *text, size_t length)
{
    return g_uri_unescape_segment(text, text + length, NULL);
}

static bool port_read(const char *text, int *out, GError **err)
{
    guint64 port = 0;

    if (!g_ascii_string_to_unsigned(text, 10, 1, 65535, &port, NULL))
        return dv_fail(err, DV_E_BAD_CONFIG, "port '%s': want a number from 1 to 65535", text);
    *out = (int)port;
    return true;
}

/* "user:password" before the last '@'; missing parts stay NULL. */
static bool credentials_read(const char *text, size_t length, RpcHost *host, GError **err)
{
    const char *colon = memchr(text, ':', length);
    size_t user_length = colon ? (size_t)(colon - text) : length;

    host->user = unescape(text, user_length);
    if (colon)
        host->password = unescape(colon + 1, length - user_length - 1);
    if (!host->user || (colon && !host->password))
        return dv_fail(err, DV_E_BAD_CONFIG, "credentials: a %%-escape is not valid");
    return true;
}

/* "host", "host:port", "[v6]", "[v6]:port" */
static bool address_read(const char *text, RpcHost *host, GError **err)
{
    const char *rest;

    host->port = URL_DEFAULT_PORT;
    if (*text == '[') {
        const char *close = strchr(text, ']');

        if (!close)
            return dv_fail(err, DV_E_BAD_CONFIG, "'%s': ']' is missing", text);
        host->host = g_strndup(text + 1, (size_t)(close - text - 1));
        rest = close + 1;
        if (*rest && *rest != ':')
            return dv_fail(err, DV_E_BAD_CONFIG, "'%s': want ':port' after ']'", text);
    } else {
        rest = text + strcspn(text, ":");
        if (*rest && strchr(rest + 1, ':'))
            return dv_fail(err, DV_E_BAD_CONFIG, "'%s': an IPv6 address needs brackets", text);
        host->host = g_strndup(text, (size_t)(rest - text));
    }
    return *rest && rest[1] ? port_read(rest + 1, &host->port, err) : true;
}

static void text_set(char **text, const char *value)
{
    g_free(*text);
    *text = g_strdup(value);
}

static bool host_read(const char *text, RpcHost *host, GError **err)
{
    const char *at = strrchr(text, '@');

    if (at && !credentials_read(text, (size_t)(at - text), host, err))
        return false;
    if (!address_read(at ? at + 1 : text, host, err))
        return false;
    if (!*host->host)
        text_set(&host->host, "localhost");
    if (!host->user || !*host->user)
        text_set(&host->user, "guest");
    if (!host->password)
        host->password = g_strdup(strcmp(host->user, "guest") == 0 ? "guest" : "");
    return true;
}

static bool hosts_read(RpcUrl *url, const char *text, size_t length, GError **err)
{
    g_autofree char *list = g_strndup(text, length);
    g_auto(GStrv) parts = g_strsplit(list, ",", URL_MAX_HOSTS + 1);
    size_t count = g_strv_length(parts);

    if (count > URL_MAX_HOSTS)
        return dv_fail(err, DV_E_BAD_CONFIG, "more than %d hosts", URL_MAX_HOSTS);
    if (count == 0)
        count = 1;
    url->hosts = g_new0(RpcHost, count);
    url->host_count = count;
    for (size_t i = 0; i < count; i++)
        if (!host_read(parts[i] ? parts[i] : "", &url->hosts[i], err))
            return dv_within(err, "host %zu", i + 1);
    return true;
}

static bool vhost_read(RpcUrl *url, const char *text, size_t length, GError **err)
{
    if (length && *text == '/')
        text++, length--;
    url->vhost = unescape(text, length);
    if (!url->vhost)
        return dv_fail(err, DV_E_BAD_CONFIG, "virtual host: a %%-escape is not valid");
    if (!*url->vhost)
        text_set(&url->vhost, "/");
    return true;
}

static bool options_read(RpcUrl *url, const char *text, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(text, "&", URL_MAX_OPTIONS + 1);
    size_t count = g_strv_length(parts);

    if (count > URL_MAX_OPTIONS)
        return dv_fail(err, DV_E_BAD_CONFIG, "more than %d options", URL_MAX_OPTIONS);
    url->options = g_new0(RpcUrlOption, count + 1);
    for (size_t i = 0; i < count; i++) {
        RpcUrlOption *option = &url->options[url->option_count];
        char *equals = strchr(parts[i], '=');

        if (!*parts[i])
            continue;
        if (!equals)
            return dv_fail(err, DV_E_BAD_CONFIG, "option '%s' has no value", parts[i]);
        g_strdelimit(parts[i], "+", ' ');
        option->name = unescape(parts[i], (size_t)(equals - parts[i]));
        option->value = unescape(equals + 1, strlen(equals + 1));
        url->option_count++;
        if (!option->name || !option->value)
            return dv_fail(err, DV_E_BAD_CONFIG, "option %zu: a %%-escape is not valid", i + 1);
    }
    return true;
}

bool rpc_url_read(const char *text, RpcUrl **out, GError **err)
{
    g_autoptr(RpcUrl) url = g_new0(RpcUrl, 1);
    const char *colon = text ? strstr(text, "://") : NULL;

    if (!text || !colon || !scheme_known(text, (size_t)(colon - text)))
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "transport_url: want rabbit://user:password@host:port/vhost");
    if (strlen(text) > URL_MAX_BYTES)
        return dv_fail(err, DV_E_BAD_CONFIG, "transport_url: longer than %d bytes", URL_MAX_BYTES);

    const char *hosts = colon + strlen("://");
    const char *path = hosts + strcspn(hosts, "/?");
    const char *query = path + strcspn(path, "?");

    if (!hosts_read(url, hosts, (size_t)(path - hosts), err) ||
        !vhost_read(url, path, (size_t)(query - path), err) ||
        (*query && !options_read(url, query + 1, err)))
        return dv_within(err, "transport_url");
    *out = g_steal_pointer(&url);
    return true;
}

void rpc_url_free(RpcUrl *url)
{
    if (!url)
        return;
    for (size_t i = 0; i < url->host_count; i++) {
        g_free(url->hosts[i].host);
        g_free(url->hosts[i].user);
        g_free(url->hosts[i].password);
    }
    for (size_t i = 0; i < url->option_count; i++) {
        g_free(url->options[i].name);
        g_free(url->options[i].value);
    }
    g_free(url->hosts);
    g_free(url->options);
    g_free(url->vhost);
    g_free(url);
}

/* ---- options of the query ---- */

typedef enum { OPTION_BOOL, OPTION_INT, OPTION_DOUBLE, OPTION_TEXT, OPTION_STRATEGY } OptionType;

typedef struct OptionRow {
    const char *name;
    OptionType type;
    size_t offset;
} OptionRow;

#define ROW(name, type, field)                          \
    {                                                   \
        name, OPTION_##type, offsetof(RpcConfig, field) \
    }
/* clang-format off */
static const OptionRow option_rows[] = {
    ROW("amqp_auto_delete", BOOL, auto_delete),
    ROW("amqp_durable_queues", BOOL, durable_queues),
    ROW("enable_cancel_on_failover", BOOL, enable_cancel_on_failover),
    ROW("heartbeat_rate", INT, heartbeat_rate),
    ROW("heartbeat_timeout_threshold", INT, heartbeat_timeout_s),
    ROW("hostname", TEXT, host_name),
    ROW("kombu_failover_strategy", STRATEGY, failover_shuffle),
    ROW("kombu_missing_consumer_retry_timeout", INT, missing_consumer_retry_s),
    ROW("kombu_reconnect_delay", DOUBLE, reconnect_delay_s),
    ROW("kombu_reconnect_splay", DOUBLE, reconnect_splay_s),
    ROW("processname", TEXT, process_name),
    ROW("rabbit_ha_queues", BOOL, ha_queues),
    ROW("rabbit_interval_max", INT, interval_max_s),
    ROW("rabbit_login_method", TEXT, login_method),
    ROW("rabbit_qos_prefetch_count", INT, qos_prefetch_count),
    ROW("rabbit_quorum_delivery_limit", INT, quorum_delivery_limit),
    ROW("rabbit_quorum_max_memory_bytes", INT, quorum_max_memory_bytes),
    ROW("rabbit_quorum_max_memory_length", INT, quorum_max_memory_length),
    ROW("rabbit_quorum_queue", BOOL, quorum_queue),
    ROW("rabbit_quroum_max_memory_bytes", INT, quorum_max_memory_bytes),
    ROW("rabbit_quroum_max_memory_length", INT, quorum_max_memory_length),
    ROW("rabbit_retry_backoff", INT, retry_backoff_s),
    ROW("rabbit_retry_interval", INT, retry_interval_s),
    ROW("rabbit_stream_fanout", BOOL, stream_fanout),
    ROW("rabbit_transient_queues_ttl", INT, transient_queues_ttl_s),
    ROW("rabbit_transient_quorum_queue", BOOL, transient_quorum_queue),
    ROW("ssl", BOOL, ssl),
    ROW("ssl_ca_file", TEXT, ssl_ca_file),
    ROW("ssl_cert_file", TEXT, ssl_cert_file),
    ROW("ssl_enforce_hostname_verification", BOOL, ssl_enforce_hostname),
    ROW("ssl_key_file", TEXT, ssl_key_file),
    ROW("ssl_version", TEXT, ssl_version),
    ROW("use_queue_manager", BOOL, use_queue_manager),
};
/* clang-format on */

static bool bool_read(const char *text, bool *out)
{
    static const char *const yes[] = {"1", "true", "t", "on", "yes", "y"};
    static const char *const no[] = {"0", "false", "f", "off", "no", "n"};

    for (size_t i = 0; i < G_N_ELEMENTS(yes); i++) {
        if (g_ascii_strcasecmp(text, yes[i]) == 0)
            return *out = true, true;
        if (g_ascii_strcasecmp(text, no[i]) == 0)
            return *out = false, true;
    }
    return false;
}

static bool double_read(const char *text, double *out)
{
    char *end = NULL;
    double value = g_ascii_strtod(text, &end);

    if (end == text || *end || !(value >= 0) || value > 86400)
        return false;
    *out = value;
    return true;
}

static bool int_read(const char *text, int64_t *out)
{
    gint64 value = 0;

    if (!g_ascii_string_to_signed(text, 10, 0, INT32_MAX, &value, NULL))
        return false;
    *out = value;
    return true;
}

static bool option_set(const OptionRow *row, const char *value, RpcConfig *config)
{
    char *field = (char *)config + row->offset;

    switch (row->type) {
    case OPTION_BOOL:
        return bool_read(value, (bool *)field);
    case OPTION_INT:
        return int_read(value, (int64_t *)(void *)field);
    case OPTION_DOUBLE:
        return double_read(value, (double *)(void *)field);
    case OPTION_TEXT:
        *(const char **)(void *)field = value;
        return true;
    case OPTION_STRATEGY:
        *(bool *)field = strcmp(value, "shuffle") == 0;
        return *(bool *)field || strcmp(value, "round-robin") == 0;
    }
    return false;
}

bool rpc_url_apply(const RpcUrl *url, RpcConfig *config, GError **err)
{
    for (size_t i = 0; i < url->option_count; i++) {
        const RpcUrlOption *option = &url->options[i];
        const OptionRow *row = NULL;

        for (size_t r = 0; r < G_N_ELEMENTS(option_rows) && !row; r++)
            if (strcmp(option_rows[r].name, option->name) == 0)
                row = &option_rows[r];
        if (!row)
            dv_warning(NULL, "transport_url: option %s is not honoured", option->name);
        else if (!option_set(row, option->value, config))
            return dv_fail(err, DV_E_BAD_CONFIG, "transport_url: option %s: bad value '%s'",
                           option->name, option->value);
    }
    return true;
}
