/* Taking a snapshot; see snapshot_take.h. */
#include "agent/ops/snapshot_take.h"

#include "agent/guest_tpm.h"
#include "agent/instance_load.h"
#include "agent/op.h"
#include "agent/ops/quiesce.h"
#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>

typedef struct Take {
    Agent *agent;
    const DvCtx *ctx;
    Ovo *instance;
    const char *uuid, *image_id;
    const SnapshotTask *task;
    GlanceImage *image;
    DiskSnapshot disk;
    bool live;       /* the guest runs on */
    bool was_active; /* running or paused: not live, it is to be saved */
    bool was_paused;
    bool is_saved; /* its memory, by us */
} Take;

/* ---- before anything is done ---- */

static bool take_image(void *self, GError **err)
{
    static const char *const attrs[] = {"system_metadata", NULL};
    Take *take = self;

    return instance_load(take->agent, take->ctx, take->instance, attrs, err) &&
           glance_image_get(take->agent->glance, take->ctx, take->image_id, &take->image, err);
}

static bool take_guest_state(void *self, GError **err)
{
    Take *take = self;
    const VirtDriver *virt = take->agent->virt;
    GuestState state = GUEST_STATE_NONE;

    if (!virt->ops->state(virt->self, take->uuid, &state, err))
        return false;
    if (state == GUEST_STATE_NONE)
        return dv_fail(err, DV_E_INSTANCE_NOT_RUNNING, "Instance %s is not running.", take->uuid);
    take->was_paused = state == GUEST_STATE_PAUSED;
    take->was_active = state == GUEST_STATE_RUNNING || take->was_paused;
    take->live = take->agent->config.live_snapshots &&
                 (take->was_active || state == GUEST_STATE_SUSPENDED);
    dv_info(take->ctx, "%s snapshot into image %s", take->live ? "live" : "cold", take->image_id);
    return !take->live || !quiesce_required(take->instance) || quiesce_check(take->instance, err);
}

static bool set_task(Take *take, const char *state, const char *expected, GError **err)
{
    const char *const from[] = {expected, NULL};

    ovo_set_str(take->instance, "task_state", state);
    return conductor_instance_save(take->agent->con, take->ctx, take->instance, from, err);
}

static bool take_pending(void *self, GError **err)
{
    Take *take = self;

    return !take->task || set_task(take, take->task->pending, take->task->start, err);
}

/* ---- the disk ---- */

static bool take_folder(void *self, GError **err)
{
    Take *take = self;

    return disks_snapshot_open(take->agent->disks, take->uuid, &take->disk, err);
}

static bool take_delta(void *self, GError **err)
{
    Take *take = self;

    return !take->live || disks_snapshot_delta(&take->disk, err);
}

/* A delete that has come in waits for nothing that can be given up. */
static bool should_stop(void *arg)
{
    const Take *take = arg;

    return agent_stopping(take->agent) || waits_closed(take->agent->waits, take->uuid);
}

static bool stopped(const Take *take, GError **err)
{
    if (waits_closed(take->agent->waits, take->uuid))
        return dv_fail(err, DV_E_DELETING, "the instance is being deleted");
    return dv_fail(err, DV_E_CANCELLED, "stopping before the snapshot was taken");
}

/* File systems are held only for the moment in which the copy ends. A guest that cannot do it is
 * copied as it is, as after a power failure, unless its image forbids that. */
static bool freeze(Take *take, bool *out_frozen, GError **err)
{
    const VirtDriver *virt = take->agent->virt;
    g_autoptr(GError) cause = NULL;

    *out_frozen = false;
    if (quiesce_check(take->instance, &cause) &&
        virt->ops->freeze(virt->self, take->ctx, take->uuid, &cause)) {
        *out_frozen = true;
        return true;
    }
    if (quiesce_required(take->instance)) {
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    dv_info(take->ctx, "file systems not frozen: %s", cause->message);
    return true;
}

static bool end_copy(Take *take, GError **err)
{
    const VirtDriver *virt = take->agent->virt;
    g_autoptr(GError) left = NULL;
    bool frozen = false;
    bool ok = freeze(take, &frozen, err);

    if (ok)
        ok = virt->ops->block_copy_end(virt->self, take->ctx, take->uuid, take->disk.disk_path,
                                       err);
    else if (!virt->ops->block_copy_end(virt->self, take->ctx, take->uuid, take->disk.disk_path,
                                        &left))
        dv_warning(take->ctx, "%s", left->message);
    if (frozen && !virt->ops->thaw(virt->self, take->ctx, take->uuid, ok ? err : NULL)) {
        dv_error(take->ctx, "the guest's file systems may still be frozen");
        ok = false;
    }
    return ok;
}

static bool take_copy(void *self, GError **err)
{
    Take *take = self;
    const VirtDriver *virt = take->agent->virt;
    const VirtBlockCopy copy = {.disk_path = take->disk.disk_path,
                                .copy_path = take->disk.delta_path,
                                .stop = should_stop,
                                .stop_arg = take};
    g_autoptr(GError) cause = NULL;

    if (!take->live)
        return true;
    if (virt->ops->block_copy(virt->self, take->ctx, take->uuid, &copy, &cause))
        return end_copy(take, err);
    if (dv_is(cause, DV_E_CANCELLED))
        return stopped(take, err);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

/* ---- a guest that is saved for the time of its snapshot ---- */

static bool take_suspend(void *self, GError **err)
{
    Take *take = self;
    const VirtDriver *virt = take->agent->virt;

    if (take->live || !take->was_active)
        return true;
    take->is_saved = virt->ops->save(virt->self, take->ctx, take->uuid, err);
    return take->is_saved;
}

/* From its saved memory, paused when it was paused. One that is being deleted stays off: it could
 * come up between its end and its removal. */
static bool take_resume(void *self, GError **err)
{
    Take *take = self;
    const VirtDriver *virt = take->agent->virt;
    g_auto(GuestSecret) keep = {0};
    const GuestSecret *secret = NULL;

    if (!take->is_saved)
        return true;
    if (waits_closed(take->agent->waits, take->uuid))
        return stopped(take, err);
    take->is_saved = false;
    return guest_tpm_launch(take->agent, take->ctx, take->instance, &keep, &secret, err) &&
           virt->ops->launch(virt->self, take->ctx, take->uuid, secret, take->was_paused, err);
}

static void take_undo_suspend(void *self)
{
    const Take *take = self;
    g_autoptr(GError) err = NULL;

    if (!take_resume(self, &err) && !dv_is(err, DV_E_DELETING))
        dv_error(take->ctx, "the guest was saved for a snapshot and does not come back: %s",
                 err->message);
}

/* ---- the image ---- */

static bool take_extract(void *self, GError **err)
{
    Take *take = self;

    return disks_snapshot_extract(take->agent->disks, &take->disk, take->live, err);
}

static bool take_uploading(void *self, GError **err)
{
    Take *take = self;

    return !take->task || set_task(take, take->task->uploading, take->task->pending, err);
}

static bool take_properties(void *self, GError **err)
{
    Take *take = self;
    const Ovo *instance = take->instance;
    const char *was = ovo_dict_str(instance, "system_metadata", "image_disk_format");
    const char *container = ovo_dict_str(instance, "system_metadata", "image_container_format");
    const GlanceSetting settings[] = {
        {"kernel_id", ovo_str_or(instance, "kernel_id", NULL)},
        {"image_location", "snapshot"},
        {"image_state", "available"},
        {"owner_id", ovo_str_or(instance, "project_id", NULL)},
        {"ramdisk_id", ovo_str_or(instance, "ramdisk_id", NULL)},
        {"os_type", ovo_str_or(instance, "os_type", NULL)},
        /* glance keeps the formats of an Amazon image together */
        {"disk_format", g_strcmp0(was, "ami") == 0 ? was : take->disk.image_format},
        {"container_format", container && *container ? container : "bare"},
    };

    return glance_image_update(take->agent->glance, take->ctx, take->image, settings,
                               G_N_ELEMENTS(settings), err);
}

static bool take_upload(void *self, GError **err)
{
    Take *take = self;
    dv_autofd int fd = open(take->disk.image_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return dv_fail_errno(err, errno, "opening", take->disk.image_path);
    return glance_upload(take->agent->glance, take->ctx, take->image_id, fd,
                         take->agent->config.glance_retries, err);
}

static const OpStep take_steps[] = {
    {"image", take_image, NULL},
    {"guest", take_guest_state, NULL},
    {"pending", take_pending, NULL},
    {"folder", take_folder, NULL}, /* goes in any case, when all is done */
    {"delta", take_delta, NULL},
    {"copy", take_copy, NULL},
    {"suspend", take_suspend, take_undo_suspend},
    {"extract", take_extract, NULL},
    {"resume", take_resume, NULL},
    {"uploading", take_uploading, NULL},
    {"properties", take_properties, NULL},
    {"upload", take_upload, NULL},
};

bool snapshot_take(Agent *agent, const DvCtx *ctx, Ovo *instance, const char *image_id,
                   const SnapshotTask *task, GError **err)
{
    Take take = {.agent = agent,
                 .ctx = ctx,
                 .instance = instance,
                 .uuid = ovo_str_or(instance, "uuid", ""),
                 .image_id = image_id,
                 .task = task};
    int64_t start_ms = dv_now_ms();
    bool ok = op_run("snapshot", take_steps, G_N_ELEMENTS(take_steps), &take, ctx, err);

    disks_snapshot_close(ctx, &take.disk);
    glance_image_free(take.image);
    if (ok)
        dv_info(ctx, "image %s uploaded after %d ms", image_id, (int)(dv_now_ms() - start_ms));
    return ok;
}

static bool is_active(Agent *agent, const DvCtx *ctx, const char *image_id)
{
    g_autoptr(GlanceImage) image = NULL;

    return glance_image_get(agent->glance, ctx, image_id, &image, NULL) &&
           strcmp(image->status, "active") == 0;
}

void snapshot_forget_image(Agent *agent, const DvCtx *ctx, const char *image_id, bool unless_active)
{
    g_autoptr(GError) err = NULL;

    if (unless_active && is_active(agent, ctx, image_id))
        return;
    if (!glance_image_delete(agent->glance, ctx, image_id, &err) &&
        !dv_is(err, DV_E_IMAGE_NOT_FOUND))
        dv_warning(ctx, "image %s stays without its data: %s", image_id, err->message);
}

/* ---- after a crash ---- */

/* Only a cold snapshot saves a guest, between these two states: one that is off then is ours. */
static void bring_back(Agent *agent, const DvCtx *ctx, Ovo *instance, const char *uuid)
{
    const char *vm_state = ovo_str_or(instance, "vm_state", "");
    bool paused = strcmp(vm_state, "paused") == 0;
    const VirtDriver *virt = agent->virt;
    GuestState state = GUEST_STATE_NONE;
    g_auto(GuestSecret) keep = {0};
    const GuestSecret *secret = NULL;
    g_autoptr(GError) err = NULL;

    if (agent->config.live_snapshots || (!paused && strcmp(vm_state, "active") != 0) ||
        strcmp(ovo_str_or(instance, "task_state", ""), "image_pending_upload") != 0)
        return;
    if (!virt->ops->state(virt->self, uuid, &state, &err) ||
        (state == GUEST_STATE_OFF &&
         (!guest_tpm_launch(agent, ctx, instance, &keep, &secret, &err) ||
          !virt->ops->launch(virt->self, ctx, uuid, secret, paused, &err))))
        dv_error(ctx, "the guest was saved for a snapshot and does not come back: %s",
                 err->message);
}

void snapshot_clean_up(Agent *agent, const DvCtx *ctx, Ovo *instance)
{
    const char *uuid = ovo_str_or(instance, "uuid", "");
    g_autofree char *dir = disks_instance_dir(agent->disks, uuid);
    g_autofree char *disk = g_build_filename(dir, "disk", NULL);
    const VirtDriver *virt = agent->virt;
    g_autoptr(GError) copy_err = NULL;
    g_autoptr(GError) thaw_err = NULL;

    if (virt->ops->block_copy_end(virt->self, ctx, uuid, disk, &copy_err))
        dv_warning(ctx, "ended a copy of the disk that the last run had left");
    else
        dv_debug(ctx, "%s", copy_err->message); /* there was none */
    if (quiesce_check(instance, NULL) && !virt->ops->thaw(virt->self, ctx, uuid, &thaw_err))
        dv_debug(ctx, "%s", thaw_err->message); /* nor does it need one */
    bring_back(agent, ctx, instance, uuid);
    disks_snapshot_forget(agent->disks, ctx, uuid);
}
