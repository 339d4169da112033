/* The domain XML of many requests, against what nova made of the same (tests/golden/generate).
 *
 * Everything between the request and the XML is real: the configuration is read from text, the
 * instance becomes a GuestSpec, the host is what libvirt said of a real one. The files of the disks
 * are named here, where a boot would make them. docs/xml-differences.md holds what may differ. */
#include "agent/faults.h"
#include "agent/guest_spec.h"
#include "agent/rescue_spec.h"
#include "virt/disk/disks_priv.h"
#include "virt/libvirt/caps.h"

#include "unit/virt/xml_compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <unistd.h>

#define CASES "tests/golden/cases"
#define FIRMWARE "tests/golden/firmware"
#define HOST "tests/unit/virt/data/"
#define DIFFERENCES "docs/xml-differences.md"
#define NOVA_VERSION "26.2.2"
#define CREATED_MS (INT64_C(1795330537) * 1000)

/* A row of a table of DIFFERENCES: what stands in its first two cells, without backquotes. */
typedef struct Difference {
    char *first, *second;
    bool occurred;
} Difference;

typedef struct Golden {
    HostCaps *caps;
    FirmwareList *firmwares;
    GPtrArray *differences; /* Difference * */
    unsigned compared, refused;
} Golden;

static xmlDoc *parse_file(const char *path)
{
    xmlDoc *doc = xmlReadFile(path, NULL, XML_PARSE_NONET | XML_PARSE_NOBLANKS);

    if (!doc)
        fail_msg("%s: not read", path);
    return doc;
}

/* ---- what may differ ---- */

static char *cell_text(const char *cell)
{
    char *text = g_strstrip(g_strdup(cell));
    size_t length = strlen(text);

    if (length >= 2 && text[0] == '`' && text[length - 1] == '`') {
        text[length - 1] = '\0';
        memmove(text, text + 1, length - 1);
    }
    return text;
}

static GPtrArray *read_differences(void)
{
    GPtrArray *rows = g_ptr_array_new();
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    assert_true(g_file_get_contents(DIFFERENCES, &text, NULL, NULL));
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) cells = g_strsplit(*line, "|", -1);
        Difference *row;

        if (!g_str_has_prefix(*line, "| `") || g_strv_length(cells) < 4)
            continue;
        row = g_new0(Difference, 1);
        row->first = cell_text(cells[1]);
        row->second = cell_text(cells[2]);
        g_ptr_array_add(rows, row);
    }
    assert_true(rows->len >= 1);
    return rows;
}

/* Takes the nodes of `xpath` out of the tree; what they were, as text. */
static char *remove_nodes(xmlDoc *doc, const char *xpath)
{
    g_autoptr(xmlXPathContext) context = xmlXPathNewContext(doc);
    g_autoptr(xmlXPathObject) found = xmlXPathEvalExpression(BAD_CAST xpath, context);
    int count = found && found->nodesetval ? found->nodesetval->nodeNr : 0;
    GString *text = g_string_new(NULL);

    for (int i = 0; i < count; i++) {
        xmlNode *node = found->nodesetval->nodeTab[i];

        found->nodesetval->nodeTab[i] = NULL;
        xml_canonical_node(node, NULL, 0, text);
        xmlUnlinkNode(node);
        xmlFreeNode(node);
    }
    return g_string_free(text, FALSE);
}

static void remove_differences(const Golden *g, xmlDoc *ours, xmlDoc *theirs)
{
    for (guint i = 0; i < g->differences->len; i++) {
        Difference *row = g_ptr_array_index(g->differences, i);
        g_autofree char *left = NULL;
        g_autofree char *right = NULL;

        if (*row->first != '/')
            continue;
        left = remove_nodes(ours, row->first);
        right = remove_nodes(theirs, row->first);
        row->occurred |= strcmp(left, right) != 0;
    }
}

static bool may_raise(const Golden *g, const char *theirs, const char *ours)
{
    for (guint i = 0; i < g->differences->len; i++) {
        Difference *row = g_ptr_array_index(g->differences, i);

        if (g_str_equal(row->first, theirs) && g_str_equal(row->second, ours)) {
            row->occurred = true;
            return true;
        }
    }
    return g_str_equal(theirs, ours);
}

/* ---- one request ---- */

typedef struct Request {
    json_t *json;
    DvConfig *options;
    Agent agent;
    Ovo *instance, *image, *bdms;
    Ovo *rescue; /* image that the guest is rescued with, or NULL */
    NetworkInfo *network;
    DvCtx *ctx;
} Request;

static DvConfig *load_options(const char *text)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("drover-golden-XXXXXX", &path, NULL);
    const char *const files[] = {path, NULL};
    g_autoptr(GError) err = NULL;
    DvConfig *options;

    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    options = options_load(files, NULL, &err);
    g_unlink(path);
    if (!options)
        fail_msg("%s", err->message);
    return options;
}

static Request *request_load(const char *path)
{
    Request *r = g_new0(Request, 1);
    g_autoptr(GError) err = NULL;

    r->json = json_load_file(path, 0, NULL);
    assert_non_null(r->json);
    r->options = load_options(json_string_value(json_object_get(r->json, "config")));
    if (!options_agent(r->options, &r->agent.config, &err) ||
        !options_virt(r->options, &r->agent.virt_config, &err) ||
        !options_disks(r->options, &r->agent.disks_config, &err))
        fail_msg("%s: %s", path, err->message);
    r->agent.virt_config.package_version = NOVA_VERSION;
    r->agent.pointer_model = dv_config_str(r->options, "DEFAULT", "pointer_model");
    r->agent.disks = disks_new(&r->agent.disks_config);
    r->instance = ovo_view(json_object_get(r->json, "instance"), "Instance", NULL);
    if (!json_is_null(json_object_get(r->json, "image")))
        r->image = ovo_view_dict(json_object_get(r->json, "image"), NULL);
    if (json_object_get(r->json, "rescue"))
        r->rescue = ovo_view_dict(json_object_get(r->json, "rescue"), NULL);
    r->bdms = ovo_view(json_object_get(r->json, "bdms"), "BlockDeviceMappingList", NULL);
    r->network = network_info_take(json_incref(json_object_get(r->json, "network_info")), &err);
    r->ctx = dv_ctx_new_admin();
    assert_true(r->instance && r->bdms && r->network);
    return r;
}

static void request_free(Request *r)
{
    dv_ctx_unref(r->ctx);
    network_info_free(r->network);
    ovo_unref(r->bdms);
    ovo_unref(r->rescue);
    ovo_unref(r->image);
    ovo_unref(r->instance);
    disks_free(r->agent.disks);
    dv_config_free(r->options);
    json_decref(r->json);
    g_free(r);
}

/* What virt/disk does when it makes the files. */
static void name_files(const Request *r, GuestSpec *spec)
{
    bool raw = strcmp(r->agent.disks_config.images_type, "raw") == 0;

    disk_name_all(spec, spec->instance_dir);
    for (guint i = 0; i < spec->disks->len; i++) {
        DiskSpec *disk = g_ptr_array_index(spec->disks, i);

        disk->format = raw || disk->role == DISK_ROLE_CONFIG ? DISK_FORMAT_RAW : DISK_FORMAT_QCOW2;
    }
}

/* An id of the configuration, else of the instance; NULL: neither. */
static const char *rescue_id(const char *configured, const Ovo *instance, const char *field)
{
    const char *own = ovo_str_or(instance, field, NULL);

    if (configured)
        return configured;
    return own && *own ? own : NULL;
}

/* A classic rescue is made of the rescue image, a stable one of the guest's own. */
static GuestSpec *make_spec(const Request *r, GError **err)
{
    const AgentConfig *config = &r->agent.config;
    bool classic = r->rescue && !rescue_is_stable(r->rescue);
    GuestSource source = {r->instance, classic ? r->rescue : r->image, r->bdms, r->network, r->ctx};
    g_autoptr(GuestSpec) spec = guest_spec_build(&r->agent, &source, err);

    if (!spec || !r->rescue)
        return g_steal_pointer(&spec);
    if (!rescue_spec_apply(&r->agent, spec, r->rescue, err))
        return NULL;
    rescue_spec_kernel(&r->agent, spec,
                       rescue_id(config->rescue_kernel_id, r->instance, "kernel_id"),
                       rescue_id(config->rescue_ramdisk_id, r->instance, "ramdisk_id"));
    return g_steal_pointer(&spec);
}

/* [libvirt] cpu_models in libvirt's spelling, which a real host is asked for. */
static GPtrArray *spelled_models(const VirtConfig *config, CapsModel *storage)
{
    GPtrArray *models = g_ptr_array_new();

    for (const char *const *item = config->cpu_models; item && *item; item++) {
        assert_int_equal(g_ascii_strcasecmp(*item, "IvyBridge"), 0);
        storage->name = (char *)"IvyBridge";
        g_ptr_array_add(models, storage);
    }
    return models;
}

static char *shared_cpus(const VirtConfig *config)
{
    CpuSet set;

    if (!config->cpu_shared_set)
        return NULL;
    assert_true(cpuset_parse(config->cpu_shared_set, &set, NULL));
    return cpuset_format(&set);
}

static bool write_xml(const Golden *g, const Request *r, char **out, GError **err)
{
    const VirtConfig *config = &r->agent.virt_config;
    g_autoptr(GuestSpec) spec = make_spec(r, err);
    CapsModel model = {0};
    g_autoptr(GPtrArray) models = spelled_models(config, &model);
    g_autofree char *cpuset = shared_cpus(config);
    static const int serial_ports[] = {10000, 10001, 10002};
    XmlHost host = caps_xml_host(g->caps);

    if (!spec)
        return false;
    name_files(r, spec);
    spec->creation_wall_ms = CREATED_MS;
    host.cpu_models = models;
    host.cpuset = cpuset;
    host.cache_mode = "none";
    host.serial_ports = serial_ports;
    host.firmwares = g->firmwares;
    return xml_domain_write(spec, config, &host, out, err);
}

/* ---- comparison ---- */

/* The first line in which two texts differ, with the lines before it. */
static void show_difference(const char *name, const char *ours, const char *theirs)
{
    g_auto(GStrv) left = g_strsplit(ours, "\n", -1);
    g_auto(GStrv) right = g_strsplit(theirs, "\n", -1);
    unsigned i = 0;

    while (left[i] && right[i] && g_str_equal(left[i], right[i]))
        i++;
    for (unsigned before = i > 3 ? i - 3 : 0; before < i; before++)
        print_error("        %s\n", left[before]);
    print_error("%s: line %u\n  ours  %s\n  nova  %s\n", name, i + 1, left[i] ? left[i] : "(end)",
                right[i] ? right[i] : "(end)");
}

static char *canonical(xmlDoc *doc)
{
    GString *out = g_string_new(NULL);

    xml_canonical_node(xmlDocGetRootElement(doc), NULL, 0, out);
    return g_string_free(out, FALSE);
}

static bool same_xml(Golden *g, const char *name, const char *xml)
{
    g_autofree char *path = g_strdup_printf(CASES "/%s.xml", name);
    g_autoptr(xmlDoc) theirs = parse_file(path);
    g_autoptr(xmlDoc) ours = xml_parse(xml, name, NULL);
    g_autofree char *left = NULL;
    g_autofree char *right = NULL;

    remove_differences(g, ours, theirs);
    left = canonical(ours);
    right = canonical(theirs);
    assert_non_null(strstr(right, "<devices>"));
    g->compared++;
    if (g_str_equal(left, right))
        return true;
    show_difference(name, left, right);
    return false;
}

static bool same_fault(Golden *g, const char *name, const char *theirs, const GError *err)
{
    RpcFault fault;

    fault_of_error(err, &fault);
    g->refused++;
    if (may_raise(g, theirs, fault.class_name))
        return true;
    print_error("%s: ours %s (%s), nova %s\n", name, fault.class_name, err->message, theirs);
    return false;
}

static bool check_case(Golden *g, const char *name)
{
    g_autofree char *path = g_strdup_printf(CASES "/%s.json", name);
    Request *r = request_load(path);
    const char *raises = json_string_value(json_object_get(r->json, "raises"));
    g_autoptr(GError) err = NULL;
    g_autofree char *xml = NULL;
    bool made = write_xml(g, r, &xml, &err);
    bool ok;

    if (made && !raises) {
        ok = same_xml(g, name, xml);
    } else if (!made && raises) {
        ok = same_fault(g, name, raises, err);
    } else {
        print_error("%s: ours %s, nova %s\n", name, made ? "made XML" : err->message,
                    raises ? raises : "made XML");
        ok = false;
    }
    request_free(r);
    return ok;
}

static int compare_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *case_names(void)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(CASES, 0, NULL);
    const char *file;

    assert_non_null(dir);
    while ((file = g_dir_read_name(dir))) {
        if (g_str_has_suffix(file, ".json"))
            g_ptr_array_add(names, g_strndup(file, strlen(file) - strlen(".json")));
    }
    g_dir_close(dir);
    g_ptr_array_sort(names, compare_text);
    return names;
}

static void every_request_becomes_what_nova_makes_of_it(void **state)
{
    Golden *g = *state;
    g_autoptr(GPtrArray) names = case_names();
    unsigned wrong = 0;

    for (guint i = 0; i < names->len; i++)
        wrong += !check_case(g, g_ptr_array_index(names, i));
    print_message("%u documents and %u refusals compared\n", g->compared, g->refused);
    assert_int_equal(wrong, 0);
    assert_true(g->compared >= 60 && g->refused >= 10);
}

static void every_difference_that_is_allowed_occurs(void **state)
{
    const Golden *g = *state;

    for (guint i = 0; i < g->differences->len; i++) {
        const Difference *row = g_ptr_array_index(g->differences, i);

        if (!row->occurred)
            fail_msg(DIFFERENCES ": %s is allowed and does not occur", row->first);
    }
}

static int setup(void **state)
{
    static const char *const dirs[] = {FIRMWARE, NULL};
    static const char *const domcaps[] = {HOST "domcaps_x86_64_pc.xml",
                                          HOST "domcaps_x86_64_q35.xml"};
    Golden *g = g_new0(Golden, 1);
    g_autoptr(xmlDoc) doc = parse_file(HOST "capabilities.xml");

    g->caps = caps_new();
    assert_true(caps_parse_host(g->caps, doc, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(domcaps); i++) {
        g_autoptr(xmlDoc) answer = parse_file(domcaps[i]);

        caps_parse_firmware(g->caps, answer);
    }
    g->caps->libvirt_version = 9000000;
    g->firmwares = firmware_load(dirs, NULL);
    assert_non_null(g->firmwares);
    g->differences = read_differences();
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    Golden *g = *state;

    for (guint i = 0; i < g->differences->len; i++) {
        Difference *row = g_ptr_array_index(g->differences, i);

        g_free(row->first);
        g_free(row->second);
        g_free(row);
    }
    g_ptr_array_unref(g->differences);
    firmware_list_free(g->firmwares);
    caps_unref(g->caps);
    g_free(g);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_becomes_what_nova_makes_of_it),
        cmocka_unit_test(every_difference_that_is_allowed_occurs),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
