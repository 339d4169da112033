/* Ports in Open vSwitch, whose bridge br-int is there (tests/virt/ovs): what is in its database and
 * on the host while a guest runs, and that nothing of it stays. */
#include "virt/guest.h"

#include <net/if.h>

#define PORT "c0ffee00-1234-4000-8000-00000000000a"
#define TAP "tapc0ffee00-12"
#define QBR "qbrc0ffee00-12"
#define QVB "qvbc0ffee00-12"
#define QVO "qvoc0ffee00-12"
#define MAC "fa:16:3e:00:00:0a"
#define TRUNK "tbr-c0ffee00-1"

static NicSpec *add_ovs_nic(GuestSpec *spec)
{
    NicSpec *nic = guest_spec_add_nic(spec);

    nic->port_id = g_strdup(PORT);
    nic->mac = g_strdup(MAC);
    nic->devname = g_strdup(TAP);
    nic->model = g_strdup("virtio");
    nic->type = g_strdup("ovs");
    nic->bridge = g_strdup("br-int");
    nic->ovs_datapath = g_strdup("netdev");
    nic->mtu = 1400;
    return nic;
}

static void unplug(VirtDriver *driver, const GuestSpec *spec)
{
    g_autoptr(GError) err = NULL;

    must(driver->ops->unplug(driver->self, NULL, spec, &err), err);
}

/* A column of a port's interface, without ovs-vsctl's quotes. Caller frees. */
static char *column(const char *device, const char *name)
{
    char *text = virt_run("ovs-vsctl", "--timeout=10", "get", "Interface", device, name, NULL);
    size_t length = strlen(text);

    if (length > 1 && text[0] == '"') {
        text[length - 1] = '\0';
        memmove(text, text + 1, length - 1);
    }
    return text;
}

static void assert_column(const char *device, const char *name, const char *wanted)
{
    g_autofree char *text = column(device, name);

    assert_string_equal(text, wanted);
}

static void assert_bridge_of(const char *device, const char *wanted)
{
    g_autofree char *bridge = virt_run("ovs-vsctl", "port-to-br", device, NULL);

    assert_string_equal(bridge, wanted);
}

static void assert_no_ports(void)
{
    g_autofree char *ports = virt_run("ovs-vsctl", "list-ports", "br-int", NULL);

    assert_string_equal(ports, "");
}

static void assert_file(const char *device, const char *file, const char *wanted)
{
    g_autofree char *path = g_strdup_printf("/sys/class/net/%s/%s", device, file);
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;

    must(dv_read_file(path, 100, &text, NULL, &err), err);
    assert_string_equal(g_strchomp(text), wanted);
}

static void assert_up(const char *device)
{
    g_autofree char *path = g_strdup_printf("/sys/class/net/%s/flags", device);
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;

    must(dv_read_file(path, 100, &text, NULL, &err), err);
    assert_true(g_ascii_strtoull(text, NULL, 16) & IFF_UP);
}

static bool is_device(const char *name)
{
    return if_nametoindex(name) != 0;
}

/* OVS has opened the device: it got a number on the bridge. */
static void wait_ofport(const char *device)
{
    int64_t deadline = dv_now_ms() + CONTRACT_WAIT_MS;
    g_autofree char *number = NULL;

    do {
        g_free(number);
        g_usleep(20 * 1000);
        number = column(device, "ofport");
    } while (g_ascii_strtoll(number, NULL, 10) <= 0 && dv_now_ms() < deadline);
    assert_true(g_ascii_strtoll(number, NULL, 10) > 0);
}

static void port_of_libvirts_making(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(60, false);

    add_ovs_nic(spec);
    start(driver, spec, false);
    assert_bridge_of(TAP, "br-int");
    assert_column(TAP, "external_ids:iface-id", PORT);
    assert_column(TAP, "external_ids:attached-mac", MAC);
    assert_column(TAP, "external_ids:vm-id", spec->uuid);
    assert_file(TAP, "mtu", "1400");
    wait_ofport(TAP);
    destroy(driver, spec);
    assert_no_ports();
    unplug(driver, spec);
    assert_false(is_device(TAP));
}

static void port_that_we_make_before_the_guest(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(61, false);
    g_autoptr(GError) err = NULL;

    add_ovs_nic(spec)->ovs_create = true;
    must(driver->ops->plug(driver->self, NULL, spec, &err), err);
    assert_bridge_of(TAP, "br-int");
    assert_false(is_device(TAP));
    start(driver, spec, false); /* plugs again, as every start does */
    assert_column(TAP, "external_ids:iface-id", PORT);
    assert_column(TAP, "external_ids:attached-mac", MAC);
    assert_column(TAP, "external_ids:vm-uuid", spec->uuid);
    assert_column(TAP, "external_ids:iface-status", "active");
    assert_file(TAP, "mtu", "1400");
    wait_ofport(TAP);
    destroy(driver, spec);
    assert_false(is_device(TAP));
    assert_bridge_of(TAP, "br-int"); /* libvirt knows nothing of it */
    unplug(driver, spec);
    assert_no_ports();
    unplug(driver, spec);
}

static void assert_hybrid_devices(const GuestSpec *spec)
{
    assert_bridge_of(QVO, "br-int");
    assert_column(QVO, "external_ids:iface-id", PORT);
    assert_column(QVO, "external_ids:attached-mac", MAC);
    assert_column(QVO, "external_ids:vm-uuid", spec->uuid);
    wait_ofport(QVO);
    assert_file(QBR, "bridge/stp_state", "0");
    assert_file(QBR, "bridge/forward_delay", "0");
    assert_file(QBR, "bridge/multicast_snooping", "0");
    assert_file(QBR, "bridge/ageing_time", "0");
    assert_up(QBR);
    assert_true(is_device(QVB));
    g_autofree char *ports = virt_run("ls", "/sys/class/net/" QBR "/brif", NULL);

    assert_string_equal(ports, QVB "\n" TAP);
}

static void port_behind_a_bridge_of_its_own(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(62, false);
    NicSpec *nic = add_ovs_nic(spec);
    g_autoptr(GError) err = NULL;

    nic->ovs_hybrid = true;
    nic->ovs_create = true; /* nova says so of every port; hybrid comes first */
    start(driver, spec, false);
    assert_hybrid_devices(spec);
    assert_file(QVB, "mtu", "1400");
    assert_file(QVO, "mtu", "1400");
    assert_file(TAP, "mtu", "1400");
    /* The next start finds it all, and a network whose MTU has changed. */
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &err), err);
    nic->mtu = 1300;
    start(driver, spec, false);
    assert_hybrid_devices(spec);
    assert_file(QVB, "mtu", "1300");
    assert_file(QVO, "mtu", "1300");
    destroy(driver, spec);
    assert_true(is_device(QBR));
    unplug(driver, spec);
    assert_no_ports();
    assert_false(is_device(QBR) || is_device(QVB) || is_device(QVO) || is_device(TAP));
    unplug(driver, spec);
}

/* The port's binding changed while the guest ran: what is there is taken away all the same. */
static void hybrid_port_is_unplugged_by_what_is_there(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(63, false);
    NicSpec *nic = add_ovs_nic(spec);
    g_autoptr(GError) err = NULL;

    nic->ovs_hybrid = true;
    must(driver->ops->plug(driver->self, NULL, spec, &err), err);
    nic->ovs_hybrid = false;
    unplug(driver, spec);
    assert_no_ports();
    assert_false(is_device(QBR) || is_device(QVB) || is_device(QVO));
}

static void trunk_bridge_is_made_and_deleted_with_its_port(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(64, false);
    NicSpec *nic = add_ovs_nic(spec);
    g_autofree char *bridges = NULL;

    g_free(nic->bridge);
    nic->bridge = g_strdup(TRUNK);
    nic->ovs_create = true;
    start(driver, spec, false);
    assert_bridge_of(TAP, TRUNK);
    g_autofree char *type = virt_run("ovs-vsctl", "get", "Bridge", TRUNK, "datapath_type", NULL);

    assert_string_equal(type, "netdev");
    destroy(driver, spec);
    unplug(driver, spec);
    bridges = virt_run("ovs-vsctl", "list-br", NULL);
    assert_string_equal(bridges, "br-int");
}

/* The port's device comes to a running guest; the port is there before it, and goes after it. */
static void port_comes_to_a_guest_and_goes(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(66, false);
    g_autoptr(GuestSpec) ports = guest_spec_new();
    NicSpec *nic = add_ovs_nic(ports);
    g_autoptr(GError) err = NULL;

    nic->ovs_create = true;
    start(driver, spec, true);
    must(driver->ops->attach_nic(driver->self, NULL, spec->uuid, nic, &err), err);
    assert_bridge_of(TAP, "br-int");
    assert_column(TAP, "external_ids:iface-id", PORT);
    assert_column(TAP, "external_ids:vm-uuid", spec->uuid);
    assert_file(TAP, "mtu", "1400");
    wait_ofport(TAP);
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &err), err);
    must(driver->ops->detach_nic(driver->self, NULL, spec->uuid, nic, &err), err);
    assert_no_ports();
    assert_false(is_device(TAP));
    destroy(driver, spec);
}

static void port_of_a_refused_device_is_unplugged(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(67, false);
    g_autoptr(GuestSpec) ports = guest_spec_new();
    NicSpec *nic = add_ovs_nic(ports);
    g_autoptr(GError) err = NULL;

    nic->ovs_create = true;
    g_free(nic->model);
    nic->model = g_strdup("nobody-makes-it");
    start(driver, spec, true);
    assert_false(driver->ops->attach_nic(driver->self, NULL, spec->uuid, nic, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    assert_no_ports();
    assert_false(is_device(TAP));
    destroy(driver, spec);
}

static void words_that_ovs_vsctl_would_take_for_others_are_refused(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(65, false);
    NicSpec *nic = add_ovs_nic(spec);
    g_autoptr(GError) err = NULL;

    nic->ovs_create = true;
    nic->ovs_interfaceid = g_strdup("x\" -- del-br br-int");
    assert_false(driver->ops->plug(driver->self, NULL, spec, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    assert_no_ports();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VIRT_TEST(port_of_libvirts_making),
        VIRT_TEST(port_that_we_make_before_the_guest),
        VIRT_TEST(port_behind_a_bridge_of_its_own),
        VIRT_TEST(hybrid_port_is_unplugged_by_what_is_there),
        VIRT_TEST(trunk_bridge_is_made_and_deleted_with_its_port),
        VIRT_TEST(port_comes_to_a_guest_and_goes),
        VIRT_TEST(port_of_a_refused_device_is_unplugged),
        VIRT_TEST(words_that_ovs_vsctl_would_take_for_others_are_refused),
    };

    return cmocka_run_group_tests(tests, virt_open, virt_close);
}
