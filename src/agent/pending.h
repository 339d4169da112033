/* A set of keys with work queued for them, so that several wishes become one job.
 *
 * Threads    any. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Pending Pending;

Pending *pending_new(void);
void pending_free(Pending *pending);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pending, pending_free)

/* False when the key was in it already. */
bool pending_add(Pending *pending, const char *key);
void pending_remove(Pending *pending, const char *key);
bool pending_has(Pending *pending, const char *key);
