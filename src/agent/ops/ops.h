/* The operations, one line each; what they do is told on top of their files.
 *
 * Threads    op_* run on a worker, those of LANE_INLINE on rpc-listen; see agent/dispatch.h. */
#pragma once

#include "agent/dispatch.h"

/* boot.c */
bool op_boot(const OpCall *call, json_t **out_result, GError **err);

/* delete.c */
bool op_delete(const OpCall *call, json_t **out_result, GError **err);
void op_delete_arrive(Agent *agent, const char *instance_uuid);
/* The delete itself, for start-up recovery too: no event, fault or revert around it. */
bool op_delete_instance(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err);
/* The tail of a delete whose record already says deleted. */
bool op_complete_deletion(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err);

/* rebuild.c */
bool op_rebuild(const OpCall *call, json_t **out_result, GError **err);

/* external_events.c */
bool op_external_event(const OpCall *call, json_t **out_result, GError **err);

/* interfaces.c */
bool op_attach_interface(const OpCall *call, json_t **out_result, GError **err);
bool op_detach_interface(const OpCall *call, json_t **out_result, GError **err);

/* fixed_ips.c */
bool op_add_fixed_ip(const OpCall *call, json_t **out_result, GError **err);
bool op_remove_fixed_ip(const OpCall *call, json_t **out_result, GError **err);

/* console.c */
bool op_console_output(const OpCall *call, json_t **out_result, GError **err);
bool op_console(const OpCall *call, json_t **out_result, GError **err);
bool op_validate_console(const OpCall *call, json_t **out_result, GError **err);

/* host.c */
bool op_host_uptime(const OpCall *call, json_t **out_result, GError **err);
bool op_set_host_enabled(const OpCall *call, json_t **out_result, GError **err);
bool op_ping(const OpCall *call, json_t **out_result, GError **err);
bool op_backdoor_port(const OpCall *call, json_t **out_result, GError **err);
bool op_server_ping(const OpCall *call, json_t **out_result, GError **err);
