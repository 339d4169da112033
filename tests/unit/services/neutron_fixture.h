/* A neutron that answers as one was recorded, and a server with two ports, for the tests of the
 * neutron client. Include it once in a test program. */
#pragma once

#include "services/neutron.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "fakes/keystone.h"
#include "neutron_recorded.h"
#include "services/auth_priv.h"

#define PORT_A "73d86ab9-e033-41c0-b279-c17b6e5dfed0"
#define PORT_B "4ac04e8f-646f-45fc-a511-16ef311af6c7"
#define VM "353645e8-9125-47a8-9571-53655fd8b5dc"
#define PROJECT "3900c7d49ef84784b86607ae092a97bc"
#define V2 "/network/v2.0"

typedef struct Fixture {
    HttpServer *server;
    HttpClient *http;
    ServiceConfig config;
    Service *s;
    DvCtx *ctx;
    NetworkInstance vm;
} Fixture;

/* On behalf of ctx, which is the fixture's. */
static inline Fixture *fixture_new(DvCtx *ctx)
{
    Fixture *f = g_new0(Fixture, 1);

    f->server = http_server_new();
    f->http = http_client_new();
    f->config = keystone_config(f->server, "neutron", "network");
    f->s = service_new(f->http, &f->config, NULL);
    f->ctx = ctx;
    f->vm = (NetworkInstance){.uuid = VM,
                              .project_id = PROJECT,
                              .hostname = "vm-1",
                              .availability_zone = "az1",
                              .host = "vm"};
    keystone_grant(f->server, "own", 3600);
    http_server_json(f->server, "GET", V2 "/extensions", 200, recorded_extensions);
    return f;
}

static inline int teardown(void **state)
{
    Fixture *f = *state;

    dv_ctx_unref(f->ctx);
    service_free(f->s);
    http_client_free(f->http);
    http_server_free(f->server);
    g_free(f);
    return 0;
}
