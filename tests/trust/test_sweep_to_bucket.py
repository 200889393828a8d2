"""Whole sweeps with records in PostgreSQL and artifacts in S3: `pull` works without the root, and no secret of the
driver's environment is left anywhere.

Once through a tracking server with accounts, once without. All servers are real (S3: moto).
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from letheon.cluster.security import TOKEN
from letheon.common.scratch import PREFIX
from tests.letheon.preparation.test_synthetic import SPACE
from tests.letheon.servers import mlflow_server, postgres, s3_client, s3_server
from tests.letheon.small_sweep import run
from tests.letheon.tracking.store.test_connection import AUTH, add_user
from tests.letheon.tracking.store.test_connection import PASSWORD as ACCOUNT
from tests.trust.canaries import Witness, forms
from trainables.storage.manifest import list_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

BUCKET = "letheon-tests"
DATABASE = "d@tabase/" + secrets.token_hex(8)
HUB = "hf_" + secrets.token_hex(17)


@dataclass(frozen=True)
class Swept:
    """A finished sweep: `output` is its output, `witness` watched it, `secrets` were planted in its environment."""

    name: str
    root: Path
    environment: dict[str, str]
    output: str
    witness: Witness
    secrets: dict[str, str]


@pytest.fixture(scope="module")
def monkeypatch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres(DATABASE) as uri:
        yield uri


@pytest.fixture(scope="module")
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket; sets the environment variables for it."""
    with s3_server(BUCKET, monkeypatch):
        yield f"s3://{BUCKET}/letheon"


@pytest.fixture(scope="module", params=["server", "database"])
def swept(
    request: pytest.FixtureRequest,
    database: str,
    bucket: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Swept]:
    folder = tmp_path_factory.mktemp(request.param)
    address = database.replace("letheon@", f"letheon:{quote(DATABASE, safe='')}@")
    if request.param == "database":
        environment = {"MLFLOW_TRACKING_URI": address, "MLFLOW_DEFAULT_ARTIFACT_ROOT": bucket}
        yield sweep(folder, environment)
        return
    pytest.importorskip("flask_wtf", reason="MLflow's accounts need Flask-WTF: pip install 'mlflow[auth]'")
    (folder / "auth.ini").write_text(AUTH.format(folder=folder))
    settings = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": "the-administrators-own",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "for-this-test-only",
    }
    stores = {"MLFLOW_BACKEND_STORE_URI": address, "MLFLOW_ARTIFACTS_DESTINATION": bucket}
    with mlflow_server(folder, "--app-name", "basic-auth", env={**settings, **stores}, elsewhere=True) as server:
        add_user(server.uri, "trainer", monkeypatch)
        account = {"MLFLOW_TRACKING_USERNAME": "trainer", "MLFLOW_TRACKING_PASSWORD": ACCOUNT}
        yield sweep(folder, {"MLFLOW_TRACKING_URI": server.uri, **account})


def sweep(folder: Path, store: dict[str, str]) -> Swept:
    """Run a sweep while a witness watches."""
    planted = {"database": DATABASE, "account": ACCOUNT, "hub": HUB, "bucket": os.environ["AWS_SECRET_ACCESS_KEY"]}
    environment = {**os.environ, **store, "HF_TOKEN": HUB}
    name = folder.name
    (folder / "space.yaml").write_text(SPACE.replace("name: small", f"name: {name}"))  # both are in one database
    folders = [folder / "root", Path("/tmp", f"{PREFIX}[0-9]*-*")]
    with Witness(planted, folders, allowed=[TOKEN]) as witness:
        done = run("sweep", folder / "space.yaml", "--root", folder / "root", env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return Swept(name, folder / "root", environment, done.stdout + done.stderr, witness, planted)


def test_a_checkpoint_is_pulled_without_the_root(swept: Swept, tmp_path: Path) -> None:
    hidden = swept.root.rename(swept.root.with_name("hidden"))
    try:
        pull_it = ("pull", swept.name, "--select", "knee", "--to", "model", "--json")
        done = run(*pull_it, cwd=tmp_path, env=swept.environment)
    finally:
        hidden.rename(swept.root)
    assert done.returncode == 0, done.stderr
    pulled = json.loads(done.stdout)
    assert os.listdir(tmp_path) == ["model"]
    made = swept.root / "sweeps" / swept.name / "trials" / pulled["trial"] / f"epoch-{pulled['epoch']:03d}"
    assert (tmp_path / "model" / "manifest.json").read_bytes() == (made / "manifest.json").read_bytes()
    (tmp_path / "model" / "manifest.json").unlink()
    assert list_files(tmp_path / "model") == list_files(made / "model")


def test_no_secret_is_in_a_file_or_a_command_line(swept: Swept) -> None:
    seen = swept.witness.seen
    logs = ("journal.jsonl", "raylet.out", "gcs_server.out", "runtime_env_agent.log", "dashboard.log", "-rank0.log")
    assert [name for name in logs if not any(path.endswith(name) for path in seen)] == []
    assert swept.witness.lines() > len(logs)
    assert swept.witness.found() == []
    assert swept.witness.names(swept.output.encode()) == []


def test_no_secret_is_in_the_records(swept: Swept, database: str) -> None:
    rows, objects = 0, 0
    for row in everything(database):
        rows += 1
        assert swept.witness.names(row) == []
    client = s3_client()
    for one in client.list_objects_v2(Bucket=BUCKET)["Contents"]:
        objects += 1
        body = client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()
        assert swept.witness.names(one["Key"].encode() + b"\n" + body) == []
    assert rows > 100 and objects > 5


def everything(database: str) -> Iterator[bytes]:
    """Every row of every table, as text."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(database, password=DATABASE) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            for (row,) in connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))):
                yield str(row).encode()


def test_the_witness_sees_deleted_files_and_command_lines(tmp_path: Path) -> None:
    secret = "d@tabase/0123456789"
    with Witness({"it": secret}, [tmp_path], allowed=[TOKEN]) as witness:
        (tmp_path / "gone").write_text(f"postgresql://user:{quote(secret, safe='')}@host")
        (tmp_path / TOKEN).write_text(secret)
        subprocess.run(["sh", "-c", "sleep 1", secret], check=True)
        (tmp_path / "gone").unlink()
    found = witness.found()
    assert len(found) == 2 and any("gone: it" in one for one in found) and any("command line" in one for one in found)
    for user in ("a", "ab", "abc", "trainer"):
        assert forms({"it": secret})["it"].search(base64.b64encode(f"{user}:{secret}".encode()))
