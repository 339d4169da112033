/* What libvirt says this host can do: read once per connection, since libvirt and QEMU change only
 * with a restart of libvirtd.
 *
 * Ownership  reference counted and immutable once made; strings borrowed from it.
 * Threads    any.
 * Sources    nova virt/libvirt/{host,config}.py get_capabilities, get_domain_capabilities (Zed). */
#pragma once

#include "virt/libvirt/cpuset.h"
#include "virt/libvirt/libvirt_priv.h"

#define CAPS_MAX_CELLS 1024
#define CAPS_MAX_PAGE_SIZES 16

typedef struct CapsPages {
    uint64_t size_kib, total;
} CapsPages;

typedef struct CapsCell {
    unsigned id;
    uint64_t memory_kib;
    unsigned page_count;
    CapsPages pages[CAPS_MAX_PAGE_SIZES];
    CpuSet cpus;
    int socket;          /* -1: its CPUs sit in several, or libvirt does not say */
    GPtrArray *siblings; /* CpuSet *: threads of one core, by first CPU, each once */
} CapsCell;

/* A machine type of an architecture; canonical is NULL where `name` is no alias. */
typedef struct CapsMachine {
    char *arch, *name, *canonical;
} CapsMachine;

/* One of [libvirt] cpu_models, as libvirt spells it, with all its features. */
typedef struct CapsModel {
    char *name;
    GPtrArray *features; /* char *, or NULL: libvirt does not say */
} CapsModel;

struct HostCaps {
    gatomicrefcount refs;
    unsigned long libvirt_version; /* 9000000 for 9.0.0 */
    char *arch, *host_uuid, *machine_id;
    char *cpu_model, *cpu_vendor;
    int64_t sockets, cores, threads; /* of the <cpu> element */
    GPtrArray *features;             /* char *, sorted, expanded to all that the model implies */
    GPtrArray *specs;                /* HostSpecTriple *, in libvirt's order */
    GPtrArray *cells;                /* CapsCell * */
    bool hyperthreading;
    GPtrArray *traits;      /* char *, sorted */
    GPtrArray *models;      /* CapsModel *: with cpu_mode custom */
    GPtrArray *machines;    /* CapsMachine * */
    bool uefi, secure_boot; /* some machine type of the host's architecture has it */
    char *cpuset;           /* of [compute] cpu_shared_set, normalised, or NULL */
};

/* The capabilities of the connection as it is now; reads them when they are not of it. */
HostCaps *caps_get(LibvirtDriver *driver, GError **err);
HostCaps *caps_ref(HostCaps *caps);
void caps_unref(HostCaps *caps);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostCaps, caps_unref)
/* The part that the XML writer needs; borrowed. cache_mode is the caller's to set. */
XmlHost caps_xml_host(const HostCaps *caps);

/* Fills caps from libvirt's XML, without libvirt: for caps.c and its tests. */
bool caps_parse_host(HostCaps *caps, xmlDoc *doc, GError **err);
/* What a domain capabilities document of the host's architecture says of firmware. */
void caps_parse_firmware(HostCaps *caps, xmlDoc *doc);
HostCaps *caps_new(void);
/* Texts of all nodes that match. GPtrArray of char *. */
GPtrArray *caps_values(xmlDoc *doc, const char *xpath);

/* traits.c: what one domain capabilities document adds, what the driver and CPU features add. */
typedef struct TraitSet TraitSet;
TraitSet *traits_new(void);
void traits_free(TraitSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TraitSet, traits_free)
void traits_add_domain_caps(TraitSet *set, xmlDoc *doc, const char *arch, const char *host_arch);
void traits_add_driver(TraitSet *set, const VirtConfig *config, unsigned long libvirt_version);
void traits_add_cpu(TraitSet *set, const GPtrArray *features);
/* The CPU feature behind a HW_CPU_X86_* trait, or NULL. */
const char *traits_cpu_feature(const char *trait);
void traits_add(TraitSet *set, const char *trait);
/* char *, sorted; the set is used up. */
GPtrArray *traits_take(TraitSet *set);

/* host.c: the two JSON texts of the compute node record. Caller frees; NULL: no NUMA topology. */
char *host_write_cpu_info(const HostCaps *caps);
char *host_write_numa(const HostCaps *caps, const CpuSet *shared);
