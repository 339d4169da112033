/* What this host offers in placement: VCPU, MEMORY_MB and DISK_GB of the root provider.
 *
 * An allocation ratio that an option sets wins; else the one that placement has stays, so that an
 * operator can tune it through the API; a class that placement does not have yet starts with
 * initial_*. A class of which there is nothing is left out: placement refuses a total of 0.
 * Sources    nova virt/libvirt/driver.py update_provider_tree, virt/driver.py (Zed). */
#include "scheduler_hints/hint_priv.h"

#include <string.h>

static const PlacementInventory *find(const GArray *inventories, const char *class)
{
    for (guint i = 0; inventories && i < inventories->len; i++) {
        const PlacementInventory *item = &g_array_index(inventories, PlacementInventory, i);

        if (strcmp(item->resource_class, class) == 0)
            return item;
    }
    return NULL;
}

static double ratio(double option, double initial, const PlacementInventory *current)
{
    if (option != 0.0)
        return option;
    return current ? current->allocation_ratio : initial;
}

static void offer(GArray *out, const GArray *current, const char *class, int64_t total,
                  int64_t reserved, double option, double initial)
{
    PlacementInventory item = {
        .total = total,
        .reserved = reserved,
        .min_unit = 1,
        .max_unit = total,
        .step_size = 1,
        .allocation_ratio = ratio(option, initial, find(current, class)),
    };

    if (total <= 0)
        return;
    g_strlcpy(item.resource_class, class, sizeof item.resource_class);
    g_array_append_val(out, item);
}

GArray *hint_inventory(const HostFacts *facts, const TrackerConfig *config, const GArray *current)
{
    GArray *out = g_array_new(FALSE, FALSE, sizeof(PlacementInventory));
    int64_t reserved_gib = (config->reserved_host_disk_mib + 1023) / 1024;

    offer(out, current, "MEMORY_MB", facts->memory_mib, config->reserved_host_memory_mib,
          config->ram_ratio, config->initial_ram_ratio);
    offer(out, current, "VCPU", facts->vcpus, config->reserved_host_cpus, config->cpu_ratio,
          config->initial_cpu_ratio);
    offer(out, current, "DISK_GB", facts->disk_gib, reserved_gib, config->disk_ratio,
          config->initial_disk_ratio);
    return out;
}

static bool item_equal(const PlacementInventory *a, const PlacementInventory *b)
{
    double apart = a->allocation_ratio - b->allocation_ratio;

    /* Placement keeps ratios in single precision. */
    return a->total == b->total && a->reserved == b->reserved && a->min_unit == b->min_unit &&
           a->max_unit == b->max_unit && a->step_size == b->step_size && apart < 1e-4 &&
           apart > -1e-4;
}

bool hint_inventory_equal(const GArray *a, const GArray *b)
{
    if (!a || !b || a->len != b->len)
        return false;
    for (guint i = 0; i < a->len; i++) {
        const PlacementInventory *item = &g_array_index(a, PlacementInventory, i);
        const PlacementInventory *other = find(b, item->resource_class);

        if (!other || !item_equal(item, other))
            return false;
    }
    return true;
}
