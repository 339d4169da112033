/* Space held for instances on their way in or out.
 *
 * While a resize or migration is not confirmed, the host that the instance is not counted on keeps
 * room for it: the one it comes to the new flavor, the one it left the old one, and for a resize on
 * one host whichever of the two the instance does not have now.
 * Sources    nova compute/resource_tracker.py _update_usage_from_migrations (Zed). */
#include "scheduler_hints/hint_priv.h"

#include "util/log.h"

#include <string.h>

/* A migration and the instance that it moves. */
typedef struct Move {
    Ovo *migration, *instance;
} Move;

static void move_free(gpointer data)
{
    Move *move = data;

    ovo_unref(move->migration);
    ovo_unref(move->instance);
    g_free(move);
}

static bool one_of(const char *text, const char *const *list)
{
    return text && g_strv_contains(list, text);
}

static bool is_moving(const Ovo *instance)
{
    static const char *const resize_vms[] = {"active", "stopped", NULL};
    static const char *const live_vms[] = {"active", "paused", NULL};
    static const char *const tasks[] = {
        "resize_prep",      "resize_migrating",
        "resize_migrated",  "resize_finish",
        "rebuilding",       "rebuild_block_device_mapping",
        "rebuild_spawning", NULL,
    };
    const char *vm = ovo_str_or(instance, "vm_state", NULL);
    const char *task = ovo_str_or(instance, "task_state", NULL);

    return g_strcmp0(vm, "resized") == 0 || (one_of(vm, resize_vms) && one_of(task, tasks)) ||
           (one_of(vm, live_vms) && g_strcmp0(task, "migrating") == 0);
}

/* *out stays NULL when the instance is not in the database any more. */
static bool instance_of(Tracker *tracker, const DvCtx *ctx, const char *uuid, GHashTable *by_uuid,
                        Ovo **out, GError **err)
{
    static const char *const attrs[] = {"flavor", "migration_context", NULL};
    g_autoptr(DvCtx) deleted = NULL;
    g_autoptr(GError) why = NULL;
    Ovo *here = g_hash_table_lookup(by_uuid, uuid);

    if (here) {
        *out = ovo_ref(here);
        return true;
    }
    deleted = dv_ctx_with_read_deleted(ctx, "yes");
    if (conductor_instance_get(tracker->con, deleted, uuid, attrs, out, &why))
        return true;
    if (dv_is(why, DV_E_INSTANCE_NOT_FOUND))
        return true;
    g_propagate_error(err, g_steal_pointer(&why));
    return dv_within(err, "instance %s of a migration", uuid);
}

static const char *last_touched(const Ovo *migration)
{
    return ovo_str_or(migration, "updated_at", ovo_str_or(migration, "created_at", ""));
}

/* Of several migrations of one instance the newest counts. Object times compare as text. */
static void keep_newest(GHashTable *moves, Ovo *migration, Ovo *instance)
{
    const char *uuid = ovo_str_or(instance, "uuid", "");
    const Move *other = g_hash_table_lookup(moves, uuid);
    Move *move;

    if (other && strcmp(last_touched(migration), last_touched(other->migration)) <= 0)
        return;
    move = g_new0(Move, 1);
    move->migration = ovo_ref(migration);
    move->instance = ovo_ref(instance);
    g_hash_table_replace(moves, g_strdup(uuid), move);
}

/* A record that the instance's own migration context contradicts is left from an operation that
 * broke off. */
static bool is_stale(Tracker *tracker, const DvCtx *ctx, const Move *move)
{
    g_autoptr(Ovo) context = ovo_child(move->instance, "migration_context");
    g_autoptr(GError) why = NULL;
    int64_t mine = ovo_i64_or(move->migration, "id", -1);
    int64_t theirs = context ? ovo_i64_or(context, "migration_id", mine) : mine;

    if (mine == theirs)
        return false;
    dv_info(ctx, "migration %ld of instance %s is stale, the instance is in %ld: marking as error",
            (long)mine, ovo_str_or(move->instance, "uuid", "?"), (long)theirs);
    ovo_set_str(move->migration, "status", "error");
    if (!conductor_save(tracker->con, ctx, move->migration, &why))
        dv_warning(ctx, "migration %ld stays as it is: %s", (long)mine, why->message);
    return true;
}

/* The flavor to hold space for, NULL for none. Only a resize changes the flavor. */
static Ovo *flavor_held(const Tracker *tracker, const char *node, const Move *move, bool tracked)
{
    const Ovo *migration = move->migration;
    const char *host = tracker->config.host;
    bool incoming = g_strcmp0(ovo_str_or(migration, "dest_compute", NULL), host) == 0 &&
                    g_strcmp0(ovo_str_or(migration, "dest_node", NULL), node) == 0;
    bool outbound = g_strcmp0(ovo_str_or(migration, "source_compute", NULL), host) == 0 &&
                    g_strcmp0(ovo_str_or(migration, "source_node", NULL), node) == 0;
    bool resize = strcmp(ovo_str_or(migration, "migration_type", ""), "resize") == 0;
    bool want_new;

    if (incoming && outbound)
        want_new = ovo_i64_or(move->instance, "instance_type_id", -1) ==
                   ovo_i64_or(migration, "old_instance_type_id", -2);
    else if (tracked || !(incoming || outbound))
        return NULL;
    else
        want_new = incoming;
    return ovo_child(move->instance, !resize ? "flavor" : want_new ? "new_flavor" : "old_flavor");
}

static bool collect(Tracker *tracker, const DvCtx *ctx, const Ovo *migrations, GHashTable *by_uuid,
                    GHashTable *moves, GError **err)
{
    for (size_t i = 0; i < ovo_count(migrations, NULL); i++) {
        g_autoptr(Ovo) migration = ovo_at(migrations, NULL, i);
        g_autoptr(Ovo) instance = NULL;
        const char *uuid;

        if (!migration)
            continue;
        if (!ovo_str(migration, "instance_uuid", &uuid, err) ||
            !instance_of(tracker, ctx, uuid, by_uuid, &instance, err))
            return false;
        if (instance && is_moving(instance))
            keep_newest(moves, migration, instance);
    }
    return true;
}

static bool hold(Tracker *tracker, const DvCtx *ctx, const char *node, const Move *move,
                 GHashTable *by_uuid, GHashTable *held, GError **err)
{
    const char *uuid = ovo_str_or(move->instance, "uuid", "");
    const Ovo *here = g_hash_table_lookup(by_uuid, uuid);
    g_autoptr(Ovo) flavor = flavor_held(tracker, node, move, here && hint_instance_counts(here));
    g_autoptr(GPtrArray) one = g_ptr_array_new();
    g_autoptr(GHashTable) roots = NULL;
    HintUsage usage;
    HintMove *entry;

    if (!flavor)
        return true;
    g_ptr_array_add(one, move->instance);
    if (!hint_roots(tracker, ctx, one, &roots, err))
        return false;
    if (!hint_flavor_usage(flavor, GPOINTER_TO_INT(g_hash_table_lookup(roots, uuid)) == ROOT_VOLUME,
                           &usage, err))
        return dv_within(err, "migration of instance %s", uuid);
    entry = g_new0(HintMove, 1);
    entry->usage = usage;
    g_hash_table_replace(held, g_strdup(uuid), entry);
    return true;
}

bool hint_moves(Tracker *tracker, const DvCtx *ctx, const Ovo *migrations, GHashTable *by_uuid,
                GHashTable **out, GError **err)
{
    g_autoptr(GHashTable) moves = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, move_free);
    g_autoptr(GHashTable) held = hint_moves_new();
    g_autofree char *node = tracker_node(tracker);
    GHashTableIter iter;
    gpointer move;

    if (!collect(tracker, ctx, migrations, by_uuid, moves, err))
        return false;
    g_hash_table_iter_init(&iter, moves);
    while (g_hash_table_iter_next(&iter, NULL, &move))
        if (!is_stale(tracker, ctx, move) && !hold(tracker, ctx, node, move, by_uuid, held, err))
            return false;
    *out = g_steal_pointer(&held);
    return true;
}
