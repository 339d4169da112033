/* Ids of messages and queues: 32 hex digits of a random UUID, as oslo.messaging makes them. */
#pragma once

enum { RPC_ID_BYTES = 33 };

void rpc_id_new(char out[RPC_ID_BYTES]);
