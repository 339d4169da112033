/* Shared by the documents of metadata.c. */
#pragma once

#include "objects/metadata.h"

/* network_data.json: links, networks, services; {} without any network. New reference. */
json_t *metadata_network(const NetworkInfo *network);

/* What all versions of the EC2 document are made of. */
typedef struct MetadataEc2 {
    const Ovo *instance;
    const NetworkInfo *network;
    const MetadataExtra *extra;
    const char *hostname;
    const char *availability_zone; /* or NULL */
} MetadataEc2;

#define METADATA_EC2_VERSIONS 9
extern const char *const metadata_ec2_versions[METADATA_EC2_VERSIONS]; /* oldest first */
/* meta-data.json of version number `version`. New reference. */
json_t *metadata_ec2(const MetadataEc2 *ec2, size_t version);

/* JSON text or null. New reference. */
json_t *metadata_text(const char *text);
