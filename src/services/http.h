/* HTTP with libcurl: bounded bodies, deadlines, connection reuse, retries only of what is safe.
 *
 * One HttpClient per process; each thread that calls borrows a handle from its pool, so connections
 * are reused and nothing is shared while in use. Errors     DV_E_UNAVAILABLE no connection,
 * DV_E_TIMEOUT; a status is not an error here, callers judge it. Threads    any; a call blocks for
 * at most timeout_ms. */
#pragma once

#include "util/ctx.h"
#include "util/error.h"

#include <stdint.h>

typedef struct HttpClient HttpClient;

HttpClient *http_client_new(void);
void http_client_free(HttpClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpClient, http_client_free)

typedef struct HttpTls {
    const char *cafile, *certfile, *keyfile;
    bool insecure;
} HttpTls;

/* A body that is read from a file while it is sent, so that its size costs no memory. The file must
 * not change meanwhile; its position is left alone. */
typedef struct HttpUpload {
    int fd;
    uint64_t length; /* from the start of the file */
} HttpUpload;

typedef struct HttpRequest {
    const char *method; /* "GET" */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated, or NULL */
    const char *body;           /* or NULL */
    size_t body_length;
    const HttpUpload *upload; /* instead of body: a PUT; never sent twice by itself. Or NULL */
    const HttpTls *tls;       /* or NULL */
    int64_t timeout_ms;    /* whole exchange; 0: 60 s. With a sink or an upload: without progress */
    size_t max_body_bytes; /* 0: 16 MiB */
    unsigned connect_retries; /* again when no connection could be made: safe for every method */
    /* Streams a 2xx body instead of keeping it; false ends the transfer. */
    bool (*sink)(void *arg, const void *data, size_t length, GError **err);
    void *sink_arg;
} HttpRequest;

typedef struct HttpResponse {
    int status;
    char *body; /* NUL-terminated, never NULL */
    size_t body_length;
    GHashTable *headers; /* lower-case name -> value */
} HttpResponse;
void http_response_done(HttpResponse *response);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HttpResponse, http_response_done)

bool http_perform(HttpClient *client, const DvCtx *ctx, const HttpRequest *request,
                  HttpResponse *out, GError **err);
