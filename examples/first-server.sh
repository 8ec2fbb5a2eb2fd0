#!/usr/bin/env bash
# One server's whole life with the unmodified `openstack` command, on a virtual rack.
#
# Needs `ironlane` and `openstack` (python-openstackclient, python-ironicclient) on the PATH, or in .venv/bin of this
# checkout (`make setup` puts them there). Starts its own service and rack on 127.0.0.1, and stops them at the end.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[[ -d $here/../.venv/bin ]] && PATH=$(cd "$here/../.venv/bin" && pwd):$PATH
port=${PORT:-9797}
url=http://127.0.0.1:$port
work=$(mktemp -d)

export IRONLANE_SECRET_SWITCHES=switch-password IRONLANE_SECRET_BMCS=bmc-password
gateway=${GATEWAY_PORT:-9799}
export IRONLANE_URL=$url IRONLANE_TFTP_SERVER=10.100.0.1 IRONLANE_BOOT_FILE=ramdisk
export IRONLANE_AGENT_PROXY=http://127.0.0.1:$gateway

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

step "the service, and a rack to try it on"
ironlane serve --port "$port" --database "sqlite:///$work/first-server.sqlite" --log-level warning &
serve=$!
ironlane lab "$here/virtual-rack.yaml" --url "$url" --gateway-port "$gateway" &
lab=$!
trap 'kill "$lab" "$serve" 2>/dev/null; wait; rm -rf "$work"' EXIT
for _ in $(seq 300); do
    python3 -c "import urllib.request; urllib.request.urlopen('$url/healthz')" 2>/dev/null && break
    sleep 0.1
done
ironlane site apply "$here/virtual-rack.yaml" --only physical-networks --only switches

cat >"$work/clouds.yaml" <<CLOUDS
clouds:
  ironlane:
    auth_type: none
    network_endpoint_override: $url/networking
    baremetal_endpoint_override: $url/baremetal
CLOUDS
export OS_CLOUD=ironlane OS_CLIENT_CONFIG_FILE=$work/clouds.yaml

step "networks: two provider VLANs of the administrator's, one of a tenant's"
for network in cleaning:100 provisioning:101; do
    name=${network%:*} vlan=${network#*:}
    openstack network create "$name" -f value -c name \
        --provider-network-type vlan --provider-physical-network physnet1 --provider-segment "$vlan"
    openstack subnet create "$name" -f value -c cidr --network "$name" --subnet-range "10.$vlan.0.0/24" \
        --gateway "10.$vlan.0.1" --allocation-pool "start=10.$vlan.0.10,end=10.$vlan.0.200"
done
openstack network create red -f value -c name -c provider:segmentation_id
openstack subnet create red -f value -c cidr --network red --subnet-range 192.0.2.0/24

step "a node, its two NICs, and the portgroup that they form"
openstack baremetal node create --name server-1 --driver redfish --resource-class baremetal \
    --driver-info redfish_address=http://127.0.0.1:18400 \
    --driver-info redfish_system_id=/redfish/v1/Systems/server-1 \
    --driver-info redfish_username=ironlane --driver-info redfish_password="$IRONLANE_SECRET_BMCS" -f value -c uuid
node=$(openstack baremetal node show server-1 -f value -c uuid)
group=$(openstack baremetal port group create --node "$node" --name server-1-bond0 --address 52:54:00:00:01:00 \
    --mode 802.3ad --property miimon=100 --property priority=10 -f value -c uuid)
openstack baremetal port create 52:54:00:00:01:00 --node "$node" --port-group "$group" --pxe-enabled true \
    --physical-network physnet1 -f value -c address \
    --local-link-connection switch_id=02:1a:00:00:01:01 --local-link-connection port_id=Ethernet1/1
openstack baremetal port create 52:54:00:00:01:01 --node "$node" --port-group "$group" --pxe-enabled false \
    --physical-network physnet1 -f value -c address \
    --local-link-connection switch_id=02:1a:00:00:01:02 --local-link-connection port_id=Ethernet1/1

step "manage, provide: the server is cleaned"
openstack baremetal node manage server-1 --wait 60
openstack baremetal node provide server-1 --wait 60

step "a tenant port, attached as VIF; deploy"
openstack port create server-1 -f value -c id --network red --vnic-type baremetal
openstack baremetal node vif attach server-1 "$(openstack port show server-1 -f value -c id)"
image=http://127.0.0.1:$gateway/disk.img
checksum=$(python3 -c "import hashlib, urllib.request as u; print(hashlib.sha256(u.urlopen('$image').read()).hexdigest())")
openstack baremetal node set server-1 --instance-info image_source="$image" --instance-info image_checksum="$checksum"
openstack baremetal node deploy server-1 --wait 60
openstack port show server-1 -c status -c mac_address -c binding_host_id -c binding_profile
status=$(openstack port show server-1 -f value -c status)
ironlane switch show leaf-a

step "undeploy: off the tenant's network, and cleaned again"
openstack baremetal node undeploy server-1 --wait 60
openstack baremetal node show server-1 -f value -c provision_state -c last_error

step "the tenant port was $status while the server was deployed"
[[ $status == ACTIVE ]]
