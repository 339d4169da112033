/* The host's TCP ports for guests' serial consoles.
 *
 * A guest keeps its ports as long as it is defined, so that an address that was told stays right
 * over a stop and a start. Who has which port is remembered here, and read from the definitions the
 * first time a port is wanted; a port that somebody outside listens on is passed over.
 * Sources    nova console/serial.py acquire_port, virt/libvirt/driver.py _create_serial_consoles,
 *            _serial_ports_already_defined (Zed). */
#include "virt/libvirt/libvirt_priv.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEFAULT_FIRST 10000
#define DEFAULT_END 20000

/* The ports of a definition, those of serial devices only: a console device repeats the first. */
static GArray *ports_of(const char *xml)
{
    GArray *ports = g_array_new(FALSE, FALSE, sizeof(int));
    g_autoptr(xmlDoc) doc = xml_parse(xml, "a guest's XML", NULL);

    for (unsigned i = 1; doc; i++) {
        g_autofree char *path = g_strdup_printf("(/domain/devices/serial[@type='tcp']"
                                                "/source[@mode='bind']/@service)[%u]",
                                                i);
        g_autofree char *text = xml_find(doc, path);
        guint64 number = 0;
        int port;

        if (!text)
            break;
        if (!g_ascii_string_to_unsigned(text, 10, 1, 65535, &number, NULL))
            continue;
        port = (int)number;
        g_array_append_val(ports, port);
    }
    return ports;
}

static void remember(LibvirtDriver *driver, int port, const char *uuid) DV_REQUIRES(driver->lock)
{
    g_hash_table_insert(driver->serial_ports, GINT_TO_POINTER(port), g_strdup(uuid));
}

/* Once: who has which port already. */
static bool read_all(LibvirtDriver *driver, GError **err)
{
    g_auto(virConnectPtr) conn = NULL;
    virDomainPtr *domains = NULL;
    int count;

    if (!virt_conn_get(driver->conn, &conn, NULL, err))
        return false;
    {
        VIRT_CALL(driver->conn, "list");
        count = virConnectListAllDomains(conn, &domains, 0);
    }
    if (count < 0)
        return virt_conn_fail(err, "listing guests");
    for (int i = 0; i < count; i++) {
        char uuid[VIR_UUID_STRING_BUFLEN];
        char *xml = virDomainGetXMLDesc(domains[i], 0);

        if (xml && virDomainGetUUIDString(domains[i], uuid) == 0) {
            g_autoptr(GArray) ports = ports_of(xml);

            dv_lock(&driver->lock);
            for (guint k = 0; k < ports->len; k++)
                remember(driver, g_array_index(ports, int, k), uuid);
            dv_unlock(&driver->lock);
        }
        free(xml);
        virDomainFree(domains[i]);
    }
    free(domains);
    dv_lock(&driver->lock);
    driver->serial_read = true;
    dv_unlock(&driver->lock);
    return true;
}

/* Whether somebody could listen there now. */
static bool is_free(const char *host, int port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    g_autofree char *service = g_strdup_printf("%d", port);
    struct addrinfo *found = NULL;
    bool ok = false;
    int fd;

    if (getaddrinfo(host, service, &hints, &found) != 0)
        return false;
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        ok = bind(fd, found->ai_addr, found->ai_addrlen) == 0;
        close(fd);
    }
    freeaddrinfo(found);
    return ok;
}

/* The next port nobody has, 0 when there is none. Reserved for `uuid`. */
static int take_one(LibvirtDriver *driver, const char *host, const char *uuid)
{
    int64_t first = driver->config->serial_port_first;
    int64_t end = driver->config->serial_port_end;

    if (first <= 0 || end <= first) {
        first = DEFAULT_FIRST;
        end = DEFAULT_END;
    }
    for (int port = (int)first; port < (int)end; port++) {
        bool mine;

        dv_lock(&driver->lock);
        mine = !g_hash_table_contains(driver->serial_ports, GINT_TO_POINTER(port));
        if (mine)
            remember(driver, port, uuid);
        dv_unlock(&driver->lock);
        if (!mine)
            continue;
        if (is_free(host, port))
            return port;
        dv_lock(&driver->lock);
        g_hash_table_remove(driver->serial_ports, GINT_TO_POINTER(port));
        dv_unlock(&driver->lock);
    }
    return 0;
}

/* What the guest's definition has, when it is the number that is wanted. */
static bool keep_ports(LibvirtDriver *driver, const GuestSpec *spec, int *ports)
{
    g_autofree char *xml = NULL;
    g_autoptr(GArray) had = NULL;

    if (!guest_describe(driver, spec->uuid, &xml, NULL))
        return false;
    had = ports_of(xml);
    if (had->len != spec->serial_count)
        return false;
    memcpy(ports, had->data, had->len * sizeof(int));
    return true;
}

void serial_ports_give(LibvirtDriver *driver, const char *uuid)
{
    GHashTableIter iter;
    gpointer owner;

    dv_lock(&driver->lock);
    g_hash_table_iter_init(&iter, driver->serial_ports);
    while (g_hash_table_iter_next(&iter, NULL, &owner)) {
        if (g_str_equal(owner, uuid))
            g_hash_table_iter_remove(&iter);
    }
    dv_unlock(&driver->lock);
}

void serial_ports_settle(LibvirtDriver *driver, const char *uuid)
{
    g_auto(virDomainPtr) domain = NULL;

    if (guest_lookup(driver, uuid, &domain, NULL) && !domain)
        serial_ports_give(driver, uuid);
}

static bool know_all(LibvirtDriver *driver, GError **err)
{
    bool known;

    dv_lock(&driver->lock);
    known = driver->serial_read;
    dv_unlock(&driver->lock);
    return known || read_all(driver, err);
}

/* New ones in place of those the guest had. */
static bool take_new(LibvirtDriver *driver, const char *uuid, const char *host, unsigned count,
                     int *out_ports, GError **err)
{
    serial_ports_give(driver, uuid);
    for (unsigned i = 0; i < count; i++) {
        out_ports[i] = take_one(driver, host, uuid);
        if (out_ports[i])
            continue;
        serial_ports_give(driver, uuid);
        return dv_fail(err, DV_E_SERIAL_PORTS_EXHAUSTED, "Not able to acquire a free port for %s",
                       host);
    }
    return true;
}

bool serial_ports_take(LibvirtDriver *driver, const GuestSpec *spec, int **out, GError **err)
{
    g_autofree int *ports = g_new0(int, spec->serial_count + 1);

    *out = NULL;
    if (!spec->serial_host)
        return true;
    if (!know_all(driver, err))
        return false;
    if (!keep_ports(driver, spec, ports) &&
        !take_new(driver, spec->uuid, spec->serial_host, spec->serial_count, ports, err))
        return false;
    *out = g_steal_pointer(&ports);
    return true;
}

bool serial_ports_reserve(void *self, const char *uuid, const char *host, unsigned count,
                          int *out_ports, GError **err)
{
    LibvirtDriver *driver = self;

    return know_all(driver, err) && take_new(driver, uuid, host, count, out_ports, err);
}
