/* The books: which instances this host carries, what they use, and nova's workload counters.
 *
 * Everything is summed up anew from the list of guests when the record is written, so that no
 * counter can drift. Two habits of nova's counters are kept because the scheduler and operators see
 * them: a key that was seen since the last audit stays with the value "0", and a fraction of a GiB
 * of swap is not counted. Callers hold the tracker's lock. */
#include "scheduler_hints/hint_priv.h"

#include <string.h>

static const char *const io_keys[] = {
    "num_vm_building",      "num_task_resize_migrating", "num_task_rebuilding",
    "num_task_resize_prep", "num_task_image_snapshot",   "num_task_image_backup",
    "num_task_rescuing",    "num_task_unshelving",
};

void hint_guest_free(HintGuest *guest)
{
    if (!guest)
        return;
    g_free(guest->uuid);
    g_free(guest->vm_state);
    g_free(guest->task_state);
    g_free(guest->os_type);
    g_free(guest->project_id);
    g_free(guest);
}

static void guest_destroy(gpointer guest)
{
    hint_guest_free(guest);
}

GHashTable *hint_moves_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

void hint_book_init(HintBook *book)
{
    *book = (HintBook){0};
    book->guests = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, guest_destroy);
    book->moves = hint_moves_new();
    book->keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

void hint_book_done(HintBook *book)
{
    g_clear_pointer(&book->guests, g_hash_table_unref);
    g_clear_pointer(&book->moves, g_hash_table_unref);
    g_clear_pointer(&book->keys, g_hash_table_unref);
}

/* ---- reading instances ---- */

bool hint_instance_counts(const Ovo *instance)
{
    const char *vm = ovo_str_or(instance, "vm_state", "");
    const char *task = ovo_str_or(instance, "task_state", "");

    return strcmp(vm, "deleted") != 0 &&
           (strcmp(vm, "shelved_offloaded") != 0 || strcmp(task, "spawning") == 0);
}

bool hint_flavor_usage(const Ovo *flavor, bool volume_root, HintUsage *out, GError **err)
{
    int64_t vcpus, memory_mib, root_gib;
    int64_t swap_mib = ovo_i64_or(flavor, "swap", 0);

    if (!ovo_i64(flavor, "vcpus", &vcpus, err) || !ovo_i64(flavor, "memory_mb", &memory_mib, err) ||
        !ovo_i64(flavor, "root_gb", &root_gib, err))
        return dv_within(err, "reading flavor");
    *out = (HintUsage){
        .vcpus = vcpus,
        .memory_mib = memory_mib,
        .disk_gib = (volume_root ? 0 : root_gib) + ovo_i64_or(flavor, "ephemeral_gb", 0) +
                    swap_mib / 1024,
    };
    return true;
}

HintGuest *hint_guest_read(const Ovo *instance, bool volume_root, GError **err)
{
    g_autoptr(HintGuest) guest = g_new0(HintGuest, 1);
    g_autoptr(Ovo) flavor = ovo_child(instance, "flavor");
    const char *uuid;

    /* Without the flavor the instance's own copy of its figures has to do: it lacks the swap. */
    if (!ovo_str(instance, "uuid", &uuid, err) ||
        !hint_flavor_usage(flavor ? flavor : instance, volume_root, &guest->usage, err))
        return NULL;
    guest->uuid = g_strdup(uuid);
    guest->vm_state = g_strdup(ovo_str_or(instance, "vm_state", NULL));
    guest->task_state = g_strdup(ovo_str_or(instance, "task_state", NULL));
    guest->os_type = g_strdup(ovo_str_or(instance, "os_type", NULL));
    guest->project_id = g_strdup(ovo_str_or(instance, "project_id", NULL));
    return g_steal_pointer(&guest);
}

/* ---- changes ---- */

/* The counter names a guest stands in, as nova spells them: null is "None". */
static void guest_keys(const HintGuest *guest, char *out[4])
{
    out[0] = g_strconcat("num_vm_", guest->vm_state ? guest->vm_state : "None", NULL);
    out[1] = g_strconcat("num_task_", guest->task_state ? guest->task_state : "None", NULL);
    out[2] = g_strconcat("num_os_type_", guest->os_type ? guest->os_type : "None", NULL);
    out[3] = g_strconcat("num_proj_", guest->project_id ? guest->project_id : "None", NULL);
}

static void remember_keys(HintBook *book, const HintGuest *guest)
{
    char *keys[4];

    guest_keys(guest, keys);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        g_hash_table_add(book->keys, keys[i]);
    g_hash_table_add(book->keys, g_strdup("num_instances"));
    g_hash_table_add(book->keys, g_strdup("io_workload"));
}

void hint_book_touch(HintBook *book, HintGuest *guest)
{
    guest->touched = ++book->time;
    if (!guest->gone)
        remember_keys(book, guest);
}

void hint_book_put(HintBook *book, HintGuest *guest)
{
    hint_book_touch(book, guest);
    g_hash_table_replace(book->guests, guest->uuid, guest);
}

HintGuest *hint_book_find(const HintBook *book, const char *uuid)
{
    HintGuest *guest = g_hash_table_lookup(book->guests, uuid);

    return guest && !guest->gone ? guest : NULL;
}

void hint_book_drop(HintBook *book, const char *uuid)
{
    HintGuest *guest = hint_book_find(book, uuid);

    if (!guest)
        return;
    guest->gone = true;
    guest->claiming = false;
    hint_book_touch(book, guest);
}

/* ---- moves ---- */

void hint_book_hold(HintBook *book, const char *uuid, const HintUsage *usage, bool claiming)
{
    HintMove *move = g_new0(HintMove, 1);

    move->usage = *usage;
    move->claiming = claiming;
    move->touched = ++book->time;
    g_hash_table_replace(book->moves, g_strdup(uuid), move);
}

void hint_book_release(HintBook *book, const char *uuid)
{
    HintMove *move = g_hash_table_lookup(book->moves, uuid);

    if (!move || move->gone)
        return;
    move->gone = true; /* an older listing must not bring it back */
    move->claiming = false;
    move->touched = ++book->time;
}

void hint_book_settle_move(HintBook *book, const char *uuid)
{
    HintMove *move = g_hash_table_lookup(book->moves, uuid);

    if (!move)
        return;
    move->claiming = false;
    move->touched = ++book->time;
}

/* Puts what changed here after `since` over the audit's table. */
static void keep_newer_moves(HintBook *book, GHashTable *fresh, uint64_t since)
{
    GHashTableIter iter;
    gpointer uuid, value;

    g_hash_table_iter_init(&iter, book->moves);
    while (g_hash_table_iter_next(&iter, &uuid, &value)) {
        HintMove *move = value;

        if (!move->claiming && move->touched <= since)
            continue;
        g_hash_table_iter_steal(&iter);
        g_hash_table_replace(fresh, uuid, move);
    }
}

/* ---- the audit's truth ---- */

void hint_book_rebuild(HintBook *book, GPtrArray *guests, GHashTable *moves, uint64_t since)
{
    GHashTable *fresh = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, guest_destroy);
    GHashTableIter iter;
    gpointer uuid, value;

    for (guint i = 0; i < guests->len; i++) {
        HintGuest *guest = g_steal_pointer(&guests->pdata[i]);

        g_hash_table_replace(fresh, guest->uuid, guest);
    }
    g_hash_table_iter_init(&iter, book->guests);
    while (g_hash_table_iter_next(&iter, &uuid, &value)) {
        HintGuest *guest = value;

        if (!guest->claiming && guest->touched <= since)
            continue;
        g_hash_table_iter_steal(&iter);
        g_hash_table_replace(fresh, guest->uuid, guest);
    }
    g_hash_table_unref(book->guests);
    book->guests = fresh;
    keep_newer_moves(book, moves, since);
    g_hash_table_unref(book->moves);
    book->moves = moves;
    book->time++;

    g_hash_table_remove_all(book->keys);
    g_hash_table_iter_init(&iter, book->guests);
    while (g_hash_table_iter_next(&iter, &uuid, &value))
        if (!((HintGuest *)value)->gone)
            remember_keys(book, value);
}

/* ---- sums ---- */

static void usage_add(HintUsage *sum, const HintUsage *usage)
{
    sum->vcpus += usage->vcpus;
    sum->memory_mib += usage->memory_mib;
    sum->disk_gib += usage->disk_gib;
}

static void count(GHashTable *counters, const char *key, int64_t n)
{
    gint64 *value = g_hash_table_lookup(counters, key);

    if (value)
        *value += n;
}

static int64_t counted(GHashTable *counters, const char *key)
{
    const gint64 *value = g_hash_table_lookup(counters, key);

    return value ? *value : 0;
}

/* All known keys with their present counts. */
static GHashTable *counters_of(const HintBook *book)
{
    GHashTable *counters = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    GHashTableIter iter;
    gpointer key, value;
    int64_t io = 0;

    g_hash_table_iter_init(&iter, book->keys);
    while (g_hash_table_iter_next(&iter, &key, &value))
        g_hash_table_insert(counters, g_strdup(key), g_new0(gint64, 1));
    g_hash_table_iter_init(&iter, book->guests);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const HintGuest *guest = value;
        char *keys[4];

        if (guest->gone)
            continue;
        count(counters, "num_instances", 1);
        guest_keys(guest, keys);
        for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
            count(counters, keys[i], 1);
            g_free(keys[i]);
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(io_keys); i++)
        io += counted(counters, io_keys[i]);
    count(counters, "io_workload", io);
    return counters;
}

void hint_book_read(HintBook *book, HintUsage reserved, HintRecord *out)
{
    g_autoptr(GHashTable) counters = counters_of(book);
    g_autofree char *failed = g_strdup_printf("%" G_GINT64_FORMAT, book->failed_builds);
    GHashTableIter iter;
    gpointer key, value;

    *out = (HintRecord){.used = reserved, .stats = ovo_new_dict()};
    g_hash_table_iter_init(&iter, book->guests);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const HintGuest *guest = value;

        if (!guest->gone)
            usage_add(&out->used, &guest->usage);
    }
    g_hash_table_iter_init(&iter, book->moves);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const HintMove *move = value;

        if (!move->gone)
            usage_add(&out->used, &move->usage);
    }
    out->guests = counted(counters, "num_instances");
    ovo_set_str(out->stats, "failed_builds", failed);
    g_hash_table_iter_init(&iter, counters);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, *(gint64 *)value);

        ovo_set_str(out->stats, key, text);
        if (g_str_has_prefix(key, "num_task") && !g_str_has_suffix(key, "None"))
            out->workload += *(gint64 *)value;
    }
}

void hint_record_done(HintRecord *record)
{
    g_clear_pointer(&record->stats, ovo_unref);
}
