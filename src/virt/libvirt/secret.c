/* The secret of a guest's TPM in libvirt: there while the guest starts, and at no other time.
 *
 * It is private (its value cannot be read back) and ephemeral (it is never written to disk).
 * Sources    nova virt/libvirt/host.py create_secret, driver.py _create_guest (Zed). */
#include "virt/libvirt/libvirt_priv.h"

#include "util/log.h"

#include <libvirt/virterror.h>
#include <string.h>

static char *describe(const char *guest_uuid, const GuestSecret *secret)
{
    xmlNode *root = NULL;
    g_autoptr(xmlDoc) doc = xml_new("secret", &root);
    xmlNode *usage;

    xml_attr(root, "ephemeral", "yes");
    xml_attr(root, "private", "yes");
    xml_add_text(root, "uuid", secret->uuid);
    usage = xml_add(root, "usage");
    xml_attr(usage, "type", "vtpm");
    xml_add_text(usage, "name", guest_uuid);
    return xml_text(doc);
}

static void undefine(virSecretPtr secret)
{
    if (secret && virSecretUndefine(secret) < 0)
        dv_warning(NULL, "the secret of a TPM stays in libvirt: %s", virGetLastErrorMessage());
}

/* One of the same guest that an earlier run left there under another uuid. */
static void undefine_left(virConnectPtr conn, const char *guest_uuid)
{
    g_auto(virSecretPtr)
        left = virSecretLookupByUsage(conn, VIR_SECRET_USAGE_TYPE_VTPM, guest_uuid);

    undefine(left);
}

bool secret_hold(LibvirtDriver *driver, const char *guest_uuid, const GuestSecret *secret,
                 virSecretPtr *out, GError **err)
{
    g_auto(virConnectPtr) conn = NULL;
    g_autofree char *xml = NULL;
    virSecretPtr made;

    if (!secret || !secret->uuid || !secret->value)
        return dv_fail(err, DV_E_INVALID, "Refusing to create an emulated TPM with no secret!");
    if (!virt_conn_get(driver->conn, &conn, NULL, err))
        return false;
    xml = describe(guest_uuid, secret);
    VIRT_CALL(driver->conn, "define secret");
    made = virSecretDefineXML(conn, xml, 0);
    if (!made && virt_conn_last_code() == VIR_ERR_INTERNAL_ERROR) {
        undefine_left(conn, guest_uuid);
        made = virSecretDefineXML(conn, xml, 0);
    }
    if (!made)
        return virt_conn_fail(err, "defining the secret of the guest's TPM");
    if (virSecretSetValue(made, (const unsigned char *)secret->value, strlen(secret->value), 0) <
        0) {
        virt_conn_fail(err, "setting the secret of the guest's TPM");
        undefine(made);
        virSecretFree(made);
        return false;
    }
    *out = made;
    return true;
}

void secret_drop(LibvirtDriver *driver, virSecretPtr secret)
{
    if (!secret)
        return;
    VIRT_CALL(driver->conn, "undefine secret");
    undefine(secret);
    virSecretFree(secret);
}
