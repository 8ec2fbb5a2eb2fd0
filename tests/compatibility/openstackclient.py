"""The `openstack` command, one command after the other, against a service that has a Keystone for its log-ins."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.compatibility.cloud import Cloud
from tests.compatibility.keystone import cloud_with_keystone

_NO_GROUPS = "there are no security groups: switch ports are not filtered"
_NO_ROUTERS = "there are no routers: a fabric of switches ends at layer 2"
_NO_QOS = "there is no QoS"
_NO_POOLS = "there are no subnet pools and address scopes"


class Command(NamedTuple):
    """`words` follow `openstack`; `why` says why the command cannot succeed; empty: it does."""

    words: str
    why: str = ""


class Tried(NamedTuple):
    """`said` is what the command wrote about its failure; empty when it succeeded."""

    command: Command
    said: str


COMMANDS = (
    Command(
        "network create --provider-network-type vlan --provider-physical-network physnet1 --provider-segment 50 --share"
        " storage"
    ),
    Command("network create --description mine --mtu 1400 --tag blue tenant"),
    Command("network create --availability-zone-hint az1 elsewhere", "there are no availability zones"),
    Command("network create --transparent-vlan elsewhere", "a switch port carries one VLAN of a network, not any"),
    Command("network create --qos-policy gold elsewhere", _NO_QOS),
    Command("network set --name tenant --description d --mtu 1500 --tag red tenant"),
    Command("network unset --tag red tenant"),
    Command("network list --long"),
    Command("network list --external"),
    Command("network list --share"),
    Command("network list --provider-segment 50"),
    Command("network list --any-tags blue,red"),
    Command("network list --not-tags red"),
    Command("network show tenant"),
    Command(
        "subnet create --network tenant --subnet-range 10.0.0.0/24 --dns-nameserver 192.0.2.1"
        " --allocation-pool start=10.0.0.10,end=10.0.0.99 --host-route destination=10.9.0.0/24,gateway=10.0.0.2 s1"
    ),
    Command(
        "subnet create --network tenant --ip-version 6 --subnet-range 2001:db8::/64 --ipv6-ra-mode slaac"
        " --ipv6-address-mode slaac s6"
    ),
    Command("subnet create --network tenant --use-default-subnet-pool --ip-version 4 s9", _NO_POOLS),
    Command("subnet set --name s1 --no-dhcp --dns-nameserver 192.0.2.2 --tag red s1"),
    Command("subnet set --dhcp --gateway 10.0.0.1 s1"),
    Command("subnet unset --dns-nameserver 192.0.2.2 --tag red s1"),
    Command("subnet list --long --network tenant"),
    Command("subnet show s1"),
    Command(
        "port create --network tenant --fixed-ip subnet=s1,ip-address=10.0.0.20 --vnic-type baremetal"
        " --extra-dhcp-option name=67,value=boot p1"
    ),
    Command("port create --network tenant --disable-port-security --no-fixed-ip p2"),
    Command("port create --network storage p3"),
    Command("port set --host server --binding-profile physical_network=physnet1 --description d --tag red p1"),
    Command("port unset --host --binding-profile physical_network --tag red p1"),
    Command("port set --fixed-ip subnet=s1 p2"),
    Command("port set --no-fixed-ip p2"),
    Command("port set --mac-address 52:54:00:00:00:01 p2"),
    Command("port set --disable p2"),
    Command("port set --qos-policy gold p1", _NO_QOS),
    Command("port set --security-group default p1", _NO_GROUPS),
    Command("port list --long --network tenant"),
    Command("port list --fixed-ip subnet=s1"),
    Command("port list --mac-address 52:54:00:00:00:01"),
    Command("port show p1"),
    Command("network trunk create --parent-port p1 t1"),
    Command("network trunk set --subport port=p3,segmentation-type=vlan,segmentation-id=50 t1"),
    Command(
        "network trunk set --subport port=p2,segmentation-type=vlan,segmentation-id=51 t1",
        "a sub-port's tag is its network's VLAN ([ADR 6](adr/0006-trunk-tags.md))",
    ),
    Command("network subport list --trunk t1"),
    Command("network trunk unset --subport p3 t1"),
    Command("network trunk set --name t1 --description d --disable t1"),
    Command("network trunk set --enable t1"),
    Command("network trunk list --long"),
    Command("network trunk show t1"),
    Command("network trunk delete t1"),
    Command("network rbac create --type network --action access_as_shared --target-project demo tenant"),
    Command("network rbac create --type network --action access_as_shared --target-all-projects tenant"),
    Command(
        "network rbac create --type network --action access_as_external --target-all-projects tenant",
        "there are no routers that an external network would be for",
    ),
    Command("network rbac list --long"),
    Command("quota set --networks 5 --ports 7 --subnets -1 --rbac-policies 3 demo"),
    Command("quota set --networks 0 --force ops"),
    Command("network create one-too-many", "the line above left no room: `Quota exceeded`"),
    Command("quota show --network demo"),
    Command("quota show --network --usage demo"),
    Command("quota show --network --default demo"),
    Command("quota list --network"),
    Command("quota delete --network demo"),
    Command("quota delete --network ops"),
    Command("network agent list"),
    Command("availability zone list --network"),
    Command("extension list --network"),
    Command("extension show trunk"),
    Command("ip availability list"),
    Command("ip availability show tenant"),
    Command("versions show --service network"),
    Command("subnet pool list", _NO_POOLS),
    Command("address scope list", _NO_POOLS),
    Command("router list", _NO_ROUTERS),
    Command("floating ip create storage", _NO_ROUTERS),
    Command("security group list", _NO_GROUPS),
    Command("network qos policy list", _NO_QOS),
    Command("network segment list", "a network is one segment; its `provider:*` attributes show it"),
    Command("network flavor list", "there are no pluggable services"),
    Command("network service provider list", "there are no pluggable services"),
    Command("port delete p1 p2 p3"),
    Command("subnet delete s1 s6"),
    Command("network delete tenant storage"),
)


async def try_all(folder: Path, commands: Sequence[Command] = COMMANDS) -> list[Tried]:
    """Run the commands in order, as an admin; `folder` is an empty place for the service's files."""
    async with cloud_with_keystone(folder, {}) as found:
        return await run(commands, found, folder)


async def run(commands: Sequence[Command], found: Cloud, folder: Path) -> list[Tried]:
    """Run commands in order against a cloud."""
    answer = folder / "tried.json"
    with (folder / "commands.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-m", "tests.compatibility.openstackclient_process", str(answer)),
            cwd=Path(__file__).parents[2],
            env=found.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
        try:
            await process.communicate(json.dumps([command.words for command in commands]).encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the commands did not run to their end:\n{(folder / 'commands.log').read_text()[-3000:]}")
    return [Tried(command, said) for command, said in zip(commands, json.loads(answer.read_text()), strict=True)]


def wrong(tried: Sequence[Tried]) -> list[Tried]:
    """Commands that failed and nobody has said why, or succeeded although somebody has."""
    return [one for one in tried if bool(one.said) is not bool(one.command.why)]


def table(tried: Sequence[Tried]) -> str:
    """The commands as a table in Markdown, with a sum above it."""
    refused = [one for one in tried if one.said]
    return "\n".join(
        [
            f"{len(tried)} commands: {len(tried) - len(refused)} do what they say, {len(refused)} are refused.",
            "",
            "| `openstack …` | |",
            "| --- | --- |",
            *(f"| `{one.command.words}` | {f'refused: {one.command.why}' if one.said else 'works'} |" for one in tried),
        ]
    )
