/* Reads and writes message bodies; see envelope.h. */
#include "rpc/envelope.h"

#include "rpc/ids.h"

#include <jansson.h>
#include <string.h>

enum {
    ENVELOPE_MAX_NAME_BYTES = 512, /* methods, namespaces, versions, ids, queue names */
    ENVELOPE_MAX_TIMEOUT_S = 7 * 24 * 3600,
};

/* ---- JSON ---- */

/* Nesting of brackets outside of strings. Looks at every byte once; what is no JSON at all is left
 * to the parser. */
static bool depth_ok(const char *text, size_t length)
{
    size_t depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > RPC_MAX_DEPTH)
                return false;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

json_t *rpc_json_read(const char *text, size_t length, GError **err)
{
    json_error_t why;
    json_t *value;

    if (!depth_ok(text, length)) {
        dv_fail(err, DV_E_BAD_INPUT, "nested deeper than %d", RPC_MAX_DEPTH);
        return NULL;
    }
    value = json_loadb(text, length, JSON_DECODE_ANY, &why);
    if (!value)
        dv_fail(err, DV_E_BAD_INPUT, "not JSON: %s (at byte %d)", why.text, why.position);
    return value;
}

static int text_append(const char *part, size_t size, void *arg)
{
    g_string_append_len(arg, part, (gssize)size);
    return 0;
}

static GString *text_write(const json_t *value, size_t size_hint)
{
    g_autoptr(GString) text = g_string_sized_new(size_hint);

    if (json_dump_callback(value, text_append, text, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        return NULL;
    return g_steal_pointer(&text);
}

char *rpc_json_text(const json_t *value, size_t *out_length)
{
    GString *text = text_write(value, 256);

    if (!text)
        return NULL;
    if (out_length)
        *out_length = text->len;
    return g_string_free(text, FALSE);
}

/* ---- typed members ---- */

/* A short string or absent (NULL); null counts as absent. */
static bool member_name(const json_t *inner, const char *key, const char **out, GError **err)
{
    const json_t *value = json_object_get(inner, key);

    *out = NULL;
    if (!value || json_is_null(value))
        return true;
    if (!json_is_string(value))
        return dv_fail(err, DV_E_BAD_INPUT, "%s: want a string", key);
    if (json_string_length(value) > ENVELOPE_MAX_NAME_BYTES)
        return dv_fail(err, DV_E_BAD_INPUT, "%s: longer than %d bytes", key,
                       ENVELOPE_MAX_NAME_BYTES);
    *out = json_string_value(value);
    return true;
}

/* oslo takes whatever int() takes here; anything else counts as no timeout, as it does there. */
static int64_t member_timeout(const json_t *inner)
{
    const json_t *value = json_object_get(inner, "_timeout");
    gint64 seconds = 0;

    if (json_is_integer(value))
        seconds = json_integer_value(value);
    else if (json_is_real(value) && json_real_value(value) > 0 &&
             json_real_value(value) < ENVELOPE_MAX_TIMEOUT_S)
        seconds = (gint64)json_real_value(value);
    else if (json_is_string(value))
        g_ascii_string_to_signed(json_string_value(value), 10, 0, ENVELOPE_MAX_TIMEOUT_S, &seconds,
                                 NULL);
    return CLAMP(seconds, 0, ENVELOPE_MAX_TIMEOUT_S);
}

/* ---- envelope ---- */

static bool version_accepted(const char *version)
{
    return g_str_equal(version, "2.0") || g_str_equal(version, "2");
}

json_t *rpc_envelope_read(const char *body, size_t length, GError **err)
{
    json_auto_t *outer = rpc_json_read(body, length, err);
    json_auto_t *inner = NULL;
    const json_t *message = json_object_get(outer, "oslo.message");
    const json_t *version = json_object_get(outer, "oslo.version");

    if (!outer)
        return NULL;
    if (!json_is_object(outer)) {
        dv_fail(err, DV_E_BAD_INPUT, "not a JSON object");
        return NULL;
    }
    if (!message || !version)
        return g_steal_pointer(&outer);
    if (!json_is_string(message) || !json_is_string(version)) {
        dv_fail(err, DV_E_BAD_INPUT, "oslo.message and oslo.version: want strings");
        return NULL;
    }
    if (!version_accepted(json_string_value(version))) {
        dv_fail(err, DV_E_BAD_INPUT, "envelope version %.32s: want 2.0",
                json_string_value(version));
        return NULL;
    }
    inner = rpc_json_read(json_string_value(message), json_string_length(message), err);
    if (inner && !json_is_object(inner)) {
        dv_fail(err, DV_E_BAD_INPUT, "not a JSON object");
        g_clear_pointer(&inner, json_decref);
    }
    if (!inner)
        dv_within(err, "oslo.message");
    return g_steal_pointer(&inner);
}

char *rpc_envelope_write(const json_t *inner, size_t *out_length)
{
    GString *text = text_write(inner, 2048);
    json_auto_t *outer = NULL;
    size_t length;

    if (!text)
        return NULL;
    /* What jansson wrote is valid UTF-8: nocheck spares a pass over the body. */
    outer = json_object();
    json_object_set_new(outer, "oslo.version", json_string("2.0"));
    json_object_set_new(outer, "oslo.message", json_stringn_nocheck(text->str, text->len));
    length = text->len;
    g_string_free(text, TRUE);
    text = text_write(outer, length + length / 8 + 64);
    if (!text)
        return NULL;
    *out_length = text->len;
    return g_string_free(text, FALSE);
}

RpcReturnPath rpc_return_path(const json_t *inner)
{
    RpcReturnPath path = {0};

    if (!member_name(inner, "_msg_id", &path.msg_id, NULL) ||
        !member_name(inner, "_reply_q", &path.reply_q, NULL) || !path.msg_id || !path.reply_q ||
        !*path.reply_q || strlen(path.reply_q) > 255)
        return (RpcReturnPath){0};
    return path;
}

/* ---- requests ---- */

bool rpc_request_view(const json_t *inner, RpcRequestView *out, GError **err)
{
    RpcRequestView view = {0};

    if (!member_name(inner, "method", &view.method, err) ||
        !member_name(inner, "namespace", &view.namespace_, err) ||
        !member_name(inner, "version", &view.version, err) ||
        !member_name(inner, "_unique_id", &view.unique_id, err) ||
        !member_name(inner, "_msg_id", &view.path.msg_id, err) ||
        !member_name(inner, "_reply_q", &view.path.reply_q, err))
        return dv_within(err, "request");
    if (!view.method)
        return dv_fail(err, DV_E_BAD_INPUT, "request: method is missing");
    view.path = rpc_return_path(inner);
    if (json_object_get(inner, "_msg_id") && !view.path.msg_id)
        return dv_fail(err, DV_E_BAD_INPUT, "request: a call without a usable _reply_q");
    if (!view.version)
        view.version = "1.0";
    view.timeout_s = member_timeout(inner);
    view.args = json_object_get(inner, "args");
    if (view.args && !json_is_object(view.args))
        return dv_fail(err, DV_E_BAD_INPUT, "request: args: want an object");
    *out = view;
    return true;
}

static void set_text(json_t *object, const char *key, const char *value)
{
    if (value)
        json_object_set_new(object, key, json_string(value));
}

json_t *rpc_request_write(const RpcRequestView *request, json_t *context)
{
    json_t *inner = json_object();

    set_text(inner, "method", request->method);
    if (request->args)
        json_object_set(inner, "args", request->args);
    else
        json_object_set_new(inner, "args", json_object());
    set_text(inner, "namespace", request->namespace_);
    set_text(inner, "version", request->version);
    if (request->path.msg_id) {
        set_text(inner, "_msg_id", request->path.msg_id);
        set_text(inner, "_reply_q", request->path.reply_q);
        json_object_set_new(inner, "_timeout",
                            request->timeout_s ? json_integer(request->timeout_s) : json_null());
    }
    set_text(inner, "_unique_id", request->unique_id);
    if (context)
        json_object_update(inner, context);
    return inner;
}

/* ---- replies ---- */

bool rpc_reply_view(const json_t *inner, RpcReplyView *out, GError **err)
{
    RpcReplyView view = {0};
    const json_t *failure = json_object_get(inner, "failure");

    if (!member_name(inner, "_msg_id", &view.msg_id, err) ||
        !member_name(inner, "_unique_id", &view.unique_id, err))
        return dv_within(err, "reply");
    if (!view.msg_id)
        return dv_fail(err, DV_E_BAD_INPUT, "reply: _msg_id is missing");
    if (json_is_string(failure)) {
        view.failure = json_string_value(failure);
        view.failure_length = json_string_length(failure);
    } else if (failure && !json_is_null(failure)) {
        return dv_fail(err, DV_E_BAD_INPUT, "reply: failure: want a string or null");
    }
    view.result = json_object_get(inner, "result");
    view.ending = json_is_true(json_object_get(inner, "ending"));
    *out = view;
    return true;
}

json_t *rpc_reply_write(const RpcReplyView *reply)
{
    json_t *inner = json_object();
    char id[RPC_ID_BYTES];

    rpc_id_new(id);
    if (reply->result)
        json_object_set(inner, "result", reply->result);
    else
        json_object_set_new(inner, "result", json_null());
    json_object_set_new(inner, "failure",
                        reply->failure ? json_stringn(reply->failure, reply->failure_length)
                                       : json_null());
    json_object_set_new(inner, "ending", json_boolean(reply->ending));
    set_text(inner, "_msg_id", reply->msg_id);
    set_text(inner, "_unique_id", reply->unique_id ? reply->unique_id : id);
    return inner;
}
