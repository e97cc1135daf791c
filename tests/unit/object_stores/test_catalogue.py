"""The catalogue's writes are durable one by one, and cost the disk little together."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from trainyard.core.errors import Unavailable
from trainyard.object_stores.catalogue import Catalogue, Row
from trainyard.objects import StoredObject

WRITERS = 8


def row(name: str, generation: int = 1, md5: object = None) -> Row:
    return Row("stamp", StoredObject("b", name, generation, 1, 1, 1, md5=md5))  # type: ignore[arg-type]  # wrong on purpose


def all_at_once(catalogue: Catalogue, rows: list[Row]) -> list[str]:
    """Write each row from its own thread while the lock is held, then let them go; who failed, and why."""
    failed: list[str] = []

    def write(each: Row) -> None:
        try:
            catalogue.write([each])
        except Unavailable as error:
            failed.append(f"{each.object.name}: {error.message}")

    threads = [threading.Thread(target=write, args=(each,)) for each in rows]
    with catalogue._lock:
        for thread in threads:
            thread.start()
        while len(catalogue._waiting) < len(rows):
            threads[0].join(0.001)
        assert catalogue.rows("b", rows[0].object.name) == []  # nobody who reads waits for them
    for thread in threads:
        thread.join()
    return failed


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "catalogue.db")


def test_who_comes_together_goes_to_the_disk_together(catalogue: Catalogue, tmp_path: Path) -> None:
    """One commit for all who waited; each row is there in another process afterwards."""
    told: list[str] = []
    catalogue._db.set_trace_callback(told.append)
    rows = [row(f"o{number}") for number in range(WRITERS)]
    assert all_at_once(catalogue, rows) == []
    assert told.count("COMMIT") == 1
    other = Catalogue(tmp_path / "catalogue.db")
    assert all(other.rows("b", each.object.name) == [each] for each in rows)
    other.close()
    catalogue.close()


@pytest.mark.parametrize("wrong", [object(), 2**70])
def test_nobody_pays_for_anothers_fault(catalogue: Catalogue, wrong: object) -> None:
    """Of those who come together only the one that cannot be written fails, and says why."""
    bad = row("bad", md5=wrong)
    failed = all_at_once(catalogue, [row("good"), bad, row("fine")])
    assert [each.partition(":")[0] for each in failed] == ["bad"]
    assert "cannot be written" in failed[0]
    assert len(catalogue.rows("b", "good")) == len(catalogue.rows("b", "fine")) == 1
    assert catalogue.rows("b", "bad") == []
