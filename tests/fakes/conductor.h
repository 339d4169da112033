/* A conductor in memory for flow tests: keeps instances, does compare-and-set on their task state,
 * remembers every call by name, and fails where a test says so.
 *
 * Threads    any. */
#pragma once

#include "services/conductor_priv.h"

typedef struct FakeConductor FakeConductor;

FakeConductor *fake_conductor_new(void);
void fake_conductor_free(FakeConductor *fake);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeConductor, fake_conductor_free)
/* The transport for conductor_new_with; valid as long as the fake. */
ConductorTransport fake_conductor_transport(FakeConductor *fake);

/* Shows every call and cast from now on, before it is answered. On the caller's thread; the watcher
 * borrows all it is given. */
typedef void (*FakeConductorWatch)(void *arg, const RpcTarget *target, const char *method,
                                   const json_t *args);
void fake_conductor_watch(FakeConductor *fake, FakeConductorWatch watch, void *arg);

/* Stores a copy of an Instance primitive as the database's row. */
void fake_conductor_put(FakeConductor *fake, const Ovo *instance);
/* A field of the row as text: strings as they are, null as "", others as JSON. NULL: no such
 * instance. Caller frees. */
char *fake_conductor_field(FakeConductor *fake, const char *uuid, const char *field);
/* Sets a string field of the row behind everybody's back; NULL: null. */
void fake_conductor_set(FakeConductor *fake, const char *uuid, const char *field,
                        const char *value);
/* The same for a field of any type; value is stolen. */
void fake_conductor_set_json(FakeConductor *fake, const char *uuid, const char *field,
                             json_t *value);
/* Removes the row, as a delete by somebody else would. */
void fake_conductor_remove(FakeConductor *fake, const char *uuid);

/* Stores a migration, data of the object, in place of one with its id; its saves change it, and
 * lists find it. Stolen. */
void fake_conductor_put_migration(FakeConductor *fake, json_t *data);
/* NULL: no such migration. Caller frees. */
char *fake_conductor_migration_status(FakeConductor *fake, int64_t id);

/* How often "Instance.save", "InstanceFault.create", "build_instances" ... was called. */
unsigned fake_conductor_count(FakeConductor *fake, const char *call);
/* How many calls there were in all. */
unsigned fake_conductor_total(FakeConductor *fake);
/* All calls so far, one per line. Caller frees. */
char *fake_conductor_log(FakeConductor *fake);
/* JSON text of the arguments of the last such call, NULL when there was none. Caller frees. */
char *fake_conductor_last(FakeConductor *fake, const char *call);
/* "vm_state/task_state" of the row after every Instance.save, one per line. Caller frees. */
char *fake_conductor_states(FakeConductor *fake);
/* The status that each Migration.save wrote, one per line. Caller frees. */
char *fake_conductor_migrations(FakeConductor *fake);
/* What this class action ("ComputeNodeList.get_all_by_host") answers from now on; stolen. */
void fake_conductor_answer(FakeConductor *fake, const char *call, json_t *result);
/* The same for an object's action ("ConsoleAuthToken.authorize"); its object is not changed. */
void fake_conductor_answer_action(FakeConductor *fake, const char *call, json_t *result);
/* The next such call raises this class of nova.exception, once; "timeout": it has no answer. */
void fake_conductor_fail(FakeConductor *fake, const char *call, const char *class_name);
