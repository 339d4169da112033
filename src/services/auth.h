/* Keystone v3: tokens of the service credentials and the endpoint catalog, per config group.
 *
 * A token is fetched once by one thread while others wait for it (single flight), renewed when less
 * than 120 s of its life remain, and dropped on 401. A user's token from the request context is
 * used where rest.md says so, with the service token beside it when [service_user] asks for that.
 * Threads    any.
 * Sources    keystone API v3; keystoneauth loading options. */
#pragma once

#include "services/http.h"

/* The keystoneauth and adapter options of one group ([placement], [neutron], ...). Strings borrowed
 * for the life of the Service. NULL: unset. */
typedef struct AuthConfig {
    const char *auth_type; /* password, v3password, v3applicationcredential, v3token, none */
    const char *auth_url;
    const char *username, *user_id, *password;
    const char *user_domain_name, *user_domain_id;
    const char *project_name, *project_id, *project_domain_name, *project_domain_id;
    const char *default_domain_name, *default_domain_id;
    const char *application_credential_id, *application_credential_name,
        *application_credential_secret;
    const char *system_scope, *trust_id, *token;
    HttpTls tls;
    int64_t timeout_ms; /* 0: 60 s */
} AuthConfig;

typedef struct ServiceConfig {
    const char *name;                    /* config group, for messages: "placement" */
    const char *service_type;            /* catalog type: "placement", "network", "image" */
    const char *const *valid_interfaces; /* "internal", "public"; NULL: that default */
    const char *region_name;
    const char *endpoint_override; /* or NULL: catalog. For glance: [glance] api_servers' first */
    unsigned connect_retries, status_code_retries;
    AuthConfig auth;
    bool user_token_only;           /* without own credentials: glance, the key manager */
    const AuthConfig *service_user; /* X-Service-Token beside a user token, or NULL */
} ServiceConfig;

typedef struct Service Service;
Service *service_new(HttpClient *http, const ServiceConfig *config, GError **err);
void service_free(Service *service);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Service, service_free)

/* The last service_call found nobody, or one that cannot serve (5xx). For health; never blocks. */
bool service_away(const Service *service);

typedef enum {
    AS_SERVICE, /* the group's own credentials */
    AS_USER,    /* the context's token when it has one, else the group's own */
} ServiceIdentity;

typedef struct json_t json_t;
/* One REST call below the endpoint: adds token, request id, user agent and `microversion` header (a
 * whole "OpenStack-API-Version: placement 1.36" line, or NULL), parses a JSON answer into *out_json
 * (may be NULL; NULL JSON for empty bodies). `body` is stolen, NULL for none. Once more with a new
 * token on 401. Every status >= 400 but those in `accept` (0-terminated, may be NULL) is an error:
 * 401/403 DV_E_DENIED, 404 DV_E_NOT_FOUND, 409 DV_E_CONFLICT, 5xx and no connection
 * DV_E_UNAVAILABLE, others DV_E_BAD_INPUT, with the service's own text, redacted. */
bool service_call(Service *service, const DvCtx *ctx, ServiceIdentity identity, const char *method,
                  const char *path, const char *microversion, json_t *body, const int *accept,
                  int *out_status, json_t **out_json, GError **err);
/* The URL that a call of `path` would go to. Asks keystone when no token is at hand. Caller frees.
 */
bool service_url(Service *service, const DvCtx *ctx, ServiceIdentity identity, const char *path,
                 char **out_url, GError **err);
/* PATCH with a body of another type than application/json. Errors as service_call. */
bool service_patch(Service *service, const DvCtx *ctx, ServiceIdentity identity, const char *path,
                   const char *content_type, json_t *body, const int *accept, int *out_status,
                   GError **err);
/* PUT of a file as it is (application/octet-stream). An answer that comes before the whole file was
 * sent counts. Errors as service_call. */
bool service_upload(Service *service, const DvCtx *ctx, ServiceIdentity identity, const char *path,
                    const HttpUpload *upload, const int *accept, int *out_status, GError **err);
/* GET that streams a 2xx body of the type asked for into a sink (http.h). */
bool service_download(Service *service, const DvCtx *ctx, ServiceIdentity identity,
                      const char *path, const char *accept_type,
                      bool (*sink)(void *arg, const void *data, size_t length, GError **err),
                      void *arg, GError **err);
