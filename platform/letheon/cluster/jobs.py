"""A sweep as a job of a running Ray cluster: it lives there, and goes on when this machine goes away.

Speaks to the cluster's job server alone (one HTTP port), so nothing here needs Ray to be running. What the job does is
the `letheon` command itself, on the cluster's head.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letheon.common.errors import LetheonError, SpecErrors

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

SWEEP = "letheon.sweep"  # a job's metadata: the sweep that it works on
STOP_SECONDS = 120
ASK_SECONDS = 120.0
POLL_SECONDS = 0.3
NOT_READY, READY_SECONDS = "No available agent", 60.0
# The mark is in two pieces: Ray logs the command too, and must not be taken for its answer.
FILE, LONGEST = "/dev/fd/9", 100_000  # Linux takes 131,072 characters in one argument
SAY = 'echo {}""{} "$code" "$(printf "%s\\n" "$out" | base64 -w 0)"'


class AlreadySubmitted(LetheonError):
    """A job of the cluster works on the sweep, or has."""


class JobRejected(LetheonError):
    """The cluster does not take a job."""

    exit_code = 3


class UnknownJob(LetheonError):
    """The cluster has no such job."""

    exit_code = 4


class RemoteTimeout(LetheonError):
    """The cluster did not say what it was asked in time, or what it said was cut off."""

    exit_code = 3


class Jobs:
    """The job server at `address`, `http://host:8265`. Raises ConnectionError if it cannot be talked to."""

    def __init__(self, address: str) -> None:
        _send_the_token()
        from ray.exceptions import RayError
        from ray.job_submission import JobSubmissionClient

        try:
            self._client = JobSubmissionClient(address)
        except (ConnectionError, RuntimeError, RayError) as error:
            cause = " ".join(str(error).split())
            raise ConnectionError(
                f"{address}: {cause}; is the cluster's job server forwarded to here (`ray dashboard cluster.yaml`), "
                "and is the cluster's token in ~/.ray/auth_token, or where RAY_AUTH_TOKEN_PATH says?"
            ) from error

    def submit(self, sweep: str, entrypoint: str) -> str:
        """Run it on the head. Returns the job's id: the sweep's name, with a number behind it when it is not the first.

        Raises:
            AlreadySubmitted: the command begins a sweep that was submitted before, or the sweep runs.
        """
        earlier = self.of(sweep)
        running = next((job for job in earlier if not job.status.is_terminal()), None)
        if running is not None:
            raise AlreadySubmitted(
                f"sweep {sweep!r} runs as job {running.submission_id!r}; `letheon status {sweep} --address …` shows it"
            )
        name = sweep if not earlier else f"{sweep}.{len(earlier) + 1}"
        # The time between SIGTERM and SIGKILL: a driver that is stopped says so in its records first.
        environment = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
        self._begin(
            entrypoint=entrypoint, submission_id=name, runtime_env={"env_vars": environment}, metadata={SWEEP: sweep}
        )
        return name

    def _begin(self, **job: Any) -> str:
        """A job's id. A cluster that has just started has nobody yet who could run it. Raises Refused."""
        end = time.monotonic() + READY_SECONDS
        while True:
            try:
                return str(self._client.submit_job(**job))
            except RuntimeError as error:
                if NOT_READY not in str(error) or time.monotonic() > end:
                    cause = " ".join(str(error).split())[:300]
                    raise JobRejected(
                        f"the cluster does not take the job: {cause}; look at it with `ray status`"
                    ) from error
            time.sleep(1.0)

    def of(self, sweep: str) -> list[JobDetails]:
        """All jobs that worked on the sweep, the newest last."""
        jobs = [job for job in self._client.list_jobs() if (job.metadata or {}).get(SWEEP) == sweep]
        return sorted(jobs, key=lambda job: job.start_time or 0)

    def newest(self, sweep: str) -> JobDetails:
        """Raises UnknownJob."""
        jobs = self.of(sweep)
        if not jobs:
            known = sorted({(job.metadata or {}).get(SWEEP, "") for job in self._client.list_jobs()} - {""})
            raise UnknownJob(
                f"sweep {sweep!r} is not a job of this cluster; submitted were: {', '.join(known) or 'none'}"
            )
        return jobs[-1]

    def follow(self, job: str, write: Callable[[str], None]) -> str:
        """Write what the job prints until it ends. Returns its last status: SUCCEEDED, FAILED or STOPPED."""

        async def tail() -> None:
            async for text in self._client.tail_job_logs(job):
                write(text)

        while True:
            asyncio.run(tail())
            status = self._client.get_job_status(job)
            if status.is_terminal():
                return str(status)
            time.sleep(POLL_SECONDS)  # the connection was closed before the job was

    def stop(self, sweep: str) -> str:
        """End the sweep's job as Ctrl-C would, and wait. Returns its last status. Raises UnknownJob."""
        job = str(self.newest(sweep).submission_id)
        self._client.stop_job(job)
        return self._ended(job, STOP_SECONDS + ASK_SECONDS)

    def ask(self, arguments: Sequence[str]) -> tuple[int, str]:
        """Exit code and output of a `letheon` command on the head. Raises RemoteTimeout."""
        mark = uuid.uuid4().hex
        script = f"out=$(letheon {shlex.join(arguments)} 2>&1); code=$?; {SAY.format(mark[:16], mark[16:])}"
        job = self._begin(entrypoint=f"bash -c {shlex.quote(script)}", submission_id=f"ask-{mark[:12]}")
        self._ended(job, ASK_SECONDS)
        log = self._client.get_job_logs(job)
        self._client.delete_job(job)
        return answer_in(log, mark)

    def _ended(self, job: str, seconds: float) -> str:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self._client.get_job_status(job)
            if status.is_terminal():
                return str(status)
            time.sleep(POLL_SECONDS)
        raise RemoteTimeout(f"job {job!r} has not ended after {seconds:.0f} s; look at it with `ray job logs {job}`")


def _send_the_token() -> None:
    """If there is one where Ray looks for it: Ray keeps it to itself unless it is told before its first import."""
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or file.is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def answer_in(log: str, mark: str) -> tuple[int, str]:
    """Exit code and output behind the mark, out of a log that Ray writes into as well, at any place."""
    found = re.search(rf"{mark} (\d+) (\S*)\n", log)
    if found is None:
        raise RemoteTimeout(f"the cluster's answer was cut off: {' '.join(log.split())[-200:]!r}; ask again")
    return int(found[1]), base64.b64decode(found[2]).decode(errors="replace")


def sweep_job(text: str, sweep: str, root: str | None) -> str:
    """What the head runs for a new sweep; `text` is its file.

    The file travels inside of the command, and is gone from the head's disk when the driver reads it. A working folder
    of Ray's would be the usual way, but it may be removed while its job runs, and then nothing works in it.

    Raises:
        SpecErrors: the file is too long for a command.
    """
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    if len(packed) > LONGEST:
        raise SpecErrors(
            [f"{sweep}: the sweep file is too long to be sent ({len(packed)} of {LONGEST} characters, packed)"]
        )
    command = ["letheon", "sweep", FILE, "--name", sweep, "--address", "auto", *_root(root)]
    unpack = f'f=$(mktemp) && echo {packed} | base64 -d | gunzip >"$f" && exec 9<"$f" && rm "$f"'
    return f"exec bash -c {shlex.quote(f'{unpack} && exec {shlex.join(command)}')}"


def resume_job(sweep: str, root: str | None) -> str:
    """What the head runs to go on with one."""
    return f"exec {shlex.join(['letheon', 'resume', sweep, '--address', 'auto', *_root(root)])}"


def _root(root: str | None) -> list[str]:
    """Without it the cluster's own LETHEON_ROOT says where everything is."""
    return [] if root is None else ["--root", root]
