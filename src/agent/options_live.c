/* What the options of live migration make; their rows are in options_libvirt.c and options_nova.c.
 * Sources    nova virt/libvirt/driver.py _parse_migration_flags, _live_migration_uri (Zed). */
#include "agent/options.h"
#include "agent/options_priv.h"

#include <string.h>

/* The destination's address takes the place of %s; nothing else may look like one. */
static bool uri_ok(const char *uri)
{
    const char *place = strstr(uri, "%s");

    return place && !strchr(place + 2, '%') && strchr(uri, '%') == place;
}

bool options_live(const DvConfig *config, LiveConfig *out, GError **err)
{
    const char *action = dv_config_str(config, "libvirt", "live_migration_timeout_action");
    LiveConfig live = {
        .scheme = option_str(config, "libvirt", "live_migration_scheme"),
        .uri = option_str(config, "libvirt", "live_migration_uri"),
        .inbound_addr = option_str(config, "libvirt", "live_migration_inbound_addr"),
        .tunnelled = dv_config_bool(config, "libvirt", "live_migration_tunnelled"),
        .tls = dv_config_bool(config, "libvirt", "live_migration_with_native_tls"),
        .auto_converge = dv_config_bool(config, "libvirt", "live_migration_permit_auto_converge"),
        .post_copy = dv_config_bool(config, "libvirt", "live_migration_permit_post_copy"),
        .bandwidth_mib = dv_config_int(config, "libvirt", "live_migration_bandwidth"),
        .connections = dv_config_int(config, "libvirt", "live_migration_parallel_connections"),
        .downtime_ms = dv_config_int(config, "libvirt", "live_migration_downtime"),
        .downtime_steps = dv_config_int(config, "libvirt", "live_migration_downtime_steps"),
        .downtime_delay_s = dv_config_int(config, "libvirt", "live_migration_downtime_delay"),
        .completion_timeout_s = dv_config_int(config, "libvirt",
                                              "live_migration_completion_timeout"),
        .force_complete = g_strcmp0(action, "force_complete") == 0,
        .monitor_interval_s = dv_config_int(config, "libvirt", "live_migration_monitor_interval"),
        .plug_tries = dv_config_int(config, "DEFAULT", "live_migration_retry_count"),
        .wait_for_vif_plug = dv_config_bool(config, "compute", "live_migration_wait_for_vif_plug"),
        .compare_cpu = !dv_config_bool(config, "workarounds", "skip_cpu_compare_on_dest"),
        .reserved_disk_mib = dv_config_int(config, "DEFAULT", "reserved_host_disk_mb"),
    };

    if (live.uri && !uri_ok(live.uri))
        return option_fail(config, "libvirt", "live_migration_uri",
                           "want one %s for the destination's address", err);
    if (live.tunnelled && live.tls)
        return option_fail(config, "libvirt", "live_migration_with_native_tls",
                           "not together with live_migration_tunnelled", err);
    if (live.connections > 1 && (live.tunnelled || live.post_copy))
        return option_fail(config, "libvirt", "live_migration_parallel_connections",
                           "not together with live_migration_tunnelled or "
                           "live_migration_permit_post_copy",
                           err);
    *out = live;
    return true;
}

char *options_uri_host(const char *address)
{
    return strchr(address, ':') ? g_strconcat("[", address, "]", NULL) : g_strdup(address);
}

char *options_live_uri(const LiveConfig *live, const char *address)
{
    g_autofree char *host = options_uri_host(address);
    g_auto(GStrv) parts = NULL;

    if (!live->uri)
        return g_strdup_printf("qemu+%s://%s/system", live->scheme ? live->scheme : "tcp", host);
    parts = g_strsplit(live->uri, "%s", 2);
    return g_strconcat(parts[0], host, parts[1], NULL);
}
