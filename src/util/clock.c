/* Clocks and the two time formats of the wire; see clock.h. */
#include "util/clock.h"

#include <time.h>

static int64_t real_now_ms(void *self G_GNUC_UNUSED)
{
    return g_get_monotonic_time() / 1000;
}

static int64_t real_wall_ms(void *self G_GNUC_UNUSED)
{
    return g_get_real_time() / 1000;
}

static const DvClock real_clock = {real_now_ms, real_wall_ms, NULL};

const DvClock *dv_clock_real(void)
{
    return &real_clock;
}

int64_t dv_clock_now_ms(const DvClock *clock)
{
    return clock->now_ms(clock->self);
}

int64_t dv_clock_wall_ms(const DvClock *clock)
{
    return clock->wall_ms(clock->self);
}

int64_t dv_now_ms(void)
{
    return real_now_ms(NULL);
}

char *dv_time_object(int64_t wall_ms)
{
    g_autoptr(GDateTime) t = g_date_time_new_from_unix_utc(wall_ms / 1000);

    return g_date_time_format(t, "%Y-%m-%dT%H:%M:%SZ");
}

char *dv_time_context(int64_t wall_ms)
{
    g_autoptr(GDateTime) t = g_date_time_new_from_unix_utc(wall_ms / 1000);
    g_autofree char *seconds = g_date_time_format(t, "%Y-%m-%dT%H:%M:%S");

    return g_strdup_printf("%s.%06d", seconds, (int)(wall_ms % 1000) * 1000);
}

gboolean dv_time_parse(const char *text, int64_t *out_wall_ms)
{
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) t = text ? g_date_time_new_from_iso8601(text, utc) : NULL;

    if (!t)
        return FALSE;
    *out_wall_ms = g_date_time_to_unix(t) * 1000 + g_date_time_get_microsecond(t) / 1000;
    return TRUE;
}
