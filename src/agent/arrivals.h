/* What this host has learned of instances when it was asked whether they may come here live, until
 * they do: a second or two later pre_live_migration needs the same, and an instance that migrates
 * neither gets nor loses devices, and joins no server group.
 *
 * At most 64 instances, each for 60 s; what is not there is asked again.
 * Threads    any. */
#pragma once

#include "objects/ovo.h"
#include "util/clock.h"

typedef struct Arrivals Arrivals;

/* clock: borrowed. */
Arrivals *arrivals_new(const DvClock *clock);
void arrivals_free(Arrivals *arrivals);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Arrivals, arrivals_free)

/* bdms: its block device mappings, taken: the caller has no more to do with them. grouped: it
 * belongs to a server group. */
void arrivals_note(Arrivals *arrivals, const char *uuid, Ovo *bdms, bool grouped);
/* Takes it out. False: nothing is known, or it is old. The caller unrefs. */
bool arrivals_take(Arrivals *arrivals, const char *uuid, Ovo **out_bdms, bool *out_grouped);
