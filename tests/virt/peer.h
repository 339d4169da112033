/* A second host for migration tests: DIR/peer of tests/virt/libvirtd. Include it after guest.h.
 *
 * libvirt's event loop is one per process, so the driver of the second libvirtd runs in a process
 * of its own, and the VirtDriver here passes on what the contract asks of it. The two are the same
 * program: an event's static text lies at the same place in both. */
#pragma once

#include "virt/guest.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEER_TEXT_MAX 60000

typedef enum { PEER_STATE, PEER_DESCRIBE, PEER_RESUME, PEER_DESTROY, PEER_CLEAN } PeerOp;

typedef struct PeerRequest {
    PeerOp op;
    char uuid[37];
} PeerRequest;

typedef struct PeerReply {
    bool ok;
    int code;
    GuestState state;
    char text[PEER_TEXT_MAX];
} PeerReply;

typedef struct Peer {
    int fd, events_fd;
    pid_t pid;
    GThread *reader;
    DvMutex lock;
    GuestEventFn sink;
    void *arg;
} Peer;

/* ---- the other process ---- */

static inline void peer_pass_event(void *arg, const GuestEvent *event)
{
    if (send(*(int *)arg, event, sizeof(*event), MSG_NOSIGNAL) < 0)
        _exit(0);
}

static inline bool peer_clean(VirtDriver *driver, GError **err)
{
    g_autoptr(GPtrArray) guests = NULL;

    if (!driver->ops->list(driver->self, &guests, err))
        return false;
    for (guint i = 0; i < guests->len; i++) {
        const VirtGuest *guest = g_ptr_array_index(guests, i);

        if (!driver->ops->destroy(driver->self, NULL, guest->uuid, err))
            return false;
    }
    return true;
}

static inline bool peer_answer(VirtDriver *driver, const PeerRequest *request, PeerReply *reply,
                               GError **err)
{
    const VirtOps *ops = driver->ops;
    g_autofree char *text = NULL;

    switch (request->op) {
    case PEER_STATE:
        return ops->state(driver->self, request->uuid, &reply->state, err);
    case PEER_DESCRIBE:
        if (!ops->describe(driver->self, request->uuid, &text, err))
            return false;
        g_strlcpy(reply->text, text, sizeof(reply->text));
        return true;
    case PEER_RESUME:
        return ops->resume(driver->self, NULL, request->uuid, err);
    case PEER_DESTROY:
        return ops->destroy(driver->self, NULL, request->uuid, err);
    case PEER_CLEAN:
        return peer_clean(driver, err);
    }
    return false;
}

static inline void peer_serve(int fd, int events_fd)
{
    g_autofree char *uri = g_strdup_printf("qemu+unix:///system?socket=%s/peer/run/libvirt-sock",
                                           virt_dir());
    VirtDriver *driver = virt_driver_at(uri);
    PeerRequest request;

    if (!driver)
        _exit(1);
    driver->ops->set_event_sink(driver->self, peer_pass_event, &events_fd);
    while (recv(fd, &request, sizeof(request), 0) == sizeof(request)) {
        g_autofree PeerReply *reply = g_new0(PeerReply, 1);
        g_autoptr(GError) err = NULL;

        reply->ok = peer_answer(driver, &request, reply, &err);
        if (err) {
            reply->code = err->code;
            g_strlcpy(reply->text, err->message, sizeof(reply->text));
        }
        if (send(fd, reply, sizeof(*reply), MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0);
}

/* ---- this process ---- */

static inline bool peer_ask(Peer *peer, PeerOp op, const char *uuid, PeerReply *reply, GError **err)
{
    PeerRequest request = {.op = op};

    g_strlcpy(request.uuid, uuid ? uuid : "", sizeof(request.uuid));
    if (send(peer->fd, &request, sizeof(request), MSG_NOSIGNAL) < 0 ||
        recv(peer->fd, reply, sizeof(*reply), 0) != sizeof(*reply))
        return dv_fail(err, DV_E_INTERNAL, "the peer's process is gone");
    return reply->ok || dv_fail(err, (DvErrorCode)reply->code, "peer: %s", reply->text);
}

static inline bool peer_state(void *self, const char *uuid, GuestState *out, GError **err)
{
    g_autofree PeerReply *reply = g_new0(PeerReply, 1);

    if (!peer_ask(self, PEER_STATE, uuid, reply, err))
        return false;
    *out = reply->state;
    return true;
}

static inline bool peer_describe(void *self, const char *uuid, char **out, GError **err)
{
    g_autofree PeerReply *reply = g_new0(PeerReply, 1);

    if (!peer_ask(self, PEER_DESCRIBE, uuid, reply, err))
        return false;
    *out = g_strdup(reply->text);
    return true;
}

static inline bool peer_resume(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                               GError **err)
{
    g_autofree PeerReply *reply = g_new0(PeerReply, 1);

    return peer_ask(self, PEER_RESUME, uuid, reply, err);
}

static inline bool peer_destroy(void *self, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                                GError **err)
{
    g_autofree PeerReply *reply = g_new0(PeerReply, 1);

    return peer_ask(self, PEER_DESTROY, uuid, reply, err);
}

static inline void peer_set_event_sink(void *self, GuestEventFn sink, void *arg)
{
    Peer *peer = self;

    dv_lock(&peer->lock);
    peer->sink = sink;
    peer->arg = arg;
    dv_unlock(&peer->lock);
}

static inline gpointer peer_read_events(gpointer arg)
{
    Peer *peer = arg;
    GuestEvent event;

    while (recv(peer->events_fd, &event, sizeof(event), 0) == sizeof(event)) {
        dv_lock(&peer->lock);
        if (peer->sink)
            peer->sink(peer->arg, &event);
        dv_unlock(&peer->lock);
    }
    return NULL;
}

static const VirtOps peer_ops = {
    .state = peer_state,
    .describe = peer_describe,
    .resume = peer_resume,
    .destroy = peer_destroy,
    .set_event_sink = peer_set_event_sink,
};

static Peer peer_self;
static VirtDriver peer_driver = {&peer_ops, &peer_self};

static VirtDriver *contract_peer(void)
{
    return &peer_driver;
}

static const char *contract_peer_uri(void)
{
    static char *uri;

    if (!uri)
        uri = g_strdup_printf("qemu+unix:///system?socket=%s/peer/run/libvirt-sock", virt_dir());
    return uri;
}

/* One word for the script that runs the peer's libvirtd. */
static inline void peer_daemon(const char *command)
{
    g_autofree char *dir = g_build_filename(virt_dir(), "peer", NULL);

    g_free(virt_run("tests/virt/libvirtd", dir, command, NULL));
}

/* A file of the peer's, named by its path here. Caller frees. */
static inline char *peer_path(const char *path)
{
    g_autofree char *root = virt_path("");

    assert_true(g_str_has_prefix(path, root));
    return g_build_filename(virt_dir(), "peer", "instances", path + strlen(root), NULL);
}

/* Starts libvirtd and process of the peer; before this process has threads. */
static inline int peer_open(void)
{
    int requests[2], events[2];

    peer_daemon("start");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, requests) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events) < 0)
        return -1;
    peer_self.pid = fork();
    if (peer_self.pid == 0) {
        close(requests[0]);
        close(events[0]);
        peer_serve(requests[1], events[1]);
    }
    close(requests[1]);
    close(events[1]);
    peer_self.fd = requests[0];
    peer_self.events_fd = events[0];
    dv_mutex_init(&peer_self.lock);
    peer_self.reader = g_thread_new("peer-events", peer_read_events, &peer_self);
    return peer_self.pid > 0 ? 0 : -1;
}

static inline void peer_close(void)
{
    close(peer_self.fd);
    waitpid(peer_self.pid, NULL, 0);
    g_thread_join(peer_self.reader);
    close(peer_self.events_fd);
    peer_daemon("stop");
}
