/* Lazy loading; see instance_load.h. Sources: nova objects/instance.py obj_load_attr (Zed). */
#include "agent/instance_load.h"

bool instance_load(Agent *agent, const DvCtx *ctx, Ovo *instance, const char *const *attrs,
                   GError **err)
{
    g_autoptr(GPtrArray) missing = g_ptr_array_new();
    g_autoptr(Ovo) read = NULL;

    for (; *attrs; attrs++)
        if (!ovo_has(instance, *attrs))
            g_ptr_array_add(missing, (void *)*attrs);
    if (missing->len == 0)
        return true;
    g_ptr_array_add(missing, NULL);
    if (!conductor_instance_get(agent->con, ctx, ovo_str_or(instance, "uuid", ""),
                                (const char *const *)missing->pdata, &read, err))
        return false;
    for (guint i = 0; i + 1 < missing->len; i++)
        ovo_load_from(instance, missing->pdata[i], read);
    return true;
}

bool instance_bdms(Agent *agent, const DvCtx *ctx, const Ovo *args, const char *field,
                   const char *uuid, Ovo **out, GError **err)
{
    Ovo *given = args ? ovo_child(args, field) : NULL;

    if (given) {
        *out = given;
        return true;
    }
    return conductor_bdms_get(agent->con, ctx, uuid, out, err);
}
