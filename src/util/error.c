/* Errors as GError with a closed list of codes; see error.h. */
#include "util/error.h"

#include <stdarg.h>

G_DEFINE_QUARK(dv - error, dv_error)

bool dv_fail(GError **err, DvErrorCode code, const char *fmt, ...)
{
    va_list args;

    if (!err)
        return false;
    va_start(args, fmt);
    *err = g_error_new_valist(DV_ERROR, (int)code, fmt, args);
    va_end(args);
    return false;
}

bool dv_within(GError **err, const char *fmt, ...)
{
    g_autofree char *context = NULL;
    va_list args;

    if (!err || !*err)
        return false;
    va_start(args, fmt);
    context = g_strdup_vprintf(fmt, args);
    va_end(args);
    g_prefix_error(err, "%s: ", context);
    return false;
}

DvErrorCode dv_code(const GError *err)
{
    if (!err || err->domain != DV_ERROR || err->code <= 0 || err->code >= DV_E_LAST)
        return DV_E_INTERNAL;
    return (DvErrorCode)err->code;
}

bool dv_is(const GError *err, DvErrorCode code)
{
    return err && dv_code(err) == code;
}

void dv_ignore(GError **err)
{
    g_clear_error(err);
}
