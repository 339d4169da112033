/* Remote exception classes as error codes; see remote_errors.h. */
#include "services/remote_errors.h"

#include <string.h>

#define MESSAGE_BYTES 512

typedef struct RemoteRow {
    const char *class_name;
    DvErrorCode code;
} RemoteRow;

static const RemoteRow rows[] = {
    /* sorted by name */
    {"BDMNotFound", DV_E_NOT_FOUND},
    {"ComputeHostNotFound", DV_E_HOST_NOT_FOUND},
    {"ComputeResourcesUnavailable", DV_E_NO_CAPACITY},
    {"ConsoleNotAvailable", DV_E_CONSOLE_NOT_AVAILABLE},
    {"ConstraintNotMet", DV_E_CONFLICT},
    {"DBConnectionError", DV_E_UNAVAILABLE},
    {"DBDeadlock", DV_E_UNAVAILABLE},
    {"DestinationDiskExists", DV_E_DISK_EXISTS},
    {"DuplicateRecord", DV_E_CONFLICT},
    {"Forbidden", DV_E_DENIED},
    {"GroupAffinityViolation", DV_E_AFFINITY},
    {"HostBinaryNotFound", DV_E_SERVICE_NOT_FOUND},
    {"ImageNotFound", DV_E_IMAGE_NOT_FOUND},
    {"IncompatibleObjectVersion", DV_E_UNSUPPORTED},
    {"InstanceActionEventNotFound", DV_E_ACTION_NOT_FOUND},
    {"InstanceActionNotFound", DV_E_ACTION_NOT_FOUND},
    {"InstanceGroupNotFound", DV_E_NOT_FOUND},
    {"InstanceInfoCacheNotFound", DV_E_NOT_FOUND},
    {"InstanceInvalidState", DV_E_INSTANCE_INVALID_STATE},
    {"InstanceNotFound", DV_E_INSTANCE_NOT_FOUND},
    {"InstanceUpdateConflict", DV_E_CONFLICT},
    {"InvalidCPUInfo", DV_E_CPU_MODEL},
    {"InvalidLocalStorage", DV_E_LOCAL_STORAGE},
    {"InvalidSharedStorage", DV_E_SHARED_STORAGE},
    {"MessagingTimeout", DV_E_TIMEOUT},
    {"MigrationContextNotFound", DV_E_NOT_FOUND},
    {"MigrationError", DV_E_MIGRATION},
    {"MigrationNotFound", DV_E_NOT_FOUND},
    {"MigrationNotFoundByStatus", DV_E_NOT_FOUND},
    {"MigrationNotFoundForInstance", DV_E_NOT_FOUND},
    {"MigrationPreCheckError", DV_E_MIGRATION_PRECHECK},
    {"NoSuchMethod", DV_E_UNSUPPORTED},
    {"NumaTopologyNotFound", DV_E_NOT_FOUND},
    {"PciDeviceNotFound", DV_E_NOT_FOUND},
    {"PciDeviceNotFoundById", DV_E_NOT_FOUND},
    {"PortBindingFailed", DV_E_PORT_BINDING_FAILED},
    {"ServiceBinaryExists", DV_E_SERVICE_EXISTS},
    {"ServiceNotFound", DV_E_SERVICE_NOT_FOUND},
    {"ServiceTooOld", DV_E_BAD_CONFIG},
    {"ServiceTopicExists", DV_E_SERVICE_EXISTS},
    {"UnexpectedDeletingTaskStateError", DV_E_DELETING},
    {"UnexpectedTaskStateError", DV_E_UNEXPECTED_TASK_STATE},
    {"UnknownInstanceUpdateConflict", DV_E_CONFLICT},
    {"UnsupportedObjectError", DV_E_UNSUPPORTED},
    {"UnsupportedVersion", DV_E_UNSUPPORTED},
    {"VirtualInterfacePlugException", DV_E_VIF_NOT_PLUGGED},
    {"VolumeBDMNotFound", DV_E_NOT_FOUND},
};

static int compare_row(const void *key, const void *row)
{
    return strcmp(key, ((const RemoteRow *)row)->class_name);
}

DvErrorCode remote_code(const char *class_name)
{
    g_autofree char *name = g_strdup(class_name);
    const RemoteRow *row;

    if (!name)
        return DV_E_REMOTE;
    /* A conductor that passes on what another service raised writes InstanceNotFound_Remote. */
    while (g_str_has_suffix(name, "_Remote"))
        name[strlen(name) - strlen("_Remote")] = '\0';
    row = bsearch(name, rows, G_N_ELEMENTS(rows), sizeof(rows[0]), compare_row);
    return row ? row->code : DV_E_REMOTE;
}

/* The first line, bounded. Caller frees. */
static char *line_of(const RpcRemote *remote)
{
    const char *message = remote->message ? remote->message : "";
    size_t length = MIN(strcspn(message, "\r\n"), MESSAGE_BYTES);
    g_autofree char *line = g_strndup(message, length);

    return g_utf8_make_valid(line, -1);
}

bool remote_fail(GError **err, const RpcRemote *remote)
{
    g_autofree char *valid = line_of(remote);

    return dv_fail(err, remote_code(remote->class_name), "%s: %s",
                   remote->class_name ? remote->class_name : "unknown exception", valid);
}

bool remote_fail_plain(GError **err, const RpcRemote *remote)
{
    DvErrorCode code = remote_code(remote->class_name);
    g_autofree char *valid = NULL;

    if (code == DV_E_REMOTE)
        return remote_fail(err, remote);
    valid = line_of(remote);
    return dv_fail(err, code, "%s", valid);
}
