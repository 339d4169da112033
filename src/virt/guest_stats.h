/* What a running guest has used so far, as the hypervisor counts it.
 *
 * Units      times nanoseconds of CPU, memory KiB, traffic bytes; counters start with the guest.
 * Ownership  guest_stats_free frees all; strings are owned. */
#pragma once

#include "virt/guest_state.h"

#include <glib.h>
#include <stdint.h>

typedef struct GuestCpuStats {
    unsigned id;
    uint64_t time_ns;
} GuestCpuStats;

typedef struct GuestDiskStats {
    char *target; /* "vda" */
    uint64_t read_requests, read_bytes, write_requests, write_bytes;
} GuestDiskStats;

typedef struct GuestNicStats {
    char *target; /* host's device, "tap..."; NULL: none, and no counters */
    char *mac;
    uint64_t rx_bytes, rx_packets, rx_errors, rx_drop;
    uint64_t tx_bytes, tx_packets, tx_errors, tx_drop;
} GuestNicStats;

/* What the balloon driver tells: "actual", "swap_in", "unused" ... */
typedef struct GuestMemoryStat {
    const char *name; /* static */
    uint64_t value;
} GuestMemoryStat;

typedef struct GuestStats {
    GuestState state;
    uint64_t memory_kib, memory_max_kib;
    GArray *cpus;     /* GuestCpuStats */
    GPtrArray *disks; /* GuestDiskStats, in the order of the guest's disks */
    GPtrArray *nics;  /* GuestNicStats, in the order of its interfaces */
    GArray *memory;   /* GuestMemoryStat */
} GuestStats;

GuestStats *guest_stats_new(void);
void guest_stats_free(GuestStats *stats);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestStats, guest_stats_free)
GuestDiskStats *guest_stats_add_disk(GuestStats *stats, const char *target);
GuestNicStats *guest_stats_add_nic(GuestStats *stats, const char *target, const char *mac);
