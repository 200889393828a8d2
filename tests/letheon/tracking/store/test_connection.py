"""Every kind of store: written by the tracker, pulled by another process in another folder.

`tests/trust/test_sweep_to_bucket.py` runs whole sweeps with databases and servers with accounts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from letheon.checkpoints.manifest import VerificationError
from letheon.tracking.reader.pull import Request, pull
from letheon.tracking.store.connection import artifact_location, open_client
from letheon.tracking.store.errors import TrackingError
from letheon.tracking.tracker import Tracker
from tests.letheon.servers import mlflow_server, postgres, s3_client, s3_server
from tests.letheon.small_sweep import letheon, run
from tests.letheon.tracking.tracking_support import SPEC, save_and_register
from trainables.storage.manifest import list_files

PASSWORD = "corr3ct-h@rse/battery"
ROOT = "MLFLOW_DEFAULT_ARTIFACT_ROOT"


@dataclass(frozen=True)
class Place:
    """A store. `artifacts`: how its artifact addresses begin."""

    uri: str
    artifacts: str


class StoreContract:
    """What every store must do; a subclass has a fixture `place`."""

    def test_what_is_recorded_is_pulled_elsewhere(self, place: Place, tmp_path: Path) -> None:
        tracker, trials = Tracker(tmp_path / "root", "study", "sweep", SPEC, place.uri), tmp_path / "trials"
        tracker.check()
        registration = save_and_register(tmp_path / "root", place.uri, trials=trials)
        assert registration == save_and_register(tmp_path / "root", place.uri, trials=trials)
        client = open_client(place.uri)
        experiment = client.get_experiment_by_name("study")
        assert experiment is not None and str(experiment.artifact_location).startswith(place.artifacts)

        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        environment = {name: value for name, value in os.environ.items() if name != ROOT}
        environment["MLFLOW_TRACKING_URI"] = place.uri  # the only thing the other process is given
        pull_it = ("pull", "sweep", "--select", "max-forget-05", "--to", "model", "--json")
        done = run(*pull_it, cwd=elsewhere, env=environment)
        assert done.returncode == 0, done.stderr
        pulled = json.loads(done.stdout)
        assert (pulled["trial"], pulled["epoch"]) == ("t000", 3)
        saved = trials / "t000" / "epoch-003"
        assert (elsewhere / "model" / "manifest.json").read_bytes() == (saved / "manifest.json").read_bytes()
        (elsewhere / "model" / "manifest.json").unlink()
        assert list_files(elsewhere / "model") == list_files(saved / "model")
        assert os.listdir(elsewhere) == ["model"]


# ---- folders and buckets


class TestSharedFolder(StoreContract):
    @pytest.fixture
    def place(self, fresh_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv(ROOT, "shared/team a")
        return Place(fresh_store, f"{tmp_path.as_uri()}/shared/team%20a/study")


class TestBucket(StoreContract):
    @pytest.fixture
    def place(self, fresh_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
        monkeypatch.setenv(ROOT, "s3://letheon-tests/some/where/")
        with s3_server("letheon-tests", monkeypatch):
            yield Place(fresh_store, "s3://letheon-tests/some/where/study")

    def test_a_bucket_that_was_tampered_with(self, place: Place, tmp_path: Path) -> None:
        save_and_register(tmp_path / "root", place.uri)
        s3, to = s3_client(), tmp_path / "out" / "model"
        listed = s3.list_objects_v2(Bucket="letheon-tests")["Contents"]
        [weights] = [one["Key"] for one in listed if one["Key"].endswith("epoch-003/model/model.safetensors")]
        honest = s3.get_object(Bucket="letheon-tests", Key=weights)["Body"].read()
        model_key = weights.removesuffix("model.safetensors")

        def refused(key: str, body: bytes) -> str:
            s3.put_object(Bucket="letheon-tests", Key=key, Body=body)
            with pytest.raises(VerificationError) as caught:
                pull("sweep", to, tmp_path, Request("max-forget", 0.05), place.uri)
            assert os.listdir(to.parent) == []
            s3.delete_object(Bucket="letheon-tests", Key=key)
            return str(caught.value)

        for name in ("pytorch_model.bin", "../../x.json", "/etc/x.json", "a b.json", "CONFIG.json", "a/b.json", "a//"):
            assert refused(model_key + name, b"{}")
        assert "SHA-256" in refused(weights, honest[:-1] + b"x")
        s3.put_object(Bucket="letheon-tests", Key=weights, Body=honest)
        assert pull("sweep", to, tmp_path, Request("max-forget", 0.05), place.uri).epoch == 3

    def test_a_bucket_that_is_not_there_is_found_before_anything_is_spent(
        self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(ROOT, "s3://no-such-bucket")
        with pytest.raises(TrackingError, match=r"writing an artifact failed:.*no-such-bucket|NoSuchBucket"):
            Tracker(tmp_path, "other", "sweep", SPEC, place.uri).check()
        monkeypatch.setenv(ROOT, "s3://letheon-tests")
        Tracker(tmp_path, "other", "sweep", SPEC, place.uri).check()  # the wrong bucket was not kept


# ---- databases


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres(PASSWORD) as uri:
        yield uri


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wrong_database_password_is_refused_and_not_shown(database: str, tmp_path: Path) -> None:
    uri = database.replace("letheon@", "letheon:wr0ng-h%40rse@")
    with pytest.raises(TrackingError, match="password authentication failed") as caught:
        Tracker(tmp_path, "study", "sweep", SPEC, uri).check()
    assert "h@rse" not in str(caught.value) and "h%40rse" not in str(caught.value)


# ---- servers with accounts

AUTH = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/auth.db
admin_username = root
auth_cache_ttl_seconds = 60
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with accounts."""
    pytest.importorskip("flask_wtf", reason="MLflow's accounts need Flask-WTF: pip install 'mlflow[auth]'")
    folder = tmp_path_factory.mktemp("server")
    (folder / "auth.ini").write_text(AUTH.format(folder=folder))
    environment = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": "the-administrators-own",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "for-this-test-only",
    }
    with mlflow_server(folder, "--app-name", "basic-auth", env=environment) as server:
        yield server.uri


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestServerWithPasswords:
    @pytest.fixture
    def uri(self, address: str, monkeypatch: pytest.MonkeyPatch) -> str:
        """The server's address; the environment has an account that may write."""
        add_user(address, "trainer", monkeypatch)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "trainer")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        return address

    @pytest.mark.parametrize(
        ("user", "password", "text"),
        [
            ("trainer", "wr0ng-h@rse-battery", r"user 'trainer' was refused: check MLFLOW_TRACKING_USERNAME and"),
            (None, None, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        ],
    )
    def test_a_wrong_password_is_refused_before_anything_is_spent(
        self,
        uri: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        user: str | None,
        password: str | None,
        text: str,
    ) -> None:
        for name, value in (("USERNAME", user), ("PASSWORD", password)):
            if value is None:
                monkeypatch.delenv(f"MLFLOW_TRACKING_{name}")
            else:
                monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
        with pytest.raises(TrackingError, match=text):
            Tracker(tmp_path, "study", "sweep", SPEC, uri).check()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        done = letheon("sweep", "quickstart", root=tmp_path / "root")
        assert done.returncode == 3 and "MLFLOW_TRACKING_PASSWORD" in done.stderr
        assert "wr0ng" not in done.stdout + done.stderr and "Traceback" not in done.stderr
        assert [path for path in (tmp_path / "root").rglob("*") if path.is_file() and path.name != "lock"] == []

    def test_an_account_that_may_only_read_can_pull_but_not_record(
        self, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_and_register(tmp_path, uri, "reading", "read")
        add_user(uri, "reader", monkeypatch)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "reader")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        assert pull("read", tmp_path / "model", tmp_path, Request("knee", 0.1), uri).trial == "t002"
        with pytest.raises(TrackingError, match="user 'reader' may not do this here"):
            Tracker(tmp_path, "reading", "other", SPEC, uri).check()


def add_user(uri: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the administrator, unless the user is there."""
    from mlflow.exceptions import MlflowException
    from mlflow.server.auth.client import AuthServiceClient

    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", "root")
        patch.setenv("MLFLOW_TRACKING_PASSWORD", "the-administrators-own")
        client = AuthServiceClient(uri)
        try:
            client.get_user(name)
        except MlflowException:
            client.create_user(name, PASSWORD)


# ---- where artifacts of a new study go


@pytest.mark.parametrize(
    ("uri", "wanted", "place"),
    [
        ("sqlite:////r/mlflow.db", None, "file:///r/artifacts/a%20study"),
        ("postgresql://h/d", None, "file:///r/artifacts/a%20study"),
        ("http://h:5000", None, None),
        ("http://h:5000", "s3://b/p/", "s3://b/p/a%20study"),
        ("sqlite:////r/mlflow.db", "/shared", "file:///shared/a%20study"),
        ("sqlite:////r/mlflow.db", "file:///shared/x", "file:///shared/x/a%20study"),
    ],
)
def test_where_artifacts_go(monkeypatch: pytest.MonkeyPatch, uri: str, wanted: str | None, place: str | None) -> None:
    monkeypatch.delenv(ROOT, raising=False)
    if wanted is not None:
        monkeypatch.setenv(ROOT, wanted)
    assert artifact_location(Path("/r"), uri, "a study") == place


@pytest.mark.parametrize("place", ["abfss://a@b.dfs.core.windows.net/x", "ftp://me:secret@host/x", "http://host/x"])
def test_a_location_that_could_not_be_read_back_is_refused_before_anything_is_spent(
    fresh_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv(ROOT, place)
    with pytest.raises(TrackingError, match="set MLFLOW_DEFAULT_ARTIFACT_ROOT") as caught:
        Tracker(tmp_path, "study", "sweep", SPEC, fresh_store).check()
    assert "secret" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_spent(
    fresh_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(ROOT, str(tmp_path / "file"))
    with pytest.raises(TrackingError, match="writing an artifact failed"):
        Tracker(tmp_path, "study", "sweep", SPEC, fresh_store).check()
