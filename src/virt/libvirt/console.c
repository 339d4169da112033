/* What a guest has written to its serial console, and where its consoles listen.
 *
 * virtlogd writes the console to <log file> and, when that reaches its limit, renames it to
 * .0, .1 ...; we read files only, never the pty: a reader of the pty would take output away from
 * a later nova-compute.
 * Sources    nova virt/libvirt/driver.py get_console_output, get_vnc_console, get_spice_console,
 *            get_serial_console (Zed). */
#include "virt/libvirt/libvirt_priv.h"

#include "util/fs.h"

#define MAX_ROTATED_FILES 10

static bool read_live_xml(LibvirtDriver *driver, const char *uuid, xmlDoc **out, GError **err)
{
    g_autofree char *text = NULL;

    if (!guest_describe(driver, uuid, &text, err))
        return false;
    *out = xml_parse(text, "the guest's XML", err);
    return *out != NULL;
}

/* Puts the tail of `path` in front of *tail; false when the file is not there. */
static bool prepend_tail(const char *path, size_t max_bytes, GByteArray *tail, GError **err)
{
    g_autofree char *text = NULL;
    size_t length = 0;

    if (!dv_exists(path))
        return false;
    if (!dv_read_tail(path, max_bytes - tail->len, &text, &length, err))
        return false;
    g_byte_array_prepend(tail, (const guint8 *)text, (guint)length);
    return true;
}

static bool read_log(const char *path, size_t max_bytes, GByteArray *tail, GError **err)
{
    g_autoptr(GError) cause = NULL;
    bool more = prepend_tail(path, max_bytes, tail, &cause);

    for (int i = 0; more && i < MAX_ROTATED_FILES && tail->len < max_bytes; i++) {
        g_autofree char *rotated = g_strdup_printf("%s.%d", path, i);

        more = prepend_tail(rotated, max_bytes, tail, &cause);
    }
    if (cause && !dv_is(cause, DV_E_NOT_FOUND)) { /* rotated away under us is no failure */
        g_propagate_error(err, g_steal_pointer(&cause));
        return dv_within(err, "reading the console log");
    }
    return true;
}

bool console_output(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, size_t max_bytes,
                    char **out, size_t *out_length, GError **err)
{
    g_autoptr(xmlDoc) doc = NULL;
    g_autoptr(GByteArray) tail = g_byte_array_new();
    g_autofree char *path = NULL;

    if (!read_live_xml(self, uuid, &doc, err))
        return false;
    path = xml_find(doc, "/domain/devices/*[self::serial or self::console]/log/@file");
    if (!path)
        return dv_fail(err, DV_E_CONSOLE_NOT_AVAILABLE, "guest %s has no console log", uuid);
    if (!read_log(path, MIN(max_bytes, G_MAXUINT - 1), tail, err))
        return false;
    if (out_length)
        *out_length = tail->len;
    g_byte_array_append(tail, (const guint8 *)"", 1);
    *out = (char *)g_byte_array_free(g_steal_pointer(&tail), FALSE);
    return true;
}

/* A port number of the XML; 0 for none and for -1, which stands for "at the next start". */
static int port_at(xmlDoc *doc, const char *xpath)
{
    g_autofree char *text = xml_find(doc, xpath);
    guint64 number = 0;

    if (!text || !g_ascii_string_to_unsigned(text, 10, 1, 65535, &number, NULL))
        return 0;
    return (int)number;
}

/* clang-format off */
static const struct {
    const char *name, *port, *tls_port, *host;
} kinds[] = {
    [VIRT_CONSOLE_VNC] = {"VNC server", "/domain/devices/graphics[@type='vnc']/@port", NULL,
                          "/domain/devices/graphics[@type='vnc']/@listen"},
    [VIRT_CONSOLE_SPICE] = {"SPICE server", "/domain/devices/graphics[@type='spice']/@port",
                            "/domain/devices/graphics[@type='spice']/@tlsPort",
                            "/domain/devices/graphics[@type='spice']/@listen"},
    /* x86 has serial devices; where there are none, a console device stands for them */
    [VIRT_CONSOLE_SERIAL] = {"serial port on TCP",
        "/domain/devices/*[self::serial or self::console][@type='tcp']/source[@mode='bind']/@service",
        NULL,
        "/domain/devices/*[self::serial or self::console][@type='tcp']/source[@mode='bind']/@host"},
};
/* clang-format on */

bool console_address(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                     VirtConsoleKind kind, VirtConsole *out, GError **err)
{
    g_autoptr(xmlDoc) doc = NULL;
    VirtConsole console = {0};

    if (!read_live_xml(self, uuid, &doc, err))
        return false;
    console.port = port_at(doc, kinds[kind].port);
    console.tls_port = kinds[kind].tls_port ? port_at(doc, kinds[kind].tls_port) : 0;
    if (!console.port && !console.tls_port)
        return dv_fail(err, DV_E_CONSOLE_TYPE_UNAVAILABLE, "guest %s has no %s now", uuid,
                       kinds[kind].name);
    console.host = xml_find(doc, kinds[kind].host);
    *out = console;
    return true;
}
