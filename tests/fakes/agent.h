/* An agent of real operations among fake neighbours, for flow tests.
 *
 * Conductor and hypervisor are in memory; keystone, neutron, glance and placement answer over HTTP
 * what real ones answered to the boot in tests/flow/data/boot.json. Requests come in as messages,
 * as rpc-listen would hand them over: version check, lanes and workers are the real ones. There is
 * no broker, so that a call's reply goes nowhere.
 *
 * Threads    one test thread; operations run on the agent's workers. */
#pragma once

#include "agent/agent.h"
#include "fakes/conductor.h"
#include "fakes/http_server.h"
#include "virt/fake/fake_driver.h"

#include <jansson.h>

/* Of the recorded boot. */
#define FLOW_UUID "353645e8-9125-47a8-9571-53655fd8b5dc"
#define FLOW_IMAGE "505d6221-7feb-4a34-8eb4-7e98c30dc857"
#define FLOW_PORT_A "73d86ab9-e033-41c0-b279-c17b6e5dfed0"
#define FLOW_PORT_B "4ac04e8f-646f-45fc-a511-16ef311af6c7"
#define FLOW_NODE "vm"
/* Where the services are on the HTTP server. */
#define FLOW_NEUTRON "/network/v2.0"
#define FLOW_GLANCE "/image/v2/images/" FLOW_IMAGE
#define FLOW_PLACEMENT "/placement"

typedef struct FakeAgent FakeAgent;

/* After its first audit. `options`: further lines of nova.conf, or NULL; vif_plugging_timeout is 0
 * when they do not say otherwise. */
FakeAgent *fake_agent_new(const char *options);
/* Before its start: it has asked nobody for anything, and its gate is closed. */
FakeAgent *fake_agent_new_unstarted(const char *options);
/* Another host of the same cloud: conductor and HTTP server are those of `first`, casts and calls
 * between the two arrive, and migrations of each one's hypervisor to an address that names the
 * other go there. Its node is named as the host. Free it before `first`. */
FakeAgent *fake_agent_new_beside(FakeAgent *first, const char *host, const char *options);
void fake_agent_free(FakeAgent *fake);

Agent *fake_agent(FakeAgent *fake);
FakeConductor *fake_agent_conductor(FakeAgent *fake);
HttpServer *fake_agent_server(FakeAgent *fake);
FakeVirt *fake_agent_virt(FakeAgent *fake);
const DvCtx *fake_agent_ctx(FakeAgent *fake);

/* The recorded request, for a test to change before it is sent. Caller's. */
json_t *fake_agent_boot_request(void);
/* Member of a request's args; "instance" and other objects: of their data. Borrowed. */
json_t *fake_agent_data(json_t *request, const char *object);
/* Hands a request to the agent, as a cast. A boot's instance is put into the conductor. Stolen. */
void fake_agent_boot(FakeAgent *fake, json_t *request);
/* terminate_instance of the conductor's row, whose task state the API has set to deleting. */
void fake_agent_terminate(FakeAgent *fake, const char *uuid);
/* The conductor's row as an Instance primitive, as the API sends it. New reference. */
json_t *fake_agent_instance(FakeAgent *fake, const char *uuid);
/* An object primitive of nova's; data is stolen. New reference. */
json_t *fake_agent_object(const char *name, const char *version, json_t *data);
/* Hands a request of any method to the agent, as a cast; args is stolen. Casts that the agent sends
 * to its own host come back this way by themselves. */
void fake_agent_request(FakeAgent *fake, const char *method, json_t *args);
/* Shows every cast to a compute host from now on, as fake_conductor_watch does those to conductor.
 */
void fake_agent_watch_casts(FakeAgent *fake, FakeConductorWatch watch, void *arg);
/* How often the agent sent this method to a compute host; "host" of the last one, or NULL, in
 * *out_host (may be NULL). Caller frees. */
unsigned fake_agent_casts(FakeAgent *fake, const char *method, char **out_host);
/* What compute hosts answer to calls of this method from now on; stolen. Other methods have no
 * answer. {"raises": {class, module, message}}: they fail with that. Calls count as casts do. */
void fake_agent_peer_answers(FakeAgent *fake, const char *method, json_t *answer);
/* The next `times` calls of this method to the other host end with DV_E_TIMEOUT; before_work: they
 * do not arrive, else only their answers are lost. */
void fake_agent_lose_calls(FakeAgent *fake, const char *method, bool before_work, unsigned times);
/* The next cast of this method to a compute host fails, once. */
void fake_agent_fail_cast(FakeAgent *fake, const char *method);
/* external_instance_event about one port. */
void fake_agent_port_event(FakeAgent *fake, const char *name, const char *port, const char *status);

/* Hands any message (method, args, version, ...) to the agent, with the context of the recorded
 * boot. Stolen. */
void fake_agent_deliver(FakeAgent *fake, json_t *message);

/* Waits until nothing of that instance is queued or runs; fails the test after some minutes. */
void fake_agent_wait(FakeAgent *fake, const char *uuid);
/* The same until no live migration of it from this host is queued or runs. */
void fake_agent_wait_live(FakeAgent *fake, const char *uuid);
/* [DEFAULT] instances_path. Borrowed. */
const char *fake_agent_instances_path(FakeAgent *fake);
/* Whether the instance's folder exists. */
bool fake_agent_has_disks(FakeAgent *fake, const char *uuid);
/* A file of it exists. */
bool fake_agent_has_file(FakeAgent *fake, const char *uuid, const char *name);
/* How many allocations were deleted. */
unsigned fake_agent_allocations_deleted(FakeAgent *fake);

/* A field of the conductor's row must be `text` ("" for null). */
void fake_agent_assert_row(FakeAgent *fake, const char *field, const char *text);
