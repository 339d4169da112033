/* The service manager's end of a line; see watchdog.h. */
#include "agent/watchdog.h"

#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define QUIET_LIMIT_MS 90000 /* opening a connection may take two handshakes and a resolver */
#define BEAT_SLACK_MS 30000
#define FEEDS_PER_PERIOD 3

struct Watchdog {
    Agent *agent;          /* [const] */
    int fd;                /* [const] -1: nobody listens */
    struct sockaddr_un at; /* [const] */
    socklen_t at_length;   /* [const] */
    int64_t period_ms;     /* [const] 0: not asked for */
    uint64_t timer_id;     /* [thread: main] */
    bool starving;         /* [thread: timer] */
};

/* ---- the socket ---- */

/* "/run/..." or "@abstract". */
static bool read_address(const char *text, Watchdog *dog)
{
    size_t length = strlen(text);

    if ((text[0] != '/' && text[0] != '@') || length < 2 || length >= sizeof dog->at.sun_path)
        return false;
    dog->at.sun_family = AF_UNIX;
    memcpy(dog->at.sun_path, text, length);
    if (text[0] == '@')
        dog->at.sun_path[0] = '\0';
    dog->at_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return true;
}

static int64_t read_period_ms(const char *usec_text, const char *pid_text)
{
    guint64 usec = 0, pid = 0;

    if (!usec_text || !g_ascii_string_to_unsigned(usec_text, 10, 1, G_MAXINT64, &usec, NULL))
        return 0;
    if (pid_text && (!g_ascii_string_to_unsigned(pid_text, 10, 1, G_MAXINT32, &pid, NULL) ||
                     (pid_t)pid != getpid()))
        return 0;
    return MAX((int64_t)(usec / 1000), FEEDS_PER_PERIOD);
}

Watchdog *watchdog_new(Agent *agent)
{
    Watchdog *dog = g_new0(Watchdog, 1);
    const char *address = getenv("NOTIFY_SOCKET");

    dog->agent = agent;
    dog->fd = -1;
    if (address && read_address(address, dog)) {
        dog->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        dog->period_ms = read_period_ms(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return dog;
}

void watchdog_free(Watchdog *dog)
{
    if (!dog)
        return;
    dv_timer_cancel(dog->agent->timer, dog->timer_id);
    dv_close_fd(&dog->fd);
    g_free(dog);
}

void watchdog_say(Watchdog *dog, const char *state)
{
    if (dog->fd < 0)
        return;
    if (sendto(dog->fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL,
               (const struct sockaddr *)&dog->at, dog->at_length) < 0)
        dv_debug(NULL, "the service manager does not hear: %s", g_strerror(errno));
}

/* ---- feeding it ---- */

/* A beat ends with its call's timeout at the latest, and the next one is due an interval later. */
static bool beat_turns(const Agent *agent, int64_t now_ms)
{
    int64_t turn_ms = atomic_load(&agent->vitals.beat_turn_ms);
    int64_t limit_ms = (agent->config.report_interval_s + agent->config.rpc_response_timeout_s) *
                           1000 +
                       BEAT_SLACK_MS;

    return turn_ms == 0 || now_ms - turn_ms <= limit_ms;
}

bool watchdog_alive(Agent *agent, int64_t now_ms, const char **out_why)
{
    const char *why = NULL;
    RpcStatus status;

    rpc_status(agent->rpc, &status);
    if (status.quiet_ms > QUIET_LIMIT_MS)
        why = "a thread of the broker's connections hangs";
    else if (!beat_turns(agent, now_ms))
        why = "the heartbeat hangs";
    if (out_why)
        *out_why = why;
    return !why;
}

static void feed(void *arg)
{
    Watchdog *dog = arg;
    const char *why = NULL;
    bool alive = watchdog_alive(dog->agent, dv_now_ms(), &why);

    if (alive)
        watchdog_say(dog, "WATCHDOG=1");
    else if (!dog->starving)
        dv_error(NULL, "the service manager's watchdog is not fed any more: %s", why);
    dog->starving = !alive;
}

void watchdog_start(Watchdog *dog)
{
    if (dog->fd < 0 || !dog->period_ms)
        return;
    dog->timer_id = dv_timer_add(dog->agent->timer, 0, dog->period_ms / FEEDS_PER_PERIOD, feed, dog,
                                 NULL);
}
