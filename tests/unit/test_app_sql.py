"""Which port SQL gets, and what happens where it is another's."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from trainyard import app_sql
from trainyard.app import CannotServe, bind
from trainyard.settings import BadSetting, Settings


def port_of(settings: Settings) -> int | None:
    """The port that is bound; None where none is."""
    listener = app_sql.bind(settings, bind)
    if listener is None:
        return None
    with listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def taken() -> socket.socket:
    """A port that somebody listens on."""
    other = socket.socket()
    other.bind(("127.0.0.1", 0))
    other.listen()
    return other


def test_off_and_numbers(tmp_path: Path) -> None:
    """`off` is none; a number is that one, 0 any."""
    assert port_of(Settings(data_dir=tmp_path, sql_port="off")) is None
    assert port_of(Settings(data_dir=tmp_path, sql_port="0"))
    assert port_of(Settings(data_dir=tmp_path, port=0))


def test_a_default_that_is_taken_stops_nothing(
    tmp_path: Path, taken: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service comes up without it and says so; a port that was asked for by number is worth a refusal."""
    number = taken.getsockname()[1]
    monkeypatch.setattr(app_sql, "SQL_PORT", number)
    with caplog.at_level(logging.WARNING):
        assert port_of(Settings(data_dir=tmp_path, port=1)) is None
    assert "served over HTTP alone" in caplog.text
    with pytest.raises(CannotServe, match="--sql-port"):
        port_of(Settings(data_dir=tmp_path, sql_port=str(number)))
    taken.close()


@pytest.mark.parametrize("value", ["-1", "65536", "on", "", "5466x"])
def test_what_is_no_port_is_refused(tmp_path: Path, value: str) -> None:
    """With what would do."""
    with pytest.raises(BadSetting, match="auto, off, or a port"):
        Settings.load({"sql_port": value, "data_dir": tmp_path}, {})
