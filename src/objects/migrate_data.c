/* Data of live migrations; see migrate_data.h. */
#include "objects/migrate_data.h"

#include <jansson.h>
#include <limits.h>
#include <string.h>

#define CLASS "LibvirtLiveMigrateData"
#define DELEGATION "os_vif_delegation" /* a member of the profile */

Ovo *migrate_data_new(NovaRelease release)
{
    return ovo_new(CLASS, ovo_version_of(release, CLASS));
}

static char *text_of(const json_t *value)
{
    char *text = json_dumps(value, 0);
    char *copy = g_strdup(text);

    free(text); /* jansson's allocator need not be GLib's */
    return copy;
}

/* ---- ports ---- */

void migrate_data_set_vifs(Ovo *data, NovaRelease release, const NetworkInfo *source)
{
    ovo_set_strv(data, "vifs", NULL);
    for (size_t i = 0; i < network_info_count(source); i++) {
        g_autoptr(Ovo) vif = ovo_new("VIFMigrateData", ovo_version_of(release, "VIFMigrateData"));
        g_autofree char *text = text_of(network_info_json_at(source, i));

        ovo_set_str(vif, "port_id", network_info_at(source, i)->id);
        ovo_set_str(vif, "source_vif", text);
        ovo_set_str(vif, "profile_json", "{\"" DELEGATION "\": true}");
        ovo_append(data, "vifs", vif);
    }
}

void migrate_data_renew_vifs(Ovo *data, const NetworkInfo *source)
{
    for (size_t i = 0; i < ovo_count(data, "vifs"); i++) {
        g_autoptr(Ovo) vif = ovo_at(data, "vifs", i);
        const char *id = vif ? ovo_str_or(vif, "port_id", "") : "";

        for (size_t j = 0; j < network_info_count(source); j++) {
            g_autofree char *text = text_of(network_info_json_at(source, j));

            if (strcmp(network_info_at(source, j)->id, id) == 0)
                ovo_set_str(vif, "source_vif", text);
        }
    }
}

bool migrate_data_has_vifs(const Ovo *data)
{
    return ovo_count(data, "vifs") > 0;
}

/* A field that holds JSON as text; unset: an empty object. NULL when it is no object. */
static json_t *json_of(const Ovo *vif, const char *field)
{
    const char *text = ovo_str_or(vif, field, NULL);
    json_t *value;

    if (!text)
        return json_object();
    value = json_loads(text, 0, NULL);
    if (json_is_object(value))
        return value;
    json_decref(value);
    return NULL;
}

static json_t *source_vif(const Ovo *vif, GError **err)
{
    json_t *source = ovo_has_value(vif, "source_vif") ? json_of(vif, "source_vif") : NULL;

    if (!source)
        dv_fail(err, DV_E_BAD_INPUT, "VIFMigrateData.source_vif of port %s: want a VIF",
                ovo_str_or(vif, "port_id", "?"));
    return source;
}

static json_t *dest_vif(const Ovo *vif, GError **err)
{
    json_t *out = source_vif(vif, err);
    json_t *details = out ? json_of(vif, "vif_details_json") : NULL;
    json_t *profile = details ? json_of(vif, "profile_json") : NULL;
    const char *type = ovo_str_or(vif, "vif_type", NULL);
    const char *vnic_type = ovo_str_or(vif, "vnic_type", NULL);

    if (!profile || !type || !vnic_type) {
        if (out)
            dv_fail(err, DV_E_BAD_INPUT, "port %s: no usable binding to the destination",
                    ovo_str_or(vif, "port_id", "?"));
        json_decref(profile);
        json_decref(details);
        json_decref(out);
        return NULL;
    }
    json_object_set_new(out, "type", json_string(type));
    json_object_set_new(out, "vnic_type", json_string(vnic_type));
    json_object_set_new(out, "delegate_create",
                        json_boolean(json_is_true(json_object_get(profile, DELEGATION))));
    json_object_set_new(out, "details", details);
    json_object_set_new(out, "profile", profile);
    return out;
}

static NetworkInfo *network_of(const Ovo *data, json_t *(*make)(const Ovo *vif, GError **err),
                               GError **err)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ovo_count(data, "vifs"); i++) {
        g_autoptr(Ovo) vif = ovo_at(data, "vifs", i);
        json_t *json = vif ? make(vif, err) : NULL;

        if (!json) {
            if (!vif)
                dv_fail(err, DV_E_BAD_INPUT, CLASS ".vifs: want objects");
            json_decref(list);
            return NULL;
        }
        json_array_append_new(list, json);
    }
    return network_info_take(list, err);
}

NetworkInfo *migrate_data_dest_network(const Ovo *data, GError **err)
{
    return network_of(data, dest_vif, err);
}

NetworkInfo *migrate_data_source_network(const Ovo *data, GError **err)
{
    return network_of(data, source_vif, err);
}

/* ---- plain fields ---- */

void migrate_data_set_ints(Ovo *data, const char *field, const int *values, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer(values[i]));
    ovo_set_json(data, field, list);
}

size_t migrate_data_ints(const Ovo *data, const char *field, int *out, size_t max)
{
    json_t *whole = ovo_json(data);
    const json_t *list = json_object_get(json_object_get(whole, "nova_object.data"), field);
    size_t count = json_array_size(list);

    for (size_t i = 0; out && i < MIN(count, max); i++) {
        json_int_t value = json_integer_value(json_array_get(list, i));

        out[i] = value > 0 && value <= INT_MAX ? (int)value : 0;
    }
    json_decref(whole);
    return count;
}

void migrate_data_set_empty_dict(Ovo *data, const char *field)
{
    ovo_set_json(data, field, json_object());
}

void migrate_data_set_empty_list(Ovo *data, const char *field)
{
    ovo_set_json(data, field, json_array());
}

bool migrate_data_is_shared(const Ovo *data)
{
    return ovo_bool_or(data, "is_shared_block_storage", false) ||
           ovo_bool_or(data, "is_shared_instance_path", false);
}
