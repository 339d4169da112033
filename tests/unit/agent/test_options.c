/* The option table and what the modules get from it: nova's names and defaults, one sentence for
 * each mistake, a warning for each option that is set and not honoured. data/nova_defaults.txt was
 * written from nova's own tables. */
#include "agent/options.h"
#include "util/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DEFAULTS_FILE "tests/unit/agent/data/nova_defaults.txt"
#define MAX_BYTES (1 << 20)

/* What every start needs. */
#define DRIVER "[DEFAULT]\ncompute_driver = libvirt.LibvirtDriver\n"
#define LOGIN "auth_type = password\nauth_url = http://k:5000\nusername = nova\npassword = geheim\n"
#define SERVICES "[placement]\n" LOGIN "[neutron]\n" LOGIN

/* ---- a folder with files ---- */

static char *folder; /* of the running test */

static int setup(void **state G_GNUC_UNUSED)
{
    folder = g_dir_make_tmp("drover-options-XXXXXX", NULL);
    return folder ? 0 : -1;
}

static int teardown(void **state G_GNUC_UNUSED)
{
    bool gone = dv_remove_tree(folder, NULL);

    g_clear_pointer(&folder, g_free);
    return gone ? 0 : -1;
}

/* Caller frees the path. */
static char *written(const char *name, const char *text)
{
    char *path = g_build_filename(folder, name, NULL);
    g_autofree char *dir = g_path_get_dirname(path);

    assert_true(dv_mkdirs(dir, 0700, NULL));
    assert_true(dv_write_file(path, text, strlen(text), 0600, NULL));
    return path;
}

static DvConfig *load(const char *text, GError **err)
{
    g_autofree char *path = written("nova.conf", text);
    const char *const files[] = {path, NULL};

    return options_load(files, NULL, err);
}

static DvConfig *loaded(const char *text)
{
    g_autoptr(GError) err = NULL;
    DvConfig *config = load(text, &err);

    if (!config)
        fail_msg("%s", err->message);
    return config;
}

/* The start must end with "<folder>/nova.conf:" and this, whoever notices. */
static void assert_refused(const char *text, const char *want)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(DvConfig) config = load(text, &err);
    g_autofree char *sentence = g_strdup_printf("%s/nova.conf:%s", folder, want);

    if (config)
        assert_false(options_check(config, &err));
    assert_int_equal(dv_code(err), DV_E_BAD_CONFIG);
    assert_string_equal(err->message, sentence);
}

static void assert_warnings(const char *text, const char *want)
{
    g_autoptr(DvConfig) config = loaded(text);
    g_autofree char *all = g_strjoinv("\n", (char **)dv_config_warnings(config));
    g_auto(GStrv) parts = g_strsplit(all, folder, -1);
    g_autofree char *without_folder = g_strjoinv("", parts);

    assert_string_equal(without_folder, want);
}

/* ---- the table ---- */

static const DvOption *row_of(const char *group, const char *name)
{
    size_t length;
    const DvOption *table = options_table(&length);

    for (size_t i = 0; i < length; i++)
        if (strcmp(table[i].group, group) == 0 && strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static void each_row_stands_once_with_its_group_and_says_what_it_is(void **state G_GNUC_UNUSED)
{
    size_t length;
    const DvOption *table = options_table(&length);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) groups = g_hash_table_new(g_str_hash, g_str_equal);

    for (size_t i = 0; i < length; i++) {
        const DvOption *row = &table[i];
        char *full = g_strdup_printf("%s.%s", row->group, row->name);

        /* keystone_authtoken is there twice on purpose: its login rows, and the rest */
        if (!g_hash_table_add(seen, full))
            fail_msg("[%s] %s stands twice", row->group, row->name);
        if (i == 0 || strcmp(row->group, table[i - 1].group) != 0)
            if (!g_hash_table_add(groups, (gpointer)row->group))
                fail_msg("rows of [%s] are in two places", row->group);
        if (!row->help && !(row->flags & CONF_IGNORED))
            fail_msg("[%s] %s has no help", row->group, row->name);
        if (!(row->flags & CONF_KEYSTONE) && (row->flags & CONF_IGNORED) &&
            (row->flags & CONF_UNHONOURED))
            fail_msg("[%s] %s is both ignored and unhonoured", row->group, row->name);
    }
    assert_true(length > 400);
}

/* Where drover's default is not the one in nova's table, and why. */
static const struct {
    const char *group, *name, *ours;
} other_defaults[] = {
    {"DEFAULT", "state_path", "/var/lib/nova"}, /* $pybasedir, which each distribution overrides */
    {"DEFAULT", "control_exchange", "nova"},    /* nova's main program sets it so */
};

static const char *expected_default(const char *group, const char *name, const char *novas)
{
    for (size_t i = 0; i < G_N_ELEMENTS(other_defaults); i++)
        if (strcmp(other_defaults[i].group, group) == 0 &&
            strcmp(other_defaults[i].name, name) == 0)
            return other_defaults[i].ours;
    return novas;
}

static bool same_default(const DvOption *row, const char *want)
{
    const char *ours = row->fallback && *row->fallback ? row->fallback : "-";

    if (row->type == CONF_INT || row->type == CONF_FLOAT)
        return strcmp(ours, "-") == 0 || strcmp(want, "-") == 0
                   ? strcmp(ours, want) == 0
                   : g_ascii_strtod(ours, NULL) == g_ascii_strtod(want, NULL);
    return strcmp(ours, want) == 0;
}

static void defaults_are_novas(void **state G_GNUC_UNUSED)
{
    g_autofree char *text = NULL;
    unsigned compared = 0;

    assert_true(dv_read_file(DEFAULTS_FILE, MAX_BYTES, &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line; line++) {
        g_auto(GStrv) word = g_strsplit(*line, " ", 3);
        const DvOption *row;
        const char *want;

        if (**line == '#' || !**line)
            continue;
        assert_int_equal(g_strv_length(word), 3);
        row = row_of(word[0], word[1]);
        if (!row)
            fail_msg("[%s] %s is not in the table", word[0], word[1]);
        want = expected_default(word[0], word[1], word[2]);
        if (!same_default(row, want))
            fail_msg("[%s] %s: default %s, nova has %s", word[0], word[1],
                     row->fallback ? row->fallback : "<none>", want);
        compared++;
    }
    assert_true(compared > 250);
}

static void an_empty_file_gives_what_nova_would_use(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = loaded(DRIVER SERVICES);
    g_autoptr(GError) err = NULL;
    AgentConfig agent;
    VirtConfig virt;
    DisksConfig disks;
    RpcConfig rpc;
    TrackerConfig tracker;

    assert_true(options_agent(config, &agent, &err));
    assert_true(options_virt(config, &virt, &err));
    assert_true(options_disks(config, &disks, &err));
    options_rpc(config, &rpc);
    options_tracker(config, &tracker);

    assert_string_equal(agent.host, g_get_host_name());
    assert_string_equal(agent.instances_path, "/var/lib/nova/instances");
    assert_int_equal(agent.report_interval_s, 10);
    assert_int_equal(agent.vif_plugging_timeout_s, 300);
    assert_true(agent.vif_plugging_is_fatal);
    assert_int_equal(agent.max_concurrent_builds, 10);
    assert_string_equal(agent.vnc.server_listen, "127.0.0.1");
    assert_int_equal(agent.periodic.update_resources_s, 60);
    assert_int_equal(agent.periodic.sync_power_state_s, 600);
    assert_false(agent.notify.v1 || agent.notify.v2);
    assert_string_equal(virt.virt_type, "kvm");
    assert_null(virt.cpu_mode);
    assert_null(virt.connection_uri);
    assert_true(virt.force_raw_images);
    assert_string_equal(disks.base_dir_name, "_base");
    assert_true(disks.deep_inspection);
    assert_true(agent.live_snapshots);
    assert_int_equal(agent.max_concurrent_snapshots, 5);
    assert_int_equal(agent.periodic.image_cache_s, 2400);
    assert_string_equal(disks.snapshots_directory, "/var/lib/nova/instances/snapshots");
    assert_null(disks.snapshot_image_format);
    assert_true(disks.remove_unused_bases);
    assert_int_equal(disks.unused_age_s, 86400);
    assert_int_equal(disks.unused_resized_age_s, 3600);
    assert_string_equal(rpc.control_exchange, "nova");
    assert_int_equal(rpc.heartbeat_timeout_s, 60);
    assert_int_equal(rpc.response_timeout_ms, 60000);
    assert_int_equal(tracker.reserved_host_memory_mib, 512);
    assert_true(tracker.initial_cpu_ratio == 16.0);
}

/* ---- values that are set ---- */

static void snapshots_and_the_cache_are_as_configured(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = loaded(
        DRIVER SERVICES "[workarounds]\ndisable_libvirt_livesnapshot = true\n"
                        "[libvirt]\nsnapshot_image_format = raw\nsnapshot_compression = true\n"
                        "snapshots_directory = /srv/snap\n"
                        "[image_cache]\nremove_unused_base_images = false\nmanager_interval = -1\n"
                        "remove_unused_original_minimum_age_seconds = 7\n");
    AgentConfig agent;
    DisksConfig disks;

    assert_true(options_agent(config, &agent, NULL));
    assert_true(options_disks(config, &disks, NULL));
    assert_false(agent.live_snapshots);
    assert_int_equal(agent.periodic.image_cache_s, 0);
    assert_string_equal(disks.snapshot_image_format, "raw");
    assert_true(disks.snapshot_compression);
    assert_string_equal(disks.snapshots_directory, "/srv/snap");
    assert_false(disks.remove_unused_bases);
    assert_int_equal(disks.unused_age_s, 7);
}

static void a_periodic_spacing_of_zero_is_a_minute_and_below_is_never(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = loaded(DRIVER "sync_power_state_interval = 0\n"
                                               "update_resources_interval = -1\n"
                                               "heal_instance_info_cache_interval = 0\n" SERVICES);
    g_autoptr(GError) err = NULL;
    AgentConfig agent;

    assert_true(options_agent(config, &agent, &err));
    assert_int_equal(agent.periodic.sync_power_state_s, 60);
    assert_int_equal(agent.periodic.update_resources_s, 0);
    assert_int_equal(agent.periodic.heal_instance_info_cache_s, 0);
}

static void service_down_time_is_raised_over_the_report_interval(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = loaded(DRIVER "report_interval = 120\n" SERVICES);
    g_autoptr(GError) err = NULL;
    AgentConfig agent;

    assert_true(options_agent(config, &agent, &err));
    assert_int_equal(agent.service_down_time_s, 300);
}

static void a_log_file_is_below_log_dir_unless_it_is_absolute(void **state G_GNUC_UNUSED)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"[DEFAULT]\n", NULL},
        {"[DEFAULT]\nlog_dir = /var/log/nova\n", "/var/log/nova/drover.log"},
        {"[DEFAULT]\nlog_dir = /var/log/nova\nlog_file = n.log\n", "/var/log/nova/n.log"},
        {"[DEFAULT]\nlog_dir = /var/log/nova\nlog_file = /x/n.log\n", "/x/n.log"},
        {"[DEFAULT]\nlogfile = /old/name.log\n", "/old/name.log"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(DvConfig) config = loaded(cases[i].text);
        LogConfig log;

        options_log(config, &log);
        if (g_strcmp0(log.file, cases[i].want) != 0)
            fail_msg("%s: %s", cases[i].text, log.file ? log.file : "<none>");
        assert_int_equal(log.level, DV_LOG_INFO);
    }
}

static void debug_is_a_log_level(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = loaded("[DEFAULT]\ndebug = yes\n");
    LogConfig log;

    options_log(config, &log);
    assert_int_equal(log.level, DV_LOG_DEBUG);
}

static void deprecated_names_are_read(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = loaded(
        "[DEFAULT]\nvnc_enabled = false\n[oslo_messaging_rabbit]\nrabbit_use_ssl = true\n"
        "[placement]\nos_region_name = north\n[neutron]\nauth_plugin = none\n");
    RpcConfig rpc;

    options_rpc(config, &rpc);
    assert_true(rpc.ssl);
    assert_false(dv_config_bool(config, "vnc", "enabled"));
    assert_string_equal(dv_config_str(config, "placement", "region_name"), "north");
    assert_string_equal(dv_config_str(config, "neutron", "auth_type"), "none");
}

/* ---- files and folders ---- */

static void a_config_dir_is_read_in_order_behind_the_files(void **state G_GNUC_UNUSED)
{
    g_autofree char *file = written("nova.conf", DRIVER "host = a\nmy_ip = 10.0.0.1\n"
                                                        "state_path = /a\n");
    g_autofree char *second = written("d/20.conf", "[DEFAULT]\nmy_ip = 10.0.0.3\n");
    g_autofree char *first = written("d/10.conf", "[DEFAULT]\nmy_ip = 10.0.0.2\nhost = b\n");
    G_GNUC_UNUSED g_autofree char *other = written("d/30.txt", "[DEFAULT]\nmy_ip = 10.0.0.4\n");
    g_autofree char *dir = g_path_get_dirname(first);
    const char *const files[] = {file, NULL}, *const dirs[] = {dir, NULL};
    g_autoptr(GError) err = NULL;
    g_autoptr(DvConfig) config = options_load(files, dirs, &err);
    g_autofree char *origin = g_strdup_printf("%s:2", second);

    assert_non_null(config);
    assert_string_equal(dv_config_str(config, "DEFAULT", "state_path"), "/a");
    assert_string_equal(dv_config_str(config, "DEFAULT", "host"), "b");
    assert_string_equal(dv_config_str(config, "DEFAULT", "my_ip"), "10.0.0.3");
    assert_string_equal(dv_config_origin(config, "DEFAULT", "my_ip"), origin);
}

static void a_later_file_wins(void **state G_GNUC_UNUSED)
{
    g_autofree char *a = written("a.conf", "[DEFAULT]\nhost = a\nstate_path = /a\n");
    g_autofree char *b = written("b.conf", "[DEFAULT]\nhost = b\n");
    const char *const files[] = {a, b, NULL};
    g_autoptr(GError) err = NULL;
    g_autoptr(DvConfig) config = options_load(files, NULL, &err);

    assert_non_null(config);
    assert_string_equal(dv_config_str(config, "DEFAULT", "host"), "b");
    assert_string_equal(dv_config_str(config, "DEFAULT", "instances_path"), "/a/instances");
}

static void a_missing_file_is_named(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = g_build_filename(folder, "absent.conf", NULL);
    const char *const files[] = {path, NULL};
    g_autoptr(GError) err = NULL;

    assert_null(options_load(files, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_BAD_CONFIG);
    assert_non_null(strstr(err->message, path));
}

/* ---- mistakes ---- */

static void
a_wrong_value_is_named_with_file_line_option_and_what_is_wanted(void **state G_GNUC_UNUSED)
{
    assert_refused(DRIVER "report_interval = often\n",
                   "3: [DEFAULT] report_interval = often: want a whole number");
    assert_refused(DRIVER "report_interval = 0\n",
                   "3: [DEFAULT] report_interval = 0: want at least 1");
    assert_refused(DRIVER "\n[vnc]\nenabled = perhaps\n",
                   "5: [vnc] enabled = perhaps: want true or false");
    assert_refused(DRIVER "cpu_allocation_ratio = four\n",
                   "3: [DEFAULT] cpu_allocation_ratio = four: want a number");
    assert_refused(DRIVER "config_drive_format = ext4\n",
                   "3: [DEFAULT] config_drive_format = ext4: want one of iso9660, vfat");
    assert_refused("[oslo_messaging_rabbit]\nheartbeat_rate = 101\n",
                   "2: [oslo_messaging_rabbit] heartbeat_rate = 101: want 1 to 100");
    assert_refused(DRIVER "nonsense\n", "3: want 'name = value', a [group] or a '#' comment");
}

static void what_one_value_cannot_show_is_checked_too(void **state G_GNUC_UNUSED)
{
    assert_refused("[DEFAULT]\ncompute_driver = ironic.IronicDriver\n" SERVICES,
                   "2: [DEFAULT] compute_driver = ironic.IronicDriver: want"
                   " libvirt.LibvirtDriver, the one hypervisor driver that drover has");
    assert_refused(DRIVER "state_path = nova\n" SERVICES,
                   "3: [DEFAULT] state_path = nova: want an absolute path");
    assert_refused(DRIVER "instance_name_template = %s-%q\n" SERVICES,
                   "3: [DEFAULT] instance_name_template = %s-%q: want a template like"
                   " instance-%08x or %(uuid)s");
    assert_refused(DRIVER SERVICES "[libvirt]\nvirt_type = lxc\n",
                   "14: [libvirt] virt_type = lxc: drover has kvm and qemu");
    assert_refused(DRIVER SERVICES "[libvirt]\ncpu_mode = custom\n",
                   "14: [libvirt] cpu_mode = custom: needs cpu_models, which is not set");
    assert_refused(DRIVER SERVICES "[libvirt]\nimages_type = rbd\n",
                   "14: [libvirt] images_type = rbd: not supported yet; drover has default, raw,"
                   " qcow2 and flat");
    assert_refused(DRIVER SERVICES "[image_cache]\nsubdirectory_name = ../x\n",
                   "14: [image_cache] subdirectory_name = ../x: want one folder name");
    assert_refused(DRIVER SERVICES "[oslo_messaging_rabbit]\nrabbit_ha_queues = true\n"
                                   "rabbit_quorum_queue = true\n",
                   "15: [oslo_messaging_rabbit] rabbit_ha_queues and rabbit_quorum_queue are both"
                   " on: queues are either mirrored or quorum queues");
    assert_refused(DRIVER SERVICES "[drover]\ncontrol_plane_release = yoga\n",
                   "14: [drover] control_plane_release = yoga: want auto or a release from zed on:"
                   " zed, 2023.1, 2023.2, 2024.1 ... 2026.1");
}

static void a_missing_driver_is_a_mistake_without_a_place(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = loaded(SERVICES);
    g_autoptr(GError) err = NULL;

    assert_false(options_check(config, &err));
    assert_int_equal(dv_code(err), DV_E_BAD_CONFIG);
    assert_true(g_str_has_prefix(err->message, "default: [DEFAULT] compute_driver = <unset>: "));
}

/* ---- logging in to keystone ---- */

static void each_service_logs_in_by_its_own_group(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = loaded(
        DRIVER "[placement]\n" LOGIN "region_name = north\nvalid_interfaces = internal\n"
               "timeout = 7\ncafile = /ca.pem\nconnect_retries = 3\n"
               "[neutron]\nauth_type = v3applicationcredential\nauth_url = http://n:5000\n"
               "application_credential_id = ac\napplication_credential_secret = s\n"
               "endpoint_override = http://net:9696\n"
               "[glance]\napi_servers = http://g1:9292,http://g2:9292\n");
    g_autoptr(GError) err = NULL;
    ServiceConfig placement, neutron, glance;

    assert_true(options_service(config, "placement", NULL, &placement, &err));
    assert_string_equal(placement.auth.auth_type, "password");
    assert_string_equal(placement.auth.auth_url, "http://k:5000");
    assert_string_equal(placement.auth.password, "geheim");
    assert_string_equal(placement.auth.tls.cafile, "/ca.pem");
    assert_int_equal(placement.auth.timeout_ms, 7000);
    assert_string_equal(placement.region_name, "north");
    assert_string_equal(placement.valid_interfaces[0], "internal");
    assert_null(placement.valid_interfaces[1]);
    assert_int_equal(placement.connect_retries, 3);
    assert_string_equal(placement.service_type, "placement");
    assert_false(placement.user_token_only);

    assert_true(options_service(config, "neutron", NULL, &neutron, &err));
    assert_string_equal(neutron.auth.application_credential_id, "ac");
    assert_string_equal(neutron.service_type, "network");
    assert_string_equal(neutron.endpoint_override, "http://net:9696");
    assert_string_equal(neutron.valid_interfaces[0], "internal");
    assert_string_equal(neutron.valid_interfaces[1], "public");

    assert_true(options_service(config, "glance", NULL, &glance, &err));
    assert_string_equal(glance.endpoint_override, "http://g1:9292");
    assert_true(glance.user_token_only); /* no login of its own: the user's token */
}

static void auth_section_takes_the_credentials_of_another_group(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = loaded(
        DRIVER "[keystone_authtoken]\n" LOGIN "cafile = /theirs.pem\n"
               "[placement]\nauth_section = keystone_authtoken\ncafile = /ours.pem\n");
    g_autoptr(GError) err = NULL;
    ServiceConfig placement;

    assert_true(options_service(config, "placement", NULL, &placement, &err));
    assert_string_equal(placement.auth.username, "nova");
    assert_string_equal(placement.auth.tls.cafile, "/ours.pem");
}

static void the_service_user_goes_along_when_it_is_asked_for(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig)
        with = loaded(DRIVER SERVICES "[service_user]\nsend_service_user_token = true\n" LOGIN);
    g_autoptr(DvConfig) without = loaded(DRIVER SERVICES "[service_user]\n" LOGIN);
    g_autoptr(GError) err = NULL;
    AuthConfig user;
    ServiceConfig neutron;

    options_service_user(with, &user);
    assert_string_equal(user.username, "nova");
    assert_true(options_service(with, "neutron", &user, &neutron, &err));
    assert_ptr_equal(neutron.service_user, &user);
    assert_true(options_service(without, "neutron", &user, &neutron, &err));
    assert_null(neutron.service_user);
}

static void a_login_that_cannot_work_is_refused(void **state G_GNUC_UNUSED)
{
    assert_refused(DRIVER "[placement]\nauth_type = password\nauth_url = http://k\nusername = n\n",
                   "4: [placement] auth_type = password: needs password in [placement], which is"
                   " not set");
    assert_refused(DRIVER "[placement]\nauth_type = v3applicationcredential\n"
                          "auth_url = http://k\n",
                   "4: [placement] auth_type = v3applicationcredential: needs"
                   " application_credential_id|application_credential_name in [placement], which is"
                   " not set");
    assert_refused(DRIVER "[placement]\nauth_section = elsewhere\n",
                   "4: [placement] auth_section = elsewhere: want a group with credentials:"
                   " placement, neutron, glance, cinder, service_user or keystone_authtoken");
    assert_refused(DRIVER "[placement]\nauth_type = v2password\n",
                   "4: [placement] auth_type = v2password: want one of password, v3password,"
                   " v3applicationcredential, v3token, token, none");
}

/* ---- what is not honoured, and what must not be seen ---- */

static void options_without_effect_are_named_once_when_they_are_set(void **state G_GNUC_UNUSED)
{
    assert_warnings(DRIVER SERVICES, "");
    assert_warnings("[spice]\nrequire_secure = true\n",
                    "/nova.conf:2: [spice] require_secure: drover does not honour this option yet");
    /* the default itself changes nothing */
    assert_warnings("[spice]\nrequire_secure = false\n", "");
    /* other services' options in a shared file */
    assert_warnings("[database]\nconnection = mysql://\n[api]\nauth_strategy = keystone\n"
                    "[keystone_authtoken]\nmemcached_servers = m\n",
                    "");
}

static void a_typing_error_is_named(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) config = loaded("[DEFAULT]\nreport_intervall = 5\n");
    const char *const *warnings = dv_config_warnings(config);

    assert_non_null(warnings[0]);
    assert_non_null(strstr(warnings[0], "nova.conf:2: [DEFAULT] report_intervall"));
    assert_null(warnings[1]);
}

static void secrets_are_not_printed(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig)
        config = loaded("[DEFAULT]\ntransport_url = rabbit://u:geheim@h:5672/\n"
                        "[placement]\n" LOGIN "application_credential_secret = geheim\n");
    g_autofree char *dump = dv_config_dump(config);

    assert_null(strstr(dump, "geheim"));
    assert_non_null(strstr(dump, "username = nova"));
}

static bool virt_of(const char *text, VirtConfig *out)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *file = g_strconcat("[DEFAULT]\ncompute_driver = libvirt.LibvirtDriver\n", text,
                                        NULL);
    DvConfig *config = loaded(file);
    bool ok = options_virt(config, out, &err);

    assert_true(ok || err->code == DV_E_BAD_CONFIG);
    dv_config_free(config);
    return ok;
}

static void port_range_of_serial_consoles(void **state G_GNUC_UNUSED)
{
    VirtConfig virt;

    assert_true(virt_of("[serial_console]\nport_range = 100:200\n", &virt));
    assert_int_equal(virt.serial_port_first, 100);
    assert_int_equal(virt.serial_port_end, 200);
    assert_true(virt_of("[serial_console]\nport_range = 200:100\n", &virt)); /* as nova does */
    assert_int_equal(virt.serial_port_first, 10000);
    assert_int_equal(virt.serial_port_end, 20000);
    assert_false(virt_of("[serial_console]\nport_range = 100\n", &virt));
    assert_false(virt_of("[serial_console]\nport_range = a:b\n", &virt));
    assert_false(virt_of("[serial_console]\nport_range = 0:70000\n", &virt));
}

/* nova's default is ssh; ours is libvirt, unless somebody has chosen. */
static void disks_are_carried_by_what_was_chosen(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvConfig) unset = loaded(DRIVER SERVICES);
    g_autoptr(DvConfig) set = loaded(DRIVER "my_ip = 192.0.2.7\n" SERVICES
                                            "[libvirt]\nremote_filesystem_transport = ssh\n"
                                            "migration_inbound_addr = 192.0.2.8\n");
    AgentConfig agent;
    TrackerConfig tracker;

    assert_true(options_agent(unset, &agent, NULL));
    assert_null(agent.remote_transport);
    assert_true(options_agent(set, &agent, NULL));
    assert_string_equal(agent.remote_transport, "ssh");
    options_tracker(set, &tracker);
    assert_string_equal(tracker.my_ip, "192.0.2.7");
    assert_string_equal(tracker.move_address, "192.0.2.8");
}

static void providers_of_vendor_data(void **state G_GNUC_UNUSED)
{
    DvConfig *config = loaded("[api]\nvendordata_providers = StaticJSON,DynamicJSON\n"
                              "vendordata_dynamic_targets = a@http://x/,b@http://y/\n"
                              "[vendordata_dynamic_auth]\nauth_type = password\n"
                              "auth_url = http://k/\nusername = nova\npassword = secret\n");
    DvConfig *wrong = loaded("[api]\nvendordata_providers = Oracle\n");
    g_autoptr(GError) err = NULL;
    VendordataConfig vendordata;

    assert_true(options_vendordata(config, &vendordata, &err));
    assert_string_equal(vendordata.providers[1], "DynamicJSON");
    assert_string_equal(vendordata.targets[1], "b@http://y/");
    assert_string_equal(vendordata.auth.username, "nova");
    assert_false(options_vendordata(wrong, &vendordata, &err));
    assert_int_equal(err->code, DV_E_BAD_CONFIG);
    dv_config_free(config);
    dv_config_free(wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_row_stands_once_with_its_group_and_says_what_it_is,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(defaults_are_novas, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_file_gives_what_nova_would_use, setup, teardown),
        cmocka_unit_test_setup_teardown(snapshots_and_the_cache_are_as_configured, setup, teardown),
        cmocka_unit_test_setup_teardown(a_periodic_spacing_of_zero_is_a_minute_and_below_is_never,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(service_down_time_is_raised_over_the_report_interval, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_log_file_is_below_log_dir_unless_it_is_absolute, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(debug_is_a_log_level, setup, teardown),
        cmocka_unit_test_setup_teardown(disks_are_carried_by_what_was_chosen, setup, teardown),
        cmocka_unit_test_setup_teardown(deprecated_names_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_config_dir_is_read_in_order_behind_the_files, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_later_file_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_file_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_wrong_value_is_named_with_file_line_option_and_what_is_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(what_one_value_cannot_show_is_checked_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_driver_is_a_mistake_without_a_place, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(each_service_logs_in_by_its_own_group, setup, teardown),
        cmocka_unit_test_setup_teardown(auth_section_takes_the_credentials_of_another_group, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_service_user_goes_along_when_it_is_asked_for, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_login_that_cannot_work_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(options_without_effect_are_named_once_when_they_are_set,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_typing_error_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(secrets_are_not_printed, setup, teardown),
        cmocka_unit_test_setup_teardown(port_range_of_serial_consoles, setup, teardown),
        cmocka_unit_test_setup_teardown(providers_of_vendor_data, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
