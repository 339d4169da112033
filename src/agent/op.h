/* Operations as step tables: the steps in the order they happen, each with its undo.
 *
 * The runner runs them one after the other; when one fails it walks back over those that had
 * succeeded. A step cleans up after its own failure. The journal (a record before the first outside
 * effect and at each step) is to be added to this runner, not to the operations. Threads    an
 * operation runs on one worker; the observer is set once at start. */
#pragma once

#include "util/ctx.h"
#include "util/error.h"

typedef struct OpStep {
    const char *name; /* "claim"; with the operation's name it is unique: "boot.claim" */
    bool (*run)(void *op, GError **err);
    void (*undo)(void *op); /* NULL: nothing to take back. Never fails: it logs what stays behind */
} OpStep;

/* Runs the steps with `op` as their argument. False with the failed step's error, after undoing. */
bool op_run(const char *name, const OpStep *steps, size_t count, void *op, const DvCtx *ctx,
            GError **err);

/* Runs all of them, whatever becomes of each: the end of an operation that can only go forward. A
 * failed step is logged; false with the first one's error. No undo is called. */
bool op_run_all(const char *name, const OpStep *steps, size_t count, void *op, const DvCtx *ctx,
                GError **err);

/* Called before each step with "boot.claim" and after the last with "boot.done"; for the fault
 * tests, which end the process there. */
typedef void (*OpObserverFn)(void *self, const char *point);
void op_set_observer(OpObserverFn observer, void *self);
