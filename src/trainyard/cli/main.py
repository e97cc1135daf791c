"""The entry point: up in a tenth of a second because nothing is imported before it is needed."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from trainyard import __version__

_OUTPUT_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # of a write: a full disk behind `>`, a terminal that is gone


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (problems.py says which)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["version"], ["-V"]):
        return _show_version()
    from trainyard.cli.problems import BROKEN_PIPE, INTERRUPTED, Problem  # noqa: PLC0415 - see the module's promise

    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except Problem as problem:
        return _say(problem)
    except BrokenPipeError:
        _let_go_of_stdout()  # whoever read our output has had enough
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.filename is not None or error.errno not in _OUTPUT_TROUBLE:
            raise
        _let_go_of_stdout()
        return _say(Problem(f"the output can't be written: {error.strerror}"))


def _show_version() -> int:
    """Without an import, and without a traceback where nothing can be printed."""
    try:
        print(f"trainyard {__version__}", flush=True)
    except OSError:
        _let_go_of_stdout()
        return 1
    return 0


def _let_go_of_stdout() -> None:
    """Flushing at exit must not complain a second time."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    from importlib import import_module  # noqa: PLC0415 - as above

    from trainyard.cli.parser import build_parser  # noqa: PLC0415 - as above

    parser = build_parser(os.environ)
    flags = parser.parse_args(arguments)
    handler = getattr(flags, "handler", "")
    if not handler:
        parser.print_help()
        return 0
    module, _, function = handler.partition(":")
    return int(getattr(import_module(module), function)(flags))


def _say(problem: object) -> int:
    from trainyard.cli.problems import Problem  # noqa: PLC0415 - as above
    from trainyard.cli.terminal import Terminal  # noqa: PLC0415 - as above

    assert isinstance(problem, Problem)
    terminal = Terminal()
    terminal.line(terminal.paint("trainyard:", "red", "bold", err=True) + " " + problem.sentence, err=True)
    for detail in problem.details:
        terminal.line(f"  {detail}", err=True)
    return problem.exit_code


if __name__ == "__main__":
    sys.exit(main())
