/* Devices that come and go while a guest lives: ports today.
 *
 * What a port needs on the host is there before its device and goes after it. A device is put into
 * the guest's definition and, when the guest runs or is paused, into the
 * guest. It is taken away from both as well. The definition gives it up at once; a running guest
 * has to let it go, which libvirt reports by an event, which a guest that does not listen never
 * causes, and which is asked for again [libvirt] device_detach_attempts times. Sources    nova
 * virt/libvirt/driver.py attach_interface, detach_interface, _detach_with_retry, guest.py
 * get_interface_by_cfg (Zed); libvirt virDomainDetachDeviceFlags. */
#include "virt/libvirt/libvirt_priv.h"

#include "util/clock.h"
#include "util/log.h"
#include "virt/vif/vif.h"

#include <libvirt/virterror.h>

#define DEFAULT_DETACH_ATTEMPTS 8
#define DEFAULT_DETACH_TIMEOUT_S 20
#define ENDING_PATIENCE_MS 5000
#define ENDING_PAUSE_MS 50

/* A guest and one of its devices, as the detach needs them. */
typedef struct Target {
    LibvirtDriver *driver;
    const DvCtx *ctx;
    virDomainPtr domain;
    const char *uuid;
    const NicSpec *nic;
} Target;

static bool lookup(LibvirtDriver *driver, const char *uuid, virDomainPtr *out, GError **err)
{
    if (!guest_lookup(driver, uuid, out, err))
        return false;
    return *out || dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is not there", uuid);
}

static bool is_live(virDomainPtr domain)
{
    return virDomainIsActive(domain) == 1;
}

/* ---- finding a port's device ---- */

static bool is_port_device(xmlDoc *doc, const char *path, const NicSpec *nic)
{
    g_autofree char *mac_path = g_strconcat(path, "/mac/@address", NULL);
    g_autofree char *dev_path = g_strconcat(path, "/target/@dev", NULL);
    g_autofree char *mac = xml_find(doc, mac_path);
    g_autofree char *dev = xml_find(doc, dev_path);

    /* Networks may share MACs: the tap device tells them apart. */
    return mac && g_ascii_strcasecmp(mac, nic->mac) == 0 &&
           (!dev || !nic->devname || g_str_equal(dev, nic->devname));
}

static char *element_text(xmlDoc *doc, const char *xpath)
{
    g_autoptr(xmlXPathContext) context = xmlXPathNewContext(doc);
    g_autoptr(xmlXPathObject) found = context ? xmlXPathEvalExpression(BAD_CAST xpath, context)
                                              : NULL;
    xmlBuffer *buffer;
    char *text;

    if (!found || xmlXPathNodeSetIsEmpty(found->nodesetval))
        return NULL;
    buffer = xmlBufferCreate();
    xmlNodeDump(buffer, doc, found->nodesetval->nodeTab[0], 0, 0);
    text = g_strdup((const char *)xmlBufferContent(buffer));
    xmlBufferFree(buffer);
    return text;
}

/* The port's <interface> in the definition (flags VIR_DOMAIN_XML_INACTIVE) or in the running guest
 * (0); *out NULL when there is none, or no guest any more. out_alias may be NULL. */
static bool find_nic(const Target *target, unsigned flags, char **out, char **out_alias,
                     GError **err)
{
    g_autoptr(xmlDoc) doc = NULL;
    char *xml;

    *out = NULL;
    {
        VIRT_CALL(target->driver->conn, "read XML");
        xml = virDomainGetXMLDesc(target->domain, flags);
    }
    if (!xml)
        return virt_conn_last_code() == VIR_ERR_NO_DOMAIN ||
               virt_conn_fail(err, "reading the guest's XML");
    doc = xml_parse(xml, "the guest's XML", err);
    free(xml);
    if (!doc)
        return false;
    for (unsigned i = 1;; i++) {
        g_autofree char *path = g_strdup_printf("/domain/devices/interface[%u]", i);
        g_autofree char *alias_path = g_strconcat(path, "/alias/@name", NULL);
        g_autofree char *there = xml_find(doc, path);

        if (!there)
            return true;
        if (!is_port_device(doc, path, target->nic))
            continue;
        *out = element_text(doc, path);
        if (out_alias)
            *out_alias = xml_find(doc, alias_path);
        return true;
    }
}

/* ---- nova's metadata element ---- */

static void remove_port(xmlNode *ports, const char *port_id)
{
    for (xmlNode *node = ports->children, *next; node; node = next) {
        xmlChar *id = node->type == XML_ELEMENT_NODE ? xmlGetNoNsProp(node, BAD_CAST "uuid") : NULL;

        next = node->next;
        if (id && g_str_equal((const char *)id, port_id)) {
            xmlUnlinkNode(node);
            xmlFreeNode(node);
        }
        xmlFree(id);
    }
}

/* The guest's <nova:ports> follows its ports. A guest that lacks the element is left as it is, and
 * a failure is nobody's concern: the element only tells people whose guest it is. */
static void update_metadata(const Target *target, bool there, unsigned affect)
{
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *ports;
    g_autofree char *text = NULL;
    char *old = virDomainGetMetadata(target->domain, VIR_DOMAIN_METADATA_ELEMENT, XML_NOVA_NS, 0);

    if (old && target->nic->port_id)
        doc = xml_parse(old, "the guest's metadata", NULL);
    free(old);
    ports = doc ? xml_child(xmlDocGetRootElement(doc), "ports") : NULL;
    if (!ports)
        return;
    remove_port(ports, target->nic->port_id);
    if (there)
        xml_port_add(ports, target->nic);
    text = xml_text(doc);
    {
        VIRT_CALL(target->driver->conn, "set metadata");
        if (virDomainSetMetadata(target->domain, VIR_DOMAIN_METADATA_ELEMENT, text, "nova",
                                 XML_NOVA_NS, affect) < 0) {
            g_autoptr(GError) err = NULL;

            virt_conn_fail(&err, "updating the guest's metadata");
            dv_warning(target->ctx, "%s", err->message);
        }
    }
}

/* ---- attaching ---- */

static bool attach(const Target *target, const char *xml, unsigned affect, GError **err)
{
    VIRT_CALL(target->driver->conn, "attach device");
    return virDomainAttachDeviceFlags(target->domain, xml, affect) == 0 ||
           virt_conn_fail(err, "attaching the port's device");
}

/* With err NULL, nobody is told of a failure but the log. */
static bool unplug(const Target *target, GError **err)
{
    g_autoptr(GError) cause = NULL;

    if (vif_unplug(target->ctx, target->nic, &cause))
        return true;
    if (err)
        g_propagate_error(err, g_steal_pointer(&cause));
    else
        dv_warning(target->ctx, "%s", cause->message);
    return false;
}

bool hotplug_attach_nic(void *self, const DvCtx *ctx, const char *uuid, const NicSpec *nic,
                        GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;
    Target target = {driver, ctx, NULL, uuid, nic};
    unsigned affect = VIR_DOMAIN_AFFECT_CONFIG;
    g_autofree char *xml = NULL;

    if (!lookup(driver, uuid, &domain, err) || !xml_nic_write(nic, driver->config, &xml, err) ||
        !vif_plug(ctx, nic, uuid, err))
        return false;
    target.domain = domain;
    if (is_live(domain))
        affect |= VIR_DOMAIN_AFFECT_LIVE;
    dv_debug(ctx, "attaching: %s", xml);
    if (!attach(&target, xml, affect, err)) {
        unplug(&target, NULL);
        return false;
    }
    update_metadata(&target, true, affect);
    return true;
}

/* ---- detaching ---- */

typedef enum { ASKED, ALREADY_GONE, REFUSED } Answer;

/* Asks once. What libvirt says of a device that is gone, or going already, depends on when it went.
 */
static Answer ask(const Target *target, const char *xml, unsigned affect, GError **err)
{
    const virError *error;
    const char *message;

    VIRT_CALL(target->driver->conn, "detach device");
    if (virDomainDetachDeviceFlags(target->domain, xml, affect) == 0)
        return ASKED;
    error = virGetLastError();
    message = error && error->message ? error->message : "";
    if (virt_conn_last_code() == VIR_ERR_DEVICE_MISSING ||
        virt_conn_last_code() == VIR_ERR_NO_DOMAIN ||
        (virt_conn_last_code() == VIR_ERR_OPERATION_FAILED && strstr(message, "not found")))
        return ALREADY_GONE;
    if (strstr(message, "already in the process of unplug"))
        return ASKED; /* by an earlier attempt, whose event is still to come */
    virt_conn_fail(err, "detaching the device");
    return REFUSED;
}

static bool detach_from_definition(const Target *target, GError **err)
{
    g_autofree char *xml = NULL;

    if (!virDomainIsPersistent(target->domain))
        return true;
    return find_nic(target, VIR_DOMAIN_XML_INACTIVE, &xml, NULL, err) &&
           (!xml || ask(target, xml, VIR_DOMAIN_AFFECT_CONFIG, err) != REFUSED);
}

/* A guest that ends while it is asked takes its devices along, and libvirt fails the call: with
 * what its monitor said, a moment before it counts the guest as off. */
static bool has_ended(const Target *target, const GError *refusal)
{
    int64_t deadline_ms = dv_now_ms() + ENDING_PATIENCE_MS;

    while (is_live(target->domain)) {
        if (!strstr(refusal->message, "monitor") || dv_now_ms() > deadline_ms)
            return false;
        g_usleep(ENDING_PAUSE_MS * 1000UL);
    }
    return true;
}

/* One attempt at the running guest. *out_gone: the device is not there any more. */
static bool try_live(const Target *target, int64_t timeout_ms, bool *out_gone, GError **err)
{
    g_autoptr(DeviceWait) wait = NULL;
    g_autofree char *xml = NULL;
    g_autofree char *alias = NULL;
    g_autoptr(GError) cause = NULL;
    Answer answer;

    *out_gone = true;
    if (!is_live(target->domain))
        return true;
    if (!find_nic(target, 0, &xml, &alias, err))
        return false;
    if (!xml)
        return true;
    *out_gone = false;
    wait = device_wait_new(target->driver->events, target->uuid, alias ? alias : "");
    answer = ask(target, xml, VIR_DOMAIN_AFFECT_LIVE, &cause);
    if (answer == ALREADY_GONE || (answer == REFUSED && has_ended(target, cause))) {
        *out_gone = true;
        return true;
    }
    if (answer == REFUSED) {
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    if (device_wait(wait, timeout_ms) == DEVICE_NOT_REMOVED)
        return dv_fail(err, DV_E_DEVICE_DETACH, "the guest refuses to let device %s go",
                       target->nic->devname);
    return true;
}

static bool detach_live(const Target *target, GError **err)
{
    const VirtConfig *config = target->driver->config;
    int64_t attempts = config->device_detach_attempts > 0 ? config->device_detach_attempts
                                                          : DEFAULT_DETACH_ATTEMPTS;
    int64_t timeout_s = config->device_detach_timeout_s > 0 ? config->device_detach_timeout_s
                                                            : DEFAULT_DETACH_TIMEOUT_S;

    /* The round after the last attempt only looks. */
    for (int64_t i = 0; i <= attempts; i++) {
        bool gone = false;

        if (i == attempts) {
            g_autofree char *xml = NULL;

            if (!find_nic(target, 0, &xml, NULL, err))
                return false;
            gone = !xml || !is_live(target->domain);
        } else if (!try_live(target, timeout_s * 1000, &gone, err)) {
            return false;
        }
        if (gone)
            return true;
    }
    return dv_fail(err, DV_E_DEVICE_DETACH,
                   "the guest did not let device %s go in %d attempts of %d s",
                   target->nic->devname, (int)attempts, (int)timeout_s);
}

bool hotplug_detach_nic(void *self, const DvCtx *ctx, const char *uuid, const NicSpec *nic,
                        GError **err)
{
    LibvirtDriver *driver = self;
    g_auto(virDomainPtr) domain = NULL;
    Target target = {driver, ctx, NULL, uuid, nic};
    unsigned affect = VIR_DOMAIN_AFFECT_CONFIG;
    bool gone;

    if (!nic->mac)
        return dv_fail(err, DV_E_BAD_INPUT, "a port without MAC");
    if (!lookup(driver, uuid, &domain, err))
        return false;
    target.domain = domain;
    gone = detach_from_definition(&target, err) && detach_live(&target, err);
    /* Also of a device that stays: libvirt forgets what it plugs only when it takes it away, and
     * the port is not the guest's any more. As nova does. */
    if (!unplug(&target, gone ? err : NULL) || !gone)
        return false;
    if (is_live(domain))
        affect |= VIR_DOMAIN_AFFECT_LIVE;
    update_metadata(&target, false, affect);
    return true;
}
