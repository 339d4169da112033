/* What a server's TPM remembers, on its way with the disks: it lies beside them in a folder that
 * nova uses, too, so that either kind of agent finds it.
 *
 * Libvirt at the source keeps its own until the move is confirmed; on one host it goes on with it,
 * and what is packed is what it was before the move. A server without a TPM: nothing happens.
 * Threads    on the operation's worker.
 * Sources    nova virt/libvirt/utils.py save_and_migrate_vtpm_dir, restore_vtpm_dir (Zed). */
#pragma once

#include "agent/ops/move.h"

/* Puts it beside the disks, before they are set aside; the guest is off. */
bool move_tpm_pack(const Move *move, GError **err);
/* Gives libvirt what lies there, if anything, in place of what it has; the guest is off. Of `move`
 * only agent, ctx and uuid are read. */
bool move_tpm_unpack(const Move *move, GError **err);
/* Takes away what lies there. */
bool move_tpm_drop(const Move *move, GError **err);
