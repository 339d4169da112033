/* Keystone's answers on an HttpServer: a token with a catalog that names the same server.
 *
 * Routes     POST /v3/auth/tokens; the services live under /placement, /network (no version) and
 *            /image on the internal interface and under /public/... on the public one. */
#pragma once

#include "fakes/http_server.h"

#include "services/auth.h"

/* Adds one answer: token `value`, good for `life_s` seconds. */
void keystone_grant(HttpServer *server, const char *value, int life_s);
/* The same after a pause. */
void keystone_grant_slowly(HttpServer *server, const char *value, int life_s, unsigned stall_ms);

/* A configuration with password credentials for it. `name` is the group, `type` the catalog type.
 */
ServiceConfig keystone_config(HttpServer *server, const char *name, const char *type);
