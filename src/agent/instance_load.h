/* What a request's instance does not carry is read from the database when an operation needs it, as
 * nova's objects do by themselves.
 *
 * Threads    on a worker. */
#pragma once

#include "agent/agent.h"

/* Fields of `attrs` (NULL-terminated; conductor's expected_attrs) that `instance` does not have are
 * read with one call and put into it, not as changes. Nothing is missing: no call. */
bool instance_load(Agent *agent, const DvCtx *ctx, Ovo *instance, const char *const *attrs,
                   GError **err);
/* The mappings of a request (its member `field`, a list object), or those of the database. The
 * caller unrefs. */
bool instance_bdms(Agent *agent, const DvCtx *ctx, const Ovo *args, const char *field,
                   const char *uuid, Ovo **out, GError **err);
