/* Object versions and manifests as tables; see versions.h.
 *
 * A manifest is not stored: it is what a walk over `nested` reaches, which is how oslo makes it
 * (the declared classes of object fields; subclasses that may stand in for them are not part of
 * it). tests/interop/objects holds the first column against the installed nova. */
#include "objects/versions.h"

#include <jansson.h>
#include <string.h>

#define MAX_NESTED 17

typedef struct ReleaseRow {
    const char *name;       /* as options and docs write it */
    const char *aliases[4]; /* the other names, lower case */
    int service_version;
    const char *compute_rpc;
} ReleaseRow;

typedef struct ClassRow {
    const char *name;
    const char *version[NOVA_RELEASES];
    const char *nested[MAX_NESTED]; /* classes of its object fields, NULL-terminated */
} ClassRow;

/* 2023.2 and 2024.2 report the service version of the release before them, and their objects are
 * the same or a little newer: the older label is always understood. */
static const ReleaseRow releases[NOVA_RELEASES] = {
    /* clang-format off */
    [NOVA_ZED]    = {"zed",    {NULL},                              64, "6.1"},
    [NOVA_2023_1] = {"2023.1", {"antelope", "bobcat", "2023.2"},    66, "6.2"},
    [NOVA_2024_1] = {"2024.1", {"caracal", "dalmatian", "2024.2"},  67, "6.3"},
    [NOVA_2025_1] = {"2025.1", {"epoxy"},                           68, "6.4"},
    [NOVA_2025_2] = {"2025.2", {"flamingo"},                        70, "6.4"},
    [NOVA_2026_1] = {"2026.1", {"gazpacho"},                        72, "6.5"},
    /* clang-format on */
};

/* clang-format off */
#define ALL(v) {v, v, v, v, v, v}
static const ClassRow classes[] = { /* sorted by name; columns as NovaRelease */
    {"BlockDeviceMapping", ALL("1.21"), {"Instance"}},
    {"BlockDeviceMappingList", ALL("1.18"), {"BlockDeviceMapping"}},
    {"CellMapping", ALL("1.1"), {NULL}},
    {"ComputeNode", ALL("1.19"), {"HVSpec", "PciDevicePoolList"}},
    {"ComputeNodeList", ALL("1.17"), {"ComputeNode"}},
    {"ConsoleAuthToken", {"1.1", "1.1", "1.2", "1.3", "1.3", "1.3"}, {NULL}},
    {"CpuDiagnostics", ALL("1.0"), {NULL}},
    {"Destination", ALL("1.4"), {"CellMapping"}},
    {"DeviceBus", ALL("1.0"), {NULL}},
    {"DeviceMetadata", ALL("1.0"), {"DeviceBus"}},
    {"Diagnostics", ALL("1.0"),
     {"MemoryDiagnostics", "CpuDiagnostics", "NicDiagnostics", "DiskDiagnostics"}},
    {"DiskDiagnostics", ALL("1.0"), {NULL}},
    {"DiskMetadata", ALL("1.0"), {"DeviceBus"}},
    {"EC2Ids", ALL("1.0"), {NULL}},
    {"Flavor", ALL("1.2"), {NULL}},
    {"HVSpec", ALL("1.2"), {NULL}},
    {"IDEDeviceBus", ALL("1.0"), {NULL}},
    {"ImageMeta", ALL("1.8"), {"ImageMetaProps"}},
    {"ImageMetaProps", {"1.34", "1.34", "1.37", "1.39", "1.42", "1.42"}, {NULL}},
    {"Instance", {"2.7", "2.7", "2.8", "2.8", "2.8", "2.8"},
     {"ServiceList", "InstanceInfoCache", "SecurityGroupList", "InstanceFault",
      "PciDeviceList", "InstanceNUMATopology", "InstancePCIRequests",
      "InstanceDeviceMetadata", "TagList", "Flavor", "VirtCPUModel", "EC2Ids",
      "MigrationContext", "KeyPairList", "TrustedCerts", "ResourceList"}},
    {"InstanceAction", ALL("1.2"), {NULL}},
    {"InstanceActionEvent", ALL("1.4"), {NULL}},
    {"InstanceDeviceMetadata", ALL("1.0"), {"DeviceMetadata"}},
    {"InstanceExternalEvent", ALL("1.5"), {NULL}},
    {"InstanceFault", ALL("1.2"), {NULL}},
    {"InstanceGroup", ALL("1.11"), {NULL}},
    {"InstanceInfoCache", ALL("1.5"), {NULL}},
    {"InstanceList", ALL("2.6"), {"Instance"}},
    {"InstanceNUMACell", ALL("1.6"), {"VirtCPUTopology"}},
    {"InstanceNUMATopology", ALL("1.3"), {"InstanceNUMACell"}},
    {"InstancePCIRequest", ALL("1.4"), {NULL}},
    {"InstancePCIRequests", ALL("1.1"), {"InstancePCIRequest"}},
    {"KeyPair", ALL("1.4"), {NULL}},
    {"KeyPairList", ALL("1.3"), {"KeyPair"}},
    {"LibvirtLiveMigrateBDMInfo", ALL("1.1"), {NULL}},
    {"LibvirtLiveMigrateData", {"1.10", "1.10", "1.11", "1.13", "1.13", "1.14"},
     {"LibvirtLiveMigrateBDMInfo", "LibvirtLiveMigrateNUMAInfo", "Migration",
      "VIFMigrateData"}},
    {"LibvirtLiveMigrateNUMAInfo", ALL("1.0"), {NULL}},
    {"LibvirtVPMEMDevice", ALL("1.0"), {NULL}},
    {"MemoryDiagnostics", ALL("1.0"), {NULL}},
    {"Migration", {"1.7", "1.7", "1.8", "1.8", "1.8", "1.8"}, {NULL}},
    {"MigrationContext", ALL("1.2"),
     {"InstanceNUMATopology", "PciDeviceList", "InstancePCIRequests", "ResourceList"}},
    {"MigrationList", ALL("1.5"), {"Migration"}},
    {"NUMACell", ALL("1.5"), {"NUMAPagesTopology", "NetworkMetadata"}},
    {"NUMAPagesTopology", ALL("1.1"), {NULL}},
    {"NUMATopology", ALL("1.2"), {"NUMACell"}},
    {"NUMATopologyLimits", ALL("1.1"), {"NetworkMetadata"}},
    {"NetworkInterfaceMetadata", ALL("1.2"), {"DeviceBus"}},
    {"NetworkMetadata", ALL("1.0"), {NULL}},
    {"NetworkRequest", ALL("1.3"), {NULL}},
    {"NetworkRequestList", ALL("1.1"), {"NetworkRequest"}},
    {"NicDiagnostics", ALL("1.0"), {NULL}},
    {"PCIDeviceBus", ALL("1.0"), {NULL}},
    {"PciDevice", ALL("1.7"), {NULL}},
    {"PciDeviceList", ALL("1.3"), {"PciDevice"}},
    {"PciDevicePool", ALL("1.1"), {NULL}},
    {"PciDevicePoolList", ALL("1.1"), {"PciDevicePool"}},
    {"RequestGroup", ALL("1.3"), {NULL}},
    {"RequestLevelParams", ALL("1.1"), {NULL}},
    {"RequestSpec", ALL("1.14"),
     {"ImageMeta", "InstanceNUMATopology", "InstancePCIRequests", "Flavor", "Destination",
      "SchedulerRetries", "SchedulerLimits", "InstanceGroup", "SecurityGroupList",
      "NetworkMetadata", "RequestGroup", "RequestLevelParams", "NetworkRequestList"}},
    {"Resource", ALL("1.0"), {"ResourceMetadata"}},
    {"ResourceList", ALL("1.0"), {"Resource"}},
    {"ResourceMetadata", ALL("1.0"), {NULL}},
    {"SCSIDeviceBus", ALL("1.0"), {NULL}},
    {"SchedulerLimits", ALL("1.0"), {"NUMATopologyLimits"}},
    {"SchedulerRetries", ALL("1.1"), {"ComputeNodeList"}},
    {"SecurityGroup", ALL("1.2"), {NULL}},
    {"SecurityGroupList", ALL("1.1"), {"SecurityGroup"}},
    {"Selection", ALL("1.1"), {"SchedulerLimits"}},
    {"Service", ALL("1.22"), {"ComputeNode"}},
    {"ServiceList", ALL("1.19"), {"Service"}},
    {"Tag", ALL("1.1"), {NULL}},
    {"TagList", ALL("1.1"), {"Tag"}},
    {"TaskLog", ALL("1.0"), {NULL}},
    {"TrustedCerts", ALL("1.0"), {NULL}},
    {"USBDeviceBus", ALL("1.0"), {NULL}},
    {"VIFMigrateData", ALL("1.0"), {NULL}},
    {"VirtCPUFeature", ALL("1.0"), {NULL}},
    {"VirtCPUModel", ALL("1.0"), {"VirtCPUTopology", "VirtCPUFeature"}},
    {"VirtCPUTopology", ALL("1.0"), {NULL}},
    {"VirtualInterface", ALL("1.3"), {NULL}},
    {"VirtualInterfaceList", ALL("1.0"), {"VirtualInterface"}},
    {"VolumeUsage", ALL("1.0"), {NULL}},
    {"XenDeviceBus", ALL("1.0"), {NULL}},
};
#undef ALL
/* clang-format on */

/* ---- releases ---- */

bool nova_release_parse(const char *name, NovaRelease *out)
{
    for (int r = 0; name && r < NOVA_RELEASES; r++) {
        bool match = g_ascii_strcasecmp(name, releases[r].name) == 0;

        for (size_t i = 0; i < G_N_ELEMENTS(releases[r].aliases) && releases[r].aliases[i]; i++)
            match = match || g_ascii_strcasecmp(name, releases[r].aliases[i]) == 0;
        if (match) {
            *out = (NovaRelease)r;
            return true;
        }
    }
    return false;
}

NovaRelease nova_release_of_service_version(int service_version)
{
    int r = NOVA_RELEASES - 1;

    while (r > NOVA_ZED && releases[r].service_version > service_version)
        r--;
    return (NovaRelease)r;
}

const char *nova_release_name(NovaRelease release)
{
    return releases[release].name;
}

int nova_release_service_version(NovaRelease release)
{
    return releases[release].service_version;
}

const char *nova_release_compute_rpc(NovaRelease release)
{
    return releases[release].compute_rpc;
}

/* ---- classes ---- */

static int compare_class(const void *key, const void *row)
{
    return strcmp(key, ((const ClassRow *)row)->name);
}

static const ClassRow *class_find(const char *name)
{
    return bsearch(name, classes, G_N_ELEMENTS(classes), sizeof(classes[0]), compare_class);
}

const char *ovo_version_of(NovaRelease release, const char *name)
{
    const ClassRow *row = class_find(name);

    return row ? row->version[release] : NULL;
}

static void manifest_walk(NovaRelease release, const char *name, json_t *manifest)
{
    const ClassRow *row = class_find(name);

    if (!row || json_object_get(manifest, name))
        return;
    json_object_set_new(manifest, name, json_string(row->version[release]));
    for (size_t i = 0; i < MAX_NESTED && row->nested[i]; i++)
        manifest_walk(release, row->nested[i], manifest);
}

json_t *ovo_manifest(NovaRelease release, const char *name)
{
    json_t *manifest;

    if (!class_find(name))
        return NULL;
    manifest = json_object();
    manifest_walk(release, name, manifest);
    return manifest;
}
