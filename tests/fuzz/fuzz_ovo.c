/* Fuzzes the object layer: any text that parses as an object is read through every accessor,
 * written to, saved, updated with a part of itself and written out again. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "objects/ovo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_fields(const Ovo *ovo, int depth);

static void read_children(const Ovo *ovo, const char *field, int depth)
{
    g_autoptr(Ovo) child = ovo_child(ovo, field);

    if (child)
        read_fields(child, depth);
    for (size_t i = 0; i < MIN(ovo_count(ovo, field), 8); i++) {
        g_autoptr(Ovo) item = ovo_at(ovo, field, i);

        (void)ovo_str_at(ovo, field, i);
        if (item)
            read_fields(item, depth);
    }
}

static void read_fields(const Ovo *ovo, int depth)
{
    json_auto_t *json = ovo_json(ovo);
    json_t *fields = ovo_name(ovo) ? json_object_get(json, "nova_object.data") : json;
    const char *field, *text;
    json_t *value;
    int64_t i64;
    uint64_t u64;
    double real;
    bool flag;

    if (depth == 0)
        return;
    json_object_foreach(fields, field, value)
    {
        g_autoptr(GPtrArray) keys = ovo_dict_keys(ovo, field);

        (void)ovo_str(ovo, field, &text, NULL);
        (void)ovo_i64(ovo, field, &i64, NULL);
        (void)ovo_u64(ovo, field, &u64, NULL);
        (void)ovo_double(ovo, field, &real, NULL);
        (void)ovo_bool(ovo, field, &flag, NULL);
        (void)ovo_changed(ovo, field);
        for (guint i = 0; i < MIN(keys->len, 8); i++)
            (void)ovo_dict_str(ovo, field, keys->pdata[i]);
        read_children(ovo, field, depth - 1);
    }
}

static void write_fields(Ovo *ovo)
{
    static const char *const keep[] = {"uuid", "id", NULL};
    json_auto_t *json = ovo_json(ovo);
    json_auto_t *updates = json_deep_copy(json_object_get(json, "nova_object.data"));
    json_auto_t *saved = NULL;
    g_autoptr(Ovo) again = NULL;

    ovo_set_str(ovo, "host", "h");
    ovo_dict_set(ovo, "metadata", "k", "v");
    ovo_unset(ovo, "id");
    if (!ovo_any_changed(ovo))
        abort(); /* host or metadata is new, or both were set to these values before */
    saved = ovo_save_json(ovo, keep);
    again = ovo_view(saved, ovo_name(ovo), NULL);
    if (!again)
        abort(); /* what we save can be read */
    (void)ovo_apply_updates(ovo, updates, NULL);
    ovo_reset_changes(ovo);
    if (ovo_any_changed(ovo))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) ovo = ovo_parse(text, NULL, &err);
    g_autoptr(Ovo) copy = NULL;
    g_autofree char *written = NULL;

    if (!ovo) {
        if (!err)
            abort();
        return 0;
    }
    read_fields(ovo, 8);
    copy = ovo_copy(ovo);
    ovo_set_str(copy, "host", NULL); /* so that the writes below are news */
    write_fields(copy);
    written = ovo_text(copy);
    if (!written)
        abort();
    return 0;
}
