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
    json_t *vifs;        /* list of data of VirtualInterface */
    json_t *answers;     /* call -> result of a class action */
    json_t *moves;       /* list of data of Migration */
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
    fake->vifs = json_array();
    fake->moves = json_array();
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
    json_decref(fake->vifs);
    json_decref(fake->moves);
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
    const char *name;
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
        name = json_string_value(field);
        json_object_set_new(row, name, json_deep_copy(json_object_get(data, name)));
    }
    g_string_append_printf(fake->states, "%s/%s\n", text_or_empty(row, "vm_state"),
                           text_or_empty(row, "task_state"));
    /* As the real one: it answers with every field that the request did not carry, and so replaces
     * what callers may hold. Objects stay as the caller has them: the row keeps their change lists,
     * which real answers do not have. */
    json_object_foreach(row, name, field)
    {
        if (!json_object_get(data, name) && !json_is_object(field) && !json_is_array(field))
            json_object_set_new(updates, name, json_deep_copy(field));
    }
    json_object_set_new(updates, "obj_what_changed", json_array());
    *out = json_pack("[on]", updates);
    return true;
}

/* Goes into the row of its instance, as the real one reads it back with the instance. */
static void info_cache_save(FakeConductor *fake, const json_t *object)
{
    json_t *data = json_object_get(object, "nova_object.data");
    const char *uuid = text_or_empty(data, "instance_uuid");
    json_t *row = json_object_get(fake->rows, uuid);

    if (row)
        json_object_set_new(row, "info_cache",
                            object_of("InstanceInfoCache", "1.5", json_deep_copy(data)));
}

/* The address loses the port's id that keeps it unique. */
static void vif_create(FakeConductor *fake, const json_t *object)
{
    json_t *data = json_deep_copy(json_object_get(object, "nova_object.data"));
    g_auto(GStrv) parts = g_strsplit(text_or_empty(data, "address"), "/", 2);

    json_object_set_new(data, "address", json_string(parts[0] ? parts[0] : ""));
    json_object_set_new(data, "id", json_integer((json_int_t)json_array_size(fake->vifs) + 1));
    json_array_append_new(fake->vifs, data);
}

static void vif_destroy(FakeConductor *fake, const json_t *object)
{
    const json_t *gone = json_object_get(object, "nova_object.data");
    json_t *data;
    size_t i;

    json_array_foreach(fake->vifs, i, data)
    {
        if (json_equal(json_object_get(data, "uuid"), json_object_get(gone, "uuid"))) {
            json_array_remove(fake->vifs, i);
            return;
        }
    }
}

static json_t *vif_of_port(const FakeConductor *fake, const json_t *port)
{
    json_t *data;
    size_t i;

    json_array_foreach(fake->vifs, i, data)
    {
        if (json_equal(json_object_get(data, "uuid"), port))
            return object_of("VirtualInterface", "1.3", json_deep_copy(data));
    }
    return json_null();
}

static json_t *vif_list(const FakeConductor *fake, const json_t *uuid)
{
    json_t *objects = json_array();
    json_t *data;
    size_t i;

    json_array_foreach(fake->vifs, i, data)
    {
        if (json_equal(json_object_get(data, "instance_uuid"), uuid))
            json_array_append_new(objects,
                                  object_of("VirtualInterface", "1.3", json_deep_copy(data)));
    }
    return list_of("VirtualInterfaceList", objects);
}

/* ---- migrations ---- */

/* One filter of get_by_filters: a list means any of them. */
static bool filter_fits(const json_t *wanted, const json_t *is)
{
    size_t i;
    json_t *item;

    if (json_is_null(wanted) || json_is_false(wanted))
        return !is || json_equal(wanted, is) || json_is_null(is);
    if (!json_is_array(wanted))
        return json_equal(wanted, is);
    json_array_foreach(wanted, i, item)
    {
        if (json_equal(item, is))
            return true;
    }
    return false;
}

static bool same_text(const json_t *a, const json_t *b, const char *field)
{
    return json_equal(json_object_get(a, field), json_object_get(b, field));
}

static void migration_save(FakeConductor *fake, const json_t *object)
{
    const json_t *data = json_object_get(object, "nova_object.data");
    json_t *row;
    size_t i;

    if (json_object_get(data, "status"))
        g_string_append_printf(fake->migrations, "%s\n", text_or_empty(data, "status"));
    json_array_foreach(fake->moves, i, row)
    {
        if (same_text(row, data, "id"))
            json_object_update(row, (json_t *)data);
    }
}

static bool is_in_progress(const json_t *row)
{
    static const char *const over[] = {"confirmed", "reverted",  "error", "failed",
                                       "completed", "cancelled", "done",  NULL};

    return !g_strv_contains(over, text_or_empty(row, "status"));
}

static bool is_of_host(const json_t *row, const json_t *host)
{
    return json_equal(json_object_get(row, "source_compute"), host) ||
           json_equal(json_object_get(row, "dest_compute"), host);
}

static bool migration_fits(const json_t *row, const char *method, const json_t *first)
{
    static const char *const fields[] = {"source_compute", "migration_type", "instance_uuid", NULL};
    const json_t *host = json_is_object(first) ? json_object_get(first, "host") : first;
    const json_t *statuses = json_object_get(first, "status");
    const json_t *uuids = json_object_get(first, "uuid");

    if (host && !is_of_host(row, host))
        return false;
    if (!json_is_object(first))
        return is_in_progress(row) || (strcmp(method, "get_in_progress_and_error") == 0 &&
                                       strcmp(text_or_empty(row, "status"), "error") == 0);
    for (size_t i = 0; fields[i]; i++)
        if (json_object_get(first, fields[i]) && !same_text(first, row, fields[i]))
            return false;
    return (!statuses || filter_fits(statuses, json_object_get(row, "status"))) &&
           (!uuids || filter_fits(uuids, json_object_get(row, "uuid")));
}

static json_t *migration_list(const FakeConductor *fake, const char *method, const json_t *args)
{
    const json_t *first = json_array_get(json_object_get(args, "args"), 0);
    json_t *objects = json_array();
    json_t *row;
    size_t i;

    json_array_foreach(fake->moves, i, row)
    {
        if (migration_fits(row, method, first))
            json_array_append_new(objects, object_of("Migration", "1.7", json_deep_copy(row)));
    }
    return list_of("MigrationList", objects);
}

static const struct {
    const char *name, *method;
    void (*keep)(FakeConductor *fake, const json_t *object);
} kept[] = {
    {"InstanceInfoCache", "save", info_cache_save},
    {"Migration", "save", migration_save},
    {"VirtualInterface", "create", vif_create},
    {"VirtualInterface", "destroy", vif_destroy},
};

static bool object_action(FakeConductor *fake, const char *name, const char *method,
                          const json_t *args, json_t **out, RpcRemote *remote, GError **err)
{
    g_autofree char *call = g_strconcat(name, ".", method, NULL);
    json_t *set = json_object_get(fake->answers, call);

    if (strcmp(name, "Instance") == 0 && strcmp(method, "save") == 0)
        return instance_save(fake, args, out, remote, err);
    if (strcmp(name, "Instance") == 0 && strcmp(method, "destroy") == 0) {
        const json_t *data = json_object_get(json_object_get(args, "objinst"), "nova_object.data");

        json_object_del(fake->rows, json_string_value(json_object_get(data, "uuid")));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(kept); i++) {
        if (strcmp(kept[i].name, name) == 0 && strcmp(kept[i].method, method) == 0)
            kept[i].keep(fake, json_object_get(args, "objinst"));
    }
    if (set) {
        *out = json_pack("[{s[]}O]", "obj_what_changed", set);
        return true;
    }
    *out = json_pack("[{s[]}n]", "obj_what_changed");
    return true;
}

static bool filters_fit(json_t *filters, const json_t *row)
{
    const char *name;
    json_t *wanted;

    json_object_foreach(filters, name, wanted)
    {
        /* a kind of deleted rows, not a field of them */
        if (strcmp(name, "soft_deleted") != 0 && !filter_fits(wanted, json_object_get(row, name)))
            return false;
    }
    return true;
}

/* InstanceList: get_by_host and get_by_host_and_node by the first argument, get_by_filters by the
 * rows' fields. */
static json_t *instance_list(const FakeConductor *fake, const char *method, const json_t *args)
{
    json_t *objects = json_array();
    json_t *first = json_array_get(json_object_get(args, "args"), 0);
    bool by_host = strcmp(method, "get_by_filters") != 0;
    const char *uuid;
    json_t *row;

    json_object_foreach(fake->rows, uuid, row)
    {
        if (by_host ? json_equal(json_object_get(row, "host"), first) : filters_fit(first, row))
            json_array_append_new(objects, object_of("Instance", "2.7", json_deep_copy(row)));
    }
    return object_of("InstanceList", "2.6", json_pack("{so}", "objects", objects));
}

/* All hosts are as the one that a test has described; null: none. */
static json_t *first_node(const FakeConductor *fake)
{
    const json_t *list = json_object_get(fake->answers, "ComputeNodeList.get_all_by_host");
    const json_t *nodes = json_object_get(json_object_get(list, "nova_object.data"), "objects");
    json_t *node = json_deep_copy(json_array_get(nodes, 0));

    return node ? node : json_null();
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

    if (strcmp(call, "InstanceGroup.get_by_instance_uuid") == 0)
        return raise_class(remote, "InstanceGroupNotFound", err);
    if (strcmp(call, "ComputeNode.get_first_node_by_host_for_old_compat") == 0) {
        *out = first_node(fake);
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
    else if (strcmp(name, "MigrationList") == 0)
        *out = migration_list(fake, method, args);
    else if (strcmp(name, "VirtualInterfaceList") == 0)
        *out = vif_list(fake, json_array_get(json_object_get(args, "args"), 0));
    else if (strcmp(call, "VirtualInterface.get_by_uuid") == 0)
        *out = vif_of_port(fake, json_array_get(json_object_get(args, "args"), 0));
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
    if (strcmp(method, "ping") == 0)
        *out = json_pack("{ss sO}", "service", "conductor", "arg", json_object_get(args, "arg"));
    else
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

void fake_conductor_put_migration(FakeConductor *fake, json_t *data)
{
    json_t *row;
    size_t i;

    dv_lock(&fake->lock);
    json_array_foreach(fake->moves, i, row)
    {
        if (json_equal(json_object_get(row, "id"), json_object_get(data, "id"))) {
            json_array_remove(fake->moves, i);
            break;
        }
    }
    json_array_append_new(fake->moves, data);
    dv_unlock(&fake->lock);
}

char *fake_conductor_migration_status(FakeConductor *fake, int64_t id)
{
    char *status = NULL;
    json_t *row;
    size_t i;

    dv_lock(&fake->lock);
    json_array_foreach(fake->moves, i, row)
    {
        if (json_integer_value(json_object_get(row, "id")) == id)
            status = g_strdup(text_or_empty(row, "status"));
    }
    dv_unlock(&fake->lock);
    return status;
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

void fake_conductor_set_json(FakeConductor *fake, const char *uuid, const char *field,
                             json_t *value)
{
    dv_lock(&fake->lock);
    json_object_set_new(json_object_get(fake->rows, uuid), field, value);
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

unsigned fake_conductor_total(FakeConductor *fake)
{
    unsigned total;

    dv_lock(&fake->lock);
    total = fake->log->len;
    dv_unlock(&fake->lock);
    return total;
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

void fake_conductor_answer_action(FakeConductor *fake, const char *call, json_t *result)
{
    fake_conductor_answer(fake, call, result);
}
