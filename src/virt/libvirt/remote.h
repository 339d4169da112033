/* Another host's libvirt: a connection of its own for one thread and a short time, and storage
 * pools on folders there.
 *
 * Pools are made for the moment (transient) and gone at the end; where somebody has one on the same
 * folder already, which libvirt allows once, theirs is used and left.
 * Errors     DV_E_UNAVAILABLE: it cannot be reached, or was lost.
 * Threads    one at a time; nothing here is shared. */
#pragma once

#include "util/error.h"
#include "virt/libvirt/handles.h"

typedef struct RemotePool {
    virStoragePoolPtr pool;
    bool made_pool, made_folder;
} RemotePool;

/* Opens, and notices within half a minute when the other side falls silent. */
bool remote_open(const char *uri, virConnectPtr *out, GError **err);
/* DV_E_INSTANCE_EXISTS while a guest of that uuid is active there. */
bool remote_check_idle(virConnectPtr conn, const char *uuid, GError **err);

/* A pool on the folder. With `make`, a missing folder is made, owned as its parent is; else that is
 * DV_E_NOT_FOUND. `name` tells our pools of different purposes apart: one that an earlier process
 * left is replaced. */
bool remote_pool_open(virConnectPtr conn, const char *name, const char *folder, bool make,
                      RemotePool *out, GError **err);
/* Bytes free where the pool is. */
bool remote_pool_free_bytes(const RemotePool *pool, uint64_t *out, GError **err);
/* Ends the pool; the folder stays. Troubles are not told: the pool ends with its libvirtd. */
void remote_pool_close(RemotePool *pool);
/* Removes the folder when it is empty; else it stays, which is success, too. */
bool remote_remove_folder(virConnectPtr conn, const char *folder, GError **err);
/* <permissions> of a pool's or a volume's <target>; without both ids libvirtd's own remain. */
void remote_add_permissions(xmlNode *target, const char *mode, int64_t owner, int64_t group);
/* Owner and group of what the folder's pool says of it, -1: not known. */
bool remote_pool_owner(const RemotePool *pool, int64_t *out_owner, int64_t *out_group,
                       GError **err);
/* Calls fn with the pool, opened when it is none, and again with another one when that has ended
 * meanwhile (DV_E_CONFLICT): somebody's pool, which is used, ends when they are done. */
bool remote_pool_retry(virConnectPtr conn, const char *name, const char *folder,
                       bool (*fn)(const RemotePool *pool, void *arg, GError **err), void *arg,
                       RemotePool *pool, GError **err);

/* err from libvirt's last error; a full disk becomes DV_E_NO_SPACE, a pool that has ended
 * DV_E_CONFLICT. Always false. */
bool remote_conn_fail(GError **err, const char *what);
