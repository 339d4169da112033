/* A flag with a condition; see gate.h. */
#include "agent/gate.h"

#include "util/thread.h"

typedef enum { GATE_SHUT, GATE_OPEN, GATE_CLOSED } GateState;

struct Gate {
    DvMutex lock;
    DvCond changed;
    GateState state DV_GUARDED_BY(lock);
};

Gate *gate_new(void)
{
    Gate *gate = g_new0(Gate, 1);

    dv_mutex_init(&gate->lock);
    dv_cond_init(&gate->changed);
    return gate;
}

void gate_free(Gate *gate)
{
    if (!gate)
        return;
    dv_cond_done(&gate->changed);
    dv_mutex_done(&gate->lock);
    g_free(gate);
}

static void gate_set(Gate *gate, GateState state)
{
    dv_lock(&gate->lock);
    if (gate->state != GATE_CLOSED)
        gate->state = state;
    dv_cond_broadcast(&gate->changed);
    dv_unlock(&gate->lock);
}

void gate_open(Gate *gate)
{
    gate_set(gate, GATE_OPEN);
}

void gate_close(Gate *gate)
{
    gate_set(gate, GATE_CLOSED);
}

bool gate_pass(Gate *gate)
{
    bool open;

    dv_lock(&gate->lock);
    while (gate->state == GATE_SHUT)
        dv_cond_wait(&gate->changed, &gate->lock);
    open = gate->state == GATE_OPEN;
    dv_unlock(&gate->lock);
    return open;
}

bool gate_is_open(Gate *gate)
{
    bool open;

    dv_lock(&gate->lock);
    open = gate->state == GATE_OPEN;
    dv_unlock(&gate->lock);
    return open;
}
