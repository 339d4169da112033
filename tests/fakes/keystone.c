/* Scripted keystone; see keystone.h. */
#include "fakes/keystone.h"

#include "util/clock.h"

static char *endpoints(const char *base, const char *path)
{
    return g_strdup_printf(
        "[{\"interface\":\"public\",\"region\":\"RegionOne\",\"url\":\"%s/public%s\"},"
        "{\"interface\":\"internal\",\"region\":\"RegionOne\",\"url\":\"%s%s\"},"
        "{\"interface\":\"internal\",\"region\":\"RegionTwo\",\"url\":\"%s/two%s\"}]",
        base, path, base, path, base, path);
}

void keystone_grant_slowly(HttpServer *server, const char *value, int life_s, unsigned stall_ms)
{
    const char *base = http_server_url(server);
    int64_t until_ms = dv_clock_wall_ms(dv_clock_real()) + (int64_t)life_s * 1000;
    g_autofree char *expires = dv_time_context(until_ms);
    g_autofree char *placement = endpoints(base, "/placement");
    g_autofree char *network = endpoints(base, "/network");
    g_autofree char *image = endpoints(base, "/image/");
    g_autofree char *headers = g_strdup_printf("X-Subject-Token: %s\r\n", value);
    g_autofree char *body = g_strdup_printf("{\"token\":{\"expires_at\":\"%sZ\",\"catalog\":["
                                            "{\"type\":\"placement\",\"endpoints\":%s},"
                                            "{\"type\":\"network\",\"endpoints\":%s},"
                                            "{\"type\":\"image\",\"endpoints\":%s}]}}",
                                            expires, placement, network, image);

    http_server_on(
        server, "POST", "/v3/auth/tokens",
        &(HttpAnswer){.status = 201, .headers = headers, .body = body, .stall_ms = stall_ms});
}

void keystone_grant(HttpServer *server, const char *value, int life_s)
{
    keystone_grant_slowly(server, value, life_s, 0);
}

ServiceConfig keystone_config(HttpServer *server, const char *name, const char *type)
{
    return (ServiceConfig){
        .name = name,
        .service_type = type,
        .auth = {.auth_type = "password",
                 .auth_url = http_server_url(server),
                 .username = "nova",
                 .password = "pa\"ss",
                 .user_domain_name = "Default",
                 .project_name = "service",
                 .project_domain_id = "default"},
    };
}
