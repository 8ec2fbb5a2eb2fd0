"""Run by Neutron's own Python, as one of its processes: what the driver does when somebody comes in between.

Prints what was seen as JSON, on a line of its own: `{moment: status of the port, or statuses}`. Ironlane is not there;
what it would say is made up here.
"""

from __future__ import annotations

import json
import sys

from tests.openstack.inside import ports, trunks
from tests.openstack.inside.cloud import new_port

if __name__ == "__main__":
    # Each moment has a port of its own.
    seen = {moment: see(new_port()) for moment, see in [*ports.MOMENTS.items(), *trunks.MOMENTS.items()]}
    sys.stdout.write("\n" + json.dumps(seen))
