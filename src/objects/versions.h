/* Which version of each object to write for a control plane of a release, and the manifests
 * (object_versions) that object_class_action_versions wants.
 *
 * Threads    read-only tables.
 * Sources    nova 26.2.2 and 2026 development object registries. */
#pragma once

#include "util/error.h"

typedef struct json_t json_t;

typedef enum {
    NOVA_ZED,    /* service version 64 */
    NOVA_2023_1, /* 66 */
    NOVA_2024_1, /* 67 */
    NOVA_2025_1, /* 68 */
    NOVA_2025_2, /* 70 */
    NOVA_2026_1, /* 72 */
    NOVA_RELEASES
} NovaRelease;

/* "zed" -> NOVA_ZED; also antelope, bobcat, caracal, dalmatian, epoxy, flamingo, gazpacho and
 * 2023.1 ...; false when unknown. */
bool nova_release_parse(const char *name, NovaRelease *out);
/* The newest release whose service version is at most `service_version`. */
NovaRelease nova_release_of_service_version(int service_version);
const char *nova_release_name(NovaRelease release);
int nova_release_service_version(NovaRelease release);
/* "6.1" */
const char *nova_release_compute_rpc(NovaRelease release);

/* "2.7" for Instance on Zed; NULL for a class we do not know. */
const char *ovo_version_of(NovaRelease release, const char *name);
/* The manifest for `name`: {"Instance": "2.7", ...nested}. New reference; NULL when unknown. */
json_t *ovo_manifest(NovaRelease release, const char *name);
