/* A booted instance with two ports, and a third one that neutron can give it; for the flow tests of
 * interfaces and external events. Include it once in a test program. */
#pragma once

#include "fakes/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "../unit/services/neutron_recorded.h"
#include "agent/methods.h"
#include "agent/network_cache.h"

#define UUID FLOW_UUID
#define PORT_C "c0ffee00-0000-4000-8000-00000000000c"
#define MAC_A "fa:16:3e:cb:6b:b7"
#define MAC_B "fa:16:3e:a0:81:47"
#define MAC_C "fa:16:3e:00:00:0c"
#define NET_B "5cf5d9a9-b7e5-48b8-8244-6f0f2ad2aa31"
#define OWN_PORTS \
    FLOW_NEUTRON "/ports?tenant_id=3900c7d49ef84784b86607ae092a97bc&device_id=" FLOW_UUID
#define ASKED_C FLOW_NEUTRON "/ports?id=" PORT_C

static inline char *with_text(const char *in, const char *old, const char *new_text)
{
    g_auto(GStrv) parts = g_strsplit(in, old, -1);

    return g_strjoinv(new_text, parts);
}

/* A recorded answer about port B, told of port C. */
static inline char *of_port_c(const char *recorded)
{
    g_autofree char *id = with_text(recorded, FLOW_PORT_B, PORT_C);
    g_autofree char *mac = with_text(id, MAC_B, MAC_C);

    return with_text(mac, "10.78.0.209", "10.78.0.33");
}

/* The inside of {"port": ...}. */
static inline char *port_object(const char *answer)
{
    size_t length = strlen(answer);

    return g_strndup(answer + strlen("{\"port\":"), length - strlen("{\"port\":") - 1);
}

/* From now on neutron has port C: as one it makes, or one that the user has made and that is free.
 */
static inline void offer_port_c(FakeAgent *fake)
{
    HttpServer *server = fake_agent_server(fake);
    g_autofree char *made = of_port_c(recorded_post_2);
    g_autofree char *bound = of_port_c(recorded_put_2);
    g_autofree char *c = port_object(bound);
    g_autofree char *unbound = port_object(made);
    g_autofree char *ports = g_strndup(recorded_ports, strlen(recorded_ports) - 2);
    g_autofree char *all = g_strconcat(ports, ",", c, "]}", NULL);
    g_autofree char *free_c = with_text(unbound, "\"device_id\":\"" UUID "\"",
                                        "\"device_id\":\"\"");
    g_autofree char *asked = g_strconcat("{\"ports\":[", free_c, "]}", NULL);

    http_server_json(server, "POST", FLOW_NEUTRON "/ports*", 201, made);
    http_server_json(server, "PUT", FLOW_NEUTRON "/ports/" PORT_C, 200, bound);
    http_server_json(server, "GET", OWN_PORTS "*", 200, all);
    http_server_json(server, "GET", ASKED_C, 200, asked);
}

static inline void boot_two_ports(FakeAgent *fake)
{
    fake_agent_boot(fake, fake_agent_boot_request());
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "active");
}

/* Runs a method as a worker does, with all that surrounds it; 0 or the error's code. */
static inline int run_method(FakeAgent *fake, const char *name, json_t *args, json_t **out_result)
{
    const AgentMethod *method = methods_find(name);
    json_t *result = NULL;
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) dict = NULL;
    bool ok;

    assert_non_null(method);
    json_object_set_new(args, "instance", fake_agent_instance(fake, UUID));
    dict = ovo_view_dict(args, NULL);
    ok = dispatch_run(fake_agent(fake), method, fake_agent_ctx(fake), dict, false, &result, &err);
    json_decref(args);
    if (out_result)
        *out_result = result;
    else
        json_decref(result);
    return ok ? 0 : err->code;
}

/* Whether the guest has a device of that MAC. */
static inline bool guest_has(FakeAgent *fake, const char *mac)
{
    const VirtDriver *virt = fake_agent(fake)->virt;
    g_autoptr(GPtrArray) devices = NULL;

    assert_true(virt->ops->devices(virt->self, NULL, UUID, &devices, NULL));
    for (guint i = 0; i < devices->len; i++) {
        const VirtDevice *device = g_ptr_array_index(devices, i);

        if (device->kind == VIRT_DEVICE_NIC && strcmp(device->mac, mac) == 0)
            return true;
    }
    return false;
}

/* The ports in the stored cache, in order, as "id id ". Caller frees. */
static inline char *cached_ports(FakeAgent *fake)
{
    g_autoptr(Ovo) instance = ovo_take(fake_agent_instance(fake, UUID), "Instance", NULL);
    g_autoptr(NetworkInfo) info = network_cache_read(instance, NULL);
    GString *text = g_string_new(NULL);

    assert_non_null(info);
    for (size_t i = 0; i < network_info_count(info); i++)
        g_string_append_printf(text, "%s ", network_info_at(info, i)->id);
    return g_string_free(text, FALSE);
}

static inline void assert_cached(FakeAgent *fake, const char *ports)
{
    g_autofree char *is = cached_ports(fake);

    assert_string_equal(is, ports);
}

static inline unsigned sent(FakeAgent *fake, const char *method, const char *target)
{
    return http_server_count(fake_agent_server(fake), method, target);
}
