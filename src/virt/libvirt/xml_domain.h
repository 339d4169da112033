/* The domain XML of a GuestSpec, as nova's libvirt driver writes it for the same request, so that
 * either agent can take over the other's guests.
 *
 * Differs from nova's in one thing: every disk names its format and its whole backing chain, and
 * the chain ends in an empty backingStore, so that neither libvirt nor QEMU guesses a format.
 * Ownership  the text is the caller's (g_free).
 * Threads    pure functions, any thread.
 * Sources    nova virt/libvirt/{driver,config,vif,designer}.py (Zed); libvirt formatdomain. */
#pragma once

#include "virt/driver.h"
#include "virt/libvirt/firmware.h"
#include "virt/libvirt/handles.h"

#define XML_NOVA_NS "http://openstack.org/xmlns/libvirt/nova/1.1"

/* What the XML needs to know of the host. Everything borrowed; NULL lists are empty. */
typedef struct XmlHost {
    const char *arch;              /* "x86_64" */
    const char *host_uuid;         /* sysinfo_serial = hardware */
    const char *machine_id;        /* sysinfo_serial = os, or NULL */
    const GPtrArray *cpu_models;   /* CapsModel *: for cpu_mode custom, the preferred one first */
    const char *cpuset;            /* of shared CPUs ("0-3"), NULL: all */
    const char *cache_mode;        /* of disks that name none: "none" or "writeback" */
    const GPtrArray *machines;     /* CapsMachine *: machine types that QEMU has; NULL: any */
    bool uefi, secure_boot;        /* QEMU can do it with some machine type */
    unsigned long libvirt_version; /* 9000000 for 9.0.0 */
    const FirmwareList *firmwares; /* for UEFI guests, else NULL */
    const int *serial_ports; /* TCP ports of the spec's serial consoles, as many as it wants */
} XmlHost;

/* DV_E_BAD_INPUT: the spec is not complete. DV_E_UNSUPPORTED: a VIF type or architecture we do not
 * know. DV_E_MACHINE_TYPE, DV_E_UEFI, DV_E_SECURE_BOOT, DV_E_CPU_MODEL: this host has it not. */
bool xml_domain_write(const GuestSpec *spec, const VirtConfig *config, const XmlHost *host,
                      char **out, GError **err);

/* What a guest's architecture and machine type are on this host. */
const char *xml_arch(const GuestSpec *spec, const XmlHost *host);
const char *xml_machine_type(const GuestSpec *spec, const VirtConfig *config, const XmlHost *host);
bool xml_is_x86(const char *arch);

/* The parts of <domain>, each in its file: <os> (xml_os.c); <features>, <cputune>, <clock> and
 * <cpu> (xml_cpu.c); <devices> (xml_devices.c). */
bool xml_os_add(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                const XmlHost *host, bool *out_smm, GError **err);
void xml_features_add(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                      const XmlHost *host, bool smm);
void xml_cputune_add(xmlNode *domain, const GuestSpec *spec);
void xml_clock_add(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                   const XmlHost *host);
bool xml_cpu_add(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                 const XmlHost *host, GError **err);
/* What <cpu> says; *out is the caller's. xml_cpu.c. */
bool xml_cpu_choose(const GuestSpec *spec, const VirtConfig *config, const XmlHost *host,
                    VirtCpu **out, GError **err);
/* One <cpu> as text, to ask libvirt about; caller frees. xml_cpu.c. */
char *xml_cpu_text(const VirtCpu *cpu);
bool xml_devices_add(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                     const XmlHost *host, GError **err);

/* One <interface> as text, to attach; caller frees. Errors as above. xml_devices.c. */
bool xml_nic_write(const NicSpec *nic, const VirtConfig *config, char **out, GError **err);
/* Adds the <port> of nova's metadata element below its <ports>; xml_domain.c. */
void xml_port_add(xmlNode *ports, const NicSpec *nic);

/* libxml2's tree with nothing to escape by hand. `text` and `value` may hold anything: what XML 1.0
 * cannot express becomes U+FFFD. NULL text or value adds nothing. xml_node.c. */
xmlNode *xml_add(xmlNode *parent, const char *name);
xmlNode *xml_add_text(xmlNode *parent, const char *name, const char *text);
xmlNode *xml_add_u64(xmlNode *parent, const char *name, uint64_t value);
void xml_attr(xmlNode *node, const char *name, const char *value);
void xml_attr_u64(xmlNode *node, const char *name, uint64_t value);
/* Nothing where the number is not set. */
void xml_add_number(xmlNode *parent, const char *name, const SpecNumber *number);
void xml_attr_number(xmlNode *node, const char *name, const SpecNumber *number);
/* The string value of the first match of `xpath` below `node`, or NULL. Caller frees. */
char *xml_find(xmlDoc *doc, const char *xpath);
/* The first child element of that name, or NULL; parent may be NULL. */
xmlNode *xml_child(xmlNode *parent, const char *name);
/* A document of one element, which is *out_root; and a document's text. The caller frees. */
xmlDoc *xml_new(const char *name, xmlNode **out_root);
char *xml_text(xmlDoc *doc);
/* Parses what libvirt sent: bounded, no network, no entities. NULL with err. */
xmlDoc *xml_parse(const char *text, const char *what, GError **err);
