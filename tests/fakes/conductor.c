/* The conductor in memory; see conductor.h. It answers what the real one would answer for the few
 * methods whose answers the agent reads; all others succeed with null. */
#include "fakes/conductor.h"

#include "util/thread.h"

#include <jansson.h>

struct FakeConductor {
    FakeConductorWatch watch; /* set before anybody calls, likewise the next */
    void *watch_arg;
    DvMutex lock;
    json_t *rows;        /* uuid -> data of the Instance */
    json_t *fails;       /* call -> class name */
    json_t *last;        /* call -> args */
    json_t *answers;     /* call -> result of a class action */
    GPtrArray *log;      /* char * */
    GString *migrations; /* "migrating\n" for every Migration.save of a status */
    GString *states;     /* "building/networking\n" for every Instance.save */
};

FakeConductor *fake_conductor_new(void)
{
    FakeConductor *fake = g_new0(FakeConductor, 1);

    dv_mutex_init(&fake->lock);
    fake->rows = json_object();
    fake->fails = json_object();
    fake->last = json_object();
    fake->answers = json_object();
    fake->states = g_string_new(NULL);
    fake->migrations = g_string_new(NULL);
    fake->log = g_ptr_array_new_with_free_func(g_free);
    return fake;
}

void fake_conductor_free(FakeConductor *fake)
{
    if (!fake)
        return;
    json_decref(fake->rows);
    json_decref(fake->fails);
    json_decref(fake->last);
    json_decref(fake->answers);
    g_string_free(fake->states, TRUE);
    g_string_free(fake->migrations, TRUE);
    g_ptr_array_unref(fake->log);
    dv_mutex_done(&fake->lock);
    g_free(fake);
}

static json_t *object_of(const char *name, const char *version, json_t *data)
{
    return json_pack("{ss ss ss so}", "nova_object.name", name, "nova_object.namespace", "nova",
                     "nova_object.version", version, "nova_object.data", data);
}

static json_t *list_of(const char *name, json_t *objects)
{
    return object_of(name, "1.0", json_pack("{so}", "objects", objects));
}

static bool raise_class(RpcRemote *remote, const char *class_name, GError **err)
{
    if (strcmp(class_name, "timeout") == 0)
        return dv_fail(err, DV_E_TIMEOUT, "no answer from the fake");
    if (remote) {
        remote->class_name = g_strdup(class_name);
        remote->module = g_strdup("nova.exception");
        remote->message = g_strdup("from the fake");
    }
    return dv_fail(err, DV_E_REMOTE, "%s: from the fake", class_name);
}

/* expected_task_state: absent, null: no check; a value or a list of values, where null allows null.
 */
static bool task_expected(const json_t *expected, const json_t *actual)
{
    size_t i;
    json_t *item;

    if (!expected || json_is_null(expected))
        return true;
    if (!json_is_array(expected))
        return json_equal(expected, actual);
    json_array_foreach(expected, i, item)
    {
        if (json_equal(item, actual))
            return true;
    }
    return false;
}

static const char *text_or_empty(const json_t *row, const char *field)
{
    const char *text = json_string_value(json_object_get(row, field));

    return text ? text : "";
}

static bool instance_save(FakeConductor *fake, const json_t *args, json_t **out, RpcRemote *remote,
                          GError **err)
{
    const json_t *object = json_object_get(args, "objinst");
    const json_t *data = json_object_get(object, "nova_object.data");
    const char *uuid = json_string_value(json_object_get(data, "uuid"));
    json_t *row = uuid ? json_object_get(fake->rows, uuid) : NULL;
    const json_t *kwargs = json_object_get(args, "kwargs");
    json_t *updates = json_object();
    size_t i;
    json_t *field;

    if (!row || !task_expected(json_object_get(kwargs, "expected_task_state"),
                               json_object_get(row, "task_state"))) {
        const char *task = row ? json_string_value(json_object_get(row, "task_state")) : NULL;
        bool deleting = g_strcmp0(task, "deleting") == 0;

        json_decref(updates);
        return raise_class(remote,
                           !row       ? "InstanceNotFound"
                           : deleting ? "UnexpectedDeletingTaskStateError"
                                      : "UnexpectedTaskStateError",
                           err);
    }
    json_array_foreach(json_object_get(object, "nova_object.changes"), i, field)
    {
        const char *name = json_string_value(field);

        json_object_set_new(row, name, json_deep_copy(json_object_get(data, name)));
    }
    g_string_append_printf(fake->states, "%s/%s\n", text_or_empty(row, "vm_state"),
                           text_or_empty(row, "task_state"));
    json_object_set_new(updates, "obj_what_changed", json_array());
    *out = json_pack("[on]", updates);
    return true;
}

static bool object_action(FakeConductor *fake, const char *name, const char *method,
                          const json_t *args, json_t **out, RpcRemote *remote, GError **err)
{
    if (strcmp(name, "Instance") == 0 && strcmp(method, "save") == 0)
        return instance_save(fake, args, out, remote, err);
    if (strcmp(name, "Migration") == 0 && strcmp(method, "save") == 0) {
        const json_t *data = json_object_get(json_object_get(args, "objinst"), "nova_object.data");

        if (json_object_get(data, "status"))
            g_string_append_printf(fake->migrations, "%s\n", text_or_empty(data, "status"));
    }
    if (strcmp(name, "Instance") == 0 && strcmp(method, "destroy") == 0) {
        const json_t *data = json_object_get(json_object_get(args, "objinst"), "nova_object.data");

        json_object_del(fake->rows, json_string_value(json_object_get(data, "uuid")));
    }
    *out = json_pack("[{s[]}n]", "obj_what_changed");
    return true;
}

static bool listed(const json_t *uuids, const char *uuid)
{
    size_t i;
    json_t *item;

    json_array_foreach(uuids, i, item)
    {
        if (strcmp(json_string_value(item), uuid) == 0)
            return true;
    }
    return false;
}

/* InstanceList: get_by_host and get_by_host_and_node by the first argument, get_by_filters by the
 * filters uuid and vm_state. */
static json_t *instance_list(const FakeConductor *fake, const char *method, const json_t *args)
{
    json_t *objects = json_array();
    json_t *first = json_array_get(json_object_get(args, "args"), 0);
    bool by_host = strcmp(method, "get_by_filters") != 0;
    const char *uuid;
    json_t *row;

    json_object_foreach(fake->rows, uuid, row)
    {
        bool fits = by_host ? json_equal(json_object_get(row, "host"), first)
                            : listed(json_object_get(first, "uuid"), uuid) &&
                                  json_equal(json_object_get(row, "vm_state"),
                                             json_object_get(first, "vm_state"));

        if (fits)
            json_array_append_new(objects, object_of("Instance", "2.7", json_deep_copy(row)));
    }
    return list_of("InstanceList", objects);
}

static bool class_action(FakeConductor *fake, const char *name, const char *method,
                         const json_t *args, json_t **out, RpcRemote *remote, GError **err)
{
    const json_t *row = NULL;
    g_autofree char *call = g_strconcat(name, ".", method, NULL);
    json_t *set = json_object_get(fake->answers, call);
    size_t length = strlen(name);

    if (set) {
        *out = json_deep_copy(set);
        return true;
    }

    if (strcmp(name, "Instance") == 0 && strcmp(method, "get_by_uuid") == 0) {
        const json_t *list = json_object_get(args, "args");
        const char *uuid = json_string_value(json_array_get(list, 0));

        row = uuid ? json_object_get(fake->rows, uuid) : NULL;
        if (!row)
            return raise_class(remote, "InstanceNotFound", err);
        *out = object_of("Instance", "2.7", json_deep_copy(row));
        return true;
    }
    if (strcmp(method, "get_uuids_by_host") == 0)
        *out = json_array();
    else if (strcmp(name, "InstanceList") == 0)
        *out = instance_list(fake, method, args);
    else if (length > 4 && strcmp(name + length - 4, "List") == 0)
        *out = list_of(name, json_array());
    else
        *out = json_null();
    return true;
}

static bool answer(FakeConductor *fake, const char *call, const char *method, const json_t *args,
                   json_t **out, RpcRemote *remote, GError **err) DV_REQUIRES(fake->lock)
{
    const json_t *fail = json_object_get(fake->fails, call);

    g_ptr_array_add(fake->log, g_strdup(call));
    json_object_set_new(fake->last, call, json_deep_copy(args));
    if (fail) {
        g_autofree char *class_name = g_strdup(json_string_value(fail));

        json_object_del(fake->fails, call);
        return raise_class(remote, class_name, err);
    }
    if (strcmp(method, "object_action") == 0) {
        const json_t *object = json_object_get(args, "objinst");

        return object_action(fake, json_string_value(json_object_get(object, "nova_object.name")),
                             json_string_value(json_object_get(args, "objmethod")), args, out,
                             remote, err);
    }
    if (strcmp(method, "object_class_action_versions") == 0)
        return class_action(fake, json_string_value(json_object_get(args, "objname")),
                            json_string_value(json_object_get(args, "objmethod")), args, out,
                            remote, err);
    *out = json_null();
    return true;
}

/* "Instance.save", "InstanceActionEvent.event_start", "build_instances" */
static char *call_name(const char *method, const json_t *args)
{
    const json_t *object = json_object_get(args, "objinst");
    const char *name = object ? json_string_value(json_object_get(object, "nova_object.name"))
                              : json_string_value(json_object_get(args, "objname"));
    const char *objmethod = json_string_value(json_object_get(args, "objmethod"));

    return name && objmethod ? g_strdup_printf("%s.%s", name, objmethod) : g_strdup(method);
}

static bool fake_call(void *self, const DvCtx *ctx G_GNUC_UNUSED, const RpcTarget *target,
                      const char *method, json_t *args, int64_t timeout_ms G_GNUC_UNUSED,
                      json_t **out_result, RpcRemote *remote, GError **err)
{
    FakeConductor *fake = self;
    g_autofree char *call = call_name(method, args);
    json_t *result = NULL;
    bool ok;

    if (fake->watch)
        fake->watch(fake->watch_arg, target, method, args);
    dv_lock(&fake->lock);
    ok = answer(fake, call, method, args, &result, remote, err);
    dv_unlock(&fake->lock);
    json_decref(args);
    if (ok && out_result)
        *out_result = result;
    else
        json_decref(result);
    return ok;
}

static bool fake_cast(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                      json_t *args, GError **err)
{
    return fake_call(self, ctx, target, method, args, 0, NULL, NULL, err);
}

ConductorTransport fake_conductor_transport(FakeConductor *fake)
{
    return (ConductorTransport){fake_call, fake_cast, fake};
}

void fake_conductor_watch(FakeConductor *fake, FakeConductorWatch watch, void *arg)
{
    fake->watch_arg = arg;
    fake->watch = watch;
}

void fake_conductor_put(FakeConductor *fake, const Ovo *instance)
{
    json_auto_t *primitive = ovo_json(instance);
    json_t *data = json_deep_copy(json_object_get(primitive, "nova_object.data"));

    dv_lock(&fake->lock);
    json_object_set_new(fake->rows, ovo_str_or(instance, "uuid", ""), data);
    dv_unlock(&fake->lock);
}

char *fake_conductor_field(FakeConductor *fake, const char *uuid, const char *field)
{
    char *text = NULL;

    dv_lock(&fake->lock);
    const json_t *row = json_object_get(fake->rows, uuid);
    const json_t *value = json_object_get(row, field);

    if (row && json_is_string(value)) {
        text = g_strdup(json_string_value(value));
    } else if (row && (!value || json_is_null(value))) {
        text = g_strdup("");
    } else if (row) {
        char *dump = json_dumps(value, JSON_ENCODE_ANY);

        text = g_strdup(dump);
        free(dump);
    }
    dv_unlock(&fake->lock);
    return text;
}

void fake_conductor_set(FakeConductor *fake, const char *uuid, const char *field, const char *value)
{
    dv_lock(&fake->lock);
    json_object_set_new(json_object_get(fake->rows, uuid), field,
                        value ? json_string(value) : json_null());
    dv_unlock(&fake->lock);
}

void fake_conductor_remove(FakeConductor *fake, const char *uuid)
{
    dv_lock(&fake->lock);
    json_object_del(fake->rows, uuid);
    dv_unlock(&fake->lock);
}

unsigned fake_conductor_count(FakeConductor *fake, const char *call)
{
    unsigned count = 0;

    dv_lock(&fake->lock);
    for (guint i = 0; i < fake->log->len; i++)
        count += strcmp(g_ptr_array_index(fake->log, i), call) == 0;
    dv_unlock(&fake->lock);
    return count;
}

char *fake_conductor_log(FakeConductor *fake)
{
    GString *text = g_string_new(NULL);

    dv_lock(&fake->lock);
    for (guint i = 0; i < fake->log->len; i++)
        g_string_append_printf(text, "%s\n", (const char *)g_ptr_array_index(fake->log, i));
    dv_unlock(&fake->lock);
    return g_string_free(text, FALSE);
}

char *fake_conductor_last(FakeConductor *fake, const char *call)
{
    char *text = NULL;

    dv_lock(&fake->lock);
    const json_t *args = json_object_get(fake->last, call);
    char *dump = args ? json_dumps(args, 0) : NULL;

    text = g_strdup(dump);
    free(dump);
    dv_unlock(&fake->lock);
    return text;
}

void fake_conductor_fail(FakeConductor *fake, const char *call, const char *class_name)
{
    dv_lock(&fake->lock);
    json_object_set_new(fake->fails, call, json_string(class_name));
    dv_unlock(&fake->lock);
}

char *fake_conductor_states(FakeConductor *fake)
{
    char *text;

    dv_lock(&fake->lock);
    text = g_strdup(fake->states->str);
    dv_unlock(&fake->lock);
    return text;
}

char *fake_conductor_migrations(FakeConductor *fake)
{
    char *text;

    dv_lock(&fake->lock);
    text = g_strdup(fake->migrations->str);
    dv_unlock(&fake->lock);
    return text;
}

void fake_conductor_answer(FakeConductor *fake, const char *call, json_t *result)
{
    dv_lock(&fake->lock);
    json_object_set_new(fake->answers, call, result);
    dv_unlock(&fake->lock);
}
