"""Runs a sweep as a job of a Ray cluster, where it continues when this machine disconnects.

Uses the cluster's job server only (one HTTP port), so Ray need not run here. The job is the `letheon` command itself,
on the cluster's head node.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
import re
import shlex
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.common.errors import LetheonError, SpecErrors
from letheon.spec.load import SENT

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

SWEEP = "letheon.sweep"  # metadata key of a job: the name of its sweep
STOP_SECONDS = 120
ANSWER_SECONDS = 120.0
POLL_SECONDS = 0.3
NOT_READY, READY_SECONDS = "No available agent", 60.0
FILE, LONGEST = "/dev/fd/9", 100_000  # Linux takes 131,072 characters in one argument
# The marker is in two pieces because Ray logs the command as well, which must not match as its own answer.
PRINT_ANSWER = 'echo {}""{} "$code" "$(printf "%s\\n" "$out" | base64 -w 0)"'


class AlreadySubmitted(LetheonError):
    """The sweep is already running as a job of this cluster."""


class JobRejected(LetheonError):
    """The cluster did not accept a job."""

    exit_code = 3


class UnknownJob(LetheonError):
    """The cluster has no such job."""

    exit_code = 4


class RemoteTimeout(LetheonError):
    """The cluster did not answer in time, or its answer was cut off."""

    exit_code = 3


class Jobs:
    """Client of the job server at `address`, as in `http://host:8265`. Raises ConnectionError if unreachable."""

    def __init__(self, address: str) -> None:
        _enable_token_auth()
        from ray.exceptions import RayError
        from ray.job_submission import JobSubmissionClient

        try:
            self._client = JobSubmissionClient(address)
        except (ConnectionError, RuntimeError, RayError) as error:
            cause = " ".join(str(error).split())
            raise ConnectionError(
                f"{address}: {cause}; is the cluster's job server forwarded to here (`ray dashboard cluster.yaml`), "
                "and is the cluster's token in ~/.ray/auth_token or in the file that RAY_AUTH_TOKEN_PATH names?"
            ) from error

    def submit(self, sweep: str, entrypoint: str) -> str:
        """Run `entrypoint` on the head node. Returns the job's id: the sweep's name, numbered from the second job on.

        Raises:
            AlreadySubmitted: a job of this sweep is running.
            JobRejected: the cluster did not accept the job.
        """
        earlier = self.jobs_of(sweep)
        running = next((job for job in earlier if not job.status.is_terminal()), None)
        if running is not None:
            raise AlreadySubmitted(
                f"sweep {sweep!r} runs as job {running.submission_id!r}; `letheon status {sweep} --address …` shows it"
            )
        name = sweep if not earlier else f"{sweep}.{len(earlier) + 1}"
        # The time between SIGTERM and SIGKILL, in which a stopped driver records that it was interrupted.
        environment = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
        self._submit(
            entrypoint=entrypoint, submission_id=name, runtime_env={"env_vars": environment}, metadata={SWEEP: sweep}
        )
        return name

    def _submit(self, **job: Any) -> str:
        """Returns the job's id. Retries while a cluster that has just started has no agent yet. Raises JobRejected."""
        end = time.monotonic() + READY_SECONDS
        while True:
            try:
                return str(self._client.submit_job(**job))
            except RuntimeError as error:
                if NOT_READY not in str(error) or time.monotonic() > end:
                    cause = " ".join(str(error).split())[:300]
                    raise JobRejected(
                        f"the cluster did not accept the job: {cause}; check the cluster with `ray status`"
                    ) from error
            time.sleep(1.0)

    def jobs_of(self, sweep: str) -> list[JobDetails]:
        """All jobs of the sweep, newest last."""
        jobs = [job for job in self._client.list_jobs() if (job.metadata or {}).get(SWEEP) == sweep]
        return sorted(jobs, key=lambda job: job.start_time or 0)

    def newest(self, sweep: str) -> JobDetails:
        """The sweep's last job. Raises UnknownJob."""
        jobs = self.jobs_of(sweep)
        if not jobs:
            known = sorted({(job.metadata or {}).get(SWEEP, "") for job in self._client.list_jobs()} - {""})
            raise UnknownJob(f"sweep {sweep!r} is not a job of this cluster; its sweeps: {', '.join(known) or 'none'}")
        return jobs[-1]

    def follow(self, job: str, write: Callable[[str], None]) -> str:
        """Write the job's output until it ends. Returns its final status: SUCCEEDED, FAILED or STOPPED."""

        async def tail() -> None:
            async for text in self._client.tail_job_logs(job):
                write(text)

        while True:
            asyncio.run(tail())
            status = self._client.get_job_status(job)
            if status.is_terminal():
                return str(status)
            time.sleep(POLL_SECONDS)  # the connection closed before the job ended

    def stop(self, sweep: str) -> str:
        """Interrupt the sweep's job as Ctrl-C would, and wait. Returns its final status. Raises UnknownJob."""
        job = str(self.newest(sweep).submission_id)
        self._client.stop_job(job)
        return self._wait(job, STOP_SECONDS + ANSWER_SECONDS)

    def run_on_head(self, arguments: Sequence[str]) -> tuple[int, str]:
        """Exit code and output of a `letheon` command on the head node. Raises JobRejected, RemoteTimeout."""
        marker = uuid.uuid4().hex
        script = (
            f"out=$(letheon {shlex.join(arguments)} 2>&1); code=$?; {PRINT_ANSWER.format(marker[:16], marker[16:])}"
        )
        job = self._submit(entrypoint=f"bash -c {shlex.quote(script)}", submission_id=f"ask-{marker[:12]}")
        self._wait(job, ANSWER_SECONDS)
        log = self._client.get_job_logs(job)
        self._client.delete_job(job)
        return parse_answer(log, marker)

    def _wait(self, job: str, seconds: float) -> str:
        """The job's final status. Raises RemoteTimeout."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self._client.get_job_status(job)
            if status.is_terminal():
                return str(status)
            time.sleep(POLL_SECONDS)
        raise RemoteTimeout(f"job {job!r} has not ended after {seconds:.0f} s; see `ray job logs {job}`")


def _enable_token_auth() -> None:
    """Make Ray send its token if it finds one. Ray reads this setting only when it is first imported."""
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or file.is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def parse_answer(log: str, marker: str) -> tuple[int, str]:
    """Exit code and output after the marker in a job's log, which also has Ray's own lines in any position."""
    found = re.search(rf"{marker} (\d+) (\S*)\n", log)
    if found is None:
        raise RemoteTimeout(f"the cluster's answer was cut off: {' '.join(log.split())[-200:]!r}; try again")
    return int(found[1]), base64.b64decode(found[2]).decode(errors="replace")


def sweep_job(text: str, sweep: str, root: str | None, files: Mapping[str, str] | None = None) -> str:
    """The shell command that starts a new sweep on the head node; `text` is the content of its sweep file.

    `files`: contents of plug-ins, by their relative paths; the driver copies them into the sweep's folder.

    The file is part of the command and is deleted from the head's disk before the driver reads it. Ray's working
    directory is no alternative: Ray may remove it while the job runs.

    Raises:
        SpecErrors: the file is too long for a command.
    """
    packed, sent = _packed(text), {name: _packed(content) for name, content in (files or {}).items()}
    if (size := len(packed) + sum(map(len, sent.values()))) > LONGEST:
        what = f"the sweep file with {len(sent)} plug-ins is" if sent else "the sweep file is"
        raise SpecErrors([f"{sweep}: {what} too long to send ({size} of {LONGEST} characters, packed)"])
    command = ["letheon", "sweep", FILE, "--name", sweep, "--address", "auto", *_root(root)]
    unpack = f'f=$(mktemp) && echo {packed} | base64 -d | gunzip >"$f" && exec 9<"$f" && rm "$f"'
    for name, content in sent.items():
        path = f'"$d"/{shlex.quote(name)}'
        begin = "" if f"export {SENT}" in unpack else f' && d=$(mktemp -d) && export {SENT}="$d"'
        unpack += f'{begin} && mkdir -p "$(dirname {path})" && echo {content} | base64 -d | gunzip >{path}'
    return f"exec bash -c {shlex.quote(f'{unpack} && exec {shlex.join(command)}')}"


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def resume_job(sweep: str, root: str | None) -> str:
    """The shell command that resumes a sweep on the head node."""
    return f"exec {shlex.join(['letheon', 'resume', sweep, '--address', 'auto', *_root(root)])}"


def _root(root: str | None) -> list[str]:
    """Without it the cluster's own LETHEON_ROOT says where everything is."""
    return [] if root is None else ["--root", root]
