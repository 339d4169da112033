/* Reads the few JSON files of the host that QEMU's packages bring: every scalar is reported with
 * its path, "targets.0.machines.1". jansson stays out of virt; this reads and never builds a tree.
 *
 * Limits     nesting to 32, text as long as the caller read it.
 * Errors     DV_E_BAD_INPUT says at which byte.
 * Threads    pure function, any thread. */
#pragma once

#include "util/error.h"

/* `value` is the text of a string, or the word of a number, true, false, null. */
typedef void (*JReadFn)(void *arg, const char *path, const char *value);

bool jread(const char *text, JReadFn leaf, void *arg, GError **err);
