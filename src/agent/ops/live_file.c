/* What of a live migration must survive this process; see live.h.
 *
 * libvirt carries a migration on when the agent that asked for it dies. What the two hosts have
 * told each other is in messages only, and the next process needs it to end the migration: where
 * the ports are bound, whether the disks are shared. It may hold secrets (of TPMs), so that only we
 * may read it. */
#include "agent/ops/live.h"

#include "util/fs.h"
#include "util/log.h"

#include <string.h>

#define FOLDER "live_migrations"
#define SUFFIX ".json"
#define MAX_BYTES ((size_t)16 << 20)

static char *path_of(const Agent *agent, const char *uuid, GError **err)
{
    g_autofree char *name = g_strconcat(uuid, SUFFIX, NULL);

    if (!g_uuid_string_is_valid(uuid)) {
        dv_fail(err, DV_E_BAD_INPUT, "instance uuid %s: not a uuid", uuid);
        return NULL;
    }
    return g_build_filename(agent->config.state_path, FOLDER, name, NULL);
}

bool live_file_write(const Live *live, GError **err)
{
    g_autofree char *path = path_of(live->agent, live->uuid, err);
    g_autofree char *folder = path ? g_path_get_dirname(path) : NULL;
    g_autoptr(Ovo) kept = ovo_new_dict();
    g_autofree char *text = NULL;

    ovo_set_str(kept, "migration_uuid", ovo_str_or(live->migration, "uuid", ""));
    ovo_set_str(kept, "dest", live->dest);
    ovo_set_child(kept, "request", live->request);
    ovo_set_child(kept, "migrate_data", live->data);
    text = ovo_text(kept);
    return (path && dv_mkdirs(folder, 0700, err) &&
            dv_write_file(path, text, strlen(text), 0600, err)) ||
           dv_within(err, "keeping what the next start needs");
}

void live_file_remove(const Live *live)
{
    g_autofree char *path = path_of(live->agent, live->uuid, NULL);
    g_autoptr(GError) err = NULL;

    if (path && !dv_remove_tree(path, &err))
        dv_warning(live->ctx, "%s", err->message);
}

bool live_file_read(const Agent *agent, const char *uuid, const char *migration_uuid, Ovo **out,
                    GError **err)
{
    g_autofree char *path = path_of(agent, uuid, err);
    g_autofree char *text = NULL;
    g_autoptr(Ovo) kept = NULL;
    g_autoptr(GError) why = NULL;

    *out = NULL;
    if (!path)
        return false;
    if (!dv_read_file(path, MAX_BYTES, &text, NULL, &why)) {
        if (dv_is(why, DV_E_NOT_FOUND))
            return true;
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    kept = ovo_parse_dict(text, err);
    if (!kept)
        return dv_within(err, "what an earlier process kept of a live migration");
    if (g_strcmp0(ovo_str_or(kept, "migration_uuid", NULL), migration_uuid) == 0)
        *out = g_steal_pointer(&kept);
    return true;
}
