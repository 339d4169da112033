/* Running a program to its end; see spawn.h.
 *
 * fork and exec by hand, because rlimits, a session of its own and the closing of all descriptors
 * are wanted together. Between fork and exec the child makes only async-signal-safe calls: other
 * threads may have held any lock at the moment of the fork. The child is watched through a pidfd,
 * so that its end is seen even when a grandchild keeps the pipes open. */
#include "util/spawn.h"

#include "util/clock.h"
#include "util/fs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    DEFAULT_TIMEOUT_MS = 60 * 1000,
    STDERR_KEPT = 4096,
    EXIT_NOT_STARTED = 127,
};

typedef struct Child {
    const DvSpawn *spawn;
    char *program; /* absolute */
    char **environment;
    int pipes[3][2]; /* [0]: errno of a failed start, [1] stdout, [2] stderr; {read, write} */
    int null_fd;
    int pid_fd;
    pid_t pid;
    GString *out;
    GString *err_tail;
    bool too_much;
} Child;

enum { PIPE_START = 0, PIPE_OUT = 1, PIPE_ERR = 2 };

static void child_done(Child *c)
{
    for (int i = 0; i < 3; i++) {
        dv_close_fd(&c->pipes[i][0]);
        dv_close_fd(&c->pipes[i][1]);
    }
    dv_close_fd(&c->null_fd);
    dv_close_fd(&c->pid_fd);
    g_free(c->program);
    g_strfreev(c->environment);
    if (c->out)
        g_string_free(c->out, TRUE);
    if (c->err_tail)
        g_string_free(c->err_tail, TRUE);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Child, child_done)

static bool child_prepare(Child *c, const DvSpawn *spawn, GError **err)
{
    *c = (Child){.spawn = spawn, .null_fd = -1, .pid_fd = -1, .pid = -1};
    for (int i = 0; i < 3; i++)
        c->pipes[i][0] = c->pipes[i][1] = -1;
    assert(spawn->argv && spawn->argv[0]);
    assert(spawn->pass_fd == 0 || spawn->pass_fd > STDERR_FILENO);

    c->out = g_string_new(NULL);
    c->err_tail = g_string_new(NULL);
    c->program = g_find_program_in_path(spawn->argv[0]);
    if (!c->program)
        return dv_fail(err, DV_E_NOT_FOUND, "%s: no such program", spawn->argv[0]);
    c->environment = g_environ_setenv(g_get_environ(), "LC_ALL", "C", TRUE);
    c->environment = g_environ_unsetenv(c->environment, "LANGUAGE");
    c->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (c->null_fd < 0)
        return dv_fail_errno(err, errno, "opening", "/dev/null");
    for (int i = 0; i < 3; i++)
        if (pipe2(c->pipes[i], O_CLOEXEC) < 0)
            return dv_fail(err, DV_E_IO, "pipe: %s", g_strerror(errno));
    return true;
}

/* ---- in the child, after fork ---- */

static void child_limit(int resource, uint64_t value)
{
    struct rlimit limit = {value, value};

    if (value && setrlimit((__rlimit_resource_t)resource, &limit) < 0)
        _exit(EXIT_NOT_STARTED);
}

static _Noreturn void child_give_up(const Child *c)
{
    int number = errno;

    if (write(c->pipes[PIPE_START][1], &number, sizeof number) < 0)
        _exit(EXIT_NOT_STARTED);
    _exit(EXIT_NOT_STARTED);
}

static _Noreturn void child_run(const Child *c)
{
    const DvSpawn *spawn = c->spawn;
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid(); /* its own session and group: the deadline kills helpers of the helper too */
    if (dup2(c->null_fd, STDIN_FILENO) < 0 || dup2(c->pipes[PIPE_OUT][1], STDOUT_FILENO) < 0 ||
        dup2(c->pipes[PIPE_ERR][1], STDERR_FILENO) < 0 ||
        close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        child_give_up(c);
    if (spawn->pass_fd > 0 && fcntl(spawn->pass_fd, F_SETFD, 0) < 0)
        child_give_up(c);
    if (spawn->cwd && chdir(spawn->cwd) < 0)
        child_give_up(c);
    child_limit(RLIMIT_CORE, 0);
    child_limit(RLIMIT_AS, spawn->max_memory_bytes);
    child_limit(RLIMIT_CPU, spawn->max_cpu_s);
    execve(c->program, (char *const *)spawn->argv, c->environment);
    child_give_up(c);
}

/* ---- in the parent ---- */

static bool child_start(Child *c, GError **err)
{
    sigset_t all;
    sigset_t before;
    int number = 0;
    ssize_t n;

    sigfillset(&all); /* none of our handlers may run in the child */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    c->pid = fork();
    if (c->pid == 0)
        child_run(c);
    number = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (c->pid < 0)
        return dv_fail(err, DV_E_IO, "fork: %s", g_strerror(number));

    for (int i = 0; i < 3; i++)
        dv_close_fd(&c->pipes[i][1]);
    c->pid_fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    do
        n = read(c->pipes[PIPE_START][0], &number, sizeof number);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof number)
        return dv_fail_errno(err, number, "starting", c->program);
    if (c->pid_fd < 0)
        return dv_fail(err, DV_E_IO, "pidfd_open: %s", g_strerror(errno));
    return true;
}

static void keep(Child *c, int which, const char *data, size_t length)
{
    GString *to = which == PIPE_OUT ? c->out : c->err_tail;

    if (which == PIPE_OUT && to->len + length > DV_SPAWN_MAX_OUTPUT) {
        c->too_much = true;
        return;
    }
    g_string_append_len(to, data, (gssize)length);
    if (which == PIPE_ERR && to->len > STDERR_KEPT)
        g_string_erase(to, 0, (gssize)(to->len - STDERR_KEPT));
}

/* Reads once what is there; closes the pipe at its end. */
static void child_read(Child *c, int which)
{
    char chunk[8192];
    ssize_t n = read(c->pipes[which][0], chunk, sizeof chunk);

    if (n > 0)
        keep(c, which, chunk, (size_t)n);
    else if (n == 0 || (errno != EINTR && errno != EAGAIN))
        dv_close_fd(&c->pipes[which][0]);
}

static int wait_ms(int64_t deadline)
{
    int64_t left = deadline - dv_now_ms();

    return (int)CLAMP(left, 0, G_MAXINT / 2);
}

/* Collects output until the program itself has ended; false when the deadline passed. */
static bool child_watch(Child *c, int64_t deadline)
{
    for (;;) {
        struct pollfd fds[] = {
            {.fd = c->pipes[PIPE_OUT][0], .events = POLLIN},
            {.fd = c->pipes[PIPE_ERR][0], .events = POLLIN},
            {.fd = c->pid_fd, .events = POLLIN},
        };
        int n = poll(fds, G_N_ELEMENTS(fds), wait_ms(deadline));

        if (n == 0 || c->too_much)
            return n != 0;
        if (n < 0)
            continue; /* EINTR */
        if (fds[0].revents)
            child_read(c, PIPE_OUT);
        if (fds[1].revents)
            child_read(c, PIPE_ERR);
        if (fds[2].revents && !fds[0].revents && !fds[1].revents)
            return true; /* ended, and the pipes hold nothing more */
    }
}

static void last_line(const GString *text, char *out, size_t size)
{
    g_autofree char *copy = g_strdup(text->str);
    const char *line = NULL;

    g_strchomp(copy);
    line = strrchr(copy, '\n');
    g_strlcpy(out, line ? line + 1 : copy, size);
}

static bool child_judge(const Child *c, int status, GError **err)
{
    const char *name = c->spawn->argv[0];
    char line[512];

    last_line(c->err_tail, line, sizeof line);
    if (WIFSIGNALED(status))
        return dv_fail(err, DV_E_IO, "%s: ended by signal %d%s%s", name, WTERMSIG(status),
                       *line ? ": " : "", line);
    if (WEXITSTATUS(status) != 0)
        return dv_fail(err, DV_E_IO, "%s: exit code %d: %s", name, WEXITSTATUS(status),
                       *line ? line : "(no message)");
    return true;
}

/* Ends whatever is left of the group and collects the child. The group is signalled before the
 * child is collected: until then its number cannot be given to anybody else. */
static int child_collect(const Child *c)
{
    int status = 0;

    kill(-c->pid, SIGKILL);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

bool dv_spawn(const DvSpawn *spawn, char **out_stdout, GError **err)
{
    int64_t timeout_ms = spawn->timeout_ms > 0 ? spawn->timeout_ms : DEFAULT_TIMEOUT_MS;
    int64_t deadline = dv_now_ms() + timeout_ms;
    g_auto(Child) c = {0};
    bool in_time = false;
    int status = 0;

    if (!child_prepare(&c, spawn, err))
        return false;
    if (!child_start(&c, err)) {
        if (c.pid > 0)
            child_collect(&c);
        return false;
    }
    in_time = child_watch(&c, deadline);
    status = child_collect(&c);
    if (!in_time)
        return dv_fail(err, DV_E_TIMEOUT, "%s: not done after %" G_GINT64_FORMAT " ms: killed",
                       spawn->argv[0], timeout_ms);
    if (c.too_much)
        return dv_fail(err, DV_E_IO, "%s: wrote more than %d bytes: killed", spawn->argv[0],
                       DV_SPAWN_MAX_OUTPUT);
    if (!child_judge(&c, status, err))
        return false;
    if (out_stdout)
        *out_stdout = g_string_free(g_steal_pointer(&c.out), FALSE);
    return true;
}
