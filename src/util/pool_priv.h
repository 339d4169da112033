/* For tests of the pool only. */
#pragma once

#include "util/pool.h"

/* How long a worker waits for its next job before it ends (10 s). */
void dv_pool_set_idle_ms(DvPool *pool, int64_t idle_ms);
