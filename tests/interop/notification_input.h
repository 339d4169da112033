/* Payloads of a notification that is described in JSON: what nova is asked in
 * tests/interop/notifications, asked of us. For that and for the goldens of tests/unit/objects.
 *
 * Input: {"instance": primitive, "context": {"user_id", "project_id", "request_id"}, "payload":
 * number, "fault": {...} or null, "extra": {...}}. Output: {"versioned": payload, "unversioned":
 * payload}. */
#pragma once

#include "objects/notification.h"

#include <jansson.h>

static inline const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static inline Ovo *object_of(const json_t *object, const char *key)
{
    json_t *json = json_object_get(object, key);

    return json_is_object(json) ? ovo_view(json, NULL, NULL) : NULL;
}

static inline json_t *notification_answer(json_t *input, GError **err)
{
    const json_t *extra = json_object_get(input, "extra");
    const json_t *who = json_object_get(input, "context");
    const json_t *why = json_object_get(input, "fault");
    g_autoptr(Ovo) instance = ovo_view(json_object_get(input, "instance"), "Instance", err);
    g_autoptr(Ovo) bdms = object_of(extra, "bdms");
    g_autoptr(Ovo) flavor = object_of(extra, "new_flavor");
    g_autoptr(DvCtx) ctx = dv_ctx_new_blank();
    g_autoptr(NetworkInfo) network = NULL;
    NotificationFault fault = {
        .class_name = text_of(why, "class_name"),
        .message = text_of(why, "message"),
        .module = text_of(why, "module"),
        .function = text_of(why, "function"),
        .code = (int)json_integer_value(json_object_get(why, "code")),
    };
    Notification n = {
        .instance = instance,
        .ctx = ctx,
        .fault = json_is_object(why) ? &fault : NULL,
        .instance_name = text_of(extra, "instance_name"),
        .bdms = bdms,
        .old_volume_id = text_of(extra, "old_volume_id"),
        .new_volume_id = text_of(extra, "new_volume_id"),
        .snapshot_image_id = text_of(extra, "snapshot_image_id"),
        .rescue_image_ref = text_of(extra, "rescue_image_ref"),
        .new_flavor = flavor,
        .image_ref_url = text_of(extra, "image_ref_url"),
        .image_name = text_of(extra, "image_name"),
        .rescue_image_name = text_of(extra, "rescue_image_name"),
        .message = text_of(extra, "message"),
        .volume_id = text_of(extra, "volume_id"),
        .audit = json_object_get(extra, "audit_begin_ms") != NULL,
        .audit_begin_ms = json_integer_value(json_object_get(extra, "audit_begin_ms")),
        .audit_end_ms = json_integer_value(json_object_get(extra, "audit_end_ms")),
    };

    if (!instance)
        return NULL;
    ctx->user_id = g_strdup(text_of(who, "user_id"));
    ctx->project_id = g_strdup(text_of(who, "project_id"));
    g_free(ctx->request_id);
    ctx->request_id = g_strdup(text_of(who, "request_id"));
    if (text_of(extra, "network_info") &&
        !(network = network_info_parse(text_of(extra, "network_info"), err)))
        return NULL;
    n.network = network;
    return json_pack("{s:o, s:o}", "versioned",
                     notification_versioned(&n, (NotificationPayload)json_integer_value(
                                                    json_object_get(input, "payload"))),
                     "unversioned", notification_unversioned(&n));
}
