/* Consoles: the serial console's text, and the ways to VNC, SPICE and serial consoles.
 *
 * Sources: nova compute/manager.py get_console_output, get_*_console, validate_console_port;
 * objects/console_auth_token.py access_url; virt/libvirt/driver.py MAX_CONSOLE_BYTES (Zed). */
#include "agent/ops/ops.h"

#include "util/log.h"

#define CONSOLE_MAX_BYTES (100 * 1024)

/* tail_length: an int, a numeric string, or null for all. False in *out_all when there is a limit.
 */
static int64_t tail_lines(const Ovo *args, bool *out_all)
{
    *out_all = !ovo_has_value(args, "tail_length");
    return *out_all ? 0 : ovo_i64_or(args, "tail_length", 0);
}

/* Where the last `lines` lines begin, counted as Python's split(b"\n")[-lines:] does. */
static const char *last_lines(const char *text, size_t length, int64_t lines)
{
    const char *p = text + length;

    if (lines <= 0)
        return lines == 0 ? p : text;
    while (p > text) {
        if (p[-1] == '\n' && --lines == 0)
            return p;
        p--;
    }
    return text;
}

/* Bytes outside ASCII become U+FFFD, as nova's decode("ascii", "replace") has them. */
static char *ascii_text(const char *bytes, size_t length)
{
    GString *out = g_string_sized_new(length + 1);

    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)bytes[i] >= 0x80)
            g_string_append(out, "\xef\xbf\xbd");
        else
            g_string_append_c(out, bytes[i] ? bytes[i] : ' '); /* a NUL would end the string */
    }
    return g_string_free(out, FALSE);
}

bool op_console_output(const OpCall *call, json_t **out_result, GError **err)
{
    const VirtDriver *virt = call->agent->virt;
    g_autofree char *bytes = NULL;
    g_autofree char *text = NULL;
    const char *start;
    size_t length = 0;
    bool all = true;
    int64_t lines = tail_lines(call->args, &all);

    if (!virt->ops->console_output(virt->self, call->ctx, call->uuid, CONSOLE_MAX_BYTES, &bytes,
                                   &length, err))
        return dv_within(err, "console output");
    start = all ? bytes : last_lines(bytes, length, lines);
    text = ascii_text(start, length - (size_t)(start - bytes));
    *out_result = ovo_value_str(text);
    return true;
}

/* ---- the ways to a console ---- */

/* One kind of console, as the configuration has it. */
typedef struct Way {
    VirtConsoleKind kind;
    bool enabled;
    const char *type;     /* what console_type must be; NULL: not looked at */
    const char *host;     /* what the proxy connects to; NULL: what the guest says */
    const char *base_url; /* of the proxy */
} Way;

/* NULL: libvirt guests have no such console. */
static bool way_of(const AgentConfig *config, const char *method, Way *out)
{
    const VncConfig *vnc = &config->vnc;
    const SpiceConfig *spice = &config->spice;
    const SerialConfig *serial = &config->serial;
    const struct {
        const char *method;
        Way way;
    } rows[] = {
        {"get_vnc_console",
         {VIRT_CONSOLE_VNC, vnc->enabled, "novnc", vnc->server_proxyclient_address,
          vnc->novncproxy_base_url}},
        {"get_spice_console",
         {VIRT_CONSOLE_SPICE, spice->enabled, "spice-html5", spice->server_proxyclient_address,
          spice->html5proxy_base_url}},
        {"get_serial_console",
         {VIRT_CONSOLE_SERIAL, serial->enabled, NULL, NULL, serial->base_url}},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].method, method) == 0) {
            *out = rows[i].way;
            return true;
        }
    }
    return false;
}

/* The driver's answer, with nova's special case: an instance that is still building is not ready
 * yet. */
static bool ask_driver(const OpCall *call, VirtConsoleKind kind, VirtConsole *out, GError **err)
{
    const VirtDriver *virt = call->agent->virt;
    g_autoptr(GError) cause = NULL;

    if (virt->ops->console(virt->self, call->ctx, call->uuid, kind, out, &cause))
        return true;
    if (dv_is(cause, DV_E_INSTANCE_NOT_FOUND) &&
        g_strcmp0(ovo_str_or(call->instance, "vm_state", ""), "building") == 0)
        return dv_fail(err, DV_E_INSTANCE_NOT_READY, "Instance %s is not ready", call->uuid);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

static char *access_url(const Way *way, const char *token)
{
    g_autofree char *path = g_strdup_printf("?token=%s", token);
    g_autofree char *escaped = g_uri_escape_string(path, NULL, FALSE);

    if (way->kind != VIRT_CONSOLE_VNC)
        return g_strdup_printf("%s?token=%s", way->base_url, token);
    /* novnc takes the token in its path parameter. */
    return g_strdup_printf("%s%spath=%s", way->base_url, strchr(way->base_url, '?') ? "&" : "?",
                           escaped);
}

/* The dict that nova-api hands on. The port is text, as it stands in the guest's XML; nova makes a
 * number of a serial port's. */
static json_t *connection(const Way *way, const char *host, int port, const char *token,
                          const char *url)
{
    g_autoptr(Ovo) answer = ovo_new_dict();
    g_autofree char *text = g_strdup_printf("%d", port);

    ovo_set_str(answer, "host", host);
    if (way->kind == VIRT_CONSOLE_SERIAL)
        ovo_set_i64(answer, "port", port);
    else
        ovo_set_str(answer, "port", text);
    ovo_set_str(answer, "internal_access_path", NULL);
    ovo_set_str(answer, "token", token);
    ovo_set_str(answer, "access_url", url);
    return ovo_json(answer);
}

bool op_console(const OpCall *call, json_t **out_result, GError **err)
{
    const AgentConfig *config = &call->agent->config;
    const char *type = ovo_str_or(call->args, "console_type", "");
    Way way = {0};
    VirtConsole console = {0};
    g_autoptr(DvCtx) admin = dv_ctx_elevated(call->ctx);
    g_autofree char *guest_host = NULL;
    g_autofree char *token = NULL;
    g_autofree char *url = NULL;
    const char *host;

    if (!way_of(config, call->method->name, &way) || !way.enabled)
        return dv_fail(err, DV_E_CONSOLE_TYPE_UNAVAILABLE, "Unavailable console type %s.", type);
    if (way.type && strcmp(type, way.type) != 0)
        return dv_fail(err, DV_E_CONSOLE_TYPE_INVALID, "Invalid console type %s", type);
    if (!ask_driver(call, way.kind, &console, err))
        return false;
    guest_host = console.host;
    host = way.host ? way.host : guest_host;
    if (!conductor_console_authorize(call->agent->con, admin, call->uuid, type, host, console.port,
                                     NULL, way.base_url, config->vnc.token_ttl_s, &token, err))
        return dv_within(err, "authorizing the console");
    url = access_url(&way, token);
    *out_result = connection(&way, host, console.port, token, url);
    return true;
}

/* ---- what a proxy asks before it connects ---- */

static const struct {
    const char *type;
    bool exists; /* with libvirt */
    VirtConsoleKind kind;
} console_types[] = {
    {"spice-html5", true, VIRT_CONSOLE_SPICE},
    {"serial", true, VIRT_CONSOLE_SERIAL},
    {"rdp-html5", false, VIRT_CONSOLE_VNC},
    {"webmks", false, VIRT_CONSOLE_VNC},
};

bool op_validate_console(const OpCall *call, json_t **out_result, GError **err)
{
    const char *type = ovo_str_or(call->args, "console_type", "");
    const char *asked = ovo_str_or(call->args, "port", "");
    VirtConsoleKind kind = VIRT_CONSOLE_VNC; /* of every other type, as with nova */
    g_autofree char *have = NULL;
    VirtConsole console = {0};

    for (size_t i = 0; i < G_N_ELEMENTS(console_types); i++) {
        if (strcmp(console_types[i].type, type) != 0)
            continue;
        if (!console_types[i].exists)
            return dv_fail(err, DV_E_NOT_IMPLEMENTED, "%s: not with libvirt", type);
        kind = console_types[i].kind;
    }
    if (!ask_driver(call, kind, &console, err))
        return false;
    g_free(console.host);
    have = g_strdup_printf("%d", console.port);
    *out_result = ovo_value_bool(strcmp(asked, have) == 0);
    return true;
}
