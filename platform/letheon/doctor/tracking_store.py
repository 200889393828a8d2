"""Checks that the tracking store is writable: writes a run with a metric and a file, reads it back and deletes it."""

from __future__ import annotations

import uuid
from pathlib import Path
from shutil import rmtree

from letheon.common.redaction import redact
from letheon.common.scratch import scratch
from letheon.doctor.finding import Finding, failed, ok
from letheon.tracking.store import connection
from letheon.tracking.store.errors import TrackingError

EXPERIMENT = "letheon-doctor"
SECONDS = 15


def round_trip(root: Path, uri: str | None = None) -> Finding:
    """The finding `tracking`. Deletes all that it writes."""
    uri = connection.tracking_uri(root, uri)
    text = uuid.uuid4().hex
    try:
        with connection.store_errors(uri, "a round trip"), connection.http_limits(1, SECONDS):
            connection.probe(uri)
            found = _write_and_read(uri, root, text)
    except TrackingError as error:
        return failed(
            "tracking", str(error), "start the server, set MLFLOW_TRACKING_URI and its user and password, or unset it"
        )
    if found != text:
        return failed("tracking", f"{redact(uri)} returned another file", "check the artifact store of the server")
    return ok("tracking", f"{redact(uri)} stored and returned a run with a metric and a file")


def _write_and_read(uri: str, root: Path, text: str) -> str:
    client = connection.open_client(uri)
    known = client.get_experiment_by_name(EXPERIMENT)
    folder = (root / "artifacts" / EXPERIMENT).resolve().as_uri() if connection.is_database(uri) else None
    experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT, artifact_location=folder)
    if known and known.lifecycle_stage == "deleted":  # by an earlier check; its name stays taken
        client.restore_experiment(experiment)
    run = client.create_run(experiment).info.run_id
    try:
        client.log_metric(run, "metric", 1.0)
        client.log_text(run, text, "file.txt")
        with scratch("round-trip") as back:
            return Path(client.download_artifacts(run, "file.txt", str(back))).read_text()
    finally:
        client.delete_run(run)
        client.delete_experiment(experiment)
        if folder is not None:
            rmtree(root / "artifacts" / EXPERIMENT, ignore_errors=True)
