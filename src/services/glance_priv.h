/* What glance.c and glance_write.c share. */
#pragma once

#include "services/glance.h"

/* "/v2/images/<id><rest>"; caller frees. */
char *glance_path(const char *id, const char *rest);
/* An image record; NULL with err when it is none. */
GlanceImage *glance_image_read(const json_t *record, GError **err);
