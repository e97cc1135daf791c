"""The trials of a search as a collection of their own below it: one by its number, or all that were measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from trainyard.core.errors import FieldViolation, InvalidArgument, NotFound
from trainyard.core.names import JobName
from trainyard.core.paging import page_size, read_token, write_token
from trainyard.core.trials import Stage, Trial
from trainyard.kind import Searches
from trainyard.service.call import Call, unlocked
from trainyard.service.rendering import stored_message

COLLECTION = "nasTrialDetails"
PARENT = "nasJobs"
PAGE_BY_DEFAULT = 20  # what the public client asks for at most


async def get(call: Call, kind: Searches, request: Any) -> Any:
    """One search trial, whatever its state, with its training where it was chosen for that. Raises NotFound."""
    name, number = trial_name(request.name)
    job = unlocked(call.keepers.desk.get(name))
    trials = await call.keepers.desk.trials(name)
    search = next((one for one in trials if one.stage is Stage.SEARCH and one.number == number), None)
    if search is None:
        raise NotFound(f"The NasTrialDetail {request.name} does not exist.")
    return kind.render_trial(job, search, _trained(trials).get(number))


async def list_(call: Call, kind: Searches, request: Any) -> Any:
    """Search trials that were measured, the best first."""
    name = _job_name(request.parent)
    job = unlocked(call.keepers.desk.get(name))
    size = page_size(request.page_size or PAGE_BY_DEFAULT)
    context = (str(name), COLLECTION)
    start = read_token(request.page_token, *context) or 0
    trials = await call.keepers.desk.trials(name)
    found, trained = kind.best_first(job, trials), _trained(trials)
    answer = stored_message("ListNasTrialDetailsResponse")
    for search in found[start : start + size]:
        answer.nas_trial_details.append(kind.render_trial(job, search, trained.get(search.number)))
    answer.next_page_token = write_token(start + size if start + size < len(found) else None, *context)
    return answer


VERBS: Mapping[str, Callable[[Call, Searches, Any], Awaitable[Any]]] = {"get": get, "list": list_}


def trial_name(text: str) -> tuple[JobName, int]:
    """Read `projects/*/locations/*/nasJobs/*/nasTrialDetails/*`; raises InvalidArgument on anything else."""
    head, slash, number = text.rpartition(f"/{COLLECTION}/")
    if not slash or not number.isascii() or not number.isdecimal() or len(number) > 10:
        raise _bad(text)
    return _job_name(head), int(number)


def _job_name(text: str) -> JobName:
    name = JobName.parse(text)
    if name.collection != PARENT:
        raise _bad(text)
    return name


def _bad(text: str) -> InvalidArgument:
    message = f"{text!r} is not a name such as projects/*/locations/*/{PARENT}/*/{COLLECTION}/*."
    return InvalidArgument(message, [FieldViolation("name", message)])


def _trained(trials: tuple[Trial, ...]) -> dict[int, Trial]:
    """The train trials by the search trial that each trains."""
    return {trial.of: trial for trial in trials if trial.stage is Stage.TRAIN}


def number_of(text: str) -> int | None:
    """The number in the name of a trial; None where the name is that of a job. Raises InvalidArgument on a bad one."""
    return trial_name(text)[1] if f"/{COLLECTION}/" in text else None


def stage_of(text: str) -> Stage:
    """`search` (also where it is empty) or `train`; raises InvalidArgument on anything else."""
    if text in ("", Stage.SEARCH, Stage.TRAIN):
        return Stage(text or Stage.SEARCH)
    message = f"stage must be search or train, not {text!r}."
    raise InvalidArgument(message, [FieldViolation("stage", message)])
