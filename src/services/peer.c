/* Casts to compute hosts; see peer.h. */
#include "services/peer.h"

#include <jansson.h>

bool peer_cast(Rpc *rpc, const DvCtx *ctx, const char *host, const char *method,
               const char *version, const Ovo *args, GError **err)
{
    const RpcTarget target = {.topic = "compute", .server = host, .version = version};

    if (!rpc_cast(rpc, ctx, &target, method, ovo_json(args), err))
        return dv_within(err, "%s on %s", method, host);
    return true;
}
