/* The device part of the driver contract, and what a guest does to it, on a real libvirtd with
 * QEMU.
 *
 * tests/virt/run starts it in a network of its own, with a libvirtd below DROVER_VIRT_DIR. The
 * guests have no operating system: a paused one never lets a device go. */
#include "virt/libvirt/libvirt_priv.h"

#include "unit/virt/contract_devices.h"

#include "util/fs.h"

#include <libxml/xpath.h>
#include <stdlib.h>

#define BRIDGE "brqcontract"
#define DISK_BYTES (1024 * 1024)

static char *folder, *uri;

static GuestSpec *contract_spec(unsigned number)
{
    GuestSpec *spec = guest_spec_new();
    DiskSpec *disk = guest_spec_add_disk(spec, DISK_ROLE_ROOT);
    g_autofree char *zeros = g_malloc0(DISK_BYTES);

    spec->uuid = g_strdup_printf("00000000-0000-4000-8000-%012u", number);
    spec->name = g_strdup_printf("contract-%08u", number);
    spec->title = g_strdup("contract");
    spec->memory_mib = 64;
    spec->vcpus = 1;
    spec->machine_type = g_strdup("pc");
    spec->instance_dir = g_strdup(folder);
    spec->console_log_path = g_strdup_printf("%s/console%u.log", folder, number);
    spec->vnc_listen = g_strdup("127.0.0.1");
    disk->path = g_strdup_printf("%s/disk%u", folder, number);
    disk->format = DISK_FORMAT_RAW;
    disk->bus = g_strdup("virtio");
    disk->device = g_strdup("disk");
    disk->target = g_strdup("vda");
    assert_true(dv_write_file(disk->path, zeros, DISK_BYTES, 0666, NULL));
    return spec;
}

static NicSpec *contract_nic(unsigned number)
{
    NicSpec *nic = g_new0(NicSpec, 1);

    nic->port_id = g_strdup_printf("11111111-0000-4000-8000-%012u", number);
    nic->mac = g_strdup_printf("fa:16:3e:00:00:%02u", number);
    nic->devname = g_strdup_printf("tapcontract%02u", number);
    nic->type = g_strdup("bridge");
    nic->model = g_strdup("virtio");
    nic->bridge = g_strdup(BRIDGE);
    nic->create_bridge = true;
    return nic;
}

static int open_driver(void **state)
{
    static VirtConfig config = {.virt_type = "qemu",
                                .cpu_mode = "none",
                                .mem_stats_period_s = 10,
                                .device_detach_attempts = 2,
                                .device_detach_timeout_s = 1};
    g_autoptr(GError) err = NULL;

    folder = g_build_filename(g_getenv("DROVER_VIRT_DIR"), "devices", NULL);
    if (!dv_mkdirs(folder, 0755, &err))
        fail_msg("%s", err->message);
    config.connection_uri = uri = g_strdup_printf("qemu+unix:///system?socket=%s/run/libvirt-sock",
                                                  g_getenv("DROVER_VIRT_DIR"));
    config.instances_path = folder;
    *state = virt_libvirt_new(&config, &err);
    if (!*state)
        fail_msg("%s", err->message);
    return 0;
}

static int close_driver(void **state)
{
    virt_driver_free(*state);
    assert_true(dv_remove_tree(folder, NULL));
    g_free(folder);
    g_free(uri);
    return 0;
}

static char *describe(VirtDriver *driver, const char *uuid, const char *xpath)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(xmlDoc) doc = NULL;
    g_autofree char *xml = NULL;

    must(driver->ops->describe(driver->self, uuid, &xml, &err), err);
    doc = xml_parse(xml, "the guest", &err);
    must(doc != NULL, err);
    return xml_find(doc, xpath);
}

#define PORT_XPATH "//*[local-name()='port']/@uuid"

/* nova's metadata element follows the ports, in the guest and in its definition. */
static void metadata_follows_the_ports(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(7);
    NicSpec *nic = contract_nic(7);
    g_autoptr(GError) err = NULL;
    g_autofree char *live = NULL;
    g_autofree char *persistent = NULL;
    g_autofree char *after = NULL;
    g_autofree char *name = NULL;

    start(driver, spec, true);
    attach(driver, spec->uuid, nic);
    live = describe(driver, spec->uuid, PORT_XPATH);
    assert_string_equal(live, nic->port_id);
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &err), err);
    persistent = describe(driver, spec->uuid, PORT_XPATH);
    assert_string_equal(persistent, nic->port_id);
    name = describe(driver, spec->uuid,
                    "//*[namespace-uri()='" XML_NOVA_NS "'][local-name()='name']");
    assert_string_equal(name, "contract");
    detach(driver, spec->uuid, nic);
    after = describe(driver, spec->uuid, PORT_XPATH);
    assert_null(after);
    destroy(driver, spec);
    nic_spec_free(nic);
}

static void guest_that_does_not_let_go_keeps_its_device(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(8);
    NicSpec *nic = contract_nic(8);
    g_autoptr(GError) err = NULL;

    start(driver, spec, true);
    attach(driver, spec->uuid, nic);
    assert_false(driver->ops->detach_nic(driver->self, NULL, spec->uuid, nic, &err));
    assert_int_equal(err->code, DV_E_DEVICE_DETACH);
    assert_int_equal(nics_of(driver, spec->uuid, NULL, NULL), 1);
    destroy(driver, spec);
    nic_spec_free(nic);
}

static gpointer power_off_soon(gpointer arg)
{
    VirtDriver *driver = arg;
    g_autoptr(GuestSpec) spec = contract_spec(9);

    g_usleep(300000);
    return GINT_TO_POINTER(driver->ops->power_off(driver->self, NULL, spec->uuid, NULL));
}

static void guest_that_ends_meanwhile_has_let_go(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(9);
    NicSpec *nic = contract_nic(9);
    GThread *thread;

    start(driver, spec, true);
    attach(driver, spec->uuid, nic);
    thread = g_thread_new("off", power_off_soon, driver);
    detach(driver, spec->uuid, nic);
    assert_true(GPOINTER_TO_INT(g_thread_join(thread)));
    assert_int_equal(nics_of(driver, spec->uuid, NULL, NULL), 0);
    destroy(driver, spec);
    nic_spec_free(nic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TESTS,
        CONTRACT_DEVICE_TESTS,
        cmocka_unit_test(metadata_follows_the_ports),
        cmocka_unit_test(guest_that_does_not_let_go_keeps_its_device),
        cmocka_unit_test(guest_that_ends_meanwhile_has_let_go),
    };

    if (!g_getenv("DROVER_VIRT_DIR")) {
        fprintf(stderr, "DROVER_VIRT_DIR is not set: start this by tests/virt/run\n");
        return 2;
    }
    return cmocka_run_group_tests(tests, open_driver, close_driver);
}
