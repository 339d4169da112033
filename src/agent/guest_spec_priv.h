/* What the files that fill a GuestSpec share; each has one subject. For agent/guest_spec.c. */
#pragma once

#include "agent/guest_asks.h"

typedef struct GuestBuild {
    const Agent *agent;
    GuestAsks asks;
    GuestSpec *spec; /* being filled */
} GuestBuild;

/* CPU count and topology, cputune, architecture, PMU. */
bool guest_spec_cpu(const GuestBuild *build, GError **err);
/* Disks in nova's order, with bus, device name and limits. Needs machine_type. */
bool guest_spec_disks(const GuestBuild *build, GError **err);
/* The kernel command line of images that bring none. Caller frees. */
char *guest_spec_cmdline(const Agent *agent, const char *root_target);
/* A device with what the port says of it, without what the guest asks. Borrowed. */
NicSpec *guest_spec_port(GuestSpec *spec, const Vif *vif);
/* The first free name of a bus, "vdb"; DV_E_DISK_COUNT. Caller frees. */
bool guest_spec_free_name(const Agent *agent, GuestSpec *spec, const char *bus, char **out,
                          GError **err);
/* Whether a disk can be on such a bus. */
bool guest_spec_knows_bus(const char *bus);
/* One device for each VIF. */
bool guest_spec_nics(const GuestBuild *build, GError **err);
/* SPICE server and serial ports on TCP, as the configuration has them (guest_spec_consoles.c). */
bool guest_spec_consoles(const GuestBuild *build, GError **err);
/* The emulated TPM; its secret's value is not read (guest_tpm.c). */
bool guest_spec_tpm(const GuestBuild *build, GError **err);
/* Firmware, screen, input, random numbers, watchdog and what else the machine has. */
bool guest_spec_devices(const GuestBuild *build, GError **err);
