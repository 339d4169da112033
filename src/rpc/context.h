/* DvCtx <-> the _context_* members of a message.
 *
 * A received context stays attached to the DvCtx as it came, so that keys we do not know travel on;
 * what DvCtx says (is_admin, read_deleted, the elevated role) wins over it when it is written.
 * Errors     DV_E_BAD_INPUT for members of a wrong type.
 * Threads    pure functions; the attached json_t is never changed once read.
 * Sources    nova context.RequestContext.to_dict, from_dict, elevated (Zed); oslo.context 5.0. */
#pragma once

#include "rpc/rpc.h"

/* Takes the context out of `inner` (which loses those members). Caller unrefs. */
DvCtx *rpc_context_read(json_t *inner, GError **err);
/* An object of _context_* members. New reference. A NULL ctx is written as an admin context. */
json_t *rpc_context_write(const DvCtx *ctx);
/* The same for notifications: without the token and the service catalog. */
json_t *rpc_context_write_public(const DvCtx *ctx);
