/* Message ids; see ids.h. */
#include "rpc/ids.h"

#include <glib.h>
#include <uuid/uuid.h>

void rpc_id_new(char out[RPC_ID_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uuid_t id;

    uuid_generate_random(id);
    for (size_t i = 0; i < sizeof id; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[RPC_ID_BYTES - 1] = '\0';
}
