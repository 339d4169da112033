/* The config drive: an ISO 9660 or VFAT image with the label config-2, made of given files.
 *
 * The files stand for a moment in a folder of the instance directory that only we can read (they
 * may hold the guest's password), then a tool packs them. VFAT is filled by mtools: nothing is
 * mounted. */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_DRIVE_LABEL "config-2"
#define VFAT_BYTES (64 * 1024 * 1024) /* as nova makes it */
#define MAX_FILES 4096
#define MAX_BYTES ((size_t)64 * 1024 * 1024)
#define TOOL_TIMEOUT_MS (120 * 1000)
#define TOOL_MEMORY_BYTES ((uint64_t)1024 * 1024 * 1024)
#define TOOL_CPU_S 60

static bool path_ok(const char *path, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);

    for (char **p = parts; *p; p++)
        if (**p == '\0' || g_str_equal(*p, ".") || g_str_equal(*p, ".."))
            return dv_fail(err, DV_E_BAD_INPUT, "config drive file name '%s'", path);
    return parts[0] ? true : dv_fail(err, DV_E_BAD_INPUT, "config drive file without a name");
}

static bool write_files(const char *folder, const ConfigDriveFile *files, size_t count,
                        GError **err)
{
    size_t total = 0;

    if (count > MAX_FILES)
        return dv_fail(err, DV_E_BAD_INPUT, "%zu files are too many for a config drive", count);
    for (size_t i = 0; i < count; i++) {
        g_autofree char *path = g_build_filename(folder, files[i].path, NULL);
        g_autofree char *parent = g_path_get_dirname(path);
        dv_autofd int fd = -1;

        if (!path_ok(files[i].path, err) || !dv_mkdirs(parent, 0700, err))
            return false;
        if (files[i].length > MAX_BYTES - total)
            return dv_fail(err, DV_E_BAD_INPUT, "the config drive's files are too large");
        total += files[i].length;
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return dv_fail_errno(err, errno, "creating", path);
        if (!dv_write_all(fd, files[i].data, files[i].length, err))
            return false;
    }
    return true;
}

static bool run(const char *const *argv, GError **err)
{
    return dv_spawn(&(DvSpawn){.argv = argv,
                               .timeout_ms = TOOL_TIMEOUT_MS,
                               .max_memory_bytes = TOOL_MEMORY_BYTES,
                               .max_cpu_s = TOOL_CPU_S},
                    NULL, err);
}

static bool make_iso9660(const Disks *disks, const char *folder, const char *target, GError **err)
{
    const char *argv[] = {disks->mkisofs_cmd,
                          "-o",
                          target,
                          "-ldots",
                          "-allow-lowercase",
                          "-allow-multidot",
                          "-l",
                          "-publisher",
                          "drover " DROVER_VERSION,
                          "-quiet",
                          "-J",
                          "-r",
                          "-V",
                          CONFIG_DRIVE_LABEL,
                          folder,
                          NULL};

    return run(argv, err);
}

static bool make_vfat(const Disks *disks G_GNUC_UNUSED, const char *folder, const char *target,
                      GError **err)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    dv_autofd int fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                            DISK_FILE_MODE);

    if (fd < 0 || ftruncate(fd, VFAT_BYTES) < 0)
        return dv_fail_errno(err, errno, "creating", target);
    if (!dir)
        return dv_fail_errno(err, errno, "reading", folder);
    if (!disk_tool_mkfs(target, "vfat", CONFIG_DRIVE_LABEL, err))
        return false;
    g_ptr_array_add(argv, g_strdup("mcopy"));
    g_ptr_array_add(argv, g_strdup("-s"));
    g_ptr_array_add(argv, g_strdup("-i"));
    g_ptr_array_add(argv, g_strdup(target));
    for (const char *name = g_dir_read_name(dir); name; name = g_dir_read_name(dir))
        g_ptr_array_add(argv, g_build_filename(folder, name, NULL));
    if (argv->len == 4)
        return true;
    g_ptr_array_add(argv, g_strdup("::"));
    g_ptr_array_add(argv, NULL);
    return run((const char *const *)argv->pdata, err);
}

static const struct {
    const char *format;
    bool (*make)(const Disks *disks, const char *folder, const char *target, GError **err);
} formats[] = {
    {"iso9660", make_iso9660},
    {"vfat", make_vfat},
};

static bool make(const Disks *disks, const char *folder, const char *target, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++)
        if (g_str_equal(formats[i].format, disks->config_drive_format))
            return formats[i].make(disks, folder, target, err);
    return dv_fail(err, DV_E_BAD_CONFIG, "config_drive_format %s is unknown",
                   disks->config_drive_format);
}

bool configdrive_make(const Disks *disks, const char *instance_dir, const char *path,
                      const ConfigDriveFile *files, size_t file_count, GError **err)
{
    g_autofree char *folder = g_build_filename(instance_dir, ".config-XXXXXX", NULL);
    g_autofree char *content = NULL, *target = NULL;
    bool ok;

    if (!g_mkdtemp_full(folder, 0700))
        return dv_fail_errno(err, errno, "creating", folder);
    content = g_build_filename(folder, "content", NULL);
    target = g_build_filename(folder, "image", NULL);
    ok = dv_mkdirs(content, 0700, err) && write_files(content, files, file_count, err) &&
         make(disks, content, target, err);
    if (ok && rename(target, path) < 0)
        ok = dv_fail_errno(err, errno, "renaming", target);
    (void)dv_remove_tree(folder, NULL); /* goes with the instance directory at the latest */
    return ok || dv_within(err, "config drive");
}
