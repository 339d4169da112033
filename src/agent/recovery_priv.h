/* What the parts of the recovery share; see recovery.h. */
#pragma once

#include "agent/recovery.h"

/* One instance of this host with what an earlier run left it as. */
typedef struct Recovery {
    Agent *agent;
    const DvCtx *ctx; /* with the instance's uuid */
    Ovo *instance;
    const char *uuid;
    GuestState power;
} Recovery;

typedef bool (*RecoverFn)(const Recovery *rec, GError **err);

/* `value` is one of `words`, "a|b"; "" is a null state. */
bool recovery_is_one_of(const char *words, const char *value);
/* The guest runs, is paused or being paused. */
bool recovery_is_up(GuestState power);

/* recovery_moves.c, a row of the table: an instance in the middle of a move. */
bool recover_move(const Recovery *rec, GError **err);
