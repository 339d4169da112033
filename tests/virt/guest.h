/* Real guests for the driver's tests: their specs, what they run, and the programs around them.
 * Include it once in a test program; tests/virt/run provides the libvirtd (DROVER_VIRT_DIR).
 *
 * A guest boots a sector that writes VIRT_GREETING to its serial console and then either waits for
 * the power button or turns itself off, so that a test takes a second rather than a kernel's boot.
 */
#pragma once

/* Each program uses a part of the helpers. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "unit/virt/contract.h"
#pragma GCC diagnostic pop

#include "util/fs.h"
#include "util/spawn.h"

#include <stdlib.h>
#include <string.h>

#define VIRT_GREETING "the guest is up\r\n"
#define VIRT_CALL_LIMIT_MS 1500
#define VIRT_DISK_BYTES (1024 * 1024)

/* clang-format off */
static const uint8_t virt_boot_code[] = {
    0x31, 0xc0,             /*       xor  ax, ax                                               */
    0x8e, 0xd8,             /*       mov  ds, ax                                               */
    0xbe, 0x42, 0x7c,       /*       mov  si, text                                             */
    0xac,                   /* next: lodsb                                                     */
    0x84, 0xc0,             /*       test al, al                                               */
    0x74, 0x12,             /*       jz   done                                                 */
    0x88, 0xc4,             /*       mov  ah, al                                               */
    0xba, 0xfd, 0x03,       /* full: mov  dx, 0x3fd      ; line status of the first serial port */
    0xec,                   /*       in   al, dx                                               */
    0xa8, 0x20,             /*       test al, 0x20                                             */
    0x74, 0xf8,             /*       jz   full                                                 */
    0xba, 0xf8, 0x03,       /*       mov  dx, 0x3f8                                            */
    0x88, 0xe0,             /*       mov  al, ah                                               */
    0xee,                   /*       out  dx, al                                               */
    0xeb, 0xe9,             /*       jmp  next                                                 */
    0x80, 0x3e, 0x41, 0x7c, 0x00, /* done: cmp byte [leave], 0                                 */
    0x75, 0x12,             /*       jne  off                                                  */
    0xba, 0x02, 0x06,       /*       mov  dx, 0x602      ; ACPI PM1 enable: the power button   */
    0xb8, 0x00, 0x01,       /*       mov  ax, 0x100                                            */
    0xef,                   /*       out  dx, ax                                               */
    0xfb,                   /* idle: sti                                                       */
    0xf4,                   /*       hlt                                                       */
    0xba, 0x00, 0x06,       /*       mov  dx, 0x600      ; PM1 status                          */
    0xed,                   /*       in   ax, dx                                               */
    0xf6, 0xc4, 0x01,       /*       test ah, 1          ; was the button pressed?             */
    0x74, 0xf5,             /*       jz   idle                                                 */
    0xba, 0x04, 0x06,       /* off:  mov  dx, 0x604      ; PM1 control: soft off               */
    0xb8, 0x00, 0x20,       /*       mov  ax, 0x2000                                           */
    0xef,                   /*       out  dx, ax                                               */
    0xf4,                   /* end:  hlt                                                       */
    0xeb, 0xfd,             /*       jmp  end                                                  */
};
/* clang-format on */

static inline const char *virt_dir(void)
{
    const char *dir = getenv("DROVER_VIRT_DIR");

    if (!dir)
        fail_msg("run this by tests/virt/run");
    return dir;
}

static inline char *virt_path(const char *name)
{
    return g_build_filename(virt_dir(), "instances", name, NULL);
}

/* Runs a program; NULL-terminated arguments. Its output, which the caller frees. */
static inline char *virt_run(const char *program, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autoptr(GError) err = NULL;
    char *out = NULL;
    const char *word;
    va_list words;

    va_start(words, program);
    for (word = program; word; word = va_arg(words, const char *))
        g_ptr_array_add(argv, (void *)word);
    va_end(words);
    g_ptr_array_add(argv, NULL);
    if (!dv_spawn(&(DvSpawn){.argv = (const char *const *)argv->pdata}, &out, &err))
        fail_msg("%s: %s", program, err->message);
    return g_strchomp(out);
}

static inline char *virt_uri(void)
{
    return g_strdup_printf("qemu+unix:///system?socket=%s/run/libvirt-sock", virt_dir());
}

/* One word for the script that runs the private libvirtd. */
static inline void virt_daemon(const char *command)
{
    g_free(virt_run("tests/virt/libvirtd", virt_dir(), command, NULL));
}

static inline int virt_pid_in(const char *file)
{
    g_autofree char *path = g_build_filename(virt_dir(), file, NULL);
    g_autofree char *text = NULL;

    if (!dv_read_file(path, 100, &text, NULL, NULL))
        fail_msg("no %s", path);
    return (int)g_ascii_strtoll(text, NULL, 10);
}

static inline void virt_write_disk(const char *path, bool powers_off)
{
    g_autofree uint8_t *disk = g_malloc0(VIRT_DISK_BYTES);
    g_autoptr(GError) err = NULL;
    size_t at = sizeof(virt_boot_code);

    memcpy(disk, virt_boot_code, at);
    disk[at++] = powers_off;
    memcpy(disk + at, VIRT_GREETING, sizeof(VIRT_GREETING));
    disk[510] = 0x55;
    disk[511] = 0xaa;
    must(dv_write_file(path, disk, VIRT_DISK_BYTES, 0644, &err), err);
}

/* A guest with files of its own. `number` below 100. */
static inline GuestSpec *virt_spec(unsigned number, bool powers_off)
{
    GuestSpec *spec = guest_spec_new();
    DiskSpec *disk = guest_spec_add_disk(spec, DISK_ROLE_ROOT);
    g_autoptr(GError) err = NULL;

    spec->uuid = g_strdup_printf("0d20e000-0000-4000-8000-%012u", number);
    spec->name = g_strdup_printf("drover-test-%08u", number);
    spec->memory_mib = 32;
    spec->vcpus = 1;
    spec->flavor_name = g_strdup("test");
    spec->vnc_listen = g_strdup("127.0.0.1");
    spec->instance_dir = virt_path(spec->uuid);
    must(dv_mkdirs(spec->instance_dir, 0755, &err), err);
    spec->console_log_path = g_build_filename(spec->instance_dir, "console.log", NULL);
    remove(spec->console_log_path);
    disk->path = g_build_filename(spec->instance_dir, "disk", NULL);
    disk->format = DISK_FORMAT_RAW;
    disk->bus = g_strdup("virtio");
    disk->target = g_strdup("vda");
    disk->device = g_strdup("disk");
    disk->boot_order = 1;
    virt_write_disk(disk->path, powers_off);
    return spec;
}

/* What else a program wants of the contract's guests. */
static void (*virt_prepare)(GuestSpec *spec);

static GuestSpec *contract_spec(unsigned number)
{
    GuestSpec *spec = virt_spec(number, false);

    if (virt_prepare)
        virt_prepare(spec);
    return spec;
}

static inline VirtDriver *virt_driver_at(const char *uri)
{
    static VirtConfig config;
    g_autoptr(GError) err = NULL;
    VirtDriver *driver;

    config = (VirtConfig){
        .virt_type = "qemu",
        .connection_uri = uri,
        .instances_path = virt_path(""),
        .cpu_mode = "none",
        .rng_dev_path = "/dev/urandom",
        .sysinfo_serial = "unique",
        .mem_stats_period_s = 10,
        .swtpm_user = "tss",
        .swtpm_group = "tss",
        .swtpm_state_dir = g_build_filename(virt_dir(), "lib", "swtpm", NULL),
        .package_version = "26.2.2",
        .call_limit_ms = VIRT_CALL_LIMIT_MS,
    };
    if (!dv_mkdirs(config.instances_path, 0755, &err))
        return NULL;
    driver = virt_libvirt_new(&config, &err);
    if (!driver)
        print_error("%s\n", err->message);
    return driver;
}

/* Group fixture: *state is a driver on the private libvirtd. */
static inline int virt_open(void **state)
{
    *state = virt_driver_at(virt_uri());
    return *state ? 0 : -1;
}

static inline int virt_close(void **state)
{
    virt_driver_free(*state);
    return 0;
}

/* Teardown of each test: of one that failed neither guests nor a listener on its stack stay. */
static inline int virt_clean(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GPtrArray) guests = NULL;

    driver->ops->set_event_sink(driver->self, NULL, NULL);
    if (!driver->ops->list(driver->self, &guests, NULL))
        return -1;
    for (guint i = 0; i < guests->len; i++) {
        const VirtGuest *guest = g_ptr_array_index(guests, i);

        if (!driver->ops->destroy(driver->self, NULL, guest->uuid, NULL))
            return -1;
    }
    return 0;
}

#define VIRT_TEST(test) cmocka_unit_test_teardown(test, virt_clean)

/* Waits until the guest has written `text` to its console. */
static inline bool virt_wait_console(VirtDriver *driver, const char *uuid, const char *text)
{
    int64_t deadline = dv_now_ms() + CONTRACT_WAIT_MS;

    while (dv_now_ms() < deadline) {
        g_autofree char *console = NULL;
        g_autoptr(GError) err = NULL;

        must(driver->ops->console_output(driver->self, NULL, uuid, 10000, &console, NULL, &err),
             err);
        if (strstr(console, text))
            return true;
        g_usleep(20 * 1000);
    }
    return false;
}
