/* A guest as a domain: finding and listing it, what state it is in, defining, starting, and
 * destroying it; power.c turns it on and off.
 *
 * Only domains with nova's metadata element are ours to list; operations go by uuid, which is the
 * instance's, so they cannot hit another domain.
 * Sources    nova virt/libvirt/{guest,host,driver}.py (Zed): states, destroy and undefine flags. */
#include "virt/libvirt/libvirt_priv.h"

#include "util/log.h"
#include "virt/libvirt/caps.h"
#include "virt/vif/vif.h"

#include <libvirt/virterror.h>

/* clang-format off */
static const GuestState states[] = {
    [VIR_DOMAIN_NOSTATE]     = GUEST_STATE_NONE,
    [VIR_DOMAIN_RUNNING]     = GUEST_STATE_RUNNING,
    [VIR_DOMAIN_BLOCKED]     = GUEST_STATE_RUNNING,
    [VIR_DOMAIN_PAUSED]      = GUEST_STATE_PAUSED,
    [VIR_DOMAIN_SHUTDOWN]    = GUEST_STATE_OFF, /* shutting down: nova counts it as off, so do we */
    [VIR_DOMAIN_SHUTOFF]     = GUEST_STATE_OFF,
    [VIR_DOMAIN_CRASHED]     = GUEST_STATE_CRASHED,
    [VIR_DOMAIN_PMSUSPENDED] = GUEST_STATE_SUSPENDED,
};
/* clang-format on */

GuestState guest_state_of(int libvirt_state)
{
    return libvirt_state >= 0 && (size_t)libvirt_state < G_N_ELEMENTS(states)
               ? states[libvirt_state]
               : GUEST_STATE_NONE;
}

static bool lookup_by(LibvirtDriver *driver, virConnectPtr conn, const char *uuid,
                      virDomainPtr *out, GError **err)
{
    VIRT_CALL(driver->conn, "look up");
    *out = virDomainLookupByUUIDString(conn, uuid);
    return *out || virt_conn_last_code() == VIR_ERR_NO_DOMAIN ||
           virt_conn_fail(err, "looking up guest");
}

bool guest_lookup(LibvirtDriver *driver, const char *uuid, virDomainPtr *out, GError **err)
{
    g_auto(virConnectPtr) conn = NULL;

    return virt_conn_get(driver->conn, &conn, NULL, err) && lookup_by(driver, conn, uuid, out, err);
}

static bool is_there(const char *uuid, virDomainPtr domain, GError **err)
{
    return domain || dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is not there", uuid);
}

bool guest_find(LibvirtDriver *driver, const char *uuid, virDomainPtr *out, GError **err)
{
    return guest_lookup(driver, uuid, out, err) && is_there(uuid, *out, err);
}

bool guest_find_alone(LibvirtDriver *driver, const char *uuid, virDomainPtr *out, GError **err)
{
    g_auto(virConnectPtr) conn = NULL;

    return virt_conn_own(driver->conn, &conn, err) && lookup_by(driver, conn, uuid, out, err) &&
           is_there(uuid, *out, err);
}

bool guest_alone(LibvirtDriver *driver, virDomainPtr domain, virDomainPtr *out, GError **err)
{
    char uuid[VIR_UUID_STRING_BUFLEN];

    if (virDomainGetUUIDString(domain, uuid) < 0)
        return virt_conn_fail(err, "reading the guest's uuid");
    return guest_find_alone(driver, uuid, out, err);
}

/* --- listing --------------------------------------------------------------------------------- */

/* A domain's metadata does not change its owner: asked once, then remembered by uuid. */
static bool has_nova_metadata(LibvirtDriver *driver, virDomainPtr domain, const char *uuid)
{
    char *text;
    int known;

    dv_lock(&driver->lock);
    known = GPOINTER_TO_INT(g_hash_table_lookup(driver->ours, uuid));
    dv_unlock(&driver->lock);
    if (known != 0)
        return known == 2;
    text = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, XML_NOVA_NS, 0);
    if (!text && virt_conn_last_code() != VIR_ERR_NO_DOMAIN_METADATA)
        return false; /* gone meanwhile, or libvirt is */
    known = text ? 2 : 1;
    free(text);
    dv_lock(&driver->lock);
    g_hash_table_insert(driver->ours, g_strdup(uuid), GINT_TO_POINTER(known));
    dv_unlock(&driver->lock);
    return known == 2;
}

static int stat_int(const virDomainStatsRecord *record, const char *name)
{
    int value = -1;

    virTypedParamsGetInt(record->params, record->nparams, name, &value);
    return value;
}

static VirtGuest *read_record(LibvirtDriver *driver, const virDomainStatsRecord *record)
{
    VirtGuest *guest = g_new0(VirtGuest, 1);

    if (virDomainGetUUIDString(record->dom, guest->uuid) < 0 ||
        !has_nova_metadata(driver, record->dom, guest->uuid)) {
        virt_guest_free(guest);
        return NULL;
    }
    guest->name = g_strdup(virDomainGetName(record->dom));
    guest->state = guest_state_of(stat_int(record, "state.state"));
    return guest;
}

/* Uuids that are gone are forgotten, so that the table does not grow for ever. */
static void forget_absent(LibvirtDriver *driver, virDomainStatsRecordPtr *records, int count)
{
    g_autoptr(GHashTable) present = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer uuid;

    for (int i = 0; i < count; i++) {
        char text[VIR_UUID_STRING_BUFLEN];

        if (virDomainGetUUIDString(records[i]->dom, text) == 0)
            g_hash_table_add(present, g_strdup(text));
    }
    dv_lock(&driver->lock);
    g_hash_table_iter_init(&iter, driver->ours);
    while (g_hash_table_iter_next(&iter, &uuid, NULL)) {
        if (!g_hash_table_contains(present, uuid))
            g_hash_table_iter_remove(&iter);
    }
    dv_unlock(&driver->lock);
}

bool guest_list(void *self, GPtrArray **out, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virConnectPtr) conn = NULL;
    g_autoptr(GPtrArray) guests = g_ptr_array_new_with_free_func((GDestroyNotify)virt_guest_free);
    virDomainStatsRecordPtr *records = NULL;
    int count;

    if (!virt_conn_get(driver->conn, &conn, NULL, err))
        return false;
    VIRT_CALL(driver->conn, "list");
    count = virConnectGetAllDomainStats(conn, VIR_DOMAIN_STATS_STATE, &records, 0);
    if (count < 0)
        return virt_conn_fail(err, "listing guests");
    for (int i = 0; i < count; i++) {
        VirtGuest *guest = read_record(driver, records[i]);

        if (guest)
            g_ptr_array_add(guests, guest);
    }
    forget_absent(driver, records, count);
    virDomainStatsRecordListFree(records);
    *out = g_steal_pointer(&guests);
    return true;
}

bool guest_state(void *self, const char *uuid, GuestState *out, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;
    int state = VIR_DOMAIN_NOSTATE;

    if (!guest_lookup(driver, uuid, &domain, err))
        return false;
    *out = GUEST_STATE_NONE;
    if (!domain)
        return true;
    VIRT_CALL(driver->conn, "state");
    if (virDomainGetState(domain, &state, NULL, 0) < 0)
        return virt_conn_last_code() == VIR_ERR_NO_DOMAIN ||
               virt_conn_fail(err, "reading the guest's state");
    *out = guest_state_of(state);
    return true;
}

/* --- starting -------------------------------------------------------------------------------- */

bool guest_plug(void *self G_GNUC_UNUSED, const DvCtx *ctx, const GuestSpec *spec, GError **err)
{
    for (guint i = 0; i < spec->nics->len; i++) {
        if (!vif_plug(ctx, g_ptr_array_index(spec->nics, i), spec->uuid, err))
            return false;
    }
    return true;
}

bool guest_unplug(void *self G_GNUC_UNUSED, const DvCtx *ctx, const GuestSpec *spec, GError **err)
{
    bool ok = true;

    for (guint i = 0; i < spec->nics->len; i++)
        ok = vif_unplug(ctx, g_ptr_array_index(spec->nics, i), ok ? err : NULL) && ok;
    return ok;
}

static bool write_xml(LibvirtDriver *driver, const GuestSpec *spec, char **out, GError **err)
{
    g_autoptr(FirmwareList) firmwares = NULL;
    g_autoptr(HostCaps) caps = caps_get(driver, err);
    g_autofree int *serial_ports = NULL;
    XmlHost host;

    if (!caps)
        return false;
    if (spec->firmware == GUEST_FIRMWARE_UEFI && !(firmwares = firmware_load(NULL, err)))
        return false;
    if (!serial_ports_take(driver, spec, &serial_ports, err))
        return false;
    host = caps_xml_host(caps);
    host.cache_mode = driver->cache_mode;
    host.firmwares = firmwares;
    host.serial_ports = serial_ports;
    return xml_domain_write(spec, driver->config, &host, out, err);
}

bool guest_cpu(void *self, const GuestSpec *spec, VirtCpu **out, GError **err)
{
    LibvirtDriver *driver = self;
    g_autoptr(HostCaps) caps = caps_get(driver, err);
    XmlHost host;

    if (!caps)
        return false;
    host = caps_xml_host(caps);
    return xml_cpu_choose(spec, driver->config, &host, out, err);
}

static const unsigned undefine_flags[] = {
    VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_NVRAM |
        VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA,
    VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_NVRAM |
        VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA,
    VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA,
};

static bool has_tpm(virDomainPtr domain)
{
    char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE);
    g_autoptr(xmlDoc) doc = xml ? xml_parse(xml, "the guest's description", NULL) : NULL;
    g_autofree char *model = doc ? xml_find(doc, "/domain/devices/tpm/@model") : NULL;

    free(xml);
    return model != NULL;
}

/* Older libvirts and other drivers refuse flags that they do not know. Without the flag that keeps
 * it, the state of a TPM goes: such a guest's definition stays instead, and is replaced later. */
static bool undefine(LibvirtDriver *driver, virDomainPtr domain, bool keep_tpm, GError **err)
{
    unsigned tpm = keep_tpm ? VIR_DOMAIN_UNDEFINE_KEEP_TPM : VIR_DOMAIN_UNDEFINE_TPM;

    VIRT_CALL(driver->conn, "undefine");
    for (size_t i = 0; i < G_N_ELEMENTS(undefine_flags); i++) {
        if (virDomainUndefineFlags(domain, undefine_flags[i] | (i == 0 ? tpm : 0)) == 0 ||
            virt_conn_last_code() == VIR_ERR_NO_DOMAIN)
            return true;
        if (virt_conn_last_code() != VIR_ERR_INVALID_ARG)
            break;
        if (i == 0 && keep_tpm && has_tpm(domain))
            return true;
    }
    return virt_conn_fail(err, "undefining the guest");
}

/* A definition left behind is replaced; a running guest is not touched. */
static bool check_not_running(LibvirtDriver *driver, const char *uuid, GError **err)
{
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_lookup(driver, uuid, &domain, err))
        return false;
    if (!domain)
        return true;
    VIRT_CALL(driver->conn, "look up");
    return virDomainIsActive(domain) != 1 ||
           dv_fail(err, DV_E_INSTANCE_EXISTS, "guest %s runs already", uuid);
}

static bool define(LibvirtDriver *driver, const DvCtx *ctx, const GuestSpec *spec,
                   virDomainPtr *out, GError **err)
{
    g_auto(virConnectPtr) conn = NULL;
    g_autofree char *xml = NULL;

    if (!write_xml(driver, spec, &xml, err) || !virt_conn_get(driver->conn, &conn, NULL, err))
        return false;
    dv_debug(ctx, "domain XML: %s", xml);
    VIRT_CALL(driver->conn, "define");
    *out = virDomainDefineXMLFlags(conn, xml, 0);
    if (*out)
        return true;
    virt_conn_fail(err, "defining the guest");
    serial_ports_settle(driver, spec->uuid);
    return false;
}

bool guest_define(void *self, const DvCtx *ctx, const GuestSpec *spec, GError **err)
{
    g_auto(virDomainPtr) domain = NULL;

    return define(self, ctx, spec, &domain, err);
}

bool guest_define_xml(void *self, const DvCtx *ctx, const char *uuid, const char *xml, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virConnectPtr) conn = NULL;
    g_auto(virDomainPtr) domain = NULL;
    g_autoptr(xmlDoc) doc = xml_parse(xml, "the guest's description", err);
    g_autofree char *whose = NULL;

    if (!doc)
        return false;
    whose = xml_find(doc, "/domain/uuid");
    if (g_strcmp0(whose, uuid) != 0)
        return dv_fail(err, DV_E_HYPERVISOR, "no description of guest %s", uuid);
    if (!virt_conn_get(driver->conn, &conn, NULL, err))
        return false;
    dv_debug(ctx, "domain XML: %s", xml);
    VIRT_CALL(driver->conn, "define");
    domain = virDomainDefineXMLFlags(conn, xml, 0);
    return domain || virt_conn_fail(err, "defining the guest");
}

static bool create(LibvirtDriver *driver, virDomainPtr domain, bool paused, GError **err)
{
    g_auto(virDomainPtr) own = NULL;

    if (!guest_alone(driver, domain, &own, err))
        return false;
    VIRT_CALL(driver->conn, "start");
    return virDomainCreateWithFlags(own, paused ? VIR_DOMAIN_START_PAUSED : 0) == 0 ||
           virt_conn_fail(err, "starting the guest");
}

static bool define_and_start(LibvirtDriver *driver, const DvCtx *ctx, const GuestSpec *spec,
                             bool paused, GError **err)
{
    g_auto(virDomainPtr) domain = NULL;
    g_autoptr(GError) left = NULL;

    if (!define(driver, ctx, spec, &domain, err))
        return false;
    if (create(driver, domain, paused, err))
        return true;
    if (undefine(driver, domain, true, &left))
        serial_ports_give(driver, spec->uuid);
    else
        dv_warning(ctx, "a guest that did not start stays defined: %s", left->message);
    return false;
}

bool guest_start(void *self, const DvCtx *ctx, const GuestSpec *spec, bool paused, GError **err)
{
    LibvirtDriver *driver = self;
    virSecretPtr held = NULL;
    bool ok;

    if (!check_not_running(driver, spec->uuid, err) ||
        (spec->tpm_version && !secret_hold(driver, spec->uuid, &spec->tpm_secret, &held, err)))
        return false;
    ok = define_and_start(driver, ctx, spec, paused, err);
    secret_drop(driver, held);
    return ok;
}

/* --- destroying ------------------------------------------------------------------------------ */

static bool end(LibvirtDriver *driver, const DvCtx *ctx, const char *uuid, bool keep_tpm,
                GError **err)
{
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_lookup(driver, uuid, &domain, err))
        return false;
    if (!domain) {
        dv_debug(ctx, "guest %s is not defined, nothing to destroy", uuid);
        serial_ports_give(driver, uuid); /* of a guest that was expected, and did not come */
        return true;
    }
    if (!guest_domain_off(driver, domain, err) || !undefine(driver, domain, keep_tpm, err))
        return false;
    serial_ports_give(driver, uuid);
    return true;
}

bool guest_destroy(void *self, const DvCtx *ctx, const char *uuid, GError **err)
{
    return end(self, ctx, uuid, false, err);
}

bool guest_retire(void *self, const DvCtx *ctx, const char *uuid, GError **err)
{
    return end(self, ctx, uuid, true, err);
}

bool guest_undefine_left(LibvirtDriver *driver, const char *uuid, GError **err)
{
    g_auto(virDomainPtr) domain = NULL;

    if (!guest_lookup(driver, uuid, &domain, err))
        return false;
    if (!domain || virDomainIsActive(domain) != 0)
        return true;
    return undefine(driver, domain, false, err);
}

bool guest_describe(void *self, const char *uuid, char **out_xml, GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;
    char *xml;

    if (!guest_find(driver, uuid, &domain, err))
        return false;
    VIRT_CALL(driver->conn, "read XML");
    xml = virDomainGetXMLDesc(domain, 0);
    if (!xml)
        return virt_conn_last_code() == VIR_ERR_NO_DOMAIN
                   ? dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is gone", uuid)
                   : virt_conn_fail(err, "reading the guest's XML");
    *out_xml = g_strdup(xml);
    free(xml);
    return true;
}
