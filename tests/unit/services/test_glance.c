/* The glance client: records, and downloads that come whole, broken, late or too large. */
#include "services/glance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fakes/keystone.h"

#define ID "11111111-2222-4333-8444-555555555555"
#define RECORD "/v2/images/" ID
#define DATA RECORD "/file"

typedef struct Fixture {
    HttpServer *server;
    HttpClient *http;
    ServiceConfig config;
    Service *s;
    DvCtx *ctx;
    char *data; /* what the image holds */
    size_t length;
    int fd;
    GlanceImage image;
} Fixture;

static char *checksum(GChecksumType type, const Fixture *f)
{
    return g_compute_checksum_for_data(type, (const guchar *)f->data, f->length);
}

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
    f->length = 300000;
    f->data = g_malloc(f->length);
    for (size_t i = 0; i < f->length; i++)
        f->data[i] = (char)(i * 7 % 251);
    f->fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(f->fd >= 0);
    f->image = (GlanceImage){.id = g_strdup(ID),
                             .size_bytes = (int64_t)f->length,
                             .checksum = checksum(G_CHECKSUM_MD5, f),
                             .hash_algo = g_strdup("sha512"),
                             .hash_value = checksum(G_CHECKSUM_SHA512, f)};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    close(f->fd);
    g_free(f->image.id);
    g_free(f->image.checksum);
    g_free(f->image.hash_algo);
    g_free(f->image.hash_value);
    g_free(f->data);
    dv_ctx_unref(f->ctx);
    service_free(f->s);
    http_client_free(f->http);
    http_server_free(f->server);
    g_free(f);
    return 0;
}

static void on_data(Fixture *f, unsigned flags)
{
    http_server_on(f->server, "GET", DATA,
                   &(HttpAnswer){.body = f->data, .length = f->length, .flags = flags});
}

static void assert_file_is_the_image(Fixture *f)
{
    g_autofree char *got = g_malloc(f->length + 1);

    assert_int_equal(pread(f->fd, got, f->length + 1, 0), f->length);
    assert_memory_equal(got, f->data, f->length);
}

static void a_record_is_read(void **state)
{
    Fixture *f = *state;
    g_autoptr(GlanceImage) image = NULL;
    const HttpSeen *seen;
    g_autofree char *token = NULL;

    http_server_json(
        f->server, "GET", RECORD, 200,
        "{\"id\":\"" ID "\",\"name\":\"cirros\",\"status\":\"active\",\"visibility\":\"public\","
        "\"size\":19530240,\"virtual_size\":null,\"disk_format\":\"qcow2\",\"container_format\":"
        "\"bare\",\"checksum\":\"abc\",\"os_hash_algo\":\"sha512\",\"os_hash_value\":\"def\","
        "\"os_hidden\":false,\"protected\":false,\"min_disk\":1,\"min_ram\":64,\"tags\":[],"
        "\"owner\":\"p\",\"created_at\":\"x\",\"updated_at\":\"x\",\"self\":\"x\",\"file\":\"x\","
        "\"schema\":\"x\",\"stores\":\"local\",\"hw_disk_bus\":\"virtio\",\"os_distro\":null,"
        "\"a_number\":7,\"a_bool\":true}");
    assert_true(glance_image_get(f->s, f->ctx, ID, &image, NULL));
    assert_string_equal(image->id, ID);
    assert_string_equal(image->name, "cirros");
    assert_string_equal(image->status, "active");
    assert_string_equal(image->disk_format, "qcow2");
    assert_string_equal(image->container_format, "bare");
    assert_string_equal(image->checksum, "abc");
    assert_string_equal(image->hash_algo, "sha512");
    assert_string_equal(image->hash_value, "def");
    assert_int_equal(image->size_bytes, 19530240);
    assert_int_equal(image->min_disk_gib, 1);
    assert_int_equal(image->min_ram_mib, 64);
    assert_int_equal(g_hash_table_size(image->properties), 3);
    assert_string_equal(g_hash_table_lookup(image->properties, "hw_disk_bus"), "virtio");
    assert_string_equal(g_hash_table_lookup(image->properties, "a_number"), "7");
    assert_string_equal(g_hash_table_lookup(image->properties, "a_bool"), "True");
    seen = http_server_seen(f->server, "GET", RECORD, 0);
    token = http_seen_header(seen, "X-Auth-Token");
    assert_string_equal(token, "users");
}

static void a_queued_record_has_no_size(void **state)
{
    Fixture *f = *state;
    g_autoptr(GlanceImage) image = NULL;

    http_server_json(f->server, "GET", RECORD, 200,
                     "{\"id\":\"x\",\"status\":\"queued\",\"size\":null,\"name\":null}");
    assert_true(glance_image_get(f->s, f->ctx, ID, &image, NULL));
    assert_int_equal(image->size_bytes, -1);
    assert_null(image->name);
    assert_null(image->hash_value);
}

static void missing_and_broken_records_are_errors(void **state)
{
    static const struct {
        int status;
        const char *body;
        DvErrorCode code;
    } cases[] = {
        {404, "404 Not Found\n\nNo image found", DV_E_IMAGE_NOT_FOUND},
        {403, "403 Forbidden", DV_E_DENIED},
        {200, "{}", DV_E_BAD_INPUT},
        {200, "[]", DV_E_BAD_INPUT},
        {500, "", DV_E_UNAVAILABLE},
    };
    Fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        GlanceImage *image = NULL;
        g_autoptr(GError) err = NULL;

        http_server_reset(f->server);
        http_server_on(f->server, "GET", RECORD,
                       &(HttpAnswer){.status = cases[i].status, .body = cases[i].body});
        assert_false(glance_image_get(f->s, f->ctx, ID, &image, &err));
        assert_int_equal(dv_code(err), cases[i].code);
    }
}

static void an_id_cannot_leave_its_place_in_the_path(void **state)
{
    Fixture *f = *state;
    GlanceImage *image = NULL;
    g_autoptr(GError) err = NULL;

    assert_false(glance_image_get(f->s, f->ctx, "../v3/x?y=z#", &image, &err));
    assert_string_equal(http_server_seen(f->server, "GET", "*", 0)->target,
                        "/v2/images/..%2Fv3%2Fx%3Fy%3Dz%23");
}

static void data_is_written_and_verified(void **state)
{
    Fixture *f = *state;

    on_data(f, HTTP_CHUNKED);
    assert_true(glance_download(f->s, f->ctx, &f->image, f->fd, 0, 0, NULL));
    assert_file_is_the_image(f);
}

static void the_md5_serves_when_the_algorithm_is_unknown(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    on_data(f, 0);
    g_free(f->image.hash_algo);
    f->image.hash_algo = g_strdup("sha3_512");
    assert_true(glance_download(f->s, f->ctx, &f->image, f->fd, 0, 0, NULL));
    f->image.checksum[0] = f->image.checksum[0] == '0' ? '1' : '0';
    assert_false(glance_download(f->s, f->ctx, &f->image, f->fd, 0, 0, &err));
    assert_true(dv_is(err, DV_E_IMAGE_UNACCEPTABLE));
}

static void changed_data_is_refused(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    f->data[100000]++;
    on_data(f, 0);
    assert_false(glance_download(f->s, f->ctx, &f->image, f->fd, 0, 3, &err));
    assert_true(dv_is(err, DV_E_IMAGE_UNACCEPTABLE));
    assert_int_equal(http_server_count(f->server, "GET", DATA), 1);
}

static void other_sizes_than_recorded_are_refused(void **state)
{
    Fixture *f = *state;

    on_data(f, HTTP_CHUNKED);
    for (int diff = -1; diff <= 1; diff += 2) {
        g_autoptr(GError) err = NULL;

        f->image.size_bytes = (int64_t)f->length + diff;
        assert_false(glance_download(f->s, f->ctx, &f->image, f->fd, 0, 0, &err));
        assert_true(dv_is(err, DV_E_IMAGE_UNACCEPTABLE));
    }
}

static void limits_are_kept(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;
    g_autoptr(GError) err2 = NULL;
    g_autoptr(GError) err3 = NULL;

    on_data(f, HTTP_CHUNKED);
    assert_false(glance_download(f->s, f->ctx, &f->image, f->fd, f->length - 1, 0, &err));
    assert_true(dv_is(err, DV_E_IMAGE_UNACCEPTABLE));
    assert_int_equal(http_server_count(f->server, "GET", DATA), 0); /* the record says enough */
    f->image.size_bytes = -1;
    assert_false(glance_download(f->s, f->ctx, &f->image, f->fd, f->length - 1, 0, &err2));
    assert_true(dv_is(err2, DV_E_IMAGE_UNACCEPTABLE));
    assert_false(glance_download(f->s, f->ctx, &f->image, f->fd, 0, 0, &err3));
    assert_true(dv_is(err3, DV_E_IMAGE_UNACCEPTABLE));
    assert_true(glance_download(f->s, f->ctx, &f->image, f->fd, f->length, 0, NULL));
    assert_file_is_the_image(f);
}

static void a_broken_connection_is_tried_again_from_the_start(void **state)
{
    Fixture *f = *state;

    on_data(f, HTTP_SHORT);
    http_server_on(f->server, "GET", DATA, &(HttpAnswer){.status = 503, .body = "busy"});
    on_data(f, 0);
    assert_true(glance_download(f->s, f->ctx, &f->image, f->fd, 0, 2, NULL));
    assert_int_equal(http_server_count(f->server, "GET", DATA), 3);
    assert_file_is_the_image(f);
}

static void tries_are_counted(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    on_data(f, HTTP_SHORT);
    assert_false(glance_download(f->s, f->ctx, &f->image, f->fd, 0, 1, &err));
    assert_true(dv_is(err, DV_E_UNAVAILABLE));
    assert_int_equal(http_server_count(f->server, "GET", DATA), 2);
}

static void data_that_is_gone_is_not_found(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    http_server_on(f->server, "GET", DATA, &(HttpAnswer){.status = 404, .body = "gone"});
    assert_false(glance_download(f->s, f->ctx, &f->image, f->fd, 0, 3, &err));
    assert_true(dv_is(err, DV_E_IMAGE_NOT_FOUND));
    assert_int_equal(http_server_count(f->server, "GET", DATA), 1);
}

/* A file size limit stands for a full disk: both fail a write in mid-download. */
static void a_failing_write_ends_the_download(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;
    struct rlimit before;
    struct rlimit small;

    on_data(f, 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){100000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    bool ok = glance_download(f->s, f->ctx, &f->image, f->fd, 0, 3, &err);

    setrlimit(RLIMIT_FSIZE, &before);
    assert_false(ok);
    assert_true(dv_is(err, DV_E_IO));
    assert_int_equal(http_server_count(f->server, "GET", DATA), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_record_is_read),
        T(a_queued_record_has_no_size),
        T(missing_and_broken_records_are_errors),
        T(an_id_cannot_leave_its_place_in_the_path),
        T(data_is_written_and_verified),
        T(the_md5_serves_when_the_algorithm_is_unknown),
        T(changed_data_is_refused),
        T(other_sizes_than_recorded_are_refused),
        T(limits_are_kept),
        T(a_broken_connection_is_tried_again_from_the_start),
        T(tries_are_counted),
        T(data_that_is_gone_is_not_found),
        T(a_failing_write_ends_the_download),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
