/* agent/guest_spec: instances become plain guest specs; what cannot be done is refused, never
 * ignored. */
#include "agent/guest_spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define UUID "c7f5f0b8-5de2-4bd4-8324-cafa60cf2933"
#define OBJECT(name, data)                                                       \
    "{\"nova_object.name\": \"" name "\", \"nova_object.namespace\": \"nova\", " \
    "\"nova_object.version\": \"1.0\", \"nova_object.data\": " data "}"
#define FLAVOR(specs)                                                                    \
    OBJECT("Flavor", "{\"name\": \"m1.nano\", \"flavorid\": \"1\", \"memory_mb\": 128, " \
                     "\"vcpus\": 1, \"root_gb\": 1, \"ephemeral_gb\": 0, \"swap\": 0, "  \
                     "\"extra_specs\": {" specs "}}")
#define INSTANCE(extra, specs)                                                                   \
    OBJECT("Instance", "{\"id\": 42, \"uuid\": \"" UUID "\", \"display_name\": \"vm\", "         \
                       "\"image_ref\": \"img\", \"config_drive\": \"\", \"launched_at\": null, " \
                       "\"user_id\": \"u\", \"project_id\": \"p\", \"kernel_id\": \"\", " extra  \
                       "\"system_metadata\": {}, \"flavor\": " FLAVOR(specs) "}")

typedef struct Bench {
    Agent agent;
    DvCtx *ctx;
} Bench;

static int setup(void **state)
{
    Bench *b = g_new0(Bench, 1);
    DisksConfig disks = {.instances_path = "/nonexistent",
                         .base_dir_name = "_base",
                         .images_type = "default",
                         .config_drive_format = "iso9660"};

    b->agent.config.instance_name_template = "instance-%08x";
    b->agent.config.max_disk_devices_to_attach = -1;
    b->agent.config.vnc.enabled = true;
    b->agent.config.vnc.server_listen = "127.0.0.1";
    b->agent.virt_config.virt_type = "qemu";
    b->agent.virt_config.use_virtio_for_bridges = true;
    b->agent.virt_config.package_version = "1";
    b->agent.pointer_model = "usbtablet";
    b->agent.disks_config = disks;
    b->agent.disks = disks_new(&b->agent.disks_config);
    b->ctx = dv_ctx_new_admin();
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    Bench *b = *state;

    disks_free(b->agent.disks);
    dv_ctx_unref(b->ctx);
    g_free(b);
    return 0;
}

static GuestSpec *build(Bench *b, const char *instance_text, const char *image_text,
                        const char *bdms_text, GError **err)
{
    g_autoptr(Ovo) instance = ovo_parse(instance_text, "Instance", err);
    g_autoptr(Ovo) image_args = NULL;
    g_autoptr(Ovo) bdms = bdms_text ? ovo_parse(bdms_text, "BlockDeviceMappingList", err) : NULL;
    GuestSource source = {.instance = instance, .bdms = bdms, .ctx = b->ctx};

    assert_non_null(instance);
    if (image_text) {
        g_autofree char *wrapped = g_strdup_printf(OBJECT("Wrapper", "{\"image\": %s}"),
                                                   image_text);
        g_autoptr(Ovo) wrapper = ovo_parse(wrapped, "Wrapper", err);

        image_args = ovo_child(wrapper, "image");
        assert_non_null(image_args);
        source.image = image_args;
    }
    return guest_spec_build(&b->agent, &source, err);
}

static void a_plain_instance_gets_novas_defaults(void **state)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GuestSpec) spec = build(*state, INSTANCE("", ""), NULL, NULL, &err);
    const DiskSpec *root;

    assert_null(err);
    root = guest_spec_disk(spec, DISK_ROLE_ROOT);
    assert_string_equal(spec->name, "instance-0000002a");
    assert_int_equal(spec->memory_mib, 128);
    assert_int_equal(spec->vcpus, 1);
    assert_string_equal(spec->machine_type, "pc");
    assert_string_equal(root->target, "vda");
    assert_string_equal(root->bus, "virtio");
    assert_int_equal(root->size_bytes, 1ull << 30);
    assert_string_equal(root->image_id, "img");
    assert_true(spec->usb_tablet);
    assert_null(guest_spec_disk(spec, DISK_ROLE_CONFIG));
}

static void local_disks_are_named_after_the_root_disk(void **state)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GuestSpec) spec = build(
        *state, INSTANCE("", ""), NULL,
        OBJECT("BlockDeviceMappingList",
               "{\"objects\": [" OBJECT(
                   "BlockDeviceMapping",
                   "{\"source_type\": \"image\", \"destination_type\": "
                   "\"local\", \"boot_index\": 0}") "," OBJECT("BlockDeviceMapping",
                                                               "{\"source_type\": "
                                                               "\"blank\", "
                                                               "\"destination_type\": "
                                                               "\"local\", \"volume_size\": "
                                                               "2}") "," OBJECT("BlockDevice"
                                                                                "Mapping",
                                                                                "{\"source_"
                                                                                "type\": "
                                                                                "\"blank\", "
                                                                                "\"destinati"
                                                                                "on_type\": "
                                                                                "\"local\", "
                                                                                "\"guest_"
                                                                                "format\": "
                                                                                "\"swap\", "
                                                                                "\"volume_"
                                                                                "size\": "
                                                                                "64}") "]}"),
        &err);
    const DiskSpec *ephemeral;
    const DiskSpec *swap;

    assert_null(err);
    ephemeral = guest_spec_disk(spec, DISK_ROLE_EPHEMERAL);
    swap = guest_spec_disk(spec, DISK_ROLE_SWAP);
    assert_string_equal(ephemeral->target, "vdb");
    assert_int_equal(ephemeral->size_bytes, 2ull << 30);
    assert_string_equal(swap->target, "vdc");
    assert_int_equal(swap->size_bytes, 64ull << 20);
}

static void image_properties_choose_the_devices(void **state)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GuestSpec)
        spec = build(*state, INSTANCE("", ""),
                     "{\"disk_format\": \"qcow2\", \"properties\": {\"hw_machine_type\": \"q35\", "
                     "\"hw_disk_bus\": \"sata\", \"img_config_drive\": \"mandatory\"}}",
                     NULL, &err);

    assert_null(err);
    assert_string_equal(spec->machine_type, "q35");
    assert_string_equal(guest_spec_disk(spec, DISK_ROLE_ROOT)->target, "sda");
    assert_string_equal(guest_spec_disk(spec, DISK_ROLE_CONFIG)->bus, "sata");
    assert_string_equal(guest_spec_disk(spec, DISK_ROLE_CONFIG)->target, "sdb");
    assert_string_equal(guest_spec_disk(spec, DISK_ROLE_CONFIG)->device, "cdrom");
}

#define SPEC(key, value) INSTANCE("", "\"" key "\": \"" value "\"")
#define PROP(key, value) "{\"properties\": {\"" key "\": \"" value "\"}}"

static void what_cannot_be_done_is_refused_by_name(void **state)
{
    static const struct {
        const char *instance, *image, *named;
        DvErrorCode code;
    } rows[] = {
        {SPEC("hw:cpu_policy", "dedicated"), NULL, "hw:cpu_policy", DV_E_NUMA},
        {SPEC("hw:numa_nodes", "2"), NULL, "hw:numa_nodes", DV_E_NUMA},
        {SPEC("hw:mem_page_size", "large"), NULL, "hw:mem_page_size", DV_E_NUMA},
        {SPEC("resources1:PCPU", "2"), NULL, "resources1:PCPU", DV_E_NUMA},
        {SPEC("hw:locked_memory", "true"), NULL, "hw:locked_memory", DV_E_LOCKED_MEMORY},
        {SPEC("pci_passthrough:alias", "gpu:1"), NULL, "pci_passthrough:alias", DV_E_NO_CAPACITY},
        {SPEC("resources:VGPU", "1"), NULL, "resources:VGPU", DV_E_NO_CAPACITY},
        {SPEC("hw:pmem", "6GB"), NULL, "hw:pmem", DV_E_NO_CAPACITY},
        {SPEC("hw:mem_encryption", "yes"), NULL, "hw:mem_encryption", DV_E_NO_CAPACITY},
        {SPEC("accel:device_profile", "fpga"), NULL, "accel:device_profile", DV_E_UNSUPPORTED},
        {SPEC("hw:virtio_packed_ring", "true"), NULL, "hw:virtio_packed_ring", DV_E_UNSUPPORTED},
        {SPEC("hw:tpm_version", "2.0"), NULL, "TPM", DV_E_INVALID},
        {SPEC("hw:tpm_version", "3"), NULL, "TPM version", DV_E_INVALID},
        {SPEC("quota:disk_read_iops_sec", "many"), NULL, "quota:disk_read_iops_sec",
         DV_E_BAD_INPUT},
        {INSTANCE("", ""), PROP("hw_tpm_version", "2.0"), "TPM", DV_E_INVALID},
        {INSTANCE("", ""), PROP("hw_numa_nodes", "2"), "hw_numa_nodes", DV_E_NUMA},
        {INSTANCE("", ""), PROP("hw_mem_encryption", "true"), "hw_mem_encryption",
         DV_E_NO_CAPACITY},
        {INSTANCE("", ""), PROP("hw_disk_bus", "nvme"), "hw_disk_bus=nvme", DV_E_BAD_INPUT},
        {INSTANCE("", ""), PROP("hw_cpu_cores", "x"), "hw_cpu_cores=x", DV_E_BAD_INPUT},
        {INSTANCE("\"vm_mode\": \"xen\", ", ""), NULL, "xen", DV_E_UNSUPPORTED},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;
        g_autoptr(GuestSpec) spec = build(*state, rows[i].instance, rows[i].image, NULL, &err);

        assert_null(spec);
        assert_non_null(strstr(err->message, rows[i].named));
        assert_int_equal(err->code, rows[i].code);
    }
}

static void what_the_api_derived_is_refused(void **state)
{
    static const struct {
        const char *instance;
        DvErrorCode code;
    } rows[] = {
        {INSTANCE("\"numa_topology\": " OBJECT("InstanceNUMATopology", "{\"cells\": []}") ", ", ""),
         DV_E_NUMA},
        {INSTANCE("\"pci_requests\": " OBJECT("InstancePCIRequests", "{\"requests\": [{}]}") ", ",
                  ""),
         DV_E_NO_CAPACITY},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;
        g_autoptr(GuestSpec) spec = build(*state, rows[i].instance, NULL, NULL, &err);

        assert_null(spec);
        assert_int_equal(err->code, rows[i].code);
    }
}

static void the_words_for_no_ask_for_nothing(void **state)
{
    static const char *const instances[] = {
        SPEC("hw:cpu_policy", "shared"),      SPEC("hw:mem_encryption", "0"),
        SPEC("hw:locked_memory", "False"),    SPEC("resources:VGPU", "0"),
        SPEC("hw:virtio_packed_ring", "off"), SPEC("hw:cpu_realtime", "no"),
        SPEC("quota:memory_limit", "9"),      SPEC("hw:pci_numa_affinity_policy", "required"),
        SPEC("hw:cpu_realtime_mask", "^0"),   SPEC("resources:VCPU", "1"),
    };

    for (size_t i = 0; i < G_N_ELEMENTS(instances); i++) {
        g_autoptr(GError) err = NULL;
        g_autoptr(GuestSpec) spec = build(*state, instances[i], NULL, NULL, &err);

        assert_null(err);
        assert_non_null(spec);
    }
}

static void values_that_ask_for_nothing_are_accepted(void **state)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GuestSpec) spec = build(
        *state, INSTANCE("", "\"hw:cpu_policy\": \"shared\""),
        "{\"properties\": {\"hw_firmware_type\": \"bios\", \"os_distro\": \"debian\"}}", NULL,
        &err);

    assert_null(err);
    assert_non_null(spec);
}

static void volumes_are_refused(void **state)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GuestSpec)
        spec = build(*state, INSTANCE("", ""), NULL,
                     OBJECT("BlockDeviceMappingList",
                            "{\"objects\": [" OBJECT("BlockDeviceMapping",
                                                     "{\"source_type\": \"volume\", "
                                                     "\"destination_type\": \"volume\"}") "]}"),
                     &err);

    assert_null(spec);
    assert_int_equal(err->code, DV_E_UNSUPPORTED);
}

static void names_follow_the_template(void **state)
{
    Bench *b = *state;
    g_autoptr(Ovo) instance = ovo_parse(INSTANCE("", ""), "Instance", NULL);
    static const struct {
        const char *template, *name;
    } rows[] = {
        {"instance-%08x", "instance-0000002a"},
        {"vm-%d", "vm-42"},
        {"%(uuid)s", UUID},
        {"i%(id)d-100%%", "i42-100%"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *name = NULL;

        b->agent.config.instance_name_template = rows[i].template;
        name = guest_name(&b->agent, instance, NULL);
        assert_string_equal(name, rows[i].name);
    }
    b->agent.config.instance_name_template = "x-%s";
    assert_null(guest_name(&b->agent, instance, NULL));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_plain_instance_gets_novas_defaults),
        T(local_disks_are_named_after_the_root_disk),
        T(image_properties_choose_the_devices),
        T(what_cannot_be_done_is_refused_by_name),
        T(what_the_api_derived_is_refused),
        T(the_words_for_no_ask_for_nothing),
        T(values_that_ask_for_nothing_are_accepted),
        T(volumes_are_refused),
        T(names_follow_the_template),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
