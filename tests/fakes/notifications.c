/* Notifications of a fake agent; see notifications.h. Its sender was never started, so that all
 * that was published is still in its mailbox. */
#include "fakes/notifications.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "rpc/rpc_priv.h"
#include "rpc/sender_priv.h"

/* The message of a notification, from either form of body. */
static json_t *message_of(const RpcOut *out)
{
    json_t *body = json_loadb(out->body, out->length, 0, NULL);
    const char *inner = json_string_value(json_object_get(body, "oslo.message"));
    json_t *message;

    assert_non_null(body);
    if (!inner)
        return body;
    message = json_loads(inner, 0, NULL);
    json_decref(body);
    assert_non_null(message);
    return message;
}

GPtrArray *fake_agent_notifications(FakeAgent *fake)
{
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    RpcOut *out;

    while ((out = rpc_sender_take(fake_agent(fake)->rpc->sender))) {
        json_t *message = message_of(out);

        if (json_object_get(message, "event_type")) {
            json_object_set_new(message, "key", json_string(out->routing_key));
            g_ptr_array_add(all, message);
        } else {
            json_decref(message);
        }
        rpc_out_free(out);
    }
    return all;
}

static const char *text_at(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

char *fake_agent_events(const GPtrArray *all)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < all->len; i++)
        g_string_append_printf(text, "%s/%s\n", text_at(all->pdata[i], "event_type"),
                               text_at(all->pdata[i], "priority"));
    return g_string_free(text, FALSE);
}

void fake_agent_assert_events(FakeAgent *fake, const char *want)
{
    g_autoptr(GPtrArray) all = fake_agent_notifications(fake);
    g_autofree char *events = fake_agent_events(all);

    assert_string_equal(events, want);
}
