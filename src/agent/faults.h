/* From an error code to the exception that nova's conductor and API know. The only file with those
 * names.
 *
 * Threads    pure functions. */
#pragma once

#include "rpc/rpc.h"
#include "util/error.h"

/* Fills class, module, code for the wire; message points into `err` or static text (valid while err
 * is). */
void fault_of_error(const GError *err, RpcFault *out);
/* The text of an instance fault: what a user may read, at most 255 bytes, without secrets and host
 * paths. Caller frees. */
char *fault_message(const GError *err);
/* nova's exception text "Build of instance <uuid> aborted: <reason>" and friends, for faults that
 * nova wraps. */
char *fault_build_aborted(const char *instance_uuid, const char *reason);
/* `text` without absolute paths of this host: each becomes "<path>". Caller frees. */
char *fault_hide_paths(const char *text);
