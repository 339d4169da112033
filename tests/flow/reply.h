/* Requests that are answered, for the flow tests that ask as over the broker. */
#pragma once

#include "flow/server.h"
#include "rpc/envelope.h"
#include "rpc/rpc_priv.h"
#include "rpc/sender_priv.h"

/* "nova.exception.PortNotFound"; NULL: it was a success. */
static inline char *failure_of(const json_t *reply)
{
    const char *text = json_string_value(json_object_get(reply, "failure"));
    json_auto_t *failure = text ? json_loads(text, 0, NULL) : NULL;

    return failure ? g_strdup_printf("%s.%s", json_string_value(json_object_get(failure, "module")),
                                     json_string_value(json_object_get(failure, "class")))
                   : NULL;
}

static inline bool wait_reply(FakeAgent *fake, char **out_failure)
{
    RpcSender *sender = fake_agent(fake)->rpc->sender;
    int64_t end_ms = dv_now_ms() + 60000;
    bool done = false;

    while (!done && dv_now_ms() < end_ms) {
        RpcOut *out = rpc_sender_take(sender);
        json_auto_t *message = out ? rpc_envelope_read(out->body, out->length, NULL) : NULL;

        if (!out) {
            g_usleep(1000);
            continue;
        }
        if (json_object_get(message, "_msg_id") &&
            json_is_true(json_object_get(message, "ending"))) {
            *out_failure = failure_of(message);
            done = true;
        }
        if (out->done)
            out->done(out->arg, RPC_OUT_CONFIRMED);
        rpc_out_free(out);
    }
    return done;
}

/* Asks as a service that waits for the answer; returns as failure_of. args is stolen. */
static inline char *ask_and_wait(FakeAgent *fake, const char *method, const char *version,
                                 json_t *args)
{
    char *failure = NULL;

    fake_agent_deliver(fake, json_pack("{ss ss so ss ss sn}", "method", method, "version", version,
                                       "args", args, "_msg_id", "m1", "_reply_q", "reply_test",
                                       "_timeout"));
    if (!wait_reply(fake, &failure))
        fail_msg("%s %s: no answer", method, version);
    return failure;
}
