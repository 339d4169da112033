/* What flavor and image ask of a guest, read as nova reads it: extra specs ("hw:pmu") of the one,
 * properties ("hw_pmu") of the other, older names of properties, words with a closed list.
 *
 * Ownership  everything borrowed; strings that are returned belong to the instance or the image,
 *            except where said.
 * Errors     DV_E_BAD_INPUT a value that makes no sense; DV_E_FLAVOR_IMAGE_CONFLICT the two
 * disagree. Threads    pure functions, any thread. Sources    nova objects/{image_meta,fields}.py,
 * virt/hardware.py _get_flavor_image_meta (Zed). */
#pragma once

#include "agent/guest_spec.h"

typedef struct GuestAsks {
    const GuestSource *source;
    const Ovo *flavor;
} GuestAsks;

/* Values as they stand, NULL when unset. */
const char *guest_asks_spec(const GuestAsks *asks, const char *key);
const char *guest_asks_prop(const GuestAsks *asks, const char *name);
/* A property that has a closed list of words, in today's spelling. Caller frees. */
char *guest_asks_word(const GuestAsks *asks, const char *name);
/* Names of all image properties that are set; strings borrowed. Caller unrefs. */
GPtrArray *guest_asks_prop_names(const GuestAsks *asks);

/* oslo's notion of true: 1, t, true, on, y, yes in any case. */
bool guest_asks_is_true(const char *text);
/* hw:NAME and hw_NAME as one flag: unset in both is SPEC_UNSET, a contradiction is refused. */
bool guest_asks_flag(const GuestAsks *asks, const char *name, SpecFlag *out, GError **err);
/* PREFIX:NAME and PREFIX_NAME as one text, or NULL; a contradiction is refused. */
bool guest_asks_text(const GuestAsks *asks, const char *prefix, const char *name, const char **out,
                     GError **err);
/* A number of the flavor's extra specs, of an image property (0 when unset). */
bool guest_asks_number(const GuestAsks *asks, const char *key, SpecNumber *out, GError **err);
bool guest_asks_prop_number(const GuestAsks *asks, const char *name, int64_t *out, GError **err);

/* Every image property that has a closed list of words has one of them. */
bool guest_asks_check(const GuestAsks *asks, GError **err);
/* What this agent cannot do is refused by name, with nova's exception (guest_requests.c). */
bool guest_requests_check(const GuestAsks *asks, GError **err);
