/* The image cache's upkeep: whose images are in use, asked of conductor for all hosts that share
 * this host's instances_path.
 *
 * Threads    on a worker.
 * Sources    nova compute/manager.py _run_image_cache_manager_pass, virt/imagecache.py (Zed). */
#pragma once

#include "agent/agent.h"

/* One pass: notes this host as a user of the folder, and cleans the cache. */
bool image_cache_pass(Agent *agent, const DvCtx *ctx, GError **err);
