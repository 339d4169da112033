/* Asking another host about a file; see storage.h. */
#include "agent/ops/storage.h"

#include "util/log.h"

static Ovo *question(const char *path)
{
    g_autoptr(Ovo) data = ovo_new_dict();
    Ovo *args = ovo_new_dict();

    ovo_set_str(data, "filename", path);
    ovo_set_child(args, "data", data);
    return args;
}

bool storage_is_shared(Agent *agent, const DvCtx *ctx, const char *uuid, const char *host)
{
    g_autofree char *path = NULL;
    g_autoptr(Ovo) args = NULL;
    g_autoptr(Ovo) answer = NULL;
    g_autoptr(GError) err = NULL;
    json_t *result = NULL;
    bool shared = true;

    if (!disks_probe_make(agent->disks, uuid, &path, &err)) {
        dv_warning(ctx, "taken for shared storage: %s", err->message);
        return true;
    }
    if (!path)
        return true;
    args = question(path);
    if (!peer_call(agent->peers, ctx, host, "check_instance_shared_storage", "6.0", args,
                   PEER_SHORT, &result, &err)) {
        dv_warning(ctx, "taken for shared storage: %s", err->message);
    } else {
        answer = ovo_new_dict();
        ovo_set_json(answer, "shared", result);
        shared = ovo_bool_or(answer, "shared", true);
    }
    disks_probe_remove(path);
    return shared;
}
