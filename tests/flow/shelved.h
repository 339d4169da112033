/* The image of a shelved server in glance, for the flow tests that bring such a server back. */
#pragma once

#include "fakes/agent.h"

#define SHELVED_IMAGE "9f0d3a6c-58a4-4c40-a0a7-0d9b6e6f9d11"
#define SHELVED "/image/v2/images/" SHELVED_IMAGE

/* 64 KiB of zeros, which may be deleted. */
static inline void script_shelved_image(FakeAgent *fake)
{
    static char data[65536];

    http_server_json(fake_agent_server(fake), "GET", SHELVED, 200,
                     "{\"id\":\"" SHELVED_IMAGE
                     "\",\"status\":\"active\",\"size\":65536,\"disk_format\":\"raw\","
                     "\"container_format\":\"bare\",\"min_disk\":0,\"min_ram\":0}");
    http_server_on(fake_agent_server(fake), "GET", SHELVED "/file",
                   &(HttpAnswer){.body = data, .length = sizeof(data)});
    http_server_json(fake_agent_server(fake), "DELETE", SHELVED, 204, "");
}
