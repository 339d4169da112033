/* A program of replays: a test for each conversation, and two that watch over its tables. */
#pragma once

#include "fakes/replay.h"
#include "fakes/replay_compare.h"

typedef struct ReplaySuite {
    const ReplayHow *talks;
    size_t talk_count;
    const ReplayRow *rows;
    size_t row_count;
    const char *folder; /* of the recordings: each file is one talk */
} ReplaySuite;

/* For main(). argv[1]: only the tests that this pattern names. Returns the exit status. */
int replay_suite_run(const ReplaySuite *suite, int argc, char **argv);
