/* The documents a guest reads from its config drive: OpenStack metadata in all versions of a
 * release, EC2 metadata, network data, user data, vendor data.
 *
 * Threads    pure functions.
 * Sources    nova api/metadata/base.py, virt/netutils.py (Zed). */
#pragma once

#include "objects/network_info.h"
#include "objects/ovo.h"

typedef struct MetadataFile {
    char *path; /* "openstack/latest/meta_data.json" */
    char *data;
    size_t length;
} MetadataFile;
void metadata_file_free(MetadataFile *file);

typedef struct MetadataExtra {
    const char *admin_password;    /* or NULL */
    const char *availability_zone; /* or NULL */
    const char *project_name;      /* or NULL */
    const Ovo *injected_files;     /* dict with field "files": list of [path, base64], or NULL */
} MetadataExtra;

/* All files, GPtrArray of MetadataFile with its free function; caller unrefs. */
GPtrArray *metadata_files(const Ovo *instance, const NetworkInfo *network,
                          const MetadataExtra *extra, GError **err);
