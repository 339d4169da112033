/* The placement client against scripted answers in the shapes a real placement (Zed) gives. */
#include "services/placement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <jansson.h>

#include "fakes/keystone.h"

#define RP "11111111-1111-4111-8111-111111111111"
#define VM "22222222-2222-4222-8222-222222222222"
#define BASE "/placement/resource_providers/" RP
#define ALLOC "/placement/allocations/" VM

typedef struct Fixture {
    HttpServer *server;
    HttpClient *http;
    ServiceConfig config;
    Service *service;
} Fixture;

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->server = http_server_new();
    f->http = http_client_new();
    f->config = keystone_config(f->server, "placement", "placement");
    f->service = service_new(f->http, &f->config, NULL);
    keystone_grant(f->server, "own", 3600);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    service_free(f->service);
    http_client_free(f->http);
    http_server_free(f->server);
    g_free(f);
    return 0;
}

static void script_provider(Fixture *f, int record, int inventories, int traits)
{
    g_autofree char *a = g_strdup_printf("{\"uuid\":\"" RP "\",\"name\":\"vm\",\"generation\":%d,"
                                         "\"root_provider_uuid\":\"" RP
                                         "\",\"parent_provider_uuid\":null,\"links\":[]}",
                                         record);
    g_autofree char *b = g_strdup_printf(
        "{\"resource_provider_generation\":%d,\"inventories\":{\"VCPU\":{"
        "\"total\":2,\"reserved\":0,\"min_unit\":1,\"max_unit\":2,\"step_size\":1,"
        "\"allocation_ratio\":16.0}}}",
        inventories);
    g_autofree char *c = g_strdup_printf(
        "{\"resource_provider_generation\":%d,\"traits\":[\"HW_CPU_X86_SSE\","
        "\"COMPUTE_NODE\"]}",
        traits);

    http_server_json(f->server, "GET", BASE, 200, a);
    http_server_json(f->server, "GET", BASE "/inventories", 200, b);
    http_server_json(f->server, "GET", BASE "/traits", 200, c);
}

static void a_provider_is_read_with_inventories_and_traits(void **state)
{
    Fixture *f = *state;
    g_autoptr(PlacementProvider) p = NULL;
    const PlacementInventory *v;

    script_provider(f, 5, 5, 5);
    assert_true(placement_provider_get(f->service, NULL, RP, &p, NULL));
    assert_string_equal(p->uuid, RP);
    assert_string_equal(p->name, "vm");
    assert_int_equal(p->generation, 5);
    assert_int_equal(p->inventories->len, 1);
    v = &g_array_index(p->inventories, PlacementInventory, 0);
    assert_string_equal(v->resource_class, "VCPU");
    assert_int_equal(v->total, 2);
    assert_true(v->allocation_ratio == 16.0);
    assert_int_equal(p->traits->len, 2);
    assert_string_equal(p->traits->pdata[0], "COMPUTE_NODE"); /* sorted */
}

static void an_unknown_provider_is_null(void **state)
{
    Fixture *f = *state;
    PlacementProvider *p = (PlacementProvider *)f;

    http_server_json(f->server, "GET", BASE, 404, "{\"errors\":[]}");
    assert_true(placement_provider_get(f->service, NULL, RP, &p, NULL));
    assert_null(p);
}

static void a_provider_that_changed_meanwhile_is_read_again(void **state)
{
    Fixture *f = *state;
    g_autoptr(PlacementProvider) p = NULL;

    script_provider(f, 5, 5, 6);
    script_provider(f, 6, 6, 6);
    assert_true(placement_provider_get(f->service, NULL, RP, &p, NULL));
    assert_int_equal(p->generation, 6);
    assert_int_equal(http_server_count(f->server, "GET", BASE), 2);
}

static void a_provider_that_never_settles_is_a_conflict(void **state)
{
    Fixture *f = *state;
    PlacementProvider *p = NULL;
    g_autoptr(GError) err = NULL;

    script_provider(f, 5, 6, 7);
    assert_false(placement_provider_get(f->service, NULL, RP, &p, &err));
    assert_true(dv_is(err, DV_E_CONFLICT));
}

static void broken_answers_are_errors(void **state)
{
    static const char *const bodies[] = {"[]", "{}", "{\"name\":3,\"generation\":1}",
                                         "{\"name\":\"x\",\"generation\":\"1\"}"};
    Fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(bodies); i++) {
        PlacementProvider *p = NULL;
        g_autoptr(GError) err = NULL;

        http_server_reset(f->server);
        keystone_grant(f->server, "own", 3600);
        http_server_json(f->server, "GET", BASE "*", 200, bodies[i]);
        assert_false(placement_provider_get(f->service, NULL, RP, &p, &err));
        assert_true(dv_is(err, DV_E_BAD_INPUT));
    }
}

static void create_sends_name_and_parent(void **state)
{
    Fixture *f = *state;
    g_autofree char *version = NULL;
    const HttpSeen *seen;

    http_server_json(f->server, "POST", "/placement/resource_providers", 200, "{}");
    assert_true(placement_provider_create(f->service, NULL, RP, "vm", NULL, NULL));
    assert_true(placement_provider_create(f->service, NULL, RP, "vm_gpu", VM, NULL));
    seen = http_server_seen(f->server, "POST", "/placement/resource_providers", 0);
    assert_string_equal(seen->body, "{\"uuid\":\"" RP "\",\"name\":\"vm\"}");
    version = http_seen_header(seen, "OpenStack-API-Version");
    assert_string_equal(version, "placement 1.20");
    seen = http_server_seen(f->server, "POST", "/placement/resource_providers", 1);
    assert_string_equal(seen->body, "{\"uuid\":\"" RP
                                    "\",\"name\":\"vm_gpu\",\"parent_provider_uuid\":\"" VM "\"}");
}

static void create_tells_a_race_from_a_taken_name(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    http_server_json(f->server, "POST", "/placement/resource_providers", 409, "{\"errors\":[]}");
    http_server_json(f->server, "GET", BASE, 200, "{\"name\":\"vm\",\"generation\":0}");
    http_server_json(f->server, "GET", BASE, 404, "{\"errors\":[]}");
    assert_true(placement_provider_create(f->service, NULL, RP, "vm", NULL, NULL));
    assert_false(placement_provider_create(f->service, NULL, RP, "vm", NULL, &err));
    assert_true(dv_is(err, DV_E_BAD_CONFIG));
    assert_non_null(strstr(err->message, "named vm"));
}

static void delete_of_what_is_gone_is_done(void **state)
{
    Fixture *f = *state;

    http_server_json(f->server, "DELETE", BASE, 204, "");
    http_server_json(f->server, "DELETE", BASE, 404, "{}");
    assert_true(placement_provider_delete(f->service, NULL, RP, NULL));
    assert_true(placement_provider_delete(f->service, NULL, RP, NULL));
}

static GArray *two_inventories(void)
{
    GArray *all = g_array_new(FALSE, TRUE, sizeof(PlacementInventory));
    PlacementInventory memory = {"MEMORY_MB", 8000, 512, 1, 8000, 1, 1.5};
    PlacementInventory custom = {"CUSTOM_GOLD", 3, 0, 1, 3, 1, 1.0};

    g_array_append_val(all, memory);
    g_array_append_val(all, custom);
    return all;
}

static void inventories_are_written_with_the_generation(void **state)
{
    Fixture *f = *state;
    g_autoptr(PlacementProvider) p = NULL;
    g_autoptr(GArray) all = two_inventories();

    script_provider(f, 5, 5, 5);
    http_server_json(f->server, "PUT", "/placement/resource_classes/CUSTOM_GOLD", 201, "");
    http_server_json(f->server, "PUT", BASE "/inventories", 200,
                     "{\"resource_provider_generation\":6,\"inventories\":{}}");
    assert_true(placement_provider_get(f->service, NULL, RP, &p, NULL));
    assert_true(placement_inventories_put(f->service, NULL, p, all, NULL));
    assert_int_equal(p->generation, 6);
    assert_int_equal(p->inventories->len, 2);
    assert_int_equal(http_server_count(f->server, "PUT", "/placement/resource_classes/*"), 1);
    assert_string_equal(
        http_server_seen(f->server, "PUT", BASE "/inventories", 0)->body,
        "{\"resource_provider_generation\":5,\"inventories\":{"
        "\"MEMORY_MB\":{\"total\":8000,\"reserved\":512,\"min_unit\":1,\"max_unit\":"
        "8000,\"step_size\":1,\"allocation_ratio\":1.5},"
        "\"CUSTOM_GOLD\":{\"total\":3,\"reserved\":0,\"min_unit\":1,\"max_unit\":3,"
        "\"step_size\":1,\"allocation_ratio\":1.0}}}");
}

static void conflicts_of_inventories_are_told_apart(void **state)
{
    static const struct {
        const char *code;
        DvErrorCode want;
    } cases[] = {{"placement.concurrent_update", DV_E_CONFLICT},
                 {"placement.inventory.inuse", DV_E_UNSUPPORTED}};
    Fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(PlacementProvider) p = NULL;
        g_autoptr(GArray) none = g_array_new(FALSE, TRUE, sizeof(PlacementInventory));
        g_autoptr(GError) err = NULL;
        g_autofree char *body = g_strdup_printf(
            "{\"errors\":[{\"status\":409,\"title\":\"Conflict\",\"detail\":\"why not\",\"code\":"
            "\"%s\"}]}",
            cases[i].code);

        http_server_reset(f->server);
        keystone_grant(f->server, "own", 3600);
        script_provider(f, 5, 5, 5);
        http_server_json(f->server, "PUT", BASE "/inventories", 409, body);
        assert_true(placement_provider_get(f->service, NULL, RP, &p, NULL));
        assert_false(placement_inventories_put(f->service, NULL, p, none, &err));
        assert_int_equal(dv_code(err), cases[i].want);
        assert_non_null(strstr(err->message, "why not"));
        assert_int_equal(p->generation, 5);
        assert_int_equal(p->inventories->len, 1);
    }
}

static void traits_are_written_and_kept_sorted(void **state)
{
    Fixture *f = *state;
    g_autoptr(PlacementProvider) p = NULL;
    g_autoptr(GPtrArray) traits = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(traits, g_strdup("HW_B"));
    g_ptr_array_add(traits, g_strdup("HW_A"));
    script_provider(f, 5, 5, 5);
    http_server_json(f->server, "PUT", BASE "/traits", 200,
                     "{\"resource_provider_generation\":9,\"traits\":[]}");
    assert_true(placement_provider_get(f->service, NULL, RP, &p, NULL));
    assert_true(placement_traits_put(f->service, NULL, p, traits, NULL));
    assert_int_equal(p->generation, 9);
    assert_string_equal(p->traits->pdata[0], "HW_A");
    assert_string_equal(http_server_seen(f->server, "PUT", BASE "/traits", 0)->body,
                        "{\"resource_provider_generation\":5,\"traits\":[\"HW_B\",\"HW_A\"]}");
}

static void custom_traits_are_created_and_unknown_ones_dropped(void **state)
{
    Fixture *f = *state;
    g_autoptr(GPtrArray) traits = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(traits, g_strdup("HW_A"));
    g_ptr_array_add(traits, g_strdup("HW_FROM_THE_FUTURE"));
    g_ptr_array_add(traits, g_strdup("CUSTOM_NEW"));
    g_ptr_array_add(traits, g_strdup("CUSTOM_OLD"));
    http_server_json(f->server, "GET", "/placement/traits?name=in:*", 200,
                     "{\"traits\":[\"HW_A\",\"CUSTOM_OLD\"]}");
    http_server_json(f->server, "PUT", "/placement/traits/CUSTOM_NEW", 201, "");
    assert_true(placement_traits_ensure(f->service, NULL, traits, NULL));
    assert_int_equal(traits->len, 3);
    assert_string_equal(traits->pdata[0], "HW_A");
    assert_string_equal(traits->pdata[1], "CUSTOM_NEW");
    assert_string_equal(http_server_seen(f->server, "GET", "/placement/traits*", 0)->target,
                        "/placement/traits?name=in:HW_A,HW_FROM_THE_FUTURE,CUSTOM_NEW,CUSTOM_OLD");
    assert_int_equal(http_server_count(f->server, "PUT", "*"), 1);
}

static void many_traits_are_asked_for_in_pieces(void **state)
{
    Fixture *f = *state;
    g_autoptr(GPtrArray) traits = g_ptr_array_new_with_free_func(g_free);

    for (int i = 0; i < 300; i++)
        g_ptr_array_add(traits, g_strdup_printf("HW_CPU_X86_SOMETHING_LONG_%d", i));
    http_server_json(f->server, "GET", "/placement/traits?name=in:*", 200, "{\"traits\":[]}");
    assert_true(placement_traits_ensure(f->service, NULL, traits, NULL));
    assert_int_equal(traits->len, 0);
    assert_true(http_server_count(f->server, "GET", "/placement/traits*") > 3);
    assert_true(strlen(http_server_seen(f->server, "GET", "/placement/traits*", 0)->target) < 2200);
}

static void consumers_are_listed(void **state)
{
    Fixture *f = *state;
    g_autoptr(GPtrArray) consumers = NULL;

    http_server_json(f->server, "GET", BASE "/allocations", 200,
                     "{\"allocations\":{\"" VM "\":{\"resources\":{\"VCPU\":1}}},"
                     "\"resource_provider_generation\":37}");
    assert_true(placement_consumers_of(f->service, NULL, RP, &consumers, NULL));
    assert_int_equal(consumers->len, 1);
    assert_string_equal(consumers->pdata[0], VM);
}

static void deleting_allocations_tells_whether_there_were_any(void **state)
{
    Fixture *f = *state;
    bool existed = false;

    http_server_json(f->server, "DELETE", ALLOC, 204, "");
    http_server_json(f->server, "DELETE", ALLOC, 404, "{}");
    assert_true(placement_allocations_delete(f->service, NULL, VM, &existed, NULL));
    assert_true(existed);
    assert_true(placement_allocations_delete(f->service, NULL, VM, &existed, NULL));
    assert_false(existed);
}

static void existence_is_read(void **state)
{
    Fixture *f = *state;
    bool exist = false;

    http_server_json(f->server, "GET", ALLOC, 200, "{\"allocations\":{\"" RP "\":{}}}");
    http_server_json(f->server, "GET", ALLOC, 200, "{\"allocations\":{}}");
    assert_true(placement_allocations_exist(f->service, NULL, VM, &exist, NULL));
    assert_true(exist);
    assert_true(placement_allocations_exist(f->service, NULL, VM, &exist, NULL));
    assert_false(exist);
}

static void one_provider_is_taken_out_of_an_allocation(void **state)
{
    static const char *const gone[] = {RP, NULL};
    Fixture *f = *state;

    http_server_json(
        f->server, "GET", ALLOC, 200,
        "{\"allocations\":{\"" RP "\":{\"resources\":{\"VCPU\":1},\"generation\":3},"
        "\"other\":{\"resources\":{\"VCPU\":2},\"generation\":8}},\"project_id\":\"p\","
        "\"user_id\":\"u\",\"consumer_generation\":4}");
    http_server_json(f->server, "PUT", ALLOC, 409,
                     "{\"errors\":[{\"code\":\"placement.concurrent_update\",\"detail\":\"x\"}]}");
    http_server_json(f->server, "PUT", ALLOC, 204, "");
    assert_true(placement_allocations_remove_providers(f->service, NULL, VM, gone, NULL));
    assert_string_equal(http_server_seen(f->server, "PUT", ALLOC, 1)->body,
                        "{\"allocations\":{\"other\":{\"resources\":{\"VCPU\":2}}},\"project_id\":"
                        "\"p\",\"user_id\":\"u\",\"consumer_generation\":4}");
}

static void nothing_is_written_when_the_provider_is_not_in_it(void **state)
{
    static const char *const gone[] = {"somebody-else", NULL};
    Fixture *f = *state;

    http_server_json(f->server, "GET", ALLOC, 200,
                     "{\"allocations\":{\"" RP "\":{\"resources\":{}}},\"project_id\":\"p\","
                     "\"user_id\":\"u\",\"consumer_generation\":4}");
    http_server_json(f->server, "GET", ALLOC, 200, "{\"allocations\":{}}");
    assert_true(placement_allocations_remove_providers(f->service, NULL, VM, gone, NULL));
    assert_true(placement_allocations_remove_providers(f->service, NULL, VM, gone, NULL));
    assert_int_equal(http_server_count(f->server, "PUT", "*"), 0);
}

#define MIG "33333333-3333-4333-8333-333333333333"
#define MIG_ALLOC "/placement/allocations/" MIG
#define ALL "/placement/allocations"
#define HELD(who)                                                             \
    "{\"allocations\":{\"" RP                                                 \
    "\":{\"resources\":{\"VCPU\":1},\"generation\":3}},\"project_id\":\"p\"," \
    "\"user_id\":\"u\",\"consumer_generation\":" who "}"

/* Both consumers in one request: the resources are never free in between. */
static void allocations_move_in_one_write(void **state)
{
    Fixture *f = *state;
    bool moved = false;

    http_server_json(f->server, "GET", MIG_ALLOC, 200, HELD("4"));
    http_server_json(f->server, "GET", ALLOC, 200, HELD("7"));
    http_server_json(f->server, "POST", ALL, 204, "");
    assert_true(placement_allocations_move(f->service, NULL, MIG, VM, &moved, NULL));
    assert_true(moved);
    assert_string_equal(http_server_seen(f->server, "POST", ALL, 0)->body,
                        "{\"" MIG "\":{\"allocations\":{},\"project_id\":\"p\",\"user_id\":\"u\","
                        "\"consumer_generation\":4},\"" VM "\":{\"allocations\":{\"" RP
                        "\":{\"resources\":{\"VCPU\":1}}},\"project_id\":\"p\",\"user_id\":\"u\","
                        "\"consumer_generation\":7}}");
}

static void moving_to_a_new_consumer_says_so(void **state)
{
    Fixture *f = *state;

    http_server_json(f->server, "GET", MIG_ALLOC, 200, HELD("4"));
    http_server_json(f->server, "GET", ALLOC, 200, "{\"allocations\":{}}");
    http_server_json(f->server, "POST", ALL, 204, "");
    assert_true(placement_allocations_move(f->service, NULL, MIG, VM, NULL, NULL));
    assert_non_null(
        strstr(http_server_seen(f->server, "POST", ALL, 0)->body, "\"consumer_generation\":null"));
}

static void moving_what_was_moved_before_writes_nothing(void **state)
{
    Fixture *f = *state;
    bool moved = false;

    http_server_json(f->server, "GET", MIG_ALLOC, 200, "{\"allocations\":{}}");
    http_server_json(f->server, "GET", ALLOC, 200, HELD("7"));
    http_server_json(f->server, "GET", ALLOC, 200, "{\"allocations\":{}}");
    assert_true(placement_allocations_move(f->service, NULL, MIG, VM, &moved, NULL));
    assert_true(moved);
    assert_true(placement_allocations_move(f->service, NULL, MIG, VM, &moved, NULL));
    assert_false(moved);
    assert_int_equal(http_server_count(f->server, "POST", ALL), 0);
}

static void a_move_that_somebody_disturbs_is_a_conflict(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    http_server_json(f->server, "GET", MIG_ALLOC, 200, HELD("4"));
    http_server_json(f->server, "GET", ALLOC, 200, HELD("7"));
    http_server_json(f->server, "POST", ALL, 409,
                     "{\"errors\":[{\"code\":\"placement.concurrent_update\",\"detail\":"
                     "\"consumer generation conflict\"}]}");
    assert_false(placement_allocations_move(f->service, NULL, MIG, VM, NULL, &err));
    assert_int_equal(err->code, DV_E_CONFLICT);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_provider_is_read_with_inventories_and_traits),
        T(an_unknown_provider_is_null),
        T(a_provider_that_changed_meanwhile_is_read_again),
        T(a_provider_that_never_settles_is_a_conflict),
        T(broken_answers_are_errors),
        T(create_sends_name_and_parent),
        T(create_tells_a_race_from_a_taken_name),
        T(delete_of_what_is_gone_is_done),
        T(inventories_are_written_with_the_generation),
        T(conflicts_of_inventories_are_told_apart),
        T(traits_are_written_and_kept_sorted),
        T(custom_traits_are_created_and_unknown_ones_dropped),
        T(many_traits_are_asked_for_in_pieces),
        T(consumers_are_listed),
        T(deleting_allocations_tells_whether_there_were_any),
        T(existence_is_read),
        T(one_provider_is_taken_out_of_an_allocation),
        T(allocations_move_in_one_write),
        T(moving_to_a_new_consumer_says_so),
        T(moving_what_was_moved_before_writes_nothing),
        T(a_move_that_somebody_disturbs_is_a_conflict),
        T(nothing_is_written_when_the_provider_is_not_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
