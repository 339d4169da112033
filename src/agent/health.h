/* What an operator can ask a running agent: is it well, has it started, what has it done.
 *
 * All of it is read from memory: nothing here waits for the broker, libvirt, a service, the disk,
 * or a worker, so that it is answered when all of these hang. How it is asked is in health_http.c.
 * No text comes from errors or from the configuration, so that no secret can be in it.
 * Ownership  texts belong to the caller.
 * Threads    any. */
#pragma once

#include "agent/agent.h"

/* JSON: {"ok": ..., "checks": {"heartbeat": {"ok": ..., ...}, ...}}; *out_ok is false when one of
 * them fails. */
char *health_report(Agent *agent, bool *out_ok);
/* JSON: has the start finished, and no stop begun. */
char *health_ready(Agent *agent, bool *out_ok);
/* All metrics in Prometheus' text format. */
char *health_metrics(Agent *agent);

/* Sets the numbers of guests by state from a listing (GPtrArray of VirtGuest), by who has one. */
void health_count_guests(const GPtrArray *guests);
