/* Writes the payloads of a notification as JSON, for tests/interop/notifications.
 *
 * Standard input: as in notification_input.h; or {"period": unit, "now_ms": n}; or {"args": dict,
 * "fault": {...}}. Standard output: the payloads; the audit period as [begin, end]; the payload of
 * a request that failed. */
#include "interop/notification_input.h"

#include <stdio.h>

static json_t *period(const json_t *input, GError **err)
{
    int64_t begin_ms = 0, end_ms = 0;
    const char *unit = text_of(input, "period");

    if (!notification_period(unit, json_integer_value(json_object_get(input, "now_ms")), &begin_ms,
                             &end_ms)) {
        dv_fail(err, DV_E_BAD_INPUT, "%s is no period", unit);
        return NULL;
    }
    return json_pack("[I, I]", (json_int_t)begin_ms, (json_int_t)end_ms);
}

static json_t *failed_request(json_t *input, GError **err)
{
    const json_t *why = json_object_get(input, "fault");
    g_autoptr(Ovo) args = ovo_view_dict(json_object_get(input, "args"), err);
    const NotificationFault fault = {
        .class_name = text_of(why, "class_name"),
        .message = text_of(why, "message"),
        .code = (int)json_integer_value(json_object_get(why, "code")),
    };

    return args ? notification_failed_request(&fault, args) : NULL;
}

int main(void)
{
    json_error_t where;
    json_auto_t *input = json_loadf(stdin, 0, &where), *output = NULL;
    g_autoptr(GError) err = NULL;

    if (!input) {
        fprintf(stderr, "input: %s\n", where.text);
        return 1;
    }
    if (json_object_get(input, "period"))
        output = period(input, &err);
    else if (json_object_get(input, "args"))
        output = failed_request(input, &err);
    else
        output = notification_answer(input, &err);
    if (!output) {
        fprintf(stderr, "%s\n", err->message);
        return 1;
    }
    return json_dumpf(output, stdout, 0) == 0 ? 0 : 1;
}
