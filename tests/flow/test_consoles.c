/* Consoles of an instance: which are offered, what the answer says, and what a config drive tells,
 * by the options of the host. */
#include "flow/interfaces.h"

#include "util/fs.h"
#include "util/spawn.h"

static int setup_all(void **state)
{
    *state = fake_agent_new("[spice]\nenabled = true\nagent_enabled = true\n"
                            "html5proxy_base_url = http://proxy:6082/spice_auto.html\n"
                            "server_listen = 127.0.0.2\nserver_proxyclient_address = 10.0.0.9\n"
                            "[serial_console]\nenabled = true\nbase_url = ws://proxy:6083/\n"
                            "proxyclient_address = 127.0.0.3\nport_range = 20000:20010\n");
    return 0;
}

static int setup_plain(void **state)
{
    *state = fake_agent_new("[vnc]\nenabled = false\n");
    boot_two_ports(*state);
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

static int console(FakeAgent *fake, const char *method, const char *type, json_t **out)
{
    return run_method(fake, method, json_pack("{s:s}", "console_type", type), out);
}

static void answer_tokens(FakeAgent *fake)
{
    fake_conductor_answer_action(fake_agent_conductor(fake), "ConsoleAuthToken.authorize",
                                 json_string("t0ken"));
}

static const char *text(const json_t *answer, const char *key)
{
    return json_string_value(json_object_get(answer, key));
}

static void spice_and_serial_consoles_are_offered(void **state)
{
    FakeAgent *fake = *state;
    json_t *answer = NULL;
    g_autofree char *token = NULL;
    int port;

    answer_tokens(fake);
    boot_two_ports(fake);
    assert_int_equal(console(fake, "get_spice_console", "spice-html5", &answer), 0);
    assert_string_equal(text(answer, "host"), "10.0.0.9");
    assert_string_equal(text(answer, "access_url"),
                        "http://proxy:6082/spice_auto.html?token=t0ken");
    assert_true(json_is_string(json_object_get(answer, "port")));
    json_decref(answer);
    assert_int_equal(console(fake, "get_serial_console", "serial", &answer), 0);
    assert_string_equal(text(answer, "host"), "127.0.0.3");
    assert_string_equal(text(answer, "access_url"), "ws://proxy:6083/?token=t0ken");
    port = (int)json_integer_value(json_object_get(answer, "port"));
    assert_true(port > 0);
    json_decref(answer);
    token = fake_conductor_last(fake_agent_conductor(fake), "ConsoleAuthToken.authorize");
    assert_non_null(strstr(token, "\"console_type\": \"serial\""));
    assert_non_null(strstr(token, "\"access_url_base\": \"ws://proxy:6083/\""));
}

static void wrong_types_are_invalid(void **state)
{
    FakeAgent *fake = *state;

    boot_two_ports(fake);
    assert_int_equal(console(fake, "get_spice_console", "novnc", NULL), DV_E_CONSOLE_TYPE_INVALID);
    assert_int_equal(console(fake, "get_vnc_console", "spice-html5", NULL),
                     DV_E_CONSOLE_TYPE_INVALID);
}

static void consoles_that_are_off_are_unavailable(void **state)
{
    static const char *const rows[][2] = {
        {"get_vnc_console", "novnc"},     {"get_spice_console", "spice-html5"},
        {"get_serial_console", "serial"}, {"get_rdp_console", "rdp-html5"},
        {"get_mks_console", "webmks"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        assert_int_equal(console(*state, rows[i][0], rows[i][1], NULL),
                         DV_E_CONSOLE_TYPE_UNAVAILABLE);
}

static bool is_valid(FakeAgent *fake, const char *type, int port)
{
    g_autofree char *number = g_strdup_printf("%d", port);
    json_t *answer = NULL;
    bool valid;

    assert_int_equal(run_method(fake, "validate_console_port",
                                json_pack("{s:s, s:s}", "console_type", type, "port", number),
                                &answer),
                     0);
    valid = json_is_true(answer);
    json_decref(answer);
    return valid;
}

static void proxies_ask_whether_a_port_is_right(void **state)
{
    static const struct {
        const char *type;
        VirtConsoleKind kind;
    } rows[] = {{"novnc", VIRT_CONSOLE_VNC},
                {"spice-html5", VIRT_CONSOLE_SPICE},
                {"serial", VIRT_CONSOLE_SERIAL}};
    FakeAgent *fake = *state;
    const VirtDriver *virt = fake_agent(fake)->virt;

    boot_two_ports(fake);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        VirtConsole is = {0};

        assert_true(virt->ops->console(virt->self, NULL, UUID, rows[i].kind, &is, NULL));
        assert_true(is_valid(fake, rows[i].type, is.port));
        assert_false(is_valid(fake, rows[i].type, is.port + 1));
        g_free(is.host);
    }
    assert_int_equal(run_method(fake, "validate_console_port",
                                json_pack("{s:s, s:s}", "console_type", "webmks", "port", "1"),
                                NULL),
                     DV_E_NOT_IMPLEMENTED);
}

static json_t *ask_for(const char *where, const char *key, const char *value)
{
    json_t *request = fake_agent_boot_request();
    json_t *instance = fake_agent_data(request, "instance");
    json_t *flavor = json_object_get(json_object_get(instance, "flavor"), "nova_object.data");

    if (strcmp(where, "flavor") == 0)
        json_object_set_new(json_object_get(flavor, "extra_specs"), key, json_string(value));
    else
        json_object_set_new(json_object_get(fake_agent_data(request, "image"), "properties"), key,
                            json_string(value));
    return request;
}

/* nova's rules for the number of serial ports end a build here as they do there. */
static void counts_of_serial_ports_are_checked(void **state)
{
    static const struct {
        const char *flavor, *image, *message; /* NULL: it boots */
    } rows[] = {
        {"2", NULL, NULL},
        {"three", NULL, "expected an integer"},
        {"1", "2", "Forbidden to exceed flavor value"},
        {"4", NULL, "Maximum number of serial port"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        FakeAgent *fake;
        json_t *request = ask_for("flavor", "hw:serial_port_count", rows[i].flavor);
        g_autofree char *log = NULL;

        if (*state)
            fake_agent_free(*state);
        setup_all(state);
        fake = *state;
        if (rows[i].image)
            json_object_set_new(json_object_get(fake_agent_data(request, "image"), "properties"),
                                "hw_serial_port_count", json_string(rows[i].image));
        fake_agent_boot(fake, request);
        fake_agent_wait(fake, UUID);
        if (rows[i].message) {
            log = fake_conductor_last(fake_agent_conductor(fake), "build_instances");
            if (!log)
                log = fake_conductor_last(fake_agent_conductor(fake), "InstanceFault.create");
            assert_non_null(strstr(log, rows[i].message));
        } else {
            fake_agent_assert_row(fake, "vm_state", "active");
        }
    }
}

static void console_output_is_cut_at_lines(void **state)
{
    static const struct {
        json_int_t lines;
        const char *text;
    } rows[] = {{0, ""}, {1, ""}, {2, "three\n"}, {3, "two\nthree\n"}, {50, "one\ntwo\nthree\n"}};
    FakeAgent *fake = *state;

    fake_virt_set_console(fake_agent_virt(fake), UUID, "one\ntwo\nthree\n");
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *answer = NULL;

        assert_int_equal(run_method(fake, "get_console_output",
                                    json_pack("{s:I}", "tail_length", rows[i].lines), &answer),
                         0);
        assert_string_equal(json_string_value(answer), rows[i].text);
        json_decref(answer);
    }
}

#define ALL(name) cmocka_unit_test_setup_teardown(name, setup_all, teardown)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, setup_plain, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALL(spice_and_serial_consoles_are_offered),   ALL(wrong_types_are_invalid),
        PLAIN(consoles_that_are_off_are_unavailable), ALL(proxies_ask_whether_a_port_is_right),
        ALL(counts_of_serial_ports_are_checked),      PLAIN(console_output_is_cut_at_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
