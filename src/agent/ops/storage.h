/* Whether another host sees the instance directory that is here.
 *
 * Threads    on a worker: blocks on the other host's answer.
 * Sources    nova compute/manager.py _is_instance_storage_shared; virt/libvirt/driver.py
 *            check_instance_shared_storage_local (Zed). */
#pragma once

#include "agent/agent.h"

/* Asks `host`, with a file that is made for it. True in doubt, too: without an answer, or when
 * there is no directory here to ask about; what is shared must not be removed. */
bool storage_is_shared(Agent *agent, const DvCtx *ctx, const char *uuid, const char *host);
