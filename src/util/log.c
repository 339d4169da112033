/* The logger and the redaction of secrets; see log.h. */
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static struct {
    atomic_int level;
    atomic_int fd;
    char *path; /* [const] after dv_log_init */
} logger = {.level = DV_LOG_INFO, .fd = STDERR_FILENO};

static const char *const level_names[] = {"DEBUG", "INFO", "WARNING", "ERROR"};

static bool log_open(const char *path, int *out_fd, GError **err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);

    if (fd < 0)
        return dv_fail(err, DV_E_IO, "log file %s: %s", path, g_strerror(errno));
    *out_fd = fd;
    return true;
}

bool dv_log_init(const char *path, DvLogLevel level, GError **err)
{
    int fd = STDERR_FILENO;

    if (path && !log_open(path, &fd, err))
        return false;
    logger.path = g_strdup(path);
    atomic_store(&logger.fd, fd);
    atomic_store(&logger.level, (int)level);
    return true;
}

bool dv_log_reopen(DvLogLevel level, GError **err)
{
    int fd = -1;

    atomic_store(&logger.level, (int)level);
    if (!logger.path)
        return true;
    if (!log_open(logger.path, &fd, err))
        return false;
    /* dup2 keeps the number that other threads may be writing to right now. */
    if (dup3(fd, atomic_load(&logger.fd), O_CLOEXEC) < 0) {
        close(fd);
        return dv_fail(err, DV_E_IO, "log file %s: %s", logger.path, g_strerror(errno));
    }
    close(fd);
    return true;
}

bool dv_log_enabled(DvLogLevel level)
{
    return (int)level >= atomic_load_explicit(&logger.level, memory_order_relaxed);
}

/* "src/virt/libvirt/guest.c" -> "virt.libvirt.guest" */
static void append_module(GString *line, const char *file)
{
    const char *start = strstr(file, "src/");

    start = start ? start + 4 : file;
    for (const char *c = start; *c && *c != '.'; c++)
        g_string_append_c(line, *c == '/' ? '.' : *c);
}

static void append_context(GString *line, const DvCtx *ctx)
{
    if (!ctx) {
        g_string_append(line, " [-] ");
        return;
    }
    g_string_append_printf(line, " [%s %s %s] ", ctx->request_id ? ctx->request_id : "-",
                           ctx->user_id ? ctx->user_id : "-",
                           ctx->project_id ? ctx->project_id : "-");
    if (ctx->instance_uuid)
        g_string_append_printf(line, "[instance: %s] ", ctx->instance_uuid);
}

void dv_log(DvLogLevel level, const char *file, const DvCtx *ctx, const char *fmt, ...)
{
    struct timespec now;
    struct tm local;
    char stamp[32];
    va_list args;

    if (!dv_log_enabled(level))
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &local);

    g_autoptr(GString) line = g_string_sized_new(256);
    g_autofree char *text = NULL;
    g_autofree char *clean = NULL;

    va_start(args, fmt);
    text = g_strdup_vprintf(fmt, args);
    va_end(args);
    clean = dv_redact(text);
    g_strdelimit(clean, "\n\r", ' '); /* a peer's text cannot forge a line */

    g_string_append_printf(line, "%s.%03ld %d %s ", stamp, now.tv_nsec / 1000000, (int)getpid(),
                           level_names[level]);
    append_module(line, file);
    append_context(line, ctx);
    g_string_append(line, clean);
    g_string_append_c(line, '\n');
    if (write(atomic_load(&logger.fd), line->str, line->len) < 0)
        return; /* nowhere left to say so */
}

/* ---- redaction ---- */

/* Keys whose value is masked in `key=value`, `"key": "value"`, `'key': 'value'` and `Key: value`.
 */
static const char *const secret_keys[] = {
    "password",
    "passwd",
    "auth_token",
    "x-auth-token",
    "x-service-token",
    "x-subject-token",
    "admin_pass",
    "adminpass",
    "secret",
    "new_pass",
    "rescue_password",
    "access_token",
    "application_credential_secret",
};

static bool is_key_end(char c)
{
    return c == '"' || c == '\'' || c == '=' || c == ':' || c == ' ';
}

/* Length of the secret key that starts at p, 0 when none does. */
static size_t secret_key_length(const char *p)
{
    for (size_t i = 0; i < G_N_ELEMENTS(secret_keys); i++) {
        size_t n = strlen(secret_keys[i]);

        if (g_ascii_strncasecmp(p, secret_keys[i], n) == 0 && is_key_end(p[n]))
            return n;
    }
    return 0;
}

/* Skips `": "`, `=`, `: `; NULL when no assignment follows. */
static const char *skip_assignment(const char *p)
{
    bool assigned = false;

    while (*p == '"' || *p == '\'' || *p == ' ' || *p == '=' || *p == ':') {
        assigned = assigned || *p == '=' || *p == ':';
        p++;
    }
    return assigned ? p : NULL;
}

static const char *value_end(const char *p)
{
    while (*p && !strchr("\"', &\n\r}])", *p))
        p++;
    return p;
}

/* End of what may be a URL's authority at p: several hosts are separated by ','. A '/' ends it
 * unless it stands in a password that somebody forgot to escape: behind a ':' that no port follows,
 * and before an '@'. */
static const char *authority_end(const char *p)
{
    const char *end = p + strcspn(p, "/ \"'\n");
    const char *word_end = p + strcspn(p, " \"'\n");
    const char *colon = memchr(p, ':', (size_t)(end - p));
    const char *at = memchr(end, '@', (size_t)(word_end - end));

    if (colon && at && !memchr(p, '@', (size_t)(end - p)) && !g_ascii_isdigit(colon[1]))
        return at + 1 + strcspn(at + 1, "/ \"'\n");
    return end;
}

/* For "://user:password@host,user:password@host" at p (the colon of the scheme): copies it up to
 * the end of the authority with the passwords masked, and returns that end. */
static const char *copy_authority(GString *out, const char *p)
{
    const char *end = authority_end(p + 3);

    g_string_append(out, "://");
    for (const char *part = p + 3; part < end;) {
        const char *comma = memchr(part, ',', (size_t)(end - part));
        const char *stop = comma ? comma + 1 : end;
        const char *at = memrchr(part, '@', (size_t)(stop - part));
        const char *colon = at ? memchr(part, ':', (size_t)(at - part)) : NULL;

        if (colon) {
            g_string_append_len(out, part, colon + 1 - part);
            g_string_append(out, "***");
            part = at;
        }
        g_string_append_len(out, part, stop - part);
        part = stop;
    }
    return end;
}

char *dv_redact(const char *text)
{
    if (!text)
        return NULL;

    GString *out = g_string_sized_new(strlen(text) + 16);

    for (const char *p = text; *p;) {
        const char *after = NULL;
        size_t n = 0;

        if (*p == ':' && p[1] == '/' && p[2] == '/') {
            p = copy_authority(out, p);
            continue;
        }
        if (strncmp(p, "gAAAAA", 6) == 0) { /* a fernet token, wherever it stands */
            g_string_append(out, "***");
            while (g_ascii_isalnum(*p) || strchr("-_=", *p)) {
                if (!*p)
                    break;
                p++;
            }
            continue;
        }
        n = secret_key_length(p);
        after = n ? skip_assignment(p + n) : NULL;
        if (after && *after && !strchr("{[", *after)) {
            g_string_append_len(out, p, after - p);
            g_string_append(out, "***");
            p = value_end(after);
            continue;
        }
        g_string_append_c(out, *p++);
    }
    return g_string_free(out, FALSE);
}
