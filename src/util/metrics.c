/* Counters, gauges and histograms; see metrics.h.
 *
 * The registry is process-wide, as the logger is: a metric is named where it is counted, and no
 * module would want two registries. Entries are never freed. */
#include "util/metrics.h"

#include "util/thread.h"

#include <stdatomic.h>
#include <string.h>

/* Upper ends of the buckets: a ping, a boot, a snapshot of a large disk. */
static const struct {
    int64_t ms;
    const char *seconds;
} buckets[] = {
    {10, "0.01"},  {100, "0.1"},  {500, "0.5"},  {1000, "1"},     {2000, "2"},       {5000, "5"},
    {10000, "10"}, {30000, "30"}, {60000, "60"}, {300000, "300"}, {1800000, "1800"},
};

typedef enum { KIND_NUMBER, KIND_HISTOGRAM } Kind;

/* What the registry knows of both. */
typedef struct Entry {
    char *name; /* [const] */
    char *help; /* [const] */
    Kind kind;  /* [const] */
} Entry;

struct DvMetric {
    Entry entry;           /* [const] */
    _Atomic int64_t value; /* [atomic] */
};

struct DvHistogram {
    Entry entry;                                        /* [const] */
    _Atomic uint64_t counts[G_N_ELEMENTS(buckets) + 1]; /* [atomic] of each bucket, then beyond */
    _Atomic int64_t sum_ms;                             /* [atomic] */
};

static struct {
    DvMutex lock; /* zero is a valid start for a static lock */
    GPtrArray *all DV_GUARDED_BY(lock);
} registry;

static Entry *registry_find(const char *name) DV_REQUIRES(registry.lock)
{
    for (guint i = 0; i < registry.all->len; i++) {
        Entry *entry = registry.all->pdata[i];

        if (strcmp(entry->name, name) == 0)
            return entry;
    }
    return NULL;
}

/* The entry of that name, made with `size` bytes when it is new. */
static void *registry_get(const char *name, const char *help, Kind kind, size_t size)
{
    Entry *entry = NULL;

    dv_lock(&registry.lock);
    if (!registry.all)
        registry.all = g_ptr_array_new();
    entry = registry_find(name);
    if (!entry) {
        entry = g_malloc0(size);
        *entry = (Entry){g_strdup(name), g_strdup(help), kind};
        g_ptr_array_add(registry.all, entry);
    }
    dv_unlock(&registry.lock);
    g_assert(entry->kind == kind);
    return entry;
}

DvMetric *dv_metric(const char *name, const char *help)
{
    return registry_get(name, help, KIND_NUMBER, sizeof(DvMetric));
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

DvHistogram *dv_histogram(const char *name, const char *help)
{
    return registry_get(name, help, KIND_HISTOGRAM, sizeof(DvHistogram));
}

void dv_histogram_time(DvHistogram *histogram, int64_t ms)
{
    size_t i = 0;

    ms = MAX(ms, 0);
    while (i < G_N_ELEMENTS(buckets) && ms > buckets[i].ms)
        i++;
    atomic_fetch_add_explicit(&histogram->counts[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ms, ms, memory_order_relaxed);
}

/* ---- text ---- */

/* Length of the name without its labels. */
static size_t family_length(const Entry *entry)
{
    return strcspn(entry->name, "{");
}

/* By family first: the samples of one family must stand together. */
static int entry_compare(const void *a, const void *b)
{
    const Entry *x = *(Entry *const *)a;
    const Entry *y = *(Entry *const *)b;
    g_autofree char *fx = g_strndup(x->name, family_length(x));
    g_autofree char *fy = g_strndup(y->name, family_length(y));
    int order = strcmp(fx, fy);

    return order ? order : strcmp(x->name, y->name);
}

static void append_header(GString *text, const Entry *entry)
{
    g_autofree char *family = g_strndup(entry->name, family_length(entry));
    const char *type = entry->kind == KIND_HISTOGRAM        ? "histogram"
                       : g_str_has_suffix(family, "_total") ? "counter"
                                                            : "gauge";

    g_string_append_printf(text, "# HELP %s %s\n# TYPE %s %s\n", family, entry->help, family, type);
}

/* name_suffix{labels,more}: the samples of a histogram differ in these two. */
static void append_sample_name(GString *text, const Entry *entry, const char *suffix,
                               const char *more)
{
    size_t length = family_length(entry);
    const char *labels = entry->name + length; /* "" or "{...}" */
    size_t inner = *labels ? strlen(labels) - 2 : 0;

    g_string_append_len(text, entry->name, (gssize)length);
    g_string_append(text, suffix);
    if (!inner && !*more)
        return;
    g_string_append_printf(text, "{%.*s%s%s}", (int)inner, inner ? labels + 1 : "",
                           inner && *more ? "," : "", more);
}

static void append_histogram(GString *text, DvHistogram *histogram)
{
    uint64_t count = 0;
    int64_t sum_ms = atomic_load_explicit(&histogram->sum_ms, memory_order_relaxed);

    for (size_t i = 0; i <= G_N_ELEMENTS(buckets); i++) {
        const char *end = i < G_N_ELEMENTS(buckets) ? buckets[i].seconds : "+Inf";
        g_autofree char *label = g_strdup_printf("le=\"%s\"", end);

        count += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        append_sample_name(text, &histogram->entry, "_bucket", label);
        g_string_append_printf(text, " %" G_GUINT64_FORMAT "\n", count);
    }
    append_sample_name(text, &histogram->entry, "_sum", "");
    g_string_append_printf(text, " %" G_GINT64_FORMAT ".%03d\n", sum_ms / 1000,
                           (int)(sum_ms % 1000));
    append_sample_name(text, &histogram->entry, "_count", "");
    g_string_append_printf(text, " %" G_GUINT64_FORMAT "\n", count);
}

char *dv_metrics_text(void)
{
    GString *text = g_string_new(NULL);
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    const Entry *previous = NULL;

    dv_lock(&registry.lock);
    for (guint i = 0; registry.all && i < registry.all->len; i++)
        g_ptr_array_add(all, registry.all->pdata[i]);
    dv_unlock(&registry.lock);

    g_ptr_array_sort(all, entry_compare);
    for (guint i = 0; i < all->len; i++) {
        Entry *entry = all->pdata[i];

        if (!previous || family_length(previous) != family_length(entry) ||
            strncmp(previous->name, entry->name, family_length(entry)) != 0)
            append_header(text, entry);
        if (entry->kind == KIND_HISTOGRAM)
            append_histogram(text, (DvHistogram *)entry);
        else
            g_string_append_printf(text, "%s %" G_GINT64_FORMAT "\n", entry->name,
                                   dv_metric_value((DvMetric *)entry));
        previous = entry;
    }
    return g_string_free(text, FALSE);
}
