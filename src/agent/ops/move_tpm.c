/* The state of a TPM on its way; see move_tpm.h. */
#include "agent/ops/move_tpm.h"

#include "util/fs.h"
#include "util/log.h"

bool move_tpm_pack(const Move *move, GError **err)
{
    const VirtDriver *virt = move->agent->virt;
    g_autofree char *folder = disks_tpm_dir(move->agent->disks, move->uuid);

    return virt->ops->tpm_save(virt->self, move->uuid, folder, err);
}

bool move_tpm_unpack(const Move *move, GError **err)
{
    const VirtDriver *virt = move->agent->virt;
    g_autofree char *folder = disks_tpm_dir(move->agent->disks, move->uuid);

    if (!dv_exists(folder))
        return true;
    dv_debug(move->ctx, "the state of its TPM is taken from %s", folder);
    return virt->ops->tpm_restore(virt->self, move->uuid, folder, err) &&
           dv_remove_tree(folder, err);
}

bool move_tpm_drop(const Move *move, GError **err)
{
    g_autofree char *folder = disks_tpm_dir(move->agent->disks, move->uuid);

    return dv_remove_tree(folder, err);
}
