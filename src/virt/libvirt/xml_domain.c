/* The domain element and everything in it but <devices>; see xml_domain.h. */
#include "virt/libvirt/xml_domain.h"

#include <time.h>

#define KIB_PER_MIB 1024

/* Every guest of a cloud tells its image that it runs on OpenStack: cloud-init looks for these. */
#define SMBIOS_MANUFACTURER "OpenStack Foundation"
#define SMBIOS_PRODUCT "OpenStack Nova"
#define SMBIOS_FAMILY "Virtual Machine"
#define KERNEL_CONSOLES "console=tty0 console=ttyS0 console=hvc0"

static bool is_x86(const XmlHost *host)
{
    return g_strcmp0(host->arch, "x86_64") == 0 || g_strcmp0(host->arch, "i686") == 0;
}

static bool is_windows(const GuestSpec *spec)
{
    return g_strcmp0(spec->os_type, "windows") == 0;
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

/* --- <sysinfo>, <os>, <features>, <clock>, <cpu> --------------------------------------------- */

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

static const char *machine_type(const GuestSpec *spec, const VirtConfig *config,
                                const XmlHost *host)
{
    size_t arch_length = strlen(host->arch);

    if (spec->machine_type)
        return spec->machine_type;
    for (const char *const *item = config->hw_machine_type; item && *item; item++) {
        if (g_str_has_prefix(*item, host->arch) && (*item)[arch_length] == '=')
            return *item + arch_length + 1;
    }
    if (g_str_equal(host->arch, "aarch64"))
        return "virt";
    return is_x86(host) ? "pc" : NULL;
}

static int compare_boot_order(gconstpointer a, gconstpointer b)
{
    const DiskSpec *left = *(const DiskSpec *const *)a;
    const DiskSpec *right = *(const DiskSpec *const *)b;

    return left->boot_order - right->boot_order;
}

/* nova names the classes of bootable devices, each once, in the order of their boot index. */
static void add_boot_devices(xmlNode *os, const GuestSpec *spec)
{
    g_autoptr(GPtrArray) bootable = g_ptr_array_new();
    bool disk_named = false;
    bool cdrom_named = false;

    for (guint i = 0; i < spec->disks->len; i++) {
        DiskSpec *disk = g_ptr_array_index(spec->disks, i);

        if (disk->boot_order > 0)
            g_ptr_array_add(bootable, disk);
    }
    if (bootable->len == 0 && guest_spec_disk(spec, DISK_ROLE_ROOT))
        g_ptr_array_add(bootable, (gpointer)guest_spec_disk(spec, DISK_ROLE_ROOT));
    g_ptr_array_sort(bootable, compare_boot_order);
    for (guint i = 0; i < bootable->len; i++) {
        const DiskSpec *disk = g_ptr_array_index(bootable, i);
        bool cdrom = g_strcmp0(disk->device, "cdrom") == 0;
        bool *named = cdrom ? &cdrom_named : &disk_named;

        if (!*named)
            xml_attr(xml_add(os, "boot"), "dev", cdrom ? "cdrom" : "hd");
        *named = true;
    }
}

static void add_kernel(xmlNode *os, const GuestSpec *spec, const VirtConfig *config)
{
    const DiskSpec *root = guest_spec_disk(spec, DISK_ROLE_ROOT);

    xml_add_text(os, "kernel", spec->kernel_path);
    xml_add_text(os, "initrd", spec->ramdisk_path);
    if (spec->kernel_cmdline) {
        xml_add_text(os, "cmdline", spec->kernel_cmdline);
    } else {
        g_autofree char *cmdline = g_strdup_printf(
            "root=/dev/%s %s%s", root && root->target ? root->target : "vda", KERNEL_CONSOLES,
            g_str_equal(config->virt_type, "qemu") ? " no_timer_check" : "");

        xml_add_text(os, "cmdline", cmdline);
    }
}

static void add_os(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                   const XmlHost *host)
{
    xmlNode *os = xml_add(domain, "os");
    xmlNode *type = xml_add_text(os, "type", "hvm");

    xml_attr(type, "arch", host->arch);
    xml_attr(type, "machine", machine_type(spec, config, host));
    if (spec->kernel_path)
        add_kernel(os, spec, config);
    else
        add_boot_devices(os, spec);
    if (is_x86(host))
        xml_attr(xml_add(os, "smbios"), "mode", "sysinfo");
}

static void add_hyperv(xmlNode *features)
{
    static const char *const names[] = {"relaxed",  "vapic", "vpindex",     "runtime",
                                        "synic",    "reset", "frequencies", "reenlightenment",
                                        "tlbflush", "ipi",   "evmcs"};
    xmlNode *hyperv = xml_add(features, "hyperv");
    xmlNode *spinlocks;

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        xml_attr(xml_add(hyperv, names[i]), "state", "on");
    spinlocks = xml_add(hyperv, "spinlocks");
    xml_attr(spinlocks, "state", "on");
    xml_attr_u64(spinlocks, "retries", 8191);
}

static void add_features(xmlNode *domain, const GuestSpec *spec, const XmlHost *host)
{
    xmlNode *features = xml_add(domain, "features");

    xml_add(features, "acpi");
    xml_add(features, "apic");
    if (is_windows(spec))
        add_hyperv(features);
    if (is_x86(host) || g_str_equal(host->arch, "aarch64"))
        xml_add(features, "vmcoreinfo");
}

static void add_timer(xmlNode *clock, const char *name, const char *attribute, const char *value)
{
    xmlNode *timer = xml_add(clock, "timer");

    xml_attr(timer, "name", name);
    xml_attr(timer, attribute, value);
}

static void add_clock(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                      const XmlHost *host)
{
    xmlNode *clock = xml_add(domain, "clock");

    xml_attr(clock, "offset", is_windows(spec) ? "localtime" : "utc");
    if (!g_str_equal(config->virt_type, "kvm"))
        return;
    add_timer(clock, "pit", "tickpolicy", "delay");
    add_timer(clock, "rtc", "tickpolicy", "catchup");
    if (is_x86(host))
        add_timer(clock, "hpet", "present", "no");
    if (is_windows(spec))
        add_timer(clock, "hypervclock", "present", "yes");
}

static void add_cpu_flags(xmlNode *cpu, const VirtConfig *config)
{
    for (const char *const *item = config->cpu_model_extra_flags; item && *item; item++) {
        const char *name = **item == '+' || **item == '-' ? *item + 1 : *item;
        g_autofree char *lower = g_ascii_strdown(name, -1);
        xmlNode *feature = xml_add(cpu, "feature");

        xml_attr(feature, "name", lower);
        xml_attr(feature, "policy", **item == '-' ? "disable" : "require");
    }
}

static void add_cpu(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                    const XmlHost *host)
{
    const char *mode = config->cpu_mode;
    xmlNode *cpu = xml_add(domain, "cpu");
    xmlNode *topology;

    if (!mode)
        mode = g_str_equal(host->arch, "aarch64") ? "host-passthrough" : "host-model";
    if (!g_str_equal(mode, "none")) {
        xml_attr(cpu, "mode", mode);
        if (g_str_equal(mode, "custom"))
            xml_add_text(cpu, "model", host->cpu_model);
    }
    xml_attr(cpu, "match", "exact");
    topology = xml_add(cpu, "topology");
    xml_attr_u64(topology, "sockets", spec->cpu_sockets ? spec->cpu_sockets : spec->vcpus);
    xml_attr_u64(topology, "cores", spec->cpu_cores ? spec->cpu_cores : 1);
    xml_attr_u64(topology, "threads", spec->cpu_threads ? spec->cpu_threads : 1);
    if (!g_str_equal(mode, "none"))
        add_cpu_flags(cpu, config);
}

static void add_resources(xmlNode *domain, const GuestSpec *spec, const XmlHost *host)
{
    xmlNode *vcpu;

    xml_add_u64(domain, "memory", spec->memory_mib * KIB_PER_MIB);
    vcpu = xml_add_u64(domain, "vcpu", spec->vcpus);
    xml_attr(vcpu, "cpuset", host->cpuset);
}

static bool check_spec(const GuestSpec *spec, GError **err)
{
    if (!spec->uuid || !spec->name || !spec->console_log_path)
        return dv_fail(err, DV_E_BAD_INPUT, "guest without uuid, name or console log");
    if (spec->memory_mib == 0 || spec->memory_mib > UINT64_MAX / KIB_PER_MIB || spec->vcpus == 0)
        return dv_fail(err, DV_E_BAD_INPUT, "guest %s without memory or CPUs", spec->uuid);
    return true;
}

bool xml_domain_write(const GuestSpec *spec, const VirtConfig *config, const XmlHost *host,
                      char **out, GError **err)
{
    g_autoptr(xmlDoc) doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNode *domain = xmlNewNode(NULL, BAD_CAST "domain");
    xmlChar *text = NULL;
    int length = 0;

    xmlDocSetRootElement(doc, domain);
    if (!check_spec(spec, err))
        return false;
    xml_attr(domain, "type", config->virt_type);
    xml_add_text(domain, "uuid", spec->uuid);
    xml_add_text(domain, "name", spec->name);
    add_resources(domain, spec, host);
    add_metadata(domain, spec, config);
    if (is_x86(host))
        add_sysinfo(domain, spec, config, host);
    add_os(domain, spec, config, host);
    add_features(domain, spec, host);
    if (spec->cpu_shares > 0)
        xml_add_u64(xml_add(domain, "cputune"), "shares", spec->cpu_shares);
    add_clock(domain, spec, config, host);
    add_cpu(domain, spec, config, host);
    if (!xml_devices_add(domain, spec, config, host, err))
        return false;
    xmlDocDumpFormatMemoryEnc(doc, &text, &length, "UTF-8", 1);
    *out = g_strdup((const char *)text);
    xmlFree(text);
    return true;
}
