/* Releases, class versions and manifests: the tables against what nova itself sends. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "objects/versions.h"

static void release_names_and_code_names_are_known(void **state G_GNUC_UNUSED)
{
    static const struct {
        const char *name;
        NovaRelease release;
    } rows[] = {
        {"zed", NOVA_ZED},          {"Zed", NOVA_ZED},         {"antelope", NOVA_2023_1},
        {"2023.1", NOVA_2023_1},    {"bobcat", NOVA_2023_1},   {"caracal", NOVA_2024_1},
        {"dalmatian", NOVA_2024_1}, {"epoxy", NOVA_2025_1},    {"flamingo", NOVA_2025_2},
        {"2025.2", NOVA_2025_2},    {"gazpacho", NOVA_2026_1},
    };
    NovaRelease release = NOVA_RELEASES;

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        assert_true(nova_release_parse(rows[i].name, &release));
        assert_int_equal(release, rows[i].release);
    }
    assert_false(nova_release_parse("yoga", &release));
    assert_false(nova_release_parse("", &release));
    assert_false(nova_release_parse(NULL, &release));
}

static void a_service_version_names_the_newest_release_it_covers(void **state G_GNUC_UNUSED)
{
    assert_int_equal(nova_release_of_service_version(0), NOVA_ZED);
    assert_int_equal(nova_release_of_service_version(64), NOVA_ZED);
    assert_int_equal(nova_release_of_service_version(65), NOVA_ZED);
    assert_int_equal(nova_release_of_service_version(66), NOVA_2023_1);
    assert_int_equal(nova_release_of_service_version(69), NOVA_2025_1);
    assert_int_equal(nova_release_of_service_version(72), NOVA_2026_1);
    assert_int_equal(nova_release_of_service_version(1000), NOVA_2026_1);
    for (int r = 0; r < NOVA_RELEASES; r++)
        assert_int_equal(nova_release_of_service_version(nova_release_service_version(r)), r);
}

static void classes_have_the_version_of_the_release(void **state G_GNUC_UNUSED)
{
    assert_string_equal(ovo_version_of(NOVA_ZED, "Instance"), "2.7");
    assert_string_equal(ovo_version_of(NOVA_2024_1, "Instance"), "2.8");
    assert_string_equal(ovo_version_of(NOVA_2025_1, "LibvirtLiveMigrateData"), "1.13");
    assert_string_equal(ovo_version_of(NOVA_2026_1, "XenDeviceBus"), "1.0");
    assert_string_equal(ovo_version_of(NOVA_2026_1, "BlockDeviceMapping"), "1.21");
    assert_null(ovo_version_of(NOVA_ZED, "BuildRequest"));
    assert_null(ovo_manifest(NOVA_ZED, "BuildRequest"));
    assert_string_equal(nova_release_compute_rpc(NOVA_ZED), "6.1");
}

static void assert_manifest(NovaRelease release, const char *name, const char *text)
{
    json_auto_t *want = json_loads(text, 0, NULL);
    json_auto_t *got = ovo_manifest(release, name);

    assert_non_null(want);
    if (!json_equal(want, got)) {
        char *dump = json_dumps(got, JSON_SORT_KEYS);

        print_error("%s: %s\n", name, dump);
        free(dump);
        fail();
    }
}

/* As a nova-compute of Zed was seen to send them. */
static void manifests_are_those_that_nova_sends(void **state G_GNUC_UNUSED)
{
    assert_manifest(NOVA_ZED, "Service",
                    "{\"Service\": \"1.22\", \"ComputeNode\": \"1.19\", \"HVSpec\": \"1.2\","
                    " \"PciDevicePoolList\": \"1.1\", \"PciDevicePool\": \"1.1\"}");
    assert_manifest(NOVA_ZED, "MigrationList",
                    "{\"MigrationList\": \"1.5\", \"Migration\": \"1.7\"}");
    assert_manifest(NOVA_2026_1, "MigrationList",
                    "{\"MigrationList\": \"1.5\", \"Migration\": \"1.8\"}");
    assert_manifest(
        NOVA_ZED, "InstanceList",
        "{\"InstanceList\": \"2.6\", \"Instance\": \"2.7\", \"EC2Ids\": \"1.0\","
        " \"Flavor\": \"1.2\", \"InstanceDeviceMetadata\": \"1.0\", \"DeviceMetadata\": \"1.0\","
        " \"DeviceBus\": \"1.0\", \"InstanceFault\": \"1.2\", \"InstanceInfoCache\": \"1.5\","
        " \"InstanceNUMATopology\": \"1.3\", \"InstanceNUMACell\": \"1.6\","
        " \"VirtCPUTopology\": \"1.0\", \"InstancePCIRequests\": \"1.1\","
        " \"InstancePCIRequest\": \"1.4\", \"KeyPairList\": \"1.3\", \"KeyPair\": \"1.4\","
        " \"MigrationContext\": \"1.2\", \"PciDeviceList\": \"1.3\", \"PciDevice\": \"1.7\","
        " \"ResourceList\": \"1.0\", \"Resource\": \"1.0\", \"ResourceMetadata\": \"1.0\","
        " \"SecurityGroupList\": \"1.1\", \"SecurityGroup\": \"1.2\", \"ServiceList\": \"1.19\","
        " \"Service\": \"1.22\", \"ComputeNode\": \"1.19\", \"HVSpec\": \"1.2\","
        " \"PciDevicePoolList\": \"1.1\", \"PciDevicePool\": \"1.1\", \"TagList\": \"1.1\","
        " \"Tag\": \"1.1\", \"TrustedCerts\": \"1.0\", \"VirtCPUModel\": \"1.0\","
        " \"VirtCPUFeature\": \"1.0\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(release_names_and_code_names_are_known),
        cmocka_unit_test(a_service_version_names_the_newest_release_it_covers),
        cmocka_unit_test(classes_have_the_version_of_the_release),
        cmocka_unit_test(manifests_are_those_that_nova_sends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
