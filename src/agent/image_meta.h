/* The image of an operation as nova's metadata dict, for guest_spec and the disks: what conductor
 * sends with a boot, and what a rebuild or rescue asks glance for.
 *
 * Threads    on a worker. */
#pragma once

#include "agent/agent.h"

/* Reads the record of image `id` into a dict: id, name, disk_format, container_format, size,
 * min_disk, min_ram, properties. DV_E_IMAGE_NOT_FOUND, DV_E_IMAGE_NOT_ACTIVE. */
bool image_meta_get(Agent *agent, const DvCtx *ctx, const char *id, Ovo **out, GError **err);
