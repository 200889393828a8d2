"""Evaluation logs of open-unlearning and TOFU: read, written, compared. Loads no torch."""

from trainables.evaluation.logs.comparing import compare_logs
from trainables.evaluation.logs.log import Log, LogError
from trainables.evaluation.logs.reading import parse_log, read_log
from trainables.evaluation.logs.writing import open_unlearning_log

__all__ = ["Log", "LogError", "compare_logs", "open_unlearning_log", "parse_log", "read_log"]
