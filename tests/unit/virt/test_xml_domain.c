/* The domain XML: against what nova-compute wrote for the same guests, and feature by feature. */
#include "virt/libvirt/caps.h"
#include "virt/libvirt/xml_domain.h"

#include "unit/virt/xml_compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DATA "tests/unit/virt/data/"

static const XmlHost host = {.arch = "x86_64",
                             .host_uuid = "fda9532b-8cce-4f47-bd04-7dad451d8f76",
                             .machine_id = "01234567-89ab-cdef-0123-456789abcdef",
                             .cache_mode = "none"};

static VirtConfig qemu_config(void)
{
    return (VirtConfig){.virt_type = "qemu",
                        .cpu_mode = "none",
                        .rng_dev_path = "/dev/urandom",
                        .sysinfo_serial = "unique",
                        .mem_stats_period_s = 10,
                        .package_version = "26.2.2"};
}

static DiskSpec *add_disk(GuestSpec *spec, DiskRole role, const char *path, DiskFormat format,
                          const char *bus, const char *target)
{
    DiskSpec *disk = guest_spec_add_disk(spec, role);

    disk->path = g_strdup(path);
    disk->format = format;
    disk->bus = g_strdup(bus);
    disk->target = g_strdup(target);
    disk->device = g_strdup("disk");
    return disk;
}

static NicSpec *add_nic(GuestSpec *spec, const char *port_id, const char *mac, const char *bridge,
                        int mtu, const char *address)
{
    NicSpec *nic = guest_spec_add_nic(spec);

    nic->port_id = g_strdup(port_id);
    nic->mac = g_strdup(mac);
    nic->devname = g_strdup_printf("tap%.11s", port_id);
    nic->model = g_strdup("virtio");
    nic->type = g_strdup("bridge");
    nic->bridge = g_strdup(bridge);
    nic->mtu = mtu;
    nic->addresses = g_new0(char *, 1);
    nic->addresses[0] = g_strdup(address);
    nic->address_versions = g_new0(int, 1);
    nic->address_versions[0] = 4;
    nic->address_count = 1;
    return nic;
}

/* What the captured guests have in common. */
static GuestSpec *nano(const char *uuid, const char *name, const char *title, const char *image,
                       int64_t created_s)
{
    GuestSpec *spec = guest_spec_new();
    g_autofree char *root = g_strdup_printf("/tmp/lab/nova/instances/%s/disk", uuid);
    DiskSpec *disk;

    spec->uuid = g_strdup(uuid);
    spec->name = g_strdup(name);
    spec->title = g_strdup(title);
    spec->memory_mib = 128;
    spec->vcpus = 1;
    spec->console_log_path = g_strdup_printf("/tmp/lab/nova/instances/%s/console.log", uuid);
    spec->vnc_listen = g_strdup("127.0.0.1");
    spec->usb_tablet = true;
    spec->rng = true;
    spec->flavor_name = g_strdup("m1.nano");
    spec->flavor_memory_mib = 128;
    spec->flavor_disk_gib = 1;
    spec->flavor_vcpus = 1;
    spec->image_ref = g_strdup(image);
    spec->user_id = g_strdup("6367f7e425ac4f87ac94cb6f89092d27");
    spec->user_name = g_strdup("admin");
    spec->project_id = g_strdup("3900c7d49ef84784b86607ae092a97bc");
    spec->project_name = g_strdup("admin");
    spec->creation_wall_ms = created_s * 1000;
    disk = add_disk(spec, DISK_ROLE_ROOT, root, DISK_FORMAT_QCOW2, "virtio", "vda");
    disk->backing_path = g_strdup("/tmp/lab/nova/instances/_base/aa");
    disk->boot_order = 1;
    return spec;
}

static char *write_ok(const GuestSpec *spec, const VirtConfig *config)
{
    g_autoptr(GError) err = NULL;
    char *xml = NULL;

    if (!xml_domain_write(spec, config, &host, &xml, &err))
        fail_msg("%s", err->message);
    return xml;
}

static void assert_golden(const GuestSpec *spec, const char *file)
{
    VirtConfig config = qemu_config();
    g_autofree char *ours = write_ok(spec, &config);
    g_autofree char *golden = NULL;
    g_autofree char *left = NULL;
    g_autofree char *right = NULL;

    assert_true(g_file_get_contents(file, &golden, NULL, NULL));
    left = xml_canonical(ours, "backingStore");
    right = xml_canonical(golden, NULL);
    assert_non_null(strstr(right, "<domain type='qemu'>"));
    assert_string_equal(left, right);
}

static void writes_what_nova_writes(void **state G_GNUC_UNUSED)
{
    g_autoptr(GuestSpec) spec = nano("c7f5f0b8-5de2-4bd4-8324-cafa60cf2933", "instance-00000010",
                                     "cap", "505d6221-7feb-4a34-8eb4-7e98c30dc857", 1795330537);

    add_nic(spec, "ba6c7dab-e368-44e6-ac3e-56a2aab980f2", "fa:16:3e:05:cb:53", "brq97b743f8-44",
            1500, "10.77.0.149");
    assert_golden(spec, DATA "nova_boot.xml");
}

static void writes_config_drive_and_two_ports(void **state G_GNUC_UNUSED)
{
    g_autoptr(GuestSpec) spec = nano("353645e8-9125-47a8-9571-53655fd8b5dc", "instance-00000012",
                                     "full", "505d6221-7feb-4a34-8eb4-7e98c30dc857", 1795331085);
    DiskSpec *disk = add_disk(
        spec, DISK_ROLE_CONFIG,
        "/tmp/lab/nova/instances/353645e8-9125-47a8-9571-53655fd8b5dc/disk.config", DISK_FORMAT_RAW,
        "ide", "hda");

    g_free(disk->device);
    disk->device = g_strdup("cdrom");
    add_nic(spec, "73d86ab9-e033-41c0-b279-c17b6e5dfed0", "fa:16:3e:cb:6b:b7", "brq97b743f8-44",
            1500, "10.77.0.77");
    add_nic(spec, "4ac04e8f-646f-45fc-a511-16ef311af6c7", "fa:16:3e:a0:81:47", "brq5cf5d9a9-b7",
            1450, "10.78.0.209");
    assert_golden(spec, DATA "nova_config_drive.xml");
}

static void writes_keyboard_of_input_bus(void **state G_GNUC_UNUSED)
{
    g_autoptr(GuestSpec)
        spec = nano("b6efb949-d8f8-49c4-a192-5e6f2f4a67c5", "instance-00000011", "fromsnap",
                    "bfd5be20-ccec-44d0-a6d9-139cfab9d7fd", 1795330681);

    spec->input_bus = g_strdup("usb");
    add_nic(spec, "bcbd84e2-f38a-450c-a138-da02f223cc20", "fa:16:3e:de:0f:11", "brq97b743f8-44",
            1500, "10.77.0.133");
    assert_golden(spec, DATA "nova_keyboard.xml");
}

static GuestSpec *plain(void)
{
    return nano("00000000-0000-4000-8000-000000000001", "instance-00000001", "vm", "image", 0);
}

static char *find(const char *xml, const char *xpath)
{
    g_autoptr(xmlDoc) doc = xml_parse(xml, "test", NULL);

    assert_non_null(doc);
    return xml_find(doc, xpath);
}

static void assert_at(const char *xml, const char *xpath, const char *want)
{
    g_autofree char *got = find(xml, xpath);

    if (!want) {
        if (got)
            fail_msg("%s is '%s'", xpath, got);
        return;
    }
    if (!got)
        fail_msg("%s is not there", xpath);
    assert_string_equal(got, want);
}

static void names_every_format_of_the_chain(void **state G_GNUC_UNUSED)
{
    VirtConfig config = qemu_config();
    g_autoptr(GuestSpec) spec = plain();
    g_autofree char *xml = NULL;

    add_disk(spec, DISK_ROLE_SWAP, "/i/disk.swap", DISK_FORMAT_RAW, "virtio", "vdb");
    xml = write_ok(spec, &config);
    assert_at(xml, "//disk[1]/driver/@type", "qcow2");
    assert_at(xml, "//disk[1]/backingStore/format/@type", "raw");
    assert_at(xml, "//disk[1]/backingStore/source/@file", "/tmp/lab/nova/instances/_base/aa");
    assert_at(xml, "//disk[1]/backingStore/backingStore", "");
    assert_at(xml, "//disk[2]/driver/@type", "raw");
    assert_at(xml, "//disk[2]/backingStore", "");
    assert_at(xml, "//disk[2]/backingStore/*", NULL);
}

static void escapes_what_users_chose(void **state G_GNUC_UNUSED)
{
    VirtConfig config = qemu_config();
    g_autoptr(GuestSpec) spec = plain();
    g_autofree char *xml = NULL;

    g_free(spec->title);
    spec->title = g_strdup("</nova:name><disk/>&amp;\"'\x01\xff]]>");
    g_free(spec->flavor_name);
    spec->flavor_name = g_strdup("a\" machine=\"<evil>");
    xml = write_ok(spec, &config);
    assert_at(xml, "//*[local-name()='name' and namespace-uri()='" XML_NOVA_NS "']",
              "</nova:name><disk/>&amp;\"'\xEF\xBF\xBD\xEF\xBF\xBD]]>");
    assert_at(xml, "//*[local-name()='flavor']/@name", "a\" machine=\"<evil>");
    assert_at(xml, "//*[local-name()='flavor']/@machine", NULL);
}

static void boots_a_kernel(void **state G_GNUC_UNUSED)
{
    VirtConfig config = qemu_config();
    g_autoptr(GuestSpec) spec = plain();
    g_autofree char *xml = NULL;

    spec->kernel_path = g_strdup("/i/kernel");
    spec->ramdisk_path = g_strdup("/i/ramdisk");
    xml = write_ok(spec, &config);
    assert_at(xml, "/domain/os/kernel", "/i/kernel");
    assert_at(xml, "/domain/os/initrd", "/i/ramdisk");
    assert_at(xml, "/domain/os/cmdline",
              "root=/dev/vda console=tty0 console=ttyS0 console=hvc0 no_timer_check");
    assert_at(xml, "/domain/os/boot", NULL);
    g_free(xml);
    spec->kernel_cmdline = g_strdup("quiet & calm");
    xml = write_ok(spec, &config);
    assert_at(xml, "/domain/os/cmdline", "quiet & calm");
}

static void kvm_guests_get_timers_and_vhost(void **state G_GNUC_UNUSED)
{
    VirtConfig config = qemu_config();
    g_autoptr(GuestSpec) spec = plain();
    g_autofree char *xml = NULL;

    config.virt_type = "kvm";
    config.rx_queue_size = 512;
    add_nic(spec, "ba6c7dab-e368-44e6-ac3e-56a2aab980f2", "fa:16:3e:05:cb:53", "br", 1500,
            "10.0.0.1");
    xml = write_ok(spec, &config);
    assert_at(xml, "/domain/@type", "kvm");
    assert_at(xml, "//timer[@name='pit']/@tickpolicy", "delay");
    assert_at(xml, "//timer[@name='rtc']/@tickpolicy", "catchup");
    assert_at(xml, "//timer[@name='hpet']/@present", "no");
    assert_at(xml, "//interface/driver/@name", "vhost");
    assert_at(xml, "//interface/driver/@rx_queue_size", "512");
}

static void cpu_follows_its_mode(void **state G_GNUC_UNUSED)
{
    static const char *const flags[] = {"+PCID", "-mtrr", "ssbd", NULL};
    VirtConfig config = qemu_config();
    XmlHost custom = host;
    CapsModel plain_model = {.name = (char *)"Nehalem"};
    CapsModel better_model = {.name = (char *)"IvyBridge"};
    g_autoptr(GPtrArray) features = g_ptr_array_new();
    g_autoptr(GPtrArray) models = g_ptr_array_new();
    g_autoptr(GError) err = NULL;
    g_autoptr(GuestSpec) spec = plain();
    g_autofree char *xml = NULL;

    g_ptr_array_add(features, (gpointer) "avx");
    better_model.features = features;
    g_ptr_array_add(models, &plain_model);
    g_ptr_array_add(models, &better_model);
    config.cpu_mode = NULL;
    config.cpu_model_extra_flags = flags;
    spec->vcpus = 4;
    xml = write_ok(spec, &config);
    assert_at(xml, "/domain/cpu/@mode", "host-model");
    assert_at(xml, "/domain/cpu/topology/@sockets", "4");
    assert_at(xml, "/domain/cpu/feature[@name='pcid']/@policy", "require");
    assert_at(xml, "/domain/cpu/feature[@name='mtrr']/@policy", "disable");
    assert_at(xml, "/domain/cpu/feature[@name='ssbd']/@policy", "require");
    g_clear_pointer(&xml, g_free);
    config.cpu_mode = "custom";
    custom.cpu_models = models;
    custom.cpuset = "2-3";
    spec->cpu_sockets = 1;
    spec->cpu_cores = 2;
    spec->cpu_threads = 2;
    assert_true(xml_domain_write(spec, &config, &custom, &xml, NULL));
    assert_at(xml, "/domain/cpu/@mode", "custom");
    assert_at(xml, "/domain/cpu/model", "Nehalem");
    assert_at(xml, "/domain/cpu/topology/@cores", "2");
    assert_at(xml, "/domain/vcpu/@cpuset", "2-3");
    g_clear_pointer(&xml, g_free);
    spec->cpu_traits = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(spec->cpu_traits, g_strdup("HW_CPU_X86_AVX"));
    assert_true(xml_domain_write(spec, &config, &custom, &xml, NULL));
    assert_at(xml, "/domain/cpu/model", "IvyBridge");
    g_clear_pointer(&xml, g_free);
    g_ptr_array_add(spec->cpu_traits, g_strdup("HW_CPU_X86_AVX512F"));
    assert_false(xml_domain_write(spec, &config, &custom, &xml, &err));
    assert_int_equal(err->code, DV_E_CPU_MODEL);
}

static void machine_type_from_image_config_default(void **state G_GNUC_UNUSED)
{
    static const char *const types[] = {"aarch64=virt", "x86_64=q35", NULL};
    VirtConfig config = qemu_config();
    g_autoptr(GuestSpec) spec = plain();
    g_autofree char *by_default = write_ok(spec, &config);
    g_autofree char *by_config = NULL;
    g_autofree char *by_image = NULL;

    config.hw_machine_type = types;
    by_config = write_ok(spec, &config);
    spec->machine_type = g_strdup("pc-i440fx-7.2");
    by_image = write_ok(spec, &config);
    assert_at(by_default, "/domain/os/type/@machine", "pc");
    assert_at(by_config, "/domain/os/type/@machine", "q35");
    assert_at(by_image, "/domain/os/type/@machine", "pc-i440fx-7.2");
}

static void serial_number_follows_the_option(void **state G_GNUC_UNUSED)
{
    static const struct {
        const char *option, *want;
    } rows[] = {{"unique", "00000000-0000-4000-8000-000000000001"},
                {"hardware", "fda9532b-8cce-4f47-bd04-7dad451d8f76"},
                {"os", "01234567-89ab-cdef-0123-456789abcdef"},
                {"auto", "01234567-89ab-cdef-0123-456789abcdef"},
                {"none", NULL}};
    g_autoptr(GuestSpec) spec = plain();

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        VirtConfig config = qemu_config();
        g_autofree char *xml = NULL;

        config.sysinfo_serial = rows[i].option;
        xml = write_ok(spec, &config);
        assert_at(xml, "//sysinfo/system/entry[@name='serial']", rows[i].want);
    }
}

static void without_vnc_there_is_no_screen(void **state G_GNUC_UNUSED)
{
    VirtConfig config = qemu_config();
    g_autoptr(GuestSpec) spec = plain();
    g_autofree char *xml = NULL;

    g_clear_pointer(&spec->vnc_listen, g_free);
    xml = write_ok(spec, &config);
    assert_at(xml, "//graphics", NULL);
    assert_at(xml, "//video", NULL);
    assert_at(xml, "//input", NULL);
    assert_at(xml, "//controller[@type='usb']/@model", "none");
}

static void windows_gets_its_clock_and_hyperv(void **state G_GNUC_UNUSED)
{
    VirtConfig config = qemu_config();
    g_autoptr(GuestSpec) spec = plain();
    g_autofree char *xml = NULL;

    config.virt_type = "kvm";
    spec->os_type = g_strdup("windows");
    xml = write_ok(spec, &config);
    assert_at(xml, "/domain/clock/@offset", "localtime");
    assert_at(xml, "//timer[@name='hypervclock']/@present", "yes");
    assert_at(xml, "//hyperv/spinlocks/@retries", "8191");
}

static void ovs_port_names_its_interface(void **state G_GNUC_UNUSED)
{
    VirtConfig config = qemu_config();
    g_autoptr(GuestSpec) spec = plain();
    g_autofree char *xml = NULL;
    NicSpec *nic = add_nic(spec, "ba6c7dab-e368-44e6-ac3e-56a2aab980f2", "fa:16:3e:05:cb:53",
                           "br-int", 1442, "10.0.0.1");

    g_free(nic->type);
    nic->type = g_strdup("ovs");
    nic->ovs_interfaceid = g_strdup("ba6c7dab-e368-44e6-ac3e-56a2aab980f2");
    xml = write_ok(spec, &config);
    assert_at(xml, "//interface/virtualport/@type", "openvswitch");
    assert_at(xml, "//interface/virtualport/parameters/@interfaceid",
              "ba6c7dab-e368-44e6-ac3e-56a2aab980f2");
    assert_at(xml, "//interface/source/@bridge", "br-int");
    /* One that is an OVS port already: the tap alone. */
    g_clear_pointer(&xml, g_free);
    nic->ovs_create = true;
    xml = write_ok(spec, &config);
    assert_at(xml, "//interface/@type", "ethernet");
    assert_at(xml, "//interface/source", NULL);
    assert_at(xml, "//interface/virtualport", NULL);
    assert_at(xml, "//interface/mtu/@size", "1442");
    assert_at(xml, "//interface/target/@dev", "tapba6c7dab-e3");
    /* And one behind a kernel bridge of its own. */
    g_clear_pointer(&xml, g_free);
    nic->ovs_hybrid = true;
    xml = write_ok(spec, &config);
    assert_at(xml, "//interface/@type", "bridge");
    assert_at(xml, "//interface/source/@bridge", "qbrba6c7dab-e3");
    assert_at(xml, "//interface/virtualport", NULL);
}

static void options_of_devices(void **state G_GNUC_UNUSED)
{
    static const char *const modes[] = {"block=none", "file=writeback", NULL};
    VirtConfig config = qemu_config();
    g_autoptr(GuestSpec) spec = plain();
    g_autofree char *xml = NULL;

    config.disk_cachemodes = modes;
    config.mem_stats_period_s = 0;
    spec->guest_agent = true;
    spec->rng = false;
    spec->cpu_shares = (SpecNumber){true, 512};
    xml = write_ok(spec, &config);
    assert_at(xml, "//disk/driver/@cache", "writeback");
    assert_at(xml, "//memballoon", NULL);
    assert_at(xml, "//rng", NULL);
    assert_at(xml, "//channel/target/@name", "org.qemu.guest_agent.0");
    assert_at(xml, "/domain/cputune/shares", "512");
}

/* A rescue's: libvirt refuses a domain that says it both ways. */
static void a_boot_order_on_a_disk_is_the_only_one(void **state G_GNUC_UNUSED)
{
    g_autoptr(GuestSpec) spec = nano("353645e8-9125-47a8-9571-53655fd8b5dc", "instance-00000012",
                                     "one", "505d6221-7feb-4a34-8eb4-7e98c30dc857", 0);
    VirtConfig config = qemu_config();
    g_autofree char *plain = write_ok(spec, &config);
    g_autofree char *own = NULL;

    assert_non_null(strstr(plain, "<boot dev=\"hd\"/>"));
    assert_null(strstr(plain, "<boot order="));
    add_disk(spec, DISK_ROLE_RESCUE, "/tmp/lab/nova/instances/disk.rescue", DISK_FORMAT_QCOW2,
             "virtio", "vdb")
        ->own_boot_order = 1;
    own = write_ok(spec, &config);
    assert_null(strstr(own, "<boot dev="));
    assert_non_null(strstr(own, "<boot order=\"1\"/>"));
}

static void refuses_what_it_cannot_write(void **state G_GNUC_UNUSED)
{
    VirtConfig config = qemu_config();
    g_autoptr(GuestSpec) unsupported = plain();
    g_autoptr(GuestSpec) relative = plain();
    g_autoptr(GuestSpec) empty = guest_spec_new();
    g_autoptr(GError) first = NULL;
    g_autoptr(GError) second = NULL;
    g_autoptr(GError) third = NULL;
    char *xml = NULL;
    NicSpec *nic = add_nic(unsupported, "p", "fa:16:3e:05:cb:53", "br", 1500, "10.0.0.1");

    g_free(nic->type);
    nic->type = g_strdup("hw_veb");
    assert_false(xml_domain_write(unsupported, &config, &host, &xml, &first));
    assert_int_equal(first->code, DV_E_UNSUPPORTED);
    assert_non_null(strstr(first->message, "hw_veb"));
    add_disk(relative, DISK_ROLE_SWAP, "disk.swap", DISK_FORMAT_RAW, "virtio", "vdb");
    assert_false(xml_domain_write(relative, &config, &host, &xml, &second));
    assert_int_equal(second->code, DV_E_BAD_INPUT);
    assert_false(xml_domain_write(empty, &config, &host, &xml, &third));
    assert_int_equal(third->code, DV_E_BAD_INPUT);
    assert_null(xml);
}

static void serial_ports_are_on_tcp_and_the_first_is_logged(void **state G_GNUC_UNUSED)
{
    static const int ports[] = {10000, 10007};
    VirtConfig config = qemu_config();
    XmlHost with_ports = host;
    g_autoptr(GuestSpec) spec = nano("c7f5f0b8-5de2-4bd4-8324-cafa60cf2933", "instance-00000010",
                                     "cap", NULL, 1795330537);
    g_autofree char *xml = NULL;

    with_ports.serial_ports = ports;
    spec->serial_host = g_strdup("10.0.0.5");
    spec->serial_count = 2;
    assert_true(xml_domain_write(spec, &config, &with_ports, &xml, NULL));
    assert_at(xml, "//serial[1]/@type", "tcp");
    assert_at(xml, "//serial[1]/source/@mode", "bind");
    assert_at(xml, "//serial[1]/source/@host", "10.0.0.5");
    assert_at(xml, "//serial[1]/source/@service", "10000");
    assert_at(xml, "//serial[1]/log/@file",
              "/tmp/lab/nova/instances/c7f5f0b8-5de2-4bd4-8324-cafa60cf2933/console.log");
    assert_at(xml, "//serial[2]/source/@service", "10007");
    assert_at(xml, "//serial[2]/log/@file", NULL);
}

static void spice_brings_its_channel(void **state G_GNUC_UNUSED)
{
    VirtConfig config = qemu_config();
    g_autoptr(GuestSpec) spec = nano("c7f5f0b8-5de2-4bd4-8324-cafa60cf2933", "instance-00000010",
                                     "cap", NULL, 1795330537);
    g_autofree char *xml = NULL;

    g_clear_pointer(&spec->vnc_listen, g_free);
    spec->spice_listen = g_strdup("127.0.0.2");
    spec->spice_agent = true;
    spec->usb_tablet = false;
    spec->video_model = g_strdup("qxl");
    xml = write_ok(spec, &config);
    assert_at(xml, "//graphics/@type", "spice");
    assert_at(xml, "//graphics/@listen", "127.0.0.2");
    assert_at(xml, "//channel/@type", "spicevmc");
    assert_at(xml, "//channel/target/@name", "com.redhat.spice.0");
    assert_at(xml, "//video/model/@type", "qxl");
    assert_at(xml, "//input/@type", NULL);
}

static void one_interface_can_be_written_alone(void **state G_GNUC_UNUSED)
{
    VirtConfig config = qemu_config();
    g_autoptr(GuestSpec) spec = nano("c7f5f0b8-5de2-4bd4-8324-cafa60cf2933", "instance-00000010",
                                     "cap", NULL, 1795330537);
    NicSpec *nic = add_nic(spec, "ba6c7dab-e368-44e6-ac3e-56a2aab980f2", "fa:16:3e:05:cb:53",
                           "brq97b743f8-44", 1500, "10.77.0.149");
    g_autofree char *xml = NULL;
    g_autoptr(GError) err = NULL;

    assert_true(xml_nic_write(nic, &config, &xml, NULL));
    assert_true(g_str_has_prefix(xml, "<interface "));
    assert_at(xml, "/interface/mac/@address", "fa:16:3e:05:cb:53");
    assert_at(xml, "/interface/source/@bridge", "brq97b743f8-44");
    assert_at(xml, "/interface/driver/@name", "qemu");
    g_clear_pointer(&nic->bridge, g_free);
    assert_false(xml_nic_write(nic, &config, &xml, &err));
    assert_int_equal(err->code, DV_E_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_what_nova_writes),
        cmocka_unit_test(writes_config_drive_and_two_ports),
        cmocka_unit_test(writes_keyboard_of_input_bus),
        cmocka_unit_test(names_every_format_of_the_chain),
        cmocka_unit_test(escapes_what_users_chose),
        cmocka_unit_test(boots_a_kernel),
        cmocka_unit_test(kvm_guests_get_timers_and_vhost),
        cmocka_unit_test(cpu_follows_its_mode),
        cmocka_unit_test(machine_type_from_image_config_default),
        cmocka_unit_test(serial_number_follows_the_option),
        cmocka_unit_test(without_vnc_there_is_no_screen),
        cmocka_unit_test(windows_gets_its_clock_and_hyperv),
        cmocka_unit_test(ovs_port_names_its_interface),
        cmocka_unit_test(options_of_devices),
        cmocka_unit_test(a_boot_order_on_a_disk_is_the_only_one),
        cmocka_unit_test(refuses_what_it_cannot_write),
        cmocka_unit_test(serial_ports_are_on_tcp_and_the_first_is_logged),
        cmocka_unit_test(spice_brings_its_channel),
        cmocka_unit_test(one_interface_can_be_written_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
