/* Messages reduced to what they say; see replay_message.h. */
#include "fakes/replay_message.h"

#include <string.h>

#define TIME_PATTERN "^\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|\\+00:00)?$"

static json_t *text_value(const char *text)
{
    json_t *parsed = NULL;

    if (g_regex_match_simple(TIME_PATTERN, text, 0, 0))
        return json_string("TIME");
    if (*text == '{' || *text == '[')
        parsed = json_loads(text, 0, NULL);
    if (parsed) {
        json_t *value = replay_value(parsed);

        json_decref(parsed);
        return json_pack("{so}", "json", value);
    }
    return json_string(text);
}

static json_t *object_value(const json_t *value)
{
    const char *name = json_string_value(json_object_get(value, "nova_object.name"));
    const char *version = json_string_value(json_object_get(value, "nova_object.version"));
    g_autofree char *text = g_strdup_printf("%s %s", name, version);

    return json_pack("{ss so}", "object", text, "data",
                     replay_value(json_object_get(value, "nova_object.data")));
}

static json_t *members_value(const json_t *value)
{
    json_t *out = json_object();
    const char *name;
    json_t *item;

    json_object_foreach((json_t *)value, name, item)
    {
        json_object_set_new(out, name, replay_value(item));
    }
    return out;
}

json_t *replay_value(const json_t *value)
{
    json_t *out;
    size_t i;
    json_t *item;

    if (json_is_string(value))
        return text_value(json_string_value(value));
    if (json_is_object(value))
        return json_object_get(value, "nova_object.name") ? object_value(value)
                                                          : members_value(value);
    if (!json_is_array(value))
        return value ? json_deep_copy(value) : json_null();
    out = json_array();
    json_array_foreach(value, i, item)
    {
        json_array_append_new(out, replay_value(item));
    }
    return out;
}

/* ---- conductor ---- */

static int by_state(const void *a, const void *b)
{
    const char *left = json_string_value(*(json_t *const *)a);
    const char *right = json_string_value(*(json_t *const *)b);

    return strcmp(left ? left : "", right ? right : "");
}

/* A state and a list of one state are the same to conductor, and so is the order of several. */
static json_t *sorted_states(const json_t *states)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new();
    json_t *out = json_array();
    size_t i;
    json_t *item;

    if (!json_is_array(states)) {
        json_array_append(out, (json_t *)states);
        return out;
    }
    json_array_foreach(states, i, item)
    {
        g_ptr_array_add(items, item);
    }
    g_ptr_array_sort(items, by_state);
    for (guint j = 0; j < items->len; j++)
        json_array_append(out, items->pdata[j]);
    return out;
}

static json_t *kwargs_value(const json_t *kwargs)
{
    json_t *out = replay_value(kwargs);
    const char *name;
    json_t *item;

    json_object_foreach(out, name, item)
    {
        if (g_str_has_prefix(name, "expected_"))
            json_object_set_new(out, name, sorted_states(item));
    }
    return out;
}

static json_t *changed_fields(const json_t *object)
{
    const json_t *data = json_object_get(object, "nova_object.data");
    json_t *out = json_object();
    size_t i;
    json_t *field;

    json_array_foreach(json_object_get(object, "nova_object.changes"), i, field)
    {
        const char *name = json_string_value(field);

        json_object_set_new(out, name, replay_value(json_object_get(data, name)));
    }
    return out;
}

static json_t *object_action(const json_t *args)
{
    const json_t *object = json_object_get(args, "objinst");
    const json_t *data = json_object_get(object, "nova_object.data");
    json_t *id = json_object_get(data, "uuid");
    g_autofree char *call = g_strdup_printf(
        "%s.%s", json_string_value(json_object_get(object, "nova_object.name")),
        json_string_value(json_object_get(args, "objmethod")));

    if (!id)
        id = json_object_get(data, "id");
    return json_pack("{ss ss sO so so so so}", "to", "conductor", "call", call, "version",
                     json_object_get(object, "nova_object.version"), "id",
                     id ? json_incref(id) : json_null(), "set", changed_fields(object), "args",
                     replay_value(json_object_get(args, "args")), "kwargs",
                     kwargs_value(json_object_get(args, "kwargs")));
}

static json_t *class_action(const json_t *args)
{
    const char *name = json_string_value(json_object_get(args, "objname"));
    const json_t *version = json_object_get(json_object_get(args, "object_versions"), name);
    g_autofree char *call = g_strdup_printf("%s.%s", name,
                                            json_string_value(json_object_get(args, "objmethod")));

    return json_pack("{ss ss so so so}", "to", "conductor", "call", call, "version",
                     version ? json_deep_copy(version) : json_null(), "args",
                     replay_value(json_object_get(args, "args")), "kwargs",
                     replay_value(json_object_get(args, "kwargs")));
}

json_t *replay_conductor_message(const RpcTarget *target, const char *method, const json_t *args)
{
    if (strcmp(method, "object_action") == 0)
        return object_action(args);
    if (strcmp(method, "object_class_action_versions") == 0)
        return class_action(args);
    return json_pack("{ss ss ss? so}", "to", target->topic, "call", method, "version",
                     target->version, "args", replay_value(args));
}

/* ---- others over RPC ---- */

json_t *replay_cast(const char *exchange, const char *key, const json_t *inner)
{
    g_autofree char *topic = g_str_has_suffix(exchange, "_fanout")
                                 ? g_strndup(exchange, strlen(exchange) - strlen("_fanout"))
                                 : NULL;
    g_autofree char *to = topic ? g_strconcat(topic, " fanout", NULL) : g_strdup(key);

    return json_pack("{ss sO sO so}", "to", to, "call", json_object_get(inner, "method"), "version",
                     json_object_get(inner, "version"), "args",
                     replay_value(json_object_get(inner, "args")));
}

json_t *replay_reply(const char *method, const json_t *inner)
{
    const char *failure = json_string_value(json_object_get(inner, "failure"));
    json_t *raised = failure ? json_loads(failure, 0, NULL) : NULL;
    json_t *out = json_pack("{ss ss}", "to", "reply", "call", method);

    if (raised) {
        g_autofree char *name = g_strdup_printf(
            "%s.%s", json_string_value(json_object_get(raised, "module")),
            json_string_value(json_object_get(raised, "class")));

        json_object_set_new(out, "failure", json_string(name));
    } else {
        json_object_set_new(out, "result", replay_value(json_object_get(inner, "result")));
    }
    json_decref(raised);
    return out;
}

/* ---- HTTP ---- */

static char *unescaped(const char *text)
{
    g_autofree char *spaced = g_strdelimit(g_strdup(text), "+", ' ');
    char *plain = g_uri_unescape_string(spaced, NULL);

    return plain ? plain : g_strdup(text);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The order of a query's parameters says nothing, nor does how they are escaped. */
static char *plain_target(const char *target)
{
    g_auto(GStrv) halves = g_strsplit(target, "?", 2);
    g_auto(GStrv) pairs = g_strsplit(halves[1] ? halves[1] : "", "&", -1);
    g_autoptr(GPtrArray) plain = g_ptr_array_new_with_free_func(g_free);
    GString *out = g_string_new(halves[0]);

    for (size_t i = 0; pairs[i]; i++)
        g_ptr_array_add(plain, unescaped(pairs[i]));
    g_ptr_array_sort(plain, by_text);
    for (guint i = 0; i < plain->len; i++)
        g_string_append_printf(out, "%c%s", i ? '&' : '?', (char *)plain->pdata[i]);
    return g_string_free(out, FALSE);
}

json_t *replay_http(const char *service, const char *method, const char *target, const char *body)
{
    g_autofree char *plain = plain_target(target);
    g_autofree char *call = g_strdup_printf("%s %s", method, plain);
    json_t *parsed = body && *body ? json_loads(body, JSON_DECODE_ANY, NULL) : NULL;
    json_t *out = json_pack("{ss ss}", "to", service, "call", call);

    if (parsed)
        json_object_set_new(out, "body", replay_value(parsed));
    json_decref(parsed);
    return out;
}
