"""What Python runs by itself at its start when this folder is first on PYTHONPATH (docs.python.org: site).

It installs the redirection, then runs the sitecustomize that it stands before. A program that can't be redirected does
not start: the interpreter alone would print one line and run on, against the real cloud.
"""

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib costs milliseconds at each start


def _run(spec: ModuleSpec) -> None:
    """Make a module of a spec; importlib.util has this too, and costs more than all the rest here."""
    assert spec.loader is not None
    module = type(sys)(spec.name)
    module.__spec__, module.__loader__, module.__package__ = spec, spec.loader, spec.parent
    module.__file__ = spec.origin
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


def _install() -> None:
    # Loaded by its place and under a name of its own: the program's Python need not have, or see, the rest of us.
    package = os.path.dirname(_HERE)  # noqa: PTH120 - as above
    loader = SourceFileLoader("trainyard_redirect", os.path.join(package, "__init__.py"))  # noqa: PTH118 - as above
    spec = ModuleSpec("trainyard_redirect", loader, origin=loader.path, is_package=True)
    spec.submodule_search_locations = [package]
    _run(spec)
    sys.modules["trainyard_redirect"].install()


try:
    _install()
except Exception as error:
    sys.stderr.write(f"trainyard exec: this Python ({sys.version.split()[0]}) can't be redirected: {error!r}\n")
    raise SystemExit(70) from error

_others = [each for each in sys.path if os.path.abspath(each or ".") != _HERE]  # noqa: PTH100 - as above
_shadowed = PathFinder.find_spec("sitecustomize", _others)
if _shadowed is not None and _shadowed.loader is not None:
    _run(_shadowed)
