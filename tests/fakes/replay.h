/* Plays one recorded conversation of tests/wire/data to an agent among fakes, and keeps what
 * the agent sends: nova's peers say what they said, the hypervisor is the fake one.
 *
 * The operation's request is delivered first. External events that came while nova worked are
 * delivered when the operation is at the hypervisor call `hold`, so that their place is always the
 * same; the others follow when everything is done.
 *
 * Operations that nova worked at together are delivered together: all of them are at the hypervisor
 * at once. What the host did by itself (its start, its heartbeats, its periodic jobs) is made to
 * happen one by one, in the recorded order.
 *
 * Of a move between two hosts each half is played by itself: the agent is asked what that host was
 * asked, in the recorded order, and the other host answers what it answered.
 *
 * Threads    one test thread. */
#pragma once

#include "fakes/agent.h"

typedef enum {
    REPLAY_NO_GUEST,
    REPLAY_GUEST_OFF,
    REPLAY_GUEST_RUNNING,
    REPLAY_GUEST_PAUSED
} ReplayGuest;

typedef struct ReplayHow {
    const char *name;    /* of the fixture */
    const char *hold;    /* hypervisor call (VirtOps) during which events arrive, NULL: none */
    ReplayGuest guest;   /* what the host has when the request comes */
    bool broken_image;   /* what glance gives is not what its record says */
    bool latest;         /* services answer what they answered last, not in turn */
    bool moved;          /* the request's migration takes room here already */
    bool neighbour;      /* another server of that size is being rebuilt here */
    bool screen;         /* the guest has a VNC display */
    bool start;          /* it begins with the agent's start */
    bool half;           /* one host's half of a conversation of two, of data/moves */
    bool aside;          /* the guest has left: its folder is set aside, as a resize does */
    bool disk;           /* of half: the guest's disk is here, and the guest is not */
    bool stays;          /* of half: a live migration does not end by itself */
    bool breaks;         /* of half: a live migration fails when it is let go on */
    const char *options; /* further lines of nova.conf, or NULL */
} ReplayHow;

/* What nova sent, and what the agent sent, in the form of replay_message.h. Of several operations
 * or jobs each message also has a "part" (replay_compare.h). New references. */
void replay_run(const ReplayHow *how, json_t **out_nova, json_t **out_ours);
