/* Placement over REST; see placement.h.
 *
 * Each write carries the generation that was read; placement refuses it with 409 when somebody else
 * wrote meanwhile, and the caller reads again. The microversions are those that nova-compute uses
 * for the same purpose, so that the answers have the shape its records were made for. */
#include "services/placement.h"

#include "services/auth_priv.h"

#include <jansson.h>

#include "util/log.h"

#define VERSION(v) "OpenStack-API-Version: placement " v

enum {
    MAX_INVENTORIES = 1000,
    MAX_TRAITS = 5000,
    MAX_TRAITS_QUERY = 2000, /* bytes: web servers bound the request line */
    READ_ATTEMPTS = 4,
    WRITE_ATTEMPTS = 4,
};

static const int absent_ok[] = {404, 0};

/* ---- paths ---- */

static char *provider_path(const char *uuid, const char *rest)
{
    g_autofree char *id = service_escape(uuid);

    return g_strconcat("/resource_providers/", id, rest, NULL);
}

static char *consumer_path(const char *uuid)
{
    g_autofree char *id = service_escape(uuid);

    return g_strconcat("/allocations/", id, NULL);
}

/* GET whose 404 is an answer: *out NULL. */
static bool read_json(Service *s, const DvCtx *ctx, const char *path, const char *version,
                      json_t **out, GError **err)
{
    int status = 0;

    *out = NULL;
    if (!service_call(s, ctx, AS_SERVICE, "GET", path, version, NULL, absent_ok, &status, out, err))
        return false;
    if (status == 404)
        g_clear_pointer(out, json_decref);
    else if (!json_is_object(*out))
        return dv_fail(err, DV_E_BAD_INPUT, "placement: GET %s: want an object", path);
    return true;
}

/* The code of the first error of an answer ("placement.concurrent_update"), or "". */
static const char *error_code_of(const json_t *answer)
{
    const json_t *first = json_array_get(json_object_get(answer, "errors"), 0);
    const char *code = json_string_value(json_object_get(first, "code"));

    return code ? code : "";
}

static const char *error_detail_of(const json_t *answer)
{
    const json_t *first = json_array_get(json_object_get(answer, "errors"), 0);
    const char *detail = json_string_value(json_object_get(first, "detail"));

    return detail ? detail : "no reason given";
}

/* ---- providers ---- */

void placement_provider_free(PlacementProvider *provider)
{
    if (!provider)
        return;
    g_free(provider->uuid);
    g_free(provider->name);
    g_clear_pointer(&provider->inventories, g_array_unref);
    g_clear_pointer(&provider->traits, g_ptr_array_unref);
    g_free(provider);
}

static int64_t integer_or(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

static bool generation_read(const json_t *answer, const char *key, int64_t *out, GError **err)
{
    const json_t *value = json_object_get(answer, key);

    if (!json_is_integer(value))
        return dv_fail(err, DV_E_BAD_INPUT, "placement: an answer without %s", key);
    *out = json_integer_value(value);
    return true;
}

static bool inventories_read(const json_t *answer, GArray *out, GError **err)
{
    json_t *all = json_object_get(answer, "inventories");
    const char *name;
    json_t *value;

    if (!json_is_object(all) || json_object_size(all) > MAX_INVENTORIES)
        return dv_fail(err, DV_E_BAD_INPUT, "placement: an answer without usable inventories");
    json_object_foreach(all, name, value)
    {
        PlacementInventory inventory = {0};

        if (g_strlcpy(inventory.resource_class, name, sizeof inventory.resource_class) >=
            sizeof inventory.resource_class)
            continue; /* longer than any class we could offer */
        inventory.total = integer_or(value, "total", 0);
        inventory.reserved = integer_or(value, "reserved", 0);
        inventory.min_unit = integer_or(value, "min_unit", 1);
        inventory.max_unit = integer_or(value, "max_unit", inventory.total);
        inventory.step_size = integer_or(value, "step_size", 1);
        inventory.allocation_ratio = json_number_value(json_object_get(value, "allocation_ratio"));
        g_array_append_val(out, inventory);
    }
    return true;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool traits_read(const json_t *answer, GPtrArray *out, GError **err)
{
    const json_t *all = json_object_get(answer, "traits");
    json_t *value;
    size_t i;

    if (!json_is_array(all) || json_array_size(all) > MAX_TRAITS)
        return dv_fail(err, DV_E_BAD_INPUT, "placement: an answer without usable traits");
    json_array_foreach(all, i, value)
    {
        if (json_is_string(value))
            g_ptr_array_add(out, g_strdup(json_string_value(value)));
    }
    g_ptr_array_sort(out, compare_names);
    return true;
}

static PlacementProvider *provider_new(const char *uuid)
{
    PlacementProvider *provider = g_new0(PlacementProvider, 1);

    provider->uuid = g_strdup(uuid);
    provider->inventories = g_array_new(FALSE, TRUE, sizeof(PlacementInventory));
    provider->traits = g_ptr_array_new_with_free_func(g_free);
    return provider;
}

static bool record_read(PlacementProvider *p, const json_t *answer, GError **err)
{
    const char *name = json_string_value(json_object_get(answer, "name"));

    if (!name)
        return dv_fail(err, DV_E_BAD_INPUT, "placement: a provider without a name");
    p->name = g_strdup(name);
    return generation_read(answer, "generation", &p->generation, err);
}

/* Reads the three parts; *out_steady false when the provider changed in between, *out NULL when it
 * is not there. */
static bool provider_read(Service *s, const DvCtx *ctx, const char *uuid, PlacementProvider **out,
                          bool *out_steady, GError **err)
{
    g_autofree char *record_path = provider_path(uuid, "");
    g_autofree char *inventory_path = provider_path(uuid, "/inventories");
    g_autofree char *trait_path = provider_path(uuid, "/traits");
    g_autoptr(PlacementProvider) p = provider_new(uuid);
    json_t *record = NULL;
    json_t *inventories = NULL;
    json_t *traits = NULL;
    int64_t generations[2] = {0, 0};
    bool ok;

    *out = NULL;
    *out_steady = true;
    ok = read_json(s, ctx, record_path, VERSION("1.14"), &record, err) &&
         (!record ||
          (read_json(s, ctx, inventory_path, VERSION("1.26"), &inventories, err) &&
           (!inventories || read_json(s, ctx, trait_path, VERSION("1.6"), &traits, err))));
    if (ok && record && inventories && traits) {
        ok = record_read(p, record, err) && inventories_read(inventories, p->inventories, err) &&
             traits_read(traits, p->traits, err) &&
             generation_read(inventories, "resource_provider_generation", &generations[0], err) &&
             generation_read(traits, "resource_provider_generation", &generations[1], err);
        *out_steady = generations[0] == p->generation && generations[1] == p->generation;
        if (ok)
            *out = g_steal_pointer(&p);
    }
    json_decref(record);
    json_decref(inventories);
    json_decref(traits);
    return ok;
}

bool placement_provider_get(Service *placement, const DvCtx *ctx, const char *uuid,
                            PlacementProvider **out, GError **err)
{
    for (int attempt = 1;; attempt++) {
        g_autoptr(PlacementProvider) p = NULL;
        bool steady = false;

        if (!provider_read(placement, ctx, uuid, &p, &steady, err))
            return dv_within(err, "reading resource provider %s", uuid);
        if (steady) {
            *out = g_steal_pointer(&p);
            return true;
        }
        if (attempt == READ_ATTEMPTS)
            return dv_fail(err, DV_E_CONFLICT, "resource provider %s changes while it is read",
                           uuid);
    }
}

bool placement_provider_create(Service *placement, const DvCtx *ctx, const char *uuid,
                               const char *name, const char *parent_uuid, GError **err)
{
    static const int conflict_ok[] = {409, 0};
    g_autofree char *path = provider_path(uuid, "");
    json_t *body = json_pack("{s:s, s:s, s:s*}", "uuid", uuid, "name", name, "parent_provider_uuid",
                             parent_uuid);
    json_t *existing = NULL;
    int status = 0;

    if (!body)
        return dv_fail(err, DV_E_BAD_INPUT, "resource provider name is no UTF-8");
    if (!service_call(placement, ctx, AS_SERVICE, "POST", "/resource_providers", VERSION("1.20"),
                      body, conflict_ok, &status, NULL, err))
        return dv_within(err, "creating resource provider %s", uuid);
    if (status != 409)
        return true;
    if (!read_json(placement, ctx, path, VERSION("1.14"), &existing, err))
        return dv_within(err, "creating resource provider %s", uuid);
    if (!existing)
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "a resource provider named %s exists with another uuid than %s: a host that "
                       "was set up anew needs the old one deleted from placement",
                       name, uuid);
    json_decref(existing);
    return true;
}

bool placement_provider_delete(Service *placement, const DvCtx *ctx, const char *uuid, GError **err)
{
    g_autofree char *path = provider_path(uuid, "");

    return service_call(placement, ctx, AS_SERVICE, "DELETE", path, NULL, NULL, absent_ok, NULL,
                        NULL, err) ||
           dv_within(err, "deleting resource provider %s", uuid);
}

/* ---- inventories ---- */

static bool resource_classes_ensure(Service *s, const DvCtx *ctx, const GArray *inventories,
                                    GError **err)
{
    for (guint i = 0; i < inventories->len; i++) {
        const PlacementInventory *inventory = &g_array_index(inventories, PlacementInventory, i);
        g_autofree char *path = NULL;

        if (!g_str_has_prefix(inventory->resource_class, "CUSTOM_"))
            continue;
        path = g_strconcat("/resource_classes/", inventory->resource_class, NULL);
        if (!service_call(s, ctx, AS_SERVICE, "PUT", path, VERSION("1.7"), NULL, NULL, NULL, NULL,
                          err))
            return dv_within(err, "resource class %s", inventory->resource_class);
    }
    return true;
}

static json_t *inventories_json(const GArray *inventories)
{
    json_t *all = json_object();

    for (guint i = 0; i < inventories->len; i++) {
        const PlacementInventory *v = &g_array_index(inventories, PlacementInventory, i);

        json_object_set_new(
            all, v->resource_class,
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:f}", "total", (json_int_t)v->total, "reserved",
                      (json_int_t)v->reserved, "min_unit", (json_int_t)v->min_unit, "max_unit",
                      (json_int_t)v->max_unit, "step_size", (json_int_t)v->step_size,
                      "allocation_ratio", v->allocation_ratio));
    }
    return all;
}

/* A used class cannot be taken away: reading again would not help. */
static bool inventory_conflict(const json_t *answer, GError **err)
{
    if (strcmp(error_code_of(answer), "placement.inventory.inuse") == 0)
        return dv_fail(err, DV_E_UNSUPPORTED, "placement: %s", error_detail_of(answer));
    return dv_fail(err, DV_E_CONFLICT, "placement: %s", error_detail_of(answer));
}

bool placement_inventories_put(Service *placement, const DvCtx *ctx, PlacementProvider *provider,
                               const GArray *inventories, GError **err)
{
    static const int conflict_ok[] = {409, 0};
    g_autofree char *path = provider_path(provider->uuid, "/inventories");
    json_t *answer = NULL;
    int status = 0;
    bool ok;

    ok = resource_classes_ensure(placement, ctx, inventories, err) &&
         service_call(placement, ctx, AS_SERVICE, "PUT", path, VERSION("1.26"),
                      json_pack("{s:I, s:o}", "resource_provider_generation",
                                (json_int_t)provider->generation, "inventories",
                                inventories_json(inventories)),
                      conflict_ok, &status, &answer, err) &&
         (status != 409 || inventory_conflict(answer, err)) &&
         generation_read(answer, "resource_provider_generation", &provider->generation, err);
    json_decref(answer);
    if (!ok)
        return dv_within(err, "inventories of %s", provider->uuid);
    if (inventories != provider->inventories) {
        g_array_set_size(provider->inventories, 0);
        g_array_append_vals(provider->inventories, inventories->data, inventories->len);
    }
    return true;
}

/* ---- traits ---- */

static GPtrArray *names_copy(const GPtrArray *names)
{
    GPtrArray *copy = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < names->len; i++)
        g_ptr_array_add(copy, g_strdup(names->pdata[i]));
    g_ptr_array_sort(copy, compare_names);
    return copy;
}

bool placement_traits_put(Service *placement, const DvCtx *ctx, PlacementProvider *provider,
                          const GPtrArray *traits, GError **err)
{
    g_autofree char *path = provider_path(provider->uuid, "/traits");
    json_t *list = json_array();
    json_t *answer = NULL;
    GPtrArray *copy;
    bool ok;

    for (guint i = 0; i < traits->len; i++)
        json_array_append_new(list, json_string(traits->pdata[i]));
    ok = service_call(placement, ctx, AS_SERVICE, "PUT", path, VERSION("1.6"),
                      json_pack("{s:I, s:o}", "resource_provider_generation",
                                (json_int_t)provider->generation, "traits", list),
                      NULL, NULL, &answer, err) &&
         generation_read(answer, "resource_provider_generation", &provider->generation, err);
    json_decref(answer);
    if (!ok)
        return dv_within(err, "traits of %s", provider->uuid);
    copy = names_copy(traits);
    g_ptr_array_unref(provider->traits);
    provider->traits = copy;
    return true;
}

/* Asks for traits[from...], as many as fit a request line, and adds those known to the set. Returns
 * the index after the last one asked for, 0 on failure. */
static guint traits_ask(Service *s, const DvCtx *ctx, const GPtrArray *traits, guint from,
                        GHashTable *known, GError **err)
{
    g_autoptr(GString) path = g_string_new("/traits?name=in:");
    json_t *answer = NULL;
    json_t *value;
    guint to = from;
    size_t i;

    while (to < traits->len && (to == from || path->len < MAX_TRAITS_QUERY)) {
        g_autofree char *name = service_escape(traits->pdata[to]);

        g_string_append_printf(path, "%s%s", to == from ? "" : ",", name);
        to++;
    }
    if (!service_call(s, ctx, AS_SERVICE, "GET", path->str, VERSION("1.6"), NULL, NULL, NULL,
                      &answer, err))
        return 0;
    json_array_foreach(json_object_get(answer, "traits"), i, value)
    {
        if (json_is_string(value))
            g_hash_table_add(known, g_strdup(json_string_value(value)));
    }
    json_decref(answer);
    return to;
}

static bool trait_create(Service *s, const DvCtx *ctx, const char *name, GError **err)
{
    g_autofree char *id = service_escape(name);
    g_autofree char *path = g_strconcat("/traits/", id, NULL);

    return service_call(s, ctx, AS_SERVICE, "PUT", path, VERSION("1.6"), NULL, NULL, NULL, NULL,
                        err) ||
           dv_within(err, "creating trait %s", name);
}

bool placement_traits_ensure(Service *placement, const DvCtx *ctx, GPtrArray *traits, GError **err)
{
    g_autoptr(GHashTable) known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    guint asked = 0;

    while (asked < traits->len) {
        asked = traits_ask(placement, ctx, traits, asked, known, err);
        if (asked == 0)
            return dv_within(err, "looking up traits");
    }
    for (guint i = 0; i < traits->len;) {
        const char *name = traits->pdata[i];

        if (g_hash_table_contains(known, name)) {
            i++;
        } else if (g_str_has_prefix(name, "CUSTOM_")) {
            if (!trait_create(placement, ctx, name, err))
                return false;
            i++;
        } else {
            dv_debug(ctx, "placement does not know trait %s: left out", name);
            g_ptr_array_remove_index(traits, i); /* keeps the order */
        }
    }
    return true;
}

/* ---- allocations ---- */

bool placement_consumers_of(Service *placement, const DvCtx *ctx, const char *provider_uuid,
                            GPtrArray **out, GError **err)
{
    g_autofree char *path = provider_path(provider_uuid, "/allocations");
    GPtrArray *consumers;
    json_t *answer = NULL;
    json_t *value;
    const char *uuid;

    if (!read_json(placement, ctx, path, NULL, &answer, err))
        return dv_within(err, "allocations on %s", provider_uuid);
    consumers = g_ptr_array_new_with_free_func(g_free);
    json_object_foreach(json_object_get(answer, "allocations"), uuid, value)
        g_ptr_array_add(consumers, g_strdup(uuid));
    g_ptr_array_sort(consumers, compare_names);
    json_decref(answer);
    *out = consumers;
    return true;
}

bool placement_allocations_delete(Service *placement, const DvCtx *ctx, const char *consumer,
                                  bool *out_existed, GError **err)
{
    g_autofree char *path = consumer_path(consumer);
    int status = 0;

    if (!service_call(placement, ctx, AS_SERVICE, "DELETE", path, NULL, NULL, absent_ok, &status,
                      NULL, err))
        return dv_within(err, "deleting allocations of %s", consumer);
    if (out_existed)
        *out_existed = status != 404;
    return true;
}

bool placement_allocations_exist(Service *placement, const DvCtx *ctx, const char *consumer,
                                 bool *out, GError **err)
{
    g_autofree char *path = consumer_path(consumer);
    json_t *answer = NULL;

    if (!read_json(placement, ctx, path, VERSION("1.28"), &answer, err))
        return dv_within(err, "reading allocations of %s", consumer);
    *out = json_object_size(json_object_get(answer, "allocations")) > 0;
    json_decref(answer);
    return true;
}

/* What is to be written back: read-only members go, and the providers named. *out_dropped: how many
 * of those were there. */
static json_t *allocations_without(json_t *answer, const char *const *provider_uuids,
                                   size_t *out_dropped)
{
    json_t *all = json_object_get(answer, "allocations");
    const char *uuid;
    json_t *value;

    *out_dropped = 0;
    for (; *provider_uuids; provider_uuids++) {
        if (json_object_del(all, *provider_uuids) == 0)
            (*out_dropped)++;
    }
    json_object_foreach(all, uuid, value) json_object_del(value, "generation");
    return json_pack("{s:O, s:O, s:O, s:O}", "allocations", all, "project_id",
                     json_object_get(answer, "project_id"), "user_id",
                     json_object_get(answer, "user_id"), "consumer_generation",
                     json_object_get(answer, "consumer_generation"));
}

/* One read and write. *out_again: another writer was faster, and reading again can help. */
static bool remove_once(Service *s, const DvCtx *ctx, const char *path,
                        const char *const *provider_uuids, bool *out_again, GError **err)
{
    static const int conflict_ok[] = {409, 0};
    json_t *answer = NULL;
    json_t *body;
    size_t dropped = 0;
    int status = 0;
    bool ok = true;

    *out_again = false;
    if (!read_json(s, ctx, path, VERSION("1.28"), &answer, err))
        return false;
    if (json_object_size(json_object_get(answer, "allocations")) == 0) {
        json_decref(answer);
        return true;
    }
    body = allocations_without(answer, provider_uuids, &dropped);
    json_decref(answer);
    answer = NULL;
    if (!body)
        return dv_fail(err, DV_E_BAD_INPUT, "placement: allocations without their consumer's data");
    if (dropped == 0) {
        json_decref(body);
        return true;
    }
    ok = service_call(s, ctx, AS_SERVICE, "PUT", path, VERSION("1.28"), body, conflict_ok, &status,
                      &answer, err);
    if (ok && status == 409) {
        *out_again = strcmp(error_code_of(answer), "placement.concurrent_update") == 0;
        ok = dv_fail(err, DV_E_CONFLICT, "placement: %s", error_detail_of(answer));
    }
    json_decref(answer);
    return ok;
}

bool placement_allocations_remove_providers(Service *placement, const DvCtx *ctx,
                                            const char *consumer, const char *const *provider_uuids,
                                            GError **err)
{
    g_autofree char *path = consumer_path(consumer);

    for (int attempt = 1;; attempt++) {
        g_autoptr(GError) failure = NULL;
        bool again = false;

        if (remove_once(placement, ctx, path, provider_uuids, &again, &failure))
            return true;
        if (!again || attempt == WRITE_ATTEMPTS) {
            g_propagate_error(err, g_steal_pointer(&failure));
            return dv_within(err, "removing allocations of %s", consumer);
        }
        g_usleep((gulong)g_random_int_range(1, 200 * attempt) * 1000);
    }
}

/* ---- moving ---- */

static bool read_consumer(Service *s, const DvCtx *ctx, const char *consumer, json_t **out,
                          GError **err)
{
    g_autofree char *path = consumer_path(consumer);

    return read_json(s, ctx, path, VERSION("1.28"), out, err) ||
           dv_within(err, "reading allocations of %s", consumer);
}

static json_t *without_generations(json_t *allocations)
{
    const char *uuid;
    json_t *value;

    json_object_foreach(allocations, uuid, value) json_object_del(value, "generation");
    return allocations;
}

/* Both consumers in one write, so that the resources are never free in between. */
static json_t *move_body(const char *from, json_t *source, const char *to, json_t *target)
{
    json_t *project = json_object_get(source, "project_id");
    json_t *user = json_object_get(source, "user_id");

    return json_pack("{s:{s:{}, s:O, s:O, s:O}, s:{s:O, s:O, s:O, s:O?}}", from, "allocations",
                     "project_id", project, "user_id", user, "consumer_generation",
                     json_object_get(source, "consumer_generation"), to, "allocations",
                     without_generations(json_object_get(source, "allocations")), "project_id",
                     project, "user_id", user, "consumer_generation",
                     json_object_get(target, "consumer_generation"));
}

static bool move_allocations(Service *s, const DvCtx *ctx, const char *from, json_t *source,
                             const char *to, json_t *target, GError **err)
{
    static const int conflict_ok[] = {409, 0};
    json_t *body = move_body(from, source, to, target);
    json_t *answer = NULL;
    int status = 0;
    bool ok;

    if (!body)
        return dv_fail(err, DV_E_BAD_INPUT, "placement: allocations without their consumer's data");
    ok = service_call(s, ctx, AS_SERVICE, "POST", "/allocations", VERSION("1.28"), body,
                      conflict_ok, &status, &answer, err);
    if (ok && status == 409)
        ok = dv_fail(err, DV_E_CONFLICT, "placement: %s", error_detail_of(answer));
    json_decref(answer);
    return ok;
}

bool placement_allocations_move(Service *placement, const DvCtx *ctx, const char *from,
                                const char *to, bool *out_moved, GError **err)
{
    json_t *source = NULL, *target = NULL;
    size_t held = 0;
    bool ok = read_consumer(placement, ctx, from, &source, err) &&
              read_consumer(placement, ctx, to, &target, err);

    if (ok)
        held = json_object_size(json_object_get(source, "allocations"));
    if (ok && out_moved)
        *out_moved = held > 0 || json_object_size(json_object_get(target, "allocations")) > 0;
    if (ok && held > 0)
        ok = move_allocations(placement, ctx, from, source, to, target, err) ||
             dv_within(err, "moving allocations of %s to %s", from, to);
    json_decref(source);
    json_decref(target);
    return ok;
}
