/* Vendor data of a file and of services; see vendordata.h. */
#include "services/vendordata.h"

#include <jansson.h>

#include "services/auth_priv.h"
#include "util/fs.h"
#include "util/log.h"

#define MAX_FILE_BYTES ((size_t)16 * 1024 * 1024)
#define MAX_ANSWER_BYTES ((size_t)1024 * 1024)

struct Vendordata {
    HttpClient *http;             /* [const] */
    const VendordataConfig *conf; /* [const] */
    TokenSource *tokens;          /* [const] NULL: no credentials */
};

Vendordata *vendordata_new(HttpClient *http, const VendordataConfig *config, GError **err)
{
    g_autoptr(Vendordata) vendordata = g_new0(Vendordata, 1);
    bool asks = config->providers && config->targets && config->targets[0] &&
                g_strv_contains(config->providers, "DynamicJSON");

    vendordata->http = http;
    vendordata->conf = config;
    if (asks && config->auth.auth_type) {
        vendordata->tokens = token_source_new(http, &config->auth, "vendordata_dynamic_auth", err);
        if (!vendordata->tokens)
            return NULL;
    } else if (asks) {
        dv_warning(NULL, "vendor data services are asked without a token: no credentials in"
                         " [vendordata_dynamic_auth]");
    }
    return g_steal_pointer(&vendordata);
}

void vendordata_free(Vendordata *vendordata)
{
    if (!vendordata)
        return;
    token_source_free(vendordata->tokens);
    g_free(vendordata);
}

/* ---- the file ---- */

static bool read_file(const Vendordata *vendordata, json_t **out, GError **err)
{
    const char *path = vendordata->conf->jsonfile_path;
    g_autofree char *text = NULL;
    size_t length = 0;
    json_error_t where;

    if (!path || !*path) {
        *out = json_object();
        return true;
    }
    if (!dv_read_file(path, MAX_FILE_BYTES, &text, &length, err))
        return dv_within(err, "[api] vendordata_jsonfile_path");
    *out = json_loadb(text, length, JSON_DECODE_ANY, &where);
    return *out || dv_fail(err, DV_E_BAD_CONFIG, "[api] vendordata_jsonfile_path: line %d: %s",
                           where.line, where.text);
}

/* ---- the services ---- */

static json_t *member(const Ovo *instance, const char *field)
{
    json_auto_t *whole = ovo_json(instance);
    json_t *data = json_object_get(whole, "nova_object.data");
    json_t *value = json_object_get(data ? data : whole, field);

    return value ? json_incref(value) : json_null();
}

static json_t *question(const Ovo *instance)
{
    const char *roles = ovo_dict_str(instance, "system_metadata", "boot_roles");
    json_t *metadata = member(instance, "metadata");

    if (json_is_null(metadata)) {
        json_decref(metadata);
        metadata = json_object();
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "project-id",
                     member(instance, "project_id"), "instance-id", member(instance, "uuid"),
                     "image-id", member(instance, "image_ref"), "user-data",
                     member(instance, "user_data"), "hostname", member(instance, "hostname"),
                     "metadata", metadata, "boot-roles", roles ? roles : "");
}

/* An answer without a body is an empty part. */
static bool read_answer(const HttpResponse *r, json_t **out, GError **err)
{
    json_error_t where;

    if (r->status >= 400)
        return dv_fail(err, service_error_code(r->status), "status %d", r->status);
    if (r->body_length == 0) {
        *out = json_object();
        return true;
    }
    *out = json_loadb(r->body, r->body_length, JSON_DECODE_ANY, &where);
    return *out || dv_fail(err, DV_E_BAD_INPUT, "the answer is no JSON: %s", where.text);
}

static bool ask(const Vendordata *vendordata, const DvCtx *ctx, const char *url, const char *body,
                json_t **out, GError **err)
{
    const VendordataConfig *conf = vendordata->conf;
    bool own_authorities = conf->certfile && *conf->certfile;
    HttpTls tls = {.cafile = own_authorities ? conf->certfile : NULL,
                   .insecure = conf->auth.tls.insecure};
    g_autoptr(AuthToken) token = NULL;
    g_autofree char *token_header = NULL;
    const char *headers[] = {"Content-Type: application/json", "Accept: application/json",
                             "User-Agent: openstack-nova-vendordata", NULL, NULL};
    g_auto(HttpResponse) r = {0};

    if (vendordata->tokens) {
        token = token_source_get(vendordata->tokens, ctx, err);
        if (!token)
            return false;
        token_header = g_strconcat("X-Auth-Token: ", auth_token_value(token), NULL);
        headers[3] = token_header;
    }
    return http_perform(
               vendordata->http, ctx,
               &(HttpRequest){.method = "POST",
                              .url = url,
                              .headers = headers,
                              .body = body,
                              .body_length = strlen(body),
                              .tls = &tls,
                              .timeout_ms = (conf->connect_timeout_s + conf->read_timeout_s) * 1000,
                              .max_body_bytes = MAX_ANSWER_BYTES},
               &r, err) &&
           read_answer(&r, out, err);
}

/* Adds the part of one target, "name@url". */
static bool add_target(const Vendordata *vendordata, const DvCtx *ctx, const char *target,
                       const char *body, json_t *all, GError **err)
{
    const char *at = strchr(target, '@');
    g_autofree char *name = at ? g_strndup(target, (gsize)(at - target)) : NULL;
    g_autoptr(GError) cause = NULL;
    json_t *part = NULL;

    if (!at || json_object_get(all, name)) {
        dv_warning(ctx, "vendor data target %s is skipped: %s", target,
                   at ? "there is one of that name already" : "it has no name");
        return true;
    }
    if (!ask(vendordata, ctx, at + 1, body, &part, &cause)) {
        if (vendordata->conf->failure_fatal) {
            g_propagate_prefixed_error(err, g_steal_pointer(&cause), "vendor data of %s: ", name);
            return false;
        }
        dv_warning(ctx, "vendor data of %s: %s; left empty", name, cause->message);
        part = json_object();
    }
    json_object_set_new(all, name, part);
    return true;
}

static bool ask_all(const Vendordata *vendordata, const DvCtx *ctx, const Ovo *instance,
                    json_t **out, GError **err)
{
    json_auto_t *body = question(instance);
    char *text = json_dumps(body, 0);
    json_t *all = json_object();
    bool ok = true;

    for (const char *const *target = vendordata->conf->targets; ok && target && *target; target++)
        ok = add_target(vendordata, ctx, *target, text, all, err);
    free(text); /* jansson's */
    if (ok)
        *out = all;
    else
        json_decref(all);
    return ok;
}

/* ---- both ---- */

/* A name that is taken stays with who had it first. */
static void merge(json_t *all, const json_t *part, const DvCtx *ctx)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)part, name, value)
    {
        if (json_object_get(all, name))
            dv_warning(ctx, "vendor data: a second part named %s is dropped", name);
        else
            json_object_set(all, name, value);
    }
}

static char *text_of(const json_t *doc)
{
    char *text = json_dumps(doc, JSON_ENCODE_ANY);
    char *copy = g_strdup(text);

    free(text);
    return copy;
}

bool vendordata_fetch(Vendordata *vendordata, const DvCtx *ctx, const Ovo *instance,
                      char **out_static, char **out_all, GError **err)
{
    json_auto_t *all = json_object();
    json_auto_t *file = NULL;

    for (const char *const *name = vendordata->conf->providers; name && *name; name++) {
        json_auto_t *part = NULL;

        if (g_str_equal(*name, "StaticJSON")) {
            if (!file && !read_file(vendordata, &file, err))
                return false;
            json_object_set(all, "static", file);
        } else if (!ask_all(vendordata, ctx, instance, &part, err)) {
            return false;
        }
        merge(all, part, ctx);
    }
    *out_static = file ? text_of(file) : NULL;
    *out_all = text_of(all);
    return true;
}
