"""What doctor says of SQL's port."""

from __future__ import annotations

import socket

from trainyard.cli import checks, doctor
from trainyard.settings import SQL_PORT


def test_the_port_is_the_services() -> None:
    """The number that the doctor looks at is the one that `trainyard serve` takes by default."""
    assert doctor.SQL_PORT == SQL_PORT


def test_a_taken_port_is_named_with_a_way_out() -> None:
    """Free is good; taken is told with what then happens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        finding = checks.sql_port(taken.getsockname()[1])
    assert not finding.good
    assert not finding.core
    assert "HTTP alone" in finding.found
    assert "--sql-port" in finding.remedy
    assert checks.sql_port(0).good
