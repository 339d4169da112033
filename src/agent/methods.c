/* The methods that this agent serves; see methods.h. A method that is not here answers
 * NoSuchMethod. Sources: docs/wire/compute.md; nova compute/rpcapi.py, baserpc.py (Zed to 2026.1).
 */
#include "agent/methods.h"

#include "agent/ops/ops.h"

#define E METHOD_EVENT
#define R METHOD_REVERT
#define F METHOD_FAULT

/* clang-format off */
static const AgentMethod compute_methods[] = {
    /* name                      lane           pool          flags      run                  arrive */
    {"build_and_run_instance",   LANE_INSTANCE, POOL_BUILD,   R | F,     op_boot,              NULL},
    {"terminate_instance",       LANE_INSTANCE, POOL_GENERAL, E | R | F, op_delete,            op_delete_arrive},
    {"snapshot_instance",        LANE_NONE,     POOL_SNAPSHOT, E | R | F, op_snapshot,         NULL},
    {"backup_instance",          LANE_NONE,     POOL_SNAPSHOT, E | R | F, op_backup,           NULL},
    {"quiesce_instance",         LANE_NONE,     POOL_GENERAL, 0,         op_quiesce,           NULL},
    {"unquiesce_instance",       LANE_NONE,     POOL_GENERAL, 0,         op_unquiesce,         NULL},
    {"shelve_instance",          LANE_INSTANCE, POOL_GENERAL, E | R | F, op_shelve,            NULL},
    {"shelve_offload_instance",  LANE_INSTANCE, POOL_GENERAL, E | R | F, op_shelve_offload,    NULL},
    {"cache_images",             LANE_NONE,     POOL_GENERAL, 0,         op_cache_images,      NULL},
    {"rebuild_instance",         LANE_INSTANCE, POOL_BUILD,   E | R | F, op_rebuild,           NULL},
    {"unshelve_instance",        LANE_INSTANCE, POOL_BUILD,   E | R | F, op_unshelve,          NULL},
    {"rescue_instance",          LANE_INSTANCE, POOL_BUILD,   E | R | F, op_rescue,            NULL},
    {"unrescue_instance",        LANE_INSTANCE, POOL_GENERAL, E | R | F, op_unrescue,          NULL},
    {"prep_resize",              LANE_INSTANCE, POOL_GENERAL, E | R | F, op_prep_resize,       NULL},
    {"resize_instance",          LANE_INSTANCE, POOL_BUILD,   E | R | F, op_resize_instance,   NULL},
    {"finish_resize",            LANE_INSTANCE, POOL_BUILD,   E | R | F, op_finish_resize,     NULL},
    {"confirm_resize",           LANE_INSTANCE, POOL_GENERAL, E | F,     op_confirm_resize,    NULL},
    {"revert_resize",            LANE_INSTANCE, POOL_GENERAL, E | R | F, op_revert_resize,     NULL},
    {"finish_revert_resize",     LANE_INSTANCE, POOL_BUILD,   E | R | F, op_finish_revert_resize, NULL},
    {"check_can_live_migrate_destination", LANE_NONE, POOL_GENERAL, E | F, op_live_check_dest, NULL},
    {"check_can_live_migrate_source", LANE_NONE, POOL_GENERAL, E | F,    op_live_check_source, NULL},
    {"live_migration",           LANE_NONE,     POOL_GENERAL, E | F,     op_live_migration,    NULL},
    /* in order: a destination still prepares itself when it is told to take that back */
    {"pre_live_migration",       LANE_INSTANCE, POOL_GENERAL, E | F,     op_live_pre,          NULL},
    {"post_live_migration_at_destination", LANE_INSTANCE, POOL_GENERAL, E | F, op_live_post,   NULL},
    {"rollback_live_migration_at_destination", LANE_INSTANCE, POOL_GENERAL, E | F, op_live_rollback, NULL},
    {"drop_move_claim_at_destination", LANE_INSTANCE, POOL_GENERAL, F,   op_drop_move_claim,   NULL},
    {"live_migration_force_complete", LANE_NONE, POOL_GENERAL, E | F,    op_live_force_complete, NULL},
    {"live_migration_abort",     LANE_NONE,     POOL_GENERAL, E | F,     op_live_abort,        NULL},
    {"prep_snapshot_based_resize_at_dest", LANE_INSTANCE, POOL_GENERAL, E | F, op_cross_prep_dest, NULL},
    {"prep_snapshot_based_resize_at_source", LANE_INSTANCE, POOL_BUILD, E | R | F, op_cross_prep_source, NULL},
    {"finish_snapshot_based_resize_at_dest", LANE_INSTANCE, POOL_BUILD, E | R | F, op_cross_finish, NULL},
    {"confirm_snapshot_based_resize_at_source", LANE_INSTANCE, POOL_GENERAL, E | F, op_cross_confirm, NULL},
    {"revert_snapshot_based_resize_at_dest", LANE_INSTANCE, POOL_GENERAL, E | R | F, op_cross_revert, NULL},
    {"finish_revert_snapshot_based_resize_at_source", LANE_INSTANCE, POOL_BUILD, E | R | F, op_cross_finish_revert, NULL},
    {"check_instance_shared_storage", LANE_NONE, POOL_GENERAL, 0,        op_check_shared_storage, NULL},
    {"stop_instance",            LANE_INSTANCE, POOL_GENERAL, E | R | F, op_stop,              NULL},
    {"start_instance",           LANE_INSTANCE, POOL_GENERAL, E | R | F, op_start,             NULL},
    {"reboot_instance",          LANE_INSTANCE, POOL_GENERAL, E | R | F, op_reboot,            NULL},
    {"pause_instance",           LANE_INSTANCE, POOL_GENERAL, E | R | F, op_pause,             NULL},
    {"unpause_instance",         LANE_INSTANCE, POOL_GENERAL, E | R | F, op_unpause,           NULL},
    {"suspend_instance",         LANE_INSTANCE, POOL_GENERAL, E | R | F, op_suspend,           NULL},
    {"resume_instance",          LANE_INSTANCE, POOL_GENERAL, E | R | F, op_resume,            NULL},
    {"soft_delete_instance",     LANE_INSTANCE, POOL_GENERAL, E | R | F, op_soft_delete,       NULL},
    {"restore_instance",         LANE_INSTANCE, POOL_GENERAL, E | R | F, op_restore,           NULL},
    /* a guest that hangs, and whoever waits for it, is what a crash dump is for */
    {"trigger_crash_dump",       LANE_NONE,     POOL_GENERAL, E | F,     op_crash_dump,        NULL},
    /* the agent in the guest may take its time */
    {"set_admin_password",       LANE_NONE,     POOL_GENERAL, E | R | F, op_set_admin_password, NULL},
    {"get_diagnostics",          LANE_NONE,     POOL_GENERAL, F,         op_diagnostics,       NULL},
    {"get_instance_diagnostics", LANE_NONE,     POOL_GENERAL, F,         op_instance_diagnostics, NULL},
    {"inject_network_info",      LANE_INSTANCE, POOL_GENERAL, F,         op_inject_network_info, NULL},
    {"external_instance_event",  LANE_NONE,     POOL_GENERAL, 0,         op_external_event,    NULL},
    {"attach_interface",         LANE_INSTANCE, POOL_GENERAL, E | F,     op_attach_interface,  NULL},
    {"detach_interface",         LANE_INSTANCE, POOL_GENERAL, E | F,     op_detach_interface,  NULL},
    {"add_fixed_ip_to_instance", LANE_INSTANCE, POOL_GENERAL, F,         op_add_fixed_ip,      NULL},
    {"remove_fixed_ip_from_instance", LANE_INSTANCE, POOL_GENERAL, F,    op_remove_fixed_ip,   NULL},
    {"get_console_output",       LANE_NONE,     POOL_GENERAL, F,         op_console_output,    NULL},
    {"get_vnc_console",          LANE_NONE,     POOL_GENERAL, F,         op_console,           NULL},
    {"get_spice_console",        LANE_NONE,     POOL_GENERAL, F,         op_console,           NULL},
    {"get_serial_console",       LANE_NONE,     POOL_GENERAL, F,         op_console,           NULL},
    {"get_rdp_console",          LANE_NONE,     POOL_GENERAL, F,         op_console,           NULL},
    {"get_mks_console",          LANE_NONE,     POOL_GENERAL, F,         op_console,           NULL},
    {"validate_console_port",    LANE_NONE,     POOL_GENERAL, F,         op_validate_console,  NULL},
    {"get_host_uptime",          LANE_INLINE,   POOL_GENERAL, 0,         op_host_uptime,       NULL},
    {"host_power_action",        LANE_INLINE,   POOL_GENERAL, 0,         op_host_not_implemented, NULL},
    {"host_maintenance_mode",    LANE_INLINE,   POOL_GENERAL, 0,         op_host_not_implemented, NULL},
    {"set_host_enabled",         LANE_HOST,     POOL_GENERAL, 0,         op_set_host_enabled,  NULL},
};

static const AgentMethod base_methods[] = {
    {"ping",                     LANE_INLINE,   POOL_GENERAL, 0,         op_ping,              NULL},
    {"get_backdoor_port",        LANE_INLINE,   POOL_GENERAL, 0,         op_backdoor_port,     NULL},
};

static const AgentMethod ping_methods[] = {
    {"oslo_rpc_server_ping",     LANE_INLINE,   POOL_GENERAL, 0,         op_server_ping,       NULL},
};
/* clang-format on */

static RpcMethod compute_rpc[G_N_ELEMENTS(compute_methods)];
static RpcMethod base_rpc[G_N_ELEMENTS(base_methods)];
static RpcMethod ping_rpc[G_N_ELEMENTS(ping_methods)];

/* The 6.x server speaks every form up to 6.5: newer arguments are optional for us. */
static const RpcEndpoint endpoints[] = {
    {NULL, "6.5", compute_rpc, G_N_ELEMENTS(compute_rpc)},
    {NULL, "5.13", compute_rpc, G_N_ELEMENTS(compute_rpc)},
    {"baseapi", "1.1", base_rpc, G_N_ELEMENTS(base_rpc)},
    {NULL, "1.0", ping_rpc, G_N_ELEMENTS(ping_rpc)}, /* last: left out unless enabled */
};

static void fill(RpcMethod *out, const AgentMethod *methods, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (RpcMethod){methods[i].name, &methods[i]};
}

const RpcEndpoint *methods_endpoints(bool ping_enabled, size_t *out_count)
{
    static gsize filled = 0;

    if (g_once_init_enter(&filled)) {
        fill(compute_rpc, compute_methods, G_N_ELEMENTS(compute_methods));
        fill(base_rpc, base_methods, G_N_ELEMENTS(base_methods));
        fill(ping_rpc, ping_methods, G_N_ELEMENTS(ping_methods));
        g_once_init_leave(&filled, 1);
    }
    *out_count = G_N_ELEMENTS(endpoints) - (ping_enabled ? 0 : 1);
    return endpoints;
}

const AgentMethod *methods_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(compute_methods); i++) {
        if (strcmp(compute_methods[i].name, name) == 0)
            return &compute_methods[i];
    }
    return NULL;
}
