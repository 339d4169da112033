/* Construction and release of GuestStats; see guest_stats.h. */
#include "virt/guest_stats.h"

static void disk_free(gpointer data)
{
    GuestDiskStats *disk = data;

    g_free(disk->target);
    g_free(disk);
}

static void nic_free(gpointer data)
{
    GuestNicStats *nic = data;

    g_free(nic->target);
    g_free(nic->mac);
    g_free(nic);
}

GuestStats *guest_stats_new(void)
{
    GuestStats *stats = g_new0(GuestStats, 1);

    stats->cpus = g_array_new(FALSE, TRUE, sizeof(GuestCpuStats));
    stats->disks = g_ptr_array_new_with_free_func(disk_free);
    stats->nics = g_ptr_array_new_with_free_func(nic_free);
    stats->memory = g_array_new(FALSE, TRUE, sizeof(GuestMemoryStat));
    return stats;
}

void guest_stats_free(GuestStats *stats)
{
    if (!stats)
        return;
    g_array_unref(stats->cpus);
    g_ptr_array_unref(stats->disks);
    g_ptr_array_unref(stats->nics);
    g_array_unref(stats->memory);
    g_free(stats);
}

GuestDiskStats *guest_stats_add_disk(GuestStats *stats, const char *target)
{
    GuestDiskStats *disk = g_new0(GuestDiskStats, 1);

    disk->target = g_strdup(target);
    g_ptr_array_add(stats->disks, disk);
    return disk;
}

GuestNicStats *guest_stats_add_nic(GuestStats *stats, const char *target, const char *mac)
{
    GuestNicStats *nic = g_new0(GuestNicStats, 1);

    nic->target = g_strdup(target);
    nic->mac = g_strdup(mac);
    g_ptr_array_add(stats->nics, nic);
    return nic;
}
