/* Emulated TPMs of guests: whether an instance has one, and the secret of the key manager that its
 * state is under.
 *
 * The secret is made with the guest and named in the instance's system_metadata
 * (vtpm_secret_uuid). It belongs to the user who asked, and only requests of users can read it:
 * what the agent does by itself (start-up, periodic jobs) cannot start such a guest, as with nova.
 *
 * Errors     DV_E_INVALID: what is asked makes no sense, or this host has no TPMs;
 *            DV_E_FLAVOR_IMAGE_CONFLICT; DV_E_KEY_MANAGER, DV_E_SECRET_NOT_FOUND.
 * Threads    on a worker; calls of the key manager block.
 * Sources    nova crypto.py ensure_vtpm_secret, delete_vtpm_secret, virt/hardware.py
 *            get_vtpm_constraint (Zed). */
#pragma once

#include "agent/guest_asks.h"

typedef struct GuestTpm {
    const char *version; /* "1.2", "2.0"; NULL: no TPM */
    const char *model;   /* "tpm-tis", "tpm-crb" */
} GuestTpm;

/* Strings borrowed from the instance or its image. */
bool guest_tpm_asked(const GuestAsks *asks, GuestTpm *out, GError **err);
/* The same of an instance with one of its flavors ("flavor", "old_flavor", "new_flavor"); a flavor
 * that it has not asks for nothing. Strings static. */
bool guest_tpm_of(const Ovo *instance, const char *flavor, GuestTpm *out, GError **err);
/* Whether the instance can take that flavor. DV_E_UNSUPPORTED: the flavor asks for another TPM than
 * it has, or none, or it has none. */
bool guest_tpm_check_move(const Ovo *instance, const Ovo *flavor, GError **err);
/* Whether whoever asks can read the secret of the instance's TPM, without which the guest does not
 * start. An instance without one: success. */
bool guest_tpm_check_secret(Agent *agent, const DvCtx *ctx, const Ovo *instance, GError **err);

/* The secret of the instance, read from the key manager, or made there and then saved with the
 * instance. `instance` has system_metadata loaded. */
bool guest_tpm_secret(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestSecret *out,
                      GError **err);
/* For launching the guest as it is defined: *out_secret is `keep`, filled, or NULL when the guest
 * has no TPM. What `instance` lacks is loaded. */
bool guest_tpm_launch(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestSecret *keep,
                      const GuestSecret **out_secret, GError **err);
/* The secret goes from the key manager and from the instance, which is saved. None: success. */
bool guest_tpm_forget(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err);
/* Whether the instance names a secret. */
bool guest_tpm_has_secret(const Ovo *instance);
