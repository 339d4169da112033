/* The HTTP client against servers that behave and servers that don't. */
#include "services/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "fakes/http_server.h"
#include "util/clock.h"

typedef struct Fixture {
    HttpServer *server;
    HttpClient *client;
} Fixture;

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->server = http_server_new();
    f->client = http_client_new();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    http_client_free(f->client);
    http_server_free(f->server);
    g_free(f);
    return 0;
}

static char *url_of(Fixture *f, const char *path)
{
    return g_strconcat(http_server_url(f->server), path, NULL);
}

static bool run(Fixture *f, const char *method, const char *path, HttpResponse *out, GError **err)
{
    g_autofree char *url = url_of(f, path);

    return http_perform(f->client, NULL, &(HttpRequest){.method = method, .url = url}, out, err);
}

static void get_returns_status_headers_and_body(void **state)
{
    Fixture *f = *state;
    g_auto(HttpResponse) r = {0};

    http_server_on(
        f->server, "GET", "/a?b=c",
        &(HttpAnswer){.status = 203, .headers = "X-Thing:  some Value \r\n", .body = "hello"});
    assert_true(run(f, "GET", "/a?b=c", &r, NULL));
    assert_int_equal(r.status, 203);
    assert_string_equal(r.body, "hello");
    assert_int_equal(r.body_length, 5);
    assert_string_equal(g_hash_table_lookup(r.headers, "x-thing"), "some Value");
}

static void an_error_status_is_a_result(void **state)
{
    Fixture *f = *state;
    g_auto(HttpResponse) r = {0};

    http_server_on(f->server, "GET", "/gone", &(HttpAnswer){.status = 503, .body = "busy"});
    assert_true(run(f, "GET", "/gone", &r, NULL));
    assert_int_equal(r.status, 503);
    assert_string_equal(r.body, "busy");
}

static void body_and_headers_are_sent_with_each_method(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE"};
    static const char *const headers[] = {"X-One: 1", "Content-Type: application/json", NULL};
    Fixture *f = *state;
    g_autofree char *url = url_of(f, "/x");

    for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
        HttpRequest request = {.method = methods[i],
                               .url = url,
                               .headers = headers,
                               .body = "{\"a\":1}",
                               .body_length = 7};
        g_auto(HttpResponse) r = {0};
        const HttpSeen *seen;
        g_autofree char *one = NULL;

        http_server_on(f->server, methods[i], "/x", &(HttpAnswer){.status = 204});
        assert_true(http_perform(f->client, NULL, &request, &r, NULL));
        assert_int_equal(r.status, 204);
        assert_string_equal(r.body, "");
        seen = http_server_seen(f->server, methods[i], "/x", 0);
        assert_non_null(seen);
        assert_string_equal(seen->body, "{\"a\":1}");
        one = http_seen_header(seen, "x-one");
        assert_string_equal(one, "1");
        assert_null(http_seen_header(seen, "Expect"));
    }
}

static void delete_without_body_and_head_work(void **state)
{
    Fixture *f = *state;
    g_auto(HttpResponse) r1 = {0};
    g_auto(HttpResponse) r2 = {0};

    http_server_on(f->server, "DELETE", "/x", &(HttpAnswer){.status = 204});
    http_server_on(f->server, "HEAD", "/x", &(HttpAnswer){.body = "12345"});
    assert_true(run(f, "DELETE", "/x", &r1, NULL));
    assert_true(run(f, "HEAD", "/x", &r2, NULL));
    assert_string_equal(r2.body, "");
    assert_string_equal(g_hash_table_lookup(r2.headers, "content-length"), "5");
}

static void connections_are_reused(void **state)
{
    Fixture *f = *state;

    http_server_on(f->server, "GET", "/k", &(HttpAnswer){.body = "x"});
    for (int i = 0; i < 5; i++) {
        g_auto(HttpResponse) r = {0};

        assert_true(run(f, "GET", "/k", &r, NULL));
    }
    assert_int_equal(http_server_seen(f->server, "GET", "/k", 4)->connection, 1);
}

static void a_stale_connection_is_replaced(void **state)
{
    static const char *const methods[] = {"GET", "PUT", "DELETE", "POST"};
    Fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
        http_server_on(f->server, methods[i], "/s",
                       &(HttpAnswer){.body = "x", .flags = HTTP_MUTE_CLOSE});
        for (int n = 0; n < 3; n++) {
            g_auto(HttpResponse) r = {0};

            assert_true(run(f, methods[i], "/s", &r, NULL));
            assert_string_equal(r.body, "x");
        }
        assert_int_equal(http_server_count(f->server, methods[i], "/s"), 3);
    }
}

static void a_reset_instead_of_an_answer_is_tried_once_more(void **state)
{
    Fixture *f = *state;
    g_auto(HttpResponse) r = {0};

    http_server_on(f->server, "GET", "/r", &(HttpAnswer){.flags = HTTP_NO_ANSWER});
    http_server_on(f->server, "GET", "/r", &(HttpAnswer){.body = "second"});
    assert_true(run(f, "GET", "/r", &r, NULL));
    assert_string_equal(r.body, "second");
    assert_int_equal(http_server_count(f->server, "GET", "/r"), 2);
}

static void a_reset_of_a_post_is_not_tried_again(void **state)
{
    Fixture *f = *state;
    g_auto(HttpResponse) warm = {0};
    g_auto(HttpResponse) r = {0};
    g_autoptr(GError) err = NULL;

    http_server_on(f->server, "GET", "/warm", &(HttpAnswer){.body = "x"});
    http_server_on(f->server, "POST", "/r", &(HttpAnswer){.flags = HTTP_NO_ANSWER});
    assert_true(run(f, "GET", "/warm", &warm, NULL)); /* a connection to be reused is there */
    assert_false(run(f, "POST", "/r", &r, &err));
    assert_true(dv_is(err, DV_E_UNAVAILABLE));
    assert_int_equal(http_server_count(f->server, "POST", "/r"), 1);
}

static void chunked_bodies_are_joined(void **state)
{
    Fixture *f = *state;
    g_autofree char *text = g_strnfill(12345, 'q');
    g_auto(HttpResponse) r = {0};

    http_server_on(f->server, "GET", "/c", &(HttpAnswer){.body = text, .flags = HTTP_CHUNKED});
    assert_true(run(f, "GET", "/c", &r, NULL));
    assert_int_equal(r.body_length, 12345);
    assert_string_equal(r.body, text);
}

static void a_truncated_body_is_an_error(void **state)
{
    Fixture *f = *state;
    g_auto(HttpResponse) r = {0};
    g_autoptr(GError) err = NULL;

    http_server_on(f->server, "GET", "/t",
                   &(HttpAnswer){.body = "0123456789", .flags = HTTP_SHORT});
    assert_false(run(f, "GET", "/t", &r, &err));
    assert_true(dv_is(err, DV_E_UNAVAILABLE));
    assert_null(r.body);
}

static void a_body_over_the_limit_is_refused(void **state)
{
    Fixture *f = *state;
    g_autofree char *url = url_of(f, "/big");
    g_autofree char *text = g_strnfill(5000, 'b');
    HttpRequest request = {.method = "GET", .url = url, .max_body_bytes = 4999};
    g_auto(HttpResponse) r = {0};
    g_auto(HttpResponse) r2 = {0};
    g_autoptr(GError) err = NULL;

    http_server_on(f->server, "GET", "/big", &(HttpAnswer){.body = text});
    assert_false(http_perform(f->client, NULL, &request, &r, &err));
    assert_true(dv_is(err, DV_E_BAD_INPUT));
    assert_non_null(strstr(err->message, "larger than 4999"));
    request.max_body_bytes = 5000;
    assert_true(http_perform(f->client, NULL, &request, &r2, NULL));
}

static void a_stalling_server_ends_in_a_timeout(void **state)
{
    Fixture *f = *state;
    g_autofree char *url = url_of(f, "/slow");
    HttpRequest request = {.method = "GET", .url = url, .timeout_ms = 300};
    int64_t started = dv_now_ms();
    g_auto(HttpResponse) r = {0};
    g_autoptr(GError) err = NULL;

    http_server_on(f->server, "GET", "/slow", &(HttpAnswer){.body = "x", .stall_ms = 20000});
    assert_false(http_perform(f->client, NULL, &request, &r, &err));
    assert_true(dv_is(err, DV_E_TIMEOUT));
    assert_true(dv_now_ms() - started < 15000);
    assert_int_equal(http_server_count(f->server, "GET", "/slow"), 1);
}

static void no_server_is_unavailable_and_retried_for_every_method(void **state)
{
    Fixture *f = *state;
    HttpServer *gone = http_server_new();
    g_autofree char *url = g_strdup(http_server_url(gone));
    HttpRequest request = {.method = "POST", .url = url, .connect_retries = 1};
    int64_t started = dv_now_ms();
    g_auto(HttpResponse) r = {0};
    g_autoptr(GError) err = NULL;

    http_server_free(gone);
    assert_false(http_perform(f->client, NULL, &request, &r, &err));
    assert_true(dv_is(err, DV_E_UNAVAILABLE));
    assert_true(dv_now_ms() - started >= 500); /* it paused before the second attempt */
}

static void a_line_break_in_a_header_is_refused(void **state)
{
    static const char *const headers[] = {"X-Auth-Token: a\r\nX-Evil: 1", NULL};
    Fixture *f = *state;
    g_autofree char *url = url_of(f, "/h");
    HttpRequest request = {.method = "GET", .url = url, .headers = headers};
    g_auto(HttpResponse) r = {0};
    g_autoptr(GError) err = NULL;

    assert_false(http_perform(f->client, NULL, &request, &r, &err));
    assert_true(dv_is(err, DV_E_BAD_INPUT));
    assert_int_equal(http_server_count(f->server, NULL, "*"), 0);
}

static void other_schemes_are_refused(void **state)
{
    Fixture *f = *state;
    HttpRequest request = {.method = "GET", .url = "file:///etc/passwd", .connect_retries = 3};
    g_auto(HttpResponse) r = {0};
    g_autoptr(GError) err = NULL;

    assert_false(http_perform(f->client, NULL, &request, &r, &err));
    assert_true(dv_is(err, DV_E_BAD_CONFIG));
}

static bool collect(void *arg, const void *data, size_t length, GError **err)
{
    GString *text = arg;

    if (text->len + length > 20000)
        return dv_fail(err, DV_E_NO_SPACE, "the disk is full");
    g_string_append_len(text, data, (gssize)length);
    return true;
}

static void a_sink_gets_the_body_of_success_only(void **state)
{
    Fixture *f = *state;
    g_autofree char *url = url_of(f, "/file");
    g_autofree char *text = g_strnfill(15000, 's');
    g_autoptr(GString) got = g_string_new(NULL);
    HttpRequest request = {.method = "GET", .url = url, .sink = collect, .sink_arg = got};
    g_auto(HttpResponse) r1 = {0};
    g_auto(HttpResponse) r2 = {0};

    http_server_on(f->server, "GET", "/file", &(HttpAnswer){.status = 404, .body = "no image"});
    http_server_on(f->server, "GET", "/file", &(HttpAnswer){.body = text});
    assert_true(http_perform(f->client, NULL, &request, &r1, NULL));
    assert_int_equal(r1.status, 404);
    assert_string_equal(r1.body, "no image");
    assert_int_equal(got->len, 0);
    assert_true(http_perform(f->client, NULL, &request, &r2, NULL));
    assert_string_equal(got->str, text);
    assert_int_equal(r2.body_length, 0);
}

static void a_sink_that_fails_ends_the_transfer_with_its_reason(void **state)
{
    Fixture *f = *state;
    g_autofree char *url = url_of(f, "/file");
    g_autofree char *text = g_strnfill(100000, 's');
    g_autoptr(GString) got = g_string_new(NULL);
    HttpRequest request = {.method = "GET", .url = url, .sink = collect, .sink_arg = got};
    g_auto(HttpResponse) r = {0};
    g_autoptr(GError) err = NULL;

    http_server_on(f->server, "GET", "/file", &(HttpAnswer){.body = text});
    assert_false(http_perform(f->client, NULL, &request, &r, &err));
    assert_true(dv_is(err, DV_E_NO_SPACE));
    assert_int_equal(http_server_count(f->server, "GET", "/file"), 1);
}

static void a_download_that_stops_coming_times_out(void **state)
{
    Fixture *f = *state;
    g_autofree char *url = url_of(f, "/file");
    g_autoptr(GString) got = g_string_new(NULL);
    HttpRequest request = {
        .method = "GET", .url = url, .sink = collect, .sink_arg = got, .timeout_ms = 1000};
    g_auto(HttpResponse) r = {0};
    g_autoptr(GError) err = NULL;

    http_server_on(f->server, "GET", "/file", &(HttpAnswer){.body = "x", .stall_ms = 30000});
    assert_false(http_perform(f->client, NULL, &request, &r, &err));
    assert_true(dv_is(err, DV_E_TIMEOUT));
}

static gpointer many_requests(gpointer arg)
{
    Fixture *f = arg;
    unsigned good = 0;

    for (int i = 0; i < 20; i++) {
        g_auto(HttpResponse) r = {0};

        if (run(f, "GET", "/m", &r, NULL) && strcmp(r.body, "many") == 0)
            good++;
    }
    return GUINT_TO_POINTER(good);
}

static void many_threads_share_a_client(void **state)
{
    Fixture *f = *state;
    GThread *threads[8];

    http_server_on(f->server, "GET", "/m", &(HttpAnswer){.body = "many"});
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("caller", many_requests, f);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        assert_int_equal(GPOINTER_TO_UINT(g_thread_join(threads[i])), 20);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(get_returns_status_headers_and_body),
        T(an_error_status_is_a_result),
        T(body_and_headers_are_sent_with_each_method),
        T(delete_without_body_and_head_work),
        T(connections_are_reused),
        T(a_stale_connection_is_replaced),
        T(a_reset_instead_of_an_answer_is_tried_once_more),
        T(a_reset_of_a_post_is_not_tried_again),
        T(chunked_bodies_are_joined),
        T(a_truncated_body_is_an_error),
        T(a_body_over_the_limit_is_refused),
        T(a_stalling_server_ends_in_a_timeout),
        T(no_server_is_unavailable_and_retried_for_every_method),
        T(a_line_break_in_a_header_is_refused),
        T(other_schemes_are_refused),
        T(a_sink_gets_the_body_of_success_only),
        T(a_sink_that_fails_ends_the_transfer_with_its_reason),
        T(a_download_that_stops_coming_times_out),
        T(many_threads_share_a_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
