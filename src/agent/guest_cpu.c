/* The record of a guest's processor; see guest_cpu.h. */
#include "agent/guest_cpu.h"

static Ovo *object(const Agent *agent, const char *name)
{
    return ovo_new(name, ovo_version_of(conductor_release(agent->con), name));
}

static Ovo *topology_of(const Agent *agent, const VirtCpu *cpu)
{
    Ovo *topology = object(agent, "VirtCPUTopology");

    ovo_set_i64(topology, "sockets", cpu->sockets);
    ovo_set_i64(topology, "cores", cpu->cores);
    ovo_set_i64(topology, "threads", cpu->threads);
    return topology;
}

static void add_features(const Agent *agent, Ovo *model, const VirtCpu *cpu)
{
    ovo_set_strv(model, "features", NULL); /* a list, also when there are none */
    for (guint i = 0; i < cpu->features->len; i++) {
        const VirtCpuFeature *feature = g_ptr_array_index(cpu->features, i);
        g_autoptr(Ovo) item = object(agent, "VirtCPUFeature");

        ovo_set_str(item, "name", feature->name);
        ovo_set_str(item, "policy", feature->policy);
        ovo_append(model, "features", item);
    }
}

bool guest_cpu_record(Agent *agent, const GuestSpec *spec, Ovo *instance, GError **err)
{
    const VirtDriver *virt = agent->virt;
    g_autoptr(VirtCpu) cpu = NULL;
    g_autoptr(Ovo) model = NULL;
    g_autoptr(Ovo) topology = NULL;

    if (!virt->ops->cpu(virt->self, spec, &cpu, err))
        return false;
    model = object(agent, "VirtCPUModel");
    topology = topology_of(agent, cpu);
    ovo_set_null(model, "arch"); /* libvirt's caller names neither for a guest */
    ovo_set_null(model, "vendor");
    ovo_set_str(model, "model", cpu->model);
    ovo_set_str(model, "mode", cpu->mode);
    ovo_set_str(model, "match", "exact");
    ovo_set_child(model, "topology", topology);
    add_features(agent, model, cpu);
    ovo_set_child(instance, "vcpu_model", model);
    return true;
}
