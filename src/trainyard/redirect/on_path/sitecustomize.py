"""What Python runs by itself at its start when this folder is first on PYTHONPATH (docs.python.org: site).

It installs the redirection, then runs the sitecustomize that it stands before. A program that can't be redirected does
not start: the interpreter alone would print one line and run on, against the real cloud. For the same reason this file
is written so that even Python 2 can read it.
"""

import os
import sys

NOT_REDIRECTED = 70  # EX_SOFTWARE of sysexits.h

IN_JOB = bool(os.environ.get("TRAINYARD_REDIRECT_ONLY"))  # a replica runs, whatever its Python

if sys.version_info < (3, 7) and not IN_JOB:
    sys.stderr.write("trainyard exec: Python " + sys.version.split()[0] + " can't be redirected, only 3.7 or newer\n")
    sys.stderr.flush()
    os._exit(NOT_REDIRECTED)

from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader  # noqa: E402 - not there before 3.3

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib costs milliseconds at each start


def _run(spec):
    # type: (ModuleSpec) -> None
    """Make a module of a spec; importlib.util has this too, and costs more than all the rest here."""
    assert spec.loader is not None
    module = type(sys)(spec.name)
    module.__spec__, module.__loader__, module.__package__ = spec, spec.loader, spec.parent
    module.__file__ = spec.origin
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


def _install():
    # type: () -> None
    """Load our package by its place, under a name of its own: the program's Python need not have the rest of us."""
    package = os.path.dirname(_HERE)  # noqa: PTH120 - as above
    loader = SourceFileLoader("trainyard_redirect", os.path.join(package, "__init__.py"))  # noqa: PTH118 - as above
    spec = ModuleSpec("trainyard_redirect", loader, origin=loader.path, is_package=True)
    spec.submodule_search_locations = [package]
    _run(spec)
    sys.modules["trainyard_redirect"].install()


try:
    if sys.version_info >= (3, 7):  # noqa: UP036 - the interpreter is the program's, not ours
        _install()
except Exception as error:
    sys.stderr.write("trainyard exec: this Python can't be redirected: " + repr(error) + "\n")
    raise SystemExit(NOT_REDIRECTED)  # noqa: B904 - `from` would be a syntax error for those who must read the first lines

_others = [each for each in sys.path if os.path.abspath(each or ".") != _HERE]  # noqa: PTH100 - as above
_shadowed = PathFinder.find_spec("sitecustomize", _others)
if _shadowed is not None and _shadowed.loader is not None:
    _run(_shadowed)
