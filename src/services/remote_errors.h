/* What an exception that a nova service raised means to us: class name -> DvErrorCode.
 *
 * The opposite direction, our codes to classes that nova accepts, is src/agent/faults.c.
 * Threads    pure functions.
 * Sources    nova exception.py (Zed, 2026 development); docs/wire/conductor.md. */
#pragma once

#include "rpc/rpc.h"

/* The code for a class name (a trailing "_Remote" is ignored). DV_E_REMOTE: one that nobody here
 * treats differently, also for NULL. */
DvErrorCode remote_code(const char *class_name);
/* Sets err to that code and "Class: first line of the message", bounded; returns false. */
bool remote_fail(GError **err, const RpcRemote *remote);
/* The same without the class in the text, where the code tells it: what a compute host raised may
 * have to be raised again by this one. */
bool remote_fail_plain(GError **err, const RpcRemote *remote);
