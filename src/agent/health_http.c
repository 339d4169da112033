/* The HTTP side of health; see health_http.h. The one file that knows libmicrohttpd. */
#include "agent/health_http.h"

#include "util/fs.h"
#include "util/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS_MAX 32U
#define CONNECTION_TIMEOUT_S 10U
#define CONNECTION_BYTES ((size_t)16 * 1024) /* of request line and headers */
#define BACKLOG 16
#define SOCKET_MODE 0660 /* of a socket file: owner and group may ask */

struct HealthHttp {
    Agent *agent;              /* [const] */
    struct MHD_Daemon *daemon; /* [const] */
    char *path;                /* [const] of the socket file, or NULL */
    unsigned port;             /* [const] */
};

/* ---- the address ---- */

typedef struct Address {
    struct sockaddr_storage at;
    socklen_t length;
} Address;

static bool parse_unix(const char *path, Address *out, GError **err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&out->at;

    if (!g_path_is_absolute(path) || strlen(path) >= sizeof un->sun_path)
        return dv_fail(err, DV_E_BAD_CONFIG, "want an absolute path of at most %zu bytes",
                       sizeof un->sun_path - 1);
    un->sun_family = AF_UNIX;
    g_strlcpy(un->sun_path, path, sizeof un->sun_path);
    out->length = sizeof *un;
    return true;
}

static bool parse_tcp(const char *text, Address *out, GError **err)
{
    const char *colon = strrchr(text, ':');
    g_autofree char *host = colon ? g_strndup(text, (size_t)(colon - text)) : NULL;
    size_t length = host ? strlen(host) : 0;
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&out->at;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&out->at;
    guint64 port = 0;

    if (colon && g_ascii_string_to_unsigned(colon + 1, 10, 0, 65535, &port, NULL)) {
        if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
            in->sin_family = AF_INET;
            in->sin_port = htons((uint16_t)port);
            out->length = sizeof *in;
            return true;
        }
        if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
            host[length - 1] = '\0';
            if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1) {
                in6->sin6_family = AF_INET6;
                in6->sin6_port = htons((uint16_t)port);
                out->length = sizeof *in6;
                return true;
            }
        }
    }
    return dv_fail(err, DV_E_BAD_CONFIG, "want ADDRESS:PORT, [IPV6]:PORT or unix:/PATH");
}

static bool parse(const char *listen_on, Address *out, GError **err)
{
    *out = (Address){.length = 0};
    if (g_str_has_prefix(listen_on, "unix:"))
        return parse_unix(listen_on + strlen("unix:"), out, err);
    return parse_tcp(listen_on, out, err);
}

bool health_http_check(const char *listen_on, GError **err)
{
    Address address;

    return parse(listen_on, &address, err);
}

/* ---- the socket ---- */

/* Only a socket is removed, never a file that somebody named by mistake. */
static void remove_stale(const char *path)
{
    struct stat st;

    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
}

static bool listen_at(const Address *address, const char *path, int *out_fd, GError **err)
{
    const int one = 1;
    dv_autofd int fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return dv_fail(err, DV_E_IO, "socket: %s", g_strerror(errno));
    if (path)
        remove_stale(path);
    else
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)&address->at, address->length) < 0)
        return dv_fail(err, DV_E_IO, "bind: %s", g_strerror(errno));
    if ((path && chmod(path, SOCKET_MODE) < 0) || listen(fd, BACKLOG) < 0)
        return dv_fail(err, DV_E_IO, "listen: %s", g_strerror(errno));
    *out_fd = g_steal_fd(&fd);
    return true;
}

static unsigned port_of(int fd)
{
    Address own = {.length = sizeof own.at};

    if (getsockname(fd, (struct sockaddr *)&own.at, &own.length) < 0)
        return 0;
    if (own.at.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)&own.at)->sin_port);
    if (own.at.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)&own.at)->sin6_port);
    return 0;
}

/* ---- answering, on libmicrohttpd's thread ---- */

static char *metrics(Agent *agent, bool *out_ok)
{
    *out_ok = true;
    return health_metrics(agent);
}

static const struct {
    const char *path;
    const char *content_type;
    char *(*make)(Agent *agent, bool *out_ok);
} routes[] = {
    {"/healthz", "application/json", health_report},
    {"/readyz", "application/json", health_ready},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", metrics},
};

/* `text` is taken. */
static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status,
                              const char *content_type, char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text), text,
                                                                    MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result;

    if (!response) {
        free(text); /* g_malloc is malloc */
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, MHD_HTTP_METHOD_GET);
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* Answers as soon as the headers are there: a body is of no interest. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version G_GNUC_UNUSED,
                                  const char *upload G_GNUC_UNUSED, size_t *upload_bytes,
                                  void **state G_GNUC_UNUSED)
{
    HealthHttp *http = arg;

    *upload_bytes = 0;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0)
        return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain",
                      g_strdup("only GET\n"));
    for (size_t i = 0; i < G_N_ELEMENTS(routes); i++) {
        bool ok = false;
        char *text;

        if (strcmp(path, routes[i].path) != 0)
            continue;
        text = routes[i].make(http->agent, &ok);
        return answer(connection, ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                      routes[i].content_type, text);
    }
    return answer(connection, MHD_HTTP_NOT_FOUND, "text/plain",
                  g_strdup("/healthz, /readyz, /metrics\n"));
}

static void G_GNUC_PRINTF(2, 0) on_log(void *arg G_GNUC_UNUSED, const char *fmt, va_list args)
{
    g_autofree char *text = NULL;

    if (!dv_log_enabled(DV_LOG_DEBUG))
        return;
    text = g_strdup_vprintf(fmt, args);
    dv_debug(NULL, "health: %s", g_strchomp(text));
}

/* ---- start and stop ---- */

/* The daemon's thread gets our signal mask, which must be a full one: main alone takes signals. */
static struct MHD_Daemon *start_daemon(HealthHttp *http, int fd)
{
    struct MHD_Daemon *daemon;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    daemon = MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG, 0,
                              NULL, NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_log,
                              NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                              CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT_S,
                              MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

HealthHttp *health_http_start(Agent *agent, const char *listen_on, GError **err)
{
    g_autoptr(HealthHttp) http = g_new0(HealthHttp, 1);
    dv_autofd int fd = -1;
    Address address;

    http->agent = agent;
    if (!parse(listen_on, &address, err)) {
        dv_within(err, "[drover] health_listen %s", listen_on);
        return NULL;
    }
    if (address.at.ss_family == AF_UNIX)
        http->path = g_strdup(listen_on + strlen("unix:"));
    if (!listen_at(&address, http->path, &fd, err)) {
        g_clear_pointer(&http->path, g_free); /* it is not ours */
        dv_within(err, "[drover] health_listen %s", listen_on);
        return NULL;
    }
    http->port = port_of(fd);
    http->daemon = start_daemon(http, fd);
    if (!http->daemon) {
        dv_fail(err, DV_E_IO, "[drover] health_listen %s: the HTTP server does not start",
                listen_on);
        return NULL;
    }
    fd = -1; /* the daemon's */
    dv_info(NULL, "health and metrics at %s", listen_on);
    return g_steal_pointer(&http);
}

void health_http_stop(HealthHttp *http)
{
    if (!http)
        return;
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    if (http->path)
        unlink(http->path);
    g_free(http->path);
    g_free(http);
}

unsigned health_http_port(const HealthHttp *http)
{
    return http->port;
}
