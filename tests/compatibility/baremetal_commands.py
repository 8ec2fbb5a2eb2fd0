"""The `openstack baremetal …` commands: a server's whole life, and everything else that there is a command for.

The server is of the driver `fake-hardware`, and its network is nobody's (`noop`): what the commands ask for is done by
the loops, and the ramdisk that reports is played here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from ironlane.cli.client import Client, Refused
from tests.compatibility.cloud import cloud
from tests.compatibility.openstackclient import Command, Tried, run

_V1 = "/baremetal/v1"
_WAITING = frozenset({"clean wait", "wait call-back", "rescue wait", "service wait"})
_STEPS = """'[{"interface": "deploy", "step": "x"}]'"""
_CHASSIS = "5c9dcd04-2073-49bc-9618-99ae634d8971"
_PORT, _CONNECTOR, _TARGET, _VIF, _NODE, _GROUP = (f"a1c9d2f0-0000-4000-8000-00000000000{n}" for n in range(1, 7))

COMMANDS = (
    Command("baremetal driver list"),
    Command("baremetal driver show fake-hardware"),
    Command("baremetal driver property list redfish"),
    Command("baremetal driver passthru list fake-hardware"),
    Command("baremetal driver raid property list fake-hardware", "no driver has RAID"),
    Command("baremetal conductor list"),
    Command("baremetal conductor show compat"),
    Command(f"baremetal chassis create --uuid {_CHASSIS} --description rack"),
    Command("baremetal chassis list"),
    Command(f"baremetal chassis show {_CHASSIS}"),
    Command(f"baremetal chassis set {_CHASSIS} --extra row=3"),
    Command(f"baremetal chassis unset {_CHASSIS} --extra row"),
    Command(
        "baremetal node create --driver fake-hardware --name n1 --network-interface noop --resource-class bm --shard a"
    ),
    Command(f"baremetal node create --driver fake-hardware --name n2 --uuid {_NODE} --chassis-uuid {_CHASSIS}"),
    Command("baremetal node list"),
    Command("baremetal node list --long --driver fake-hardware --resource-class bm"),
    Command("baremetal node set n1 --property cpus=4 --owner red --description server"),
    Command("baremetal node unset n1 --property cpus"),
    Command("baremetal node show n1"),
    Command("baremetal node validate n1"),
    Command("baremetal node trait add n1 CUSTOM_X"),
    Command("baremetal node trait list n1"),
    Command("baremetal node trait remove n1 CUSTOM_X"),
    Command("baremetal node maintenance set n1 --reason work"),
    Command("baremetal node maintenance unset n1"),
    Command(f"baremetal port group create --node {_NODE} --uuid {_GROUP} --name bond0 --mode 802.3ad"),
    Command("baremetal port group list"),
    Command("baremetal port group show bond0"),
    Command("baremetal port group set bond0 --property miimon=100"),
    Command("baremetal port group unset bond0 --property miimon"),
    Command(f"baremetal port create 52:54:00:00:00:01 --node n2 --uuid {_PORT} --port-group {_GROUP}"),
    Command("baremetal port list --node n2"),
    Command(f"baremetal port show {_PORT}"),
    Command(f"baremetal port set {_PORT} --extra a=1"),
    Command(f"baremetal port unset {_PORT} --extra a"),
    Command(f"baremetal port delete {_PORT}"),
    Command("baremetal port group delete bond0"),
    Command(f"baremetal volume connector create --node {_NODE} --type iqn --connector-id iqn.x --uuid {_CONNECTOR}"),
    Command("baremetal volume connector list"),
    Command(f"baremetal volume connector show {_CONNECTOR}"),
    Command(f"baremetal volume connector set {_CONNECTOR} --extra a=1"),
    Command(f"baremetal volume connector unset {_CONNECTOR} --extra a"),
    Command(f"baremetal volume connector delete {_CONNECTOR}"),
    Command(
        f"baremetal volume target create --node {_NODE} --type iscsi --boot-index 0 --volume-id v --uuid {_TARGET}"
    ),
    Command("baremetal volume target list"),
    Command(f"baremetal volume target show {_TARGET}"),
    Command(f"baremetal volume target set {_TARGET} --extra a=1"),
    Command(f"baremetal volume target unset {_TARGET} --extra a"),
    Command(f"baremetal volume target delete {_TARGET}"),
    Command("baremetal shard list"),
    Command("baremetal node children list n1"),
    Command("baremetal node bios setting list n1"),
    Command("baremetal node firmware list n1"),
    Command("baremetal node passthru list n1"),
    Command("baremetal node passthru call n1 x", "no driver has vendor passthru methods"),
    Command("baremetal node boot device set n1 pxe"),
    Command("baremetal node boot device show n1"),
    Command(
        "baremetal node boot mode set n1 uefi",
        "no driver sets it by itself: `properties.capabilities` has the one to boot with",
    ),
    Command("baremetal node secure boot on n1", "no driver has it"),
    Command("baremetal node inject nmi n1", "no driver has it"),
    Command("baremetal node console show n1"),
    Command("baremetal node console enable n1", "no driver has a console"),
    Command("baremetal node manage n1 --wait 60"),
    Command(f"baremetal node clean n1 --clean-steps {_STEPS} --wait 60"),
    Command("baremetal node provide n1 --wait 60"),
    Command("baremetal allocation create --resource-class bm --name mine --wait 60"),
    Command("baremetal allocation list"),
    Command("baremetal allocation show mine"),
    Command("baremetal allocation set mine --extra a=1"),
    Command("baremetal allocation unset mine --extra a"),
    Command(f"baremetal node vif attach n1 {_VIF}"),
    Command("baremetal node vif list n1"),
    Command(f"baremetal node vif detach n1 {_VIF}"),
    Command("baremetal node deploy n1 --wait 60"),
    Command("baremetal node power off n1"),
    Command("baremetal node power on n1"),
    Command("baremetal node reboot n1"),
    Command("baremetal node rescue n1 --rescue-password geheim --wait 60"),
    Command("baremetal node unrescue n1 --wait 60"),
    Command(f"baremetal node service n1 --service-steps {_STEPS} --wait 60"),
    Command("baremetal node rebuild n1 --wait 60"),
    Command("baremetal node undeploy n1 --wait 60"),
    Command("baremetal node manage n1 --wait 60"),
    Command("baremetal node adopt n1 --wait 60"),
    Command("baremetal node undeploy n1 --wait 60"),
    Command("baremetal allocation create --resource-class bm --name other --wait 60"),
    Command("baremetal allocation delete other"),
    Command("baremetal node manage n2 --wait 60"),
    Command("baremetal node inspect n2"),
    Command(
        "baremetal node abort n2", "the inspection has failed already: this server has no NIC to be inspected over"
    ),
    Command("baremetal node inventory save n2", "this server was never inspected"),
    Command("baremetal node history list n1"),
    Command("baremetal node delete n1"),
    Command("baremetal node maintenance set n2"),
    Command("baremetal node delete n2"),
    Command(f"baremetal chassis delete {_CHASSIS}"),
    Command("baremetal deploy template list", "there are no deploy templates"),
    Command("baremetal inspection rule list", "there are no inspection rules"),
    Command("baremetal runbook list", "there are no runbooks"),
)


async def try_all(folder: Path) -> list[Tried]:
    """Run the commands in order; `folder` is an empty place for the service's files."""
    settings = {"IRONLANE_AUTOMATED_CLEAN": "false", "IRONLANE_HOSTNAME": "compat"}
    async with cloud(folder, _nothing, settings, "/baremetal") as found:
        playing = asyncio.create_task(_play_ramdisks(found.client))
        try:
            return await run(COMMANDS, found, folder)
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)


async def _nothing(_client: Client) -> None:
    """The commands make all that they need."""


async def _play_ramdisks(client: Client) -> None:
    """Whatever server waits for its ramdisk, it reports that it is done."""
    while True:
        try:
            for node in (await client.get(f"{_V1}/nodes"))["nodes"]:
                if node["provision_state"] in _WAITING:
                    looked_up = await client.get(f"{_V1}/lookup", {"node_uuid": node["uuid"]})
                    token = looked_up["config"]["agent_token"]
                    report = {"callback_url": "x", "agent_token": token, "agent_status": "end"}
                    await client.request("POST", f"{_V1}/heartbeat/{node['uuid']}", report)
        except Refused as refused:  # it has just been booted anew, or is done
            if refused.status >= 500:
                raise
        await asyncio.sleep(0.2)
