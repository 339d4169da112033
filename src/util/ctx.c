/* Request contexts; see ctx.h. */
#include "util/ctx.h"

DvCtx *dv_ctx_new_blank(void)
{
    DvCtx *ctx = g_new0(DvCtx, 1);

    g_atomic_ref_count_init(&ctx->refs);
    return ctx;
}

DvCtx *dv_ctx_new_admin(void)
{
    DvCtx *ctx = dv_ctx_new_blank();
    g_autofree char *uuid = g_uuid_string_random();

    ctx->request_id = g_strconcat("req-", uuid, NULL);
    ctx->read_deleted = g_strdup("no");
    ctx->is_admin = true;
    return ctx;
}

DvCtx *dv_ctx_ref(const DvCtx *ctx)
{
    DvCtx *mine = (DvCtx *)ctx;

    if (mine)
        g_atomic_ref_count_inc(&mine->refs);
    return mine;
}

void dv_ctx_unref(DvCtx *ctx)
{
    if (!ctx || !g_atomic_ref_count_dec(&ctx->refs))
        return;
    if (ctx->wire && ctx->wire_unref)
        ctx->wire_unref(ctx->wire);
    g_free(ctx->request_id);
    g_free(ctx->global_request_id);
    g_free(ctx->user_id);
    g_free(ctx->project_id);
    g_free(ctx->user_name);
    g_free(ctx->project_name);
    g_free(ctx->roles);
    g_free(ctx->auth_token);
    g_free(ctx->instance_uuid);
    g_free(ctx->read_deleted);
    g_free(ctx);
}

static DvCtx *ctx_copy(const DvCtx *ctx)
{
    DvCtx *copy = dv_ctx_new_blank();

    copy->request_id = g_strdup(ctx->request_id);
    copy->global_request_id = g_strdup(ctx->global_request_id);
    copy->user_id = g_strdup(ctx->user_id);
    copy->project_id = g_strdup(ctx->project_id);
    copy->user_name = g_strdup(ctx->user_name);
    copy->project_name = g_strdup(ctx->project_name);
    copy->roles = g_strdup(ctx->roles);
    copy->auth_token = g_strdup(ctx->auth_token);
    copy->instance_uuid = g_strdup(ctx->instance_uuid);
    copy->read_deleted = g_strdup(ctx->read_deleted);
    copy->is_admin = ctx->is_admin;
    copy->elevated = ctx->elevated;
    if (ctx->wire && ctx->wire_ref) {
        copy->wire = ctx->wire_ref(ctx->wire);
        copy->wire_ref = ctx->wire_ref;
        copy->wire_unref = ctx->wire_unref;
    }
    return copy;
}

DvCtx *dv_ctx_with_instance(const DvCtx *ctx, const char *uuid)
{
    DvCtx *copy = ctx_copy(ctx);

    g_free(copy->instance_uuid);
    copy->instance_uuid = g_strdup(uuid);
    return copy;
}

DvCtx *dv_ctx_with_read_deleted(const DvCtx *ctx, const char *read_deleted)
{
    DvCtx *copy = ctx_copy(ctx);

    g_free(copy->read_deleted);
    copy->read_deleted = g_strdup(read_deleted);
    return copy;
}

DvCtx *dv_ctx_elevated(const DvCtx *ctx)
{
    DvCtx *copy = ctx_copy(ctx);

    copy->is_admin = true;
    copy->elevated = true;
    return copy;
}

const char *dv_ctx_rest_request_id(const DvCtx *ctx)
{
    if (!ctx)
        return NULL;
    return ctx->global_request_id ? ctx->global_request_id : ctx->request_id;
}
