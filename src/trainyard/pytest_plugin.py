"""A service of its own for each test that asks for one: ready in under half a second, gone without a trace after it.

pytest loads this module in every run of everybody who has Trainyard installed, so it imports nothing until a fixture is
used. docs/testing.md is written for its users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from trainyard.local_service import LocalService


class Shelf:
    """The services of a run: those in use by fixture, and one that comes up while the test before still runs."""

    def __init__(self, wanted: int) -> None:
        """`wanted` is how many tests of this run will take one."""
        self.in_use: dict[str, LocalService] = {}
        self._wanted = wanted
        self._next: LocalService | None = None

    def take(self, make_directory: Callable[[], Path]) -> LocalService:
        """A fresh service that is ready; whoever takes it stops it. Raises DidNotStart."""
        service, self._next = self._next or _begun(make_directory()), None
        service.finish()
        self._wanted -= 1
        if self._wanted > 0:
            self._next = _begun(make_directory())
        return service

    def close(self) -> None:
        """Stop the one that nobody took."""
        if self._next is not None:
            self._next.stop()
            self._next = None


def _begun(directory: Path) -> LocalService:
    from trainyard.local_service import LocalService  # noqa: PLC0415 - see the module's promise

    service = LocalService(directory)
    service.begin()
    return service


_SHELF: Final = pytest.StashKey[Shelf]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the tests that will take a service."""
    wanted = sum("trainyard" in getattr(item, "fixturenames", ()) for item in session.items)
    session.stash[_SHELF] = Shelf(wanted)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that ends early leaves no service behind."""
    if _SHELF in session.stash:
        session.stash[_SHELF].close()


@pytest.fixture
def trainyard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """A fresh service for this test alone: free port, empty data directory. docs/testing.md lists what it offers."""
    shelf = request.session.stash[_SHELF]
    service = shelf.take(lambda: tmp_path_factory.mktemp("trainyard"))
    yield from _used(shelf, "trainyard", service)


@pytest.fixture(scope="session")
def trainyard_session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalService]:
    """One service for all tests of the run that ask for it; they see each other's jobs."""
    service = _begun(tmp_path_factory.mktemp("trainyard_session"))
    service.finish()
    yield from _used(request.session.stash[_SHELF], "trainyard_session", service)


def _used(shelf: Shelf, fixture: str, service: LocalService) -> Iterator[LocalService]:
    shelf.in_use[fixture] = service
    try:
        yield service
    finally:
        del shelf.in_use[fixture]
        service.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failing test also shows what its service has to say, and why each of its jobs is where it is."""
    report = yield
    if report.failed and report.when == "call" and _SHELF in item.session.stash:
        used = set(getattr(item, "fixturenames", ()))
        for fixture, service in item.session.stash[_SHELF].in_use.items():
            if fixture in used:
                report.sections.append((f"Trainyard ({fixture})", service.account()))
    return report
