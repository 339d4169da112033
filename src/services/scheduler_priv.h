/* The arguments of the fanouts, for tests. New references. */
#pragma once

#include "services/scheduler.h"

json_t *scheduler_update_args(const char *host, const Ovo *instances);
json_t *scheduler_delete_args(const char *host, const char *instance_uuid);
json_t *scheduler_sync_args(const char *host, const char *const *uuids);
