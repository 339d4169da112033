/* What libvirt's parameters of a job mean: units, and which jobs are migrations. */
#include "virt/libvirt/libvirt_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct Params {
    virTypedParameterPtr list;
    int count, max;
} Params;

static void add(Params *params, const char *name, unsigned long long value)
{
    assert_int_equal(
        virTypedParamsAddULLong(&params->list, &params->count, &params->max, name, value), 0);
}

static void add_int(Params *params, const char *name, int value)
{
    assert_int_equal(virTypedParamsAddInt(&params->list, &params->count, &params->max, name, value),
                     0);
}

static Params migration(void)
{
    Params params = {0};

    add_int(&params, VIR_DOMAIN_JOB_OPERATION, VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT);
    return params;
}

static void figures_are_bytes_and_milliseconds(void **state G_GNUC_UNUSED)
{
    Params params = migration();
    VirtJob job;

    add(&params, VIR_DOMAIN_JOB_MEMORY_TOTAL, 1000000);
    add(&params, VIR_DOMAIN_JOB_MEMORY_REMAINING, 400000);
    add(&params, VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE, 25);
    add(&params, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, 4096);
    add(&params, VIR_DOMAIN_JOB_MEMORY_BPS, 123456);
    add(&params, VIR_DOMAIN_JOB_MEMORY_ITERATION, 3);
    add(&params, VIR_DOMAIN_JOB_DISK_PROCESSED, 77);
    add(&params, VIR_DOMAIN_JOB_DOWNTIME, 40);
    add(&params, VIR_DOMAIN_JOB_TIME_ELAPSED, 900);
    add_int(&params, VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, 30);
    assert_true(job_read(VIR_DOMAIN_JOB_UNBOUNDED, params.list, params.count, &job));
    assert_int_equal(job.state, VIRT_JOB_RUNNING);
    assert_int_equal(job.memory_total, 1000000);
    assert_int_equal(job.memory_remaining, 400000);
    assert_int_equal(job.memory_processed, 0);
    assert_int_equal(job.dirty_rate, 25 * 4096);
    assert_int_equal(job.bandwidth, 123456);
    assert_int_equal(job.iteration, 3);
    assert_int_equal(job.disk_processed, 77);
    assert_int_equal(job.downtime_ms, 40);
    assert_int_equal(job.elapsed_ms, 900);
    assert_int_equal(job.throttle_percent, 30);
    virTypedParamsFree(params.list, params.count);
}

static void ends_are_told_apart(void **state G_GNUC_UNUSED)
{
    static const struct {
        int type;
        VirtJobState state;
    } rows[] = {{VIR_DOMAIN_JOB_BOUNDED, VIRT_JOB_RUNNING},
                {VIR_DOMAIN_JOB_COMPLETED, VIRT_JOB_COMPLETED},
                {VIR_DOMAIN_JOB_FAILED, VIRT_JOB_FAILED},
                {VIR_DOMAIN_JOB_CANCELLED, VIRT_JOB_CANCELLED}};
    Params params = migration();
    VirtJob job;

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        assert_true(job_read(rows[i].type, params.list, params.count, &job));
        assert_int_equal(job.state, rows[i].state);
    }
    assert_false(job_read(VIR_DOMAIN_JOB_NONE, NULL, 0, &job));
    assert_int_equal(job.state, VIRT_JOB_NONE);
    virTypedParamsFree(params.list, params.count);
}

static void saves_and_incoming_migrations_are_none_of_ours(void **state G_GNUC_UNUSED)
{
    static const int operations[] = {VIR_DOMAIN_JOB_OPERATION_SAVE, VIR_DOMAIN_JOB_OPERATION_DUMP,
                                     VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN,
                                     VIR_DOMAIN_JOB_OPERATION_UNKNOWN};

    for (size_t i = 0; i < G_N_ELEMENTS(operations); i++) {
        Params params = {0};
        VirtJob job;

        add_int(&params, VIR_DOMAIN_JOB_OPERATION, operations[i]);
        add(&params, VIR_DOMAIN_JOB_MEMORY_TOTAL, 1000000);
        assert_false(job_read(VIR_DOMAIN_JOB_UNBOUNDED, params.list, params.count, &job));
        assert_int_equal(job.state, VIRT_JOB_NONE);
        assert_int_equal(job.memory_total, 0);
        virTypedParamsFree(params.list, params.count);
    }
}

static int open_libvirt(void **state G_GNUC_UNUSED)
{
    return virInitialize();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_bytes_and_milliseconds),
        cmocka_unit_test(ends_are_told_apart),
        cmocka_unit_test(saves_and_incoming_migrations_are_none_of_ours),
    };

    return cmocka_run_group_tests(tests, open_libvirt, NULL);
}
