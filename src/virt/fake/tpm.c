/* TPMs of guests in memory: their state is the secret that it is under. */
#include "virt/fake/fake_priv.h"

#include "util/fs.h"

#include <string.h>

bool fake_tpm_start(FakeVirt *fake, const char *uuid, const char *secret_uuid,
                    const GuestSecret *secret, GError **err)
{
    const char *under = g_hash_table_lookup(fake->tpms, uuid);

    if (!secret || !secret->uuid || !secret->value)
        return dv_fail(err, DV_E_INVALID, "Refusing to create an emulated TPM with no secret!");
    if (strcmp(secret->uuid, secret_uuid) != 0)
        return dv_fail(err, DV_E_HYPERVISOR, "fake: no secret %s", secret_uuid);
    if (under && strcmp(under, secret->value) != 0)
        return dv_fail(err, DV_E_HYPERVISOR, "fake: the TPM's state is under another secret");
    if (!under)
        g_hash_table_insert(fake->tpms, g_strdup(uuid), g_strdup(secret->value));
    return true;
}

static char *state_folder(const char *folder, const char *uuid)
{
    return g_build_filename(folder, uuid, "tpm2", NULL);
}

bool fake_tpm_save(void *self, const char *uuid, const char *folder, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    g_autofree char *dir = state_folder(folder, uuid);
    g_autofree char *path = g_build_filename(dir, "tpm2-00.permall", NULL);
    g_autofree char *under = NULL;

    if (!fake_enter(fake, "tpm_save", err))
        return false;
    under = g_strdup(g_hash_table_lookup(fake->tpms, uuid));
    fake_leave(fake);
    return dv_remove_tree(folder, err) &&
           (!under ||
            (dv_mkdirs(dir, 0700, err) && dv_write_file(path, under, strlen(under), 0600, err)));
}

bool fake_tpm_restore(void *self, const char *uuid, const char *folder, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    g_autofree char *dir = state_folder(folder, uuid);
    g_autofree char *path = g_build_filename(dir, "tpm2-00.permall", NULL);
    g_autofree char *under = NULL;

    if (dv_exists(dir) && !dv_read_file(path, 4096, &under, NULL, err))
        return false;
    if (!fake_enter(fake, "tpm_restore", err))
        return false;
    if (under)
        g_hash_table_insert(fake->tpms, g_strdup(uuid), g_steal_pointer(&under));
    fake_leave(fake);
    return true;
}
