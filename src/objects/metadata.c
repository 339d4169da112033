/* The files of a config drive; see metadata.h. The network document is in metadata_network.c, the
 * EC2 one in metadata_ec2.c.
 *
 * A table of versions says which members and files each version added; "latest" is the newest. */
#include "objects/metadata_priv.h"

#include "util/fs.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define DEFAULT_DHCP_DOMAIN "novalocal"
#define DEFAULT_SKIP_VERSIONS \
    "1.0 2007-01-19 2007-03-01 2007-08-29 2007-10-10 2007-12-15 2008-02-01 2008-09-01"
#define RANDOM_SEED_BYTES 512
#define MAX_FILE_BYTES ((size_t)16 * 1024 * 1024)

typedef enum {
    FOLSOM,
    GRIZZLY,
    HAVANA,
    LIBERTY,
    NEWTON_ONE,
    NEWTON_TWO,
    OCATA,
    ROCKY,
    VICTORIA,
} MetadataVersion;

static const struct {
    const char *name;
    MetadataVersion version;
} versions[] = {
    {"2012-08-10", FOLSOM},  {"2013-04-04", GRIZZLY},    {"2013-10-17", HAVANA},
    {"2015-10-15", LIBERTY}, {"2016-06-30", NEWTON_ONE}, {"2016-10-06", NEWTON_TWO},
    {"2017-02-22", OCATA},   {"2018-08-27", ROCKY},      {"2020-10-14", VICTORIA},
    {"latest", VICTORIA},
};

typedef struct Metadata {
    const Ovo *instance;
    const NetworkInfo *network;
    const MetadataExtra *extra;
    char *hostname; /* with the domain */
    const char *availability_zone;
    char *user_data; /* decoded, or NULL */
    size_t user_data_length;
    json_t *injected;                   /* borrowed list of [path, base64], or NULL */
    json_t *vendor_data, *vendor_data2; /* owned */
    GPtrArray *files;                   /* MetadataFile */
} Metadata;

static void metadata_done(Metadata *md)
{
    g_free(md->hostname);
    g_free(md->user_data);
    json_decref(md->vendor_data);
    json_decref(md->vendor_data2);
    if (md->files)
        g_ptr_array_unref(md->files);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Metadata, metadata_done)

void metadata_file_free(MetadataFile *file)
{
    if (!file)
        return;
    g_free(file->path);
    g_free(file->data);
    g_free(file);
}

/* ---- files ---- */

static void add_file(Metadata *md, char *path, const void *data, size_t length)
{
    MetadataFile *file = g_new0(MetadataFile, 1);

    file->path = path;
    file->data = g_malloc(length + 1);
    if (length)
        memcpy(file->data, data, length);
    file->data[length] = '\0';
    file->length = length;
    g_ptr_array_add(md->files, file);
}

/* Takes the document. */
static void add_json(Metadata *md, char *path, json_t *doc)
{
    char *text = json_dumps(doc, JSON_ENSURE_ASCII);

    g_assert(text); /* it was built here or parsed before */
    add_file(md, path, text, strlen(text));
    free(text);
    json_decref(doc);
}

/* ---- devices ---- */

static const char *bus_name(const Ovo *bus)
{
    static const char *const names[][2] = {
        {"PCIDeviceBus", "pci"}, {"USBDeviceBus", "usb"}, {"SCSIDeviceBus", "scsi"},
        {"IDEDeviceBus", "ide"}, {"XenDeviceBus", "xen"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (g_strcmp0(ovo_name(bus), names[i][0]) == 0)
            return names[i][1];
    return NULL;
}

/* A nic is worth telling when something distinguishes it. */
static bool describe_nic(json_t *out, const Ovo *device, MetadataVersion version)
{
    bool told = ovo_has(device, "tags");

    if (version >= OCATA && ovo_has_value(device, "vlan")) {
        json_object_set_new(out, "vlan", json_integer(ovo_i64_or(device, "vlan", 0)));
        told = true;
    }
    if (version >= ROCKY) {
        json_object_set_new(out, "vf_trusted",
                            json_boolean(ovo_bool_or(device, "vf_trusted", false)));
        told = true;
    }
    json_object_set_new(out, "type", json_string("nic"));
    json_object_set_new(out, "mac", metadata_text(ovo_str_or(device, "mac", NULL)));
    return told;
}

static bool describe_disk(json_t *out, const Ovo *device)
{
    static const char *const fields[] = {"serial", "path"};

    json_object_set_new(out, "type", json_string("disk"));
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
        if (ovo_has(device, fields[i]))
            json_object_set_new(out, fields[i], metadata_text(ovo_str_or(device, fields[i], NULL)));
    return true;
}

/* False when the device is not to be told. */
static bool describe_device(json_t *out, const Ovo *device, MetadataVersion version)
{
    g_autoptr(Ovo) bus = ovo_child(device, "bus");
    const char *kind = bus ? bus_name(bus) : "none";
    bool told = false;

    if (!kind)
        return false;
    if (g_strcmp0(ovo_name(device), "NetworkInterfaceMetadata") == 0)
        told = describe_nic(out, device, version);
    else if (g_strcmp0(ovo_name(device), "DiskMetadata") == 0)
        told = describe_disk(out, device);
    if (!told)
        return false;
    json_object_set_new(out, "bus", json_string(kind));
    json_object_set_new(out, "address",
                        metadata_text(bus ? ovo_str_or(bus, "address", "none") : "none"));
    if (ovo_has(device, "tags")) {
        json_t *tags = json_array();

        for (size_t i = 0; i < ovo_count(device, "tags"); i++)
            json_array_append_new(tags, metadata_text(ovo_str_at(device, "tags", i)));
        json_object_set_new(out, "tags", tags);
    }
    return true;
}

static json_t *devices(const Ovo *instance, MetadataVersion version)
{
    g_autoptr(Ovo) metadata = ovo_child(instance, "device_metadata");
    json_t *list = json_array();

    for (size_t i = 0; metadata && i < ovo_count(metadata, "devices"); i++) {
        g_autoptr(Ovo) device = ovo_at(metadata, "devices", i);
        json_t *item = json_object();

        if (device && describe_device(item, device, version))
            json_array_append(list, item);
        json_decref(item);
    }
    return list;
}

static int compare_ints(gconstpointer a, gconstpointer b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

    return x < y ? -1 : x > y;
}

static json_t *dedicated_cpus(const Ovo *instance)
{
    g_autoptr(Ovo) topology = ovo_child(instance, "numa_topology");
    g_autoptr(GArray) cpus = g_array_new(FALSE, FALSE, sizeof(gint64));
    json_t *list = json_array();

    for (size_t i = 0; topology && i < ovo_count(topology, "cells"); i++) {
        g_autoptr(Ovo) cell = ovo_at(topology, "cells", i);
        json_t *whole = cell ? ovo_json(cell) : NULL, *cpu;
        size_t k;

        json_array_foreach(json_object_get(json_object_get(whole, "nova_object.data"), "pcpuset"),
                           k, cpu)
        {
            gint64 number = json_integer_value(cpu);

            g_array_append_val(cpus, number);
        }
        json_decref(whole);
    }
    g_array_sort(cpus, compare_ints);
    for (guint i = 0; i < cpus->len; i++)
        json_array_append_new(list, json_integer(g_array_index(cpus, gint64, i)));
    return list;
}

/* ---- meta_data.json ---- */

static json_t *user_metadata(const Ovo *instance)
{
    g_autoptr(GPtrArray) keys = ovo_dict_keys(instance, "metadata");
    json_t *meta = json_object();

    for (guint i = 0; i < keys->len; i++) {
        const char *key = g_ptr_array_index(keys, i);

        json_object_set_new(meta, key, metadata_text(ovo_dict_str(instance, "metadata", key)));
    }
    return meta;
}

static void set_keys(json_t *doc, const Ovo *instance)
{
    const char *name = ovo_str_or(instance, "key_name", NULL);
    const char *data = ovo_str_or(instance, "key_data", NULL), *type = "ssh";
    g_autoptr(Ovo) list = ovo_child(instance, "keypairs"), pair = NULL;

    if (!name || !*name)
        return;
    if (list) {
        pair = ovo_at(list, NULL, 0);
        if (!pair)
            return; /* deleted before the instance learned its key */
        name = ovo_str_or(pair, "name", name);
        data = ovo_str_or(pair, "public_key", NULL);
        type = ovo_str_or(pair, "type", type);
    }
    json_object_set_new(doc, "public_keys", json_pack("{s:o}", name, metadata_text(data)));
    json_object_set_new(
        doc, "keys",
        json_pack("[{s:s, s:s, s:o}]", "name", name, "type", type, "data", metadata_text(data)));
}

static json_t *file_list(const json_t *injected)
{
    json_t *list = json_array(), *item;
    size_t i;

    json_array_foreach(injected, i, item)
    {
        g_autofree char *content = g_strdup_printf("/content/%04zu", i);

        json_array_append_new(list, json_pack("{s:O, s:s}", "path", json_array_get(item, 0),
                                              "content_path", content));
    }
    return list;
}

static bool set_random_seed(json_t *doc, GError **err)
{
    unsigned char seed[RANDOM_SEED_BYTES];
    g_autofree char *text = NULL;

    for (size_t done = 0; done < sizeof(seed);) {
        ssize_t got = getrandom(seed + done, sizeof(seed) - done, 0);

        if (got < 0 && errno != EINTR)
            return dv_fail(err, DV_E_INTERNAL, "getrandom: %s", g_strerror(errno));
        done += got > 0 ? (size_t)got : 0;
    }
    text = g_base64_encode(seed, sizeof(seed));
    json_object_set_new(doc, "random_seed", json_string(text));
    return true;
}

static json_t *i64_or_null(const Ovo *ovo, const char *field)
{
    return ovo_has_value(ovo, field) ? json_integer(ovo_i64_or(ovo, field, 0)) : json_null();
}

static bool meta_data(const Metadata *md, MetadataVersion version, json_t **out, GError **err)
{
    const Ovo *instance = md->instance;
    json_auto_t *doc = json_object();
    json_auto_t *meta = user_metadata(instance);

    json_object_set_new(doc, "uuid", metadata_text(ovo_str_or(instance, "uuid", NULL)));
    if (json_object_size(meta))
        json_object_set(doc, "meta", meta);
    if (json_array_size(md->injected))
        json_object_set_new(doc, "files", file_list(md->injected));
    if (md->extra->admin_password && *md->extra->admin_password)
        json_object_set_new(doc, "admin_pass", metadata_text(md->extra->admin_password));
    set_keys(doc, instance);
    json_object_set_new(doc, "hostname", metadata_text(md->hostname));
    json_object_set_new(doc, "name", metadata_text(ovo_str_or(instance, "display_name", NULL)));
    json_object_set_new(doc, "launch_index", i64_or_null(instance, "launch_index"));
    json_object_set_new(doc, "availability_zone", metadata_text(md->availability_zone));
    if (version >= GRIZZLY && !set_random_seed(doc, err))
        return false;
    if (version >= LIBERTY)
        json_object_set_new(doc, "project_id",
                            metadata_text(ovo_str_or(instance, "project_id", NULL)));
    if (version >= NEWTON_ONE)
        json_object_set_new(doc, "devices", devices(instance, version));
    if (version >= VICTORIA)
        json_object_set_new(doc, "dedicated_cpus", dedicated_cpus(instance));
    *out = g_steal_pointer(&doc);
    return true;
}

/* ---- all of them ---- */

static bool add_openstack(Metadata *md, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(versions); i++) {
        const char *name = versions[i].name;
        MetadataVersion version = versions[i].version;
        json_t *doc = NULL;

        if (!meta_data(md, version, &doc, err))
            return false;
        add_json(md, g_strdup_printf("openstack/%s/meta_data.json", name), doc);
        if (md->user_data)
            add_file(md, g_strdup_printf("openstack/%s/user_data", name), md->user_data,
                     md->user_data_length);
        if (version >= HAVANA)
            add_json(md, g_strdup_printf("openstack/%s/vendor_data.json", name),
                     json_incref(md->vendor_data));
        if (version >= LIBERTY)
            add_json(md, g_strdup_printf("openstack/%s/network_data.json", name),
                     metadata_network(md->network));
        if (version >= NEWTON_TWO)
            add_json(md, g_strdup_printf("openstack/%s/vendor_data2.json", name),
                     json_incref(md->vendor_data2));
    }
    return true;
}

static void add_ec2_version(Metadata *md, const char *name, size_t version)
{
    const MetadataEc2 ec2 = {md->instance, md->network, md->extra, md->hostname,
                             md->availability_zone};

    if (md->user_data)
        add_file(md, g_strdup_printf("ec2/%s/user-data", name), md->user_data,
                 md->user_data_length);
    add_json(md, g_strdup_printf("ec2/%s/meta-data.json", name), metadata_ec2(&ec2, version));
}

static void add_ec2(Metadata *md)
{
    const char *skip = md->extra->ec2_skip_versions ? md->extra->ec2_skip_versions
                                                    : DEFAULT_SKIP_VERSIONS;
    g_auto(GStrv) skipped = g_strsplit(skip, " ", -1);

    for (size_t i = 0; i < METADATA_EC2_VERSIONS; i++)
        if (!g_strv_contains((const char *const *)skipped, metadata_ec2_versions[i]))
            add_ec2_version(md, metadata_ec2_versions[i], i);
    if (!g_strv_contains((const char *const *)skipped, "latest"))
        add_ec2_version(md, "latest", METADATA_EC2_VERSIONS - 1);
}

static bool decode(const char *text, char **out, size_t *out_length, GError **err)
{
    size_t encoded = strlen(text);
    g_autofree char *data = NULL;
    gsize length = 0;

    if (encoded > MAX_FILE_BYTES)
        return dv_fail(err, DV_E_BAD_INPUT, "too long");
    data = g_strdup(text);
    if (encoded > 1)
        (void)g_base64_decode_inplace(data, &length);
    if (encoded > 0 && length == 0)
        return dv_fail(err, DV_E_BAD_INPUT, "no base64");
    *out = g_steal_pointer(&data);
    *out_length = length;
    return true;
}

static bool add_content(Metadata *md, GError **err)
{
    json_t *item;
    size_t i;

    json_array_foreach(md->injected, i, item)
    {
        const char *path = json_string_value(json_array_get(item, 0));
        const char *encoded = json_string_value(json_array_get(item, 1));
        g_autofree char *data = NULL;
        size_t length = 0;

        if (!path || !encoded)
            return dv_fail(err, DV_E_BAD_INPUT, "injected file %zu: want [path, base64]", i);
        if (!decode(encoded, &data, &length, err))
            return dv_within(err, "injected file %zu", i);
        add_file(md, g_strdup_printf("openstack/content/%04zu", i), data, length);
    }
    return true;
}

/* *out stays NULL without a text. */
static bool read_json(const char *text, json_t **out, GError **err)
{
    json_error_t where;

    if (!text)
        return true;
    *out = json_loads(text, JSON_DECODE_ANY, &where);
    return *out ||
           dv_fail(err, DV_E_BAD_CONFIG, "vendor data, line %d: %s", where.line, where.text);
}

static bool read_vendor_data(Metadata *md, GError **err)
{
    if (!read_json(md->extra->vendordata_json, &md->vendor_data, err) ||
        !read_json(md->extra->vendordata2_json, &md->vendor_data2, err))
        return false;
    if (!md->vendor_data)
        md->vendor_data = json_object();
    if (!md->vendor_data2)
        md->vendor_data2 = json_pack("{s:O}", "static", md->vendor_data);
    return true;
}

static bool read_instance(Metadata *md, GError **err)
{
    const char *hostname = ovo_str_or(md->instance, "hostname", NULL);
    const char *domain = md->extra->dhcp_domain ? md->extra->dhcp_domain : DEFAULT_DHCP_DOMAIN;
    const char *user_data = ovo_str_or(md->instance, "user_data", NULL);

    md->hostname = hostname && *domain ? g_strdup_printf("%s.%s", hostname, domain)
                                       : g_strdup(hostname);
    md->availability_zone = md->extra->availability_zone
                                ? md->extra->availability_zone
                                : ovo_str_or(md->instance, "availability_zone", NULL);
    if (user_data && !decode(user_data, &md->user_data, &md->user_data_length, err))
        return dv_within(err, "user data");
    return read_vendor_data(md, err);
}

GPtrArray *metadata_files(const Ovo *instance, const NetworkInfo *network,
                          const MetadataExtra *extra, GError **err)
{
    static const MetadataExtra nothing;
    g_auto(Metadata)
        md = {.instance = instance, .network = network, .extra = extra ? extra : &nothing};
    json_auto_t *injected = md.extra->injected_files ? ovo_json(md.extra->injected_files) : NULL;

    md.injected = json_object_get(injected, "injected_files");
    md.files = g_ptr_array_new_with_free_func((GDestroyNotify)metadata_file_free);
    if (!read_instance(&md, err))
        return NULL;
    add_ec2(&md);
    if (!add_openstack(&md, err) || !add_content(&md, err))
        return NULL;
    return g_steal_pointer(&md.files);
}
