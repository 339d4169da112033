/* JSON text for the two columns of the compute node record that hold JSON in a string: cpu_info and
 * numa_topology. jansson stays out of virt; this writes and never parses.
 *
 * Layout     separators ", " and ": " as Python's json.dumps writes them. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct JText {
    GString *out;
    bool first; /* no comma before the next item */
} JText;

void jtext_init(JText *text);
/* The text so far; the writer is used up. Caller frees. */
char *jtext_take(JText *text);

/* `key` NULL: an item of an array, or the outermost value. `bracket` is '{' or '['. */
void jtext_open(JText *text, const char *key, char bracket);
void jtext_close(JText *text, char bracket);
void jtext_str(JText *text, const char *key, const char *value); /* NULL: null */
void jtext_int(JText *text, const char *key, int64_t value);
void jtext_bool(JText *text, const char *key, bool value);
void jtext_null(JText *text, const char *key);
