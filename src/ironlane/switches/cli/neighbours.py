"""What a switch shows of its LLDP neighbours → who is behind which port, by the platform's rules. Pure.

Neighbours choose what they say of themselves, line feeds included: what is read here is evidence, never an order.
"""

from __future__ import annotations

from collections.abc import Collection

from ironlane.model.cabling import same_port_name
from ironlane.model.lldp import Neighbour, told
from ironlane.switches.cli.platform import NeighbourForm


def neighbours(answer: str, wanted: Collection[str], form: NeighbourForm) -> dict[str, list[Neighbour]]:
    """Read the answer to `form.command`: whom each wanted port hears. Local names may be shortened (`Eth1/1`)."""
    found: dict[str, list[Neighbour]] = {}
    local, said = "", dict[str, str]()

    def close() -> None:
        neighbour = told(**said)
        port = _port(local, wanted) if neighbour.says else None
        if port is not None:
            found.setdefault(port, []).append(neighbour)
        said.clear()

    for line in (raw.strip() for raw in answer.splitlines()):
        match = next((match for pattern in form.lines if (match := pattern.fullmatch(line))), None)
        groups = {name: text for name, text in (match.groupdict() if match else {}).items() if text}
        begins = "local" in groups if form.begins is None else form.begins.fullmatch(line) is not None
        if begins:
            close()
        local = groups.pop("local", local)
        for name, text in groups.items():
            said.setdefault(name, text)
    close()
    return found


def _port(name: str, wanted: Collection[str]) -> str | None:
    """The port of ours that a name means."""
    if name in wanted:
        return name
    alike = [port for port in wanted if same_port_name(port, name)]
    return alike[0] if len(alike) == 1 else None
