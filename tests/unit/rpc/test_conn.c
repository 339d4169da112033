/* A connection's mailbox and its wake-ups, without a broker: what is posted is taken at once,
 * however many post and however often the thread is just going to sleep. */
#include "rpc/conn.h"

#include "rpc/url.h"
#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define POSTERS 2
#define ROUNDS 20000
#define PATIENCE_MS 10000 /* less than the longest sleep of the thread, 15 s */

typedef struct Fixture {
    RpcConn *conn;
    RpcUrl *url;
    RpcConfig config;
    atomic_uint taken;
} Fixture;

static bool work(void *self, RpcLink *link G_GNUC_UNUSED, int64_t now_ms G_GNUC_UNUSED,
                 int64_t *wake_ms G_GNUC_UNUSED, GError **err G_GNUC_UNUSED)
{
    Fixture *f = self;
    size_t bytes;

    while (rpc_conn_take(f->conn, &bytes))
        atomic_fetch_add(&f->taken, 1);
    return true;
}

static void down(void *self G_GNUC_UNUSED)
{
}

static const RpcConnOps ops = {.work = work, .down = down};

static void *post_rounds(void *arg)
{
    Fixture *f = arg;

    for (int i = 0; i < ROUNDS; i++) {
        while (!rpc_conn_post(f->conn, f, 1))
            g_thread_yield();
        if (i % 7 == 0) /* now and then the thread has time to go to sleep */
            g_usleep(1);
    }
    return NULL;
}

static void every_post_wakes_the_thread(void **state G_GNUC_UNUSED)
{
    Fixture f = {.config = {.interval_max_s = 3600, .retry_interval_s = 3600}};
    g_autoptr(GError) err = NULL;
    GThread *posters[POSTERS];
    RpcConnConfig config = {
        .thread_name = "test", .rpc = &f.config, .mailbox_items = 1000, .mailbox_bytes = 1 << 20};
    int64_t deadline_ms;

    assert_true(rpc_url_read("rabbit://guest:guest@127.0.0.1:1/", &f.url, &err));
    config.url = f.url;
    f.conn = rpc_conn_new(&config, &ops, &f);
    assert_true(rpc_conn_start(f.conn, &err));
    for (int i = 0; i < POSTERS; i++)
        posters[i] = g_thread_new("poster", post_rounds, &f);
    for (int i = 0; i < POSTERS; i++)
        g_thread_join(posters[i]);
    deadline_ms = dv_now_ms() + PATIENCE_MS;
    while (atomic_load(&f.taken) < POSTERS * ROUNDS && dv_now_ms() < deadline_ms)
        g_usleep(1000);
    assert_int_equal(atomic_load(&f.taken), POSTERS * ROUNDS);
    /* A wake-up that was lost once stays lost: one item alone shows it. */
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(rpc_conn_post(f.conn, &f, 1));
        deadline_ms = dv_now_ms() + PATIENCE_MS;
        while (atomic_load(&f.taken) < POSTERS * ROUNDS + i && dv_now_ms() < deadline_ms)
            g_usleep(1000);
        assert_int_equal(atomic_load(&f.taken), POSTERS * ROUNDS + i);
    }
    rpc_conn_stop(f.conn, dv_now_ms() + PATIENCE_MS);
    rpc_conn_free(f.conn);
    rpc_url_free(f.url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_post_wakes_the_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
