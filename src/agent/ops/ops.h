/* The operations, one line each; what they do is told on top of their files.
 *
 * Threads    op_* run on a worker, those of LANE_INLINE on rpc-listen; see agent/dispatch.h. */
#pragma once

#include "agent/dispatch.h"

/* boot.c */
bool op_boot(const OpCall *call, json_t **out_result, GError **err);

/* delete.c */
bool op_delete(const OpCall *call, json_t **out_result, GError **err);
void op_delete_arrive(Agent *agent, const char *instance_uuid);
/* The delete itself, for start-up recovery too: no event, fault or revert around it. */
bool op_delete_instance(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err);
/* The tail of a delete whose record already says deleted. */
bool op_complete_deletion(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err);
/* What is left here of an instance whose record is deleted: guest, disks, ports. */
bool op_reap_guest(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err);

/* snapshot.c */
bool op_snapshot(const OpCall *call, json_t **out_result, GError **err);
bool op_backup(const OpCall *call, json_t **out_result, GError **err);

/* quiesce.c */
bool op_quiesce(const OpCall *call, json_t **out_result, GError **err);
bool op_unquiesce(const OpCall *call, json_t **out_result, GError **err);

/* shelve.c */
bool op_shelve(const OpCall *call, json_t **out_result, GError **err);
bool op_shelve_offload(const OpCall *call, json_t **out_result, GError **err);

/* cache_images.c */
bool op_cache_images(const OpCall *call, json_t **out_result, GError **err);

/* rebuild.c */
bool op_rebuild(const OpCall *call, json_t **out_result, GError **err);

/* unshelve.c */
bool op_unshelve(const OpCall *call, json_t **out_result, GError **err);

/* rescue.c */
bool op_rescue(const OpCall *call, json_t **out_result, GError **err);
bool op_unrescue(const OpCall *call, json_t **out_result, GError **err);

/* resize_dest.c */
bool op_prep_resize(const OpCall *call, json_t **out_result, GError **err);
bool op_finish_resize(const OpCall *call, json_t **out_result, GError **err);

/* resize_source.c */
bool op_resize_instance(const OpCall *call, json_t **out_result, GError **err);

/* resize_confirm.c */
bool op_confirm_resize(const OpCall *call, json_t **out_result, GError **err);
/* What is left to do where the migration says confirmed already: may be done again. */
bool resize_confirmed(Agent *agent, const DvCtx *ctx, Ovo *instance, Ovo *migration, GError **err);

/* resize_revert.c */
bool op_revert_resize(const OpCall *call, json_t **out_result, GError **err);
bool op_finish_revert_resize(const OpCall *call, json_t **out_result, GError **err);

/* cross_cell_source.c, cross_cell_dest.c */
bool op_cross_prep_source(const OpCall *call, json_t **out_result, GError **err);
bool op_cross_confirm(const OpCall *call, json_t **out_result, GError **err);
bool op_cross_finish_revert(const OpCall *call, json_t **out_result, GError **err);
bool op_cross_prep_dest(const OpCall *call, json_t **out_result, GError **err);
bool op_cross_finish(const OpCall *call, json_t **out_result, GError **err);
bool op_cross_revert(const OpCall *call, json_t **out_result, GError **err);

/* shared_storage.c */
bool op_check_shared_storage(const OpCall *call, json_t **out_result, GError **err);

/* live_check.c */
bool op_live_check_dest(const OpCall *call, json_t **out_result, GError **err);
bool op_live_check_source(const OpCall *call, json_t **out_result, GError **err);

/* live_source.c */
bool op_live_migration(const OpCall *call, json_t **out_result, GError **err);

/* live_dest.c */
bool op_live_pre(const OpCall *call, json_t **out_result, GError **err);
bool op_live_post(const OpCall *call, json_t **out_result, GError **err);
bool op_live_rollback(const OpCall *call, json_t **out_result, GError **err);
bool op_drop_move_claim(const OpCall *call, json_t **out_result, GError **err);

/* live_abort.c */
bool op_live_abort(const OpCall *call, json_t **out_result, GError **err);
bool op_live_force_complete(const OpCall *call, json_t **out_result, GError **err);

/* power.c */
bool op_stop(const OpCall *call, json_t **out_result, GError **err);
bool op_start(const OpCall *call, json_t **out_result, GError **err);
bool op_soft_delete(const OpCall *call, json_t **out_result, GError **err);
bool op_restore(const OpCall *call, json_t **out_result, GError **err);
bool op_pause(const OpCall *call, json_t **out_result, GError **err);
bool op_unpause(const OpCall *call, json_t **out_result, GError **err);
bool op_crash_dump(const OpCall *call, json_t **out_result, GError **err);
/* The end of such an operation: the guest's power state as it is now, vm_state, no task, saved when
 * the task state is one of `expected` (as for conductor_instance_save). */
bool op_power_saved(const OpCall *call, const char *vm_state, const char *const *expected,
                    GError **err);

/* What a shelved server remembers of it goes, unsaved; and so does its image, troubles are logged.
 */
void op_drop_shelved_keys(Ovo *instance);
void op_delete_shelved_image(const OpCall *call, const char *image_id);

/* reboot.c */
bool op_reboot(const OpCall *call, json_t **out_result, GError **err);

/* suspend.c */
bool op_suspend(const OpCall *call, json_t **out_result, GError **err);
bool op_resume(const OpCall *call, json_t **out_result, GError **err);
/* Ends the saving of a guest's memory that is under way. Never blocks. */
void suspend_end_save(Agent *agent, const char *instance_uuid);

/* password.c */
bool op_set_admin_password(const OpCall *call, json_t **out_result, GError **err);

/* diagnostics.c */
bool op_diagnostics(const OpCall *call, json_t **out_result, GError **err);
bool op_instance_diagnostics(const OpCall *call, json_t **out_result, GError **err);

/* network_info.c */
bool op_inject_network_info(const OpCall *call, json_t **out_result, GError **err);

/* external_events.c */
bool op_external_event(const OpCall *call, json_t **out_result, GError **err);

/* interfaces.c */
bool op_attach_interface(const OpCall *call, json_t **out_result, GError **err);
bool op_detach_interface(const OpCall *call, json_t **out_result, GError **err);

/* fixed_ips.c */
bool op_add_fixed_ip(const OpCall *call, json_t **out_result, GError **err);
bool op_remove_fixed_ip(const OpCall *call, json_t **out_result, GError **err);

/* console.c */
bool op_console_output(const OpCall *call, json_t **out_result, GError **err);
bool op_console(const OpCall *call, json_t **out_result, GError **err);
bool op_validate_console(const OpCall *call, json_t **out_result, GError **err);

/* host.c */
bool op_host_uptime(const OpCall *call, json_t **out_result, GError **err);
/* What nova's libvirt driver does not implement either. */
bool op_host_not_implemented(const OpCall *call, json_t **out_result, GError **err);
bool op_set_host_enabled(const OpCall *call, json_t **out_result, GError **err);
bool op_ping(const OpCall *call, json_t **out_result, GError **err);
bool op_backdoor_port(const OpCall *call, json_t **out_result, GError **err);
bool op_server_ping(const OpCall *call, json_t **out_result, GError **err);
