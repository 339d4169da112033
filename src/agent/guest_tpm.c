/* TPMs and their secrets; see guest_tpm.h. */
#include "agent/guest_tpm.h"

#include "agent/guest_spec_priv.h"
#include "agent/instance_load.h"
#include "services/barbican.h"
#include "util/log.h"

#include <string.h>
#include <sys/random.h>

#define KEY "vtpm_secret_uuid"

enum { SECRET_BYTES = 384 };

/* ---- what is asked ---- */

bool guest_tpm_asked(const GuestAsks *asks, GuestTpm *out, GError **err)
{
    GuestTpm tpm = {NULL, NULL};

    *out = tpm;
    if (!guest_asks_text(asks, "hw", "tpm_version", &tpm.version, err))
        return false;
    if (!tpm.version)
        return true; /* a model alone asks for nothing */
    if (!guest_asks_text(asks, "hw", "tpm_model", &tpm.model, err))
        return false;
    if (strcmp(tpm.version, "1.2") != 0 && strcmp(tpm.version, "2.0") != 0)
        return dv_fail(err, DV_E_INVALID, "Invalid TPM version '%s'. Allowed values: 1.2, 2.0.",
                       tpm.version);
    if (!tpm.model)
        tpm.model = "tpm-tis";
    if (strcmp(tpm.model, "tpm-tis") != 0 && strcmp(tpm.model, "tpm-crb") != 0)
        return dv_fail(err, DV_E_INVALID,
                       "Invalid TPM model '%s'. Allowed values: tpm-tis, tpm-crb.", tpm.model);
    if (strcmp(tpm.model, "tpm-crb") == 0 && strcmp(tpm.version, "2.0") != 0)
        return dv_fail(err, DV_E_INVALID, "TPM model CRB is only valid with TPM version 2.0.");
    *out = tpm;
    return true;
}

bool guest_tpm_of(const Ovo *instance, const char *flavor, GuestTpm *out, GError **err)
{
    const GuestSource source = {.instance = instance};
    g_autoptr(Ovo) asked = ovo_child(instance, flavor);
    const GuestAsks asks = {&source, asked};

    *out = (GuestTpm){NULL, NULL};
    if (!asked)
        return true;
    if (!guest_tpm_asked(&asks, out, err))
        return false;
    /* The flavor goes with this scope; these are all the words there are. */
    if (out->version) {
        out->version = g_intern_string(out->version);
        out->model = g_intern_string(out->model);
    }
    return true;
}

bool guest_tpm_check_move(const Ovo *instance, const Ovo *flavor, GError **err)
{
    const GuestSource source = {.instance = instance};
    const GuestAsks asks = {&source, flavor};
    GuestTpm now, later;

    if (!guest_tpm_of(instance, "flavor", &now, err) || !guest_tpm_asked(&asks, &later, err))
        return false;
    return (g_strcmp0(now.version, later.version) == 0 && g_strcmp0(now.model, later.model) == 0) ||
           dv_fail(err, DV_E_UNSUPPORTED,
                   "a resize that changes the server's emulated TPM is not supported by this host");
}

bool guest_spec_tpm(const GuestBuild *build, GError **err)
{
    const Ovo *instance = build->asks.source->instance;
    GuestTpm tpm;

    if (!guest_tpm_asked(&build->asks, &tpm, err))
        return false;
    if (!tpm.version)
        return true;
    if (!build->agent->virt_config.swtpm_enabled)
        return dv_fail(err, DV_E_INVALID, "Refusing to create an emulated TPM with no secret!");
    build->spec->tpm_version = g_strdup(tpm.version);
    build->spec->tpm_model = g_strdup(tpm.model);
    build->spec->tpm_secret.uuid = g_strdup(ovo_dict_str(instance, "system_metadata", KEY));
    return true;
}

/* ---- the secret ---- */

bool guest_tpm_has_secret(const Ovo *instance)
{
    return ovo_dict_str(instance, "system_metadata", KEY) != NULL;
}

static bool read_secret(Agent *agent, const DvCtx *ctx, const char *id, GuestSecret *out,
                        GError **err)
{
    g_autoptr(GError) cause = NULL;

    if (barbican_fetch(agent->barbican, ctx, id, &out->value, &cause)) {
        g_free(out->uuid);
        out->uuid = g_strdup(id);
        return true;
    }
    if (dv_is(cause, DV_E_SECRET_NOT_FOUND))
        dv_warning(ctx,
                   "secret %s of the server's TPM is gone from the key manager, where somebody must"
                   " have deleted it: what the TPM remembers cannot be read any more",
                   id);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

static bool make_value(char **out, GError **err)
{
    guint8 bytes[SECRET_BYTES];
    size_t got = 0;

    while (got < sizeof(bytes)) {
        ssize_t n = getrandom(bytes + got, sizeof(bytes) - got, 0);

        if (n < 0)
            return dv_fail(err, DV_E_IO, "getrandom: %s", g_strerror(errno));
        got += (size_t)n;
    }
    *out = g_base64_encode(bytes, sizeof(bytes));
    explicit_bzero(bytes, sizeof(bytes));
    return true;
}

/* One that no instance names would stay for ever. */
static void take_back(Agent *agent, const DvCtx *ctx, Ovo *instance, const char *id)
{
    g_autoptr(GError) err = NULL;

    ovo_dict_set(instance, "system_metadata", KEY, NULL);
    if (!barbican_delete(agent->barbican, ctx, id, &err))
        dv_warning(ctx, "secret %s stays in the key manager: %s", id, err->message);
}

static bool make_secret(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestSecret *out,
                        GError **err)
{
    g_autofree char *name = g_strdup_printf("vTPM secret for instance %s",
                                            ovo_str_or(instance, "uuid", ""));
    g_auto(GuestSecret) made = {0};

    if (!make_value(&made.value, err) ||
        !barbican_store(agent->barbican, ctx, name, made.value, &made.uuid, err))
        return false;
    ovo_dict_set(instance, "system_metadata", KEY, made.uuid);
    if (!conductor_instance_save(agent->con, ctx, instance, NULL, err)) {
        take_back(agent, ctx, instance, made.uuid);
        return false;
    }
    dv_debug(ctx, "secret %s was made for the server's TPM", made.uuid);
    guest_secret_done(out);
    *out = made;
    made = (GuestSecret){0};
    return true;
}

bool guest_tpm_secret(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestSecret *out, GError **err)
{
    g_autofree char *id = g_strdup(ovo_dict_str(instance, "system_metadata", KEY));

    return id ? read_secret(agent, ctx, id, out, err) : make_secret(agent, ctx, instance, out, err);
}

bool guest_tpm_check_secret(Agent *agent, const DvCtx *ctx, const Ovo *instance, GError **err)
{
    const char *id = ovo_dict_str(instance, "system_metadata", KEY);
    g_auto(GuestSecret) secret = {0};

    return !id || read_secret(agent, ctx, id, &secret, err) ||
           dv_within(err, "the secret of the server's TPM");
}

bool guest_tpm_launch(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestSecret *keep,
                      const GuestSecret **out_secret, GError **err)
{
    static const char *const attrs[] = {"flavor", "system_metadata", NULL};
    GuestTpm tpm;

    *out_secret = NULL;
    if (!agent->virt_config.swtpm_enabled)
        return true;
    if (!instance_load(agent, ctx, instance, attrs, err) ||
        !guest_tpm_of(instance, "flavor", &tpm, err))
        return false;
    if (!tpm.version)
        return true;
    if (!guest_tpm_secret(agent, ctx, instance, keep, err))
        return dv_within(err, "the secret of the server's TPM");
    *out_secret = keep;
    return true;
}

bool guest_tpm_forget(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err)
{
    const char *id = ovo_dict_str(instance, "system_metadata", KEY);

    if (!id)
        return true;
    if (!barbican_delete(agent->barbican, ctx, id, err))
        return dv_within(err, "the secret of the server's TPM");
    ovo_dict_set(instance, "system_metadata", KEY, NULL);
    return conductor_instance_save(agent->con, ctx, instance, NULL, err);
}
