/* The late check of a server group's policy. */
#include "fixture.h"

#define GROUP "22222222-3333-4444-8555-666666666666"
#define SELF "c7f5f0b8-5de2-4bd4-8324-cafa60cf2933"
#define MEMBER_A "aaaaaaaa-0000-4000-8000-000000000001"
#define MEMBER_B "aaaaaaaa-0000-4000-8000-000000000002"
#define STRANGER "bbbbbbbb-0000-4000-8000-000000000003"

static json_t *object(const char *name, const char *version, json_t *data)
{
    return json_pack("{s:s,s:s,s:s,s:o}", "nova_object.name", name, "nova_object.namespace", "nova",
                     "nova_object.version", version, "nova_object.data", data);
}

static void group_answer(Fixture *fx, const char *key, const char *policy, const char *most)
{
    json_t *data = json_pack("{s:s,s:s,s:[s,s,s]}", "uuid", GROUP, "policy", policy, "members",
                             SELF, MEMBER_A, MEMBER_B);

    if (most)
        json_object_set_new(data, "_rules", json_pack("{s:s}", "max_server_per_host", most));
    fixture_answer(fx, key, object("InstanceGroup", "1.11", data));
    fixture_answer(fx, "MigrationList.get_in_progress_by_host_and_node",
                   object("MigrationList", "1.5", json_pack("{s:[]}", "objects")));
    fixture_answer(fx, "InstanceList.get_uuids_by_host", json_array());
}

static Ovo *spec_with(const char *hints)
{
    g_autofree char *text = g_strdup_printf(
        "{\"nova_object.name\": \"RequestSpec\", \"nova_object.namespace\": "
        "\"nova\", \"nova_object.version\": \"1.14\", \"nova_object.data\": "
        "{\"scheduler_hints\": %s}}",
        hints);
    Ovo *spec = ovo_parse(text, "RequestSpec", NULL);

    assert_non_null(spec);
    return spec;
}

static int check(Fixture *fx, const char *hints)
{
    g_autoptr(Ovo) instance = golden_instance(fx);
    g_autoptr(Ovo) spec = hints ? spec_with(hints) : NULL;
    g_autoptr(GError) err = NULL;

    if (tracker_check_affinity(fixture_tracker(fx), fx->ctx, instance, spec, &err))
        return 0;
    return err->code;
}

static const char *const hint = "{\"group\": [\"" GROUP "\"]}";

static void without_a_hint_nobody_is_asked(void **state)
{
    Fixture *fx = *state;

    assert_int_equal(check(fx, "{}"), 0);
    assert_int_equal(check(fx, "null"), 0);
    assert_int_equal(check(fx, "{\"group\": []}"), 0);
    assert_int_equal(fx->conductor.calls->len, 0);
}

static void the_workaround_switches_it_off(void **state)
{
    Fixture *fx = *state;

    fx->config.disable_group_policy_check = true;
    assert_int_equal(check(fx, hint), 0);
    assert_int_equal(fx->conductor.calls->len, 0);
}

static void a_group_that_is_gone_binds_nobody(void **state)
{
    Fixture *fx = *state;

    fixture_fail(fx, "InstanceGroup.get_by_uuid", "InstanceGroupNotFound");
    assert_int_equal(check(fx, hint), 0);
}

/* As when the cell cannot reach the API database: the boot goes elsewhere. */
static void a_group_that_cannot_be_read_is_an_error(void **state)
{
    Fixture *fx = *state;

    fixture_fail(fx, "InstanceGroup.get_by_uuid", "CantStartEngineError");
    assert_int_equal(check(fx, hint), DV_E_REMOTE);
}

static void anti_affinity_counts_members_here(void **state)
{
    Fixture *fx = *state;

    group_answer(fx, "InstanceGroup.get_by_uuid", "anti-affinity", NULL);
    fixture_answer(fx, "InstanceList.get_uuids_by_host", json_pack("[s,s]", SELF, STRANGER));
    assert_int_equal(check(fx, hint), 0);
    fixture_answer(fx, "InstanceList.get_uuids_by_host", json_pack("[s,s]", SELF, MEMBER_A));
    assert_int_equal(check(fx, hint), DV_E_AFFINITY);
}

static void anti_affinity_counts_what_is_on_its_way(void **state)
{
    Fixture *fx = *state;
    json_t *moving;

    group_answer(fx, "InstanceGroup.get_by_uuid", "anti-affinity", NULL);
    moving = object("Migration", "1.7", json_pack("{s:s}", "instance_uuid", MEMBER_B));
    fixture_answer(fx, "MigrationList.get_in_progress_by_host_and_node",
                   object("MigrationList", "1.5", json_pack("{s:[o]}", "objects", moving)));
    assert_int_equal(check(fx, hint), DV_E_AFFINITY);
}

static void a_claimed_member_counts_before_the_database_knows(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) member = golden_instance(fx);
    const TrackerClaim how = {.root = ROOT_LOCAL};

    fixture_scene(fx, "startup_empty");
    audit_ok(fx);
    ovo_set_str(member, "uuid", MEMBER_A);
    assert_true(tracker_claim_with(fx->tracker, fx->ctx, member, "vm", &how, NULL));
    group_answer(fx, "InstanceGroup.get_by_uuid", "anti-affinity", NULL);
    assert_int_equal(check(fx, hint), DV_E_AFFINITY);
}

static void the_rule_allows_more_per_host(void **state)
{
    Fixture *fx = *state;

    group_answer(fx, "InstanceGroup.get_by_uuid", "anti-affinity", "2");
    fixture_answer(fx, "InstanceList.get_uuids_by_host", json_pack("[s,s]", SELF, MEMBER_A));
    assert_int_equal(check(fx, hint), 0);
    fixture_answer(fx, "InstanceList.get_uuids_by_host",
                   json_pack("[s,s,s]", SELF, MEMBER_A, MEMBER_B));
    assert_int_equal(check(fx, hint), DV_E_AFFINITY);
}

static json_t *hosts(const char *host)
{
    json_t *list = json_array();

    if (host)
        json_array_append_new(list, json_string(host));
    return json_pack("[{}o]", list);
}

static void affinity_wants_this_host_among_the_groups(void **state)
{
    Fixture *fx = *state;

    group_answer(fx, "InstanceGroup.get_by_uuid", "affinity", NULL);
    fixture_answer(fx, "InstanceGroup.get_hosts", hosts(NULL));
    assert_int_equal(check(fx, hint), 0);
    fixture_answer(fx, "InstanceGroup.get_hosts", hosts("vm"));
    assert_int_equal(check(fx, hint), 0);
    fixture_answer(fx, "InstanceGroup.get_hosts", hosts("other"));
    assert_int_equal(check(fx, hint), DV_E_AFFINITY);
}

static void soft_policies_bind_nobody(void **state)
{
    Fixture *fx = *state;

    group_answer(fx, "InstanceGroup.get_by_uuid", "soft-anti-affinity", NULL);
    fixture_answer(fx, "InstanceList.get_uuids_by_host", json_pack("[s]", MEMBER_A));
    assert_int_equal(check(fx, hint), 0);
}

static void a_hint_may_be_a_name(void **state)
{
    Fixture *fx = *state;

    group_answer(fx, "InstanceGroup.get_by_name", "anti-affinity", NULL);
    fixture_answer(fx, "InstanceList.get_uuids_by_host", json_pack("[s]", MEMBER_A));
    assert_int_equal(check(fx, "{\"group\": \"web\"}"), DV_E_AFFINITY);
}

static void without_a_spec_the_group_is_found_by_instance(void **state)
{
    Fixture *fx = *state;

    group_answer(fx, "InstanceGroup.get_by_instance_uuid", "anti-affinity", NULL);
    fixture_answer(fx, "InstanceList.get_uuids_by_host", json_pack("[s]", MEMBER_A));
    assert_int_equal(check(fx, NULL), DV_E_AFFINITY);
    fixture_fail(fx, "InstanceGroup.get_by_instance_uuid", "InstanceGroupNotFound");
    assert_int_equal(check(fx, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(without_a_hint_nobody_is_asked),
        fixture_test(the_workaround_switches_it_off),
        fixture_test(a_group_that_is_gone_binds_nobody),
        fixture_test(a_group_that_cannot_be_read_is_an_error),
        fixture_test(anti_affinity_counts_members_here),
        fixture_test(anti_affinity_counts_what_is_on_its_way),
        fixture_test(a_claimed_member_counts_before_the_database_knows),
        fixture_test(the_rule_allows_more_per_host),
        fixture_test(affinity_wants_this_host_among_the_groups),
        fixture_test(soft_policies_bind_nobody),
        fixture_test(a_hint_may_be_a_name),
        fixture_test(without_a_spec_the_group_is_found_by_instance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
