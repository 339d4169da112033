/* Defaults that are remembered; see guest_defaults.h. */
#include "agent/guest_defaults.h"

#include "agent/guest_spec.h"

void guest_defaults_record(const GuestSpec *spec, Ovo *instance)
{
    bool pointer = spec->input_bus || spec->usb_tablet;
    const struct {
        const char *key, *value;
    } defaults[] = {
        {"image_hw_machine_type", spec->machine_type},
        {"image_hw_cdrom_bus", spec->cdrom_bus},
        {"image_hw_disk_bus", spec->disk_bus},
        {"image_hw_input_bus", pointer ? "usb" : NULL},
        {"image_hw_pointer_model", pointer ? "usbtablet" : NULL},
        {"image_hw_video_model", spec->video_model ? spec->video_model : "virtio"},
        {"image_hw_vif_model", spec->vif_model},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(defaults); i++) {
        if (defaults[i].value && !ovo_dict_str(instance, "system_metadata", defaults[i].key))
            ovo_dict_set(instance, "system_metadata", defaults[i].key, defaults[i].value);
    }
}

/* Those that every guest has. */
static bool lacks_any(const Ovo *instance)
{
    static const char *const keys[] = {"image_hw_machine_type", "image_hw_cdrom_bus",
                                       "image_hw_disk_bus", "image_hw_video_model"};

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (!ovo_dict_str(instance, "system_metadata", keys[i]))
            return true;
    }
    return false;
}

bool guest_defaults_register(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err)
{
    g_autoptr(Ovo) bdms = NULL;
    g_autoptr(GuestSpec) spec = NULL;
    GuestSource source = {.instance = instance, .ctx = ctx};

    if (!lacks_any(instance))
        return true;
    if (!conductor_bdms_get(agent->con, ctx, ovo_str_or(instance, "uuid", ""), &bdms, err))
        return false;
    source.bdms = bdms;
    spec = guest_spec_build(agent, &source, err);
    if (!spec)
        return false;
    guest_defaults_record(spec, instance);
    return conductor_instance_save(agent->con, ctx, instance, NULL, err);
}
