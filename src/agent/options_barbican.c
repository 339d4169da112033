/* Rows of the key manager: [key_manager], [barbican]. Its service user is in options_keystone.c.
 *
 * Sources    castellan 4.0 (Zed): key_manager/__init__.py, key_manager/barbican_key_manager.py. */
#include "agent/options_priv.h"

#include "agent/options.h"

#include <string.h>

/* clang-format off */
static const DvOption rows[] = {
    OPT_STR("key_manager", "backend", "barbican", "Key manager for the secrets of emulated TPMs;"
            " drover has barbican.", OLD("key_manager.api_class")),
    OPT_STR("barbican", "barbican_endpoint", NULL, "Address of barbican; unset: from the catalog that"
            " comes with a request."),
    OPT_STR("barbican", "barbican_api_version", NULL, "Version of its API, of which there is one.",
            CHOICES("v1")),
    OPT_STR("barbican", "barbican_endpoint_type", "public", "Interface to look for.",
            CHOICES("public|internal|admin")),
    OPT_STR("barbican", "barbican_region_name", NULL, "Region to look in."),
    OPT_BOOL("barbican", "verify_ssl", "true", "Check its certificate."),
    OPT_STR("barbican", "verify_ssl_path", NULL, "Authorities of its certificate."),
    OPT_BOOL("barbican", "send_service_user_token", "false", "Send a token of"
             " [barbican_service_user] beside the user's."),
    OPT_STR("barbican", "auth_endpoint", "http://localhost/identity/v3", "Of other users of castellan.",
            IGNORED, OLD("key_manager.auth_url")),
    OPT_INT("barbican", "retry_delay", "1", "Of orders, which nova does not make.", IGNORED),
    OPT_INT("barbican", "number_of_retries", "60", "Of orders, which nova does not make.", IGNORED),
};
/* clang-format on */

const OptionPart options_part_barbican = {rows, G_N_ELEMENTS(rows)};

static const struct {
    const char *type;
    const char *const interfaces[2];
} endpoint_types[] = {
    {"public", {"public", NULL}},
    {"internal", {"internal", NULL}},
    {"admin", {"admin", NULL}},
};

static const char *const *interfaces_of(const char *type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(endpoint_types); i++)
        if (strcmp(endpoint_types[i].type, type) == 0)
            return endpoint_types[i].interfaces;
    return endpoint_types[0].interfaces;
}

/* castellan takes a driver's name, or a class. Others matter only where TPMs are offered. */
static bool check_backend(const DvConfig *config, GError **err)
{
    const char *backend = dv_config_str(config, "key_manager", "backend");

    return !dv_config_bool(config, "libvirt", "swtpm_enabled") ||
           strcmp(backend, "barbican") == 0 || g_str_has_suffix(backend, ".BarbicanKeyManager") ||
           option_fail(config, "key_manager", "backend",
                       "not supported; with [libvirt] swtpm_enabled drover has barbican", err);
}

bool options_barbican(const DvConfig *config, AuthConfig *service_user, ServiceConfig *out,
                      GError **err)
{
    bool sends = dv_config_bool(config, "barbican", "send_service_user_token");
    const char *type = dv_config_str(config, "barbican", "barbican_endpoint_type");

    if (!check_backend(config, err) ||
        (sends && !options_auth_check(config, "barbican_service_user", err)))
        return false;
    options_auth(config, "barbican_service_user", service_user);
    *out = (ServiceConfig){
        .name = "barbican",
        .service_type = "key-manager",
        .valid_interfaces = interfaces_of(type),
        .region_name = option_str(config, "barbican", "barbican_region_name"),
        .endpoint_override = option_str(config, "barbican", "barbican_endpoint"),
        .user_token_only = true,
        .service_user = sends ? service_user : NULL,
        .auth.tls =
            {
                .cafile = option_str(config, "barbican", "verify_ssl_path"),
                .insecure = !dv_config_bool(config, "barbican", "verify_ssl"),
            },
    };
    return true;
}
