/* The instance's network info cache: refreshed from neutron, stored through conductor.
 *
 * Refreshes run in the instance's lane, so that they never race with an operation that changes its
 * ports, and several wishes for one instance become one refresh. Threads    network_cache_want from
 * any thread, never blocks; network_cache_refresh on a worker. */
#pragma once

#include "agent/agent.h"

/* Queues a refresh behind what the instance is doing; again while one is queued: nothing. */
void network_cache_want(Agent *agent, const DvCtx *ctx, const char *instance_uuid);
/* The same of one port. */
void network_cache_want_port(Agent *agent, const DvCtx *ctx, const char *instance_uuid,
                             const char *port_id);

/* The same of all ports in three seconds. A nova-compute that a guest leaves reads its ports while
 * neutron has them nowhere, and may store that after this host has stored what they are here. */
void network_cache_want_late(Agent *agent, const DvCtx *ctx, const char *instance_uuid);

/* Binds those ports of an instance of this host here that are bound elsewhere or not at all, and
 * wants its cache to be read anew. Nothing is done while the instance is being worked on, or moves:
 * its ports are then where its guest is, which the record does not know yet. */
bool network_cache_heal(Agent *agent, const DvCtx *ctx, const char *instance_uuid, GError **err);

/* At once: reads the ports, and when neutron has some nowhere binds those that network_cache_heal
 * would, and reads them again. `instance` gets the new text. */
bool network_cache_mend(Agent *agent, const DvCtx *ctx, Ovo *instance, NetworkInfo **out_info,
                        GError **err);
/* The first port that neutron could not bind, or has nowhere; NULL: none. Borrowed. */
const Vif *network_cache_unbound(const NetworkInfo *info);

/* Reads the ports and stores the cache when it differs. `instance` gets the new text. out_info may
 * be NULL. */
bool network_cache_refresh(Agent *agent, const DvCtx *ctx, Ovo *instance, NetworkInfo **out_info,
                           GError **err);
/* A guest has come here live: its ports are bound here where they are not yet, and its cache is
 * stored with their new bindings, whatever others have stored. What else neutron knows by now is
 * read when it says that the ports have changed, as it does of each that changed hosts. */
bool network_cache_take(Agent *agent, const DvCtx *ctx, Ovo *instance, NeutronPorts **out_ports,
                        NetworkInfo **out_info, GError **err);
/* The cache as the instance object carries it; an empty one when it has none. */
NetworkInfo *network_cache_read(const Ovo *instance, GError **err);
/* Puts the text into the instance object (its info_cache child) without saving. */
void network_cache_set(Ovo *instance, const NetworkInfo *info);
/* The same, and stores it through conductor. */
bool network_cache_store(Agent *agent, const DvCtx *ctx, Ovo *instance, const NetworkInfo *info,
                         GError **err);
/* What neutron needs to know of an instance; strings borrowed from it and the config. */
NetworkInstance network_instance_of(const Agent *agent, const Ovo *instance);
