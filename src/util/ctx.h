/* The request context: on whose behalf work is done. Everything that may block or log takes one.
 *
 * Ownership  reference counted and immutable once made: share it freely, change it by a copy.
 * Wire       the complete context of a received message stays attached (opaque here, a json_t kept
 * by rpc/context.c), so that keys we do not know are passed on unchanged. Threads    ref/unref are
 * atomic; the content never changes. Sources    nova context.RequestContext, oslo.context (Zed). */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct DvCtx {
    gatomicrefcount refs;
    char *request_id;        /* "req-<uuid>", never NULL */
    char *global_request_id; /* or NULL */
    char *user_id;           /* NULL in an admin context, likewise the next four */
    char *project_id;
    char *user_name;
    char *project_name;
    char *roles;         /* "member,reader", or NULL */
    char *auth_token;    /* a secret: never log */
    char *instance_uuid; /* for log lines, or NULL */
    char *read_deleted;  /* "no", "yes" or "only": visibility of soft-deleted rows */
    bool is_admin;
    bool elevated; /* the admin role is to be added on the wire */
    void *wire;    /* json_t of the received context, or NULL */
    void *(*wire_ref)(void *wire);
    void (*wire_unref)(void *wire);
} DvCtx;

/* A service's own context (heartbeat, periodic jobs, events) with a fresh request id. */
DvCtx *dv_ctx_new_admin(void);
/* An empty context to be filled by rpc/context.c before anybody else sees it. */
DvCtx *dv_ctx_new_blank(void);
DvCtx *dv_ctx_ref(const DvCtx *ctx);
void dv_ctx_unref(DvCtx *ctx);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DvCtx, dv_ctx_unref)

/* Copies with one thing changed; the caller owns the copy. */
DvCtx *dv_ctx_with_instance(const DvCtx *ctx, const char *uuid);
DvCtx *dv_ctx_with_read_deleted(const DvCtx *ctx, const char *read_deleted);
DvCtx *dv_ctx_elevated(const DvCtx *ctx);

/* The id that REST calls carry: the global request id when there is one. NULL-safe, borrowed. */
const char *dv_ctx_rest_request_id(const DvCtx *ctx);
