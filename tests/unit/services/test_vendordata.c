/* services/vendordata: a file, services, both; and what a part that is missing does to a boot. */
#include "services/vendordata.h"

#include "fakes/http_server.h"
#include "fakes/keystone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#define ASKED "POST", "/tell"

static const char instance_text[] =
    "{\"nova_object.name\":\"Instance\",\"nova_object.namespace\":\"nova\","
    "\"nova_object.version\":\"2.7\",\"nova_object.data\":{\"uuid\":\"u1\",\"project_id\":\"p1\","
    "\"image_ref\":\"i1\",\"user_data\":null,\"hostname\":\"web\",\"metadata\":{\"a\":\"b\"},"
    "\"system_metadata\":{\"boot_roles\":\"member,reader\"}}}";

typedef struct Fixture {
    HttpServer *server;
    HttpClient *http;
    Ovo *instance;
    char *file;
    char *targets[4];
    VendordataConfig config;
} Fixture;

static const char *const both[] = {"StaticJSON", "DynamicJSON", NULL};

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    int fd;

    f->server = http_server_new();
    f->http = http_client_new();
    f->instance = ovo_parse(instance_text, "Instance", NULL);
    f->file = g_build_filename(g_get_tmp_dir(), "vendordata-XXXXXX", NULL);
    fd = g_mkstemp(f->file);
    assert_true(fd >= 0 && write(fd, "{\"x\": 1}", 8) == 8);
    close(fd);
    f->targets[0] = g_strdup_printf("first@%s/tell", http_server_url(f->server));
    f->config = (VendordataConfig){.providers = both,
                                   .jsonfile_path = f->file,
                                   .targets = (const char *const *)f->targets,
                                   .certfile = "",
                                   .connect_timeout_s = 3,
                                   .read_timeout_s = 1};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    ovo_unref(f->instance);
    http_client_free(f->http);
    http_server_free(f->server);
    unlink(f->file);
    g_free(f->file);
    for (size_t i = 0; i < G_N_ELEMENTS(f->targets); i++)
        g_free(f->targets[i]);
    g_free(f);
    return 0;
}

/* The two documents; 0 or the error's code. */
static int fetch(Fixture *f, json_t **out_static, json_t **out_all)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Vendordata) vendordata = vendordata_new(f->http, &f->config, &err);
    g_autofree char *file = NULL;
    g_autofree char *all = NULL;

    assert_non_null(vendordata);
    if (!vendordata_fetch(vendordata, NULL, f->instance, &file, &all, &err))
        return err->code;
    *out_static = file ? json_loads(file, 0, NULL) : NULL;
    *out_all = json_loads(all, 0, NULL);
    assert_non_null(*out_all);
    return 0;
}

static json_t *all_of(Fixture *f)
{
    json_t *file = NULL;
    json_t *all = NULL;

    assert_int_equal(fetch(f, &file, &all), 0);
    json_decref(file);
    return all;
}

static void file_and_service_are_told(void **state)
{
    Fixture *f = *state;
    json_t *file = NULL;
    json_t *all = NULL;
    const HttpSeen *seen;
    json_t *asked;

    http_server_json(f->server, ASKED, 200, "{\"y\": 2}");
    assert_int_equal(fetch(f, &file, &all), 0);
    assert_int_equal(json_integer_value(json_object_get(file, "x")), 1);
    assert_true(json_equal(json_object_get(all, "static"), file));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(all, "first"), "y")), 2);
    seen = http_server_seen(f->server, ASKED, 0);
    asked = json_loads(seen->body, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(asked, "instance-id")), "u1");
    assert_string_equal(json_string_value(json_object_get(asked, "project-id")), "p1");
    assert_string_equal(json_string_value(json_object_get(asked, "image-id")), "i1");
    assert_string_equal(json_string_value(json_object_get(asked, "hostname")), "web");
    assert_string_equal(json_string_value(json_object_get(asked, "boot-roles")), "member,reader");
    assert_true(json_is_null(json_object_get(asked, "user-data")));
    assert_non_null(json_object_get(json_object_get(asked, "metadata"), "a"));
    json_decref(asked);
    json_decref(file);
    json_decref(all);
}

static void service_gets_our_token(void **state)
{
    Fixture *f = *state;
    ServiceConfig own = keystone_config(f->server, "vendordata_dynamic_auth", "x");
    const HttpSeen *seen;
    g_autofree char *token = NULL;

    keystone_grant(f->server, "vendor-token", 3600);
    f->config.auth = own.auth;
    http_server_json(f->server, ASKED, 200, "{}");
    json_decref(all_of(f));
    seen = http_server_seen(f->server, ASKED, 0);
    token = http_seen_header(seen, "X-Auth-Token");
    assert_string_equal(token, "vendor-token");
}

static void service_that_fails_leaves_its_part_empty(void **state)
{
    Fixture *f = *state;
    json_t *all;

    http_server_json(f->server, ASKED, 500, "oops");
    http_server_json(f->server, ASKED, 200, "no json");
    for (int i = 0; i < 2; i++) {
        all = all_of(f);
        assert_int_equal(json_object_size(json_object_get(all, "first")), 0);
        assert_non_null(json_object_get(all, "first"));
        json_decref(all);
    }
}

static void failure_may_be_fatal(void **state)
{
    Fixture *f = *state;
    json_t *file = NULL;
    json_t *all = NULL;

    f->config.failure_fatal = true;
    http_server_json(f->server, ASKED, 500, "oops");
    assert_int_equal(fetch(f, &file, &all), DV_E_UNAVAILABLE);
    http_server_on(f->server, "POST", "/tell*",
                   &(HttpAnswer){.status = 200, .body = "{}", .stall_ms = 6000});
    assert_int_equal(fetch(f, &file, &all), DV_E_TIMEOUT);
}

static void targets_without_a_name_or_with_a_taken_one_are_skipped(void **state)
{
    Fixture *f = *state;
    json_t *all;

    f->targets[1] = g_strdup("http://nobody/");
    f->targets[2] = g_strdup_printf("first@%s/other", http_server_url(f->server));
    http_server_json(f->server, ASKED, 200, "{\"y\": 2}");
    all = all_of(f);
    assert_int_equal(json_object_size(all), 2);
    assert_int_equal(http_server_count(f->server, NULL, "/other"), 0);
    json_decref(all);
}

/* The first provider keeps a name that two use. */
static void names_are_unique(void **state)
{
    Fixture *f = *state;
    json_t *all;

    g_free(f->targets[0]);
    f->targets[0] = g_strdup_printf("static@%s/tell", http_server_url(f->server));
    http_server_json(f->server, ASKED, 200, "{\"y\": 2}");
    all = all_of(f);
    assert_non_null(json_object_get(json_object_get(all, "static"), "x"));
    json_decref(all);
}

static void file_must_be_there_and_json(void **state)
{
    Fixture *f = *state;
    json_t *file = NULL;
    json_t *all = NULL;

    f->config.providers = (const char *const[]){"StaticJSON", NULL};
    f->config.jsonfile_path = "/nonexistent/vendor.json";
    assert_int_equal(fetch(f, &file, &all), DV_E_NOT_FOUND);
    f->config.jsonfile_path = "/proc/self/cmdline";
    assert_int_equal(fetch(f, &file, &all), DV_E_BAD_CONFIG);
    f->config.jsonfile_path = NULL;
    assert_int_equal(fetch(f, &file, &all), 0);
    assert_int_equal(json_object_size(file), 0);
    json_decref(file);
    json_decref(all);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(file_and_service_are_told),
        T(service_gets_our_token),
        T(service_that_fails_leaves_its_part_empty),
        T(failure_may_be_fatal),
        T(targets_without_a_name_or_with_a_taken_one_are_skipped),
        T(names_are_unique),
        T(file_must_be_there_and_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
