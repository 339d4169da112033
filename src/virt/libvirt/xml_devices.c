/* The <devices> of a domain: disks, interfaces, consoles and what every guest gets.
 *
 * The interface element depends on the VIF type; that table is here, the plugging on the host is in
 * virt/vif. Order and attributes are nova's. */
#include "virt/libvirt/xml_domain.h"

#include "virt/vif/vif.h"

#define LIBVIRT_WITH_VIRTIO_IOMMU 8003000UL
#define LIBVIRT_WITH_AW_BITS 6005000UL

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

/* Preallocated disks are read around the page cache, unless their cache mode is through it. */
static const char *io_mode(const VirtConfig *config, const char *cache)
{
    if (!config->preallocate)
        return NULL;
    return g_str_equal(cache, "none") || g_str_equal(cache, "directsync") ? "native" : "threads";
}

static void add_iotune(xmlNode *node, const DiskSpec *disk)
{
    static const char *const names[DISK_TUNE_COUNT] = {
        [DISK_TUNE_READ_BYTES] = "read_bytes_sec",   [DISK_TUNE_READ_IOPS] = "read_iops_sec",
        [DISK_TUNE_WRITE_BYTES] = "write_bytes_sec", [DISK_TUNE_WRITE_IOPS] = "write_iops_sec",
        [DISK_TUNE_TOTAL_BYTES] = "total_bytes_sec", [DISK_TUNE_TOTAL_IOPS] = "total_iops_sec",
    };
    xmlNode *tune = NULL;

    for (int i = 0; i < DISK_TUNE_COUNT; i++) {
        if (!disk->tune[i].set)
            continue;
        tune = tune ? tune : xml_add(node, "iotune");
        xml_add_number(tune, names[i], &disk->tune[i]);
    }
}

/* A virtio-scsi controller takes 256 disks, where each says its unit. */
static void add_scsi_address(xmlNode *node, const DiskSpec *disk)
{
    xmlNode *address;

    if (disk->scsi_unit < 0)
        return;
    address = xml_add(node, "address");
    xml_attr(address, "type", "drive");
    xml_attr_u64(address, "controller", 0);
    xml_attr_u64(address, "unit", (uint64_t)disk->scsi_unit);
}

static bool add_disk(xmlNode *devices, const DiskSpec *disk, const VirtConfig *config,
                     const XmlHost *host, GError **err)
{
    const char *cache = cache_mode(disk, config, host);
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
    xml_attr(part, "cache", cache);
    xml_attr(part, "discard", config->hw_disk_discard);
    xml_attr(part, "io", io_mode(config, cache));
    xml_attr(xml_add(node, "source"), "file", disk->path);
    add_backing_chain(node, disk);
    part = xml_add(node, "target");
    xml_attr(part, "dev", disk->target);
    xml_attr(part, "bus", disk->bus);
    xml_add_text(node, "serial", disk->serial);
    add_iotune(node, disk);
    if (disk->readonly)
        xml_add(node, "readonly");
    if (disk->own_boot_order > 0)
        xml_attr_u64(xml_add(node, "boot"), "order", (uint64_t)disk->own_boot_order);
    add_scsi_address(node, disk);
    return true;
}

/* Those with a boot order of their own, or the others. */
static bool add_disks(xmlNode *devices, const GuestSpec *spec, bool ordered,
                      const VirtConfig *config, const XmlHost *host, GError **err)
{
    for (guint i = 0; i < spec->disks->len; i++) {
        const DiskSpec *disk = g_ptr_array_index(spec->disks, i);

        if ((disk->own_boot_order > 0) == ordered && !add_disk(devices, disk, config, host, err))
            return false;
    }
    return true;
}

static void add_scsi_controller(xmlNode *devices, const GuestSpec *spec)
{
    xmlNode *controller;

    if (!spec->scsi_model)
        return;
    controller = xml_add(devices, "controller");
    xml_attr(controller, "type", "scsi");
    xml_attr_u64(controller, "index", 0);
    xml_attr(controller, "model", spec->scsi_model);
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

/* libvirt would choose vhost, which TCG guests must not have. A queue size or several queues need
 * vhost named. */
static void add_nic_driver(xmlNode *node, const NicSpec *nic, const VirtConfig *config)
{
    xmlNode *driver;

    if (g_strcmp0(nic->model, "virtio") != 0)
        return;
    if (g_str_equal(config->virt_type, "qemu")) {
        xml_attr(xml_add(node, "driver"), "name", "qemu");
        return;
    }
    if (config->rx_queue_size <= 0 && nic->queues == 0)
        return;
    driver = xml_add(node, "driver");
    xml_attr(driver, "name", "vhost");
    if (nic->queues > 0)
        xml_attr_u64(driver, "queues", nic->queues);
    if (config->rx_queue_size > 0)
        xml_attr_u64(driver, "rx_queue_size", (uint64_t)config->rx_queue_size);
}

/* libvirt takes peak and burst only beside an average. */
static void add_direction(xmlNode *bandwidth, const char *name, const NicBandwidth *limits)
{
    xmlNode *node;

    if (!limits->average.set)
        return;
    node = xml_add(bandwidth, name);
    xml_attr_number(node, "average", &limits->average);
    xml_attr_number(node, "peak", &limits->peak);
    xml_attr_number(node, "burst", &limits->burst);
}

static void add_bandwidth(xmlNode *node, const NicSpec *nic)
{
    xmlNode *bandwidth;

    if (!nic->inbound.average.set && !nic->outbound.average.set)
        return;
    bandwidth = xml_add(node, "bandwidth");
    add_direction(bandwidth, "inbound", &nic->inbound);
    add_direction(bandwidth, "outbound", &nic->outbound);
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
        add_bandwidth(node, nic);
        return true;
    }
    return dv_fail(err, DV_E_UNSUPPORTED, "port %s: VIF type %s is not supported", nic->port_id,
                   nic->type);
}

bool xml_nic_write(const NicSpec *nic, const VirtConfig *config, char **out, GError **err)
{
    xmlNode *devices = NULL;
    g_autoptr(xmlDoc) doc = xml_new("devices", &devices);
    xmlBuffer *buffer;

    if (!add_nic(devices, nic, config, err))
        return false;
    buffer = xmlBufferCreate();
    xmlNodeDump(buffer, doc, devices->children, 0, 1);
    *out = g_strdup((const char *)xmlBufferContent(buffer));
    xmlBufferFree(buffer);
    return true;
}

/* --- consoles, input, the rest --------------------------------------------------------------- */

static void add_serial_log(xmlNode *serial, const GuestSpec *spec)
{
    xmlNode *log = xml_add(serial, "log");

    xml_attr(log, "file", spec->console_log_path);
    xml_attr(log, "append", "off");
}

/* The first serial port gets the boot messages, so it is the one that is logged. */
static void add_serials(xmlNode *devices, const GuestSpec *spec, const XmlHost *host)
{
    xmlNode *serial;

    if (!spec->serial_host) {
        serial = xml_add(devices, "serial");
        xml_attr(serial, "type", "pty");
        add_serial_log(serial, spec);
        return;
    }
    for (unsigned i = 0; i < spec->serial_count; i++) {
        xmlNode *source;

        serial = xml_add(devices, "serial");
        xml_attr(serial, "type", "tcp");
        source = xml_add(serial, "source");
        xml_attr(source, "mode", "bind");
        xml_attr(source, "host", spec->serial_host);
        xml_attr_u64(source, "service", (uint64_t)host->serial_ports[i]);
        if (i == 0)
            add_serial_log(serial, spec);
    }
}

static void add_spice_channel(xmlNode *devices)
{
    xmlNode *channel = xml_add(devices, "channel");
    xmlNode *target;

    xml_attr(channel, "type", "spicevmc");
    target = xml_add(channel, "target");
    xml_attr(target, "type", "virtio");
    xml_attr(target, "name", "com.redhat.spice.0");
}

static bool has_graphics(const GuestSpec *spec)
{
    return spec->vnc_listen || spec->spice_listen;
}

static void add_input(xmlNode *devices, const char *type, const char *bus)
{
    xmlNode *input = xml_add(devices, "input");

    xml_attr(input, "type", type);
    xml_attr(input, "bus", bus);
}

static void add_display(xmlNode *devices, const char *type, const char *listen, const char *keymap)
{
    xmlNode *graphics = xml_add(devices, "graphics");

    xml_attr(graphics, "type", type);
    xml_attr(graphics, "autoport", "yes");
    if (keymap && *keymap)
        xml_attr(graphics, "keymap", keymap);
    xml_attr(graphics, "listen", listen);
}

static void add_graphics(xmlNode *devices, const GuestSpec *spec)
{
    xmlNode *video;
    xmlNode *model;

    if (spec->vnc_listen)
        add_display(devices, "vnc", spec->vnc_listen, spec->vnc_keymap);
    if (spec->spice_listen)
        add_display(devices, "spice", spec->spice_listen, NULL);
    video = xml_add(devices, "video");
    model = xml_add(video, "model");
    xml_attr(model, "type", spec->video_model ? spec->video_model : "virtio");
    if (spec->video_ram_kib > 0)
        xml_attr_u64(model, "vram", spec->video_ram_kib);
    if (spec->input_bus) {
        /* The SPICE agent has a pointer of its own; users of VNC would miss the tablet. */
        if (spec->vnc_listen || !spec->spice_agent)
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

/* Its state is kept by swtpm, under a secret that libvirt is given when the guest starts. */
static bool add_tpm(xmlNode *devices, const GuestSpec *spec, GError **err)
{
    xmlNode *tpm;
    xmlNode *backend;

    if (!spec->tpm_version)
        return true;
    if (!spec->tpm_secret.uuid)
        return dv_fail(err, DV_E_INVALID, "Refusing to create an emulated TPM with no secret!");
    tpm = xml_add(devices, "tpm");
    xml_attr(tpm, "model", spec->tpm_model);
    backend = xml_add(tpm, "backend");
    xml_attr(backend, "type", "emulator");
    xml_attr(backend, "version", spec->tpm_version);
    xml_attr(xml_add(backend, "encryption"), "secret", spec->tpm_secret.uuid);
    return true;
}

static void add_rng(xmlNode *devices, const GuestSpec *spec, const VirtConfig *config)
{
    xmlNode *rng = xml_add(devices, "rng");

    xml_attr(rng, "model", "virtio");
    if (spec->rng_bytes > 0 && spec->rng_period_ms > 0) {
        xmlNode *rate = xml_add(rng, "rate");

        xml_attr_u64(rate, "period", spec->rng_period_ms);
        xml_attr_u64(rate, "bytes", spec->rng_bytes);
    }
    xml_attr(
        xml_add_text(rng, "backend", config->rng_dev_path ? config->rng_dev_path : "/dev/urandom"),
        "model", "random");
}

/* Free slots for devices that come later, on the one machine type of x86 with PCIe. */
static void add_pcie_ports(xmlNode *devices, const GuestSpec *spec, const VirtConfig *config,
                           const XmlHost *host)
{
    const char *machine = xml_machine_type(spec, config, host);
    bool has_pcie = (g_str_equal(host->arch, "x86_64") && machine && strstr(machine, "q35")) ||
                    (g_str_equal(host->arch, "aarch64") && g_str_has_prefix(machine, "virt"));

    if (config->num_pcie_ports <= 0 || !has_pcie)
        return;
    for (int64_t i = 0; i <= config->num_pcie_ports; i++) {
        xmlNode *controller = xml_add(devices, "controller");

        xml_attr(controller, "type", "pci");
        xml_attr(controller, "model", i == 0 ? "pcie-root" : "pcie-root-port");
    }
}

static void add_watchdog(xmlNode *devices, const GuestSpec *spec)
{
    xmlNode *watchdog;

    if (!spec->watchdog_action)
        return;
    watchdog = xml_add(devices, "watchdog");
    xml_attr(watchdog, "model", "i6300esb");
    xml_attr(watchdog, "action", spec->watchdog_action);
}

/* "auto" is the best that this libvirt knows. The paravirtual one has none of the settings of real
 * hardware: libvirt refuses a guest that names them. */
static void add_iommu(xmlNode *devices, const GuestSpec *spec, const VirtConfig *config,
                      const XmlHost *host)
{
    const char *machine = xml_machine_type(spec, config, host);
    const char *model = spec->iommu_model;
    xmlNode *iommu;
    xmlNode *driver;

    if (!model)
        return;
    if (g_str_equal(model, "auto"))
        model = host->libvirt_version >= LIBVIRT_WITH_VIRTIO_IOMMU ? "virtio" : "intel";
    iommu = xml_add(devices, "iommu");
    xml_attr(iommu, "model", model);
    if (g_str_equal(model, "virtio"))
        return;
    driver = xml_add(iommu, "driver");
    xml_attr(driver, "intremap", "on");
    xml_attr(driver, "caching_mode", "on");
    if (host->libvirt_version >= LIBVIRT_WITH_AW_BITS)
        xml_attr_u64(driver, "aw_bits", 48);
    xml_attr(driver, "eim", machine && strstr(machine, "q35") ? "on" : "off");
    xml_attr(driver, "iotlb", "on");
}

static bool needs_usb(const GuestSpec *spec)
{
    if (has_graphics(spec) &&
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

    if (!add_disks(devices, spec, false, config, host, err))
        return false;
    add_scsi_controller(devices, spec);
    if (!add_disks(devices, spec, true, config, host, err))
        return false;
    for (guint i = 0; i < spec->nics->len; i++) {
        if (!add_nic(devices, g_ptr_array_index(spec->nics, i), config, err))
            return false;
    }
    add_serials(devices, spec, host);
    if (spec->spice_listen && spec->spice_agent)
        add_spice_channel(devices);
    if (has_graphics(spec))
        add_graphics(devices, spec);
    if (spec->guest_agent)
        add_guest_agent(devices, spec);
    if (spec->rng)
        add_rng(devices, spec, config);
    if (!add_tpm(devices, spec, err))
        return false;
    add_pcie_ports(devices, spec, config, host);
    add_usb_controller(devices, spec);
    add_watchdog(devices, spec);
    add_balloon(devices, config);
    add_iommu(devices, spec, config, host);
    return true;
}
