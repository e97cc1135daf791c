"""What an agent makes of an engine's leavings: whose children they are, what was said, what an end means."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from trainyard.agent import ending, kernel
from trainyard.agent.container import Engine, NotStarted, directory_of, judged, not_started

TELLS = {"image": "img", "program": "prog", "engine": "podman"}


def an_engine(folder: Path, **more: Any) -> Engine:
    request = {"remove": ["/bin/true"], "env": {}, "init": True, "tells": TELLS, **more}
    return Engine(str(folder / "w.0"), request)


def in_a_child(work: Any) -> None:
    """Run in a process of its own, which adopts orphans as an agent does."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            kernel.adopt_orphans()
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def pipes() -> tuple[int, int]:
    return os.open("/dev/null", os.O_WRONLY), os.open("/dev/null", os.O_WRONLY)


def test_what_an_engine_leaves_behind_is_watched(tmp_path: Path) -> None:
    """The process that it names becomes ours once it has said that it started; conmon is ended."""
    engine = an_engine(tmp_path)
    script = "sleep 60 & echo $! >pid; sleep 60 & echo $! >conmon; : >started"

    def story() -> None:
        first = engine.start(["/bin/sh", "-c", script], {"PATH": "/bin:/usr/bin"}, *pipes())
        assert first == int(Path(engine.directory, "pid").read_text())
        deadline = time.monotonic() + 60
        while (name := Path(f"/proc/{first}/comm").read_text()) != "sleep\n":  # forked, and about to become it
            assert time.monotonic() < deadline, name
        conmon = int(Path(engine.directory, "conmon").read_text())
        assert not Path(f"/proc/{conmon}").exists()
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)

    in_a_child(story)


def test_an_engine_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Its words are the reason, the runtime's before its own, and what it left is ended."""
    engine = an_engine(tmp_path)

    def story() -> None:
        with pytest.raises(NotStarted, match="no such image"):
            engine.start(["/bin/sh", "-c", "echo no such image >&2; exit 125"], {"PATH": "/bin"}, *pipes())
        script = "sleep 60 & echo $! >pid; echo why >runtime.log; exit 126"
        with pytest.raises(NotStarted, match=r"^why$"):
            engine.start(["/bin/sh", "-c", script], {"PATH": "/bin:/usr/bin"}, *pipes())
        assert not Path("/proc/self/task", str(os.getpid()), "children").read_text()
        with pytest.raises(NotStarted, match="No such file"):
            engine.start(["/no/such/podman"], {}, *pipes())

    in_a_child(story)


def test_a_network_in_anothers_way_is_asked_for_again(tmp_path: Path) -> None:
    """Only while the program was not let loose, and not for ever."""
    engine = an_engine(tmp_path)
    script = (
        f"echo x >>{tmp_path}/tries; [ $(wc -l <{tmp_path}/tries) -gt 1 ] || {{ echo netavark: no >&2; exit 126; }};"
    )

    def story() -> None:
        first = engine.start(
            ["/bin/sh", "-c", f"{script} sleep 60 & echo $! >pid"], {"PATH": "/bin:/usr/bin"}, *pipes()
        )
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        assert (tmp_path / "tries").read_text() == "x\nx\n"
        Path(engine.directory, "pid").unlink()
        with pytest.raises(NotStarted, match="netavark: never"):
            engine.start(["/bin/sh", "-c", "echo netavark: never >&2; : >started; exit 126"], {}, *pipes())

    in_a_child(story)


def test_a_successor_finds_what_was_started(tmp_path: Path) -> None:
    """It waits for the engine's command, and takes over what that has let loose; what it has not is ended."""
    engine = an_engine(tmp_path)
    Path(engine.directory).mkdir()
    assert not engine.was_begun()
    Path(engine.directory, "words").touch()
    assert engine.was_begun()

    def begin(marker: str) -> None:
        if os.fork() == 0:
            os.chdir(engine.directory)
            script = f"(exec sleep 60) & echo $! >pid; sleep 0.2; {marker}"
            os.execv("/bin/sh", ["/bin/sh", "-c", script])

    def story() -> None:
        begin(": >started")
        time.sleep(0.05)
        first = engine.find()
        assert first == int(Path(engine.directory, "pid").read_text())
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        Path(engine.directory, "started").unlink()
        begin(":")
        time.sleep(0.05)
        with pytest.raises(NotStarted, match="said nothing"):
            engine.find()

    in_a_child(story)


def test_removing_leaves_no_file_unless_it_fails(tmp_path: Path) -> None:
    """The directory says that there may be a container: it stays as long as that is so."""
    kept = an_engine(tmp_path, remove=["/bin/false"])
    Path(kept.directory).mkdir()
    kept.remove()
    assert Path(kept.directory).exists()
    gone = an_engine(tmp_path)
    Path(gone.directory, "cgroup").write_text("1:memory:/no/such\n0::/\n")
    gone.remove()
    assert not Path(gone.directory).exists()
    gone.remove()
    assert directory_of(str(tmp_path / "w.0")) == gone.directory


def test_an_init_that_cannot_execute_its_program_was_no_start(tmp_path: Path) -> None:
    """Only where there is an init, with its codes and its words; anything else is the program's own end."""
    engine, record = an_engine(tmp_path), {"cause": ending.EXITED, "code": 1}
    said = "ERROR (catatonit:2): failed to exec pid1: No such file or directory"
    told = judged(record, engine, lambda: said)
    assert (told["cause"], told["engine_words"], told["tells"]) == (ending.START_FAILED, said, TELLS)
    assert judged(record, engine, lambda: "Traceback") is record
    assert judged({"code": 0}, engine, lambda: said) == {"code": 0}
    assert judged(record, an_engine(tmp_path, init=False), lambda: said) is record
    assert not_started("x" * 9999, engine)["engine_words"] == "x" * 4096


def test_a_command_in_the_foreground_tells_its_containers_end(tmp_path: Path) -> None:
    """Exit, limit, failure and loss as its result says; without one the record is what was seen."""
    engine = an_engine(tmp_path, foreground=True)
    Path(engine.directory).mkdir()
    record = {"cause": ending.EXITED, "code": 137}

    def told(result: object) -> dict[str, Any]:
        Path(engine.directory, "result").write_text(json.dumps(result))
        return judged(record, engine, lambda: "")

    assert judged(record, engine, lambda: "") is record
    assert told({"code": 137, "oom": False}) is record
    assert told({"code": 137, "oom": True})["cause"] == ending.OUT_OF_MEMORY
    assert told({"words": "no"})["cause"] == ending.START_FAILED
    assert told({"words": "gone", "lost": True})["cause"] == ending.LOST
    stopped = {"cause": ending.STOPPED, "code": 125}
    assert judged(stopped, engine, lambda: "") is stopped
