/* The judgement of live migrations; see convergence.h. */
#include "agent/convergence.h"

#include <glib.h>

enum {
    SHRINKS_PERCENT = 90, /* of the best pass: one that begins with more does not shrink */
    PATIENCE = 2,         /* passes that may fail to shrink before something is done */
    THROTTLE_WAITS = 3,   /* how often that is borne while QEMU may slow the guest down */
    THROTTLE_MAX = 99,    /* QEMU's max-cpu-throttle */
    LEAST_GIB = 2,
};

void converge_init(Converge *converge, const ConvergeConfig *config)
{
    *converge = (Converge){.config = *config};
    converge->config.downtime_steps = MAX(config->downtime_steps, 1);
}

double converge_gib(int64_t memory_mib, const uint64_t *disk_bytes, size_t disk_count)
{
    double sum = MAX((double)memory_mib / 1024, LEAST_GIB);

    for (size_t i = 0; i < disk_count; i++)
        sum += MAX((double)disk_bytes[i] / (1 << 30), LEAST_GIB);
    return sum;
}

int64_t converge_eta_s(const VirtJob *job)
{
    uint64_t left = job->memory_remaining + job->disk_remaining;

    if (job->state != VIRT_JOB_RUNNING || job->bandwidth == 0 ||
        (job->bandwidth <= job->dirty_rate && job->memory_remaining > 0))
        return -1;
    return (int64_t)(left / (job->bandwidth - MIN(job->dirty_rate, job->bandwidth - 1)));
}

int64_t converge_progress(const VirtJob *job)
{
    uint64_t total = job->memory_total;

    if (job->state == VIRT_JOB_COMPLETED)
        return 100;
    if (total == 0)
        return 0;
    return 100 - (int64_t)((MIN(job->memory_remaining, total) * 100 + total / 2) / total);
}

/* ---- downtime ---- */

/* Step i of 0 .. downtime_steps. */
static int64_t step_ms(const ConvergeConfig *config, int64_t i)
{
    double base = (double)config->downtime_ms / (double)config->downtime_steps;

    return (int64_t)(base + ((double)config->downtime_ms - base) / (double)config->downtime_steps *
                                (double)i);
}

static int64_t step_by_time(const ConvergeConfig *config, uint64_t elapsed_ms)
{
    int64_t delay_s = (int64_t)((double)config->downtime_delay_s * config->gib);
    int64_t step = delay_s > 0 ? (int64_t)(elapsed_ms / 1000) / delay_s : config->downtime_steps;

    return MIN(step, config->downtime_steps);
}

/* What switching over now would take; 0 when it cannot be said. */
static int64_t needed_ms(const VirtJob *job)
{
    if (job->bandwidth == 0)
        return (int64_t)job->downtime_ms;
    return (int64_t)((double)job->memory_remaining * 1000 / (double)job->bandwidth);
}

/* The smallest step that is enough; the last when none is. */
static int64_t step_enough(const ConvergeConfig *config, int64_t needed)
{
    int64_t i = 0;

    while (i < config->downtime_steps && step_ms(config, i) < needed)
        i++;
    return i;
}

static bool allow(Converge *c, int64_t downtime_ms, ConvergeAdvice *out)
{
    if (downtime_ms <= c->allowed_ms)
        return false;
    c->allowed_ms = downtime_ms;
    out->act = CONVERGE_DOWNTIME;
    out->downtime_ms = downtime_ms;
    return true;
}

static bool by_time(Converge *c, const VirtJob *job, ConvergeAdvice *out)
{
    int64_t step = step_by_time(&c->config, job->elapsed_ms);

    if (!allow(c, step_ms(&c->config, step), out))
        return false;
    g_snprintf(out->reason, sizeof out->reason, "step %d of %d after %d s", (int)step,
               (int)c->config.downtime_steps, (int)(job->elapsed_ms / 1000));
    return true;
}

/* ---- what the passes say ---- */

/* A new pass has begun: does it have less to send than any before? */
static void look_at_pass(Converge *c, const VirtJob *job)
{
    uint64_t left = job->memory_remaining;
    /* The first pass sends all there is, which says nothing of the guest. */
    bool comparable = c->best > 0;

    c->pass = job->iteration;
    c->last = left;
    if (job->iteration < 2)
        return;
    if (job->throttle_percent > c->throttle)
        c->stalled = c->waited = 0; /* it was slowed down since: wait what comes of it */
    else if (!comparable || left < c->best / 100 * SHRINKS_PERCENT)
        c->stalled = 0;
    else
        c->stalled++;
    c->throttle = job->throttle_percent;
    c->best = comparable ? MIN(c->best, left) : MAX(left, 1);
}

static void say_why(const Converge *c, const VirtJob *job, ConvergeAdvice *out, const char *what)
{
    g_snprintf(out->reason, sizeof out->reason,
               "%s: pass %" G_GUINT64_FORMAT " begins with %" G_GUINT64_FORMAT
               " MiB, the best was %" G_GUINT64_FORMAT " MiB; the guest writes %" G_GUINT64_FORMAT
               " MiB/s of %" G_GUINT64_FORMAT,
               what, c->pass, c->last >> 20, c->best >> 20, job->dirty_rate >> 20,
               job->bandwidth >> 20);
}

/* QEMU still has something to take from the guest. */
static bool throttle_may_grow(const Converge *c)
{
    return c->config.auto_converge && c->throttle < THROTTLE_MAX && c->waited < THROTTLE_WAITS;
}

static void escalate(Converge *c, const VirtJob *job, ConvergeAdvice *out)
{
    int64_t step = step_enough(&c->config, needed_ms(job));

    if (allow(c, step_ms(&c->config, step), out)) {
        c->stalled = 0;
        say_why(c, job, out, "more downtime");
    } else if (c->allowed_ms < c->config.downtime_ms) {
        /* What is allowed would be enough by the figures, and yet it does not switch. */
        c->stalled = 0;
        if (allow(c, c->config.downtime_ms, out))
            say_why(c, job, out, "all of the downtime");
    } else if (throttle_may_grow(c)) {
        c->stalled = 0; /* QEMU decides by itself when to take it */
        c->waited++;
    } else if (c->config.post_copy) {
        c->switched = true;
        out->act = CONVERGE_POST_COPY;
        say_why(c, job, out, "post-copy");
    }
}

/* ---- the time is over ---- */

static bool timed_out(Converge *c, const VirtJob *job, ConvergeAdvice *out)
{
    int64_t limit_s = (int64_t)((double)c->config.completion_timeout_s * c->config.gib);

    if (c->config.completion_timeout_s <= 0 || (int64_t)(job->elapsed_ms / 1000) <= limit_s)
        return false;
    c->switched = true;
    out->act = !c->config.force_complete ? CONVERGE_CANCEL
               : c->config.post_copy     ? CONVERGE_POST_COPY
                                         : CONVERGE_PAUSE;
    g_snprintf(out->reason, sizeof out->reason, "not completed after %d s", (int)limit_s);
    return true;
}

void converge_judge(Converge *c, const VirtJob *job, ConvergeAdvice *out)
{
    *out = (ConvergeAdvice){0};
    if (job->state == VIRT_JOB_POST_COPY)
        c->switched = true;
    if (job->state != VIRT_JOB_RUNNING || c->switched)
        return;
    if (timed_out(c, job, out))
        return;
    if (job->iteration > c->pass) {
        look_at_pass(c, job);
        if (c->stalled >= PATIENCE)
            escalate(c, job, out);
        if (out->act != CONVERGE_NOTHING)
            return;
    }
    by_time(c, job, out);
}
