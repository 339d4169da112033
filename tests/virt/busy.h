/* Two hosts, and a guest that is hard to move between them. Include it once in a test program.
 *
 * The guest fills its memory once, rewrites half a megabyte with every tick of its clock, and then
 * writes a dot to its console: with little bandwidth its migration takes seconds and does not end
 * by itself, and the dots tell where it runs. */
#pragma once

#include "virt/peer.h"

/* Each program uses a part of the helpers. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "unit/virt/contract_migration.h"
#pragma GCC diagnostic pop

#include <fcntl.h>

#define SLOW_MIB 4   /* a second */
#define JUMP_AT 0x1e /* in the boot sector */
#define BUSY_AT 0x60

/* clang-format off */
/* Where the boot sector has written its greeting: on to what follows its text. */
static const uint8_t jump_code[] = {0xe9, 0x3f, 0x00};
static const uint8_t busy_code[] = {
    0xfa,                                            /* busy: cli                              */
    0x31, 0xc0,                                      /*       xor  ax, ax                      */
    0x8e, 0xd8,                                      /*       mov  ds, ax                      */
    0x0f, 0x01, 0x16, 0xbc, 0x7c,                    /*       lgdt [gdtr]                      */
    0xe4, 0x92,                                      /*       in   al, 0x92 ; address line 20  */
    0x0c, 0x02,                                      /*       or   al, 2                       */
    0xe6, 0x92,                                      /*       out  0x92, al                    */
    0x0f, 0x20, 0xc0,                                /*       mov  eax, cr0 ; es: all of memory*/
    0x0c, 0x01,                                      /*       or   al, 1                       */
    0x0f, 0x22, 0xc0,                                /*       mov  cr0, eax                    */
    0xbb, 0x08, 0x00,                                /*       mov  bx, 8                       */
    0x8e, 0xc3,                                      /*       mov  es, bx                      */
    0x24, 0xfe,                                      /*       and  al, 0xfe                    */
    0x0f, 0x22, 0xc0,                                /*       mov  cr0, eax                    */
    0x66, 0xbf, 0x00, 0x00, 0x10, 0x00,              /*       mov  edi, 0x100000               */
    0x66, 0xb9, 0x00, 0x00, 0x70, 0x00,              /*       mov  ecx, 0x700000 ; 28 MiB      */
    0x66, 0xb8, 0xef, 0xbe, 0xad, 0xde,              /*       mov  eax, 0xdeadbeef             */
    0xfc,                                            /*       cld                              */
    0xf3, 0x66, 0x67, 0xab,                          /*       a32 rep stosd                    */
    0xfb,                                            /* tick: sti                              */
    0xf4,                                            /*       hlt                              */
    0xba, 0xf8, 0x03,                                /*       mov  dx, 0x3f8                   */
    0xb0, 0x2e,                                      /*       mov  al, '.'                     */
    0xee,                                            /*       out  dx, al                      */
    0x45,                                            /*       inc  bp                          */
    0xbb, 0x00, 0x10,                                /*       mov  bx, 0x1000                  */
    0x8e, 0xc3,                                      /* seg:  mov  es, bx                      */
    0x31, 0xff,                                      /*       xor  di, di                      */
    0xb9, 0x00, 0x80,                                /*       mov  cx, 0x8000                  */
    0x89, 0xe8,                                      /*       mov  ax, bp                      */
    0xf3, 0xab,                                      /*       rep  stosw                       */
    0x81, 0xc3, 0x00, 0x10,                          /*       add  bx, 0x1000                  */
    0x81, 0xfb, 0x00, 0x90,                          /*       cmp  bx, 0x9000                  */
    0x72, 0xeb,                                      /*       jb   seg                         */
    0xeb, 0xdd,                                      /*       jmp  tick                        */
    0x0f, 0x00, 0xc2, 0x7c, 0x00, 0x00,              /* gdtr: 15, gdt                          */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  /* gdt:  nothing                          */
    0xff, 0xff, 0x00, 0x00, 0x00, 0x92, 0xcf, 0x00,  /*       all of memory, data              */
};
/* clang-format on */

/* ---- the guests ---- */

static inline void make_busy(const char *disk)
{
    dv_autofd int fd = open(disk, O_WRONLY | O_CLOEXEC);

    assert_int_equal(pwrite(fd, jump_code, sizeof(jump_code), JUMP_AT), sizeof(jump_code));
    assert_int_equal(pwrite(fd, busy_code, sizeof(busy_code), BUSY_AT), sizeof(busy_code));
}

/* A disk that nobody writes needs no shared storage: both hosts have a copy. */
static inline void prepare(GuestSpec *spec)
{
    DiskSpec *disk = g_ptr_array_index(spec->disks, 0);
    g_autofree char *copy = peer_path(disk->path);
    g_autofree char *dir = g_path_get_dirname(copy);
    g_autofree char *log = peer_path(spec->console_log_path);
    g_autoptr(GError) err = NULL;

    disk->readonly = true;
    make_busy(disk->path);
    must(dv_mkdirs(dir, 0755, &err), err);
    remove(log);
    remove(copy);
    g_free(virt_run("cp", disk->path, copy, NULL));
}

static inline int open_pair(void **state)
{
    virt_prepare = prepare;
    return peer_open() == 0 ? virt_open(state) : -1;
}

static inline int close_pair(void **state)
{
    virt_close(state);
    peer_close();
    return 0;
}

static inline int clean_pair(void **state)
{
    g_autofree PeerReply *reply = g_new0(PeerReply, 1);

    peer_set_event_sink(&peer_self, NULL, NULL);
    return virt_clean(state) == 0 && peer_ask(&peer_self, PEER_CLEAN, NULL, reply, NULL) ? 0 : -1;
}

/* Starts it, and waits until it is as busy as it gets. The downtime it may have is so short that no
 * migration that is slow ends by chance. */
static inline GuestSpec *start_busy(VirtDriver *driver, unsigned number)
{
    GuestSpec *spec = contract_spec(number);
    g_autofree char *uri = virt_uri();

    start(driver, spec, false);
    g_free(virt_run("virsh", "-c", uri, "migrate-setmaxdowntime", spec->uuid, "10", NULL));
    assert_true(virt_wait_console(driver, spec->uuid, "...."));
    return spec;
}

static inline bool wait_dots_at_peer(const GuestSpec *spec)
{
    g_autofree char *log = peer_path(spec->console_log_path);
    int64_t deadline = dv_now_ms() + CONTRACT_WAIT_MS;

    while (dv_now_ms() < deadline) {
        g_autofree char *text = NULL;

        if (dv_read_file(log, 1000000, &text, NULL, NULL) && strstr(text, "...."))
            return true;
        g_usleep(20 * 1000);
    }
    return false;
}

static inline bool dots_grow_here(VirtDriver *driver, const GuestSpec *spec)
{
    g_autofree char *before = NULL;
    int64_t deadline = dv_now_ms() + CONTRACT_WAIT_MS;

    assert_true(dv_read_file(spec->console_log_path, 1000000, &before, NULL, NULL));
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    while (dv_now_ms() < deadline) {
        g_autofree char *after = NULL;

        if (dv_read_file(spec->console_log_path, 1000000, &after, NULL, NULL) &&
            strlen(after) > strlen(before) + 4)
            return true;
        g_usleep(20 * 1000);
    }
    return false;
}

/* Migrates with the peer's description filled in; 0: it succeeded. */
static inline int migrate(VirtDriver *driver, const GuestSpec *spec, VirtMigration migration,
                          Told *told)
{
    const VirtWatch watch = {take_note, told};
    g_autofree char *xml = for_peer(driver, spec);
    g_autoptr(GError) err = NULL;

    told->driver = driver;
    told->uuid = spec->uuid;
    migration.dest_uri = contract_peer_uri();
    migration.dest_xml = xml;
    if (driver->ops->migrate(driver->self, NULL, spec->uuid, &migration, &watch, &err))
        return 0;
    print_message("migration: %s\n", err->message);
    return err->code;
}

static inline void assert_goes_on_at_peer(VirtDriver *driver, const GuestSpec *spec)
{
    assert_is_at_peer(driver, spec, GUEST_STATE_RUNNING);
    assert_true(wait_dots_at_peer(spec));
    destroy(contract_peer(), spec);
}

/* A destination whose source is lost clears away by itself, a moment later. */
static inline void assert_goes_on_here(VirtDriver *driver, const GuestSpec *spec)
{
    int64_t deadline = dv_now_ms() + CONTRACT_WAIT_MS;

    assert_true(dots_grow_here(driver, spec));
    while (state_now(contract_peer(), spec->uuid) != GUEST_STATE_NONE && dv_now_ms() < deadline)
        g_usleep(20 * 1000);
    assert_int_equal(state_now(contract_peer(), spec->uuid), GUEST_STATE_NONE);
    destroy(driver, spec);
}

/* ---- for a watch ---- */

static inline void allow_five_seconds(Told *told)
{
    g_autoptr(GError) err = NULL;

    must(told->driver->ops->set_max_downtime(told->driver->self, NULL, told->uuid, 5000, &err),
         err);
}

#define PAIR_TEST(test) cmocka_unit_test_teardown(test, clean_pair)
