/* Instances to guest specs; see guest_spec.h. The parts stand in guest_spec_{cpu,disks,devices}.c
 * and guest_tpm.c, what is refused in guest_requests.c. */
#include "agent/guest_spec.h"

#include "agent/guest_spec_priv.h"

/* instance.config_drive is text: "True", "" or null, on the wire a string or a bool. */
bool guest_needs_config_drive(const Agent *agent, const GuestSource *source)
{
    const Ovo *instance = source->instance;

    if (guest_asks_is_true(ovo_str_or(instance, "config_drive", NULL)) ||
        ovo_bool_or(instance, "config_drive", false))
        return true;
    if (agent->config.force_config_drive && !ovo_has_value(instance, "launched_at"))
        return true;
    return g_strcmp0(guest_image_prop(source, "img_config_drive"), "mandatory") == 0;
}

/* Expands one "%08x", "%d", "%x" or "%(uuid)s", "%(id)d" of the template; anything else is refused.
 */
char *guest_name(const Agent *agent, const Ovo *instance, GError **err)
{
    const char *template = agent->config.instance_name_template;
    const char *uuid = ovo_str_or(instance, "uuid", "");
    GString *out = g_string_new(NULL);
    uint64_t id = 0;

    if (!ovo_u64(instance, "id", &id, err))
        goto bad;
    for (const char *p = template; *p; p++) {
        bool zero = false;
        int width = 0;
        bool by_uuid = false;

        if (*p != '%') {
            g_string_append_c(out, *p);
            continue;
        }
        p++;
        if (g_str_has_prefix(p, "(uuid)")) {
            by_uuid = true;
            p += 6;
        } else if (g_str_has_prefix(p, "(id)")) {
            p += 4;
        }
        for (; g_ascii_isdigit(*p) && width < 100; p++) {
            zero = zero || (width == 0 && *p == '0');
            width = width * 10 + (*p - '0');
        }
        if (by_uuid && *p == 's')
            g_string_append(out, uuid);
        else if (!by_uuid && (*p == 'x' || *p == 'd') && zero)
            g_string_append_printf(
                out, *p == 'x' ? "%0*" G_GINT64_MODIFIER "x" : "%0*" G_GINT64_MODIFIER "d", width,
                id);
        else if (!by_uuid && (*p == 'x' || *p == 'd'))
            g_string_append_printf(
                out, *p == 'x' ? "%*" G_GINT64_MODIFIER "x" : "%*" G_GINT64_MODIFIER "d", width,
                id);
        else if (*p == '%')
            g_string_append_c(out, '%');
        else {
            dv_fail(err, DV_E_BAD_CONFIG, "instance_name_template '%s' is not understood",
                    template);
            goto bad;
        }
    }
    return g_string_free(out, FALSE);
bad:
    g_string_free(out, TRUE);
    return NULL;
}

/* [libvirt] hw_machine_type of the architecture, else nova's default. */
static const char *default_machine_type(const Agent *agent, const char *arch)
{
    size_t length = strlen(arch);

    for (const char *const *item = agent->virt_config.hw_machine_type; item && *item; item++) {
        if (strncmp(*item, arch, length) == 0 && (*item)[length] == '=' && (*item)[length + 1])
            return *item + length + 1;
    }
    return "pc";
}

const char *guest_default_machine_type(const Agent *agent)
{
    return default_machine_type(agent, "x86_64");
}

/* ---- kernel and metadata ---- */

char *guest_spec_cmdline(const Agent *agent, const char *root_target)
{
    return g_strdup_printf("root=/dev/%s console=tty0 console=ttyS0 console=hvc0%s", root_target,
                           strcmp(agent->virt_config.virt_type, "qemu") == 0 ? " no_timer_check"
                                                                             : "");
}

static void fill_kernel(const Agent *agent, const GuestSource *source, GuestSpec *spec)
{
    const char *kernel = ovo_str_or(source->instance, "kernel_id", NULL);
    const char *ramdisk = ovo_str_or(source->instance, "ramdisk_id", NULL);
    const char *cmdline = guest_image_prop(source, "os_command_line");
    const DiskSpec *root = guest_spec_disk(spec, DISK_ROLE_ROOT);

    if (!kernel || !*kernel)
        return;
    spec->kernel_path = g_build_filename(spec->instance_dir, "kernel", NULL);
    if (ramdisk && *ramdisk)
        spec->ramdisk_path = g_build_filename(spec->instance_dir, "ramdisk", NULL);
    spec->kernel_cmdline = cmdline ? g_strdup(cmdline) : guest_spec_cmdline(agent, root->target);
}

static void fill_metadata(const Agent *agent, const GuestSource *source, const Ovo *flavor,
                          GuestSpec *spec)
{
    const Ovo *instance = source->instance;

    spec->flavor_name = g_strdup(ovo_str_or(flavor, "name", ""));
    spec->flavor_id = g_strdup(ovo_str_or(flavor, "flavorid", ""));
    spec->flavor_memory_mib = ovo_i64_or(flavor, "memory_mb", 0);
    spec->flavor_disk_gib = ovo_i64_or(flavor, "root_gb", 0);
    spec->flavor_swap_mib = ovo_i64_or(flavor, "swap", 0);
    spec->flavor_ephemeral_gib = ovo_i64_or(flavor, "ephemeral_gb", 0);
    spec->flavor_vcpus = ovo_i64_or(flavor, "vcpus", 0);
    spec->image_ref = g_strdup(ovo_str_or(instance, "image_ref", NULL));
    spec->user_id = g_strdup(ovo_str_or(instance, "user_id", ""));
    spec->project_id = g_strdup(ovo_str_or(instance, "project_id", ""));
    /* who made it, not who asks now: the API wrote the names down */
    spec->user_name = g_strdup(ovo_dict_str(instance, "system_metadata", "owner_user_name"));
    spec->project_name = g_strdup(ovo_dict_str(instance, "system_metadata", "owner_project_name"));
    spec->package_version = g_strdup(agent->virt_config.package_version);
    spec->creation_wall_ms = dv_clock_wall_ms(dv_clock_real());
}

static void fill_identity(const GuestBuild *build, const char *uuid)
{
    GuestSpec *spec = build->spec;
    const Ovo *instance = build->asks.source->instance;
    const char *machine = guest_asks_prop(&build->asks, "hw_machine_type");

    spec->uuid = g_strdup(uuid);
    spec->title = g_strdup(ovo_str_or(instance, "display_name", ""));
    spec->machine_type = g_strdup(
        machine ? machine : default_machine_type(build->agent, spec->arch ? spec->arch : "x86_64"));
    spec->instance_dir = disks_instance_dir(build->agent->disks, uuid);
    spec->console_log_path = g_build_filename(spec->instance_dir, "console.log", NULL);
}

GuestSpec *guest_spec_build(const Agent *agent, const GuestSource *source, GError **err)
{
    g_autoptr(GuestSpec) spec = guest_spec_new();
    g_autoptr(Ovo) flavor = ovo_child(source->instance, "flavor");
    GuestBuild build = {agent, {source, flavor}, spec};
    const char *uuid = NULL;

    if (!flavor) {
        dv_fail(err, DV_E_BAD_INPUT, "Instance.flavor: want a flavor");
        return NULL;
    }
    if (!ovo_str(source->instance, "uuid", &uuid, err) ||
        !ovo_u64(flavor, "memory_mb", &spec->memory_mib, err) ||
        !guest_asks_check(&build.asks, err) || !guest_requests_check(&build.asks, err) ||
        !guest_spec_cpu(&build, err))
        return NULL;
    spec->name = guest_name(agent, source->instance, err);
    if (!spec->name)
        return NULL;
    fill_identity(&build, uuid);
    if (!guest_spec_disks(&build, err) || !guest_spec_nics(&build, err) ||
        !guest_spec_devices(&build, err) || !guest_spec_tpm(&build, err))
        return NULL;
    fill_kernel(agent, source, spec);
    fill_metadata(agent, source, flavor, spec);
    return g_steal_pointer(&spec);
}

GuestSpec *guest_spec_of_ports(const Ovo *instance, const NetworkInfo *network)
{
    GuestSpec *spec = guest_spec_new();

    spec->uuid = g_strdup(ovo_str_or(instance, "uuid", ""));
    for (size_t i = 0; i < network_info_count(network); i++)
        guest_spec_port(spec, network_info_at(network, i));
    return spec;
}
