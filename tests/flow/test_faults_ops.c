/* What goes wrong outside while an operation works: the server is deleted, libvirtd goes away, the
 * guest stops by itself, a REST service answers with an error or not at all.
 *
 * Whatever the operation makes of it, the same must hold afterwards: no task is left, what is said
 * of the failure names no path of this host, a hard reboot brings the server back, and a delete
 * then leaves nothing. A server that somebody deletes meanwhile stays his.
 */
#include "flow/server.h"

#include <string.h>

#define OPTIONS                                                                         \
    "shelved_offload_time = -1\nshutdown_timeout = 1\nreclaim_instance_interval = 60\n" \
    "[glance]\nnum_retries = 0\n[libvirt]\nwait_soft_reboot_seconds = 1\n"
#define SNAP_ID "eaaf13f0-156d-4ed6-afa8-6611def5fe76"
#define SNAP "/image/v2/images/" SNAP_ID

enum { NETWORK = 1 << 0, IMAGE = 1 << 1 };

typedef enum { NO_PREPARATION, BE_OFF, BE_PAUSED, BE_SAVED } Preparation;

typedef struct Operation {
    const char *name, *method, *task;
    const char *args; /* besides the instance; ' stands for " */
    const char *hold; /* the hypervisor call in the middle of it */
    Preparation preparation;
    const char *vm_state; /* before it */
    unsigned services;    /* that it asks before it has changed anything */
} Operation;

/* clang-format off */
static const Operation operations[] = {
    {"stop", "stop_instance", "powering-off", "{'clean_shutdown':false}", "power_off", NO_PREPARATION, "active", 0},
    {"clean stop", "stop_instance", "powering-off", "{'clean_shutdown':true}", "shutdown", NO_PREPARATION, "active", 0},
    {"start", "start_instance", "powering-on", "{}", "start", BE_OFF, "stopped", NETWORK},
    {"soft reboot", "reboot_instance", "rebooting", "{'block_device_info':null,'reboot_type':'SOFT'}", "shutdown", NO_PREPARATION, "active", 0},
    {"hard reboot", "reboot_instance", "rebooting_hard", "{'block_device_info':null,'reboot_type':'HARD'}", "start", NO_PREPARATION, "active", NETWORK},
    {"pause", "pause_instance", "pausing", "{}", "pause", NO_PREPARATION, "active", 0},
    {"unpause", "unpause_instance", "unpausing", "{}", "resume", BE_PAUSED, "paused", 0},
    {"suspend", "suspend_instance", "suspending", "{}", "save", NO_PREPARATION, "active", 0},
    {"resume", "resume_instance", "resuming", "{}", "launch", BE_SAVED, "suspended", 0},
    {"rescue", "rescue_instance", "rescuing", "{'rescue_password':null,'rescue_image_ref':null,'clean_shutdown':false}", "start", NO_PREPARATION, "active", NETWORK | IMAGE},
    {"shelve", "shelve_instance", "shelving", "{'image_id':'" SNAP_ID "','clean_shutdown':false}", "power_off", NO_PREPARATION, "active", IMAGE},
    {"soft delete", "soft_delete_instance", "soft-deleting", "{}", "power_off", NO_PREPARATION, "active", 0},
    {"detach interface", "detach_interface", NULL, "{'port_id':'" FLOW_PORT_B "'}", "detach_nic", NO_PREPARATION, "active", 0},
};
/* clang-format on */

/* ---- the scene ---- */

static void script(FakeAgent *fake)
{
    HttpServer *server = fake_agent_server(fake);

    http_server_json(server, "GET", SNAP, 200,
                     "{\"id\":\"" SNAP_ID "\",\"status\":\"queued\",\"name\":\"s\"}");
    http_server_json(server, "PATCH", SNAP, 200, "{}");
    http_server_json(server, "PUT", SNAP "/file", 204, "");
    http_server_json(server, "DELETE", SNAP, 204, "");
}

static void prepare(FakeAgent *fake, const Operation *op)
{
    const VirtDriver *virt = fake_agent(fake)->virt;

    if (op->preparation == BE_OFF)
        assert_true(virt->ops->power_off(virt->self, NULL, UUID, NULL));
    else if (op->preparation == BE_PAUSED)
        assert_true(virt->ops->pause(virt->self, NULL, UUID, NULL));
    else if (op->preparation == BE_SAVED)
        assert_true(virt->ops->save(virt->self, NULL, UUID, NULL));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", op->vm_state);
    /* what stopped a moment ago says so by an event, whose handling must not come in between */
    fake_agent_wait(fake, UUID);
}

static FakeAgent *scene_of(const Operation *op)
{
    FakeAgent *fake = booted(OPTIONS);

    script(fake);
    prepare(fake, op);
    return fake;
}

static json_t *request_of(FakeAgent *fake, const Operation *op)
{
    json_t *args = args_from(op->args);

    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", op->task);
    return with(args, "instance", fake_agent_instance(fake, UUID));
}

static bool is_in_middle(FakeAgent *fake, const Operation *op)
{
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_hold(virt, op->hold);
    send(fake, op->method, request_of(fake, op));
    return fake_virt_wait_held(virt, op->hold, 60000);
}

static void go_on(FakeAgent *fake, const Operation *op)
{
    fake_virt_release(fake_agent_virt(fake), op->hold);
    fake_agent_wait(fake, UUID);
}

/* ---- what must hold afterwards ---- */

static void assert_says_no_path(FakeAgent *fake, const char *call)
{
    g_autofree char *said = fake_conductor_last(fake_agent_conductor(fake), call);

    if (said && (strstr(said, "flow-") || strstr(said, "/instances/")))
        fail_msg("%s names a path: %s", call, said);
}

static bool is_rescued(FakeAgent *fake)
{
    g_autofree char *vm_state = fake_conductor_field(fake_agent_conductor(fake), UUID, "vm_state");

    return strcmp(vm_state, "rescued") == 0;
}

static void assert_can_be_acted_on(FakeAgent *fake)
{
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "host", "vm");
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    assert_says_no_path(fake, "InstanceFault.create");
    assert_says_no_path(fake, "InstanceActionEvent.event_finish_with_failure");
    if (is_rescued(fake)) /* the API then offers this instead */
        ask(fake, "unrescue_instance", "unrescuing");
    else
        reboot(fake, "HARD");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
}

static void assert_delete_leaves_nothing(FakeAgent *fake)
{
    g_autofree char *host = NULL;

    fake_agent_terminate(fake, UUID);
    fake_agent_wait(fake, UUID);
    host = fake_conductor_field(fake_agent_conductor(fake), UUID, "host");
    assert_null(host);
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_false(fake_agent_has_disks(fake, UUID));
    assert_true(fake_agent_allocations_deleted(fake) >= 1);
}

static void assert_well(FakeAgent *fake)
{
    assert_can_be_acted_on(fake);
    assert_delete_leaves_nothing(fake);
    fake_agent_free(fake);
}

/* ---- the faults ---- */

static void libvirtd_goes_in_the_middle(void **state)
{
    const Operation *op = *state;
    FakeAgent *fake = scene_of(op);

    assert_true(is_in_middle(fake, op));
    fake_virt_set_connected(fake_agent_virt(fake), false);
    go_on(fake, op);
    fake_virt_set_connected(fake_agent_virt(fake), true);
    assert_well(fake);
}

static void the_guest_stops_in_the_middle(void **state)
{
    const Operation *op = *state;
    FakeAgent *fake = scene_of(op);

    assert_true(is_in_middle(fake, op));
    if (guest(fake) == GUEST_STATE_RUNNING)
        fake_virt_guest_does(fake_agent_virt(fake), UUID, GUEST_EVENT_STOPPED, "shutdown");
    go_on(fake, op);
    assert_well(fake);
}

/* The API has set the task state and sent the request, which waits for its turn. */
static void somebody_deletes_in_the_middle(void **state)
{
    const Operation *op = *state;
    FakeAgent *fake = scene_of(op);
    g_autofree char *task = NULL;

    assert_true(is_in_middle(fake, op));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "deleting");
    go_on(fake, op);
    task = fake_conductor_field(fake_agent_conductor(fake), UUID, "task_state");
    if (strcmp(op->method, "detach_interface") != 0) /* which sets no state at all */
        assert_string_equal(task, "deleting");
    assert_delete_leaves_nothing(fake);
    fake_agent_free(fake);
}

static void the_record_goes_in_the_middle(void **state)
{
    const Operation *op = *state;
    FakeAgent *fake = scene_of(op);
    json_auto_t *uptime = NULL;

    assert_true(is_in_middle(fake, op));
    fake_conductor_remove(fake_agent_conductor(fake), UUID);
    go_on(fake, op);
    assert_true(fake_virt_guest_count(fake_agent_virt(fake)) <= 1);
    assert_true(call(fake, "get_host_uptime", json_object(), &uptime, NULL));
    fake_agent_free(fake);
}

/* ---- services ---- */

static const struct {
    const char *prefix;
    unsigned service;
} places[] = {{"/network/", NETWORK}, {"/image/", IMAGE}};

static const HttpAnswer refusals[] = {
    {.status = 500, .body = "{\"error\":\"/var/lib/secret s3cr3t\"}"},
    {.status = 404, .body = "{}"},
    {.status = 409, .body = "{}"},
    {.flags = HTTP_NO_ANSWER},
};

typedef struct Outage {
    unsigned service;
    const HttpAnswer *answer;
    atomic_bool over;
} Outage;

static bool refuse(void *arg, const HttpSeen *seen, HttpAnswer *out)
{
    Outage *outage = arg;

    if (atomic_load(&outage->over))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        if (places[i].service == outage->service &&
            g_str_has_prefix(seen->target, places[i].prefix)) {
            *out = *outage->answer;
            return true;
        }
    }
    return false;
}

static void one_refusal(const Operation *op, unsigned service, const HttpAnswer *answer)
{
    Outage outage = {.service = service, .answer = answer};
    FakeAgent *fake = scene_of(op);
    g_autofree char *fault = NULL;

    http_server_hook(fake_agent_server(fake), refuse, &outage);
    send(fake, op->method, request_of(fake, op));
    fake_agent_wait(fake, UUID);
    atomic_store(&outage.over, true);
    fault = fake_conductor_last(fake_agent_conductor(fake), "InstanceFault.create");
    assert_non_null(fault); /* it failed, and says so */
    assert_null(strstr(fault, "/var/lib/secret"));
    assert_well(fake);
}

static void a_service_refuses(void **state)
{
    const Operation *op = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        for (size_t a = 0; a < G_N_ELEMENTS(refusals) && (op->services & places[i].service); a++)
            one_refusal(op, places[i].service, &refusals[a]);
    }
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    CMUnitTestFunction run;
} faults_of[] = {
    {"libvirtd goes", libvirtd_goes_in_the_middle},
    {"the guest stops", the_guest_stops_in_the_middle},
    {"somebody deletes", somebody_deletes_in_the_middle},
    {"the record goes", the_record_goes_in_the_middle},
    {"a service refuses", a_service_refuses},
};

#define COUNT (G_N_ELEMENTS(operations) * G_N_ELEMENTS(faults_of))

int main(int argc, char **argv)
{
    struct CMUnitTest tests[COUNT];
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

    for (size_t i = 0; i < COUNT; i++) {
        const Operation *op = &operations[i / G_N_ELEMENTS(faults_of)];
        size_t fault = i % G_N_ELEMENTS(faults_of);

        g_ptr_array_add(names, g_strdup_printf("%s: %s", op->name, faults_of[fault].name));
        tests[i] = (struct CMUnitTest){names->pdata[i], faults_of[fault].run, NULL, NULL,
                                       (void *)op};
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
