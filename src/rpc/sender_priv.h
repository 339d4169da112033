/* For tests only: what would be published. */
#pragma once

#include "rpc/sender.h"

/* The oldest message of a sender that was never started, NULL when there is none; the caller frees
 * it. Its `done` is not called. */
RpcOut *rpc_sender_take(RpcSender *sender);
