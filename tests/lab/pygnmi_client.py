"""pygnmi, which we did not write, in a process of its own: its messages have the names that ours have.

usage: pygnmi_client.py PORT CERTIFICATE NAME < JSON list of [method, keyword arguments]; prints the list of answers.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from pygnmi.client import gNMIclient  # type: ignore[import-untyped]

logging.disable()
port, certificate, name = sys.argv[1:]
answers: list[Any] = []
with gNMIclient(("127.0.0.1", int(port)), "admin", "admin", path_cert=certificate, override=name) as client:
    for method, arguments in json.load(sys.stdin):
        for key in ("update", "replace"):
            if key in arguments:
                arguments[key] = [tuple(pair) for pair in arguments[key]]
        try:
            answers.append(getattr(client, method)(**arguments))
        except Exception as error:
            answers.append({"error": str(error)})
print(json.dumps(answers))
