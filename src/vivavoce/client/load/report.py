"""A run's report: for people a table, for programs JSON."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from vivavoce.client.load.crew import Outcome
from vivavoce.client.load.figures import LATENCIES, Percentiles, percentiles
from vivavoce.client.load.plan import CHUNK_MS, Plan


class Machine(Struct, frozen=True, kw_only=True):
    """Where it ran, and how busy that was."""

    cores: int
    system: str
    python: str
    load_before: float
    """Average number of running processes in the last minute, before and after the run."""
    load_after: float
    stolen: float | None = None
    """The share of its processors' time that a virtual machine's host gave to others, by the kernel's count: stalls of ten
    milliseconds and more, where neither server nor generator is busy. `None`: not known."""


class ServerUse(Struct, frozen=True, kw_only=True):
    """What the server used in measured time."""

    processes: int
    cpu_seconds: float
    cpu_ms_per_session_second: float
    """Milliseconds of processor time for each session and second: 10 of it is a hundredth of a core."""
    event_loop_ms_per_session_second: float
    """The part of it that the event loops used; the rest is inference."""
    memory_kb_per_session: float
    """Resident memory at the end less that before the first session, for each session. Below 0 where the server gave back
    more of what it had freed than the sessions took."""


class OwnUse(Struct, frozen=True, kw_only=True):
    """What the load generator says of itself: figures are no better than this."""

    processes: int
    cpu_seconds: float
    lag_ms: Percentiles | None
    """How late it sent its chunks."""


class Report(Struct, frozen=True, kw_only=True):
    """One run."""

    url: str
    started_at: str
    """UTC, ISO 8601."""
    sessions: int
    seconds: float
    chunk_ms: int
    silence_ms: int
    interrupting: float
    latencies_ms: dict[str, Percentiles | None]
    answers: int
    interrupted: int
    unheard: int
    """Utterances that the server took for something else than speech."""
    deltas: int
    late_deltas: int
    worst_gap_ms: float
    answer_seconds: float
    errors: dict[str, int]
    refusals: dict[str, int]
    server: ServerUse | None
    generator: OwnUse
    machine: Machine


def report_of(plan: Plan, outcome: Outcome, server_processes: int, started_at: str, machine: Machine) -> Report:
    """The figures of a run."""
    tally = outcome.tally
    return Report(
        url=plan.server.url,
        started_at=started_at,
        sessions=outcome.sessions,
        seconds=plan.seconds,
        chunk_ms=CHUNK_MS,
        silence_ms=plan.silence_ms,
        interrupting=plan.interrupting,
        latencies_ms={name: percentiles(tally.latencies_ms[name]) for name in LATENCIES},
        answers=tally.answers,
        interrupted=tally.interrupted,
        unheard=tally.unheard,
        deltas=tally.deltas,
        late_deltas=tally.late_deltas,
        worst_gap_ms=round(tally.worst_gap_ms, 3),
        answer_seconds=round(tally.answer_seconds, 3),
        errors=dict(tally.errors),
        refusals=dict(outcome.refusals),
        server=_server_use(plan, outcome, server_processes),
        generator=OwnUse(
            processes=plan.processes, cpu_seconds=round(tally.own_cpu_seconds, 3), lag_ms=percentiles(tally.own_lag_ms)
        ),
        machine=machine,
    )


def _server_use(plan: Plan, outcome: Outcome, processes: int) -> ServerUse | None:
    if outcome.server is None:
        return None
    session_seconds = outcome.sessions * plan.seconds
    grown_bytes = outcome.memory_after_bytes - outcome.memory_before_bytes
    return ServerUse(
        processes=processes,
        cpu_seconds=round(outcome.server.cpu_seconds, 3),
        cpu_ms_per_session_second=round(outcome.server.cpu_seconds * 1000 / session_seconds, 4),
        event_loop_ms_per_session_second=round(outcome.server.main_thread_seconds * 1000 / session_seconds, 4),
        memory_kb_per_session=round(grown_bytes / 1000 / outcome.sessions, 1),
    )


def table(report: Report) -> Iterator[str]:
    """The report for a person, line by line."""
    yield f"{'milliseconds':36}{'count':>8}{'p50':>9}{'p95':>9}{'p99':>9}{'worst':>9}"
    for name, title in LATENCIES.items():
        yield _row(title, report.latencies_ms[name])
    yield _row("the generator's own lag", report.generator.lag_ms)
    yield ""
    yield (
        f"{report.sessions} sessions for {report.seconds:g} s: {report.answers} answers, {report.interrupted} cut off, "
        f"{report.answer_seconds:.0f} s of audio; {report.unheard} utterances unheard"
    )
    late = f", the worst by {report.worst_gap_ms:.1f} ms" if report.late_deltas else ""
    yield f"audio deltas that came too late to be played: {report.late_deltas} of {report.deltas}{late}"
    if report.server is not None:
        server = report.server
        grown_kb = server.memory_kb_per_session
        memory = f"{grown_kb:.0f} kB a session" if grown_kb > 0 else "no more memory than before"
        yield (
            f"the server: {server.cpu_ms_per_session_second:.2f} ms of processor time a session-second "
            f"({server.event_loop_ms_per_session_second:.2f} of it the event loop; "
            f"{server.cpu_seconds / report.seconds:.0%} of a core in all), {memory}"
        )
    for name, count in (report.errors | report.refusals).items():
        yield f"{count} times: {name}"
    machine = report.machine
    stolen = f"; the host took {machine.stolen:.1%} of their time" if machine.stolen else ""
    yield f"{machine.cores} cores, load {machine.load_before:.1f} before and {machine.load_after:.1f} after{stolen}"


def _row(title: str, figures: Percentiles | None) -> str:
    if figures is None:
        return f"{title:36}{0:8}"
    return f"{title:36}{figures.count:8}{figures.p50:9.2f}{figures.p95:9.2f}{figures.p99:9.2f}{figures.worst:9.2f}"
