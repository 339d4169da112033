/* HostFacts: what nova-compute would report of this host as its compute node record.
 *
 * Per call: node info, CPU map, host name, type and version of the hypervisor (the last three from
 * the client's cache of the connection), and the file system of instances_path.
 * Sources    nova virt/libvirt/driver.py get_available_resource, _get_host_numa_topology;
 *            objects/numa.py NUMATopology 1.2, NUMACell 1.5, NUMAPagesTopology 1.1,
 *            NetworkMetadata 1.0 (Zed). */
#include "virt/libvirt/caps.h"
#include "virt/libvirt/jtext.h"

#include "util/fs.h"
#include "virt/disk/disks.h"

#include <errno.h>
#include <sys/statvfs.h>

#define GIB (UINT64_C(1024) * 1024 * 1024)
#define KIB_PER_MIB 1024

/* --- cpu_info -------------------------------------------------------------------------------- */

char *host_write_cpu_info(const HostCaps *caps)
{
    JText text;

    jtext_init(&text);
    jtext_open(&text, NULL, '{');
    jtext_str(&text, "arch", caps->arch);
    jtext_str(&text, "model", caps->cpu_model);
    jtext_str(&text, "vendor", caps->cpu_vendor);
    jtext_open(&text, "topology", '{');
    jtext_int(&text, "cells", caps->cells->len > 0 ? caps->cells->len : 1);
    jtext_int(&text, "sockets", caps->sockets);
    jtext_int(&text, "cores", caps->cores);
    jtext_int(&text, "threads", caps->threads);
    jtext_close(&text, '}');
    jtext_open(&text, "features", '[');
    for (guint i = 0; i < caps->features->len; i++)
        jtext_str(&text, NULL, g_ptr_array_index(caps->features, i));
    jtext_close(&text, ']');
    jtext_close(&text, '}');
    return jtext_take(&text);
}

/* --- numa_topology --------------------------------------------------------------------------- */

static void open_object(JText *text, const char *key, const char *name, const char *version)
{
    jtext_open(text, key, '{');
    jtext_str(text, "nova_object.name", name);
    jtext_str(text, "nova_object.namespace", "nova");
    jtext_str(text, "nova_object.version", version);
    jtext_open(text, "nova_object.data", '{');
}

static void close_object(JText *text, const char *const *changes)
{
    jtext_close(text, '}');
    jtext_open(text, "nova_object.changes", '[');
    for (; *changes; changes++)
        jtext_str(text, NULL, *changes);
    jtext_close(text, ']');
    jtext_close(text, '}');
}

static void write_cpus(JText *text, const char *key, const CpuSet *set)
{
    jtext_open(text, key, '[');
    for (unsigned cpu = 0; cpu < CPUSET_MAX; cpu++) {
        if (cpuset_has(set, cpu))
            jtext_int(text, NULL, cpu);
    }
    jtext_close(text, ']');
}

static void write_pages(JText *text, const CapsCell *cell)
{
    static const char *const changes[] = {"reserved", "size_kb", "total", "used", NULL};

    jtext_open(text, "mempages", '[');
    for (unsigned i = 0; i < cell->page_count; i++) {
        open_object(text, NULL, "NUMAPagesTopology", "1.1");
        jtext_int(text, "size_kb", (int64_t)cell->pages[i].size_kib);
        jtext_int(text, "total", (int64_t)cell->pages[i].total);
        jtext_int(text, "used", 0);
        jtext_int(text, "reserved", 0);
        close_object(text, changes);
    }
    jtext_close(text, ']');
}

static void write_network_metadata(JText *text)
{
    static const char *const changes[] = {"physnets", "tunneled", NULL};

    open_object(text, "network_metadata", "NetworkMetadata", "1.0");
    jtext_open(text, "physnets", '[');
    jtext_close(text, ']');
    jtext_bool(text, "tunneled", false);
    close_object(text, changes);
}

static int compare_first_cpu(gconstpointer a, gconstpointer b)
{
    const CpuSet *left = *(const CpuSet *const *)a;
    const CpuSet *right = *(const CpuSet *const *)b;

    for (size_t i = 0; i < G_N_ELEMENTS(left->words); i++) {
        uint64_t either = left->words[i] | right->words[i];

        if (either != 0)
            return (left->words[i] & (either & -either)) != 0 ? -1 : 1;
    }
    return 0;
}

static void write_siblings(JText *text, const CapsCell *cell, const CpuSet *usable)
{
    g_autoptr(GPtrArray) sorted = g_ptr_array_copy(cell->siblings, NULL, NULL);

    g_ptr_array_set_free_func(sorted, NULL);
    g_ptr_array_sort(sorted, compare_first_cpu);
    jtext_open(text, "siblings", '[');
    for (guint i = 0; i < sorted->len; i++) {
        CpuSet set = *(const CpuSet *)g_ptr_array_index(sorted, i);

        cpuset_intersect(&set, usable);
        if (cpuset_count(&set) > 0)
            write_cpus(text, NULL, &set);
    }
    jtext_close(text, ']');
}

static void write_cell(JText *text, const CapsCell *cell, const CpuSet *shared,
                       bool pinning_allowed)
{
    static const char *const changes[] = {
        "cpu_usage",        "cpuset",  "id",          "memory",   "memory_usage", "mempages",
        "network_metadata", "pcpuset", "pinned_cpus", "siblings", "socket",       NULL};
    static const CpuSet none = {0};
    CpuSet cpus = cell->cpus;

    cpuset_intersect(&cpus, shared);
    open_object(text, NULL, "NUMACell", "1.5");
    jtext_int(text, "id", cell->id);
    write_cpus(text, "cpuset", &cpus);
    /* Without dedicated CPUs, pinned guests may use all, unless the operator set the shared ones
     * apart. */
    write_cpus(text, "pcpuset", pinning_allowed ? &cpus : &none);
    jtext_int(text, "memory", (int64_t)(cell->memory_kib / KIB_PER_MIB));
    jtext_int(text, "cpu_usage", 0);
    jtext_int(text, "memory_usage", 0);
    write_cpus(text, "pinned_cpus", &none);
    write_siblings(text, cell, &cpus);
    write_pages(text, cell);
    write_network_metadata(text);
    if (cell->socket >= 0)
        jtext_int(text, "socket", cell->socket);
    else
        jtext_null(text, "socket");
    close_object(text, changes);
}

static bool has_numa_support(const char *arch)
{
    static const char *const arches[] = {"i686", "x86_64", "aarch64", "ppc64", "ppc64le", NULL};

    return g_strv_contains(arches, arch);
}

char *host_write_numa(const HostCaps *caps, const CpuSet *shared)
{
    static const char *const changes[] = {"cells", NULL};
    JText text;

    if (caps->cells->len == 0 || !has_numa_support(caps->arch))
        return NULL;
    jtext_init(&text);
    open_object(&text, NULL, "NUMATopology", "1.2");
    jtext_open(&text, "cells", '[');
    for (guint i = 0; i < caps->cells->len; i++)
        write_cell(&text, g_ptr_array_index(caps->cells, i), shared, caps->cpuset == NULL);
    jtext_close(&text, ']');
    close_object(&text, changes);
    return jtext_take(&text);
}

/* --- CPUs, memory, disk ---------------------------------------------------------------------- */

/* The host's online CPUs, cut down to cpu_shared_set. */
static bool read_shared_cpus(virConnectPtr conn, const HostCaps *caps, CpuSet *out, GError **err)
{
    unsigned char *map = NULL;
    int count = virNodeGetCPUMap(conn, &map, NULL, 0);
    CpuSet online = {0};

    if (count < 0)
        return virt_conn_fail(err, "reading the host's CPUs");
    for (unsigned cpu = 0; cpu < MIN((unsigned)count, CPUSET_MAX); cpu++) {
        if (VIR_CPU_USED(map, cpu))
            cpuset_add(&online, cpu);
    }
    free(map);
    *out = online;
    if (!caps->cpuset)
        return true;
    if (!cpuset_parse(caps->cpuset, out, err))
        return false;
    if (!cpuset_contains(&online, out)) {
        g_autofree char *text = cpuset_format(&online);

        return dv_fail(err, DV_E_BAD_CONFIG,
                       "[compute] cpu_shared_set %s: online CPUs of this host are %s", caps->cpuset,
                       text);
    }
    return true;
}

static uint64_t meminfo_kib(const char *text, const char *key)
{
    const char *line = text;

    while (line) {
        if (g_str_has_prefix(line, key))
            return g_ascii_strtoull(line + strlen(key), NULL, 10);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return 0;
}

/* nova counts what is neither free nor in the page cache as used, whoever uses it. */
static bool read_memory(virConnectPtr conn, HostFacts *facts, GError **err)
{
    g_autofree char *text = NULL;
    virNodeInfo info;
    uint64_t free_kib;

    if (virNodeGetInfo(conn, &info) < 0)
        return virt_conn_fail(err, "reading the host's memory");
    if (!dv_read_file("/proc/meminfo", 64 * 1024, &text, NULL, err))
        return false;
    free_kib = meminfo_kib(text, "MemFree:") + meminfo_kib(text, "Buffers:") +
               meminfo_kib(text, "Cached:");
    facts->memory_mib = (int64_t)(info.memory / KIB_PER_MIB);
    facts->memory_used_mib = facts->memory_mib - (int64_t)(free_kib / KIB_PER_MIB);
    return true;
}

/* What the disks of this host's guests may still grow by; others may share instances_path. */
static bool disk_growth(LibvirtDriver *driver, uint64_t *out, GError **err)
{
    g_autoptr(GPtrArray) guests = NULL;
    g_autoptr(GPtrArray) uuids = g_ptr_array_new();

    *out = 0;
    if (!driver->config->disks)
        return true;
    if (!guest_list(driver, &guests, err))
        return false;
    for (guint i = 0; i < guests->len; i++)
        g_ptr_array_add(uuids, ((VirtGuest *)g_ptr_array_index(guests, i))->uuid);
    g_ptr_array_add(uuids, NULL);
    return disks_overcommit_of(driver->config->disks, (const char *const *)uuids->pdata, out, err);
}

static bool read_disk(LibvirtDriver *driver, HostFacts *facts, GError **err)
{
    const VirtConfig *config = driver->config;
    struct statvfs fs;
    uint64_t overcommit = 0;

    if (statvfs(config->instances_path, &fs) < 0)
        return dv_fail_errno(err, errno, "reading the size of", config->instances_path);
    if (!disk_growth(driver, &overcommit, err))
        return false;
    facts->disk_gib = (int64_t)(fs.f_blocks * fs.f_frsize / GIB);
    facts->disk_used_gib = (int64_t)((fs.f_blocks - fs.f_bfree) * fs.f_frsize / GIB);
    facts->disk_available_least_gib = ((int64_t)(fs.f_bavail * fs.f_frsize) - (int64_t)overcommit) /
                                      (int64_t)GIB;
    return true;
}

/* --- all of it ------------------------------------------------------------------------------- */

static bool read_identity(virConnectPtr conn, HostFacts *facts, GError **err)
{
    unsigned long version = 0;
    const char *type = virConnectGetType(conn);
    char *hostname = virConnectGetHostname(conn);

    if (!hostname)
        return virt_conn_fail(err, "reading the host's name");
    facts->hypervisor_hostname = g_strdup(hostname);
    free(hostname);
    if (!type || virConnectGetVersion(conn, &version) < 0)
        return virt_conn_fail(err, "reading the hypervisor's version");
    facts->hypervisor_type = g_strdup(type);
    facts->hypervisor_version = (int64_t)version;
    return true;
}

/* The part that does not change while the connection lasts. */
static void add_capabilities(HostFacts *facts, const HostCaps *caps, const CpuSet *shared)
{
    HostFacts fixed = {
        .cpu_arch = caps->arch,
        .cpu_model = caps->cpu_model,
        .cpu_vendor = caps->cpu_vendor,
        .cpu_features = caps->features,
        .specs = caps->specs,
        .traits = caps->traits,
    };
    g_autofree HostFacts *copy = host_facts_copy(&fixed);

    facts->cpu_arch = copy->cpu_arch;
    facts->cpu_model = copy->cpu_model;
    facts->cpu_vendor = copy->cpu_vendor;
    facts->cpu_features = copy->cpu_features;
    facts->specs = copy->specs;
    facts->traits = copy->traits;
    facts->vcpus = cpuset_count(shared);
    facts->cpu_info = host_write_cpu_info(caps);
    facts->numa_topology = host_write_numa(caps, shared);
}

bool host_facts_read(void *self, HostFacts **out, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virConnectPtr) conn = NULL;
    g_autoptr(HostCaps) caps = NULL;
    g_autoptr(HostFacts) facts = g_new0(HostFacts, 1);
    CpuSet shared;

    caps = caps_get(driver, err);
    if (!caps || !virt_conn_get(driver->conn, &conn, NULL, err))
        return false;
    VIRT_CALL(driver->conn, "read host facts");
    if (!read_identity(conn, facts, err) || !read_shared_cpus(conn, caps, &shared, err) ||
        !read_memory(conn, facts, err) || !read_disk(driver, facts, err))
        return false;
    add_capabilities(facts, caps, &shared);
    facts->uptime = host_uptime();
    *out = g_steal_pointer(&facts);
    return true;
}
