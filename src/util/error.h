/* The outcomes that some caller in drover treats differently, carried in GError.
 *
 * A code is chosen once, where the failure is understood, and then stays; callers put context in
 * front with dv_within. src/agent/faults.c alone turns a code into nova's exception class.
 * Threads    pure functions, any thread. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define DV_ERROR dv_error_quark()
GQuark dv_error_quark(void);

typedef enum {
    DV_E_INTERNAL = 1,    /* a bug of ours */
    DV_E_BAD_INPUT,       /* a peer sent something we cannot read */
    DV_E_BAD_CONFIG,      /* the operator's configuration is wrong */
    DV_E_UNAVAILABLE,     /* broker, libvirtd or a REST service is away; worth a retry */
    DV_E_TIMEOUT,         /* no answer in time; the other side may still have done it */
    DV_E_CANCELLED,       /* we are stopping, or somebody asked to stop this operation */
    DV_E_NOT_FOUND,       /* the thing asked for is not there */
    DV_E_CONFLICT,        /* somebody else changed it meanwhile: read again */
    DV_E_DENIED,          /* credentials or policy refuse it */
    DV_E_UNSUPPORTED,     /* a valid request that this host or this version cannot carry out */
    DV_E_NOT_IMPLEMENTED, /* nova's libvirt driver answers NotImplementedError here */
    DV_E_IO,              /* a local file or device failed */
    DV_E_NO_SPACE,        /* a local file system is full */
    DV_E_HYPERVISOR,      /* libvirt or QEMU refused or failed */
    DV_E_REMOTE,          /* a peer raised an exception that we have no code for */

    /* what conductor says of an instance or record */
    DV_E_INSTANCE_NOT_FOUND,
    DV_E_UNEXPECTED_TASK_STATE, /* another actor owns the instance now */
    DV_E_DELETING,              /* the same, and that actor is a delete */
    DV_E_ACTION_NOT_FOUND,
    DV_E_HOST_NOT_FOUND,
    DV_E_SERVICE_NOT_FOUND,
    DV_E_SERVICE_EXISTS,

    /* capacity */
    DV_E_NO_CAPACITY, /* the claim does not fit: another host may do it */
    DV_E_AFFINITY,    /* the server group's policy does not allow this host */

    /* images and disks */
    DV_E_IMAGE_NOT_FOUND,
    DV_E_IMAGE_NOT_ACTIVE,
    DV_E_IMAGE_UNACCEPTABLE, /* wrong, hostile or unsupported content */
    DV_E_IMAGE_TOO_LARGE,    /* larger than the flavor's disk */
    DV_E_TRUSTED_CERTS,      /* certificates that it would have to be checked against */
    DV_E_IMAGE_QUOTA,        /* glance has no room for it */
    DV_E_FLAVOR_DISK_TOO_SMALL,
    DV_E_FLAVOR_MEMORY_TOO_SMALL,
    DV_E_INVALID_DISK, /* disk.info or a block device mapping makes no sense */
    DV_E_DISK_EXISTS,  /* the instance's directory is already there */
    DV_E_DISK_BUS,     /* a bus that this hypervisor does not have */
    DV_E_DISK_COUNT,   /* more disks than the bus or the operator allows */

    /* what flavor and image ask of the guest */
    DV_E_FLAVOR_IMAGE_CONFLICT, /* the two contradict each other */
    DV_E_HARDWARE,              /* a device model that this hypervisor does not have */
    DV_E_CPU_LIMITS,            /* the image's CPU limits exceed the flavor's */
    DV_E_CPU_TOPOLOGY,          /* the image's CPU topology exceeds the limits */
    DV_E_CPU_IMPOSSIBLE,        /* no topology within the limits has that many CPUs */
    DV_E_CPU_MODEL,             /* no configured CPU model has the features asked for */
    DV_E_NUMA,                  /* NUMA topologies, dedicated CPUs, page sizes */
    DV_E_LOCKED_MEMORY,         /* locked memory without a page size */
    DV_E_VIDEO_RAM,             /* more than the flavor allows */
    DV_E_WATCHDOG_ACTION,
    DV_E_INVALID,    /* a word that is none of those allowed, or goes with no other */
    DV_E_RNG_DEVICE, /* [libvirt] rng_dev_path is not there */
    DV_E_MACHINE_TYPE,
    DV_E_IOMMU_MACHINE, /* a virtual IOMMU needs another machine type */
    DV_E_UEFI,
    DV_E_SECURE_BOOT,

    /* networks */
    DV_E_NETWORK_NOT_FOUND,
    DV_E_NETWORK_AMBIGUOUS,
    DV_E_NETWORK_EXTERNAL, /* attaching to an external network is not allowed */
    DV_E_PORT_NOT_FOUND,
    DV_E_PORT_IN_USE,
    DV_E_PORT_BINDING_FAILED,
    DV_E_PORT_LIMIT, /* quota */
    DV_E_NO_FIXED_IPS,
    DV_E_FIXED_IP_IN_USE,
    DV_E_VIF_PLUG,            /* the plug did not come up in time, or neutron says it failed */
    DV_E_PORT_NOT_USABLE,     /* it belongs to another project, or asks for what we cannot do */
    DV_E_PORT_NOT_USABLE_DNS, /* its dns name is not the instance's */
    DV_E_FIXED_IP_NOT_FOUND,  /* the instance does not have that address */
    DV_E_INSTANCE_NETWORK_NOT_FOUND, /* nor a port with room on that network */

    /* devices of guests */
    DV_E_INTERFACE_ATTACH,
    DV_E_INTERFACE_DETACH,
    DV_E_INTERFACE_PCI_CLAIM, /* the port wants a PCI device that this host cannot give */
    DV_E_INTERFACE_RESOURCES, /* the port wants bandwidth that this host cannot promise */
    DV_E_DEVICE_DETACH,       /* the guest did not let the device go */
    DV_E_DEVICE_NOT_FOUND,    /* it is not in the guest */

    /* instances and consoles, as the API knows them */
    DV_E_INSTANCE_INVALID_STATE,
    DV_E_INSTANCE_NOT_READY,
    DV_E_INSTANCE_NOT_RUNNING,
    DV_E_GUEST_AGENT_DISABLED, /* the image does not say that the guest has an agent */
    DV_E_INSTANCE_EXISTS,
    DV_E_POWER_OFF, /* the guest could not be powered off: nothing was changed */
    DV_E_CONSOLE_TYPE_INVALID,
    DV_E_CONSOLE_TYPE_UNAVAILABLE,
    DV_E_CONSOLE_NOT_AVAILABLE,
    DV_E_SERIAL_COUNT_INVALID,   /* the flavor's number of serial ports is no number */
    DV_E_SERIAL_COUNT_EXCEEDS,   /* the image asks for more than the flavor allows */
    DV_E_SERIAL_COUNT_LIMIT,     /* more than QEMU has */
    DV_E_SERIAL_PORTS_EXHAUSTED, /* no free TCP port in [serial_console] port_range */

    /* making a guest anew, and moving it to another flavor */
    DV_E_PRESERVE_EPHEMERAL, /* a rebuild that shall keep the ephemeral disks */
    DV_E_EVACUATE_TARGET,    /* no evacuated server can be put in that state */
    DV_E_BUILD_ABORTED,      /* given up before anything was touched */
    DV_E_NOT_RESCUABLE,
    DV_E_RESCUE_IMAGE, /* hw_rescue_bus or hw_rescue_device name what this host cannot give */
    DV_E_RESCUE_DEVICE,
    DV_E_RESCUE_BUS,
    DV_E_RESIZE,             /* the disks cannot become what the flavor says */
    DV_E_MIGRATE_TO_SELF,    /* a cold migration without another host to go to */
    DV_E_MIGRATION_PRECHECK, /* the move cannot be done between these hosts */
    DV_E_POST_COPY_BROKEN,   /* a live migration broke off when there was no way back */
    DV_E_ALLOCATION_MOVE,    /* placement's allocations changed while they were moved */

    /* live migration */
    DV_E_LOCAL_STORAGE,    /* the disks shall be copied, but are on shared storage */
    DV_E_SHARED_STORAGE,   /* the disks shall not be copied, but the other host does not see them */
    DV_E_MIGRATION,        /* it cannot go on */
    DV_E_MIGRATION_STATE,  /* not while the migration is in that state */
    DV_E_NO_MIGRATION,     /* no live migration of that instance is under way */
    DV_E_MIGRATION_LATE,   /* it came while the service stops */
    DV_E_VIF_NOT_PLUGGED,  /* neutron says that a port did not come up at the destination */
    DV_E_BINDING_ACTIVATE, /* neutron does not make the destination's binding the active one */
    DV_E_BINDING_DELETE,   /* neutron keeps the binding of a host that a port has left */

    /* what is done to running guests */
    DV_E_AGENT_NOT_ENABLED,      /* the image does not say that there is a guest agent */
    DV_E_PASSWORD_FAILED,        /* the reason is not told: it could hold the password */
    DV_E_CRASH_DUMP_UNSUPPORTED, /* the hypervisor has no NMI */

    /* the key manager */
    DV_E_KEY_MANAGER,      /* it is away, or refuses */
    DV_E_SECRET_NOT_FOUND, /* a secret that an instance needs is not there (any more) */
    DV_E_LAST
} DvErrorCode;

/* Both return false, so that failing is one statement; err may be NULL when nobody wants the
 * reason. The text grows from the right: "booting 6f70: define guest: libvirt: unknown machine type
 * pc-9". */
bool dv_fail(GError **err, DvErrorCode code, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
bool dv_within(GError **err, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* The code of an error; DV_E_INTERNAL for NULL and for errors of other domains. */
DvErrorCode dv_code(const GError *err);
/* True when err is set and carries `code`. */
bool dv_is(const GError *err, DvErrorCode code);
/* Logs nothing and frees: for errors that the caller decided to ignore, with the reason in a
 * comment. */
void dv_ignore(GError **err);
