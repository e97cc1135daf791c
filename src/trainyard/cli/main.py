"""The entry point: up in a tenth of a second because nothing is imported before it is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from trainyard import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (problems.py says which)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["version"], ["-V"]):
        print(f"trainyard {__version__}")
        return 0
    from trainyard.cli.problems import BROKEN_PIPE, INTERRUPTED, Problem  # noqa: PLC0415 - see the module's promise

    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except Problem as problem:
        return _say(problem)
    except BrokenPipeError:
        # Whoever read our output has had enough; flushing at exit must not complain about it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED


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
