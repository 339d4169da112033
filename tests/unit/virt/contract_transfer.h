/* The part of the driver contract that is about files to and from other hosts; see contract.h. A
 * program that has another host for the driver defines contract_uri and runs
 * CONTRACT_TRANSFER_TESTS; without one there is only CONTRACT_TRANSFER_AWAY_TESTS. */
#pragma once

#include "util/fs.h"

#include <sys/stat.h>

#define CONTRACT_AWAY_URI "qemu+tcp://127.0.0.1:1/system"

static void contract_a_host_that_is_away_is_told(void **state)
{
    VirtDriver *driver = *state;
    const VirtTransfer what = {.uri = CONTRACT_AWAY_URI,
                               .uuid = "00000000-0000-4000-8000-00000000dead",
                               .folder = "/nowhere/at/all"};
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;
    g_autoptr(GError) e3 = NULL;

    assert_false(driver->ops->send_files(driver->self, NULL, &what, &e1));
    assert_int_equal(e1->code, DV_E_UNAVAILABLE);
    assert_false(driver->ops->remove_files(driver->self, NULL, &what, &e2));
    assert_int_equal(e2->code, DV_E_UNAVAILABLE);
    assert_false(driver->ops->fetch_files(driver->self, NULL, &what, &e3));
    assert_int_equal(e3->code, DV_E_UNAVAILABLE);
}

#ifdef CONTRACT_TRANSFER

/* The other host, whose folders are this machine's. Caller frees. */
static char *contract_uri(void);
/* A folder for a test's files, as both sides see it. Caller frees. */
static char *contract_folder(const char *name);

/* Files here, and where they are to go. */
typedef struct TransferCase {
    char *uri, *here, *there, *uuid;
    VirtFile files[2];
    char *paths[2];
    VirtTransfer what;
} TransferCase;

/* More than a stream's packet, with a hole in the middle and at the end. */
static void write_sparse(const char *path)
{
    g_autofree char *data = g_malloc(700001);
    FILE *file = fopen(path, "w");

    for (size_t i = 0; i < 700001; i++)
        data[i] = (char)(i * 7 + i / 251);
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, 700001, file), 700001);
    assert_int_equal(fseek(file, 40 * 1024 * 1024, SEEK_SET), 0);
    assert_int_equal(fwrite(data, 1, 5000, file), 5000);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(truncate(path, 64 * 1024 * 1024), 0);
}

static void transfer_case_init(TransferCase *c, unsigned number)
{
    g_autofree char *there = g_strdup_printf("there-%u", number);

    *c = (TransferCase){
        .uri = contract_uri(),
        .here = contract_folder("here"),
        .there = contract_folder(there),
        .uuid = g_strdup_printf("00000000-0000-4000-8000-%012u", number),
    };
    assert_true(dv_mkdirs(c->here, 0755, NULL));
    assert_true(dv_remove_tree(c->there, NULL));
    c->paths[0] = g_build_filename(c->here, "big", NULL);
    c->paths[1] = g_build_filename(c->here, "small", NULL);
    write_sparse(c->paths[0]);
    assert_true(g_file_set_contents(c->paths[1], "{}\n", -1, NULL));
    c->files[0] = (VirtFile){c->paths[0], "disk"};
    c->files[1] = (VirtFile){c->paths[1], "disk.info"};
    c->what = (VirtTransfer){c->uri, c->uuid, c->there, c->files, 2, 0, NULL, NULL};
}

static void transfer_case_done(TransferCase *c)
{
    assert_true(dv_remove_tree(c->there, NULL));
    assert_true(dv_remove_tree(c->here, NULL));
    g_free(c->uri);
    g_free(c->here);
    g_free(c->there);
    g_free(c->uuid);
    g_free(c->paths[0]);
    g_free(c->paths[1]);
}

static void assert_same_file(const char *a, const char *b)
{
    g_autoptr(GMappedFile) one = g_mapped_file_new(a, FALSE, NULL);
    g_autoptr(GMappedFile) two = g_mapped_file_new(b, FALSE, NULL);

    assert_non_null(one);
    if (!two)
        fail_msg("%s is not there", b);
    assert_int_equal(g_mapped_file_get_length(one), g_mapped_file_get_length(two));
    assert_memory_equal(g_mapped_file_get_contents(one), g_mapped_file_get_contents(two),
                        g_mapped_file_get_length(one));
}

static void assert_arrived(const TransferCase *c)
{
    for (size_t i = 0; i < 2; i++) {
        g_autofree char *there = g_build_filename(c->there, c->files[i].name, NULL);

        assert_same_file(c->files[i].path, there);
    }
}

static void contract_files_arrive_byte_by_byte(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    TransferCase c;

    transfer_case_init(&c, 60);
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    assert_arrived(&c);
    /* what an earlier try has left is replaced */
    assert_true(g_file_set_contents(c.paths[1], "{\"a\": \"raw\"}\n", -1, NULL));
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    assert_arrived(&c);
    transfer_case_done(&c);
}

static void contract_sent_files_can_be_taken_back(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    TransferCase c;

    transfer_case_init(&c, 61);
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    must(driver->ops->remove_files(driver->self, NULL, &c.what, &err), err);
    assert_false(dv_exists(c.there));
    must(driver->ops->remove_files(driver->self, NULL, &c.what, &err), err); /* is no error twice */
    transfer_case_done(&c);
}

static void contract_the_folder_alone_can_be_made(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    TransferCase c;

    transfer_case_init(&c, 62);
    c.what.file_count = 0;
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    assert_true(dv_exists(c.there));
    transfer_case_done(&c);
}

/* A path that is wrong is not made up. */
static void contract_a_folder_is_made_in_one_that_is_there(void **state)
{
    VirtDriver *driver = *state;
    g_autofree char *within = NULL;
    g_autoptr(GError) err = NULL;
    g_autoptr(GError) none = NULL;
    TransferCase c;

    transfer_case_init(&c, 69);
    within = g_build_filename(c.there, "within", NULL);
    c.what.folder = within;
    assert_false(driver->ops->send_files(driver->self, NULL, &c.what, &err));
    assert_false(dv_exists(c.there));
    c.what.folder = c.there;
    c.what.file_count = 0;
    must(driver->ops->send_files(driver->self, NULL, &c.what, &none), none);
    c.what.folder = within;
    c.what.file_count = 2;
    must(driver->ops->send_files(driver->self, NULL, &c.what, &none), none);
    must(driver->ops->remove_files(driver->self, NULL, &c.what, &none), none);
    assert_false(dv_exists(within));
    assert_true(dv_exists(c.there));
    transfer_case_done(&c);
}

static void contract_a_failed_transfer_leaves_nothing(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    TransferCase c;

    transfer_case_init(&c, 63);
    assert_int_equal(remove(c.paths[1]), 0);
    assert_false(driver->ops->send_files(driver->self, NULL, &c.what, &err));
    assert_int_equal(err->code, DV_E_NOT_FOUND);
    assert_false(dv_exists(c.there));
    transfer_case_done(&c);
}

static bool contract_say_stop(void *arg)
{
    unsigned *asked = arg;

    return ++*asked > 0;
}

static void contract_a_transfer_can_be_stopped(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    unsigned asked = 0;
    TransferCase c;

    transfer_case_init(&c, 64);
    c.what.stop = contract_say_stop;
    c.what.stop_arg = &asked;
    assert_false(driver->ops->send_files(driver->self, NULL, &c.what, &err));
    assert_int_equal(err->code, DV_E_CANCELLED);
    assert_true(asked > 0);
    assert_false(dv_exists(c.there));
    transfer_case_done(&c);
}

static void contract_files_can_be_fetched(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    g_autofree char *back = NULL;
    TransferCase c;

    transfer_case_init(&c, 65);
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    back = g_build_filename(c.here, "back", NULL);
    c.what.files = &(VirtFile){back, "disk"};
    c.what.file_count = 1;
    must(driver->ops->fetch_files(driver->self, NULL, &c.what, &err), err);
    assert_same_file(c.paths[0], back);
    /* what is there is not written over */
    assert_false(driver->ops->fetch_files(driver->self, NULL, &c.what, &err));
    assert_same_file(c.paths[0], back);
    transfer_case_done(&c);
}

static void contract_what_is_not_there_cannot_be_fetched(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    g_autofree char *back = NULL;
    TransferCase c;

    transfer_case_init(&c, 66);
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    back = g_build_filename(c.here, "back", NULL);
    c.what.files = (const VirtFile[]){{back, "disk"}, {c.paths[0], "nothing"}};
    assert_int_equal(remove(c.paths[0]), 0);
    assert_false(driver->ops->fetch_files(driver->self, NULL, &c.what, &err));
    assert_int_equal(err->code, DV_E_NOT_FOUND);
    assert_false(dv_exists(back));
    transfer_case_done(&c);
}

/* Neither the file that was there goes, nor does the one stay that came before it. */
static void contract_a_file_that_is_there_ends_a_fetch(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    g_autofree char *back = NULL;
    TransferCase c;

    transfer_case_init(&c, 68);
    must(driver->ops->send_files(driver->self, NULL, &c.what, &err), err);
    back = g_build_filename(c.here, "back", NULL);
    c.what.files = (const VirtFile[]){{back, "disk"}, {c.paths[1], "disk.info"}};
    assert_false(driver->ops->fetch_files(driver->self, NULL, &c.what, &err));
    assert_false(dv_exists(back));
    assert_true(dv_exists(c.paths[1]));
    transfer_case_done(&c);
}

static void contract_room_is_asked_for_first(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    TransferCase c;

    transfer_case_init(&c, 67);
    c.what.need_bytes = UINT64_MAX / 2;
    assert_false(driver->ops->send_files(driver->self, NULL, &c.what, &err));
    assert_int_equal(err->code, DV_E_NO_SPACE);
    assert_false(dv_exists(c.there));
    transfer_case_done(&c);
}

/* clang-format off */
#define CONTRACT_TRANSFER_TESTS                                              \
        cmocka_unit_test(contract_files_arrive_byte_by_byte),                \
        cmocka_unit_test(contract_sent_files_can_be_taken_back),             \
        cmocka_unit_test(contract_the_folder_alone_can_be_made),             \
        cmocka_unit_test(contract_a_folder_is_made_in_one_that_is_there),    \
        cmocka_unit_test(contract_a_failed_transfer_leaves_nothing),         \
        cmocka_unit_test(contract_a_transfer_can_be_stopped),                \
        cmocka_unit_test(contract_files_can_be_fetched),                     \
        cmocka_unit_test(contract_what_is_not_there_cannot_be_fetched),      \
        cmocka_unit_test(contract_a_file_that_is_there_ends_a_fetch),        \
        cmocka_unit_test(contract_room_is_asked_for_first)
/* clang-format on */

#endif

#define CONTRACT_TRANSFER_AWAY_TESTS cmocka_unit_test(contract_a_host_that_is_away_is_told)
