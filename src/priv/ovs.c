/* Bridges and ports of Open vSwitch; see priv.h.
 *
 * Words of ours become part of ovs-vsctl's small language, so each is held against what such a name
 * may be made of before.
 * Sources    ovs-vsctl(8); os-vif vif_plug_ovs/ovsdb/ovsdb_lib.py for a port's external_ids. */
#include "priv/priv.h"

#include "util/spawn.h"

#include <string.h>

#define VSCTL_TIMEOUT "--timeout=120" /* as [os_vif_ovs] ovs_vsctl_timeout has it by default */
#define SPAWN_TIMEOUT_MS (125 * 1000)

static bool vsctl(const char *const *argv, GError **err)
{
    return dv_spawn(&(DvSpawn){.argv = argv, .timeout_ms = SPAWN_TIMEOUT_MS}, NULL, err);
}

/* uuids, MAC addresses, datapath types */
static bool check_word(const char *word, const char *what, GError **err)
{
    if (word && *word &&
        strspn(word, "0123456789abcdefghijklmnopqrstuvwxyz"
                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ:_-") == strlen(word))
        return true;
    return dv_fail(err, DV_E_BAD_INPUT, "'%s' is no %s", word ? word : "(none)", what);
}

bool priv_ovs_bridge_create(const char *name, const char *datapath_type, GError **err)
{
    g_autofree char *type = g_strdup_printf("datapath_type=%s", datapath_type);
    /* The type comes after the name of a command that is left out when there is none. */
    const char *const argv[] = {
        "ovs-vsctl",   VSCTL_TIMEOUT, "--no-wait", "--",
        "--may-exist", "add-br",      name,        datapath_type ? "--" : NULL,
        "set",         "Bridge",      name,        type,
        NULL};

    if (!priv_check_name(name, err) ||
        (datapath_type && !check_word(datapath_type, "datapath type", err)))
        return false;
    return vsctl(argv, err) || dv_within(err, "creating OVS bridge %s", name);
}

bool priv_ovs_bridge_delete(const char *name, GError **err)
{
    const char *const argv[] = {"ovs-vsctl",   VSCTL_TIMEOUT, "--no-wait", "--",
                                "--if-exists", "del-br",      name,        NULL};

    if (!priv_check_name(name, err))
        return false;
    return vsctl(argv, err) || dv_within(err, "deleting OVS bridge %s", name);
}

bool priv_ovs_port_add(const PrivOvsPort *port, GError **err)
{
    g_autofree char *iface = g_strdup_printf("external_ids:iface-id=\"%s\"", port->iface_id);
    g_autofree char *mac = g_strdup_printf("external_ids:attached-mac=\"%s\"", port->mac);
    g_autofree char *vm = g_strdup_printf("external_ids:vm-uuid=\"%s\"", port->vm_uuid);
    const char *const argv[] = {
        "ovs-vsctl",   VSCTL_TIMEOUT, "--no-wait",  "--",
        "--may-exist", "add-port",    port->bridge, port->name,
        "--",          "set",         "Interface",  port->name,
        iface,         mac,           vm,           "external_ids:iface-status=active",
        NULL};

    if (!priv_check_name(port->bridge, err) || !priv_check_name(port->name, err) ||
        !check_word(port->iface_id, "interface id", err) ||
        !check_word(port->mac, "MAC address", err) || !check_word(port->vm_uuid, "uuid", err))
        return false;
    return vsctl(argv, err) || dv_within(err, "adding OVS port %s", port->name);
}

bool priv_ovs_port_delete(const char *name, GError **err)
{
    const char *const argv[] = {"ovs-vsctl",   VSCTL_TIMEOUT, "--no-wait", "--",
                                "--if-exists", "del-port",    name,        NULL};

    if (!priv_check_name(name, err))
        return false;
    return vsctl(argv, err) || dv_within(err, "deleting OVS port %s", name);
}
