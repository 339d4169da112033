/* Scripted HTTP server for tests; see http_server.h. */
#include "fakes/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct Answer {
    int status;
    char *headers, *body;
    size_t length;
    unsigned flags, stall_ms;
} Answer;

typedef struct Route {
    char *method, *target;
    GQueue answers; /* Answer *, the last one stays */
} Route;

struct HttpServer {
    int listener;
    char *url;
    GThread *acceptor;
    pthread_mutex_t lock;   /* not GMutex: ThreadSanitizer cannot see into it */
    GPtrArray *routes;      /* [lock] Route, newest last */
    GPtrArray *seen;        /* [lock] HttpSeen */
    GPtrArray *connections; /* [lock] GThread */
    GArray *sockets;        /* [lock] int, open ones */
    bool stopping;          /* [lock] */
    HttpHook hook;          /* [lock], likewise the next */
    void *hook_arg;
};

typedef struct Connection {
    HttpServer *server;
    int fd, number;
} Connection;

static void answer_free(gpointer p)
{
    Answer *a = p;

    if (!a)
        return;
    g_free(a->headers);
    g_free(a->body);
    g_free(a);
}

static Answer *answer_copy(const Answer *a)
{
    Answer *copy = g_new0(Answer, 1);

    *copy = *a;
    copy->headers = g_strdup(a->headers);
    copy->body = g_memdup2(a->body, a->length + 1);
    return copy;
}

static void route_free(gpointer p)
{
    Route *r = p;

    g_free(r->method);
    g_free(r->target);
    g_queue_clear_full(&r->answers, answer_free);
    g_free(r);
}

static void seen_free(gpointer p)
{
    HttpSeen *s = p;

    g_free(s->method);
    g_free(s->target);
    g_free(s->headers);
    g_free(s->body);
    g_free(s);
}

static bool target_matches(const char *pattern, const char *target)
{
    size_t n = strlen(pattern);

    if (n > 0 && pattern[n - 1] == '*')
        return strncmp(pattern, target, n - 1) == 0;
    return strcmp(pattern, target) == 0;
}

/* ---- one connection ---- */

/* Whether the next answer to the request whose headers are in `text` does not wait for its body. */
static bool answers_early(HttpServer *server, const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", 3);
    bool early = false;

    pthread_mutex_lock(&server->lock);
    for (guint i = 0; words[0] && words[1] && i < server->routes->len; i++) {
        const Route *route = server->routes->pdata[i];
        const Answer *next = g_queue_peek_head((GQueue *)&route->answers);

        if (strcmp(route->method, words[0]) == 0 && target_matches(route->target, words[1]))
            early = next && next->flags & HTTP_EARLY;
    }
    pthread_mutex_unlock(&server->lock);
    return early;
}

/* Reads until `text` holds a whole request; false at the end of the stream. */
static bool read_request(HttpServer *server, int fd, GString *text, size_t *out_head,
                         size_t *out_body)
{
    char buffer[4096];

    for (;;) {
        char *end = strstr(text->str, "\r\n\r\n");

        if (end) {
            size_t head = (size_t)(end - text->str) + 4;
            g_autofree char *lower = g_ascii_strdown(text->str, (gssize)head);
            const char *length = strstr(lower, "\r\ncontent-length:");
            size_t body = length ? (size_t)g_ascii_strtoull(length + 17, NULL, 10) : 0;

            if (body && answers_early(server, text->str))
                body = 0;
            if (text->len >= head + body) {
                *out_head = head;
                *out_body = body;
                return true;
            }
        }
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);

        if (n <= 0)
            return false;
        g_string_append_len(text, buffer, n);
    }
}

static HttpSeen *remember(HttpServer *server, const char *text, size_t head, size_t body,
                          int connection)
{
    HttpSeen *seen = g_new0(HttpSeen, 1);
    const char *line_end = strstr(text, "\r\n");
    g_autofree char *line = g_strndup(text, (gsize)(line_end - text));
    g_auto(GStrv) words = g_strsplit(line, " ", 3);

    seen->method = g_strdup(words[0] ? words[0] : "");
    seen->target = g_strdup(words[0] && words[1] ? words[1] : "");
    seen->headers = g_strndup(line_end + 2, head - (size_t)(line_end + 2 - text));
    seen->body = g_malloc(body + 1);
    memcpy(seen->body, text + head, body);
    seen->body[body] = '\0';
    seen->body_length = body;
    seen->connection = connection;
    pthread_mutex_lock(&server->lock);
    g_ptr_array_add(server->seen, seen);
    pthread_mutex_unlock(&server->lock);
    return seen;
}

static Answer *answer_made(const HttpAnswer *answer)
{
    Answer *copy = g_new0(Answer, 1);

    copy->status = answer->status ? answer->status : 200;
    copy->headers = g_strdup(answer->headers);
    copy->length = answer->length || !answer->body ? answer->length : strlen(answer->body);
    copy->body = g_malloc0(copy->length + 1);
    if (copy->length)
        memcpy(copy->body, answer->body, copy->length);
    copy->flags = answer->flags;
    copy->stall_ms = answer->stall_ms;
    return copy;
}

static Answer *hooked_answer(HttpServer *server, const HttpSeen *seen)
{
    HttpAnswer answer = {0};
    HttpHook hook;
    void *arg;

    pthread_mutex_lock(&server->lock);
    hook = server->hook;
    arg = server->hook_arg;
    pthread_mutex_unlock(&server->lock);
    return hook && hook(arg, seen, &answer) ? answer_made(&answer) : NULL;
}

static Answer *next_answer(HttpServer *server, const HttpSeen *seen)
{
    Answer *found = hooked_answer(server, seen);

    if (found)
        return found;

    pthread_mutex_lock(&server->lock);
    for (guint i = server->routes->len; i > 0 && !found; i--) {
        Route *route = server->routes->pdata[i - 1];

        if (strcmp(route->method, seen->method) != 0 ||
            !target_matches(route->target, seen->target))
            continue;
        if (route->answers.length > 1)
            found = g_queue_pop_head(&route->answers);
        else
            found = answer_copy(g_queue_peek_head(&route->answers));
    }
    pthread_mutex_unlock(&server->lock);
    if (!found) {
        found = g_new0(Answer, 1);
        found->status = 404;
        found->body = g_strdup("no such route in this test");
        found->length = strlen(found->body);
    }
    return found;
}

static bool send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        data += n;
        length -= (size_t)n;
    }
    return true;
}

static bool send_chunks(int fd, const Answer *answer)
{
    for (size_t done = 0; done < answer->length;) {
        size_t n = MIN(answer->length - done, 1000);
        g_autofree char *size = g_strdup_printf("%zx\r\n", n);

        if (!send_all(fd, size, strlen(size)) || !send_all(fd, answer->body + done, n) ||
            !send_all(fd, "\r\n", 2))
            return false;
        done += n;
    }
    return send_all(fd, "0\r\n\r\n", 5);
}

static void reset_on_close(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* Ends early when the server is being freed. */
static void stall(HttpServer *server, unsigned ms)
{
    bool stopping = false;

    for (unsigned done = 0; done < ms && !stopping; done += 20) {
        g_usleep(20 * 1000);
        pthread_mutex_lock(&server->lock);
        stopping = server->stopping;
        pthread_mutex_unlock(&server->lock);
    }
}

/* False when the connection is to be closed. */
static bool send_answer(int fd, const Answer *answer, bool head_only)
{
    g_autoptr(GString) head = g_string_new(NULL);
    size_t length = answer->length;

    if (answer->flags & HTTP_NO_ANSWER) {
        reset_on_close(fd);
        return false;
    }
    g_string_printf(head, "HTTP/1.1 %d Test\r\n%s", answer->status,
                    answer->headers ? answer->headers : "");
    if (answer->flags & HTTP_CHUNKED)
        g_string_append(head, "Transfer-Encoding: chunked\r\n");
    else if (answer->status != 204)
        g_string_append_printf(head, "Content-Length: %zu\r\n", answer->length);
    if (answer->flags & HTTP_SAY_CLOSE)
        g_string_append(head, "Connection: close\r\n");
    g_string_append(head, "\r\n");
    if (!send_all(fd, head->str, head->len))
        return false;
    if (head_only || answer->status == 204)
        length = 0;
    if (answer->flags & HTTP_SHORT)
        length /= 2;
    if (answer->flags & HTTP_CHUNKED && !head_only) {
        if (!send_chunks(fd, answer))
            return false;
    } else if (length && !send_all(fd, answer->body, length)) {
        return false;
    }
    return !(answer->flags & (HTTP_SAY_CLOSE | HTTP_MUTE_CLOSE | HTTP_SHORT));
}

static void forget_socket(HttpServer *server, int fd)
{
    pthread_mutex_lock(&server->lock);
    for (guint i = 0; i < server->sockets->len; i++) {
        if (g_array_index(server->sockets, int, i) == fd) {
            g_array_remove_index_fast(server->sockets, i);
            break;
        }
    }
    close(fd);
    pthread_mutex_unlock(&server->lock);
}

/* What is still on its way, so that closing does not become a reset that overtakes the answer. */
static void discard(int fd)
{
    char buffer[4096];

    shutdown(fd, SHUT_WR);
    while (recv(fd, buffer, sizeof buffer, 0) > 0)
        ;
}

static gpointer serve(gpointer arg)
{
    g_autofree Connection *c = arg;
    g_autoptr(GString) text = g_string_new(NULL);
    size_t head = 0;
    size_t body = 0;
    bool open = true;

    while (open && read_request(c->server, c->fd, text, &head, &body)) {
        HttpSeen *seen = remember(c->server, text->str, head, body, c->number);
        bool head_only = strcmp(seen->method, "HEAD") == 0;
        Answer *answer = next_answer(c->server, seen);

        g_string_erase(text, 0, (gssize)(head + body));
        stall(c->server, answer->stall_ms);
        open = send_answer(c->fd, answer, head_only);
        if (answer->flags & HTTP_EARLY) {
            discard(c->fd);
            open = false;
        }
        answer_free(answer);
    }
    forget_socket(c->server, c->fd);
    return NULL;
}

static gpointer accept_loop(gpointer arg)
{
    HttpServer *server = arg;
    int number = 0;

    for (;;) {
        int fd = accept(server->listener, NULL, NULL);
        Connection *c;

        if (fd < 0)
            return NULL;
        pthread_mutex_lock(&server->lock);
        if (server->stopping) {
            pthread_mutex_unlock(&server->lock);
            close(fd);
            return NULL;
        }
        c = g_new0(Connection, 1);
        *c = (Connection){server, fd, ++number};
        g_array_append_val(server->sockets, fd);
        g_ptr_array_add(server->connections, g_thread_new("http-fake", serve, c));
        pthread_mutex_unlock(&server->lock);
    }
}

/* ---- public ---- */

HttpServer *http_server_new(void)
{
    HttpServer *server = g_new0(HttpServer, 1);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;

    pthread_mutex_init(&server->lock, NULL);
    server->routes = g_ptr_array_new_with_free_func(route_free);
    server->seen = g_ptr_array_new_with_free_func(seen_free);
    server->connections = g_ptr_array_new();
    server->sockets = g_array_new(FALSE, FALSE, sizeof(int));
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert(server->listener >= 0);
    g_assert(bind(server->listener, (struct sockaddr *)&address, sizeof address) == 0);
    g_assert(listen(server->listener, 64) == 0);
    g_assert(getsockname(server->listener, (struct sockaddr *)&address, &length) == 0);
    server->url = g_strdup_printf("http://127.0.0.1:%d", ntohs(address.sin_port));
    server->acceptor = g_thread_new("http-accept", accept_loop, server);
    return server;
}

void http_server_free(HttpServer *server)
{
    if (!server)
        return;
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    for (guint i = 0; i < server->sockets->len; i++)
        shutdown(g_array_index(server->sockets, int, i), SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    shutdown(server->listener, SHUT_RDWR);
    g_thread_join(server->acceptor);
    close(server->listener);
    for (guint i = 0; i < server->connections->len; i++)
        g_thread_join(server->connections->pdata[i]);
    g_ptr_array_unref(server->connections);
    g_ptr_array_unref(server->routes);
    g_ptr_array_unref(server->seen);
    g_array_unref(server->sockets);
    pthread_mutex_destroy(&server->lock);
    g_free(server->url);
    g_free(server);
}

const char *http_server_url(HttpServer *server)
{
    return server->url;
}

static Route *route_get(HttpServer *server, const char *method, const char *target)
{
    Route *route;

    for (guint i = 0; i < server->routes->len; i++) {
        route = server->routes->pdata[i];
        if (strcmp(route->method, method) == 0 && strcmp(route->target, target) == 0)
            return route;
    }
    route = g_new0(Route, 1);
    route->method = g_strdup(method);
    route->target = g_strdup(target);
    g_queue_init(&route->answers);
    g_ptr_array_add(server->routes, route);
    return route;
}

void http_server_on(HttpServer *server, const char *method, const char *target,
                    const HttpAnswer *answer)
{
    Answer *copy = answer_made(answer);

    pthread_mutex_lock(&server->lock);
    g_queue_push_tail(&route_get(server, method, target)->answers, copy);
    pthread_mutex_unlock(&server->lock);
}

void http_server_json(HttpServer *server, const char *method, const char *target, int status,
                      const char *body)
{
    http_server_on(server, method, target,
                   &(HttpAnswer){.status = status,
                                 .body = body,
                                 .headers = "Content-Type: application/json\r\n"});
}

void http_server_hook(HttpServer *server, HttpHook hook, void *arg)
{
    pthread_mutex_lock(&server->lock);
    server->hook = hook;
    server->hook_arg = arg;
    pthread_mutex_unlock(&server->lock);
}

void http_server_reset(HttpServer *server)
{
    pthread_mutex_lock(&server->lock);
    g_ptr_array_set_size(server->routes, 0);
    g_ptr_array_set_size(server->seen, 0);
    pthread_mutex_unlock(&server->lock);
}

const HttpSeen *http_server_seen(HttpServer *server, const char *method, const char *target,
                                 unsigned n)
{
    const HttpSeen *found = NULL;

    pthread_mutex_lock(&server->lock);
    for (guint i = 0; i < server->seen->len && !found; i++) {
        const HttpSeen *seen = server->seen->pdata[i];

        if ((method && strcmp(seen->method, method) != 0) || !target_matches(target, seen->target))
            continue;
        if (n-- == 0)
            found = seen;
    }
    pthread_mutex_unlock(&server->lock);
    return found;
}

unsigned http_server_count(HttpServer *server, const char *method, const char *target)
{
    unsigned n = 0;

    while (http_server_seen(server, method, target, n))
        n++;
    return n;
}

char *http_seen_header(const HttpSeen *seen, const char *name)
{
    g_auto(GStrv) lines = g_strsplit(seen->headers, "\r\n", -1);
    size_t n = strlen(name);

    for (size_t i = 0; lines[i]; i++) {
        if (g_ascii_strncasecmp(lines[i], name, n) == 0 && lines[i][n] == ':')
            return g_strdup(g_strstrip(lines[i] + n + 1));
    }
    return NULL;
}
