/* The keystoneauth options, which every group that logs in somewhere repeats: written once here and
 * multiplied by the groups.
 *
 * Sources    keystoneauth1 5.0 (Zed): loading/adapter.py, session.py, _plugins/identity. */
#include "agent/options_priv.h"

#include <string.h>

enum {
    HAS_AUTH = 1,
    HAS_ADAPTER = 2, /* how to find the service in the catalog */
};

static const struct {
    const char *name;
    const char *service_type;
    unsigned has;
} groups[] = {
    {"placement", "placement", HAS_AUTH | HAS_ADAPTER},
    {"neutron", "network", HAS_AUTH | HAS_ADAPTER},
    {"glance", "image", HAS_AUTH | HAS_ADAPTER},
    {"cinder", NULL, HAS_AUTH},
    {"service_user", NULL, HAS_AUTH},
    {"vendordata_dynamic_auth", NULL, HAS_AUTH},
    {"barbican_service_user", NULL, HAS_AUTH},
    /* not ours, but auth_section of the others may name it */
    {"keystone_authtoken", NULL, HAS_AUTH},
};

/* Group and old_names (bare names here) are filled in for each group. */
/* clang-format off */
static const DvOption auth_rows[] = {
    OPT_STR(NULL, "auth_type", NULL, "How to log in.",
            CHOICES("password|v3password|v3applicationcredential|v3token|token|none"),
            OLD("auth_plugin")),
    OPT_STR(NULL, "auth_section", NULL, "Another group to take the credentials from."),
    OPT_STR(NULL, "auth_url", NULL, "Address of keystone."),
    OPT_STR(NULL, "username", NULL, "User.", OLD("user_name")),
    OPT_STR(NULL, "user_id", NULL, "User, by id."),
    OPT_STR(NULL, "password", NULL, "Password.", SECRET),
    OPT_STR(NULL, "user_domain_name", NULL, "Domain of the user."),
    OPT_STR(NULL, "user_domain_id", NULL, "Domain of the user, by id."),
    OPT_STR(NULL, "project_name", NULL, "Project.", OLD("tenant_name")),
    OPT_STR(NULL, "project_id", NULL, "Project, by id.", OLD("tenant_id")),
    OPT_STR(NULL, "project_domain_name", NULL, "Domain of the project."),
    OPT_STR(NULL, "project_domain_id", NULL, "Domain of the project, by id."),
    OPT_STR(NULL, "default_domain_name", NULL, "Domain of user and project."),
    OPT_STR(NULL, "default_domain_id", NULL, "Domain of user and project, by id."),
    OPT_STR(NULL, "domain_name", NULL, "Domain to act in.", UNHONOURED),
    OPT_STR(NULL, "domain_id", NULL, "Domain to act in, by id.", UNHONOURED),
    OPT_STR(NULL, "system_scope", NULL, "\"all\": act on the system instead of a project."),
    OPT_STR(NULL, "trust_id", NULL, "Trust to act by."),
    OPT_STR(NULL, "application_credential_id", NULL, "Application credential."),
    OPT_STR(NULL, "application_credential_name", NULL, "Application credential, by name."),
    OPT_STR(NULL, "application_credential_secret", NULL, "Its secret.", SECRET),
    OPT_STR(NULL, "token", NULL, "Token, with auth_type token.", SECRET),
    OPT_STR(NULL, "cafile", NULL, "Authorities of the service's certificate."),
    OPT_STR(NULL, "certfile", NULL, "Client certificate."),
    OPT_STR(NULL, "keyfile", NULL, "Its key."),
    OPT_BOOL(NULL, "insecure", "false", "Do not check certificates."),
    OPT_INT(NULL, "timeout", NULL, "Seconds a request may take; unset: 60.", AT_LEAST(0)),
    OPT_BOOL(NULL, "collect_timing", "false", "Of the Python client.", IGNORED),
    OPT_BOOL(NULL, "split_loggers", "false", "Of the Python client.", IGNORED),
};

static const DvOption adapter_rows[] = {
    OPT_STR(NULL, "service_type", NULL, "Type of the service in the catalog."),
    OPT_STR(NULL, "service_name", NULL, "Its name there.", UNHONOURED),
    OPT_LIST(NULL, "valid_interfaces", "internal,public", "Interfaces to look for, in this order.",
             OLD("interface")),
    OPT_STR(NULL, "region_name", NULL, "Region to look in.", OLD("os_region_name")),
    OPT_STR(NULL, "endpoint_override", NULL, "Address of the service; unset: from the catalog."),
    OPT_INT(NULL, "connect_retries", NULL, "How often connecting is tried again.", .min = 0,
            .max = 100),
    OPT_FLOAT(NULL, "connect_retry_delay", NULL, "Seconds between these.", IGNORED),
    OPT_INT(NULL, "status_code_retries", NULL, "How often a request is sent again when the service"
            " is busy.", .min = 0, .max = 100),
    OPT_FLOAT(NULL, "status_code_retry_delay", NULL, "Seconds between these.", IGNORED),
    OPT_STR(NULL, "version", NULL, "Of the service's API.", IGNORED),
    OPT_STR(NULL, "min_version", NULL, "Of the service's API.", IGNORED),
    OPT_STR(NULL, "max_version", NULL, "Of the service's API.", IGNORED),
};
/* clang-format on */

static const char *qualified(const char *group, const char *name)
{
    g_autofree char *text = name ? g_strdup_printf("%s.%s", group, name) : NULL;

    return g_intern_string(text);
}

static void append_rows(GArray *rows, const DvOption *from, size_t length, size_t group)
{
    for (size_t i = 0; i < length; i++) {
        DvOption row = from[i];

        row.group = groups[group].name;
        row.old_names = qualified(row.group, row.old_names);
        if (strcmp(row.name, "service_type") == 0)
            row.fallback = groups[group].service_type;
        if (strcmp(row.group, "keystone_authtoken") == 0 || strcmp(row.group, "cinder") == 0)
            row.flags |= CONF_IGNORED; /* read only through another group's auth_section */
        row.flags |= CONF_KEYSTONE;
        g_array_append_val(rows, row);
    }
}

void options_keystone_rows(GArray *rows)
{
    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++) {
        if (groups[i].has & HAS_AUTH)
            append_rows(rows, auth_rows, G_N_ELEMENTS(auth_rows), i);
        if (groups[i].has & HAS_ADAPTER)
            append_rows(rows, adapter_rows, G_N_ELEMENTS(adapter_rows), i);
    }
}

/* The group that holds the credentials of `group`; NULL when auth_section names an unknown one. */
static const char *auth_group(const DvConfig *config, const char *group)
{
    const char *section = dv_config_str(config, group, "auth_section");

    if (!section || !*section)
        return group;
    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++)
        if (strcmp(groups[i].name, section) == 0)
            return groups[i].name;
    return NULL;
}

/* What an auth_type cannot do without: one of the names in each list. */
static const struct {
    const char *auth_type;
    const char *needs[3]; /* "name|name" */
} requirements[] = {
    {"password", {"auth_url", "username|user_id", "password"}},
    {"v3password", {"auth_url", "username|user_id", "password"}},
    {"v3applicationcredential",
     {"auth_url", "application_credential_id|application_credential_name",
      "application_credential_secret"}},
    {"v3token", {"auth_url", "token"}},
    {"token", {"auth_url", "token"}},
};

static bool has_one_of(const DvConfig *config, const char *group, const char *names)
{
    g_auto(GStrv) list = g_strsplit(names, "|", -1);

    for (char **name = list; *name; name++)
        if (dv_config_str(config, group, *name))
            return true;
    return false;
}

bool options_auth_check(const DvConfig *config, const char *group, GError **err)
{
    const char *from = auth_group(config, group);
    const char *type = from ? dv_config_str(config, from, "auth_type") : NULL;

    if (!from)
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "%s: [%s] auth_section = %s: want a group with credentials: placement,"
                       " neutron, glance, cinder, service_user or keystone_authtoken",
                       dv_config_origin(config, group, "auth_section"), group,
                       dv_config_str(config, group, "auth_section"));
    for (size_t i = 0; type && i < G_N_ELEMENTS(requirements); i++) {
        if (strcmp(requirements[i].auth_type, type) != 0)
            continue;
        for (size_t j = 0; j < G_N_ELEMENTS(requirements[i].needs); j++) {
            const char *names = requirements[i].needs[j];

            if (names && !has_one_of(config, from, names))
                return dv_fail(err, DV_E_BAD_CONFIG,
                               "%s: [%s] auth_type = %s: needs %s in [%s], which is not set",
                               dv_config_origin(config, from, "auth_type"), from, type, names,
                               from);
        }
    }
    return true;
}

/* TLS and timeout stay those of the group that asks; the credentials may be another's. */
void options_auth(const DvConfig *config, const char *group, AuthConfig *out)
{
    const char *from = auth_group(config, group);

    if (!from)
        from = group;
    *out = (AuthConfig){
        .auth_type = dv_config_str(config, from, "auth_type"),
        .auth_url = dv_config_str(config, from, "auth_url"),
        .username = dv_config_str(config, from, "username"),
        .user_id = dv_config_str(config, from, "user_id"),
        .password = dv_config_str(config, from, "password"),
        .user_domain_name = dv_config_str(config, from, "user_domain_name"),
        .user_domain_id = dv_config_str(config, from, "user_domain_id"),
        .project_name = dv_config_str(config, from, "project_name"),
        .project_id = dv_config_str(config, from, "project_id"),
        .project_domain_name = dv_config_str(config, from, "project_domain_name"),
        .project_domain_id = dv_config_str(config, from, "project_domain_id"),
        .default_domain_name = dv_config_str(config, from, "default_domain_name"),
        .default_domain_id = dv_config_str(config, from, "default_domain_id"),
        .application_credential_id = dv_config_str(config, from, "application_credential_id"),
        .application_credential_name = dv_config_str(config, from, "application_credential_name"),
        .application_credential_secret = dv_config_str(config, from,
                                                       "application_credential_secret"),
        .system_scope = dv_config_str(config, from, "system_scope"),
        .trust_id = dv_config_str(config, from, "trust_id"),
        .token = dv_config_str(config, from, "token"),
        .tls =
            {
                .cafile = dv_config_str(config, group, "cafile"),
                .certfile = dv_config_str(config, group, "certfile"),
                .keyfile = dv_config_str(config, group, "keyfile"),
                .insecure = dv_config_bool(config, group, "insecure"),
            },
        .timeout_ms = dv_config_int(config, group, "timeout") * 1000,
    };
}
