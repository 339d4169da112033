/* The connection to libvirtd: opened, watched and reopened by the thread libvirt-ev.
 *
 * All threads share it, but for calls that last (virt_conn_own): libvirt's client sends and
 * receives on whichever thread waits already, and now and then fails to wake that one for what
 * another wants to send (seen with 9.0). Behind a migration such a call would stand until libvirtd
 * by chance says something, its sign of life after 5 s at the latest.
 *
 * A closed connection (libvirtd restarted, or cut because it was silent for 25 s) is
 * reopened at once and then with a growing pause; each opening is a new generation. Nobody waits
 * for a libvirtd that hangs: the opening happens on libvirt-ev, callers wait a bounded time.
 *
 * Errors     DV_E_UNAVAILABLE: away, try later. virt_conn_fail gives the code for a failed call.
 * Ownership  what virt_conn_get and _own return is a reference of the caller's
 *            (g_auto(virConnectPtr)).
 * Threads    any, except virt_conn_new and _free: main. One VirtConn at a time in a process, since
 *            libvirt's default event loop is a singleton. */
#pragma once

#include "util/error.h"
#include "virt/libvirt/handles.h"

#include <stdint.h>

typedef struct VirtConn VirtConn;

/* Called on libvirt-ev after each opening, to register for events. */
typedef void (*VirtConnOpenedFn)(void *arg, virConnectPtr conn);

/* Opens; DV_E_UNAVAILABLE when the first attempt fails or is not answered. Calls that last longer
 * than `call_limit_ms` count as stuck. */
VirtConn *virt_conn_new(const char *uri, int64_t call_limit_ms, VirtConnOpenedFn opened, void *arg,
                        GError **err);
void virt_conn_free(VirtConn *conn);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VirtConn, virt_conn_free)

/* The live connection. Waits for an opening that is under way, up to a few seconds. out_generation
 * may be NULL. */
bool virt_conn_get(VirtConn *conn, virConnectPtr *out, unsigned *out_generation, GError **err);
/* A connection for one caller alone, which lasts as long as the handle and what was made of it.
 * Where libvirt's driver is part of this process it is the shared one: nothing is sent. */
bool virt_conn_own(VirtConn *conn, virConnectPtr *out, GError **err);
bool virt_conn_alive(VirtConn *conn);

/* A blocking call between begin and end, so that calls that hang are known: what, whose guest.
 * `name` must be static; domain_uuid may be NULL. In a scope: VIRT_CALL(conn, "define"). */
typedef struct VirtCall {
    VirtConn *conn;
    const char *name;
    int64_t since_ms;
    struct VirtCall *prev, *next;
} VirtCall;
void virt_call_begin(VirtConn *conn, VirtCall *call, const char *name);
void virt_call_end(VirtCall *call);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VirtCall, virt_call_end)
#define VIRT_CALL(conn, name)               \
    g_auto(VirtCall) virt_call_stamp = {0}; \
    virt_call_begin((conn), &virt_call_stamp, (name))

/* Calls over the limit now; the oldest call under way, 0 and NULL when there is none. */
unsigned virt_conn_stuck(VirtConn *conn, int64_t *out_oldest_ms, const char **out_name);

/* Sets err from libvirt's last error of this thread; always false. */
bool virt_conn_fail(GError **err, const char *what);
/* libvirt's last error code of this thread. */
int virt_conn_last_code(void);
