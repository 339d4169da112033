/* The image cache from the agent's side: images fetched by request, and the periodic pass that
 * knows from conductor whose images are in use. */
#include "fakes/agent.h"

#include "agent/image_cache.h"
#include "agent/methods.h"
#include "util/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

#define OTHER_ID "d6a63153-ad22-4f34-a32a-83f752bce2ab"
#define OTHER "/image/v2/images/" OTHER_ID
#define DAY_S 86400

static int setup(void **state)
{
    *state = fake_agent_new(NULL);
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

static char *base_path(FakeAgent *fake, const char *image)
{
    g_autofree char *name = g_compute_checksum_for_string(G_CHECKSUM_SHA1, image, -1);

    return g_build_filename(fake_agent(fake)->config.instances_path, "_base", name, NULL);
}

static void make_old(FakeAgent *fake, const char *image)
{
    g_autofree char *path = base_path(fake, image);
    g_autofree char *folder = g_path_get_dirname(path);
    struct timespec then = {.tv_sec = dv_clock_wall_ms(dv_clock_real()) / 1000 - 2 * DAY_S};

    assert_true(dv_mkdirs(folder, 0755, NULL));
    if (!dv_exists(path))
        assert_true(dv_write_file(path, "base", 4, 0644, NULL));
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){then, then}, 0), 0);
}

static bool is_cached(FakeAgent *fake, const char *image)
{
    g_autofree char *path = base_path(fake, image);

    return dv_exists(path);
}

/* ---- by request ---- */

/* The answer of cache_images to a list of ids; the caller's. */
static json_t *cache(FakeAgent *fake, json_t *ids)
{
    json_t *message = json_pack("{s:o}", "image_ids", ids);
    g_autoptr(Ovo) args = ovo_view_dict(message, NULL);
    g_autoptr(GError) err = NULL;
    json_t *result = NULL;

    json_decref(message);
    if (!dispatch_run(fake_agent(fake), methods_find("cache_images"), fake_agent_ctx(fake), args,
                      false, &result, &err))
        fail_msg("%s", err->message);
    return result;
}

static void assert_outcome(const json_t *result, const char *id, const char *outcome)
{
    assert_string_equal(json_string_value(json_object_get(result, id)), outcome);
}

static void each_image_has_its_outcome(void **state)
{
    FakeAgent *fake = *state;
    json_t *result;

    http_server_json(fake_agent_server(fake), "GET", OTHER, 200,
                     "{\"id\":\"" OTHER_ID "\",\"status\":\"queued\"}");
    result = cache(fake, json_pack("[s, s, s]", FLOW_IMAGE, OTHER_ID, "nobody's"));
    assert_int_equal(json_object_size(result), 3);
    assert_outcome(result, FLOW_IMAGE, "cached");
    assert_outcome(result, OTHER_ID, "error");
    assert_outcome(result, "nobody's", "error");
    json_decref(result);
    assert_true(is_cached(fake, FLOW_IMAGE));
    assert_false(is_cached(fake, OTHER_ID));
    result = cache(fake, json_pack("[s]", FLOW_IMAGE));
    assert_outcome(result, FLOW_IMAGE, "existing");
    json_decref(result);
    assert_int_equal(http_server_count(fake_agent_server(fake), "GET", FLOW_GLANCE "/file"), 1);
}

/* What a boot would refuse is not cached either. */
static void a_hostile_image_is_an_error(void **state)
{
    /* version 3, a backing file's name of 16 bytes at 512, clusters of 64 KiB, 1 MiB in all */
    static const char head[] = "QFI\xfb\0\0\0\3\0\0\0\0\0\0\2\0\0\0\0\x10\0\0\0\x10"
                               "\0\0\0\0\0\x10\0\0";
    FakeAgent *fake = *state;
    g_autofree char *data = g_malloc0(65536);
    json_t *result;

    memcpy(data, head, sizeof head - 1);
    http_server_json(fake_agent_server(fake), "GET", OTHER, 200,
                     "{\"id\":\"" OTHER_ID "\",\"status\":\"active\",\"size\":65536,"
                     "\"disk_format\":\"qcow2\",\"container_format\":\"bare\"}");
    http_server_on(fake_agent_server(fake), "GET", OTHER "/file",
                   &(HttpAnswer){.body = data, .length = 65536});
    result = cache(fake, json_pack("[s]", OTHER_ID));
    assert_outcome(result, OTHER_ID, "error");
    json_decref(result);
    assert_false(is_cached(fake, OTHER_ID));
}

/* ---- the periodic pass ---- */

static void answer_instances(FakeAgent *fake, json_t *objects)
{
    fake_conductor_answer(
        fake_agent_conductor(fake), "InstanceList.get_by_filters",
        fake_agent_object("InstanceList", "2.6", json_pack("{s:o}", "objects", objects)));
}

static json_t *instance_of(const char *image)
{
    return fake_agent_object("Instance", "2.7",
                             json_pack("{s:s, s:s, s:s, s:n}", "uuid", FLOW_UUID, "image_ref",
                                       image, "kernel_id", "", "ramdisk_id"));
}

static void pass(FakeAgent *fake)
{
    g_autoptr(GError) err = NULL;

    if (!image_cache_pass(fake_agent(fake), fake_agent_ctx(fake), &err))
        fail_msg("%s", err->message);
}

static void images_of_instances_stay_and_others_go(void **state)
{
    FakeAgent *fake = *state;

    make_old(fake, FLOW_IMAGE);
    make_old(fake, OTHER_ID);
    answer_instances(fake, json_pack("[o]", instance_of(OTHER_ID)));
    pass(fake);
    assert_true(is_cached(fake, OTHER_ID));
    assert_false(is_cached(fake, FLOW_IMAGE));
}

static void the_disk_of_a_guest_keeps_its_image(void **state)
{
    FakeAgent *fake = *state;

    fake_agent_boot(fake, fake_agent_boot_request());
    fake_agent_wait(fake, FLOW_UUID);
    make_old(fake, FLOW_IMAGE);
    answer_instances(fake, json_array());
    pass(fake);
    assert_true(is_cached(fake, FLOW_IMAGE));
}

/* nova-compute on another host of this folder reads the same file. */
static void all_users_of_the_folder_are_asked_for(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *path = g_build_filename(fake_agent(fake)->config.instances_path,
                                             "compute_nodes", NULL);
    g_autofree char *other = g_strdup_printf("{\"cmp2\": %.3f, \"gone\": 1600000000.5}",
                                             (double)dv_clock_wall_ms(dv_clock_real()) / 1000 - 60);
    g_autofree char *asked = NULL;
    g_autofree char *text = NULL;

    assert_true(dv_write_file(path, other, strlen(other), 0644, NULL));
    answer_instances(fake, json_array());
    pass(fake);
    asked = fake_conductor_last(fake_agent_conductor(fake), "InstanceList.get_by_filters");
    assert_non_null(strstr(asked, "\"cmp2\""));
    assert_non_null(strstr(asked, "\"vm\""));
    assert_null(strstr(asked, "\"gone\""));
    assert_non_null(strstr(asked, "soft_deleted"));
    assert_true(dv_read_file(path, 10000, &text, NULL, NULL));
    assert_non_null(strstr(text, "\"vm\""));
    assert_non_null(strstr(text, "\"gone\""));
}

static void without_the_listing_nothing_goes(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(GError) err = NULL;

    make_old(fake, FLOW_IMAGE);
    fake_conductor_fail(fake_agent_conductor(fake), "InstanceList.get_by_filters", "timeout");
    assert_false(image_cache_pass(fake_agent(fake), fake_agent_ctx(fake), &err));
    assert_true(is_cached(fake, FLOW_IMAGE));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_image_has_its_outcome),
        T(a_hostile_image_is_an_error),
        T(images_of_instances_stay_and_others_go),
        T(the_disk_of_a_guest_keeps_its_image),
        T(all_users_of_the_folder_are_asked_for),
        T(without_the_listing_nothing_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
