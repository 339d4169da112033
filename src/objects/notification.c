/* Versioned payloads; see notification.h. The unversioned ones are in notification_unversioned.c.
 *
 * A payload is the fields of InstancePayload, each from a field of the instance, and what its class
 * adds. Payloads are no objects of the control plane's release: their versions are those of Zed,
 * the first release that drover serves, whose consumers are in the field. */
#include "objects/notification.h"

#include "util/clock.h"

#include <jansson.h>
#include <string.h>

/* ---- objects ---- */

static json_t *payload_new(const char *name, const char *version, json_t *data)
{
    return json_pack("{s:s, s:s, s:s, s:o}", "nova_object.name", name, "nova_object.namespace",
                     "nova", "nova_object.version", version, "nova_object.data", data);
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

/* ISO time of wall milliseconds, as in objects. */
static json_t *time_of(int64_t wall_ms)
{
    g_autofree char *text = dv_time_object(wall_ms);

    return json_string(text);
}

/* The data of an object's JSON. */
static json_t *data_of(const Ovo *ovo)
{
    json_t *json = ovo_json(ovo);
    json_t *data = json_object_get(json, "nova_object.data");

    json_incref(data);
    json_decref(json);
    return data;
}

typedef struct Copy {
    const char *to, *from;
} Copy;

/* Fields that are unset in the source are null. */
static void copy_fields(json_t *out, const Ovo *source, const Copy *fields, size_t count)
{
    json_t *data = data_of(source);

    for (size_t i = 0; i < count; i++) {
        json_t *value = json_object_get(data, fields[i].from);

        json_object_set_new(out, fields[i].to, value ? json_deep_copy(value) : json_null());
    }
    json_decref(data);
}

/* ---- parts ---- */

static json_t *flavor_payload(const Ovo *flavor)
{
    static const Copy fields[] = {
        {"flavorid", "flavorid"}, {"memory_mb", "memory_mb"},       {"vcpus", "vcpus"},
        {"root_gb", "root_gb"},   {"ephemeral_gb", "ephemeral_gb"}, {"name", "name"},
        {"swap", "swap"},         {"rxtx_factor", "rxtx_factor"},   {"vcpu_weight", "vcpu_weight"},
        {"disabled", "disabled"}, {"is_public", "is_public"},       {"extra_specs", "extra_specs"},
        {"projects", "projects"}, {"description", "description"},
    };
    json_t *data = json_object();

    if (!flavor) {
        json_decref(data);
        return json_null();
    }
    copy_fields(data, flavor, fields, G_N_ELEMENTS(fields));
    return payload_new("FlavorPayload", "1.4", data);
}

static json_t *ip_payload(json_t *vif, json_t *ip)
{
    json_t *network = json_object_get(vif, "network");
    const struct {
        const char *to;
        json_t *value;
    } fields[] = {
        {"label", json_object_get(network, "label")},
        {"mac", json_object_get(vif, "address")},
        {"meta", json_object_get(vif, "meta")},
        {"port_uuid", json_object_get(vif, "id")},
        {"version", json_object_get(ip, "version")},
        {"address", json_object_get(ip, "address")},
        {"device_name", json_object_get(vif, "devname")},
    };
    json_t *data = json_object();

    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
        json_object_set_new(data, fields[i].to,
                            fields[i].value ? json_deep_copy(fields[i].value) : json_null());
    return payload_new("IpPayload", "1.0", data);
}

/* From the network info cache: all fixed addresses. */
static json_t *ip_payloads(const Ovo *instance)
{
    g_autoptr(Ovo) cache = ovo_child(instance, "info_cache");
    const char *text = cache ? ovo_str_or(cache, "network_info", NULL) : NULL;
    g_autoptr(NetworkInfo) info = text ? network_info_parse(text, NULL) : NULL;
    json_t *list = json_array();

    for (size_t i = 0; info && i < network_info_count(info); i++) {
        json_t *vif = network_info_json_at(info, i);
        json_t *network = json_object_get(vif, "network");
        json_t *subnet, *ip;
        size_t j, k;

        json_array_foreach(json_object_get(network, "subnets"), j, subnet)
        {
            json_array_foreach(json_object_get(subnet, "ips"), k, ip)
            {
                json_array_append_new(list, ip_payload(vif, ip));
            }
        }
    }
    return list;
}

static json_t *bdm_payloads(const Ovo *bdms)
{
    static const Copy fields[] = {
        {"device_name", "device_name"},
        {"boot_index", "boot_index"},
        {"delete_on_termination", "delete_on_termination"},
        {"volume_id", "volume_id"},
        {"tag", "tag"},
    };
    json_t *list;

    if (!bdms)
        return json_null();
    list = json_array();
    for (size_t i = 0; i < ovo_count(bdms, NULL); i++) {
        g_autoptr(Ovo) bdm = ovo_at(bdms, NULL, i);
        json_t *data;

        if (!bdm || !ovo_has_value(bdm, "volume_id"))
            continue;
        data = json_object();
        copy_fields(data, bdm, fields, G_N_ELEMENTS(fields));
        json_array_append_new(list, payload_new("BlockDevicePayload", "1.0", data));
    }
    return list;
}

static json_t *keypair_payloads(const Ovo *instance)
{
    static const Copy fields[] = {
        {"user_id", "user_id"},         {"name", "name"}, {"public_key", "public_key"},
        {"fingerprint", "fingerprint"}, {"type", "type"},
    };
    g_autoptr(Ovo) keypairs = ovo_child(instance, "keypairs");
    json_t *list = json_array();

    for (size_t i = 0; keypairs && i < ovo_count(keypairs, NULL); i++) {
        g_autoptr(Ovo) keypair = ovo_at(keypairs, NULL, i);
        json_t *data = json_object();

        copy_fields(data, keypair, fields, G_N_ELEMENTS(fields));
        json_array_append_new(list, payload_new("KeypairPayload", "1.0", data));
    }
    return list;
}

static json_t *tag_names(const Ovo *instance)
{
    g_autoptr(Ovo) tags = ovo_child(instance, "tags");
    json_t *list = json_array();

    for (size_t i = 0; tags && i < ovo_count(tags, NULL); i++) {
        g_autoptr(Ovo) tag = ovo_at(tags, NULL, i);

        json_array_append_new(list, json_string(ovo_str_or(tag, "tag", "")));
    }
    return list;
}

static json_t *trusted_certs(const Ovo *instance)
{
    g_autoptr(Ovo) certs = ovo_child(instance, "trusted_certs");
    json_t *list;

    if (!certs)
        return json_null();
    list = json_array();
    for (size_t i = 0; i < ovo_count(certs, "ids"); i++)
        json_array_append_new(list, json_string(ovo_str_at(certs, "ids", i)));
    return list;
}

json_t *notification_exception(const NotificationFault *fault)
{
    g_autofree char *trace = g_strdup_printf("%s.%s: %s", fault->module, fault->class_name,
                                             fault->message);

    return payload_new("ExceptionPayload", "1.1",
                       json_pack("{s:s, s:s, s:s, s:s, s:s}", "module_name", fault->module,
                                 "function_name", fault->function, "exception", fault->class_name,
                                 "exception_message", fault->message, "traceback", trace));
}

static json_t *period_payload(const Notification *n)
{
    return payload_new("AuditPeriodPayload", "1.0",
                       json_pack("{s:o, s:o}", "audit_period_beginning", time_of(n->audit_begin_ms),
                                 "audit_period_ending", time_of(n->audit_end_ms)));
}

/* ---- InstancePayload, which all of them are ---- */

static const Copy instance_fields[] = {
    /* clang-format off */
    {"uuid",                "uuid"},
    {"user_id",             "user_id"},
    {"tenant_id",           "project_id"},
    {"reservation_id",      "reservation_id"},
    {"display_name",        "display_name"},
    {"display_description", "display_description"},
    {"host_name",           "hostname"},
    {"host",                "host"},
    {"node",                "node"},
    {"os_type",             "os_type"},
    {"architecture",        "architecture"},
    {"availability_zone",   "availability_zone"},
    {"image_uuid",          "image_ref"},
    {"key_name",            "key_name"},
    {"kernel_id",           "kernel_id"},
    {"ramdisk_id",          "ramdisk_id"},
    {"created_at",          "created_at"},
    {"launched_at",         "launched_at"},
    {"terminated_at",       "terminated_at"},
    {"deleted_at",          "deleted_at"},
    {"updated_at",          "updated_at"},
    {"state",               "vm_state"},
    {"task_state",          "task_state"},
    {"progress",            "progress"},
    {"metadata",            "metadata"},
    {"locked",              "locked"},
    /* clang-format on */
};

static json_t *power_state_of(const Ovo *instance)
{
    static const char *const names[] = {
        [0] = "pending",  [1] = "running", [3] = "paused",
        [4] = "shutdown", [6] = "crashed", [7] = "suspended",
    };
    int64_t state = ovo_i64_or(instance, "power_state", -1);

    return text_or_null(state >= 0 && state < (int64_t)G_N_ELEMENTS(names) ? names[state] : NULL);
}

static json_t *instance_data(const Notification *n)
{
    const Ovo *instance = n->instance;
    const DvCtx *ctx = n->ctx;
    g_autoptr(Ovo) flavor = ovo_child(instance, "flavor");
    bool somebody = ctx->project_id && ctx->user_id; /* not a periodic job */
    bool automatic = ovo_bool_or(instance, "auto_disk_config", false);
    json_t *data = json_object();

    copy_fields(data, instance, instance_fields, G_N_ELEMENTS(instance_fields));
    json_object_set_new(data, "power_state", power_state_of(instance));
    json_object_set_new(data, "auto_disk_config", json_string(automatic ? "AUTO" : "MANUAL"));
    json_object_set_new(data, "flavor", flavor_payload(flavor));
    json_object_set_new(data, "ip_addresses", ip_payloads(instance));
    json_object_set_new(data, "block_devices", bdm_payloads(n->bdms));
    json_object_set_new(data, "request_id", text_or_null(somebody ? ctx->request_id : NULL));
    json_object_set_new(data, "action_initiator_user", text_or_null(ctx->user_id));
    json_object_set_new(data, "action_initiator_project", text_or_null(ctx->project_id));
    json_object_set_new(data, "locked_reason",
                        text_or_null(ovo_dict_str(instance, "system_metadata", "locked_reason")));
    return data;
}

/* ---- what the classes add ---- */

static void add_fault(json_t *data, const Notification *n)
{
    json_object_set_new(data, "fault", n->fault ? notification_exception(n->fault) : json_null());
}

static void add_create(json_t *data, const Notification *n)
{
    add_fault(data, n);
    json_object_set_new(data, "keypairs", keypair_payloads(n->instance));
    json_object_set_new(data, "tags", tag_names(n->instance));
    json_object_set_new(data, "trusted_image_certificates", trusted_certs(n->instance));
    json_object_set_new(data, "instance_name", text_or_null(n->instance_name));
}

static void add_rebuild(json_t *data, const Notification *n)
{
    add_fault(data, n);
    json_object_set_new(data, "trusted_image_certificates", trusted_certs(n->instance));
}

static void add_snapshot(json_t *data, const Notification *n)
{
    add_fault(data, n);
    json_object_set_new(data, "snapshot_image_id", text_or_null(n->snapshot_image_id));
}

static void add_rescue(json_t *data, const Notification *n)
{
    add_fault(data, n);
    json_object_set_new(data, "rescue_image_ref", text_or_null(n->rescue_image_ref));
}

static void add_resize_prep(json_t *data, const Notification *n)
{
    add_fault(data, n);
    json_object_set_new(data, "new_flavor", flavor_payload(n->new_flavor));
}

static void add_volume(json_t *data, const Notification *n)
{
    add_fault(data, n);
    json_object_set_new(data, "volume_id", text_or_null(n->volume_id));
}

static void add_volume_swap(json_t *data, const Notification *n)
{
    add_fault(data, n);
    json_object_set_new(data, "old_volume_id", text_or_null(n->old_volume_id));
    json_object_set_new(data, "new_volume_id", text_or_null(n->new_volume_id));
}

static void add_period(json_t *data, const Notification *n)
{
    json_object_set_new(data, "audit_period", period_payload(n));
}

/* clang-format off */
static const struct {
    const char *name, *version;
    void (*add)(json_t *data, const Notification *n);
} payloads[] = {
    [PAYLOAD_ACTION]      = {"InstanceActionPayload",           "1.8",  add_fault},
    [PAYLOAD_CREATE]      = {"InstanceCreatePayload",           "1.12", add_create},
    [PAYLOAD_REBUILD]     = {"InstanceActionRebuildPayload",    "1.9",  add_rebuild},
    [PAYLOAD_SNAPSHOT]    = {"InstanceActionSnapshotPayload",   "1.9",  add_snapshot},
    [PAYLOAD_RESCUE]      = {"InstanceActionRescuePayload",     "1.3",  add_rescue},
    [PAYLOAD_RESIZE_PREP] = {"InstanceActionResizePrepPayload", "1.3",  add_resize_prep},
    [PAYLOAD_VOLUME]      = {"InstanceActionVolumePayload",     "1.6",  add_volume},
    [PAYLOAD_VOLUME_SWAP] = {"InstanceActionVolumeSwapPayload", "1.8",  add_volume_swap},
    [PAYLOAD_EXISTS]      = {"InstanceExistsPayload",           "2.0",  add_period},
};
/* clang-format on */

json_t *notification_versioned(const Notification *n, NotificationPayload payload)
{
    json_t *data = instance_data(n);

    payloads[payload].add(data, n);
    return payload_new(payloads[payload].name, payloads[payload].version, data);
}
