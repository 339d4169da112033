/* Files: bounded reads, writes that are whole or not there, trees.
 *
 * Errors     DV_E_NOT_FOUND, DV_E_NO_SPACE, DV_E_IO by errno; the text names the path.
 * Threads    any; calls block on the disk. */
#pragma once

#include "util/error.h"

#include <stdint.h>
#include <sys/types.h>

void dv_close_fd(int *fd);
/* `dv_autofd int fd = -1;`: the end of the scope closes it. */
#define dv_autofd __attribute__((cleanup(dv_close_fd)))

/* Sets err from errno and the path; always false. */
bool dv_fail_errno(GError **err, int errnum, const char *what, const char *path);

/* The whole file, NUL-terminated; one larger than `max_bytes` is DV_E_BAD_INPUT. out_length may be
 * NULL. */
bool dv_read_file(const char *path, size_t max_bytes, char **out, size_t *out_length, GError **err);
/* The last `max_bytes` at most of the file, NUL-terminated (content may hold NULs). */
bool dv_read_tail(const char *path, size_t max_bytes, char **out, size_t *out_length, GError **err);
/* Writes a temporary beside it, fsyncs, renames, fsyncs the folder. */
bool dv_write_file(const char *path, const void *data, size_t length, mode_t mode, GError **err);
bool dv_write_all(int fd, const void *data, size_t length, GError **err);
bool dv_mkdirs(const char *path, mode_t mode, GError **err);
/* Removes a file or a whole tree without following symbolic links. Absent is success. */
bool dv_remove_tree(const char *path, GError **err);
bool dv_exists(const char *path);
/* Size and free bytes of the file system that holds `path`. */
bool dv_fs_usage(const char *path, uint64_t *out_total, uint64_t *out_free, GError **err);
