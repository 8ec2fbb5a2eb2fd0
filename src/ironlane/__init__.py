"""Ironlane: the bare-metal network service.

Clients write what should be; one writer per switch and one owner per node make it so, and report only what they
read back. `docs/architecture.md` shows the way of the data with file names.
"""

__version__ = "0.1.0"
