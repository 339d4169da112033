/* A broker of one connection that does as a test's script says: enough of AMQP 0-9-1 to log in,
 * take messages, and stop reading in the middle of one. The script runs on a thread of its own;
 * what it does not expect ends the test program. */
#pragma once

#include <arpa/inet.h>
#include <glib.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct Broker Broker;

struct Broker {
    int listener;
    int fd;
    int port;
    GThread *thread;
    void (*script)(Broker *broker);
    sem_t go; /* the test lets the script go on */
};

typedef struct BrokerFrame {
    uint8_t type; /* 1 method, 2 header, 3 body, 8 heartbeat */
    uint16_t channel;
    uint32_t length;
    uint8_t *payload;
} BrokerFrame;

enum { BROKER_METHOD = 1, BROKER_HEADER = 2, BROKER_BODY = 3 };

/* class << 16 | method */
enum {
    BROKER_START = 10 << 16 | 10,
    BROKER_START_OK = 10 << 16 | 11,
    BROKER_TUNE = 10 << 16 | 30,
    BROKER_TUNE_OK = 10 << 16 | 31,
    BROKER_OPEN = 10 << 16 | 40,
    BROKER_OPEN_OK = 10 << 16 | 41,
    BROKER_CLOSE = 10 << 16 | 50,
    BROKER_CLOSE_OK = 10 << 16 | 51,
    BROKER_BLOCKED = 10 << 16 | 60,
    BROKER_UNBLOCKED = 10 << 16 | 61,
    BROKER_CHANNEL_OPEN = 20 << 16 | 10,
    BROKER_CHANNEL_OPEN_OK = 20 << 16 | 11,
    BROKER_CHANNEL_CLOSE = 20 << 16 | 40,
    BROKER_CHANNEL_CLOSE_OK = 20 << 16 | 41,
    BROKER_PUBLISH = 60 << 16 | 40,
    BROKER_ACK = 60 << 16 | 80,
    BROKER_SELECT = 85 << 16 | 10,
    BROKER_SELECT_OK = 85 << 16 | 11,
};

static void broker_read(Broker *broker, void *out, size_t length)
{
    while (length) {
        ssize_t got = read(broker->fd, out, length);

        if (got <= 0)
            g_error("the broker's script waits for more");
        out = (uint8_t *)out + got;
        length -= (size_t)got;
    }
}

static BrokerFrame broker_next(Broker *broker)
{
    BrokerFrame frame = {0};
    uint8_t head[7];
    uint8_t end;

    broker_read(broker, head, sizeof head);
    frame.type = head[0];
    frame.channel = (uint16_t)(head[1] << 8 | head[2]);
    frame.length = (uint32_t)head[3] << 24 | (uint32_t)head[4] << 16 | (uint32_t)head[5] << 8 |
                   head[6];
    frame.payload = g_malloc(frame.length + 1);
    broker_read(broker, frame.payload, frame.length);
    broker_read(broker, &end, 1);
    g_assert_cmphex(end, ==, 0xce);
    return frame;
}

static void broker_expect(Broker *broker, uint8_t type, uint32_t method)
{
    BrokerFrame frame = broker_next(broker);

    g_assert_cmpuint(frame.type, ==, type);
    if (type == BROKER_METHOD) {
        uint32_t number;

        memcpy(&number, frame.payload, sizeof number);
        g_assert_cmphex(ntohl(number), ==, method);
    }
    g_free(frame.payload);
}

/* `args` as on the wire. */
static void broker_say(Broker *broker, uint16_t channel, uint32_t method, const void *args,
                       size_t length)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    const uint8_t type = BROKER_METHOD;
    const uint16_t number = htons(channel);
    const uint32_t size = htonl((uint32_t)length + 4);
    const uint32_t id = htonl(method);
    const uint8_t end = 0xce;

    g_byte_array_append(out, &type, 1);
    g_byte_array_append(out, (const uint8_t *)&number, sizeof number);
    g_byte_array_append(out, (const uint8_t *)&size, sizeof size);
    g_byte_array_append(out, (const uint8_t *)&id, sizeof id);
    if (length)
        g_byte_array_append(out, args, (guint)length);
    g_byte_array_append(out, &end, 1);
    g_assert_cmpint(write(broker->fd, out->data, out->len), ==, (ssize_t)out->len);
}

static void broker_channel(Broker *broker)
{
    broker_expect(broker, BROKER_METHOD, BROKER_CHANNEL_OPEN);
    broker_say(broker, 1, BROKER_CHANNEL_OPEN_OK, "\0\0\0", 4);
    broker_expect(broker, BROKER_METHOD, BROKER_SELECT);
    broker_say(broker, 1, BROKER_SELECT_OK, NULL, 0);
}

/* Without heartbeats, frames of 128 KiB. */
static void broker_log_in(Broker *broker)
{
    static const char start[] = "\0\011\0\0\0\0\0\0\0\005PLAIN\0\0\0\005en_US";
    char greeting[8];

    broker_read(broker, greeting, sizeof greeting);
    broker_say(broker, 0, BROKER_START, start, sizeof start - 1);
    broker_expect(broker, BROKER_METHOD, BROKER_START_OK);
    broker_say(broker, 0, BROKER_TUNE, "\0\037\0\002\0\0\0", 8);
    broker_expect(broker, BROKER_METHOD, BROKER_TUNE_OK);
    broker_expect(broker, BROKER_METHOD, BROKER_OPEN);
    broker_say(broker, 0, BROKER_OPEN_OK, "", 1);
    broker_channel(broker);
}

/* The rest of a message whose header was read: `length` bytes of `fill`. */
static void broker_body(Broker *broker, size_t length, char fill)
{
    while (length) {
        BrokerFrame frame = broker_next(broker);

        g_assert_cmpuint(frame.type, ==, BROKER_BODY);
        g_assert_cmpuint(frame.length, <=, length);
        for (uint32_t i = 0; i < frame.length; i++)
            if (frame.payload[i] != (uint8_t)fill)
                g_error("the body is not what was published");
        length -= frame.length;
        g_free(frame.payload);
    }
}

static void broker_message(Broker *broker, size_t length, char fill)
{
    broker_expect(broker, BROKER_METHOD, BROKER_PUBLISH);
    broker_expect(broker, BROKER_HEADER, 0);
    broker_body(broker, length, fill);
}

static void broker_confirm(Broker *broker, uint8_t tag)
{
    const uint8_t args[9] = {[7] = tag};

    broker_say(broker, 1, BROKER_ACK, args, sizeof args);
}

static void broker_bye(Broker *broker)
{
    broker_expect(broker, BROKER_METHOD, BROKER_CLOSE);
    broker_say(broker, 0, BROKER_CLOSE_OK, NULL, 0);
}

/* Waits for broker_go. */
static void broker_hold(Broker *broker)
{
    while (sem_wait(&broker->go) < 0)
        ;
}

static void broker_go(Broker *broker)
{
    sem_post(&broker->go);
}

static void *broker_main(void *arg)
{
    Broker *broker = arg;

    broker->fd = accept(broker->listener, NULL, NULL);
    g_assert_cmpint(broker->fd, >=, 0);
    broker_log_in(broker);
    broker->script(broker);
    close(broker->fd);
    return NULL;
}

/* Its receive buffer is as small as can be, so that a message does not fit into sockets. */
static void broker_start(Broker *broker, void (*script)(Broker *broker))
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int small = 4096;

    *broker = (Broker){.script = script};
    sem_init(&broker->go, 0, 0);
    broker->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(broker->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    g_assert_cmpint(bind(broker->listener, (struct sockaddr *)&address, length), ==, 0);
    g_assert_cmpint(listen(broker->listener, 1), ==, 0);
    g_assert_cmpint(getsockname(broker->listener, (struct sockaddr *)&address, &length), ==, 0);
    broker->port = ntohs(address.sin_port);
    broker->thread = g_thread_new("broker", broker_main, broker);
}

static void broker_end(Broker *broker)
{
    g_thread_join(broker->thread);
    close(broker->listener);
    sem_destroy(&broker->go);
}
