/* What the agent does by itself about ports that neutron has elsewhere. */
#include "flow/server.h"

#include "../unit/services/neutron_recorded.h"
#include "agent/network_cache.h"

#include <string.h>

#define PROJECT "3900c7d49ef84784b86607ae092a97bc"
#define PORTS FLOW_NEUTRON "/ports?tenant_id=" PROJECT "&device_id=" UUID

/* Neutron has them on another host. */
static int setup(void **state)
{
    FakeAgent *fake = booted(NULL);
    g_auto(GStrv) parts = g_strsplit(recorded_ports, "\"binding:host_id\":\"vm\"", -1);
    g_autofree char *ports = g_strjoinv("\"binding:host_id\":\"vm2\"", parts);

    http_server_json(fake_agent_server(fake), "GET", PORTS, 200, ports);
    /* what was scripted before is answered once more */
    assert_true(neutron_bind_host(
        fake_agent(fake)->neutron, fake_agent_ctx(fake),
        &(NetworkInstance){.uuid = UUID, .project_id = PROJECT, .host = "vm"}, NULL, NULL));
    *state = fake;
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

static unsigned bound(FakeAgent *fake)
{
    return http_server_count(fake_agent_server(fake), "PUT", FLOW_NEUTRON "/ports/" FLOW_PORT_A) +
           http_server_count(fake_agent_server(fake), "PUT", FLOW_NEUTRON "/ports/" FLOW_PORT_B);
}

static unsigned heal(FakeAgent *fake)
{
    unsigned before = bound(fake);

    assert_true(network_cache_heal(fake_agent(fake), fake_agent_ctx(fake), UUID, NULL));
    fake_agent_wait(fake, UUID);
    return bound(fake) - before;
}

static void ports_of_a_server_are_bound_where_it_is(void **state)
{
    assert_int_equal(heal(*state), 2);
}

/* The guest may have arrived, and neutron know it, while the record still names this host. */
static void ports_of_a_server_that_moves_stay_where_they_are(void **state)
{
    static const char *const tasks[] = {"migrating",       "resize_prep",   "resize_migrating",
                                        "resize_migrated", "resize_finish", "resize_reverting"};
    FakeAgent *fake = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(tasks); i++) {
        fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", tasks[i]);
        assert_int_equal(heal(fake), 0);
    }
}

static void ports_of_a_server_that_has_left_stay_where_they_are(void **state)
{
    FakeAgent *fake = *state;

    fake_conductor_set(fake_agent_conductor(fake), UUID, "host", "vm2");
    assert_int_equal(heal(fake), 0);
}

static unsigned readings(FakeAgent *fake)
{
    unsigned before = http_server_count(fake_agent_server(fake), "GET", PORTS);

    network_cache_want(fake_agent(fake), fake_agent_ctx(fake), UUID);
    fake_agent_wait(fake, UUID);
    return http_server_count(fake_agent_server(fake), "GET", PORTS) - before;
}

/* neutron has them nowhere for a moment: nothing to be kept. */
static void ports_that_change_over_are_not_read(void **state)
{
    FakeAgent *fake = *state;

    assert_int_equal(readings(fake), 1);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "migrating");
    assert_int_equal(readings(fake), 0);
}

/* A source that reads the ports while they change over may store them after the instance was read.
 */
static void what_others_stored_since_is_replaced(void **state)
{
    FakeAgent *fake = *state;
    FakeConductor *conductor = fake_agent_conductor(fake);
    static const char *const attrs[] = {"info_cache", NULL};
    g_autoptr(Ovo) instance = NULL;
    g_autoptr(NetworkInfo) info = NULL;
    g_autoptr(NeutronPorts) ports = NULL;
    g_autofree char *stored = NULL;
    g_autofree char *after = NULL;
    json_t *object;

    assert_true(conductor_instance_get(fake_agent(fake)->con, fake_agent_ctx(fake), UUID, attrs,
                                       &instance, NULL));
    assert_true(
        network_cache_refresh(fake_agent(fake), fake_agent_ctx(fake), instance, NULL, NULL));
    stored = fake_conductor_field(conductor, UUID, "info_cache");
    object = json_loads(stored, 0, NULL);
    json_object_set_new(json_object_get(object, "nova_object.data"), "network_info",
                        json_string("[]"));
    fake_conductor_set_json(conductor, UUID, "info_cache", object);
    assert_true(
        network_cache_take(fake_agent(fake), fake_agent_ctx(fake), instance, &ports, &info, NULL));
    after = fake_conductor_field(conductor, UUID, "info_cache");
    assert_non_null(strstr(after, FLOW_PORT_A));
    assert_non_null(strstr(after, FLOW_PORT_B));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(ports_of_a_server_are_bound_where_it_is),
        T(ports_of_a_server_that_moves_stay_where_they_are),
        T(ports_of_a_server_that_has_left_stay_where_they_are),
        T(ports_that_change_over_are_not_read),
        T(what_others_stored_since_is_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
