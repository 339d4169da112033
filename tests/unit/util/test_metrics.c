/* Metrics: one per name, exact under threads, and text that Prometheus reads. */
#include "util/metrics.h"
#include "util/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_name_is_one_metric(void **state G_GNUC_UNUSED)
{
    DvMetric *a = dv_metric("drover_a_total", "A.");

    assert_ptr_equal(a, dv_metric("drover_a_total", "A."));
    assert_ptr_not_equal(a, dv_metric("drover_b_total", "B."));
    dv_metric_add(a, 2);
    dv_metric_add(a, 3);
    assert_int_equal(dv_metric_value(a), 5);
}

static void a_gauge_goes_both_ways(void **state G_GNUC_UNUSED)
{
    DvMetric *gauge = dv_metric("drover_guests", "Guests.");

    dv_metric_set(gauge, 7);
    dv_metric_add(gauge, -8);
    assert_int_equal(dv_metric_value(gauge), -1);
}

static void *add_many(void *arg)
{
    for (int i = 0; i < 10000; i++)
        dv_metric_add(arg, 1);
    return NULL;
}

static void counts_are_exact_with_threads(void **state G_GNUC_UNUSED)
{
    DvMetric *metric = dv_metric("drover_threads_total", "T.");
    GThread *threads[4];

    for (int i = 0; i < 4; i++)
        threads[i] = dv_thread_new("adder", add_many, metric);
    for (int i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    assert_int_equal(dv_metric_value(metric), 40000);
}

static void families_stand_together_with_one_header(void **state G_GNUC_UNUSED)
{
    g_autofree char *text = NULL;
    const char *block = NULL;

    dv_metric_add(dv_metric("drover_z_total{method=\"b\"}", "Z."), 2);
    dv_metric_add(dv_metric("drover_z_total_more", "Between, by plain sorting."), 1);
    dv_metric_add(dv_metric("drover_z_total{method=\"a\"}", "Z."), 1);
    text = dv_metrics_text();
    block = strstr(text, "# HELP drover_z_total Z.");
    assert_non_null(block);
    assert_true(g_str_has_prefix(block, "# HELP drover_z_total Z.\n"
                                        "# TYPE drover_z_total counter\n"
                                        "drover_z_total{method=\"a\"} 1\n"
                                        "drover_z_total{method=\"b\"} 2\n"
                                        "# HELP drover_z_total_more "));
    assert_non_null(strstr(text, "# TYPE drover_guests gauge\ndrover_guests -1\n"));
}

static void a_histogram_counts_up_to_each_end(void **state G_GNUC_UNUSED)
{
    DvHistogram *plain = dv_histogram("drover_h_seconds", "H.");
    DvHistogram *labelled = dv_histogram("drover_h_seconds{method=\"m\"}", "H.");
    g_autofree char *text = NULL;

    dv_histogram_time(plain, 10); /* the end belongs to its bucket */
    dv_histogram_time(plain, 11);
    dv_histogram_time(plain, 2500);
    dv_histogram_time(plain, 1800001); /* beyond the last end */
    dv_histogram_time(plain, -5);      /* a clock that went back */
    dv_histogram_time(labelled, 700);
    text = dv_metrics_text();
    assert_non_null(strstr(text, "# TYPE drover_h_seconds histogram\n"
                                 "drover_h_seconds_bucket{le=\"0.01\"} 2\n"
                                 "drover_h_seconds_bucket{le=\"0.1\"} 3\n"));
    assert_non_null(strstr(text, "\ndrover_h_seconds_bucket{le=\"2\"} 3\n"
                                 "drover_h_seconds_bucket{le=\"5\"} 4\n"));
    assert_non_null(strstr(text, "\ndrover_h_seconds_bucket{le=\"1800\"} 4\n"
                                 "drover_h_seconds_bucket{le=\"+Inf\"} 5\n"
                                 "drover_h_seconds_sum 1802.522\n"
                                 "drover_h_seconds_count 5\n"
                                 "drover_h_seconds_bucket{method=\"m\",le=\"0.01\"} 0\n"));
    assert_non_null(strstr(text, "\ndrover_h_seconds_sum{method=\"m\"} 0.700\n"
                                 "drover_h_seconds_count{method=\"m\"} 1\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_one_metric),
        cmocka_unit_test(a_gauge_goes_both_ways),
        cmocka_unit_test(counts_are_exact_with_threads),
        cmocka_unit_test(families_stand_together_with_one_header),
        cmocka_unit_test(a_histogram_counts_up_to_each_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
