/* Casts to compute hosts; see peer.h. */
#include "services/peer.h"

struct Peers {
    PeerCastFn cast; /* [const] */
    void *self;
};

static bool over_rpc(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                     json_t *args, GError **err)
{
    return rpc_cast(self, ctx, target, method, args, err);
}

Peers *peers_new_with(PeerCastFn cast, void *self)
{
    Peers *peers = g_new0(Peers, 1);

    *peers = (Peers){cast, self};
    return peers;
}

Peers *peers_new(Rpc *rpc)
{
    return peers_new_with(over_rpc, rpc);
}

void peers_free(Peers *peers)
{
    g_free(peers);
}

bool peer_cast(Peers *peers, const DvCtx *ctx, const char *host, const char *method,
               const char *version, const Ovo *args, GError **err)
{
    const RpcTarget target = {.topic = "compute", .server = host, .version = version};

    if (!peers->cast(peers->self, ctx, &target, method, ovo_json(args), err))
        return dv_within(err, "%s on %s", method, host);
    return true;
}
