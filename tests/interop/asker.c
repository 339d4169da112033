/* The conductor client on strings, for tests/interop/objects: commands come in as JSON lines, each
 * call to conductor goes out as {"ask": {...}} and waits for a line with its answer, and a finished
 * command is reported as {"done": {...}}.
 *
 *   {"do": "save", "object": {...}, "set": {"vm_state": "active"},
 *    "entries": {"system_metadata": {"k": null}}, "unset": ["id"], "expected": ["spawning", ""]}
 *   {"do": "call", "name": "instances_by_host", "args": ["vm"], "attrs": ["flavor"]}
 *   {"do": "manifests"} */
#include "services/conductor.h"
#include "services/conductor_priv.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES ((size_t)32 << 20)

typedef struct Asker {
    Conductor *con;
    DvCtx *ctx;
    NovaRelease release;
} Asker;

/* ---- lines ---- */

static void say(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);

    puts(text);
    fflush(stdout);
    free(text);
    json_decref(line);
}

/* NULL at the end of input. */
static json_t *hear(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length = getline(&line, &size, stdin);
    json_t *json = NULL;

    if (length > 0 && (size_t)length < LINE_MAX_BYTES)
        json = json_loads(line, 0, NULL);
    free(line);
    return json;
}

/* ---- the transport ---- */

static bool ask(void *self G_GNUC_UNUSED, const DvCtx *ctx, const RpcTarget *target,
                const char *method, json_t *args, int64_t timeout_ms G_GNUC_UNUSED,
                json_t **out_result, RpcRemote *remote, GError **err)
{
    json_auto_t *answer = NULL;
    const json_t *failure;

    say(json_pack("{s:{ss so ss ss}}", "ask", "method", method, "args", args, "version",
                  target->version, "read_deleted", ctx->read_deleted));
    answer = hear();
    failure = json_object_get(answer, "failure");
    if (!answer)
        return dv_fail(err, DV_E_UNAVAILABLE, "no answer");
    if (failure) {
        remote->class_name = g_strdup(json_string_value(json_object_get(failure, "class")));
        remote->module = g_strdup(json_string_value(json_object_get(failure, "module")));
        remote->message = g_strdup(json_string_value(json_object_get(failure, "message")));
        return dv_fail(err, DV_E_REMOTE, "remote");
    }
    if (out_result)
        *out_result = json_incref(json_object_get(answer, "result"));
    return true;
}

static bool ask_cast(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                     json_t *args, GError **err)
{
    return ask(self, ctx, target, method, args, 0, NULL, NULL, err);
}

/* ---- object commands ---- */

static void set_field(Ovo *obj, const char *field, json_t *value)
{
    if (json_is_string(value))
        ovo_set_str(obj, field, json_string_value(value));
    else if (json_is_integer(value))
        ovo_set_i64(obj, field, json_integer_value(value));
    else if (json_is_real(value))
        ovo_set_double(obj, field, json_real_value(value));
    else if (json_is_boolean(value))
        ovo_set_bool(obj, field, json_is_true(value));
    else
        ovo_set_json(obj, field, json_incref(value));
}

static void edit(Ovo *obj, json_t *command)
{
    const char *field, *key;
    json_t *value, *entry;
    size_t i;

    json_object_foreach(json_object_get(command, "set"), field, value) set_field(obj, field, value);
    json_object_foreach(json_object_get(command, "entries"), field, value)
        json_object_foreach(value, key, entry)
            ovo_dict_set(obj, field, key, json_string_value(entry));
    json_array_foreach(json_object_get(command, "unset"), i, value)
        ovo_unset(obj, json_string_value(value));
}

static const char **strings_of(const json_t *list)
{
    const char **strings = g_new0(const char *, json_array_size(list) + 1);

    for (size_t i = 0; i < json_array_size(list); i++)
        strings[i] = json_string_value(json_array_get(list, i));
    return strings;
}

static bool on_object(Asker *a, json_t *command, const char *what, Ovo *obj, GError **err)
{
    const json_t *list = json_object_get(command, "expected");
    g_autofree const char **expected = strings_of(list);

    edit(obj, command);
    if (g_str_equal(what, "create"))
        return conductor_create(a->con, a->ctx, obj, err);
    if (g_str_equal(what, "destroy"))
        return conductor_destroy(a->con, a->ctx, obj, err);
    if (g_str_equal(what, "save") && list)
        return conductor_instance_save(a->con, a->ctx, obj, expected, err);
    if (g_str_equal(what, "save"))
        return conductor_save(a->con, a->ctx, obj, err);
    return conductor_object_action(a->con, a->ctx, obj, what, NULL, NULL, NULL, err);
}

/* ---- other commands: name, arguments as strings, an object or NULL as result ---- */

typedef bool (*CallFn)(Asker *a, const char *const *args, const char *const *attrs, json_t **out,
                       GError **err);

static bool object_out(bool ok, Ovo *obj, json_t **out)
{
    if (ok)
        *out = obj ? ovo_json(obj) : json_null();
    ovo_unref(obj);
    return ok;
}

#define GETTER(name, ...)                                                                       \
    static bool call_##name(Asker *a, const char *const *args G_GNUC_UNUSED,                    \
                            const char *const *attrs G_GNUC_UNUSED, json_t **out, GError **err) \
    {                                                                                           \
        Ovo *obj = NULL;                                                                        \
        bool ok = conductor_##name(a->con, a->ctx, __VA_ARGS__, &obj, err);                     \
                                                                                                \
        return object_out(ok, obj, out);                                                        \
    }
GETTER(service_get, args[0], args[1])
GETTER(instance_get, args[0], attrs)
GETTER(instances_by_host, args[0], attrs)
GETTER(instances_by_host_and_node, args[0], args[1], attrs)
GETTER(bdms_get, args[0])
GETTER(group_of_instance, args[0])
GETTER(compute_nodes_by_host, args[0])
GETTER(compute_node_get, args[0], args[1])
GETTER(pci_devices, g_ascii_strtoll(args[0], NULL, 10))
GETTER(migrations_in_progress_and_error, args[0], args[1])
GETTER(migrations_in_progress, args[0], args[1])
GETTER(evacuations_from, args[0])

#define DOER(name, ...)                                                                         \
    static bool call_##name(Asker *a, const char *const *args,                                  \
                            const char *const *attrs G_GNUC_UNUSED, json_t **out G_GNUC_UNUSED, \
                            GError **err)                                                       \
    {                                                                                           \
        return conductor_##name(a->con, a->ctx, __VA_ARGS__, err);                              \
    }
DOER(info_cache_save, args[0], args[1])
DOER(vif_create, args[0], args[1], args[2], args[3])
DOER(vifs_delete, args[0])
DOER(event_start, args[0], args[1], args[2])
DOER(event_finish, args[0], args[1], args[2], args[3])
DOER(action_start, args[0], args[1])
DOER(fault_create, args[0], 500, args[1], args[2], args[3])
DOER(console_clean, args[0])

static bool call_minimum_version(Asker *a, const char *const *args,
                                 const char *const *attrs G_GNUC_UNUSED, json_t **out, GError **err)
{
    int version = -1;
    bool ok = conductor_minimum_version(a->con, a->ctx, args[0], &version, err);

    *out = json_integer(version);
    return ok;
}

static bool call_uuids_by_host(Asker *a, const char *const *args,
                               const char *const *attrs G_GNUC_UNUSED, json_t **out, GError **err)
{
    g_auto(GStrv) uuids = NULL;

    if (!conductor_instance_uuids_by_host(a->con, a->ctx, args[0], &uuids, err))
        return false;
    *out = json_array();
    for (size_t i = 0; uuids[i]; i++)
        json_array_append_new(*out, json_string(uuids[i]));
    return true;
}

static bool call_instances_by_filter(Asker *a, const char *const *args, const char *const *attrs,
                                     json_t **out, GError **err)
{
    g_autoptr(Ovo) filters = ovo_new_dict();
    Ovo *obj = NULL;
    bool ok;

    ovo_set_str(filters, args[0], args[1]);
    ok = conductor_instances_by_filters(a->con, a->ctx, filters, attrs, &obj, err);
    return object_out(ok, obj, out);
}

static bool call_console_authorize(Asker *a, const char *const *args,
                                   const char *const *attrs G_GNUC_UNUSED, json_t **out,
                                   GError **err)
{
    g_autofree char *token = NULL;

    if (!conductor_console_authorize(a->con, a->ctx, args[0], "novnc", "127.0.0.1", 5900, NULL,
                                     "http://127.0.0.1", 600, &token, err))
        return false;
    *out = json_string(token);
    return true;
}

#define ROW(name)          \
    {                      \
#name, call_##name \
    }
static const struct {
    const char *name;
    CallFn call;
} calls[] = {
    ROW(service_get),
    ROW(instance_get),
    ROW(instances_by_host),
    ROW(instances_by_host_and_node),
    ROW(instances_by_filter),
    ROW(uuids_by_host),
    ROW(bdms_get),
    ROW(group_of_instance),
    ROW(compute_nodes_by_host),
    ROW(compute_node_get),
    ROW(pci_devices),
    ROW(migrations_in_progress_and_error),
    ROW(migrations_in_progress),
    ROW(evacuations_from),
    ROW(info_cache_save),
    ROW(vif_create),
    ROW(vifs_delete),
    ROW(event_start),
    ROW(event_finish),
    ROW(action_start),
    ROW(fault_create),
    ROW(console_authorize),
    ROW(console_clean),
    ROW(minimum_version),
};

static bool on_call(Asker *a, json_t *command, json_t **out, GError **err)
{
    const char *name = json_string_value(json_object_get(command, "name"));
    g_autofree const char **args = strings_of(json_object_get(command, "args"));
    g_autofree const char **attrs = strings_of(json_object_get(command, "attrs"));

    for (size_t i = 0; i < G_N_ELEMENTS(calls); i++)
        if (g_strcmp0(calls[i].name, name) == 0)
            return calls[i].call(a, args, attrs, out, err);
    return dv_fail(err, DV_E_BAD_INPUT, "no call %s", name);
}

/* Class -> manifest of the release, for the classes named in the command. */
static json_t *manifests(Asker *a, const json_t *names)
{
    json_t *all = json_object();
    const json_t *name;
    size_t i;

    json_array_foreach(names, i, name)
    {
        json_t *manifest = ovo_manifest(a->release, json_string_value(name));

        if (manifest)
            json_object_set_new(all, json_string_value(name), manifest);
    }
    return all;
}

/* ---- main ---- */

static void run(Asker *a, json_t *command)
{
    const char *what = json_string_value(json_object_get(command, "do"));
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) obj = NULL;
    json_t *result = NULL;
    bool ok;

    if (g_strcmp0(what, "call") == 0) {
        ok = on_call(a, command, &result, &err);
    } else if (g_strcmp0(what, "manifests") == 0) {
        result = manifests(a, json_object_get(command, "names"));
        ok = true;
    } else {
        obj = ovo_view(json_object_get(command, "object"), NULL, &err);
        ok = obj && on_object(a, command, what, obj, &err);
        result = obj ? ovo_json(obj) : NULL;
    }
    say(json_pack("{s:{sb si ss? so?}}", "done", "ok", ok, "code", err ? err->code : 0, "error",
                  err ? err->message : NULL, "result", result));
}

int main(int argc, char **argv)
{
    const ConductorTransport transport = {ask, ask_cast, NULL};
    Asker a = {.ctx = dv_ctx_new_admin()};
    json_t *command;

    if (argc != 2 || !nova_release_parse(argv[1], &a.release)) {
        fprintf(stderr, "usage: asker RELEASE\n");
        return 2;
    }
    a.con = conductor_new_with(&transport, a.release);
    while ((command = hear())) {
        run(&a, command);
        json_decref(command);
    }
    conductor_free(a.con);
    dv_ctx_unref(a.ctx);
    return 0;
}
