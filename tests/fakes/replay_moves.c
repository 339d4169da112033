/* The other host of a recorded move; see replay_priv.h. */
#include "fakes/replay_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "util/fs.h"

#include <glib/gstdio.h>
#include <string.h>

#define PEER "cmp2"
#define PEER_IP "198.51.100.2"

static json_t *data_of(json_t *object)
{
    return json_object_get(object, "nova_object.data");
}

static const char *text_of(const json_t *data, const char *field)
{
    return json_string_value(json_object_get(data, field));
}

static const char *instances_path(const Replay *replay)
{
    return fake_agent(replay->fake)->virt_config.instances_path;
}

/* ---- the stage ---- */

static void put_aside(Replay *replay)
{
    g_autofree char *folder = disks_instance_dir(fake_agent(replay->fake)->disks, replay->uuid);
    g_autofree char *aside = g_strconcat(folder, "_resize", NULL);

    assert_int_equal(g_rename(folder, aside), 0);
}

static FakeMigrationEnd end_of(const ReplayHow *how)
{
    if (how->breaks)
        return FAKE_MIGRATION_FAILS;
    return how->stays ? FAKE_MIGRATION_STAYS : FAKE_MIGRATION_COMPLETES;
}

void replay_set_peer(Replay *replay)
{
    FakeVirt *here = fake_agent_virt(replay->fake);
    g_autofree char *there = g_build_filename(instances_path(replay), "of-" PEER, NULL);
    const FakeMigration plan = {.end = end_of(replay->how)};

    replay->peer = virt_fake_new(&fake_agent(replay->fake)->virt_config);
    fake_virt_add_peer(here, PEER, fake_virt(replay->peer));
    fake_virt_add_peer(here, PEER_IP, fake_virt(replay->peer));
    fake_virt_add_host(here, "qemu+tcp://" PEER_IP "/system", fake_virt(replay->peer),
                       instances_path(replay), there);
    fake_virt_plan_migration(here, &plan);
    assert_true(dv_mkdirs(there, 0755, NULL));
    if (replay->how->aside)
        put_aside(replay);
    if (replay->how->disk)
        replay_put_disk(replay, data_of(replay_instance_of(replay_request(replay, 0))));
}

void replay_peer_done(Replay *replay)
{
    virt_driver_free(replay->peer);
}

/* ---- what has happened elsewhere when a request comes ---- */

/* Its result or its failure; NULL: there was none. */
static const json_t *recorded_reply(const Replay *replay, const char *method, const char *what)
{
    size_t i;
    json_t *message;

    json_array_foreach(json_object_get(replay->fixture, "sent"), i, message)
    {
        if (strcmp(text_of(message, "to"), "reply") == 0 &&
            strcmp(text_of(message, "call"), method) == 0)
            return json_object_get(message, what);
    }
    return NULL;
}

static void make_file(const char *path)
{
    assert_true(dv_write_file(path, "", 0, 0644, NULL));
}

/* The file that the destination has made is seen here when the recorded host saw it. */
static void show_file_of_check(Replay *replay, json_t *request)
{
    const json_t *asked = data_of(
        json_object_get(json_object_get(request, "args"), "dest_check_data"));
    const char *check = text_of(request, "method");
    const json_t *said = json_object_get(recorded_reply(replay, check, "result"), "data");
    const char *refused = json_string_value(recorded_reply(replay, check, "failure"));
    g_autofree char *path = g_build_filename(instances_path(replay), text_of(asked, "filename"),
                                             NULL);

    if (json_is_true(json_object_get(said, "is_shared_instance_path")) ||
        g_strcmp0(refused, "nova.exception.InvalidLocalStorage") == 0)
        make_file(path);
}

/* The same; the message has the whole path, of the recorded host's folder. */
static void show_file(Replay *replay, json_t *request)
{
    json_t *data = json_object_get(json_object_get(request, "args"), "data");
    g_autofree char *name = g_path_get_basename(text_of(data, "filename"));
    g_autofree char *path = g_build_filename(instances_path(replay), name, NULL);

    json_object_set_new(data, "filename", json_string(path));
    if (json_is_true(recorded_reply(replay, text_of(request, "method"), "result")))
        make_file(path);
}

static void bring_guest(Replay *replay, json_t *request G_GNUC_UNUSED)
{
    fake_virt_add_guest(fake_agent_virt(replay->fake), replay->uuid, "instance-00000001",
                        GUEST_STATE_RUNNING);
}

static void bring_disk(Replay *replay, json_t *request)
{
    replay_put_disk(replay, data_of(replay_instance_of(request)));
}

static const struct {
    const char *method;
    void (*prepare)(Replay *replay, json_t *request);
} before[] = {
    {"check_can_live_migrate_source", show_file_of_check},
    {"check_instance_shared_storage", show_file},
    {"post_live_migration_at_destination", bring_guest},
    {"finish_resize", bring_disk},
};

/* Known to the database from the first request on that brings it. */
static void put_migration(Replay *replay, const json_t *request)
{
    const json_t *migration = json_object_get(json_object_get(request, "args"), "migration");
    json_t *data = json_object_get(migration, "nova_object.data");
    FakeConductor *conductor = fake_agent_conductor(replay->fake);
    g_autofree char *known = data ? fake_conductor_migration_status(
                                        conductor, json_integer_value(json_object_get(data, "id")))
                                  : NULL;

    if (data && !known)
        fake_conductor_put_migration(conductor, json_deep_copy(data));
}

void replay_before(Replay *replay, json_t *request)
{
    const char *method = text_of(request, "method");
    json_t *instance = replay_instance_of(request);

    if (instance && strcmp(text_of(request, "when"), "start") == 0)
        replay_put(replay, instance);
    put_migration(replay, request);
    for (size_t i = 0; i < G_N_ELEMENTS(before); i++)
        if (strcmp(before[i].method, method) == 0)
            before[i].prepare(replay, request);
}
