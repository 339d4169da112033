/* The command line: nova-compute's options that deployments use, and our own; see cli.h. */
#include "agent/cli.h"

bool cli_parse(int argc, char **argv, Cli *out, GError **err)
{
    const GOptionEntry entries[] = {
        {"config-file", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &out->config_files,
         "Read this file; may be repeated, later ones win", "FILE"},
        {"config-dir", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &out->config_dirs,
         "Read all *.conf of this folder, after the files", "DIR"},
        {"log-file", 0, 0, G_OPTION_ARG_FILENAME, &out->log_file,
         "Log here instead of standard error", "FILE"},
        {"debug", 'd', 0, G_OPTION_ARG_NONE, &out->debug, "Log at debug level", NULL},
        {"check-config", 0, 0, G_OPTION_ARG_NONE, &out->check_config,
         "Print the configuration as understood, with warnings, and exit", NULL},
        {"sample-config", 0, 0, G_OPTION_ARG_NONE, &out->sample_config,
         "Print a sample configuration with every option, and exit", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &out->version, "Print the version and exit", NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new("- compute agent for OpenStack");
    g_autoptr(GError) cause = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &cause))
        return dv_fail(err, DV_E_BAD_CONFIG, "%s", cause->message);
    if (argc > 1)
        return dv_fail(err, DV_E_BAD_CONFIG, "unexpected argument '%s'", argv[1]);
    return true;
}

void cli_done(Cli *cli)
{
    g_strfreev(cli->config_files);
    g_strfreev(cli->config_dirs);
    g_free(cli->log_file);
}
