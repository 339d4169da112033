/* HostFacts and the part of it that needs no hypervisor.
 *
 * Sources    procps uptime(1): the fields and their spacing; nova asks for LANG=C. */
#include "virt/host_facts.h"

#include "util/fs.h"

#include <time.h>
#include <utmp.h>

void host_facts_free(HostFacts *facts)
{
    if (!facts)
        return;
    g_free(facts->hypervisor_hostname);
    g_free(facts->hypervisor_type);
    g_free(facts->cpu_info);
    g_free(facts->cpu_arch);
    g_free(facts->cpu_model);
    g_free(facts->cpu_vendor);
    g_clear_pointer(&facts->cpu_features, g_ptr_array_unref);
    g_free(facts->numa_topology);
    g_clear_pointer(&facts->specs, g_ptr_array_unref);
    g_clear_pointer(&facts->traits, g_ptr_array_unref);
    g_free(facts->uptime);
    g_free(facts);
}

HostSpecTriple *host_spec_triple_new(const char *arch, const char *hv_type, const char *vm_mode)
{
    HostSpecTriple *triple = g_new0(HostSpecTriple, 1);

    triple->arch = g_strdup(arch);
    triple->hv_type = g_strdup(hv_type);
    triple->vm_mode = g_strdup(vm_mode);
    return triple;
}

void host_spec_triple_free(gpointer data)
{
    HostSpecTriple *triple = data;

    if (!triple)
        return;
    g_free(triple->arch);
    g_free(triple->hv_type);
    g_free(triple->vm_mode);
    g_free(triple);
}

static gpointer copy_text(gconstpointer text, gpointer unused G_GNUC_UNUSED)
{
    return g_strdup(text);
}

static gpointer copy_triple(gconstpointer data, gpointer unused G_GNUC_UNUSED)
{
    const HostSpecTriple *triple = data;

    return host_spec_triple_new(triple->arch, triple->hv_type, triple->vm_mode);
}

static GPtrArray *copy_array(GPtrArray *from, GCopyFunc copy, GDestroyNotify release)
{
    GPtrArray *out = from ? g_ptr_array_copy(from, copy, NULL) : g_ptr_array_new();

    g_ptr_array_set_free_func(out, release);
    return out;
}

HostFacts *host_facts_copy(const HostFacts *facts)
{
    HostFacts *out = g_memdup2(facts, sizeof(*facts));

    out->hypervisor_hostname = g_strdup(facts->hypervisor_hostname);
    out->hypervisor_type = g_strdup(facts->hypervisor_type);
    out->cpu_info = g_strdup(facts->cpu_info);
    out->cpu_arch = g_strdup(facts->cpu_arch);
    out->cpu_model = g_strdup(facts->cpu_model);
    out->cpu_vendor = g_strdup(facts->cpu_vendor);
    out->cpu_features = copy_array(facts->cpu_features, copy_text, g_free);
    out->numa_topology = g_strdup(facts->numa_topology);
    out->specs = copy_array(facts->specs, copy_triple, host_spec_triple_free);
    out->traits = copy_array(facts->traits, copy_text, g_free);
    out->uptime = g_strdup(facts->uptime);
    return out;
}

/* Sessions of users, from utmp as uptime counts them; a host without utmp has none. */
static unsigned count_users(void)
{
    g_autofree char *data = NULL;
    size_t length = 0;
    unsigned users = 0;

    if (!dv_read_file("/var/run/utmp", 4 * 1024 * 1024, &data, &length, NULL))
        return 0;
    for (size_t at = 0; at + sizeof(struct utmp) <= length; at += sizeof(struct utmp)) {
        struct utmp entry;

        memcpy(&entry, data + at, sizeof(entry));
        if (entry.ut_type == USER_PROCESS && entry.ut_user[0] != '\0')
            users++;
    }
    return users;
}

/* One of /proc's small files as numbers; missing ones stay 0. */
static void read_numbers(const char *path, double *out, size_t count)
{
    g_autofree char *text = NULL;
    const char *p;

    if (!dv_read_file(path, 4096, &text, NULL, NULL))
        return;
    p = text;
    for (size_t i = 0; i < count; i++) {
        char *end = NULL;
        double value = g_ascii_strtod(p, &end);

        if (end == p)
            return;
        out[i] = value;
        p = end;
    }
}

char *host_uptime(void)
{
    double up_s = 0;
    double load[3] = {0};
    GString *line = g_string_new(NULL);
    time_t now = time(NULL);
    struct tm local;
    unsigned users = count_users();

    read_numbers("/proc/uptime", &up_s, 1);
    read_numbers("/proc/loadavg", load, G_N_ELEMENTS(load));
    localtime_r(&now, &local);

    unsigned long minutes = (unsigned long)up_s / 60;
    unsigned long days = minutes / (24 * 60);
    unsigned long hours = minutes / 60 % 24;

    g_string_append_printf(line, " %02d:%02d:%02d up ", local.tm_hour, local.tm_min, local.tm_sec);
    if (days > 0)
        g_string_append_printf(line, "%lu day%s, ", days, days == 1 ? "" : "s");
    if (hours > 0)
        g_string_append_printf(line, "%2lu:%02lu, ", hours, minutes % 60);
    else
        g_string_append_printf(line, "%lu min, ", minutes % 60);
    g_string_append_printf(line, "%2u user%s,  load average: %.2f, %.2f, %.2f\n", users,
                           users > 1 ? "s" : "", load[0], load[1], load[2]);
    return g_string_free(line, FALSE);
}
