/* Counters and gauges, cheap enough for every message: name, help, one atomic number.
 *
 * Threads    add and set from any thread without a lock; registering at start only. */
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
/* All of them in Prometheus' text format, sorted by name. Caller frees. */
char *dv_metrics_text(void);
