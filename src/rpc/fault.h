/* Exceptions as strings: the `failure` member of a reply is JSON text inside JSON.
 *
 * Errors     DV_E_BAD_INPUT for text that is no failure.
 * Threads    pure functions.
 * Sources    oslo.messaging 14.0.3 _drivers/common.py serialize_remote_exception,
 *            deserialize_remote_exception. */
#pragma once

#include "rpc/rpc.h"

/* The text of `fault`, redacted; caller frees. */
char *rpc_fault_write(const RpcFault *fault);
/* What a peer's failure text says. A re-raised exception's "_Remote" suffixes are taken off. */
bool rpc_fault_read(const char *text, size_t length, RpcRemote *out, GError **err);
