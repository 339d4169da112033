/* What the tests of this folder share: a conductor and a placement made of structs, and the figures
 * that a real nova-compute reported (data/capacity.json, taken from a Zed cloud). */
#pragma once

#include "scheduler_hints/hint_priv.h"
#include "services/conductor_priv.h"
#include "util/fs.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A test takes from here what it needs. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define DATA_FILE "tests/unit/scheduler_hints/data/capacity.json"

/* ---- a clock that stands still ---- */

typedef struct FakeClock {
    int64_t now_ms;
} FakeClock;

static int64_t fake_now(void *self)
{
    return ((FakeClock *)self)->now_ms;
}

/* ---- conductor ---- */

typedef struct FakeCall {
    char *key;    /* "ComputeNode.save" */
    json_t *args; /* of the RPC */
} FakeCall;

typedef struct FakeConductor {
    DvMutex lock;
    GHashTable *answers;  /* key -> json_t result of a class action, or updates of an object's */
    GHashTable *failures; /* key -> exception class */
    GPtrArray *calls;     /* FakeCall */
    void (*hook)(void *arg, const char *key); /* runs before a call is answered */
    void *hook_arg;
} FakeConductor;

static void fake_call_free(gpointer data)
{
    FakeCall *call = data;

    g_free(call->key);
    json_decref(call->args);
    g_free(call);
}

static char *fake_key(json_t *args)
{
    const char *name = json_string_value(json_object_get(args, "objname"));
    json_t *objinst = json_object_get(args, "objinst");

    if (!name)
        name = json_string_value(json_object_get(objinst, "nova_object.name"));
    return g_strdup_printf("%s.%s", name, json_string_value(json_object_get(args, "objmethod")));
}

/* Class actions answer null when nothing is set, object actions no updates. */
static json_t *fake_answer(FakeConductor *fake, const char *key, bool object)
{
    json_t *answer = g_hash_table_lookup(fake->answers, key);

    answer = answer ? json_deep_copy(answer) : object ? json_object() : json_null();
    return object && json_is_object(answer) ? json_pack("[on]", answer) : answer;
}

static bool fake_conductor_call(void *self, const DvCtx *ctx G_GNUC_UNUSED,
                                const RpcTarget *target G_GNUC_UNUSED, const char *method,
                                json_t *args, int64_t timeout_ms G_GNUC_UNUSED, json_t **out_result,
                                RpcRemote *remote, GError **err)
{
    FakeConductor *fake = self;
    FakeCall *call = g_new0(FakeCall, 1);
    g_autofree char *key = fake_key(args);
    bool object = strcmp(method, "object_action") == 0;
    const char *failure;

    if (fake->hook)
        fake->hook(fake->hook_arg, key);
    call->key = g_strdup(key);
    /* A deep copy: the caller goes on writing to the object whose JSON was sent. */
    call->args = json_deep_copy(args);
    json_decref(args);
    dv_lock(&fake->lock);
    g_ptr_array_add(fake->calls, call);
    failure = g_hash_table_lookup(fake->failures, key);
    if (!failure)
        *out_result = fake_answer(fake, key, object);
    dv_unlock(&fake->lock);
    if (!failure)
        return true;
    if (g_str_equal(failure, "timeout"))
        return dv_fail(err, DV_E_TIMEOUT, "no answer in time");
    remote->class_name = g_strdup(failure);
    remote->message = g_strdup("as the test wants it");
    return dv_fail(err, DV_E_REMOTE, "remote");
}

static size_t fake_count(const FakeConductor *fake, const char *key)
{
    size_t n = 0;

    for (guint i = 0; i < fake->calls->len; i++)
        n += !key || g_str_equal(((FakeCall *)fake->calls->pdata[i])->key, key);
    return n;
}

/* The last call of that key; NULL when there was none. Borrowed. */
static json_t *fake_last(const FakeConductor *fake, const char *key)
{
    for (guint i = fake->calls->len; i-- > 0;) {
        const FakeCall *call = fake->calls->pdata[i];

        if (g_str_equal(call->key, key))
            return call->args;
    }
    return NULL;
}

/* ---- placement ---- */

typedef struct FakePlacement {
    PlacementProvider *provider; /* NULL: none */
    unsigned conflicts;          /* writes refused before one is taken */
    unsigned gets, creates, inventory_puts, trait_puts, ensures, listings;
    const char *unknown_trait; /* a standard trait that it does not have */
    GPtrArray *consumers, *deleted, *deleted_providers;
    DvErrorCode fail_with; /* every call, when not 0 */
} FakePlacement;

static void json_drop(gpointer json)
{
    json_decref(json);
}

static GPtrArray *names_new(void)
{
    return g_ptr_array_new_with_free_func(g_free);
}

static GPtrArray *names_copy(const GPtrArray *names)
{
    GPtrArray *copy = names_new();

    for (guint i = 0; names && i < names->len; i++)
        g_ptr_array_add(copy, g_strdup(names->pdata[i]));
    return copy;
}

static GArray *inventories_copy(const GArray *from)
{
    GArray *copy = g_array_new(FALSE, FALSE, sizeof(PlacementInventory));

    if (from)
        g_array_append_vals(copy, from->data, from->len);
    return copy;
}

static PlacementProvider *provider_copy(const PlacementProvider *from)
{
    PlacementProvider *copy = g_new0(PlacementProvider, 1);

    copy->uuid = g_strdup(from->uuid);
    copy->name = g_strdup(from->name);
    copy->generation = from->generation;
    copy->inventories = inventories_copy(from->inventories);
    copy->traits = names_copy(from->traits);
    return copy;
}

static bool fake_fails(const FakePlacement *fake, GError **err)
{
    return fake->fail_with != 0 && !dv_fail(err, fake->fail_with, "placement as the test wants it");
}

static bool fake_get(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                     PlacementProvider **out, GError **err)
{
    FakePlacement *fake = self;

    fake->gets++;
    if (fake_fails(fake, err))
        return false;
    *out = fake->provider && g_str_equal(fake->provider->uuid, uuid) ? provider_copy(fake->provider)
                                                                     : NULL;
    return true;
}

static bool fake_create(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                        const char *name, const char *parent_uuid, GError **err)
{
    FakePlacement *fake = self;

    fake->creates++;
    if (fake_fails(fake, err))
        return false;
    assert_null(parent_uuid);
    assert_null(fake->provider);
    fake->provider = g_new0(PlacementProvider, 1);
    fake->provider->uuid = g_strdup(uuid);
    fake->provider->name = g_strdup(name);
    fake->provider->inventories = inventories_copy(NULL);
    fake->provider->traits = names_new();
    return true;
}

static bool fake_delete(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    FakePlacement *fake = self;

    if (fake_fails(fake, err))
        return false;
    g_ptr_array_add(fake->deleted_providers, g_strdup(uuid));
    return true;
}

/* The rule of every write: the caller's generation must be the present one. */
static bool fake_generation(FakePlacement *fake, PlacementProvider *theirs, GError **err)
{
    if (fake_fails(fake, err))
        return false;
    if (fake->conflicts > 0) {
        fake->conflicts--;
        fake->provider->generation++;
    }
    if (theirs->generation != fake->provider->generation)
        return dv_fail(err, DV_E_CONFLICT, "generation moved");
    theirs->generation = ++fake->provider->generation;
    return true;
}

static bool fake_put_inventories(void *self, const DvCtx *ctx G_GNUC_UNUSED,
                                 PlacementProvider *provider, const GArray *inventories,
                                 GError **err)
{
    FakePlacement *fake = self;

    fake->inventory_puts++;
    if (!fake_generation(fake, provider, err))
        return false;
    g_array_unref(fake->provider->inventories);
    fake->provider->inventories = inventories_copy(inventories);
    g_array_unref(provider->inventories);
    provider->inventories = inventories_copy(inventories);
    return true;
}

static bool fake_put_traits(void *self, const DvCtx *ctx G_GNUC_UNUSED, PlacementProvider *provider,
                            const GPtrArray *traits, GError **err)
{
    FakePlacement *fake = self;

    fake->trait_puts++;
    if (!fake_generation(fake, provider, err))
        return false;
    for (guint i = 0; i < traits->len; i++)
        assert_true(g_strcmp0(traits->pdata[i], fake->unknown_trait) != 0);
    g_ptr_array_unref(fake->provider->traits);
    fake->provider->traits = names_copy(traits);
    g_ptr_array_unref(provider->traits);
    provider->traits = names_copy(traits);
    return true;
}

static bool fake_ensure(void *self, const DvCtx *ctx G_GNUC_UNUSED, GPtrArray *traits, GError **err)
{
    FakePlacement *fake = self;

    fake->ensures++;
    if (fake_fails(fake, err))
        return false;
    for (guint i = traits->len; i-- > 0;)
        if (g_strcmp0(traits->pdata[i], fake->unknown_trait) == 0)
            g_ptr_array_remove_index(traits, i);
    return true;
}

static bool fake_consumers(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                           GPtrArray **out, GError **err)
{
    FakePlacement *fake = self;

    assert_true(g_uuid_string_is_valid(uuid));
    fake->listings++;
    if (fake_fails(fake, err))
        return false;
    *out = names_copy(fake->consumers);
    return true;
}

static bool fake_allocations_delete(void *self, const DvCtx *ctx G_GNUC_UNUSED,
                                    const char *consumer, bool *out_existed, GError **err)
{
    FakePlacement *fake = self;

    if (fake_fails(fake, err))
        return false;
    g_ptr_array_add(fake->deleted, g_strdup(consumer));
    *out_existed = true;
    return true;
}

static const PlacementOps fake_placement_ops = {
    .provider_get = fake_get,
    .provider_create = fake_create,
    .provider_delete = fake_delete,
    .inventories_put = fake_put_inventories,
    .traits_put = fake_put_traits,
    .traits_ensure = fake_ensure,
    .consumers_of = fake_consumers,
    .allocations_delete = fake_allocations_delete,
};

/* ---- all of it ---- */

typedef struct Fixture {
    json_t *golden;
    FakeClock clock;
    DvClock dv_clock;
    FakeConductor conductor;
    FakePlacement placement;
    Conductor *con;
    Tracker *tracker;
    TrackerConfig config;
    HostFacts facts; /* strings borrowed from golden, arrays owned */
    DvErrorCode facts_fail;
    char *state_path;
    DvCtx *ctx;
} Fixture;

static const char *text_of(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int64_t int_of(json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* The facts that nova-compute must have seen to write this record. */
static void facts_from(Fixture *fx, json_t *record)
{
    json_t *specs = json_object_get(record, "supported_hv_specs");
    json_t *item;
    size_t i;

    fx->facts.hypervisor_hostname = (char *)text_of(record, "hypervisor_hostname");
    fx->facts.hypervisor_type = (char *)text_of(record, "hypervisor_type");
    fx->facts.hypervisor_version = int_of(record, "hypervisor_version");
    fx->facts.vcpus = int_of(record, "vcpus");
    fx->facts.memory_mib = int_of(record, "memory_mb");
    fx->facts.disk_gib = int_of(record, "local_gb");
    fx->facts.disk_available_least_gib = int_of(record, "disk_available_least");
    fx->facts.cpu_info = (char *)text_of(record, "cpu_info");
    fx->facts.numa_topology = (char *)text_of(record, "numa_topology");
    g_ptr_array_set_size(fx->facts.specs, 0);
    json_array_foreach(specs, i, item)
    {
        json_t *data = json_object_get(item, "nova_object.data");
        HostSpecTriple *triple = g_new0(HostSpecTriple, 1);

        triple->arch = (char *)text_of(data, "arch");
        triple->hv_type = (char *)text_of(data, "hv_type");
        triple->vm_mode = (char *)text_of(data, "vm_mode");
        g_ptr_array_add(fx->facts.specs, triple);
    }
}

static gpointer triple_copy(gconstpointer from, gpointer arg G_GNUC_UNUSED)
{
    const HostSpecTriple *triple = from;
    HostSpecTriple *copy = g_new0(HostSpecTriple, 1);

    copy->arch = g_strdup(triple->arch);
    copy->hv_type = g_strdup(triple->hv_type);
    copy->vm_mode = g_strdup(triple->vm_mode);
    return copy;
}

static void triple_free(gpointer data)
{
    HostSpecTriple *triple = data;

    g_free(triple->arch);
    g_free(triple->hv_type);
    g_free(triple->vm_mode);
    g_free(triple);
}

static bool fixture_facts(void *arg, HostFacts **out, GError **err)
{
    Fixture *fx = arg;
    HostFacts *facts;

    if (fx->facts_fail)
        return dv_fail(err, fx->facts_fail, "libvirt is away");
    facts = g_new0(HostFacts, 1);
    *facts = fx->facts;
    facts->hypervisor_hostname = g_strdup(fx->facts.hypervisor_hostname);
    facts->hypervisor_type = g_strdup(fx->facts.hypervisor_type);
    facts->cpu_info = g_strdup(fx->facts.cpu_info);
    facts->numa_topology = g_strdup(fx->facts.numa_topology);
    facts->traits = names_copy(fx->facts.traits);
    facts->specs = g_ptr_array_new_with_free_func(triple_free);
    for (guint i = 0; i < fx->facts.specs->len; i++)
        g_ptr_array_add(facts->specs, triple_copy(fx->facts.specs->pdata[i], NULL));
    *out = facts;
    return true;
}

static void fixture_answer(Fixture *fx, const char *key, json_t *answer)
{
    dv_lock(&fx->conductor.lock);
    g_hash_table_replace(fx->conductor.answers, g_strdup(key), answer);
    dv_unlock(&fx->conductor.lock);
}

static void fixture_fail(Fixture *fx, const char *key, const char *exception)
{
    if (exception)
        g_hash_table_replace(fx->conductor.failures, g_strdup(key), g_strdup(exception));
    else
        g_hash_table_remove(fx->conductor.failures, key);
}

/* Conductor answers as it did in that capture, the hypervisor as it must have. */
static json_t *fixture_scene(Fixture *fx, const char *name)
{
    json_t *scene = json_object_get(fx->golden, name);
    const char *key;
    json_t *answer;

    assert_non_null(scene);
    json_object_foreach(json_object_get(scene, "answers"), key, answer)
        fixture_answer(fx, key, json_deep_copy(answer));
    fixture_answer(fx, "ComputeNode.save",
                   json_deep_copy(json_array_get(json_object_get(scene, "save_answer"), 0)));
    facts_from(fx, json_object_get(scene, "save"));
    return json_object_get(scene, "save");
}

static void fixture_trait(GPtrArray *traits, json_t *names)
{
    json_t *name;
    size_t i;

    json_array_foreach(names, i, name) g_ptr_array_add(traits, g_strdup(json_string_value(name)));
}

/* The tracker is made at first use, so that a test can change config before. */
static Tracker *fixture_tracker(Fixture *fx)
{
    if (!fx->tracker)
        fx->tracker = tracker_new_with(&fx->config, fx->con, &fake_placement_ops, &fx->placement,
                                       fixture_facts, fx, &fx->dv_clock);
    return fx->tracker;
}

static void fixture_restart(Fixture *fx)
{
    g_clear_pointer(&fx->tracker, tracker_free);
}

static int fixture_setup(void **state)
{
    Fixture *fx = g_new0(Fixture, 1);
    ConductorTransport transport = {.call = fake_conductor_call, .self = &fx->conductor};
    json_error_t why;

    fx->golden = json_load_file(DATA_FILE, 0, &why);
    if (!fx->golden)
        fail_msg("%s: %s", DATA_FILE, why.text);
    fx->dv_clock = (DvClock){fake_now, fake_now, &fx->clock};
    dv_mutex_init(&fx->conductor.lock);
    fx->conductor.answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, json_drop);
    fx->conductor.failures = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    fx->conductor.calls = g_ptr_array_new_with_free_func(fake_call_free);
    fx->placement.consumers = names_new();
    fx->placement.deleted = names_new();
    fx->placement.deleted_providers = names_new();
    fx->con = conductor_new_with(&transport, NOVA_ZED);
    fx->state_path = g_dir_make_tmp("hints-XXXXXX", NULL);
    fx->facts.specs = g_ptr_array_new_with_free_func(g_free);
    fx->facts.traits = names_new();
    fixture_trait(fx->facts.traits,
                  json_object_get(json_object_get(fx->golden, "placement"), "traits"));
    for (guint i = fx->facts.traits->len; i-- > 0;)
        if (g_str_equal(fx->facts.traits->pdata[i], "COMPUTE_NODE"))
            g_ptr_array_remove_index(fx->facts.traits, i);
    fx->config = (TrackerConfig){
        .host = "vm",
        .my_ip = "127.0.0.1",
        .state_path = fx->state_path,
        .reserved_host_memory_mib = 512,
        .initial_cpu_ratio = 16.0,
        .initial_ram_ratio = 1.5,
        .initial_disk_ratio = 1.0,
        .failed_build_threshold = 10,
        .association_refresh_s = 300,
    };
    fx->ctx = dv_ctx_new_admin();
    *state = fx;
    return 0;
}

static int fixture_teardown(void **state)
{
    Fixture *fx = *state;

    fixture_restart(fx);
    conductor_free(fx->con);
    json_decref(fx->golden);
    g_hash_table_unref(fx->conductor.answers);
    g_hash_table_unref(fx->conductor.failures);
    g_ptr_array_unref(fx->conductor.calls);
    dv_mutex_done(&fx->conductor.lock);
    placement_provider_free(fx->placement.provider);
    g_ptr_array_unref(fx->placement.consumers);
    g_ptr_array_unref(fx->placement.deleted);
    g_ptr_array_unref(fx->placement.deleted_providers);
    g_ptr_array_unref(fx->facts.specs);
    g_ptr_array_unref(fx->facts.traits);
    dv_remove_tree(fx->state_path, NULL);
    g_free(fx->state_path);
    dv_ctx_unref(fx->ctx);
    g_free(fx);
    return 0;
}

#define fixture_test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* ---- what tests ask again and again ---- */

static void audit_ok(Fixture *fx)
{
    g_autoptr(GError) err = NULL;

    if (!tracker_audit(fixture_tracker(fx), fx->ctx, true, &err))
        fail_msg("%s", err->message);
}

static bool same_value(json_t *a, json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

/* The record as the database would have it: what it had, and what the tracker saved, equals what
 * nova-compute saved. Change lists inside do not count. */
static void assert_record(json_t *had, json_t *saved_args, json_t *want)
{
    json_t *is = json_deep_copy(had);
    json_t *sent = json_object_get(json_object_get(saved_args, "objinst"), "nova_object.data");
    const char *field;
    json_t *value;

    json_object_update(is, sent);
    json_object_foreach(want, field, value)
    {
        g_autoptr(Ovo) left = ovo_new_dict(), right = ovo_new_dict();
        g_autofree char *left_text = NULL, *right_text = NULL;

        if (g_str_equal(field, "updated_at"))
            continue;
        ovo_set_json(left, "value", json_deep_copy(json_object_get(is, field)));
        ovo_set_json(right, "value", json_deep_copy(value));
        ovo_reset_changes(left);
        ovo_reset_changes(right);
        left_text = ovo_text(left);
        right_text = ovo_text(right);
        if (!same_value(json_object_get(is, field), value) && strcmp(left_text, right_text) != 0)
            fail_msg("%s: is %.300s, nova-compute has %.300s", field, left_text, right_text);
    }
    json_decref(is);
}

/* Data of the one node in a ComputeNodeList answer. Borrowed. */
static json_t *listed_node(json_t *scene)
{
    json_t *list = json_object_get(json_object_get(scene, "answers"),
                                   "ComputeNodeList.get_all_by_host");
    json_t *objects = json_object_get(json_object_get(list, "nova_object.data"), "objects");

    return json_object_get(json_array_get(objects, 0), "nova_object.data");
}

/* The tracker's own idea of the record. Borrowed JSON. */
static json_t *tracker_record(Fixture *fx)
{
    json_t *json = ovo_json(fx->tracker->node);
    json_t *data = json_object_get(json, "nova_object.data");

    json_decref(json); /* the tracker keeps it */
    return data;
}

static Ovo *golden_instance(Fixture *fx)
{
    json_t *prim = json_object_get(json_object_get(fx->golden, "boot"), "instance");
    g_autoptr(GError) err = NULL;
    Ovo *instance = ovo_take(json_deep_copy(prim), "Instance", &err);

    assert_non_null(instance);
    return instance;
}
