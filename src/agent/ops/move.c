/* Shared by both sides of a resize; see move.h. */
#include "agent/ops/move.h"

#include "agent/guest_spec.h"
#include "agent/guest_tpm.h"
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/ops/outcome.h"
#include "agent/ops/unplug.h"
#include "util/log.h"

#include <string.h>

bool move_init(Move *move, const OpCall *call, GError **err)
{
    static const char *const attrs[] = {"flavor",          "old_flavor", "new_flavor",
                                        "system_metadata", "info_cache", NULL};

    *move = (Move){
        .agent = call->agent,
        .ctx = call->ctx,
        .args = call->args,
        .instance = call->instance,
        .uuid = call->uuid,
    };
    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "%s without an instance", call->method->name);
    move->migration = ovo_child(call->args, "migration");
    if (!move->migration)
        return dv_fail(err, DV_E_BAD_INPUT, "%s without a migration", call->method->name);
    move->admin = dv_ctx_elevated(call->ctx);
    move->old_state = g_strdup(ovo_str_or(call->instance, "vm_state", ""));
    return instance_load(move->agent, move->ctx, move->instance, attrs, err);
}

void move_done(Move *move)
{
    g_clear_pointer(&move->migration, ovo_unref);
    g_clear_pointer(&move->admin, dv_ctx_unref);
    g_clear_pointer(&move->old_state, g_free);
}

/* ---- the migration ---- */

bool move_same_host(const Move *move)
{
    const char *source = ovo_str_or(move->migration, "source_compute", "");

    return strcmp(source, ovo_str_or(move->migration, "dest_compute", "")) == 0;
}

const char *move_address(const Move *move)
{
    const char *address = ovo_str_or(move->migration, "dest_host", NULL);

    return address && *address ? address : ovo_str_or(move->migration, "dest_compute", "");
}

bool move_reread(const Move *move, Ovo **out, GError **err)
{
    static const char *const attrs[] = {"metadata", "system_metadata", "flavor", "info_cache",
                                        NULL};

    return conductor_instance_get(move->agent->con, move->ctx, move->uuid, attrs, out, err);
}

bool move_status(Move *move, const char *status, GError **err)
{
    ovo_set_str(move->migration, "status", status);
    return conductor_save(move->agent->con, move->admin, move->migration, err);
}

void move_failed(Move *move)
{
    g_autoptr(GError) err = NULL;

    if (move->migration && move->admin && !move_status(move, "error", &err))
        dv_warning(move->ctx, "migration not set to error: %s", err->message);
}

void move_broken(Move *move, const OpCall *call, const GError *cause)
{
    dv_error(call->ctx, "%s: %s", call->method->name, cause->message);
    move_failed(move);
    if (call->instance && !outcome_gone(cause))
        outcome_error(call->agent, call->ctx, call->instance);
}

/* ---- flavors ---- */

void move_set_flavor(Ovo *instance, const Ovo *flavor)
{
    static const char *const same[] = {"memory_mb", "vcpus", "root_gb", "ephemeral_gb"};

    for (size_t i = 0; i < G_N_ELEMENTS(same); i++)
        ovo_set_from(instance, same[i], flavor, same[i]);
    ovo_set_from(instance, "instance_type_id", flavor, "id");
    ovo_set_child(instance, "flavor", flavor);
}

/* What neutron guarantees such a port comes from providers of the host that it is on, which would
 * have to be found anew. */
static bool check_ports(const NetworkInfo *network, GError **err)
{
    for (size_t i = 0; i < network_info_count(network); i++) {
        g_autoptr(Ovo) vif = ovo_view_dict((json_t *)network_info_json_at(network, i), err);
        g_autoptr(Ovo) profile = vif ? ovo_child(vif, "profile") : NULL;

        if (!vif)
            return false;
        if (profile && ovo_has_value(profile, "allocation"))
            return dv_fail(err, DV_E_UNSUPPORTED,
                           "port %s has a resource request, which this host cannot promise",
                           network_info_at(network, i)->id);
    }
    return true;
}

/* An administrator may not be allowed to read it, and would stop a guest that nobody but its owner
 * could start again. */
static bool check_secret(const Move *move, GError **err)
{
    return strcmp(move->old_state, "stopped") == 0 ||
           guest_tpm_check_secret(move->agent, move->ctx, move->instance, err);
}

bool move_check_guest(const Move *move, const Ovo *flavor, GError **err)
{
    g_autoptr(Ovo) bdms = NULL;
    g_autoptr(Ovo) image = ovo_child(move->args, "image");
    g_autoptr(Ovo) later = ovo_copy(move->instance);
    g_autoptr(GuestSpec) spec = NULL;
    g_autoptr(NetworkInfo) network = network_cache_read(move->instance, err);
    GuestSource source = {later, image, NULL, network, move->ctx};

    if (!network || !check_ports(network, err) ||
        !guest_tpm_check_move(move->instance, flavor, err) || !check_secret(move, err) ||
        !conductor_bdms_get(move->agent->con, move->ctx, move->uuid, &bdms, err))
        return false;
    move_set_flavor(later, flavor);
    source.bdms = bdms;
    spec = guest_spec_build(move->agent, &source, err);
    return spec != NULL;
}

const char *move_old_state(const Move *move)
{
    const char *state = ovo_dict_str(move->instance, "system_metadata", "old_vm_state");

    return state ? state : "active";
}

bool move_forget_flavors(Move *move, GError **err)
{
    ovo_set_null(move->instance, "old_flavor");
    ovo_set_null(move->instance, "new_flavor");
    ovo_dict_set(move->instance, "system_metadata", "old_vm_state", NULL);
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, NULL, err);
}

static Ovo *find_swap(const Ovo *bdms)
{
    for (size_t i = 0; i < ovo_count(bdms, NULL); i++) {
        g_autoptr(Ovo) bdm = ovo_at(bdms, NULL, i);

        if (bdm && g_strcmp0(ovo_str_or(bdm, "source_type", NULL), "blank") == 0 &&
            g_strcmp0(ovo_str_or(bdm, "guest_format", NULL), "swap") == 0)
            return g_steal_pointer(&bdm);
    }
    return NULL;
}

static bool create_swap(Move *move, int64_t swap_mib, GError **err)
{
    const char *version = ovo_version_of(conductor_release(move->agent->con), "BlockDeviceMapping");
    g_autoptr(Ovo) bdm = ovo_new("BlockDeviceMapping", version);

    ovo_set_str(bdm, "instance_uuid", move->uuid);
    ovo_set_str(bdm, "source_type", "blank");
    ovo_set_str(bdm, "destination_type", "local");
    ovo_set_str(bdm, "device_type", "disk");
    ovo_set_str(bdm, "guest_format", "swap");
    ovo_set_i64(bdm, "volume_size", swap_mib);
    ovo_set_i64(bdm, "boot_index", -1);
    ovo_set_bool(bdm, "delete_on_termination", true);
    return conductor_create(move->agent->con, move->ctx, bdm, err);
}

/* nova does so only since 2024.1; before, the guest kept the old size or lost the disk. */
bool move_set_swap(Move *move, const Ovo *flavor, GError **err)
{
    Conductor *con = move->agent->con;
    int64_t want = ovo_i64_or(flavor, "swap", 0);
    g_autoptr(Ovo) bdms = NULL;
    g_autoptr(Ovo) swap = NULL;

    if (!conductor_bdms_get(con, move->ctx, move->uuid, &bdms, err))
        return false;
    swap = find_swap(bdms);
    if (!swap)
        return want == 0 || create_swap(move, want, err);
    if (want == 0)
        return conductor_destroy(con, move->ctx, swap, err);
    if (ovo_i64_or(swap, "volume_size", 0) == want)
        return true;
    ovo_set_i64(swap, "volume_size", want);
    return conductor_save(con, move->ctx, swap, err);
}

bool move_return(Move *move, GError **err)
{
    static const char *const expected[] = {"resize_reverting", NULL};
    g_autoptr(Ovo) old = ovo_child(move->instance, "old_flavor");

    if (!old)
        return dv_fail(err, DV_E_BAD_INPUT, "Instance.old_flavor: want a flavor");
    move_set_flavor(move->instance, old);
    ovo_set_from(move->instance, "host", move->migration, "source_compute");
    ovo_set_from(move->instance, "node", move->migration, "source_node");
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err) &&
           move_set_swap(move, old, err);
}

/* ---- the guest at the destination ---- */

bool move_spec(const Move *move, Spawn *spawn, Ovo **out_bdms, GError **err)
{
    static const char *const attrs[] = {"keypairs", "ec2_ids", "pci_requests", "numa_topology",
                                        NULL};

    if (!instance_load(move->agent, move->ctx, move->instance, attrs, err) ||
        !conductor_bdms_get(move->agent->con, move->ctx, move->uuid, out_bdms, err))
        return false;
    spawn->agent = move->agent;
    spawn->ctx = move->ctx;
    spawn->instance = move->instance;
    spawn->bdms = *out_bdms;
    return spawn_spec(spawn, err) && spawn_name_devices(spawn, err);
}

/* ---- allocations ---- */

bool move_revert_allocation(Move *move, GError **err)
{
    const char *from = ovo_str_or(move->migration, "uuid", "");
    g_autoptr(GError) cause = NULL;
    bool moved = false;

    if (!placement_allocations_move(move->agent->placement, move->admin, from, move->uuid, &moved,
                                    &cause)) {
        if (dv_is(cause, DV_E_CONFLICT))
            return dv_fail(err, DV_E_ALLOCATION_MOVE,
                           "Failed to move allocations from consumer %s to consumer %s. Error: %s",
                           from, move->uuid, cause->message);
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    if (!moved)
        dv_error(move->ctx, "migration %s holds no allocation that could be given back", from);
    return true;
}

bool move_drop_allocation(Move *move, GError **err)
{
    return placement_allocations_delete(move->agent->placement, move->admin,
                                        ovo_str_or(move->migration, "uuid", ""), NULL, err);
}

/* ---- ports ---- */

bool move_activate_ports(const Move *move, const char *host, GError **err)
{
    g_autoptr(NetworkInfo) network = network_cache_read(move->instance, err);
    bool several = false;

    return network && neutron_has_bindings(move->agent->neutron, move->admin, &several, err) &&
           (!several ||
            neutron_activate_bindings(move->agent->neutron, move->admin, network, host, err));
}

/* ---- messages ---- */

void move_notify_prep(Move *move, const Ovo *flavor, NotifyPhase phase)
{
    const NotifyExtra extra = {.new_flavor = flavor};

    notify_instance_with(move->agent, move->ctx, move->instance, NOTIFY_RESIZE_PREP, phase, &extra,
                         NULL);
}

void move_notify(Move *move, NotifyAction action, NotifyPhase phase)
{
    g_autoptr(NetworkInfo) network = network_cache_read(move->instance, NULL);
    const NotifyExtra extra = {.network = network};

    notify_instance_with(move->agent, move->ctx, move->instance, action, phase, &extra, NULL);
}

void move_unplug(const Move *move)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(NetworkInfo) network = network_cache_read(move->instance, &err);

    if (network)
        op_unplug(move->agent, move->ctx, move->instance, network);
    else
        dv_warning(move->ctx, "its ports stay plugged: %s", err->message);
}

bool move_cast(Move *move, const char *host, const char *method, Ovo *more, GError **err)
{
    g_autoptr(Ovo) args = more ? more : ovo_new_dict();

    ovo_set_child(args, "instance", move->instance);
    ovo_set_child(args, "migration", move->migration);
    if (strcmp(method, "confirm_resize") != 0)
        ovo_set_from(args, "request_spec", move->args, "request_spec");
    return peer_cast(move->agent->peers, move->ctx, host, method, PEER_VERSION, args, err);
}
