/* What a booted instance's config drive says: tagged devices where the guest finds them, security
 * groups, the host's domain, and vendor data of a file and of a service. */
#include "flow/interfaces.h"

#include "util/spawn.h"

#include <stdlib.h>
#include <unistd.h>

static json_t *request_with_drive(const char *tag)
{
    json_t *request = fake_agent_boot_request();
    json_t *networks = json_object_get(fake_agent_data(request, "requested_networks"), "objects");
    json_t *second = json_object_get(json_array_get(networks, 1), "nova_object.data");

    json_object_set_new(fake_agent_data(request, "instance"), "config_drive", json_string("True"));
    if (tag)
        json_object_set_new(second, "tag", json_string(tag));
    return request;
}

static void boot(FakeAgent *fake, json_t *request)
{
    fake_agent_boot(fake, request);
    fake_agent_wait(fake, UUID);
}

/* A file of the instance's config drive as text, "" when it is not there. Caller frees. */
static char *drive_file(FakeAgent *fake, const char *name)
{
    g_autofree char *dir = disks_instance_dir(fake_agent(fake)->disks, UUID);
    g_autofree char *image = g_build_filename(dir, "disk.config", NULL);
    g_autofree char *path = g_strconcat("/", name, NULL);
    const char *argv[] = {"isoinfo", "-R", "-i", image, "-x", path, NULL};
    g_autoptr(GError) err = NULL;
    char *out = NULL;

    if (!dv_spawn(&(DvSpawn){.argv = argv}, &out, &err))
        fail_msg("%s", err->message);
    return out;
}

static json_t *drive_json(FakeAgent *fake, const char *name)
{
    g_autofree char *text = drive_file(fake, name);
    json_t *doc = json_loads(text, JSON_DECODE_ANY, NULL);

    if (!doc)
        fail_msg("%s: '%s'", name, text);
    return doc;
}

static void tagged_device_is_told_with_its_address(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = fake_agent_new(NULL);
    g_autofree char *metadata = NULL;
    g_autofree char *record = NULL;
    json_t *doc, *devices, *nic;

    boot(fake, request_with_drive("backup"));
    fake_agent_assert_row(fake, "vm_state", "active");
    doc = drive_json(fake, "openstack/latest/meta_data.json");
    devices = json_object_get(doc, "devices");
    assert_int_equal(json_array_size(devices), 1);
    nic = json_array_get(devices, 0);
    assert_string_equal(json_string_value(json_object_get(nic, "mac")), MAC_B);
    assert_string_equal(json_string_value(json_object_get(nic, "bus")), "pci");
    assert_true(g_str_has_prefix(json_string_value(json_object_get(nic, "address")), "0000:00:"));
    assert_string_equal(json_string_value(json_array_get(json_object_get(nic, "tags"), 0)),
                        "backup");
    json_decref(doc);
    metadata = fake_conductor_field(fake_agent_conductor(fake), UUID, "device_metadata");
    assert_non_null(strstr(metadata, "\"backup\""));
    record = fake_conductor_last(fake_agent_conductor(fake), "VirtualInterface.create");
    assert_non_null(strstr(record, "\"tag\": \"backup\""));
    fake_agent_free(fake);
}

static void without_tags_the_guest_is_defined_once(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = fake_agent_new(NULL);
    json_t *doc;

    boot(fake, request_with_drive(NULL));
    fake_agent_assert_row(fake, "vm_state", "active");
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "define"), 0);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "devices"), 0);
    doc = drive_json(fake, "openstack/latest/meta_data.json");
    assert_int_equal(json_array_size(json_object_get(doc, "devices")), 0);
    assert_string_equal(json_string_value(json_object_get(doc, "hostname")), "fullhost.novalocal");
    json_decref(doc);
    fake_agent_free(fake);
}

static void a_failure_after_the_definition_takes_it_back(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = fake_agent_new(NULL);

    fake_virt_fail(fake_agent_virt(fake), "devices", DV_E_HYPERVISOR, 1);
    boot(fake, request_with_drive("backup"));
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_false(fake_agent_has_disks(fake, UUID));
    fake_agent_free(fake);
    fake = fake_agent_new(NULL);
    fake_virt_fail(fake_agent_virt(fake), "plug", DV_E_VIF_PLUG, 1);
    boot(fake, request_with_drive("backup"));
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    fake_agent_free(fake);
}

static void security_groups_and_domain_are_told(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = fake_agent_new("[api]\ndhcp_domain = example.org\n");
    json_t *doc, *groups;

    boot(fake, request_with_drive(NULL));
    doc = drive_json(fake, "ec2/latest/meta-data.json");
    groups = json_object_get(doc, "security-groups");
    assert_int_equal(json_array_size(groups), 2); /* of each port, as nova has them */
    assert_string_equal(json_string_value(json_array_get(groups, 0)), "default");
    assert_string_equal(json_string_value(json_object_get(doc, "hostname")),
                        "fullhost.example.org");
    json_decref(doc);
    fake_agent_free(fake);
}

static void groups_that_cannot_be_read_fail_the_build(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = fake_agent_new(NULL);

    http_server_json(fake_agent_server(fake), "GET", FLOW_NEUTRON "/security-groups*", 503, "{}");
    boot(fake, request_with_drive(NULL));
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_false(fake_agent_has_disks(fake, UUID));
    fake_agent_free(fake);
}

static void vendor_data_of_a_file_is_told(void **state G_GNUC_UNUSED)
{
    static const char data[] = "{\"cloud-init\": \"#cloud-config\"}";
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "drover-vendor-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    g_autofree char *options = g_strdup_printf("[api]\nvendordata_jsonfile_path = %s\n", path);
    FakeAgent *fake;
    json_t *doc;

    assert_true(fd >= 0 && write(fd, data, strlen(data)) == (ssize_t)strlen(data));
    close(fd);
    fake = fake_agent_new(options);
    boot(fake, request_with_drive(NULL));
    doc = drive_json(fake, "openstack/latest/vendor_data.json");
    assert_non_null(json_object_get(doc, "cloud-init"));
    json_decref(doc);
    doc = drive_json(fake, "openstack/latest/vendor_data2.json");
    assert_non_null(json_object_get(json_object_get(doc, "static"), "cloud-init"));
    json_decref(doc);
    unlink(path);
    fake_agent_free(fake);
}

static void vendor_data_file_that_is_not_there_fails_the_build(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = fake_agent_new(
        "[api]\nvendordata_jsonfile_path = /nonexistent/vendor.json\n");
    g_autofree char *told = NULL;

    boot(fake, request_with_drive(NULL));
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    told = fake_conductor_last(fake_agent_conductor(fake), "build_instances");
    assert_true(!told || !strstr(told, "/nonexistent")); /* no path of the host in a fault */
    fake_agent_free(fake);
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(tagged_device_is_told_with_its_address),
        T(without_tags_the_guest_is_defined_once),
        T(a_failure_after_the_definition_takes_it_back),
        T(security_groups_and_domain_are_told),
        T(groups_that_cannot_be_read_fail_the_build),
        T(vendor_data_of_a_file_is_told),
        T(vendor_data_file_that_is_not_there_fails_the_build),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
