/* Feeds any bytes to the JSON reader of firmware descriptors: it ends, stays inside the text, and
 * says what is wrong or reports scalars with their paths. */
#include "virt/libvirt/jread.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Up to 32 levels, each with a member of the text or an index. */
static void look(void *arg, const char *path, const char *value)
{
    const size_t *size = arg;

    if (!path || !value || strlen(path) > 40 * (*size + 1))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GError) err = NULL;

    if (!jread(text, look, &size, &err) && dv_code(err) != DV_E_BAD_INPUT)
        abort();
    return 0;
}
