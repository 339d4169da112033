/* Versioned objects: typed views on JSON primitives; see ovo.h.
 *
 * The JSON is the only state. A view remembers which member it looks at and keeps no copy of a
 * field, a version or a change list, so any number of views of one tree agree with each other and a
 * primitive can be sent at any time without a step that "writes it back".
 *
 * Which fields changed follows oslo: a field is dirty when the change list names it, or when it
 * holds an object that is itself dirty; a list object is dirty in "objects" when an element is. */
#include "objects/ovo.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#define KEY_NAME "nova_object.name"
#define KEY_NAMESPACE "nova_object.namespace"
#define KEY_VERSION "nova_object.version"
#define KEY_DATA "nova_object.data"
#define KEY_CHANGES "nova_object.changes"

/* JSON levels below a primitive. The deepest object nova has, a RequestSpec, needs less than 20. */
#define MAX_DEPTH 100
/* Of a text given to ovo_parse. */
#define MAX_TEXT ((size_t)64 << 20)

struct Ovo {
    gatomicrefcount refs;
    json_t *json; /* [const] the primitive, or the dict; owned reference */
    json_t *data; /* [const] where the fields are, borrowed from json; the same for a dict */
};

/* ---- checks ---- */

static bool depth_ok(const json_t *value, int left)
{
    const char *key;
    json_t *item;
    size_t i;

    if (!json_is_object(value) && !json_is_array(value))
        return true;
    if (left == 0)
        return false;
    if (json_is_array(value)) {
        json_array_foreach(value, i, item) if (!depth_ok(item, left - 1)) return false;
        return true;
    }
    json_object_foreach((json_t *)value, key, item) if (!depth_ok(item, left - 1)) return false;
    return true;
}

/* "1.2" or "1.2.3", digits only. */
static bool version_parse(const char *text, int *out_major, int *out_minor)
{
    int part[3] = {0};
    size_t n = 0;

    if (!text)
        return false;
    while (n < G_N_ELEMENTS(part)) {
        const char *start = text;

        for (; g_ascii_isdigit(*text) && text - start < 6; text++)
            part[n] = part[n] * 10 + (*text - '0');
        if (text == start)
            return false;
        n++;
        if (*text != '.')
            break;
        text++;
    }
    *out_major = part[0];
    *out_minor = part[1];
    return n >= 2 && *text == '\0';
}

static bool is_primitive(const json_t *value)
{
    return json_is_object(value) && json_object_get(value, KEY_NAME);
}

static bool changes_ok(const json_t *changes)
{
    json_t *item;
    size_t i;

    if (!changes || json_is_null(changes))
        return true;
    if (!json_is_array(changes))
        return false;
    json_array_foreach(changes, i, item) if (!json_is_string(item)) return false;
    return true;
}

static bool primitive_check(const json_t *prim, const char *name, GError **err)
{
    const char *want = name ? name : "versioned object";
    const char *got = json_string_value(json_object_get(prim, KEY_NAME));
    const json_t *namespace_ = json_object_get(prim, KEY_NAMESPACE);
    const char *version = json_string_value(json_object_get(prim, KEY_VERSION));
    int major, minor;

    if (!got)
        return dv_fail(err, DV_E_BAD_INPUT, "want a %s, got no object primitive", want);
    if (name && strcmp(got, name) != 0)
        return dv_fail(err, DV_E_BAD_INPUT, "want a %s, got a %.64s", want, got);
    if (namespace_ && !json_is_string(namespace_))
        return dv_fail(err, DV_E_BAD_INPUT, "%.64s: the namespace is no string", got);
    if (!version_parse(version, &major, &minor))
        return dv_fail(err, DV_E_BAD_INPUT, "%.64s: no version of the form 1.2", got);
    if (!json_is_object(json_object_get(prim, KEY_DATA)))
        return dv_fail(err, DV_E_BAD_INPUT, "%.64s: no data", got);
    if (!changes_ok(json_object_get(prim, KEY_CHANGES)))
        return dv_fail(err, DV_E_BAD_INPUT, "%.64s: the change list is no list of strings", got);
    return true;
}

/* ---- making ---- */

/* Steals json. */
static Ovo *view_new(json_t *json, json_t *data)
{
    Ovo *ovo = g_new0(Ovo, 1);

    g_atomic_ref_count_init(&ovo->refs);
    ovo->json = json;
    ovo->data = data;
    return ovo;
}

Ovo *ovo_view(json_t *primitive, const char *name, GError **err)
{
    if (!primitive_check(primitive, name, err))
        return NULL;
    if (!depth_ok(primitive, MAX_DEPTH)) {
        dv_fail(err, DV_E_BAD_INPUT, "%s: nested deeper than %d levels",
                json_string_value(json_object_get(primitive, KEY_NAME)), MAX_DEPTH);
        return NULL;
    }
    return view_new(json_incref(primitive), json_object_get(primitive, KEY_DATA));
}

Ovo *ovo_take(json_t *primitive, const char *name, GError **err)
{
    Ovo *ovo = ovo_view(primitive, name, err);

    json_decref(primitive);
    return ovo;
}

Ovo *ovo_view_dict(json_t *dict, GError **err)
{
    if (!json_is_object(dict)) {
        dv_fail(err, DV_E_BAD_INPUT, "want a dict");
        return NULL;
    }
    if (!depth_ok(dict, MAX_DEPTH)) {
        dv_fail(err, DV_E_BAD_INPUT, "dict nested deeper than %d levels", MAX_DEPTH);
        return NULL;
    }
    return view_new(json_incref(dict), dict);
}

Ovo *ovo_new(const char *name, const char *version)
{
    json_t *prim = json_object();
    json_t *data = json_object();

    json_object_set_new(prim, KEY_NAME, json_string(name));
    json_object_set_new(prim, KEY_NAMESPACE, json_string("nova"));
    json_object_set_new(prim, KEY_VERSION, json_string(version));
    json_object_set_new(prim, KEY_DATA, data);
    return view_new(prim, data);
}

Ovo *ovo_new_dict(void)
{
    json_t *dict = json_object();

    return view_new(dict, dict);
}

/* NULL with err when it is no JSON. */
static json_t *parse_text(const char *text, GError **err)
{
    size_t length = strnlen(text, MAX_TEXT + 1);
    json_error_t why;
    json_t *json;

    if (length > MAX_TEXT) {
        dv_fail(err, DV_E_BAD_INPUT, "object text is longer than %zu bytes", MAX_TEXT);
        return NULL;
    }
    json = json_loadb(text, length, 0, &why);
    if (!json)
        dv_fail(err, DV_E_BAD_INPUT, "object text: %s at %d", why.text, why.position);
    return json;
}

Ovo *ovo_parse(const char *text, const char *name, GError **err)
{
    json_t *json = parse_text(text, err);

    return json ? ovo_take(json, name, err) : NULL;
}

Ovo *ovo_parse_dict(const char *text, GError **err)
{
    json_t *json = parse_text(text, err);
    Ovo *dict = json ? ovo_view_dict(json, err) : NULL;

    json_decref(json);
    return dict;
}

/* A view on a nested value whose tree was checked when it was taken. NULL for what is no object. */
static Ovo *view_nested(json_t *value)
{
    if (is_primitive(value)) {
        if (!primitive_check(value, NULL, NULL))
            return NULL;
        return view_new(json_incref(value), json_object_get(value, KEY_DATA));
    }
    return json_is_object(value) ? view_new(json_incref(value), value) : NULL;
}

Ovo *ovo_copy(const Ovo *ovo)
{
    json_t *json = json_deep_copy(ovo->json);

    return view_new(json, ovo->data == ovo->json ? json : json_object_get(json, KEY_DATA));
}

Ovo *ovo_ref(Ovo *ovo)
{
    g_atomic_ref_count_inc(&ovo->refs);
    return ovo;
}

void ovo_unref(Ovo *ovo)
{
    if (!ovo || !g_atomic_ref_count_dec(&ovo->refs))
        return;
    json_decref(ovo->json);
    g_free(ovo);
}

json_t *ovo_json(const Ovo *ovo)
{
    return json_incref(ovo->json);
}

char *ovo_text(const Ovo *ovo)
{
    char *raw = json_dumps(ovo->json, JSON_COMPACT);
    char *text = g_strdup(raw);

    free(raw); /* jansson's allocator is malloc */
    return text;
}

const char *ovo_name(const Ovo *ovo)
{
    return ovo->data == ovo->json ? NULL : json_string_value(json_object_get(ovo->json, KEY_NAME));
}

const char *ovo_version(const Ovo *ovo)
{
    return ovo->data == ovo->json ? NULL
                                  : json_string_value(json_object_get(ovo->json, KEY_VERSION));
}

bool ovo_version_at_least(const Ovo *ovo, int major, int minor)
{
    int have_major, have_minor;

    if (!version_parse(ovo_version(ovo), &have_major, &have_minor))
        return false;
    return have_major > major || (have_major == major && have_minor >= minor);
}

/* ---- reading ---- */

static bool type_error(const Ovo *ovo, const char *field, const char *want, GError **err)
{
    const char *name = ovo_name(ovo);

    return dv_fail(err, DV_E_BAD_INPUT, "%s%s%s: want %s", name ? name : "", name ? "." : "", field,
                   want);
}

bool ovo_has(const Ovo *ovo, const char *field)
{
    return json_object_get(ovo->data, field) != NULL;
}

bool ovo_has_value(const Ovo *ovo, const char *field)
{
    const json_t *value = json_object_get(ovo->data, field);

    return value && !json_is_null(value);
}

static bool read_i64(const json_t *value, int64_t *out)
{
    const char *text = json_string_value(value);
    gint64 parsed;

    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (json_is_real(value)) {
        double real = json_real_value(value);

        if (!(real >= -0x1p53 && real <= 0x1p53) || real != floor(real))
            return false;
        *out = (int64_t)real;
        return true;
    }
    if (!text || !g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &parsed, NULL))
        return false;
    *out = parsed;
    return true;
}

static bool read_double(const json_t *value, double *out)
{
    const char *text = json_string_value(value);
    double parsed;
    char *end;

    if (json_is_number(value)) {
        *out = json_number_value(value);
        return true;
    }
    if (!text || *text == '\0' || g_ascii_isspace(*text))
        return false;
    errno = 0;
    parsed = g_ascii_strtod(text, &end);
    if (errno != 0 || *end != '\0' || !isfinite(parsed))
        return false;
    *out = parsed;
    return true;
}

/* Words as oslo.utils' bool_from_string takes them. */
static bool read_bool(const json_t *value, bool *out)
{
    static const char *const yes[] = {"1", "t", "true", "on", "y", "yes"};
    static const char *const no[] = {"0", "f", "false", "off", "n", "no"};
    const char *text = json_string_value(value);

    if (json_is_boolean(value)) {
        *out = json_is_true(value);
        return true;
    }
    if (json_is_integer(value)) {
        *out = json_integer_value(value) != 0;
        return true;
    }
    for (size_t i = 0; text && i < G_N_ELEMENTS(yes); i++) {
        if (g_ascii_strcasecmp(text, yes[i]) == 0 || g_ascii_strcasecmp(text, no[i]) == 0) {
            *out = g_ascii_strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

bool ovo_str(const Ovo *ovo, const char *field, const char **out, GError **err)
{
    const json_t *value = json_object_get(ovo->data, field);

    if (!json_is_string(value))
        return type_error(ovo, field, "a string", err);
    *out = json_string_value(value);
    return true;
}

bool ovo_i64(const Ovo *ovo, const char *field, int64_t *out, GError **err)
{
    if (!read_i64(json_object_get(ovo->data, field), out))
        return type_error(ovo, field, "an integer", err);
    return true;
}

bool ovo_u64(const Ovo *ovo, const char *field, uint64_t *out, GError **err)
{
    int64_t value;

    if (!read_i64(json_object_get(ovo->data, field), &value) || value < 0)
        return type_error(ovo, field, "an unsigned integer", err);
    *out = (uint64_t)value;
    return true;
}

bool ovo_double(const Ovo *ovo, const char *field, double *out, GError **err)
{
    if (!read_double(json_object_get(ovo->data, field), out))
        return type_error(ovo, field, "a number", err);
    return true;
}

bool ovo_bool(const Ovo *ovo, const char *field, bool *out, GError **err)
{
    if (!read_bool(json_object_get(ovo->data, field), out))
        return type_error(ovo, field, "a boolean", err);
    return true;
}

const char *ovo_str_or(const Ovo *ovo, const char *field, const char *fallback)
{
    const char *text = json_string_value(json_object_get(ovo->data, field));

    return text ? text : fallback;
}

int64_t ovo_i64_or(const Ovo *ovo, const char *field, int64_t fallback)
{
    int64_t value;

    return read_i64(json_object_get(ovo->data, field), &value) ? value : fallback;
}

double ovo_double_or(const Ovo *ovo, const char *field, double fallback)
{
    double value;

    return read_double(json_object_get(ovo->data, field), &value) ? value : fallback;
}

bool ovo_bool_or(const Ovo *ovo, const char *field, bool fallback)
{
    bool value;

    return read_bool(json_object_get(ovo->data, field), &value) ? value : fallback;
}

Ovo *ovo_child(const Ovo *ovo, const char *field)
{
    return view_nested(json_object_get(ovo->data, field));
}

static json_t *list_of(const Ovo *ovo, const char *field)
{
    return json_object_get(ovo->data, field ? field : "objects");
}

size_t ovo_count(const Ovo *ovo, const char *field)
{
    return json_array_size(list_of(ovo, field));
}

Ovo *ovo_at(const Ovo *ovo, const char *field, size_t i)
{
    return view_nested(json_array_get(list_of(ovo, field), i));
}

const char *ovo_str_at(const Ovo *ovo, const char *field, size_t i)
{
    return json_string_value(json_array_get(list_of(ovo, field), i));
}

const char *ovo_dict_str(const Ovo *ovo, const char *field, const char *key)
{
    return json_string_value(json_object_get(json_object_get(ovo->data, field), key));
}

static gint compare_keys(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *ovo_dict_keys(const Ovo *ovo, const char *field)
{
    GPtrArray *keys = g_ptr_array_new();
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(ovo->data, field), key, value)
        g_ptr_array_add(keys, (gpointer)key);
    g_ptr_array_sort(keys, compare_keys);
    return keys;
}

/* ---- what changed ---- */

static bool primitive_dirty(const json_t *prim);

/* The field's value is an object with changes of its own; `elements`: or a list of such objects. */
static bool value_dirty(const json_t *value, bool elements)
{
    json_t *item;
    size_t i;

    if (is_primitive(value))
        return primitive_dirty(value);
    if (elements)
        json_array_foreach(value, i,
                           item) if (is_primitive(item) && primitive_dirty(item)) return true;
    return false;
}

static bool listed(const json_t *changes, const char *field)
{
    json_t *item;
    size_t i;

    json_array_foreach(changes, i,
                       item) if (g_strcmp0(json_string_value(item), field) == 0) return true;
    return false;
}

static bool field_dirty(const json_t *changes, const char *field, const json_t *value)
{
    return listed(changes, field) || value_dirty(value, strcmp(field, "objects") == 0);
}

static bool primitive_dirty(const json_t *prim)
{
    const json_t *changes = json_object_get(prim, KEY_CHANGES);
    const char *field;
    json_t *value;

    json_object_foreach(json_object_get(prim, KEY_DATA), field,
                        value) if (field_dirty(changes, field, value)) return true;
    return false;
}

static json_t *changes_of(const Ovo *ovo)
{
    return ovo->data == ovo->json ? NULL : json_object_get(ovo->json, KEY_CHANGES);
}

bool ovo_changed(const Ovo *ovo, const char *field)
{
    const json_t *value = json_object_get(ovo->data, field);

    return value && ovo->data != ovo->json && field_dirty(changes_of(ovo), field, value);
}

bool ovo_any_changed(const Ovo *ovo)
{
    return ovo->data != ovo->json && primitive_dirty(ovo->json);
}

void ovo_mark_changed(Ovo *ovo, const char *field)
{
    json_t *changes = changes_of(ovo);

    if (ovo->data == ovo->json || !json_object_get(ovo->data, field) || listed(changes, field))
        return;
    if (!json_is_array(changes)) {
        changes = json_array();
        json_object_set_new(ovo->json, KEY_CHANGES, changes);
    }
    json_array_append_new(changes, json_string(field));
}

static void changes_drop(Ovo *ovo, const char *field)
{
    json_t *changes = changes_of(ovo);

    for (size_t i = json_array_size(changes); i-- > 0;)
        if (g_strcmp0(json_string_value(json_array_get(changes, i)), field) == 0)
            json_array_remove(changes, i);
    if (changes && json_array_size(changes) == 0)
        json_object_del(ovo->json, KEY_CHANGES);
}

static void reset_tree(json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_array(value)) {
        json_array_foreach(value, i, item) reset_tree(item);
        return;
    }
    if (!json_is_object(value))
        return;
    if (is_primitive(value))
        json_object_del(value, KEY_CHANGES);
    json_object_foreach(value, key, item) reset_tree(item);
}

void ovo_reset_changes(Ovo *ovo)
{
    reset_tree(ovo->json);
}

/* ---- writing ---- */

/* A JSON string of any bytes: jansson refuses what is not UTF-8. */
static json_t *string_of(const char *text)
{
    g_autofree char *valid = NULL;

    if (!text)
        return json_null();
    if (g_utf8_validate(text, -1, NULL))
        return json_string_nocheck(text);
    valid = g_utf8_make_valid(text, -1);
    return json_string_nocheck(valid);
}

void ovo_set_json(Ovo *ovo, const char *field, json_t *value)
{
    const json_t *old = json_object_get(ovo->data, field);
    /* A child given back: it was written through a view, so that there is nothing to compare. */
    bool given_back = old == value && (json_is_object(value) || json_is_array(value));

    if (old && !given_back && json_equal(old, value)) {
        json_decref(value);
        return;
    }
    json_object_set_new(ovo->data, field, value ? value : json_null());
    ovo_mark_changed(ovo, field);
}

void ovo_set_from(Ovo *ovo, const char *field, const Ovo *src, const char *src_field)
{
    json_t *value = json_object_get(src->data, src_field);

    ovo_set_json(ovo, field, value ? json_incref(value) : json_null());
}

void ovo_load_from(Ovo *ovo, const char *field, const Ovo *src)
{
    json_t *value = json_object_get(src->data, field);

    if (value)
        json_object_set(ovo->data, field, value);
}

void ovo_set_str(Ovo *ovo, const char *field, const char *value)
{
    ovo_set_json(ovo, field, string_of(value));
}

void ovo_set_i64(Ovo *ovo, const char *field, int64_t value)
{
    ovo_set_json(ovo, field, json_integer(value));
}

void ovo_set_double(Ovo *ovo, const char *field, double value)
{
    ovo_set_json(ovo, field, json_real(value));
}

void ovo_set_bool(Ovo *ovo, const char *field, bool value)
{
    ovo_set_json(ovo, field, json_boolean(value));
}

void ovo_set_null(Ovo *ovo, const char *field)
{
    ovo_set_json(ovo, field, json_null());
}

void ovo_set_child(Ovo *ovo, const char *field, const Ovo *child)
{
    ovo_set_json(ovo, field, child ? json_incref(child->json) : json_null());
}

void ovo_set_strv(Ovo *ovo, const char *field, const char *const *values)
{
    json_t *list = json_array();

    for (size_t i = 0; values && values[i]; i++)
        json_array_append_new(list, string_of(values[i]));
    ovo_set_json(ovo, field, list);
}

void ovo_append(Ovo *list, const char *field, const Ovo *item)
{
    const char *name = field ? field : "objects";
    json_t *items = json_object_get(list->data, name);

    if (!json_is_array(items)) {
        items = json_array();
        json_object_set_new(list->data, name, items);
    }
    json_array_append(items, item->json);
    ovo_mark_changed(list, name);
}

void ovo_dict_set(Ovo *ovo, const char *field, const char *key, const char *value)
{
    g_autofree char *valid_key = g_utf8_make_valid(key, -1);
    json_t *dict = json_object_get(ovo->data, field);
    json_t *text = string_of(value);

    if (!json_is_object(dict)) {
        dict = json_object();
        json_object_set_new(ovo->data, field, dict);
        ovo_mark_changed(ovo, field);
    }
    if (value ? json_equal(json_object_get(dict, valid_key), text)
              : !json_object_get(dict, valid_key)) {
        json_decref(text);
        return;
    }
    if (value)
        json_object_set_new(dict, valid_key, text);
    else
        json_object_del(dict, valid_key);
    ovo_mark_changed(ovo, field);
}

void ovo_unset(Ovo *ovo, const char *field)
{
    json_object_del(ovo->data, field);
    changes_drop(ovo, field);
}

/* ---- object_action ---- */

bool ovo_apply_updates(Ovo *ovo, json_t *updates, GError **err)
{
    json_t *changed = json_object_get(updates, "obj_what_changed");
    const char *field;
    json_t *value;
    size_t i;

    if (!json_is_object(updates) || !changes_ok(changed))
        return type_error(ovo, "updates", "a dict of fields", err);
    if (!depth_ok(updates, MAX_DEPTH))
        return type_error(ovo, "updates", "a dict of bounded depth", err);
    ovo_reset_changes(ovo);
    json_object_foreach(updates, field, value)
    {
        /* What stays the same is kept: callers may hold its text. */
        if (strcmp(field, "obj_what_changed") != 0 &&
            !json_equal(json_object_get(ovo->data, field), value))
            json_object_set(ovo->data, field, value);
    }
    json_array_foreach(changed, i, value) ovo_mark_changed(ovo, json_string_value(value));
    return true;
}

json_t *ovo_save_json(const Ovo *ovo, const char *const *keep)
{
    const json_t *changes = changes_of(ovo);
    json_t *prim = json_object();
    json_t *data = json_object();
    json_t *dirty = json_array();
    const char *field;
    json_t *value;

    json_object_foreach(ovo->data, field, value)
    {
        bool changed = field_dirty(changes, field, value);

        if (changed)
            json_array_append_new(dirty, json_string(field));
        if (changed || (keep && g_strv_contains(keep, field)))
            json_object_set(data, field, value);
    }
    json_object_set(prim, KEY_NAME, json_object_get(ovo->json, KEY_NAME));
    json_object_set_new(prim, KEY_NAMESPACE, json_string("nova"));
    json_object_set(prim, KEY_VERSION, json_object_get(ovo->json, KEY_VERSION));
    json_object_set_new(prim, KEY_DATA, data);
    json_object_set_new(prim, KEY_CHANGES, dirty);
    return prim;
}

/* ---- values ---- */

json_t *ovo_value_str(const char *text)
{
    return string_of(text);
}

json_t *ovo_value_bool(bool value)
{
    return json_boolean(value);
}

json_t *ovo_value_i64(int64_t value)
{
    return json_integer(value);
}

void ovo_value_free(json_t *value)
{
    json_decref(value);
}
