"""Takes secrets out of text before it is recorded or shown. Pure; knows nothing of MLflow."""

from __future__ import annotations

import re

# Repetitions are bounded: without that, a long line of letters (a stack trace, base64) takes quadratic time.
# The greedy class reaches the last `@` before the path, so a password that contains `@` goes whole.
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,20}://)[^/\s]*@")
_QUERY = re.compile(
    r"(?P<key>[?&;](?:[\w-]{0,40}(?:password|passwd|pwd|token|secret|signature|credential|api_?key))=)[^&;\s]+", re.I
)


def redact(text: str) -> str:
    """`text` with `user:password@` of every URL, and secret-looking query values, replaced by `***`."""
    return _QUERY.sub(r"\g<key>***", _CREDENTIALS.sub(r"\g<scheme>***@", text))
