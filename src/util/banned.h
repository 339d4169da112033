/* Functions nobody in drover may call: forced into every file by the Makefile (-include).
 * Each has a bounded or checked counterpart: g_strlcpy, g_strdup_printf,
 * g_ascii_string_to_unsigned, dv_spawn. The libraries' headers are read first, so that poisoning
 * cannot break them. */
#pragma once
/* IWYU pragma: begin_keep */
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
/* IWYU pragma: end_keep */

#ifndef __cplusplus
#define DV_BANNED(name) Dv_banned_function_##name
#undef strcpy
#define strcpy DV_BANNED(strcpy)
#undef strcat
#define strcat DV_BANNED(strcat)
#undef strncpy
#define strncpy DV_BANNED(strncpy)
#undef sprintf
#define sprintf DV_BANNED(sprintf)
#undef vsprintf
#define vsprintf DV_BANNED(vsprintf)
#undef strtok
#define strtok DV_BANNED(strtok)
#undef atoi
#define atoi DV_BANNED(atoi)
#undef popen
#define popen DV_BANNED(popen)
#undef alloca
#define alloca DV_BANNED(alloca)
#endif
