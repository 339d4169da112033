/* Keeps a repeating condition from filling the log: so many lines per interval, then silence and a
 * count.
 *
 * Threads    one limiter belongs to one thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct RpcLimit {
    int64_t window_start_ms;
    unsigned in_window;
    unsigned suppressed;
} RpcLimit;

enum { RPC_LIMIT_LINES = 5, RPC_LIMIT_WINDOW_MS = 10000 };

/* True when the caller may log now; then *out_suppressed is how many it was refused before. */
bool rpc_limit_pass(RpcLimit *limit, int64_t now_ms, unsigned *out_suppressed);
