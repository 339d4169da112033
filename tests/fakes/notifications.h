/* What a fake agent tells the world: the notifications that wait to be sent.
 *
 * Threads    the test's. */
#pragma once

#include "fakes/agent.h"

/* Takes all of them, oldest first: GPtrArray of json_t, each a message with the member "key" for
 * its routing key. Other messages that wait are dropped. */
GPtrArray *fake_agent_notifications(FakeAgent *fake);
/* "event/PRIORITY" of each, one per line. Caller frees. */
char *fake_agent_events(const GPtrArray *notifications);
/* The same of what is taken now must be `want`. */
void fake_agent_assert_events(FakeAgent *fake, const char *want);
