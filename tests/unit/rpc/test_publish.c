/* Publishing to a broker that stops reading in the middle of a message, as RabbitMQ does with
 * publishers when it is low on memory or disk: nobody waits for it. */
#include "broker.h"
#include "rpc/link.h"
#include "rpc/sender.h"

#include "rpc/url.h"
#include "util/clock.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

enum {
    LARGE = 32 * 1024 * 1024, /* more than two sockets hold */
    PATIENCE_MS = 60000,
    CHANNEL = 1,
};

typedef struct Fixture {
    Broker broker;
    RpcConfig config;
    RpcUrl *url;
    RpcLink *link;
    char *body;
} Fixture;

/* ---- the broker's side ---- */

static void stops_and_says_so(Broker *broker)
{
    broker_expect(broker, BROKER_METHOD, BROKER_PUBLISH);
    broker_expect(broker, BROKER_HEADER, 0);
    broker_say(broker, 0, BROKER_BLOCKED, "\006memory", 7);
    broker_hold(broker);
    broker_say(broker, 0, BROKER_UNBLOCKED, NULL, 0);
    broker_body(broker, LARGE, 'y');
    broker_confirm(broker, 1);
    broker_bye(broker);
}

static void closes_the_channel(Broker *broker)
{
    static const char args[] = "\001\226\005fault\0\0\0";
    BrokerFrame frame;

    broker_expect(broker, BROKER_METHOD, BROKER_PUBLISH);
    broker_expect(broker, BROKER_HEADER, 0);
    broker_say(broker, 1, BROKER_CHANNEL_CLOSE, args, sizeof args);
    broker_hold(broker);
    while ((frame = broker_next(broker)).type == BROKER_BODY) /* what was on its way */
        g_free(frame.payload);
    g_assert_cmpuint(frame.payload[1], ==, BROKER_CHANNEL_CLOSE_OK >> 16);
    g_free(frame.payload);
    broker_channel(broker);
    broker_message(broker, 3, 'y');
    broker_confirm(broker, 1);
    broker_bye(broker);
}

static void stops_without_a_word(Broker *broker)
{
    broker_expect(broker, BROKER_METHOD, BROKER_PUBLISH);
    broker_expect(broker, BROKER_HEADER, 0);
    broker_hold(broker);
    broker_body(broker, LARGE, 'y');
    broker_confirm(broker, 1);
    broker_message(broker, 3, 'z');
    broker_confirm(broker, 2);
    broker_bye(broker);
}

static void stops_for_good(Broker *broker)
{
    broker_expect(broker, BROKER_METHOD, BROKER_PUBLISH);
    broker_expect(broker, BROKER_HEADER, 0);
    broker_say(broker, 0, BROKER_BLOCKED, "\006memory", 7);
    broker_hold(broker);
}

/* ---- ours ---- */

static void begin(Fixture *f, void (*script)(Broker *broker))
{
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;

    *f = (Fixture){.config = {.interval_max_s = 1, .retry_interval_s = 1}};
    broker_start(&f->broker, script);
    text = g_strdup_printf("rabbit://guest:guest@127.0.0.1:%d/", f->broker.port);
    assert_true(rpc_url_read(text, &f->url, &err));
    f->body = g_malloc(LARGE);
    memset(f->body, 'y', LARGE);
}

static void link_up(Fixture *f)
{
    const RpcLinkOptions options = {.config = &f->config,
                                    .program = "test",
                                    .connect_ms = PATIENCE_MS,
                                    .max_message_bytes = 1024};
    g_autoptr(GError) err = NULL;

    assert_true(rpc_link_open(&options, &f->url->hosts[0], f->url->vhost, &f->link, &err));
    assert_true(rpc_link_channel_open(f->link, CHANNEL, &err));
    assert_true(rpc_link_confirm_select(f->link, CHANNEL, &err));
}

static void end(Fixture *f)
{
    if (f->link)
        rpc_link_free(f->link);
    broker_end(&f->broker);
    rpc_url_free(f->url);
    g_free(f->body);
}

static void publish(Fixture *f, size_t length)
{
    const RpcPublish message = {
        .exchange = "nova", .routing_key = "key", .body = f->body, .length = length};
    g_autoptr(GError) err = NULL;

    assert_true(rpc_link_room(f->link));
    assert_true(rpc_link_publish(f->link, CHANNEL, &message, &err));
}

/* The broker has a part of a message that no socket holds. */
static void begin_half_way(Fixture *f, void (*script)(Broker *broker))
{
    begin(f, script);
    link_up(f);
    publish(f, LARGE);
    assert_true(rpc_link_publishing(f->link));
}

/* The next thing the broker says; what is half-way goes on meanwhile. */
static RpcLinkEventType hear(Fixture *f, uint64_t *out_tag)
{
    int64_t deadline_ms = dv_now_ms() + PATIENCE_MS;

    while (dv_now_ms() < deadline_ms) {
        struct pollfd fd = {.fd = rpc_link_fd(f->link)};
        g_auto(RpcLinkEvent) event = {0};
        g_autoptr(GError) err = NULL;

        assert_true(rpc_link_next(f->link, &event, &err));
        if (event.type != RPC_LINK_NOTHING) {
            *out_tag = event.tag;
            return event.type;
        }
        assert_true(rpc_link_publish_more(f->link, &err));
        fd.events = rpc_link_poll_events(f->link);
        poll(&fd, 1, 100);
    }
    return RPC_LINK_NOTHING;
}

static void a_notice_is_heard_in_the_middle_of_a_message(void **state G_GNUC_UNUSED)
{
    Fixture f;
    uint64_t tag;
    g_autoptr(GError) err = NULL;

    begin_half_way(&f, stops_and_says_so);
    assert_int_equal(hear(&f, &tag), RPC_LINK_BLOCKED);
    assert_false(rpc_link_room(f.link));
    assert_true(rpc_link_publish_more(f.link, &err));
    assert_int_equal(rpc_link_poll_events(f.link), POLLIN); /* room would wake us for nothing */
    broker_go(&f.broker);
    assert_int_equal(hear(&f, &tag), RPC_LINK_UNBLOCKED);
    assert_int_equal(hear(&f, &tag), RPC_LINK_CONFIRMED);
    assert_int_equal(tag, 1);
    assert_false(rpc_link_publishing(f.link));
    end(&f);
}

static void a_channel_that_closes_forgets_its_message(void **state G_GNUC_UNUSED)
{
    Fixture f;
    uint64_t tag;
    g_autoptr(GError) err = NULL;

    begin_half_way(&f, closes_the_channel);
    broker_go(&f.broker);
    assert_int_equal(hear(&f, &tag), RPC_LINK_CLOSED);
    assert_false(rpc_link_publishing(f.link));
    assert_true(rpc_link_channel_open(f.link, CHANNEL, &err));
    assert_true(rpc_link_confirm_select(f.link, CHANNEL, &err));
    publish(&f, 3);
    assert_false(rpc_link_publishing(f.link));
    assert_int_equal(hear(&f, &tag), RPC_LINK_CONFIRMED);
    end(&f);
}

/* ---- the sender ---- */

typedef struct Ends {
    atomic_int of[3]; /* -1: not yet */
} Ends;

static void ended(void *arg, RpcOutResult result)
{
    atomic_store((atomic_int *)arg, (int)result);
}

static void post(RpcSender *sender, atomic_int *end, char *body, size_t length, int64_t limit_ms)
{
    RpcOut *out = rpc_out_new();
    g_autoptr(GError) err = NULL;

    atomic_init(end, -1);
    out->exchange.name = g_strdup("nova");
    out->routing_key = g_strdup("key");
    out->body = body;
    out->length = length;
    out->deadline_ms = dv_now_ms() + limit_ms;
    out->done = ended;
    out->arg = end;
    assert_true(rpc_sender_post(sender, out, &err));
}

static int wait_end(atomic_int *end)
{
    int64_t deadline_ms = dv_now_ms() + PATIENCE_MS;

    while (atomic_load(end) < 0 && dv_now_ms() < deadline_ms)
        g_usleep(1000);
    return atomic_load(end);
}

/* Connected. */
static RpcSender *sender_up(Fixture *f)
{
    RpcSender *sender = rpc_sender_new(&f->config, f->url);
    int64_t deadline_ms = dv_now_ms() + PATIENCE_MS;
    g_autoptr(GError) err = NULL;

    assert_true(rpc_sender_start(sender, &err));
    while (!rpc_sender_ready(sender) && dv_now_ms() < deadline_ms)
        g_usleep(1000);
    assert_true(rpc_sender_ready(sender));
    return sender;
}

static void what_waits_behind_a_message_meets_its_deadline(void **state G_GNUC_UNUSED)
{
    Fixture f;
    Ends ends;
    RpcSender *sender;

    begin(&f, stops_without_a_word);
    sender = sender_up(&f);
    post(sender, &ends.of[0], g_steal_pointer(&f.body), LARGE, PATIENCE_MS);
    post(sender, &ends.of[1], g_strdup("xxx"), 3, 100);
    post(sender, &ends.of[2], g_strdup("zzz"), 3, PATIENCE_MS);
    assert_int_equal(wait_end(&ends.of[1]), RPC_OUT_NOT_SENT);
    assert_int_equal(atomic_load(&ends.of[0]), -1);
    broker_go(&f.broker);
    assert_int_equal(wait_end(&ends.of[0]), RPC_OUT_CONFIRMED);
    assert_int_equal(wait_end(&ends.of[2]), RPC_OUT_CONFIRMED);
    rpc_sender_stop(sender, dv_now_ms() + PATIENCE_MS);
    rpc_sender_free(sender);
    end(&f);
}

static void
a_message_that_is_half_way_is_told_of_its_deadline_and_of_the_end(void **state G_GNUC_UNUSED)
{
    Fixture f;
    Ends ends;
    RpcSender *sender;
    int64_t began_ms;

    begin(&f, stops_for_good);
    sender = sender_up(&f);
    post(sender, &ends.of[0], g_steal_pointer(&f.body), LARGE, 2000);
    post(sender, &ends.of[1], g_strdup("xxx"), 3, PATIENCE_MS);
    assert_int_equal(wait_end(&ends.of[0]), RPC_OUT_UNCONFIRMED);
    /* Nobody had to cut the thread's socket for it to end. */
    began_ms = dv_now_ms();
    rpc_sender_stop(sender, began_ms + PATIENCE_MS);
    assert_true(dv_now_ms() < began_ms + PATIENCE_MS);
    assert_int_equal(atomic_load(&ends.of[1]), RPC_OUT_CANCELLED);
    broker_go(&f.broker);
    rpc_sender_free(sender);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_notice_is_heard_in_the_middle_of_a_message),
        cmocka_unit_test(a_channel_that_closes_forgets_its_message),
        cmocka_unit_test(what_waits_behind_a_message_meets_its_deadline),
        cmocka_unit_test(a_message_that_is_half_way_is_told_of_its_deadline_and_of_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
