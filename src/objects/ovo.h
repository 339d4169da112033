/* A versioned object as it stands on the wire: JSON underneath, typed access above.
 *
 * An Ovo is a view of one primitive {"nova_object.name", ".namespace", ".version", ".data",
 * ".changes"}; child views share the parent's JSON, so writing through a child is seen by the
 * parent. Fields we do not know survive. A plain dict (RPC arguments, filter_properties) can be
 * wrapped too; it has no name and no changes.
 *
 * Units      as the field says; datetimes are text (util/clock.h reads and writes them).
 * Ownership  ovo_new*, ovo_take*, ovo_child and ovo_at give a view the caller unrefs; strings are
 * borrowed from the JSON until that field is written or the tree goes. Errors     DV_E_BAD_INPUT
 * "Instance.vcpus: want an unsigned integer". Threads    one tree belongs to one thread at a time.
 * Sources    oslo.versionedobjects base.py; nova objects/base.py (Zed). */
#pragma once

#include "util/error.h"

#include <stdint.h>

typedef struct json_t json_t;
typedef struct Ovo Ovo;

/* ---- making ---- */

/* Checks that `primitive` (stolen) is an object primitive named `name` (NULL: any), with a data
 * object, and of a bounded depth. */
Ovo *ovo_take(json_t *primitive, const char *name, GError **err);
/* The same on a borrowed JSON value: the view holds its own reference. */
Ovo *ovo_view(json_t *primitive, const char *name, GError **err);
/* Wraps a plain dict; borrowed (a reference is taken). Not an object: error. */
Ovo *ovo_view_dict(json_t *dict, GError **err);
Ovo *ovo_new(const char *name, const char *version);
Ovo *ovo_new_dict(void);
/* From text; for tests, fixtures and fuzzing. */
Ovo *ovo_parse(const char *text, const char *name, GError **err);
/* A plain dict from text: what nova keeps as JSON in a string field, and our own files. */
Ovo *ovo_parse_dict(const char *text, GError **err);
Ovo *ovo_copy(const Ovo *ovo); /* deep */
Ovo *ovo_ref(Ovo *ovo);
void ovo_unref(Ovo *ovo);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ovo, ovo_unref)

/* The JSON of the object, a new reference (shared, not copied): for RPC arguments and results. */
json_t *ovo_json(const Ovo *ovo);
/* Compact text; caller frees. */
char *ovo_text(const Ovo *ovo);

const char *ovo_name(const Ovo *ovo);    /* NULL for a dict */
const char *ovo_version(const Ovo *ovo); /* "2.7" */
bool ovo_version_at_least(const Ovo *ovo, int major, int minor);

/* ---- reading ---- */

bool ovo_has(const Ovo *ovo, const char *field);       /* set, also when null */
bool ovo_has_value(const Ovo *ovo, const char *field); /* set and not null */

/* Required fields: unset, null or of another type is an error. Numeric strings pass for numbers. */
bool ovo_str(const Ovo *ovo, const char *field, const char **out, GError **err);
bool ovo_i64(const Ovo *ovo, const char *field, int64_t *out, GError **err);
bool ovo_u64(const Ovo *ovo, const char *field, uint64_t *out, GError **err);
bool ovo_double(const Ovo *ovo, const char *field, double *out, GError **err);
bool ovo_bool(const Ovo *ovo, const char *field, bool *out, GError **err);

/* Optional fields: unset, null or of another type gives the fallback. */
const char *ovo_str_or(const Ovo *ovo, const char *field, const char *fallback);
int64_t ovo_i64_or(const Ovo *ovo, const char *field, int64_t fallback);
double ovo_double_or(const Ovo *ovo, const char *field, double fallback);
bool ovo_bool_or(const Ovo *ovo, const char *field, bool fallback);

/* Nested object or dict of a field; NULL when unset, null or no object. Caller unrefs. */
Ovo *ovo_child(const Ovo *ovo, const char *field);
/* Elements of a list field, or of a list object's "objects" with field NULL. 0 when it is no list.
 */
size_t ovo_count(const Ovo *ovo, const char *field);
/* Element i as a view (object or dict), NULL when it is neither. Caller unrefs. */
Ovo *ovo_at(const Ovo *ovo, const char *field, size_t i);
/* Element i of a list of strings; NULL when it is none. Borrowed. */
const char *ovo_str_at(const Ovo *ovo, const char *field, size_t i);

/* A dict field of scalars (metadata, system_metadata, extra_specs): value of `key` as a string, or
 * NULL. */
const char *ovo_dict_str(const Ovo *ovo, const char *field, const char *key);
/* Its keys, sorted; caller frees the array with g_ptr_array_unref, strings are borrowed. Never
 * NULL. */
GPtrArray *ovo_dict_keys(const Ovo *ovo, const char *field);

/* ---- writing: each marks the field as changed, when its value is new ---- */

void ovo_set_str(Ovo *ovo, const char *field, const char *value); /* NULL: null */
void ovo_set_i64(Ovo *ovo, const char *field, int64_t value);
void ovo_set_double(Ovo *ovo, const char *field, double value);
void ovo_set_bool(Ovo *ovo, const char *field, bool value);
void ovo_set_null(Ovo *ovo, const char *field);
void ovo_set_child(Ovo *ovo, const char *field, const Ovo *child); /* shares the JSON; NULL: null */
void ovo_set_json(Ovo *ovo, const char *field, json_t *value);     /* stolen */
/* The value of src's field, shared, whatever its type; null when src does not have it. */
void ovo_set_from(Ovo *ovo, const char *field, const Ovo *src, const char *src_field);
/* The same for what was read anew from the database (nova's lazy loading): no change to save. */
void ovo_load_from(Ovo *ovo, const char *field, const Ovo *src);
void ovo_set_strv(Ovo *ovo, const char *field, const char *const *values);
void ovo_append(Ovo *list, const char *field, const Ovo *item); /* field NULL: "objects" */
/* One entry of a dict field (made when unset or null); value NULL removes the entry. */
void ovo_dict_set(Ovo *ovo, const char *field, const char *key, const char *value);
void ovo_unset(Ovo *ovo, const char *field);

bool ovo_changed(const Ovo *ovo, const char *field);
bool ovo_any_changed(const Ovo *ovo);
void ovo_mark_changed(Ovo *ovo, const char *field);
void ovo_reset_changes(Ovo *ovo);

/* Applies the `updates` of an object_action answer: sets known and unknown fields alike, clears the
 * change list, then sets it to `obj_what_changed`. `updates` is borrowed. The text of a field whose
 * value stays the same stays valid; conductor answers with all fields. */
bool ovo_apply_updates(Ovo *ovo, json_t *updates, GError **err);
/* The smallest primitive that a save needs: identity fields named in `keep` (NULL-terminated),
 * every changed field, and the change list. New reference. Sending less is a saving the receiver
 * cannot notice. */
json_t *ovo_save_json(const Ovo *ovo, const char *const *keep);

/* ---- results of RPC methods: opaque JSON values for callers without jansson ---- */
json_t *ovo_value_str(const char *text); /* invalid UTF-8 is replaced; NULL: null */
json_t *ovo_value_bool(bool value);
json_t *ovo_value_i64(int64_t value);
void ovo_value_free(json_t *value);
