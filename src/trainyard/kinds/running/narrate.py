"""What an attempt leaves for people: one record per ended incarnation and each of the executor's notes, once."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace

from trainyard.core.jobs import Decision, ReplicaRecord
from trainyard.core.outcomes import MOST_WORKER_RESTARTS, Line, exit_status, signal_name
from trainyard.core.runs import Cause, Exit
from trainyard.kinds.running.judge import Scene
from trainyard.kinds.running.memo import Memo
from trainyard.kinds.running.sight import Seen

_MOST_TOLD = 200  # notes remembered; an executor that makes up new ones for ever must not grow the memo for ever


def record_ends(scene: Scene, draft: Decision) -> tuple[Decision, Memo]:
    """Every end not yet recorded becomes a ReplicaRecord and a line of the service log."""
    memo = scene.memo
    for seen in scene.sight.replicas:
        if seen.exit is None or memo.recorded.get(seen.name, 0) > seen.incarnation:
            continue
        record = ReplicaRecord(scene.job.status.attempt, seen.name, seen.incarnation, seen.exit)
        draft = replace(draft, records=(*draft.records, record))
        text = Line.TASK.format(replica=seen.name, status=_status(seen.exit), reason=_reason(seen.exit))
        draft = draft.noted(text, scene.now_us)
        memo = memo.with_record(seen.name, seen.incarnation)
    return draft, memo


def tell_notes(scene: Scene, draft: Decision, memo: Memo) -> tuple[Decision, Memo]:
    """What the executor wants people to know goes into the service log, each sentence once per job."""
    for text in _notes(scene):
        mark = f"{zlib.crc32(text.encode()):08x}"
        if mark in memo.told or len(memo.told) >= _MOST_TOLD:
            continue
        draft = draft.noted(text, scene.now_us)
        memo = replace(memo, told=(*memo.told, mark))
    return draft, memo


def restart_line(scene: Scene, seen: Seen) -> str:
    """The sentence about a worker that is started again in place."""
    return Line.RESTARTED.format(why=scene.sentence(seen), number=seen.incarnation + 1, most=MOST_WORKER_RESTARTS)


def _notes(scene: Scene) -> Iterator[str]:
    yield from scene.reading.notes
    for seen in scene.sight.replicas:
        if seen.note:
            yield f"{seen.name}: {seen.note}"


def _status(end: Exit) -> str:
    """The number in `Exit code (…)`; who was lost took it along."""
    return "unknown" if end.cause is Cause.LOST and end.code is None else str(exit_status(end))


def _reason(end: Exit) -> str:
    """The word in `Exit reason (…)`: the original's SUCCEEDED and Error, our own where it has none."""
    match end.cause:
        case Cause.EXITED:
            return "SUCCEEDED" if end.code == 0 else "Error"
        case Cause.SIGNALED:
            return signal_name(end)
        case Cause.START_FAILED:
            return "StartError"
        case Cause.OUT_OF_MEMORY:
            return "OOMKilled"
        case Cause.STOPPED:
            return "STOPPED"
        case Cause.LOST:
            return "LOST"
