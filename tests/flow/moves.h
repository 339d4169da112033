/* What moves of all kinds have in common in the flow tests: the record of the migration, what
 * placement holds for the two sides, and calls from one host to the other. */
#pragma once

#include "flow/server.h"

#define MIGRATION_ID 3
#define MIGRATION "7a368118-6d32-41f8-ab26-c8b9ddf7b761"
#define ALLOCATIONS FLOW_PLACEMENT "/allocations"

/* Both consumers have something: the migration the old flavor's, the instance the new one's. */
G_GNUC_UNUSED static void script_allocations(HttpServer *server)
{
    http_server_json(server, "GET", ALLOCATIONS "/*", 200,
                     "{\"allocations\":{\"99277029-31f8-4475-a67f-8835f13afc70\":{\"resources\":"
                     "{\"VCPU\":1},\"generation\":3}},\"project_id\":\"p\",\"user_id\":\"u\","
                     "\"consumer_generation\":1}");
    http_server_json(server, "POST", ALLOCATIONS, 204, "");
}

/* The migration of the server from a host to another, NULL: not chosen yet. */
G_GNUC_UNUSED static json_t *migration_record(const char *type, int new_flavor_id,
                                              const char *status, const char *source,
                                              const char *dest)
{
    json_t *data = json_pack(
        "{s:i, s:s, s:s, s:s?, s:s, s:s?, s:n, s:i, s:i, s:s, s:s, s:s}", "id", MIGRATION_ID,
        "uuid", MIGRATION, "source_compute", source, "dest_compute", dest, "source_node", source,
        "dest_node", dest, "dest_host", "old_instance_type_id", 1, "new_instance_type_id",
        new_flavor_id, "instance_uuid", UUID, "status", status, "migration_type", type);

    return fake_agent_object("Migration", "1.7", data);
}

/* A call by the services of `fake` to a host. args is stolen. */
G_GNUC_UNUSED static bool call_host(FakeAgent *fake, const char *host, const char *method,
                                    json_t *args, json_t **out, GError **err)
{
    g_autoptr(Ovo) dict = ovo_view_dict(args, NULL);
    bool ok = peer_call(fake_agent(fake)->peers, fake_agent_ctx(fake), host, method, "6.0", dict,
                        PEER_LONG, out, err);

    json_decref(args);
    return ok;
}

/* ---- looking ---- */

G_GNUC_UNUSED static unsigned allocations_moved(FakeAgent *fake)
{
    return http_server_count(fake_agent_server(fake), "POST", ALLOCATIONS);
}

G_GNUC_UNUSED static void assert_status(FakeAgent *fake, const char *wanted)
{
    g_autofree char *status = fake_conductor_migration_status(fake_agent_conductor(fake),
                                                              MIGRATION_ID);

    assert_string_equal(status, wanted);
}
