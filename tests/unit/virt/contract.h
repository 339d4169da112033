/* The contract of virt/driver.h as tests, run on the fake and on real libvirt: include it once in a
 * program that defines the two functions below, and run CONTRACT_TESTS.
 *
 * Each test makes its own guest and destroys it; state is the VirtDriver. */
#pragma once

#include "util/clock.h"
#include "util/thread.h"
#include "virt/driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A guest that this driver can start; number 0..9 gives each its own uuid, name and files. */
static GuestSpec *contract_spec(unsigned number);

#define CONTRACT_WAIT_MS 20000

typedef struct EventLog {
    DvMutex lock;
    DvCond changed;
    GArray *events; /* GuestEvent */
} EventLog;

static void log_event(void *arg, const GuestEvent *event)
{
    EventLog *log = arg;

    dv_lock(&log->lock);
    g_array_append_val(log->events, *event);
    dv_cond_broadcast(&log->changed);
    dv_unlock(&log->lock);
}

static void event_log_start(EventLog *log, VirtDriver *driver)
{
    dv_mutex_init(&log->lock);
    dv_cond_init(&log->changed);
    log->events = g_array_new(FALSE, FALSE, sizeof(GuestEvent));
    driver->ops->set_event_sink(driver->self, log_event, log);
}

static void event_log_stop(EventLog *log, VirtDriver *driver)
{
    driver->ops->set_event_sink(driver->self, NULL, NULL);
    g_array_unref(log->events);
    dv_cond_done(&log->changed);
    dv_mutex_done(&log->lock);
}

static bool has_event(const EventLog *log, const char *uuid, GuestEventKind kind)
{
    for (guint i = 0; i < log->events->len; i++) {
        const GuestEvent *event = &g_array_index(log->events, GuestEvent, i);

        if (event->kind == kind && g_str_equal(event->uuid, uuid) && event->detail)
            return true;
    }
    return false;
}

static bool wait_event(EventLog *log, const char *uuid, GuestEventKind kind)
{
    int64_t deadline = dv_now_ms() + CONTRACT_WAIT_MS;
    bool seen;

    dv_lock(&log->lock);
    while (!(seen = has_event(log, uuid, kind)) &&
           dv_cond_wait_until(&log->changed, &log->lock, deadline))
        ;
    dv_unlock(&log->lock);
    return seen;
}

/* A macro, so that `err` is read after the call in `ok` has set it. */
#define must(ok, err)                                                           \
    do {                                                                        \
        if (!(ok))                                                              \
            fail_msg("%s", (err) ? (err)->message : "failed without a reason"); \
    } while (0)

static GuestState state_now(VirtDriver *driver, const char *uuid)
{
    g_autoptr(GError) err = NULL;
    GuestState state = GUEST_STATE_CRASHED;

    must(driver->ops->state(driver->self, uuid, &state, &err), err);
    return state;
}

static void start(VirtDriver *driver, const GuestSpec *spec, bool paused)
{
    g_autoptr(GError) err = NULL;

    must(driver->ops->plug(driver->self, NULL, spec, &err), err);
    must(driver->ops->start(driver->self, NULL, spec, paused, &err), err);
}

static void destroy(VirtDriver *driver, const GuestSpec *spec)
{
    g_autoptr(GError) err = NULL;

    must(driver->ops->destroy(driver->self, NULL, spec->uuid, &err), err);
}

static bool is_listed(VirtDriver *driver, const char *uuid, GuestState *out_state, char **out_name)
{
    g_autoptr(GPtrArray) guests = NULL;
    g_autoptr(GError) err = NULL;

    must(driver->ops->list(driver->self, &guests, &err), err);
    for (guint i = 0; i < guests->len; i++) {
        const VirtGuest *guest = g_ptr_array_index(guests, i);

        if (!g_str_equal(guest->uuid, uuid))
            continue;
        *out_state = guest->state;
        *out_name = g_strdup(guest->name);
        return true;
    }
    return false;
}

static void contract_absent_guest(void **state)
{
    VirtDriver *driver = *state;
    const char *uuid = "00000000-0000-4000-8000-00000000dead";
    VirtConsole console = {0};
    char *text = NULL;
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;
    g_autoptr(GError) e3 = NULL;
    g_autoptr(GError) e4 = NULL;
    g_autoptr(GError) e5 = NULL;
    g_autoptr(GError) e6 = NULL;

    assert_int_equal(state_now(driver, uuid), GUEST_STATE_NONE);
    must(driver->ops->power_off(driver->self, NULL, uuid, &e6), e6);
    must(driver->ops->destroy(driver->self, NULL, uuid, &e1), e1);
    assert_false(driver->ops->resume(driver->self, NULL, uuid, &e2));
    assert_int_equal(e2->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->console_output(driver->self, NULL, uuid, 100, &text, NULL, &e3));
    assert_int_equal(e3->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->console(driver->self, NULL, uuid, VIRT_CONSOLE_VNC, &console, &e4));
    assert_int_equal(e4->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->describe(driver->self, uuid, &text, &e5));
    assert_int_equal(e5->code, DV_E_INSTANCE_NOT_FOUND);
    assert_null(text);
}

static void contract_absent_guest_has_no_power(void **state)
{
    VirtDriver *driver = *state;
    const char *uuid = "00000000-0000-4000-8000-00000000dead";
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;
    g_autoptr(GError) e3 = NULL;
    g_autoptr(GError) e4 = NULL;
    g_autoptr(GError) e5 = NULL;
    g_autoptr(GError) e6 = NULL;
    g_autoptr(GError) e7 = NULL;
    g_autoptr(GError) e8 = NULL;
    GuestStats *stats = NULL;

    assert_false(driver->ops->inject_nmi(driver->self, NULL, uuid, &e5));
    assert_int_equal(e5->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->set_password(driver->self, NULL, uuid, "root", "x", &e6));
    assert_int_equal(e6->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->stats(driver->self, uuid, &stats, &e7));
    assert_int_equal(e7->code, DV_E_INSTANCE_NOT_FOUND);
    assert_null(stats);
    must(driver->ops->abort_job(driver->self, NULL, uuid, &e8), e8);
    driver->ops->sync_time(driver->self, NULL, uuid);
    assert_false(driver->ops->shutdown(driver->self, NULL, uuid, &e1));
    assert_int_equal(e1->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->launch(driver->self, NULL, uuid, NULL, false, &e2));
    assert_int_equal(e2->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->pause(driver->self, NULL, uuid, &e3));
    assert_int_equal(e3->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->save(driver->self, NULL, uuid, &e4));
    assert_int_equal(e4->code, DV_E_INSTANCE_NOT_FOUND);
}

static void contract_life_of_a_guest(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(1);
    g_autoptr(GError) err = NULL;
    g_autofree char *name = NULL;
    g_autofree char *xml = NULL;
    GuestState listed = GUEST_STATE_NONE;
    EventLog log;

    event_log_start(&log, driver);
    start(driver, spec, true);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_PAUSED);
    assert_true(is_listed(driver, spec->uuid, &listed, &name));
    assert_int_equal(listed, GUEST_STATE_PAUSED);
    assert_string_equal(name, spec->name);
    must(driver->ops->resume(driver->self, NULL, spec->uuid, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    must(driver->ops->describe(driver->self, spec->uuid, &xml, &err), err);
    assert_non_null(strstr(xml, spec->uuid));
    destroy(driver, spec);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_NONE);
    g_clear_pointer(&name, g_free);
    assert_false(is_listed(driver, spec->uuid, &listed, &name));
    assert_true(wait_event(&log, spec->uuid, GUEST_EVENT_STARTED));
    assert_true(wait_event(&log, spec->uuid, GUEST_EVENT_RESUMED));
    assert_true(wait_event(&log, spec->uuid, GUEST_EVENT_STOPPED));
    event_log_stop(&log, driver);
}

static void contract_started_without_pause_runs(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(2);
    g_autoptr(GError) err = NULL;

    start(driver, spec, false);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    /* Resuming what runs changes nothing. */
    must(driver->ops->resume(driver->self, NULL, spec->uuid, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    destroy(driver, spec);
}

static void contract_running_guest_is_not_started_again(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(3);
    g_autoptr(GError) err = NULL;

    start(driver, spec, true);
    assert_false(driver->ops->start(driver->self, NULL, spec, false, &err));
    assert_int_equal(err->code, DV_E_INSTANCE_EXISTS);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_PAUSED);
    destroy(driver, spec);
    start(driver, spec, true);
    destroy(driver, spec);
}

static void contract_unknown_vif_type_is_named(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(4);
    g_autoptr(GError) err = NULL;
    NicSpec *nic = guest_spec_add_nic(spec);

    nic->port_id = g_strdup("11111111-0000-4000-8000-000000000000");
    nic->type = g_strdup("vhostuser");
    assert_false(driver->ops->plug(driver->self, NULL, spec, &err));
    assert_int_equal(err->code, DV_E_UNSUPPORTED);
    assert_non_null(strstr(err->message, "vhostuser"));
    assert_non_null(strstr(err->message, nic->port_id));
    g_clear_error(&err);
    assert_false(driver->ops->unplug(driver->self, NULL, spec, &err));
    assert_int_equal(err->code, DV_E_UNSUPPORTED);
    assert_non_null(strstr(err->message, nic->port_id));
}

static void contract_unplugging_nothing_is_success(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = guest_spec_new();
    g_autoptr(GError) err = NULL;
    NicSpec *nic;

    must(driver->ops->unplug(driver->self, NULL, spec, &err), err);
    nic = guest_spec_add_nic(spec);
    nic->port_id = g_strdup("22222222-0000-4000-8000-000000000000");
    nic->devname = g_strdup("tap22222222-00");
    nic->bridge = g_strdup("brq22222222-00");
    nic->type = g_strdup("bridge");
    for (int i = 0; i < 2; i++)
        must(driver->ops->unplug(driver->self, NULL, spec, &err), err);
}

static void contract_vnc_address_while_it_runs(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(5);
    g_autoptr(GuestSpec) blind = contract_spec(6);
    g_autoptr(GError) err = NULL;
    VirtConsole console = {0};

    g_clear_pointer(&blind->vnc_listen, g_free);
    start(driver, spec, true);
    start(driver, blind, true);
    must(driver->ops->console(driver->self, NULL, spec->uuid, VIRT_CONSOLE_VNC, &console, &err),
         err);
    assert_string_equal(console.host, "127.0.0.1");
    assert_in_range(console.port, 5900, 65535);
    g_free(console.host);
    assert_false(
        driver->ops->console(driver->self, NULL, blind->uuid, VIRT_CONSOLE_VNC, &console, &err));
    assert_int_equal(err->code, DV_E_CONSOLE_TYPE_UNAVAILABLE);
    destroy(driver, spec);
    destroy(driver, blind);
}

static void contract_console_starts_empty(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(7);
    g_autoptr(GError) err = NULL;
    g_autofree char *text = NULL;
    size_t length = 99;

    start(driver, spec, true);
    must(driver->ops->console_output(driver->self, NULL, spec->uuid, 1000, &text, &length, &err),
         err);
    assert_int_equal(length, 0);
    assert_string_equal(text, "");
    destroy(driver, spec);
}

static void contract_powered_off_guest_stays_defined(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(8);
    g_autoptr(GError) err = NULL;
    EventLog log;

    event_log_start(&log, driver);
    start(driver, spec, false);
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_OFF);
    assert_true(wait_event(&log, spec->uuid, GUEST_EVENT_STOPPED));
    /* Off: ending it again is success, asking it to end too, and it cannot be paused or resumed. */
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &err), err);
    must(driver->ops->shutdown(driver->self, NULL, spec->uuid, &err), err);
    assert_false(driver->ops->pause(driver->self, NULL, spec->uuid, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    g_clear_error(&err);
    assert_false(driver->ops->resume(driver->self, NULL, spec->uuid, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    g_clear_error(&err);
    must(driver->ops->launch(driver->self, NULL, spec->uuid, NULL, false, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    destroy(driver, spec);
    event_log_stop(&log, driver);
}

static void contract_guest_is_paused_and_resumed(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(8);
    g_autoptr(GError) err = NULL;
    EventLog log;

    event_log_start(&log, driver);
    start(driver, spec, false);
    for (int i = 0; i < 2; i++) {
        must(driver->ops->pause(driver->self, NULL, spec->uuid, &err), err);
        assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_PAUSED);
    }
    /* launch is for guests that are off: one that is paused stays so. */
    must(driver->ops->launch(driver->self, NULL, spec->uuid, NULL, false, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_PAUSED);
    must(driver->ops->resume(driver->self, NULL, spec->uuid, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    assert_true(wait_event(&log, spec->uuid, GUEST_EVENT_PAUSED));
    assert_true(wait_event(&log, spec->uuid, GUEST_EVENT_RESUMED));
    destroy(driver, spec);
    event_log_stop(&log, driver);
}

static void contract_saved_guest_comes_back(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(9);
    g_autoptr(GError) err = NULL;
    EventLog log;

    event_log_start(&log, driver);
    start(driver, spec, false);
    must(driver->ops->save(driver->self, NULL, spec->uuid, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_OFF);
    assert_true(wait_event(&log, spec->uuid, GUEST_EVENT_STOPPED));
    assert_false(driver->ops->save(driver->self, NULL, spec->uuid, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    g_clear_error(&err);
    must(driver->ops->launch(driver->self, NULL, spec->uuid, NULL, false, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    destroy(driver, spec);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_NONE);
    event_log_stop(&log, driver);
}

static void contract_defining_changes_no_state(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(9);
    g_autoptr(GError) err = NULL;

    must(driver->ops->define(driver->self, NULL, spec, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_OFF);
    must(driver->ops->launch(driver->self, NULL, spec->uuid, NULL, true, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_PAUSED);
    must(driver->ops->define(driver->self, NULL, spec, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_PAUSED);
    destroy(driver, spec);
}

static void contract_running_guest_is_reached_from_outside(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(8);
    g_autoptr(GuestStats) stats = NULL;
    g_autoptr(GError) err = NULL;

    start(driver, spec, false);
    must(driver->ops->inject_nmi(driver->self, NULL, spec->uuid, &err), err);
    must(driver->ops->abort_job(driver->self, NULL, spec->uuid, &err), err);
    must(driver->ops->stats(driver->self, spec->uuid, &stats, &err), err);
    assert_int_equal(stats->state, GUEST_STATE_RUNNING);
    assert_true(stats->memory_max_kib >= stats->memory_kib && stats->memory_kib > 0);
    assert_true(stats->cpus->len > 0);
    driver->ops->sync_time(driver->self, NULL, spec->uuid);
    /* There is no agent in it. */
    assert_false(driver->ops->set_password(driver->self, NULL, spec->uuid, "root", "x", &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    assert_null(strstr(err->message, "'x'"));
    g_clear_error(&err);
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &err), err);
    assert_false(driver->ops->inject_nmi(driver->self, NULL, spec->uuid, &err));
    assert_int_equal(err->code, DV_E_INSTANCE_NOT_RUNNING);
    destroy(driver, spec);
}

static bool is_sorted(const GPtrArray *texts)
{
    for (guint i = 1; i < texts->len; i++) {
        if (strcmp(g_ptr_array_index(texts, i - 1), g_ptr_array_index(texts, i)) >= 0)
            return false;
    }
    return true;
}

/* What describe gave makes the same guest again; what is somebody else's does not. */
static void contract_description_defines_the_guest_again(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(7);
    g_autoptr(GuestSpec) other = contract_spec(6);
    g_autoptr(GError) err = NULL;
    g_autofree char *xml = NULL;
    g_autofree char *again = NULL;

    start(driver, spec, false);
    must(driver->ops->describe(driver->self, spec->uuid, &xml, &err), err);
    destroy(driver, spec);
    must(driver->ops->define_xml(driver->self, NULL, spec->uuid, xml, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_OFF);
    must(driver->ops->launch(driver->self, NULL, spec->uuid, NULL, false, &err), err);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    must(driver->ops->describe(driver->self, spec->uuid, &again, &err), err);
    assert_non_null(strstr(again, spec->uuid));
    assert_false(driver->ops->define_xml(driver->self, NULL, other->uuid, xml, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    g_clear_error(&err);
    assert_int_equal(state_now(driver, other->uuid), GUEST_STATE_NONE);
    destroy(driver, spec);
}

static void contract_cpu_is_told_before_the_guest_is_made(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(9);
    g_autoptr(VirtCpu) plain = NULL;
    g_autoptr(VirtCpu) asked = NULL;
    g_autoptr(GError) err = NULL;

    must(driver->ops->cpu(driver->self, spec, &plain, &err), err);
    assert_int_equal(plain->sockets, spec->vcpus);
    assert_int_equal(plain->cores, 1);
    assert_int_equal(plain->threads, 1);
    assert_non_null(plain->features);
    spec->vcpus = 12;
    spec->cpu_sockets = 2;
    spec->cpu_cores = 3;
    spec->cpu_threads = 2;
    must(driver->ops->cpu(driver->self, spec, &asked, &err), err);
    assert_int_equal(asked->sockets, 2);
    assert_int_equal(asked->cores, 3);
    assert_int_equal(asked->threads, 2);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_NONE);
}

static void contract_host_facts_are_complete(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(HostFacts) facts = NULL;
    g_autoptr(GError) err = NULL;

    must(driver->ops->host_facts(driver->self, &facts, &err), err);
    assert_non_null(facts->hypervisor_hostname);
    assert_string_equal(facts->hypervisor_type, "QEMU");
    assert_true(facts->hypervisor_version > 1000000);
    assert_true(facts->vcpus > 0 && facts->memory_mib > 0 && facts->disk_gib > 0);
    assert_true(facts->disk_used_gib <= facts->disk_gib);
    assert_non_null(facts->cpu_info);
    assert_non_null(facts->cpu_arch);
    assert_true(facts->cpu_features->len > 0 && is_sorted(facts->cpu_features));
    assert_true(facts->traits->len > 0 && is_sorted(facts->traits));
    assert_true(facts->specs->len > 0);
    assert_non_null(strstr(facts->uptime, " up "));
    assert_true(g_str_has_suffix(facts->uptime, "\n"));
}

static void contract_healthy_driver_is_connected(void **state)
{
    VirtDriver *driver = *state;
    int64_t oldest_ms = -1;
    const char *name = "?";

    assert_true(driver->ops->connected(driver->self));
    assert_int_equal(driver->ops->stuck_calls(driver->self, &oldest_ms, &name), 0);
    assert_int_equal(oldest_ms, 0);
    assert_null(name);
}

/* clang-format off */
#define CONTRACT_TESTS                                                \
        cmocka_unit_test(contract_absent_guest),                      \
        cmocka_unit_test(contract_absent_guest_has_no_power),         \
        cmocka_unit_test(contract_life_of_a_guest),                   \
        cmocka_unit_test(contract_started_without_pause_runs),        \
        cmocka_unit_test(contract_running_guest_is_not_started_again),\
        cmocka_unit_test(contract_unknown_vif_type_is_named),         \
        cmocka_unit_test(contract_unplugging_nothing_is_success),     \
        cmocka_unit_test(contract_vnc_address_while_it_runs),         \
        cmocka_unit_test(contract_console_starts_empty),              \
        cmocka_unit_test(contract_powered_off_guest_stays_defined),   \
        cmocka_unit_test(contract_guest_is_paused_and_resumed),       \
        cmocka_unit_test(contract_saved_guest_comes_back),            \
        cmocka_unit_test(contract_defining_changes_no_state),         \
        cmocka_unit_test(contract_running_guest_is_reached_from_outside),\
        cmocka_unit_test(contract_description_defines_the_guest_again), \
        cmocka_unit_test(contract_cpu_is_told_before_the_guest_is_made), \
        cmocka_unit_test(contract_host_facts_are_complete),           \
        cmocka_unit_test(contract_healthy_driver_is_connected)
/* clang-format on */
