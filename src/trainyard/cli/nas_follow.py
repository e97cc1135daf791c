"""Shows a search live until it ends: a line for each new best, and one line, drawn over, of how far it is."""

from __future__ import annotations

import time
from typing import Final

from trainyard.cli.follow import interrupts
from trainyard.cli.nas_results import ENDED, Found, Search, found, metric_of, search_trials, space_of_job
from trainyard.cli.problems import FAILED, INTERRUPTED, Refused, Unreachable
from trainyard.cli.service_api import FINAL_STATES, Job, ServiceApi, short_state
from trainyard.cli.terminal import STATE_STYLES, Terminal

# A poll costs the service as much as the job has trials, so the pause grows with them.
_PAUSE_SECONDS: Final = 0.3
_PAUSE_A_TRIAL_SECONDS: Final = 0.0005
_SAY_EVERY: Final = 10  # ended trials between two lines where no line can be drawn over


class Watcher:
    """Follows one search. The first Ctrl-C cancels it, the second leaves it to the service (see `left`)."""

    def __init__(self, api: ServiceApi, name: str, terminal: Terminal) -> None:
        """Nothing is read yet."""
        self.api = api
        self.name = name
        self.terminal = terminal
        self.left = False
        self._best: float | None = None
        self._state = ""
        self._said = 0
        self._search: Search | None = None
        self._is_lost = False

    def watch(self) -> Job:
        """Show the search until it has ended or the user leaves; the job as it is then."""
        job: Job = {}
        seen = 0
        with interrupts() as count:
            try:
                while not self.left and job.get("state") not in FINAL_STATES:
                    if count[0] > seen:
                        seen = count[0]
                        self._interrupted(seen)
                    job = self._look() or job
                    time.sleep(_PAUSE_SECONDS + _PAUSE_A_TRIAL_SECONDS * len(search_trials(job)))
            finally:
                self.terminal.close()
        return job

    def _look(self) -> Job | None:
        """The job as it is now, and what is new of it; None while the service is away."""
        try:
            job = self.api.get(self.name)
            if self._is_lost:
                self._is_lost = False
                self.terminal.line("the service is back", "green", err=True)
            self._show(job)
        except Unreachable:
            if not self._is_lost:
                self._is_lost = True
                self.terminal.line("the service is gone; waiting for it to come back", "yellow", err=True)
            return None
        return job

    def _show(self, job: Job) -> None:
        if self._search is None:
            self._search = Search(job, space_of_job(self.api, job), ())
        state = short_state(job)
        if state != self._state:
            self._state = state
            why = str(job.get("error", {}).get("message", ""))
            mark = self.terminal.paint(f"● {state:<9}", STATE_STYLES.get(state, "bold"), "bold")
            self.terminal.line(f"{mark} {why}".rstrip())
        trials = [found(each, {}, metric_of(job)) for each in search_trials(job)]
        search = Search(job, self._search.space, trials)
        best = next(iter(search.best()), None)
        if best is not None and best.value != self._best:
            self._best = best.value
            self._new_best(search, best)
        self._progress(search)

    def _new_best(self, search: Search, best: Found) -> None:
        try:
            detail = self.api.get(f"{self.name}/nasTrialDetails/{best.number}")
        except Refused:
            detail = {}
        known = found({"id": best.number}, detail, "")
        value = self.terminal.paint(f"{best.value:.6g}", "green", "bold")
        self.terminal.line(
            f"  trial {best.number:>4}  {search.metric or 'value'} {value}  {search.architecture(known)}"
        )

    def _progress(self, search: Search) -> None:
        ended = sum(trial.state in ENDED for trial in search.trials)
        infeasible = sum(trial.state == "INFEASIBLE" for trial in search.trials)
        best = "" if self._best is None else f", best {self._best:.6g}"
        text = f"{ended} of {search.planned} trials, {len(search.trials) - ended} open, {infeasible} infeasible{best}"
        self.terminal.status(text)
        if not self.terminal.live and ended >= self._said + _SAY_EVERY:
            self._said = ended
            self.terminal.line(f"  {text}")

    def _interrupted(self, times: int) -> None:
        if times > 1:
            self.terminal.line("left to the service", err=True)
            self.left = True
            return
        try:
            self.api.cancel(self.name)
        except Unreachable:
            self.terminal.line("the service is gone and can't cancel; press Ctrl-C again to leave", "red", err=True)
        else:
            self.terminal.line("cancelling; press Ctrl-C again to leave it to the service", "yellow", err=True)


def exit_code(job: Job) -> int:
    """0 for a search that succeeded, 130 for one that was cancelled, else 1."""
    codes = {"JOB_STATE_SUCCEEDED": 0, "JOB_STATE_CANCELLED": INTERRUPTED}
    return codes.get(str(job.get("state")), FAILED)
