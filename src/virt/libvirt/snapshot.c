/* Copying the disk of a running guest, and freezing its file systems.
 *
 * A copy is a block job of QEMU: a mirror into a file that we made. libvirt tells by an event when
 * both sides are the same. An event says when to look at the job, not how it stands: it may be of
 * an earlier job that has just been ended, and it may be lost with the connection it would come
 * through, so that the job is also looked at now and then. A job marked as transient is allowed
 * while the guest has a persistent definition: nothing is undefined for its time.
 * Threads    the event comes on libvirt-ev, which only notes it for the thread that waits.
 * Sources    libvirt virDomainBlockCopy; nova virt/libvirt/driver.py _live_snapshot (Zed). */
#include "virt/libvirt/libvirt_priv.h"

#include "util/clock.h"
#include "util/log.h"

#include <libvirt/virterror.h>

#define WAKE_MS 1000
#define LOOK_MS 10000 /* at the job, in case its event was lost */
#define AWAY_MAX_MS \
    60000 /* a libvirtd that restarts comes back by then, and the job is still there */

typedef enum CopyState { COPY_GOES_ON, COPY_SAME, COPY_GONE } CopyState;

/* One wait; libvirt-ev holds a reference as long as the event is registered. */
typedef struct CopyWait {
    gatomicrefcount refs;
    char *disk_path; /* [const] */
    DvMutex lock;
    DvCond changed;
    bool told DV_GUARDED_BY(lock); /* something has happened to a job of the disk */
} CopyWait;

/* ---- the event ---- */

static CopyWait *copy_wait_new(const char *disk_path)
{
    CopyWait *wait = g_new0(CopyWait, 1);

    g_atomic_ref_count_init(&wait->refs);
    wait->disk_path = g_strdup(disk_path);
    dv_mutex_init(&wait->lock);
    dv_cond_init(&wait->changed);
    return wait;
}

static void copy_wait_unref(void *arg)
{
    CopyWait *wait = arg;

    if (!g_atomic_ref_count_dec(&wait->refs))
        return;
    dv_cond_done(&wait->changed);
    dv_mutex_done(&wait->lock);
    g_free(wait->disk_path);
    g_free(wait);
}

static void on_block_job(virConnectPtr conn G_GNUC_UNUSED, virDomainPtr domain G_GNUC_UNUSED,
                         const char *disk, int type, int status G_GNUC_UNUSED, void *arg)
{
    CopyWait *wait = arg;

    if (type != VIR_DOMAIN_BLOCK_JOB_TYPE_COPY || g_strcmp0(disk, wait->disk_path) != 0)
        return;
    dv_lock(&wait->lock);
    wait->told = true;
    dv_cond_broadcast(&wait->changed);
    dv_unlock(&wait->lock);
}

/* The id of the registration, -1 when there is none: then looking at the job must do. */
static int listen_for(CopyWait *wait, virConnectPtr conn, virDomainPtr domain)
{
    int id;

    g_atomic_ref_count_inc(&wait->refs);
    id = virConnectDomainEventRegisterAny(conn, domain, VIR_DOMAIN_EVENT_ID_BLOCK_JOB,
                                          VIR_DOMAIN_EVENT_CALLBACK(on_block_job), wait,
                                          copy_wait_unref);
    if (id < 0)
        copy_wait_unref(wait);
    return id;
}

/* True: there is reason to look at the job. */
static bool wait_for_event(CopyWait *wait, int64_t timeout_ms)
{
    int64_t deadline = dv_now_ms() + timeout_ms;
    bool told;

    dv_lock(&wait->lock);
    while (!wait->told && dv_cond_wait_until(&wait->changed, &wait->lock, deadline))
        ;
    told = wait->told;
    wait->told = false;
    dv_unlock(&wait->lock);
    return told;
}

/* ---- the job ---- */

/* The files of a job are the same from when libvirt has written so into the disk's mirror element.
 * Its cursor does not tell: it is at its end before that, and off it again whenever the guest
 * writes. */
static bool mirror_is_ready(virDomainPtr domain, const char *disk_path)
{
    char *text = virDomainGetXMLDesc(domain, 0);
    g_autoptr(xmlDoc) doc = text ? xml_parse(text, "the guest", NULL) : NULL;
    g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
    g_autoptr(xmlXPathObject) found = NULL;
    bool ready = false;

    free(text);
    if (context)
        found = xmlXPathEvalExpression(
            BAD_CAST "/domain/devices/disk[mirror/@ready='yes']/source/@file", context);
    for (int i = 0; found && found->nodesetval && i < found->nodesetval->nodeNr; i++) {
        xmlChar *file = xmlNodeGetContent(found->nodesetval->nodeTab[i]);

        ready = ready || g_strcmp0((const char *)file, disk_path) == 0;
        xmlFree(file);
    }
    return ready;
}

static bool look_at_job(LibvirtDriver *driver, const char *uuid, const char *disk_path,
                        CopyState *out, GError **err)
{
    g_auto(virDomainPtr) domain = NULL;
    virDomainBlockJobInfo info = {0};
    int found;

    if (!guest_find(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "block job");
    found = virDomainGetBlockJobInfo(domain, disk_path, &info, 0);
    if (found < 0)
        return virt_conn_last_code() == VIR_ERR_NO_DOMAIN
                   ? dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is gone", uuid)
                   : virt_conn_fail(err, "looking at the copy");
    *out = COPY_GOES_ON;
    if (found == 0)
        *out = COPY_GONE;
    else if (mirror_is_ready(domain, disk_path))
        *out = COPY_SAME;
    return true;
}

static bool copy_failed(LibvirtDriver *driver, const char *uuid, GError **err)
{
    g_auto(virDomainPtr) domain = NULL;

    return guest_find(driver, uuid, &domain, err) &&
           dv_fail(err, DV_E_HYPERVISOR, "copying the disk: QEMU gave it up");
}

static bool wait_until_same(LibvirtDriver *driver, const char *uuid, const VirtBlockCopy *copy,
                            CopyWait *wait, bool listening, GError **err)
{
    int64_t away_since_ms = 0;
    int64_t look_at_ms = dv_now_ms() + (listening ? LOOK_MS : WAKE_MS);

    for (;;) {
        bool told = wait_for_event(wait, WAKE_MS);
        CopyState state = COPY_GOES_ON;
        g_autoptr(GError) cause = NULL;

        if (copy->stop && copy->stop(copy->stop_arg))
            return dv_fail(err, DV_E_CANCELLED, "copying the disk: stopped");
        if (told || dv_now_ms() >= look_at_ms) {
            bool ok = look_at_job(driver, uuid, copy->disk_path, &state, &cause);
            int64_t now_ms = dv_now_ms();

            look_at_ms = now_ms + (ok && listening ? LOOK_MS : WAKE_MS);
            if (ok)
                away_since_ms = 0;
            else if (!away_since_ms)
                away_since_ms = now_ms;
            if (!ok && (!dv_is(cause, DV_E_UNAVAILABLE) || now_ms - away_since_ms > AWAY_MAX_MS)) {
                g_propagate_error(err, g_steal_pointer(&cause));
                return false;
            }
        }
        if (state == COPY_SAME)
            return true;
        if (state == COPY_GONE)
            return copy_failed(driver, uuid, err);
    }
}

static char *copy_xml(const char *path)
{
    xmlNode *disk = NULL;
    g_autoptr(xmlDoc) doc = xml_new("disk", &disk);
    xmlNode *driver, *source;

    xml_attr(disk, "type", "file");
    driver = xml_add(disk, "driver");
    xml_attr(driver, "name", "qemu");
    xml_attr(driver, "type", "qcow2");
    source = xml_add(disk, "source");
    xml_attr(source, "file", path);
    return xml_text(doc);
}

/* A job that is there already is none of a live agent's. Failing is no reason to stop: the copy
 * would then be refused, with libvirt's reason. */
static void end_leftover(LibvirtDriver *driver, const DvCtx *ctx, virDomainPtr domain,
                         const char *disk_path)
{
    virDomainBlockJobInfo info = {0};

    VIRT_CALL(driver->conn, "block job");
    if (virDomainGetBlockJobInfo(domain, disk_path, &info, 0) <= 0)
        return;
    dv_warning(ctx, "a block job of an earlier run is under way on %s: ending it", disk_path);
    if (virDomainBlockJobAbort(domain, disk_path, 0) < 0)
        dv_debug(ctx, "it was not ended");
}

static bool start_copy(LibvirtDriver *driver, virDomainPtr domain, const VirtBlockCopy *copy,
                       GError **err)
{
    g_autofree char *xml = copy_xml(copy->copy_path);

    VIRT_CALL(driver->conn, "block copy");
    return virDomainBlockCopy(domain, copy->disk_path, xml, NULL, 0,
                              VIR_DOMAIN_BLOCK_COPY_SHALLOW | VIR_DOMAIN_BLOCK_COPY_REUSE_EXT |
                                  VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB) == 0 ||
           virt_conn_fail(err, "copying the disk");
}

static void abort_quietly(LibvirtDriver *driver, const DvCtx *ctx, const char *uuid,
                          const char *disk_path)
{
    g_autoptr(GError) err = NULL;

    if (!guest_block_copy_end(driver, ctx, uuid, disk_path, &err))
        dv_debug(ctx, "%s", err->message); /* what failed took the job with it */
}

bool guest_block_copy(void *self, const DvCtx *ctx, const char *uuid, const VirtBlockCopy *copy,
                      GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virConnectPtr) conn = NULL;
    g_auto(virDomainPtr) domain = NULL;
    CopyWait *wait;
    bool ok;
    int id;

    if (!virt_conn_get(driver->conn, &conn, NULL, err) || !guest_find(driver, uuid, &domain, err))
        return false;
    end_leftover(driver, ctx, domain, copy->disk_path);
    wait = copy_wait_new(copy->disk_path);
    id = listen_for(wait, conn, domain); /* before it can be ready */
    ok = start_copy(driver, domain, copy, err);
    if (ok && !wait_until_same(driver, uuid, copy, wait, id >= 0, err)) {
        abort_quietly(driver, ctx, uuid, copy->disk_path);
        ok = false;
    }
    if (id >= 0)
        virConnectDomainEventDeregisterAny(conn, id);
    copy_wait_unref(wait);
    return ok;
}

bool guest_block_copy_end(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                          const char *disk_path, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_find(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "end block copy");
    return virDomainBlockJobAbort(domain, disk_path, 0) == 0 ||
           virt_conn_fail(err, "ending the copy of the disk");
}

/* ---- file systems ---- */

bool guest_freeze(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_find_alone(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "freeze");
    return virDomainFSFreeze(domain, NULL, 0, 0) >= 0 ||
           virt_conn_fail(err, "freezing the guest's file systems");
}

bool guest_thaw(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_find_alone(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "thaw");
    return virDomainFSThaw(domain, NULL, 0, 0) >= 0 ||
           virt_conn_fail(err, "thawing the guest's file systems");
}
