/* Payloads of the notifications about an instance that a compute host sends: the versioned ones,
 * which are objects with classes and versions of their own, and the unversioned ones, which are one
 * flat dict.
 *
 * The instance must hold flavor, metadata and system_metadata; versioned payloads also read
 * info_cache, and create reads keypairs, tags and trusted_certs: what is not set counts as empty.
 * Ownership  everything in Notification is borrowed; payloads are the caller's.
 * Threads    pure functions.
 * Sources    nova notifications/base.py, notifications/objects, compute/utils.py (Zed);
 *            tests/interop/notifications compares with an installed nova. */
#pragma once

#include "objects/network_info.h"
#include "objects/ovo.h"
#include "util/ctx.h"

typedef enum {
    PAYLOAD_ACTION,
    PAYLOAD_CREATE,
    PAYLOAD_REBUILD,
    PAYLOAD_SNAPSHOT,
    PAYLOAD_RESCUE,
    PAYLOAD_RESIZE_PREP,
    PAYLOAD_VOLUME,
    PAYLOAD_VOLUME_SWAP,
    PAYLOAD_EXISTS,
} NotificationPayload;

/* An exception as nova would have raised it. */
typedef struct NotificationFault {
    const char *class_name;        /* "ImageNotFound" */
    const char *message;           /* for everybody's eyes: no secrets, no paths */
    const char *module, *function; /* where it happened */
    int code;                      /* HTTP code of one of nova's own, 0: of another kind */
} NotificationFault;

typedef struct Notification {
    const Ovo *instance;
    const DvCtx *ctx;               /* on whose behalf */
    const NotificationFault *fault; /* or NULL */

    /* versioned only */
    const char *instance_name; /* create */
    const Ovo *bdms;           /* the volumes among them are told of; NULL: none is */
    const char *old_volume_id, *new_volume_id, *snapshot_image_id, *rescue_image_ref;
    const Ovo *new_flavor; /* both: resize_prep */

    /* unversioned only: members that are there when they are set */
    const NetworkInfo *network; /* its addresses */
    const char *image_ref_url;
    const char *image_name, *rescue_image_name, *message;
    const char *volume_id; /* both: volume_attach, volume_detach */

    bool audit; /* both: an audit period, for "exists" */
    int64_t audit_begin_ms, audit_end_ms;
} Notification;

json_t *notification_versioned(const Notification *n, NotificationPayload payload);
json_t *notification_unversioned(const Notification *n);
/* The payload of compute.exception: a request that failed; and of its unversioned form, which also
 * has the request's arguments, without passwords, files and user data. */
json_t *notification_exception(const NotificationFault *fault);
json_t *notification_failed_request(const NotificationFault *fault, const Ovo *args);

/* The audit period by [DEFAULT] instance_usage_audit_period ("month", "day@6"): the last that is
 * over, in wall milliseconds. False when `unit` is none. */
bool notification_period(const char *unit, int64_t now_ms, int64_t *out_begin_ms,
                         int64_t *out_end_ms);
