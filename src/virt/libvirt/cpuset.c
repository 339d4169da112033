/* Sets of host CPUs; see cpuset.h. */
#include "virt/libvirt/cpuset.h"

#include <string.h>

void cpuset_add(CpuSet *set, unsigned cpu)
{
    set->words[cpu / 64] |= UINT64_C(1) << (cpu % 64);
}

static void remove_cpu(CpuSet *set, unsigned cpu)
{
    set->words[cpu / 64] &= ~(UINT64_C(1) << (cpu % 64));
}

bool cpuset_has(const CpuSet *set, unsigned cpu)
{
    return cpu < CPUSET_MAX && (set->words[cpu / 64] >> (cpu % 64) & 1) != 0;
}

unsigned cpuset_count(const CpuSet *set)
{
    unsigned count = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(set->words); i++)
        count += (unsigned)__builtin_popcountll(set->words[i]);
    return count;
}

void cpuset_intersect(CpuSet *set, const CpuSet *other)
{
    for (size_t i = 0; i < G_N_ELEMENTS(set->words); i++)
        set->words[i] &= other->words[i];
}

bool cpuset_contains(const CpuSet *set, const CpuSet *subset)
{
    for (size_t i = 0; i < G_N_ELEMENTS(set->words); i++) {
        if ((subset->words[i] & ~set->words[i]) != 0)
            return false;
    }
    return true;
}

bool cpuset_equal(const CpuSet *a, const CpuSet *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* "3" or "3-7". */
static bool parse_range(const char *text, unsigned *out_first, unsigned *out_last)
{
    g_auto(GStrv) ends = g_strsplit(text, "-", 2);
    guint64 first = 0;
    guint64 last = 0;

    if (!ends[0] ||
        !g_ascii_string_to_unsigned(g_strstrip(ends[0]), 10, 0, CPUSET_MAX - 1, &first, NULL))
        return false;
    last = first;
    if (ends[1] &&
        !g_ascii_string_to_unsigned(g_strstrip(ends[1]), 10, first, CPUSET_MAX - 1, &last, NULL))
        return false;
    *out_first = (unsigned)first;
    *out_last = (unsigned)last;
    return true;
}

/* Exclusions hold wherever they stand, as in nova. */
bool cpuset_parse(const char *text, CpuSet *out, GError **err)
{
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    CpuSet set = {0};
    CpuSet excluded = {0};

    for (char **item = items; *item; item++) {
        char *range = g_strstrip(*item);
        bool exclude = *range == '^';
        unsigned first;
        unsigned last;

        if (*range == '\0')
            continue;
        if (!parse_range(exclude ? range + 1 : range, &first, &last))
            return dv_fail(err, DV_E_BAD_INPUT, "'%s' in '%s' is no CPU or range of CPUs", range,
                           text);
        for (unsigned cpu = first; cpu <= last; cpu++)
            cpuset_add(exclude ? &excluded : &set, cpu);
    }
    for (unsigned cpu = 0; cpu < CPUSET_MAX; cpu++) {
        if (cpuset_has(&excluded, cpu))
            remove_cpu(&set, cpu);
    }
    *out = set;
    return true;
}

char *cpuset_format(const CpuSet *set)
{
    GString *out = g_string_new(NULL);

    for (unsigned cpu = 0; cpu < CPUSET_MAX; cpu++) {
        unsigned last = cpu;

        if (!cpuset_has(set, cpu))
            continue;
        while (cpuset_has(set, last + 1))
            last++;
        if (out->len > 0)
            g_string_append_c(out, ',');
        if (last == cpu)
            g_string_append_printf(out, "%u", cpu);
        else
            g_string_append_printf(out, "%u-%u", cpu, last);
        cpu = last;
    }
    return g_string_free(out, FALSE);
}
