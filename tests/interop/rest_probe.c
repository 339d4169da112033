/* Runs the REST clients against the services of a running one-machine cloud:
 *
 *     eval "$(devstack/cloud env)"; build/dev/tests/interop/rest_probe
 *
 * Uses the credentials in DROVER_CLOUD_CONF for the services and the demo user for what a user
 * does. Everything it makes it takes away again. Ends with 'N passed, N failed'. */
#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

#include "services/auth_priv.h"
#include "services/glance.h"
#include "services/neutron.h"
#include "services/placement.h"
#include "util/config.h"
#include "util/log.h"

static int passed, failed;

static bool check(bool ok, const char *what, GError **err)
{
    printf("%s %s%s%s\n", ok ? "ok  " : "FAIL", what, err && *err ? ": " : "",
           err && *err ? (*err)->message : "");
    *(ok ? &passed : &failed) += 1;
    g_clear_error(err);
    return ok;
}

/* ---- the cloud ---- */

#define CREDENTIALS(g)                                                                  \
    {.group = g, .name = "auth_type"}, {.group = g, .name = "auth_url"},                \
        {.group = g, .name = "username"}, {.group = g, .name = "password"},             \
        {.group = g, .name = "user_domain_name"}, {.group = g, .name = "project_name"}, \
        {.group = g, .name = "project_domain_name"},                                    \
    {                                                                                   \
        .group = g, .name = "region_name"                                               \
    }

static const DvOption options[] = {
    CREDENTIALS("placement"),
    CREDENTIALS("neutron"),
    CREDENTIALS("service_user"),
    {.group = "glance", .name = "api_servers"},
};

typedef struct Cloud {
    DvConfig *config;
    HttpClient *http;
    AuthConfig service_user;
    Service *placement, *neutron, *glance;
    DvCtx *user;      /* demo's token */
    char *project_id; /* demo's */
} Cloud;

static AuthConfig auth_of(const DvConfig *c, const char *group)
{
    return (AuthConfig){.timeout_ms = 300 * 1000, /* the cloud may share a busy machine */
                        .auth_type = dv_config_str(c, group, "auth_type"),
                        .auth_url = dv_config_str(c, group, "auth_url"),
                        .username = dv_config_str(c, group, "username"),
                        .password = dv_config_str(c, group, "password"),
                        .user_domain_name = dv_config_str(c, group, "user_domain_name"),
                        .project_name = dv_config_str(c, group, "project_name"),
                        .project_domain_name = dv_config_str(c, group, "project_domain_name")};
}

static Service *service_of(Cloud *cloud, const char *group, const char *type)
{
    ServiceConfig config = {.name = group, .service_type = type, .connect_retries = 3};

    if (strcmp(group, "glance") == 0) {
        config.endpoint_override = dv_config_str(cloud->config, "glance", "api_servers");
        config.user_token_only = true;
        config.auth.timeout_ms = 300 * 1000;
    } else {
        config.auth = auth_of(cloud->config, group);
        config.region_name = dv_config_str(cloud->config, group, "region_name");
    }
    if (strcmp(group, "placement") != 0)
        config.service_user = &cloud->service_user;
    return service_new(cloud->http, &config, NULL);
}

/* The demo user's own token and project, from keystone. */
static bool user_of(Cloud *cloud, GError **err)
{
    AuthConfig demo = auth_of(cloud->config, "service_user");
    ServiceConfig keystone = {.name = "keystone", .endpoint_override = demo.auth_url};
    g_autoptr(TokenSource) source = NULL;
    g_autoptr(AuthToken) token = NULL;
    g_autoptr(Service) identity = NULL;
    json_t *projects = NULL;

    keystone.auth.timeout_ms = demo.timeout_ms;
    demo.username = demo.project_name = "demo";
    demo.password = g_getenv("OS_PASSWORD") ? g_getenv("OS_PASSWORD") : demo.password;
    source = token_source_new(cloud->http, &demo, "demo", err);
    token = source ? token_source_get(source, NULL, err) : NULL;
    if (!token)
        return false;
    cloud->user = dv_ctx_new_admin();
    cloud->user->is_admin = false;
    cloud->user->auth_token = g_strdup(auth_token_value(token));
    identity = service_new(cloud->http, &keystone, err);
    if (!identity || !service_call(identity, cloud->user, AS_USER, "GET", "/v3/auth/projects", NULL,
                                   NULL, NULL, NULL, &projects, err))
        return false;
    cloud->project_id = g_strdup(json_string_value(
        json_object_get(json_array_get(json_object_get(projects, "projects"), 0), "id")));
    json_decref(projects);
    return cloud->project_id != NULL;
}

/* ---- placement ---- */

static bool has_trait(const PlacementProvider *p, const char *name)
{
    for (guint i = 0; i < p->traits->len; i++) {
        if (strcmp(p->traits->pdata[i], name) == 0)
            return true;
    }
    return false;
}

static void probe_writes(Cloud *cloud, PlacementProvider *p, PlacementProvider *stale)
{
    PlacementInventory vcpu = {"VCPU", 8, 1, 1, 8, 1, 4.0};
    PlacementInventory gold = {"CUSTOM_DROVER_PROBE", 3, 0, 1, 3, 1, 1.0};
    g_autoptr(GArray) inventories = g_array_new(FALSE, TRUE, sizeof(PlacementInventory));
    g_autoptr(GPtrArray) traits = g_ptr_array_new_with_free_func(g_free);
    GError *err = NULL;

    g_array_append_val(inventories, vcpu);
    g_array_append_val(inventories, gold);
    check(placement_inventories_put(cloud->placement, NULL, p, inventories, &err),
          "placement: inventories are written", &err);
    check(!placement_inventories_put(cloud->placement, NULL, stale, inventories, &err) &&
              dv_is(err, DV_E_CONFLICT),
          "placement: a stale generation is a conflict", &err);
    g_ptr_array_add(traits, g_strdup("COMPUTE_NODE"));
    g_ptr_array_add(traits, g_strdup("CUSTOM_DROVER_PROBE"));
    g_ptr_array_add(traits, g_strdup("HW_CPU_FROM_THE_FUTURE"));
    check(placement_traits_ensure(cloud->placement, NULL, traits, &err) && traits->len == 2,
          "placement: traits are made, unknown ones dropped", &err);
    check(placement_traits_put(cloud->placement, NULL, p, traits, &err),
          "placement: traits are written", &err);
}

static void probe_placement(Cloud *cloud)
{
    g_autofree char *uuid = g_uuid_string_random();
    g_autofree char *other = g_uuid_string_random();
    g_autofree char *name = g_strconcat("drover-probe-", uuid, NULL);
    g_autoptr(PlacementProvider) p = NULL;
    g_autoptr(PlacementProvider) stale = NULL;
    g_autoptr(PlacementProvider) again = NULL;
    g_autoptr(PlacementProvider) gone = NULL;
    g_autoptr(GPtrArray) consumers = NULL;
    bool existed = true;
    GError *err = NULL;

    check(placement_provider_get(cloud->placement, NULL, uuid, &p, &err) && !p,
          "placement: an unknown provider is NULL", &err);
    check(placement_provider_create(cloud->placement, NULL, uuid, name, NULL, &err),
          "placement: a provider is made", &err);
    check(placement_provider_create(cloud->placement, NULL, uuid, name, NULL, &err),
          "placement: making it again is fine", &err);
    check(!placement_provider_create(cloud->placement, NULL, other, name, NULL, &err) &&
              dv_is(err, DV_E_BAD_CONFIG),
          "placement: its name is taken for others", &err);
    if (!check(placement_provider_get(cloud->placement, NULL, uuid, &p, &err) && p &&
                   placement_provider_get(cloud->placement, NULL, uuid, &stale, &err),
               "placement: it is read", &err))
        return;
    probe_writes(cloud, p, stale);
    check(placement_provider_get(cloud->placement, NULL, uuid, &again, &err) && again &&
              again->generation == p->generation && again->inventories->len == 2 &&
              has_trait(again, "CUSTOM_DROVER_PROBE"),
          "placement: what was written is read back with its generation", &err);
    check(placement_consumers_of(cloud->placement, NULL, uuid, &consumers, &err) &&
              consumers->len == 0,
          "placement: it has no consumers", &err);
    check(placement_allocations_delete(cloud->placement, NULL, other, &existed, &err) && !existed,
          "placement: nobody's allocations are nothing to delete", &err);
    check(placement_provider_delete(cloud->placement, NULL, uuid, &err) &&
              placement_provider_get(cloud->placement, NULL, uuid, &gone, &err) && !gone,
          "placement: it is deleted", &err);
    service_call(cloud->placement, NULL, AS_SERVICE, "DELETE", "/traits/CUSTOM_DROVER_PROBE",
                 "OpenStack-API-Version: placement 1.6", NULL, NULL, NULL, NULL, NULL);
    service_call(cloud->placement, NULL, AS_SERVICE, "DELETE",
                 "/resource_classes/CUSTOM_DROVER_PROBE", "OpenStack-API-Version: placement 1.7",
                 NULL, NULL, NULL, NULL, NULL);
}

/* ---- neutron ---- */

/* Id of the first shared network. */
static char *network_of(Cloud *cloud, GError **err)
{
    json_t *answer = NULL;
    char *id;

    if (!service_call(cloud->neutron, cloud->user, AS_USER, "GET", "/v2.0/networks?shared=True",
                      NULL, NULL, NULL, NULL, &answer, err))
        return NULL;
    id = g_strdup(json_string_value(
        json_object_get(json_array_get(json_object_get(answer, "networks"), 0), "id")));
    json_decref(answer);
    return id;
}

static char *port_member(Cloud *cloud, const char *id, const char *member)
{
    g_autofree char *path = g_strconcat("/v2.0/ports/", id, NULL);
    json_t *answer = NULL;
    char *text = NULL;

    if (service_call(cloud->neutron, NULL, AS_SERVICE, "GET", path, NULL, NULL, NULL, NULL, &answer,
                     NULL)) {
        text = g_strdup(
            json_string_value(json_object_get(json_object_get(answer, "port"), member)));
        json_decref(answer);
    }
    return text;
}

static void probe_new_port(Cloud *cloud, const NetworkInstance *vm, const char *network_id)
{
    NetworkRequest request = {.network_id = network_id};
    g_autoptr(NetworkInfo) info = NULL;
    g_autoptr(NetworkInfo) fresh = NULL;
    g_autoptr(NetworkInfo) left = NULL;
    g_autofree char *text = NULL;
    bool changed = true;
    GError *err = NULL;

    if (!check(neutron_allocate(cloud->neutron, cloud->user, vm, &request, 1, &info, &err),
               "neutron: a port is made and bound", &err))
        return;
    text = network_info_text(info);
    printf("     %s\n", text);
    check(neutron_bind_host(cloud->neutron, cloud->user, vm, &changed, &err) && !changed,
          "neutron: it is bound here already", &err);
    check(neutron_refresh(cloud->neutron, cloud->user, vm, info, NULL, &fresh, &err) &&
              network_info_count(fresh) == 1,
          "neutron: its network info is read anew", &err);
    check(neutron_deallocate(cloud->neutron, cloud->user, vm, info, NULL, &err) &&
              neutron_refresh(cloud->neutron, cloud->user, vm, info, NULL, &left, &err) &&
              network_info_count(left) == 0,
          "neutron: it is deleted", &err);
}

static void probe_given_port(Cloud *cloud, const NetworkInstance *vm, const char *network_id)
{
    NetworkInstance rival = *vm;
    json_t *body = json_pack("{s:{s:s, s:s}}", "port", "network_id", network_id, "name",
                             "drover-probe");
    json_t *made = NULL;
    g_autoptr(NetworkInfo) info = NULL;
    g_autofree char *path = NULL;
    g_autofree char *device = NULL;
    NetworkInfo *none = NULL;
    NetworkRequest request = {0};
    GError *err = NULL;

    rival.uuid = "0ddba11a-0000-4000-8000-000000000000";
    if (!check(service_call(cloud->neutron, cloud->user, AS_USER, "POST", "/v2.0/ports", NULL, body,
                            NULL, NULL, &made, &err),
               "neutron: a user makes a port", &err))
        return;
    request.port_id = json_string_value(json_object_get(json_object_get(made, "port"), "id"));
    path = g_strconcat("/v2.0/ports/", request.port_id, NULL);
    check(neutron_allocate(cloud->neutron, cloud->user, vm, &request, 1, &info, &err) &&
              network_info_at(info, 0)->preserve_on_delete,
          "neutron: it is bound and marked as the user's", &err);
    check(!neutron_allocate(cloud->neutron, cloud->user, &rival, &request, 1, &none, &err) &&
              dv_is(err, DV_E_PORT_IN_USE),
          "neutron: another instance does not get it", &err);
    check(neutron_deallocate(cloud->neutron, cloud->user, &rival, NULL,
                             (const char *const[]){request.port_id, NULL}, &err),
          "neutron: nor does cleaning up after that", &err);
    device = port_member(cloud, request.port_id, "device_id");
    check(g_strcmp0(device, vm->uuid) == 0, "neutron: ... touch it", NULL);
    check(neutron_deallocate(cloud->neutron, cloud->user, vm, info, NULL, &err),
          "neutron: it is given back", &err);
    g_free(device);
    device = port_member(cloud, request.port_id, "device_id");
    check(g_strcmp0(device, "") == 0, "neutron: ... and is free again", NULL);
    check(service_call(cloud->neutron, cloud->user, AS_USER, "DELETE", path, NULL, NULL, NULL, NULL,
                       NULL, &err),
          "neutron: the user deletes it", &err);
    json_decref(made);
}

static void probe_errors(Cloud *cloud, const NetworkInstance *vm, const char *network_id)
{
    NetworkRequest nowhere = {.network_id = "0ddba11a-0000-4000-8000-000000000000"};
    NetworkRequest no_port = {.port_id = "0ddba11a-0000-4000-8000-000000000000"};
    NetworkRequest bad_ip = {.network_id = network_id, .address = "192.0.2.250"};
    NetworkInstance elsewhere = *vm;
    NetworkRequest fine = {.network_id = network_id};
    NetworkInfo *none = NULL;
    GError *err = NULL;

    elsewhere.host = "a-host-without-an-agent";
    check(!neutron_allocate(cloud->neutron, cloud->user, vm, &nowhere, 1, &none, &err) &&
              dv_is(err, DV_E_NETWORK_NOT_FOUND),
          "neutron: an unknown network", &err);
    check(!neutron_allocate(cloud->neutron, cloud->user, vm, &no_port, 1, &none, &err) &&
              dv_is(err, DV_E_PORT_NOT_FOUND),
          "neutron: an unknown port", &err);
    check(!neutron_allocate(cloud->neutron, cloud->user, vm, &bad_ip, 1, &none, &err) &&
              dv_is(err, DV_E_BAD_INPUT),
          "neutron: an address outside the network", &err);
    check(!neutron_allocate(cloud->neutron, cloud->user, &elsewhere, &fine, 1, &none, &err) &&
              dv_is(err, DV_E_PORT_BINDING_FAILED),
          "neutron: a host that cannot bind", &err);
}

static void probe_neutron(Cloud *cloud)
{
    GError *err = NULL;
    g_autofree char *uuid = g_uuid_string_random();
    g_autofree char *network_id = network_of(cloud, &err);
    const char *const groups[] = {"default", NULL};
    NetworkInstance vm = {.uuid = uuid,
                          .project_id = cloud->project_id,
                          .hostname = "probe",
                          .availability_zone = "nova",
                          .host = g_getenv("DROVER_CLOUD_HOST"),
                          .security_groups = groups};

    if (!check(network_id && vm.host, "neutron: a shared network", &err))
        return;
    probe_new_port(cloud, &vm, network_id);
    probe_given_port(cloud, &vm, network_id);
    probe_errors(cloud, &vm, network_id);
}

/* ---- glance ---- */

static void probe_glance(Cloud *cloud)
{
    GError *err = NULL;
    json_t *answer = NULL;
    g_autoptr(GlanceImage) image = NULL;
    GlanceImage *none = NULL;
    const char *id;
    int fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (!check(service_call(cloud->glance, cloud->user, AS_USER, "GET", "/v2/images?status=active",
                            NULL, NULL, NULL, NULL, &answer, &err),
               "glance: images are listed", &err))
        return;
    id = json_string_value(
        json_object_get(json_array_get(json_object_get(answer, "images"), 0), "id"));
    if (check(id && glance_image_get(cloud->glance, cloud->user, id, &image, &err),
              "glance: a record is read", &err)) {
        printf("     %s: %s, %s, %" G_GINT64_FORMAT " bytes, %s\n", image->name, image->status,
               image->disk_format, image->size_bytes, image->hash_algo);
        check(glance_download(cloud->glance, cloud->user, image, fd, 0, 3, &err) &&
                  lseek(fd, 0, SEEK_END) == image->size_bytes,
              "glance: its data is downloaded and verified", &err);
        image->hash_value[0] = image->hash_value[0] == '0' ? '1' : '0';
        check(!glance_download(cloud->glance, cloud->user, image, fd, 0, 3, &err) &&
                  dv_is(err, DV_E_IMAGE_UNACCEPTABLE),
              "glance: another checksum is noticed", &err);
    }
    check(!glance_image_get(cloud->glance, cloud->user, "0ddba11a-0000-4000-8000-000000000000",
                            &none, &err) &&
              dv_is(err, DV_E_IMAGE_NOT_FOUND),
          "glance: an unknown image", &err);
    check(!glance_image_get(cloud->glance, NULL, "x", &none, &err) && dv_is(err, DV_E_DENIED),
          "glance: nobody's token", &err);
    json_decref(answer);
    close(fd);
}

int main(void)
{
    const char *files[] = {g_getenv("DROVER_CLOUD_CONF"), NULL};
    Cloud cloud = {0};
    GError *err = NULL;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (g_getenv("PROBE_DEBUG"))
        dv_log_init(NULL, DV_LOG_DEBUG, NULL);
    if (!files[0]) {
        fprintf(stderr, "usage: eval \"$(devstack/cloud env)\"; rest_probe\n");
        return 2;
    }
    cloud.config = dv_config_load(files, NULL, options, G_N_ELEMENTS(options), &err);
    if (!check(cloud.config != NULL, "config: read", &err))
        return 1;
    cloud.http = http_client_new();
    cloud.service_user = auth_of(cloud.config, "service_user");
    cloud.placement = service_of(&cloud, "placement", "placement");
    cloud.neutron = service_of(&cloud, "neutron", "network");
    cloud.glance = service_of(&cloud, "glance", "image");
    if (check(user_of(&cloud, &err), "keystone: the demo user's token and project", &err)) {
        probe_placement(&cloud);
        probe_neutron(&cloud);
        probe_glance(&cloud);
    }
    service_free(cloud.placement);
    service_free(cloud.neutron);
    service_free(cloud.glance);
    http_client_free(cloud.http);
    dv_ctx_unref(cloud.user);
    g_free(cloud.project_id);
    dv_config_free(cloud.config);
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
