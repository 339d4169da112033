/* Consoles: the serial console's text, and the way to the VNC console.
 *
 * Sources: nova compute/manager.py get_console_output, get_vnc_console, validate_console_port;
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

/* The driver's answer, with nova's special case: an instance that is still building is not ready
 * yet. */
static bool vnc_of(const OpCall *call, VirtConsole *out, GError **err)
{
    const VirtDriver *virt = call->agent->virt;
    g_autoptr(GError) cause = NULL;

    if (virt->ops->vnc_console(virt->self, call->ctx, call->uuid, out, &cause))
        return true;
    if (dv_is(cause, DV_E_INSTANCE_NOT_FOUND) &&
        g_strcmp0(ovo_str_or(call->instance, "vm_state", ""), "building") == 0)
        return dv_fail(err, DV_E_INSTANCE_NOT_READY, "Instance %s is not ready", call->uuid);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

static char *access_url(const char *base, const char *token)
{
    g_autofree char *path = g_strdup_printf("?token=%s", token);
    g_autofree char *escaped = g_uri_escape_string(path, NULL, FALSE);

    /* novnc takes the token in its path parameter. */
    return g_strdup_printf("%s%spath=%s", base, strchr(base, '?') ? "&" : "?", escaped);
}

bool op_vnc_console(const OpCall *call, json_t **out_result, GError **err)
{
    const AgentConfig *config = &call->agent->config;
    const char *type = ovo_str_or(call->args, "console_type", "");
    g_autoptr(Ovo) answer = ovo_new_dict();
    g_autofree char *token = NULL;
    g_autofree char *url = NULL;
    g_autofree char *port = NULL;
    g_autoptr(DvCtx) admin = dv_ctx_elevated(call->ctx);
    VirtConsole console = {0};

    if (!config->vnc.enabled)
        return dv_fail(err, DV_E_CONSOLE_TYPE_UNAVAILABLE, "Unavailable console type %s.", type);
    if (strcmp(type, "novnc") != 0)
        return dv_fail(err, DV_E_CONSOLE_TYPE_INVALID, "Invalid console type %s", type);
    if (!vnc_of(call, &console, err))
        return false;
    g_free(console.host); /* the proxy reaches us at the configured address */
    if (!conductor_console_authorize(call->agent->con, admin, call->uuid, type,
                                     config->vnc.server_proxyclient_address, console.port, NULL,
                                     config->vnc.novncproxy_base_url, config->vnc.token_ttl_s,
                                     &token, err))
        return dv_within(err, "authorizing the console");
    url = access_url(config->vnc.novncproxy_base_url, token);
    port = g_strdup_printf("%d", console.port);
    ovo_set_str(answer, "host", config->vnc.server_proxyclient_address);
    ovo_set_str(answer, "port", port);
    ovo_set_str(answer, "internal_access_path", NULL);
    ovo_set_str(answer, "token", token);
    ovo_set_str(answer, "access_url", url);
    *out_result = ovo_json(answer);
    return true;
}

bool op_validate_console(const OpCall *call, json_t **out_result, GError **err)
{
    const char *type = ovo_str_or(call->args, "console_type", "");
    g_autofree char *have = NULL;
    VirtConsole console = {0};

    if (strcmp(type, "novnc") != 0)
        return dv_fail(err, DV_E_CONSOLE_TYPE_UNAVAILABLE, "Unavailable console type %s.", type);
    if (!vnc_of(call, &console, err))
        return false;
    g_free(console.host);
    have = g_strdup_printf("%d", console.port);
    *out_result = ovo_value_bool(g_strcmp0(ovo_str_or(call->args, "port", ""), have) == 0);
    return true;
}
