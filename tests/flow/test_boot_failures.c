/* Boots that fail: who hears what, and that nothing is left behind. One row per failure; the three
 * ends are those of nova: another host tries, the instance goes to error, or nothing is said. */
#include "fakes/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define UUID FLOW_UUID

/* How far the boot had come decides what has to be taken back. */
typedef enum { REACHED_CLAIM, REACHED_NETWORKS, REACHED_GUEST } Reached;
typedef enum { END_RESCHEDULED, END_ABORTED, END_SILENT } End;

typedef struct Scene {
    FakeAgent *fake;
    FakeConductor *con;
    HttpServer *server;
    FakeVirt *virt;
    json_t *request, *instance;
} Scene;

typedef struct Failure {
    const char *name;
    void (*arrange)(Scene *scene);
    Reached reached;
    End end;
    const char *fault; /* part of the fault's message, of an aborted boot */
} Failure;

/* ---- what goes wrong ---- */

static void numa_asked_for(Scene *s)
{
    json_object_set_new(s->instance, "numa_topology",
                        json_pack("{s:s, s:s, s:s, s:{s:[]}}", "nova_object.name",
                                  "InstanceNUMATopology", "nova_object.namespace", "nova",
                                  "nova_object.version", "1.3", "nova_object.data", "cells"));
}

/* An extra spec of the flavor, a property of the image; NULL leaves it alone. */
static void ask(Scene *s, const char *spec, const char *spec_value, const char *prop,
                const char *prop_value)
{
    json_t *flavor = json_object_get(json_object_get(s->instance, "flavor"), "nova_object.data");
    json_t *image = fake_agent_data(s->request, "image");

    if (spec)
        json_object_set_new(json_object_get(flavor, "extra_specs"), spec, json_string(spec_value));
    if (prop)
        json_object_set_new(json_object_get(image, "properties"), prop, json_string(prop_value));
}

static void dedicated_cpus_asked_for(Scene *s)
{
    ask(s, "hw:cpu_policy", "dedicated", NULL, NULL);
}

static void too_much_video_memory(Scene *s)
{
    ask(s, "hw_video:ram_max_mb", "16", "hw_video_ram", "64");
}

static void certificates_asked_for(Scene *s)
{
    json_object_set_new(
        s->instance, "trusted_certs",
        fake_agent_object("TrustedCerts", "1.0", json_pack("{s:[s]}", "ids", FLOW_IMAGE)));
}

static void flavor_and_image_disagree(Scene *s)
{
    ask(s, "hw:pmu", "true", "hw_pmu", "false");
}

static void disk_bus_of_another_hypervisor(Scene *s)
{
    ask(s, NULL, NULL, "hw_disk_bus", "xen");
}

static void unknown_disk_bus(Scene *s)
{
    ask(s, NULL, NULL, "hw_disk_bus", "nvme");
}

static void claim_save_gone(Scene *s)
{
    fake_conductor_fail(s->con, "Instance.save", "InstanceNotFound");
}

static void claim_save_taken(Scene *s)
{
    fake_conductor_fail(s->con, "Instance.save", "UnexpectedTaskStateError");
}

static void port_create(Scene *s, int status, const char *type)
{
    g_autofree char *body = g_strdup_printf(
        "{\"NeutronError\":{\"type\":\"%s\",\"message\":\"as the test wants it\",\"detail\":\"\"}}",
        type);

    http_server_json(s->server, "POST", FLOW_NEUTRON "/ports*", status, body);
}

static void no_addresses_left(Scene *s)
{
    port_create(s, 409, "IpAddressGenerationFailure");
}

static void neutron_broken(Scene *s)
{
    port_create(s, 500, "HTTPInternalServerError");
}

static void port_in_use(Scene *s)
{
    port_create(s, 409, "MacAddressInUse");
}

static void port_binding_fails(Scene *s)
{
    http_server_json(s->server, "PUT", FLOW_NEUTRON "/ports/" FLOW_PORT_B "*", 500, "{}");
}

static void network_record_fails(Scene *s)
{
    fake_conductor_fail(s->con, "VirtualInterface.create", "DBError");
}

static void device_save_fails(Scene *s)
{
    fake_conductor_fail(s->con, "BlockDeviceMapping.save", "DBError");
}

static void image_gone(Scene *s)
{
    http_server_json(s->server, "GET", FLOW_GLANCE "*", 404, "{}");
}

static void image_queued(Scene *s)
{
    http_server_json(s->server, "GET", FLOW_GLANCE "*", 200,
                     "{\"id\":\"" FLOW_IMAGE "\",\"status\":\"queued\",\"size\":null}");
}

static void image_broken_off(Scene *s)
{
    http_server_on(s->server, "GET", FLOW_GLANCE "/fil*",
                   &(HttpAnswer){.body = "short", .flags = HTTP_SHORT});
}

static void image_too_large(Scene *s)
{
    json_object_set_new(fake_agent_data(s->request, "image"), "size", json_integer(3LL << 30));
}

static void image_of_another_kind(Scene *s)
{
    json_object_set_new(fake_agent_data(s->request, "image"), "disk_format", json_string("qcow2"));
}

static void port_not_plugged(Scene *s)
{
    fake_virt_fail(s->virt, "plug", DV_E_HYPERVISOR, 1);
}

static void port_not_unplugged(Scene *s)
{
    fake_virt_fail(s->virt, "start", DV_E_HYPERVISOR, 1);
    fake_virt_fail(s->virt, "unplug", DV_E_IO, 1);
}

static void guest_refused(Scene *s)
{
    fake_virt_fail(s->virt, "start", DV_E_HYPERVISOR, 1);
}

static void hypervisor_away(Scene *s)
{
    fake_virt_fail(s->virt, "start", DV_E_UNAVAILABLE, 1);
}

static void resume_refused(Scene *s)
{
    fake_virt_fail(s->virt, "resume", DV_E_HYPERVISOR, 1);
}

static void refused_and_ports_stay(Scene *s)
{
    guest_refused(s);
    http_server_json(s->server, "DELETE", FLOW_NEUTRON "/ports/" FLOW_PORT_A "*", 500, "{}");
}

static void refused_and_guest_stays(Scene *s)
{
    resume_refused(s);
    fake_virt_fail(s->virt, "destroy", DV_E_POWER_OFF, 1);
}

static void refused_without_retry(Scene *s)
{
    guest_refused(s);
    json_object_del(fake_agent_data(s->request, "filter_properties"), "retry");
}

static void refused_and_cast_fails(Scene *s)
{
    guest_refused(s);
    fake_conductor_fail(s->con, "build_instances", "timeout");
}

static const Failure failures[] = {
    {"a topology that this host cannot have", numa_asked_for, REACHED_CLAIM, END_RESCHEDULED, NULL},
    {"certificates to check images by", certificates_asked_for, REACHED_CLAIM, END_ABORTED,
     "does not support the feature"},
    {"deleted before the claim", claim_save_gone, REACHED_CLAIM, END_SILENT, NULL},
    {"taken by somebody else", claim_save_taken, REACHED_CLAIM, END_SILENT, NULL},
    {"no addresses left", no_addresses_left, REACHED_CLAIM, END_ABORTED, "aborted"},
    {"neutron is broken", neutron_broken, REACHED_CLAIM, END_RESCHEDULED, NULL},
    {"a port in use", port_in_use, REACHED_CLAIM, END_ABORTED, "aborted"},
    {"a port cannot be bound", port_binding_fails, REACHED_CLAIM, END_RESCHEDULED, NULL},
    {"a network record fails", network_record_fails, REACHED_NETWORKS, END_RESCHEDULED, NULL},
    {"a device record fails", device_save_fails, REACHED_NETWORKS, END_ABORTED,
     "Failure prepping block device."},
    {"dedicated CPUs", dedicated_cpus_asked_for, REACHED_NETWORKS, END_RESCHEDULED, NULL},
    {"too much video memory", too_much_video_memory, REACHED_NETWORKS, END_ABORTED,
     "higher than the maximum allowed by flavor"},
    {"flavor and image disagree", flavor_and_image_disagree, REACHED_NETWORKS, END_RESCHEDULED,
     NULL},
    {"a disk bus of another hypervisor", disk_bus_of_another_hypervisor, REACHED_NETWORKS,
     END_ABORTED, "Failure prepping block device."},
    {"an unknown disk bus", unknown_disk_bus, REACHED_NETWORKS, END_ABORTED, "hw_disk_bus=nvme"},
    {"the image is gone", image_gone, REACHED_NETWORKS, END_RESCHEDULED, NULL},
    {"the image has no data yet", image_queued, REACHED_NETWORKS, END_ABORTED, "is not active"},
    {"the download breaks off", image_broken_off, REACHED_NETWORKS, END_RESCHEDULED, NULL},
    {"the image is too large", image_too_large, REACHED_NETWORKS, END_ABORTED, "too small"},
    {"the image is not what it says", image_of_another_kind, REACHED_NETWORKS, END_ABORTED, ""},
    {"a port cannot be plugged", port_not_plugged, REACHED_NETWORKS, END_RESCHEDULED, NULL},
    {"a port cannot be unplugged", port_not_unplugged, REACHED_NETWORKS, END_RESCHEDULED, NULL},
    {"the hypervisor refuses", guest_refused, REACHED_NETWORKS, END_RESCHEDULED, NULL},
    {"the hypervisor is away", hypervisor_away, REACHED_NETWORKS, END_RESCHEDULED, NULL},
    {"the guest cannot run", resume_refused, REACHED_GUEST, END_RESCHEDULED, NULL},
    {"a port stays behind", refused_and_ports_stay, REACHED_NETWORKS, END_ABORTED, ""},
    {"nobody else may try", refused_without_retry, REACHED_NETWORKS, END_ABORTED, ""},
    {"conductor does not take it back", refused_and_cast_fails, REACHED_NETWORKS, END_ABORTED, ""},
};

/* ---- what must hold after each ---- */

static Scene scene_of(FakeAgent *fake)
{
    json_t *request = fake_agent_boot_request();

    return (Scene){.fake = fake,
                   .con = fake_agent_conductor(fake),
                   .server = fake_agent_server(fake),
                   .virt = fake_agent_virt(fake),
                   .request = request,
                   .instance = fake_agent_data(request, "instance")};
}

static void run(Scene *scene)
{
    fake_agent_boot(scene->fake, scene->request);
    fake_agent_wait(scene->fake, UUID);
}

static void assert_nothing_left(Scene *scene)
{
    assert_int_equal(fake_virt_guest_count(scene->virt), 0);
    assert_int_equal(fake_virt_calls(scene->virt, "unplug"), fake_virt_calls(scene->virt, "plug"));
    assert_false(fake_agent_has_disks(scene->fake, UUID));
    assert_true(fake_agent_allocations_deleted(scene->fake) >= 1);
}

static void assert_ports_given_up(Scene *scene)
{
    assert_int_equal(http_server_count(scene->server, "DELETE", FLOW_NEUTRON "/ports/" FLOW_PORT_A),
                     1);
    assert_int_equal(http_server_count(scene->server, "DELETE", FLOW_NEUTRON "/ports/" FLOW_PORT_B),
                     1);
}

static void assert_rescheduled(Scene *scene, Reached reached)
{
    g_autofree char *sent = fake_conductor_last(scene->con, "build_instances");

    fake_agent_assert_row(scene->fake, "vm_state", "building");
    fake_agent_assert_row(scene->fake, "task_state", "scheduling");
    fake_agent_assert_row(scene->fake, "host", "");
    fake_agent_assert_row(scene->fake, "node", "");
    assert_int_equal(fake_conductor_count(scene->con, "build_instances"), 1);
    assert_int_equal(fake_conductor_count(scene->con, "InstanceFault.create"), 0);
    assert_non_null(strstr(sent, "exc_reason"));
    /* or the next host would take these for its own */
    assert_int_equal(fake_conductor_count(scene->con, "VirtualInterface.delete_by_instance_uuid") >=
                         1,
                     reached >= REACHED_NETWORKS);
}

static void assert_aborted(Scene *scene, const char *fault)
{
    g_autofree char *said = fake_conductor_last(scene->con, "InstanceFault.create");

    fake_agent_assert_row(scene->fake, "vm_state", "error");
    fake_agent_assert_row(scene->fake, "task_state", "");
    fake_agent_assert_row(scene->fake, "host", "");
    assert_int_equal(fake_conductor_count(scene->con, "InstanceFault.create"), 1);
    if (!strstr(said, fault))
        fail_msg("'%s' is not in the fault: %s", fault, said);
}

static void assert_silent(Scene *scene)
{
    assert_int_equal(fake_conductor_count(scene->con, "build_instances"), 0);
    assert_int_equal(fake_conductor_count(scene->con, "InstanceFault.create"), 0);
}

static void one_failure(void **state)
{
    const Failure *failure = *state;
    FakeAgent *fake = fake_agent_new(NULL);
    Scene scene = scene_of(fake);

    failure->arrange(&scene);
    run(&scene);
    assert_nothing_left(&scene);
    if (failure->reached >= REACHED_NETWORKS)
        assert_ports_given_up(&scene);
    if (failure->end == END_RESCHEDULED)
        assert_rescheduled(&scene, failure->reached);
    else if (failure->end == END_ABORTED)
        assert_aborted(&scene, failure->fault);
    else
        assert_silent(&scene);
    assert_int_equal(
        fake_conductor_count(scene.con, "InstanceActionEvent.event_finish_with_failure"), 1);
    fake_agent_free(fake);
}

/* What cannot be cleaned up must not be forgotten: no other host may take the instance. */
static void a_guest_that_stays_keeps_the_instance_here(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = fake_agent_new(NULL);
    Scene scene = scene_of(fake);

    refused_and_guest_stays(&scene);
    run(&scene);
    assert_aborted(&scene, "");
    assert_int_equal(fake_conductor_count(scene.con, "build_instances"), 0);
    assert_int_equal(fake_virt_guest_count(scene.virt), 1);
    fake_agent_free(fake);
}

/* The delete came while the guest was being made. */
static void a_boot_that_is_deleted_at_its_end_is_taken_back(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = fake_agent_new(NULL);
    Scene scene = scene_of(fake);

    fake_virt_hold(scene.virt, "resume");
    fake_agent_boot(fake, scene.request);
    assert_true(fake_virt_wait_held(scene.virt, "resume", 300000));
    fake_conductor_set(scene.con, UUID, "task_state", "deleting");
    fake_virt_release(scene.virt, "resume");
    fake_agent_wait(fake, UUID);
    assert_nothing_left(&scene);
    assert_ports_given_up(&scene);
    assert_silent(&scene);
    fake_agent_assert_row(fake, "task_state", "deleting");
    fake_agent_free(fake);
}

/* The next host finds ports that are made already and binds them to itself. */
static void ports_of_an_earlier_try_are_bound_not_made(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = fake_agent_new(NULL);
    Scene scene = scene_of(fake);

    json_object_set_new(json_object_get(scene.instance, "system_metadata"), "network_allocated",
                        json_string("True"));
    run(&scene);
    fake_agent_assert_row(fake, "vm_state", "active");
    assert_int_equal(http_server_count(scene.server, "POST", FLOW_NEUTRON "/ports*"), 0);
    fake_agent_free(fake);
}

int main(void)
{
    struct CMUnitTest tests[G_N_ELEMENTS(failures) + 3] = {
        cmocka_unit_test(a_guest_that_stays_keeps_the_instance_here),
        cmocka_unit_test(a_boot_that_is_deleted_at_its_end_is_taken_back),
        cmocka_unit_test(ports_of_an_earlier_try_are_bound_not_made),
    };

    for (size_t i = 0; i < G_N_ELEMENTS(failures); i++)
        tests[i + 3] = (struct CMUnitTest){failures[i].name, one_failure, NULL, NULL,
                                           (void *)&failures[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
