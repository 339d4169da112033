/* Asking a server of the flow tests for something, and looking at what came of it; for the tests
 * of operations on a server that runs. */
#pragma once

#include "agent/methods.h"
#include "fakes/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#define UUID FLOW_UUID

G_GNUC_UNUSED static FakeAgent *booted(const char *options)
{
    FakeAgent *fake = fake_agent_new(options);

    fake_agent_boot(fake, fake_agent_boot_request());
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "active");
    return fake;
}

/* ---- asking ---- */

G_GNUC_UNUSED static json_t *with(json_t *args, const char *name, json_t *value)
{
    json_object_set_new(args, name, value);
    return args;
}

/* Args in JSON, where ' stands for ". */
G_GNUC_UNUSED static json_t *args_from(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "'", -1);
    g_autofree char *json = g_strjoinv("\"", parts);
    json_t *args = json_loads(json, 0, NULL);

    assert_non_null(args);
    return args;
}

/* The args of a request as the API sends it, which has set the task state. */
G_GNUC_UNUSED static json_t *args_of(FakeAgent *fake, const char *task)
{
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", task);
    return with(json_object(), "instance", fake_agent_instance(fake, UUID));
}

G_GNUC_UNUSED static void send(FakeAgent *fake, const char *method, json_t *args)
{
    fake_agent_request(fake, method, args);
}

G_GNUC_UNUSED static void ask(FakeAgent *fake, const char *method, const char *task)
{
    send(fake, method, args_of(fake, task));
    fake_agent_wait(fake, UUID);
}

G_GNUC_UNUSED static void stop(FakeAgent *fake, bool clean)
{
    send(fake, "stop_instance",
         with(args_of(fake, "powering-off"), "clean_shutdown", json_boolean(clean)));
    fake_agent_wait(fake, UUID);
}

G_GNUC_UNUSED static json_t *reboot_args(FakeAgent *fake, const char *type)
{
    bool soft = strcmp(type, "SOFT") == 0;

    return with(args_of(fake, soft ? "rebooting" : "rebooting_hard"), "reboot_type",
                json_string(type));
}

G_GNUC_UNUSED static void reboot(FakeAgent *fake, const char *type)
{
    send(fake, "reboot_instance", reboot_args(fake, type));
    fake_agent_wait(fake, UUID);
}

/* Runs a method in this thread, for what it answers. args is stolen. */
G_GNUC_UNUSED static bool call(FakeAgent *fake, const char *method, json_t *args, json_t **out,
                               GError **err)
{
    g_autoptr(Ovo) dict = ovo_view_dict(args, NULL);
    bool ok = dispatch_run(fake_agent(fake), methods_find(method), fake_agent_ctx(fake), dict,
                           false, out, err);

    json_decref(args);
    return ok;
}

/* ---- looking ---- */

G_GNUC_UNUSED static GuestState guest(FakeAgent *fake)
{
    const VirtDriver *virt = fake_agent(fake)->virt;
    GuestState state = GUEST_STATE_NONE;

    assert_true(virt->ops->state(virt->self, UUID, &state, NULL));
    return state;
}

G_GNUC_UNUSED static void assert_is(FakeAgent *fake, const char *vm_state, const char *power,
                                    GuestState is)
{
    fake_agent_assert_row(fake, "vm_state", vm_state);
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "power_state", power);
    assert_int_equal(guest(fake), is);
}

G_GNUC_UNUSED static unsigned faults(FakeAgent *fake)
{
    return fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create");
}

G_GNUC_UNUSED static unsigned calls(FakeAgent *fake, const char *op)
{
    return fake_virt_calls(fake_agent_virt(fake), op);
}

/* The states since `before`, one a line. */
G_GNUC_UNUSED static char *states_since(FakeAgent *fake, const char *before)
{
    g_autofree char *all = fake_conductor_states(fake_agent_conductor(fake));

    return g_strdup(all + strlen(before));
}

G_GNUC_UNUSED static void assert_event(FakeAgent *fake, const char *event, bool failed)
{
    FakeConductor *con = fake_agent_conductor(fake);
    g_autofree char *started = fake_conductor_last(con, "InstanceActionEvent.event_start");
    g_autofree char *ended = fake_conductor_last(con,
                                                 "InstanceActionEvent.event_finish_with_failure");

    assert_non_null(strstr(started, event));
    assert_non_null(strstr(ended, event));
    assert_int_equal(strstr(ended, "\"exc_val\": null") == NULL, failed);
}
