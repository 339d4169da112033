/* A guest's description as its destination needs it, and whether a CPU can run here.
 *
 * The description starts from libvirt's migratable one, so that what the guest sees stays as it is;
 * only what belongs to a host is replaced. It serves as the running and the defined guest's at the
 * destination: were they to differ, a reboot there would use devices of the old host.
 * Sources    nova virt/libvirt/migration.py get_updated_guest_xml, driver.py _compare_cpu (Zed);
 *            later releases for the CPU set; CVE-2020-17376. */
#include "virt/libvirt/libvirt_priv.h"

#include "util/log.h"
#include "virt/libvirt/caps.h"

#include <libvirt/virterror.h>

/* ---- nodes ---- */

typedef bool (*EachFn)(xmlNode *node, void *arg, GError **err);

static bool for_each(xmlDoc *doc, const char *xpath, EachFn fn, void *arg, GError **err)
{
    g_autoptr(xmlXPathContext) context = xmlXPathNewContext(doc);
    g_autoptr(xmlXPathObject) found = context ? xmlXPathEvalExpression(BAD_CAST xpath, context)
                                              : NULL;

    for (int i = 0; found && found->nodesetval && i < found->nodesetval->nodeNr; i++) {
        if (!fn(found->nodesetval->nodeTab[i], arg, err))
            return false;
    }
    return true;
}

static char *attribute(xmlNode *node, const char *name)
{
    xmlChar *text = node ? xmlGetNoNsProp(node, BAD_CAST name) : NULL;
    char *out = g_strdup((const char *)text);

    xmlFree(text);
    return out;
}

static void replace_attribute(xmlNode *node, const char *name, const char *value)
{
    xmlUnsetProp(node, BAD_CAST name);
    xml_attr(node, name, value);
}

static void remove_node(xmlNode *node)
{
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

static void remove_child(xmlNode *parent, const char *name)
{
    xmlNode *node = xml_child(parent, name);

    if (node)
        remove_node(node);
}

/* ---- consoles ---- */

static bool set_listen(xmlNode *graphics, void *arg, GError **err G_GNUC_UNUSED)
{
    const char *address = arg;
    g_autofree char *listen = attribute(graphics, "listen");
    xmlNode *element = xml_child(graphics, "listen");

    if (element)
        replace_attribute(element, "address", address);
    if (listen)
        replace_attribute(graphics, "listen", address);
    return true;
}

static void set_graphics(xmlDoc *doc, const VirtDestination *destination)
{
    if (destination->vnc_listen)
        for_each(doc, "/domain/devices/graphics[@type='vnc']", set_listen,
                 (void *)destination->vnc_listen, NULL);
    if (destination->spice_listen)
        for_each(doc, "/domain/devices/graphics[@type='spice']", set_listen,
                 (void *)destination->spice_listen, NULL);
}

static bool set_serial(xmlNode *source, void *arg, GError **err G_GNUC_UNUSED)
{
    const VirtDestination *destination = arg;
    xmlNode *target = xml_child(source->parent, "target");
    g_autofree char *host = attribute(source, "host");
    g_autofree char *service = attribute(source, "service");
    g_autofree char *port = attribute(target, "port");
    guint64 index = 0;

    if (host)
        replace_attribute(source, "host", destination->serial_listen);
    if (service && port && g_ascii_string_to_unsigned(port, 10, 0, INT_MAX, &index, NULL) &&
        index < destination->serial_port_count) {
        g_autofree char *number = g_strdup_printf("%d", destination->serial_ports[index]);

        replace_attribute(source, "service", number);
    }
    return true;
}

static void set_serials(xmlDoc *doc, const VirtDestination *destination)
{
    if (!destination->serial_listen)
        return;
    for_each(doc, "/domain/devices/serial[@type='tcp']/source", set_serial, (void *)destination,
             NULL);
    for_each(doc, "/domain/devices/console[@type='tcp']/source", set_serial, (void *)destination,
             NULL);
}

/* ---- ports ---- */

typedef struct Ports {
    const GPtrArray *nics;
    const VirtConfig *config;
} Ports;

/* By MAC, and by the tap device where several networks have the same MAC. */
static const NicSpec *nic_of(const GPtrArray *nics, const char *mac, const char *device)
{
    const NicSpec *found = NULL;

    for (guint i = 0; mac && i < nics->len; i++) {
        const NicSpec *nic = g_ptr_array_index(nics, i);

        if (!nic->mac || g_ascii_strcasecmp(nic->mac, mac) != 0)
            continue;
        if (!found || g_strcmp0(nic->devname, device) == 0)
            found = nic;
    }
    return found;
}

/* What the guest sees of the device stays: its address, and whether it is told an MTU. */
static void replace_interface(xmlNode *interface, xmlNode *with)
{
    xmlNode *address = xml_child(interface, "address");
    bool has_mtu = xml_child(interface, "mtu");

    if (address)
        xmlUnlinkNode(address);
    while (interface->children)
        remove_node(interface->children);
    while (interface->properties)
        xmlRemoveProp(interface->properties);
    for (const xmlAttr *at = with->properties; at; at = at->next) {
        g_autofree char *value = attribute(with, (const char *)at->name);

        xml_attr(interface, (const char *)at->name, value);
    }
    for (xmlNode *node = xmlFirstElementChild(with); node; node = xmlNextElementSibling(node)) {
        if (has_mtu || !g_str_equal((const char *)node->name, "mtu"))
            xmlAddChild(interface, xmlDocCopyNode(node, interface->doc, 1));
    }
    if (address)
        xmlAddChild(interface, address);
}

static bool set_interface(xmlNode *interface, void *arg, GError **err)
{
    const Ports *ports = arg;
    g_autofree char *mac = attribute(xml_child(interface, "mac"), "address");
    g_autofree char *device = attribute(xml_child(interface, "target"), "dev");
    const NicSpec *nic = nic_of(ports->nics, mac, device);
    g_autofree char *text = NULL;
    g_autoptr(xmlDoc) doc = NULL;

    if (!nic)
        return dv_fail(err, DV_E_MIGRATION_PRECHECK,
                       "the guest's port with MAC %s is not among those bound to the destination",
                       mac ? mac : "(none)");
    if (!xml_nic_write(nic, ports->config, &text, err))
        return false;
    doc = xml_parse(text, "a port", err);
    if (!doc)
        return false;
    replace_interface(interface, xmlDocGetRootElement(doc));
    return true;
}

/* ---- what the host gives ---- */

static void set_perf(xmlNode *domain, const VirtDestination *destination)
{
    xmlNode *perf = xml_child(domain, "perf");

    while (perf && perf->children)
        remove_node(perf->children);
    if (!destination->perf_events || !destination->perf_events[0])
        return;
    if (!perf)
        perf = xml_add(domain, "perf");
    for (const char *const *name = destination->perf_events; *name; name++) {
        xmlNode *event = xml_add(perf, "event");

        xml_attr(event, "name", *name);
        xml_attr(event, "enabled", "yes");
    }
}

static void set_memory_backing(xmlNode *domain, const VirtDestination *destination)
{
    static const char *const of_files[] = {"access", "source", "allocation", "discard"};
    xmlNode *backing = xml_child(domain, "memoryBacking");

    for (size_t i = 0; i < G_N_ELEMENTS(of_files); i++)
        remove_child(backing, of_files[i]);
    if (!destination->file_backed_memory)
        return;
    if (!backing)
        backing = xml_add(domain, "memoryBacking");
    xml_attr(xml_add(backing, "source"), "type", "file");
    xml_attr(xml_add(backing, "access"), "mode", "shared");
    xml_attr(xml_add(backing, "allocation"), "mode", "immediate");
    xml_add(backing, "discard");
}

static void set_cpus(xmlNode *domain, const VirtDestination *destination)
{
    xmlNode *tune = xml_child(domain, "cputune");
    xmlNode *vcpu = xml_child(domain, "vcpu");

    if (!destination->keep_cpu_shares)
        remove_child(tune, "shares");
    if (tune && !xmlFirstElementChild(tune))
        remove_node(tune);
    if (!vcpu || !destination->cpuset)
        return;
    xmlUnsetProp(vcpu, BAD_CAST "cpuset");
    if (*destination->cpuset)
        xml_attr(vcpu, "cpuset", destination->cpuset);
}

bool migrate_xml_rewrite(const char *xml, const VirtConfig *config,
                         const VirtDestination *destination, char **out, GError **err)
{
    g_autoptr(xmlDoc) doc = xml_parse(xml, "the guest's description", err);
    Ports ports = {destination->nics, config};
    xmlNode *domain;

    if (!doc)
        return false;
    domain = xmlDocGetRootElement(doc);
    set_graphics(doc, destination);
    set_serials(doc, destination);
    if (ports.nics && !for_each(doc, "/domain/devices/interface", set_interface, &ports, err))
        return false;
    set_perf(domain, destination);
    set_memory_backing(domain, destination);
    set_cpus(domain, destination);
    *out = xml_text(doc);
    return true;
}

bool guest_migration_xml(void *self, const char *uuid, const VirtDestination *destination,
                         char **out, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;
    g_autofree char *xml = NULL;
    char *text;

    if (!guest_find(driver, uuid, &domain, err))
        return false;
    {
        VIRT_CALL(driver->conn, "read XML");
        text = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_MIGRATABLE);
    }
    if (!text)
        return virt_conn_last_code() == VIR_ERR_NO_DOMAIN
                   ? dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is gone", uuid)
                   : virt_conn_fail(err, "reading the guest's XML");
    xml = g_strdup(text);
    free(text);
    return migrate_xml_rewrite(xml, driver->config, destination, out, err);
}

/* ---- CPUs ---- */

#define CPU_TEXT                                                                \
    "Unacceptable CPU info: CPU doesn't have compatibility.\n\n%s\n\nRefer to " \
    "http://libvirt.org/html/libvirt-libvirt-host.html#virCPUCompareResult"

/* Only real CPUs can be unfit: emulated ones run anywhere. Hosts of architectures whose CPUs
 * libvirt cannot compare take any, as with nova. */
bool guest_compare_cpu(void *self, const DvCtx *ctx, const VirtCpu *cpu, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virConnectPtr) conn = NULL;
    g_autoptr(HostCaps) caps = NULL;
    g_autofree char *xml = NULL;
    g_autofree char *answer = NULL;
    int result;

    if (!g_str_equal(driver->config->virt_type, "kvm"))
        return true;
    caps = caps_get(driver, err);
    if (!caps || !virt_conn_get(driver->conn, &conn, NULL, err))
        return false;
    if (g_strcmp0(caps->arch, "aarch64") == 0)
        return true;
    xml = xml_cpu_text(cpu);
    dv_debug(ctx, "comparing CPU: %s", xml);
    VIRT_CALL(driver->conn, "compare CPU");
    result = virConnectCompareCPU(conn, xml, 0);
    if (result == VIR_CPU_COMPARE_IDENTICAL || result == VIR_CPU_COMPARE_SUPERSET)
        return true;
    if (result == VIR_CPU_COMPARE_ERROR) {
        const virError *error = virGetLastError();

        if (virt_conn_last_code() == VIR_ERR_NO_SUPPORT)
            return true;
        if (!virt_conn_alive(driver->conn))
            return virt_conn_fail(err, "comparing CPUs");
        return dv_fail(err, DV_E_CPU_MODEL, CPU_TEXT,
                       error && error->message ? error->message : "?");
    }
    answer = g_strdup_printf("%d", result);
    return dv_fail(err, DV_E_CPU_MODEL, CPU_TEXT, answer);
}
