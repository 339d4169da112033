/* Whether a live migration comes to an end, and what to do when it does not: pure arithmetic.
 *
 * Memory is sent in passes; what the guest writes during a pass is what the next one has to send.
 * So the one figure that tells is what is left at the beginning of each pass: as long as it shrinks
 * the migration converges. (What is left at any other moment is a saw-tooth.) The migration can
 * switch over as soon as what is left fits into the downtime that is allowed just then.
 *
 * The downtime allowed begins at live_migration_downtime / live_migration_downtime_steps and grows
 * step by step, at the latest at nova's times. When passes have stopped to shrink, in this order:
 *   1. more downtime, up to the whole of live_migration_downtime: at once to the step that is
 *      enough, when one is;
 *   2. auto-converge, where it is permitted: QEMU slows the guest down; that is given its time;
 *   3. post-copy, where it is permitted;
 *   4. live_migration_timeout_action, when live_migration_completion_timeout is over: this one
 *      whatever the passes do.
 * Each is advised once, with its reason.
 * Units      milliseconds, bytes, bytes per second.
 * Threads    one Converge belongs to one thread at a time.
 * Sources    nova virt/libvirt/migration.py downtime_steps, should_trigger_timeout_action (Zed);
 *            QEMU migration/ram.c. */
#pragma once

#include "virt/migration.h"

typedef struct ConvergeConfig {
    int64_t downtime_ms;          /* live_migration_downtime: the most */
    int64_t downtime_steps;       /* in how many steps it is reached */
    int64_t downtime_delay_s;     /* between two of them, for each GiB */
    int64_t completion_timeout_s; /* for each GiB; 0: none */
    bool force_complete;          /* at that time; else the migration is cancelled */
    bool auto_converge;           /* the migration was begun with it */
    bool post_copy;               /* the migration may switch to it */
    double gib;                   /* of memory and of disks to copy, as converge_gib counts */
} ConvergeConfig;

typedef enum {
    CONVERGE_NOTHING,
    CONVERGE_DOWNTIME, /* allow downtime_ms */
    CONVERGE_POST_COPY,
    CONVERGE_PAUSE, /* pause the guest: then it writes no more */
    CONVERGE_CANCEL,
} ConvergeAct;

typedef struct ConvergeAdvice {
    ConvergeAct act;
    int64_t downtime_ms; /* of CONVERGE_DOWNTIME */
    char reason[200];    /* for the log; "" with CONVERGE_NOTHING */
} ConvergeAdvice;

/* Everything it remembers; for the functions below only. */
typedef struct Converge {
    ConvergeConfig config;
    int64_t allowed_ms; /* downtime; 0: nothing was advised yet */
    uint64_t pass;      /* the last one seen */
    uint64_t best;      /* the least that a pass began with; 0: none has begun */
    uint64_t last;      /* what the last pass began with */
    uint64_t throttle;  /* per cent, at the last pass */
    unsigned stalled;   /* passes in a row that did not shrink */
    unsigned waited;    /* how often QEMU was given time to slow the guest down, and did not */
    bool switched;      /* post-copy, pausing or cancelling was advised or is seen */
} Converge;

/* `config` is copied. */
void converge_init(Converge *converge, const ConvergeConfig *config);
/* One look at the migration; called at each pass and in between. */
void converge_judge(Converge *converge, const VirtJob *job, ConvergeAdvice *out);

/* When it will be over at this pace, in seconds; -1: never, or not to be said. */
int64_t converge_eta_s(const VirtJob *job);
/* How much of it is done, 0 to 100, by the figures that nova uses for an instance's progress. */
int64_t converge_progress(const VirtJob *job);
/* nova's size of a migration: GiB of memory and of each disk, each counted as two at least. */
double converge_gib(int64_t memory_mib, const uint64_t *disk_bytes, size_t disk_count);
