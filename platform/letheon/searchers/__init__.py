"""What is tried next: searchers propose configurations from what was seen. Only `adapter` imports Ray."""

from letheon.searchers.choose import LEARNING, searcher_of
from letheon.searchers.history import History
from letheon.searchers.proposal import Proposal, Searcher

__all__ = ["LEARNING", "History", "Proposal", "Searcher", "searcher_of"]
