/* Counters and gauges; see metrics.h.
 *
 * The registry is process-wide, as the logger is: a metric is named where it is counted, and no
 * module would want two registries. Entries are never freed. */
#include "util/metrics.h"

#include "util/thread.h"

#include <stdatomic.h>
#include <string.h>

struct DvMetric {
    char *name;            /* [const] */
    char *help;            /* [const] */
    _Atomic int64_t value; /* [atomic] */
};

static struct {
    DvMutex lock; /* zero is a valid start for a static lock */
    GPtrArray *all DV_GUARDED_BY(lock);
} registry;

static DvMetric *registry_find(const char *name) DV_REQUIRES(registry.lock)
{
    for (guint i = 0; i < registry.all->len; i++) {
        DvMetric *metric = registry.all->pdata[i];

        if (strcmp(metric->name, name) == 0)
            return metric;
    }
    return NULL;
}

DvMetric *dv_metric(const char *name, const char *help)
{
    DvMetric *metric = NULL;

    dv_lock(&registry.lock);
    if (!registry.all)
        registry.all = g_ptr_array_new();
    metric = registry_find(name);
    if (!metric) {
        metric = g_new0(DvMetric, 1);
        metric->name = g_strdup(name);
        metric->help = g_strdup(help);
        g_ptr_array_add(registry.all, metric);
    }
    dv_unlock(&registry.lock);
    return metric;
}

void dv_metric_add(DvMetric *metric, int64_t n)
{
    atomic_fetch_add_explicit(&metric->value, n, memory_order_relaxed);
}

void dv_metric_set(DvMetric *metric, int64_t value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

int64_t dv_metric_value(const DvMetric *metric)
{
    return atomic_load_explicit(&((DvMetric *)metric)->value, memory_order_relaxed);
}

/* Length of the name without its labels. */
static size_t family_length(const DvMetric *metric)
{
    return strcspn(metric->name, "{");
}

/* By family first: the samples of one family must stand together. */
static int metric_compare(const void *a, const void *b)
{
    const DvMetric *x = *(DvMetric *const *)a;
    const DvMetric *y = *(DvMetric *const *)b;
    g_autofree char *fx = g_strndup(x->name, family_length(x));
    g_autofree char *fy = g_strndup(y->name, family_length(y));
    int order = strcmp(fx, fy);

    return order ? order : strcmp(x->name, y->name);
}

static void append_header(GString *text, const DvMetric *metric)
{
    g_autofree char *family = g_strndup(metric->name, family_length(metric));

    g_string_append_printf(text, "# HELP %s %s\n# TYPE %s %s\n", family, metric->help, family,
                           g_str_has_suffix(family, "_total") ? "counter" : "gauge");
}

char *dv_metrics_text(void)
{
    GString *text = g_string_new(NULL);
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    const DvMetric *previous = NULL;

    dv_lock(&registry.lock);
    for (guint i = 0; registry.all && i < registry.all->len; i++)
        g_ptr_array_add(all, registry.all->pdata[i]);
    dv_unlock(&registry.lock);

    g_ptr_array_sort(all, metric_compare);
    for (guint i = 0; i < all->len; i++) {
        const DvMetric *metric = all->pdata[i];

        if (!previous || family_length(previous) != family_length(metric) ||
            strncmp(previous->name, metric->name, family_length(metric)) != 0)
            append_header(text, metric);
        g_string_append_printf(text, "%s %" G_GINT64_FORMAT "\n", metric->name,
                               dv_metric_value(metric));
        previous = metric;
    }
    return g_string_free(text, FALSE);
}
