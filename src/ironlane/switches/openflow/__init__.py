"""Switches programmed with flows over OpenFlow 1.4 (SDN mode): `OpenFlowDriver`.

A switch is known by its datapath id, a port by its OpenFlow port name. `pipeline.py` says which flows make a port
carry a network, `reading.py` how they are read back, `driver.py` how a plan becomes one atomic, ordered bundle
(OpenFlow Switch Specification 1.4.0, section 6.9); 1.4 is the first version that has bundles.

**Who connects.** The driver connects to the switch, which listens: `Access.address` and `Access.port` (default 6653)
are its passive listener (`ovs-vsctl set-controller br0 ptcp:6653:ADDRESS`, or `pssl:`), or the path of a unix socket
(with or without `unix:` before it; Open vSwitch has `br0.mgmt` in its run directory for every bridge). So the address
says which switch it is, conductors need no port of their own, and a switch may move from one to another with no
reconfiguration. A switch that can only call its controller cannot be used.

`Access.options`:

* `datapath_id`: 16 hex digits; nothing is sent to a switch that turns out to have another one (`Permanent`).
* `uplinks`: names of the ports to the rest of the fabric; they carry all VLANs tagged, and are never a server's. There
  is neither spanning tree nor MAC learning here: between any two switches there must be one way only.
* `settle`: seconds that `apply` waits more when a plan takes something away from a port, default 0.1: Open vSwitch has
  committed a bundle when its tables are changed, and revalidates what its datapath has cached a little later.
* `tls`, `tls_ca`, `tls_certificate`, `tls_key`, `tls_verify`: see `ovsdb.tls_context`. `tls_server_name`: the name in
  the switch's certificate where it is not the address.

**What the operator has to see to**, on Open vSwitch: `ovs-vsctl set-fail-mode br0 secure` *before* the first plan. In
fail mode standalone, a bridge that starts, or loses its flows, forwards everything to everybody (measured: vswitchd
puts `priority=0 actions=NORMAL` in) until the driver has repaired it; and a change of the fail mode wipes all flows.
In secure mode it forwards nothing: flows do not outlive vswitchd, so after its restart every port is cut off, reads as
carrying nothing, and is repaired. The bridge must have no other purpose: ports that are not Ironlane's get nothing but
what flows of others, which are never touched, give them. Such flows must not concern ports of ours; where they do, the
ports read as carrying everything, and `apply` names the flow.

**Flooding.** A frame goes to all ports of its VLAN. That keeps the table free of learned state, so that all of it can
be read back and compared; the price is that a unicast frame takes bandwidth of each port in its own network.

**LAGs** are static; there is no LACP (`Permanent`). A server bonded to two switches gets broadcasts twice, and its own
back by the other link, because no switch knows of the other's port.

A shut port is cut off by flows; its carrier stays up. One that somebody else took down is brought up when it should be.

**Why an own codec.** os-ken 4.2 has one, and it was tried: it works under asyncio on Python 3.11 without eventlet's
monkeypatching, but brings 30 packages (eventlet, paramiko, ncclient, oslo.config, …) and 0.6 s of import for the twelve
messages that are spoken here, and speaking to switches is our ground.
"""

from __future__ import annotations

from ironlane.switches.openflow.driver import OpenFlowDriver

__all__ = ["OpenFlowDriver"]
