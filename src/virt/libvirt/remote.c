/* Another host's libvirt; see remote.h. */
#include "virt/libvirt/remote.h"

#include "util/log.h"
#include "virt/libvirt/conn.h"
#include "virt/libvirt/xml_domain.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <string.h>

#define KEEPALIVE_S 5
#define KEEPALIVE_MISSED 6
#define POOL_TRIES 10
#define POOL_PAUSE_US 100000
#define FOLDER_MODE "0755"

bool remote_conn_fail(GError **err, const char *what)
{
    const virError *error = virGetLastError();
    const char *text = error && error->message ? error->message : "";
    bool full = (error && error->code == VIR_ERR_SYSTEM_ERROR && error->int1 == ENOSPC) ||
                strstr(text, "No space left on device");

    if (full)
        return dv_fail(err, DV_E_NO_SPACE, "%s: libvirt: %s", what, text);
    if (error && (error->code == VIR_ERR_NO_STORAGE_POOL ||
                  (error->code == VIR_ERR_OPERATION_INVALID && strstr(text, "is not active"))))
        return dv_fail(err, DV_E_CONFLICT, "%s: libvirt: %s", what, text);
    return virt_conn_fail(err, what);
}

/* One call at a time runs on this connection, for which libvirt's own keepalive is safe; see
 * hangup.h. */
bool remote_open(const char *uri, virConnectPtr *out, GError **err)
{
    virConnectPtr conn = virConnectOpen(uri);

    if (!conn) {
        const virError *error = virGetLastError();

        return dv_fail(err, DV_E_UNAVAILABLE, "libvirt at %s: %s", uri,
                       error && error->message ? error->message : "no reason given");
    }
    if (virConnectSetKeepAlive(conn, KEEPALIVE_S, KEEPALIVE_MISSED) < 0)
        dv_debug(NULL, "no keepalive on %s", uri);
    *out = conn;
    return true;
}

bool remote_check_idle(virConnectPtr conn, const char *uuid, GError **err)
{
    g_auto(virDomainPtr) domain = virDomainLookupByUUIDString(conn, uuid);
    int active;

    if (!domain)
        return virt_conn_last_code() == VIR_ERR_NO_DOMAIN ||
               remote_conn_fail(err, "looking for guest");
    active = virDomainIsActive(domain);
    if (active < 0)
        return remote_conn_fail(err, "looking at the guest");
    return active == 0 || dv_fail(err, DV_E_INSTANCE_EXISTS, "guest %s runs there", uuid);
}

/* ---- pools ---- */

void remote_add_permissions(xmlNode *target, const char *mode, int64_t owner, int64_t group)
{
    xmlNode *permissions = xml_add(target, "permissions");

    xml_add_text(permissions, "mode", mode);
    if (owner < 0 || group < 0)
        return;
    xml_add_u64(permissions, "owner", (uint64_t)owner);
    xml_add_u64(permissions, "group", (uint64_t)group);
}

static char *pool_xml(const char *name, const char *folder, int64_t owner, int64_t group)
{
    xmlNode *pool = NULL;
    g_autoptr(xmlDoc) doc = xml_new("pool", &pool);
    xmlNode *target;

    xml_attr(pool, "type", "dir");
    xml_add_text(pool, "name", name);
    target = xml_add(pool, "target");
    xml_add_text(target, "path", folder);
    remote_add_permissions(target, FOLDER_MODE, owner, group);
    return xml_text(doc);
}

/* What an earlier process left under our name. */
static void drop_stale(virConnectPtr conn, const char *name)
{
    g_auto(virStoragePoolPtr) stale = virStoragePoolLookupByName(conn, name);

    if (stale)
        virStoragePoolDestroy(stale);
}

/* Somebody's pool on the folder: true when there is one that can be used. */
static bool borrow_pool(virConnectPtr conn, const char *folder, RemotePool *out)
{
    virStoragePoolPtr pool = virStoragePoolLookupByTargetPath(conn, folder);

    if (!pool)
        return false;
    if (virStoragePoolIsActive(pool) == 1 && virStoragePoolRefresh(pool, 0) == 0) {
        *out = (RemotePool){.pool = pool};
        return true;
    }
    virStoragePoolFree(pool);
    return false;
}

/* A pool on a folder that is there; false with libvirt's last error set. Others may make one on the
 * same folder, or end it, just now. */
static bool pool_on(virConnectPtr conn, const char *name, const char *folder, RemotePool *out)
{
    g_autofree char *xml = pool_xml(name, folder, -1, -1);

    drop_stale(conn, name);
    for (unsigned i = 0; i < POOL_TRIES; i++) {
        if (borrow_pool(conn, folder, out))
            return true;
        out->pool = virStoragePoolCreateXML(conn, xml, 0);
        if (out->pool) {
            out->made_pool = true;
            return true;
        }
        if (virt_conn_last_code() != VIR_ERR_OPERATION_FAILED)
            return false;
        g_usleep(POOL_PAUSE_US);
    }
    return false;
}

bool remote_pool_owner(const RemotePool *pool, int64_t *out_owner, int64_t *out_group, GError **err)
{
    char *text = virStoragePoolGetXMLDesc(pool->pool, 0);
    g_autoptr(xmlDoc) doc = text ? xml_parse(text, "a pool", NULL) : NULL;
    g_autofree char *owner = doc ? xml_find(doc, "/pool/target/permissions/owner") : NULL;
    g_autofree char *group = doc ? xml_find(doc, "/pool/target/permissions/group") : NULL;

    if (!text)
        return remote_conn_fail(err, "looking at the folder");
    free(text);
    *out_owner = owner ? g_ascii_strtoll(owner, NULL, 10) : -1;
    *out_group = group ? g_ascii_strtoll(group, NULL, 10) : -1;
    return true;
}

bool remote_pool_retry(virConnectPtr conn, const char *name, const char *folder,
                       bool (*fn)(const RemotePool *pool, void *arg, GError **err), void *arg,
                       RemotePool *pool, GError **err)
{
    for (unsigned i = 0;; i++) {
        g_autoptr(GError) cause = NULL;

        if (!pool->pool && !pool_on(conn, name, folder, pool))
            return remote_conn_fail(err, folder);
        if (fn(pool, arg, &cause))
            return true;
        if (!dv_is(cause, DV_E_CONFLICT) || i >= POOL_TRIES) {
            g_propagate_error(err, g_steal_pointer(&cause));
            return false;
        }
        remote_pool_close(pool);
    }
}

static char *parent_name(const char *name)
{
    return g_strconcat(name, "-parent", NULL);
}

typedef struct Owner {
    int64_t user, group;
} Owner;

static bool read_owner(const RemotePool *pool, void *arg, GError **err)
{
    Owner *owner = arg;

    return remote_pool_owner(pool, &owner->user, &owner->group, err);
}

/* The folder does not exist: libvirtd makes it, for whoever owns its parent. */
static bool make_folder(virConnectPtr conn, const char *name, const char *folder, RemotePool *out,
                        GError **err)
{
    g_autofree char *parent = g_path_get_dirname(folder);
    g_autofree char *other = parent_name(name);
    g_autofree char *xml = NULL;
    RemotePool above = {0};
    Owner owner = {-1, -1};
    bool ok = remote_pool_retry(conn, other, parent, read_owner, &owner, &above, err);

    remote_pool_close(&above);
    if (!ok)
        return false;
    xml = pool_xml(name, folder, owner.user, owner.group);
    out->pool = virStoragePoolCreateXML(conn, xml, VIR_STORAGE_POOL_CREATE_WITH_BUILD);
    if (!out->pool)
        return remote_conn_fail(err, "making the folder");
    out->made_pool = true;
    out->made_folder = true;
    return true;
}

bool remote_pool_open(virConnectPtr conn, const char *name, const char *folder, bool make,
                      RemotePool *out, GError **err)
{
    *out = (RemotePool){0};
    if (pool_on(conn, name, folder, out))
        return true;
    if (make)
        return make_folder(conn, name, folder, out, err);
    return dv_fail(err, DV_E_NOT_FOUND, "%s: libvirt: %s", folder,
                   virGetLastError() ? virGetLastErrorMessage() : "no reason given");
}

bool remote_pool_free_bytes(const RemotePool *pool, uint64_t *out, GError **err)
{
    virStoragePoolInfo info;

    if (virStoragePoolGetInfo(pool->pool, &info) < 0)
        return remote_conn_fail(err, "looking at the folder");
    *out = info.available;
    return true;
}

void remote_pool_close(RemotePool *pool)
{
    if (pool->pool && pool->made_pool)
        virStoragePoolDestroy(pool->pool);
    if (pool->pool)
        virStoragePoolFree(pool->pool);
    *pool = (RemotePool){0};
}

/* A folder is a volume of its parent's pool, and deleting that is rmdir. */
static bool remove_volume(const RemotePool *pool, void *arg, GError **err)
{
    const char *name = arg;
    g_auto(virStorageVolPtr) volume = virStorageVolLookupByName(pool->pool, name);

    if (!volume)
        return virt_conn_last_code() == VIR_ERR_NO_STORAGE_VOL || remote_conn_fail(err, name);
    return virStorageVolDelete(volume, 0) == 0 || strstr(virGetLastErrorMessage(), "not empty") ||
           remote_conn_fail(err, name);
}

bool remote_remove_folder(virConnectPtr conn, const char *folder, GError **err)
{
    g_autofree char *parent = g_path_get_dirname(folder);
    g_autofree char *base = g_path_get_basename(folder);
    g_autofree char *name = g_strdup_printf("drover-%s-parent", base);
    RemotePool above = {0};
    bool ok = remote_pool_retry(conn, name, parent, remove_volume, base, &above, err);

    remote_pool_close(&above);
    return ok;
}
