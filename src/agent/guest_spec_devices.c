/* The devices of a guest beside its disks: network, screen, input, random numbers, watchdog, and
 * its firmware.
 *
 * Sources    nova virt/libvirt/{driver,vif,designer}.py, virt/hardware.py (Zed). */
#include "agent/guest_spec_priv.h"

#include <stdlib.h>
#include <sys/utsname.h>

#define KIB_PER_MIB 1024

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

static bool has_vif_model(const char *virt_type, const char *model)
{
    static const char *const models[] = {"virtio", "ne2k_pci",   "pcnet",   "rtl8139", "e1000",
                                         "e1000e", "spapr-vlan", "vmxnet3", NULL};

    return g_strv_contains(models, model) ||
           (strcmp(virt_type, "qemu") == 0 && strcmp(model, "lan9118") == 0);
}

/* NULL: libvirt chooses. Caller frees. */
static char *default_vif_model(const GuestBuild *build)
{
    char *model = guest_asks_word(&build->asks, "hw_vif_model");

    if (!model && build->agent->virt_config.use_virtio_for_bridges)
        model = g_strdup("virtio");
    return model;
}

static bool vif_model(const GuestBuild *build, char **out, GError **err)
{
    const VirtConfig *config = &build->agent->virt_config;

    *out = default_vif_model(build);
    return !*out || has_vif_model(config->virt_type, *out) ||
           dv_fail(err, DV_E_HARDWARE,
                   "Requested hardware '%s' is not supported by the '%s' virt driver", *out,
                   config->virt_type);
}

/* Queues that a tap device of this kernel can have; 0: as many as we like. */
static unsigned kernel_tap_queues(void)
{
    static const unsigned by_version[] = {1, 1, 1, 8, 256};
    struct utsname name;
    unsigned long version;

    if (uname(&name) < 0)
        return 0;
    version = strtoul(name.release, NULL, 10);
    return version < G_N_ELEMENTS(by_version) ? by_version[version] : 0;
}

/* As many queues as CPUs, where asked for; TCG guests have no vhost and so no queues. */
static bool vif_queues(const GuestBuild *build, unsigned *out, GError **err)
{
    const VirtConfig *config = &build->agent->virt_config;
    unsigned limit = config->max_queues > 0 ? (unsigned)config->max_queues : kernel_tap_queues();
    unsigned vcpus = build->spec->vcpus;
    SpecFlag wanted = SPEC_UNSET;

    *out = 0;
    if (strcmp(config->virt_type, "kvm") != 0 || vcpus < 2)
        return true;
    if (!guest_asks_flag(&build->asks, "vif_multiqueue_enabled", &wanted, err))
        return false;
    if (wanted == SPEC_ON)
        *out = limit > 0 ? MIN(limit, vcpus) : vcpus;
    return true;
}

static bool read_bandwidth(const GuestAsks *asks, const char *direction, NicBandwidth *out,
                           GError **err)
{
    g_autofree char *average = g_strdup_printf("quota:vif_%s_average", direction);
    g_autofree char *peak = g_strdup_printf("quota:vif_%s_peak", direction);
    g_autofree char *burst = g_strdup_printf("quota:vif_%s_burst", direction);

    return guest_asks_number(asks, average, &out->average, err) &&
           guest_asks_number(asks, peak, &out->peak, err) &&
           guest_asks_number(asks, burst, &out->burst, err);
}

NicSpec *guest_spec_port(GuestSpec *spec, const Vif *vif)
{
    NicSpec *nic = guest_spec_add_nic(spec);

    nic->port_id = g_strdup(vif->id);
    nic->mac = g_strdup(vif->address);
    nic->devname = g_strdup(vif->devname);
    nic->type = g_strdup(vif->type);
    nic->bridge = g_strdup(vif->bridge);
    nic->ovs_interfaceid = g_strdup(vif->ovs_interfaceid);
    nic->ovs_hybrid = vif->ovs_hybrid_plug;
    nic->ovs_create = vif->delegate_create;
    nic->ovs_datapath = g_strdup(vif->datapath_type);
    nic->mtu = vif->mtu;
    nic->create_bridge = g_strcmp0(vif->type, "bridge") == 0;
    add_addresses(nic, vif);
    return nic;
}

bool guest_spec_nics(const GuestBuild *build, GError **err)
{
    const NetworkInfo *network = build->asks.source->network;
    size_t count = network ? network_info_count(network) : 0;
    const char *model;
    NicBandwidth inbound, outbound;
    unsigned queues = 0;

    if (count == 0) {
        build->spec->vif_model = default_vif_model(build);
        return true;
    }
    if (!vif_model(build, &build->spec->vif_model, err) || !vif_queues(build, &queues, err) ||
        !read_bandwidth(&build->asks, "inbound", &inbound, err) ||
        !read_bandwidth(&build->asks, "outbound", &outbound, err))
        return false;
    model = build->spec->vif_model;
    for (size_t i = 0; i < count; i++) {
        NicSpec *nic = guest_spec_port(build->spec, network_info_at(network, i));

        nic->model = g_strdup(model);
        nic->queues = g_strcmp0(model, "virtio") == 0 ? queues : 0;
        nic->inbound = inbound;
        nic->outbound = outbound;
    }
    return true;
}

NicSpec *guest_nic_build(const Agent *agent, const GuestSource *source, const char *port_id,
                         GError **err)
{
    g_autoptr(GuestSpec) spec = guest_spec_new();
    g_autoptr(Ovo) flavor = ovo_child(source->instance, "flavor");
    GuestBuild build = {agent, {source, flavor}, spec};

    if (!flavor) {
        dv_fail(err, DV_E_BAD_INPUT, "Instance.flavor: want a flavor");
        return NULL;
    }
    spec->vcpus = (unsigned)CLAMP(ovo_i64_or(flavor, "vcpus", 1), 1, 4096);
    if (!guest_spec_nics(&build, err))
        return NULL;
    for (guint i = 0; i < spec->nics->len; i++) {
        const NicSpec *nic = g_ptr_array_index(spec->nics, i);

        if (g_strcmp0(nic->port_id, port_id) == 0)
            return guest_spec_take_nic(spec, i);
    }
    dv_fail(err, DV_E_PORT_NOT_FOUND, "Port %s is not attached", port_id);
    return NULL;
}

/* ---- screen and input ---- */

static bool fill_video_ram(const GuestBuild *build, GError **err)
{
    GuestSpec *spec = build->spec;
    int64_t wanted_mib = 0;
    SpecNumber most_mib;

    if (!guest_asks_prop_number(&build->asks, "hw_video_ram", &wanted_mib, err) ||
        !guest_asks_number(&build->asks, "hw_video:ram_max_mb", &most_mib, err))
        return false;
    if (wanted_mib > most_mib.value)
        return dv_fail(err, DV_E_VIDEO_RAM,
                       "The requested amount of video memory %" G_GINT64_FORMAT
                       " is higher than the maximum allowed by flavor %" G_GINT64_FORMAT ".",
                       wanted_mib, most_mib.value);
    spec->video_ram_kib = (uint64_t)MAX(wanted_mib, 0) * KIB_PER_MIB;
    return true;
}

static bool fill_screen(const GuestBuild *build, GError **err)
{
    GuestSpec *spec = build->spec;
    const VncConfig *vnc = &build->agent->config.vnc;

    /* The pointer is remembered with the instance, also where there is no screen now. */
    spec->input_bus = guest_asks_word(&build->asks, "hw_input_bus");
    spec->usb_tablet = guest_asks_prop(&build->asks, "hw_pointer_model") ||
                       strcmp(build->agent->pointer_model, "usbtablet") == 0;
    spec->video_model = guest_asks_word(&build->asks, "hw_video_model");
    if (vnc->enabled)
        spec->vnc_listen = g_strdup(vnc->server_listen);
    if (!guest_spec_consoles(build, err))
        return false;
    return (!spec->vnc_listen && !spec->spice_listen) || fill_video_ram(build, err);
}

/* ---- random numbers, watchdog, IOMMU ---- */

static bool fill_rng(const GuestBuild *build, GError **err)
{
    GuestSpec *spec = build->spec;
    const char *allowed = guest_asks_spec(&build->asks, "hw_rng:allowed");
    const char *path = build->agent->virt_config.rng_dev_path;
    SpecNumber bytes, period;

    if (allowed && !guest_asks_is_true(allowed))
        return true;
    if (!guest_asks_number(&build->asks, "hw_rng:rate_bytes", &bytes, err) ||
        !guest_asks_number(&build->asks, "hw_rng:rate_period", &period, err))
        return false;
    if (path && *path && !g_file_test(path, G_FILE_TEST_EXISTS))
        return dv_fail(err, DV_E_RNG_DEVICE,
                       "The provided RNG device path: (%s) is not present on the host.", path);
    spec->rng = true;
    spec->rng_bytes = (uint64_t)MAX(bytes.value, 0);
    spec->rng_period_ms = (uint64_t)MAX(period.value, 0);
    return true;
}

/* The image's word wins over the flavor's. */
static bool fill_watchdog(const GuestBuild *build, GError **err)
{
    static const char *const actions[] = {"none", "pause", "poweroff", "reset", NULL};
    const char *action = guest_asks_prop(&build->asks, "hw_watchdog_action");

    if (!action)
        action = guest_asks_spec(&build->asks, "hw:watchdog_action");
    if (!action || !*action || strcmp(action, "disabled") == 0)
        return true;
    if (!g_strv_contains(actions, action))
        return dv_fail(err, DV_E_WATCHDOG_ACTION, "Provided watchdog action (%s) is not supported.",
                       action);
    build->spec->watchdog_action = g_strdup(action);
    return true;
}

/* The flavor's word wins over the image's. */
static bool fill_iommu(const GuestBuild *build, GError **err)
{
    GuestSpec *spec = build->spec;
    const char *model = guest_asks_spec(&build->asks, "hw:viommu_model");

    if (!model || !*model)
        model = guest_asks_prop(&build->asks, "hw_viommu_model");
    if (!model || !*model)
        return true;
    if (!strstr(spec->machine_type, "q35"))
        return dv_fail(err, DV_E_IOMMU_MACHINE,
                       "vIOMMU is not supported by Current machine type %s (Architecture: %s).",
                       spec->machine_type, spec->arch ? spec->arch : "x86_64");
    spec->iommu_model = g_strdup(model);
    return true;
}

/* ---- firmware and the rest of the machine ---- */

static bool fill_firmware(const GuestBuild *build, GError **err)
{
    static const struct {
        const char *word;
        GuestSecureBoot policy;
    } rows[] = {
        {"disabled", GUEST_SECURE_BOOT_OFF},
        {"optional", GUEST_SECURE_BOOT_OPTIONAL},
        {"required", GUEST_SECURE_BOOT_REQUIRED},
    };
    GuestSpec *spec = build->spec;
    const char *policy = NULL;

    if (g_strcmp0(guest_asks_prop(&build->asks, "hw_firmware_type"), "uefi") != 0)
        return true;
    spec->firmware = GUEST_FIRMWARE_UEFI;
    if (!guest_asks_text(&build->asks, "os", "secure_boot", &policy, err))
        return false;
    for (size_t i = 0; policy && i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].word, policy) == 0) {
            spec->secure_boot = rows[i].policy;
            return true;
        }
    }
    return !policy ||
           dv_fail(err, DV_E_INVALID,
                   "Invalid secure boot policy '%s'. Allowed values: required, disabled, optional.",
                   policy);
}

static void fill_machine(const GuestBuild *build)
{
    const GuestAsks *asks = &build->asks;
    GuestSpec *spec = build->spec;
    const char *menu = guest_asks_prop(asks, "hw_boot_menu");

    spec->boot_menu = guest_asks_is_true(menu ? menu : guest_asks_spec(asks, "hw:boot_menu"));
    spec->hide_hypervisor = guest_asks_is_true(guest_asks_spec(asks, "hide_hypervisor_id")) ||
                            guest_asks_is_true(guest_asks_spec(asks, "hw:hide_hypervisor_id")) ||
                            guest_asks_is_true(guest_asks_prop(asks, "img_hide_hypervisor_id"));
    spec->hpet = guest_asks_is_true(guest_asks_prop(asks, "hw_time_hpet"));
    spec->guest_agent = guest_asks_is_true(guest_asks_prop(asks, "hw_qemu_guest_agent"));
    /* The API took it from the image; a rebuild changes it. */
    spec->os_type = g_strdup(ovo_str_or(asks->source->instance, "os_type", NULL));
}

bool guest_spec_devices(const GuestBuild *build, GError **err)
{
    fill_machine(build);
    return fill_firmware(build, err) && fill_screen(build, err) && fill_rng(build, err) &&
           fill_watchdog(build, err) && fill_iommu(build, err);
}
