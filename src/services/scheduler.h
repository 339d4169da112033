/* Fanouts to nova-scheduler: which instances this host has. Casts; failures are the caller's to
 * log.
 *
 * Threads    any.
 * Sources    nova scheduler/rpcapi.py 4.2 (Zed). */
#pragma once

#include "objects/ovo.h"
#include "rpc/rpc.h"

/* instances: an InstanceList, borrowed. */
bool scheduler_update_instance_info(Rpc *rpc, const DvCtx *ctx, const char *host,
                                    const Ovo *instances, GError **err);
bool scheduler_delete_instance_info(Rpc *rpc, const DvCtx *ctx, const char *host,
                                    const char *instance_uuid, GError **err);
/* uuids NULL-terminated. */
bool scheduler_sync_instance_info(Rpc *rpc, const DvCtx *ctx, const char *host,
                                  const char *const *uuids, GError **err);
