/* Failure strings; see fault.h. */
#include "rpc/fault.h"

#include "rpc/envelope.h"
#include "util/log.h"

#include <jansson.h>
#include <string.h>

char *rpc_fault_write(const RpcFault *fault)
{
    g_autofree char *redacted = dv_redact(fault->message ? fault->message : "");
    g_autofree char *message = g_utf8_make_valid(redacted, -1);
    json_auto_t *kwargs = json_object();
    json_auto_t *failure = NULL;

    if (fault->code)
        json_object_set_new(kwargs, "code", json_integer(fault->code));
    failure = json_pack("{s:s, s:s, s:s, s:[], s:[s], s:O}", "class", fault->class_name, "module",
                        fault->module, "message", message, "tb", "args", message, "kwargs", kwargs);
    g_assert(failure); /* class and module come from our own tables */
    return rpc_json_text(failure, NULL);
}

/* "InstanceNotFound_Remote" -> "InstanceNotFound", as Python callers do before they raise again. */
static char *without_suffix(const char *name)
{
    static const char suffix[] = "_Remote";
    size_t length = strlen(name);

    if (g_str_has_suffix(name, suffix))
        length -= strlen(suffix);
    return g_strndup(name, length);
}

bool rpc_fault_read(const char *text, size_t length, RpcRemote *out, GError **err)
{
    json_auto_t *failure = rpc_json_read(text, length, err);
    const char *class_name = json_string_value(json_object_get(failure, "class"));
    const char *module = json_string_value(json_object_get(failure, "module"));
    const char *message = json_string_value(json_object_get(failure, "message"));

    if (!failure)
        return dv_within(err, "failure");
    if (!class_name)
        return dv_fail(err, DV_E_BAD_INPUT, "failure: class: want a string");
    out->class_name = without_suffix(class_name);
    out->module = without_suffix(module ? module : "");
    out->message = g_strdup(message ? message : "");
    return true;
}

void rpc_remote_done(RpcRemote *remote)
{
    if (!remote)
        return;
    g_clear_pointer(&remote->class_name, g_free);
    g_clear_pointer(&remote->module, g_free);
    g_clear_pointer(&remote->message, g_free);
}
