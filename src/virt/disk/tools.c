/* The programs that make and change disk files, each with explicit formats and under limits.
 *
 * qemu-img never guesses: every call names the format, taken from our own inspection or from
 * disk.info. */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/log.h"
#include "util/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOOL_MEMORY_BYTES ((uint64_t)1024 * 1024 * 1024)
#define TOOL_CPU_S 30
#define LONG_MEMORY_BYTES (4 * TOOL_MEMORY_BYTES)
#define LONG_CPU_S (4 * 3600)
#define LONG_TIMEOUT_MS ((int64_t)4 * 3600 * 1000)
#define TOOL_TIMEOUT_MS ((int64_t)600 * 1000) /* the host may be busy */
#define DIRECT_IO_ALIGN 4096

/* A full disk is told apart from a tool that did not like its input. */
static bool tool_failed(GError **err, DvErrorCode otherwise)
{
    if (err && *err && strstr((*err)->message, "No space left on device"))
        (*err)->code = DV_E_NO_SPACE;
    else if (err && *err && dv_is(*err, DV_E_IO))
        (*err)->code = (int)otherwise;
    return false;
}

static bool run(const char *const *argv, GError **err)
{
    return dv_spawn(&(DvSpawn){.argv = argv,
                               .timeout_ms = TOOL_TIMEOUT_MS,
                               .max_memory_bytes = TOOL_MEMORY_BYTES,
                               .max_cpu_s = TOOL_CPU_S},
                    NULL, err) ||
           tool_failed(err, DV_E_IO);
}

/* What reads or writes a whole disk. */
static bool run_long(const char *const *argv, DvErrorCode otherwise, GError **err)
{
    return dv_spawn(&(DvSpawn){.argv = argv,
                               .timeout_ms = LONG_TIMEOUT_MS,
                               .max_memory_bytes = LONG_MEMORY_BYTES,
                               .max_cpu_s = LONG_CPU_S},
                    NULL, err) ||
           tool_failed(err, otherwise);
}

/* tmpfs and others refuse O_DIRECT; qemu-img then fails with cache mode none. */
static bool supports_direct_io(const char *folder)
{
    g_autofree char *path = g_strdup_printf("%s/.directio.test.XXXXXX", folder);
    g_autofree char *memory = g_malloc0(2 * DIRECT_IO_ALIGN);
    char *aligned = memory + (DIRECT_IO_ALIGN - (uintptr_t)memory % DIRECT_IO_ALIGN);
    dv_autofd int fd = g_mkstemp_full(path, O_WRONLY | O_DIRECT | O_CLOEXEC, 0600);
    bool works;

    if (fd < 0)
        return false;
    works = pwrite(fd, aligned, DIRECT_IO_ALIGN, 0) == DIRECT_IO_ALIGN;
    (void)unlink(path);
    return works;
}

static bool convert(const char *source, const char *source_format, const DiskTarget *target,
                    DvErrorCode otherwise, GError **err)
{
    g_autofree char *folder = g_path_get_dirname(target->path);
    const char *cache = supports_direct_io(folder) ? "none" : "writeback";
    const char *argv[] = {"qemu-img", "convert",     "-t",   cache,        "-O", target->format,
                          "-f",       source_format, source, target->path, NULL, NULL};

    if (target->compressed)
        argv[10] = "-c"; /* options may follow the names */
    return run_long(argv, otherwise, err);
}

bool disk_tool_convert_raw(const char *source, const char *source_format, const char *target,
                           GError **err)
{
    return convert(source, source_format, &(DiskTarget){target, "raw", false},
                   DV_E_IMAGE_UNACCEPTABLE, err);
}

bool disk_tool_convert(const char *source, DiskFormat source_format, const DiskTarget *target,
                       GError **err)
{
    return convert(source, disk_format_name(source_format), target, DV_E_IO, err);
}

bool disk_tool_create_qcow2(const char *path, uint64_t size_bytes, GError **err)
{
    g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, size_bytes);
    const char *argv[] = {"qemu-img", "create", "-f", "qcow2", path, size, NULL};

    return run(argv, err);
}

/* qemu-img's option lists are separated by commas; one in a value is doubled. */
static char *option_value(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);

    return g_strjoinv(",,", parts);
}

bool disk_tool_create_overlay(const char *path, const DiskBase *base, uint64_t size_bytes,
                              GError **err)
{
    g_autofree char *backing = option_value(base->path);
    g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, size_bytes);
    g_autoptr(GString) options = g_string_new(NULL);
    const char *argv[] = {
        "qemu-img", "create", "-f", "qcow2", "-o", NULL, path, size_bytes ? size : NULL, NULL};

    g_string_append_printf(options, "backing_file=%s,backing_fmt=%s", backing,
                           disk_format_name(base->format));
    if (base->cluster_bytes)
        g_string_append_printf(options, ",cluster_size=%u", base->cluster_bytes);
    argv[5] = options->str;
    return run(argv, err);
}

bool disk_tool_resize(const char *path, DiskFormat format, uint64_t size_bytes, GError **err)
{
    g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, size_bytes);
    const char *argv[] = {"qemu-img", "resize", "-f", disk_format_name(format), path, size, NULL};

    return run(argv, err);
}

/* Without -u both bases are read from end to end. */
bool disk_tool_rebase(const char *path, const DiskBase *base, bool same_content, GError **err)
{
    const char *argv[] = {"qemu-img", "rebase",
                          "-f",       "qcow2",
                          "-F",       disk_format_name(base->format),
                          "-b",       base->path,
                          path,       same_content ? "-u" : NULL, /* options may follow the names */
                          NULL};

    return same_content ? run(argv, err) : run_long(argv, DV_E_IO, err);
}

bool disk_tool_mkfs(const char *path, const char *fs, const char *label, GError **err)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    static const char *const forced[] = {"ext3", "ext4", "ntfs", NULL};
    bool fat = g_str_equal(fs, "vfat") || g_str_equal(fs, "msdos");

    if (g_str_equal(fs, "swap")) {
        g_ptr_array_add(argv, (gpointer) "mkswap");
    } else {
        g_ptr_array_add(argv, (gpointer) "mkfs");
        g_ptr_array_add(argv, (gpointer) "-t");
        g_ptr_array_add(argv, (gpointer)fs);
    }
    if (g_strv_contains(forced, fs))
        g_ptr_array_add(argv, (gpointer) "-F");
    if (label) {
        g_ptr_array_add(argv, (gpointer)(fat ? "-n" : "-L"));
        g_ptr_array_add(argv, (gpointer)label);
    }
    g_ptr_array_add(argv, (gpointer)path);
    g_ptr_array_add(argv, NULL);
    return dv_spawn(&(DvSpawn){.argv = (const char *const *)argv->pdata,
                               .timeout_ms = TOOL_TIMEOUT_MS,
                               .max_memory_bytes = TOOL_MEMORY_BYTES},
                    NULL, err) ||
           tool_failed(err, DV_E_IO);
}

bool disk_preallocate(const DvCtx *ctx, const char *path, uint64_t size_bytes, GError **err)
{
    dv_autofd int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return dv_fail_errno(err, errno, "preallocating", path);
    if (size_bytes == 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size_bytes) == 0)
        return true;
    if (errno != EOPNOTSUPP)
        return dv_fail_errno(err, errno, "preallocating", path);
    dv_warning(ctx, "%s is not preallocated: its file system cannot", path);
    return true;
}
