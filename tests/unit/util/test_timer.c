/* The timer: order, periods, and a cancel after which nothing runs any more. */
#include "util/thread.h"
#include "util/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef struct Box {
    DvMutex lock;
    DvCond changed;
    GString *order;
    int runs, drops;
    bool hold;
    DvTimer *timer;
    uint64_t id;
    bool cancelled_itself;
} Box;

static Box *box_new(void)
{
    Box *box = g_new0(Box, 1);

    dv_mutex_init(&box->lock);
    dv_cond_init(&box->changed);
    box->order = g_string_new(NULL);
    return box;
}

static void box_free(Box *box)
{
    dv_mutex_done(&box->lock);
    dv_cond_done(&box->changed);
    g_string_free(box->order, TRUE);
    g_free(box);
}

static void run(void *arg)
{
    Box *box = arg;

    dv_lock(&box->lock);
    box->runs++;
    dv_cond_broadcast(&box->changed);
    while (box->hold)
        dv_cond_wait(&box->changed, &box->lock);
    dv_unlock(&box->lock);
}

static void drop(void *arg)
{
    Box *box = arg;

    dv_lock(&box->lock);
    box->drops++;
    dv_cond_broadcast(&box->changed);
    dv_unlock(&box->lock);
}

static void wait_runs(Box *box, int n)
{
    dv_lock(&box->lock);
    while (box->runs < n)
        dv_cond_wait(&box->changed, &box->lock);
    dv_unlock(&box->lock);
}

static void wait_drops(Box *box, int n)
{
    dv_lock(&box->lock);
    while (box->drops < n)
        dv_cond_wait(&box->changed, &box->lock);
    dv_unlock(&box->lock);
}

static void write_a(void *arg)
{
    g_string_append_c(((Box *)arg)->order, 'a');
}

static void write_b(void *arg)
{
    g_string_append_c(((Box *)arg)->order, 'b');
}

static void entries_run_in_the_order_of_their_deadlines(void **state G_GNUC_UNUSED)
{
    Box *box = box_new();
    g_autoptr(DvTimer) timer = dv_timer_new();

    dv_timer_add(timer, 60, 0, run, box, NULL);
    dv_timer_add(timer, 40, 0, write_b, box, NULL);
    dv_timer_add(timer, 20, 0, write_a, box, NULL);
    wait_runs(box, 1);
    assert_string_equal(box->order->str, "ab");
    box_free(box);
}

static void an_entry_runs_once_and_not_before_its_time(void **state G_GNUC_UNUSED)
{
    Box *box = box_new();
    DvTimer *timer = dv_timer_new();
    int64_t before = dv_now_ms();
    uint64_t id = dv_timer_add(timer, 30, 0, run, box, drop);

    assert_int_not_equal(id, 0);
    wait_drops(box, 1);
    assert_true(dv_now_ms() - before >= 30);
    assert_int_equal(box->runs, 1);
    assert_false(dv_timer_cancel(timer, id)); /* it has fired */
    dv_timer_free(timer);
    assert_int_equal(box->drops, 1);
    box_free(box);
}

static void a_period_repeats_until_cancelled(void **state G_GNUC_UNUSED)
{
    Box *box = box_new();
    DvTimer *timer = dv_timer_new();
    uint64_t id = dv_timer_add(timer, 0, 5, run, box, drop);
    int runs;

    wait_runs(box, 5);
    assert_true(dv_timer_cancel(timer, id));
    assert_int_equal(box->drops, 1); /* arg is gone when cancel returns */
    runs = box->runs;
    g_usleep(30000);
    assert_int_equal(box->runs, runs);
    assert_false(dv_timer_cancel(timer, id));
    dv_timer_free(timer);
    box_free(box);
}

static void a_cancelled_entry_never_runs(void **state G_GNUC_UNUSED)
{
    Box *box = box_new();
    DvTimer *timer = dv_timer_new();
    uint64_t id = dv_timer_add(timer, 100000, 0, run, box, drop);

    assert_true(dv_timer_cancel(timer, id));
    assert_int_equal(box->drops, 1);
    assert_false(dv_timer_cancel(timer, 0));
    dv_timer_free(timer);
    assert_int_equal(box->runs, 0);
    box_free(box);
}

static void *open_later(void *arg)
{
    Box *box = arg;

    g_usleep(30000);
    dv_lock(&box->lock);
    box->hold = false;
    box->id = 1; /* opened: the waiter must see this */
    dv_cond_broadcast(&box->changed);
    dv_unlock(&box->lock);
    return NULL;
}

static void cancel_waits_for_a_run_under_way(void **state G_GNUC_UNUSED)
{
    for (int period = 0; period <= 5; period += 5) {
        Box *box = box_new();
        DvTimer *timer = dv_timer_new();
        GThread *opener = NULL;
        uint64_t id;

        box->hold = true;
        id = dv_timer_add(timer, 0, period, run, box, drop);
        wait_runs(box, 1);
        opener = dv_thread_new("opener", open_later, box);
        assert_int_equal(dv_timer_cancel(timer, id), period != 0);
        assert_int_equal(box->id, 1);
        assert_int_equal(box->drops, 1);
        assert_int_equal(box->runs, 1);
        g_thread_join(opener);
        dv_timer_free(timer);
        box_free(box);
    }
}

static void cancel_itself(void *arg)
{
    Box *box = arg;

    dv_lock(&box->lock);
    box->cancelled_itself = dv_timer_cancel(box->timer, box->id);
    box->runs++;
    dv_unlock(&box->lock);
}

static void a_callback_may_cancel_itself(void **state G_GNUC_UNUSED)
{
    Box *box = box_new();

    box->timer = dv_timer_new();
    dv_lock(&box->lock);
    box->id = dv_timer_add(box->timer, 0, 1, cancel_itself, box, drop);
    dv_unlock(&box->lock);
    wait_drops(box, 1);
    dv_timer_free(box->timer);
    assert_true(box->cancelled_itself);
    assert_int_equal(box->runs, 1);
    box_free(box);
}

static void add_another(void *arg)
{
    Box *box = arg;

    dv_timer_add(box->timer, 0, 0, run, box, NULL);
}

static void a_callback_may_add_another(void **state G_GNUC_UNUSED)
{
    Box *box = box_new();

    box->timer = dv_timer_new();
    dv_timer_add(box->timer, 0, 0, add_another, box, NULL);
    wait_runs(box, 1);
    dv_timer_free(box->timer);
    box_free(box);
}

static void freeing_drops_what_is_pending(void **state G_GNUC_UNUSED)
{
    Box *box = box_new();
    DvTimer *timer = dv_timer_new();

    for (int i = 0; i < 10; i++)
        dv_timer_add(timer, 100000 + i, i % 2, run, box, drop);
    dv_timer_free(timer);
    assert_int_equal(box->drops, 10);
    assert_int_equal(box->runs, 0);
    dv_timer_free(NULL);
    box_free(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_run_in_the_order_of_their_deadlines),
        cmocka_unit_test(an_entry_runs_once_and_not_before_its_time),
        cmocka_unit_test(a_period_repeats_until_cancelled),
        cmocka_unit_test(a_cancelled_entry_never_runs),
        cmocka_unit_test(cancel_waits_for_a_run_under_way),
        cmocka_unit_test(a_callback_may_cancel_itself),
        cmocka_unit_test(a_callback_may_add_another),
        cmocka_unit_test(freeing_drops_what_is_pending),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
