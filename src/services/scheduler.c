/* Fanouts to every nova-scheduler; see scheduler.h. */
#include "services/scheduler.h"
#include "services/scheduler_priv.h"

#include <jansson.h>

static const RpcTarget everybody = {.topic = "scheduler", .version = "4.2", .fanout = true};

/* nova sends these with an elevated context, also when a user's request caused them. args is
 * stolen. */
static bool fanout(Rpc *rpc, const DvCtx *ctx, const char *method, json_t *args, GError **err)
{
    g_autoptr(DvCtx) elevated = dv_ctx_elevated(ctx);

    if (!rpc_cast(rpc, elevated, &everybody, method, args, err))
        return dv_within(err, "scheduler: %s", method);
    return true;
}

json_t *scheduler_update_args(const char *host, const Ovo *instances)
{
    return json_pack("{ss so}", "host_name", host, "instance_info", ovo_json(instances));
}

json_t *scheduler_delete_args(const char *host, const char *instance_uuid)
{
    return json_pack("{ss ss}", "host_name", host, "instance_uuid", instance_uuid);
}

json_t *scheduler_sync_args(const char *host, const char *const *uuids)
{
    json_t *list = json_array();

    for (size_t i = 0; uuids && uuids[i]; i++)
        json_array_append_new(list, json_string(uuids[i]));
    return json_pack("{ss so}", "host_name", host, "instance_uuids", list);
}

bool scheduler_update_instance_info(Rpc *rpc, const DvCtx *ctx, const char *host,
                                    const Ovo *instances, GError **err)
{
    return fanout(rpc, ctx, "update_instance_info", scheduler_update_args(host, instances), err);
}

bool scheduler_delete_instance_info(Rpc *rpc, const DvCtx *ctx, const char *host,
                                    const char *instance_uuid, GError **err)
{
    return fanout(rpc, ctx, "delete_instance_info", scheduler_delete_args(host, instance_uuid),
                  err);
}

bool scheduler_sync_instance_info(Rpc *rpc, const DvCtx *ctx, const char *host,
                                  const char *const *uuids, GError **err)
{
    return fanout(rpc, ctx, "sync_instance_info", scheduler_sync_args(host, uuids), err);
}
