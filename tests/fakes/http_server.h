/* A small HTTP/1.1 server on loopback for tests of the REST clients: scripted answers, counted and
 * remembered requests, and the ways in which real servers misbehave.
 *
 * Threads    one thread accepts, one serves each connection; all functions from any thread. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct HttpServer HttpServer;

typedef enum {
    HTTP_PLAIN = 0,
    HTTP_CHUNKED = 1 << 0,    /* Transfer-Encoding: chunked, in pieces of 1000 bytes */
    HTTP_SAY_CLOSE = 1 << 1,  /* Connection: close, and closes */
    HTTP_MUTE_CLOSE = 1 << 2, /* closes after the answer without having said so */
    HTTP_NO_ANSWER = 1 << 3,  /* closes (with a reset) instead of answering */
    HTTP_SHORT = 1 << 4,      /* closes after half of the promised body */
    HTTP_EARLY = 1 << 5,      /* answers as soon as it has the headers, and reads no body */
} HttpAnswerFlags;

typedef struct HttpAnswer {
    int status;          /* 0: 200 */
    const char *headers; /* extra lines, each with \r\n, or NULL */
    const char *body;    /* or NULL */
    size_t length;       /* 0: strlen(body) */
    unsigned flags;      /* HttpAnswerFlags */
    unsigned stall_ms;   /* before the answer */
} HttpAnswer;

/* One request as it came. */
typedef struct HttpSeen {
    char *method, *target; /* target with its query */
    char *headers;         /* all lines */
    char *body;            /* NUL-terminated */
    size_t body_length;
    int connection; /* 1 for the first accepted connection, ... */
} HttpSeen;

HttpServer *http_server_new(void);
void http_server_free(HttpServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpServer, http_server_free)

/* "http://127.0.0.1:PORT", borrowed. */
const char *http_server_url(HttpServer *server);

/* The next answer to METHOD TARGET. `target` matches a whole target, or its beginning when it ends
 * in '*'. Several answers for one pair are given in turn; the last one stays. A pair added later
 * wins over an earlier one that matches too. Everything is copied. */
void http_server_on(HttpServer *server, const char *method, const char *target,
                    const HttpAnswer *answer);
/* The usual case: a status and a JSON body. */
void http_server_json(HttpServer *server, const char *method, const char *target, int status,
                      const char *body);
/* Asked first about every request from now on: true when it has filled the answer, whose strings
 * stay the hook's; else the answers above count. On the connection's thread. */
typedef bool (*HttpHook)(void *arg, const HttpSeen *seen, HttpAnswer *out);
void http_server_hook(HttpServer *server, HttpHook hook, void *arg);
/* Forgets answers and requests. */
void http_server_reset(HttpServer *server);

/* How many requests came whose method is `method` (NULL: any) and whose target matches. */
unsigned http_server_count(HttpServer *server, const char *method, const char *target);
/* Request n (from 0) of those that match; NULL when there are fewer. Borrowed until reset. */
const HttpSeen *http_server_seen(HttpServer *server, const char *method, const char *target,
                                 unsigned n);
/* Value of a header of a request, or NULL. Caller frees. */
char *http_seen_header(const HttpSeen *seen, const char *name);
