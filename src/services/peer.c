/* Messages to compute hosts; see peer.h. */
#include "services/peer.h"

#include "services/remote_errors.h"

#define ALIVE_MS ((int64_t)20 * 1000)

struct Peers {
    PeerTransport transport; /* [const] */
    PeerTimes times;         /* [const] */
};

static bool cast_over_rpc(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                          json_t *args, GError **err)
{
    return rpc_cast(self, ctx, target, method, args, err);
}

static bool call_over_rpc(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                          json_t *args, int64_t timeout_ms, int64_t monitor_ms, json_t **out_result,
                          RpcRemote *remote, GError **err)
{
    return rpc_call(self, ctx, target, method, args, timeout_ms, monitor_ms, out_result, remote,
                    err);
}

Peers *peers_new_with(const PeerTransport *transport, const PeerTimes *times)
{
    Peers *peers = g_new0(Peers, 1);

    *peers = (Peers){*transport, *times};
    return peers;
}

Peers *peers_new(Rpc *rpc, const PeerTimes *times)
{
    const PeerTransport transport = {cast_over_rpc, call_over_rpc, rpc};

    return peers_new_with(&transport, times);
}

void peers_free(Peers *peers)
{
    g_free(peers);
}

static RpcTarget target_of(const char *host, const char *version)
{
    return (RpcTarget){.topic = "compute", .server = host, .version = version};
}

bool peer_cast(Peers *peers, const DvCtx *ctx, const char *host, const char *method,
               const char *version, const Ovo *args, GError **err)
{
    const RpcTarget target = target_of(host, version);

    if (!peers->transport.cast(peers->transport.self, ctx, &target, method, ovo_json(args), err))
        return dv_within(err, "%s on %s", method, host);
    return true;
}

bool peer_call(Peers *peers, const DvCtx *ctx, const char *host, const char *method,
               const char *version, const Ovo *args, PeerWait wait, json_t **out_result,
               GError **err)
{
    const RpcTarget target = target_of(host, version);
    const PeerTimes *times = &peers->times;
    int64_t timeout_ms = wait == PEER_SHORT ? times->response_ms : times->long_ms;
    int64_t monitor_ms = wait == PEER_SHORT  ? 0
                         : wait == PEER_LONG ? times->response_ms
                                             : MIN(times->response_ms, ALIVE_MS);
    g_auto(RpcRemote) remote = {0};
    g_autoptr(GError) cause = NULL;

    if (peers->transport.call(peers->transport.self, ctx, &target, method, ovo_json(args),
                              timeout_ms, monitor_ms, out_result, &remote, &cause))
        return true;
    /* What the other side raised may have to be raised here again: its text stays as it is. */
    if (dv_is(cause, DV_E_REMOTE) && remote.class_name)
        return remote_fail_plain(err, &remote);
    g_propagate_error(err, g_steal_pointer(&cause));
    return dv_within(err, "%s on %s", method, host);
}
