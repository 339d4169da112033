/* The files of an instance on their way to the host it moves to cold: where they are to go, and
 * how.
 *
 * Where both hosts see the same instance directory nothing is sent. Otherwise the source writes
 * them into the other host's: over its libvirt, which needs no trust that live migration does not
 * need, and works whichever agent runs there; or by the commands of [libvirt]
 * remote_filesystem_transport, as nova does, where the operator has set it.
 *
 * Threads    on the operation's worker; blocks as long as a copy takes.
 * Sources    nova virt/libvirt/driver.py migrate_disk_and_power_off, _is_path_shared_with,
 *            compute/manager.py _is_instance_storage_shared (Zed). */
#pragma once

#include "agent/ops/move.h"

/* Whether `host`, which is not this one, has this host's instance directory, too: it is asked for a
 * file of the moment. Also true when there is no directory that could be asked for. */
bool move_files_shared(const Move *move, const char *host, bool *out, GError **err);

/* Makes the directory on the destination, and sees that `bytes` have room there; before anything
 * is done to the guest. */
bool move_files_begin(const Move *move, uint64_t bytes, GError **err);
/* Sends what was set aside. DV_E_DELETING when a delete has come in meanwhile. On failure nothing
 * that it sent stays. */
bool move_files_send(const Move *move, GError **err);
/* DiskArrival.fetch, on the destination; move is the arg. Over libvirt, whatever carries the rest:
 * a base file of the source's own is needed where no other way to it is known. */
bool move_files_fetch(void *move, const char *there, const char *here, GError **err);
/* The same with the address at which the other host is reached. Of `move` only agent, ctx and uuid
 * are read. */
bool move_files_fetch_at(const Move *move, const char *address, const char *there, const char *here,
                         GError **err);
/* Takes it away from the destination again, with the directory where it is empty then; troubles are
 * logged. To be called while what was sent is still set aside: its names are read there. */
void move_files_take_back(const Move *move);
