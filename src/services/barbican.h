/* Barbican v1: secrets of users, kept by the cloud's key manager.
 *
 * Identity   the user's token and the catalog that came with the request, as in nova: the agent's
 *            own credentials may not read users' secrets. A request without a token fails.
 * Errors     DV_E_KEY_MANAGER: it is away, refuses, or answers what cannot be read;
 *            DV_E_SECRET_NOT_FOUND where said.
 * Ownership  values are the caller's: barbican_value_free wipes them.
 * Threads    any.
 * Sources    barbican API v1 reference; castellan key_manager/barbican_key_manager.py, nova
 *            crypto.py (Zed): which requests, and a passphrase's type and encoding. */
#pragma once

#include "services/auth.h"

/* Keeps `value` (text) there as a passphrase. *out_id: its uuid; caller frees. */
bool barbican_store(Service *barbican, const DvCtx *ctx, const char *name, const char *value,
                    char **out_id, GError **err);
/* The value of a secret that holds text, at most 10000 bytes. DV_E_SECRET_NOT_FOUND. */
bool barbican_fetch(Service *barbican, const DvCtx *ctx, const char *id, char **out_value,
                    GError **err);
/* Not there: success. */
bool barbican_delete(Service *barbican, const DvCtx *ctx, const char *id, GError **err);

void barbican_value_free(char *value);
