/* The <os> of a domain: machine type, firmware, kernel, boot order.
 *
 * A UEFI guest gets the first firmware of the host's descriptors that fits its machine and the
 * Secure Boot that it asks for. Sources: nova virt/libvirt/driver.py _configure_guest_by_virt_type,
 * _conf_non_lxc; virt/libvirt/host.py get_loader, _check_machine_type (Zed). */
#include "virt/libvirt/xml_domain.h"

#include "virt/libvirt/caps.h"

#define KERNEL_CONSOLES "console=tty0 console=ttyS0 console=hvc0"

/* --- machine --------------------------------------------------------------------------------- */

const char *xml_machine_type(const GuestSpec *spec, const VirtConfig *config, const XmlHost *host)
{
    const char *arch = xml_arch(spec, host);
    size_t arch_length = strlen(arch);

    if (spec->machine_type)
        return spec->machine_type;
    for (const char *const *item = config->hw_machine_type; item && *item; item++) {
        if (g_str_has_prefix(*item, arch) && (*item)[arch_length] == '=')
            return *item + arch_length + 1;
    }
    if (g_str_equal(arch, "aarch64"))
        return "virt";
    return xml_is_x86(arch) ? "pc" : NULL;
}

static bool check_machine(const char *machine, const XmlHost *host, GError **err)
{
    for (guint i = 0; host->machines && i < host->machines->len; i++) {
        const CapsMachine *known = g_ptr_array_index(host->machines, i);

        if (g_strcmp0(known->name, machine) == 0)
            return true;
    }
    return !host->machines ||
           dv_fail(err, DV_E_MACHINE_TYPE, "'%s' is not valid/supported machine type", machine);
}

/* Firmware descriptors speak of "pc-q35-7.2", images of "q35". */
static const char *canonical_machine(const char *arch, const char *machine, const XmlHost *host)
{
    for (guint i = 0; host->machines && i < host->machines->len; i++) {
        const CapsMachine *known = g_ptr_array_index(host->machines, i);

        if (g_strcmp0(known->arch, arch) == 0 && g_strcmp0(known->name, machine) == 0)
            return known->canonical ? known->canonical : known->name;
    }
    return machine;
}

/* --- firmware -------------------------------------------------------------------------------- */

/* q35 is the one machine of x86 with the SMM that Secure Boot needs. */
static bool can_secure_boot(const char *machine, const XmlHost *host)
{
    return host->secure_boot && (!g_str_equal(host->arch, "x86_64") || strstr(machine, "q35"));
}

static bool find_firmware(const GuestSpec *spec, const char *machine, const XmlHost *host,
                          bool *out_secure, Firmware *out, GError **err)
{
    const char *arch = xml_arch(spec, host);
    bool possible = can_secure_boot(machine, host);
    bool secure = possible && spec->secure_boot != GUEST_SECURE_BOOT_OFF;

    if (!host->uefi)
        return dv_fail(err, DV_E_UEFI, "UEFI is not supported");
    if (spec->secure_boot == GUEST_SECURE_BOOT_REQUIRED && !possible)
        return dv_fail(err, DV_E_SECURE_BOOT, "Secure Boot is not supported by host");
    if (!host->firmwares ||
        !firmware_find(host->firmwares, arch, canonical_machine(arch, machine, host), secure, out))
        return secure ? dv_fail(err, DV_E_SECURE_BOOT, "Secure Boot is not supported by host")
                      : dv_fail(err, DV_E_UEFI, "UEFI is not supported");
    *out_secure = secure;
    return true;
}

static void add_loader(xmlNode *os, const Firmware *firmware, bool secure)
{
    xmlNode *loader = xml_add_text(os, "loader", firmware->executable);

    xml_attr(loader, "type", "pflash");
    xml_attr(loader, "readonly", "yes");
    xml_attr(loader, "secure", secure ? "yes" : "no");
    xml_attr(xml_add(os, "nvram"), "template", firmware->nvram_template);
}

/* --- boot ------------------------------------------------------------------------------------ */

static int compare_boot_order(gconstpointer a, gconstpointer b)
{
    const DiskSpec *left = *(const DiskSpec *const *)a;
    const DiskSpec *right = *(const DiskSpec *const *)b;

    return left->boot_order - right->boot_order;
}

static const char *boot_class(const DiskSpec *disk)
{
    if (g_strcmp0(disk->device, "cdrom") == 0)
        return "cdrom";
    return g_strcmp0(disk->device, "floppy") == 0 ? "fd" : "hd";
}

/* nova names the classes of bootable devices, each once, in the order of their boot index. */
static void add_boot_devices(xmlNode *os, const GuestSpec *spec)
{
    g_autoptr(GPtrArray) bootable = g_ptr_array_new();
    g_autoptr(GPtrArray) named = g_ptr_array_new();

    for (guint i = 0; i < spec->disks->len; i++) {
        DiskSpec *disk = g_ptr_array_index(spec->disks, i);

        /* A rescue boots from its first disk or says so at the disk: libvirt takes one way only. */
        if (disk->role == DISK_ROLE_RESCUE)
            return;
        if (disk->boot_order > 0)
            g_ptr_array_add(bootable, disk);
    }
    if (bootable->len == 0 && guest_spec_disk(spec, DISK_ROLE_ROOT))
        g_ptr_array_add(bootable, (gpointer)guest_spec_disk(spec, DISK_ROLE_ROOT));
    g_ptr_array_sort(bootable, compare_boot_order);
    for (guint i = 0; i < bootable->len; i++) {
        const char *class_name = boot_class(g_ptr_array_index(bootable, i));

        if (g_ptr_array_find_with_equal_func(named, class_name, g_str_equal, NULL))
            continue;
        g_ptr_array_add(named, (gpointer)class_name);
        xml_attr(xml_add(os, "boot"), "dev", class_name);
    }
}

static void add_cmdline(xmlNode *os, const GuestSpec *spec, const VirtConfig *config)
{
    const DiskSpec *root = guest_spec_disk(spec, DISK_ROLE_ROOT);
    g_autofree char *usual = g_strdup_printf(
        "root=/dev/%s %s%s", root && root->target ? root->target : "vda", KERNEL_CONSOLES,
        g_str_equal(config->virt_type, "qemu") ? " no_timer_check" : "");

    xml_add_text(os, "cmdline", spec->kernel_cmdline ? spec->kernel_cmdline : usual);
}

bool xml_os_add(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                const XmlHost *host, bool *out_smm, GError **err)
{
    const char *machine = xml_machine_type(spec, config, host);
    bool uefi = spec->firmware == GUEST_FIRMWARE_UEFI;
    xmlNode *os = xml_add(domain, "os");
    xmlNode *type = xml_add_text(os, "type", "hvm");
    Firmware firmware = {0};
    bool secure = false;

    if (!check_machine(machine, host, err) ||
        (uefi && !find_firmware(spec, machine, host, &secure, &firmware, err)))
        return false;
    xml_attr(type, "arch", xml_arch(spec, host));
    xml_attr(type, "machine", machine);
    xml_add_text(os, "kernel", spec->kernel_path);
    if (uefi)
        add_loader(os, &firmware, secure);
    if (spec->kernel_path) {
        xml_add_text(os, "initrd", spec->ramdisk_path);
        add_cmdline(os, spec, config);
    } else {
        add_boot_devices(os, spec);
    }
    if (xml_is_x86(xml_arch(spec, host)))
        xml_attr(xml_add(os, "smbios"), "mode", "sysinfo");
    if (spec->boot_menu)
        xml_attr(xml_add(os, "bootmenu"), "enable", "yes");
    *out_smm = firmware.requires_smm;
    return true;
}
