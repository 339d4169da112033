/* UEFI firmware of this host, by the descriptors that its packages install for QEMU.
 *
 * Ownership  the list owns its strings; results are borrowed from it.
 * Errors     DV_E_HYPERVISOR: no folder of descriptors; DV_E_BAD_INPUT names a file that is no
 * JSON. Threads    immutable once loaded. Sources    QEMU docs/interop/firmware.json; nova
 * virt/libvirt/host.py get_loader (Zed). */
#pragma once

#include "util/error.h"

typedef struct FirmwareList FirmwareList;

typedef struct Firmware {
    const char *executable, *nvram_template;
    bool requires_smm;
} Firmware;

/* Files of all folders that exist, each folder's by name. `dirs` NULL: where QEMU and the operator
 * put them. */
FirmwareList *firmware_load(const char *const *dirs, GError **err);
void firmware_list_free(FirmwareList *list);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FirmwareList, firmware_list_free)

/* The first firmware for that architecture and machine ("pc-q35-7.2", no alias) that has Secure
 * Boot, or has it not, as asked. False: there is none. */
bool firmware_find(const FirmwareList *list, const char *arch, const char *machine,
                   bool secure_boot, Firmware *out);
