/* Names, flags and arguments of everything that is declared, option by option. */
#include "golden.h"

#include "rpc/topology.h"

#include <string.h>

static const RpcConfig plain = {
    .control_exchange = "nova",
    .host_name = "node1",
    .process_name = "nova-compute",
    .transient_queues_ttl_s = 1800,
};

static RpcTopology *make(const RpcConfig *config)
{
    g_autoptr(GError) err = NULL;
    RpcTopology *topology = NULL;

    if (!rpc_topology_new(config, &topology, &err))
        fail_msg("%s", err->message);
    return topology;
}

static void refuse(const RpcConfig *config, const char *want)
{
    g_autoptr(GError) err = NULL;
    RpcTopology *topology = NULL;

    assert_false(rpc_topology_new(config, &topology, &err));
    assert_int_equal(dv_code(err), DV_E_BAD_CONFIG);
    assert_non_null(strstr(err->message, want));
}

static void want_text(const RpcArgs *args, const char *name, const char *want)
{
    const RpcArg *arg = rpc_args_get(args, name);

    assert_non_null(arg);
    assert_int_equal(arg->type, RPC_ARG_TEXT);
    assert_string_equal(arg->text, want);
}

static void want_int(const RpcArgs *args, const char *name, int64_t want)
{
    const RpcArg *arg = rpc_args_get(args, name);

    assert_non_null(arg);
    assert_int_equal(arg->type, RPC_ARG_INT);
    assert_int_equal(arg->number, want);
}

static void want_hex(const char *text, const char *prefix)
{
    assert_true(g_str_has_prefix(text, prefix));
    assert_int_equal(strlen(text), strlen(prefix) + 32);
    assert_int_equal(strspn(text + strlen(prefix), "0123456789abcdef"), 32);
}

static void classic_topic_queues(void **state G_GNUC_UNUSED)
{
    g_autoptr(RpcTopology) topology = make(&plain);
    RpcQueue shared;
    RpcQueue host;

    rpc_topology_queue(topology, RPC_QUEUE_SHARED, "compute", NULL, &shared);
    rpc_topology_queue(topology, RPC_QUEUE_HOST, "compute", "node1", &host);
    assert_string_equal(shared.name, "compute");
    assert_string_equal(shared.routing_key, "compute");
    assert_string_equal(shared.exchange.name, "nova");
    assert_string_equal(shared.exchange.type, "topic");
    assert_false(shared.exchange.durable || shared.exchange.auto_delete);
    assert_false(shared.durable || shared.auto_delete || shared.delete_on_stop);
    assert_int_equal(shared.args.count, 0);
    assert_string_equal(host.name, "compute.node1");
    assert_string_equal(host.routing_key, "compute.node1");
    rpc_queue_done(&shared);
    rpc_queue_done(&host);
}

static void classic_fanout_queue(void **state G_GNUC_UNUSED)
{
    g_autoptr(RpcTopology) topology = make(&plain);
    RpcQueue one;
    RpcQueue two;

    rpc_topology_queue(topology, RPC_QUEUE_FANOUT, "compute", NULL, &one);
    rpc_topology_queue(topology, RPC_QUEUE_FANOUT, "compute", NULL, &two);
    want_hex(one.name, "compute_fanout_");
    assert_string_not_equal(one.name, two.name);
    assert_string_equal(one.exchange.name, "compute_fanout");
    assert_string_equal(one.exchange.type, "fanout");
    assert_false(one.exchange.durable);
    assert_true(one.exchange.auto_delete);
    assert_string_equal(one.routing_key, "compute");
    assert_false(one.durable || one.auto_delete);
    assert_true(one.delete_on_stop);
    assert_int_equal(one.args.count, 1);
    want_int(&one.args, "x-expires", 1800000);
    rpc_queue_done(&one);
    rpc_queue_done(&two);
}

static void classic_reply_queue(void **state G_GNUC_UNUSED)
{
    g_autoptr(RpcTopology) topology = make(&plain);
    RpcQueue queue;

    rpc_topology_queue(topology, RPC_QUEUE_REPLY, NULL, NULL, &queue);
    want_hex(queue.name, "reply_");
    assert_null(queue.exchange.type); /* the default exchange: nothing to declare or bind */
    assert_string_equal(queue.exchange.name, "");
    assert_false(queue.durable || queue.auto_delete || queue.delete_on_stop);
    assert_int_equal(queue.args.count, 1);
    want_int(&queue.args, "x-expires", 1800000);
    rpc_queue_done(&queue);
}

static void durable_and_auto_delete_are_for_topic_queues(void **state G_GNUC_UNUSED)
{
    RpcConfig config = plain;
    RpcQueue queue;

    config.durable_queues = config.auto_delete = true;
    g_autoptr(RpcTopology) topology = make(&config);

    rpc_topology_queue(topology, RPC_QUEUE_SHARED, "compute", NULL, &queue);
    assert_true(queue.durable && queue.auto_delete);
    assert_true(queue.exchange.durable && queue.exchange.auto_delete);
    rpc_queue_done(&queue);
    rpc_topology_queue(topology, RPC_QUEUE_FANOUT, "compute", NULL, &queue);
    assert_false(queue.durable || queue.auto_delete || queue.exchange.durable);
    rpc_queue_done(&queue);
    rpc_topology_queue(topology, RPC_QUEUE_REPLY, NULL, NULL, &queue);
    assert_false(queue.durable || queue.auto_delete);
    rpc_queue_done(&queue);
}

static void quorum_queues_are_durable_and_limited(void **state G_GNUC_UNUSED)
{
    RpcConfig config = plain;
    RpcQueue queue;

    config.quorum_queue = true;
    config.quorum_delivery_limit = 3;
    config.quorum_max_memory_length = 100;
    config.quorum_max_memory_bytes = 4096;
    g_autoptr(RpcTopology) topology = make(&config);

    rpc_topology_queue(topology, RPC_QUEUE_HOST, "compute", "n", &queue);
    assert_true(queue.durable && queue.exchange.durable);
    want_text(&queue.args, "x-queue-type", "quorum");
    want_int(&queue.args, "x-delivery-limit", 3);
    want_int(&queue.args, "x-max-in-memory-length", 100);
    want_int(&queue.args, "x-max-in-memory-bytes", 4096);
    rpc_queue_done(&queue);
    rpc_topology_queue(topology, RPC_QUEUE_REPLY, NULL, NULL, &queue);
    assert_false(queue.durable);
    assert_null(rpc_args_get(&queue.args, "x-queue-type"));
    rpc_queue_done(&queue);
    rpc_topology_queue(topology, RPC_QUEUE_FANOUT, "compute", NULL, &queue);
    assert_false(queue.durable || queue.exchange.durable);
    rpc_queue_done(&queue);
}

static void transient_quorum_covers_replies_and_fanout(void **state G_GNUC_UNUSED)
{
    RpcConfig config = plain;
    RpcQueue queue;

    config.transient_quorum_queue = true;
    g_autoptr(RpcTopology) topology = make(&config);

    rpc_topology_queue(topology, RPC_QUEUE_REPLY, NULL, NULL, &queue);
    assert_true(queue.durable);
    want_text(&queue.args, "x-queue-type", "quorum");
    want_int(&queue.args, "x-expires", 1800000);
    rpc_queue_done(&queue);
    rpc_topology_queue(topology, RPC_QUEUE_FANOUT, "compute", NULL, &queue);
    assert_true(queue.durable && queue.exchange.durable);
    want_text(&queue.args, "x-queue-type", "quorum");
    rpc_queue_done(&queue);
    rpc_topology_queue(topology, RPC_QUEUE_SHARED, "compute", NULL, &queue);
    assert_false(queue.durable);
    assert_int_equal(queue.args.count, 0);
    rpc_queue_done(&queue);
}

static void stream_fanout_is_one_shared_queue(void **state G_GNUC_UNUSED)
{
    RpcConfig config = plain;
    RpcQueue queue;

    config.transient_quorum_queue = config.stream_fanout = true;
    config.qos_prefetch_count = 10;
    g_autoptr(RpcTopology) topology = make(&config);

    rpc_topology_queue(topology, RPC_QUEUE_FANOUT, "compute", NULL, &queue);
    assert_string_equal(queue.name, "compute_fanout");
    assert_true(queue.stream && queue.durable);
    assert_false(queue.delete_on_stop);
    assert_int_equal(queue.args.count, 2);
    want_text(&queue.args, "x-queue-type", "stream");
    want_text(&queue.args, "x-max-age", "1800s");
    rpc_queue_done(&queue);
}

static void queue_manager_names_are_the_same_after_a_restart(void **state G_GNUC_UNUSED)
{
    RpcConfig config = plain;
    RpcQueue queue;

    config.use_queue_manager = true;
    for (int start = 0; start < 2; start++) {
        g_autoptr(RpcTopology) topology = make(&config);

        rpc_topology_queue(topology, RPC_QUEUE_FANOUT, "compute", NULL, &queue);
        assert_string_equal(queue.name, "compute_fanout_node1:nova-compute:1");
        assert_false(queue.delete_on_stop);
        rpc_queue_done(&queue);
        rpc_topology_queue(topology, RPC_QUEUE_REPLY, NULL, NULL, &queue);
        assert_string_equal(queue.name, "reply_node1:nova-compute:2");
        rpc_queue_done(&queue);
    }
}

static void ha_policy_and_failover_cancel_are_for_all_queues(void **state G_GNUC_UNUSED)
{
    RpcConfig config = plain;

    config.ha_queues = config.enable_cancel_on_failover = true;
    g_autoptr(RpcTopology) topology = make(&config);

    for (int kind = RPC_QUEUE_SHARED; kind <= RPC_QUEUE_NOTIFY; kind++) {
        RpcQueue queue;

        rpc_topology_queue(topology, kind, "t", "s", &queue);
        want_text(&queue.args, "x-ha-policy", "all");
        assert_non_null(rpc_args_get(&queue.consume_args, "x-cancel-on-ha-failover"));
        rpc_queue_done(&queue);
    }
}

static void no_ttl_means_no_expiry(void **state G_GNUC_UNUSED)
{
    RpcConfig config = plain;
    RpcQueue queue;

    config.transient_queues_ttl_s = 0;
    g_autoptr(RpcTopology) topology = make(&config);

    rpc_topology_queue(topology, RPC_QUEUE_REPLY, NULL, NULL, &queue);
    assert_int_equal(queue.args.count, 0);
    rpc_queue_done(&queue);
}

static void contradictions_are_refused(void **state G_GNUC_UNUSED)
{
    RpcConfig config = plain;

    config.ha_queues = config.quorum_queue = true;
    refuse(&config, "rabbit_ha_queues and rabbit_quorum_queue");
    config = plain;
    config.stream_fanout = true;
    refuse(&config, "needs rabbit_transient_quorum_queue");
    config.transient_quorum_queue = true;
    refuse(&config, "rabbit_qos_prefetch_count");
    config = plain;
    config.use_queue_manager = true;
    config.process_name = NULL;
    refuse(&config, "processname");
}

static void advice_names_the_option(void **state G_GNUC_UNUSED)
{
    const char *durable = rpc_topology_advice(
        "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'compute' in vhost '/': "
        "received 'false' but current is 'true'");
    const char *type = rpc_topology_advice(
        "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'compute' in vhost '/'");

    assert_non_null(strstr(durable, "amqp_durable_queues"));
    assert_non_null(strstr(type, "rabbit_quorum_queue"));
    assert_non_null(
        strstr(rpc_topology_advice("inequivalent arg 'x-expires' for queue 'reply_x' in vhost '/'"),
               "rabbit_transient_queues_ttl"));
    assert_non_null(rpc_topology_advice("something else"));
    assert_non_null(rpc_topology_advice(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classic_topic_queues),
        cmocka_unit_test(classic_fanout_queue),
        cmocka_unit_test(classic_reply_queue),
        cmocka_unit_test(durable_and_auto_delete_are_for_topic_queues),
        cmocka_unit_test(quorum_queues_are_durable_and_limited),
        cmocka_unit_test(transient_quorum_covers_replies_and_fanout),
        cmocka_unit_test(stream_fanout_is_one_shared_queue),
        cmocka_unit_test(queue_manager_names_are_the_same_after_a_restart),
        cmocka_unit_test(ha_policy_and_failover_cancel_are_for_all_queues),
        cmocka_unit_test(no_ttl_means_no_expiry),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(advice_names_the_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
