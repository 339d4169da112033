/* Message bodies as a hostile or broken peer might send them: envelope, request, reply, context and
 * failure string. */
#include "rpc/context.h"
#include "rpc/envelope.h"
#include "rpc/fault.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read must be writable, and reading it again must give the same. */
static void write_again(const json_t *inner)
{
    size_t length = 0;
    g_autofree char *body = rpc_envelope_write(inner, &length);
    json_auto_t *again = NULL;

    if (!body)
        return;
    again = rpc_envelope_read(body, length, NULL);
    /* Texts may be longer than they were (escapes) but never deeper, so this cannot fail. */
    if (!again || json_object_size(again) != json_object_size(inner))
        abort();
}

static void read_request(json_t *inner)
{
    RpcRequestView view;
    g_autoptr(DvCtx) ctx = NULL;
    g_autoptr(DvCtx) elevated = NULL;
    json_auto_t *context = NULL;
    json_auto_t *written = NULL;

    (void)rpc_return_path(inner);
    if (!rpc_request_view(inner, &view, NULL))
        return;
    ctx = rpc_context_read(inner, NULL);
    if (!ctx)
        return;
    elevated = dv_ctx_elevated(ctx);
    context = rpc_context_write(elevated);
    written = rpc_request_write(&view, context);
    if (!written)
        abort();
}

static void read_reply(const json_t *inner)
{
    g_auto(RpcRemote) remote = {0};
    json_auto_t *written = NULL;
    RpcReplyView view;

    if (!rpc_reply_view(inner, &view, NULL))
        return;
    if (view.failure)
        (void)rpc_fault_read(view.failure, view.failure_length, &remote, NULL);
    written = rpc_reply_write(&view);
    if (!written)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) err = NULL;
    json_auto_t *inner = rpc_envelope_read((const char *)data, size, &err);

    if (!inner) {
        if (!err)
            abort(); /* a refusal without a reason */
        return 0;
    }
    write_again(inner);
    read_reply(inner);
    read_request(inner);
    return 0;
}
