/* What differs between two conversations; see replay_compare.h. */
#include "fakes/replay_compare.h"

#include <glib.h>
#include <string.h>

typedef struct Said {
    json_t *message; /* own copy */
    char *name;
    bool gone;    /* taken out by a row */
    bool anytime; /* a row says that its place says nothing */
} Said;

typedef struct Side {
    GPtrArray *original; /* Said *, as they were sent: numbers count these */
    GPtrArray *order;    /* the same, borrowed, as the rows have put them */
} Side;

typedef struct Comparison {
    Side nova, ours;
} Comparison;

static void said_free(gpointer data)
{
    Said *said = data;

    json_decref(said->message);
    g_free(said->name);
    g_free(said);
}

/* "" when the conversation has no parts. */
static const char *part_of(const json_t *message)
{
    const char *part = json_string_value(json_object_get(message, "part"));

    return part ? part : "";
}

static void side_init(Side *side, const json_t *messages, const char *part)
{
    size_t i;
    json_t *message;

    side->original = g_ptr_array_new_with_free_func(said_free);
    side->order = g_ptr_array_new();
    json_array_foreach(messages, i, message)
    {
        Said *said;

        if (strcmp(part_of(message), part) != 0)
            continue;
        said = g_new0(Said, 1);
        said->message = json_deep_copy(message);
        json_object_del(said->message, "part");
        said->name = g_strdup_printf("%s %s", json_string_value(json_object_get(message, "to")),
                                     json_string_value(json_object_get(message, "call")));
        g_ptr_array_add(side->original, said);
        g_ptr_array_add(side->order, said);
    }
}

static void side_done(Side *side)
{
    g_ptr_array_unref(side->order);
    g_ptr_array_unref(side->original);
}

/* The messages that `what` names and that are still there. Array of borrowed Said. */
static GPtrArray *named(const Side *side, const char *what)
{
    g_auto(GStrv) parts = g_strsplit(what, "#", 2);
    guint64 wanted = parts[1] ? g_ascii_strtoull(parts[1], NULL, 10) : 0;
    GPtrArray *found = g_ptr_array_new();
    guint64 number = 0;

    for (guint i = 0; i < side->original->len; i++) {
        Said *said = side->original->pdata[i];

        if (!g_pattern_match_simple(parts[0], said->name))
            continue;
        number++;
        if (!said->gone && (!wanted || wanted == number))
            g_ptr_array_add(found, said);
    }
    return found;
}

static void take_out(Side *side, Said *said)
{
    said->gone = true;
    g_ptr_array_remove(side->order, said);
}

static bool only_reads(const Said *said)
{
    const char *call = json_string_value(json_object_get(said->message, "call"));
    const char *method = strchr(call, '.');

    return g_str_has_prefix(call, "GET ") || g_str_has_prefix(call, "HEAD ") ||
           (method && (g_str_has_prefix(method, ".get_") || strcmp(method, ".refresh") == 0));
}

static bool among(const Said *said, const GPtrArray *others)
{
    for (guint i = 0; i < others->len; i++) {
        if (json_equal(said->message, ((Said *)others->pdata[i])->message))
            return true;
    }
    return false;
}

/* ---- members ---- */

typedef void (*MemberFn)(json_t *parent, const char *name, size_t index, void *arg);

/* Calls `fn` for each member that `path` ("set/objects/ * /id") leads to. */
static void each_member(json_t *value, char **path, MemberFn fn, void *arg)
{
    bool last = !path[1];
    bool any = strcmp(path[0], "*") == 0;
    const char *name;
    json_t *item;
    void *next;
    size_t i;

    if (json_is_array(value) && any) {
        json_array_foreach(value, i, item)
        {
            if (last)
                fn(value, NULL, i, arg);
            else
                each_member(item, path + 1, fn, arg);
        }
    } else if (json_is_object(value)) {
        json_object_foreach_safe(value, next, name, item)
        {
            if (!g_pattern_match_simple(path[0], name))
                continue;
            if (last)
                fn(value, name, 0, arg);
            else
                each_member(item, path + 1, fn, arg);
        }
    }
}

static void remove_member(json_t *parent, const char *name, size_t index G_GNUC_UNUSED, void *arg)
{
    if (name)
        json_object_del(parent, name);
    *(bool *)arg = true;
}

static void blank_member(json_t *parent, const char *name, size_t index, void *arg)
{
    json_t *values = arg;

    json_array_append(values, name ? json_object_get(parent, name) : json_array_get(parent, index));
    if (name)
        json_object_set_new(parent, name, json_string("(whatever)"));
    else
        json_array_set_new(parent, index, json_string("(whatever)"));
}

static bool without_one(const Side *side, const char *what, const char *path)
{
    g_autoptr(GPtrArray) found = named(side, what);
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    bool removed = false;

    for (guint i = 0; i < found->len; i++)
        each_member(((Said *)found->pdata[i])->message, parts, remove_member, &removed);
    return removed;
}

/* Whether each of the members was there. */
static bool without(const Side *side, const char *what, const char *members)
{
    g_auto(GStrv) paths = g_strsplit(members, " ", -1);
    bool all = true;

    for (size_t i = 0; paths[i]; i++)
        all = without_one(side, what, paths[i]) && all;
    return all;
}

static json_t *blanked(const Side *side, const char *what, const char *path)
{
    g_autoptr(GPtrArray) found = named(side, what);
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    json_t *values = json_array();

    for (guint i = 0; i < found->len; i++)
        each_member(((Said *)found->pdata[i])->message, parts, blank_member, values);
    return values;
}

/* ---- edits: each says whether it changed anything ---- */

/* Takes out what the other side does not also ask for. */
static bool take_out_all(Side *side, const Side *other, const char *what)
{
    g_autoptr(GPtrArray) found = named(side, what);
    bool some = false;

    for (guint i = 0; i < found->len; i++) {
        if (only_reads(found->pdata[i]) && among(found->pdata[i], other->order))
            continue;
        take_out(side, found->pdata[i]);
        some = true;
    }
    return some;
}

static bool edit_less(Comparison *c, const ReplayRow *row)
{
    return take_out_all(&c->nova, &c->ours, row->what);
}

static bool edit_more(Comparison *c, const ReplayRow *row)
{
    return take_out_all(&c->ours, &c->nova, row->what);
}

static guint place(const Side *side, const Said *said)
{
    guint index = 0;

    g_ptr_array_find(side->order, said, &index);
    return index;
}

/* What conductor is to expect: that of the earlier message, when it has any. */
static json_t *joined_kwargs(const Said *early, const Said *late)
{
    json_t *kwargs = json_object_get(early->message, "kwargs");

    return json_incref(json_object_size(kwargs) ? kwargs
                                                : json_object_get(late->message, "kwargs"));
}

static bool edit_join(Comparison *c, const ReplayRow *row)
{
    g_autoptr(GPtrArray) from = named(&c->nova, row->what);
    g_autoptr(GPtrArray) into = named(&c->nova, row->arg);
    Said *one, *early, *late;
    json_t *set, *kwargs;

    if (from->len != 1 || into->len != 1)
        return false;
    one = into->pdata[0];
    early = from->pdata[0];
    late = one;
    if (place(&c->nova, early) > place(&c->nova, late)) {
        early = one;
        late = from->pdata[0];
    }
    set = json_deep_copy(json_object_get(early->message, "set"));
    json_object_update(set, json_object_get(late->message, "set"));
    kwargs = joined_kwargs(early, late);
    json_object_set_new(one->message, "set", set);
    json_object_set_new(one->message, "kwargs", kwargs);
    take_out(&c->nova, from->pdata[0]);
    return true;
}

/* All messages `what`, in their order, to before or after the one message `arg`. */
static bool move(Comparison *c, const ReplayRow *row, bool after)
{
    g_autoptr(GPtrArray) found = named(&c->nova, row->what);
    g_autoptr(GPtrArray) other = named(&c->nova, row->arg);

    if (found->len == 0 || other->len != 1)
        return false;
    for (guint i = 0; i < found->len; i++)
        g_ptr_array_remove(c->nova.order, found->pdata[i]);
    for (guint i = 0; i < found->len; i++) {
        guint at = place(&c->nova, other->pdata[0]);

        g_ptr_array_insert(c->nova.order, (int)(after ? at + 1 + i : at), found->pdata[i]);
    }
    return true;
}

static bool edit_after(Comparison *c, const ReplayRow *row)
{
    return move(c, row, true);
}

static bool edit_before(Comparison *c, const ReplayRow *row)
{
    return move(c, row, false);
}

static bool edit_without(Comparison *c, const ReplayRow *row)
{
    return without(&c->nova, row->what, row->arg);
}

static bool edit_with(Comparison *c, const ReplayRow *row)
{
    return without(&c->ours, row->what, row->arg);
}

static bool edit_other(Comparison *c, const ReplayRow *row)
{
    json_auto_t *theirs = blanked(&c->nova, row->what, row->arg);
    json_auto_t *ours = blanked(&c->ours, row->what, row->arg);

    return json_array_size(theirs) && json_array_size(ours) && !json_equal(theirs, ours);
}

static bool set_anytime(const Side *side, const char *what)
{
    g_autoptr(GPtrArray) found = named(side, what);

    for (guint i = 0; i < found->len; i++)
        ((Said *)found->pdata[i])->anytime = true;
    return found->len > 0;
}

static bool edit_anytime(Comparison *c, const ReplayRow *row)
{
    return set_anytime(&c->nova, row->what) && set_anytime(&c->ours, row->what);
}

static bool (*const edits[])(Comparison *c, const ReplayRow *row) = {
    [REPLAY_LESS] = edit_less,   [REPLAY_MORE] = edit_more,     [REPLAY_JOIN] = edit_join,
    [REPLAY_AFTER] = edit_after, [REPLAY_BEFORE] = edit_before, [REPLAY_WITHOUT] = edit_without,
    [REPLAY_WITH] = edit_with,   [REPLAY_OTHER] = edit_other,   [REPLAY_ANYTIME] = edit_anytime,
};

/* ---- what is left ---- */

static GPtrArray *of_kind(const Side *side, bool reads)
{
    GPtrArray *kind = g_ptr_array_new();

    for (guint i = 0; i < side->order->len; i++) {
        Said *said = side->order->pdata[i];

        if ((only_reads(said) || said->anytime) == reads)
            g_ptr_array_add(kind, said);
    }
    return kind;
}

static void print_value(const char *who, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;

    g_printerr("        %s: %.*s\n", who, 2000, text ? text : "(absent)");
    free(text);
}

static void print_difference(const char *path, const json_t *nova, const json_t *ours);

static void print_item_differences(const char *path, const json_t *nova, const json_t *ours)
{
    size_t i;
    json_t *item;

    json_array_foreach(nova, i, item)
    {
        g_autofree char *deeper = g_strdup_printf("%s/%zu", path, i);

        print_difference(deeper, item, json_array_get(ours, i));
    }
}

static void print_difference(const char *path, const json_t *nova, const json_t *ours)
{
    const char *name;
    json_t *item;

    if (json_equal(nova, ours))
        return;
    if (json_is_array(nova) && json_array_size(nova) == json_array_size(ours)) {
        print_item_differences(path, nova, ours);
        return;
    }
    if (!json_is_object(nova) || !json_is_object(ours)) {
        g_printerr("      %s\n", path);
        print_value("nova", nova);
        print_value("ours", ours);
        return;
    }
    json_object_foreach((json_t *)nova, name, item)
    {
        g_autofree char *deeper = g_strconcat(path, "/", name, NULL);
        const json_t *other = json_object_get(ours, name);

        print_difference(deeper, item, other);
    }
    json_object_foreach((json_t *)ours, name, item)
    {
        g_autofree char *deeper = g_strconcat(path, "/", name, NULL);

        if (!json_object_get(nova, name))
            print_difference(deeper, NULL, item);
    }
}

static void print_said(const char *mark, const Said *said)
{
    json_t *set = json_object_get(said->message, "set");
    g_autoptr(GString) fields = g_string_new(NULL);
    const char *name;
    json_t *item;

    json_object_foreach(set, name, item)
    {
        char *text = json_dumps(item, JSON_ENCODE_ANY);

        g_string_append_printf(fields, " %s=%.30s", name, text);
        free(text);
    }
    g_printerr("  %s %s%s\n", mark, said->name, fields->str);
}

/* Length of the longest common subsequence of names of a[i..] and b[j..]. */
static guint *common_lengths(const GPtrArray *a, const GPtrArray *b)
{
    guint width = b->len + 1;
    guint *length = g_new0(guint, (a->len + 1) * width);

    for (guint i = a->len; i-- > 0;) {
        for (guint j = b->len; j-- > 0;) {
            const Said *left = a->pdata[i];
            const Said *right = b->pdata[j];

            if (strcmp(left->name, right->name) == 0)
                length[i * width + j] = length[(i + 1) * width + j + 1] + 1;
            else
                length[i * width + j] = MAX(length[(i + 1) * width + j], length[i * width + j + 1]);
        }
    }
    return length;
}

static void print_sequences(const GPtrArray *nova, const GPtrArray *ours)
{
    g_autofree guint *length = common_lengths(nova, ours);
    guint width = ours->len + 1;
    guint i = 0;
    guint j = 0;

    while (i < nova->len || j < ours->len) {
        const Said *left = i < nova->len ? nova->pdata[i] : NULL;
        const Said *right = j < ours->len ? ours->pdata[j] : NULL;

        if (left && right && strcmp(left->name, right->name) == 0) {
            print_said(" ", right);
            print_difference("", left->message, right->message);
            i++;
            j++;
        } else if (left && (!right || length[(i + 1) * width + j] >= length[i * width + j + 1])) {
            print_said("- nova only:", left);
            i++;
        } else {
            print_said("+ ours only:", right);
            j++;
        }
    }
}

static bool same_sequence(const GPtrArray *nova, const GPtrArray *ours)
{
    bool same = nova->len == ours->len;

    for (guint i = 0; same && i < nova->len; i++)
        same = json_equal(((Said *)nova->pdata[i])->message, ((Said *)ours->pdata[i])->message);
    return same;
}

/* Every message of `some` is among `others`, which are whose? */
static bool all_among(const char *mark, const GPtrArray *some, const GPtrArray *others)
{
    bool all = true;

    for (guint i = 0; i < some->len; i++) {
        if (among(some->pdata[i], others))
            continue;
        all = false;
        print_said(mark, some->pdata[i]);
        print_value("args", json_object_get(((Said *)some->pdata[i])->message, "args"));
        print_value("kwargs", json_object_get(((Said *)some->pdata[i])->message, "kwargs"));
    }
    return all;
}

static bool reads_agree(const Comparison *c)
{
    g_autoptr(GPtrArray) nova = of_kind(&c->nova, true);
    g_autoptr(GPtrArray) ours = of_kind(&c->ours, true);
    bool less = all_among("- only nova reads:", nova, ours);
    bool more = all_among("+ only we read:", ours, nova);

    return less && more;
}

static bool changes_agree(const Comparison *c)
{
    g_autoptr(GPtrArray) nova = of_kind(&c->nova, false);
    g_autoptr(GPtrArray) ours = of_kind(&c->ours, false);

    if (same_sequence(nova, ours))
        return true;
    print_sequences(nova, ours);
    return false;
}

typedef enum { NOT_MEANT, MEANT, MUST_APPLY } Meant;

static Meant is_meant(const ReplayRow *row, const char *name)
{
    g_auto(GStrv) patterns = g_strsplit(row->in, " ", -1);

    for (size_t i = 0; patterns[i]; i++) {
        if (strcmp(patterns[i], name) == 0)
            return MUST_APPLY;
        if (g_pattern_match_simple(patterns[i], name))
            return MEANT;
    }
    return NOT_MEANT;
}

static void apply_rows(const char *name, Comparison *c, const ReplayRow *rows, size_t count,
                       bool *applied)
{
    for (size_t i = 0; i < count; i++)
        if (is_meant(&rows[i], name) != NOT_MEANT && edits[rows[i].edit](c, &rows[i]))
            applied[i] = true;
}

/* ---- parts ---- */

typedef struct Parts {
    GPtrArray *keys;     /* char *, as they first came; "" alone: it has none */
    GHashTable *applied; /* name -> bool[count] */
} Parts;

static void find_parts(GPtrArray *keys, const json_t *messages)
{
    size_t i;
    json_t *message;

    json_array_foreach(messages, i, message)
    {
        const char *part = part_of(message);

        if (!g_ptr_array_find_with_equal_func(keys, part, g_str_equal, NULL))
            g_ptr_array_add(keys, g_strdup(part));
    }
}

static bool *applied_in(Parts *parts, const char *name, size_t count)
{
    bool *applied = g_hash_table_lookup(parts->applied, name);

    if (!applied) {
        applied = g_new0(bool, count);
        g_hash_table_insert(parts->applied, g_strdup(name), applied);
    }
    return applied;
}

static bool compare_part(const char *part, Parts *parts, const char *name, const json_t *nova,
                         const json_t *ours, const ReplayRow *rows, size_t count)
{
    Comparison c = {0};
    bool changes, reads;

    side_init(&c.nova, nova, part);
    side_init(&c.ours, ours, part);
    apply_rows(name, &c, rows, count, applied_in(parts, name, count));
    changes = changes_agree(&c);
    reads = reads_agree(&c);
    if (*part && !(changes && reads))
        g_printerr("  ^ %s\n", part);
    side_done(&c.nova);
    side_done(&c.ours);
    return changes && reads;
}

/* Each row that names a part in full was needed in one of that name. */
static bool all_needed(const Parts *parts, const ReplayRow *rows, size_t count, bool *used)
{
    GHashTableIter iter;
    gpointer name, value;
    bool all = true;

    g_hash_table_iter_init(&iter, parts->applied);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        const bool *applied = value;

        for (size_t i = 0; i < count; i++) {
            used[i] = used[i] || applied[i];
            if (applied[i] || is_meant(&rows[i], name) != MUST_APPLY)
                continue;
            g_printerr("  useless in %s: %s %s (%s)\n", (const char *)name, rows[i].what,
                       rows[i].arg ? rows[i].arg : "", rows[i].reason);
            all = false;
        }
    }
    return all;
}

bool replay_compare(const char *name, const json_t *nova, const json_t *ours, const ReplayRow *rows,
                    size_t count, bool *used)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) applied = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    Parts parts = {keys, applied};
    bool same = true;

    find_parts(keys, nova);
    find_parts(keys, ours);
    for (guint i = 0; i < keys->len; i++) {
        const char *part = keys->pdata[i];
        g_auto(GStrv) words = g_strsplit(part, " ", 2);

        same = compare_part(part, &parts, *part ? words[0] : name, nova, ours, rows, count) && same;
    }
    return all_needed(&parts, rows, count, used) && same;
}
