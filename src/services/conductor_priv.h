/* What the conductor files share, and the way in for tests: a transport that is not RabbitMQ. */
#pragma once

#include "services/conductor.h"

/* The functions of rpc/rpc.h that a conductor client needs, with their contracts. */
typedef struct ConductorTransport {
    bool (*call)(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                 json_t *args, int64_t timeout_ms, json_t **out_result, RpcRemote *remote,
                 GError **err);
    bool (*cast)(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                 json_t *args, GError **err);
    void *self;
} ConductorTransport;

Conductor *conductor_new_with(const ConductorTransport *transport, NovaRelease release);

/* A new object at the version of the release in use. */
Ovo *conductor_object_new(Conductor *con, const char *name);
/* A class action whose answer is an object of class `want`; a null answer is *out == NULL when
 * `nullable`. args and kwargs are stolen. */
bool conductor_get(Conductor *con, const DvCtx *ctx, const char *objname, const char *objmethod,
                   json_t *args, json_t *kwargs, const char *want, bool nullable, Ovo **out,
                   GError **err);
/* object_action with what `primitive` (stolen) holds of obj; obj takes the updates. */
bool conductor_action(Conductor *con, const DvCtx *ctx, Ovo *obj, json_t *primitive,
                      const char *objmethod, json_t *args, json_t *kwargs, json_t **out_result,
                      GError **err);
/* True, and err cleared, when the failure is `code`: for "not there" answers. */
bool conductor_forgive(GError **err, DvErrorCode code);
