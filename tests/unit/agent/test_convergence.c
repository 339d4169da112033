/* agent/convergence: series of looks at migrations, as QEMU reports them, and what is advised. */
#include "agent/convergence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#define MIB ((uint64_t)1 << 20)

/* nova's defaults, for a guest of two GiB at most. */
#define DEFAULTS                                                                                   \
    .downtime_ms = 500, .downtime_steps = 10, .downtime_delay_s = 75, .completion_timeout_s = 800, \
    .gib = 2

static const ConvergeConfig defaults = {DEFAULTS};
/* QEMU may slow the guest down, and its memory may be fetched afterwards. */
static const ConvergeConfig permissive = {DEFAULTS, .auto_converge = true, .post_copy = true};

/* One look; rates and sizes in MiB. */
typedef struct Look {
    unsigned elapsed_s, pass, remaining, dirty_rate, bandwidth, throttle;
} Look;

static VirtJob job_of(const Look *look)
{
    return (VirtJob){
        .state = VIRT_JOB_RUNNING,
        .memory_total = 1024 * MIB,
        .memory_remaining = look->remaining * MIB,
        .iteration = look->pass,
        .dirty_rate = look->dirty_rate * MIB,
        .bandwidth = look->bandwidth * MIB,
        .throttle_percent = look->throttle,
        .elapsed_ms = look->elapsed_s * 1000ULL,
    };
}

static const char *name_of(const ConvergeAdvice *advice, char *buffer, size_t size)
{
    static const char *const names[] = {"", "downtime", "post-copy", "pause", "cancel"};

    if (advice->act == CONVERGE_DOWNTIME)
        g_snprintf(buffer, size, "%d", (int)advice->downtime_ms);
    else
        g_strlcpy(buffer, names[advice->act], size);
    return buffer;
}

/* What is advised over the series: "50 275 post-copy". */
static char *advised(const ConvergeConfig *config, const Look *looks, size_t count)
{
    GString *text = g_string_new(NULL);
    Converge converge;

    converge_init(&converge, config);
    for (size_t i = 0; i < count; i++) {
        VirtJob job = job_of(&looks[i]);
        ConvergeAdvice advice;
        char buffer[16];

        converge_judge(&converge, &job, &advice);
        assert_int_equal(advice.act != CONVERGE_NOTHING, advice.reason[0] != '\0');
        if (advice.act != CONVERGE_NOTHING)
            g_string_append_printf(text, "%s%s", text->len ? " " : "",
                                   name_of(&advice, buffer, sizeof buffer));
    }
    return g_string_free(text, FALSE);
}

static void assert_advised(const ConvergeConfig *config, const Look *looks, size_t count,
                           const char *want)
{
    g_autofree char *is = advised(config, looks, count);

    assert_string_equal(is, want);
}
#define ASSERT_ADVISED(config, looks, want) assert_advised(config, looks, G_N_ELEMENTS(looks), want)

/* A guest of 1 GiB that does nothing, at 100 MiB/s. What is left in the middle of a pass is no
 * reason for anything. */
static void a_quiet_guest_needs_no_help(void **state G_GNUC_UNUSED)
{
    static const Look looks[] = {
        {0, 1, 1024, 0, 0, 0},  {1, 1, 920, 1, 100, 0}, {4, 1, 610, 1, 100, 0},
        {9, 1, 100, 1, 100, 0}, {10, 2, 10, 1, 100, 0}, {10, 3, 1, 1, 100, 0},
    };

    ASSERT_ADVISED(&defaults, looks, "50");
}

/* Passes become shorter and shorter although within each the rest falls and rises. */
static void a_saw_tooth_is_not_taken_for_a_stall(void **state G_GNUC_UNUSED)
{
    static const Look looks[] = {
        {0, 1, 1024, 0, 0, 0},    {5, 1, 500, 60, 100, 0},  {10, 2, 600, 60, 100, 0},
        {13, 2, 250, 60, 100, 0}, {16, 3, 360, 60, 100, 0}, {18, 3, 100, 60, 100, 0},
        {20, 4, 216, 60, 100, 0}, {22, 5, 130, 60, 100, 0}, {23, 6, 78, 60, 100, 0},
        {24, 7, 46, 60, 100, 0},
    };

    ASSERT_ADVISED(&defaults, looks, "50");
}

static void steps_come_at_novas_times_at_the_latest(void **state G_GNUC_UNUSED)
{
    /* one pass that takes long: 75 s for each of two GiB */
    static const Look looks[] = {
        {1, 1, 1024, 5, 1, 0},  {149, 1, 900, 5, 1, 0}, {151, 1, 890, 5, 1, 0},
        {301, 1, 700, 5, 1, 0}, {1501, 1, 10, 5, 1, 0},
    };

    ASSERT_ADVISED(&defaults, looks, "50 95 140 500");
}

/* Each pass begins with 30 MiB: at 100 MiB/s that is 300 ms, more than is allowed, and within the
 * limit. */
static void downtime_that_is_enough_is_given_at_once(void **state G_GNUC_UNUSED)
{
    static const Look looks[] = {
        {0, 1, 1024, 0, 0, 0},    {11, 2, 31, 100, 100, 0}, {12, 3, 30, 100, 100, 0},
        {13, 4, 30, 100, 100, 0}, {14, 5, 30, 100, 100, 0},
    };

    ASSERT_ADVISED(&defaults, looks, "50 320");
}

/* It writes 100 MiB again and again, at the speed of the link. */
static const Look endless[] = {
    {0, 1, 1024, 0, 0, 0},     {11, 2, 100, 100, 100, 0}, {12, 3, 100, 100, 100, 0},
    {13, 4, 100, 100, 100, 0}, {14, 5, 100, 100, 100, 0}, {15, 6, 100, 100, 100, 0},
    {16, 7, 100, 100, 100, 0}, {17, 8, 100, 100, 100, 0}, {18, 9, 100, 100, 100, 0},
};

static void all_of_the_downtime_is_tried_first(void **state G_GNUC_UNUSED)
{
    ASSERT_ADVISED(&defaults, endless, "50 500");
}

static void post_copy_comes_after_it_where_permitted(void **state G_GNUC_UNUSED)
{
    ConvergeConfig config = defaults;

    config.post_copy = true;
    ASSERT_ADVISED(&config, endless, "50 500 post-copy");
}

/* QEMU takes 20 %, 30 %, 40 % ... of the guest, and each time the passes become shorter. */
static void a_guest_that_is_being_slowed_down_is_given_time(void **state G_GNUC_UNUSED)
{
    static const Look looks[] = {
        {0, 1, 1024, 0, 0, 0},     {11, 2, 100, 100, 100, 0},  {12, 3, 100, 100, 100, 0},
        {13, 4, 100, 100, 100, 0}, {14, 5, 100, 100, 100, 20}, {15, 6, 98, 80, 100, 30},
        {16, 7, 97, 70, 100, 40},  {17, 8, 96, 60, 100, 50},   {18, 9, 95, 50, 100, 60},
        {19, 10, 60, 40, 100, 70}, {20, 11, 30, 30, 100, 70},
    };

    ASSERT_ADVISED(&permissive, looks, "50 500");
}

static void a_guest_that_cannot_be_slowed_down_any_more(void **state G_GNUC_UNUSED)
{
    static const Look looks[] = {
        {0, 1, 1024, 0, 0, 0},      {11, 2, 100, 100, 100, 0},  {12, 3, 100, 100, 100, 0},
        {13, 4, 100, 100, 100, 0},  {14, 5, 100, 100, 100, 99}, {15, 6, 100, 100, 100, 99},
        {16, 7, 100, 100, 100, 99}, {17, 8, 100, 100, 100, 99},
    };

    ASSERT_ADVISED(&permissive, looks, "50 500 post-copy");
}

/* QEMU may decide not to: then it is not waited for for ever. */
static void a_guest_that_nobody_slows_down(void **state G_GNUC_UNUSED)
{
    Look looks[20];

    for (unsigned i = 0; i < G_N_ELEMENTS(looks); i++)
        looks[i] = (Look){10 + i, i + 1, i ? 100 : 1024, 100, 100, 0};
    ASSERT_ADVISED(&permissive, looks, "50 500 post-copy");
}

static void the_time_limit_counts_whatever_the_passes_do(void **state G_GNUC_UNUSED)
{
    static const Look looks[] = {
        {1, 1, 1024, 0, 1, 0},
        {20, 1, 700, 1, 1, 0},
        {21, 1, 690, 1, 1, 0},
        {22, 1, 680, 1, 1, 0},
    };
    ConvergeConfig config = defaults;

    config.completion_timeout_s = 10; /* for each of two GiB */
    ASSERT_ADVISED(&config, looks, "50 cancel");
    config.force_complete = true;
    ASSERT_ADVISED(&config, looks, "50 pause");
    config.post_copy = true;
    ASSERT_ADVISED(&config, looks, "50 post-copy");
    config.completion_timeout_s = 0;
    ASSERT_ADVISED(&config, looks, "50");
}

static void nothing_is_advised_after_the_switch(void **state G_GNUC_UNUSED)
{
    Converge converge;
    VirtJob job = job_of(&(Look){5000, 9, 100, 100, 100, 0});
    ConvergeAdvice advice;

    converge_init(&converge, &defaults);
    job.state = VIRT_JOB_POST_COPY;
    converge_judge(&converge, &job, &advice);
    assert_int_equal(advice.act, CONVERGE_NOTHING);
}

static void sizes_count_as_novas(void **state G_GNUC_UNUSED)
{
    const uint64_t disks[] = {1 * MIB, 10240 * MIB};

    assert_float_equal(converge_gib(256, NULL, 0), 2, 0.001);
    assert_float_equal(converge_gib(8192, NULL, 0), 8, 0.001);
    assert_float_equal(converge_gib(8192, disks, 2), 20, 0.001);
}

static void an_end_is_foretold_when_there_is_one(void **state G_GNUC_UNUSED)
{
    VirtJob job = job_of(&(Look){10, 2, 300, 40, 100, 0});

    assert_int_equal(converge_eta_s(&job), 5);
    assert_int_equal(converge_progress(&job), 71);
    job.dirty_rate = 100 * MIB;
    assert_int_equal(converge_eta_s(&job), -1);
    job.state = VIRT_JOB_COMPLETED;
    assert_int_equal(converge_progress(&job), 100);
    job = (VirtJob){.state = VIRT_JOB_RUNNING};
    assert_int_equal(converge_progress(&job), 0);
    assert_int_equal(converge_eta_s(&job), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quiet_guest_needs_no_help),
        cmocka_unit_test(a_saw_tooth_is_not_taken_for_a_stall),
        cmocka_unit_test(steps_come_at_novas_times_at_the_latest),
        cmocka_unit_test(downtime_that_is_enough_is_given_at_once),
        cmocka_unit_test(all_of_the_downtime_is_tried_first),
        cmocka_unit_test(post_copy_comes_after_it_where_permitted),
        cmocka_unit_test(a_guest_that_is_being_slowed_down_is_given_time),
        cmocka_unit_test(a_guest_that_cannot_be_slowed_down_any_more),
        cmocka_unit_test(a_guest_that_nobody_slows_down),
        cmocka_unit_test(the_time_limit_counts_whatever_the_passes_do),
        cmocka_unit_test(nothing_is_advised_after_the_switch),
        cmocka_unit_test(sizes_count_as_novas),
        cmocka_unit_test(an_end_is_foretold_when_there_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
