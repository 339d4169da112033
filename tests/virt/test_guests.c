/* What only a real hypervisor shows of one guest and of many: what the guest itself does, its
 * console and VNC server, a QEMU that dies, domains of others. */
#include "virt/guest.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define MANY 20
#define LIST_LIMIT_MS 2000 /* 20 guests one by one, on a busy machine, would take longer */

static void power_off(VirtDriver *driver, const GuestSpec *spec)
{
    g_autoptr(GError) err = NULL;

    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &err), err);
}

static void launch(VirtDriver *driver, const GuestSpec *spec)
{
    g_autoptr(GError) err = NULL;

    must(driver->ops->launch(driver->self, NULL, spec->uuid, NULL, false, &err), err);
}

static void press_power_button(VirtDriver *driver, const GuestSpec *spec)
{
    g_autoptr(GError) err = NULL;

    must(driver->ops->shutdown(driver->self, NULL, spec->uuid, &err), err);
}

static int qemu_pid(const char *name)
{
    g_autofree char *file = g_strdup_printf("run/qemu/%s.pid", name);

    return virt_pid_in(file);
}

/* As wait_event, and says libvirt's word for the cause. */
static const char *wait_detail(EventLog *log, const char *uuid, GuestEventKind kind)
{
    const char *detail = NULL;

    assert_true(wait_event(log, uuid, kind));
    dv_lock(&log->lock);
    for (guint i = 0; i < log->events->len; i++) {
        const GuestEvent *event = &g_array_index(log->events, GuestEvent, i);

        if (event->kind == kind && g_str_equal(event->uuid, uuid))
            detail = event->detail;
    }
    dv_unlock(&log->lock);
    return detail;
}

static void guest_boots_and_answers_the_power_button(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(10, false);
    g_autoptr(GError) err = NULL;
    g_autofree char *tail = NULL;
    size_t length = 0;
    static EventLog log; /* outlives a test that fails */

    event_log_start(&log, driver);
    start(driver, spec, true);
    must(driver->ops->resume(driver->self, NULL, spec->uuid, &err), err);
    assert_string_equal(wait_detail(&log, spec->uuid, GUEST_EVENT_STARTED), "booted");
    assert_true(virt_wait_console(driver, spec->uuid, VIRT_GREETING));
    must(driver->ops->console_output(driver->self, NULL, spec->uuid, 4, &tail, &length, &err), err);
    assert_int_equal(length, 4);
    assert_string_equal(tail, "up\r\n");
    press_power_button(driver, spec);
    assert_string_equal(wait_detail(&log, spec->uuid, GUEST_EVENT_STOPPED), "shutdown");
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_OFF);
    destroy(driver, spec);
    assert_true(wait_event(&log, spec->uuid, GUEST_EVENT_UNDEFINED));
    event_log_stop(&log, driver);
}

static void paused_guest_has_no_power_button(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(11, false);
    g_autoptr(GError) err = NULL;

    start(driver, spec, true);
    assert_false(driver->ops->shutdown(driver->self, NULL, spec->uuid, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_PAUSED);
    power_off(driver, spec);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_OFF);
    destroy(driver, spec);
}

static void guest_turns_itself_off(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(12, true);
    g_autofree char *name = NULL;
    GuestState listed = GUEST_STATE_NONE;
    static EventLog log; /* outlives a test that fails */

    event_log_start(&log, driver);
    start(driver, spec, false);
    assert_string_equal(wait_detail(&log, spec->uuid, GUEST_EVENT_STOPPED), "shutdown");
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_OFF);
    assert_true(is_listed(driver, spec->uuid, &listed, &name));
    assert_int_equal(listed, GUEST_STATE_OFF);
    assert_true(virt_wait_console(driver, spec->uuid, VIRT_GREETING)); /* kept by virtlogd */
    destroy(driver, spec);
    event_log_stop(&log, driver);
}

static void killed_qemu_is_reported_and_starts_again(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(13, false);
    static EventLog log; /* outlives a test that fails */

    event_log_start(&log, driver);
    start(driver, spec, false);
    assert_int_equal(kill(qemu_pid(spec->name), SIGKILL), 0);
    assert_string_equal(wait_detail(&log, spec->uuid, GUEST_EVENT_STOPPED), "failed");
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_OFF);
    power_off(driver, spec);
    launch(driver, spec);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    destroy(driver, spec);
    event_log_stop(&log, driver);
}

static void saved_guest_goes_on_where_it_was(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(14, false);
    g_autofree char *console = NULL;
    g_autoptr(GError) err = NULL;
    static EventLog log; /* outlives a test that fails */

    event_log_start(&log, driver);
    start(driver, spec, false);
    assert_true(virt_wait_console(driver, spec->uuid, VIRT_GREETING));
    must(driver->ops->save(driver->self, NULL, spec->uuid, &err), err);
    assert_string_equal(wait_detail(&log, spec->uuid, GUEST_EVENT_STOPPED), "saved");
    launch(driver, spec);
    assert_string_equal(wait_detail(&log, spec->uuid, GUEST_EVENT_STARTED), "restored");
    press_power_button(driver, spec);
    while (state_now(driver, spec->uuid) != GUEST_STATE_OFF)
        g_usleep(20 * 1000);
    /* The log is of this start, and the guest has not booted again: that would have greeted. */
    must(driver->ops->console_output(driver->self, NULL, spec->uuid, 10000, &console, NULL, &err),
         err);
    assert_string_equal(console, "");
    destroy(driver, spec);
    event_log_stop(&log, driver);
}

static void new_definition_comes_with_the_next_start(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(15, false);
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    g_autoptr(GError) err = NULL;

    start(driver, spec, false);
    spec->memory_mib = 48;
    must(driver->ops->define(driver->self, NULL, spec, &err), err);
    must(driver->ops->describe(driver->self, spec->uuid, &before, &err), err);
    assert_non_null(strstr(before, "<memory unit='KiB'>32768</memory>"));
    power_off(driver, spec);
    launch(driver, spec);
    must(driver->ops->describe(driver->self, spec->uuid, &after, &err), err);
    assert_non_null(strstr(after, "<memory unit='KiB'>49152</memory>"));
    destroy(driver, spec);
}

static void refused_start_leaves_nothing(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(16, false);
    g_autoptr(GError) err = NULL;

    assert_int_equal(unlink(guest_spec_disk(spec, DISK_ROLE_ROOT)->path), 0);
    assert_false(driver->ops->start(driver->self, NULL, spec, false, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_NONE);
}

static void vnc_server_answers_at_its_port(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(17, false);
    g_autoptr(GError) err = NULL;
    VirtConsole console = {0};
    char hello[4] = "";
    dv_autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET};

    start(driver, spec, true);
    must(driver->ops->console(driver->self, NULL, spec->uuid, VIRT_CONSOLE_VNC, &console, &err),
         err);
    assert_int_equal(inet_pton(AF_INET, console.host, &to.sin_addr), 1);
    to.sin_port = htons((uint16_t)console.port);
    assert_int_equal(connect(fd, (const struct sockaddr *)(void *)&to, sizeof(to)), 0);
    assert_int_equal(recv(fd, hello, 3, MSG_WAITALL), 3);
    assert_string_equal(hello, "RFB");
    g_free(console.host);
    console.host = NULL;
    power_off(driver, spec);
    assert_false(
        driver->ops->console(driver->self, NULL, spec->uuid, VIRT_CONSOLE_VNC, &console, &err));
    assert_int_equal(err->code, DV_E_CONSOLE_TYPE_UNAVAILABLE);
    destroy(driver, spec);
}

static unsigned count_paused(const GPtrArray *guests)
{
    unsigned count = 0;

    for (guint i = 0; i < guests->len; i++)
        count += ((const VirtGuest *)g_ptr_array_index(guests, i))->state == GUEST_STATE_PAUSED;
    return count;
}

static void many_guests_are_listed_at_once(void **state)
{
    VirtDriver *driver = *state;
    GuestSpec *specs[MANY];
    g_autoptr(GPtrArray) none = NULL;

    for (unsigned i = 0; i < MANY; i++) {
        specs[i] = virt_spec(20 + i, false);
        start(driver, specs[i], true);
    }
    for (int round = 0; round < 2; round++) { /* the first also asks each whose it is */
        g_autoptr(GPtrArray) guests = NULL;
        g_autoptr(GError) err = NULL;
        int64_t began_ms = dv_now_ms();

        must(driver->ops->list(driver->self, &guests, &err), err);
        assert_true(dv_now_ms() - began_ms < LIST_LIMIT_MS);
        assert_int_equal(guests->len, MANY);
        assert_int_equal(count_paused(guests), MANY);
    }
    for (unsigned i = 0; i < MANY; i++) {
        destroy(driver, specs[i]);
        guest_spec_free(specs[i]);
    }
    assert_true(driver->ops->list(driver->self, &none, NULL));
    assert_int_equal(none->len, 0);
}

static void domains_of_others_are_left_alone(void **state)
{
    static const char xml[] = "<domain type='qemu'><name>drover-test-foreign</name>"
                              "<uuid>f0e10000-0000-4000-8000-000000000001</uuid>"
                              "<memory unit='MiB'>32</memory><vcpu>1</vcpu>"
                              "<os><type arch='x86_64'>hvm</type></os></domain>";
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = virt_spec(18, false);
    g_autoptr(GuestSpec) same_name = virt_spec(19, false);
    g_autofree char *file = virt_path("foreign.xml");
    g_autofree char *uri = virt_uri();
    g_autofree char *name = NULL;
    g_autoptr(GError) err = NULL;
    GuestState listed = GUEST_STATE_NONE;
    int pid;

    must(dv_write_file(file, xml, strlen(xml), 0644, &err), err);
    g_free(virt_run("virsh", "-c", uri, "create", file, NULL));
    pid = qemu_pid("drover-test-foreign");
    start(driver, spec, false);
    assert_false(is_listed(driver, "f0e10000-0000-4000-8000-000000000001", &listed, &name));
    assert_true(is_listed(driver, spec->uuid, &listed, &name));
    /* A name that is taken: the start fails, and what it cleans up is not the other's. */
    g_free(same_name->name);
    same_name->name = g_strdup("drover-test-foreign");
    assert_false(driver->ops->start(driver->self, NULL, same_name, false, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    assert_int_equal(state_now(driver, same_name->uuid), GUEST_STATE_NONE);
    destroy(driver, same_name);
    destroy(driver, spec);
    assert_int_equal(qemu_pid("drover-test-foreign"), pid);
    assert_int_equal(kill(pid, 0), 0);
    g_free(virt_run("virsh", "-c", uri, "destroy", "drover-test-foreign", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VIRT_TEST(guest_boots_and_answers_the_power_button),
        VIRT_TEST(paused_guest_has_no_power_button),
        VIRT_TEST(guest_turns_itself_off),
        VIRT_TEST(killed_qemu_is_reported_and_starts_again),
        VIRT_TEST(saved_guest_goes_on_where_it_was),
        VIRT_TEST(new_definition_comes_with_the_next_start),
        VIRT_TEST(refused_start_leaves_nothing),
        VIRT_TEST(vnc_server_answers_at_its_port),
        VIRT_TEST(many_guests_are_listed_at_once),
        VIRT_TEST(domains_of_others_are_left_alone),
    };

    return cmocka_run_group_tests(tests, virt_open, virt_close);
}
