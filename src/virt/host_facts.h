/* What the hypervisor says of this host: the raw material of the compute node record, the placement
 * inventory and the traits. The one header of virt that scheduler_hints may include.
 *
 * Units      memory MiB, disk GiB.
 * Ownership  host_facts_free. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct HostSpecTriple { /* supported_hv_specs: ("x86_64", "qemu", "hvm") */
    char *arch, *hv_type, *vm_mode;
} HostSpecTriple;

typedef struct HostFacts {
    char *hypervisor_hostname;  /* libvirt's name of the host */
    char *hypervisor_type;      /* "QEMU" */
    int64_t hypervisor_version; /* 7002022 */
    int64_t vcpus;              /* online CPUs the guests may use */
    int64_t memory_mib, memory_used_mib;
    int64_t disk_gib, disk_used_gib;
    int64_t disk_available_least_gib; /* may be negative */
    char *cpu_info;                   /* JSON text as nova stores it */
    char *cpu_arch, *cpu_model, *cpu_vendor;
    GPtrArray *cpu_features; /* char *, as libvirt names them, sorted */
    char *numa_topology;     /* JSON text of the NUMATopology primitive, or NULL */
    GPtrArray *specs;        /* HostSpecTriple */
    GPtrArray
        *traits;  /* char *: driver and CPU traits, sorted, without COMPUTE_NODE and service ones */
    char *uptime; /* the line of uptime(1) */
} HostFacts;

HostSpecTriple *host_spec_triple_new(const char *arch, const char *hv_type, const char *vm_mode);
void host_spec_triple_free(gpointer triple);
HostFacts *host_facts_copy(const HostFacts *facts);
void host_facts_free(HostFacts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostFacts, host_facts_free)

/* The line that uptime(1) prints, newline included, made without a child process and without the
 * hypervisor: it is answered while libvirtd hangs. Caller frees; never NULL. */
char *host_uptime(void);
