/* Vendor data: what the operator wants to tell every guest, from a file and from services of his
 * own. A config drive carries it.
 *
 * Errors     a file that is not there or is no JSON fails the boot, as with nova; a service that
 *            does not answer only with vendordata_dynamic_failure_fatal, else its part is {}.
 * Ownership  the config's strings must outlive the Vendordata.
 * Threads    any; a fetch blocks for at most the two timeouts for each target.
 * Sources    nova api/metadata/vendordata_json.py, vendordata_dynamic.py, base.py (Zed). */
#pragma once

#include "objects/ovo.h"
#include "services/auth.h"

typedef struct VendordataConfig {
    const char *const *providers; /* StaticJSON, DynamicJSON, in the order of their parts */
    const char *jsonfile_path;    /* or NULL */
    const char *const *targets;   /* "name@url" */
    const char *certfile;         /* authorities; "": the system's */
    int64_t connect_timeout_s, read_timeout_s;
    bool failure_fatal;
    AuthConfig auth; /* [vendordata_dynamic_auth]; auth_type NULL: the services are asked without */
} VendordataConfig;

typedef struct Vendordata Vendordata;
Vendordata *vendordata_new(HttpClient *http, const VendordataConfig *config, GError **err);
void vendordata_free(Vendordata *vendordata);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vendordata, vendordata_free)

/* The two documents as JSON text, g_free: vendor_data.json, NULL when StaticJSON is no provider,
 * and vendor_data2.json. */
bool vendordata_fetch(Vendordata *vendordata, const DvCtx *ctx, const Ovo *instance,
                      char **out_static, char **out_all, GError **err);
