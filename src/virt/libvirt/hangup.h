/* Cutting the connection to a libvirtd that does not answer.
 *
 * libvirt's own way, the keepalive, must not be used with several calls at once: up to 9.0 at least
 * it fails only one of them, the others wait on without any limit, and what that one leaves in
 * libvirt's event loop points into its stack, which the next byte from libvirtd writes over
 * (CVE-2024-4418). A socket that is shut down ends them all one after the other, as if libvirtd had
 * died.
 * Connections by TCP or SSH are not cut: their calls last as long as the other side is silent.
 * Sources    libvirt src/rpc/virnetclient.c virNetClientIOEventLoop. */
#pragma once

/* Shuts down this process's connections to local libvirt daemons; how many. One that another thread
 * opens meanwhile may be missed. */
unsigned virt_hangup(void);
