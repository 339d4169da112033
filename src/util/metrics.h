/* Counters, gauges and histograms, cheap enough for every message: name, help, atomic numbers.
 *
 * Units      what a name ends in: _total counts, _seconds; a histogram is fed milliseconds and
 *            written in seconds.
 * Threads    any; add, set and time without a lock, finding a metric by its name with one. */
#pragma once

#include "util/error.h"

#include <stdint.h>

typedef struct DvMetric DvMetric;

/* A process-lifetime metric; the same name gives the same one. Names as Prometheus writes them,
 * labels included: drover_rpc_requests_total{method="ping"}. */
DvMetric *dv_metric(const char *name, const char *help);
void dv_metric_add(DvMetric *metric, int64_t n);
void dv_metric_set(DvMetric *metric, int64_t value);
int64_t dv_metric_value(const DvMetric *metric);
/* A histogram of durations; apart from the numbers, as dv_metric. */
typedef struct DvHistogram DvHistogram;
DvHistogram *dv_histogram(const char *name, const char *help);
void dv_histogram_time(DvHistogram *histogram, int64_t ms);

/* All of them in Prometheus' text format, sorted by name. Caller frees. */
char *dv_metrics_text(void);
