/* The libvirt driver: its ops table, its start and its end. */
#include "virt/libvirt/libvirt_priv.h"

#include "util/fs.h"
#include "util/log.h"
#include "virt/libvirt/caps.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#define DEFAULT_CALL_LIMIT_MS 30000
#define DIRECT_IO_ALIGN 4096

static void set_event_sink(void *self, GuestEventFn sink, void *arg)
{
    LibvirtDriver *driver = self;

    virt_events_set_sink(driver->events, sink, arg);
}

static bool connected(void *self)
{
    LibvirtDriver *driver = self;

    return virt_conn_alive(driver->conn);
}

static unsigned stuck_calls(void *self, int64_t *out_oldest_ms, const char **out_name)
{
    LibvirtDriver *driver = self;

    return virt_conn_stuck(driver->conn, out_oldest_ms, out_name);
}

static void driver_free(void *self)
{
    LibvirtDriver *driver = self;

    if (!driver)
        return;
    virt_events_set_sink(driver->events, NULL, NULL);
    virt_conn_free(driver->conn);
    virt_events_unref(driver->events);
    caps_unref(driver->caps);
    g_hash_table_unref(driver->ours);
    g_hash_table_unref(driver->serial_ports);
    dv_mutex_done(&driver->lock);
    g_free(driver->cache_mode);
    g_free(driver);
}

static const VirtOps libvirt_ops = {
    .host_facts = host_facts_read,
    .list = guest_list,
    .state = guest_state,
    .cpu = guest_cpu,
    .plug = guest_plug,
    .unplug = guest_unplug,
    .start = guest_start,
    .resume = guest_resume,
    .shutdown = guest_shutdown,
    .power_off = guest_power_down,
    .launch = guest_launch,
    .pause = guest_pause,
    .save = guest_save,
    .define = guest_define,
    .define_xml = guest_define_xml,
    .destroy = guest_destroy,
    .retire = guest_retire,
    .inject_nmi = guest_inject_nmi,
    .set_password = guest_set_password,
    .sync_time = guest_sync_time,
    .stats = guest_stats,
    .abort_job = guest_abort_job,
    .block_copy = guest_block_copy,
    .block_copy_end = guest_block_copy_end,
    .freeze = guest_freeze,
    .thaw = guest_thaw,
    .console_output = console_output,
    .console = console_address,
    .attach_nic = hotplug_attach_nic,
    .detach_nic = hotplug_detach_nic,
    .devices = devices_read,
    .disks = devices_disks,
    .migrate = guest_migrate,
    .migrate_watch = guest_migrate_watch,
    .job = guest_job,
    .post_copy = guest_post_copy,
    .set_max_downtime = guest_set_max_downtime,
    .set_bandwidth = guest_set_bandwidth,
    .migration_xml = guest_migration_xml,
    .compare_cpu = guest_compare_cpu,
    .reserve_serial = serial_ports_reserve,
    .send_files = transfer_send,
    .remove_files = transfer_remove,
    .fetch_files = transfer_fetch,
    .tpm_save = tpm_save,
    .tpm_restore = tpm_restore,
    .describe = guest_describe,
    .set_event_sink = set_event_sink,
    .connected = connected,
    .stuck_calls = stuck_calls,
    .free = driver_free,
};

static void on_opened(void *arg, virConnectPtr conn)
{
    LibvirtDriver *driver = arg;

    virt_events_register(driver->events, conn);
}

/* Whether files there can be opened around the page cache: tried once, as nova does. */
static bool can_do_direct_io(const char *dir)
{
    g_autofree char *path = g_strdup_printf("%s/.drover-directio-%d", dir, (int)getpid());
    g_autofree void *block = NULL;
    dv_autofd int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_DIRECT | O_CLOEXEC, 0600);
    bool ok = false;

    if (fd < 0)
        return false;
    if (posix_memalign(&block, DIRECT_IO_ALIGN, DIRECT_IO_ALIGN) == 0) {
        memset(block, 'x', DIRECT_IO_ALIGN);
        ok = write(fd, block, DIRECT_IO_ALIGN) == DIRECT_IO_ALIGN;
    }
    unlink(path);
    return ok;
}

/* What libvirt starts for TPMs; looked for where this process would find it, as nova does. */
static bool check_tpms(const VirtConfig *config, GError **err)
{
    g_autofree char *setup = g_find_program_in_path("swtpm_setup");
    g_autofree char *swtpm = g_find_program_in_path("swtpm");

    if (!config->swtpm_enabled)
        return true;
    if (!setup && !swtpm)
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "[libvirt] swtpm_enabled: vTPM support is configured but the 'swtpm' and"
                       " 'swtpm_setup' binaries could not be found on PATH.");
    if (!config->swtpm_user || !getpwnam(config->swtpm_user))
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "[libvirt] swtpm_user: there is no user '%s' on this host",
                       config->swtpm_user ? config->swtpm_user : "");
    if (!config->swtpm_group || !getgrnam(config->swtpm_group))
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "[libvirt] swtpm_group: there is no group '%s' on this host",
                       config->swtpm_group ? config->swtpm_group : "");
    return true;
}

static bool check_config(const VirtConfig *config, GError **err)
{
    if (!config->virt_type ||
        (!g_str_equal(config->virt_type, "qemu") && !g_str_equal(config->virt_type, "kvm")))
        return dv_fail(err, DV_E_BAD_CONFIG, "[libvirt] virt_type %s: want kvm or qemu",
                       config->virt_type ? config->virt_type : "(unset)");
    return check_tpms(config, err);
}

VirtDriver *virt_libvirt_new(const VirtConfig *config, GError **err)
{
    const char *uri = config->connection_uri && *config->connection_uri ? config->connection_uri
                                                                        : "qemu:///system";
    int64_t limit_ms = config->call_limit_ms > 0 ? config->call_limit_ms : DEFAULT_CALL_LIMIT_MS;
    LibvirtDriver *self;
    VirtDriver *driver;

    if (!check_config(config, err))
        return NULL;
    self = g_new0(LibvirtDriver, 1);
    self->config = config;
    self->events = virt_events_new();
    self->ours = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    self->serial_ports = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    self->cache_mode = g_strdup(can_do_direct_io(config->instances_path) ? "none" : "writeback");
    dv_mutex_init(&self->lock);
    self->conn = virt_conn_new(uri, limit_ms, on_opened, self, err);
    if (!self->conn) {
        driver_free(self);
        return NULL;
    }
    driver = g_new0(VirtDriver, 1);
    driver->ops = &libvirt_ops;
    driver->self = self;
    return driver;
}
