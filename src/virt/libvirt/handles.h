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

G_DEFINE_AUTO_CLEANUP_FREE_FUNC(virConnectPtr, handle_conn_close, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(virDomainPtr, handle_domain_free, NULL)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlXPathContext, xmlXPathFreeContext)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlXPathObject, xmlXPathFreeObject)
