/* The command line. */
#pragma once

#include "util/error.h"

typedef struct Cli {
    char **config_files; /* NULL-terminated or NULL */
    char **config_dirs;
    char *log_file;
    gboolean check_config, sample_config, version, debug;
} Cli;

bool cli_parse(int argc, char **argv, Cli *out, GError **err);
void cli_done(Cli *cli);
