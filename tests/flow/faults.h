/* What goes wrong outside while an operation works: the server is deleted, libvirtd goes away, the
 * guest stops by itself, a REST service answers with an error or not at all. Each program has a
 * table of operations; each fault is tried with each of them.
 *
 * Whatever the operation makes of it, the same must hold afterwards: no task is left, what is said
 * of the failure names no path of this host, what a user may then do helps, and a delete leaves
 * nothing. A server that somebody deletes meanwhile stays his. Include it once in a
 * test program. */
#pragma once

#include "flow/server.h"

#include <string.h>

#define OPTIONS                                                                         \
    "shelved_offload_time = -1\nshutdown_timeout = 1\nreclaim_instance_interval = 60\n" \
    "[glance]\nnum_retries = 0\n[libvirt]\nwait_soft_reboot_seconds = 1\n"
#define SNAP_ID "eaaf13f0-156d-4ed6-afa8-6611def5fe76"
#define SNAP "/image/v2/images/" SNAP_ID

enum { NETWORK = 1 << 0, IMAGE = 1 << 1, PLACEMENT = 1 << 2 };

typedef struct Operation {
    const char *name, *method, *task;
    const char *args; /* besides the instance; ' stands for " */
    const char *hold; /* the hypervisor call in the middle of it; NULL: it has none, and what goes
                         wrong does so just before it */
    /* Of a server that runs; NULL: as it is. */
    void (*prepare)(FakeAgent *fake);
    const char *vm_state;                           /* before it; NULL: what `prepare` has left */
    unsigned services;                              /* without which it fails */
    unsigned unneeded;                              /* that it asks, and does without */
    json_t *(*more)(FakeAgent *fake, json_t *args); /* args that are objects; NULL: none */
    /* What a user does after a failure, which helps; NULL: a hard reboot. */
    void (*mend)(FakeAgent *fake);
    bool is_boot;          /* there is no server yet */
    unsigned gone_is_fine; /* services for which what they do not know any more needs no work */
} Operation;

/* ---- the scene ---- */

static inline void script_images(FakeAgent *fake)
{
    HttpServer *server = fake_agent_server(fake);

    http_server_json(server, "GET", SNAP, 200,
                     "{\"id\":\"" SNAP_ID "\",\"status\":\"queued\",\"name\":\"s\"}");
    http_server_json(server, "GET", "/image/v2/images?*", 200, "{\"images\":[]}");
    http_server_json(server, "PATCH", SNAP, 200, "{}");
    http_server_json(server, "PUT", SNAP "/file", 204, "");
    http_server_json(server, "DELETE", SNAP, 204, "");
}

static inline FakeAgent *scene_of(const Operation *op)
{
    FakeAgent *fake = op->is_boot ? fake_agent_new(OPTIONS) : booted(OPTIONS);

    script_images(fake);
    if (op->prepare)
        op->prepare(fake);
    if (op->vm_state)
        fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", op->vm_state);
    /* what stopped a moment ago says so by an event, whose handling must not come in between */
    fake_agent_wait(fake, UUID);
    return fake;
}

static inline json_t *request_of(FakeAgent *fake, const Operation *op)
{
    json_t *args = args_from(op->args);

    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", op->task);
    if (op->more)
        args = op->more(fake, args);
    return with(args, "instance", fake_agent_instance(fake, UUID));
}

/* Some operations work beside the instance's lane. */
static inline void wait_all(FakeAgent *fake)
{
    const Agent *agent = fake_agent(fake);
    unsigned busy = 1;

    while (busy > 0) {
        fake_agent_wait(fake, UUID);
        busy = 0;
        for (size_t i = 0; i < POOL_COUNT; i++)
            busy += dv_pool_queued(agent->pools[i]) + dv_pool_running(agent->pools[i]);
        g_usleep(1000);
    }
    fake_agent_wait(fake, UUID);
}

static inline void ask_for(FakeAgent *fake, const Operation *op)
{
    if (op->is_boot)
        fake_agent_boot(fake, fake_agent_boot_request());
    else
        send(fake, op->method, request_of(fake, op));
}

static inline bool is_in_middle(FakeAgent *fake, const Operation *op)
{
    FakeVirt *virt = fake_agent_virt(fake);

    if (!op->hold)
        return true;
    fake_virt_hold(virt, op->hold);
    ask_for(fake, op);
    return fake_virt_wait_held(virt, op->hold, 60000);
}

static inline bool is_gone(FakeAgent *fake)
{
    g_autofree char *host = fake_conductor_field(fake_agent_conductor(fake), UUID, "host");

    return !host;
}

static inline void go_on(FakeAgent *fake, const Operation *op)
{
    if (op->hold)
        fake_virt_release(fake_agent_virt(fake), op->hold);
    else if (!is_gone(fake))
        ask_for(fake, op);
    wait_all(fake);
}

/* ---- what must hold afterwards ---- */

static inline void assert_says_no_path(FakeAgent *fake, const char *call)
{
    static const char *const paths[] = {"flow-", "/instances/", "/var/lib/secret"};
    g_autofree char *said = fake_conductor_last(fake_agent_conductor(fake), call);

    for (size_t i = 0; said && i < G_N_ELEMENTS(paths); i++) {
        if (strstr(said, paths[i]))
            fail_msg("%s says '%s': %s", call, paths[i], said);
    }
}

static inline bool has_vm_state(FakeAgent *fake, const char *wanted)
{
    g_autofree char *vm_state = fake_conductor_field(fake_agent_conductor(fake), UUID, "vm_state");

    return strcmp(vm_state, wanted) == 0;
}

static inline void reboot_back(FakeAgent *fake)
{
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "host", "vm");
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    if (has_vm_state(fake, "rescued")) /* the API then offers this instead */
        ask(fake, "unrescue_instance", "unrescuing");
    else
        reboot(fake, "HARD");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
}

static inline void assert_nothing_left(FakeAgent *fake)
{
    g_autofree char *dir = disks_instance_dir(fake_agent(fake)->disks, UUID);
    g_autofree char *aside = g_strconcat(dir, "_resize", NULL);
    g_auto(GStrv) tracked = tracker_instances(fake_agent(fake)->tracker);

    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_false(fake_agent_has_disks(fake, UUID));
    assert_false(g_file_test(aside, G_FILE_TEST_EXISTS));
    assert_true(fake_agent_allocations_deleted(fake) >= 1);
    assert_false(g_strv_contains((const char *const *)tracked, UUID));
}

static inline void assert_delete_leaves_nothing(FakeAgent *fake)
{
    fake_agent_terminate(fake, UUID);
    fake_agent_wait(fake, UUID);
    assert_true(is_gone(fake));
    assert_nothing_left(fake);
}

static inline void assert_well(FakeAgent *fake, const Operation *op)
{
    assert_says_no_path(fake, "InstanceFault.create");
    assert_says_no_path(fake, "InstanceActionEvent.event_finish_with_failure");
    if (op->mend)
        op->mend(fake);
    else
        reboot_back(fake);
    if (!is_gone(fake))
        assert_delete_leaves_nothing(fake);
    fake_agent_free(fake);
}

/* ---- the faults ---- */

static inline void libvirtd_goes_in_the_middle(void **state)
{
    const Operation *op = *state;
    FakeAgent *fake = scene_of(op);

    assert_true(is_in_middle(fake, op));
    fake_virt_set_connected(fake_agent_virt(fake), false);
    go_on(fake, op);
    fake_virt_set_connected(fake_agent_virt(fake), true);
    assert_well(fake, op);
}

static inline void the_guest_stops_in_the_middle(void **state)
{
    const Operation *op = *state;
    FakeAgent *fake = scene_of(op);

    assert_true(is_in_middle(fake, op));
    if (guest(fake) == GUEST_STATE_RUNNING)
        fake_virt_guest_does(fake_agent_virt(fake), UUID, GUEST_EVENT_STOPPED, "shutdown");
    go_on(fake, op);
    assert_well(fake, op);
}

/* The API has set the task state and sent the request, which waits for its turn. */
static inline void somebody_deletes_in_the_middle(void **state)
{
    const Operation *op = *state;
    FakeAgent *fake = scene_of(op);

    assert_true(is_in_middle(fake, op));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "deleting");
    go_on(fake, op);
    if (!is_gone(fake)) {            /* by a delete of its own */
        if (op->task || op->is_boot) /* the others set no state at all */
            fake_agent_assert_row(fake, "task_state", "deleting");
        assert_delete_leaves_nothing(fake);
    }
    fake_agent_free(fake);
}

static inline void the_record_goes_in_the_middle(void **state)
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
} places[] = {{"/network/", NETWORK}, {"/image/", IMAGE}, {"/placement/", PLACEMENT}};

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

static inline bool refuse(void *arg, const HttpSeen *seen, HttpAnswer *out)
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

/* It failed, and says so: in a fault, or to conductor that has another host try. */
static inline void assert_said(FakeAgent *fake, const Operation *op, const Outage *outage)
{
    bool is_fine = (op->gone_is_fine & outage->service) && outage->answer->status == 404;
    bool must = (op->services & outage->service) && !is_fine;
    FakeConductor *con = fake_agent_conductor(fake);
    unsigned said = fake_conductor_count(con, "InstanceFault.create") +
                    fake_conductor_count(con, "build_instances");

    if ((said > 0) != must)
        fail_msg("%s with %d of service %u %s", op->name, outage->answer->status, outage->service,
                 said ? "failed" : "did not fail");
}

static inline void one_refusal(const Operation *op, unsigned service, const HttpAnswer *answer)
{
    Outage outage = {.service = service, .answer = answer};
    FakeAgent *fake = scene_of(op);

    http_server_hook(fake_agent_server(fake), refuse, &outage);
    ask_for(fake, op);
    wait_all(fake);
    atomic_store(&outage.over, true);
    assert_said(fake, op, &outage);
    assert_well(fake, op);
}

static inline void a_service_refuses(void **state)
{
    const Operation *op = *state;
    unsigned asked = op->services | op->unneeded;

    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        for (size_t a = 0; a < G_N_ELEMENTS(refusals) && (asked & places[i].service); a++)
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

/* "pause: the guest stops" and so on; filter: of cmocka, NULL for all. */
static inline int run_faults(const Operation *operations, size_t count, const char *filter)
{
    size_t total = count * G_N_ELEMENTS(faults_of);
    g_autofree struct CMUnitTest *tests = g_new0(struct CMUnitTest, total);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

    for (size_t i = 0; i < total; i++) {
        const Operation *op = &operations[i / G_N_ELEMENTS(faults_of)];
        size_t fault = i % G_N_ELEMENTS(faults_of);

        g_ptr_array_add(names, g_strdup_printf("%s: %s", op->name, faults_of[fault].name));
        tests[i] = (struct CMUnitTest){names->pdata[i], faults_of[fault].run, NULL, NULL,
                                       (void *)op};
    }
    if (filter)
        cmocka_set_test_filter(filter);
    return _cmocka_run_group_tests("faults", tests, total, NULL, NULL);
}
