/* Reading libvirt's capabilities into HostCaps; see caps.h.
 *
 * Calls per connection: capabilities, one CPU baseline for the host (and one per model of the
 * guests' CPU), domain capabilities for two machine types of each architecture, version. */
#include "virt/libvirt/caps.h"

#include "util/fs.h"
#include "util/log.h"

#include <libvirt/virterror.h>

#define MACHINE_ID_PATH "/etc/machine-id"

HostCaps *caps_new(void)
{
    HostCaps *caps = g_new0(HostCaps, 1);

    g_atomic_ref_count_init(&caps->refs);
    return caps;
}

HostCaps *caps_ref(HostCaps *caps)
{
    g_atomic_ref_count_inc(&caps->refs);
    return caps;
}

void caps_unref(HostCaps *caps)
{
    if (!caps || !g_atomic_ref_count_dec(&caps->refs))
        return;
    g_free(caps->arch);
    g_free(caps->host_uuid);
    g_free(caps->machine_id);
    g_free(caps->cpu_model);
    g_free(caps->cpu_vendor);
    g_free(caps->cpuset);
    g_clear_pointer(&caps->models, g_ptr_array_unref);
    g_clear_pointer(&caps->machines, g_ptr_array_unref);
    g_clear_pointer(&caps->features, g_ptr_array_unref);
    g_clear_pointer(&caps->specs, g_ptr_array_unref);
    g_clear_pointer(&caps->cells, g_ptr_array_unref);
    g_clear_pointer(&caps->traits, g_ptr_array_unref);
    g_free(caps);
}

XmlHost caps_xml_host(const HostCaps *caps)
{
    return (XmlHost){
        .arch = caps->arch,
        .host_uuid = caps->host_uuid,
        .machine_id = caps->machine_id,
        .cpu_models = caps->models,
        .cpuset = caps->cpuset,
        .machines = caps->machines->len > 0 ? caps->machines
                                            : NULL, /* none listed: libvirt judges */
        .uefi = caps->uefi,
        .secure_boot = caps->secure_boot,
        .libvirt_version = caps->libvirt_version,
    };
}

/* --- reading XML ----------------------------------------------------------------------------- */

static xmlXPathObject *eval(xmlDoc *doc, xmlNode *node, const char *xpath)
{
    g_autoptr(xmlXPathContext) context = xmlXPathNewContext(doc);

    if (!context)
        return NULL;
    context->node = node ? node : xmlDocGetRootElement(doc);
    return xmlXPathEvalExpression(BAD_CAST xpath, context);
}

static int node_count(const xmlXPathObject *found)
{
    return found && found->type == XPATH_NODESET && found->nodesetval ? found->nodesetval->nodeNr
                                                                      : 0;
}

GPtrArray *caps_values(xmlDoc *doc, const char *xpath)
{
    g_autoptr(xmlXPathObject) found = eval(doc, NULL, xpath);
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);

    for (int i = 0; i < node_count(found); i++) {
        xmlChar *text = xmlNodeGetContent(found->nodesetval->nodeTab[i]);

        g_ptr_array_add(out, g_strdup((const char *)text));
        xmlFree(text);
    }
    return out;
}

/* An attribute, or the content when `name` is NULL, as an unsigned number. */
static bool read_number(xmlNode *node, const char *name, uint64_t *out)
{
    xmlChar *text = name ? xmlGetProp(node, BAD_CAST name) : xmlNodeGetContent(node);
    guint64 value = 0;
    bool ok = text &&
              g_ascii_string_to_unsigned((const char *)text, 10, 0, G_MAXINT64, &value, NULL);

    xmlFree(text);
    if (ok)
        *out = value;
    return ok;
}

static bool is_named(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && g_str_equal((const char *)node->name, name);
}

/* --- NUMA cells ------------------------------------------------------------------------------ */

static void cell_free(gpointer data)
{
    CapsCell *cell = data;

    g_ptr_array_unref(cell->siblings);
    g_free(cell);
}

static void add_siblings(CapsCell *cell, xmlNode *node)
{
    xmlChar *text = xmlGetProp(node, BAD_CAST "siblings");
    CpuSet set;

    if (text && cpuset_parse((const char *)text, &set, NULL) && cpuset_count(&set) > 0) {
        bool known = false;

        for (guint i = 0; i < cell->siblings->len && !known; i++)
            known = cpuset_equal(g_ptr_array_index(cell->siblings, i), &set);
        if (!known)
            g_ptr_array_add(cell->siblings, g_memdup2(&set, sizeof(set)));
    }
    xmlFree(text);
}

static void read_cell_cpus(CapsCell *cell, xmlNode *cpus)
{
    bool first = true;

    for (xmlNode *node = cpus->children; node; node = node->next) {
        uint64_t id;
        uint64_t socket;

        if (!is_named(node, "cpu") || !read_number(node, "id", &id) || id >= CPUSET_MAX)
            continue;
        cpuset_add(&cell->cpus, (unsigned)id);
        if (!read_number(node, "socket_id", &socket) || socket > G_MAXINT)
            cell->socket = -1;
        else if (first)
            cell->socket = (int)socket;
        else if (cell->socket != (int)socket)
            cell->socket = -1;
        first = false;
        add_siblings(cell, node);
    }
}

static void read_cell_pages(CapsCell *cell, xmlNode *node)
{
    CapsPages pages;

    if (cell->page_count < CAPS_MAX_PAGE_SIZES && read_number(node, "size", &pages.size_kib) &&
        read_number(node, NULL, &pages.total))
        cell->pages[cell->page_count++] = pages;
}

static CapsCell *read_cell(xmlNode *xml)
{
    CapsCell *cell = g_new0(CapsCell, 1);
    uint64_t id = 0;

    cell->siblings = g_ptr_array_new_with_free_func(g_free);
    cell->socket = -1;
    read_number(xml, "id", &id);
    cell->id = (unsigned)id;
    for (xmlNode *node = xml->children; node; node = node->next) {
        if (is_named(node, "memory"))
            read_number(node, NULL, &cell->memory_kib);
        else if (is_named(node, "pages"))
            read_cell_pages(cell, node);
        else if (is_named(node, "cpus"))
            read_cell_cpus(cell, node);
    }
    return cell;
}

static void read_cells(HostCaps *caps, xmlDoc *doc)
{
    g_autoptr(xmlXPathObject) found = eval(doc, NULL, "/capabilities/host/topology/cells/cell");
    int count = MIN(node_count(found), CAPS_MAX_CELLS);

    caps->cells = g_ptr_array_new_with_free_func(cell_free);
    for (int i = 0; i < count; i++) {
        CapsCell *cell = read_cell(found->nodesetval->nodeTab[i]);

        for (guint s = 0; s < cell->siblings->len; s++)
            caps->hyperthreading |= cpuset_count(g_ptr_array_index(cell->siblings, s)) > 1;
        g_ptr_array_add(caps->cells, cell);
    }
}

/* --- host and guests ------------------------------------------------------------------------- */

static void read_specs(HostCaps *caps, xmlDoc *doc)
{
    g_autoptr(xmlXPathObject) found = eval(doc, NULL, "/capabilities/guest/arch/domain");

    caps->specs = g_ptr_array_new_with_free_func(host_spec_triple_free);
    for (int i = 0; i < node_count(found); i++) {
        xmlNode *domain = found->nodesetval->nodeTab[i];
        g_autoptr(xmlXPathObject) mode = eval(doc, domain, "../../os_type");
        xmlChar *arch = xmlGetProp(domain->parent, BAD_CAST "name");
        xmlChar *type = xmlGetProp(domain, BAD_CAST "type");
        xmlChar *os_type = node_count(mode) > 0 ? xmlNodeGetContent(mode->nodesetval->nodeTab[0])
                                                : NULL;

        g_ptr_array_add(caps->specs, host_spec_triple_new((const char *)arch, (const char *)type,
                                                          (const char *)os_type));
        xmlFree(arch);
        xmlFree(type);
        xmlFree(os_type);
    }
}

static void machine_free(gpointer data)
{
    CapsMachine *machine = data;

    g_free(machine->arch);
    g_free(machine->name);
    g_free(machine->canonical);
    g_free(machine);
}

static char *attribute(xmlNode *node, const char *name)
{
    xmlChar *text = xmlGetProp(node, BAD_CAST name);
    char *out = g_strdup((const char *)text);

    xmlFree(text);
    return out;
}

static void read_machines(HostCaps *caps, xmlDoc *doc)
{
    g_autoptr(xmlXPathObject) found = eval(doc, NULL, "/capabilities/guest/arch/machine");

    caps->machines = g_ptr_array_new_with_free_func(machine_free);
    for (int i = 0; i < node_count(found); i++) {
        xmlNode *node = found->nodesetval->nodeTab[i];
        CapsMachine *machine = g_new0(CapsMachine, 1);
        xmlChar *text = xmlNodeGetContent(node);

        machine->name = g_strdup((const char *)text);
        machine->arch = attribute(node->parent, "name");
        machine->canonical = attribute(node, "canonical");
        xmlFree(text);
        g_ptr_array_add(caps->machines, machine);
    }
}

static int compare_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *read_features(xmlDoc *doc, const char *xpath)
{
    GPtrArray *features = caps_values(doc, xpath);

    g_ptr_array_sort(features, compare_text);
    return features;
}

static int64_t read_int(xmlDoc *doc, const char *xpath)
{
    g_autofree char *text = xml_find(doc, xpath);
    guint64 value = 0;

    return text && g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT32, &value, NULL)
               ? (int64_t)value
               : 0;
}

bool caps_parse_host(HostCaps *caps, xmlDoc *doc, GError **err)
{
    caps->arch = xml_find(doc, "/capabilities/host/cpu/arch");
    if (!caps->arch)
        return dv_fail(err, DV_E_HYPERVISOR, "libvirt's capabilities name no CPU architecture");
    caps->host_uuid = xml_find(doc, "/capabilities/host/uuid");
    caps->cpu_model = xml_find(doc, "/capabilities/host/cpu/model");
    caps->cpu_vendor = xml_find(doc, "/capabilities/host/cpu/vendor");
    caps->sockets = read_int(doc, "/capabilities/host/cpu/topology/@sockets");
    caps->cores = read_int(doc, "/capabilities/host/cpu/topology/@cores");
    caps->threads = read_int(doc, "/capabilities/host/cpu/topology/@threads");
    caps->features = read_features(doc, "/capabilities/host/cpu/feature/@name");
    read_specs(caps, doc);
    read_machines(caps, doc);
    read_cells(caps, doc);
    return true;
}

/* --- asking libvirt -------------------------------------------------------------------------- */

/* All features of `model` (with `features`, which may be NULL), expanded. *out is NULL where the
 * architecture has no CPU models. */
static bool expand_cpu(virConnectPtr conn, const HostCaps *caps, const char *model,
                       const GPtrArray *features, GPtrArray **out, GError **err)
{
    g_autoptr(VirtCpu) cpu = virt_cpu_new();
    g_autofree char *text = NULL;
    char *expanded;

    cpu->arch = g_strdup(caps->arch);
    cpu->model = g_strdup(model);
    cpu->vendor = g_strdup(caps->cpu_vendor);
    cpu->sockets = (unsigned)caps->sockets;
    cpu->cores = (unsigned)caps->cores;
    cpu->threads = (unsigned)caps->threads;
    for (guint i = 0; features && i < features->len; i++)
        virt_cpu_add_feature(cpu, g_ptr_array_index(features, i), NULL);
    text = xml_cpu_text(cpu);
    expanded = virConnectBaselineCPU(conn, (const char **)&text, 1,
                                     VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES);
    *out = NULL;
    if (!expanded)
        return virt_conn_last_code() == VIR_ERR_NO_SUPPORT ||
               virt_conn_fail(err, "expanding the CPU model");

    g_autoptr(xmlDoc) answer = xml_parse(expanded, "libvirt's CPU", err);

    free(expanded);
    if (!answer)
        return false;
    *out = read_features(answer, "/cpu/feature[not(@policy='disable')]/@name");
    return true;
}

static bool expand_host_cpu(virConnectPtr conn, HostCaps *caps, GError **err)
{
    GPtrArray *all = NULL;

    if (!caps->cpu_model || g_str_equal(caps->arch, "aarch64"))
        return true;
    if (!expand_cpu(conn, caps, caps->cpu_model, caps->features, &all, err))
        return false;
    if (all) {
        g_ptr_array_unref(caps->features);
        caps->features = all;
    }
    return true;
}

/* [libvirt] cpu_models may be written in any case; libvirt's names have one. */
static char *spell_cpu_model(virConnectPtr conn, const char *arch, const char *model)
{
    char **names = NULL;
    int count = virConnectGetCPUModelNames(conn, arch, &names, 0);
    char *out = NULL;

    for (int i = 0; i < count; i++) {
        if (!out && g_ascii_strcasecmp(names[i], model) == 0)
            out = g_strdup(names[i]);
        free(names[i]);
    }
    free(names);
    return out ? out : g_strdup(model);
}

static void add_extra_flags(TraitSet *set, const VirtConfig *config)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

    for (const char *const *item = config->cpu_model_extra_flags; item && *item; item++)
        g_ptr_array_add(names,
                        g_ascii_strdown(**item == '+' || **item == '-' ? *item + 1 : *item, -1));
    traits_add_cpu(set, names);
}

/* *out (which may be NULL) is the model's features, or NULL where libvirt does not say. */
static bool add_model_traits(TraitSet *set, virConnectPtr conn, const HostCaps *caps,
                             const char *model, GPtrArray **out, GError **err)
{
    g_autoptr(GPtrArray) features = NULL;

    if (!expand_cpu(conn, caps, model, NULL, &features, err))
        return dv_within(err, "CPU model %s", model);
    if (features)
        traits_add_cpu(set, features);
    if (out)
        *out = g_steal_pointer(&features);
    return true;
}

static void model_free(gpointer data)
{
    CapsModel *model = data;

    g_free(model->name);
    g_clear_pointer(&model->features, g_ptr_array_unref);
    g_free(model);
}

static const char *default_model(const char *arch)
{
    if (g_str_equal(arch, "i686"))
        return "qemu32";
    if (g_str_equal(arch, "ppc64le"))
        return "POWER8";
    return g_str_equal(arch, "aarch64") ? "max" : "qemu64";
}

/* The features that guests get, by the CPU mode they will be started with. */
static bool add_cpu_traits(TraitSet *set, virConnectPtr conn, HostCaps *caps,
                           const VirtConfig *config, GError **err)
{
    const char *mode = config->cpu_mode ? config->cpu_mode : "host-model";

    if (caps->hyperthreading)
        traits_add(set, "HW_CPU_HYPERTHREADING");
    if (g_str_equal(mode, "none"))
        return add_model_traits(set, conn, caps, default_model(caps->arch), NULL, err);
    add_extra_flags(set, config);
    if (!g_str_equal(mode, "custom")) {
        traits_add_cpu(set, caps->features);
        return true;
    }
    caps->models = g_ptr_array_new_with_free_func(model_free);
    for (const char *const *item = config->cpu_models; item && *item; item++) {
        CapsModel *model = g_new0(CapsModel, 1);

        model->name = spell_cpu_model(conn, caps->arch, *item);
        g_ptr_array_add(caps->models, model);
        if (!add_model_traits(set, conn, caps, model->name, &model->features, err))
            return false;
    }
    return caps->models->len > 0 ||
           dv_fail(err, DV_E_BAD_CONFIG,
                   "[libvirt] cpu_mode custom needs at least one of [libvirt] cpu_models");
}

/* nova asks for the machine types that are aliases ("pc", "q35") and the default one. */
static GPtrArray *machine_types(xmlDoc *doc, const char *arch, const VirtConfig *config)
{
    g_autofree char *xpath = g_strdup_printf(
        "/capabilities/guest/arch[@name='%s']/machine[@canonical]", arch);
    GPtrArray *names = caps_values(doc, xpath);
    size_t length = strlen(arch);

    for (const char *const *item = config->hw_machine_type; item && *item; item++) {
        if (g_str_has_prefix(*item, arch) && (*item)[length] == '=' &&
            !g_ptr_array_find_with_equal_func(names, *item + length + 1, g_str_equal, NULL))
            g_ptr_array_add(names, g_strdup(*item + length + 1));
    }
    return names;
}

void caps_parse_firmware(HostCaps *caps, xmlDoc *doc)
{
    g_autofree char *pflash = xml_find(
        doc, "/domainCapabilities/os/loader/enum[@name='type']/value[.='pflash']");
    g_autofree char *secure = xml_find(
        doc, "/domainCapabilities/os/loader/enum[@name='secure']/value[.='yes']");

    caps->uefi |= pflash != NULL;
    caps->secure_boot |= secure != NULL;
}

static bool is_plain_name(const char *text)
{
    return *text != '\0' && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-.") == strlen(text);
}

/* An architecture that this virt_type cannot run is no error: it adds nothing. */
static bool add_arch_traits(TraitSet *set, virConnectPtr conn, xmlDoc *doc, HostCaps *caps,
                            const VirtConfig *config, const char *arch, GError **err)
{
    g_autofree char *xpath = g_strdup_printf("/capabilities/guest/arch[@name='%s']/emulator", arch);
    g_autofree char *emulator = xml_find(doc, xpath);
    g_autoptr(GPtrArray) machines = machine_types(doc, arch, config);

    for (guint i = 0; i < machines->len; i++) {
        const char *machine = g_ptr_array_index(machines, i);
        g_autoptr(xmlDoc) answer = NULL;
        char *text = virConnectGetDomainCapabilities(conn, emulator, arch, machine,
                                                     config->virt_type, 0);

        if (!text) {
            g_autoptr(GError) cause = NULL;

            virt_conn_fail(&cause, "domain capabilities");
            if (dv_is(cause, DV_E_UNAVAILABLE)) {
                g_propagate_error(err, g_steal_pointer(&cause));
                return false;
            }
            dv_debug(NULL, "%s %s: %s", arch, machine, cause->message);
            continue;
        }
        answer = xml_parse(text, "domain capabilities", err);
        free(text);
        if (!answer)
            return false;
        traits_add_domain_caps(set, answer, arch, caps->arch);
        if (g_str_equal(arch, caps->arch))
            caps_parse_firmware(caps, answer);
    }
    return true;
}

static bool read_traits(virConnectPtr conn, xmlDoc *doc, HostCaps *caps, const VirtConfig *config,
                        GError **err)
{
    g_autoptr(TraitSet) set = traits_new();
    g_autoptr(GPtrArray) arches = caps_values(doc, "/capabilities/guest/arch/@name");

    if (virConnectGetLibVersion(conn, &caps->libvirt_version) < 0)
        return virt_conn_fail(err, "reading libvirt's version");
    traits_add_driver(set, config, caps->libvirt_version);
    if (!add_cpu_traits(set, conn, caps, config, err))
        return false;
    for (guint i = 0; i < arches->len; i++) {
        const char *arch = g_ptr_array_index(arches, i);

        if (is_plain_name(arch) && !add_arch_traits(set, conn, doc, caps, config, arch, err))
            return false;
    }
    caps->traits = traits_take(g_steal_pointer(&set));
    return true;
}

static void read_machine_id(HostCaps *caps)
{
    g_autofree char *text = NULL;

    if (!dv_read_file(MACHINE_ID_PATH, 4096, &text, NULL, NULL))
        return;
    g_strstrip(text);
    if (strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32)
        caps->machine_id = g_strdup_printf("%.8s-%.4s-%.4s-%.4s-%.12s", text, text + 8, text + 12,
                                           text + 16, text + 20);
}

static bool read_cpuset(HostCaps *caps, const VirtConfig *config, GError **err)
{
    CpuSet set;

    if (!config->cpu_shared_set || !*config->cpu_shared_set)
        return true;
    if (!cpuset_parse(config->cpu_shared_set, &set, err))
        return dv_within(err, "[compute] cpu_shared_set");
    caps->cpuset = cpuset_format(&set);
    return true;
}

static HostCaps *read_caps(LibvirtDriver *driver, virConnectPtr conn, GError **err)
{
    g_autoptr(HostCaps) caps = caps_new();
    g_autoptr(xmlDoc) doc = NULL;
    char *text;

    VIRT_CALL(driver->conn, "read capabilities");
    text = virConnectGetCapabilities(conn);
    if (!text) {
        virt_conn_fail(err, "reading capabilities");
        return NULL;
    }
    doc = xml_parse(text, "capabilities", err);
    free(text);
    if (!doc || !caps_parse_host(caps, doc, err) || !read_cpuset(caps, driver->config, err) ||
        !expand_host_cpu(conn, caps, err) || !read_traits(conn, doc, caps, driver->config, err))
        return NULL;
    read_machine_id(caps);
    return g_steal_pointer(&caps);
}

HostCaps *caps_get(LibvirtDriver *driver, GError **err)
{
    g_auto(virConnectPtr) conn = NULL;
    HostCaps *caps = NULL;
    unsigned generation = 0;

    if (!virt_conn_get(driver->conn, &conn, &generation, err))
        return NULL;
    dv_lock(&driver->lock);
    if (driver->caps && driver->caps_generation == generation)
        caps = caps_ref(driver->caps);
    dv_unlock(&driver->lock);
    if (caps)
        return caps;
    /* Two threads may read at once; the later answer stays. */
    caps = read_caps(driver, conn, err);
    if (!caps)
        return NULL;
    dv_lock(&driver->lock);
    caps_unref(driver->caps);
    driver->caps = caps_ref(caps);
    driver->caps_generation = generation;
    dv_unlock(&driver->lock);
    return caps;
}
