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
    {"ConstraintNotMet", DV_E_CONFLICT},
    {"DBConnectionError", DV_E_UNAVAILABLE},
    {"DBDeadlock", DV_E_UNAVAILABLE},
    {"DuplicateRecord", DV_E_CONFLICT},
    {"Forbidden", DV_E_DENIED},
    {"HostBinaryNotFound", DV_E_SERVICE_NOT_FOUND},
    {"IncompatibleObjectVersion", DV_E_UNSUPPORTED},
    {"InstanceActionEventNotFound", DV_E_ACTION_NOT_FOUND},
    {"InstanceActionNotFound", DV_E_ACTION_NOT_FOUND},
    {"InstanceGroupNotFound", DV_E_NOT_FOUND},
    {"InstanceInfoCacheNotFound", DV_E_NOT_FOUND},
    {"InstanceNotFound", DV_E_INSTANCE_NOT_FOUND},
    {"InstanceUpdateConflict", DV_E_CONFLICT},
    {"MessagingTimeout", DV_E_TIMEOUT},
    {"MigrationContextNotFound", DV_E_NOT_FOUND},
    {"MigrationNotFound", DV_E_NOT_FOUND},
    {"MigrationNotFoundByStatus", DV_E_NOT_FOUND},
    {"MigrationNotFoundForInstance", DV_E_NOT_FOUND},
    {"NoSuchMethod", DV_E_UNSUPPORTED},
    {"NumaTopologyNotFound", DV_E_NOT_FOUND},
    {"PciDeviceNotFound", DV_E_NOT_FOUND},
    {"PciDeviceNotFoundById", DV_E_NOT_FOUND},
    {"ServiceBinaryExists", DV_E_SERVICE_EXISTS},
    {"ServiceNotFound", DV_E_SERVICE_NOT_FOUND},
    {"ServiceTooOld", DV_E_BAD_CONFIG},
    {"ServiceTopicExists", DV_E_SERVICE_EXISTS},
    {"UnexpectedDeletingTaskStateError", DV_E_DELETING},
    {"UnexpectedTaskStateError", DV_E_UNEXPECTED_TASK_STATE},
    {"UnknownInstanceUpdateConflict", DV_E_CONFLICT},
    {"UnsupportedObjectError", DV_E_UNSUPPORTED},
    {"UnsupportedVersion", DV_E_UNSUPPORTED},
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

bool remote_fail(GError **err, const RpcRemote *remote)
{
    const char *message = remote->message ? remote->message : "";
    size_t length = MIN(strcspn(message, "\r\n"), MESSAGE_BYTES);
    g_autofree char *line = g_strndup(message, length);
    g_autofree char *valid = g_utf8_make_valid(line, -1);

    return dv_fail(err, remote_code(remote->class_name), "%s: %s",
                   remote->class_name ? remote->class_name : "unknown exception", valid);
}
