/* The consoles of a guest beside VNC: SPICE, and serial ports on TCP.
 *
 * Sources    nova virt/libvirt/driver.py _create_consoles_qemu_kvm, _guest_add_spice_channel,
 *            virt/hardware.py get_number_of_serial_ports (Zed). */
#include "agent/guest_spec_priv.h"

#define MAX_SERIAL_PORTS 3 /* QEMU has four, of which nova leaves one alone */

/* 0: not said. */
static bool serial_count(const char *text, int64_t *out, GError **err)
{
    *out = 0;
    if (!text || !*text || g_ascii_string_to_signed(text, 10, 0, 1000000, out, NULL))
        return true;
    return dv_fail(err, DV_E_SERIAL_COUNT_INVALID,
                   "Number of serial ports specified in flavor is invalid: expected an integer, "
                   "got '%s'",
                   text);
}

/* The image may ask for fewer than the flavor allows, not for more. */
static bool fill_serials(const GuestBuild *build, GError **err)
{
    const Agent *agent = build->agent;
    int64_t by_flavor = 0;
    int64_t by_image = 0;
    int64_t count;

    if (!agent->config.serial.enabled)
        return true;
    if (!serial_count(guest_asks_spec(&build->asks, "hw:serial_port_count"), &by_flavor, err) ||
        !serial_count(guest_asks_prop(&build->asks, "hw_serial_port_count"), &by_image, err))
        return false;
    if (by_flavor && by_image > by_flavor)
        return dv_fail(err, DV_E_SERIAL_COUNT_EXCEEDS,
                       "Forbidden to exceed flavor value of number of serial ports passed in image "
                       "meta.");
    count = by_image ? by_image : by_flavor ? by_flavor : 1;
    if (count > MAX_SERIAL_PORTS)
        return dv_fail(err, DV_E_SERIAL_COUNT_LIMIT,
                       "Maximum number of serial port exceeds %d for %s", MAX_SERIAL_PORTS,
                       agent->virt_config.virt_type);
    build->spec->serial_host = g_strdup(agent->config.serial.proxyclient_address);
    build->spec->serial_count = (unsigned)count;
    return true;
}

/* QXL is what SPICE clients expect. The SPICE agent brings a pointer of its own; where VNC is on as
 * well, its users need the tablet. */
static void fill_spice(const GuestBuild *build)
{
    const SpiceConfig *spice = &build->agent->config.spice;
    GuestSpec *spec = build->spec;

    if (!spice->enabled)
        return;
    spec->spice_listen = g_strdup(spice->server_listen);
    spec->spice_agent = spice->agent_enabled;
    if (!spec->video_model)
        spec->video_model = g_strdup("qxl");
    if (spec->spice_agent && !spec->vnc_listen)
        spec->usb_tablet = false;
}

bool guest_spec_consoles(const GuestBuild *build, GError **err)
{
    fill_spice(build);
    return fill_serials(build, err);
}
