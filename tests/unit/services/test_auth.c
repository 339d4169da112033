/* Tokens, endpoints, identities and the reading of error answers. */
#include "services/auth_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <jansson.h>

#include "fakes/keystone.h"
#include "util/clock.h"

#define TOKENS "/v3/auth/tokens"

typedef struct Fixture {
    HttpServer *server;
    HttpClient *http;
} Fixture;

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->server = http_server_new();
    f->http = http_client_new();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    http_client_free(f->http);
    http_server_free(f->server);
    g_free(f);
    return 0;
}

static DvCtx *user_context(const char *token)
{
    DvCtx *ctx = dv_ctx_new_blank();

    ctx->request_id = g_strdup("req-1");
    ctx->auth_token = g_strdup(token);
    return ctx;
}

static bool get(Service *s, const DvCtx *ctx, ServiceIdentity identity, GError **err)
{
    return service_call(s, ctx, identity, "GET", "/v2.0/ports", NULL, NULL, NULL, NULL, NULL, err);
}

static void assert_header(const HttpSeen *seen, const char *name, const char *value)
{
    g_autofree char *found = NULL;

    assert_non_null(seen);
    found = http_seen_header(seen, name);
    if (!value) {
        assert_null(found);
        return;
    }
    assert_non_null(found);
    assert_string_equal(found, value);
}

/* The request that keystone got, as JSON. */
static json_t *seen_auth(Fixture *f, unsigned n)
{
    const HttpSeen *seen = http_server_seen(f->server, "POST", TOKENS, n);
    json_t *json;

    assert_non_null(seen);
    json = json_loads(seen->body, 0, NULL);
    assert_non_null(json);
    return json;
}

static void assert_json(json_t *json, const char *expected)
{
    json_t *want = json_loads(expected, 0, NULL);

    assert_non_null(want);
    assert_true(json_equal(json, want));
    json_decref(want);
    json_decref(json);
}

static void a_password_gives_a_token_that_is_sent_and_kept(void **state)
{
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    g_autoptr(Service) s = service_new(f->http, &config, NULL);
    g_autoptr(DvCtx) ctx = user_context(NULL);

    keystone_grant(f->server, "own-1", 3600);
    http_server_json(f->server, "GET", "/network/v2.0/ports", 200, "{}");
    for (int i = 0; i < 3; i++)
        assert_true(get(s, ctx, AS_SERVICE, NULL));
    assert_int_equal(http_server_count(f->server, "POST", TOKENS), 1);
    assert_json(seen_auth(f, 0),
                "{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":"
                "{\"name\":\"nova\",\"domain\":{\"name\":\"Default\"},\"password\":\"pa\\\"ss\"}}},"
                "\"scope\":{\"project\":{\"name\":\"service\",\"domain\":{\"id\":\"default\"}}}}}");
    const HttpSeen *seen = http_server_seen(f->server, "GET", "/network/v2.0/ports", 0);

    assert_header(seen, "X-Auth-Token", "own-1");
    assert_header(seen, "X-Service-Token", NULL);
    assert_header(seen, "X-OpenStack-Request-ID", "req-1");
    assert_header(seen, "User-Agent", "drover/" DROVER_VERSION);
    assert_header(seen, "Accept", "application/json");
}

static void an_application_credential_is_sent_without_scope(void **state)
{
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    g_autofree char *url = g_strconcat(http_server_url(f->server), "/v3/", NULL);

    config.auth = (AuthConfig){.auth_type = "v3applicationcredential",
                               .auth_url = url,
                               .application_credential_id = "ac-id",
                               .application_credential_secret = "sesame",
                               .project_name = "ignored"};
    g_autoptr(Service) s = service_new(f->http, &config, NULL);

    keystone_grant(f->server, "own-1", 3600);
    http_server_json(f->server, "GET", "/network/v2.0/ports", 200, "{}");
    assert_true(get(s, NULL, AS_SERVICE, NULL));
    assert_json(seen_auth(f, 0),
                "{\"auth\":{\"identity\":{\"methods\":[\"application_credential\"],"
                "\"application_credential\":{\"id\":\"ac-id\",\"secret\":\"sesame\"}}}}");
}

static void scopes_follow_the_options(void **state)
{
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    static const char *const want[] = {
        "{\"system\":{\"all\":true}}",
        "{\"OS-TRUST:trust\":{\"id\":\"t\"}}",
        "{\"project\":{\"id\":\"p\"}}",
        "{\"project\":{\"name\":\"service\",\"domain\":{\"id\":\"dflt\"}}}",
    };
    AuthConfig variants[4] = {config.auth, config.auth, config.auth, config.auth};

    variants[0].system_scope = "all";
    variants[1].trust_id = "t";
    variants[2].project_id = "p";
    variants[3].project_domain_id = NULL;
    variants[3].default_domain_id = "dflt";
    keystone_grant(f->server, "own", 3600);
    http_server_json(f->server, "GET", "/network/v2.0/ports", 200, "{}");
    for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++) {
        config.auth = variants[i];
        g_autoptr(Service) s = service_new(f->http, &config, NULL);
        json_t *sent;

        assert_true(get(s, NULL, AS_SERVICE, NULL));
        sent = seen_auth(f, i);
        assert_json(json_incref(json_object_get(json_object_get(sent, "auth"), "scope")), want[i]);
        json_decref(sent);
    }
}

static void bad_options_are_refused_at_the_start(void **state)
{
    Fixture *f = *state;
    const ServiceConfig good = keystone_config(f->server, "neutron", "network");
    ServiceConfig bad[5] = {good, good, good, good, good};
    static const char *const words[] = {"auth_type = v2password", "[neutron] auth_url",
                                        "[neutron] username", "[neutron] password",
                                        "[neutron] user_domain_name"};

    bad[0].auth.auth_type = "v2password";
    bad[1].auth.auth_url = NULL;
    bad[2].auth.username = NULL;
    bad[3].auth.password = NULL;
    bad[4].auth.user_domain_name = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        assert_null(service_new(f->http, &bad[i], &err));
        assert_true(dv_is(err, DV_E_BAD_CONFIG));
        assert_non_null(strstr(err->message, words[i]));
    }
}

static void a_token_near_its_end_is_renewed(void **state)
{
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    g_autoptr(Service) s = service_new(f->http, &config, NULL);

    keystone_grant(f->server, "short", 100);
    keystone_grant(f->server, "long", 3600);
    http_server_json(f->server, "GET", "/network/v2.0/ports", 200, "{}");
    for (int i = 0; i < 3; i++)
        assert_true(get(s, NULL, AS_SERVICE, NULL));
    assert_int_equal(http_server_count(f->server, "POST", TOKENS), 2);
    assert_header(http_server_seen(f->server, "GET", "/network/v2.0/ports", 2), "X-Auth-Token",
                  "long");
}

static void a_refused_token_is_renewed_once(void **state)
{
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    g_autoptr(Service) s = service_new(f->http, &config, NULL);
    g_autoptr(GError) err = NULL;

    keystone_grant(f->server, "revoked", 3600);
    keystone_grant(f->server, "fresh", 3600);
    http_server_json(f->server, "GET", "/network/v2.0/ports", 401, "{\"error\":{}}");
    http_server_json(f->server, "GET", "/network/v2.0/ports", 200, "{}");
    assert_true(get(s, NULL, AS_SERVICE, NULL));
    assert_header(http_server_seen(f->server, "GET", "/network/v2.0/ports", 1), "X-Auth-Token",
                  "fresh");

    http_server_reset(f->server);
    keystone_grant(f->server, "worse", 3600);
    http_server_json(f->server, "GET", "/network/v2.0/ports", 401,
                     "{\"error\":{\"message\":\"The request you have made requires "
                     "authentication.\"}}");
    assert_false(get(s, NULL, AS_SERVICE, &err));
    assert_true(dv_is(err, DV_E_DENIED));
    assert_non_null(strstr(err->message, "requires authentication"));
    assert_int_equal(http_server_count(f->server, "GET", "/network/v2.0/ports"), 2);
}

static void a_users_token_is_used_and_never_renewed(void **state)
{
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    g_autoptr(Service) s = service_new(f->http, &config, NULL);
    g_autoptr(DvCtx) ctx = user_context("users");
    g_autoptr(GError) err = NULL;

    keystone_grant(f->server, "own", 3600);
    http_server_json(f->server, "GET", "/network/v2.0/ports", 200, "{}");
    assert_true(get(s, ctx, AS_USER, NULL));
    assert_true(get(s, ctx, AS_SERVICE, NULL));
    assert_true(get(s, NULL, AS_USER, NULL)); /* no user there: the group's own */
    assert_header(http_server_seen(f->server, "GET", "/network/v2.0/ports", 0), "X-Auth-Token",
                  "users");
    assert_header(http_server_seen(f->server, "GET", "/network/v2.0/ports", 1), "X-Auth-Token",
                  "own");
    assert_header(http_server_seen(f->server, "GET", "/network/v2.0/ports", 2), "X-Auth-Token",
                  "own");
    http_server_reset(f->server);
    http_server_json(f->server, "GET", "/network/v2.0/ports", 401, "");
    assert_false(get(s, ctx, AS_USER, &err));
    assert_true(dv_is(err, DV_E_DENIED));
    assert_int_equal(http_server_count(f->server, NULL, "*"), 1);
}

static void the_service_token_goes_beside_the_users(void **state)
{
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    AuthConfig service_user = config.auth;

    config.service_user = &service_user;
    config.endpoint_override = http_server_url(f->server);
    g_autoptr(Service) s = service_new(f->http, &config, NULL);
    g_autoptr(DvCtx) ctx = user_context("users");

    keystone_grant(f->server, "service-1", 3600);
    keystone_grant(f->server, "service-2", 3600);
    http_server_json(f->server, "GET", "/v2.0/ports", 401, "");
    http_server_json(f->server, "GET", "/v2.0/ports", 200, "{}");
    assert_true(get(s, ctx, AS_USER, NULL)); /* the service token was refused and renewed */
    assert_header(http_server_seen(f->server, "GET", "/v2.0/ports", 1), "X-Auth-Token", "users");
    assert_header(http_server_seen(f->server, "GET", "/v2.0/ports", 1), "X-Service-Token",
                  "service-2");
    assert_int_equal(http_server_count(f->server, "POST", TOKENS), 2);
}

static void endpoints_follow_interface_and_region(void **state)
{
    static const char *const public_url[] = {"publicURL", NULL};
    static const char *const missing_first[] = {"admin", "internal", NULL};
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    static const char *const want[] = {"/public/network/v2.0/ports", "/network/v2.0/ports",
                                       "/two/network/v2.0/ports"};

    keystone_grant(f->server, "own", 3600);
    http_server_json(f->server, "GET", "*", 200, "{}");
    for (size_t i = 0; i < G_N_ELEMENTS(want); i++) {
        config.valid_interfaces = i == 0 ? public_url : i == 1 ? missing_first : NULL;
        config.region_name = i == 2 ? "RegionTwo" : NULL;
        g_autoptr(Service) s = service_new(f->http, &config, NULL);

        assert_true(get(s, NULL, AS_SERVICE, NULL));
        assert_int_equal(http_server_count(f->server, "GET", want[i]), 1);
    }
    config.region_name = "Nowhere";
    g_autoptr(Service) s = service_new(f->http, &config, NULL);
    g_autoptr(GError) err = NULL;

    assert_false(get(s, NULL, AS_SERVICE, &err));
    assert_true(dv_is(err, DV_E_UNAVAILABLE));
    assert_non_null(strstr(err->message, "no internal endpoint for network in region Nowhere"));
}

static void a_version_is_never_doubled(void **state)
{
    Fixture *f = *state;
    static const char *const bases[] = {"", "/", "/v2", "/v2.0/", "/x/v1"};
    static const char *const want[] = {"/v2.0/ports", "/v2.0/ports", "/v2.0/ports", "/v2.0/ports",
                                       "/x/v2.0/ports"};

    for (size_t i = 0; i < G_N_ELEMENTS(bases); i++) {
        g_autofree char *url = g_strconcat(http_server_url(f->server), bases[i], NULL);
        ServiceConfig config = {.name = "x",
                                .service_type = "network",
                                .endpoint_override = url,
                                .auth = {.auth_type = "none"}};
        g_autoptr(Service) s = service_new(f->http, &config, NULL);

        http_server_reset(f->server);
        http_server_json(f->server, "GET", "*", 200, "{}");
        assert_true(get(s, NULL, AS_SERVICE, NULL));
        assert_string_equal(http_server_seen(f->server, "GET", "*", 0)->target, want[i]);
        assert_header(http_server_seen(f->server, "GET", "*", 0), "X-Auth-Token", NULL);
    }
}

static void without_credentials_the_contexts_catalog_serves(void **state)
{
    Fixture *f = *state;
    ServiceConfig config = {
        .name = "glance", .service_type = "image", .user_token_only = true, .region_name = "R2"};
    g_autoptr(Service) s = service_new(f->http, &config, NULL);
    g_autoptr(DvCtx) ctx = user_context("users");
    g_autoptr(GError) err = NULL;

    ctx->wire = json_pack("{s:[{s:s, s:[]}, {s:s, s:[{s:s, s:s}, {s:s, s:s}]}]}", "service_catalog",
                          "type", "network", "endpoints", "type", "image", "endpoints", "region",
                          "R1", "publicURL", "http://127.0.0.1:1", "region", "R2", "publicURL",
                          http_server_url(f->server));
    http_server_json(f->server, "GET", "/v2/images/x", 200, "{}");
    assert_true(
        service_call(s, ctx, AS_USER, "GET", "/v2/images/x", NULL, NULL, NULL, NULL, NULL, NULL));
    assert_header(http_server_seen(f->server, "GET", "/v2/images/x", 0), "X-Auth-Token", "users");
    json_decref(ctx->wire);
    ctx->wire = NULL;
    assert_false(
        service_call(s, NULL, AS_USER, "GET", "/v2/images/x", NULL, NULL, NULL, NULL, NULL, &err));
    assert_true(dv_is(err, DV_E_DENIED));
}

static void bodies_and_answers_are_json(void **state)
{
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "placement", "placement");
    g_autoptr(Service) s = service_new(f->http, &config, NULL);
    g_autoptr(GError) err = NULL;
    json_t *out = NULL;
    int status = 0;

    keystone_grant(f->server, "own", 3600);
    http_server_json(f->server, "PUT", "/placement/x", 200, "{\"generation\": 7}");
    assert_true(service_call(s, NULL, AS_SERVICE, "PUT", "/x",
                             "OpenStack-API-Version: placement 1.36", json_pack("{s:i}", "a", 1),
                             NULL, &status, &out, NULL));
    assert_int_equal(status, 200);
    assert_int_equal(json_integer_value(json_object_get(out, "generation")), 7);
    json_decref(out);
    const HttpSeen *seen = http_server_seen(f->server, "PUT", "/placement/x", 0);

    assert_string_equal(seen->body, "{\"a\":1}");
    assert_header(seen, "Content-Type", "application/json");
    assert_header(seen, "OpenStack-API-Version", "placement 1.36");

    http_server_on(f->server, "GET", "/placement/none", &(HttpAnswer){.status = 204});
    assert_true(
        service_call(s, NULL, AS_SERVICE, "GET", "/none", NULL, NULL, NULL, NULL, &out, NULL));
    assert_null(out);
    http_server_json(f->server, "GET", "/placement/bad", 200, "{\"a\":");
    assert_false(
        service_call(s, NULL, AS_SERVICE, "GET", "/bad", NULL, NULL, NULL, NULL, &out, &err));
    assert_true(dv_is(err, DV_E_BAD_INPUT));
}

static void statuses_become_codes_with_the_services_words(void **state)
{
    static const struct {
        int status;
        DvErrorCode code;
        const char *body, *words;
    } cases[] = {
        {400, DV_E_BAD_INPUT, "{\"NeutronError\":{\"type\":\"X\",\"message\":\"bad port\"}}",
         "neutron: GET /v2.0/ports: 400: bad port"},
        {403, DV_E_DENIED, "{\"NeutronError\":\"policy says no\"}", "policy says no"},
        {404, DV_E_NOT_FOUND,
         "<html><head><title>404</title></head><body><h1>404 Not Found</h1>\nNo "
         "image</body></html>",
         "404 404 Not Found No image"},
        {409, DV_E_CONFLICT,
         "{\"errors\":[{\"title\":\"Conflict\",\"detail\":\"generation conflict\"}]}",
         "409: generation conflict"},
        {500, DV_E_UNAVAILABLE, "", "no reason given"},
        {302, DV_E_BAD_INPUT, "go away", "go away"},
        {400, DV_E_BAD_INPUT, "{\"itemNotFound\":{\"code\":404,\"message\":\"no\\nvolume\"}}",
         "no volume"},
        {400, DV_E_BAD_INPUT, "{\"a\":{\"message\":\"password=hunter2 X-Auth-Token: gAAAAAb\"}}",
         "password=***"},
    };
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    g_autoptr(Service) s = service_new(f->http, &config, NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;

        http_server_reset(f->server);
        keystone_grant(f->server, "own", 3600);
        http_server_on(f->server, "GET", "/network/v2.0/ports",
                       &(HttpAnswer){.status = cases[i].status, .body = cases[i].body});
        assert_false(get(s, NULL, AS_SERVICE, &err));
        assert_int_equal(dv_code(err), cases[i].code);
        if (!strstr(err->message, cases[i].words))
            fail_msg("case %zu: %s", i, err->message);
        assert_null(strstr(err->message, "hunter2"));
        assert_null(strstr(err->message, "gAAAAAb"));
    }
}

static void an_error_text_is_bounded_and_valid(void **state G_GNUC_UNUSED)
{
    g_autoptr(GString) page = g_string_new("x");
    g_autofree char *text = NULL;
    HttpResponse r = {.status = 500};

    for (int i = 0; i < 200000; i++)
        g_string_append(page, "\xc3\xa4");
    g_string_append(page, "\xff");
    r.body = page->str;
    r.body_length = page->len;
    text = service_error_text(&r);
    assert_true(strlen(text) <= 300);
    assert_true(g_utf8_validate(text, -1, NULL));
    assert_true(g_str_has_suffix(text, "..."));
}

static void accepted_statuses_are_results(void **state)
{
    static const int accept[] = {404, 409, 0};
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    g_autoptr(Service) s = service_new(f->http, &config, NULL);
    json_t *out = NULL;
    int status = 0;

    keystone_grant(f->server, "own", 3600);
    http_server_on(f->server, "GET", "/network/x", &(HttpAnswer){.status = 404, .body = "<p>no"});
    http_server_json(f->server, "GET", "/network/y", 409, "{\"a\":1}");
    assert_true(
        service_call(s, NULL, AS_SERVICE, "GET", "/x", NULL, NULL, accept, &status, &out, NULL));
    assert_int_equal(status, 404);
    assert_null(out);
    assert_true(
        service_call(s, NULL, AS_SERVICE, "GET", "/y", NULL, NULL, accept, &status, &out, NULL));
    assert_int_equal(status, 409);
    assert_true(json_is_object(out));
    json_decref(out);
}

static void a_busy_service_is_asked_again_when_the_options_say_so(void **state)
{
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");

    config.status_code_retries = 1;
    g_autoptr(Service) s = service_new(f->http, &config, NULL);

    keystone_grant(f->server, "own", 3600);
    http_server_json(f->server, "GET", "/network/v2.0/ports", 503, "");
    http_server_json(f->server, "GET", "/network/v2.0/ports", 200, "{}");
    assert_true(get(s, NULL, AS_SERVICE, NULL));
    assert_int_equal(http_server_count(f->server, "GET", "/network/v2.0/ports"), 2);
}

static gpointer call_once(gpointer arg)
{
    g_autoptr(GError) err = NULL;

    return GINT_TO_POINTER(get(arg, NULL, AS_SERVICE, &err) ? 1 : (int)dv_code(err) + 100);
}

static void one_thread_fetches_while_the_others_wait(void **state)
{
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    g_autoptr(Service) s = service_new(f->http, &config, NULL);
    GThread *threads[8];

    keystone_grant_slowly(f->server, "own", 3600, 300);
    http_server_json(f->server, "GET", "/network/v2.0/ports", 200, "{}");
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("caller", call_once, s);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        assert_int_equal(GPOINTER_TO_INT(g_thread_join(threads[i])), 1);
    assert_int_equal(http_server_count(f->server, "POST", TOKENS), 1);
}

static void those_who_wait_share_a_failure(void **state)
{
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    g_autoptr(Service) s = service_new(f->http, &config, NULL);
    GThread *threads[8];

    http_server_on(f->server, "POST", TOKENS,
                   &(HttpAnswer){.status = 401,
                                 .body = "{\"error\":{\"message\":\"wrong password\"}}",
                                 .stall_ms = 1500});
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("caller", call_once, s);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        assert_int_equal(GPOINTER_TO_INT(g_thread_join(threads[i])), 100 + DV_E_DENIED);
    assert_true(http_server_count(f->server, "POST", TOKENS) < G_N_ELEMENTS(threads));
}

static void a_strange_token_answer_is_an_error(void **state)
{
    static const char *const bodies[] = {"", "[]", "{\"token\":{}}",
                                         "{\"token\":{\"expires_at\":\"soon\"}}",
                                         "{\"token\":{\"expires_at\":7,\"catalog\":{}}}"};
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    g_autoptr(Service) s = service_new(f->http, &config, NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(bodies); i++) {
        g_autoptr(GError) err = NULL;

        http_server_reset(f->server);
        http_server_on(
            f->server, "POST", TOKENS,
            &(HttpAnswer){.status = 201, .headers = "X-Subject-Token: t\r\n", .body = bodies[i]});
        assert_false(get(s, NULL, AS_SERVICE, &err));
        assert_true(dv_is(err, DV_E_BAD_INPUT));
        assert_non_null(strstr(err->message, "[neutron]"));
    }
}

static void names_are_kept_for_a_while(void **state)
{
    static const char *const names[] = {"a", "b", NULL};
    Fixture *f = *state;
    ServiceConfig config = keystone_config(f->server, "neutron", "network");
    g_autoptr(Service) s = service_new(f->http, &config, NULL);
    g_auto(GStrv) found = NULL;

    assert_null(service_recall(s, "extensions", 1000));
    service_remember(s, "extensions", names);
    found = service_recall(s, "extensions", 60000);
    assert_string_equal(found[1], "b");
    g_usleep(3000);
    assert_null(service_recall(s, "extensions", 1));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_password_gives_a_token_that_is_sent_and_kept),
        T(an_application_credential_is_sent_without_scope),
        T(scopes_follow_the_options),
        T(bad_options_are_refused_at_the_start),
        T(a_token_near_its_end_is_renewed),
        T(a_refused_token_is_renewed_once),
        T(a_users_token_is_used_and_never_renewed),
        T(the_service_token_goes_beside_the_users),
        T(endpoints_follow_interface_and_region),
        T(a_version_is_never_doubled),
        T(without_credentials_the_contexts_catalog_serves),
        T(bodies_and_answers_are_json),
        T(statuses_become_codes_with_the_services_words),
        T(an_error_text_is_bounded_and_valid),
        T(accepted_statuses_are_results),
        T(a_busy_service_is_asked_again_when_the_options_say_so),
        T(one_thread_fetches_while_the_others_wait),
        T(those_who_wait_share_a_failure),
        T(a_strange_token_answer_is_an_error),
        T(names_are_kept_for_a_while),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
