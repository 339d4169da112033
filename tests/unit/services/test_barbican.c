/* The key manager's client: what is sent, what is read back, and how refusals are told. */
#include "services/barbican.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "fakes/http_server.h"

#define ID "5b1f9d6e-2b55-4ba0-90c0-0d9f3c3f7f11"
#define SECRETS "/v1/secrets/"
#define RECORD SECRETS ID
#define PAYLOAD RECORD "/payload"
#define VALUE "c2VjcmV0IG9mIGEgVFBN"

typedef struct Fixture {
    HttpServer *server;
    HttpClient *http;
    ServiceConfig config;
    Service *s;
    DvCtx *ctx;
} Fixture;

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->server = http_server_new();
    f->http = http_client_new();
    f->config = (ServiceConfig){.name = "barbican",
                                .service_type = "key-manager",
                                .endpoint_override = http_server_url(f->server),
                                .user_token_only = true};
    f->s = service_new(f->http, &f->config, NULL);
    f->ctx = dv_ctx_new_blank();
    f->ctx->auth_token = g_strdup("users");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    dv_ctx_unref(f->ctx);
    service_free(f->s);
    http_client_free(f->http);
    http_server_free(f->server);
    g_free(f);
    return 0;
}

static void on_record(Fixture *f, const char *type)
{
    g_autofree char *body = g_strdup_printf(
        "{\"name\":\"x\",\"secret_type\":\"passphrase\",\"status\":\"ACTIVE\","
        "\"content_types\":{\"default\":\"%s\"},\"secret_ref\":\"http://x/v1/secrets/" ID "\"}",
        type);

    http_server_json(f->server, "GET", RECORD, 200, body);
}

static void assert_fetch_fails(Fixture *f, int code)
{
    g_autoptr(GError) err = NULL;
    char *value = (char *)"untouched";

    assert_false(barbican_fetch(f->s, f->ctx, ID, &value, &err));
    assert_int_equal(err->code, code);
    assert_string_equal(value, "untouched");
    assert_null(strstr(err->message, VALUE));
}

static void a_secret_is_stored_as_castellan_stores_a_passphrase(void **state)
{
    Fixture *f = *state;
    g_autofree char *id = NULL;
    g_autofree char *token = NULL;
    g_autofree char *payload = g_base64_encode((const guchar *)VALUE, strlen(VALUE));
    const HttpSeen *seen;
    json_auto_t *body = NULL;

    http_server_json(f->server, "POST", SECRETS, 201,
                     "{\"secret_ref\":\"http://key.example/v1/secrets/" ID "\"}");
    assert_true(barbican_store(f->s, f->ctx, "vTPM secret for instance u1", VALUE, &id, NULL));
    assert_string_equal(id, ID);
    seen = http_server_seen(f->server, "POST", SECRETS, 0);
    token = http_seen_header(seen, "X-Auth-Token");
    assert_string_equal(token, "users");
    body = json_loads(seen->body, 0, NULL);
    assert_int_equal(json_object_size(body), 5);
    assert_string_equal(json_string_value(json_object_get(body, "name")),
                        "vTPM secret for instance u1");
    assert_string_equal(json_string_value(json_object_get(body, "secret_type")), "passphrase");
    assert_string_equal(json_string_value(json_object_get(body, "payload")), payload);
    assert_string_equal(json_string_value(json_object_get(body, "payload_content_type")),
                        "application/octet-stream");
    assert_string_equal(json_string_value(json_object_get(body, "payload_content_encoding")),
                        "base64");
}

static void an_answer_without_an_id_is_refused(void **state)
{
    static const char *const answers[] = {"{}", "{\"secret_ref\":7}", "[]",
                                          "{\"secret_ref\":\"http://x/v1/secrets/../../etc\"}"};
    Fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
        g_autoptr(GError) err = NULL;
        char *id = NULL;

        http_server_reset(f->server);
        http_server_json(f->server, "POST", SECRETS, 201, answers[i]);
        assert_false(barbican_store(f->s, f->ctx, "x", VALUE, &id, &err));
        assert_int_equal(err->code, DV_E_KEY_MANAGER);
        assert_null(id);
    }
}

static void a_secret_comes_back_as_the_type_it_has(void **state)
{
    Fixture *f = *state;
    g_autofree char *accept = NULL;
    char *value = NULL;

    on_record(f, "text/plain");
    http_server_on(f->server, "GET", PAYLOAD, &(HttpAnswer){.body = VALUE});
    assert_true(barbican_fetch(f->s, f->ctx, ID, &value, NULL));
    assert_string_equal(value, VALUE);
    barbican_value_free(value);
    accept = http_seen_header(http_server_seen(f->server, "GET", PAYLOAD, 0), "Accept");
    assert_string_equal(accept, "text/plain");
}

static void a_secret_that_is_gone_is_told_apart(void **state)
{
    Fixture *f = *state;

    http_server_json(f->server, "GET", RECORD, 404, "{\"title\":\"Not Found\"}");
    assert_fetch_fails(f, DV_E_SECRET_NOT_FOUND);
}

static void refusals_and_failures_are_the_key_managers(void **state)
{
    static const int statuses[] = {400, 401, 403, 409, 500, 503};
    Fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(statuses); i++) {
        g_autoptr(GError) err = NULL;
        char *id = NULL;

        http_server_reset(f->server);
        http_server_json(f->server, "GET", RECORD, statuses[i], "{\"title\":\"no\"}");
        assert_fetch_fails(f, DV_E_KEY_MANAGER);
        http_server_json(f->server, "POST", SECRETS, statuses[i], "{\"title\":\"no\"}");
        assert_false(barbican_store(f->s, f->ctx, "x", VALUE, &id, &err));
        assert_int_equal(err->code, DV_E_KEY_MANAGER);
        assert_null(strstr(err->message, VALUE));
    }
}

static void values_that_are_no_secret_text_are_refused(void **state)
{
    Fixture *f = *state;
    g_autofree char *large = g_strnfill(10001, 'x');
    const HttpAnswer answers[] = {{.body = ""},
                                  {.body = "a\0b", .length = 3},
                                  {.body = large},
                                  {.body = large, .flags = HTTP_CHUNKED}};

    for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
        http_server_reset(f->server);
        on_record(f, "application/octet-stream");
        http_server_on(f->server, "GET", PAYLOAD, &answers[i]);
        assert_fetch_fails(f, DV_E_KEY_MANAGER);
    }
}

static void a_record_without_a_value_is_refused(void **state)
{
    Fixture *f = *state;

    http_server_json(f->server, "GET", RECORD, 200, "{\"status\":\"ACTIVE\"}");
    assert_fetch_fails(f, DV_E_KEY_MANAGER);
    on_record(f, "text/plain\\r\\nX-Evil: yes");
    assert_fetch_fails(f, DV_E_KEY_MANAGER);
    assert_int_equal(http_server_count(f->server, "GET", PAYLOAD), 0);
}

static void the_largest_secret_is_read(void **state)
{
    Fixture *f = *state;
    g_autofree char *large = g_strnfill(10000, 'x');
    char *value = NULL;

    on_record(f, "application/octet-stream");
    http_server_on(f->server, "GET", PAYLOAD, &(HttpAnswer){.body = large});
    assert_true(barbican_fetch(f->s, f->ctx, ID, &value, NULL));
    assert_string_equal(value, large);
    barbican_value_free(value);
}

static void deleting_is_idempotent(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    http_server_on(f->server, "DELETE", RECORD, &(HttpAnswer){.status = 204});
    assert_true(barbican_delete(f->s, f->ctx, ID, NULL));
    http_server_reset(f->server);
    http_server_json(f->server, "DELETE", RECORD, 404, "{\"title\":\"Not Found\"}");
    assert_true(barbican_delete(f->s, f->ctx, ID, NULL));
    http_server_reset(f->server);
    http_server_json(f->server, "DELETE", RECORD, 403, "{\"title\":\"Forbidden\"}");
    assert_false(barbican_delete(f->s, f->ctx, ID, &err));
    assert_int_equal(err->code, DV_E_KEY_MANAGER);
}

static void a_request_without_a_token_asks_nobody(void **state)
{
    Fixture *f = *state;

    g_clear_pointer(&f->ctx->auth_token, g_free);
    assert_fetch_fails(f, DV_E_KEY_MANAGER);
    assert_int_equal(http_server_count(f->server, NULL, "*"), 0);
}

static void release(void *wire)
{
    json_decref(wire);
}

static void the_address_comes_from_the_users_catalog(void **state)
{
    Fixture *f = *state;
    static const char *const interfaces[] = {"public", NULL};
    ServiceConfig config = f->config;
    g_autoptr(Service) s = NULL;
    g_autofree char *id = NULL;
    const char *url = http_server_url(f->server);

    config.endpoint_override = NULL;
    config.valid_interfaces = interfaces;
    s = service_new(f->http, &config, NULL);
    f->ctx->wire = json_pack("{s:[{s:s,s:[{s:s,s:s}]},{s:s,s:[{s:s,s:s}]}]}", "service_catalog",
                             "type", "image", "endpoints", "publicURL", "http://127.0.0.1:1",
                             "region", "R", "type", "key-manager", "endpoints", "publicURL", url,
                             "region", "R");
    f->ctx->wire_unref = release;
    http_server_json(f->server, "POST", SECRETS, 201,
                     "{\"secret_ref\":\"http://key.example/v1/secrets/" ID "\"}");
    assert_true(barbican_store(s, f->ctx, "x", VALUE, &id, NULL));
    assert_string_equal(id, ID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_secret_is_stored_as_castellan_stores_a_passphrase, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_answer_without_an_id_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_secret_comes_back_as_the_type_it_has, setup, teardown),
        cmocka_unit_test_setup_teardown(a_secret_that_is_gone_is_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_and_failures_are_the_key_managers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(values_that_are_no_secret_text_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_record_without_a_value_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_largest_secret_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(deleting_is_idempotent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_without_a_token_asks_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(the_address_comes_from_the_users_catalog, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
