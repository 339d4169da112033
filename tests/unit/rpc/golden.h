/* The golden vectors of data/oslo.json: what oslo.messaging 14.0.3 and nova 26 put on the wire. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <jansson.h>

static inline json_t *golden(const char *name)
{
    json_error_t why;
    json_t *all = json_load_file("tests/unit/rpc/data/oslo.json", 0, &why);
    json_t *one = json_incref(json_object_get(all, name));

    if (!one)
        fail_msg("golden vector %s: %s", name, why.text);
    json_decref(all);
    return one;
}
