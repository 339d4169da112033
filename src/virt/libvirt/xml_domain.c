/* The domain element: who the guest is, and its parts in their order; see xml_domain.h. */
#include "virt/libvirt/xml_domain.h"

#include <time.h>

#define KIB_PER_MIB 1024

/* Every guest of a cloud tells its image that it runs on OpenStack: cloud-init looks for these. */
#define SMBIOS_MANUFACTURER "OpenStack Foundation"
#define SMBIOS_PRODUCT "OpenStack Nova"
#define SMBIOS_FAMILY "Virtual Machine"

bool xml_is_x86(const char *arch)
{
    return g_strcmp0(arch, "x86_64") == 0 || g_strcmp0(arch, "i686") == 0;
}

const char *xml_arch(const GuestSpec *spec, const XmlHost *host)
{
    return spec->arch ? spec->arch : host->arch;
}

/* A guest of another architecture than the host's is always emulated. */
static const char *domain_type(const GuestSpec *spec, const VirtConfig *config, const XmlHost *host)
{
    return g_str_equal(xml_arch(spec, host), host->arch) ? config->virt_type : "qemu";
}

/* --- <metadata> ----------------------------------------------------------------------------- */

void xml_port_add(xmlNode *ports, const NicSpec *nic)
{
    xmlNode *port = xml_add(ports, "port");

    xml_attr(port, "uuid", nic->port_id);
    for (unsigned a = 0; a < nic->address_count; a++) {
        xmlNode *ip = xml_add(port, "ip");

        xml_attr(ip, "type", "fixed");
        xml_attr(ip, "address", nic->addresses[a]);
        xml_attr_u64(ip, "ipVersion", (uint64_t)nic->address_versions[a]);
    }
}

static void add_ports(xmlNode *instance, const GuestSpec *spec)
{
    xmlNode *ports = xml_add(instance, "ports");

    for (guint i = 0; i < spec->nics->len; i++)
        xml_port_add(ports, g_ptr_array_index(spec->nics, i));
}

static void add_flavor(xmlNode *instance, const GuestSpec *spec)
{
    xmlNode *flavor = xml_add(instance, "flavor");

    xml_attr(flavor, "name", spec->flavor_name);
    xml_add_u64(flavor, "memory", (uint64_t)spec->flavor_memory_mib);
    xml_add_u64(flavor, "disk", (uint64_t)spec->flavor_disk_gib);
    xml_add_u64(flavor, "swap", (uint64_t)spec->flavor_swap_mib);
    xml_add_u64(flavor, "ephemeral", (uint64_t)spec->flavor_ephemeral_gib);
    xml_add_u64(flavor, "vcpus", (uint64_t)spec->flavor_vcpus);
}

static void add_owner(xmlNode *instance, const GuestSpec *spec)
{
    xmlNode *owner = xml_add(instance, "owner");
    xmlNode *user = xml_add_text(owner, "user", spec->user_name ? spec->user_name : "N/A");
    xmlNode *project;

    xml_attr(user, "uuid", spec->user_id);
    project = xml_add_text(owner, "project", spec->project_name ? spec->project_name : "N/A");
    xml_attr(project, "uuid", spec->project_id);
}

static const char *package_version(const GuestSpec *spec, const VirtConfig *config)
{
    return spec->package_version ? spec->package_version : config->package_version;
}

static void add_creation_time(xmlNode *instance, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char text[32] = "";

    gmtime_r(&seconds, &utc);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &utc);
    xml_add_text(instance, "creationTime", text);
}

static void set_namespace(xmlNode *node, xmlNs *ns)
{
    xmlSetNs(node, ns);
    for (xmlNode *child = node->children; child; child = child->next) {
        if (child->type == XML_ELEMENT_NODE)
            set_namespace(child, ns);
    }
}

static void add_metadata(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config)
{
    xmlNode *instance = xml_add(xml_add(domain, "metadata"), "instance");

    xml_attr(xml_add(instance, "package"), "version", package_version(spec, config));
    xml_add_text(instance, "name", spec->title);
    add_creation_time(instance, spec->creation_wall_ms);
    add_flavor(instance, spec);
    add_owner(instance, spec);
    if (spec->image_ref && *spec->image_ref) {
        xmlNode *root = xml_add(instance, "root");

        xml_attr(root, "type", "image");
        xml_attr(root, "uuid", spec->image_ref);
    }
    add_ports(instance, spec);
    set_namespace(instance, xmlNewNs(instance, BAD_CAST XML_NOVA_NS, BAD_CAST "nova"));
}

/* --- <sysinfo>, <memory>, <vcpu> ------------------------------------------------------------- */

static const char *smbios_serial(const GuestSpec *spec, const VirtConfig *config,
                                 const XmlHost *host)
{
    const char *choice = config->sysinfo_serial ? config->sysinfo_serial : "unique";

    if (g_str_equal(choice, "none"))
        return NULL;
    if (g_str_equal(choice, "hardware"))
        return host->host_uuid;
    if (g_str_equal(choice, "os"))
        return host->machine_id;
    if (g_str_equal(choice, "auto"))
        return host->machine_id ? host->machine_id : host->host_uuid;
    return spec->uuid;
}

static void add_smbios_entry(xmlNode *system, const char *name, const char *value)
{
    xmlNode *entry = xml_add_text(system, "entry", value);

    if (entry)
        xml_attr(entry, "name", name);
}

static void add_sysinfo(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                        const XmlHost *host)
{
    xmlNode *sysinfo = xml_add(domain, "sysinfo");
    xmlNode *system;

    xml_attr(sysinfo, "type", "smbios");
    system = xml_add(sysinfo, "system");
    add_smbios_entry(system, "manufacturer", SMBIOS_MANUFACTURER);
    add_smbios_entry(system, "product", SMBIOS_PRODUCT);
    add_smbios_entry(system, "version", package_version(spec, config));
    add_smbios_entry(system, "serial", smbios_serial(spec, config, host));
    add_smbios_entry(system, "uuid", spec->uuid);
    add_smbios_entry(system, "family", SMBIOS_FAMILY);
}

static void add_resources(xmlNode *domain, const GuestSpec *spec, const XmlHost *host)
{
    xmlNode *vcpu;

    xml_add_u64(domain, "memory", spec->memory_mib * KIB_PER_MIB);
    vcpu = xml_add_u64(domain, "vcpu", spec->vcpus);
    xml_attr(vcpu, "cpuset", host->cpuset);
}

/* Events that libvirt does not know, or the kernel no longer has (cmt, mbml, mbmt), are left out,
 * as nova does. */
static void add_perf_events(xmlNode *domain, const VirtConfig *config)
{
    static const char *const known[] = {"cpu_cycles",
                                        "instructions",
                                        "cache_references",
                                        "cache_misses",
                                        "branch_instructions",
                                        "branch_misses",
                                        "bus_cycles",
                                        "stalled_cycles_frontend",
                                        "stalled_cycles_backend",
                                        "ref_cpu_cycles",
                                        "cpu_clock",
                                        "task_clock",
                                        "page_faults",
                                        "context_switches",
                                        "cpu_migrations",
                                        "page_faults_min",
                                        "page_faults_maj",
                                        "alignment_faults",
                                        "emulation_faults",
                                        NULL};
    xmlNode *perf = NULL;

    for (const char *const *name = config->perf_events; name && *name; name++) {
        xmlNode *event;

        if (!g_strv_contains(known, *name))
            continue;
        perf = perf ? perf : xml_add(domain, "perf");
        event = xml_add(perf, "event");
        xml_attr(event, "name", *name);
        xml_attr(event, "enabled", "yes");
    }
}

static bool check_spec(const GuestSpec *spec, const XmlHost *host, GError **err)
{
    const char *arch = xml_arch(spec, host);

    if (!spec->uuid || !spec->name || !spec->console_log_path)
        return dv_fail(err, DV_E_BAD_INPUT, "guest without uuid, name or console log");
    if (spec->memory_mib == 0 || spec->memory_mib > UINT64_MAX / KIB_PER_MIB || spec->vcpus == 0)
        return dv_fail(err, DV_E_BAD_INPUT, "guest %s without memory or CPUs", spec->uuid);
    if (!g_str_equal(arch, host->arch) && !(xml_is_x86(arch) && xml_is_x86(host->arch)))
        return dv_fail(err, DV_E_UNSUPPORTED, "architecture %s is not supported by this host",
                       arch);
    return true;
}

bool xml_domain_write(const GuestSpec *spec, const VirtConfig *config, const XmlHost *host,
                      char **out, GError **err)
{
    xmlNode *domain = NULL;
    g_autoptr(xmlDoc) doc = xml_new("domain", &domain);
    xmlChar *text = NULL;
    int length = 0;
    bool smm = false;

    if (!check_spec(spec, host, err))
        return false;
    xml_attr(domain, "type", domain_type(spec, config, host));
    xml_add_text(domain, "uuid", spec->uuid);
    xml_add_text(domain, "name", spec->name);
    add_resources(domain, spec, host);
    add_metadata(domain, spec, config);
    if (xml_is_x86(xml_arch(spec, host)))
        add_sysinfo(domain, spec, config, host);
    if (!xml_os_add(domain, spec, config, host, &smm, err))
        return false;
    xml_features_add(domain, spec, config, host, smm);
    xml_cputune_add(domain, spec);
    xml_clock_add(domain, spec, config, host);
    if (!xml_cpu_add(domain, spec, config, host, err) ||
        !xml_devices_add(domain, spec, config, host, err))
        return false;
    add_perf_events(domain, config);
    xmlDocDumpFormatMemoryEnc(doc, &text, &length, "UTF-8", 1);
    *out = g_strdup((const char *)text);
    xmlFree(text);
    return true;
}
