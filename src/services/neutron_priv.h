/* What neutron.c, neutron_allocate.c, neutron_model.c and neutron_rest.c share.
 *
 * JSON values are those of the networking API; results are new references, arguments borrowed
 * unless said otherwise. */
#pragma once

#include "services/neutron.h"

/* ---- neutron_rest.c: single calls ---- */

/* A query is built as "/v2.0/ports" plus filters, values escaped. */
GString *neutron_query(const char *collection);
void neutron_filter(GString *query, const char *name, const char *value);

/* GET of a collection: the list under `key`. */
bool neutron_list(Service *s, const DvCtx *ctx, ServiceIdentity identity, const GString *query,
                  const char *key, json_t **out, GError **err);
/* Whether the instance names what all filters need: an empty one would name every port there is. */
bool neutron_instance_ok(const NetworkInstance *instance, GError **err);
/* The ports of an instance, all fields, by the service's own credentials. */
bool neutron_list_ports(Service *s, const DvCtx *ctx, const NetworkInstance *instance, json_t **out,
                        GError **err);
/* The same with the ports of other projects: those that an administrator gave to the instance. */
bool neutron_list_device_ports(Service *s, const DvCtx *ctx, const NetworkInstance *instance,
                               json_t **out, GError **err);
bool neutron_has_extension(Service *s, const DvCtx *ctx, const char *alias, bool *out,
                           GError **err);

/* POST and PUT take the inside of {"port": ...} (stolen) and give the port. neutron's error types
 * become codes; a port whose binding failed is DV_E_PORT_BINDING_FAILED. */
bool neutron_port_create(Service *s, const DvCtx *ctx, json_t *port, json_t **out, GError **err);
bool neutron_port_update(Service *s, const DvCtx *ctx, ServiceIdentity identity, const char *id,
                         json_t *port, json_t **out, GError **err);
/* With the user's token; when that is refused, with the service's. A port that is gone is done. */
bool neutron_port_delete(Service *s, const DvCtx *ctx, const char *id, GError **err);
/* A call below a port, whose `accept`ed statuses (0-terminated) are told and no errors; others are
 * read as all of neutron's are. out may be NULL. */
bool neutron_port_call(Service *s, const DvCtx *ctx, const char *method, const char *port_id,
                       const char *rest, const int *accept, int *out_status, json_t **out,
                       GError **err);
/* Takes a port from its instance: no device, owner, host, dns name and no hardware in its profile.
 */
bool neutron_port_unbind(Service *s, const DvCtx *ctx, const json_t *port, GError **err);
bool neutron_port_check_binding(const json_t *port, GError **err);

const char *neutron_text(const json_t *object, const char *key); /* NULL: not a string */
/* The object of `list` whose "id" is id, borrowed; NULL when it is not there. */
json_t *neutron_by_id(const json_t *list, const char *id);
/* "compute:az1", the device_owner. Caller frees. */
char *neutron_device_owner(const NetworkInstance *instance);

/* ---- neutron_model.c ---- */

/* Builds the VIF list for `ports` (a list of port objects, in the order wanted) with one call each
 * for networks, subnets, DHCP ports and floating addresses. `preserve`: set of port ids that are
 * not to be deleted with the instance. */
bool neutron_build_vifs(Service *s, const DvCtx *ctx, const NetworkInstance *instance,
                        const json_t *ports, GHashTable *preserve, json_t **out, GError **err);
/* The VIF of a port that came to another host: what its binding decides is new, its network is as
 * it was. NULL: its addresses or its network are others. */
json_t *neutron_renew_vif(const NetworkInstance *instance, const json_t *vif, const json_t *port);

/* ---- neutron.c ---- */

/* Whether a port is bound elsewhere, or nowhere. */
bool neutron_needs_binding(const json_t *port, const char *host);
/* Binds it to instance->host; *out (may be NULL) is the port afterwards. */
bool neutron_bind_port(Service *s, const DvCtx *ctx, const NetworkInstance *instance,
                       const json_t *port, json_t **out, GError **err);
/* Network info of `ports`, read anew, in the order of `old` (may be NULL). */
bool neutron_read_info(Service *s, const DvCtx *ctx, const NetworkInstance *instance,
                       const NetworkInfo *old, const json_t *ports, json_t **out, GError **err);
