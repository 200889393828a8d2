"""Sweeps in virtual time: recorded trajectories in the place of training, the real conductor in charge. No Ray."""

from letheon.simulator.ledger import Killed, MemoryLedger
from letheon.simulator.simulate import Simulation, simulate
from letheon.simulator.table import Table, Trajectory

__all__ = ["Killed", "MemoryLedger", "Simulation", "Table", "Trajectory", "simulate"]
