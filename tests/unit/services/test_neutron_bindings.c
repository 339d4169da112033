/* Bindings of ports that move to another host: made active, told of, and given up. */
#include "neutron_fixture.h"

#define BOUND V2 "/ports?device_id=" VM "&tenant_id=" PROJECT "&binding:host_id=vm"
#define BINDING_A V2 "/ports/" PORT_A "/bindings/there"
#define BINDING_B V2 "/ports/" PORT_B "/bindings/there"
#define INACTIVE "{\"binding\":{\"host\":\"there\",\"status\":\"INACTIVE\"}}"
#define ACTIVE "{\"binding\":{\"host\":\"there\",\"status\":\"ACTIVE\"}}"

static int setup(void **state)
{
    Fixture *f = fixture_new(dv_ctx_new_admin());

    http_server_json(f->server, "GET", BOUND, 200, recorded_ports);
    *state = f;
    return 0;
}

static void script(Fixture *f, const char *method, const char *target, int status, const char *body)
{
    http_server_json(f->server, method, target, status, body);
}

static unsigned count(Fixture *f, const char *method, const char *target)
{
    return http_server_count(f->server, method, target);
}

static bool activate(Fixture *f, GError **err)
{
    g_autoptr(NetworkInfo)
        ports = network_info_parse("[{\"id\":\"" PORT_A "\",\"address\":\"fa:16:3e:cb:6b:b7\"},"
                                   "{\"id\":\"" PORT_B "\",\"address\":\"fa:16:3e:a0:81:47\"}]",
                                   NULL);

    assert_non_null(ports);
    return neutron_activate_bindings(f->s, f->ctx, ports, "there", err);
}

/* ---- activating ---- */

static void every_port_follows_the_guest(void **state)
{
    Fixture *f = *state;

    script(f, "PUT", BINDING_A "/activate", 200, "{}");
    script(f, "PUT", BINDING_B "/activate", 409, "{}");
    assert_true(activate(f, NULL));
    assert_int_equal(count(f, "PUT", BINDING_A "/activate"), 1);
    assert_int_equal(count(f, "PUT", BINDING_B "/activate"), 1);
    assert_int_equal(count(f, "GET", V2 "/ports/*"), 0);
}

/* Its agents report on the port at the same moment, and one of the two transactions fails. */
static void a_race_in_neutron_is_tried_again(void **state)
{
    Fixture *f = *state;

    script(f, "GET", BINDING_A, 200, INACTIVE);
    script(f, "PUT", BINDING_A "/activate", 500, "{}");
    script(f, "PUT", BINDING_A "/activate", 500, "{}");
    script(f, "PUT", BINDING_A "/activate", 200, "{}");
    script(f, "PUT", BINDING_B "/activate", 200, "{}");
    assert_true(activate(f, NULL));
    assert_int_equal(count(f, "PUT", BINDING_A "/activate"), 3);
}

/* The 500 was of a call that had done its work. */
static void what_became_active_meanwhile_is_done(void **state)
{
    Fixture *f = *state;

    script(f, "GET", BINDING_A, 200, ACTIVE);
    script(f, "PUT", BINDING_A "/activate", 500, "{}");
    script(f, "PUT", BINDING_B "/activate", 200, "{}");
    assert_true(activate(f, NULL));
    assert_int_equal(count(f, "PUT", BINDING_A "/activate"), 1);
}

static void neutron_that_stays_broken_is_an_error(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    script(f, "GET", BINDING_A, 200, INACTIVE);
    script(f, "PUT", BINDING_A "/activate", 500, "{}");
    assert_false(activate(f, &err));
    assert_int_equal(dv_code(err), DV_E_BINDING_ACTIVATE);
    assert_non_null(strstr(err->message, PORT_A));
    assert_true(count(f, "PUT", BINDING_A "/activate") > 1);
}

static void a_refusal_is_not_tried_again(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    script(f, "PUT", BINDING_A "/activate", 403, "{}");
    assert_false(activate(f, &err));
    assert_int_equal(count(f, "PUT", BINDING_A "/activate"), 1);
}

/* Then the port is bound as a whole at the end. */
static void a_port_without_a_binding_there_ends_it(void **state)
{
    Fixture *f = *state;

    script(f, "PUT", BINDING_A "/activate", 404, "{}");
    assert_true(activate(f, NULL));
    assert_int_equal(count(f, NULL, V2 "/ports/*"), 1);
}

static void without_the_extension_nothing_is_asked(void **state)
{
    Fixture *f = *state;
    bool has = true;

    http_server_reset(f->server);
    keystone_grant(f->server, "own", 3600);
    script(f, "GET", V2 "/extensions", 200, "{\"extensions\":[{\"alias\":\"binding\"}]}");
    assert_true(activate(f, NULL));
    assert_int_equal(count(f, NULL, V2 "/ports*"), 0);
    assert_true(neutron_has_bindings(f->s, f->ctx, &has, NULL));
    assert_false(has);
}

/* ---- where they go ---- */

static void neutron_is_told_where_ports_go(void **state)
{
    Fixture *f = *state;
    const HttpSeen *seen;

    script(f, "PUT", V2 "/ports/" PORT_A, 200, recorded_put_1);
    script(f, "PUT", V2 "/ports/" PORT_B, 200, recorded_put_2);
    assert_true(neutron_set_migrating_to(f->s, f->ctx, &f->vm, "there", NULL));
    seen = http_server_seen(f->server, "PUT", V2 "/ports/" PORT_A, 0);
    assert_string_equal(seen->body,
                        "{\"port\":{\"binding:profile\":{\"migrating_to\":\"there\"}}}");
    assert_int_equal(count(f, "PUT", V2 "/ports/" PORT_B), 1);
}

static void a_host_does_not_migrate_to_itself(void **state)
{
    Fixture *f = *state;

    assert_true(neutron_set_migrating_to(f->s, f->ctx, &f->vm, "vm", NULL));
    assert_int_equal(count(f, NULL, V2 "/*"), 0);
}

/* ---- given up ---- */

static void bindings_of_a_host_are_given_up(void **state)
{
    Fixture *f = *state;

    script(f, "DELETE", BINDING_A, 204, "");
    script(f, "DELETE", BINDING_B, 404, "{}");
    assert_true(neutron_forget_host(f->s, f->ctx, &f->vm, "there", NULL));
    assert_int_equal(count(f, "DELETE", BINDING_A), 1);
    assert_int_equal(count(f, "DELETE", BINDING_B), 1);
    assert_int_equal(count(f, "PUT", V2 "/ports/*"), 0);
}

static void the_instances_own_host_keeps_its_bindings(void **state)
{
    Fixture *f = *state;

    assert_true(neutron_forget_host(f->s, f->ctx, &f->vm, "vm", NULL));
    assert_int_equal(count(f, "DELETE", V2 "/*"), 0);
}

static void a_port_that_goes_nowhere_is_told_so(void **state)
{
    Fixture *f = *state;
    const HttpSeen *seen;

    http_server_reset(f->server);
    keystone_grant(f->server, "own", 3600);
    script(f, "GET", V2 "/extensions", 200, recorded_extensions);
    script(f, "GET", BOUND, 200,
           "{\"ports\":[{\"id\":\"" PORT_A "\",\"binding:profile\":"
           "{\"migrating_to\":\"there\",\"trusted\":true}}]}");
    script(f, "PUT", V2 "/ports/" PORT_A, 200, recorded_put_1);
    script(f, "DELETE", BINDING_A, 204, "");
    assert_true(neutron_forget_host(f->s, f->ctx, &f->vm, "there", NULL));
    seen = http_server_seen(f->server, "PUT", V2 "/ports/" PORT_A, 0);
    assert_string_equal(seen->body, "{\"port\":{\"binding:profile\":{\"trusted\":true}}}");
}

static void each_binding_that_stays_is_named(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    script(f, "DELETE", BINDING_A, 500, "{}");
    script(f, "DELETE", BINDING_B, 204, "");
    assert_false(neutron_forget_host(f->s, f->ctx, &f->vm, "there", &err));
    assert_int_equal(dv_code(err), DV_E_BINDING_DELETE);
    assert_non_null(strstr(err->message, PORT_A));
    assert_null(strstr(err->message, PORT_B));
    assert_int_equal(count(f, "DELETE", BINDING_B), 1);
}

/* ---- a guest has come ---- */

#define HERE V2 "/ports?tenant_id=" PROJECT "&device_id=" VM
#define NETWORKS V2 "/networks*"

static void script_surroundings(Fixture *f)
{
    script(f, "GET", V2 "/networks?*", 200, recorded_networks);
    script(f, "GET", V2 "/subnets?*", 200, recorded_subnets);
    script(f, "GET", V2 "/ports?network_id=*", 200, "{\"ports\":[]}");
    script(f, "GET", V2 "/floatingips?*", 200, "{\"floatingips\":[]}");
}

/* As the instance's cache has them. */
static NetworkInfo *known(Fixture *f)
{
    NetworkInfo *info = NULL;

    script_surroundings(f);
    assert_true(neutron_refresh(f->s, f->ctx, &f->vm, NULL, NULL, &info, NULL));
    return info;
}

static void nothing_but_the_ports_is_read_of_a_guest_that_came(void **state)
{
    Fixture *f = *state;
    g_autoptr(NetworkInfo) old = NULL;
    g_autoptr(NetworkInfo) now = NULL;
    g_autoptr(NeutronPorts) ports = NULL;
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    unsigned asked;

    script(f, "GET", HERE, 200, recorded_ports);
    old = known(f);
    asked = count(f, NULL, V2 "/*");
    ports = neutron_ports_here(f->s, f->ctx, &f->vm, NULL);
    assert_non_null(ports);
    assert_true(neutron_ports_info(f->s, f->ctx, &f->vm, ports, old, &now, NULL));
    assert_int_equal(count(f, NULL, V2 "/*"), asked + 1);
    before = network_info_text(old);
    after = network_info_text(now);
    assert_string_equal(before, after);
}

/* The address is another by now. */
static void what_changed_on_the_way_is_read(void **state)
{
    Fixture *f = *state;
    g_autoptr(NetworkInfo) old = NULL;
    g_autoptr(NetworkInfo) now = NULL;
    g_autoptr(NeutronPorts) ports = NULL;
    g_autofree char *text = NULL;
    g_autofree char *after = NULL;
    g_autoptr(GString) changed = g_string_new(NULL);

    script(f, "GET", HERE, 200, recorded_ports);
    old = known(f);
    text = network_info_text(old);
    g_string_assign(changed, text);
    assert_true(
        g_string_replace(changed, network_info_at(old, 0)->address, "fa:16:3e:00:00:01", 0) > 0);
    network_info_free(old);
    old = network_info_parse(changed->str, NULL);
    assert_non_null(old);
    ports = neutron_ports_here(f->s, f->ctx, &f->vm, NULL);
    assert_true(neutron_ports_info(f->s, f->ctx, &f->vm, ports, old, &now, NULL));
    after = network_info_text(now);
    assert_string_equal(after, text);
    assert_int_equal(count(f, "GET", NETWORKS), 2);
}

static void what_is_bound_elsewhere_is_bound_here(void **state)
{
    Fixture *f = *state;
    g_autoptr(NeutronPorts) ports = NULL;

    script(f, "GET", HERE, 200, recorded_ports);
    script(f, "PUT", V2 "/ports/" PORT_A, 200, recorded_put_1);
    script(f, "PUT", V2 "/ports/" PORT_B, 200, recorded_put_2);
    f->vm.host = "elsewhere";
    ports = neutron_ports_here(f->s, f->ctx, &f->vm, NULL);
    assert_non_null(ports);
    assert_int_equal(count(f, "PUT", V2 "/ports/" PORT_A), 1);
    assert_int_equal(count(f, "PUT", V2 "/ports/" PORT_B), 1);
}

static void the_other_hosts_bindings_go(void **state)
{
    Fixture *f = *state;
    g_autoptr(NeutronPorts) ports = NULL;

    script(f, "GET", HERE, 200, recorded_ports);
    script(f, "DELETE", BINDING_A, 204, "");
    script(f, "DELETE", BINDING_B, 404, "{}");
    ports = neutron_ports_here(f->s, f->ctx, &f->vm, NULL);
    assert_non_null(ports);
    assert_true(neutron_ports_forget(f->s, f->ctx, ports, "there", NULL));
    assert_int_equal(count(f, "DELETE", BINDING_A), 1);
    assert_int_equal(count(f, "DELETE", BINDING_B), 1);
    assert_int_equal(count(f, "GET", BOUND), 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_port_follows_the_guest),
        CASE(a_race_in_neutron_is_tried_again),
        CASE(what_became_active_meanwhile_is_done),
        CASE(neutron_that_stays_broken_is_an_error),
        CASE(a_refusal_is_not_tried_again),
        CASE(a_port_without_a_binding_there_ends_it),
        CASE(without_the_extension_nothing_is_asked),
        CASE(neutron_is_told_where_ports_go),
        CASE(a_host_does_not_migrate_to_itself),
        CASE(bindings_of_a_host_are_given_up),
        CASE(the_instances_own_host_keeps_its_bindings),
        CASE(a_port_that_goes_nowhere_is_told_so),
        CASE(each_binding_that_stays_is_named),
        CASE(nothing_but_the_ports_is_read_of_a_guest_that_came),
        CASE(what_changed_on_the_way_is_read),
        CASE(what_is_bound_elsewhere_is_bound_here),
        CASE(the_other_hosts_bindings_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
