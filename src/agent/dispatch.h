/* From a request to the operation: the lane, the worker, and what nova wraps around every method.
 *
 * Threads    dispatch_request runs on rpc-listen and never blocks; operations run on workers. */
#pragma once

#include "agent/agent.h"

typedef enum {
    LANE_INSTANCE, /* one at a time per instance, in order */
    LANE_HOST,     /* one at a time on this host */
    LANE_NONE,     /* must overtake a running operation */
    LANE_INLINE,   /* answered on rpc-listen itself: pure memory, cannot block */
} MethodLane;

/* What surrounds the operation, as nova's decorators do (docs/wire/compute.md). */
typedef enum {
    METHOD_EVENT = 1 << 0,  /* InstanceActionEvent compute_<method> around it */
    METHOD_REVERT = 1 << 1, /* task_state to null when it fails */
    METHOD_FAULT = 1 << 2,  /* InstanceFault when it fails */
} MethodFlags;

/* One call of a method. Everything is borrowed for the time of run. */
typedef struct OpCall {
    Agent *agent;
    const struct AgentMethod *method;
    const DvCtx *ctx; /* with the instance's uuid when there is one */
    const Ovo *args;  /* the dict of arguments */
    Ovo *instance;    /* args.instance, NULL when the method has none */
    const char *uuid; /* of the instance, or NULL */
    bool old_form;    /* sent to the 5.x endpoint */
} OpCall;

/* Runs the operation. *out_result (initially NULL: null) is given to the caller. */
typedef bool (*OpRunFn)(const OpCall *call, json_t **out_result, GError **err);

typedef struct AgentMethod {
    const char *name;
    MethodLane lane;
    AgentPool pool;
    unsigned flags;
    OpRunFn run;
    /* Called on rpc-listen as soon as the request comes in, before it waits for its lane; must not
     * block. It closes the instance's waits, so that what is before it in the lane ends soon; they
     * are opened again when the request has ended. */
    void (*arrive)(Agent *agent, const char *instance_uuid);
} AgentMethod;

/* RpcHandlerFn; self is the Agent. */
void dispatch_request(void *self, RpcRequest *request);

/* Runs a method's operation in the calling worker with all that surrounds it, for start-up and
 * periodic jobs. */
bool dispatch_run(Agent *agent, const AgentMethod *method, const DvCtx *ctx, const Ovo *args,
                  bool old_form, json_t **out_result, GError **err);

/* InstanceFault for a failed operation; failures to write it are logged. message NULL: from err. */
void dispatch_record_fault(Agent *agent, const DvCtx *ctx, const char *uuid, const GError *err,
                           const char *message);
