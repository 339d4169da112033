/* The one question everybody may ask of the whole agent; see agent.h. */
#include "agent/agent.h"

bool agent_stopping(const Agent *agent)
{
    return atomic_load(&agent->stopping);
}
