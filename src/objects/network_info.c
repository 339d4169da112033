/* The network info model; see network_info.h.
 *
 * The JSON list is the truth; beside it stands one Vif per element, whose strings point into the
 * JSON and whose arrays belong to that element's arena. An element of an unexpected shape is
 * refused as a whole, because a guest with a NIC missing is worse than an error; members that older
 * or newer releases leave out are not. */
#include "objects/network_info.h"

#include <jansson.h>

enum { MAX_VIFS = 512, MAX_PARTS = 4096 };
#define MAX_TEXT ((size_t)16 * 1024 * 1024) /* a MEDIUMTEXT column */

typedef struct Entry {
    json_t *json; /* an element of the list, held by it */
    Vif vif;
    GPtrArray *arena; /* blocks that vif's arrays live in */
} Entry;

struct NetworkInfo {
    json_t *list;
    GPtrArray *entries; /* Entry */
};

/* ---- arrays ---- */

static void *arena_array(Entry *entry, size_t count, size_t size)
{
    void *block = g_malloc0_n(count, size);

    g_ptr_array_add(entry->arena, block);
    return block;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* The addresses of a list of IP dicts, NULL-terminated. */
static const char *const *addresses_read(Entry *entry, const json_t *ips)
{
    const char **out = arena_array(entry, json_array_size(ips) + 1, sizeof(char *));
    size_t n = 0;
    json_t *ip;
    size_t i;

    json_array_foreach(ips, i, ip)
    {
        const char *address = text_of(ip, "address");

        if (address)
            out[n++] = address;
    }
    return out;
}

static void routes_read(Entry *entry, const json_t *routes, VifSubnet *subnet)
{
    VifRoute *out = arena_array(entry, json_array_size(routes) + 1, sizeof *out);
    json_t *route;
    size_t i;

    json_array_foreach(routes, i, route)
    {
        VifRoute r = {.cidr = text_of(route, "cidr"),
                      .gateway = text_of(json_object_get(route, "gateway"), "address")};

        if (r.cidr && r.gateway)
            out[subnet->route_count++] = r;
    }
    subnet->routes = out;
}

static int version_of(const json_t *subnet, const char *cidr)
{
    const json_t *version = json_object_get(subnet, "version");

    if (json_is_integer(version))
        return json_integer_value(version) == 6 ? 6 : 4;
    return cidr && strchr(cidr, ':') ? 6 : 4;
}

static bool subnet_read(Entry *entry, const json_t *json, VifSubnet *out, GError **err)
{
    const json_t *meta = json_object_get(json, "meta");
    const json_t *ips = json_object_get(json, "ips");
    const json_t *dns = json_object_get(json, "dns");
    const json_t *routes = json_object_get(json, "routes");

    if (!json_is_object(json) || json_array_size(ips) > MAX_PARTS ||
        json_array_size(dns) > MAX_PARTS || json_array_size(routes) > MAX_PARTS)
        return dv_fail(err, DV_E_BAD_INPUT, "subnet: want an object of bounded lists");
    out->cidr = text_of(json, "cidr");
    out->gateway = text_of(json_object_get(json, "gateway"), "address");
    out->dhcp_server = text_of(meta, "dhcp_server");
    out->ipv6_address_mode = text_of(meta, "ipv6_address_mode");
    out->version = version_of(json, out->cidr);
    out->dns = addresses_read(entry, dns);
    out->ips = addresses_read(entry, ips);
    routes_read(entry, routes, out);
    return true;
}

/* ---- one VIF ---- */

static bool network_read(Entry *entry, const json_t *network, GError **err)
{
    const json_t *meta = json_object_get(network, "meta");
    const json_t *subnets = json_object_get(network, "subnets");
    const json_t *mtu = json_object_get(meta, "mtu");
    Vif *vif = &entry->vif;
    VifSubnet *out;
    json_t *subnet;
    size_t i;

    if (json_array_size(subnets) > MAX_PARTS)
        return dv_fail(err, DV_E_BAD_INPUT, "%s: too many subnets", vif->id);
    vif->network_id = text_of(network, "id");
    vif->bridge = text_of(network, "bridge");
    vif->label = text_of(network, "label");
    vif->tenant_id = text_of(meta, "tenant_id");
    if (json_is_integer(mtu) && json_integer_value(mtu) > 0 && json_integer_value(mtu) <= 65536)
        vif->mtu = (int)json_integer_value(mtu);
    out = arena_array(entry, json_array_size(subnets) + 1, sizeof *out);
    json_array_foreach(subnets, i, subnet)
    {
        if (!subnet_read(entry, subnet, &out[i], err))
            return dv_within(err, "%s", vif->id);
    }
    vif->subnets = out;
    vif->subnet_count = json_array_size(subnets);
    return true;
}

static bool entry_read(Entry *entry, GError **err)
{
    const json_t *json = entry->json;
    const json_t *details = json_object_get(json, "details");
    Vif *vif = &entry->vif;

    vif->id = text_of(json, "id");
    vif->address = text_of(json, "address");
    if (!vif->id || !vif->address)
        return dv_fail(err, DV_E_BAD_INPUT, "VIF: want a dict with id and address");
    vif->type = text_of(json, "type");
    vif->devname = text_of(json, "devname");
    vif->ovs_interfaceid = text_of(json, "ovs_interfaceid");
    vif->vnic_type = text_of(json, "vnic_type");
    vif->active = json_is_true(json_object_get(json, "active"));
    vif->preserve_on_delete = json_is_true(json_object_get(json, "preserve_on_delete"));
    vif->port_filter = json_is_true(json_object_get(details, "port_filter"));
    vif->datapath_type = text_of(details, "datapath_type");
    vif->delegate_create = json_is_true(json_object_get(json, "delegate_create"));
    vif->ovs_hybrid_plug = json_is_true(json_object_get(details, "ovs_hybrid_plug"));
    return network_read(entry, json_object_get(json, "network"), err);
}

static void entry_free(gpointer p)
{
    Entry *entry = p;

    g_ptr_array_unref(entry->arena);
    g_free(entry);
}

/* ---- the list ---- */

/* NULL with err when the element is no VIF. */
static Entry *entry_new(json_t *json, GError **err)
{
    Entry *entry = g_new0(Entry, 1);

    entry->json = json;
    entry->arena = g_ptr_array_new_with_free_func(g_free);
    if (entry_read(entry, err))
        return entry;
    entry_free(entry);
    return NULL;
}

NetworkInfo *network_info_take(json_t *vifs, GError **err)
{
    g_autoptr(NetworkInfo) info = g_new0(NetworkInfo, 1);
    json_t *json;
    size_t i;

    info->list = vifs;
    info->entries = g_ptr_array_new_with_free_func(entry_free);
    if (!json_is_array(vifs) || json_array_size(vifs) > MAX_VIFS) {
        dv_fail(err, DV_E_BAD_INPUT, "network info: want a list of at most %d VIFs", MAX_VIFS);
        return NULL;
    }
    json_array_foreach(vifs, i, json)
    {
        Entry *entry = entry_new(json, err);

        if (!entry) {
            dv_within(err, "network info: element %zu", i);
            return NULL;
        }
        g_ptr_array_add(info->entries, entry);
    }
    return g_steal_pointer(&info);
}

NetworkInfo *network_info_new(void)
{
    return network_info_take(json_array(), NULL);
}

NetworkInfo *network_info_parse(const char *text, GError **err)
{
    size_t length = strnlen(text, MAX_TEXT + 1);
    json_error_t where;
    json_t *json;

    if (length > MAX_TEXT) {
        dv_fail(err, DV_E_BAD_INPUT, "network info: longer than %zu bytes", MAX_TEXT);
        return NULL;
    }
    json = json_loadb(text, length, 0, &where);
    if (!json) {
        dv_fail(err, DV_E_BAD_INPUT, "network info: %s at byte %d", where.text, where.position);
        return NULL;
    }
    return network_info_take(json, err);
}

void network_info_free(NetworkInfo *info)
{
    if (!info)
        return;
    g_ptr_array_unref(info->entries);
    json_decref(info->list);
    g_free(info);
}

char *network_info_text(const NetworkInfo *info)
{
    char *text = json_dumps(info->list, 0);
    char *copy = g_strdup(text);

    free(text); /* jansson's allocator need not be GLib's */
    return copy;
}

size_t network_info_count(const NetworkInfo *info)
{
    return info->entries->len;
}

const Vif *network_info_at(const NetworkInfo *info, size_t i)
{
    const Entry *entry = i < info->entries->len ? info->entries->pdata[i] : NULL;

    return entry ? &entry->vif : NULL;
}

const Vif *network_info_find(const NetworkInfo *info, const char *port_id)
{
    for (size_t i = 0; i < info->entries->len; i++) {
        const Vif *vif = network_info_at(info, i);

        if (strcmp(vif->id, port_id) == 0)
            return vif;
    }
    return NULL;
}

json_t *network_info_json_at(const NetworkInfo *info, size_t i)
{
    return json_array_get(info->list, i);
}

json_t *network_info_value_at(const NetworkInfo *info, size_t i)
{
    return json_incref(network_info_json_at(info, i));
}

bool network_info_put(NetworkInfo *info, const NetworkInfo *from, size_t i, GError **err)
{
    json_t *copy = json_deep_copy(network_info_json_at(from, i));
    Entry *entry = entry_new(copy, err);

    if (!entry) {
        json_decref(copy);
        return false;
    }
    if (info->entries->len >= MAX_VIFS) {
        entry_free(entry);
        json_decref(copy);
        return dv_fail(err, DV_E_BAD_INPUT, "network info: more than %d VIFs", MAX_VIFS);
    }
    network_info_remove(info, entry->vif.id);
    g_ptr_array_add(info->entries, entry);
    json_array_append_new(info->list, copy);
    return true;
}

bool network_info_remove(NetworkInfo *info, const char *port_id)
{
    for (guint i = 0; i < info->entries->len; i++) {
        if (strcmp(network_info_at(info, i)->id, port_id) != 0)
            continue;
        g_ptr_array_remove_index(info->entries, i);
        json_array_remove(info->list, i);
        return true;
    }
    return false;
}
