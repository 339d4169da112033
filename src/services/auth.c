/* One REST service with the identities that may call it; see auth.h.
 *
 * A call picks a token (the group's own or the user's), finds the endpoint, sends, and once more
 * with new tokens after a 401. auth_token.c keeps the tokens, auth_error.c reads error answers. */
#include "services/auth_priv.h"

#include <jansson.h>
#include <stdatomic.h>

#include "util/clock.h"
#include "util/log.h"
#include "util/thread.h"

enum { STATUS_RETRY_FIRST_MS = 500, STATUS_RETRY_MOST_MS = 8000, MAX_SHOWN_PATH = 120 };

struct Service {
    HttpClient *http;          /* [const] */
    ServiceConfig conf;        /* [const] its strings are borrowed, see auth.h */
    TokenSource *own;          /* [const] NULL: no credentials */
    TokenSource *service_user; /* [const] NULL: no X-Service-Token */
    char **interfaces;         /* [const] */
    DvMutex lock;
    GHashTable *kept; /* [lock] what -> Kept */
    atomic_bool away; /* [atomic] the last call found nobody who serves */
};

typedef struct Kept {
    char **names;
    int64_t since_ms;
} Kept;

/* Tokens and address of one attempt. */
typedef struct Access {
    AuthToken *own, *service;
    const char *token; /* what goes into X-Auth-Token, or NULL */
    char *url;
    bool user; /* the token is the user's */
} Access;

static void access_done(Access *a)
{
    g_clear_pointer(&a->own, auth_token_unref);
    g_clear_pointer(&a->service, auth_token_unref);
    g_clear_pointer(&a->url, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Access, access_done)

/* ---- making ---- */

static void kept_free(gpointer p)
{
    Kept *kept = p;

    g_strfreev(kept->names);
    g_free(kept);
}

/* "internalURL" is the old spelling of "internal". */
static char **interfaces_read(const char *const *names)
{
    static const char *const fallback[] = {"internal", "public", NULL};
    GPtrArray *list = g_ptr_array_new();

    for (names = names && names[0] ? names : fallback; *names; names++) {
        char *name = g_ascii_strdown(*names, -1);

        if (g_str_has_suffix(name, "url"))
            name[strlen(name) - 3] = '\0';
        g_ptr_array_add(list, name);
    }
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}

static bool has_credentials(const AuthConfig *auth)
{
    return auth->auth_type && strcmp(auth->auth_type, "none") != 0;
}

Service *service_new(HttpClient *http, const ServiceConfig *config, GError **err)
{
    g_autoptr(Service) service = g_new0(Service, 1);

    service->http = http;
    service->conf = *config;
    service->interfaces = interfaces_read(config->valid_interfaces);
    service->kept = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, kept_free);
    dv_mutex_init(&service->lock);
    if (has_credentials(&config->auth) && !config->user_token_only) {
        service->own = token_source_new(http, &service->conf.auth, config->name, err);
        if (!service->own)
            return NULL;
    }
    if (config->service_user) {
        service->service_user = token_source_new(http, config->service_user, "service_user", err);
        if (!service->service_user)
            return NULL;
    }
    return g_steal_pointer(&service);
}

void service_free(Service *service)
{
    if (!service)
        return;
    token_source_free(service->own);
    token_source_free(service->service_user);
    g_strfreev(service->interfaces);
    g_hash_table_unref(service->kept);
    dv_mutex_done(&service->lock);
    g_free(service);
}

bool service_away(const Service *service)
{
    return atomic_load(&service->away);
}

/* ---- what is kept for the clients ---- */

char **service_recall(Service *service, const char *what, int64_t max_age_ms)
{
    char **names = NULL;
    const Kept *kept;

    dv_lock(&service->lock);
    kept = g_hash_table_lookup(service->kept, what);
    if (kept && dv_now_ms() - kept->since_ms <= max_age_ms)
        names = g_strdupv(kept->names);
    dv_unlock(&service->lock);
    return names;
}

void service_remember(Service *service, const char *what, const char *const *names)
{
    Kept *kept = g_new0(Kept, 1);

    kept->names = g_strdupv((char **)names);
    kept->since_ms = dv_now_ms();
    dv_lock(&service->lock);
    g_hash_table_replace(service->kept, g_strdup(what), kept);
    dv_unlock(&service->lock);
}

/* ---- endpoints ---- */

/* The catalog that came with the user's request, in keystone's version 2 layout. */
static const char *context_endpoint(const Service *service, const DvCtx *ctx)
{
    const json_t *catalog = ctx ? json_object_get(ctx->wire, "service_catalog") : NULL;

    for (char **interface = service->interfaces; *interface; interface++) {
        g_autofree char *key = g_strconcat(*interface, "URL", NULL);
        json_t *entry;
        json_t *endpoint;
        size_t i;
        size_t n;

        json_array_foreach(catalog, i, entry)
        {
            const char *type = json_string_value(json_object_get(entry, "type"));

            if (g_strcmp0(type, service->conf.service_type) != 0)
                continue;
            json_array_foreach(json_object_get(entry, "endpoints"), n, endpoint)
            {
                const char *region = json_string_value(json_object_get(endpoint, "region"));
                const char *url = json_string_value(json_object_get(endpoint, key));

                if (url && (!service->conf.region_name ||
                            g_strcmp0(region, service->conf.region_name) == 0))
                    return url;
            }
        }
    }
    return NULL;
}

/* Length of a version segment "v2.0" at text, 0 when there is none. */
static size_t version_length(const char *text)
{
    size_t n = 1;

    if (text[0] != 'v' || !g_ascii_isdigit(text[1]))
        return 0;
    while (g_ascii_isdigit(text[n]) || text[n] == '.')
        n++;
    return text[n] == '\0' || text[n] == '/' ? n : 0;
}

/* Catalogs list neutron without /v2.0 and glance without /v2, but some operators add it: a
 * version in the path replaces one at the end of the endpoint. */
static char *url_join(const char *endpoint, const char *path)
{
    g_autofree char *base = g_strdup(endpoint);
    char *slash;

    while (g_str_has_suffix(base, "/"))
        base[strlen(base) - 1] = '\0';
    slash = strrchr(base, '/');
    if (slash && slash > base && slash[-1] != '/' && version_length(slash + 1) && path[0] == '/' &&
        version_length(path + 1))
        *slash = '\0';
    return g_strconcat(base, path, NULL);
}

static bool find_url(const Service *service, const DvCtx *ctx, const char *path, Access *a,
                     GError **err)
{
    const ServiceConfig *conf = &service->conf;
    const char *endpoint = conf->endpoint_override;

    if (!endpoint && a->own)
        endpoint = auth_token_endpoint(a->own, conf->service_type,
                                       (const char *const *)service->interfaces, conf->region_name);
    if (!endpoint && a->user)
        endpoint = context_endpoint(service, ctx);
    if (!endpoint)
        return dv_fail(err, DV_E_UNAVAILABLE, "the catalog has no %s endpoint for %s in region %s",
                       service->interfaces[0], conf->service_type,
                       conf->region_name ? conf->region_name : "(any)");
    a->url = url_join(endpoint, path);
    return true;
}

/* ---- identities ---- */

static bool wants_user(const Service *service, const DvCtx *ctx, ServiceIdentity identity)
{
    return identity == AS_USER && ctx && ctx->auth_token && ctx->auth_token[0] &&
           (!service->conf.auth.auth_type || has_credentials(&service->conf.auth));
}

/* An endpoint that only the group's own catalog knows makes its token necessary too. */
static bool needs_own(const Service *service, const Access *a)
{
    return service->own && (!a->user || !service->conf.endpoint_override);
}

static bool access_get(Service *service, const DvCtx *ctx, ServiceIdentity identity,
                       const char *path, Access *a, GError **err)
{
    const AuthConfig *auth = &service->conf.auth;

    a->user = wants_user(service, ctx, identity);
    if (needs_own(service, a) && !(a->own = token_source_get(service->own, ctx, err)))
        return false;
    if (a->user)
        a->token = ctx->auth_token;
    else if (a->own)
        a->token = auth_token_value(a->own);
    else if (service->conf.user_token_only)
        return dv_fail(err, DV_E_DENIED, "the request came without a user's token");
    else if (!auth->auth_type)
        return dv_fail(err, DV_E_BAD_CONFIG, "[%s] auth_type is not set", service->conf.name);
    if (service->service_user && a->token &&
        !(a->service = token_source_get(service->service_user, ctx, err)))
        return false;
    return find_url(service, ctx, path, a, err);
}

/* After a 401. False when the refused token was not ours to renew. */
static bool access_drop(Service *service, const Access *a)
{
    if (a->own && !a->user)
        token_source_drop(service->own, a->own);
    if (a->service)
        token_source_drop(service->service_user, a->service);
    return (a->own && !a->user) || a->service;
}

/* ---- one exchange ---- */

typedef struct Call {
    const char *method, *path, *microversion, *accept_type;
    const char *body;         /* or NULL */
    const char *content_type; /* of body or upload */
    const HttpUpload *upload; /* or NULL */
    bool (*sink)(void *arg, const void *data, size_t length, GError **err);
    void *sink_arg;
} Call;

static void add_header(GPtrArray *headers, const char *name, const char *value)
{
    if (value)
        g_ptr_array_add(headers, g_strconcat(name, ": ", value, NULL));
}

static void header_free(gpointer p)
{
    if (p)
        explicit_bzero(p, strlen(p)); /* it may be a token */
    g_free(p);
}

static bool send_once(Service *service, const DvCtx *ctx, const Access *a, const Call *call,
                      HttpResponse *out, GError **err)
{
    g_autoptr(GPtrArray) headers = g_ptr_array_new_with_free_func(header_free);
    HttpRequest request = {.method = call->method,
                           .url = a->url,
                           .body = call->body,
                           .body_length = call->body ? strlen(call->body) : 0,
                           .upload = call->upload,
                           .tls = &service->conf.auth.tls,
                           .timeout_ms = service->conf.auth.timeout_ms,
                           .connect_retries = service->conf.connect_retries,
                           .sink = call->sink,
                           .sink_arg = call->sink_arg};

    add_header(headers, "Accept", call->accept_type);
    add_header(headers, "Content-Type", call->body || call->upload ? call->content_type : NULL);
    add_header(headers, "User-Agent", "drover/" DROVER_VERSION);
    add_header(headers, "X-Auth-Token", a->token);
    add_header(headers, "X-Service-Token", a->service ? auth_token_value(a->service) : NULL);
    add_header(headers, "X-OpenStack-Request-ID", dv_ctx_rest_request_id(ctx));
    if (call->microversion)
        g_ptr_array_add(headers, g_strdup(call->microversion));
    g_ptr_array_add(headers, NULL);
    request.headers = (const char *const *)headers->pdata;
    return http_perform(service->http, ctx, &request, out, err);
}

/* Again after 503, as often as status_code_retries allows. */
static bool send_patiently(Service *service, const DvCtx *ctx, const Access *a, const Call *call,
                           HttpResponse *out, GError **err)
{
    unsigned left = service->conf.status_code_retries;
    gulong pause_ms = STATUS_RETRY_FIRST_MS;

    for (;; left--) {
        if (!send_once(service, ctx, a, call, out, err))
            return false;
        if (out->status != 503 || left == 0)
            return true;
        http_response_done(out);
        g_usleep(pause_ms * 1000);
        pause_ms = MIN(pause_ms * 2, STATUS_RETRY_MOST_MS);
    }
}

static bool exchange(Service *service, const DvCtx *ctx, ServiceIdentity identity, const Call *call,
                     HttpResponse *out, GError **err)
{
    for (int attempt = 0;; attempt++) {
        g_auto(Access) a = {0};

        if (!access_get(service, ctx, identity, call->path, &a, err) ||
            !send_patiently(service, ctx, &a, call, out, err))
            return dv_within(err, "%s", service->conf.name);
        if (out->status != 401 || !access_drop(service, &a) || attempt > 0)
            return true;
        http_response_done(out);
        dv_debug(ctx, "%s refuses a token: asking for a new one", service->conf.name);
    }
}

/* ---- answers ---- */

static bool is_accepted(int status, const int *accept)
{
    for (; accept && *accept; accept++) {
        if (*accept == status)
            return true;
    }
    return status < 300;
}

static bool status_fail(const Service *service, const Call *call, const HttpResponse *r,
                        GError **err)
{
    g_autofree char *text = service_error_text(r);
    size_t shown = MIN(strcspn(call->path, "?"), (size_t)MAX_SHOWN_PATH);

    return dv_fail(err, r->status < 400 ? DV_E_BAD_INPUT : service_error_code(r->status),
                   "%s: %s %.*s: %d: %s", service->conf.name, call->method, (int)shown, call->path,
                   r->status, text);
}

static bool answer_read(const Service *service, const Call *call, const HttpResponse *r,
                        json_t **out_json, GError **err)
{
    json_error_t where;
    json_t *json;

    *out_json = NULL;
    if (r->body_length == 0)
        return true;
    json = json_loadb(r->body, r->body_length, 0, &where);
    if (!json && r->status < 300)
        return dv_fail(err, DV_E_BAD_INPUT, "%s: %s answers with broken JSON: %s",
                       service->conf.name, call->method, where.text);
    *out_json = json;
    return true;
}

static bool call_perform(Service *service, const DvCtx *ctx, ServiceIdentity identity,
                         const Call *call, const int *accept, int *out_status, json_t **out_json,
                         GError **err)
{
    g_auto(HttpResponse) r = {0};
    g_autoptr(GError) why = NULL;
    bool ok = exchange(service, ctx, identity, call, &r, &why) &&
              (is_accepted(r.status, accept) || status_fail(service, call, &r, &why)) &&
              (!out_json || answer_read(service, call, &r, out_json, &why));

    atomic_store(&service->away, dv_is(why, DV_E_UNAVAILABLE) || dv_is(why, DV_E_TIMEOUT));
    if (!ok) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    if (out_status)
        *out_status = r.status;
    return true;
}

/* With `body` (stolen, may be NULL) as the call's. */
static bool call_json(Service *service, const DvCtx *ctx, ServiceIdentity identity, Call *call,
                      json_t *body, const int *accept, int *out_status, json_t **out_json,
                      GError **err)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    bool ok;

    if (body && !text) {
        json_decref(body);
        return dv_fail(err, DV_E_INTERNAL, "%s: a body that is no JSON", service->conf.name);
    }
    json_decref(body);
    call->body = text;
    ok = call_perform(service, ctx, identity, call, accept, out_status, out_json, err);
    if (text)
        explicit_bzero(text, strlen(text)); /* it may hold a secret */
    free(text);                             /* jansson's */
    return ok;
}

bool service_url(Service *service, const DvCtx *ctx, ServiceIdentity identity, const char *path,
                 char **out_url, GError **err)
{
    g_auto(Access) a = {0};

    if (!access_get(service, ctx, identity, path, &a, err))
        return false;
    *out_url = g_steal_pointer(&a.url);
    return true;
}

bool service_call(Service *service, const DvCtx *ctx, ServiceIdentity identity, const char *method,
                  const char *path, const char *microversion, json_t *body, const int *accept,
                  int *out_status, json_t **out_json, GError **err)
{
    Call call = {.method = method,
                 .path = path,
                 .microversion = microversion,
                 .accept_type = "application/json",
                 .content_type = "application/json"};

    return call_json(service, ctx, identity, &call, body, accept, out_status, out_json, err);
}

bool service_patch(Service *service, const DvCtx *ctx, ServiceIdentity identity, const char *path,
                   const char *content_type, json_t *body, const int *accept, int *out_status,
                   GError **err)
{
    Call call = {.method = "PATCH",
                 .path = path,
                 .accept_type = "application/json",
                 .content_type = content_type};

    return call_json(service, ctx, identity, &call, body, accept, out_status, NULL, err);
}

bool service_upload(Service *service, const DvCtx *ctx, ServiceIdentity identity, const char *path,
                    const HttpUpload *upload, const int *accept, int *out_status, GError **err)
{
    const Call call = {.method = "PUT",
                       .path = path,
                       .accept_type = "*/*",
                       .content_type = "application/octet-stream",
                       .upload = upload};

    return call_perform(service, ctx, identity, &call, accept, out_status, NULL, err);
}

bool service_download(Service *service, const DvCtx *ctx, ServiceIdentity identity,
                      const char *path, const char *accept_type,
                      bool (*sink)(void *arg, const void *data, size_t length, GError **err),
                      void *arg, GError **err)
{
    Call call = {
        .method = "GET", .path = path, .accept_type = accept_type, .sink = sink, .sink_arg = arg};
    g_auto(HttpResponse) r = {0};

    return exchange(service, ctx, identity, &call, &r, err) &&
           (r.status < 300 || status_fail(service, &call, &r, err));
}
