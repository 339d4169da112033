/* Tokens of one set of credentials; see auth_priv.h.
 *
 * A token is fetched once, by the thread that finds none, while the others wait for that attempt
 * and share its outcome, also its failure: a keystone that is away costs one timeout and not one
 * per thread. Nothing is locked during the HTTP exchange. */
#include "services/auth_priv.h"

#include <jansson.h>

#include "util/clock.h"
#include "util/log.h"
#include "util/thread.h"

#define RENEW_BEFORE_MS ((int64_t)120 * 1000)
#define MAX_CATALOG_BYTES ((size_t)8 * 1024 * 1024)
enum { MAX_ENDPOINTS = 10000, MAX_TOKEN_BYTES = 64 * 1024 };

typedef struct AuthEndpoint {
    char *type, *interface, *region, *url;
} AuthEndpoint;

struct AuthToken {
    gatomicrefcount refs;
    char *value;
    int64_t expires_ms;   /* wall time */
    GPtrArray *endpoints; /* AuthEndpoint */
};

struct TokenSource {
    HttpClient *http;         /* [const] */
    const AuthConfig *config; /* [const] */
    char *group;              /* [const] */
    char *url;                /* [const] .../v3/auth/tokens */
    char *request;            /* [const] a secret */
    DvMutex lock;
    DvCond changed;
    AuthToken *token;  /* [lock] or NULL */
    GError *failure;   /* [lock] of the last attempt, or NULL */
    uint64_t attempts; /* [lock] ended ones */
    bool fetching;     /* [lock] */
};

/* ---- tokens ---- */

static void endpoint_free(gpointer p)
{
    AuthEndpoint *e = p;

    g_free(e->type);
    g_free(e->interface);
    g_free(e->region);
    g_free(e->url);
    g_free(e);
}

AuthToken *auth_token_ref(AuthToken *token)
{
    g_atomic_ref_count_inc(&token->refs);
    return token;
}

void auth_token_unref(AuthToken *token)
{
    if (!token || !g_atomic_ref_count_dec(&token->refs))
        return;
    g_free(token->value);
    g_ptr_array_unref(token->endpoints);
    g_free(token);
}

const char *auth_token_value(const AuthToken *token)
{
    return token->value;
}

const char *auth_token_endpoint(const AuthToken *token, const char *service_type,
                                const char *const *interfaces, const char *region)
{
    for (size_t n = 0; interfaces[n]; n++) {
        for (guint i = 0; i < token->endpoints->len; i++) {
            const AuthEndpoint *e = token->endpoints->pdata[i];

            if (strcmp(e->type, service_type) == 0 && strcmp(e->interface, interfaces[n]) == 0 &&
                (!region || g_strcmp0(e->region, region) == 0))
                return e->url;
        }
    }
    return NULL;
}

static void catalog_entry_read(AuthToken *token, const json_t *service)
{
    const char *type = json_string_value(json_object_get(service, "type"));
    json_t *endpoint;
    size_t i;

    json_array_foreach(json_object_get(service, "endpoints"), i, endpoint)
    {
        const char *interface = json_string_value(json_object_get(endpoint, "interface"));
        const char *url = json_string_value(json_object_get(endpoint, "url"));
        const char *region = json_string_value(json_object_get(endpoint, "region"));
        AuthEndpoint *e;

        if (!type || !interface || !url || token->endpoints->len >= MAX_ENDPOINTS)
            continue;
        if (!region)
            region = json_string_value(json_object_get(endpoint, "region_id"));
        e = g_new0(AuthEndpoint, 1);
        e->type = g_strdup(type);
        e->interface = g_strdup(interface);
        e->region = g_strdup(region);
        e->url = g_strdup(url);
        g_ptr_array_add(token->endpoints, e);
    }
}

static AuthToken *token_read(const HttpResponse *response, GError **err)
{
    const char *value = g_hash_table_lookup(response->headers, "x-subject-token");
    json_t *root = json_loadb(response->body, response->body_length, 0, NULL);
    const json_t *body = json_object_get(root, "token");
    const char *expires = json_string_value(json_object_get(body, "expires_at"));
    g_autoptr(AuthToken) token = g_new0(AuthToken, 1);
    json_t *service;
    size_t i;

    g_atomic_ref_count_init(&token->refs);
    token->endpoints = g_ptr_array_new_with_free_func(endpoint_free);
    token->value = g_strdup(value);
    json_array_foreach(json_object_get(body, "catalog"), i, service)
        catalog_entry_read(token, service);
    if (!value || !*value || strlen(value) > MAX_TOKEN_BYTES || !expires ||
        !dv_time_parse(expires, &token->expires_ms)) {
        json_decref(root);
        dv_fail(err, DV_E_BAD_INPUT, "keystone's answer holds no token or no time of its end");
        return NULL;
    }
    json_decref(root);
    return g_steal_pointer(&token);
}

/* ---- the request ---- */

static json_t *domain_json(const char *id, const char *name, const AuthConfig *c)
{
    if (!id && !name) {
        id = c->default_domain_id;
        name = id ? NULL : c->default_domain_name;
    }
    if (id)
        return json_pack("{s:s}", "id", id);
    return name ? json_pack("{s:s}", "name", name) : NULL;
}

static json_t *user_json(const AuthConfig *c)
{
    if (c->user_id)
        return json_pack("{s:s}", "id", c->user_id);
    return json_pack("{s:s, s:o*}", "name", c->username, "domain",
                     domain_json(c->user_domain_id, c->user_domain_name, c));
}

static json_t *identity_password(const AuthConfig *c)
{
    json_t *user = user_json(c);

    json_object_set_new(user, "password", json_string(c->password));
    return json_pack("{s:[s], s:{s:o}}", "methods", "password", "password", "user", user);
}

static json_t *identity_application_credential(const AuthConfig *c)
{
    json_t *credential = json_pack("{s:s}", "secret", c->application_credential_secret);

    if (c->application_credential_id) {
        json_object_set_new(credential, "id", json_string(c->application_credential_id));
    } else {
        json_object_set_new(credential, "name", json_string(c->application_credential_name));
        json_object_set_new(credential, "user", user_json(c));
    }
    return json_pack("{s:[s], s:o}", "methods", "application_credential", "application_credential",
                     credential);
}

static json_t *identity_token(const AuthConfig *c)
{
    return json_pack("{s:[s], s:{s:s}}", "methods", "token", "token", "id", c->token);
}

static json_t *scope_json(const AuthConfig *c)
{
    if (c->system_scope)
        return json_pack("{s:{s:b}}", "system", "all", 1);
    if (c->trust_id)
        return json_pack("{s:{s:s}}", "OS-TRUST:trust", "id", c->trust_id);
    if (c->project_id)
        return json_pack("{s:{s:s}}", "project", "id", c->project_id);
    if (c->project_name)
        return json_pack("{s:{s:s, s:o*}}", "project", "name", c->project_name, "domain",
                         domain_json(c->project_domain_id, c->project_domain_name, c));
    return NULL;
}

static bool need(const char *group, const char *name, const char *value, GError **err)
{
    return value || dv_fail(err, DV_E_BAD_CONFIG, "[%s] %s is not set", group, name);
}

static bool user_is_named(const AuthConfig *c, const char *group, GError **err)
{
    if (c->user_id)
        return true;
    if (!need(group, "username", c->username, err))
        return false;
    return c->user_domain_id || c->user_domain_name || c->default_domain_id ||
           c->default_domain_name ||
           dv_fail(err, DV_E_BAD_CONFIG, "[%s] user_domain_name is not set", group);
}

static bool check_password(const AuthConfig *c, const char *group, GError **err)
{
    return user_is_named(c, group, err) && need(group, "password", c->password, err);
}

static bool check_application_credential(const AuthConfig *c, const char *group, GError **err)
{
    if (!need(group, "application_credential_secret", c->application_credential_secret, err))
        return false;
    if (c->application_credential_id)
        return true;
    return need(group, "application_credential_id", c->application_credential_name, err) &&
           user_is_named(c, group, err);
}

static bool check_token(const AuthConfig *c, const char *group, GError **err)
{
    return need(group, "token", c->token, err);
}

static const struct {
    const char *auth_type;
    bool (*check)(const AuthConfig *c, const char *group, GError **err);
    json_t *(*identity)(const AuthConfig *c);
    bool scoped; /* an application credential is bound to its project */
} methods[] = {
    {"password", check_password, identity_password, true},
    {"v3password", check_password, identity_password, true},
    {"v3applicationcredential", check_application_credential, identity_application_credential,
     false},
    {"token", check_token, identity_token, true},
    {"v3token", check_token, identity_token, true},
};

static char *request_text(const AuthConfig *c, const char *group, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
        json_t *body;
        char *text;

        if (strcmp(methods[i].auth_type, c->auth_type) != 0)
            continue;
        if (!methods[i].check(c, group, err))
            return NULL;
        body = json_pack("{s:{s:o, s:o*}}", "auth", "identity", methods[i].identity(c), "scope",
                         methods[i].scoped ? scope_json(c) : NULL);
        text = json_dumps(body, JSON_COMPACT);
        json_decref(body);
        if (!text)
            dv_fail(err, DV_E_BAD_CONFIG, "[%s]: the credentials are not valid UTF-8", group);
        return text;
    }
    dv_fail(err, DV_E_BAD_CONFIG,
            "[%s] auth_type = %s is not supported; password, v3password, "
            "v3applicationcredential, v3token and none are",
            group, c->auth_type);
    return NULL;
}

/* keystone's own address with or without its version. */
static char *token_url(const char *auth_url)
{
    g_autofree char *base = g_strdup(auth_url);
    size_t length = strlen(base);

    while (length > 0 && base[length - 1] == '/')
        base[--length] = '\0';
    if (g_str_has_suffix(base, "/v3") || g_str_has_suffix(base, "/v2.0"))
        *strrchr(base, '/') = '\0';
    return g_strconcat(base, "/v3/auth/tokens", NULL);
}

/* ---- the source ---- */

TokenSource *token_source_new(HttpClient *http, const AuthConfig *config, const char *group,
                              GError **err)
{
    g_autoptr(TokenSource) source = g_new0(TokenSource, 1);

    source->http = http;
    source->config = config;
    source->group = g_strdup(group);
    dv_mutex_init(&source->lock);
    dv_cond_init(&source->changed);
    if (!need(group, "auth_url", config->auth_url, err))
        return NULL;
    source->url = token_url(config->auth_url);
    source->request = request_text(config, group, err);
    return source->request ? g_steal_pointer(&source) : NULL;
}

void token_source_free(TokenSource *source)
{
    if (!source)
        return;
    g_clear_error(&source->failure);
    auth_token_unref(source->token);
    dv_cond_done(&source->changed);
    dv_mutex_done(&source->lock);
    g_free(source->url);
    if (source->request)
        explicit_bzero(source->request, strlen(source->request));
    free(source->request); /* jansson's */
    g_free(source->group);
    g_free(source);
}

static AuthToken *fetch(TokenSource *source, const DvCtx *ctx, GError **err)
{
    const char *id = dv_ctx_rest_request_id(ctx);
    g_autofree char *request_id = id ? g_strconcat("X-OpenStack-Request-ID: ", id, NULL) : NULL;
    const char *headers[] = {"Accept: application/json", "Content-Type: application/json",
                             "User-Agent: drover/" DROVER_VERSION, request_id, NULL};
    HttpRequest request = {.method = "POST",
                           .url = source->url,
                           .headers = headers,
                           .body = source->request,
                           .body_length = strlen(source->request),
                           .tls = &source->config->tls,
                           .timeout_ms = source->config->timeout_ms,
                           .max_body_bytes = MAX_CATALOG_BYTES};
    g_auto(HttpResponse) response = {0};
    AuthToken *token = NULL;

    if (!http_perform(source->http, ctx, &request, &response, err)) {
        dv_within(err, "keystone");
    } else if (response.status >= 300) {
        g_autofree char *text = service_error_text(&response);

        dv_fail(err, service_error_code(response.status), "keystone answers %d: %s",
                response.status, text);
    } else {
        token = token_read(&response, err);
    }
    if (!token)
        dv_within(err, "credentials of [%s]", source->group);
    return token;
}

static bool is_fresh(const AuthToken *token)
{
    int64_t now_ms = dv_clock_wall_ms(dv_clock_real());

    return token && token->expires_ms - now_ms > RENEW_BEFORE_MS;
}

/* Waits for the attempt that another thread has under way. False: its token is gone already. */
static bool share_outcome(TokenSource *source, AuthToken **out, GError **err)
    DV_REQUIRES(source->lock)
{
    uint64_t before = source->attempts;

    while (source->attempts == before)
        dv_cond_wait(&source->changed, &source->lock);
    if (source->failure && err)
        *err = g_error_copy(source->failure);
    *out = source->token && !source->failure ? auth_token_ref(source->token) : NULL;
    return source->failure || source->token;
}

/* True when there is an outcome; false when this thread is now the one that fetches. */
static bool fetch_begin(TokenSource *source, AuthToken **out, GError **err)
{
    bool settled = false;

    dv_lock(&source->lock);
    while (!settled) {
        if (source->fetching) {
            settled = share_outcome(source, out, err);
        } else if (is_fresh(source->token)) {
            *out = auth_token_ref(source->token);
            settled = true;
        } else {
            source->fetching = true;
            break;
        }
    }
    dv_unlock(&source->lock);
    return settled;
}

/* Hands an attempt's outcome to those who wait. */
static void fetch_end(TokenSource *source, AuthToken *token, const GError *failure)
{
    dv_lock(&source->lock);
    g_clear_error(&source->failure);
    if (token) {
        auth_token_unref(source->token);
        source->token = auth_token_ref(token);
    } else {
        source->failure = g_error_copy(failure);
    }
    source->attempts++;
    source->fetching = false;
    dv_cond_broadcast(&source->changed);
    dv_unlock(&source->lock);
}

AuthToken *token_source_get(TokenSource *source, const DvCtx *ctx, GError **err)
{
    g_autoptr(GError) failure = NULL;
    AuthToken *token = NULL;

    if (fetch_begin(source, &token, err))
        return token;
    token = fetch(source, ctx, &failure);
    fetch_end(source, token, failure);
    if (!token)
        g_propagate_error(err, g_steal_pointer(&failure));
    return token;
}

void token_source_drop(TokenSource *source, const AuthToken *token)
{
    dv_lock(&source->lock);
    if (source->token == token && !source->fetching)
        g_clear_pointer(&source->token, auth_token_unref);
    dv_unlock(&source->lock);
}
