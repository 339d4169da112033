/* build_and_run_instance: from a request of the scheduler to a running guest.
 *
 * The steps are in boot_steps, in the order they happen; a failure walks them back, and
 * outcome_rows says what follows: another host tries (reschedule), the instance goes to ERROR with
 * a fault (abort), or somebody deletes it and nothing is to be said. Task states are saved as nova
 * does, so that the API shows the same progress; what nova saves separately without anybody seeing
 * the difference goes along with one of them. Sources: nova compute/manager.py
 * _do_build_and_run_instance, _build_and_run_instance, _build_resources (Zed); docs/wire/flows.md.
 */
#include "agent/faults.h"
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/spawn.h"
#include "agent/ops/unplug.h"

#include "util/log.h"
#include "util/metrics.h"

typedef enum { PHASE_CLAIM, PHASE_NETWORK, PHASE_DEVICES, PHASE_SPAWN } BootPhase;

typedef struct Boot {
    Agent *agent;
    const DvCtx *ctx;
    DvCtx *admin; /* elevated, for what a user may not do */
    const Ovo *args;
    Ovo *instance, *bdms, *image;
    const char *uuid;
    char *node;
    NetworkInfo *network;
    Spawn spawn;
    BootPhase phase;
    char *cleanup_failure; /* why an undo could not finish, NULL when all could */
} Boot;

static void boot_done(Boot *boot)
{
    spawn_done(&boot->spawn);
    network_info_free(boot->network);
    g_free(boot->node);
    g_free(boot->cleanup_failure);
    ovo_unref(boot->bdms);
    ovo_unref(boot->image);
    dv_ctx_unref(boot->admin);
}

static void note_cleanup_failure(Boot *boot, const char *what, const GError *err)
{
    dv_warning(boot->ctx, "cleaning up a failed build: %s: %s", what, err->message);
    if (!boot->cleanup_failure)
        boot->cleanup_failure = g_strdup_printf("%s: %s", what, err->message);
}

static bool save_task(Boot *boot, const char *task, const char *expected, GError **err)
{
    const char *const list[] = {expected, NULL};

    ovo_set_str(boot->instance, "vm_state", "building");
    ovo_set_str(boot->instance, "task_state", task);
    return conductor_instance_save(boot->agent->con, boot->ctx, boot->instance, list, err);
}

/* ---- claim ---- */

/* The first save takes the instance over, and carries the claim and the next task state with it. */
static bool boot_claim(void *self, GError **err)
{
    static const char *const expected[] = {"scheduling", "", NULL};
    static const TrackerClaim how = {.expected = expected, .root = ROOT_LOCAL};
    Boot *boot = self;

    boot->phase = PHASE_CLAIM;
    if (!spawn_check_certs(boot->instance, err))
        return false;
    ovo_set_str(boot->instance, "vm_state", "building");
    ovo_set_str(boot->instance, "task_state", "networking");
    if (boot->ctx->roles)
        ovo_dict_set(boot->instance, "system_metadata", "boot_roles", boot->ctx->roles);
    return tracker_claim_with(boot->agent->tracker, boot->admin, boot->instance, boot->node, &how,
                              err);
}

static void boot_unclaim(void *self)
{
    Boot *boot = self;

    tracker_unclaim(boot->agent->tracker, boot->admin, boot->instance);
}

static bool boot_affinity(void *self, GError **err)
{
    Boot *boot = self;
    g_autoptr(Ovo) request_spec = ovo_child(boot->args, "request_spec");

    return tracker_check_affinity(boot->agent->tracker, boot->admin, boot->instance, request_spec,
                                  err);
}

/* ---- networks ---- */

/* Names of security groups: strings, or objects with a name. NULL-terminated; strings borrowed from
 * args. */
static GPtrArray *security_groups_of(const Ovo *args)
{
    GPtrArray *names = g_ptr_array_new();
    size_t count = ovo_count(args, "security_groups");

    for (size_t i = 0; i < count; i++) {
        const char *name = ovo_str_at(args, "security_groups", i);

        if (name)
            g_ptr_array_add(names, (void *)name);
    }
    g_ptr_array_add(names, NULL);
    return names;
}

/* The requests of a NetworkRequestList; *out_none when the user asked for no network at all. */
static GArray *network_requests_of(const Ovo *list, bool *out_none)
{
    GArray *requests = g_array_new(FALSE, TRUE, sizeof(NetworkRequest));
    size_t count = list ? ovo_count(list, NULL) : 0;

    *out_none = false;
    for (size_t i = 0; i < count; i++) {
        g_autoptr(Ovo) item = ovo_at(list, NULL, i);
        NetworkRequest request = {
            .network_id = ovo_str_or(item, "network_id", NULL),
            .port_id = ovo_str_or(item, "port_id", NULL),
            .address = ovo_str_or(item, "address", NULL),
            .tag = ovo_str_or(item, "tag", NULL),
        };

        if (g_strcmp0(request.network_id, "none") == 0)
            *out_none = true;
        else
            g_array_append_val(requests, request);
    }
    return requests;
}

/* Gives back what take_ports took: the first `count` requests. */
static void give_ports(Boot *boot, const GArray *requests, guint count)
{
    for (guint i = 0; i < count; i++) {
        const NetworkRequest *request = &g_array_index(requests, NetworkRequest, i);

        if (request->port_id)
            pending_remove(boot->agent->ports, request->port_id);
    }
}

/* A port is free until somebody has written a device into it: two boots that ask at once would
 * both find it free, and the one that fails then would unbind it under the other. */
static bool take_ports(Boot *boot, const GArray *requests, GError **err)
{
    for (guint i = 0; i < requests->len; i++) {
        const NetworkRequest *request = &g_array_index(requests, NetworkRequest, i);

        if (request->port_id && !pending_add(boot->agent->ports, request->port_id)) {
            give_ports(boot, requests, i);
            return dv_fail(err, DV_E_PORT_IN_USE, "Port %s is still in use.", request->port_id);
        }
    }
    return true;
}

static bool allocate_networks(Boot *boot, GError **err)
{
    bool ok;
    g_autoptr(Ovo) list = ovo_child(boot->args, "requested_networks");
    g_autoptr(GPtrArray) groups = security_groups_of(boot->args);
    bool none = false;
    g_autoptr(GArray) requests = network_requests_of(list, &none);
    NetworkInstance who = network_instance_of(boot->agent, boot->instance);

    who.security_groups = (const char *const *)groups->pdata;
    if (none) {
        boot->network = network_info_new();
        return true;
    }
    if (!take_ports(boot, requests, err))
        return false;
    ok = neutron_allocate(boot->agent->neutron, boot->ctx, &who,
                          (const NetworkRequest *)(const void *)requests->data, requests->len,
                          &boot->network, err);
    give_ports(boot, requests, requests->len);
    return ok;
}

static void boot_release_networks(void *self);

/* Whether this port is what the request asked for. */
static bool answers(const NetworkRequest *request, const Vif *vif)
{
    if (request->port_id)
        return strcmp(request->port_id, vif->id) == 0;
    return !request->network_id || strcmp(request->network_id, "auto") == 0 ||
           g_strcmp0(request->network_id, vif->network_id) == 0;
}

/* One record for each port, with the tag of the request it answers. */
static bool record_ports(Boot *boot, GError **err)
{
    g_autoptr(Ovo) list = ovo_child(boot->args, "requested_networks");
    bool none = false;
    g_autoptr(GArray) requests = network_requests_of(list, &none);

    for (size_t i = 0; i < network_info_count(boot->network); i++) {
        const Vif *vif = network_info_at(boot->network, i);
        g_autofree char *tag = NULL;

        for (guint n = 0; n < requests->len; n++) {
            const NetworkRequest *request = &g_array_index(requests, NetworkRequest, n);

            if (!answers(request, vif))
                continue;
            tag = g_strdup(request->tag);
            g_array_remove_index(requests, n);
            break;
        }
        if (!conductor_vif_create(boot->agent->con, boot->ctx, boot->uuid, vif->id, vif->address,
                                  tag, err))
            return false;
    }
    return true;
}

static bool record_networks(Boot *boot, bool again, GError **err)
{
    g_autofree char *text = network_info_text(boot->network);

    if (!again && !record_ports(boot, err)) /* the host that allocated them has recorded them */
        return false;
    network_cache_set(boot->instance, boot->network);
    ovo_dict_set(boot->instance, "system_metadata", "network_allocated", "True");
    return conductor_info_cache_save(boot->agent->con, boot->ctx, boot->uuid, text, err);
}

static bool boot_networks(void *self, GError **err)
{
    Boot *boot = self;
    const char *allocated = ovo_dict_str(boot->instance, "system_metadata", "network_allocated");
    bool again = g_strcmp0(allocated, "True") == 0;

    boot->phase = PHASE_NETWORK;
    /* After a reschedule the ports exist already: they only need to be bound to this host. */
    if (again ? !spawn_bind_networks(boot->agent, boot->ctx, boot->instance, &boot->network, err)
              : !allocate_networks(boot, err))
        return dv_within(err, "allocating networks");
    if (!record_networks(boot, again, err)) {
        boot_release_networks(boot);
        return false;
    }
    return true;
}

/* Ports that the user brought: they are unbound and kept. NULL-terminated, borrowed from the list.
 */
static GPtrArray *requested_ports_of(const Ovo *list)
{
    GPtrArray *ports = g_ptr_array_new();
    size_t count = list ? ovo_count(list, NULL) : 0;

    for (size_t i = 0; i < count; i++) {
        g_autoptr(Ovo) item = ovo_at(list, NULL, i);
        const char *port = ovo_str_or(item, "port_id", NULL);

        if (port)
            g_ptr_array_add(ports, (void *)port);
    }
    g_ptr_array_add(ports, NULL);
    return ports;
}

static void boot_release_networks(void *self)
{
    Boot *boot = self;
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) list = ovo_child(boot->args, "requested_networks");
    g_autoptr(GPtrArray) ports = requested_ports_of(list);
    g_autoptr(NetworkInfo) none = network_info_new();
    NetworkInstance who = network_instance_of(boot->agent, boot->instance);

    if (!neutron_deallocate(boot->agent->neutron, boot->admin, &who, boot->network,
                            (const char *const *)ports->pdata, &err)) {
        note_cleanup_failure(boot, "ports", err);
        return;
    }
    network_cache_set(boot->instance, none);
    ovo_dict_set(boot->instance, "system_metadata", "network_allocated", "False");
    if (!conductor_info_cache_save(boot->agent->con, boot->ctx, boot->uuid, "[]", &err) ||
        !conductor_vifs_delete(boot->agent->con, boot->ctx, boot->uuid, &err)) {
        if (!dv_is(err, DV_E_INSTANCE_NOT_FOUND))
            note_cleanup_failure(boot, "network records", err);
    }
}

/* ---- devices ---- */

static bool boot_devices(void *self, GError **err)
{
    Boot *boot = self;

    boot->phase = PHASE_SPAWN; /* what the guest cannot have on this host, another may offer */
    boot->spawn.network = boot->network;
    if (!spawn_spec(&boot->spawn, err))
        return false;
    boot->phase = PHASE_DEVICES;
    return spawn_name_devices(&boot->spawn, err) &&
           save_task(boot, "block_device_mapping", "networking", err);
}

static bool boot_spawning(void *self, GError **err)
{
    Boot *boot = self;

    boot->phase = PHASE_DEVICES;
    return save_task(boot, "spawning", "block_device_mapping", err);
}

/* ---- disks and guest ---- */

static bool boot_disks(void *self, GError **err)
{
    Boot *boot = self;

    boot->phase = PHASE_SPAWN;
    return spawn_disks(&boot->spawn, err);
}

static void boot_remove_disks(void *self)
{
    Boot *boot = self;
    g_autoptr(GError) err = NULL;

    if (!disks_remove(boot->agent->disks, boot->ctx, boot->uuid, &err))
        note_cleanup_failure(boot, "disks", err);
    spawn_tpm_undo(&boot->spawn);
}

static bool boot_guest(void *self, GError **err)
{
    return spawn_guest(&((Boot *)self)->spawn, err);
}

static void boot_destroy_guest(void *self)
{
    Boot *boot = self;
    const VirtDriver *virt = boot->agent->virt;
    g_autoptr(GError) err = NULL;

    if (!virt->ops->destroy(virt->self, boot->ctx, boot->uuid, &err)) {
        note_cleanup_failure(boot, "guest", err);
        return;
    }
    op_unplug(boot->agent, boot->ctx, boot->instance, boot->network);
}

static bool boot_plugged(void *self, GError **err)
{
    return spawn_plugged(&((Boot *)self)->spawn, err);
}

static bool boot_resume(void *self, GError **err)
{
    return spawn_resume(&((Boot *)self)->spawn, err);
}

/* ---- active ---- */

static bool boot_active(void *self, GError **err)
{
    Boot *boot = self;
    static const char *const expected[] = {"spawning", NULL};
    g_autofree char *now = dv_time_object(dv_clock_wall_ms(dv_clock_real()));

    ovo_dict_set(boot->instance, "system_metadata", "network_allocated", NULL);
    spawn_record(&boot->spawn);
    ovo_set_str(boot->instance, "vm_state", "active");
    ovo_set_null(boot->instance, "task_state");
    ovo_set_str(boot->instance, "launched_at", now);
    return conductor_instance_save(boot->agent->con, boot->ctx, boot->instance, expected, err);
}

static const OpStep boot_steps[] = {
    {"claim", boot_claim, boot_unclaim},
    {"affinity", boot_affinity, NULL},
    {"networks", boot_networks, boot_release_networks},
    {"devices", boot_devices, NULL},
    {"spawning", boot_spawning, NULL},
    {"disks", boot_disks, boot_remove_disks},
    {"guest", boot_guest, boot_destroy_guest},
    {"plugged", boot_plugged, NULL},
    {"resume", boot_resume, NULL},
    {"active", boot_active, NULL},
};

/* ---- what a failure leads to ---- */

typedef enum {
    OUTCOME_RESCHEDULE,
    OUTCOME_RESCHEDULE_POLICY, /* the same, and not counted as a failed build */
    OUTCOME_ABORT,
    OUTCOME_GONE,
} BootOutcome;

#define ANY_PHASE (-1)
#define ANY_CODE 0
#define NETWORK_TEXT "Failed to allocate the network(s), not rescheduling."

/* The first row that fits counts. */
static const struct {
    int phase;
    int code;
    BootOutcome outcome;
    const char *reason; /* NULL: the error's own text */
} outcome_rows[] = {
    {ANY_PHASE, DV_E_INSTANCE_NOT_FOUND, OUTCOME_GONE, NULL},
    {ANY_PHASE, DV_E_DELETING, OUTCOME_GONE, NULL},
    {ANY_PHASE, DV_E_CANCELLED, OUTCOME_GONE, NULL},
    {PHASE_CLAIM, DV_E_UNEXPECTED_TASK_STATE, OUTCOME_GONE, NULL}, /* it was never ours */
    {ANY_PHASE, DV_E_UNEXPECTED_TASK_STATE, OUTCOME_ABORT, NULL},
    {ANY_PHASE, DV_E_AFFINITY, OUTCOME_RESCHEDULE_POLICY, NULL},
    {ANY_PHASE, DV_E_NO_CAPACITY, OUTCOME_RESCHEDULE, NULL},
    {PHASE_CLAIM, DV_E_TRUSTED_CERTS, OUTCOME_ABORT, NULL},
    {PHASE_NETWORK, DV_E_NO_FIXED_IPS, OUTCOME_ABORT, NULL},
    /* No other host could take it either, and conductor, given the build back, would unbind the
     * port under whoever has it. nova-compute reschedules here. */
    {PHASE_NETWORK, DV_E_PORT_IN_USE, OUTCOME_ABORT, NULL},
    {PHASE_NETWORK, DV_E_NETWORK_EXTERNAL, OUTCOME_ABORT, NETWORK_TEXT},
    {PHASE_DEVICES, ANY_CODE, OUTCOME_ABORT, "Failure prepping block device."},
    {ANY_PHASE, DV_E_VIF_PLUG, OUTCOME_ABORT, NETWORK_TEXT},
    {PHASE_SPAWN, DV_E_IMAGE_TOO_LARGE, OUTCOME_ABORT, NULL},
    {PHASE_SPAWN, DV_E_FLAVOR_DISK_TOO_SMALL, OUTCOME_ABORT, NULL},
    {PHASE_SPAWN, DV_E_FLAVOR_MEMORY_TOO_SMALL, OUTCOME_ABORT, NULL},
    {PHASE_SPAWN, DV_E_VIDEO_RAM, OUTCOME_ABORT, NULL},
    {PHASE_SPAWN, DV_E_IMAGE_NOT_ACTIVE, OUTCOME_ABORT, NULL},
    {PHASE_SPAWN, DV_E_IMAGE_UNACCEPTABLE, OUTCOME_ABORT, NULL},
    {PHASE_SPAWN, DV_E_INVALID_DISK, OUTCOME_ABORT, NULL},
    {PHASE_SPAWN, DV_E_DISK_COUNT, OUTCOME_ABORT, NULL},
    {PHASE_SPAWN, DV_E_DISK_BUS, OUTCOME_ABORT, "Failure prepping block device."},
    {PHASE_SPAWN, DV_E_BAD_INPUT, OUTCOME_ABORT, NULL},
    {ANY_PHASE, ANY_CODE, OUTCOME_RESCHEDULE, NULL},
};

static BootOutcome outcome_of(const Boot *boot, const GError *cause, char **out_reason)
{
    size_t i = 0;

    for (; i < G_N_ELEMENTS(outcome_rows) - 1; i++) {
        bool phase = outcome_rows[i].phase == ANY_PHASE ||
                     outcome_rows[i].phase == (int)boot->phase;

        if (phase &&
            (outcome_rows[i].code == ANY_CODE || outcome_rows[i].code == (int)dv_code(cause)))
            break;
    }
    *out_reason = outcome_rows[i].reason ? g_strdup(outcome_rows[i].reason) : fault_message(cause);
    if (outcome_rows[i].outcome == OUTCOME_GONE && agent_stopping(boot->agent))
        return OUTCOME_ABORT;
    if (outcome_rows[i].outcome != OUTCOME_GONE && boot->cleanup_failure)
        return OUTCOME_ABORT;
    return outcome_rows[i].outcome;
}

static void clear_host(Boot *boot)
{
    ovo_set_null(boot->instance, "host");
    ovo_set_null(boot->instance, "node");
    ovo_set_null(boot->instance, "launched_on");
    ovo_set_null(boot->instance, "availability_zone");
}

static void delete_allocation(Boot *boot)
{
    g_autoptr(GError) err = NULL;

    if (!placement_allocations_delete(boot->agent->placement, boot->ctx, boot->uuid, NULL, &err))
        dv_warning(boot->ctx, "allocation not deleted: %s", err->message);
}

static void boot_abort(Boot *boot, const GError *cause, const char *reason, bool wrap)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *message = wrap ? fault_build_aborted(boot->uuid, reason) : g_strdup(reason);

    dispatch_record_fault(boot->agent, boot->ctx, boot->uuid, cause, message);
    clear_host(boot);
    ovo_set_str(boot->instance, "vm_state", "error");
    ovo_set_null(boot->instance, "task_state");
    if (!conductor_instance_save(boot->agent->con, boot->ctx, boot->instance, NULL, &err) &&
        !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_error(boot->ctx, "instance not set to error: %s", err->message);
    delete_allocation(boot);
}

/* True when conductor has taken the instance back. */
static bool boot_reschedule(Boot *boot, const char *reason, GError **err)
{
    g_autoptr(Ovo) properties = ovo_child(boot->args, "filter_properties");
    g_autoptr(Ovo) retry = properties ? ovo_child(properties, "retry") : NULL;
    const char *const exc[] = {reason, NULL};

    if (!retry)
        return dv_fail(err, DV_E_NOT_FOUND, "no retry information");
    ovo_set_strv(retry, "exc", exc);
    ovo_set_str(retry, "exc_reason", reason);
    clear_host(boot);
    ovo_set_str(boot->instance, "task_state", "scheduling");
    if (!conductor_instance_save(boot->agent->con, boot->ctx, boot->instance, NULL, err))
        return false;
    delete_allocation(boot);
    return conductor_build_instances(boot->agent->con, boot->ctx, boot->args, err);
}

static void count_build(const char *outcome)
{
    g_autofree char *name = g_strdup_printf("drover_builds_total{outcome=\"%s\"}", outcome);

    dv_metric_add(dv_metric(name, "Builds by what became of them."), 1);
}

/* nova saves "building" without a task before it tells of the start; our first save is the claim's,
 * but what is told is the same. */
static void notify_start(Boot *boot)
{
    const NotifyExtra extra = {
        .bdms = boot->bdms,
        .image_name = boot->image ? ovo_str_or(boot->image, "name", NULL) : NULL,
    };

    if (!notify_enabled(boot->agent))
        return;
    ovo_set_str(boot->instance, "vm_state", "building");
    ovo_set_null(boot->instance, "task_state");
    notify_instance_with(boot->agent, boot->ctx, boot->instance, NOTIFY_CREATE, NOTIFY_START,
                         &extra, NULL);
}

static void notify_error(const Boot *boot, const GError *cause)
{
    const NotifyExtra extra = {.bdms = boot->bdms};

    notify_instance_with(boot->agent, boot->ctx, boot->instance, NOTIFY_CREATE, NOTIFY_ERROR,
                         &extra, cause);
}

static void notify_end(const Boot *boot)
{
    const NotifyExtra extra = {
        .bdms = boot->bdms,
        .network = boot->spawn.network,
        .message = "Success",
    };

    notify_instance_with(boot->agent, boot->ctx, boot->instance, NOTIFY_CREATE, NOTIFY_END, &extra,
                         NULL);
}

static void boot_failed(Boot *boot, const GError *cause)
{
    g_autofree char *reason = NULL;
    BootOutcome outcome = outcome_of(boot, cause, &reason);
    g_autoptr(GError) err = NULL;

    notify_error(boot, cause);
    if (outcome == OUTCOME_GONE) {
        dv_info(boot->ctx, "instance disappeared during build: %s", cause->message);
        delete_allocation(boot);
        tracker_build_failed(boot->agent->tracker);
        count_build("gone");
        return;
    }
    dv_warning(boot->ctx, "build failed: %s", cause->message);
    if (outcome == OUTCOME_ABORT) {
        boot_abort(boot, cause, reason, true);
        count_build("error");
    } else if (boot_reschedule(boot, reason, &err)) {
        dv_info(boot->ctx, "build given back to the scheduler");
        count_build("rescheduled");
    } else {
        dv_info(boot->ctx, "not rescheduled: %s", err->message);
        boot_abort(boot, cause, reason, false);
        count_build("error");
    }
    if (outcome != OUTCOME_RESCHEDULE_POLICY)
        tracker_build_failed(boot->agent->tracker);
}

/* ---- the operation ---- */

#define BOOT_EVENT "compute__do_build_and_run_instance"

/* Runs the steps inside the action event. */
static bool build(Boot *boot)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GError) cause = NULL;
    bool ok;

    if (!conductor_event_start(boot->agent->con, boot->ctx, boot->uuid, BOOT_EVENT,
                               boot->agent->config.host, &err)) {
        dv_warning(boot->ctx, "not building: %s", err->message);
        delete_allocation(boot);
        return false;
    }
    notify_start(boot);
    ok = op_run("boot", boot_steps, G_N_ELEMENTS(boot_steps), boot, boot->ctx, &cause);
    if (!ok)
        boot_failed(boot, cause);
    /* nova's function ends without an exception here in every case, so the event is a success */
    if (!conductor_event_finish(boot->agent->con, boot->ctx, boot->uuid, BOOT_EVENT, NULL, NULL,
                                &err) &&
        !dv_is(err, DV_E_INSTANCE_NOT_FOUND) && !dv_is(err, DV_E_ACTION_NOT_FOUND))
        dv_warning(boot->ctx, "action event not finished: %s", err->message);
    return ok;
}

bool op_boot(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    int64_t start_ms = dv_now_ms();
    const char *node;
    Boot boot = {
        .agent = call->agent,
        .ctx = call->ctx,
        .args = call->args,
        .instance = call->instance,
        .uuid = call->uuid,
    };

    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "build_and_run_instance without an instance");
    boot.admin = dv_ctx_elevated(call->ctx);
    boot.bdms = ovo_child(call->args, "block_device_mapping");
    boot.image = ovo_child(call->args, "image");
    boot.spawn = (Spawn){
        .agent = call->agent,
        .ctx = call->ctx,
        .instance = call->instance,
        .image = boot.image,
        .bdms = boot.bdms,
        .args = call->args,
    };
    node = ovo_str_or(call->args, "node", NULL);
    boot.node = node ? g_strdup(node) : tracker_node(call->agent->tracker);
    if (build(&boot)) {
        dv_info(call->ctx, "built and running after %d ms", (int)(dv_now_ms() - start_ms));
        tracker_build_succeeded(call->agent->tracker);
        count_build("active");
        outcome_announce(call->agent, boot.admin, call->instance);
        notify_end(&boot);
    }
    boot_done(&boot);
    return true;
}
