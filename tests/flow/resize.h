/* Resizes and cold migrations of the booted instance: their requests, and what is looked at.
 * Include it once in a test program. */
#pragma once

#include "fakes/notifications.h"
#include "flow/moves.h"

#include "util/fs.h"

/* ---- requests ---- */

typedef struct NewFlavor {
    int id, memory_mb, root_gb, ephemeral_gb, swap;
} NewFlavor;

/* The boot's is 1, 128, 1, 0, 0. */
static const NewFlavor larger = {2, 192, 2, 0, 0};

static inline json_t *make_flavor(const NewFlavor *want)
{
    return fake_agent_object(
        "Flavor", "1.2",
        json_pack("{s:i, s:s, s:i, s:i, s:i, s:i, s:s, s:i, s:f, s:i, s:b, s:b, s:{}, s:n}", "id",
                  want->id, "name", "m1.other", "memory_mb", want->memory_mb, "vcpus", 1, "root_gb",
                  want->root_gb, "ephemeral_gb", want->ephemeral_gb, "flavorid", "2", "swap",
                  want->swap, "rxtx_factor", 1.0, "vcpu_weight", 0, "disabled", 0, "is_public", 1,
                  "extra_specs", "description"));
}

static inline json_t *make_migration(const char *status, const char *source, const char *dest)
{
    return migration_record("resize", 2, status, source, dest);
}

/* Without a server group, as the boot's. */
static inline json_t *request_spec(void)
{
    json_auto_t *boot = fake_agent_boot_request();

    return json_incref(json_object_get(json_object_get(boot, "args"), "request_spec"));
}

static inline json_t *prep_args(FakeAgent *fake, const NewFlavor *flavor, const char *source)
{
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "resize_prep");
    return json_pack("{s:o, s:o, s:{s:{}}, s:o, s:{}, s:s, s:o, s:b, s:n}", "instance",
                     fake_agent_instance(fake, UUID), "flavor", make_flavor(flavor), "image",
                     "properties", "request_spec", request_spec(), "filter_properties", "node",
                     FLOW_NODE, "migration", make_migration("pre-migrating", source, NULL),
                     "clean_shutdown", 0, "host_list");
}

static inline void send_and_wait(FakeAgent *fake, const char *method, json_t *args)
{
    fake_agent_request(fake, method, args);
    fake_agent_wait(fake, UUID);
}

static inline void end_with(FakeAgent *fake, const char *method, const char *status)
{
    send_and_wait(fake, method,
                  json_pack("{s:o, s:o, s:n}", "instance", fake_agent_instance(fake, UUID),
                            "migration", make_migration(status, "vm", "vm"), "request_spec"));
}

/* ---- looking ---- */

static inline void assert_guest_says(FakeAgent *fake, const char *text)
{
    VirtDriver *virt = fake_agent(fake)->virt;
    g_autofree char *xml = NULL;

    assert_true(virt->ops->describe(virt->self, UUID, &xml, NULL));
    if (!strstr(xml, text))
        fail_msg("'%s' is not in %s", text, xml);
}

static inline char *instance_path(FakeAgent *fake, const char *suffix, const char *name)
{
    g_autofree char *dir = disks_instance_dir(fake_agent(fake)->disks, UUID);
    g_autofree char *whole = g_strconcat(dir, suffix, NULL);

    return g_build_filename(whole, name, NULL);
}

static inline bool is_aside(FakeAgent *fake)
{
    g_autofree char *path = instance_path(fake, "_resize", "disk");

    return dv_exists(path);
}

static inline void write_marker(FakeAgent *fake, const char *suffix)
{
    g_autofree char *path = instance_path(fake, suffix, "disk");

    assert_true(g_file_set_contents(path, suffix, -1, NULL));
}

/* Virtual size of the disk as qcow2's header has it. */
static inline uint64_t disk_gib(FakeAgent *fake)
{
    g_autoptr(GPtrArray) disks = NULL;
    const DiskFacts *root;

    assert_true(disks_facts(fake_agent(fake)->disks, UUID, &disks, NULL));
    root = disks->pdata[0];
    return root->virtual_bytes >> 30;
}

static inline int64_t flavor_id(FakeAgent *fake)
{
    g_autofree char *id = fake_conductor_field(fake_agent_conductor(fake), UUID,
                                               "instance_type_id");

    return g_ascii_strtoll(id, NULL, 10);
}

/* What the compute node's record said last of a figure. */
static inline int64_t node_figure(FakeAgent *fake, const char *field)
{
    g_autofree char *text = fake_conductor_last(fake_agent_conductor(fake), "ComputeNode.save");
    json_auto_t *args = json_loads(text, 0, NULL);
    const json_t *data = json_object_get(json_object_get(args, "objinst"), "nova_object.data");

    assert_non_null(json_object_get(data, field));
    return json_integer_value(json_object_get(data, field));
}

static inline unsigned migration_allocations_deleted(FakeAgent *fake)
{
    return http_server_count(fake_agent_server(fake), "DELETE", ALLOCATIONS "/" MIGRATION);
}

static inline void assert_fault(FakeAgent *fake, const char *text)
{
    g_autofree char *fault = fake_conductor_last(fake_agent_conductor(fake),
                                                 "InstanceFault.create");
    g_autofree char *migrations = fake_conductor_migrations(fake_agent_conductor(fake));

    if (!strstr(fault, text))
        fail_msg("'%s' is not in %s", text, fault);
    assert_true(g_str_has_suffix(migrations, "error\n"));
}
