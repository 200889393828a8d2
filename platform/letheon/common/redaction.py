"""Removes secrets from text before it is recorded or shown. Pure."""

from __future__ import annotations

import re

# Repetitions are bounded: otherwise a long line (a stack trace, base64) takes quadratic time.
# The greedy class reaches the last `@` before the path, so a password that contains `@` is removed whole.
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,20}://)[^/\s]*@")
_QUERY = re.compile(
    r"(?P<key>[?&;](?:[\w-]{0,40}(?:password|passwd|pwd|token|secret|signature|credential|api_?key))=)[^&;\s]+", re.I
)
# Tokens with a recognisable shape: Hugging Face, GitHub, GitLab, AWS, Databricks.
_SHAPES = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,64}|gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255}|glpat-[\w-]{20,64}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}|dapi[0-9a-f]{32})\b"
)
_BEARER = re.compile(r"(?P<word>\b(?:Bearer|Basic)[ ])[A-Za-z0-9._~+/=-]{12,}")


def redact(text: str) -> str:
    """`text` with `user:password@` of every URL, secret-looking query values and tokens of known shapes as `***`."""
    text = _QUERY.sub(r"\g<key>***", _CREDENTIALS.sub(r"\g<scheme>***@", text))
    return _BEARER.sub(r"\g<word>***", _SHAPES.sub("***", text))
