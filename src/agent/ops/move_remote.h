/* What carries an instance's files to another host; the table behind move_files.h, and the rows
 * that run ssh, scp and rsync as nova's remote file systems do. */
#pragma once

#include "agent/ops/move.h"

typedef struct MoveCarrier {
    bool (*begin)(const Move *move, uint64_t bytes, GError **err);
    /* `names` of files set aside, NULL-terminated. */
    bool (*send)(const Move *move, const char *const *names, GError **err);
    bool (*take_back)(const Move *move, const char *const *names, GError **err);
} MoveCarrier;

/* For [libvirt] remote_filesystem_transport: "ssh" or "rsync". */
const MoveCarrier *move_remote_carrier(const char *transport);
