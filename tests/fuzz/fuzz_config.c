/* Feeds any bytes to the configuration reader, with the table of the real agent: files are written
 * by people and by deployment tools, and a wrong one must end in a sentence. */
#include "agent/options.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is understood can be shown, and every struct can be filled or refused. */
static void use(const DvConfig *config)
{
    G_GNUC_UNUSED g_autofree char *dump = dv_config_dump(config);
    g_autoptr(GError) err = NULL;
    LogConfig log;
    RpcConfig rpc;
    TrackerConfig tracker;
    AuthConfig service_user;

    options_log(config, &log);
    options_rpc(config, &rpc);
    options_tracker(config, &tracker);
    options_service_user(config, &service_user);
    if (!options_check(config, &err) && !err)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length = 0;
    const DvOption *table = options_table(&length);
    g_autoptr(GError) err = NULL;
    g_autoptr(DvConfig)
        config = dv_config_parse((const char *)data, size, "fuzz.conf", table, length, &err);

    if (config)
        use(config);
    else if (!err || dv_code(err) != DV_E_BAD_CONFIG)
        abort();
    return 0;
}
