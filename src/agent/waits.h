/* Waiting for external events: neutron says that a port is plugged, nova-api passes it on.
 *
 * A waiter is keyed by (instance, event name, tag). Register before triggering: an event without a
 * waiter is lost. The event's thread only wakes. Threads    all functions from any thread; only
 * waits_wait blocks, until its deadline. */
#pragma once

#include "util/error.h"

#include <stdint.h>

typedef struct Waits Waits;
typedef struct WaitSet WaitSet; /* the events one operation waits for */

Waits *waits_new(void);
void waits_free(Waits *waits);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Waits, waits_free)

/* Registers `name` with each of the tags (NULL-terminated) for the instance. Free it in any case.
 */
WaitSet *waits_register(Waits *waits, const char *instance_uuid, const char *name,
                        const char *const *tags);
void wait_set_free(WaitSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WaitSet, wait_set_free)

/* Waits until every event came with status completed. DV_E_VIF_PLUG when one failed, DV_E_TIMEOUT,
 * DV_E_CANCELLED when the instance's waits were cancelled (delete, stop), DV_E_UNAVAILABLE once
 * after waits_doubt: look whether what the events tell has happened, and wait again. */
bool waits_wait(WaitSet *set, int64_t timeout_ms, GError **err);
/* What the events of these tags would have told is known from elsewhere: those that have not come
 * count as completed. Returns how many. */
unsigned wait_set_complete(WaitSet *set, const char *const *tags);

/* Delivers an event; false when nobody waits for it. `status` is nova's: completed, failed,
 * in-progress. */
bool waits_deliver(Waits *waits, const char *instance_uuid, const char *name, const char *tag,
                   const char *status);
/* Events may have been lost on their way: whoever waits is to look for himself. */
void waits_doubt(Waits *waits);
/* Ends all waits of the instance (NULL: of all) with DV_E_CANCELLED. Returns how many events were
 * pending. */
unsigned waits_cancel(Waits *waits, const char *instance_uuid);
/* Somebody who is not to wait is on the way (a delete): ends all waits of the instance as
 * waits_cancel does, and those that are registered until waits_open end at once too. Nests. */
void waits_close(Waits *waits, const char *instance_uuid);
void waits_open(Waits *waits, const char *instance_uuid);
/* Whether it is closed now. */
bool waits_closed(Waits *waits, const char *instance_uuid);
