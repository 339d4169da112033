/* What we tell the service manager: READY, STOPPING, a status line, and that we are alive.
 *
 * Alive means that the threads which nothing may block do come round: the timer, which feeds the
 * watchdog, the two of the broker's connections, and the heartbeat's worker. Whether broker,
 * conductor or libvirt answer is health's business (health.h): a restart would not mend them.
 * Without NOTIFY_SOCKET in the environment nothing is said.
 * Threads    new, start and free: main; say: any, never blocks.
 * Sources    sd_notify(3), systemd.service(5). */
#pragma once

#include "agent/agent.h"

typedef struct Watchdog Watchdog;

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that programs we
 * start do not speak for us: before any thread exists. */
Watchdog *watchdog_new(Agent *agent);
void watchdog_free(Watchdog *dog);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Watchdog, watchdog_free)
/* "READY=1", "STATUS=waiting for nova-conductor", ... */
void watchdog_say(Watchdog *dog, const char *state);
/* From now on the timer feeds it, where the service manager asked for that. */
void watchdog_start(Watchdog *dog);
/* Whether it would be fed now; *out_why (static, may be NULL) says why not. */
bool watchdog_alive(Agent *agent, int64_t now_ms, const char **out_why);
