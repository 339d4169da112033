/* Other compute hosts, and this one by way of the broker (nova casts to itself, too).
 *
 * Threads    any.
 * Sources    nova compute/rpcapi.py (Zed). */
#pragma once

#include "objects/ovo.h"
#include "rpc/rpc.h"

/* args: a dict Ovo, borrowed. */
bool peer_cast(Rpc *rpc, const DvCtx *ctx, const char *host, const char *method,
               const char *version, const Ovo *args, GError **err);
