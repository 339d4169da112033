/* EC2-style meta-data.json: one document, each version with some members more than the last. */
#include "objects/metadata_priv.h"

#include <jansson.h>
#include <string.h>

const char *const metadata_ec2_versions[METADATA_EC2_VERSIONS] = {
    "1.0",        "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10",
    "2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04",
};

enum { V2007_01 = 1, V2007_08 = 3, V2007_12 = 5, V2008_02 = 6, V2008_09 = 7 };

static json_t *first_fixed_ip(const NetworkInfo *network)
{
    for (size_t i = 0; network && i < network_info_count(network); i++) {
        const Vif *vif = network_info_at(network, i);

        for (size_t s = 0; s < vif->subnet_count; s++)
            if (vif->subnets[s].version == 4 && vif->subnets[s].ips && vif->subnets[s].ips[0])
                return metadata_text(vif->subnets[s].ips[0]);
    }
    return json_null();
}

/* Floating addresses are no part of the structs: the first is looked up in the JSON. */
static json_t *first_floating_ip(const NetworkInfo *network)
{
    for (size_t i = 0; network && i < network_info_count(network); i++) {
        json_t *net = json_object_get(network_info_json_at(network, i), "network");
        json_t *subnet, *ip;
        size_t s, k;

        json_array_foreach(json_object_get(net, "subnets"), s, subnet)
        {
            json_array_foreach(json_object_get(subnet, "ips"), k, ip)
            {
                json_t *floating = json_array_get(json_object_get(ip, "floating_ips"), 0);
                const char *address = json_string_value(json_object_get(floating, "address"));

                if (address)
                    return json_string(address);
            }
        }
    }
    return json_string("");
}

static json_t *security_groups(const MetadataEc2 *ec2)
{
    g_autoptr(Ovo) list = ovo_child(ec2->instance, "security_groups");
    json_t *names = json_array();

    if (ec2->extra->security_groups) {
        for (const char *const *name = ec2->extra->security_groups; *name; name++)
            json_array_append_new(names, metadata_text(*name));
        return names;
    }
    for (size_t i = 0; list && i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) group = ovo_at(list, NULL, i);
        const char *name = group ? ovo_str_or(group, "name", NULL) : NULL;

        if (name)
            json_array_append_new(names, metadata_text(name));
    }
    return names;
}

static const char *without_dev(const char *device)
{
    return g_str_has_prefix(device, "/dev/") ? device + strlen("/dev/") : device;
}

static gint compare_devices(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(*(const char *const *)a, *(const char *const *)b);
}

static void set_numbered(json_t *mapping, const char *prefix, guint number, const char *device)
{
    g_autofree char *key = g_strdup_printf("%s%u", prefix, number);

    json_object_set_new(mapping, key, metadata_text(device));
}

/* Volumes by device name, then the last swap disk, then ephemeral disks in order. */
static void map_bdms(json_t *mapping, const Ovo *bdms)
{
    g_autoptr(GPtrArray) volumes = g_ptr_array_new();
    guint ephemeral = 0;

    for (size_t i = 0; bdms && i < ovo_count(bdms, NULL); i++) {
        g_autoptr(Ovo) bdm = ovo_at(bdms, NULL, i);
        const char *device = bdm ? ovo_str_or(bdm, "device_name", NULL) : NULL;

        if (!bdm)
            continue;
        if (strcmp(ovo_str_or(bdm, "destination_type", ""), "volume") == 0)
            g_ptr_array_add(volumes, (gpointer)device);
        else if (strcmp(ovo_str_or(bdm, "source_type", ""), "blank") != 0)
            continue;
        else if (strcmp(ovo_str_or(bdm, "guest_format", ""), "swap") == 0)
            json_object_set_new(mapping, "swap", metadata_text(device));
        else
            set_numbered(mapping, "ephemeral", ephemeral++, device);
    }
    g_ptr_array_sort(volumes, compare_devices);
    for (guint i = 0; i < volumes->len; i++)
        set_numbered(mapping, "ebs", i, g_ptr_array_index(volumes, i));
}

static json_t *block_device_mapping(const MetadataEc2 *ec2)
{
    const char *root = ovo_str_or(ec2->instance, "root_device_name", NULL);
    const char *ephemeral = ovo_str_or(ec2->instance, "default_ephemeral_device", NULL);
    const char *swap = ovo_str_or(ec2->instance, "default_swap_device", NULL);
    json_t *mapping;

    if (!root)
        return json_pack("{s:s, s:s, s:s, s:s}", "ami", "sda1", "ephemeral0", "sda2", "root",
                         "/dev/sda1", "swap", "sda3");
    mapping = json_pack("{s:s, s:s}", "ami", without_dev(root), "root", root);
    if (ephemeral && *ephemeral)
        json_object_set_new(mapping, "ephemeral0", metadata_text(ephemeral));
    if (swap && *swap)
        json_object_set_new(mapping, "swap", metadata_text(swap));
    map_bdms(mapping, ec2->extra->bdms);
    return mapping;
}

static void set_identities(json_t *doc, const Ovo *ids, bool with_kernel)
{
    static const struct {
        const char *field, *key;
        bool kernel;
    } rows[] = {
        {"ami_id", "ami-id", false},
        {"instance_id", "instance-id", false},
        {"kernel_id", "kernel-id", true},
        {"ramdisk_id", "ramdisk-id", true},
    };

    for (size_t i = 0; ids && i < G_N_ELEMENTS(rows); i++) {
        const char *value = ovo_str_or(ids, rows[i].field, NULL);

        if (rows[i].kernel ? with_kernel && value && *value : ovo_has(ids, rows[i].field))
            json_object_set_new(doc, rows[i].key, metadata_text(value));
    }
}

/* The odd "_name" member is what tells the metadata service how to list the key; nova leaves it in
 * the config drive's document too. */
static void set_public_key(json_t *doc, const Ovo *instance)
{
    const char *name = ovo_str_or(instance, "key_name", NULL);
    g_autofree char *listed = NULL;

    if (!name || !*name)
        return;
    listed = g_strdup_printf("0=%s", name);
    json_object_set_new(doc, "public-keys",
                        json_pack("{s:{s:s, s:o}}", "0", "_name", listed, "openssh-key",
                                  metadata_text(ovo_str_or(instance, "key_data", NULL))));
}

json_t *metadata_ec2(const MetadataEc2 *ec2, size_t version)
{
    const Ovo *instance = ec2->instance;
    g_autoptr(Ovo) ids = ovo_child(instance, "ec2_ids"), flavor = ovo_child(instance, "flavor");
    json_t *doc = json_object();

    set_identities(doc, ids, version >= V2007_12);
    json_object_set_new(doc, "ami-launch-index",
                        ovo_has_value(instance, "launch_index")
                            ? json_integer(ovo_i64_or(instance, "launch_index", 0))
                            : json_null());
    json_object_set_new(doc, "ami-manifest-path", json_string("FIXME"));
    json_object_set_new(doc, "hostname", metadata_text(ec2->hostname));
    json_object_set_new(doc, "local-ipv4", first_fixed_ip(ec2->network));
    json_object_set_new(doc, "reservation-id",
                        metadata_text(ovo_str_or(instance, "reservation_id", NULL)));
    json_object_set_new(doc, "security-groups", security_groups(ec2));
    set_public_key(doc, instance);
    if (version >= V2007_01) {
        json_object_set_new(doc, "local-hostname", metadata_text(ec2->hostname));
        json_object_set_new(doc, "public-hostname", metadata_text(ec2->hostname));
        json_object_set_new(doc, "public-ipv4", first_floating_ip(ec2->network));
    }
    if (version >= V2007_08)
        json_object_set_new(doc, "instance-type",
                            metadata_text(flavor ? ovo_str_or(flavor, "name", NULL) : NULL));
    if (version >= V2007_12)
        json_object_set_new(doc, "block-device-mapping", block_device_mapping(ec2));
    if (version >= V2008_02)
        json_object_set_new(
            doc, "placement",
            json_pack("{s:o}", "availability-zone", metadata_text(ec2->availability_zone)));
    if (version >= V2008_09)
        json_object_set_new(doc, "instance-action", json_string("none"));
    return doc;
}
