/* What an instance remembers of its guest's processor: a host that a live migration is to bring it
 * to compares that with its own.
 *
 * Threads    on the operation's worker.
 * Sources    nova virt/libvirt/driver.py _cpu_config_to_vcpu_model (Zed); docs/wire/flows.md. */
#pragma once

#include "agent/agent.h"

/* Into Instance.vcpu_model, unsaved: the processor that a guest of `spec` is defined with. */
bool guest_cpu_record(Agent *agent, const GuestSpec *spec, Ovo *instance, GError **err);
