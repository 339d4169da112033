/* Instances to guest specs; see guest_spec.h.
 *
 * What a flavor or an image may ask for is a table each: a key that changes the guest and that we
 * do not carry out refuses the request, a key of another service or of documentation is left alone.
 */
#include "agent/guest_spec.h"

#include "util/log.h"

/* ---- reading ---- */

const char *guest_image_prop(const GuestSource *source, const char *name)
{
    g_autofree char *key = NULL;

    if (source->image && ovo_has_value(source->image, "properties"))
        return ovo_dict_str(source->image, "properties", name);
    key = g_strconcat("image_", name, NULL);
    return ovo_dict_str(source->instance, "system_metadata", key);
}

/* Names of the image properties that are set; strings borrowed from the source. */
static GPtrArray *image_prop_names(const GuestSource *source)
{
    GPtrArray *names;
    guint kept = 0;

    if (source->image && ovo_has_value(source->image, "properties"))
        return ovo_dict_keys(source->image, "properties");
    names = ovo_dict_keys(source->instance, "system_metadata");
    for (guint i = 0; i < names->len; i++) {
        const char *key = g_ptr_array_index(names, i);

        if (g_str_has_prefix(key, "image_"))
            g_ptr_array_index(names, kept++) = (void *)(key + strlen("image_"));
    }
    g_ptr_array_set_size(names, (int)kept);
    return names;
}

static bool is_true(const char *text)
{
    return text && (g_ascii_strcasecmp(text, "true") == 0 || g_ascii_strcasecmp(text, "yes") == 0 ||
                    g_ascii_strcasecmp(text, "on") == 0 || strcmp(text, "1") == 0);
}

/* instance.config_drive is text: "True", "" or null, on the wire a string or a bool. */
bool guest_needs_config_drive(const Agent *agent, const GuestSource *source)
{
    const Ovo *instance = source->instance;

    if (is_true(ovo_str_or(instance, "config_drive", NULL)) ||
        ovo_bool_or(instance, "config_drive", false))
        return true;
    if (agent->config.force_config_drive && !ovo_has_value(instance, "launched_at"))
        return true;
    return g_strcmp0(guest_image_prop(source, "img_config_drive"), "mandatory") == 0;
}

/* Expands one "%08x", "%d", "%x" or "%(uuid)s", "%(id)d" of the template; anything else is refused.
 */
char *guest_name(const Agent *agent, const Ovo *instance, GError **err)
{
    const char *template = agent->config.instance_name_template;
    const char *uuid = ovo_str_or(instance, "uuid", "");
    GString *out = g_string_new(NULL);
    uint64_t id = 0;

    if (!ovo_u64(instance, "id", &id, err))
        goto bad;
    for (const char *p = template; *p; p++) {
        bool zero = false;
        int width = 0;
        bool by_uuid = false;

        if (*p != '%') {
            g_string_append_c(out, *p);
            continue;
        }
        p++;
        if (g_str_has_prefix(p, "(uuid)")) {
            by_uuid = true;
            p += 6;
        } else if (g_str_has_prefix(p, "(id)")) {
            p += 4;
        }
        for (; g_ascii_isdigit(*p) && width < 100; p++) {
            zero = zero || (width == 0 && *p == '0');
            width = width * 10 + (*p - '0');
        }
        if (by_uuid && *p == 's')
            g_string_append(out, uuid);
        else if (!by_uuid && (*p == 'x' || *p == 'd') && zero)
            g_string_append_printf(
                out, *p == 'x' ? "%0*" G_GINT64_MODIFIER "x" : "%0*" G_GINT64_MODIFIER "d", width,
                id);
        else if (!by_uuid && (*p == 'x' || *p == 'd'))
            g_string_append_printf(
                out, *p == 'x' ? "%*" G_GINT64_MODIFIER "x" : "%*" G_GINT64_MODIFIER "d", width,
                id);
        else if (*p == '%')
            g_string_append_c(out, '%');
        else {
            dv_fail(err, DV_E_BAD_CONFIG, "instance_name_template '%s' is not understood",
                    template);
            goto bad;
        }
    }
    return g_string_free(out, FALSE);
bad:
    g_string_free(out, TRUE);
    return NULL;
}

/* The machine type of a guest whose image names none: [libvirt] hw_machine_type, else nova's "pc".
 */
const char *guest_default_machine_type(const Agent *agent)
{
    for (const char *const *item = agent->virt_config.hw_machine_type; item && *item; item++) {
        if (g_str_has_prefix(*item, "x86_64="))
            return *item + strlen("x86_64=");
    }
    return "pc";
}

/* ---- what this agent does not carry out ---- */

typedef struct RefusedKey {
    const char *key;    /* a trailing '*' matches any rest */
    const char *except; /* value that asks for nothing, or NULL */
} RefusedKey;

/* Flavor extra specs that change the guest and that are not honoured yet. */
static const RefusedKey refused_specs[] = {
    {"hw:cpu_policy", "shared"},
    {"hw:cpu_thread_policy", NULL},
    {"hw:emulator_threads_policy", NULL},
    {"hw:cpu_realtime", "no"},
    {"hw:cpu_sockets", NULL},
    {"hw:cpu_cores", NULL},
    {"hw:cpu_threads", NULL},
    {"hw:cpu_max_*", NULL},
    {"hw:numa_*", NULL},
    {"hw:mem_page_size", NULL},
    {"hw:mem_encryption", "false"},
    {"hw:pmem", NULL},
    {"hw:tpm_version", NULL},
    {"hw:serial_port_count", "1"},
    {"hw:boot_menu", "false"},
    {"hw:watchdog_action", "disabled"},
    {"hw:viommu_model", NULL},
    {"hw:locked_memory", "false"},
    {"hw:vif_multiqueue_enabled", "false"},
    {"hw_video:ram_max_mb", NULL},
    {"hide_hypervisor_id", "false"},
    {"hw:hide_hypervisor_id", "false"},
    {"pci_passthrough:alias", NULL},
    {"accel:device_profile", NULL},
    {"os:secure_boot", "disabled"},
    {"quota:*", NULL},
    {"resources:VGPU", NULL},
    {"resources:PCPU", NULL},
};

static const RefusedKey refused_props[] = {
    {"hw_cpu_policy", "shared"},
    {"hw_cpu_thread_policy", NULL},
    {"hw_cpu_realtime_mask", NULL},
    {"hw_cpu_sockets", NULL},
    {"hw_cpu_cores", NULL},
    {"hw_cpu_threads", NULL},
    {"hw_cpu_max_*", NULL},
    {"hw_numa_*", NULL},
    {"hw_mem_page_size", NULL},
    {"hw_mem_encryption", "false"},
    {"hw_tpm_*", NULL},
    {"hw_firmware_type", "bios"},
    {"os_secure_boot", "disabled"},
    {"hw_serial_port_count", "1"},
    {"hw_boot_menu", "false"},
    {"hw_watchdog_action", "disabled"},
    {"hw_viommu_model", NULL},
    {"hw_locked_memory", "false"},
    {"hw_vif_multiqueue_enabled", "false"},
    {"img_hide_hypervisor_id", "false"},
    {"hw_scsi_model", NULL},
    {"hw_pmu", NULL},
    {"hw_time_hpet", "false"},
    {"img_bdm_v2", NULL},
    {"img_signature", NULL},
};

static bool key_matches(const char *pattern, const char *key)
{
    size_t n = strlen(pattern);

    return pattern[n - 1] == '*' ? strncmp(pattern, key, n - 1) == 0 : strcmp(pattern, key) == 0;
}

static bool check_key(const RefusedKey *rows, size_t count, const char *what, const char *key,
                      const char *value, GError **err)
{
    for (size_t i = 0; i < count; i++) {
        if (key_matches(rows[i].key, key) &&
            (!rows[i].except || g_ascii_strcasecmp(rows[i].except, value) != 0))
            return dv_fail(err, DV_E_UNSUPPORTED, "%s %s=%s is not supported by this host", what,
                           key, value);
    }
    return true;
}

static bool check_requests(const GuestSource *source, const Ovo *flavor, GError **err)
{
    g_autoptr(GPtrArray) specs = ovo_dict_keys(flavor, "extra_specs");
    g_autoptr(GPtrArray) props = image_prop_names(source);
    g_autoptr(Ovo) pci = ovo_child(source->instance, "pci_requests");
    g_autoptr(Ovo) numa = ovo_child(source->instance, "numa_topology");

    for (guint i = 0; i < specs->len; i++) {
        const char *key = g_ptr_array_index(specs, i);
        const char *value = ovo_dict_str(flavor, "extra_specs", key);

        if (value && !check_key(refused_specs, G_N_ELEMENTS(refused_specs), "flavor extra spec",
                                key, value, err))
            return false;
    }
    for (guint i = 0; i < props->len; i++) {
        const char *key = g_ptr_array_index(props, i);
        const char *value = guest_image_prop(source, key);

        if (value && !check_key(refused_props, G_N_ELEMENTS(refused_props), "image property", key,
                                value, err))
            return false;
    }
    if (pci && ovo_count(pci, "requests") > 0)
        return dv_fail(err, DV_E_UNSUPPORTED, "PCI devices are not supported by this host");
    if (numa)
        return dv_fail(err, DV_E_UNSUPPORTED, "NUMA topologies are not supported by this host");
    return true;
}

/* ---- disks ---- */

static const char *bus_prefix(const char *bus)
{
    static const struct {
        const char *bus, *prefix;
    } rows[] = {{"virtio", "vd"}, {"ide", "hd"}, {"sata", "sd"},
                {"scsi", "sd"},   {"usb", "sd"}, {"fdc", "fd"}};

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].bus, bus) == 0)
            return rows[i].prefix;
    }
    return NULL;
}

/* The first free device name of the bus: "vdb". NULL when all 26 are taken. */
static char *next_target(const GuestSpec *spec, const char *bus)
{
    const char *prefix = bus_prefix(bus);

    for (char letter = 'a'; prefix && letter <= 'z'; letter++) {
        g_autofree char *name = g_strdup_printf("%s%c", prefix, letter);
        bool taken = false;

        for (guint i = 0; i < spec->disks->len; i++) {
            const DiskSpec *disk = g_ptr_array_index(spec->disks, i);

            taken = taken || g_strcmp0(disk->target, name) == 0;
        }
        if (!taken)
            return g_steal_pointer(&name);
    }
    return NULL;
}

static const char *strip_dev(const char *device_name)
{
    return device_name && g_str_has_prefix(device_name, "/dev/") ? device_name + 5 : device_name;
}

static bool add_disk(GuestSpec *spec, DiskRole role, const char *bus, const char *device,
                     const char *wanted_target, uint64_t size_bytes, DiskSpec **out, GError **err)
{
    char *target = wanted_target ? g_strdup(wanted_target) : next_target(spec, bus);
    DiskSpec *disk;

    if (!target)
        return dv_fail(err, DV_E_UNSUPPORTED, "no device name left on disk bus %s", bus);
    disk = guest_spec_add_disk(spec, role);
    disk->bus = g_strdup(bus);
    disk->device = g_strdup(device);
    disk->target = target;
    disk->size_bytes = size_bytes;
    *out = disk;
    return true;
}

/* Local disks of the block device mappings: blank ones are ephemeral or swap. Volumes are refused.
 */
static bool add_local_disks(const GuestSource *source, GuestSpec *spec, const char *bus,
                            GError **err)
{
    size_t count = source->bdms ? ovo_count(source->bdms, NULL) : 0;
    unsigned ephemerals = 0;
    DiskSpec *disk = NULL;

    for (size_t i = 0; i < count; i++) {
        g_autoptr(Ovo) bdm = ovo_at(source->bdms, NULL, i);
        const char *guest_format = ovo_str_or(bdm, "guest_format", NULL);
        const char *target = strip_dev(ovo_str_or(bdm, "device_name", NULL));
        const char *disk_bus = ovo_str_or(bdm, "disk_bus", bus);
        uint64_t size = (uint64_t)MAX(ovo_i64_or(bdm, "volume_size", 0), 0);

        if (strcmp(ovo_str_or(bdm, "destination_type", ""), "volume") == 0)
            return dv_fail(err, DV_E_UNSUPPORTED, "volumes are not supported by this host");
        if (strcmp(ovo_str_or(bdm, "source_type", ""), "blank") != 0)
            continue;
        if (!bus_prefix(disk_bus))
            return dv_fail(err, DV_E_INVALID_DISK, "disk bus %s is not supported", disk_bus);
        if (g_strcmp0(guest_format, "swap") == 0) {
            if (size &&
                !add_disk(spec, DISK_ROLE_SWAP, disk_bus, "disk", target, size << 20, &disk, err))
                return false;
            continue;
        }
        if (!add_disk(spec, DISK_ROLE_EPHEMERAL, disk_bus, "disk", target, size << 30, &disk, err))
            return false;
        disk->fs_format = g_strdup(guest_format);
        disk->fs_label = g_strdup_printf("ephemeral%u", ephemerals++);
    }
    return true;
}

static const char *machine_default_cdrom_bus(const GuestSpec *spec)
{
    return spec->machine_type && strstr(spec->machine_type, "q35") ? "sata" : "ide";
}

/* What the image record said, or what the instance remembers of it. */
static const char *image_disk_format(const GuestSource *source)
{
    return source->image ? ovo_str_or(source->image, "disk_format", NULL)
                         : ovo_dict_str(source->instance, "system_metadata", "image_disk_format");
}

static bool add_disks(const Agent *agent, const GuestSource *source, const Ovo *flavor,
                      GuestSpec *spec, GError **err)
{
    const char *bus = guest_image_prop(source, "hw_disk_bus");
    const char *cdrom_bus = guest_image_prop(source, "hw_cdrom_bus");
    bool iso = g_strcmp0(image_disk_format(source), "iso") == 0;
    int64_t root_gib = ovo_i64_or(flavor, "root_gb", 0);
    DiskSpec *disk = NULL;

    bus = bus ? bus : "virtio";
    cdrom_bus = cdrom_bus ? cdrom_bus : machine_default_cdrom_bus(spec);
    if (!bus_prefix(bus) || !bus_prefix(cdrom_bus))
        return dv_fail(err, DV_E_INVALID_DISK, "disk bus %s is not supported",
                       bus_prefix(bus) ? cdrom_bus : bus);
    if (!add_disk(spec, DISK_ROLE_ROOT, iso ? cdrom_bus : bus, iso ? "cdrom" : "disk",
                  strip_dev(ovo_str_or(source->instance, "root_device_name", NULL)),
                  (uint64_t)MAX(root_gib, 0) << 30, &disk, err))
        return false;
    disk->image_id = g_strdup(ovo_str_or(source->instance, "image_ref", NULL));
    disk->boot_order = 1;
    if (!add_local_disks(source, spec, bus, err))
        return false;
    if (guest_needs_config_drive(agent, source)) {
        bool cdrom = strcmp(agent->disks_config.config_drive_format, "iso9660") == 0;

        if (!add_disk(spec, DISK_ROLE_CONFIG, cdrom ? cdrom_bus : bus, cdrom ? "cdrom" : "disk",
                      NULL, 0, &disk, err))
            return false;
        disk->readonly = cdrom;
    }
    return true;
}

/* ---- networks ---- */

static void add_addresses(NicSpec *nic, const Vif *vif)
{
    GPtrArray *addresses = g_ptr_array_new();
    GArray *versions = g_array_new(FALSE, FALSE, sizeof(int));

    for (size_t i = 0; i < vif->subnet_count; i++) {
        for (const char *const *ip = vif->subnets[i].ips; ip && *ip; ip++) {
            g_ptr_array_add(addresses, g_strdup(*ip));
            g_array_append_val(versions, vif->subnets[i].version);
        }
    }
    nic->address_count = addresses->len;
    g_ptr_array_add(addresses, NULL);
    nic->addresses = (char **)g_ptr_array_free(addresses, FALSE);
    nic->address_versions = (int *)(void *)g_array_free(versions, FALSE);
}

void guest_spec_add_ports(GuestSpec *spec, const NetworkInfo *network, const char *model)
{
    size_t count = network ? network_info_count(network) : 0;

    for (size_t i = 0; i < count; i++) {
        const Vif *vif = network_info_at(network, i);
        NicSpec *nic = guest_spec_add_nic(spec);

        nic->port_id = g_strdup(vif->id);
        nic->mac = g_strdup(vif->address);
        nic->devname = g_strdup(vif->devname);
        nic->model = g_strdup(model ? model : "virtio");
        nic->type = g_strdup(vif->type);
        nic->bridge = g_strdup(vif->bridge);
        nic->ovs_interfaceid = g_strdup(vif->ovs_interfaceid);
        nic->ovs_hybrid = vif->ovs_hybrid_plug;
        nic->ovs_create = vif->delegate_create;
        nic->ovs_datapath = g_strdup(vif->datapath_type);
        nic->mtu = vif->mtu;
        nic->create_bridge = g_strcmp0(vif->type, "bridge") == 0;
        add_addresses(nic, vif);
    }
}

/* ---- the rest ---- */

static void fill_kernel(const GuestSource *source, GuestSpec *spec, bool qemu)
{
    const char *kernel = ovo_str_or(source->instance, "kernel_id", NULL);
    const char *ramdisk = ovo_str_or(source->instance, "ramdisk_id", NULL);
    const char *cmdline = guest_image_prop(source, "os_command_line");
    const DiskSpec *root = guest_spec_disk(spec, DISK_ROLE_ROOT);

    if (!kernel || !*kernel)
        return;
    spec->kernel_path = g_build_filename(spec->instance_dir, "kernel", NULL);
    if (ramdisk && *ramdisk)
        spec->ramdisk_path = g_build_filename(spec->instance_dir, "ramdisk", NULL);
    spec->kernel_cmdline = cmdline ? g_strdup(cmdline)
                                   : g_strdup_printf(
                                         "root=/dev/%s console=tty0 console=ttyS0 console=hvc0%s",
                                         root->target, qemu ? " no_timer_check" : "");
}

static void fill_metadata(const Agent *agent, const GuestSource *source, const Ovo *flavor,
                          GuestSpec *spec)
{
    const Ovo *instance = source->instance;

    spec->flavor_name = g_strdup(ovo_str_or(flavor, "name", ""));
    spec->flavor_id = g_strdup(ovo_str_or(flavor, "flavorid", ""));
    spec->flavor_memory_mib = ovo_i64_or(flavor, "memory_mb", 0);
    spec->flavor_disk_gib = ovo_i64_or(flavor, "root_gb", 0);
    spec->flavor_swap_mib = ovo_i64_or(flavor, "swap", 0);
    spec->flavor_ephemeral_gib = ovo_i64_or(flavor, "ephemeral_gb", 0);
    spec->flavor_vcpus = ovo_i64_or(flavor, "vcpus", 0);
    spec->image_ref = g_strdup(ovo_str_or(instance, "image_ref", NULL));
    spec->user_id = g_strdup(ovo_str_or(instance, "user_id", ""));
    spec->project_id = g_strdup(ovo_str_or(instance, "project_id", ""));
    spec->user_name = g_strdup(source->ctx->user_name ? source->ctx->user_name : "");
    spec->project_name = g_strdup(source->ctx->project_name ? source->ctx->project_name : "");
    spec->package_version = g_strdup(agent->virt_config.package_version);
    spec->creation_wall_ms = dv_clock_wall_ms(dv_clock_real());
}

static void fill_devices(const Agent *agent, const GuestSource *source, const Ovo *flavor,
                         GuestSpec *spec)
{
    const char *pointer = guest_image_prop(source, "hw_pointer_model");
    const char *rng_allowed = ovo_dict_str(flavor, "extra_specs", "hw_rng:allowed");

    if (agent->config.vnc.enabled)
        spec->vnc_listen = g_strdup(agent->config.vnc.server_listen);
    spec->video_model = g_strdup(guest_image_prop(source, "hw_video_model"));
    spec->input_bus = g_strdup(guest_image_prop(source, "hw_input_bus"));
    spec->usb_tablet = spec->vnc_listen &&
                       strcmp(pointer ? pointer : agent->pointer_model, "usbtablet") == 0;
    /* nova: on unless the flavor says False, when the image asks for it */
    spec->rng = guest_image_prop(source, "hw_rng_model") && (!rng_allowed || is_true(rng_allowed));
    spec->guest_agent = is_true(guest_image_prop(source, "hw_qemu_guest_agent"));
    spec->os_type = g_strdup(guest_image_prop(source, "os_type"));
}

GuestSpec *guest_spec_build(const Agent *agent, const GuestSource *source, GError **err)
{
    g_autoptr(GuestSpec) spec = guest_spec_new();
    g_autoptr(Ovo) flavor = ovo_child(source->instance, "flavor");
    const char *uuid = NULL;
    const char *machine;
    uint64_t vcpus = 0;

    if (!flavor) {
        dv_fail(err, DV_E_BAD_INPUT, "Instance.flavor: want a flavor");
        return NULL;
    }
    if (!ovo_str(source->instance, "uuid", &uuid, err) ||
        !ovo_u64(flavor, "memory_mb", &spec->memory_mib, err) ||
        !ovo_u64(flavor, "vcpus", &vcpus, err) || !check_requests(source, flavor, err))
        return NULL;
    if (vcpus < 1 || vcpus > 4096) {
        dv_fail(err, DV_E_BAD_INPUT, "Flavor.vcpus: want 1 to 4096");
        return NULL;
    }
    spec->vcpus = (unsigned)vcpus;
    spec->uuid = g_strdup(uuid);
    spec->name = guest_name(agent, source->instance, err);
    if (!spec->name)
        return NULL;
    spec->title = g_strdup(ovo_str_or(source->instance, "display_name", ""));
    machine = guest_image_prop(source, "hw_machine_type");
    spec->machine_type = g_strdup(machine ? machine : guest_default_machine_type(agent));
    spec->instance_dir = disks_instance_dir(agent->disks, uuid);
    spec->console_log_path = g_build_filename(spec->instance_dir, "console.log", NULL);
    if (!add_disks(agent, source, flavor, spec, err))
        return NULL;
    guest_spec_add_ports(spec, source->network, guest_image_prop(source, "hw_vif_model"));
    fill_kernel(source, spec, strcmp(agent->virt_config.virt_type, "qemu") == 0);
    fill_devices(agent, source, flavor, spec);
    fill_metadata(agent, source, flavor, spec);
    return g_steal_pointer(&spec);
}
