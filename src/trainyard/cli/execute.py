"""`trainyard exec`: becomes the program, in an environment in which every road to Vertex AI ends at the service.

Nothing of ours stays between the caller and the program: its exit code, its signals and its terminal are its own.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trainyard.cli import background
from trainyard.cli.env import credentials, issued_key, trust, variables
from trainyard.cli.problems import Problem, Usage
from trainyard.cli.service_api import ServiceApi, connect
from trainyard.cli.terminal import Terminal

ON_PATH: Final = Path(__file__).resolve().parent.parent / "redirect" / "on_path"
NOT_EXECUTABLE, NOT_FOUND = 126, 127  # as a shell has it
# gcloud's other services have no host here; a name that can't exist (RFC 2606) is all that they get.
_NO_UNIVERSE: Final = "trainyard.invalid"


def execute(flags: Namespace) -> int:
    """Start a service if none runs, then become the program; returns only by raising Problem."""
    command = flags.program[1:] if flags.program[:1] == ["--"] else flags.program
    if not command:
        raise Usage("exec what? for example: trainyard exec -- python train.py")
    os.environ.update(trust(flags.endpoint, os.environ))
    api = connect(flags)
    _ensure(api)
    environment = dict(os.environ) | environment_of(api, flags, os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - to become the user's program is what this is for
    except FileNotFoundError:
        raise Problem(f"there is no program {command[0]!r}", (), NOT_FOUND) from None
    except OSError as error:
        raise Problem(f"{command[0]!r} can't be run: {error.strerror}", (), NOT_EXECUTABLE) from None


def environment_of(api: ServiceApi, flags: Namespace, environment: Mapping[str, str]) -> dict[str, str]:
    """What the program's environment gets: that of `trainyard env`, and what aims the hooks (redirect/aim.py)."""
    target = api.target
    added = variables(target, environment)
    added |= credentials(target, environment)
    added["TRAINYARD_REDIRECT_KEY"] = "" if target.token else issued_key(target.endpoint, environment)
    if not flags.allow_host:
        added["CLOUDSDK_CORE_UNIVERSE_DOMAIN"] = _NO_UNIVERSE
    elif environment.get("CLOUDSDK_CORE_UNIVERSE_DOMAIN") == _NO_UNIVERSE:  # one exec in another
        added["CLOUDSDK_CORE_UNIVERSE_DOMAIN"] = "googleapis.com"
    added["TRAINYARD_REDIRECT"] = target.endpoint
    added["TRAINYARD_REDIRECT_ONLY"] = ""
    added["TRAINYARD_REDIRECT_BUNDLE"] = str(background.data_dir(environment) / "tunnel" / "bundle.pem")
    added["TRAINYARD_REDIRECT_ALLOW"] = ",".join(flags.allow_host)
    added["TRAINYARD_REDIRECT_QUIET"] = "1" if flags.quiet else ""
    search = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each != str(ON_PATH)]
    added["PYTHONPATH"] = os.pathsep.join([str(ON_PATH), *filter(None, search)])
    return added


def _ensure(api: ServiceApi) -> None:
    """As background.ensure, in a child of ours: a service that we started must not become the program's child."""
    if background.answers(api.target):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            background.ensure(api, Terminal(), os.environ)
            code = 0
        except Problem as problem:
            code = problem.exit_code
            Terminal().line(f"trainyard: {problem.sentence}", err=True)
            for detail in problem.details:
                Terminal().line(f"  {detail}", err=True)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise SystemExit(code)
