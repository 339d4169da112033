/* What the files of this folder share: the tracker's body, the books, and the seams that tests use.
 *
 * Three slots order the work that blocks: AUDIT one audit at a time, NODE who reads or writes the
 * compute node record, PLACEMENT who works on the provider. A slot is a flag under the lock, so
 * that the lock itself is never held across a call; a holder of AUDIT may take one of the others,
 * nobody takes two otherwise. */
#pragma once

#include "scheduler_hints/tracker.h"
#include "util/clock.h"
#include "util/thread.h"

#include <stdatomic.h>

/* ---- the books: who uses how much of this host (stats.c) ---- */

typedef struct HintUsage {
    int64_t vcpus, memory_mib, disk_gib;
} HintUsage;

typedef struct HintGuest {
    char *uuid;
    char *vm_state, *task_state, *os_type, *project_id; /* NULL: null */
    HintUsage usage;
    uint64_t touched; /* the book's time of the last change made here */
    bool claiming;    /* its first save is under way: no listing can know it yet */
    bool gone;        /* kept so that an older listing does not bring it back */
} HintGuest;

/* Room held for an instance on its way in or out, beside what it uses as a guest. */
typedef struct HintMove {
    HintUsage usage;
    uint64_t touched; /* as a guest's; likewise what follows */
    bool claiming, gone;
} HintMove;

typedef struct HintBook {
    GHashTable *guests; /* uuid -> HintGuest */
    GHashTable *moves;  /* instance uuid -> HintMove */
    GHashTable *keys;   /* stats keys seen since the last audit: they stay, as "0" */
    int64_t failed_builds;
    uint64_t time; /* counts changes */
} HintBook;

/* The columns of the record that follow from the books. */
typedef struct HintRecord {
    HintUsage used; /* with what is reserved for the host */
    int64_t guests, workload;
    Ovo *stats; /* dict of strings */
} HintRecord;

void hint_book_init(HintBook *book);
void hint_book_done(HintBook *book);
void hint_guest_free(HintGuest *guest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HintGuest, hint_guest_free)
/* False when nova would not count the instance: deleted, or shelved and offloaded. */
bool hint_instance_counts(const Ovo *instance);
/* Of a Flavor, without the root disk when that is a volume. */
bool hint_flavor_usage(const Ovo *flavor, bool volume_root, HintUsage *out, GError **err);
HintGuest *hint_guest_read(const Ovo *instance, bool volume_root, GError **err);
/* Takes the guest; replaces one of the same uuid. */
void hint_book_put(HintBook *book, HintGuest *guest);
/* The guest when it is there and not gone. */
HintGuest *hint_book_find(const HintBook *book, const char *uuid);
void hint_book_touch(HintBook *book, HintGuest *guest);
void hint_book_drop(HintBook *book, const char *uuid);
/* uuid -> HintMove, empty. */
GHashTable *hint_moves_new(void);
void hint_book_hold(HintBook *book, const char *uuid, const HintUsage *usage, bool claiming);
/* Nothing held: nothing happens. */
void hint_book_release(HintBook *book, const char *uuid);
/* The first save of a move claim was made. */
void hint_book_settle_move(HintBook *book, const char *uuid);
/* The audit's truth of time `since` replaces everything but what changed here later. Takes the
 * guests (HintGuest, out of the array) and moves. */
void hint_book_rebuild(HintBook *book, GPtrArray *guests, GHashTable *moves, uint64_t since);
void hint_book_read(HintBook *book, HintUsage reserved, HintRecord *out);
void hint_record_done(HintRecord *record);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HintRecord, hint_record_done)

/* ---- placement behind a table, so that a fake is a struct (provider.c, placement_ops.c) ---- */

typedef struct PlacementOps {
    bool (*provider_get)(void *self, const DvCtx *ctx, const char *uuid, PlacementProvider **out,
                         GError **err);
    bool (*provider_create)(void *self, const DvCtx *ctx, const char *uuid, const char *name,
                            const char *parent_uuid, GError **err);
    bool (*provider_delete)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    bool (*inventories_put)(void *self, const DvCtx *ctx, PlacementProvider *provider,
                            const GArray *inventories, GError **err);
    bool (*traits_put)(void *self, const DvCtx *ctx, PlacementProvider *provider,
                       const GPtrArray *traits, GError **err);
    bool (*traits_ensure)(void *self, const DvCtx *ctx, GPtrArray *traits, GError **err);
    bool (*consumers_of)(void *self, const DvCtx *ctx, const char *provider_uuid, GPtrArray **out,
                         GError **err);
    bool (*allocations_delete)(void *self, const DvCtx *ctx, const char *consumer,
                               bool *out_existed, GError **err);
} PlacementOps;

/* services/placement.h; self is the Service. */
extern const PlacementOps hint_placement_ops;

typedef struct HintProvider {
    PlacementProvider *known; /* as placement had it last, or NULL */
    char *uuid;               /* whose it is */
    int64_t read_ms;
    GHashTable *unknown; /* standard traits that this placement does not have */
    atomic_bool stale;   /* [atomic] read it again before the next use */
} HintProvider;

void hint_provider_done(HintProvider *provider);
/* Brings inventory and traits of the root provider in line; makes it when it is missing. */
bool hint_provider_sync(Tracker *tracker, const DvCtx *ctx, const char *uuid, const char *name,
                        const HostFacts *facts, bool disabled, GError **err);
/* Sets or clears COMPUTE_STATUS_DISABLED alone. No provider yet: success. */
bool hint_provider_set_disabled(Tracker *tracker, const DvCtx *ctx, const char *uuid, bool disabled,
                                GError **err);
void hint_provider_forget(Tracker *tracker);

/* ---- pure parts (inventory.c, traits.c) ---- */

/* PlacementInventory array. `current` gives the ratios that no option overrides; may be NULL. */
GArray *hint_inventory(const HostFacts *facts, const TrackerConfig *config, const GArray *current);
bool hint_inventory_equal(const GArray *a, const GArray *b);
/* What the provider should have: everything of the facts, and what is there and not ours. Sorted.
 */
GPtrArray *hint_traits(const GPtrArray *facts, const GPtrArray *current, bool disabled);
bool hint_traits_equal(const GPtrArray *a, const GPtrArray *b);

/* ---- the tracker ---- */

typedef enum { SLOT_AUDIT, SLOT_NODE, SLOT_PLACEMENT, SLOT_COUNT } HintSlot;

struct Tracker {
    TrackerConfig config;          /* [const] strings are copies */
    Conductor *con;                /* [const] */
    const PlacementOps *placement; /* [const] */
    void *placement_self;
    HostFactsFn facts;
    void *facts_arg;
    const DvClock *clock;

    DvMutex lock;
    DvCond freed; /* a slot was given back */
    bool busy[SLOT_COUNT] DV_GUARDED_BY(lock);
    HintBook book DV_GUARDED_BY(lock);
    uint64_t saved DV_GUARDED_BY(lock); /* book time that the record in the database shows */
    bool ready DV_GUARDED_BY(lock);     /* an audit has filled the books */
    char *hostname DV_GUARDED_BY(lock); /* of the node; NULL before the first audit */
    char *uuid DV_GUARDED_BY(lock);
    int64_t id DV_GUARDED_BY(lock);
    bool disabled DV_GUARDED_BY(lock);   /* the service, as last seen */
    Ovo *migrations DV_GUARDED_BY(lock); /* of the last audit, or NULL */
    GHashTable *
        roots DV_GUARDED_BY(lock); /* instance uuid -> root disk is a volume (TrackerRoot) */

    Ovo *node;             /* [slot NODE] the record as the database has it, NULL at first */
    HintProvider provider; /* [slot PLACEMENT] */
};

Tracker *tracker_new_with(const TrackerConfig *config, Conductor *con,
                          const PlacementOps *placement, void *placement_self, HostFactsFn facts,
                          void *facts_arg, const DvClock *clock);

void hint_slot_take(Tracker *tracker, HintSlot slot);
void hint_slot_give(Tracker *tracker, HintSlot slot);
/* What the host keeps for itself. */
HintUsage hint_reserved(const TrackerConfig *config);

/* ---- the compute node record (node.c) ---- */

/* Finds this host's record, or makes it; `service` may be NULL. Other nodes of this host come back
 * in *out_orphans (Ovo). */
bool hint_node_ensure(Tracker *tracker, const DvCtx *ctx, const HostFacts *facts,
                      const Ovo *service, bool *out_new, GPtrArray **out_orphans, GError **err);
/* The host was renamed: the records of its old names go, with their providers. */
void hint_node_drop_orphans(Tracker *tracker, const DvCtx *ctx, GPtrArray *orphans);
/* Writes what changed. `facts` NULL: only what follows from the books, and nothing at all when
 * another thread has saved this state already. */
bool hint_node_flush(Tracker *tracker, const DvCtx *ctx, const HostFacts *facts, GError **err);

/* ---- parts of the audit ---- */

/* Which instances have a volume as root disk: uuid -> TrackerRoot for each of `instances` (Ovo).
 * Asks conductor once for those never seen (roots.c). */
bool hint_roots(Tracker *tracker, const DvCtx *ctx, const GPtrArray *instances, GHashTable **out,
                GError **err);
/* Whether the root disk of one instance is a volume. */
bool hint_root_of(Tracker *tracker, const DvCtx *ctx, Ovo *instance, bool *out_volume,
                  GError **err);
/* DV_E_NO_CAPACITY when the instance asks for what no claim can give out (claims.c). */
bool hint_claim_test(const Ovo *instance, GError **err);
/* Space held for instances on their way in or out. `by_uuid`: instances of this host (moves.c). */
bool hint_moves(Tracker *tracker, const DvCtx *ctx, const Ovo *migrations, GHashTable *by_uuid,
                GHashTable **out, GError **err);
/* Allocations on our provider whose instance is gone are removed; troubles are logged (heal.c). */
void hint_heal_allocations(Tracker *tracker, const DvCtx *ctx, const char *provider_uuid,
                           const Ovo *migrations, GHashTable *by_uuid);
