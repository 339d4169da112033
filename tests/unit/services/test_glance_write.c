/* The glance client where it changes images: records, uploads, deletes, and the search for backups.
 */
#include "services/glance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

#include "fakes/keystone.h"

#define ID "11111111-2222-4333-8444-555555555555"
#define RECORD "/v2/images/" ID
#define DATA RECORD "/file"
#define LENGTH 300000

typedef struct Fixture {
    HttpServer *server;
    HttpClient *http;
    ServiceConfig config;
    Service *s;
    DvCtx *ctx;
    char *data; /* of the file */
    int fd;
    GlanceImage image;
} Fixture;

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->server = http_server_new();
    f->http = http_client_new();
    f->config = (ServiceConfig){.name = "glance",
                                .service_type = "image",
                                .endpoint_override = http_server_url(f->server),
                                .user_token_only = true};
    f->s = service_new(f->http, &f->config, NULL);
    f->ctx = dv_ctx_new_blank();
    f->ctx->auth_token = g_strdup("users");
    f->data = g_malloc(LENGTH);
    for (size_t i = 0; i < LENGTH; i++)
        f->data[i] = (char)(i * 7 % 251);
    f->fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(write(f->fd, f->data, LENGTH), LENGTH);
    f->image = (GlanceImage){.id = (char *)ID, .name = (char *)"snap"};
    f->image.properties = g_hash_table_new(g_str_hash, g_str_equal);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    close(f->fd);
    g_hash_table_unref(f->image.properties);
    g_free(f->data);
    dv_ctx_unref(f->ctx);
    service_free(f->s);
    http_client_free(f->http);
    http_server_free(f->server);
    g_free(f);
    return 0;
}

/* ---- records ---- */

static const GlanceSetting settings[] = {
    {"image_location", "snapshot"},
    {"image_state", "available"},
    {"kernel_id", ""},
    {"ramdisk_id", NULL},
    {"name", "snap"},
    {"disk_format", "qcow2"},
};

static bool update(Fixture *f, GError **err)
{
    return glance_image_update(f->s, f->ctx, &f->image, settings, G_N_ELEMENTS(settings), err);
}

/* The request that nova-compute sent for a snapshot (its capture), without what stays as it is. */
static void only_what_differs_is_sent(void **state)
{
    Fixture *f = *state;
    const HttpSeen *seen;
    g_autofree char *type = NULL;

    http_server_json(f->server, "PATCH", RECORD, 200, "{}");
    g_hash_table_insert(f->image.properties, (gpointer) "image_state", (gpointer) "creating");
    assert_true(update(f, NULL));
    seen = http_server_seen(f->server, "PATCH", RECORD, 0);
    type = http_seen_header(seen, "Content-Type");
    assert_string_equal(type, "application/openstack-images-v2.1-json-patch");
    assert_string_equal(seen->body,
                        "[{\"op\":\"add\",\"path\":\"/image_location\",\"value\":\"snapshot\"},"
                        "{\"op\":\"replace\",\"path\":\"/image_state\",\"value\":\"available\"},"
                        "{\"op\":\"replace\",\"path\":\"/disk_format\",\"value\":\"qcow2\"}]");
}

static void nothing_to_change_is_no_request(void **state)
{
    Fixture *f = *state;
    const GlanceSetting same[] = {{"name", "snap"}};

    assert_true(glance_image_update(f->s, f->ctx, &f->image, same, 1, NULL));
    assert_int_equal(http_server_count(f->server, NULL, "*"), 0);
}

static void a_record_that_is_gone_is_said_to_be(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;

    assert_false(update(f, &e1)); /* the server answers 404 to all it was not told */
    assert_int_equal(e1->code, DV_E_IMAGE_NOT_FOUND);
    assert_false(glance_image_delete(f->s, f->ctx, ID, &e2));
    assert_int_equal(e2->code, DV_E_IMAGE_NOT_FOUND);
}

static void an_image_is_deleted(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    http_server_json(f->server, "DELETE", RECORD, 204, "");
    assert_true(glance_image_delete(f->s, f->ctx, ID, NULL));
    http_server_json(f->server, "DELETE", RECORD, 409, "{\"message\": \"in use\"}");
    assert_true(glance_image_delete(f->s, f->ctx, ID, NULL));
    assert_false(glance_image_delete(f->s, f->ctx, ID, &err));
    assert_int_equal(err->code, DV_E_CONFLICT);
    assert_non_null(strstr(err->message, "in use"));
}

/* ---- uploads ---- */

static void on_upload(Fixture *f, int status, unsigned flags)
{
    http_server_on(f->server, "PUT", DATA, &(HttpAnswer){.status = status, .flags = flags});
}

static void assert_sent_whole(Fixture *f, unsigned n)
{
    const HttpSeen *seen = http_server_seen(f->server, "PUT", DATA, n);
    g_autofree char *type = NULL;
    g_autofree char *token = NULL;

    assert_non_null(seen);
    assert_int_equal(seen->body_length, LENGTH);
    assert_memory_equal(seen->body, f->data, LENGTH);
    type = http_seen_header(seen, "Content-Type");
    assert_string_equal(type, "application/octet-stream");
    token = http_seen_header(seen, "X-Auth-Token");
    assert_string_equal(token, "users");
}

static void a_file_is_uploaded_from_its_start(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    on_upload(f, 204, 0);
    lseek(f->fd, 1000, SEEK_SET);
    if (!glance_upload(f->s, f->ctx, ID, f->fd, 0, &err))
        fail_msg("%s", err->message);
    assert_sent_whole(f, 0);
    assert_int_equal(lseek(f->fd, 0, SEEK_CUR), 1000);
}

static void an_empty_file_too(void **state)
{
    Fixture *f = *state;

    on_upload(f, 204, 0);
    assert_int_equal(ftruncate(f->fd, 0), 0);
    assert_true(glance_upload(f->s, f->ctx, ID, f->fd, 0, NULL));
    assert_int_equal(http_server_seen(f->server, "PUT", DATA, 0)->body_length, 0);
}

static void a_lost_connection_is_tried_again_from_the_start(void **state)
{
    Fixture *f = *state;

    on_upload(f, 204, HTTP_NO_ANSWER);
    on_upload(f, 204, 0);
    assert_true(glance_upload(f->s, f->ctx, ID, f->fd, 1, NULL));
    assert_int_equal(http_server_count(f->server, "PUT", DATA), 2);
    assert_sent_whole(f, 1);
}

static void and_no_more_often_than_allowed(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    on_upload(f, 204, HTTP_NO_ANSWER);
    assert_false(glance_upload(f->s, f->ctx, ID, f->fd, 0, &err));
    assert_int_equal(err->code, DV_E_UNAVAILABLE);
    assert_int_equal(http_server_count(f->server, "PUT", DATA), 1);
}

static void refusals_have_their_codes_and_are_not_repeated(void **state)
{
    Fixture *f = *state;
    static const struct {
        int status;
        DvErrorCode code;
    } rows[] = {
        {404, DV_E_IMAGE_NOT_FOUND}, {410, DV_E_IMAGE_NOT_FOUND}, {413, DV_E_IMAGE_QUOTA},
        {409, DV_E_CONFLICT},        {403, DV_E_DENIED},          {400, DV_E_BAD_INPUT},
        {500, DV_E_REMOTE},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;

        http_server_reset(f->server);
        on_upload(f, rows[i].status, 0);
        assert_false(glance_upload(f->s, f->ctx, ID, f->fd, 3, &err));
        assert_int_equal(err->code, rows[i].code);
        assert_non_null(strstr(err->message, ID));
        assert_int_equal(http_server_count(f->server, "PUT", DATA), 1);
    }
}

/* The file is far larger than any memory: an answer in the middle ends the upload, and what was not
 * sent was not read. */
static void a_refusal_in_the_middle_ends_the_upload(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    on_upload(f, 413, HTTP_EARLY);
    assert_int_equal(ftruncate(f->fd, (off_t)1 << 40), 0);
    assert_false(glance_upload(f->s, f->ctx, ID, f->fd, 3, &err));
    assert_int_equal(err->code, DV_E_IMAGE_QUOTA);
}

/* ---- search ---- */

static void backups_are_found_on_all_pages(void **state)
{
    Fixture *f = *state;
    const GlanceSetting wanted[] = {{"image_type", "backup"}, {"backup_type", "a&b"}};
    g_autoptr(GPtrArray) images = NULL;
    const GlanceImage *last;

    http_server_json(f->server, "GET",
                     "/v2/images?image_type=backup&backup_type=a%26b&limit=200&sort_key=created_at&"
                     "sort_dir=desc",
                     200,
                     "{\"images\":[{\"id\":\"1\",\"status\":\"active\"}],"
                     "\"next\":\"/v2/images?marker=1\"}");
    http_server_json(f->server, "GET", "/v2/images?marker=1", 200,
                     "{\"images\":[{\"id\":\"2\",\"status\":\"queued\"}]}");
    assert_true(glance_images_find(f->s, f->ctx, wanted, 2, &images, NULL));
    assert_int_equal(images->len, 2);
    last = g_ptr_array_index(images, 1);
    assert_string_equal(last->id, "2");
}

static void an_endless_list_is_refused(void **state)
{
    Fixture *f = *state;
    const GlanceSetting wanted[] = {{"image_type", "backup"}};
    g_autoptr(GPtrArray) images = NULL;
    g_autoptr(GError) err = NULL;

    http_server_json(f->server, "GET", "/v2/images*", 200,
                     "{\"images\":[],\"next\":\"/v2/images?marker=1\"}");
    assert_false(glance_images_find(f->s, f->ctx, wanted, 1, &images, &err));
    assert_int_equal(err->code, DV_E_BAD_INPUT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(only_what_differs_is_sent),
        T(nothing_to_change_is_no_request),
        T(a_record_that_is_gone_is_said_to_be),
        T(an_image_is_deleted),
        T(a_file_is_uploaded_from_its_start),
        T(an_empty_file_too),
        T(a_lost_connection_is_tried_again_from_the_start),
        T(and_no_more_often_than_allowed),
        T(refusals_have_their_codes_and_are_not_repeated),
        T(a_refusal_in_the_middle_ends_the_upload),
        T(backups_are_found_on_all_pages),
        T(an_endless_list_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
