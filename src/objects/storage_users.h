/* The registry of the hosts that share an instances_path: JSON text, host name to the time it was
 * last seen there, as nova writes it.
 *
 * Units      seconds since 1970, with fractions.
 * Threads    pure functions, any thread.
 * Sources    nova virt/storage_users.py (Zed). */
#pragma once

#include <stdint.h>

/* The registry with `host` seen now; text that is no registry (or NULL) counts as an empty one, as
 * in nova. *out_recent: the hosts seen within the last day, NULL-terminated. The caller frees both
 * (g_strfreev). */
char *storage_users_note(const char *text, const char *host, int64_t now_wall_ms,
                         char ***out_recent);
