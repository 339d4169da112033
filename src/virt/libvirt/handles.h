/* Scope cleanup for libvirt's and libxml2's handles, and for lists of them. */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>
#include <libxml/tree.h>
#include <libxml/xpath.h>

static inline void handle_conn_close(virConnectPtr conn)
{
    virConnectClose(conn);
}

static inline void handle_domain_free(virDomainPtr domain)
{
    virDomainFree(domain);
}

static inline void handle_pool_free(virStoragePoolPtr pool)
{
    virStoragePoolFree(pool);
}

static inline void handle_volume_free(virStorageVolPtr volume)
{
    virStorageVolFree(volume);
}

static inline void handle_secret_free(virSecretPtr secret)
{
    virSecretFree(secret);
}

static inline void handle_stream_free(virStreamPtr stream)
{
    virStreamFree(stream);
}

G_DEFINE_AUTO_CLEANUP_FREE_FUNC(virConnectPtr, handle_conn_close, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(virDomainPtr, handle_domain_free, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(virStoragePoolPtr, handle_pool_free, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(virStorageVolPtr, handle_volume_free, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(virSecretPtr, handle_secret_free, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(virStreamPtr, handle_stream_free, NULL)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlXPathContext, xmlXPathFreeContext)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlXPathObject, xmlXPathFreeObject)
