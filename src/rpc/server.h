/* Which endpoint takes a request; the rest of the serving side is in rpc.h.
 *
 * Sources    oslo.messaging 14.0.3 rpc/dispatcher.py, _utils.version_is_compatible. */
#pragma once

#include "rpc/rpc.h"

/* Same major, and not newer than `offered`. Texts that are no versions are never compatible. */
bool rpc_version_compatible(const char *offered, const char *wanted);

typedef enum { RPC_MATCH_FOUND, RPC_MATCH_NO_VERSION, RPC_MATCH_NO_METHOD } RpcMatch;

RpcMatch rpc_endpoint_match(const RpcEndpoint *endpoints, size_t count, const char *namespace_,
                            const char *version, const char *method,
                            const RpcEndpoint **out_endpoint, const RpcMethod **out_method);
