/* The description of a guest for its destination: against what nova-compute makes of the same one
 * (data/migrate_nova.xml is nova's get_updated_guest_xml on data/migrate_guest.xml), and part by
 * part; and the description of a CPU. */
#include "virt/libvirt/libvirt_priv.h"

#include "unit/virt/xml_compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DATA "tests/unit/virt/data/"

static const VirtConfig config = {.virt_type = "qemu"};

static char *guest(void)
{
    char *text = NULL;

    assert_true(g_file_get_contents(DATA "migrate_guest.xml", &text, NULL, NULL));
    return text;
}

static char *rewrite(const VirtDestination *destination)
{
    g_autofree char *xml = guest();
    g_autoptr(GError) err = NULL;
    char *out = NULL;

    if (!migrate_xml_rewrite(xml, &config, destination, &out, &err))
        fail_msg("%s", err->message);
    return out;
}

static NicSpec nic(const char *mac, const char *device, const char *bridge)
{
    return (NicSpec){
        .port_id = (char *)"73d86ab9-e033-41c0-b279-c17b6e5dfed0",
        .mac = (char *)mac,
        .devname = (char *)device,
        .model = (char *)"virtio",
        .type = (char *)"bridge",
        .bridge = (char *)bridge,
        .mtu = 1450,
    };
}

static void is_what_nova_makes_of_it(void **state G_GNUC_UNUSED)
{
    static const char *const events[] = {"cpu_clock", "cmt", NULL};
    static const int ports[] = {10007, 10008};
    NicSpec first = nic("fa:16:3e:00:00:01", "tap73d86ab9-e0", "brq11111111-aa");
    NicSpec second = nic("fa:16:3e:00:00:02", "tap4ac04e8f-64", "brq22222222-aa");
    g_autoptr(GPtrArray) nics = g_ptr_array_new();
    g_autofree char *nova = NULL, *wanted = NULL, *ours = NULL, *is = NULL;

    g_ptr_array_add(nics, &second);
    g_ptr_array_add(nics, &first);
    ours = rewrite(&(VirtDestination){.vnc_listen = "198.18.0.12",
                                      .spice_listen = "198.18.0.12",
                                      .serial_listen = "198.18.0.12",
                                      .serial_ports = ports,
                                      .serial_port_count = 2,
                                      .nics = nics,
                                      .perf_events = events});
    assert_true(g_file_get_contents(DATA "migrate_nova.xml", &nova, NULL, NULL));
    wanted = xml_canonical(nova, NULL);
    is = xml_canonical(ours, NULL);
    assert_string_equal(is, wanted);
}

static void nothing_said_changes_no_device(void **state G_GNUC_UNUSED)
{
    g_autofree char *ours = rewrite(&(VirtDestination){.keep_cpu_shares = true});

    assert_non_null(strstr(ours, "listen=\"198.18.0.11\""));
    assert_null(strstr(ours, "198.18.0.12"));
    assert_non_null(strstr(ours, "service=\"10001\""));
    assert_non_null(strstr(ours, "<source bridge=\"brq11111111-aa\"/>"));
    assert_non_null(strstr(ours, "<shares>1024</shares>"));
    assert_non_null(strstr(ours, "cpuset=\"0-1\""));
    /* The destination counts no events and keeps no memory in files, unless it says so. */
    assert_null(strstr(ours, "<event "));
    assert_null(strstr(ours, "<source type=\"file\"/>"));
}

static void a_destination_may_want_other_cpus_and_file_backed_memory(void **state G_GNUC_UNUSED)
{
    g_autofree char *other = rewrite(
        &(VirtDestination){.cpuset = "4-7", .file_backed_memory = true});
    g_autofree char *none = rewrite(&(VirtDestination){.cpuset = ""});

    assert_non_null(strstr(other, "cpuset=\"4-7\""));
    assert_non_null(strstr(other, "<source type=\"file\"/>"));
    assert_non_null(strstr(other, "<discard/>"));
    assert_null(strstr(other, "<cputune>"));
    assert_null(strstr(none, "cpuset"));
}

static void a_port_becomes_the_destinations(void **state G_GNUC_UNUSED)
{
    NicSpec first = nic("FA:16:3E:00:00:01", "tap73d86ab9-e0", "br-int");
    NicSpec second = nic("fa:16:3e:00:00:02", "tap4ac04e8f-64", "br-int");
    g_autoptr(GPtrArray) nics = g_ptr_array_new();
    g_autofree char *ours = NULL;
    g_autoptr(xmlDoc) doc = NULL;
    g_autofree char *address = NULL, *port = NULL, *mtu = NULL;

    first.type = second.type = (char *)"ovs";
    g_ptr_array_add(nics, &first);
    g_ptr_array_add(nics, &second);
    ours = rewrite(&(VirtDestination){.nics = nics});
    doc = xml_parse(ours, "ours", NULL);
    port = xml_find(doc, "/domain/devices/interface[1]/virtualport[@type='openvswitch']"
                         "/parameters/@interfaceid");
    assert_string_equal(port, first.port_id);
    /* The guest finds it where it was, and is told of an MTU only if it was before. */
    address = xml_find(doc, "/domain/devices/interface[1]/address/@slot");
    assert_string_equal(address, "0x03");
    mtu = xml_find(doc, "/domain/devices/interface[1]/mtu/@size");
    assert_string_equal(mtu, "1450");
    assert_null(xml_find(doc, "/domain/devices/interface[2]/mtu"));
}

static void a_port_that_the_destination_lacks_is_refused(void **state G_GNUC_UNUSED)
{
    NicSpec first = nic("fa:16:3e:00:00:01", "tap73d86ab9-e0", "brq11111111-aa");
    g_autoptr(GPtrArray) nics = g_ptr_array_new();
    g_autofree char *xml = guest();
    g_autoptr(GError) err = NULL;
    char *out = NULL;

    g_ptr_array_add(nics, &first);
    assert_false(migrate_xml_rewrite(xml, &config, &(VirtDestination){.nics = nics}, &out, &err));
    assert_int_equal(err->code, DV_E_MIGRATION_PRECHECK);
    assert_non_null(strstr(err->message, "fa:16:3e:00:00:02"));
    assert_null(out);
}

static void equal_macs_are_told_apart_by_their_taps(void **state G_GNUC_UNUSED)
{
    NicSpec wrong = nic("fa:16:3e:00:00:01", "tap00000000-00", "brq-wrong");
    NicSpec right = nic("fa:16:3e:00:00:01", "tap73d86ab9-e0", "brq-right");
    NicSpec second = nic("fa:16:3e:00:00:02", "tap4ac04e8f-64", "brq-second");
    g_autoptr(GPtrArray) nics = g_ptr_array_new();
    g_autofree char *ours = NULL;

    g_ptr_array_add(nics, &wrong);
    g_ptr_array_add(nics, &right);
    g_ptr_array_add(nics, &second);
    ours = rewrite(&(VirtDestination){.nics = nics});
    assert_non_null(strstr(ours, "brq-right"));
    assert_null(strstr(ours, "brq-wrong"));
}

static void a_cpu_is_described_as_libvirt_compares_it(void **state G_GNUC_UNUSED)
{
    g_autoptr(VirtCpu) cpu = virt_cpu_new();
    g_autofree char *text = NULL;
    g_autofree char *is = NULL;
    g_autofree char *wanted = xml_canonical(
        "<cpu mode='custom' match='exact'><arch>x86_64</arch><model>Haswell</model>"
        "<vendor>Intel</vendor><topology sockets='1' cores='2' threads='1'/>"
        "<feature name='avx' policy='require'/><feature name='sse2'/></cpu>",
        NULL);

    cpu->arch = g_strdup("x86_64");
    cpu->model = g_strdup("Haswell");
    cpu->vendor = g_strdup("Intel");
    cpu->mode = g_strdup("custom");
    cpu->match = g_strdup("exact");
    cpu->sockets = 1;
    cpu->cores = 2;
    cpu->threads = 1;
    virt_cpu_add_feature(cpu, "avx", "require");
    virt_cpu_add_feature(cpu, "sse2", NULL);
    text = xml_cpu_text(cpu);
    is = xml_canonical(text, NULL);
    assert_string_equal(is, wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_what_nova_makes_of_it),
        cmocka_unit_test(nothing_said_changes_no_device),
        cmocka_unit_test(a_destination_may_want_other_cpus_and_file_backed_memory),
        cmocka_unit_test(a_port_becomes_the_destinations),
        cmocka_unit_test(a_port_that_the_destination_lacks_is_refused),
        cmocka_unit_test(equal_macs_are_told_apart_by_their_taps),
        cmocka_unit_test(a_cpu_is_described_as_libvirt_compares_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
