"""The mailbox is state, not a queue: repeated calls change nothing, superseded jobs have to stop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable

from letheon.workers.mailbox import Mailbox


def in_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Runs an asynchronous test, for at most 10 s."""

    @functools.wraps(test)
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 10))

    return run


@in_loop
async def test_a_worker_waits_for_each_grant_and_a_new_job_abandons_the_old() -> None:
    box = Mailbox(max_failures=0)
    first = await box.submit({"name": "a"})
    assert await box.next_job(0) == (first, {"name": "a"})
    waiting = asyncio.create_task(box.may_run(first, 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    await box.grant(first, 1)
    assert await waiting
    await box.post(first, 1, {"loss": 1.0})
    await box.post(first, 1, {"loss": 2.0})
    assert await box.wait_for_report(first, 1) == {"loss": 1.0, "restarts": 0}
    assert await box.wait_for_report(first, 1) == {"loss": 1.0, "restarts": 0}
    blocked = asyncio.create_task(box.may_run(first, 2))
    second = await box.submit({"name": "b"})
    assert not await blocked
    await box.post(first, 2, {"loss": 3.0})
    assert await box.next_job(first) == (second, {"name": "b"})
    assert "failed" in await box.wait_for_report(first, 2)


@in_loop
async def test_a_restarted_process_gets_the_job_again_until_failures_run_out() -> None:
    box = Mailbox(max_failures=1)
    generation = await box.submit({"name": "a"})
    taken = asyncio.create_task(box.wait_for_report(generation, 1))
    assert await box.next_job(0) is not None
    assert await box.next_job(0) is not None
    third = asyncio.create_task(box.next_job(0))
    report = await taken
    assert "lost 2 times" in report["failed"]
    assert "max_failures is 1" in report["failed"]
    assert not third.done()
    later = await box.submit({"name": "b"})
    assert await third == (later, {"name": "b"})


@in_loop
async def test_it_knows_what_its_workers_do_now() -> None:
    box = Mailbox(max_failures=1)
    assert await box.activity() is None
    first = await box.submit({"name": "a"})
    assert await box.activity() is None, "no epoch is granted"
    await box.grant(first, 1)
    activity = await box.activity() or {}
    assert (activity["job"], activity["epoch"], activity["progress"]) == ({"name": "a"}, 1, {})
    assert not activity["ready"]
    await box.next_job(0)
    await box.note_progress(first, {"stage": "training", "step": 1})
    await box.note_progress(first, {"stage": "training", "step": 2})
    activity = await box.activity() or {}
    assert activity["progress"] == {"stage": "training", "step": 2}
    assert activity["heard"] >= activity["since"]
    await box.next_job(0)
    assert (await box.activity() or {})["progress"] == {}, "another process has not told anything yet"
    await box.post(first, 1, {})
    assert await box.activity() is None, "the decision is awaited"
    await box.grant(first, 2)
    assert await box.activity() is not None
    second = await box.submit({"name": "b"})
    await box.note_progress(first, {"stage": "of a job that is over"})
    await box.grant(second, 1)
    assert (await box.activity() or {})["progress"] == {}
    await box.fail(second, "broken")
    assert await box.activity() is None


@in_loop
async def test_a_preempted_process_costs_the_job_no_failure() -> None:
    box = Mailbox(max_failures=0)
    first = await box.submit({"name": "a"})
    assert await box.next_job(0) is not None
    await box.announce_preemption()
    assert await box.is_preempted()
    assert await box.next_job(0) == (first, {"name": "a"}), "restarted although no failure is allowed"
    assert not await box.is_preempted(), "this is another process, on another node"
    await box.post(first, 1, {})
    assert await box.wait_for_report(first, 1) == {"restarts": 1}

    await box.announce_preemption()
    second = await box.submit({"name": "b"})
    assert await box.next_job(first) == (second, {"name": "b"}), "the same process, which still has to end"
    assert await box.is_preempted()
    assert await box.next_job(0) is not None
    lost = asyncio.create_task(box.next_job(0))
    assert "lost 1 times" in (await box.wait_for_report(second, 1))["failed"], "a loss without notice counts"
    lost.cancel()


@in_loop
async def test_an_exception_fails_the_job_and_the_worker_takes_the_next() -> None:
    box = Mailbox(max_failures=2)
    generation = await box.submit({"name": "a"})
    await box.next_job(0)
    await box.fail(generation, "ValueError: broken")
    await box.fail(generation, "a consequence of the first")
    assert await box.wait_for_report(generation, 1) == {"failed": "ValueError: broken"}
    waiting = asyncio.create_task(box.next_job(generation))
    await box.submit({"name": "b"})
    assert (await waiting or (0, {}))[1] == {"name": "b"}


@in_loop
async def test_out_of_memory_is_retried_once_regardless_of_max_failures() -> None:
    box = Mailbox(max_failures=0)
    generation = await box.submit({"name": "a"})
    assert await box.next_job(generation - 1) is not None
    await box.report_oom(generation, "tried to allocate 20 GiB")
    await box.report_oom(generation, "from another rank of the same start")
    assert await box.next_job(generation - 1) == (generation, {"name": "a"})
    await box.post(generation, 1, {"loss": 1.0})
    assert await box.wait_for_report(generation, 1) == {"loss": 1.0, "restarts": 1}
    await box.report_oom(generation, "tried to allocate 30 GiB")
    failed = (await box.wait_for_report(generation, 2))["failed"]
    assert "again" in failed
    assert "30 GiB" in failed
    await box.submit({"name": "b"})
    await box.report_oom(generation, "from a job that is over")
    assert await box.next_job(generation) is not None


@in_loop
async def test_closing_ends_all_waiting_calls() -> None:
    box = Mailbox(max_failures=0)
    generation = await box.submit({"name": "a"})
    calls = [
        asyncio.create_task(call)
        for call in (box.next_job(generation), box.may_run(generation, 1), box.wait_for_report(generation, 1))
    ]
    await asyncio.sleep(0)
    await box.close()
    job, verdict, report = await asyncio.gather(*calls)
    assert job is None
    assert verdict is False
    assert isinstance(report, dict)
    assert "failed" in report


@in_loop
async def test_workers_have_one_holder_until_it_gives_them_back_or_is_known_to_be_dead() -> None:
    box = Mailbox(max_failures=0)
    assert await box.claim("a") == "a"
    assert await box.claim("b") == "a"
    assert await box.claim("b", instead_of="c") == "a"
    generation = await box.submit({"name": "of a"})
    await box.release("b")  # not the holder: no effect
    assert await box.next_job(0) == (generation, {"name": "of a"})
    working = asyncio.create_task(box.may_run(generation, 1))
    await box.release("a")
    assert not await working
    assert await box.claim("b") == "b"
    assert await box.claim("c", instead_of="b") == "c"
    waiting = asyncio.create_task(box.next_job(generation))
    await asyncio.sleep(0)
    assert not waiting.done()  # an abandoned job is not handed out again
    again = await box.submit({"name": "of c"})
    assert await waiting == (again, {"name": "of c"})


@in_loop
async def test_waiting_ends_with_the_reason_when_the_workers_end() -> None:
    box = Mailbox(max_failures=0)
    ready = asyncio.create_task(box.wait_until_ready())
    generation = await box.submit({"name": "a"})
    report = asyncio.create_task(box.wait_for_report(generation, 1))
    await asyncio.sleep(0)
    assert not ready.done()
    await box.end("no room")
    assert await report == {"ended": "no room"}
    await ready
    assert await box.claim("a") is None


@in_loop
async def test_waiting_until_ready_ends_once_the_workers_are_ready() -> None:
    box = Mailbox(max_failures=0)
    ready = asyncio.create_task(box.wait_until_ready())
    await asyncio.sleep(0)
    assert not ready.done()
    await box.set_ready()
    await ready
