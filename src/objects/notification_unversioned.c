/* Unversioned payloads, and audit periods; see notification.h.
 *
 * Their form has grown: times in three spellings, an empty text for what is not there, exceptions
 * as Python would print them. It is kept to the letter, since ceilometer and billing read it. */
#include "objects/notification.h"

#include "util/clock.h"

#include <jansson.h>
#include <string.h>

/* ---- values ---- */

static void set_text(json_t *out, const char *key, const char *text)
{
    json_object_set_new(out, key, text ? json_string(text) : json_null());
}

/* The value of a field as it is, null when it is unset. */
static void set_field(json_t *out, const char *key, const Ovo *ovo, const char *field)
{
    json_t *json = ovo_json(ovo);
    json_t *value = json_object_get(json_object_get(json, "nova_object.data"), field);

    json_object_set_new(out, key, value ? json_deep_copy(value) : json_null());
    json_decref(json);
}

/* A time of an object in `format` (g_date_time_format); `absent` when it is null. */
static void set_time(json_t *out, const char *key, const Ovo *instance, const char *format,
                     const char *absent)
{
    const char *text = ovo_str_or(instance, key, NULL);
    int64_t ms = 0;
    g_autoptr(GDateTime)
        at = text && dv_time_parse(text, &ms) ? g_date_time_new_from_unix_utc(ms / 1000) : NULL;
    g_autofree char *formatted = at ? g_date_time_format(at, format) : NULL;

    set_text(out, key, formatted ? formatted : absent);
}

/* str() of a naive time: "2026-01-02 03:04:05.678000", without the fraction when it is none. */
static void set_moment(json_t *out, const char *key, int64_t wall_ms)
{
    g_autoptr(GDateTime) at = g_date_time_new_from_unix_utc(wall_ms / 1000);
    g_autofree char *seconds = g_date_time_format(at, "%Y-%m-%d %H:%M:%S");
    int fraction = (int)(wall_ms % 1000);
    g_autofree char *text = fraction ? g_strdup_printf("%s.%03d000", seconds, fraction)
                                     : g_strdup(seconds);

    set_text(out, key, text);
}

/* repr() of a text in Python. */
static void append_repr(GString *out, const char *text)
{
    char quote = strchr(text, '\'') && !strchr(text, '"') ? '"' : '\'';

    g_string_append_c(out, quote);
    for (const char *p = text; *p; p++) {
        if (*p == quote || *p == '\\')
            g_string_append_printf(out, "\\%c", *p);
        else if (*p == '\n')
            g_string_append(out, "\\n");
        else if ((unsigned char)*p < ' ' || *p == 0x7f)
            g_string_append_printf(out, "\\x%02x", (unsigned char)*p);
        else
            g_string_append_c(out, *p);
    }
    g_string_append_c(out, quote);
}

/* nova's own exceptions print their arguments, of which the code is the one that all have; others
 * print as a call of their class. */
static char *fault_repr(const NotificationFault *fault)
{
    GString *text = g_string_new(NULL);

    if (fault->code) {
        g_string_append_printf(text, "{'kwargs': {'code': %d}, 'message': ", fault->code);
        append_repr(text, fault->message);
        g_string_append(text, ", 'class': ");
        append_repr(text, fault->class_name);
        g_string_append_c(text, '}');
    } else {
        g_string_append_printf(text, "%s(", fault->class_name);
        append_repr(text, fault->message);
        g_string_append_c(text, ')');
    }
    return g_string_free(text, FALSE);
}

/* ---- parts ---- */

static void add_flavor(json_t *out, const Ovo *flavor)
{
    int64_t root_gb = ovo_i64_or(flavor, "root_gb", 0);
    int64_t ephemeral_gb = ovo_i64_or(flavor, "ephemeral_gb", 0);

    set_text(out, "instance_type", ovo_str_or(flavor, "name", ""));
    set_text(out, "instance_flavor_id", ovo_str_or(flavor, "flavorid", ""));
    set_field(out, "memory_mb", flavor, "memory_mb");
    set_field(out, "vcpus", flavor, "vcpus");
    json_object_set_new(out, "root_gb", json_integer(root_gb));
    json_object_set_new(out, "ephemeral_gb", json_integer(ephemeral_gb));
    json_object_set_new(out, "disk_gb", json_integer(root_gb + ephemeral_gb));
}

/* The image's properties, which system_metadata keeps with a prefix. */
static json_t *image_meta(const Ovo *instance)
{
    static const char prefix[] = "image_";
    g_autoptr(GPtrArray) keys = ovo_dict_keys(instance, "system_metadata");
    json_t *meta = json_object();

    for (guint i = 0; i < keys->len; i++) {
        const char *key = keys->pdata[i];

        if (g_str_has_prefix(key, prefix))
            set_text(meta, key + strlen(prefix), ovo_dict_str(instance, "system_metadata", key));
    }
    return meta;
}

static json_t *fixed_ips(const NetworkInfo *info)
{
    json_t *list = json_array();

    for (size_t i = 0; i < network_info_count(info); i++) {
        json_t *vif = network_info_json_at(info, i);
        json_t *network = json_object_get(vif, "network");
        json_t *subnet, *ip;
        size_t j, k;

        json_array_foreach(json_object_get(network, "subnets"), j, subnet)
        {
            json_array_foreach(json_object_get(subnet, "ips"), k, ip)
            {
                json_t *one = json_deep_copy(ip);

                set_text(one, "label", json_string_value(json_object_get(network, "label")));
                set_text(one, "vif_mac", json_string_value(json_object_get(vif, "address")));
                json_array_append_new(list, one);
            }
        }
    }
    return list;
}

static void add_fault(json_t *out, const NotificationFault *fault)
{
    g_autofree char *repr = fault_repr(fault);

    set_text(out, "exception", repr);
    set_text(out, "message", fault->message);
    json_object_set_new(out, "code", json_integer(fault->code ? fault->code : 500));
}

static void add_extra(json_t *out, const Notification *n)
{
    const struct {
        const char *key, *text;
    } extra[] = {
        {"image_name", n->image_name},
        {"rescue_image_name", n->rescue_image_name},
        {"message", n->message},
        {"volume_id", n->volume_id},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(extra); i++) {
        if (extra[i].text)
            set_text(out, extra[i].key, extra[i].text);
    }
    if (n->new_flavor) {
        set_field(out, "new_instance_type", n->new_flavor, "name");
        set_field(out, "new_instance_type_id", n->new_flavor, "id");
    }
    if (n->audit) {
        set_moment(out, "audit_period_beginning", n->audit_begin_ms);
        set_moment(out, "audit_period_ending", n->audit_end_ms);
    }
}

/* ---- the payload ---- */

#define TIME_STR "%Y-%m-%d %H:%M:%S+00:00"
#define TIME_ISO "%Y-%m-%dT%H:%M:%S.000000"

json_t *notification_unversioned(const Notification *n)
{
    static const struct {
        const char *key, *field;
    } plain[] = {
        /* clang-format off */
        {"tenant_id",         "project_id"},
        {"user_id",           "user_id"},
        {"instance_id",       "uuid"},
        {"display_name",      "display_name"},
        {"reservation_id",    "reservation_id"},
        {"hostname",          "hostname"},
        {"instance_type_id",  "instance_type_id"},
        {"architecture",      "architecture"},
        {"host",              "host"},
        {"node",              "node"},
        {"availability_zone", "availability_zone"},
        {"os_type",           "os_type"},
        {"kernel_id",         "kernel_id"},
        {"ramdisk_id",        "ramdisk_id"},
        {"state",             "vm_state"},
        {"access_ip_v4",      "access_ip_v4"},
        {"access_ip_v6",      "access_ip_v6"},
        {"metadata",          "metadata"},
        /* clang-format on */
    };
    const Ovo *instance = n->instance;
    g_autoptr(Ovo) flavor = ovo_child(instance, "flavor");
    int64_t progress = ovo_i64_or(instance, "progress", 0);
    json_t *out = json_object();

    for (size_t i = 0; i < G_N_ELEMENTS(plain); i++)
        set_field(out, plain[i].key, instance, plain[i].field);
    if (flavor)
        add_flavor(out, flavor);
    set_text(out, "cell_name", ovo_str_or(instance, "cell_name", ""));
    set_time(out, "created_at", instance, TIME_STR, "None");
    set_time(out, "terminated_at", instance, TIME_ISO, "");
    set_time(out, "deleted_at", instance, TIME_ISO, "");
    set_time(out, "launched_at", instance, TIME_ISO, "");
    set_text(out, "image_ref_url", n->image_ref_url);
    set_text(out, "state_description", ovo_str_or(instance, "task_state", ""));
    json_object_set_new(out, "progress", progress ? json_integer(progress) : json_string(""));
    json_object_set_new(out, "image_meta", image_meta(instance));
    if (n->network)
        json_object_set_new(out, "fixed_ips", fixed_ips(n->network));
    add_extra(out, n);
    if (n->fault)
        add_fault(out, n->fault);
    return out;
}

/* ---- requests that failed ---- */

/* "2026-01-02T03:04:05Z", as objects have it, in the unversioned spelling. */
static json_t *plain_text(json_t *value)
{
    const char *text = json_string_value(value);
    int64_t ms = 0;

    if (strlen(text) != strlen("2026-01-02T03:04:05Z") || !g_str_has_suffix(text, "Z") ||
        text[10] != 'T' || !dv_time_parse(text, &ms))
        return json_incref(value);
    return json_sprintf("%.19s.000000", text);
}

/* What may hold secrets of the user's; nova leaves out the passwords alone. */
static bool is_private(const char *key)
{
    return strstr(key, "_pass") || strcmp(key, "user_data") == 0 ||
           strcmp(key, "injected_files") == 0;
}

/* Objects as dicts of their fields, lists of objects as lists. The depth of a request is bounded by
 * rpc's parser. */
static json_t *plain(json_t *value)
{
    json_t *data = json_object_get(value, "nova_object.data");
    json_t *objects = json_object_get(data, "objects");
    json_t *source = objects ? objects : data ? data : value;
    json_t *out, *item;
    const char *key;
    size_t i;

    if (json_is_string(source))
        return plain_text(source);
    if (json_is_array(source)) {
        out = json_array();
        json_array_foreach(source, i, item) json_array_append_new(out, plain(item));
        return out;
    }
    if (!json_is_object(source))
        return json_incref(source);
    out = json_object();
    json_object_foreach(source, key, item)
    {
        if (!is_private(key))
            json_object_set_new(out, key, plain(item));
    }
    return out;
}

json_t *notification_failed_request(const NotificationFault *fault, const Ovo *args)
{
    g_autofree char *repr = fault_repr(fault);
    json_t *json = ovo_json(args);
    json_t *out = json_pack("{s:s, s:o}", "exception", repr, "args", plain(json));

    json_decref(json);
    return out;
}

/* ---- audit periods ---- */

/* The last time that the period of `unit` (hour, day, month, year) began with this offset into it:
 * minute, hour, day, month. NULL: no such offset. */
static GDateTime *period_end(const char *unit, int offset, GDateTime *now)
{
    int year = g_date_time_get_year(now), month = g_date_time_get_month(now);
    int day = g_date_time_get_day_of_month(now), hour = g_date_time_get_hour(now);

    if (strcmp(unit, "hour") == 0)
        return g_date_time_new_utc(year, month, day, hour, offset, 0);
    if (strcmp(unit, "day") == 0)
        return g_date_time_new_utc(year, month, day, offset, 0, 0);
    if (strcmp(unit, "month") == 0)
        return g_date_time_new_utc(year, month, offset ? offset : 1, 0, 0, 0);
    return g_date_time_new_utc(year, offset ? offset : 1, 1, 0, 0, 0);
}

static GDateTime *period_before(const char *unit, GDateTime *at)
{
    if (strcmp(unit, "hour") == 0)
        return g_date_time_add_hours(at, -1);
    if (strcmp(unit, "day") == 0)
        return g_date_time_add_days(at, -1);
    if (strcmp(unit, "month") == 0)
        return g_date_time_add_months(at, -1);
    return g_date_time_add_years(at, -1);
}

bool notification_period(const char *unit, int64_t now_ms, int64_t *out_begin_ms,
                         int64_t *out_end_ms)
{
    static const char *const units[] = {"hour", "day", "month", "year", NULL};
    g_auto(GStrv) parts = g_strsplit(unit, "@", 2);
    g_autoptr(GDateTime) now = g_date_time_new_from_unix_utc(now_ms / 1000);
    g_autoptr(GDateTime) end = NULL;
    g_autoptr(GDateTime) begin = NULL;
    guint64 offset = 0;

    if (!parts[0] || !g_strv_contains(units, parts[0]) ||
        (parts[1] && !g_ascii_string_to_unsigned(parts[1], 10, 0, 59, &offset, NULL)))
        return false;
    end = period_end(parts[0], (int)offset, now);
    if (!end)
        return false;
    if (g_date_time_compare(end, now) >= 0) {
        GDateTime *earlier = period_before(parts[0], end);

        g_date_time_unref(end);
        end = earlier;
    }
    begin = period_before(parts[0], end);
    *out_begin_ms = g_date_time_to_unix(begin) * 1000;
    *out_end_ms = g_date_time_to_unix(end) * 1000;
    return true;
}
