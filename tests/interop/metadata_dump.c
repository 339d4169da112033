/* Writes the config drive's files of a given instance as JSON, for tests/interop/metadata.
 *
 * Standard input: {"instance": primitive, "network_info": text or null, "extra": {...}}.
 * Standard output: {path: base64}. */
#include "objects/metadata.h"

#include <jansson.h>
#include <stdio.h>

static const char *text_of(const json_t *extra, const char *key)
{
    return json_string_value(json_object_get(extra, key));
}

/* Borrowed strings; the caller frees the array. NULL when there is no list. */
static const char **names_of(const json_t *list)
{
    const char **names;
    json_t *item;
    size_t i;

    if (!json_is_array(list))
        return NULL;
    names = g_new0(const char *, json_array_size(list) + 1);
    json_array_foreach(list, i, item) names[i] = json_string_value(item);
    return names;
}

static GPtrArray *make(json_t *input, GError **err)
{
    const json_t *extra = json_object_get(input, "extra");
    json_t *injected = json_object_get(extra, "injected_files");
    json_t *bdm_list = json_object_get(extra, "bdms");
    const char *network_text = text_of(input, "network_info");
    g_autofree const char **groups = names_of(json_object_get(extra, "security_groups"));
    g_autoptr(Ovo) instance = ovo_view(json_object_get(input, "instance"), "Instance", err);
    g_autoptr(Ovo) files = injected ? ovo_new_dict() : NULL;
    g_autoptr(Ovo) bdms = NULL;
    g_autoptr(NetworkInfo) network = NULL;
    MetadataExtra more = {.admin_password = text_of(extra, "admin_password"),
                          .security_groups = groups,
                          .dhcp_domain = text_of(extra, "dhcp_domain"),
                          .ec2_skip_versions = text_of(extra, "ec2_skip_versions"),
                          .vendordata_json = text_of(extra, "vendordata_json")};

    if (!instance)
        return NULL;
    if (network_text && !(network = network_info_parse(network_text, err)))
        return NULL;
    if (bdm_list && !(bdms = ovo_view(bdm_list, "BlockDeviceMappingList", err)))
        return NULL;
    if (files)
        ovo_set_json(files, "injected_files", json_incref(injected));
    more.injected_files = files;
    more.bdms = bdms;
    return metadata_files(instance, network, &more, err);
}

int main(void)
{
    json_error_t where;
    json_auto_t *input = json_loadf(stdin, 0, &where), *output = json_object();
    g_autoptr(GPtrArray) files = NULL;
    g_autoptr(GError) err = NULL;

    if (!input) {
        fprintf(stderr, "input: %s\n", where.text);
        return 1;
    }
    files = make(input, &err);
    if (!files) {
        fprintf(stderr, "%s\n", err->message);
        return 1;
    }
    for (guint i = 0; i < files->len; i++) {
        const MetadataFile *file = g_ptr_array_index(files, i);
        g_autofree char *data = g_base64_encode((const guchar *)file->data, file->length);

        if (json_object_get(output, file->path)) {
            fprintf(stderr, "%s: twice\n", file->path);
            return 1;
        }
        json_object_set_new(output, file->path, json_string(data));
    }
    return json_dumpf(output, stdout, 0) == 0 ? 0 : 1;
}
