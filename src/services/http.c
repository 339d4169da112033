/* HTTP over libcurl; see http.h. The one file that includes curl.h.
 *
 * An easy handle keeps the connections it made, so the pool hands out the one used last and reuse
 * comes by itself. A handle belongs to one thread while borrowed. What may be sent twice:
 *  - anything, when no byte of the request left this host (connect_retries);
 *  - GET, HEAD, PUT and DELETE once more, when the server closed without a word (uwsgi and
 *    restarting services do). POST and PATCH use a new connection each, because libcurl itself
 *    repeats any request that finds its reused connection dead.
 * Statuses are left to the caller. */
#include "services/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/log.h"
#include "util/thread.h"

enum {
    CONNECT_TIMEOUT_MS = 10000,
    DEFAULT_TIMEOUT_MS = 60000,
    RETRY_FIRST_MS = 500,
    RETRY_MOST_MS = 8000,
    IDLE_HANDLES = 16,
    MAX_HEADERS = 200,
    UPLOAD_PIECE = 512 * 1024,  /* read from a file at a time */
    MAX_ERROR_BODY = 64 * 1024, /* of a failed download */
    UPLOAD_SILENCE_S = 600,     /* a store may think long about an image that it has got */
};
#define DEFAULT_MAX_BODY ((size_t)16 * 1024 * 1024)

struct HttpClient {
    DvMutex lock;
    GQueue idle DV_GUARDED_BY(lock); /* [lock] CURL *, used last first */
};

/* One attempt. */
typedef struct Exchange {
    const HttpRequest *request;
    CURL *curl;
    HttpResponse response;
    size_t body_allocated;
    size_t max_body;
    uint64_t sent; /* of an upload */
    bool sink_used;
    char curl_text[CURL_ERROR_SIZE];
    GError *err; /* ours: why a callback ended the transfer */
} Exchange;

/* ---- the pool ---- */

HttpClient *http_client_new(void)
{
    static gsize once;
    HttpClient *client;

    if (g_once_init_enter(&once)) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        g_once_init_leave(&once, 1);
    }
    client = g_new0(HttpClient, 1);
    dv_mutex_init(&client->lock);
    g_queue_init(&client->idle);
    return client;
}

void http_client_free(HttpClient *client) DV_NO_ANALYSIS
{
    CURL *curl;

    if (!client)
        return;
    while ((curl = g_queue_pop_head(&client->idle)))
        curl_easy_cleanup(curl);
    dv_mutex_done(&client->lock);
    g_free(client);
}

static CURL *handle_borrow(HttpClient *client)
{
    CURL *curl;

    dv_lock(&client->lock);
    curl = g_queue_pop_head(&client->idle);
    dv_unlock(&client->lock);
    return curl ? curl : curl_easy_init();
}

static void handle_return(HttpClient *client, CURL *curl)
{
    curl_easy_reset(curl); /* drops pointers into the caller's memory, keeps the connections */
    dv_lock(&client->lock);
    if (g_queue_get_length(&client->idle) < IDLE_HANDLES) {
        g_queue_push_head(&client->idle, curl);
        curl = NULL;
    }
    dv_unlock(&client->lock);
    if (curl)
        curl_easy_cleanup(curl);
}

/* ---- what libcurl hands us ---- */

void http_response_done(HttpResponse *response)
{
    g_clear_pointer(&response->body, g_free);
    g_clear_pointer(&response->headers, g_hash_table_unref);
    response->body_length = 0;
    response->status = 0;
}

static bool exchange_keep(Exchange *x, const char *data, size_t length)
{
    size_t need = x->response.body_length + length + 1;

    if (need > x->max_body + 1)
        return dv_fail(&x->err, DV_E_BAD_INPUT, "the answer is larger than %zu bytes", x->max_body);
    if (need > x->body_allocated) {
        size_t size = MAX(need, x->body_allocated * 2);
        char *grown = g_try_realloc(x->response.body, size);

        if (!grown)
            return dv_fail(&x->err, DV_E_BAD_INPUT, "no memory for an answer of %zu bytes", need);
        x->response.body = grown;
        x->body_allocated = size;
    }
    memcpy(x->response.body + x->response.body_length, data, length);
    x->response.body_length += length;
    x->response.body[x->response.body_length] = '\0';
    return true;
}

static bool exchange_status_ok(Exchange *x)
{
    long status = 0;

    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    Exchange *x = arg;
    size_t length = size * count;

    if (x->request->sink && exchange_status_ok(x)) {
        x->sink_used = true;
        return x->request->sink(x->request->sink_arg, data, length, &x->err) ? length : 0;
    }
    if (x->request->sink && x->response.body_length + length > MAX_ERROR_BODY)
        return length; /* the beginning of an error text is enough */
    return exchange_keep(x, data, length) ? length : 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    Exchange *x = arg;
    size_t length = size * count;
    g_autofree char *line = g_strndup(data, length);
    char *colon;

    if (g_str_has_prefix(line, "HTTP/")) { /* also after "100 Continue" */
        g_hash_table_remove_all(x->response.headers);
        return length;
    }
    colon = strchr(line, ':');
    if (!colon || g_hash_table_size(x->response.headers) >= MAX_HEADERS)
        return length;
    *colon = '\0';
    g_hash_table_replace(x->response.headers, g_ascii_strdown(g_strstrip(line), -1),
                         g_strdup(g_strstrip(colon + 1)));
    return length;
}

static size_t on_upload(char *out, size_t size, size_t count, void *arg)
{
    Exchange *x = arg;
    const HttpUpload *upload = x->request->upload;
    size_t want = (size_t)MIN((uint64_t)(size * count), upload->length - x->sent);
    ssize_t got;

    do
        got = want ? pread(upload->fd, out, want, (off_t)x->sent) : 0;
    while (got < 0 && errno == EINTR);
    if (got < 0 || (got == 0 && want > 0)) {
        (void)dv_fail(&x->err, DV_E_IO, "reading what is uploaded: %s",
                      got < 0 ? g_strerror(errno) : "the file became shorter");
        return CURL_READFUNC_ABORT;
    }
    x->sent += (uint64_t)got;
    return (size_t)got;
}

/* libcurl starts over by itself when a connection that it reused turns out to be dead before any
 * answer. */
static int on_upload_seek(void *arg, curl_off_t offset, int origin)
{
    Exchange *x = arg;

    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > x->request->upload->length)
        return CURL_SEEKFUNC_FAIL;
    x->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- one attempt ---- */

static bool method_is_idempotent(const char *method)
{
    return strcmp(method, "POST") != 0 && strcmp(method, "PATCH") != 0;
}

static void set_method(CURL *curl, const HttpRequest *request)
{
    bool get = strcmp(request->method, "GET") == 0;

    if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        return;
    }
    if (request->upload) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L); /* a PUT */
        curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_PIECE);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->upload->length);
        curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
        return;
    }
    if (request->body || strcmp(request->method, "POST") == 0 ||
        strcmp(request->method, "PUT") == 0 || strcmp(request->method, "PATCH") == 0) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body ? request->body : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)(request->body ? request->body_length : 0));
        get = false;
    }
    if (!get)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    if (!method_is_idempotent(request->method))
        curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
}

static void set_tls(CURL *curl, const HttpTls *tls)
{
    if (!tls)
        return;
    if (tls->insecure) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (tls->cafile)
        curl_easy_setopt(curl, CURLOPT_CAINFO, tls->cafile);
    if (tls->certfile)
        curl_easy_setopt(curl, CURLOPT_SSLCERT, tls->certfile);
    if (tls->keyfile)
        curl_easy_setopt(curl, CURLOPT_SSLKEY, tls->keyfile);
}

/* A transfer may take as long as data keeps flowing; everything else has `left_ms`. */
static void set_times(CURL *curl, const HttpRequest *request, int64_t left_ms)
{
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)MIN(left_ms, CONNECT_TIMEOUT_MS));
    if (request->sink || request->upload) {
        int64_t silence_s = MAX(left_ms / 1000, request->upload ? UPLOAD_SILENCE_S : 1);

        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)silence_s);
    } else {
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)left_ms);
    }
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
}

static struct curl_slist *header_list(const HttpRequest *request)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");

    for (size_t i = 0; request->headers && request->headers[i]; i++)
        list = curl_slist_append(list, request->headers[i]);
    return list;
}

static CURLcode exchange_run(Exchange *x, struct curl_slist *headers, int64_t left_ms)
{
    CURL *curl = x->curl;

    curl_easy_reset(curl);
    http_response_done(&x->response);
    x->response.headers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    x->response.body = g_strdup("");
    x->body_allocated = 1;
    x->curl_text[0] = '\0';
    x->sent = 0;

    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_URL, x->request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, x->curl_text);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_upload);
    curl_easy_setopt(curl, CURLOPT_READDATA, x);
    curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_upload_seek);
    curl_easy_setopt(curl, CURLOPT_SEEKDATA, x);
    set_method(curl, x->request);
    set_tls(curl, x->request->tls);
    set_times(curl, x->request, left_ms);
    return curl_easy_perform(curl);
}

/* ---- attempts ---- */

static bool nothing_was_sent(CURL *curl)
{
    long bytes = 0;

    return curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &bytes) == CURLE_OK && bytes == 0;
}

/* The server closed, or the network broke, before a whole answer was here. */
static bool connection_was_lost(CURLcode code)
{
    return code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
           code == CURLE_PARTIAL_FILE;
}

static bool is_certificate_trouble(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM ||
           code == CURLE_SSL_CACERT_BADFILE;
}

static bool exchange_fail(Exchange *x, CURLcode code, GError **err)
{
    g_autofree char *url = dv_redact(x->request->url);
    const char *text = x->curl_text[0] ? x->curl_text : curl_easy_strerror(code);

    if (x->err) { /* a callback's reason says more than "write error" */
        g_propagate_error(err, g_steal_pointer(&x->err));
        return dv_within(err, "%s %s", x->request->method, url);
    }
    if (code == CURLE_OPERATION_TIMEDOUT && !nothing_was_sent(x->curl))
        return dv_fail(err, DV_E_TIMEOUT, "%s %s: %s", x->request->method, url, text);
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
        return dv_fail(err, DV_E_BAD_CONFIG, "%s %s: %s", x->request->method, url, text);
    if (is_certificate_trouble(code))
        return dv_fail(err, DV_E_UNAVAILABLE, "%s %s: TLS: %s", x->request->method, url, text);
    return dv_fail(err, DV_E_UNAVAILABLE, "%s %s: %s", x->request->method, url, text);
}

/* Whether a failed attempt may be repeated; counts what it allows. */
static bool may_repeat(const Exchange *x, CURLcode code, unsigned *connects_left,
                       unsigned *losses_left)
{
    if (x->err || is_certificate_trouble(code) || code == CURLE_URL_MALFORMAT ||
        code == CURLE_UNSUPPORTED_PROTOCOL)
        return false;
    if (nothing_was_sent(x->curl) && *connects_left > 0) {
        (*connects_left)--;
        return true;
    }
    if (connection_was_lost(code) && method_is_idempotent(x->request->method) && !x->sink_used &&
        !x->request->upload && *losses_left > 0) {
        (*losses_left)--;
        return true;
    }
    return false;
}

static CURLcode exchange_attempts(Exchange *x, const DvCtx *ctx, int64_t timeout_ms)
{
    struct curl_slist *headers = header_list(x->request);
    int64_t deadline_ms = dv_now_ms() + timeout_ms;
    int64_t pause_ms = RETRY_FIRST_MS;
    unsigned connects_left = x->request->connect_retries;
    unsigned losses_left = 1;
    CURLcode code;

    for (;;) {
        bool connected;

        code = exchange_run(x, headers, MAX(deadline_ms - dv_now_ms(), 1));
        connected = !nothing_was_sent(x->curl);
        if (code == CURLE_OK || !may_repeat(x, code, &connects_left, &losses_left))
            break;
        if (!connected) {
            if (dv_now_ms() + pause_ms >= deadline_ms)
                break;
            g_usleep((gulong)pause_ms * 1000);
            pause_ms = MIN(pause_ms * 2, RETRY_MOST_MS);
        }
        dv_debug(ctx, "%s %s: %s, trying again", x->request->method, x->request->url,
                 curl_easy_strerror(code));
    }
    curl_slist_free_all(headers);
    return code;
}

/* A line break in a header would be another header of the sender's choice. */
static bool headers_are_clean(const HttpRequest *request, GError **err)
{
    for (size_t i = 0; request->headers && request->headers[i]; i++) {
        for (const char *c = request->headers[i]; *c; c++) {
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                return dv_fail(err, DV_E_BAD_INPUT, "a control character in HTTP header %zu", i);
        }
    }
    return true;
}

bool http_perform(HttpClient *client, const DvCtx *ctx, const HttpRequest *request,
                  HttpResponse *out, GError **err)
{
    int64_t started_ms = dv_now_ms();
    int64_t timeout_ms = request->timeout_ms > 0 ? request->timeout_ms : DEFAULT_TIMEOUT_MS;
    Exchange x = {.request = request};
    long status = 0;
    CURLcode code;
    bool ok;

    if (!headers_are_clean(request, err))
        return false;
    x.max_body = request->max_body_bytes ? request->max_body_bytes : DEFAULT_MAX_BODY;
    x.curl = handle_borrow(client);
    if (!x.curl)
        return dv_fail(err, DV_E_INTERNAL, "libcurl gives no handle");
    code = exchange_attempts(&x, ctx, timeout_ms);
    ok = code == CURLE_OK;
    if (ok) {
        curl_easy_getinfo(x.curl, CURLINFO_RESPONSE_CODE, &status);
        x.response.status = (int)status;
        dv_debug(ctx, "%s %s: %ld, %zu bytes, %" G_GINT64_FORMAT " ms", request->method,
                 request->url, status, x.response.body_length, dv_now_ms() - started_ms);
        *out = x.response;
    } else {
        exchange_fail(&x, code, err);
        http_response_done(&x.response);
    }
    g_clear_error(&x.err);
    handle_return(client, x.curl);
    return ok;
}
