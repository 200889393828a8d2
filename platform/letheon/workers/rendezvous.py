"""How the workers of a trial find each other: on one machine through a file, between machines through a port.

Torch's usual meeting place is a port on all interfaces that asks for no password and tells every worker whom to connect
to. Where Ray listens on the loopback interface only, all workers share a disk, so they need no such port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

"""For the environment of workers that all are on one machine: their connections stay in it."""
