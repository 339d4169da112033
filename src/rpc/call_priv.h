/* For tests only. */
#pragma once

#include "rpc/call.h"

/* When the wait ends unless something comes, dv_now_ms base. */
int64_t rpc_wait_end_ms(RpcCalls *calls, const RpcWait *wait);
