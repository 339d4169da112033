/* The transport URL: rabbit://user:pass@host1:5672,user:pass@host2:5672/vhost?option=value
 *
 * Ownership  the caller frees the RpcUrl; its strings live as long.
 * Errors     DV_E_BAD_CONFIG; no message repeats a password.
 * Threads    plain data, read-only once read.
 * Sources    oslo.messaging 14.0.3 transport.TransportURL.parse, impl_rabbit Connection. */
#pragma once

#include "rpc/rpc.h"

typedef struct RpcHost {
    char *host; /* IPv6 without brackets */
    int port;
    char *user;
    char *password; /* a secret: never log */
} RpcHost;

typedef struct RpcUrlOption {
    char *name;
    char *value;
} RpcUrlOption;

typedef struct RpcUrl {
    RpcHost *hosts; /* at least one */
    size_t host_count;
    char *vhost; /* "/" by default */
    RpcUrlOption *options;
    size_t option_count;
} RpcUrl;

bool rpc_url_read(const char *text, RpcUrl **out, GError **err);
void rpc_url_free(RpcUrl *url);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RpcUrl, rpc_url_free)

/* Overrides the options of [oslo_messaging_rabbit] that the URL's query names. Strings in `config`
 * then borrow from `url`. An option that we do not know is logged and ignored. */
bool rpc_url_apply(const RpcUrl *url, RpcConfig *config, GError **err);
