"""The requests of the golden tests: flavors x images x networks x configurations; see generate.

A case is a dict; what it leaves out has a default: config (options by group), flavor (fields), specs (extra
specs), image (fields of the image; None: only the instance's system_metadata), props (image properties), instance
(fields), bdms (block device mappings), vifs (a function that makes them), rescue (properties of the rescue image:
the guest is rescued with it).
"""
from nova.network import model

UUID = 'c7f5f0b8-5de2-4bd4-8324-cafa60cf2933'
RESCUE_IMAGE = '0e2f8a44-5a8b-4d8a-9a52-6f4dca3f7b10'
IMAGE = '505d6221-7feb-4a34-8eb4-7e98c30dc857'
NET = '97b743f8-44ce-490f-bd22-f802a1fa9333'

CONFIG = {
    'DEFAULT': {'instances_path': '/nonexistent/instances', 'state_path': '/nonexistent', 'my_ip': '192.0.2.1',
                'host': 'golden', 'compute_driver': 'libvirt.LibvirtDriver'},
    'libvirt': {'virt_type': 'kvm'},
    'vnc': {'enabled': 'true', 'server_listen': '127.0.0.1'},
}


def config_text(case):
    groups = {name: dict(options) for name, options in CONFIG.items()}
    for name, options in case.get('config', {}).items():
        groups.setdefault(name, {}).update(options)
    return ''.join('[%s]\n%s' % (name, ''.join('%s = %s\n' % item for item in sorted(options.items())))
                   for name, options in sorted(groups.items()))


# ---- networks ----

def subnet(number=0, version=4):
    address = '10.77.%d.149' % number if version == 4 else '2001:db8:%d::149' % number
    cidr = '10.77.%d.0/24' % number if version == 4 else '2001:db8:%d::/64' % number
    return model.Subnet(cidr=cidr, version=version, dns=[], routes=[], gateway=model.IP(
        address=address.replace('149', '1'), type='gateway', version=version),
        ips=[model.FixedIP(address=address, version=version)])


def vif(number=0, subnets=None, vif_type='bridge', mtu=1450, details=None, **fields):
    port = 'ba6c7dab-e368-44e6-ac3e-56a2aab980%02x' % number
    meta = {'mtu': mtu} if mtu else {}
    bridge = 'br-int' if vif_type == 'ovs' else 'brq97b743f8-44'
    network = model.Network(id=NET, bridge=bridge, label='provider', injected=False, tenant_id='t',
                            subnets=[subnet(number)] if subnets is None else subnets, **meta)
    if vif_type == 'ovs':
        fields.setdefault('ovs_interfaceid', port)
    return model.VIF(id=port, address='fa:16:3e:05:cb:%02x' % number, network=network, type=vif_type,
                     devname='tap' + port[:11], active=False, vnic_type='normal', profile={},
                     details=details or {'port_filter': True}, **fields)


HYBRID = {'port_filter': True, 'ovs_hybrid_plug': True}


def ONE_VIF():
    return [vif()]


def NO_VIF():
    return []


# ---- block devices ----

IMAGE_BDM = [dict(source_type='image', destination_type='local', boot_index=0, image_id=IMAGE, device_type='disk')]


def blank(size, **fields):
    return dict(dict(source_type='blank', destination_type='local', boot_index=-1, volume_size=size), **fields)


SWAP = blank(64, guest_format='swap')
QEMU = {'libvirt': {'virt_type': 'qemu', 'cpu_mode': 'none'}}
Q35 = {'hw_machine_type': 'q35'}
# The secret is made before the XML.
TPM = {'config': {'libvirt': {'swtpm_enabled': 'true'}},
       'instance': {'system_metadata': {'owner_user_name': 'alice', 'owner_project_name': 'lab',
                                        'vtpm_secret_uuid': '9d5a8f3e-8f0b-4b5c-b6c5-0f3d8a2f7c11'}}}


def kvm(**options):
    return {'libvirt': options}


def cpus(vcpus, specs=None, **props):
    return dict(flavor={'vcpus': vcpus}, specs={'hw:cpu_' + k: v for k, v in (specs or {}).items()},
                props={'hw_cpu_' + k: v for k, v in props.items()})


CASES = {
    # ---- plain guests ----
    'plain-kvm': {},
    'plain-qemu': dict(config=QEMU),
    'qemu-default-cpu': dict(config={'libvirt': {'virt_type': 'qemu'}}),
    'large': dict(flavor={'vcpus': 8, 'memory_mb': 16384, 'root_gb': 80, 'name': 'm1.large "x" <&>'}),
    'no-network': dict(vifs=NO_VIF),
    'odd-names': dict(instance={'display_name': 'w\u00e4b <a&b> "q"'}),
    'no-owner-names': dict(instance={'system_metadata': {}}),
    'no-image-ref': dict(instance={'image_ref': ''}),
    'named-root': dict(instance={'root_device_name': '/dev/vda'}),
    'from-system-metadata': dict(image=None, instance={'system_metadata': {
        'image_hw_machine_type': 'q35', 'image_hw_disk_bus': 'sata', 'image_hw_vif_model': 'e1000',
        'image_disk_format': 'qcow2', 'image_base_image_ref': IMAGE, 'owner_user_name': 'bob'}}),
    'made-anew': dict(image=None, flavor={'ephemeral_gb': 1, 'swap': 64}, bdms=[
        dict(IMAGE_BDM[0], device_name='/dev/vda', disk_bus='virtio'),
        blank(1, device_name='/dev/vdb', disk_bus='virtio', device_type='disk'),
        dict(SWAP, device_name='/dev/vdc', disk_bus='virtio')], instance={
            'root_device_name': '/dev/vda', 'config_drive': 'True', 'system_metadata': {
                'image_hw_machine_type': 'pc', 'image_hw_cdrom_bus': 'ide', 'image_hw_disk_bus': 'virtio',
                'image_hw_input_bus': 'usb', 'image_hw_pointer_model': 'usbtablet', 'image_hw_video_model': 'virtio',
                'image_hw_vif_model': 'virtio', 'image_disk_format': 'qcow2', 'image_min_ram': '0',
                'owner_user_name': 'alice', 'owner_project_name': 'lab'}}),
    'legacy-property-names': dict(props={'vmware_adaptertype': 'lsiLogicsas', 'architecture': 'amd64',
                                         'vmware_ostype': 'debian10_64Guest'}),
    'unknown-keys': dict(specs={'aggregate_instance_extra_specs:ssd': 'true', 'trait:HW_CPU_X86_AVX2': 'required',
                                'resources:VCPU': '1', 'quota:memory_limit': '100', 'weight:x': '1'},
                         props={'os_distro': 'debian', 'os_version': '12', 'my_own': 'x', 'hw_rng_model': 'virtio'}),

    # ---- CPUs ----
    'cpu-four-sockets': cpus(4),
    'cpu-prefer-cores': cpus(4, {'cores': '4'}),
    'cpu-prefer-threads': cpus(8, {'threads': '2'}),
    'cpu-exact': cpus(8, {'sockets': '2', 'cores': '2', 'threads': '2'}),
    'cpu-max-sockets': cpus(8, {'max_sockets': '2'}),
    'cpu-max-sockets-threads': cpus(8, {'max_sockets': '1', 'max_threads': '1'}),
    'cpu-max-cores': cpus(12, {'max_cores': '3', 'max_sockets': '2'}),
    'cpu-image-prefers': cpus(6, {'sockets': '6'}, cores='3'),
    'cpu-image-lowers-limit': cpus(8, {'max_sockets': '8', 'sockets': '8'}, max_sockets='2'),
    'cpu-preference-does-not-divide': cpus(6, {'sockets': '4', 'cores': '3'}),
    'cpu-prime': cpus(7, {'max_sockets': '1'}),
    'cpu-image-limit-too-high': cpus(4, {'max_sockets': '2'}, max_sockets='4'),
    'cpu-image-topology-too-high': cpus(4, {'max_cores': '2'}, cores='4'),
    'cpu-impossible': cpus(7, {'max_sockets': '2', 'max_cores': '2', 'max_threads': '1'}),
    'cpu-not-a-number': cpus(4, {'sockets': 'two'}),
    'cpu-tune': dict(specs={'quota:cpu_shares': '2048', 'quota:cpu_quota': '50000', 'quota:cpu_period': '100000'}),
    'cpu-quota-unlimited': dict(specs={'quota:cpu_quota': '-1'}),
    'cpu-shared-set': dict(config={'compute': {'cpu_shared_set': '0-1'}}, flavor={'vcpus': 2}),
    'cpu-host-passthrough': dict(config=kvm(cpu_mode='host-passthrough')),
    'cpu-custom-flags': dict(config=kvm(cpu_mode='custom', cpu_models='ivybridge',
                                        cpu_model_extra_flags='+PCID,-mtrr,ssbd')),
    'cpu-pmu-on': dict(specs={'hw:pmu': 'true'}),
    'cpu-pmu-off': dict(props={'hw_pmu': 'no'}),
    'cpu-pmu-agree': dict(specs={'hw:pmu': '1'}, props={'hw_pmu': 'yes'}),
    'cpu-pmu-conflict': dict(specs={'hw:pmu': 'true'}, props={'hw_pmu': 'false'}),
    'arch-i686': dict(props={'hw_architecture': 'i686'}),
    'arch-i386-old-name': dict(props={'architecture': 'i386'}, config=kvm(hw_machine_type='i686=q35,x86_64=pc')),

    # ---- machine and firmware ----
    'machine-q35': dict(props=Q35),
    'machine-by-config': dict(config=kvm(hw_machine_type='x86_64=q35')),
    'machine-unknown': dict(props={'hw_machine_type': 'pc-1.0'}),
    'pcie-ports': dict(props=Q35, config=kvm(num_pcie_ports='5')),
    'pcie-ports-need-q35': dict(config=kvm(num_pcie_ports='5')),
    'uefi-pc': dict(props={'hw_firmware_type': 'uefi'}),
    'uefi-q35': dict(props=dict(Q35, hw_firmware_type='uefi')),
    'bios': dict(props=dict(Q35, hw_firmware_type='bios', os_secure_boot='required')),
    'secure-boot': dict(props=dict(Q35, hw_firmware_type='uefi', os_secure_boot='required')),
    'secure-boot-flavor': dict(props=dict(Q35, hw_firmware_type='uefi'), specs={'os:secure_boot': 'required'}),
    'secure-boot-optional-q35': dict(props=dict(Q35, hw_firmware_type='uefi', os_secure_boot='optional')),
    'secure-boot-optional-pc': dict(props={'hw_firmware_type': 'uefi', 'os_secure_boot': 'optional'}),
    'secure-boot-disabled': dict(props=dict(Q35, hw_firmware_type='uefi', os_secure_boot='disabled')),
    'secure-boot-pc': dict(props={'hw_firmware_type': 'uefi', 'os_secure_boot': 'required'}),
    'secure-boot-conflict': dict(props=dict(Q35, hw_firmware_type='uefi', os_secure_boot='disabled'),
                                 specs={'os:secure_boot': 'required'}),
    'secure-boot-unknown': dict(props=dict(Q35, hw_firmware_type='uefi'), specs={'os:secure_boot': 'maybe'}),
    'uefi-kernel': dict(props=dict(hw_firmware_type='uefi'), instance={'kernel_id': IMAGE, 'ramdisk_id': IMAGE}),
    'boot-menu-flavor': dict(specs={'hw:boot_menu': 'true'}),
    'boot-menu-image': dict(specs={'hw:boot_menu': 'true'}, props={'hw_boot_menu': 'false'}),
    'kernel-ramdisk': dict(instance={'kernel_id': IMAGE, 'ramdisk_id': IMAGE}),
    'kernel-qemu': dict(config=QEMU, instance={'kernel_id': IMAGE}),
    'kernel-command-line': dict(instance={'kernel_id': IMAGE}, props={'os_command_line': 'quiet a="b" <c>'}),
    'command-line-without-kernel': dict(props={'os_command_line': 'quiet'}),
    'hpet': dict(props={'hw_time_hpet': 'true'}),
    'no-apic': dict(config={'workarounds': {'libvirt_disable_apic': 'true'}}),
    'windows': dict(instance={'os_type': 'windows'}),
    'windows-hidden': dict(instance={'os_type': 'windows'}, props={'img_hide_hypervisor_id': 'true'}),
    'windows-qemu': dict(instance={'os_type': 'windows'}, config=QEMU),
    'hidden-by-old-spec': dict(specs={'hide_hypervisor_id': 'true'}),
    'hidden-by-spec': dict(specs={'hw:hide_hypervisor_id': 'yes'}),
    'serial-hardware': dict(config=kvm(sysinfo_serial='hardware')),
    'perf-events': dict(config=kvm(enabled_perf_events='cpu_clock,cmt,page_faults,nonsense')),
    'no-balloon': dict(config=kvm(mem_stats_period_seconds='0')),

    # ---- disks ----
    'disk-scsi': dict(props={'hw_disk_bus': 'scsi'}),
    'disk-virtio-scsi': dict(props={'hw_disk_bus': 'scsi', 'hw_scsi_model': 'virtio-scsi'},
                             bdms=IMAGE_BDM + [blank(1), SWAP], instance={'config_drive': 'True'}),
    'disk-virtio-scsi-config-drive': dict(props={'hw_disk_bus': 'scsi', 'hw_scsi_model': 'virtio-scsi',
                                                 'hw_cdrom_bus': 'scsi'}, instance={'config_drive': 'True'}),
    'disk-lsilogic': dict(props={'hw_disk_bus': 'scsi', 'hw_scsi_model': 'lsilogic'}),
    'scsi-controller-without-scsi-disk': dict(props={'hw_scsi_model': 'virtio-scsi'}),
    'disk-sata-q35': dict(props=dict(Q35, hw_disk_bus='sata'), instance={'config_drive': 'True'}),
    'disk-ide': dict(props={'hw_disk_bus': 'ide'}, bdms=IMAGE_BDM + [blank(1)], instance={'config_drive': 'True'}),
    'disk-usb': dict(props={'hw_disk_bus': 'usb'}),
    'disk-fdc': dict(props={'hw_disk_bus': 'fdc'}),
    'disk-xen': dict(props={'hw_disk_bus': 'xen'}),
    'disk-unknown-bus': dict(props={'hw_disk_bus': 'nvme'}),
    'disk-ephemerals-swap': dict(bdms=IMAGE_BDM + [SWAP, blank(2), blank(3, guest_format='ext4')],
                                 flavor={'ephemeral_gb': 5, 'swap': 64}, instance={'config_drive': 'True'}),
    'disk-named': dict(bdms=[dict(IMAGE_BDM[0], device_name='/dev/vda', disk_bus='virtio'),
                             blank(1, device_name='/dev/vdc', disk_bus='virtio'), dict(SWAP)],
                       instance={'root_device_name': '/dev/vda'}, flavor={'swap': 64, 'ephemeral_gb': 1}),
    'disk-mapped-bus': dict(bdms=[dict(IMAGE_BDM[0], disk_bus='sata'), blank(1, disk_bus='scsi'),
                                  blank(1, disk_bus='lxc')], flavor={'ephemeral_gb': 2}),
    'disk-mapped-type': dict(bdms=[dict(IMAGE_BDM[0]), blank(1, device_type='cdrom', disk_bus='ide'),
                                   blank(1, device_type='floppy', disk_bus='fdc')], flavor={'ephemeral_gb': 2}),
    'disk-bus-by-name': dict(bdms=[dict(IMAGE_BDM[0]), blank(1, device_name='/dev/sdb', disk_bus='lxc')],
                             flavor={'ephemeral_gb': 1}),
    'disk-flavor-swap-unmapped': dict(flavor={'swap': 128}),
    'disk-iso': dict(image={'disk_format': 'iso'}),
    'disk-iso-unmapped': dict(image={'disk_format': 'iso'}, bdms=[]),
    'disk-iso-unmapped-q35': dict(image={'disk_format': 'iso'}, bdms=[], props=Q35),
    'disk-prefix': dict(config=kvm(disk_prefix='xv'), bdms=IMAGE_BDM + [blank(1)], flavor={'ephemeral_gb': 1}),
    'disk-too-many-ide': dict(props={'hw_disk_bus': 'ide'}, bdms=IMAGE_BDM + [blank(1)] * 4,
                              flavor={'ephemeral_gb': 4}),
    'disk-limit': dict(config={'compute': {'max_disk_devices_to_attach': '2'}}, bdms=IMAGE_BDM + [blank(1)] * 2,
                       flavor={'ephemeral_gb': 2}),
    'disk-many': dict(bdms=IMAGE_BDM + [blank(1)] * 27, flavor={'ephemeral_gb': 27}),
    'disk-tune': dict(specs={'quota:disk_read_bytes_sec': '10485760', 'quota:disk_read_iops_sec': '100',
                             'quota:disk_write_bytes_sec': '20971520', 'quota:disk_write_iops_sec': '200'},
                      instance={'config_drive': 'True'}),
    'disk-tune-total': dict(specs={'quota:disk_total_iops_sec': '500', 'quota:disk_total_bytes_sec': '1048576'}),
    'disk-discard': dict(config=kvm(hw_disk_discard='unmap')),
    'disk-cache': dict(config=kvm(disk_cachemodes='"file=writeback"')),
    'disk-preallocated': dict(config={'DEFAULT': {'preallocate_images': 'space'}}),
    'disk-preallocated-cached': dict(config={'DEFAULT': {'preallocate_images': 'space'},
                                             'libvirt': {'disk_cachemodes': '"file=writeback"'}}),
    'disk-raw': dict(config=kvm(images_type='raw'), image={'disk_format': 'raw'}),
    'config-drive': dict(instance={'config_drive': 'True'}),
    'config-drive-q35': dict(instance={'config_drive': 'True'}, props=Q35),
    'config-drive-vfat': dict(instance={'config_drive': 'True'}, config={'DEFAULT': {'config_drive_format': 'vfat'}}),
    'config-drive-forced': dict(config={'DEFAULT': {'force_config_drive': 'true'}}),
    'config-drive-by-image': dict(props={'img_config_drive': 'mandatory', 'hw_cdrom_bus': 'usb'},
                                  instance={'system_metadata': {'image_img_config_drive': 'mandatory'}}),

    # ---- networks ----
    'vif-ovs': dict(vifs=lambda: [vif(vif_type='ovs')]),
    'vif-ovs-created': dict(vifs=lambda: [vif(vif_type='ovs', delegate_create=True)]),
    'vif-ovs-hybrid': dict(vifs=lambda: [vif(vif_type='ovs', details=HYBRID)]),
    'vif-ovs-hybrid-created': dict(vifs=lambda: [vif(vif_type='ovs', details=HYBRID, delegate_create=True)]),
    'vif-bandwidth-ovs-created': dict(specs={'quota:vif_outbound_average': '500'},
                                      vifs=lambda: [vif(vif_type='ovs', delegate_create=True)]),
    'vif-two': dict(vifs=lambda: [vif(0), vif(1, vif_type='ovs', mtu=9000)]),
    'vif-two-stacks': dict(vifs=lambda: [vif(0, [subnet(0), subnet(1, 6), subnet(2)])]),
    'vif-no-mtu': dict(vifs=lambda: [vif(mtu=None)]),
    'vif-no-address': dict(vifs=lambda: [vif(subnets=[])]),
    'vif-e1000': dict(props={'hw_vif_model': 'e1000'}),
    'vif-old-name': dict(props={'hw_vif_model': 'VirtualE1000e'}),
    'vif-lan9118-qemu': dict(props={'hw_vif_model': 'lan9118'}, config=QEMU),
    'vif-lan9118-kvm': dict(props={'hw_vif_model': 'lan9118'}),
    'vif-unsupported': dict(props={'hw_vif_model': 'netfront'}),
    'vif-unknown': dict(props={'hw_vif_model': 'ne3000'}),
    'vif-no-default-model': dict(config=kvm(use_virtio_for_bridges='false')),
    'vif-queues-flavor': dict(specs={'hw:vif_multiqueue_enabled': 'true'}, flavor={'vcpus': 4}),
    'vif-queues-image': dict(props={'hw_vif_multiqueue_enabled': 'true'}, flavor={'vcpus': 4},
                             config=kvm(max_queues='2', rx_queue_size='512')),
    'vif-queues-one-cpu': dict(props={'hw_vif_multiqueue_enabled': 'true'}),
    'vif-queues-qemu': dict(props={'hw_vif_multiqueue_enabled': 'true'}, flavor={'vcpus': 4}, config=QEMU),
    'vif-queues-e1000': dict(props={'hw_vif_multiqueue_enabled': 'true', 'hw_vif_model': 'e1000'},
                             flavor={'vcpus': 4}),
    'vif-queues-conflict': dict(props={'hw_vif_multiqueue_enabled': 'true'}, flavor={'vcpus': 4},
                                specs={'hw:vif_multiqueue_enabled': 'false'}),
    'vif-rx-queue': dict(config=kvm(rx_queue_size='1024')),
    'vif-bandwidth': dict(specs={'quota:vif_inbound_average': '1000', 'quota:vif_inbound_peak': '2000',
                                 'quota:vif_inbound_burst': '4000', 'quota:vif_outbound_average': '500'}),
    'vif-bandwidth-peak-only': dict(specs={'quota:vif_inbound_peak': '2000'}),
    'vif-bandwidth-ovs': dict(specs={'quota:vif_outbound_average': '500', 'quota:vif_outbound_peak': '600',
                                     'quota:vif_outbound_burst': '700'}, vifs=lambda: [vif(vif_type='ovs')]),

    # ---- other devices ----
    'no-vnc': dict(config={'vnc': {'enabled': 'false'}}, props={'hw_video_model': 'vga', 'hw_input_bus': 'usb'}),
    'spice': dict(config={'vnc': {'enabled': 'false'}, 'spice': {
        'enabled': 'true', 'agent_enabled': 'true', 'server_listen': '127.0.0.1'}}),
    'spice-no-agent': dict(config={'vnc': {'enabled': 'false'}, 'spice': {
        'enabled': 'true', 'agent_enabled': 'false', 'server_listen': '127.0.0.1'}}),
    'spice-and-vnc': dict(config={'spice': {'enabled': 'true', 'server_listen': '0.0.0.0'}}),
    'spice-input-bus': dict(config={'vnc': {'enabled': 'false'}, 'spice': {'enabled': 'true'}},
                            props={'hw_input_bus': 'virtio', 'hw_video_model': 'virtio'}),
    'spice-video-ram': dict(config={'vnc': {'enabled': 'false'}, 'spice': {'enabled': 'true'}},
                            props={'hw_video_ram': '64'}, specs={'hw_video:ram_max_mb': '64'}),
    'spice-video-ram-too-high': dict(config={'vnc': {'enabled': 'false'}, 'spice': {'enabled': 'true'}},
                                     props={'hw_video_ram': '64'}),
    'serial': dict(config={'serial_console': {'enabled': 'true', 'proxyclient_address': '192.0.2.1'}}),
    'serial-count-flavor': dict(config={'serial_console': {'enabled': 'true'}}, specs={'hw:serial_port_count': '3'}),
    'serial-count-image': dict(config={'serial_console': {'enabled': 'true'}}, specs={'hw:serial_port_count': '3'},
                               props={'hw_serial_port_count': '2'}),
    'serial-count-image-exceeds': dict(config={'serial_console': {'enabled': 'true'}},
                                       specs={'hw:serial_port_count': '1'}, props={'hw_serial_port_count': '2'}),
    'serial-count-limit': dict(config={'serial_console': {'enabled': 'true'}}, specs={'hw:serial_port_count': '9'}),
    'serial-count-no-number': dict(config={'serial_console': {'enabled': 'true'}},
                                   specs={'hw:serial_port_count': 'x'}),
    'serial-count-not-enabled': dict(specs={'hw:serial_port_count': '3'}),
    'video-vga-ram': dict(props={'hw_video_model': 'vga', 'hw_video_ram': '64'}, specs={'hw_video:ram_max_mb': '64'}),
    'video-ram-too-high': dict(props={'hw_video_model': 'qxl', 'hw_video_ram': '65'},
                               specs={'hw_video:ram_max_mb': '64'}),
    'video-ram-not-allowed': dict(props={'hw_video_ram': '8'}),
    'video-ram-unused': dict(specs={'hw_video:ram_max_mb': '64'}),
    'video-none': dict(props={'hw_video_model': 'none'}),
    'video-unknown': dict(props={'hw_video_model': 'vesa'}),
    'pointer-ps2': dict(config={'DEFAULT': {'pointer_model': 'ps2mouse'}}),
    'pointer-by-image': dict(config={'DEFAULT': {'pointer_model': 'ps2mouse'}},
                             props={'hw_pointer_model': 'usbtablet'}),
    'input-virtio': dict(props={'hw_input_bus': 'virtio'}),
    'input-usb': dict(props={'hw_input_bus': 'usb'}),
    'rng-refused': dict(specs={'hw_rng:allowed': 'False'}, props={'hw_rng_model': 'virtio'}),
    'rng-rate': dict(specs={'hw_rng:allowed': 'True', 'hw_rng:rate_bytes': '2048', 'hw_rng:rate_period': '1000'}),
    'rng-rate-without-period': dict(specs={'hw_rng:rate_bytes': '2048'}),
    'rng-no-device': dict(config=kvm(rng_dev_path='/nonexistent/random')),
    'watchdog-flavor': dict(specs={'hw:watchdog_action': 'reset'}),
    'watchdog-image-wins': dict(specs={'hw:watchdog_action': 'reset'}, props={'hw_watchdog_action': 'poweroff'}),
    'watchdog-disabled': dict(specs={'hw:watchdog_action': 'reset'}, props={'hw_watchdog_action': 'disabled'}),
    'watchdog-unknown': dict(specs={'hw:watchdog_action': 'explode'}),
    'guest-agent': dict(props={'hw_qemu_guest_agent': 'yes'}),
    'iommu-intel': dict(props=dict(Q35, hw_viommu_model='intel')),
    'iommu-auto': dict(props=Q35, specs={'hw:viommu_model': 'auto'}),
    'iommu-flavor-wins': dict(props=dict(Q35, hw_viommu_model='virtio'), specs={'hw:viommu_model': 'intel'}),
    'iommu-pc': dict(props={'hw_viommu_model': 'intel'}),
    'tpm': dict(TPM, specs={'hw:tpm_version': '2.0'}),
    'tpm-crb': dict(TPM, specs={'hw:tpm_version': '2.0', 'hw:tpm_model': 'tpm-crb'}),
    'tpm-by-image': dict(TPM, props={'hw_tpm_version': '1.2', 'hw_tpm_model': 'tpm-tis'}),
    'tpm-q35': dict(TPM, props=dict(Q35, hw_tpm_version='2.0', hw_tpm_model='tpm-crb')),
    'tpm-model-alone': dict(TPM, specs={'hw:tpm_model': 'tpm-crb'}),
    'tpm-disabled': dict(specs={'hw:tpm_version': '2.0'}),
    'tpm-crb-1.2': dict(props={'hw_tpm_version': '1.2', 'hw_tpm_model': 'tpm-crb'}),
    'tpm-conflict': dict(props={'hw_tpm_version': '1.2'}, specs={'hw:tpm_version': '2.0'}),

    # ---- rescue ----
    'rescue': dict(rescue={}),
    'rescue-all-disks': dict(rescue={}, bdms=IMAGE_BDM + [blank(1), SWAP], flavor={'ephemeral_gb': 1, 'swap': 64},
                             instance={'config_drive': 'True', 'root_device_name': '/dev/vda'},
                             specs={'quota:disk_total_iops_sec': '500'}),
    'rescue-vfat-drive': dict(rescue={}, instance={'config_drive': 'True'},
                              config={'DEFAULT': {'config_drive_format': 'vfat'}}),
    'rescue-other-machine': dict(rescue=dict(Q35, hw_disk_bus='sata', hw_vif_model='e1000'),
                                 props={'hw_disk_bus': 'ide'}, instance={'config_drive': 'True'}),
    'rescue-virtio-scsi': dict(rescue={'hw_disk_bus': 'scsi', 'hw_scsi_model': 'virtio-scsi'}),
    'rescue-kernel': dict(rescue={'os_command_line': 'quiet'}, instance={'kernel_id': IMAGE, 'ramdisk_id': IMAGE}),
    'rescue-kernel-by-config': dict(rescue={}, config=kvm(rescue_kernel_id=IMAGE, rescue_ramdisk_id=IMAGE)),
    'rescue-uefi': dict(rescue=dict(Q35, hw_firmware_type='uefi')),
    'rescue-stable-usb': dict(rescue={'hw_rescue_device': 'disk', 'hw_rescue_bus': 'usb'},
                              bdms=IMAGE_BDM + [blank(1), SWAP], flavor={'ephemeral_gb': 1, 'swap': 64},
                              instance={'config_drive': 'True'}, specs={'quota:disk_total_iops_sec': '500'}),
    'rescue-stable-cdrom': dict(rescue={'hw_rescue_device': 'cdrom'}, props=Q35),
    'rescue-stable-virtio': dict(rescue={'hw_rescue_bus': 'virtio', 'hw_machine_type': 'q35'},
                                 props={'hw_disk_bus': 'sata'}),
    'rescue-stable-scsi': dict(rescue={'hw_rescue_device': 'disk', 'hw_rescue_bus': 'scsi'},
                               props={'hw_disk_bus': 'scsi', 'hw_scsi_model': 'virtio-scsi'}),
    'rescue-stable-unknown-bus': dict(rescue={'hw_rescue_bus': 'xen'}),

    # ---- much at once ----
    'everything-windows': dict(
        flavor={'vcpus': 8, 'memory_mb': 4096, 'ephemeral_gb': 3, 'swap': 64},
        instance={'os_type': 'windows', 'config_drive': 'True'}, bdms=IMAGE_BDM + [blank(3), SWAP],
        specs={'hw:cpu_max_sockets': '2', 'quota:cpu_shares': '1024', 'quota:disk_total_iops_sec': '500',
               'hw:watchdog_action': 'reset', 'hw:boot_menu': 'true', 'hw:pmu': 'false',
               'quota:vif_inbound_average': '1000', 'hw_video:ram_max_mb': '32', 'hw:vif_multiqueue_enabled': 'yes'},
        props=dict(Q35, hw_firmware_type='uefi', os_secure_boot='required', hw_disk_bus='scsi',
                   hw_scsi_model='virtio-scsi', hw_video_model='qxl', hw_video_ram='16', hw_qemu_guest_agent='yes',
                   hw_input_bus='usb', img_hide_hypervisor_id='true', hw_time_hpet='true', hw_viommu_model='intel'),
        vifs=lambda: [vif(0), vif(1, vif_type='ovs')],
        config={'libvirt': {'num_pcie_ports': '2', 'hw_disk_discard': 'unmap', 'rx_queue_size': '256'},
                'compute': {'cpu_shared_set': '1'}}),
    'everything-qemu': dict(
        flavor={'vcpus': 3, 'ephemeral_gb': 1}, instance={'system_metadata': {'image_img_config_drive': 'mandatory'}},
        bdms=IMAGE_BDM + [blank(1, guest_format='ext4')],
        specs={'hw:cpu_cores': '3', 'hw_rng:rate_bytes': '100', 'hw_rng:rate_period': '10',
               'quota:disk_read_iops_sec': '50', 'hide_hypervisor_id': 'true'},
        props={'hw_disk_bus': 'ide', 'hw_vif_model': 'rtl8139', 'hw_video_model': 'cirrus',
               'hw_watchdog_action': 'pause', 'img_config_drive': 'mandatory', 'hw_boot_menu': 'yes'},
        config=dict(QEMU, vnc={'enabled': 'true', 'server_listen': '0.0.0.0'})),
}
