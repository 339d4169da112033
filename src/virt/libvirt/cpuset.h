/* Sets of host CPUs in the notation of libvirt and nova: "0-3,^2,8".
 *
 * Limits     CPUs 0 to CPUSET_MAX - 1; text that names others is refused.
 * Sources    nova virt/hardware.py parse_cpu_spec, format_cpu_spec (Zed). */
#pragma once

#include "util/error.h"

#include <stdint.h>

#define CPUSET_MAX 8192

typedef struct CpuSet {
    uint64_t words[CPUSET_MAX / 64];
} CpuSet;

bool cpuset_parse(const char *text, CpuSet *out, GError **err);
void cpuset_add(CpuSet *set, unsigned cpu);
bool cpuset_has(const CpuSet *set, unsigned cpu);
unsigned cpuset_count(const CpuSet *set);
/* set &= other */
void cpuset_intersect(CpuSet *set, const CpuSet *other);
bool cpuset_contains(const CpuSet *set, const CpuSet *subset);
bool cpuset_equal(const CpuSet *a, const CpuSet *b);
/* "0-3,8". Caller frees. */
char *cpuset_format(const CpuSet *set);
