/* Running a program to its end: an argv array, never a shell; bounded output, time, memory and CPU.
 *
 * Threads    any; the call blocks. Children get no descriptor but 0-2, default signals, LC_ALL=C,
 * and die with the thread that started them (PR_SET_PDEATHSIG) only through their deadline: a
 * qemu-img that runs on after a crash of the agent ends by its limits. */
#pragma once

#include "util/error.h"

#include <stdint.h>

typedef struct DvSpawn {
    const char *const *argv;   /* argv[0] looked up in PATH; NULL-terminated */
    int64_t timeout_ms;        /* 0: 60 s. The group is killed when it passes (DV_E_TIMEOUT) */
    uint64_t max_memory_bytes; /* RLIMIT_AS, 0: no limit */
    uint64_t max_cpu_s;        /* RLIMIT_CPU, 0: no limit */
    const char *cwd;           /* or NULL */
    int pass_fd;               /* a descriptor the child inherits at the same number, 0: none */
} DvSpawn;

#define DV_SPAWN_MAX_OUTPUT (1024 * 1024)

/* Runs it. *out_stdout (may be NULL when not wanted) gets at most DV_SPAWN_MAX_OUTPUT bytes,
 * NUL-terminated; more is an error. A non-zero exit is DV_E_IO with the last line of its standard
 * error. */
bool dv_spawn(const DvSpawn *spawn, char **out_stdout, GError **err);
