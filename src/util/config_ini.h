/* The ini dialect of oslo.config, as a list of assignments; config.c gives them meaning.
 *
 * Errors     DV_E_BAD_CONFIG "file:line: what is wrong".
 * Threads    pure functions.
 * Sources    oslo.config 9.0: iniparser.BaseParser, cfg.ConfigParser. */
#pragma once

#include "util/error.h"

/* One assignment as it stands in a file. */
typedef struct IniEntry {
    char *group; /* lower case but for DEFAULT */
    char *name;
    char *value; /* continuation lines joined by '\n' */
    char *file;
    unsigned file_rank; /* 0 for the first file read: higher ranks win */
    unsigned line;      /* where the assignment starts */
} IniEntry;
void ini_entry_free(IniEntry *entry);

#define INI_MAX_BYTES (4 * 1024 * 1024)

/* Appends the assignments of `text` to `entries` (IniEntry, with free function). */
bool ini_parse(const char *text, size_t length, const char *file, unsigned file_rank,
               GPtrArray *entries, GError **err);
