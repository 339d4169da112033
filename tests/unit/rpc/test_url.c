/* Transport URLs: what oslo accepts, and clear refusals for the rest. */
#include "golden.h"

#include "rpc/url.h"

#include <string.h>

static RpcUrl *read_ok(const char *text)
{
    g_autoptr(GError) err = NULL;
    RpcUrl *url = NULL;

    if (!rpc_url_read(text, &url, &err))
        fail_msg("%s: %s", text, err->message);
    return url;
}

static void read_bad(const char *text, const char *want)
{
    g_autoptr(GError) err = NULL;
    RpcUrl *url = NULL;

    assert_false(rpc_url_read(text, &url, &err));
    assert_null(url);
    assert_int_equal(dv_code(err), DV_E_BAD_CONFIG);
    if (!strstr(err->message, want))
        fail_msg("%s: got '%s', want '%s'", text, err->message, want);
}

static void one_host_with_everything(void **state G_GNUC_UNUSED)
{
    g_autoptr(RpcUrl) url = read_ok("rabbit://stack:secret@10.0.0.1:5673/nova");

    assert_int_equal(url->host_count, 1);
    assert_string_equal(url->hosts[0].host, "10.0.0.1");
    assert_int_equal(url->hosts[0].port, 5673);
    assert_string_equal(url->hosts[0].user, "stack");
    assert_string_equal(url->hosts[0].password, "secret");
    assert_string_equal(url->vhost, "nova");
}

static void each_host_has_its_own_credentials(void **state G_GNUC_UNUSED)
{
    g_autoptr(RpcUrl) url = read_ok("rabbit://a:1@h1:5672,b:2@h2,h3:7/");

    assert_int_equal(url->host_count, 3);
    assert_string_equal(url->hosts[1].user, "b");
    assert_string_equal(url->hosts[1].password, "2");
    assert_int_equal(url->hosts[1].port, 5672);
    assert_string_equal(url->hosts[2].host, "h3");
    assert_string_equal(url->hosts[2].user, "guest");
    assert_int_equal(url->hosts[2].port, 7);
}

static void escapes_are_decoded(void **state G_GNUC_UNUSED)
{
    g_autoptr(RpcUrl) url = read_ok("rabbit://us%40er:p%3A%2F%2C%40s@h/a%2Fb");

    assert_string_equal(url->hosts[0].user, "us@er");
    assert_string_equal(url->hosts[0].password, "p:/,@s");
    assert_string_equal(url->vhost, "a/b");
}

static void ipv6_needs_brackets(void **state G_GNUC_UNUSED)
{
    g_autoptr(RpcUrl) url = read_ok("rabbit://u:p@[fd00::1]:5671,u:p@[::1]/");

    assert_string_equal(url->hosts[0].host, "fd00::1");
    assert_int_equal(url->hosts[0].port, 5671);
    assert_string_equal(url->hosts[1].host, "::1");
    assert_int_equal(url->hosts[1].port, 5672);
    read_bad("rabbit://u:p@fd00::1/", "brackets");
    read_bad("rabbit://u:p@[fd00::1/", "']' is missing");
}

static void empty_paths_mean_the_default_vhost(void **state G_GNUC_UNUSED)
{
    static const char *const texts[] = {"rabbit://u:p@h", "rabbit://u:p@h/", "rabbit://u:p@h/%2F",
                                        "rabbit://u:p@h//", "rabbit://u:p@h?ssl=1"};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(RpcUrl) url = read_ok(texts[i]);

        assert_string_equal(url->vhost, "/");
    }
}

static void no_host_means_guest_at_localhost(void **state G_GNUC_UNUSED)
{
    g_autoptr(RpcUrl) url = read_ok("rabbit://");

    assert_string_equal(url->hosts[0].host, "localhost");
    assert_string_equal(url->hosts[0].user, "guest");
    assert_string_equal(url->hosts[0].password, "guest");
    assert_int_equal(url->hosts[0].port, 5672);
}

static void other_schemes_of_kombu_are_taken(void **state G_GNUC_UNUSED)
{
    g_autoptr(RpcUrl) kombu = read_ok("kombu://h/");
    g_autoptr(RpcUrl) plus = read_ok("kombu+rabbit://h/");

    assert_non_null(kombu);
    assert_non_null(plus);
    read_bad("amqp1://h/", "want rabbit://");
    read_bad("fake://", "want rabbit://");
    read_bad("h1:5672", "want rabbit://");
    read_bad("", "want rabbit://");
    read_bad(NULL, "want rabbit://");
}

static void bad_parts_are_named(void **state G_GNUC_UNUSED)
{
    read_bad("rabbit://u:p@h:0/", "port '0'");
    read_bad("rabbit://u:p@h:65536/", "port '65536'");
    read_bad("rabbit://u:p@h:amqp/", "port 'amqp'");
    read_bad("rabbit://u:p@h1,u:p@h2:x/", "host 2");
    read_bad("rabbit://u%zz:p@h/", "escape");
    read_bad("rabbit://u:p%0@h/", "escape");
    read_bad("rabbit://h/%00", "escape");
    read_bad("rabbit://h/?ssl", "'ssl' has no value");
}

static void no_message_repeats_the_password(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;
    RpcUrl *url = NULL;

    assert_false(rpc_url_read("rabbit://u:hunter2@h:99999/", &url, &err));
    assert_null(strstr(err->message, "hunter2"));
}

static void too_many_hosts_are_refused(void **state G_GNUC_UNUSED)
{
    g_autoptr(GString) text = g_string_new("rabbit://h");

    for (int i = 0; i < 80; i++)
        g_string_append(text, ",h");
    read_bad(text->str, "more than");
}

static void options_override_the_config(void **state G_GNUC_UNUSED)
{
    RpcConfig config = {.heartbeat_timeout_s = 60, .reconnect_delay_s = 1};
    g_autoptr(GError) err = NULL;
    g_autoptr(RpcUrl)
        url = read_ok("rabbit://h/v?ssl=1&ssl_ca_file=%2Fetc%2Fca.pem&heartbeat_timeout_threshold=5"
                      "&rabbit_quorum_queue=True&kombu_reconnect_delay=0.5"
                      "&kombu_failover_strategy=shuffle&something_new=1");

    assert_string_equal(url->vhost, "v");
    assert_true(rpc_url_apply(url, &config, &err));
    assert_true(config.ssl);
    assert_string_equal(config.ssl_ca_file, "/etc/ca.pem");
    assert_int_equal(config.heartbeat_timeout_s, 5);
    assert_true(config.quorum_queue);
    assert_true(config.reconnect_delay_s > 0.49 && config.reconnect_delay_s < 0.51);
    assert_true(config.failover_shuffle);
}

static void bad_option_values_are_refused(void **state G_GNUC_UNUSED)
{
    static const char *const texts[] = {
        "rabbit://h/?ssl=maybe", "rabbit://h/?heartbeat_timeout_threshold=-1",
        "rabbit://h/?heartbeat_rate=two", "rabbit://h/?kombu_reconnect_delay=nan",
        "rabbit://h/?kombu_failover_strategy=best"};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        RpcConfig config = {0};
        g_autoptr(GError) err = NULL;
        g_autoptr(RpcUrl) url = read_ok(texts[i]);

        assert_false(rpc_url_apply(url, &config, &err));
        assert_int_equal(dv_code(err), DV_E_BAD_CONFIG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_host_with_everything),
        cmocka_unit_test(each_host_has_its_own_credentials),
        cmocka_unit_test(escapes_are_decoded),
        cmocka_unit_test(ipv6_needs_brackets),
        cmocka_unit_test(empty_paths_mean_the_default_vhost),
        cmocka_unit_test(no_host_means_guest_at_localhost),
        cmocka_unit_test(other_schemes_of_kombu_are_taken),
        cmocka_unit_test(bad_parts_are_named),
        cmocka_unit_test(no_message_repeats_the_password),
        cmocka_unit_test(too_many_hosts_are_refused),
        cmocka_unit_test(options_override_the_config),
        cmocka_unit_test(bad_option_values_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
