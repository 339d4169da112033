/* The part of the driver contract that is about devices and consoles of guests; see contract.h,
 * which is included first. libvirt's test hypervisor has no hotplug, so that this part runs on the
 * fake and, in tests/virt, on QEMU. */
#pragma once

#include "unit/virt/contract.h"

/* A port on a bridge that this driver can plug; number 0..9 gives each its own id and MAC. Caller
 * frees with nic_spec_free. */
static NicSpec *contract_nic(unsigned number);

static GPtrArray *devices_of(VirtDriver *driver, const char *uuid)
{
    g_autoptr(GError) err = NULL;
    GPtrArray *devices = NULL;

    must(driver->ops->devices(driver->self, NULL, uuid, &devices, &err), err);
    return devices;
}

/* How many NICs the guest has; *out_address (may be NULL) is the one with that MAC. */
static unsigned nics_of(VirtDriver *driver, const char *uuid, const char *mac, char **out_address)
{
    g_autoptr(GPtrArray) devices = devices_of(driver, uuid);
    unsigned count = 0;

    for (guint i = 0; i < devices->len; i++) {
        const VirtDevice *device = g_ptr_array_index(devices, i);

        if (device->kind != VIRT_DEVICE_NIC)
            continue;
        count++;
        if (out_address && mac && strcmp(device->mac, mac) == 0)
            *out_address = g_strdup(device->address);
    }
    return count;
}

static void attach(VirtDriver *driver, const char *uuid, const NicSpec *nic)
{
    g_autoptr(GError) err = NULL;
    bool ok = driver->ops->attach_nic(driver->self, NULL, uuid, nic, &err);

    must(ok, err);
}

static void detach(VirtDriver *driver, const char *uuid, const NicSpec *nic)
{
    g_autoptr(GError) err = NULL;
    bool ok = driver->ops->detach_nic(driver->self, NULL, uuid, nic, &err);

    must(ok, err);
}

static void contract_absent_guest_has_no_devices(void **state)
{
    VirtDriver *driver = *state;
    const char *uuid = "00000000-0000-4000-8000-00000000dead";
    NicSpec *nic = contract_nic(0);
    GPtrArray *devices = NULL;
    VirtConsole console = {0};
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;
    g_autoptr(GError) e3 = NULL;
    g_autoptr(GError) e4 = NULL;

    assert_false(driver->ops->attach_nic(driver->self, NULL, uuid, nic, &e1));
    assert_int_equal(e1->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->detach_nic(driver->self, NULL, uuid, nic, &e2));
    assert_int_equal(e2->code, DV_E_INSTANCE_NOT_FOUND);
    assert_false(driver->ops->devices(driver->self, NULL, uuid, &devices, &e3));
    assert_int_equal(e3->code, DV_E_INSTANCE_NOT_FOUND);
    assert_null(devices);
    assert_false(
        driver->ops->console(driver->self, NULL, uuid, VIRT_CONSOLE_SERIAL, &console, &e4));
    assert_int_equal(e4->code, DV_E_INSTANCE_NOT_FOUND);
    nic_spec_free(nic);
}

static void contract_nic_comes_to_a_stopped_guest(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(1);
    NicSpec *nic = contract_nic(1);
    g_autofree char *address = NULL;
    g_autoptr(GError) err = NULL;
    unsigned before;

    must(driver->ops->define(driver->self, NULL, spec, &err), err);
    before = nics_of(driver, spec->uuid, NULL, NULL);
    attach(driver, spec->uuid, nic);
    assert_int_equal(nics_of(driver, spec->uuid, nic->mac, &address), before + 1);
    assert_non_null(address);
    assert_true(g_str_has_prefix(address, "0000:"));
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_OFF);
    detach(driver, spec->uuid, nic);
    assert_int_equal(nics_of(driver, spec->uuid, NULL, NULL), before);
    destroy(driver, spec);
    nic_spec_free(nic);
}

/* Its CPUs stand still, which does not keep the device from coming; and it stays over a restart. */
static void contract_nic_comes_to_a_paused_guest_to_stay(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(2);
    NicSpec *nic = contract_nic(2);
    g_autoptr(GError) err = NULL;
    unsigned before;

    start(driver, spec, true);
    before = nics_of(driver, spec->uuid, NULL, NULL);
    attach(driver, spec->uuid, nic);
    assert_int_equal(nics_of(driver, spec->uuid, NULL, NULL), before + 1);
    must(driver->ops->power_off(driver->self, NULL, spec->uuid, &err), err);
    assert_int_equal(nics_of(driver, spec->uuid, NULL, NULL), before + 1);
    detach(driver, spec->uuid, nic);
    assert_int_equal(nics_of(driver, spec->uuid, NULL, NULL), before);
    destroy(driver, spec);
    nic_spec_free(nic);
}

static void contract_detaching_what_is_not_there_succeeds(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(3);
    NicSpec *nic = contract_nic(3);

    start(driver, spec, true);
    detach(driver, spec->uuid, nic);
    destroy(driver, spec);
    nic_spec_free(nic);
}

static void contract_disks_are_devices(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(4);
    g_autoptr(GPtrArray) devices = NULL;
    g_autoptr(GError) err = NULL;
    guint disks = 0;

    must(driver->ops->define(driver->self, NULL, spec, &err), err);
    devices = devices_of(driver, spec->uuid);
    for (guint i = 0; i < devices->len; i++) {
        const VirtDevice *device = g_ptr_array_index(devices, i);

        if (device->kind != VIRT_DEVICE_DISK)
            continue;
        assert_string_equal(device->target,
                            ((DiskSpec *)g_ptr_array_index(spec->disks, disks))->target);
        disks++;
    }
    assert_int_equal(disks, spec->disks->len);
    destroy(driver, spec);
}

static void contract_serial_ports_are_kept_while_defined(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(5);
    g_autoptr(GuestSpec) other = contract_spec(6);
    g_autoptr(GError) err = NULL;
    VirtConsole first = {0};
    VirtConsole again = {0};
    VirtConsole others = {0};

    spec->serial_host = g_strdup("127.0.0.1");
    spec->serial_count = 1;
    other->serial_host = g_strdup("127.0.0.1");
    other->serial_count = 2;
    must(driver->ops->define(driver->self, NULL, spec, &err), err);
    must(driver->ops->define(driver->self, NULL, other, &err), err);
    must(driver->ops->console(driver->self, NULL, spec->uuid, VIRT_CONSOLE_SERIAL, &first, &err),
         err);
    must(driver->ops->console(driver->self, NULL, other->uuid, VIRT_CONSOLE_SERIAL, &others, &err),
         err);
    assert_string_equal(first.host, "127.0.0.1");
    assert_in_range(first.port, 1024, 65535);
    assert_int_not_equal(first.port, others.port);
    start(driver, spec, true);
    must(driver->ops->console(driver->self, NULL, spec->uuid, VIRT_CONSOLE_SERIAL, &again, &err),
         err);
    assert_int_equal(first.port, again.port);
    assert_false(
        driver->ops->console(driver->self, NULL, spec->uuid, VIRT_CONSOLE_SPICE, &again, &err));
    assert_int_equal(err->code, DV_E_CONSOLE_TYPE_UNAVAILABLE);
    g_free(first.host);
    g_free(again.host);
    g_free(others.host);
    destroy(driver, spec);
    destroy(driver, other);
}

/* clang-format off */
#define CONTRACT_DEVICE_TESTS                                              \
        cmocka_unit_test(contract_absent_guest_has_no_devices),            \
        cmocka_unit_test(contract_nic_comes_to_a_stopped_guest),           \
        cmocka_unit_test(contract_nic_comes_to_a_paused_guest_to_stay),    \
        cmocka_unit_test(contract_detaching_what_is_not_there_succeeds),   \
        cmocka_unit_test(contract_disks_are_devices),                      \
        cmocka_unit_test(contract_serial_ports_are_kept_while_defined)
/* clang-format on */
