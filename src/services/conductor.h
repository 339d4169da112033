/* nova-conductor: every persistent read and write of this host.
 *
 * Getters return objects at the versions of the control plane's release. Saves send only what
 * changed and apply the answer to the caller's object. Ownership  results belong to the caller.
 * Errors     DV_E_TIMEOUT, DV_E_UNAVAILABLE; exception classes that matter have codes of their own
 *            (DV_E_INSTANCE_NOT_FOUND, DV_E_UNEXPECTED_TASK_STATE, DV_E_DELETING, ...); all others
 * DV_E_REMOTE with "Class: message". "Not there" is *out == NULL where said. Threads    any; a call
 * blocks its thread for at most rpc_response_timeout. Sources    docs/wire/conductor.md; nova
 * conductor/manager.py and objects (Zed). */
#pragma once

#include "objects/ovo.h"
#include "objects/versions.h"
#include "rpc/rpc.h"

typedef struct Conductor Conductor;

Conductor *conductor_new(Rpc *rpc, NovaRelease release);
void conductor_free(Conductor *con);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Conductor, conductor_free)
/* Before anybody else uses it: the release found at start. */
void conductor_set_release(Conductor *con, NovaRelease release);
NovaRelease conductor_release(const Conductor *con);
/* Calls sent so far, for metrics and the bench. */
uint64_t conductor_calls(const Conductor *con);
/* The last call had no answer. For health; never blocks. */
bool conductor_silent(const Conductor *con);

/* ---- the two general forms; args and kwargs are stolen, NULL is empty ---- */
bool conductor_class_action(Conductor *con, const DvCtx *ctx, const char *objname,
                            const char *objmethod, json_t *args, json_t *kwargs,
                            json_t **out_result, GError **err);
bool conductor_object_action(Conductor *con, const DvCtx *ctx, Ovo *obj, const char *objmethod,
                             json_t *args, json_t *kwargs, json_t **out_result, GError **err);

/* ---- start-up, service ---- */
bool conductor_ping(Conductor *con, const DvCtx *ctx, int64_t timeout_ms, GError **err);
bool conductor_minimum_version(Conductor *con, const DvCtx *ctx, const char *binary, int *out,
                               GError **err);
/* *out NULL when there is none. */
bool conductor_service_get(Conductor *con, const DvCtx *ctx, const char *host, const char *binary,
                           Ovo **out, GError **err);

/* ---- any object: create, save, destroy, refresh ---- */
bool conductor_create(Conductor *con, const DvCtx *ctx, Ovo *obj, GError **err);
/* Nothing changed: no call, success. Service.save is sent whole. */
bool conductor_save(Conductor *con, const DvCtx *ctx, Ovo *obj, GError **err);
bool conductor_destroy(Conductor *con, const DvCtx *ctx, Ovo *obj, GError **err);

/* ---- instances ---- */
/* Compare-and-set: `expected` is a NULL-terminated list of task states, "" standing for null; NULL:
 * no check. A mismatch is DV_E_UNEXPECTED_TASK_STATE, or DV_E_DELETING when the other actor
 * deletes. */
bool conductor_instance_save(Conductor *con, const DvCtx *ctx, Ovo *instance,
                             const char *const *expected, GError **err);
/* attrs: NULL-terminated expected_attrs, NULL: none. DV_E_INSTANCE_NOT_FOUND when absent
 * (read_deleted of ctx). */
bool conductor_instance_get(Conductor *con, const DvCtx *ctx, const char *uuid,
                            const char *const *attrs, Ovo **out, GError **err);
/* InstanceList objects. */
bool conductor_instances_by_host(Conductor *con, const DvCtx *ctx, const char *host,
                                 const char *const *attrs, Ovo **out, GError **err);
bool conductor_instances_by_host_and_node(Conductor *con, const DvCtx *ctx, const char *host,
                                          const char *node, const char *const *attrs, Ovo **out,
                                          GError **err);
/* filters: a dict Ovo (uuid list, vm_state, deleted ...), borrowed. */
bool conductor_instances_by_filters(Conductor *con, const DvCtx *ctx, const Ovo *filters,
                                    const char *const *attrs, Ovo **out, GError **err);
/* Those of the host that existed at some time of the period, deleted ones among them. */
bool conductor_instances_active(Conductor *con, const DvCtx *ctx, int64_t begin_ms, int64_t end_ms,
                                const char *host, const char *const *attrs, Ovo **out,
                                GError **err);
/* NULL-terminated, g_strfreev. */
bool conductor_instance_uuids_by_host(Conductor *con, const DvCtx *ctx, const char *host,
                                      char ***out, GError **err);
bool conductor_instance_destroy(Conductor *con, const DvCtx *ctx, Ovo *instance, GError **err);

/* ---- what hangs on an instance ---- */
bool conductor_bdms_get(Conductor *con, const DvCtx *ctx, const char *instance_uuid, Ovo **out,
                        GError **err);
/* network_info: JSON text of the VIF list. */
bool conductor_info_cache_save(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                               const char *network_info, GError **err);
/* address: the MAC, which the port's id makes unique in the record; tag NULL: none. */
bool conductor_vif_create(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                          const char *port_id, const char *address, const char *tag, GError **err);
/* VirtualInterfaceList; its addresses are plain MACs. */
bool conductor_vifs_get(Conductor *con, const DvCtx *ctx, const char *instance_uuid, Ovo **out,
                        GError **err);
/* One port's record; absent: success. */
bool conductor_vif_delete(Conductor *con, const DvCtx *ctx, const char *port_id, GError **err);
bool conductor_vifs_delete(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                           GError **err);
bool conductor_event_start(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                           const char *event, const char *host, GError **err);
/* exc_val and exc_tb NULL: success. */
bool conductor_event_finish(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                            const char *event, const char *exc_val, const char *exc_tb,
                            GError **err);
bool conductor_action_start(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                            const char *action, GError **err);
bool conductor_fault_create(Conductor *con, const DvCtx *ctx, const char *instance_uuid, int code,
                            const char *message, const char *details, const char *host,
                            GError **err);
/* *out_token is the caller's. path may be NULL. */
bool conductor_console_authorize(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                                 const char *console_type, const char *host, int port,
                                 const char *path, const char *access_url_base, int64_t ttl_s,
                                 char **out_token, GError **err);
bool conductor_console_clean(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                             GError **err);
/* Tokens of all instances that are not valid any more. */
bool conductor_console_clean_expired(Conductor *con, const DvCtx *ctx, GError **err);
/* InstanceGroup of an instance; *out NULL when it is in none. */
bool conductor_group_of_instance(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                                 Ovo **out, GError **err);

/* ---- host ---- */
bool conductor_compute_nodes_by_host(Conductor *con, const DvCtx *ctx, const char *host, Ovo **out,
                                     GError **err);
/* *out NULL when there is none. */
bool conductor_compute_node_get(Conductor *con, const DvCtx *ctx, const char *host,
                                const char *node, Ovo **out, GError **err);
/* The first node of any host; absent: DV_E_HOST_NOT_FOUND. */
bool conductor_compute_node_of(Conductor *con, const DvCtx *ctx, const char *host, Ovo **out,
                               GError **err);
bool conductor_pci_devices(Conductor *con, const DvCtx *ctx, int64_t compute_node_id, Ovo **out,
                           GError **err);
bool conductor_migrations_in_progress_and_error(Conductor *con, const DvCtx *ctx, const char *host,
                                                const char *node, Ovo **out, GError **err);
bool conductor_migrations_in_progress(Conductor *con, const DvCtx *ctx, const char *host,
                                      const char *node, Ovo **out, GError **err);
/* The instance's migration with that status; *out NULL when there is none. */
bool conductor_migration_by_status(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                                   const char *status, Ovo **out, GError **err);
/* Migrations that fit `filters` (a dict Ovo, borrowed: host, status, instance_uuid ...). */
bool conductor_migrations_by_filters(Conductor *con, const DvCtx *ctx, const Ovo *filters,
                                     Ovo **out, GError **err);
/* The instance's newest migration; *out NULL when it has none. */
bool conductor_migration_newest(Conductor *con, const DvCtx *ctx, const char *instance_uuid,
                                Ovo **out, GError **err);
/* DV_E_NOT_FOUND when absent. */
bool conductor_migration_get(Conductor *con, const DvCtx *ctx, int64_t id, Ovo **out, GError **err);
/* Evacuations away from this host that are not completed. */
bool conductor_evacuations_from(Conductor *con, const DvCtx *ctx, const char *host, Ovo **out,
                                GError **err);

/* Resizes to this host that are finished and were last touched before `older_than_s` seconds. */
bool conductor_unconfirmed_resizes(Conductor *con, const DvCtx *ctx, int64_t older_than_s,
                                   const char *host, Ovo **out, GError **err);

/* ---- records of periodic tasks (TaskLog); times in wall milliseconds ---- */
/* *out NULL: that task was not begun for that period. */
bool conductor_task_log_get(Conductor *con, const DvCtx *ctx, const char *task_name,
                            int64_t begin_ms, int64_t end_ms, const char *host, Ovo **out,
                            GError **err);
/* Fails where it was begun already. */
bool conductor_task_log_begin(Conductor *con, const DvCtx *ctx, Ovo *log, GError **err);
bool conductor_task_log_end(Conductor *con, const DvCtx *ctx, Ovo *log, GError **err);

/* ---- compute_task: the boot goes back to the scheduler ---- */
/* args (borrowed): those of build_and_run_instance as received, the instance saved as scheduling
 * and filter_properties.retry telling why. */
bool conductor_build_instances(Conductor *con, const DvCtx *ctx, const Ovo *args, GError **err);
/* The same for a resize: args (borrowed) are those of prep_resize, with filter_properties.retry
 * telling why. Waits until conductor has found another host, or none. */
bool conductor_migrate_server(Conductor *con, const DvCtx *ctx, const Ovo *args, GError **err);
