/* Compares what nova sent with what we send, message by message.
 *
 * Differences that are meant are rows; each is an edit of nova's conversation (or takes from ours),
 * after which nothing may differ: neither what messages say, nor the order of those that change
 * something. Of those that only read, how often and in which order says nothing.
 *
 * A message is named by its receiver and call: "conductor Instance.save", "neutron DELETE
 * /v2.0/ports/...", "scheduler fanout update_instance_info", "reply get_console_output". `what` is
 * a glob over that name; "#2" behind it means only the second such message that nova sent
 * (REPLAY_MORE, REPLAY_WITH: that we sent).
 *
 * A conversation may have parts: each message then has "part", "NAME which", and what one part says
 * is compared with what the same part says on the other side. Rows are for parts by NAME, in each
 * of them anew; numbers count the messages of one part.
 *
 * Threads    one test thread. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum {
    REPLAY_LESS,    /* nova sends it, we do not (reads: not the same) */
    REPLAY_MORE,    /* we send it, nova does not (reads: not the same) */
    REPLAY_JOIN,    /* what it sets goes along with the later or earlier message `arg`; a field that
                       both set has the value of the later, what is expected that of the first that
                       expects */
    REPLAY_AFTER,   /* we send it (or them, in their order) directly after the message `arg` */
    REPLAY_BEFORE,  /* likewise directly before the message `arg` */
    REPLAY_WITHOUT, /* nova's has a member `arg` ("set/ec2_ids") and ours has not; several members
                       are separated by blanks, and each name may be a glob */
    REPLAY_WITH,    /* ours has a member `arg` and nova's has not, likewise */
    REPLAY_OTHER,   /* the member `arg` has another value */
    REPLAY_ANYTIME, /* it is sent beside the others: as for those that read, its place says nothing
                     */
} ReplayEdit;

typedef struct ReplayRow {
    const char *in; /* names of conversations or of parts, separated by blanks. The row must be
                       needed in each that is named in full, and in at least one of those that a
                       glob names; of parts of one name in one */
    ReplayEdit edit;
    const char *what, *arg;
    const char *reason;
} ReplayRow;

/* Applies the rows for `name` and compares; used[i] becomes true for each row that was needed.
 * True when nothing differs and no row named for just this conversation was useless. Else prints
 * what differs. */
bool replay_compare(const char *name, const json_t *nova, const json_t *ours, const ReplayRow *rows,
                    size_t count, bool *used);
