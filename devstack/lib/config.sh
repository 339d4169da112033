# shellcheck shell=bash
# Writes the configuration of every service below $ETC. The files are rewritten by each `up`, so a change here
# needs no purge. nova-compute.conf is the one that matters to drover: it is what an operator has on a
# compute host (no [database] section) and both agents read it unchanged.

auth_options() { # USER: how a service logs in
    cat << X
auth_url=$KEYSTONE_URL
auth_type=password
project_domain_name=Default
user_domain_name=Default
project_name=service
username=$1
password=$PASSWORD
X
}

authtoken() { # USER: [keystone_authtoken]
    cat << X
[keystone_authtoken]
www_authenticate_uri=$KEYSTONE_URL
memcached_servers=$IP:11211
region_name=RegionOne
$(auth_options "$1")
X
}

config_infra() {
    cat > "$ETC/rabbitmq.conf" << X
listeners.tcp.1 = $IP:5672
loopback_users = none
default_user = drover
default_pass = $PASSWORD
default_user_tags.administrator = true
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 500MB
log.file.level = warning
X
    echo '[].' > "$ETC/rabbit_plugins"
    # A power failure may cost this database its last second: nobody minds, and schema migrations are faster.
    cat > "$ETC/my.cnf" << X
[mysqld]
user=mysql
datadir=$STATE/mysql
socket=$RUN/mysql.sock
pid-file=$RUN/mysqld.pid
log-error=$LOG/mariadb.log
bind-address=$IP
port=3306
skip-log-bin
skip-name-resolve
performance_schema=OFF
innodb_buffer_pool_size=128M
innodb_log_file_size=48M
innodb_flush_log_at_trx_commit=0
innodb_flush_method=O_DIRECT_NO_FSYNC
innodb_doublewrite=0
max_connections=500
character-set-server=utf8mb3
X
}

config_keystone() {
    mkdir -p "$ETC/keystone"
    cat > "$ETC/keystone/keystone.conf" << X
[DEFAULT]
log_dir=$LOG
log_file=keystone.log
[database]
connection=$DB_URL/keystone
[identity]
# bcrypt at its default strength takes a quarter of a second for every login.
password_hash_rounds=4
[token]
provider=fernet
expiration=86400
[fernet_tokens]
key_repository=$ETC/keystone/fernet-keys
[fernet_receipts]
key_repository=$ETC/keystone/fernet-keys
[credential]
key_repository=$ETC/keystone/credential-keys
[cache]
enabled=true
backend=dogpile.cache.memcached
memcache_servers=$IP:11211
[oslo_messaging_notifications]
driver=noop
X
}

config_glance() {
    mkdir -p "$ETC/glance" "$STATE"/glance/{images,staging,tasks}
    # workers=0: one process. A parent would look a hundred times a second whether its workers still live.
    # enabled_import_methods stays at its default: a value without brackets breaks every image call.
    cat > "$ETC/glance/glance-api.conf" << X
[DEFAULT]
bind_host=$IP
bind_port=9292
workers=0
log_dir=$LOG
log_file=glance-api.log
enabled_backends=fs:file
[database]
connection=$DB_URL/glance
[glance_store]
default_backend=fs
[fs]
filesystem_store_datadir=$STATE/glance/images
[os_glance_staging_store]
filesystem_store_datadir=$STATE/glance/staging
[os_glance_tasks_store]
filesystem_store_datadir=$STATE/glance/tasks
[paste_deploy]
flavor=keystone
[oslo_messaging_notifications]
driver=noop
$(authtoken glance)
X
}

config_placement() {
    mkdir -p "$ETC/placement"
    cat > "$ETC/placement/placement.conf" << X
[DEFAULT]
log_dir=$LOG
log_file=placement-api.log
[api]
auth_strategy=keystone
[placement_database]
connection=$DB_URL/placement
max_pool_size=5
$(authtoken placement)
X
}

# Secrets under one key of barbican's own, in its database.
config_barbican() {
    has_key_manager || return 0
    mkdir -p "$ETC/barbican"
    install -m 644 /usr/share/barbican-common/barbican-api-paste.ini "$ETC/barbican/"
    [ -s "$ETC/barbican/kek" ] || (umask 077 && head -c 32 /dev/urandom | base64 > "$ETC/barbican/kek")
    cat > "$ETC/barbican/barbican.conf" << X
[DEFAULT]
log_dir=$LOG
log_file=barbican-api.log
host_href=http://$IP:9311
sql_connection=$DB_URL/barbican
[queue]
enable=false
[secretstore]
enabled_secretstore_plugins=store_crypto
[crypto]
enabled_crypto_plugins=simple_crypto
[simple_crypto_plugin]
kek=$(cat "$ETC/barbican/kek")
$(authtoken barbican)
X
}

nova_default() { # HOST ADDRESS STATE-FOLDER LOG-FOLDER: [DEFAULT] as far as controller and compute host share it
    cat << X
[DEFAULT]
transport_url=$RABBIT_URL
my_ip=$2
host=$1
state_path=$3
log_dir=$4
debug=${DROVER_CLOUD_DEBUG:-false}
rootwrap_config=/etc/nova/rootwrap.conf
allow_resize_to_same_host=$([ "$(host_count)" = 0 ] && echo true || echo false)
X
}

nova_neighbours() { # STATE-FOLDER: the sections about other services, the same for controller and compute host
    cat << X
[service_user]
send_service_user_token=true
$(auth_options nova)
$(authtoken nova)
service_token_roles_required=true
service_token_roles=service
[placement]
region_name=RegionOne
$(auth_options placement)
[neutron]
region_name=RegionOne
service_metadata_proxy=true
metadata_proxy_shared_secret=$PASSWORD
$(auth_options neutron)
[glance]
api_servers=http://$IP:9292
[oslo_concurrency]
lock_path=$1/locks
X
}

# Ten guests at once have to fit on two cores. virt_type: nested KVM is of no use to a stock guest kernel here,
# and any other cpu_mode needs KVM.
nova_compute() { # HOST ADDRESS STATE-FOLDER LOG-FOLDER INSTANCES-FOLDER HEALTH-SOCKET [LIBVIRT-OPTION...]
    cat << X
$(nova_default "$1" "$2" "$3" "$4")
compute_driver=libvirt.LibvirtDriver
cpu_allocation_ratio=16.0
instances_path=$5
[libvirt]
virt_type=${DROVER_CLOUD_VIRT_TYPE:-qemu}
cpu_mode=none
$(printf '%s\n' "${@:7}")
$(! has_key_manager || echo swtpm_enabled=true)
inject_partition=-2
[vnc]
enabled=true
server_listen=$2
server_proxyclient_address=$2
novncproxy_base_url=http://$IP:6080/vnc_lite.html
[drover]
health_listen=unix:$6
$(nova_neighbours "$3")
X
}

config_nova() {
    mkdir -p "$ETC/nova" "$STATE"/nova/{instances,locks,tmp}
    # A machine that does ten things at once is late with its reports: that is no reason to call a service dead.
    cat > "$ETC/nova/nova.conf" << X
$(nova_default "$HOST" "$IP" "$STATE/nova" "$LOG")
service_down_time=120
report_interval=30
rpc_response_timeout=60
enabled_apis=osapi_compute
osapi_compute_listen=$IP
osapi_compute_workers=1
[api]
auth_strategy=keystone
[api_database]
connection=$DB_URL/nova_api
[database]
connection=$DB_URL/nova
[conductor]
workers=1
[scheduler]
workers=1
[vnc]
enabled=true
novncproxy_host=$IP
novncproxy_port=6080
$(nova_neighbours "$STATE/nova")
X
    # Started by hand, for guests that want their key: it knows them by their addresses on the provider network, so no
    # agent of neutron's is needed between.
    cat > "$ETC/nova/nova-metadata.conf" << X
[DEFAULT]
metadata_listen=${EXT_GATEWAY%/*}
metadata_listen_port=$METADATA_PORT
metadata_workers=1
[neutron]
service_metadata_proxy=false
X
    nova_compute "$HOST" "$IP" "$STATE/nova" "$LOG" "$STATE/nova/instances" "$RUN/drover-health" \
        "connection_uri=$LIBVIRT_URI" > "$ETC/nova/nova-compute.conf"
}

# linuxbridge is "experimental" in Zed: without the flag neither server nor agent starts. Plain sudo: an agent looks a
# hundred times a second whether its rootwrap daemon still lives.
neutron_conf() { # HOST STATE-FOLDER LOG-FOLDER
    cat << X
[DEFAULT]
bind_host=$IP
host=$1
core_plugin=ml2
service_plugins=
auth_strategy=keystone
transport_url=$RABBIT_URL
state_path=$2
log_dir=$3
api_workers=0
rpc_workers=1
rpc_state_report_workers=0
notify_nova_on_port_status_changes=true
notify_nova_on_port_data_changes=true
dhcp_agents_per_network=1
agent_down_time=300
rpc_response_timeout=60
[experimental]
linuxbridge=true
[database]
connection=$DB_URL/neutron
[nova]
region_name=RegionOne
$(auth_options nova)
[placement]
region_name=RegionOne
$(auth_options placement)
[oslo_concurrency]
lock_path=$2/locks
[oslo_messaging_notifications]
driver=noop
[agent]
root_helper=sudo
$(authtoken neutron)
X
}

# helper_command puts our ebtables first in PATH, see ebtables-by-number.
privsep_helper() { # CONFIG-FILE...
    echo "helper_command=env PATH=$STATE/bin:/usr/sbin:/usr/bin:/sbin:/bin /usr/bin/privsep-helper" \
        "$(printf -- '--config-file %s ' "$@")"
}

# polling_interval: the wait for network-vif-plugged is the largest fixed part of a boot.
linuxbridge_conf() { # ADDRESS NIC CONFIG-FILE...
    cat << X
[linux_bridge]
physical_interface_mappings=provider:$2
[agent]
polling_interval=1
[privsep]
$(privsep_helper "${@:3}")
[vxlan]
enable_vxlan=true
local_ip=$1
l2_population=true
[securitygroup]
enable_security_group=true
enable_ipset=true
firewall_driver=iptables
X
}

config_neutron() {
    local dir=$ETC/neutron mechanism=linuxbridge interface=linuxbridge firewall=openvswitch
    case $(network_kind) in
    ovs) mechanism=openvswitch interface=openvswitch ;;
    ovs-hybrid) mechanism=openvswitch interface=openvswitch firewall=iptables_hybrid ;;
    esac
    mkdir -p "$dir" "$STATE/neutron/locks"
    neutron_conf "$HOST" "$STATE/neutron" "$LOG" > "$dir/neutron.conf"
    cat > "$dir/ml2.ini" << X
[ml2]
type_drivers=flat,vxlan,local
tenant_network_types=vxlan
mechanism_drivers=$mechanism,l2population
extension_drivers=port_security
[ml2_type_flat]
flat_networks=provider
[ml2_type_vxlan]
vni_ranges=100:199
[securitygroup]
enable_security_group=true
enable_ipset=true
firewall_driver=iptables
X
    linuxbridge_conf "$IP" "$EXT_NIC" "$dir/neutron.conf" "$dir/linuxbridge.ini" > "$dir/linuxbridge.ini"
    # datapath_type netdev: OVS's datapath in user space, which needs no kernel module.
    cat > "$dir/openvswitch.ini" << X
[ovs]
integration_bridge=br-int
bridge_mappings=provider:br-provider
datapath_type=netdev
local_ip=$IP
[agent]
polling_interval=1
tunnel_types=vxlan
l2_population=true
[privsep]
$(privsep_helper "$dir/neutron.conf" "$dir/openvswitch.ini")
[securitygroup]
enable_security_group=true
enable_ipset=true
firewall_driver=$firewall
X
    cat > "$dir/dhcp.ini" << X
[DEFAULT]
interface_driver=$interface
dhcp_driver=neutron.agent.linux.dhcp.Dnsmasq
enable_isolated_metadata=false
dnsmasq_local_resolv=false
X
    install -m 755 "$LIB/ebtables-by-number" "$STATE/bin/ebtables"
}

print_env() {
    cat << X
export OS_AUTH_URL=$KEYSTONE_URL/v3 OS_USERNAME=admin OS_PASSWORD=$PASSWORD OS_PROJECT_NAME=admin
export OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default OS_IDENTITY_API_VERSION=3
export OS_REGION_NAME=RegionOne OS_COMPUTE_API_VERSION=2.92 OS_PLACEMENT_API_VERSION=1.39
export DROVER_CLOUD=$STATE
export DROVER_CLOUD_LOG=$LOG
export DROVER_CLOUD_NETWORK=$(network_kind)
export DROVER_CLOUD_KEY_MANAGER=$(has_key_manager && echo yes || echo no)
export DROVER_CLOUD_TRANSPORT_URL=$RABBIT_URL
$(if [ "$(host_count)" = 0 ]; then print_env_one; else print_env_hosts; fi)
export no_proxy=$IP,localhost
unset OS_TOKEN OS_CLOUD
X
}

print_env_one() {
    cat << X
export DROVER_CLOUD_HOST=$HOST
export DROVER_CLOUD_CONF=$ETC/nova/nova-compute.conf
export DROVER_CLOUD_INSTANCES=$STATE/nova/instances
export DROVER_CLOUD_LIBVIRT_URI='$LIBVIRT_URI'
X
}

write_config() {
    config_infra
    config_keystone
    config_glance
    config_placement
    config_barbican
    config_nova
    config_neutron
    config_hosts
    print_env > "$STATE/env"
}
