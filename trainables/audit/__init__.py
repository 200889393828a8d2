"""Attacks on one checkpoint: does what was forgotten come back? Importing the package loads no torch."""

from trainables.audit.config import ATTACKS, Attack, AuditConfig

__all__ = ["ATTACKS", "Attack", "AuditConfig"]
