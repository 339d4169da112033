/* What auth.c, auth_token.c and auth_error.c share; also for the REST clients of this folder.
 *
 * Threads    any. */
#pragma once

#include "services/auth.h"

/* ---- tokens (auth_token.c) ---- */

typedef struct AuthToken AuthToken;
AuthToken *auth_token_ref(AuthToken *token);
void auth_token_unref(AuthToken *token);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AuthToken, auth_token_unref)
const char *auth_token_value(const AuthToken *token); /* a secret */
/* URL of a service in the token's catalog, the first of `interfaces` (NULL-terminated) that is
 * there; region NULL: any. NULL when there is none. Borrowed from the token. */
const char *auth_token_endpoint(const AuthToken *token, const char *service_type,
                                const char *const *interfaces, const char *region);

/* One set of credentials and the token they gave last. `config` is borrowed. NULL with err when
 * the options make no sense. */
typedef struct TokenSource TokenSource;
TokenSource *token_source_new(HttpClient *http, const AuthConfig *config, const char *group,
                              GError **err);
void token_source_free(TokenSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TokenSource, token_source_free)
/* A token with at least 120 s to live; fetched by one thread while others wait for its outcome. */
AuthToken *token_source_get(TokenSource *source, const DvCtx *ctx, GError **err);
/* A service refused this token: forget it, unless it was renewed meanwhile. */
void token_source_drop(TokenSource *source, const AuthToken *token);

/* ---- errors (auth_error.c) ---- */

/* The service's own words in an error answer: one line, redacted, at most 300 bytes. Caller frees.
 */
char *service_error_text(const HttpResponse *response);
/* The code of a status >= 400, as service_call promises. */
DvErrorCode service_error_code(int status);

/* ---- for the clients ---- */

/* A list of names kept with the service (neutron's extensions). NULL when there is none or it is
 * older than max_age_ms. Caller frees with g_strfreev. */
char **service_recall(Service *service, const char *what, int64_t max_age_ms);
void service_remember(Service *service, const char *what, const char *const *names);

/* "%2F" and the like for an id or name from outside in a path or query. Caller frees. */
char *service_escape(const char *text);
