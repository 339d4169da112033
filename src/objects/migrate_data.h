/* LibvirtLiveMigrateData: what the two hosts of a live migration tell each other.
 *
 * The destination begins it with what it can do and where it listens, the source adds what the two
 * share, conductor the port bindings that it made, and the destination again what it has prepared.
 * Either side may be nova-compute; fields of newer releases than we know go through unchanged.
 * Ownership  results belong to the caller.
 * Errors     DV_E_BAD_INPUT.
 * Threads    pure functions.
 * Sources    nova objects/migrate_data.py (Zed to 2026.1). */
#pragma once

#include "objects/network_info.h"
#include "objects/ovo.h"
#include "objects/versions.h"

/* Empty, at the release's version. */
Ovo *migrate_data_new(NovaRelease release);

/* One entry (VIFMigrateData) a port: what it is on the source, and that this host makes OVS ports
 * itself. The binding on the destination comes from conductor. */
void migrate_data_set_vifs(Ovo *data, NovaRelease release, const NetworkInfo *source);
/* What the ports are on the source, anew, in the entries that there are for them. */
void migrate_data_renew_vifs(Ovo *data, const NetworkInfo *source);
bool migrate_data_has_vifs(const Ovo *data);
/* The ports as they are on the destination: the source's with the destination's binding. NULL with
 * err when one of them has none. */
NetworkInfo *migrate_data_dest_network(const Ovo *data, GError **err);
/* The ports as they are on the source. */
NetworkInfo *migrate_data_source_network(const Ovo *data, GError **err);

/* A field that is a list of integers (serial_listen_ports). */
void migrate_data_set_ints(Ovo *data, const char *field, const int *values, size_t count);
/* Its length; with `out`, up to `max` of its elements, those that are no integers as 0. */
size_t migrate_data_ints(const Ovo *data, const char *field, int *out, size_t max);
/* A field that is an empty dict or an empty list. */
void migrate_data_set_empty_dict(Ovo *data, const char *field);
void migrate_data_set_empty_list(Ovo *data, const char *field);

/* Disks that both hosts see: all of them, or the folder that they lie in. */
bool migrate_data_is_shared(const Ovo *data);
