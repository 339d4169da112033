/* What operations that make a guest leave behind in the instance: active, error, stopped again; and
 * who is told of it.
 *
 * Threads    on the operation's worker. */
#pragma once

#include "agent/agent.h"

/* The instance is deleted, or somebody is deleting it: nothing is to be said or saved. */
bool outcome_gone(const GError *cause);
/* Into the object, unsaved: vm_state, no task, launched now. */
void outcome_active(Ovo *instance, const char *vm_state);
/* vm_state error, saved; the task state is for the caller's method flags. Troubles are logged. */
void outcome_error(Agent *agent, const DvCtx *ctx, Ovo *instance);
/* The same with vm_state `vm_state` and no task: nothing was done to the guest. */
void outcome_restore(Agent *agent, const DvCtx *ctx, Ovo *instance, const char *vm_state);
/* stop_instance as a request of its own, with its action event, in the calling worker. The caller
 * has saved the task state powering-off. */
bool outcome_stop(Agent *agent, const DvCtx *ctx, Ovo *instance, bool clean, GError **err);

/* Tells the schedulers what runs here now (update_instance_info); troubles are logged. */
void outcome_announce(Agent *agent, const DvCtx *ctx, const Ovo *instance);
/* Tells them that it is not here any more. */
void outcome_withdraw(Agent *agent, const DvCtx *ctx, const char *uuid);
