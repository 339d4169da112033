/* The fault table; see faults.h.
 * Sources: nova exception.py (Zed): names, codes; compute/utils.py exception_to_dict. */
#include "agent/faults.h"

#include "util/log.h"

#define NOVA "nova.exception"
#define CASTELLAN "castellan.common.exception" /* nova's client of key managers */
#define FAULT_MESSAGE_MAX 255

typedef struct FaultRow {
    DvErrorCode code;
    const char *class_name;
    const char *module;
    int http_code;
} FaultRow;

/* clang-format off */
static const FaultRow rows[] = {
    {DV_E_INTERNAL,                 "NovaException",                    NOVA,       500},
    {DV_E_BAD_INPUT,                "InvalidInput",                     NOVA,       400},
    {DV_E_BAD_CONFIG,               "InvalidConfiguration",             NOVA,       500},
    {DV_E_UNAVAILABLE,              "ServiceUnavailable",               NOVA,       400},
    {DV_E_TIMEOUT,                  "NovaException",                    NOVA,       500},
    {DV_E_CANCELLED,                "ServiceUnavailable",               NOVA,       400},
    {DV_E_NOT_FOUND,                "NotFound",                         NOVA,       404},
    {DV_E_CONFLICT,                 "NovaException",                    NOVA,       500},
    {DV_E_DENIED,                   "Forbidden",                        NOVA,       403},
    {DV_E_UNSUPPORTED,              "NotSupported",                     NOVA,       400},
    {DV_E_NOT_IMPLEMENTED,          "NotImplementedError",              "builtins", 500},
    {DV_E_IO,                       "NovaException",                    NOVA,       500},
    {DV_E_NO_SPACE,                 "NovaException",                    NOVA,       500},
    {DV_E_HYPERVISOR,               "InternalError",                    NOVA,       500},
    {DV_E_REMOTE,                   "NovaException",                    NOVA,       500},
    {DV_E_INSTANCE_NOT_FOUND,       "InstanceNotFound",                 NOVA,       404},
    {DV_E_UNEXPECTED_TASK_STATE,    "UnexpectedTaskStateError",         NOVA,       500},
    {DV_E_DELETING,                 "UnexpectedDeletingTaskStateError", NOVA,       500},
    {DV_E_ACTION_NOT_FOUND,         "InstanceActionNotFound",           NOVA,       500},
    {DV_E_HOST_NOT_FOUND,           "ComputeHostNotFound",              NOVA,       404},
    {DV_E_SERVICE_NOT_FOUND,        "ServiceNotFound",                  NOVA,       404},
    {DV_E_SERVICE_EXISTS,           "ServiceBinaryExists",              NOVA,       500},
    {DV_E_NO_CAPACITY,              "ComputeResourcesUnavailable",      NOVA,       400},
    {DV_E_AFFINITY,                 "GroupAffinityViolation",           NOVA,       500},
    {DV_E_IMAGE_NOT_FOUND,          "ImageNotFound",                    NOVA,       404},
    {DV_E_IMAGE_NOT_ACTIVE,         "ImageNotActive",                   NOVA,       500},
    {DV_E_IMAGE_UNACCEPTABLE,       "ImageUnacceptable",                NOVA,       400},
    {DV_E_IMAGE_TOO_LARGE,          "FlavorDiskSmallerThanImage",       NOVA,       500},
    {DV_E_IMAGE_QUOTA,              "ImageQuotaExceeded",               NOVA,       500},
    {DV_E_FLAVOR_DISK_TOO_SMALL,    "FlavorDiskTooSmall",               NOVA,       500},
    {DV_E_FLAVOR_MEMORY_TOO_SMALL,  "FlavorMemoryTooSmall",             NOVA,       500},
    {DV_E_INVALID_DISK,             "InvalidDiskInfo",                  NOVA,       400},
    {DV_E_DISK_EXISTS,              "DestinationDiskExists",            NOVA,       400},
    {DV_E_DISK_BUS,                 "UnsupportedHardware",              NOVA,       400},
    {DV_E_DISK_COUNT,               "TooManyDiskDevices",               NOVA,       403},
    {DV_E_FLAVOR_IMAGE_CONFLICT,    "FlavorImageConflict",              NOVA,       500},
    {DV_E_HARDWARE,                 "UnsupportedHardware",              NOVA,       400},
    {DV_E_CPU_LIMITS,               "ImageVCPULimitsRangeExceeded",     NOVA,       400},
    {DV_E_CPU_TOPOLOGY,             "ImageVCPUTopologyRangeExceeded",   NOVA,       400},
    {DV_E_CPU_IMPOSSIBLE,           "ImageVCPULimitsRangeImpossible",   NOVA,       400},
    {DV_E_CPU_MODEL,                "InvalidCPUInfo",                   NOVA,       400},
    {DV_E_NUMA,                     "NUMATopologyUnsupported",          NOVA,       400},
    {DV_E_LOCKED_MEMORY,            "LockMemoryForbidden",              NOVA,       403},
    {DV_E_VIDEO_RAM,                "RequestedVRamTooHigh",             NOVA,       500},
    {DV_E_WATCHDOG_ACTION,          "InvalidWatchdogAction",            NOVA,       400},
    {DV_E_INVALID,                  "Invalid",                          NOVA,       400},
    {DV_E_RNG_DEVICE,               "RngDeviceNotExist",                NOVA,       400},
    {DV_E_MACHINE_TYPE,             "InvalidMachineType",               NOVA,       400},
    {DV_E_IOMMU_MACHINE,            "InvalidVIOMMUMachineType",         NOVA,       400},
    {DV_E_UEFI,                     "UEFINotSupported",                 NOVA,       400},
    {DV_E_SECURE_BOOT,              "SecureBootNotSupported",           NOVA,       400},
    {DV_E_NETWORK_NOT_FOUND,        "NetworkNotFound",                  NOVA,       404},
    {DV_E_NETWORK_AMBIGUOUS,        "NetworkAmbiguous",                 NOVA,       400},
    {DV_E_NETWORK_EXTERNAL,         "ExternalNetworkAttachForbidden",   NOVA,       403},
    {DV_E_PORT_NOT_FOUND,           "PortNotFound",                     NOVA,       404},
    {DV_E_PORT_IN_USE,              "PortInUse",                        NOVA,       400},
    {DV_E_PORT_BINDING_FAILED,      "PortBindingFailed",                NOVA,       400},
    {DV_E_PORT_LIMIT,               "PortLimitExceeded",                NOVA,       413},
    {DV_E_NO_FIXED_IPS,             "NoMoreFixedIps",                   NOVA,       500},
    {DV_E_FIXED_IP_IN_USE,          "FixedIpAlreadyInUse",              NOVA,       500},
    {DV_E_VIF_PLUG,                 "VirtualInterfaceCreateException",  NOVA,       500},
    {DV_E_PORT_NOT_USABLE,          "PortNotUsable",                    NOVA,       400},
    {DV_E_PORT_NOT_USABLE_DNS,      "PortNotUsableDNS",                 NOVA,       400},
    {DV_E_FIXED_IP_NOT_FOUND,       "FixedIpNotFoundForInstance",       NOVA,       404},
    {DV_E_INSTANCE_NETWORK_NOT_FOUND, "NetworkNotFoundForInstance",     NOVA,       404},
    {DV_E_INTERFACE_ATTACH,         "InterfaceAttachFailed",            NOVA,       500},
    {DV_E_INTERFACE_DETACH,         "InterfaceDetachFailed",            NOVA,       400},
    {DV_E_INTERFACE_PCI_CLAIM,      "InterfaceAttachPciClaimFailed",    NOVA,       400},
    {DV_E_INTERFACE_RESOURCES,      "InterfaceAttachResourceAllocationFailed", NOVA, 400},
    {DV_E_DEVICE_DETACH,            "DeviceDetachFailed",               NOVA,       500},
    {DV_E_DEVICE_NOT_FOUND,         "DeviceNotFound",                   NOVA,       404},
    {DV_E_INSTANCE_INVALID_STATE,   "InstanceInvalidState",             NOVA,       400},
    {DV_E_INSTANCE_NOT_READY,       "InstanceNotReady",                 NOVA,       400},
    {DV_E_INSTANCE_NOT_RUNNING,     "InstanceNotRunning",               NOVA,       400},
    {DV_E_GUEST_AGENT_DISABLED,     "QemuGuestAgentNotEnabled",         NOVA,       400},
    {DV_E_INSTANCE_EXISTS,          "InstanceExists",                   NOVA,       500},
    {DV_E_POWER_OFF,                "InstancePowerOffFailure",          NOVA,       400},
    {DV_E_CONSOLE_TYPE_INVALID,     "ConsoleTypeInvalid",               NOVA,       400},
    {DV_E_CONSOLE_TYPE_UNAVAILABLE, "ConsoleTypeUnavailable",           NOVA,       400},
    {DV_E_CONSOLE_NOT_AVAILABLE,    "ConsoleNotAvailable",              NOVA,       404},
    {DV_E_SERIAL_COUNT_INVALID,     "ImageSerialPortNumberInvalid",     NOVA,       400},
    {DV_E_SERIAL_COUNT_EXCEEDS,     "ImageSerialPortNumberExceedFlavorValue", NOVA, 400},
    {DV_E_SERIAL_COUNT_LIMIT,       "SerialPortNumberLimitExceeded",    NOVA,       400},
    {DV_E_SERIAL_PORTS_EXHAUSTED,   "SocketPortRangeExhaustedException", NOVA,      500},
    {DV_E_TRUSTED_CERTS,            "BuildAbortException",              NOVA,       500},
    {DV_E_PRESERVE_EPHEMERAL,       "PreserveEphemeralNotSupported",    NOVA,       400},
    {DV_E_EVACUATE_TARGET,          "InstanceEvacuateNotSupportedTargetState", NOVA, 400},
    {DV_E_BUILD_ABORTED,            "BuildAbortException",              NOVA,       500},
    {DV_E_NOT_RESCUABLE,            "InstanceNotRescuable",             NOVA,       400},
    {DV_E_RESCUE_IMAGE,             "UnsupportedRescueImage",           NOVA,       400},
    {DV_E_RESCUE_DEVICE,            "UnsupportedRescueDevice",          NOVA,       400},
    {DV_E_RESCUE_BUS,               "UnsupportedRescueBus",             NOVA,       400},
    {DV_E_RESIZE,                   "ResizeError",                      NOVA,       500},
    {DV_E_MIGRATE_TO_SELF,          "UnableToMigrateToSelf",            NOVA,       400},
    {DV_E_MIGRATION_PRECHECK,       "MigrationPreCheckError",           NOVA,       500},
    {DV_E_POST_COPY_BROKEN,         "MigrationError",                   NOVA,       500},
    {DV_E_ALLOCATION_MOVE,          "AllocationMoveFailed",             NOVA,       500},
    {DV_E_LOCAL_STORAGE,            "InvalidLocalStorage",              NOVA,       500},
    {DV_E_SHARED_STORAGE,           "InvalidSharedStorage",             NOVA,       500},
    {DV_E_MIGRATION,                "MigrationError",                   NOVA,       500},
    {DV_E_MIGRATION_STATE,          "InvalidMigrationState",            NOVA,       400},
    {DV_E_NO_MIGRATION,             "NoActiveMigrationForInstance",     NOVA,       404},
    {DV_E_MIGRATION_LATE,           "LiveMigrationNotSubmitted",        NOVA,       500},
    {DV_E_VIF_NOT_PLUGGED,          "VirtualInterfacePlugException",    NOVA,       500},
    {DV_E_BINDING_ACTIVATE,         "PortBindingActivationFailed",      NOVA,       500},
    {DV_E_BINDING_DELETE,           "PortBindingDeletionFailed",        NOVA,       500},
    {DV_E_AGENT_NOT_ENABLED,        "QemuGuestAgentNotEnabled",         NOVA,       400},
    {DV_E_PASSWORD_FAILED,          "InstancePasswordSetFailed",        NOVA,       500},
    {DV_E_CRASH_DUMP_UNSUPPORTED,   "TriggerCrashDumpNotSupported",     NOVA,       400},
    {DV_E_KEY_MANAGER,              "KeyManagerError",                  CASTELLAN,  500},
    {DV_E_SECRET_NOT_FOUND,         "ManagedObjectNotFoundError",       CASTELLAN,  500},
};
/* clang-format on */
G_STATIC_ASSERT(G_N_ELEMENTS(rows) == DV_E_LAST - 1);

static const FaultRow *row_of(const GError *err)
{
    DvErrorCode code = dv_code(err);

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].code == code)
            return &rows[i];
    }
    return &rows[0];
}

void fault_of_error(const GError *err, RpcFault *out)
{
    const FaultRow *row = row_of(err);

    out->class_name = row->class_name;
    out->module = row->module;
    out->code = strcmp(row->module, NOVA) == 0 ? row->http_code : 0;
    out->message = err ? err->message : "unknown error";
}

char *fault_hide_paths(const char *text)
{
    GString *out = g_string_new(NULL);

    for (const char *p = text; *p;) {
        bool starts = *p == '/' && g_ascii_isalnum(p[1]) &&
                      (p == text || (!g_ascii_isalnum(p[-1]) && p[-1] != '/' && p[-1] != '>'));

        if (starts) {
            g_string_append(out, "<path>");
            while (*p && !strchr(" '\",;:)\n", *p))
                p++;
            continue;
        }
        g_string_append_c(out, *p++);
    }
    return g_string_free(out, FALSE);
}

/* At most `max` bytes without cutting a UTF-8 character in two. */
static char *truncated(const char *text, size_t max)
{
    const char *end = text + MIN(strlen(text), max);

    g_utf8_validate(text, end - text, &end);
    return g_strndup(text, (size_t)(end - text));
}

char *fault_message(const GError *err)
{
    const FaultRow *row = row_of(err);
    g_autofree char *clean = NULL;
    g_autofree char *hidden = NULL;

    /* As nova does: the text of an exception it does not know may hold anything, so only its name
     * is told. */
    if (!err || row->code == DV_E_INTERNAL || strcmp(row->module, CASTELLAN) == 0)
        return g_strdup(row->class_name);
    clean = dv_redact(err->message);
    hidden = fault_hide_paths(clean);
    return truncated(hidden, FAULT_MESSAGE_MAX);
}

char *fault_build_aborted(const char *instance_uuid, const char *reason)
{
    g_autofree char *text = g_strdup_printf("Build of instance %s aborted: %s", instance_uuid,
                                            reason);

    return truncated(text, FAULT_MESSAGE_MAX);
}
