/* Secrets in barbican; see barbican.h. */
#include "services/barbican.h"

#include <jansson.h>
#include <string.h>

#include "services/auth_priv.h"
#include "util/log.h"

#define SECRETS "/v1/secrets/"
#define BINARY "application/octet-stream"

enum { MAX_VALUE_BYTES = 10000 /* barbican's own default limit */, MAX_TYPE = 100 };

void barbican_value_free(char *value)
{
    if (value)
        explicit_bzero(value, strlen(value));
    g_free(value);
}

/* What a caller of the key manager can do something about is only whether the secret is there. */
static bool fail_as_key_manager(GError *cause, GError **err)
{
    bool absent = dv_is(cause, DV_E_NOT_FOUND);

    dv_fail(err, absent ? DV_E_SECRET_NOT_FOUND : DV_E_KEY_MANAGER, "%s", cause->message);
    g_error_free(cause);
    return false;
}

static char *secret_path(const char *id, const char *rest)
{
    g_autofree char *escaped = service_escape(id);

    return g_strconcat(SECRETS, escaped, rest, NULL);
}

/* ---- storing ---- */

/* The last part of the new secret's address. */
static char *id_of(const json_t *answer, GError **err)
{
    const char *ref = json_string_value(json_object_get(answer, "secret_ref"));
    const char *slash = ref ? strrchr(ref, '/') : NULL;

    if (slash && g_uuid_string_is_valid(slash + 1))
        return g_strdup(slash + 1);
    dv_fail(err, DV_E_KEY_MANAGER, "barbican: an answer without the secret's uuid");
    return NULL;
}

/* As castellan sends bytes: base64 in the request, the bytes themselves in barbican. */
static json_t *passphrase(const char *name, const char *value)
{
    char *text = g_base64_encode((const guchar *)value, strlen(value));
    json_t *body = json_pack("{ss, ss, ss, ss, ss}", "name", name, "secret_type", "passphrase",
                             "payload", text, "payload_content_type", BINARY,
                             "payload_content_encoding", "base64");

    barbican_value_free(text);
    return body;
}

bool barbican_store(Service *barbican, const DvCtx *ctx, const char *name, const char *value,
                    char **out_id, GError **err)
{
    json_auto_t *answer = NULL;
    GError *cause = NULL;
    char *id;

    if (!service_call(barbican, ctx, AS_USER, "POST", SECRETS, NULL, passphrase(name, value), NULL,
                      NULL, &answer, &cause))
        return fail_as_key_manager(cause, err);
    id = id_of(answer, err);
    if (!id)
        return false;
    *out_id = id;
    return true;
}

/* ---- reading ---- */

typedef struct Value {
    char bytes[MAX_VALUE_BYTES + 1];
    size_t length;
} Value;

static bool on_value(void *arg, const void *data, size_t length, GError **err)
{
    Value *value = arg;

    if (length > MAX_VALUE_BYTES - value->length)
        return dv_fail(err, DV_E_KEY_MANAGER, "barbican: a secret of more than %d bytes",
                       MAX_VALUE_BYTES);
    memcpy(value->bytes + value->length, data, length);
    value->length += length;
    return true;
}

/* What the secret was stored as; it is given out as nothing else. */
static char *type_of(const json_t *record, GError **err)
{
    const json_t *types = json_object_get(record, "content_types");
    const char *type = json_string_value(json_object_get(types, "default"));

    if (type && strlen(type) <= MAX_TYPE && !strpbrk(type, "\r\n"))
        return g_strdup(type);
    dv_fail(err, DV_E_KEY_MANAGER, "barbican: the secret has no value");
    return NULL;
}

static bool read_value(Service *barbican, const DvCtx *ctx, const char *id, Value *value,
                       GError **err)
{
    g_autofree char *path = secret_path(id, "");
    g_autofree char *payload = secret_path(id, "/payload");
    g_autofree char *type = NULL;
    json_auto_t *record = NULL;

    return service_call(barbican, ctx, AS_USER, "GET", path, NULL, NULL, NULL, NULL, &record,
                        err) &&
           (type = type_of(record, err)) &&
           service_download(barbican, ctx, AS_USER, payload, type, on_value, value, err);
}

bool barbican_fetch(Service *barbican, const DvCtx *ctx, const char *id, char **out_value,
                    GError **err)
{
    Value value = {.length = 0};
    GError *cause = NULL;
    bool ok = read_value(barbican, ctx, id, &value, &cause);

    if (ok && (value.length == 0 || memchr(value.bytes, '\0', value.length)))
        ok = dv_fail(&cause, DV_E_KEY_MANAGER, "barbican: the secret is empty or no text");
    if (ok)
        *out_value = g_strndup(value.bytes, value.length);
    explicit_bzero(&value, sizeof(value));
    return ok || fail_as_key_manager(cause, err);
}

/* ---- deleting ---- */

bool barbican_delete(Service *barbican, const DvCtx *ctx, const char *id, GError **err)
{
    static const int absent[] = {404, 0};
    g_autofree char *path = secret_path(id, "");
    GError *cause = NULL;
    int status = 0;

    if (!service_call(barbican, ctx, AS_USER, "DELETE", path, NULL, NULL, absent, &status, NULL,
                      &cause))
        return fail_as_key_manager(cause, err);
    if (status == 404)
        dv_debug(ctx, "secret %s is not there any more", id);
    return true;
}
