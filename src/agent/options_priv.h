/* The parts of the option table, and the words its rows are written in.
 *
 * A row: OPT_INT("group", "name", "default", "help", further fields). Defaults are nova's (Zed)
 * unless the row says why not. */
#pragma once

#include "services/auth.h"
#include "util/config.h"

typedef struct OptionPart {
    const DvOption *rows;
    size_t length;
} OptionPart;

extern const OptionPart options_part_nova;     /* nova's own groups but [libvirt] */
extern const OptionPart options_part_guest;    /* consoles, config drive, vendor data */
extern const OptionPart options_part_libvirt;  /* [libvirt] */
extern const OptionPart options_part_barbican; /* the key manager */
extern const OptionPart options_part_oslo;     /* messaging, notifications, log, locks */
extern const OptionPart options_part_drover;   /* [drover] */
extern const OptionPart options_part_ignored;  /* other services' options in a shared nova.conf */

/* NULL when it is not set: an empty value is no value. */
const char *option_str(const DvConfig *config, const char *group, const char *name);
/* DV_E_BAD_CONFIG: where it is set, to what, and what is wanted. */
bool option_fail(const DvConfig *config, const char *group, const char *name, const char *want,
                 GError **err);

/* Appends the keystoneauth rows of every group that has them to a GArray of DvOption. */
void options_keystone_rows(GArray *rows);
/* Fills the credentials of `group`, which may take them from another by auth_section. */
void options_auth(const DvConfig *config, const char *group, AuthConfig *out);
/* Checks what options_auth takes for granted, and that nothing its auth_type needs is missing. */
bool options_auth_check(const DvConfig *config, const char *group, GError **err);

#define OPT(g, n, t, def, text, ...)                                                             \
    {                                                                                            \
        .group = (g), .name = (n), .type = (t), .fallback = (def), .help = (text), ##__VA_ARGS__ \
    }
#define OPT_STR(g, n, def, text, ...) OPT(g, n, CONF_STR, def, text, ##__VA_ARGS__)
#define OPT_INT(g, n, def, text, ...) OPT(g, n, CONF_INT, def, text, ##__VA_ARGS__)
#define OPT_FLOAT(g, n, def, text, ...) OPT(g, n, CONF_FLOAT, def, text, ##__VA_ARGS__)
#define OPT_BOOL(g, n, def, text, ...) OPT(g, n, CONF_BOOL, def, text, ##__VA_ARGS__)
#define OPT_LIST(g, n, def, text, ...) OPT(g, n, CONF_LIST, def, text, ##__VA_ARGS__)
#define OPT_MULTI(g, n, def, text, ...) OPT(g, n, CONF_MULTI, def, text, ##__VA_ARGS__)

#define AT_LEAST(lowest) .min = (lowest), .max = 1e18
#define SECRET .flags = CONF_SECRET
#define RELOAD .flags = CONF_RELOAD
#define UNHONOURED .flags = CONF_UNHONOURED
#define IGNORED .flags = CONF_IGNORED
#define OLD(names) .old_names = (names)
#define CHOICES(words) .choices = (words)
