/* The CPUs of a guest.
 *
 * Topology: flavor and image may each prefer and limit sockets, cores and threads. Of all ways to
 * lay out the count within the limits, the one that meets most of the preferences wins; among
 * equals the one with the fewest threads, then with the most sockets.
 * Sources    nova virt/hardware.py get_best_cpu_topology, get_pmu_constraint;
 * virt/libvirt/driver.py _update_guest_cputune (Zed). */
#include "agent/guest_spec_priv.h"

#define MAX_VCPUS 4096
#define NO_LIMIT 65536

typedef enum { SOCKETS, CORES, THREADS, PARTS } Part;

/* A topology, or a preference or limit with 0 where nothing is said. */
typedef struct Layout {
    int64_t part[PARTS];
} Layout;

static const char *const part_names[PARTS] = {"sockets", "cores", "threads"};

/* hw:cpu_<infix>sockets and so on of the flavor, hw_cpu_<infix>sockets of the image. */
static bool read_layout(const GuestAsks *asks, const char *infix, Layout *flavor, Layout *image,
                        GError **err)
{
    for (int i = 0; i < PARTS; i++) {
        g_autofree char *key = g_strdup_printf("hw:cpu_%s%s", infix, part_names[i]);
        g_autofree char *prop = g_strdup_printf("hw_cpu_%s%s", infix, part_names[i]);
        SpecNumber number;

        if (!guest_asks_number(asks, key, &number, err) ||
            !guest_asks_prop_number(asks, prop, &image->part[i], err))
            return false;
        flavor->part[i] = number.value;
    }
    return true;
}

/* Some part is over a limit that is set. */
static bool exceeds(const Layout *layout, const Layout *limit)
{
    for (int i = 0; i < PARTS; i++) {
        if (limit->part[i] && layout->part[i] > limit->part[i])
            return true;
    }
    return false;
}

static bool is_empty(const Layout *layout)
{
    return !layout->part[SOCKETS] && !layout->part[CORES] && !layout->part[THREADS];
}

#define LAYOUT_FORMAT \
    "sockets=%" G_GINT64_FORMAT ", cores=%" G_GINT64_FORMAT ", threads=%" G_GINT64_FORMAT
#define LAYOUT_ARGS(l) (l)->part[SOCKETS], (l)->part[CORES], (l)->part[THREADS]

static bool read_limits(const GuestAsks *asks, Layout *out, GError **err)
{
    Layout flavor = {{0}}, image = {{0}};

    if (!read_layout(asks, "max_", &flavor, &image, err))
        return false;
    if (exceeds(&image, &flavor))
        return dv_fail(err, DV_E_CPU_LIMITS,
                       "Image vCPU topology limits (" LAYOUT_FORMAT
                       ") exceeds the limits of the flavor (" LAYOUT_FORMAT ")",
                       LAYOUT_ARGS(&image), LAYOUT_ARGS(&flavor));
    for (int i = 0; i < PARTS; i++)
        out->part[i] = image.part[i] ? image.part[i] : flavor.part[i] ? flavor.part[i] : NO_LIMIT;
    return true;
}

static bool read_preference(const GuestAsks *asks, const Layout *limit, Layout *out, GError **err)
{
    Layout flavor = {{0}}, image = {{0}};

    if (!read_layout(asks, "", &flavor, &image, err))
        return false;
    /* The image may have lowered the limits below what the flavor prefers. */
    if (exceeds(&flavor, limit))
        flavor = (Layout){{0}};
    if (exceeds(&image, limit))
        return dv_fail(err, DV_E_CPU_TOPOLOGY,
                       "Image vCPU topology (" LAYOUT_FORMAT
                       ") exceeds the limits of the flavor or image (" LAYOUT_FORMAT ")",
                       LAYOUT_ARGS(&image), LAYOUT_ARGS(limit));
    *out = is_empty(&image) ? flavor : image;
    return true;
}

static int score(const Layout *layout, const Layout *wanted)
{
    int met = 0;

    for (int i = 0; i < PARTS; i++)
        met += wanted->part[i] && wanted->part[i] == layout->part[i];
    return met;
}

static bool is_better(const Layout *layout, const Layout *best, const Layout *wanted)
{
    int by_score = score(layout, wanted) - score(best, wanted);
    int64_t by_cores = layout->part[SOCKETS] * layout->part[CORES] -
                       best->part[SOCKETS] * best->part[CORES];

    if (is_empty(best) || by_score)
        return is_empty(best) || by_score > 0;
    return by_cores ? by_cores > 0 : layout->part[SOCKETS] > best->part[SOCKETS];
}

static bool choose_layout(int64_t vcpus, const Layout *limit, const Layout *wanted, Layout *out,
                          GError **err)
{
    Layout best = {{0}};

    for (int64_t sockets = 1; sockets <= MIN(vcpus, limit->part[SOCKETS]); sockets++) {
        if (vcpus % sockets)
            continue;
        for (int64_t cores = 1; cores <= MIN(vcpus / sockets, limit->part[CORES]); cores++) {
            Layout layout = {{sockets, cores, vcpus / sockets / cores}};

            if (vcpus / sockets % cores || layout.part[THREADS] > limit->part[THREADS])
                continue;
            if (is_better(&layout, &best, wanted))
                best = layout;
        }
    }
    if (is_empty(&best))
        return dv_fail(err, DV_E_CPU_IMPOSSIBLE,
                       "Requested vCPU limits %" G_GINT64_FORMAT ":%" G_GINT64_FORMAT
                       ":%" G_GINT64_FORMAT
                       " are impossible to satisfy for vcpus count %" G_GINT64_FORMAT,
                       MIN(vcpus, limit->part[SOCKETS]), MIN(vcpus, limit->part[CORES]),
                       MIN(vcpus, limit->part[THREADS]), vcpus);
    *out = best;
    return true;
}

static bool fill_topology(const GuestBuild *build, GError **err)
{
    GuestSpec *spec = build->spec;
    Layout limit, wanted, chosen = {{0}};

    if (!read_limits(&build->asks, &limit, err) ||
        !read_preference(&build->asks, &limit, &wanted, err) ||
        !choose_layout(spec->vcpus, &limit, &wanted, &chosen, err))
        return false;
    spec->cpu_sockets = (unsigned)chosen.part[SOCKETS];
    spec->cpu_cores = (unsigned)chosen.part[CORES];
    spec->cpu_threads = (unsigned)chosen.part[THREADS];
    return true;
}

static bool fill_tune(const GuestBuild *build, GError **err)
{
    GuestSpec *spec = build->spec;

    return guest_asks_number(&build->asks, "quota:cpu_shares", &spec->cpu_shares, err) &&
           guest_asks_number(&build->asks, "quota:cpu_quota", &spec->cpu_quota, err) &&
           guest_asks_number(&build->asks, "quota:cpu_period", &spec->cpu_period, err);
}

/* The emulated architecture wins over the image's own; NULL: the host's. */
static void fill_arch(const GuestBuild *build)
{
    build->spec->arch = guest_asks_word(&build->asks, "hw_emulation_architecture");
    if (!build->spec->arch)
        build->spec->arch = guest_asks_word(&build->asks, "hw_architecture");
}

/* Required CPU traits choose among [libvirt] cpu_models; placement has seen to it that one fits. */
static void fill_traits(const GuestBuild *build)
{
    g_autoptr(GPtrArray) specs = ovo_dict_keys(build->asks.flavor, "extra_specs");

    for (guint i = 0; i < specs->len; i++) {
        const char *key = g_ptr_array_index(specs, i);
        const char *colon = strchr(key, ':');

        if (!g_str_has_prefix(key, "trait") || !colon ||
            !g_str_has_prefix(colon + 1, "HW_CPU_X86_") ||
            g_strcmp0(guest_asks_spec(&build->asks, key), "required") != 0)
            continue;
        if (!build->spec->cpu_traits)
            build->spec->cpu_traits = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(build->spec->cpu_traits, g_strdup(colon + 1));
    }
}

bool guest_spec_cpu(const GuestBuild *build, GError **err)
{
    uint64_t vcpus = 0;

    if (!ovo_u64(build->asks.flavor, "vcpus", &vcpus, err))
        return false;
    if (vcpus < 1 || vcpus > MAX_VCPUS)
        return dv_fail(err, DV_E_BAD_INPUT, "Flavor.vcpus: want 1 to %d", MAX_VCPUS);
    build->spec->vcpus = (unsigned)vcpus;
    fill_arch(build);
    fill_traits(build);
    return fill_topology(build, err) && fill_tune(build, err) &&
           guest_asks_flag(&build->asks, "pmu", &build->spec->pmu, err);
}
