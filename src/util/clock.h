/* Time. Modules whose behaviour depends on time take a DvClock, so that tests own the time.
 *
 * Units      milliseconds; monotonic time has an arbitrary origin, wall time is UTC.
 * Threads    any. */
#pragma once

#include <glib.h>
#include <stdint.h>

typedef struct DvClock {
    int64_t (*now_ms)(void *self);  /* monotonic */
    int64_t (*wall_ms)(void *self); /* since 1970 */
    void *self;
} DvClock;

/* The real clock. */
const DvClock *dv_clock_real(void);
int64_t dv_clock_now_ms(const DvClock *clock);
int64_t dv_clock_wall_ms(const DvClock *clock);

/* Shorthands on the real clock. */
int64_t dv_now_ms(void);

/* "2026-01-02T03:04:05Z", the form of datetime fields in versioned objects. Caller frees. */
char *dv_time_object(int64_t wall_ms);
/* "2026-01-02T03:04:05.678901", the form of context timestamps. Caller frees. */
char *dv_time_context(int64_t wall_ms);
/* Reads either form; false when it is neither. */
gboolean dv_time_parse(const char *text, int64_t *out_wall_ms);
