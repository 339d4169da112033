/* The gate in front of operations: requests are taken from the broker as soon as the host is
 * registered, and wait here until the agent has recovered what an earlier run left and has audited
 * the host.
 *
 * Threads    any. */
#pragma once

#include <stdbool.h>

typedef struct Gate Gate;

Gate *gate_new(void);
void gate_free(Gate *gate);
void gate_open(Gate *gate);
/* Who waits and who comes is turned away, for good. */
void gate_close(Gate *gate);
/* Waits until the gate is open; false when it was closed before. */
bool gate_pass(Gate *gate);
bool gate_is_open(Gate *gate);
