/* Message bodies: the oslo envelope 2.0 and the requests and replies inside it.
 *
 * Limits     nesting is held against RPC_MAX_DEPTH before anything is parsed; the size was limited
 *            by rpc/link.c when the body was read.
 * Ownership  the structs that are read borrow from the json_t they were read from.
 * Errors     DV_E_BAD_INPUT, naming the member.
 * Threads    pure functions.
 * Sources    oslo.messaging 14.0.3 _drivers/common.py, amqpdriver.py; docs/wire/transport.md. */
#pragma once

#include "rpc/rpc.h"

enum { RPC_MAX_DEPTH = 200 };

/* Parses one JSON value: bounded depth, valid UTF-8, nothing behind it. New reference. */
json_t *rpc_json_read(const char *text, size_t length, GError **err);
/* Compact text; caller frees. `out_length` may be NULL. NULL for what jansson cannot write. */
char *rpc_json_text(const json_t *value, size_t *out_length);

/* Body -> inner message, a new reference to an object. A body without the two envelope members is
 * taken as the inner message itself (envelope 1.0). */
json_t *rpc_envelope_read(const char *body, size_t length, GError **err);
/* Inner message -> body; caller frees. NULL for what jansson cannot write. */
char *rpc_envelope_write(const json_t *inner, size_t *out_length);

/* Call ids and where the reply goes; NULL for casts. */
typedef struct RpcReturnPath {
    const char *msg_id;
    const char *reply_q;
} RpcReturnPath;

/* Both or neither, whatever else is wrong with the message. */
RpcReturnPath rpc_return_path(const json_t *inner);

typedef struct RpcRequestView {
    const char *method;
    const char *namespace_; /* or NULL */
    const char *version;    /* "1.0" when absent */
    const char *unique_id;  /* or NULL */
    RpcReturnPath path;
    int64_t timeout_s; /* the caller's call-monitor timeout; 0: none */
    json_t *args;      /* an object, or NULL when absent */
} RpcRequestView;

bool rpc_request_view(const json_t *inner, RpcRequestView *out, GError **err);

/* `args` and `context` (an object of _context_* members, may be NULL) are borrowed. timeout_s is
 * written for calls only, null when 0. New reference. */
json_t *rpc_request_write(const RpcRequestView *request, json_t *context);

typedef struct RpcReplyView {
    const char *msg_id;
    const char *unique_id;
    json_t *result;      /* may be NULL */
    const char *failure; /* text, or NULL */
    size_t failure_length;
    bool ending;
} RpcReplyView;

bool rpc_reply_view(const json_t *inner, RpcReplyView *out, GError **err);
/* `result` is borrowed. New reference. */
json_t *rpc_reply_write(const RpcReplyView *reply);
