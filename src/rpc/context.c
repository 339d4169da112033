/* Request contexts on the wire; see context.h. */
#include "rpc/context.h"

#include "util/thread.h"

#include <jansson.h>
#include <string.h>

static const char prefix[] = "_context_";

/* ---- reading ---- */

typedef struct TextField {
    const char *key;
    size_t offset;
} TextField;

#define FIELD(name)                  \
    {                                \
#name, offsetof(DvCtx, name) \
    }
static const TextField text_fields[] = {
    FIELD(request_id), FIELD(global_request_id), FIELD(user_id),    FIELD(project_id),
    FIELD(user_name),  FIELD(project_name),      FIELD(auth_token), FIELD(read_deleted),
};

/* Copies of a context live on several threads. jansson counts atomically but looks at the count
 * without, so the few times that a context is copied or freed take a lock; members are copied,
 * never shared, when a context is written. */
static DvMutex wire_lock;

static void wire_unref(void *wire)
{
    dv_lock(&wire_lock);
    json_decref(wire);
    dv_unlock(&wire_lock);
}

static void *wire_ref(void *wire)
{
    dv_lock(&wire_lock);
    json_incref(wire);
    dv_unlock(&wire_lock);
    return wire;
}

/* Moves the prefixed members of `inner` to a new object without the prefix. */
static json_t *members_take(json_t *inner)
{
    json_t *wire = json_object();
    const char *key;
    json_t *value;
    void *next;

    json_object_foreach_safe(inner, next, key, value)
    {
        if (!g_str_has_prefix(key, prefix))
            continue;
        json_object_set(wire, key + strlen(prefix), value);
        json_object_del(inner, key);
    }
    return wire;
}

static bool text_read(const json_t *wire, const TextField *field, DvCtx *ctx, GError **err)
{
    const json_t *value = json_object_get(wire, field->key);
    char **out = (char **)(void *)((char *)ctx + field->offset);

    if (!value || json_is_null(value))
        return true;
    if (!json_is_string(value))
        return dv_fail(err, DV_E_BAD_INPUT, "context: %s: want a string", field->key);
    *out = g_strdup(json_string_value(value));
    return true;
}

/* The older alias `user` counts when `user_id` is not there. */
static void alias_read(const json_t *wire, const char *key, char **out)
{
    const char *value = json_string_value(json_object_get(wire, key));

    if (!*out && value)
        *out = g_strdup(value);
}

static bool has_admin_role(const json_t *roles)
{
    size_t i;
    json_t *role;

    json_array_foreach(roles, i, role)
    {
        if (json_is_string(role) && g_ascii_strcasecmp(json_string_value(role), "admin") == 0)
            return true;
    }
    return false;
}

/* Absent is false; an explicit null makes a receiver look at the roles, as nova's default policy
 * for context_is_admin does. */
static bool admin_read(const json_t *wire, bool *out, GError **err)
{
    const json_t *value = json_object_get(wire, "is_admin");

    if (json_is_boolean(value))
        *out = json_is_true(value);
    else if (json_is_null(value))
        *out = has_admin_role(json_object_get(wire, "roles"));
    else if (value)
        return dv_fail(err, DV_E_BAD_INPUT, "context: is_admin: want a boolean");
    return true;
}

static char *roles_join(const json_t *roles)
{
    GString *text = g_string_new(NULL);
    size_t i;
    json_t *role;

    json_array_foreach(roles, i, role)
    {
        if (json_is_string(role))
            g_string_append_printf(text, "%s%s", text->len ? "," : "", json_string_value(role));
    }
    return g_string_free(text, FALSE);
}

DvCtx *rpc_context_read(json_t *inner, GError **err)
{
    g_autoptr(DvCtx) ctx = dv_ctx_new_blank();
    json_t *wire = members_take(inner);
    const json_t *roles = json_object_get(wire, "roles");

    ctx->wire = wire;
    ctx->wire_ref = wire_ref;
    ctx->wire_unref = wire_unref;
    for (size_t i = 0; i < G_N_ELEMENTS(text_fields); i++)
        if (!text_read(wire, &text_fields[i], ctx, err))
            return NULL;
    if (!admin_read(wire, &ctx->is_admin, err))
        return NULL;
    if (roles && !json_is_array(roles) && !json_is_null(roles)) {
        dv_fail(err, DV_E_BAD_INPUT, "context: roles: want a list");
        return NULL;
    }
    ctx->roles = roles_join(roles);
    alias_read(wire, "user", &ctx->user_id);
    alias_read(wire, "project", &ctx->project_id);
    if (!ctx->request_id) {
        g_autofree char *uuid = g_uuid_string_random();

        ctx->request_id = g_strconcat("req-", uuid, NULL);
    }
    if (!ctx->read_deleted)
        ctx->read_deleted = g_strdup("no");
    return g_steal_pointer(&ctx);
}

/* ---- writing ---- */

static void set_new(json_t *out, const char *key, json_t *value)
{
    g_autofree char *member = g_strconcat(prefix, key, NULL);

    json_object_set_new(out, member, value);
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *roles_write(const json_t *received, bool elevated)
{
    json_t *roles = json_is_array(received) ? json_deep_copy(received) : json_array();

    if (elevated && !has_admin_role(roles))
        json_array_append_new(roles, json_string("admin"));
    return roles;
}

/* A context that began here, with every key that nova's own would have. */
static void write_own(const DvCtx *ctx, json_t *out)
{
    static const char *const nulls[] = {"system_scope",   "domain",      "user_domain",
                                        "project_domain", "quota_class", "remote_address",
                                        "resource_uuid"};
    g_autofree char *now = dv_time_context(dv_clock_wall_ms(dv_clock_real()));
    g_autofree char *identity = g_strdup_printf("%s %s - - -", ctx->user_id ? ctx->user_id : "-",
                                                ctx->project_id ? ctx->project_id : "-");

    for (size_t i = 0; i < G_N_ELEMENTS(nulls); i++)
        set_new(out, nulls[i], json_null());
    for (size_t i = 0; i < G_N_ELEMENTS(text_fields); i++) {
        const char *text = *(char **)(void *)((char *)ctx + text_fields[i].offset);

        set_new(out, text_fields[i].key, text_or_null(text));
    }
    set_new(out, "user", text_or_null(ctx->user_id));
    set_new(out, "project", text_or_null(ctx->project_id));
    set_new(out, "user_identity", json_string(identity));
    set_new(out, "is_admin_project", json_true());
    set_new(out, "read_only", json_false());
    set_new(out, "show_deleted", json_false());
    set_new(out, "service_catalog", json_array());
    set_new(out, "timestamp", json_string(now));
}

static void write_received(const DvCtx *ctx, json_t *out)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)ctx->wire, key, value)
    {
        set_new(out, key, json_deep_copy(value));
    }
}

json_t *rpc_context_write(const DvCtx *ctx)
{
    json_t *out = json_object();
    g_autoptr(DvCtx) admin = ctx ? dv_ctx_ref(ctx) : dv_ctx_new_admin();

    if (admin->wire)
        write_received(admin, out);
    else
        write_own(admin, out);
    set_new(out, "request_id", text_or_null(admin->request_id));
    set_new(out, "is_admin", json_boolean(admin->is_admin));
    set_new(out, "read_deleted", json_string(admin->read_deleted ? admin->read_deleted : "no"));
    set_new(out, "roles", roles_write(json_object_get(admin->wire, "roles"), admin->elevated));
    return out;
}

json_t *rpc_context_write_public(const DvCtx *ctx)
{
    json_t *out = rpc_context_write(ctx);

    set_new(out, "auth_token", json_null());
    json_object_del(out, "_context_service_catalog");
    return out;
}
