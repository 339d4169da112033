/* What a message says, apart from ids of its own, times and contexts: the form in which drover's
 * messages are compared with those of tests/wire/data/replay. docs/wire/replay.md describes it;
 * tests/wire/collect_replay.py makes the same of nova's.
 *
 * Ownership  results are new references.
 * Threads    pure functions. */
#pragma once

#include "rpc/rpc.h"

#include <jansson.h>

/* A value of an argument or a body. */
json_t *replay_value(const json_t *value);
/* A call or cast to conductor. */
json_t *replay_conductor_message(const RpcTarget *target, const char *method, const json_t *args);
/* A cast to anybody: `exchange` and `key` are where it was published to. */
json_t *replay_cast(const char *exchange, const char *key, const json_t *inner);
/* A reply to a request of that method. */
json_t *replay_reply(const char *method, const json_t *inner);
/* An HTTP request; `service` as in "neutron". Text that is not JSON is left out. */
json_t *replay_http(const char *service, const char *method, const char *target, const char *body);
