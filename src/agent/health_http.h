/* Health and metrics over HTTP: GET /healthz, /readyz, /metrics on [drover] health_listen.
 *
 * One thread of its own serves all connections, of which there are few at a time; a client that
 * says nothing is let go. Nothing but these three is answered, and nothing but GET.
 * Errors     DV_E_BAD_CONFIG: not an address; DV_E_IO: it cannot be listened on.
 * Threads    start and stop: main. */
#pragma once

#include "agent/health.h"

typedef struct HealthHttp HealthHttp;

/* "127.0.0.1:9104", "[::1]:9104", "0.0.0.0:9104" or "unix:/path"; no names of hosts. */
bool health_http_check(const char *listen, GError **err);
/* `agent` must live until the stop. A socket file that an earlier run left is replaced. */
HealthHttp *health_http_start(Agent *agent, const char *listen, GError **err);
/* After return nobody is being answered. */
void health_http_stop(HealthHttp *http);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HealthHttp, health_http_stop)
/* The TCP port, 0 with a socket file. */
unsigned health_http_port(const HealthHttp *http);
