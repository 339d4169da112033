/* Reply waiters; see call.h. */
#include "rpc/call.h"

#include "rpc/call_priv.h"
#include "rpc/fault.h"
#include "rpc/ids.h"
#include "util/thread.h"

#include <jansson.h>

struct RpcWait {
    char msg_id[RPC_ID_BYTES]; /* [const], likewise monitor_ms */
    int64_t monitor_ms;
    DvCond cond;        /* with RpcCalls.lock, like the rest */
    int64_t total_ms;   /* when the call is over whatever happens */
    int64_t silence_ms; /* when the peer has been silent for too long */
    bool done;
    DvErrorCode code; /* of a local failure, 0: none */
    char *text;       /* of a local failure, or the peer's failure string */
    size_t length;
    bool failed; /* the peer raised */
    json_t *result;
};

struct RpcCalls {
    DvMutex lock;
    GHashTable *waits; /* [lock] msg_id, borrowed -> RpcWait, borrowed */
    bool cancelled;    /* [lock] */
};

RpcCalls *rpc_calls_new(void)
{
    RpcCalls *calls = g_new0(RpcCalls, 1);

    dv_mutex_init(&calls->lock);
    calls->waits = g_hash_table_new(g_str_hash, g_str_equal);
    return calls;
}

void rpc_calls_free(RpcCalls *calls)
{
    if (!calls)
        return;
    g_assert(g_hash_table_size(calls->waits) == 0);
    g_hash_table_unref(calls->waits);
    dv_mutex_done(&calls->lock);
    g_free(calls);
}

RpcWait *rpc_calls_begin(RpcCalls *calls, const char *msg_id, int64_t deadline_ms,
                         int64_t monitor_ms)
{
    RpcWait *wait = g_new0(RpcWait, 1);
    bool cancelled;

    g_strlcpy(wait->msg_id, msg_id, sizeof wait->msg_id);
    wait->monitor_ms = monitor_ms;
    wait->total_ms = deadline_ms;
    wait->silence_ms = monitor_ms ? dv_now_ms() + monitor_ms : INT64_MAX;
    dv_cond_init(&wait->cond);
    dv_lock(&calls->lock);
    cancelled = calls->cancelled;
    if (!cancelled)
        g_hash_table_insert(calls->waits, wait->msg_id, wait);
    dv_unlock(&calls->lock);
    if (!cancelled)
        return wait;
    dv_cond_done(&wait->cond);
    g_free(wait);
    return NULL;
}

static void wait_free(RpcWait *wait)
{
    dv_cond_done(&wait->cond);
    g_free(wait->text);
    json_decref(wait->result);
    g_free(wait);
}

static bool remote_raised(RpcWait *wait, RpcRemote *remote, GError **err)
{
    g_auto(RpcRemote) said = {0};

    if (!rpc_fault_read(wait->text, wait->length, &said, err))
        return false;
    dv_fail(err, DV_E_REMOTE, "%s: %s", said.class_name, said.message);
    if (remote) {
        *remote = said;
        said = (RpcRemote){0};
    }
    return false;
}

static bool wait_outcome(RpcWait *wait, json_t **out_result, RpcRemote *remote, GError **err)
{
    if (!wait->done && dv_now_ms() < wait->total_ms)
        return dv_fail(err, DV_E_TIMEOUT, "the peer gave no sign of life for %.1f s",
                       (double)wait->monitor_ms / 1000);
    if (!wait->done)
        return dv_fail(err, DV_E_TIMEOUT, "no reply in time");
    if (wait->code)
        return dv_fail(err, wait->code, "%s", wait->text);
    if (wait->failed)
        return remote_raised(wait, remote, err);
    if (out_result)
        *out_result = wait->result ? g_steal_pointer(&wait->result) : json_null();
    return true;
}

static int64_t wait_end_ms(const RpcWait *wait)
{
    return MIN(wait->total_ms, wait->silence_ms);
}

bool rpc_calls_wait(RpcCalls *calls, RpcWait *wait, json_t **out_result, RpcRemote *remote,
                    GError **err)
{
    bool ok;

    dv_lock(&calls->lock);
    while (!wait->done) {
        /* A heartbeat may move the end while we sleep. */
        if (!dv_cond_wait_until(&wait->cond, &calls->lock, wait_end_ms(wait)) &&
            dv_now_ms() >= wait_end_ms(wait))
            break;
    }
    g_hash_table_remove(calls->waits, wait->msg_id);
    dv_unlock(&calls->lock);
    ok = wait_outcome(wait, out_result, remote, err);
    wait_free(wait);
    return ok;
}

bool rpc_calls_deliver(RpcCalls *calls, const RpcReplyView *reply, json_t *result)
{
    json_auto_t *owned = result;
    RpcWait *wait;

    dv_lock(&calls->lock);
    wait = g_hash_table_lookup(calls->waits, reply->msg_id);
    if (wait && !wait->done) {
        if (!reply->ending && !reply->failure) {
            if (wait->monitor_ms)
                wait->silence_ms = dv_now_ms() + wait->monitor_ms;
        } else {
            wait->failed = reply->failure != NULL;
            wait->text = g_memdup2(reply->failure, reply->failure_length);
            wait->length = reply->failure_length;
            wait->result = g_steal_pointer(&owned);
            wait->done = true;
            dv_cond_signal(&wait->cond);
        }
    }
    dv_unlock(&calls->lock);
    return wait != NULL;
}

static void wait_end(RpcWait *wait, DvErrorCode code, const char *text)
{
    if (wait->done)
        return;
    wait->code = code;
    wait->text = g_strdup(text);
    wait->done = true;
    dv_cond_signal(&wait->cond);
}

void rpc_calls_fail(RpcCalls *calls, const char *msg_id, DvErrorCode code, const char *text)
{
    RpcWait *wait;

    dv_lock(&calls->lock);
    wait = g_hash_table_lookup(calls->waits, msg_id);
    if (wait)
        wait_end(wait, code, text);
    dv_unlock(&calls->lock);
}

void rpc_calls_cancel(RpcCalls *calls)
{
    GHashTableIter iter;
    void *wait;

    dv_lock(&calls->lock);
    calls->cancelled = true;
    g_hash_table_iter_init(&iter, calls->waits);
    while (g_hash_table_iter_next(&iter, NULL, &wait))
        wait_end(wait, DV_E_CANCELLED, "stopping");
    dv_unlock(&calls->lock);
}

size_t rpc_calls_count(RpcCalls *calls)
{
    size_t count;

    dv_lock(&calls->lock);
    count = g_hash_table_size(calls->waits);
    dv_unlock(&calls->lock);
    return count;
}

int64_t rpc_wait_end_ms(RpcCalls *calls, const RpcWait *wait)
{
    int64_t end_ms;

    dv_lock(&calls->lock);
    end_ms = wait_end_ms(wait);
    dv_unlock(&calls->lock);
    return end_ms;
}
