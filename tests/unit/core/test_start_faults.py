"""Each reason for which a container did not come up, in the engines' own recorded words, has one sentence of ours."""

from __future__ import annotations

import pytest

from trainyard.core.start_faults import HINTS, START_FAULTS, Hint, StartFault, hint, plain, start_fault, start_sentence

_RUNC = '{{"level":"error","msg":"runc create failed: unable to start container process: {0}","time":"2026"}}'
RECORDED = {
    StartFault.NO_ENGINE: "no engine: there is no podman on the PATH",
    StartFault.NO_IMAGE_NAMED: "no image is named",
    StartFault.ENGINE_AWAY: "Error while fetching server API version: ConnectionRefusedError(111)",
    StartFault.ENGINE_DIED: "the engine went away: ('Connection aborted.', RemoteDisconnected('Remote end closed'))",
    StartFault.NOT_PULLED: "never pulled",
    StartFault.SHORT_NAME: 'Error: short-name "trainer:1" did not resolve to an alias',
    StartFault.DISK_FULL: "Error: writing blob: processing tar file(write /usr/lib/x: no space left on device)",
    StartFault.LOGIN: "Error: reading manifest 1 in r.example/x: unauthorized: authentication required",
    StartFault.UNREACHABLE: "Error: pinging container registry r.example: dial tcp: lookup r.example: no such host",
    StartFault.UNTRUSTED: "Error: pinging container registry r: http: server gave HTTP response to HTTPS client",
    StartFault.NO_IMAGE: "Error: reading manifest 1 in r.example/x: manifest unknown",
    StartFault.NO_ENTRY_POINT: "Error: no command or entrypoint provided, and no CMD or ENTRYPOINT from image",
    StartFault.WRONG_PLATFORM: _RUNC.format('exec: \\"/bin/prog\\": exec format error'),
    StartFault.NO_DIRECTORY: 'Error: workdir "/nowhere" does not exist on container 1234',
    StartFault.NO_USER: "Error: unable to find user trainer: no matching entries in passwd file",
    StartFault.NO_GPU: "Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=0",
    StartFault.PORT_TAKEN: "Error: cannot listen on the TCP port: bind: address already in use",
    StartFault.NO_MOUNT: "Error: statfs /srv/data: no such file or directory",
    StartFault.NO_NETWORK: "Error: netavark: code: 3, msg: iptables: Chain already exists",
    StartFault.NO_LIMITS: _RUNC.format("error setting rlimit type 6: operation not permitted"),
    StartFault.NO_PYTHON: _RUNC.format('exec: \\"python3\\": executable file not found in $PATH'),
    StartFault.NOT_FOUND: "ERROR (catatonit:2): failed to exec pid1: No such file or directory",
    StartFault.NOT_EXECUTABLE: "ERROR (catatonit:2): failed to exec pid1: Permission denied",
    StartFault.NOTHING_SAID: "the engine started nothing and said nothing",
    StartFault.OTHER: "Error: something that nobody has seen yet",
}


def _program(fault: StartFault) -> str:
    return "python3" if fault is StartFault.NO_PYTHON else "/bin/prog"


def test_there_are_words_for_every_fault() -> None:
    """No row of the table is without a record of what the engine says."""
    assert set(RECORDED) == set(StartFault) == set(START_FAULTS)


@pytest.mark.parametrize("fault", StartFault)
def test_the_engines_words_are_understood(fault: StartFault) -> None:
    """The recorded words lead to their fault, and its sentence has no blank left and says what to do."""
    assert start_fault(RECORDED[fault], _program(fault)) is fault
    sentence, internal = start_sentence(RECORDED[fault], "r.example/x:1", _program(fault), "podman")
    assert internal is START_FAULTS[fault].internal
    assert "{" not in sentence
    assert '"level"' not in sentence
    assert sentence.endswith(".")
    assert sentence.count(".") >= 1


def test_a_missing_python_is_told_from_a_missing_program() -> None:
    """The same words, by what was to be run; wherever it was to lie."""
    words = RECORDED[StartFault.NOT_FOUND]
    assert start_fault(words, "/usr/bin/python3") is StartFault.NO_PYTHON
    assert start_fault(words, "trainer") is StartFault.NOT_FOUND


def test_words_are_told_without_their_wrapping() -> None:
    """JSON of a runtime's log, prefixes and repetitions go; a long story keeps its end."""
    assert plain('{"level":"error","msg":"why"}\nError: why\nTrying to pull x...\n\n[1]') == "why\n[1]"
    assert plain('time="2026" level=warning msg="Failed, retrying in 1s ... (1/3). Error: why"\nError: why') == "why"
    sentence, _ = start_sentence("x" * 1000 + " the end", "i", "", "podman")
    assert "the end" in sentence
    assert len(sentence) < 600
    assert "The program" in start_sentence(RECORDED[StartFault.WRONG_PLATFORM], "i", "", "podman")[0]
    assert "it said nothing" in start_sentence("", "i", "", "podman")[0]


@pytest.mark.parametrize(
    ("wanted", "last_lines"),
    [
        (Hint.PORT_TAKEN, "OSError: [Errno 98] Address already in use"),
        (Hint.NO_PYTHON, "sh: 1: python3: not found"),
        (Hint.NO_SCRIPT, "python3: can't open file '/home/me/train.py': [Errno 2] No such file or directory"),
        (Hint.NO_SCRIPT, "sh: 0: cannot open train.sh: No such file"),
        (Hint.DISK_FULL, "OSError: [Errno 28] No space left on device: '/tmp/x'"),
        (
            Hint.SHARED_MEMORY,
            "RuntimeError: DataLoader worker is killed: insufficient shared memory (shm)",
        ),
    ],
)
def test_a_programs_last_words_may_help(wanted: Hint, last_lines: str) -> None:
    """What a program says before it fails leads to what can be done; most words lead to nothing."""
    assert hint(last_lines) == HINTS[wanted].text
    assert hint("ValueError: the loss is not a number") == ""
