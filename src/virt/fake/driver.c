/* A hypervisor in memory that keeps the contract of virt/driver.h; see fake_driver.h. power.c has
 * the operations that turn guests on and off, steer.c what tests say.
 *
 * tests/unit/virt/contract.h is run on this and on real libvirt, so that the two do not drift. */
#include "virt/fake/fake_priv.h"

#include <string.h>

#define FIRST_VNC_PORT 5900

static void fake_guest_free(gpointer data)
{
    FakeGuest *guest = data;

    g_free(guest->uuid);
    g_free(guest->name);
    g_free(guest->console);
    g_free(guest->vnc_listen);
    g_free(guest->spice_listen);
    g_free(guest->serial_host);
    g_ptr_array_unref(guest->devices);
    g_free(guest->password);
    g_free(guest->xml);
    g_free(guest->tpm_secret);
    g_free(guest->copied);
    g_ptr_array_unref(guest->disks);
    fake_move_free(guest->move);
    g_free(guest);
}

static HostFacts *default_facts(void)
{
    HostFacts facts = {
        .hypervisor_hostname = (char *)"fake-host",
        .hypervisor_type = (char *)"QEMU",
        .hypervisor_version = 7002022,
        .vcpus = 16,
        .memory_mib = 32768,
        .memory_used_mib = 1024,
        .disk_gib = 500,
        .disk_used_gib = 20,
        .disk_available_least_gib = 480,
        .cpu_info = (char *)"{\"arch\": \"x86_64\", \"model\": \"qemu64\", \"vendor\": \"AMD\", "
                            "\"topology\": {\"cells\": 1, \"sockets\": 1, \"cores\": 16, "
                            "\"threads\": 1}, \"features\": [\"sse\", \"sse2\"]}",
        .cpu_arch = (char *)"x86_64",
        .cpu_model = (char *)"qemu64",
        .cpu_vendor = (char *)"AMD",
    };
    HostFacts *out = host_facts_copy(&facts);

    g_ptr_array_add(out->cpu_features, g_strdup("sse"));
    g_ptr_array_add(out->cpu_features, g_strdup("sse2"));
    g_ptr_array_add(out->specs, host_spec_triple_new("x86_64", "qemu", "hvm"));
    g_ptr_array_add(out->traits, g_strdup("COMPUTE_IMAGE_TYPE_QCOW2"));
    g_ptr_array_add(out->traits, g_strdup("HW_CPU_X86_SSE"));
    g_ptr_array_add(out->traits, g_strdup("HW_CPU_X86_SSE2"));
    return out;
}

/* --- what the test said ---------------------------------------------------------------------- */

FakeOp *fake_op_of(FakeVirt *fake, const char *name)
{
    FakeOp *op = g_hash_table_lookup(fake->ops, name);

    if (!op) {
        op = g_new0(FakeOp, 1);
        g_hash_table_insert(fake->ops, g_strdup(name), op);
    }
    return op;
}

/* Every operation starts here, with the lock held on return when it may go on. */
bool fake_enter(FakeVirt *fake, const char *name, GError **err) DV_NO_ANALYSIS
{
    FakeOp *op;

    dv_lock(&fake->lock);
    op = fake_op_of(fake, name);
    op->calls++;
    op->held_now++;
    dv_cond_broadcast(&fake->changed);
    while (op->hold && !fake->stopping && !op->aborted)
        dv_cond_wait(&fake->changed, &fake->lock);
    op->held_now--;
    dv_cond_broadcast(&fake->changed);
    if (fake->connected && !fake->stopping && op->failures_left == 0 && !op->aborted)
        return true;
    if (op->aborted)
        dv_fail(err, DV_E_HYPERVISOR, "fake: %s was aborted", name);
    else if (!fake->connected || fake->stopping)
        dv_fail(err, DV_E_UNAVAILABLE, "fake: no connection to the hypervisor");
    else
        dv_fail(err, op->code, "fake: told to fail %s", name);
    op->aborted = false;
    if (op->failures_left > 0 && op->failures_left != G_MAXUINT)
        op->failures_left--;
    dv_unlock(&fake->lock);
    return false;
}

void fake_leave(FakeVirt *fake) DV_NO_ANALYSIS
{
    dv_unlock(&fake->lock);
}

void fake_send_event(FakeVirt *fake, const char *uuid, GuestEventKind kind, const char *detail)
{
    GuestEvent event = {.kind = kind, .detail = detail};
    GuestEventFn sink;
    void *arg;

    g_strlcpy(event.uuid, uuid, sizeof(event.uuid));
    dv_lock(&fake->lock);
    sink = fake->sink;
    arg = fake->sink_arg;
    dv_unlock(&fake->lock);
    if (sink)
        sink(arg, &event);
}

FakeGuest *fake_find(FakeVirt *fake, const char *uuid)
{
    return g_hash_table_lookup(fake->guests, uuid);
}

FakeGuest *fake_enter_guest(FakeVirt *fake, const char *name, const char *uuid,
                            GError **err) DV_NO_ANALYSIS
{
    FakeGuest *guest;

    if (!fake_enter(fake, name, err))
        return NULL;
    guest = fake_find(fake, uuid);
    if (guest)
        return guest;
    fake_leave(fake);
    dv_fail(err, DV_E_INSTANCE_NOT_FOUND, "guest %s is not there", uuid);
    return NULL;
}

/* --- the operations -------------------------------------------------------------------------- */

static bool fake_host_facts(void *self, HostFacts **out, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;

    if (!fake_enter(fake, "host_facts", err))
        return false;
    *out = host_facts_copy(fake->facts);
    g_free((*out)->uptime);
    (*out)->uptime = host_uptime();
    fake_leave(fake);
    return true;
}

static bool fake_list(void *self, GPtrArray **out, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    GHashTableIter iter;
    gpointer value;

    if (!fake_enter(fake, "list", err))
        return false;
    *out = g_ptr_array_new_with_free_func((GDestroyNotify)virt_guest_free);
    g_hash_table_iter_init(&iter, fake->guests);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const FakeGuest *guest = value;
        VirtGuest *copy = g_new0(VirtGuest, 1);

        g_strlcpy(copy->uuid, guest->uuid, sizeof(copy->uuid));
        copy->name = g_strdup(guest->name);
        copy->state = guest->state;
        g_ptr_array_add(*out, copy);
    }
    fake_leave(fake);
    return true;
}

static bool fake_state(void *self, const char *uuid, GuestState *out, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest;

    if (!fake_enter(fake, "state", err))
        return false;
    guest = fake_find(fake, uuid);
    *out = guest ? guest->state : GUEST_STATE_NONE;
    fake_leave(fake);
    return true;
}

/* What plug and unplug have in common: name is one of the two. */
static bool fake_ports(FakeVirt *fake, const char *name, const GuestSpec *spec,
                       GError **err) DV_NO_ANALYSIS
{
    static const char *const types[] = {"bridge", "ovs", NULL};

    if (!fake_enter(fake, name, err))
        return false;
    fake_leave(fake);
    for (guint i = 0; i < spec->nics->len; i++) {
        const NicSpec *nic = g_ptr_array_index(spec->nics, i);

        if (!nic->type || !g_strv_contains(types, nic->type))
            return dv_fail(err, DV_E_UNSUPPORTED, "%sging port %s: VIF type %s is not supported",
                           name, nic->port_id, nic->type ? nic->type : "(none)");
    }
    return true;
}

static bool fake_plug(void *self, const DvCtx *ctx G_GNUC_UNUSED, const GuestSpec *spec,
                      GError **err)
{
    return fake_ports(self, "plug", spec, err);
}

static bool fake_unplug(void *self, const DvCtx *ctx G_GNUC_UNUSED, const GuestSpec *spec,
                        GError **err)
{
    return fake_ports(self, "unplug", spec, err);
}

FakeGuest *fake_add_guest(FakeVirt *fake, const char *uuid, const char *name, GuestState state)
{
    FakeGuest *guest = g_new0(FakeGuest, 1);

    guest->uuid = g_strdup(uuid);
    guest->name = g_strdup(name);
    guest->state = state;
    guest->console = g_strdup("");
    guest->devices = g_ptr_array_new_with_free_func((GDestroyNotify)virt_device_free);
    guest->disks = g_ptr_array_new_with_free_func((GDestroyNotify)virt_disk_free);
    guest->xml = g_markup_printf_escaped(
        "<domain type='fake'><name>%s</name><uuid>%s</uuid></domain>", name, uuid);
    g_hash_table_replace(fake->guests, guest->uuid, guest);
    return guest;
}

/* As much of a domain as tests look at, in libvirt's words. */
void fake_describe_as(FakeGuest *guest, const GuestSpec *spec)
{
    GString *xml = g_string_new(NULL);

    g_string_append_printf(xml,
                           "<domain type='fake'><name>%s</name><uuid>%s</uuid>"
                           "<memory unit='MiB'>%" G_GUINT64_FORMAT "</memory><vcpu>%u</vcpu>",
                           spec->name, spec->uuid, spec->memory_mib, spec->vcpus);
    for (guint i = 0; i < spec->disks->len; i++) {
        const DiskSpec *disk = g_ptr_array_index(spec->disks, i);
        g_autofree char *file = disk->path ? g_path_get_basename(disk->path) : g_strdup("");

        g_string_append_printf(xml,
                               "<disk device='%s'><source file='%s'/><target dev='%s' bus='%s'/>"
                               "<boot order='%d'/></disk>",
                               disk->device, file, disk->target, disk->bus,
                               disk->own_boot_order ? disk->own_boot_order : disk->boot_order);
    }
    if (spec->tpm_version)
        g_string_append_printf(xml,
                               "<tpm model='%s'><backend type='emulator' version='%s'>"
                               "<encryption secret='%s'/></backend></tpm>",
                               spec->tpm_model, spec->tpm_version, spec->tpm_secret.uuid);
    g_string_append(xml, "</domain>");
    g_free(guest->xml);
    guest->xml = g_string_free(xml, FALSE);
}

bool fake_is_active(const FakeGuest *guest)
{
    return guest->state != GUEST_STATE_OFF && guest->state != GUEST_STATE_CRASHED;
}

static bool fake_start(void *self, const DvCtx *ctx G_GNUC_UNUSED, const GuestSpec *spec,
                       bool paused, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    FakeGuest *guest;
    int serial_port;

    if (!fake_enter(fake, "start", err))
        return false;
    guest = fake_find(fake, spec->uuid);
    if (guest && fake_is_active(guest)) {
        fake_leave(fake);
        return dv_fail(err, DV_E_INSTANCE_EXISTS, "guest %s runs already", spec->uuid);
    }
    if (spec->tpm_version &&
        !fake_tpm_start(fake, spec->uuid, spec->tpm_secret.uuid, &spec->tpm_secret, err)) {
        g_hash_table_remove(fake->guests, spec->uuid);
        fake_leave(fake);
        return false;
    }
    serial_port = guest ? guest->serial_port : 0; /* kept as long as it is defined */
    guest = fake_add_guest(fake, spec->uuid, spec->name,
                           paused ? GUEST_STATE_PAUSED : GUEST_STATE_RUNNING);
    guest->serial_port = serial_port;
    fake_take_devices(fake, guest, spec);
    guest->agent = spec->guest_agent;
    guest->tpm_secret = spec->tpm_version ? g_strdup(spec->tpm_secret.uuid) : NULL;
    fake_describe_as(guest, spec);
    fake_leave(fake);
    fake_send_event(fake, spec->uuid, GUEST_EVENT_STARTED, "booted");
    if (paused)
        fake_send_event(fake, spec->uuid, GUEST_EVENT_PAUSED, "paused");
    return true;
}

/* `name` is destroy or retire. */
static bool fake_end(FakeVirt *fake, const char *name, const char *uuid,
                     GError **err) DV_NO_ANALYSIS
{
    FakeGuest *guest;
    bool was_active;

    if (!fake_enter(fake, name, err))
        return false;
    guest = fake_find(fake, uuid);
    if (!guest) {
        fake_leave(fake);
        return true;
    }
    if (guest->tpm_secret && strcmp(name, "destroy") == 0)
        g_hash_table_remove(fake->tpms, uuid);
    was_active = fake_is_active(guest);
    g_hash_table_remove(fake->guests, uuid);
    fake_leave(fake);
    if (was_active)
        fake_send_event(fake, uuid, GUEST_EVENT_STOPPED, "destroyed");
    fake_send_event(fake, uuid, GUEST_EVENT_UNDEFINED, "undefined");
    return true;
}

static bool fake_destroy(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    return fake_end(self, "destroy", uuid, err);
}

static bool fake_retire(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    return fake_end(self, "retire", uuid, err);
}

static bool fake_console_output(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                                size_t max_bytes, char **out, size_t *out_length,
                                GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest = fake_enter_guest(fake, "console_output", uuid, err);
    size_t length;

    if (!guest)
        return false;
    length = strlen(guest->console);
    *out = g_strdup(guest->console + (length > max_bytes ? length - max_bytes : 0));
    if (out_length)
        *out_length = MIN(length, max_bytes);
    fake_leave(fake);
    return true;
}

static bool fake_describe(void *self, const char *uuid, char **out_xml, GError **err) DV_NO_ANALYSIS
{
    FakeVirt *fake = self;
    const FakeGuest *guest = fake_enter_guest(fake, "describe", uuid, err);

    if (!guest)
        return false;
    *out_xml = g_strdup(guest->xml);
    fake_leave(fake);
    return true;
}

static void fake_set_event_sink(void *self, GuestEventFn sink, void *arg)
{
    FakeVirt *fake = self;

    dv_lock(&fake->lock);
    fake->sink = sink;
    fake->sink_arg = arg;
    dv_unlock(&fake->lock);
}

static bool fake_connected(void *self)
{
    FakeVirt *fake = self;
    bool connected;

    dv_lock(&fake->lock);
    connected = fake->connected;
    dv_unlock(&fake->lock);
    return connected;
}

/* Calls that a test holds count as stuck. */
static unsigned fake_stuck_calls(void *self, int64_t *out_oldest_ms, const char **out_name)
{
    FakeVirt *fake = self;
    GHashTableIter iter;
    gpointer value;
    unsigned stuck = 0;

    dv_lock(&fake->lock);
    g_hash_table_iter_init(&iter, fake->ops);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        stuck += ((const FakeOp *)value)->held_now;
    dv_unlock(&fake->lock);
    if (out_oldest_ms)
        *out_oldest_ms = 0;
    if (out_name)
        *out_name = stuck > 0 ? "held by a test" : NULL;
    return stuck;
}

static unsigned count_held(FakeVirt *fake) DV_REQUIRES(fake->lock)
{
    GHashTableIter iter;
    gpointer value;
    unsigned held = 0;

    g_hash_table_iter_init(&iter, fake->ops);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        held += ((const FakeOp *)value)->held_now;
    return held;
}

static void fake_free(void *self)
{
    FakeVirt *fake = self;

    dv_lock(&fake->lock);
    fake->stopping = true;
    dv_cond_broadcast(&fake->changed);
    while (count_held(fake) > 0)
        dv_cond_wait(&fake->changed, &fake->lock);
    dv_unlock(&fake->lock);
    g_hash_table_unref(fake->guests);
    g_hash_table_unref(fake->ops);
    g_hash_table_unref(fake->tpms);
    g_hash_table_unref(fake->peers);
    g_free((void *)fake->plan.jobs);
    g_free(fake->last_migration);
    g_hash_table_unref(fake->hosts);
    host_facts_free(fake->facts);
    dv_cond_done(&fake->changed);
    dv_mutex_done(&fake->lock);
    g_free(fake);
}

static bool fake_cpu(void *self, const GuestSpec *spec, VirtCpu **out, GError **err)
{
    FakeVirt *fake = self;
    VirtCpu *cpu;

    if (!fake_enter(fake, "cpu", err))
        return false;
    fake_leave(fake);
    cpu = virt_cpu_new();
    cpu->sockets = spec->cpu_sockets ? spec->cpu_sockets : spec->vcpus;
    cpu->cores = spec->cpu_cores ? spec->cpu_cores : 1;
    cpu->threads = spec->cpu_threads ? spec->cpu_threads : 1;
    *out = cpu;
    return true;
}

static const VirtOps fake_ops = {
    .host_facts = fake_host_facts,
    .list = fake_list,
    .state = fake_state,
    .cpu = fake_cpu,
    .plug = fake_plug,
    .unplug = fake_unplug,
    .start = fake_start,
    .resume = fake_resume,
    .shutdown = fake_shutdown,
    .power_off = fake_power_off,
    .launch = fake_launch,
    .pause = fake_pause,
    .save = fake_save,
    .define = fake_define,
    .define_xml = fake_define_xml,
    .destroy = fake_destroy,
    .retire = fake_retire,
    .inject_nmi = fake_inject_nmi,
    .set_password = fake_set_password,
    .sync_time = fake_sync_time,
    .stats = fake_stats,
    .abort_job = fake_abort_job,
    .block_copy = fake_block_copy,
    .block_copy_end = fake_block_copy_end,
    .freeze = fake_freeze,
    .thaw = fake_thaw,
    .console_output = fake_console_output,
    .console = fake_console,
    .attach_nic = fake_attach_nic,
    .detach_nic = fake_detach_nic,
    .devices = fake_devices,
    .disks = fake_disks,
    .migrate = fake_migrate,
    .migrate_watch = fake_migrate_watch,
    .job = fake_job,
    .post_copy = fake_post_copy,
    .set_max_downtime = fake_set_max_downtime,
    .set_bandwidth = fake_set_bandwidth,
    .migration_xml = fake_migration_xml,
    .compare_cpu = fake_compare_cpu,
    .reserve_serial = fake_reserve_serial,
    .send_files = fake_send_files,
    .remove_files = fake_remove_files,
    .fetch_files = fake_fetch_files,
    .tpm_save = fake_tpm_save,
    .tpm_restore = fake_tpm_restore,
    .describe = fake_describe,
    .set_event_sink = fake_set_event_sink,
    .connected = fake_connected,
    .stuck_calls = fake_stuck_calls,
    .free = fake_free,
};

VirtDriver *virt_fake_new(const VirtConfig *config G_GNUC_UNUSED)
{
    FakeVirt *fake = g_new0(FakeVirt, 1);
    VirtDriver *driver = g_new0(VirtDriver, 1);

    dv_mutex_init(&fake->lock);
    dv_cond_init(&fake->changed);
    fake->guests = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, fake_guest_free);
    fake->ops = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    fake->peers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    fake->hosts = fake_hosts_new();
    fake->tpms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    fake->facts = default_facts();
    fake->next_vnc_port = FIRST_VNC_PORT;
    fake->connected = true;
    driver->ops = &fake_ops;
    driver->self = fake;
    return driver;
}

FakeVirt *fake_virt(VirtDriver *driver)
{
    g_assert(driver->ops == &fake_ops);
    return driver->self;
}
