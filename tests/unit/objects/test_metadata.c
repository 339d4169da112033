/* The config drive's files: which there are, and what stands in them. The exact comparison with
 * nova's is tests/interop/metadata. */
#include "objects/metadata.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define INSTANCE(fields)                                                            \
    "{\"nova_object.name\": \"Instance\", \"nova_object.namespace\": \"nova\", "    \
    "\"nova_object.version\": \"2.7\", \"nova_object.data\": {\"uuid\": \"0f5e\", " \
    "\"hostname\": \"web\", \"display_name\": \"Web\", \"project_id\": \"p1\", "    \
    "\"launch_index\": 0, \"availability_zone\": \"nova\", "                        \
    "\"root_device_name\": \"/dev/vda\"" fields "}}"

static const char network_text[] =
    "[{\"id\": \"port1\", \"address\": \"fa:16:3e:05:cb:53\", \"type\": \"bridge\", "
    "\"devname\": \"tapport1\", \"network\": {\"id\": \"net1\", \"bridge\": \"br\", "
    "\"label\": \"n\", \"meta\": {\"mtu\": 1450}, \"subnets\": [{\"cidr\": \"10.0.16.0/20\", "
    "\"version\": 4, \"meta\": {}, \"dns\": [{\"address\": \"8.8.8.8\", \"version\": 4}], "
    "\"gateway\": {\"address\": \"10.0.16.1\", \"version\": 4}, \"ips\": [{\"address\": "
    "\"10.0.16.5\", \"version\": 4, \"floating_ips\": [{\"address\": \"203.0.113.9\"}]}], "
    "\"routes\": []}]}}]";

static GPtrArray *files_of(const char *text, const char *network, const MetadataExtra *extra)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) instance = ovo_parse(text, "Instance", &err);
    g_autoptr(NetworkInfo) info = network ? network_info_parse(network, &err) : NULL;
    GPtrArray *files = NULL;

    if (!err)
        files = metadata_files(instance, info, extra, &err);
    if (!files)
        fail_msg("%s", err->message);
    return files;
}

static const MetadataFile *find(const GPtrArray *files, const char *path)
{
    for (guint i = 0; i < files->len; i++) {
        const MetadataFile *file = g_ptr_array_index(files, i);

        if (g_str_equal(file->path, path))
            return file;
    }
    return NULL;
}

static json_t *doc_of(const GPtrArray *files, const char *path)
{
    const MetadataFile *file = find(files, path);
    json_t *doc = file ? json_loadb(file->data, file->length, JSON_DECODE_ANY, NULL) : NULL;

    if (!doc)
        fail_msg("%s: not there or no JSON", path);
    return doc;
}

static const char *text_at(const json_t *doc, const char *key)
{
    return json_string_value(json_object_get(doc, key));
}

static void each_version_adds_its_files(void **state G_GNUC_UNUSED)
{
    static const struct {
        const char *path;
        bool there;
    } rows[] = {
        {"openstack/2012-08-10/meta_data.json", true},
        {"openstack/2012-08-10/vendor_data.json", false},
        {"openstack/2012-08-10/user_data", false},
        {"openstack/2013-10-17/vendor_data.json", true},
        {"openstack/2013-10-17/network_data.json", false},
        {"openstack/2015-10-15/network_data.json", true},
        {"openstack/2016-06-30/vendor_data2.json", false},
        {"openstack/2016-10-06/vendor_data2.json", true},
        {"openstack/2018-08-27/meta_data.json", true},
        {"openstack/2020-10-14/meta_data.json", true},
        {"openstack/latest/network_data.json", true},
        {"ec2/2009-04-04/meta-data.json", true},
        {"ec2/2008-09-01/meta-data.json", false}, /* skipped by default */
        {"ec2/latest/meta-data.json", true},
        {"openstack/content/0000", false},
    };
    g_autoptr(GPtrArray) files = files_of(INSTANCE(""), NULL, NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if ((find(files, rows[i].path) != NULL) != rows[i].there)
            fail_msg("%s", rows[i].path);
}

static void each_version_adds_its_members(void **state G_GNUC_UNUSED)
{
    static const struct {
        const char *version, *member;
        bool there;
    } rows[] = {
        {"2012-08-10", "random_seed", false},
        {"2013-04-04", "random_seed", true},
        {"2013-10-17", "project_id", false},
        {"2015-10-15", "project_id", true},
        {"2015-10-15", "devices", false},
        {"2016-06-30", "devices", true},
        {"2018-08-27", "dedicated_cpus", false},
        {"2020-10-14", "dedicated_cpus", true},
        {"latest", "dedicated_cpus", true},
        {"latest", "admin_pass", false},
        {"latest", "meta", false},
        {"latest", "files", false},
        {"latest", "public_keys", false},
    };
    g_autoptr(GPtrArray) files = files_of(INSTANCE(""), NULL, NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("openstack/%s/meta_data.json", rows[i].version);
        json_auto_t *doc = doc_of(files, path);

        if ((json_object_get(doc, rows[i].member) != NULL) != rows[i].there)
            fail_msg("%s in %s", rows[i].member, path);
    }
}

static void the_hostname_carries_the_domain(void **state G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) usual = files_of(INSTANCE(""), NULL, NULL);
    g_autoptr(GPtrArray) bare = files_of(INSTANCE(""), NULL, &(MetadataExtra){.dhcp_domain = ""});
    json_auto_t *a = doc_of(usual, "openstack/latest/meta_data.json");
    json_auto_t *b = doc_of(bare, "openstack/latest/meta_data.json");

    assert_string_equal(text_at(a, "hostname"), "web.novalocal");
    assert_string_equal(text_at(b, "hostname"), "web");
    assert_string_equal(text_at(a, "name"), "Web");
}

static void random_seeds_differ_from_document_to_document(void **state G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) files = files_of(INSTANCE(""), NULL, NULL);
    json_auto_t *a = doc_of(files, "openstack/2013-04-04/meta_data.json");
    json_auto_t *b = doc_of(files, "openstack/latest/meta_data.json");

    assert_int_equal(strlen(text_at(a, "random_seed")), 684); /* 512 bytes in base64 */
    assert_string_not_equal(text_at(a, "random_seed"), text_at(b, "random_seed"));
}

static void user_data_is_decoded_into_every_version(void **state G_GNUC_UNUSED)
{
    static const char *const paths[] = {"openstack/2012-08-10/user_data",
                                        "openstack/latest/user_data", "ec2/latest/user-data"};
    g_autoptr(GPtrArray) files = files_of(INSTANCE(", \"user_data\": \"AP9h\""), NULL, NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        const MetadataFile *file = find(files, paths[i]);

        assert_non_null(file);
        assert_int_equal(file->length, 3);
        assert_memory_equal(file->data,
                            "\x00\xff"
                            "a",
                            3);
    }
}

static void user_data_that_is_no_base64_is_refused(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) instance = ovo_parse(INSTANCE(", \"user_data\": \"****\""), "Instance", NULL);
    g_autoptr(GError) err = NULL;

    assert_null(metadata_files(instance, NULL, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
}

static void injected_files_are_content(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) dict = ovo_new_dict();
    g_autoptr(GPtrArray) files = NULL;
    const MetadataFile *file;

    ovo_set_json(dict, "injected_files",
                 json_loads("[[\"/etc/motd\", \"aGVsbG8=\"], [\"/x\", \"\"]]", 0, NULL));
    files = files_of(INSTANCE(""), NULL,
                     &(MetadataExtra){.injected_files = dict, .admin_password = "secret"});
    file = find(files, "openstack/content/0000");
    assert_non_null(file);
    assert_string_equal(file->data, "hello");
    assert_int_equal(find(files, "openstack/content/0001")->length, 0);
    {
        json_auto_t *doc = doc_of(files, "openstack/latest/meta_data.json");
        const json_t *second = json_array_get(json_object_get(doc, "files"), 1);

        assert_string_equal(text_at(second, "path"), "/x");
        assert_string_equal(text_at(second, "content_path"), "/content/0001");
        assert_string_equal(text_at(doc, "admin_pass"), "secret");
    }
}

static void broken_injected_files_are_refused(void **state G_GNUC_UNUSED)
{
    static const char *const lists[] = {"[[\"/a\"]]", "[3]", "[[\"/a\", 5]]", "[[\"/a\", \"*\"]]"};

    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
        g_autoptr(Ovo) instance = ovo_parse(INSTANCE(""), "Instance", NULL);
        g_autoptr(Ovo) dict = ovo_new_dict();
        g_autoptr(GError) err = NULL;

        ovo_set_json(dict, "injected_files", json_loads(lists[i], 0, NULL));
        assert_null(metadata_files(instance, NULL, &(MetadataExtra){.injected_files = dict}, &err));
        assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
    }
}

static void a_static_network_is_spelled_out(void **state G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) files = files_of(INSTANCE(""), network_text, NULL);
    json_auto_t *doc = doc_of(files, "openstack/latest/network_data.json");
    json_auto_t *ec2 = doc_of(files, "ec2/latest/meta-data.json");
    const json_t *net = json_array_get(json_object_get(doc, "networks"), 0);
    const json_t *link = json_array_get(json_object_get(doc, "links"), 0);

    assert_string_equal(text_at(net, "type"), "ipv4");
    assert_string_equal(text_at(net, "netmask"), "255.255.240.0");
    assert_string_equal(text_at(net, "link"), "tapport1");
    assert_string_equal(text_at(json_array_get(json_object_get(net, "routes"), 0), "gateway"),
                        "10.0.16.1");
    assert_int_equal(json_integer_value(json_object_get(link, "mtu")), 1450);
    assert_int_equal(json_array_size(json_object_get(doc, "services")), 1);
    assert_string_equal(text_at(ec2, "local-ipv4"), "10.0.16.5");
    assert_string_equal(text_at(ec2, "public-ipv4"), "203.0.113.9");
}

static void vendor_data_is_static_text_of_the_operator(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) instance = ovo_parse(INSTANCE(""), "Instance", NULL);
    g_autoptr(GPtrArray)
        files = files_of(INSTANCE(""), NULL, &(MetadataExtra){.vendordata_json = "{\"a\": 1}"});
    json_auto_t *doc = doc_of(files, "openstack/latest/vendor_data2.json");
    g_autoptr(GError) err = NULL;

    assert_int_equal(json_integer_value(json_object_get(json_object_get(doc, "static"), "a")), 1);
    assert_null(metadata_files(instance, NULL, &(MetadataExtra){.vendordata_json = "{"}, &err));
    assert_int_equal(dv_code(err), DV_E_BAD_CONFIG);
}

static void wrong_types_in_an_instance_do_no_harm(void **state G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) files = files_of(
        INSTANCE(", \"metadata\": [1], \"keypairs\": 5, \"device_metadata\": {\"a\": [2]}, "
                 "\"numa_topology\": [], \"flavor\": \"x\", \"ec2_ids\": 1, \"key_name\": \"k\""),
        NULL, NULL);

    assert_non_null(find(files, "openstack/latest/meta_data.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_version_adds_its_files),
        cmocka_unit_test(each_version_adds_its_members),
        cmocka_unit_test(the_hostname_carries_the_domain),
        cmocka_unit_test(random_seeds_differ_from_document_to_document),
        cmocka_unit_test(user_data_is_decoded_into_every_version),
        cmocka_unit_test(user_data_that_is_no_base64_is_refused),
        cmocka_unit_test(injected_files_are_content),
        cmocka_unit_test(broken_injected_files_are_refused),
        cmocka_unit_test(a_static_network_is_spelled_out),
        cmocka_unit_test(vendor_data_is_static_text_of_the_operator),
        cmocka_unit_test(wrong_types_in_an_instance_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
