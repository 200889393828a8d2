"""`python -m letheon.cli.driver VERB …`: the command, as Python starts it (`letheon.api.driver`).

Its standard input is a pipe from the process that started it. Its end means that this process is gone: the sweep is
interrupted, as by SIGTERM.
"""

from __future__ import annotations

import os
import signal
import threading

from letheon.cli import app


def end_with_the_parent() -> None:
    """Send SIGTERM to this process when its standard input ends."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_parent, name="letheon-parent", daemon=True).start()
    app()
