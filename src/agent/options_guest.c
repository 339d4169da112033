/* Rows of what a guest shows and is told: SPICE and serial consoles, config drive, vendor data; and
 * the structs they fill. */
#include "agent/options.h"
#include "agent/options_priv.h"

#include <string.h>

#define PORT_RANGE "10000:20000"

/* clang-format off */
static const DvOption rows[] = {
    /* ---- consoles; those of VNC are in options_nova.c ---- */
    OPT_BOOL("spice", "enabled", "false", "Give guests a SPICE console."),
    OPT_BOOL("spice", "agent_enabled", "true", "Give them the channel of the SPICE agent."),
    OPT_STR("spice", "html5proxy_base_url", "http://127.0.0.1:6082/spice_auto.html", "Public address"
            " of the SPICE proxy."),
    OPT_STR("spice", "server_listen", "127.0.0.1", "Address on which guests' SPICE servers listen."),
    OPT_STR("spice", "server_proxyclient_address", "127.0.0.1", "Address at which the console proxy"
            " reaches them."),
    OPT_STR("spice", "keymap", NULL, "Gone.", IGNORED),
    OPT_STR("spice", "image_compression", NULL, "Since 2023.1.", UNHONOURED),
    OPT_STR("spice", "jpeg_compression", NULL, "Since 2023.1.", UNHONOURED),
    OPT_STR("spice", "zlib_compression", NULL, "Since 2023.1.", UNHONOURED),
    OPT_BOOL("spice", "playback_compression", NULL, "Since 2023.1.", UNHONOURED),
    OPT_STR("spice", "streaming_mode", NULL, "Since 2023.1.", UNHONOURED),
    OPT_BOOL("spice", "require_secure", "false", "Since 2025.1.", UNHONOURED),
    OPT_STR("spice", "spice_direct_proxy_base_url", NULL, "Since 2025.1.", UNHONOURED),
    OPT_STR("spice", "*", NULL, NULL, IGNORED), /* the proxy's */
    OPT_BOOL("serial_console", "enabled", "false", "Give guests serial consoles on TCP."),
    OPT_STR("serial_console", "port_range", PORT_RANGE, "TCP ports for them, first:end; the end is"
            " not used."),
    OPT_STR("serial_console", "base_url", "ws://127.0.0.1:6083/", "Public address of the serial"
            " console proxy."),
    OPT_STR("serial_console", "proxyclient_address", "127.0.0.1", "Address on which guests' serial"
            " ports listen and at which the proxy reaches them."),
    OPT_STR("serial_console", "*", NULL, NULL, IGNORED), /* the proxy's */
    OPT_STR("rdp", "*", NULL, NULL, IGNORED), /* libvirt guests have none */

    /* ---- what a config drive says ---- */
    OPT_STR("api", "dhcp_domain", "novalocal", "Domain of the host names in a config drive; empty:"
            " none.", OLD("DEFAULT.dhcp_domain")),
    OPT_STR("api", "config_drive_skip_versions", "1.0 2007-01-19 2007-03-01 2007-08-29 2007-10-10"
            " 2007-12-15 2008-02-01 2008-09-01", "Versions of EC2 metadata that a config drive does"
            " not get.", OLD("DEFAULT.config_drive_skip_versions")),
    OPT_LIST("api", "vendordata_providers", "StaticJSON", "Where vendor data comes from: StaticJSON,"
             " DynamicJSON.", OLD("DEFAULT.vendordata_providers")),
    OPT_STR("api", "vendordata_jsonfile_path", NULL, "File of StaticJSON.",
            OLD("DEFAULT.vendordata_jsonfile_path")),
    OPT_LIST("api", "vendordata_dynamic_targets", "", "Services that DynamicJSON asks, name@url.",
             OLD("DEFAULT.vendordata_dynamic_targets")),
    OPT_STR("api", "vendordata_dynamic_ssl_certfile", "", "Authorities of their certificates.",
            OLD("DEFAULT.vendordata_dynamic_ssl_certfile")),
    OPT_INT("api", "vendordata_dynamic_connect_timeout", "5", "Seconds to connect to one.",
            AT_LEAST(3), OLD("DEFAULT.vendordata_dynamic_connect_timeout")),
    OPT_INT("api", "vendordata_dynamic_read_timeout", "5", "Seconds to wait for its answer.",
            AT_LEAST(0), OLD("DEFAULT.vendordata_dynamic_read_timeout")),
    OPT_BOOL("api", "vendordata_dynamic_failure_fatal", "false", "Whether a boot fails without its"
             " answer."),
};
/* clang-format on */

const OptionPart options_part_guest = {rows, G_N_ELEMENTS(rows)};

void options_spice(const DvConfig *config, SpiceConfig *out)
{
    *out = (SpiceConfig){
        .enabled = dv_config_bool(config, "spice", "enabled"),
        .agent_enabled = dv_config_bool(config, "spice", "agent_enabled"),
        .server_listen = dv_config_str(config, "spice", "server_listen"),
        .server_proxyclient_address = dv_config_str(config, "spice", "server_proxyclient_address"),
        .html5proxy_base_url = dv_config_str(config, "spice", "html5proxy_base_url"),
    };
}

void options_serial(const DvConfig *config, SerialConfig *out)
{
    *out = (SerialConfig){
        .enabled = dv_config_bool(config, "serial_console", "enabled"),
        .base_url = dv_config_str(config, "serial_console", "base_url"),
        .proxyclient_address = dv_config_str(config, "serial_console", "proxyclient_address"),
    };
}

void options_config_drive(const DvConfig *config, ConfigDriveConfig *out)
{
    *out = (ConfigDriveConfig){
        .dhcp_domain = dv_config_str(config, "api", "dhcp_domain"),
        .ec2_skip_versions = dv_config_str(config, "api", "config_drive_skip_versions"),
    };
}

static bool read_range(const char *text, int64_t *out_first, int64_t *out_end)
{
    g_auto(GStrv) parts = g_strsplit(text, ":", 2);
    guint64 first = 0;
    guint64 end = 0;

    if (!parts[0] || !parts[1] ||
        !g_ascii_string_to_unsigned(parts[0], 10, 1, 65535, &first, NULL) ||
        !g_ascii_string_to_unsigned(parts[1], 10, 1, 65536, &end, NULL))
        return false;
    *out_first = (int64_t)first;
    *out_end = (int64_t)end;
    return first < end;
}

bool options_serial_range(const DvConfig *config, int64_t *out_first, int64_t *out_end,
                          GError **err)
{
    const char *text = dv_config_str(config, "serial_console", "port_range");

    if (read_range(text, out_first, out_end))
        return true;
    /* nova goes on with its default when the two are the wrong way round, and so do we. */
    if (strchr(text, ':') && *out_first > *out_end) {
        dv_warning(NULL, "[serial_console] port_range %s: want first:end, using " PORT_RANGE, text);
        return read_range(PORT_RANGE, out_first, out_end);
    }
    return dv_fail(err, DV_E_BAD_CONFIG, "%s: [serial_console] port_range = %s: want first:end",
                   dv_config_origin(config, "serial_console", "port_range"), text);
}

static bool check_providers(const char *const *providers, GError **err)
{
    static const char *const known[] = {"StaticJSON", "DynamicJSON", NULL};

    for (; providers && *providers; providers++) {
        if (!g_strv_contains(known, *providers))
            return dv_fail(err, DV_E_BAD_CONFIG,
                           "[api] vendordata_providers: %s: want StaticJSON, DynamicJSON",
                           *providers);
    }
    return true;
}

bool options_vendordata(const DvConfig *config, VendordataConfig *out, GError **err)
{
    VendordataConfig filled = {
        .providers = dv_config_list(config, "api", "vendordata_providers"),
        .jsonfile_path = dv_config_str(config, "api", "vendordata_jsonfile_path"),
        .targets = dv_config_list(config, "api", "vendordata_dynamic_targets"),
        .certfile = dv_config_str(config, "api", "vendordata_dynamic_ssl_certfile"),
        .connect_timeout_s = dv_config_int(config, "api", "vendordata_dynamic_connect_timeout"),
        .read_timeout_s = dv_config_int(config, "api", "vendordata_dynamic_read_timeout"),
        .failure_fatal = dv_config_bool(config, "api", "vendordata_dynamic_failure_fatal"),
    };

    if (!check_providers(filled.providers, err) ||
        !options_auth_check(config, "vendordata_dynamic_auth", err))
        return false;
    options_auth(config, "vendordata_dynamic_auth", &filled.auth);
    *out = filled;
    return true;
}
