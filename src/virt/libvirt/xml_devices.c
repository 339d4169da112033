/* The <devices> of a domain: disks, interfaces, consoles and what every guest gets.
 *
 * The interface element depends on the VIF type; that table is here, the plugging on the host is in
 * virt/vif. Order and attributes are nova's. */
#include "virt/libvirt/xml_domain.h"

#include "virt/vif/vif.h"

/* --- disks ----------------------------------------------------------------------------------- */

static const char *format_name(DiskFormat format)
{
    return format == DISK_FORMAT_QCOW2 ? "qcow2" : "raw";
}

/* The chain as far as we made it, ended explicitly: nothing may be probed. */
static void add_backing_chain(xmlNode *disk_node, const DiskSpec *disk)
{
    xmlNode *backing = xml_add(disk_node, "backingStore");

    if (!disk->backing_path)
        return;
    xml_attr(backing, "type", "file");
    xml_attr(xml_add(backing, "format"), "type", format_name(disk->backing_format));
    xml_attr(xml_add(backing, "source"), "file", disk->backing_path);
    xml_add(backing, "backingStore");
}

/* "file=writeback" of [libvirt] disk_cachemodes wins over everything. */
static const char *cache_mode(const DiskSpec *disk, const VirtConfig *config, const XmlHost *host)
{
    for (const char *const *item = config->disk_cachemodes; item && *item; item++) {
        if (g_str_has_prefix(*item, "file="))
            return *item + strlen("file=");
    }
    return disk->cache ? disk->cache : host->cache_mode;
}

static bool add_disk(xmlNode *devices, const DiskSpec *disk, const VirtConfig *config,
                     const XmlHost *host, GError **err)
{
    xmlNode *node;
    xmlNode *part;

    if (!disk->path || disk->path[0] != '/' || !disk->target || !disk->bus)
        return dv_fail(err, DV_E_BAD_INPUT, "disk %s without absolute path, target or bus",
                       disk->target ? disk->target : "?");
    node = xml_add(devices, "disk");
    xml_attr(node, "type", "file");
    xml_attr(node, "device", disk->device ? disk->device : "disk");
    part = xml_add(node, "driver");
    xml_attr(part, "name", "qemu");
    xml_attr(part, "type", format_name(disk->format));
    xml_attr(part, "cache", cache_mode(disk, config, host));
    xml_attr(xml_add(node, "source"), "file", disk->path);
    add_backing_chain(node, disk);
    part = xml_add(node, "target");
    xml_attr(part, "dev", disk->target);
    xml_attr(part, "bus", disk->bus);
    xml_add_text(node, "serial", disk->serial);
    if (disk->readonly)
        xml_add(node, "readonly");
    return true;
}

/* --- interfaces ------------------------------------------------------------------------------ */

static void add_tap(xmlNode *node, const NicSpec *nic)
{
    if (nic->mtu > 0)
        xml_attr_u64(xml_add(node, "mtu"), "size", (uint64_t)nic->mtu);
    xml_attr(xml_add(node, "target"), "dev", nic->devname);
}

static void add_tap_in_bridge(xmlNode *node, const NicSpec *nic, const char *bridge)
{
    xml_attr(node, "type", "bridge");
    xml_attr(xml_add(node, "source"), "bridge", bridge);
    add_tap(node, nic);
}

static void add_bridge_backend(xmlNode *node, const NicSpec *nic)
{
    add_tap_in_bridge(node, nic, nic->bridge);
}

/* Three ways, see virt/vif/ovs.c: in a kernel bridge of the port's own, a tap that is an OVS port
 * already, or a port that libvirt adds. */
static void add_ovs_backend(xmlNode *node, const NicSpec *nic)
{
    xmlNode *port;

    if (nic->ovs_hybrid) {
        g_autofree char *bridge = vif_ovs_hybrid_bridge(nic);

        add_tap_in_bridge(node, nic, bridge);
        return;
    }
    if (nic->ovs_create) {
        xml_attr(node, "type", "ethernet");
        add_tap(node, nic);
        return;
    }
    add_tap_in_bridge(node, nic, nic->bridge);
    port = xml_add(node, "virtualport");
    xml_attr(port, "type", "openvswitch");
    xml_attr(xml_add(port, "parameters"), "interfaceid",
             nic->ovs_interfaceid ? nic->ovs_interfaceid : nic->port_id);
}

static const struct {
    const char *vif_type;
    void (*add)(xmlNode *node, const NicSpec *nic);
} backends[] = {
    {"bridge", add_bridge_backend},
    {"ovs", add_ovs_backend},
};

/* libvirt would choose vhost, which TCG guests must not have. */
static void add_nic_driver(xmlNode *node, const NicSpec *nic, const VirtConfig *config)
{
    if (g_strcmp0(nic->model, "virtio") != 0)
        return;
    if (g_str_equal(config->virt_type, "qemu")) {
        xml_attr(xml_add(node, "driver"), "name", "qemu");
    } else if (config->rx_queue_size > 0) {
        xmlNode *driver = xml_add(node, "driver");

        xml_attr(driver, "name", "vhost");
        xml_attr_u64(driver, "rx_queue_size", (uint64_t)config->rx_queue_size);
    }
}

static bool add_nic(xmlNode *devices, const NicSpec *nic, const VirtConfig *config, GError **err)
{
    if (!nic->port_id || !nic->mac || !nic->bridge || !nic->devname || !nic->type)
        return dv_fail(err, DV_E_BAD_INPUT, "port %s without MAC, bridge, device or VIF type",
                       nic->port_id ? nic->port_id : "?");
    for (size_t i = 0; i < G_N_ELEMENTS(backends); i++) {
        xmlNode *node;

        if (!g_str_equal(backends[i].vif_type, nic->type))
            continue;
        node = xml_add(devices, "interface");
        xml_attr(xml_add(node, "mac"), "address", nic->mac);
        if (nic->model)
            xml_attr(xml_add(node, "model"), "type", nic->model);
        add_nic_driver(node, nic, config);
        backends[i].add(node, nic);
        return true;
    }
    return dv_fail(err, DV_E_UNSUPPORTED, "port %s: VIF type %s is not supported", nic->port_id,
                   nic->type);
}

/* --- consoles, input, the rest --------------------------------------------------------------- */

static void add_serial(xmlNode *devices, const GuestSpec *spec)
{
    xmlNode *serial = xml_add(devices, "serial");
    xmlNode *log;

    xml_attr(serial, "type", "pty");
    log = xml_add(serial, "log");
    xml_attr(log, "file", spec->console_log_path);
    xml_attr(log, "append", "off");
}

static void add_input(xmlNode *devices, const char *type, const char *bus)
{
    xmlNode *input = xml_add(devices, "input");

    xml_attr(input, "type", type);
    xml_attr(input, "bus", bus);
}

static void add_graphics(xmlNode *devices, const GuestSpec *spec)
{
    xmlNode *graphics = xml_add(devices, "graphics");
    xmlNode *video;

    xml_attr(graphics, "type", "vnc");
    xml_attr(graphics, "autoport", "yes");
    if (spec->vnc_keymap && *spec->vnc_keymap)
        xml_attr(graphics, "keymap", spec->vnc_keymap);
    xml_attr(graphics, "listen", spec->vnc_listen);
    video = xml_add(devices, "video");
    xml_attr(xml_add(video, "model"), "type", spec->video_model ? spec->video_model : "virtio");
    if (spec->input_bus) {
        add_input(devices, "tablet", spec->input_bus);
        add_input(devices, "keyboard", spec->input_bus);
    } else if (spec->usb_tablet) {
        add_input(devices, "tablet", "usb");
    }
}

static void add_guest_agent(xmlNode *devices, const GuestSpec *spec)
{
    g_autofree char *path = g_strdup_printf("/var/lib/libvirt/qemu/org.qemu.guest_agent.0.%s.sock",
                                            spec->name);
    xmlNode *channel = xml_add(devices, "channel");
    xmlNode *part;

    xml_attr(channel, "type", "unix");
    part = xml_add(channel, "source");
    xml_attr(part, "mode", "bind");
    xml_attr(part, "path", path);
    part = xml_add(channel, "target");
    xml_attr(part, "type", "virtio");
    xml_attr(part, "name", "org.qemu.guest_agent.0");
}

static void add_rng(xmlNode *devices, const VirtConfig *config)
{
    xmlNode *rng = xml_add(devices, "rng");

    xml_attr(rng, "model", "virtio");
    xml_attr(
        xml_add_text(rng, "backend", config->rng_dev_path ? config->rng_dev_path : "/dev/urandom"),
        "model", "random");
}

static bool needs_usb(const GuestSpec *spec)
{
    if (spec->vnc_listen &&
        (spec->input_bus ? g_str_equal(spec->input_bus, "usb") : spec->usb_tablet))
        return true;
    for (guint i = 0; i < spec->disks->len; i++) {
        const DiskSpec *disk = g_ptr_array_index(spec->disks, i);

        if (g_strcmp0(disk->bus, "usb") == 0)
            return true;
    }
    return false;
}

static void add_usb_controller(xmlNode *devices, const GuestSpec *spec)
{
    xmlNode *controller = xml_add(devices, "controller");

    xml_attr(controller, "type", "usb");
    xml_attr_u64(controller, "index", 0);
    /* x86 guests get one unless it is refused. */
    if (!needs_usb(spec))
        xml_attr(controller, "model", "none");
}

static void add_balloon(xmlNode *devices, const VirtConfig *config)
{
    xmlNode *balloon;

    if (config->mem_stats_period_s <= 0)
        return;
    balloon = xml_add(devices, "memballoon");
    xml_attr(balloon, "model", "virtio");
    xml_attr_u64(xml_add(balloon, "stats"), "period", (uint64_t)config->mem_stats_period_s);
}

bool xml_devices_add(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                     const XmlHost *host, GError **err)
{
    xmlNode *devices = xml_add(domain, "devices");

    for (guint i = 0; i < spec->disks->len; i++) {
        if (!add_disk(devices, g_ptr_array_index(spec->disks, i), config, host, err))
            return false;
    }
    for (guint i = 0; i < spec->nics->len; i++) {
        if (!add_nic(devices, g_ptr_array_index(spec->nics, i), config, err))
            return false;
    }
    add_serial(devices, spec);
    if (spec->vnc_listen)
        add_graphics(devices, spec);
    if (spec->guest_agent)
        add_guest_agent(devices, spec);
    if (spec->rng)
        add_rng(devices, config);
    add_usb_controller(devices, spec);
    add_balloon(devices, config);
    return true;
}
