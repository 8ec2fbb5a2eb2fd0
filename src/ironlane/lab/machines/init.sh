#!/bin/busybox sh
# First process of the lab's machines: in the ramdisk it starts the agent; as a tenant's system (lab.role=os on the
# kernel's command line), installed on the disk or booted from the network, it is an operating system with a DHCP client that tells on the console whom it reaches.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
echo 1 >/proc/sys/kernel/printk
for module in $(cat /modules/order); do insmod "/modules/$module"; done
ip link set lo up

given() { tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p"; }
tell() { echo "lab: $*"; }
lease() { udhcpc -f -q -t 3 -T 2 -A 1 -i "$1" -s /lease >/dev/null 2>&1; }
answers() {
    for attempt in 1 2 3 4; do ping -c 1 -W 1 "$1" >/dev/null 2>&1 && return; done
    return 1
}
# Each of lab.ping as if it were on this very link: whoever answers ARP here is reached, whatever routes there may be.
reach() {
    for ip in $(given lab.ping | tr , ' '); do
        ip route replace "$ip/32" dev "$1" 2>/dev/null
        if answers "$ip"; then tell "reaches $ip"; else tell "does not reach $ip"; fi &
    done
    wait
    tell "looked around"
}

[ -d /sys/firmware/efi ] && tell "firmware uefi" || tell "firmware bios"
nics=$(for nic in /sys/class/net/*; do [ -e "$nic/device" ] && basename "$nic"; done)
if [ "$(given lab.role)" = os ]; then
    if [ "$(given BOOTIF)" ]; then tell "booted from the network"; else tell "booted from disk"; fi
    link=$(echo $nics | cut -d' ' -f1)
    if [ "$(echo $nics | wc -w)" -gt 1 ]; then
        link=bond0 bonding=/sys/class/net/bond0/bonding
        echo +bond0 >/sys/class/net/bonding_masters
        echo 802.3ad >$bonding/mode
        echo 100 >$bonding/miimon
        echo fast >$bonding/lacp_rate
        for nic in $nics; do echo "+$nic" >$bonding/slaves; done
    fi
    ip link set "$link" up
    until lease "$link"; do sleep 1; done
    tell "address $(ip -4 -o addr show dev "$link" | sed -n 's/.* inet \([0-9.]*\).*/\1/p')"
    if [ "$link" = bond0 ]; then
        until [ "$(cat $bonding/ad_num_ports)" -gt 1 ]; do sleep 1; done
        tell "LACP with $(cat $bonding/ad_partner_mac) over $(cat $bonding/ad_num_ports) links"
    fi
    while :; do reach "$link"; sleep 2; done
fi
for nic in $nics; do ip link set "$nic" up; done
boot=$(given BOOTIF | tr - : | sed 's,.*\(.\{17\}\)$,\1,') # PXELINUX has the hardware type before it, iPXE has not
for nic in $nics; do [ "$(cat "/sys/class/net/$nic/address")" = "$boot" ] && link=$nic; done
tell "ramdisk booted over $link"
until lease "$link"; do sleep 1; done
reach "$link" # to the end: the conductor may order the power off as soon as it hears of the agent
while :; do
    perl /agent.pl
    tell "the agent ended"
    sleep 2
done
