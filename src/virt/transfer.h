/* Files on their way between this host and another one, through the libvirt that runs there: it
 * needs no other trust between the hosts than live migration does.
 *
 * Ownership  everything that these structs point to is borrowed.
 * Sources    libvirt virStorageVolUpload, virStorageVolDownload, virStreamSparseSendAll. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct VirtFile {
    const char *path; /* here, absolute */
    const char *name; /* over there, in the folder */
} VirtFile;

typedef struct VirtTransfer {
    const char *uri;    /* libvirt of the other host, as this process reaches it */
    const char *uuid;   /* the instance whose files they are */
    const char *folder; /* over there, absolute; its parent is there */
    const VirtFile *files;
    size_t file_count;
    uint64_t need_bytes; /* sending: what shall be free over there before it begins; 0: any */
    /* Asked about once a MiB: true ends the transfer with DV_E_CANCELLED. May be NULL. */
    bool (*stop)(void *arg);
    void *stop_arg;
} VirtTransfer;
