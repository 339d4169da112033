/* check_instance_shared_storage: another host asks whether this one sees a file that it has made in
 * an instance directory of its own. The asking side is in move_files.c.
 * Sources    nova compute/manager.py check_instance_shared_storage (Zed). */
#include "agent/ops/ops.h"

#include "util/fs.h"

bool op_check_shared_storage(const OpCall *call, json_t **out_result, GError **err)
{
    g_autoptr(Ovo) data = ovo_child(call->args, "data");
    const char *path = NULL;

    if (!data)
        return dv_fail(err, DV_E_BAD_INPUT, "check_instance_shared_storage without data");
    if (!ovo_str(data, "filename", &path, err))
        return false;
    *out_result = ovo_value_bool(g_path_is_absolute(path) && dv_exists(path));
    return true;
}
