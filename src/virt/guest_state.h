/* Power state of a guest; the values are nova's power_state integers.
 * Sources    nova compute/power_state.py. */
#pragma once

typedef enum {
    GUEST_STATE_NONE = 0, /* no such guest, or pending */
    GUEST_STATE_RUNNING = 1,
    GUEST_STATE_PAUSED = 3,
    GUEST_STATE_OFF = 4,
    GUEST_STATE_CRASHED = 6,
    GUEST_STATE_SUSPENDED = 7,
} GuestState;
