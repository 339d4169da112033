/* Asking another host about a directory; see storage.h. */
#include "agent/ops/storage.h"

#include "agent/ops/move_files.h"
#include "util/log.h"

bool storage_is_shared(Agent *agent, const DvCtx *ctx, const char *uuid, const char *host)
{
    const Move move = {.agent = agent, .ctx = ctx, .uuid = uuid};
    g_autoptr(GError) err = NULL;
    bool shared = true;

    if (move_files_shared(&move, host, &shared, &err))
        return shared;
    dv_warning(ctx, "taken for shared storage: %s", err->message);
    return true;
}
