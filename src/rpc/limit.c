/* Log rate limit; see limit.h. */
#include "rpc/limit.h"

bool rpc_limit_pass(RpcLimit *limit, int64_t now_ms, unsigned *out_suppressed)
{
    if (limit->in_window == 0 || now_ms - limit->window_start_ms >= RPC_LIMIT_WINDOW_MS) {
        limit->window_start_ms = now_ms;
        limit->in_window = 0;
    }
    if (limit->in_window >= RPC_LIMIT_LINES) {
        limit->suppressed++;
        return false;
    }
    limit->in_window++;
    *out_suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}
