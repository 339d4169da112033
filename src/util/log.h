/* One log line per call, in the layout of the other nova services, so that one grep follows a
 * request: 2026-01-02 10:02:11.204 4711 INFO virt.libvirt.guest [req-81c2 user project] [instance:
 * 6f70] text
 *
 * Every line passes through dv_redact. A line is one write(2) to a descriptor opened for appending.
 * Threads    all functions from any thread; dv_log_init before any thread exists. */
#pragma once

#include "util/ctx.h"
#include "util/error.h"

typedef enum { DV_LOG_DEBUG, DV_LOG_INFO, DV_LOG_WARNING, DV_LOG_ERROR } DvLogLevel;

/* Writes to `path`, or to standard error when NULL. */
bool dv_log_init(const char *path, DvLogLevel level, GError **err);
/* Reopens the file (after rotation) and sets the level; for SIGHUP. */
bool dv_log_reopen(DvLogLevel level, GError **err);
bool dv_log_enabled(DvLogLevel level);

void dv_log(DvLogLevel level, const char *file, const DvCtx *ctx, const char *fmt, ...)
    G_GNUC_PRINTF(4, 5);

/* ctx may be NULL. */
#define dv_debug(ctx, ...)                                      \
    do {                                                        \
        if (dv_log_enabled(DV_LOG_DEBUG))                       \
            dv_log(DV_LOG_DEBUG, __FILE__, (ctx), __VA_ARGS__); \
    } while (0)
#define dv_info(ctx, ...) dv_log(DV_LOG_INFO, __FILE__, (ctx), __VA_ARGS__)
#define dv_warning(ctx, ...) dv_log(DV_LOG_WARNING, __FILE__, (ctx), __VA_ARGS__)
#define dv_error(ctx, ...) dv_log(DV_LOG_ERROR, __FILE__, (ctx), __VA_ARGS__)

/* A copy of `text` without secrets: passwords in URLs, values of keys that name a password, token
 * or secret, keystone tokens. NULL gives NULL. The one function between us and logs, faults and
 * notifications. */
char *dv_redact(const char *text);
