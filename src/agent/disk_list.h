/* nova's disk_info: the disks of an instance that moves, told by the source to the destination as
 * the text of a JSON list.
 *
 * Sources    nova virt/libvirt/driver.py _get_instance_disk_info_from_config (Zed);
 *            docs/wire/flows.md. */
#pragma once

#include "virt/disk/disks.h"

/* facts: GPtrArray of DiskFacts. Caller frees. */
char *disk_list_write(const GPtrArray *facts);
/* GPtrArray of DiskFacts, paths as the other host has them; disks of formats that no host of ours
 * makes are left out. NULL with DV_E_BAD_INPUT. */
GPtrArray *disk_list_read(const char *text, GError **err);
