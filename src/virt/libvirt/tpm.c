/* What the TPM of a guest remembers: files of swtpm, which libvirt keeps by the guest's uuid.
 *
 * On a move to another host they go as nova sends them: beside the disks, in a folder by the same
 * name, so that either kind of agent finds them there. They are encrypted with the TPM's secret,
 * and everybody can read them on their way: a nova-compute that moves them to another file system
 * makes them root's, and only their modes stay.
 *
 * Sources    nova virt/libvirt/utils.py save_and_migrate_vtpm_dir, restore_vtpm_dir (Zed);
 *            libvirt src/qemu/qemu_tpm.c (9.0). */
#include "virt/libvirt/libvirt_priv.h"

#include "util/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_DIR "/var/lib/libvirt/swtpm"

enum { MAX_STATE_BYTES = 4 << 20, MAX_FILES = 16, NAME_BYTES = 4096 };

/* Below the guest's folder, one of each version. */
static const char *const versions[] = {"tpm1.2", "tpm2", NULL};

/* Whom the copies belong to, and who can read them. */
typedef struct Owner {
    uid_t user;
    gid_t group;
    mode_t folder_mode, file_mode;
} Owner;

static char *state_of(const LibvirtDriver *driver, const char *uuid)
{
    const char *dir = driver->config->swtpm_state_dir;

    return g_build_filename(dir ? dir : STATE_DIR, uuid, NULL);
}

/* A link may lead anywhere. */
static bool is_folder(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool give(int fd, const char *path, const Owner *owner, mode_t mode, GError **err)
{
    return (fchown(fd, owner->user, owner->group) == 0 && fchmod(fd, mode) == 0) ||
           dv_fail_errno(err, errno, "giving away", path);
}

static bool make_folder(const char *path, const Owner *owner, GError **err)
{
    dv_autofd int fd = -1;

    if (!dv_mkdirs(path, owner->folder_mode, err))
        return false;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 ? give(fd, path, owner, owner->folder_mode, err)
                   : dv_fail_errno(err, errno, "opening", path);
}

static bool read_state(const char *path, char *data, size_t *out_length, GError **err)
{
    dv_autofd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    size_t done = 0;
    ssize_t got = 1;

    if (fd < 0 || fstat(fd, &st) < 0)
        return dv_fail_errno(err, errno, "opening", path);
    if (!S_ISREG(st.st_mode) || st.st_size > MAX_STATE_BYTES)
        return dv_fail(err, DV_E_BAD_INPUT, "%s is no file of a TPM", path);
    while (got > 0 && done < MAX_STATE_BYTES) {
        got = read(fd, data + done, MAX_STATE_BYTES - done);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            done += (size_t)got;
    }
    *out_length = done;
    return got >= 0 || dv_fail_errno(err, errno, "reading", path);
}

static bool copy_file(const char *from, const char *to, const Owner *owner, GError **err)
{
    g_autofree char *data = g_malloc(MAX_STATE_BYTES);
    dv_autofd int fd = -1;
    size_t length = 0;

    if (!read_state(from, data, &length, err))
        return false;
    fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, owner->file_mode);
    if (fd < 0)
        return dv_fail_errno(err, errno, "creating", to);
    return dv_write_all(fd, data, length, err) && give(fd, to, owner, owner->file_mode, err) &&
           (fsync(fd) == 0 || dv_fail_errno(err, errno, "writing", to));
}

/* Of one version. swtpm's lock is none of it. */
static bool copy_version(const char *from, const char *to, const Owner *owner, GError **err)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(GDir) entries = g_dir_open(from, 0, &reason);
    const char *name;
    unsigned count = 0;

    if (!entries)
        return dv_fail(err, DV_E_IO, "%s", reason->message);
    if (!make_folder(to, owner, err))
        return false;
    while ((name = g_dir_read_name(entries))) {
        g_autofree char *source = g_build_filename(from, name, NULL);
        g_autofree char *target = g_build_filename(to, name, NULL);

        if (*name == '.')
            continue;
        if (++count > MAX_FILES)
            return dv_fail(err, DV_E_BAD_INPUT, "%s: more files than a TPM has", from);
        if (!copy_file(source, target, owner, err))
            return false;
    }
    return true;
}

static bool has_state(const char *dir)
{
    bool found = false;

    for (size_t i = 0; versions[i] && !found; i++) {
        g_autofree char *path = g_build_filename(dir, versions[i], NULL);

        found = is_folder(path);
    }
    return found && is_folder(dir);
}

static bool copy_state(const char *from, const char *to, const Owner *owner, GError **err)
{
    if (!make_folder(to, owner, err))
        return false;
    for (size_t i = 0; versions[i]; i++) {
        g_autofree char *source = g_build_filename(from, versions[i], NULL);
        g_autofree char *target = g_build_filename(to, versions[i], NULL);

        if (is_folder(source) && !copy_version(source, target, owner, err))
            return false;
    }
    return true;
}

bool tpm_save(void *self, const char *uuid, const char *folder, GError **err)
{
    const LibvirtDriver *driver = self;
    const Owner owner = {geteuid(), getegid(), 0755, 0644};
    g_autofree char *from = state_of(driver, uuid);
    g_autofree char *to = g_build_filename(folder, uuid, NULL);

    if (!dv_remove_tree(folder, err))
        return false;
    if (!has_state(from) || copy_state(from, to, &owner, err))
        return true;
    (void)dv_remove_tree(folder, NULL);
    return dv_within(err, "the state of the guest's TPM");
}

static bool find_owner(const LibvirtDriver *driver, Owner *out, GError **err)
{
    const char *user = driver->config->swtpm_user, *group = driver->config->swtpm_group;
    struct passwd pw, *found_user = NULL;
    struct group gr, *found_group = NULL;
    char user_text[NAME_BYTES], group_text[NAME_BYTES];

    if (!user || getpwnam_r(user, &pw, user_text, sizeof(user_text), &found_user) != 0 ||
        !found_user || !group ||
        getgrnam_r(group, &gr, group_text, sizeof(group_text), &found_group) != 0 || !found_group)
        return dv_fail(err, DV_E_BAD_CONFIG, "[libvirt] swtpm_user, swtpm_group: unknown here");
    *out = (Owner){pw.pw_uid, gr.gr_gid, 0700, 0600};
    return true;
}

/* The new state is whole before the old one goes. */
bool tpm_restore(void *self, const char *uuid, const char *folder, GError **err)
{
    const LibvirtDriver *driver = self;
    g_autofree char *from = g_build_filename(folder, uuid, NULL);
    g_autofree char *to = state_of(driver, uuid);
    g_autofree char *next = g_strconcat(to, ".new", NULL);
    g_autofree char *parent = g_path_get_dirname(to);
    Owner owner;

    if (!dv_exists(from))
        return true;
    if ((has_state(from) || dv_fail(err, DV_E_BAD_INPUT, "%s holds no state of a TPM", from)) &&
        find_owner(driver, &owner, err) && dv_mkdirs(parent, 0711, err) &&
        dv_remove_tree(next, err) && copy_state(from, next, &owner, err) &&
        dv_remove_tree(to, err) &&
        (rename(next, to) == 0 || dv_fail_errno(err, errno, "renaming", next)))
        return true;
    (void)dv_remove_tree(next, NULL);
    return dv_within(err, "the state of the guest's TPM");
}
