/* The conductor client on the real RPC; apart from conductor.c so that tests link without it. */
#include "services/conductor.h"
#include "services/conductor_priv.h"

static bool over_rpc_call(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                          json_t *args, int64_t timeout_ms, json_t **out_result, RpcRemote *remote,
                          GError **err)
{
    return rpc_call(self, ctx, target, method, args, timeout_ms, 0, out_result, remote, err);
}

static bool over_rpc_cast(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                          json_t *args, GError **err)
{
    return rpc_cast(self, ctx, target, method, args, err);
}

Conductor *conductor_new(Rpc *rpc, NovaRelease release)
{
    const ConductorTransport transport = {over_rpc_call, over_rpc_cast, rpc};

    return conductor_new_with(&transport, release);
}
