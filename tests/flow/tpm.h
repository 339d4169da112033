/* A server with an emulated TPM, and the key manager that has its secret. */
#pragma once

#include "flow/keys.h"
#include "flow/server.h"

#define TPM_OPTIONS "[libvirt]\nswtpm_enabled = true\nwait_soft_reboot_seconds = 1\n"

typedef struct TpmServer {
    FakeAgent *fake;
    Keys keys;
} TpmServer;

G_GNUC_UNUSED static void tpm_server_init(TpmServer *f, const char *options)
{
    keys_init(&f->keys);
    f->fake = fake_agent_new(options);
    http_server_hook(fake_agent_server(f->fake), keys_hook, &f->keys);
}

/* The recorded boot, of a flavor that asks for these. */
G_GNUC_UNUSED static void boot_with(TpmServer *f, const char *version, const char *model)
{
    json_t *request = fake_agent_boot_request();
    json_t *instance = fake_agent_data(request, "instance");
    json_t *flavor = json_object_get(json_object_get(instance, "flavor"), "nova_object.data");
    json_t *specs = json_object_get(flavor, "extra_specs");

    if (version)
        json_object_set_new(specs, "hw:tpm_version", json_string(version));
    if (model)
        json_object_set_new(specs, "hw:tpm_model", json_string(model));
    fake_agent_boot(f->fake, request);
    fake_agent_wait(f->fake, UUID);
}

G_GNUC_UNUSED static void boot(TpmServer *f)
{
    boot_with(f, "2.0", "tpm-crb");
    fake_agent_assert_row(f->fake, "vm_state", "active");
}

/* Of the record; NULL: none. Caller frees. */
G_GNUC_UNUSED static char *secret_id(TpmServer *f)
{
    g_autofree char *text = fake_conductor_field(fake_agent_conductor(f->fake), UUID,
                                                 "system_metadata");
    json_auto_t *metadata = json_loads(text, 0, NULL);

    return g_strdup(json_string_value(json_object_get(metadata, "vtpm_secret_uuid")));
}

/* The guest's TPM has its state under what the key manager keeps. */
G_GNUC_UNUSED static void assert_tpm_at(TpmServer *f, FakeAgent *host)
{
    g_autofree char *id = secret_id(f);
    g_autofree char *under = fake_virt_tpm(fake_agent_virt(host), UUID);

    assert_non_null(id);
    assert_non_null(under);
    assert_int_equal(strlen(under), 512);
    assert_int_equal(keys_count(&f->keys), 1);
    dv_lock(&f->keys.lock);
    assert_string_equal(g_hash_table_lookup(f->keys.secrets, id), under);
    dv_unlock(&f->keys.lock);
}

G_GNUC_UNUSED static void assert_tpm(TpmServer *f)
{
    assert_tpm_at(f, f->fake);
}
