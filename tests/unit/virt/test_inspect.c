/* Image inspection on files that qemu-img makes here and now, honest and hostile. */
#include "virt/disk/inspect.h"
#include "virt/disk/inspect_priv.h"

#include "util/fs.h"
#include "util/spawn.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB ((uint64_t)1024 * 1024)

static char *folder;
static const char *const vmdk_types[] = {"streamOptimized", "monolithicSparse", NULL};

static int set_up(void **state G_GNUC_UNUSED)
{
    folder = g_dir_make_tmp("drover-inspect-XXXXXX", NULL);
    return folder ? 0 : -1;
}

static int tear_down(void **state G_GNUC_UNUSED)
{
    assert_true(dv_remove_tree(folder, NULL));
    g_free(folder);
    return 0;
}

/* Runs "qemu-img create <args...>"; `name` stands in the test's folder. */
static char *make_image(const char *name, const char *args, const char *size)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *line = g_strdup_printf("qemu-img create -q %s %s %s", args, path, size);
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);
    g_autoptr(GError) err = NULL;

    if (!dv_spawn(&(DvSpawn){.argv = (const char *const *)argv, .cwd = folder}, NULL, &err))
        fail_msg("%s: %s", line, err->message);
    return g_steal_pointer(&path);
}

static void poke(const char *path, off_t at, const void *bytes, size_t length)
{
    dv_autofd int fd = open(path, O_WRONLY | O_CREAT, 0644);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, at), (ssize_t)length);
}

static void set_size(const char *path, off_t size)
{
    assert_int_equal(truncate(path, size), 0);
}

static bool inspect_file(const char *path, const char *disk_format, ImageFacts *out, GError **err)
{
    dv_autofd int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    return disk_format ? image_inspect_as(fd, disk_format, vmdk_types, out, err)
                       : image_inspect(fd, out, err);
}

static void accepts(const char *path, const char *disk_format, ImageFormat format, uint64_t bytes)
{
    g_autoptr(GError) err = NULL;
    ImageFacts facts = {0};

    if (!inspect_file(path, disk_format, &facts, &err))
        fail_msg("%s: %s", path, err->message);
    assert_int_equal(facts.format, format);
    assert_true(facts.virtual_bytes == bytes);
}

static void refuses(const char *path, const char *disk_format, const char *why)
{
    g_autoptr(GError) err = NULL;
    ImageFacts facts = {.virtual_bytes = 4711};

    if (inspect_file(path, disk_format, &facts, &err))
        fail_msg("%s was accepted, but %s", path, why);
    assert_int_equal(dv_code(err), DV_E_IMAGE_UNACCEPTABLE);
    if (!strstr(err->message, why))
        fail_msg("'%s' does not say '%s'", err->message, why);
    assert_true(facts.virtual_bytes == 4711);
}

/* ---- honest images ---- */

static void honest_images_of_each_format_are_accepted_with_their_size(void **state G_GNUC_UNUSED)
{
    static const struct {
        const char *args, *disk_format;
        ImageFormat format;
    } rows[] = {
        {"-f qcow2", "qcow2", IMAGE_QCOW2},
        {"-f qcow2 -o compat=0.10", "qcow2", IMAGE_QCOW2},
        {"-f qcow2 -o cluster_size=2M", "qcow2", IMAGE_QCOW2},
        {"-f qcow2 -o compression_type=zstd", "qcow2", IMAGE_QCOW2},
        {"-f qcow2 -o lazy_refcounts=on,refcount_bits=64", "qcow2", IMAGE_QCOW2},
        {"-f vmdk -o subformat=monolithicSparse", "vmdk", IMAGE_VMDK},
        {"-f vmdk -o subformat=streamOptimized", "vmdk", IMAGE_VMDK},
        {"-f vdi", "vdi", IMAGE_VDI},
        {"-f vhdx", "vhdx", IMAGE_VHDX},
        {"-f vpc -o subformat=dynamic,force_size=on", "vhd", IMAGE_VHD},
        {"-f raw", "raw", IMAGE_RAW},
        {"-f raw", "ami", IMAGE_RAW},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *name = g_strdup_printf("honest%zu", i);
        g_autofree char *path = make_image(name, rows[i].args, "64M");

        accepts(path, rows[i].disk_format, rows[i].format, 64 * MIB);
        accepts(path, NULL, rows[i].format, 64 * MIB);
    }
}

static void the_size_is_the_disk_s_and_not_the_file_s(void **state G_GNUC_UNUSED)
{
    g_autofree char *big = make_image("big", "-f qcow2", "10T");
    g_autofree char *odd = make_image("odd", "-f qcow2", "1000448");

    accepts(big, "qcow2", IMAGE_QCOW2, 10 * MIB * MIB);
    accepts(odd, "qcow2", IMAGE_QCOW2, 1000448);
}

static void a_disk_with_a_partition_table_is_raw(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = make_image("gpt", "-f raw", "4M");
    ImageFacts facts = {0};

    poke(path, 510, "\x55\xaa", 2);
    accepts(path, "raw", IMAGE_RAW, 4 * MIB);
    assert_true(inspect_file(path, "raw", &facts, NULL));
    assert_false(facts.gpt);
    poke(path, 512, "EFI PART", 8);
    assert_true(inspect_file(path, "raw", &facts, NULL));
    assert_true(facts.gpt);
}

static void an_iso_is_an_iso_also_with_a_boot_sector(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = make_image("cd", "-f raw", "4M");

    poke(path, 32 * 1024,
         "\x01"
         "CD001",
         6);
    poke(path, 510, "\x55\xaa", 2);
    accepts(path, "iso", IMAGE_ISO, 4 * MIB);
    refuses(path, "raw", "content is iso");
}

static void an_empty_file_is_raw(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = g_build_filename(folder, "empty", NULL);

    poke(path, 0, "", 0);
    accepts(path, "raw", IMAGE_RAW, 0);
}

/* ---- labels ---- */

static void content_of_another_format_than_declared_is_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *qcow2 = make_image("q", "-f qcow2", "8M");
    g_autofree char *raw = make_image("r", "-f raw", "8M");
    g_autofree char *luks = make_image("l", "-f raw", "8M");

    refuses(qcow2, "raw", "content is qcow2");
    refuses(qcow2, "vmdk", "content is qcow2");
    refuses(qcow2, "ami", "content is qcow2");
    refuses(raw, "qcow2", "content is raw");
    refuses(raw, "iso", "content is raw");
    poke(luks, 0, "LUKS\xba\xbe\x00\x01", 8);
    refuses(luks, "raw", "content is luks");
}

static void formats_that_compute_hosts_do_not_take_are_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *raw = make_image("r", "-f raw", "8M");

    refuses(raw, "ploop", "disk_format ploop");
    refuses(raw, "luks", "disk_format luks");
    refuses(raw, "", "disk_format");
}

static void formats_nobody_supports_are_refused_even_as_raw(void **state G_GNUC_UNUSED)
{
    static const struct {
        const char *magic, *why;
        size_t length;
    } rows[] = {
        {"WithoutFreeSpace", "parallels", 16},
        {"Bochs Virtual HD Image", "bochs", 22},
        {"QFI\xfb\x00\x00\x00\x01", "qcow", 8},
        {"QED\x00", "QED", 4},
        {"COWD", "hosted sparse", 4},
        {"# Disk DescriptorFile\nversion=1\n", "hosted sparse", 32},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *name = g_strdup_printf("foreign%zu", i);
        g_autofree char *path = make_image(name, "-f raw", "1M");

        poke(path, 0, rows[i].magic, rows[i].length);
        refuses(path, "raw", rows[i].why);
    }
}

static void a_dmg_trailer_is_seen(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = make_image("dmg", "-f raw", "1M");

    poke(path, (off_t)MIB - 512, "koly", 4);
    refuses(path, "raw", "dmg");
}

static void two_formats_at_once_are_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = make_image("two", "-f qcow2", "8M");

    poke(path, 32 * 1024,
         "\x01"
         "CD001",
         6);
    refuses(path, "qcow2", "ambiguous");
    refuses(path, "iso", "ambiguous");
}

/* ---- hostile qcow2 ---- */

static void a_qcow2_with_a_backing_file_is_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *with = make_image("b", "-f qcow2 -u -F raw -b /etc/shadow", "8M");
    g_autofree char *without = make_image("c", "-f qcow2", "8M");

    refuses(with, "qcow2", "backing file");
    poke(without, 16, "\0\0\0\x08", 4); /* a length alone */
    refuses(without, "qcow2", "backing file");
}

static void a_qcow2_with_a_data_file_is_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *data = g_build_filename(folder, "data", NULL);
    g_autofree char *args = g_strdup_printf("-f qcow2 -o data_file=%s,data_file_raw=on", data);
    g_autofree char *path = make_image("d", args, "8M");

    refuses(path, "qcow2", "another file");
    /* the name without the feature bit that announces it */
    poke(path, 72, "\0\0\0\0\0\0\0\0", 8);
    refuses(path, "qcow2", "data file");
}

static void unknown_qcow2_features_are_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *extended = make_image("x", "-f qcow2 -o extended_l2=on", "8M");
    g_autofree char *future = make_image("y", "-f qcow2", "8M");

    refuses(extended, "qcow2", "incompatible features");
    poke(future, 72, "\x80", 1);
    refuses(future, "qcow2", "incompatible features");
}

static void an_encrypted_qcow2_is_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = make_image("e", "-f qcow2", "8M");

    poke(path, 32, "\0\0\0\x02", 4);
    refuses(path, "qcow2", "encrypted");
}

static void qcow2_headers_that_contradict_themselves_are_refused(void **state G_GNUC_UNUSED)
{
    static const struct {
        off_t at;
        const char *bytes;
        size_t length;
        const char *why;
    } rows[] = {
        {4, "\0\0\0\x04", 4, "version 4"},
        {20, "\0\0\0\x1f", 4, "cluster bits"},
        {20, "\0\0\0\x08", 4, "cluster bits"},
        {24, "\xff", 1, "impossible virtual size"},
        {24, "\x00\xff", 2, "L1 table"},
        {36, "\x7f", 1, "L1 table"},
        {40, "\x7f", 1, "L1 table"},
        {47, "\x01", 1, "L1 table"},
        {48, "\x7f", 1, "refcount table"},
        {56, "\x7f", 1, "refcount table"},
        {60, "\x7f", 1, "snapshots"},
        {96, "\0\0\0\x07", 4, "refcount width"},
        {100, "\0\0\0\x60", 4, "header length"},
        {100, "\x00\x7f\0\0", 4, "header length"},
        {112, "\0\0\0\x01\x7f\xff\xff\xff", 8, "longer than the header"},
        {112, "\x05\x37\xbe\x77\0\0\0\x10", 8, "encrypted"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *name = g_strdup_printf("odd%zu", i);
        g_autofree char *path = make_image(name, "-f qcow2", "8M");

        poke(path, rows[i].at, rows[i].bytes, rows[i].length);
        refuses(path, "qcow2", rows[i].why);
    }
}

static void truncated_images_are_refused(void **state G_GNUC_UNUSED)
{
    static const struct {
        const char *args, *disk_format;
        off_t size;
    } rows[] = {
        {"-f qcow2", "qcow2", 4},      {"-f qcow2", "qcow2", 100},  {"-f qcow2", "qcow2", 512},
        {"-f qcow2", "qcow2", 130000}, {"-f vmdk", "vmdk", 4},      {"-f vmdk", "vmdk", 512},
        {"-f vmdk", "vmdk", 4096},     {"-f vdi", "vdi", 0x44},     {"-f vdi", "vdi", 512},
        {"-f vhdx", "vhdx", 8},        {"-f vhdx", "vhdx", 200000}, {"-f vhdx", "vhdx", 1100000},
        {"-f vpc", "vhd", 8},          {"-f vpc", "vhd", 512},      {"-f vpc", "vhd", 1536},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *name = g_strdup_printf("short%zu", i);
        g_autofree char *path = make_image(name, rows[i].args, "64M");

        set_size(path, rows[i].size);
        refuses(path, rows[i].disk_format, "");
    }
}

/* ---- the other hostile ones ---- */

/* Replaces text of the embedded descriptor; padding keeps its length. */
static char *make_vmdk(const char *name, const char *old, const char *new)
{
    char *path = make_image(name, "-f vmdk", "8M");
    g_autofree char *text = NULL, *changed = NULL;
    gsize length = 0;
    GString *descriptor;

    assert_true(g_file_get_contents(path, &text, &length, NULL));
    assert_true(length > 512 + 20 * 512);
    descriptor = g_string_new(text + 512);
    assert_int_equal(g_string_replace(descriptor, old, new, 1), 1);
    while (descriptor->len < 1024)
        g_string_append_c(descriptor, '\0');
    poke(path, 512, descriptor->str, descriptor->len);
    g_string_free(descriptor, TRUE);
    return path;
}

static void vmdk_descriptors_that_lead_elsewhere_are_refused(void **state G_GNUC_UNUSED)
{
    static const struct {
        const char *old, *new, *why;
    } rows[] = {
        {"\"v0.vmdk\"", "\"/etc/shadow\"", "path"},
        {"\"v1.vmdk\"", "\"a\"\nRW 16384 SPARSE \"b\"", "2 extents"},
        {"SPARSE", "FLAT", "outside"},
        {"RW 16384 SPARSE \"v3.vmdk\"", "", "0 extents"},
        {"CID=", "CID=0\nparentFileNameHint=\"/etc/shadow\"\nx=", "parent"},
        {"parentCID=ffffffff", "parentCID=12345678", "parent"},
        {"# Extent", "# parentFileNameHint=\"x\"\n#", "parent"},
        {"# Extent", "# createType=\"monolithicFlat\"\n#", "one createType"},
        {"createType=\"monolithicSparse\"", "", "one createType"},
        {"monolithicSparse", "monolithicFlat", "not supported"},
        {"monolithicSparse", "vmfs", "not supported"},
        {"# Extent", "nonsense here\n#", "not understood"},
        {"# Extent", "\x80\n#", "plain text"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *name = g_strdup_printf("v%zu.vmdk", i);
        g_autofree char *path = make_vmdk(name, rows[i].old, rows[i].new);

        refuses(path, "vmdk", rows[i].why);
    }
}

static void vmdk_headers_that_hide_things_are_refused(void **state G_GNUC_UNUSED)
{
    static const struct {
        off_t at;
        const char *bytes;
        size_t length;
        const char *why;
    } rows[] = {
        {4, "\x04", 1, "version"},
        {12, "\0\0\0\0\0\0\0\0", 8, "capacity"},
        {28, "\x02", 1, "not where it belongs"},
        {36, "\0\0\0\0\0\0\0\0", 8, "descriptor size"},
        {56, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "at the end"},
        {56, "\xff\xff\xff\xff", 4, "grain directory"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *name = g_strdup_printf("h%zu", i);
        g_autofree char *path = make_image(name, "-f vmdk", "8M");

        poke(path, rows[i].at, rows[i].bytes, rows[i].length);
        refuses(path, "vmdk", rows[i].why);
    }
}

static void vmdk_types_are_held_against_the_operator_s_list(void **state G_GNUC_UNUSED)
{
    static const char *const only_stream[] = {"streamOptimized", NULL}, *const none[] = {NULL};
    g_autofree char *path = make_image("t", "-f vmdk", "8M");
    dv_autofd int fd = open(path, O_RDONLY);
    g_autoptr(GError) err = NULL;
    ImageFacts facts;

    assert_true(image_inspect_as(fd, "vmdk", vmdk_types, &facts, NULL));
    assert_false(image_inspect_as(fd, "vmdk", only_stream, &facts, &err));
    assert_int_equal(dv_code(err), DV_E_IMAGE_UNACCEPTABLE);
    assert_false(image_inspect_as(fd, "vmdk", none, &facts, NULL));
    assert_false(image_inspect_as(fd, "vmdk", NULL, &facts, NULL));
}

static void external_vmdk_extents_of_qemu_are_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *flat = make_image("f", "-f vmdk -o subformat=monolithicFlat", "8M");
    g_autofree char *split = make_image("s", "-f vmdk -o subformat=twoGbMaxExtentSparse", "8M");

    refuses(flat, "vmdk", "hosted sparse");
    refuses(split, "vmdk", "hosted sparse");
}

static void differencing_disks_are_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *vdi = make_image("d.vdi", "-f vdi", "8M");
    g_autofree char *parent = make_image("p.vdi", "-f vdi", "8M");
    g_autofree char *vhdx = make_image("d.vhdx", "-f vhdx", "8M");

    poke(vdi, 0x4c, "\x04", 1);
    refuses(vdi, "vdi", "type 4");
    poke(parent, 0x1b8, "\x01", 1);
    refuses(parent, "vdi", "parent");
    {
        g_autofree char *text = NULL;
        gsize length = 0, at;

        /* the flag in the file parameters: block size and flags, 64 KiB into the region */
        assert_true(g_file_get_contents(vhdx, &text, &length, NULL));
        for (at = 0; at + 8 < length && memcmp(text + at, "metadata", 8) != 0; at += 4096)
            ;
        assert_true(at + 8 < length);
        poke(vhdx, (off_t)at + 65536 + 4, "\x02", 1);
        refuses(vhdx, "vhdx", "parent");
    }
}

static void a_vhd_with_a_wrong_checksum_is_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = make_image("w", "-f vpc", "8M");

    poke(path, 60, "\0\0\0\x04", 4);
    refuses(path, "vhd", "checksum");
}

/* A reader may give bytes piecemeal, and may fail. */
typedef struct Trickle {
    const uint8_t *data;
    size_t length, step;
    bool broken;
} Trickle;

static int64_t trickle_read(void *arg, void *buffer, size_t length, uint64_t offset)
{
    const Trickle *t = arg;
    size_t n;

    if (t->broken) {
        errno = EIO;
        return -1;
    }
    if (offset >= t->length)
        return 0;
    n = MIN(MIN(length, t->step), t->length - (size_t)offset);
    memcpy(buffer, t->data + offset, n);
    return (int64_t)n;
}

static void short_reads_are_continued_and_errors_reported(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = make_image("z", "-f qcow2", "8M");
    g_autofree char *data = NULL;
    g_autoptr(GError) err = NULL, io = NULL;
    ImageFacts facts;
    gsize length = 0;
    Trickle trickle;

    assert_true(g_file_get_contents(path, &data, &length, NULL));
    trickle = (Trickle){(const uint8_t *)data, length, 1000, false};
    assert_true(image_inspect_with(trickle_read, &trickle, length, &facts, &err));
    assert_int_equal(facts.format, IMAGE_QCOW2);
    trickle.length = 1000; /* shorter than announced */
    assert_false(image_inspect_with(trickle_read, &trickle, length, &facts, &err));
    assert_int_equal(dv_code(err), DV_E_IMAGE_UNACCEPTABLE);
    trickle.broken = true;
    assert_false(image_inspect_with(trickle_read, &trickle, length, &facts, &io));
    assert_int_equal(dv_code(io), DV_E_IO);
}

static void
an_own_overlay_s_header_is_read_although_it_has_a_backing_file(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = make_image("o", "-f qcow2 -u -F raw -b /some/base", "3G");
    dv_autofd int fd = open(path, O_RDONLY);
    Qcow2Header header;

    assert_true(qcow2_header_of(fd, &header, NULL));
    assert_true(header.virtual_bytes == 3 * 1024 * MIB);
    assert_int_equal(header.backing_length, strlen("/some/base"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_images_of_each_format_are_accepted_with_their_size),
        cmocka_unit_test(the_size_is_the_disk_s_and_not_the_file_s),
        cmocka_unit_test(a_disk_with_a_partition_table_is_raw),
        cmocka_unit_test(an_iso_is_an_iso_also_with_a_boot_sector),
        cmocka_unit_test(an_empty_file_is_raw),
        cmocka_unit_test(content_of_another_format_than_declared_is_refused),
        cmocka_unit_test(formats_that_compute_hosts_do_not_take_are_refused),
        cmocka_unit_test(formats_nobody_supports_are_refused_even_as_raw),
        cmocka_unit_test(a_dmg_trailer_is_seen),
        cmocka_unit_test(two_formats_at_once_are_refused),
        cmocka_unit_test(a_qcow2_with_a_backing_file_is_refused),
        cmocka_unit_test(a_qcow2_with_a_data_file_is_refused),
        cmocka_unit_test(unknown_qcow2_features_are_refused),
        cmocka_unit_test(an_encrypted_qcow2_is_refused),
        cmocka_unit_test(qcow2_headers_that_contradict_themselves_are_refused),
        cmocka_unit_test(truncated_images_are_refused),
        cmocka_unit_test(vmdk_descriptors_that_lead_elsewhere_are_refused),
        cmocka_unit_test(vmdk_headers_that_hide_things_are_refused),
        cmocka_unit_test(vmdk_types_are_held_against_the_operator_s_list),
        cmocka_unit_test(external_vmdk_extents_of_qemu_are_refused),
        cmocka_unit_test(differencing_disks_are_refused),
        cmocka_unit_test(a_vhd_with_a_wrong_checksum_is_refused),
        cmocka_unit_test(short_reads_are_continued_and_errors_reported),
        cmocka_unit_test(an_own_overlay_s_header_is_read_although_it_has_a_backing_file),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
