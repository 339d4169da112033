/* The documents a guest reads from its config drive: OpenStack metadata in all versions of a
 * release, EC2 metadata, network data, user data, vendor data.
 *
 * The EC2 identities stand in instance.ec2_ids, which the boot request carries; where that is unset
 * the documents leave them out. Networks with `injected` set get no interfaces file (nova renders
 * one by a template of the operator's). Threads    pure functions. Sources    nova
 * api/metadata/base.py, virt/netutils.py (Zed). */
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
    const char *admin_password;         /* or NULL */
    const char *availability_zone;      /* or NULL */
    const char *project_name;           /* or NULL */
    const Ovo *injected_files;          /* dict with "injected_files": list of [path, base64] */
    const Ovo *bdms;                    /* BlockDeviceMappingList, or NULL */
    const char *const *security_groups; /* names; NULL: those of instance.security_groups */
    const char *dhcp_domain;            /* [api] dhcp_domain; NULL: its default */
    const char *ec2_skip_versions;      /* [api] config_drive_skip_versions; NULL: its default */
    const char *vendordata_json;        /* vendor_data.json; NULL: {} */
    const char *vendordata2_json;       /* vendor_data2.json; NULL: {"static": vendor_data.json} */
} MetadataExtra;

/* All files, GPtrArray of MetadataFile with its free function; caller unrefs. */
GPtrArray *metadata_files(const Ovo *instance, const NetworkInfo *network,
                          const MetadataExtra *extra, GError **err);
