/* The programs that the tests of disks start to make them and to look at them. */
#pragma once

#include "util/spawn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Runs a program; words are what is between single blanks. It must succeed. Returns what it prints;
 * caller frees. */
static inline char *G_GNUC_PRINTF(1, 2) output_of(const char *format, ...)
{
    g_autofree char *line = NULL;
    g_auto(GStrv) argv = NULL;
    g_autoptr(GError) err = NULL;
    char *out = NULL;
    va_list args;

    va_start(args, format);
    line = g_strdup_vprintf(format, args);
    va_end(args);
    argv = g_strsplit(line, " ", -1);
    if (!dv_spawn(&(DvSpawn){.argv = (const char *const *)argv}, &out, &err))
        fail_msg("%s: %s", line, err->message);
    return out;
}

/* The same for what it does alone. */
#define tool(...) g_free(output_of(__VA_ARGS__))
