"""Podman gets a configuration of our own, derived from this machine, so that it works where its defaults do not.

Three defaults fail on small machines: ulimits above the hard limit, crun where both versions of cgroups are mounted,
and systemd's cgroup manager without systemd. The runtime script is what lets an agent take conmon's place: it gives
the program the descriptors 3 and 4 for its output, and ends conmon between the container's creation and its start.
"""

from __future__ import annotations

import os
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainyard.whole_files import write_whole

CONFIG, RUNTIME = "containers.conf", "runtime"
_MOST_FILES, _MOST_PROCESSES = 1_048_576, 32_768  # podman lowers its own limit of processes to that
_MAY_RAISE_LIMITS: Final = 1 << 24  # CAP_SYS_RESOURCE
_NETAVARK: Final = ("/usr/lib/podman/netavark", "/usr/libexec/podman/netavark", "/usr/local/libexec/podman/netavark")
_INIT: Final = ("/usr/libexec/podman/catatonit", "/usr/local/libexec/podman/catatonit", "/usr/bin/catatonit")
_RUNTIME_SCRIPT: Final = """\
#!/bin/sh
# Made by Trainyard: the OCI runtime {runtime}, which lets an agent of Trainyard take conmon's place.
# create: the program writes to descriptors 3 and 4 where they are given, not into conmon's pipes.
# start: conmon's work is done; the container's first process becomes a child of the agent.
command=
for word; do
  case $word in
  create | start) command=$word; break ;;
  delete | kill | state | exec | --version) break ;;
  esac
done
case $command in
start)
  if [ -r conmon ] && [ -r pid ]; then
    read -r first <pid
    cat "/proc/$first/cgroup" >cgroup
    : >started
    read -r conmon <conmon
    kill -9 "$conmon"
  fi
  ;;
create)
  left=$# given=
  while [ "$left" -gt 0 ]; do
    word=$1
    shift
    left=$((left - 1))
    case $word in
    --preserve-fds)
      shift
      left=$((left - 1)) given=yes
      ;;
    --pid-file)
      directory=${{1%/*}}
      set -- "$@" "$word"
      ;;
    *) set -- "$@" "$word" ;;
    esac
  done
  if [ "$given" ]; then
    exec {runtime} --log "$directory/runtime.log" --log-format json "$@" >&3 2>&4 3>&- 4>&-
  fi
  ;;
esac
exec {runtime} "$@"
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """What podman's configuration depends on. `runtime` and `netavark` are paths, empty where there is none.

    `files` and `processes` are the most that a container may be allowed; 0 where podman's own defaults will do.
    """

    files: int
    processes: int
    runtime: str
    systemd: bool
    netavark: str
    cgroups: str  # "v2", "v1", "both"
    init: bool

    @classmethod
    def this(cls) -> Machine:
        """Look at this machine."""
        unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        cgroups = "v2" if unified else "both" if Path("/sys/fs/cgroup/unified").exists() else "v1"
        wanted = ("crun", "runc") if unified else ("runc", "crun")
        free = _may_raise_limits()
        return cls(
            files=0 if free else _hard_limit(resource.RLIMIT_NOFILE, _MOST_FILES),
            processes=0 if free else _hard_limit(resource.RLIMIT_NPROC, _MOST_PROCESSES),
            runtime=next((path for name in wanted if (path := _which(name))), ""),
            systemd=Path("/run/systemd/system").exists(),
            netavark=next((path for path in _NETAVARK if os.access(path, os.X_OK)), ""),
            cgroups=cgroups,
            init=any(os.access(path, os.X_OK) for path in _INIT),
        )


def containers_conf(machine: Machine, directory: str) -> str:
    """The configuration file; `directory` is where the runtime script lies."""
    manager = "" if machine.systemd else 'cgroup_manager = "cgroupfs"\n'
    wanted = {"nofile": machine.files, "nproc": machine.processes}
    limits = ", ".join(f'"{name}={most}:{most}"' for name, most in wanted.items() if most)
    backend = '\n[network]\nnetwork_backend = "netavark"\n' if machine.netavark else ""
    return (
        "# Made by Trainyard from what this machine allows; written anew when that changes.\n"
        "[containers]\n"
        f"{f'default_ulimits = [{limits}]' if limits else ''}\n"
        'log_driver = "none"\n\n'
        "[engine]\n"
        f'runtime = "{directory}/{RUNTIME}"\nevents_logger = "none"\n{manager}{backend}'
    )


def write(machine: Machine, directory: Path) -> Path:
    """Bring the files in `directory` up to date; the path of the configuration. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    script = _RUNTIME_SCRIPT.format(runtime=machine.runtime)
    for name, content, mode in ((RUNTIME, script, 0o755), (CONFIG, containers_conf(machine, str(directory)), 0o644)):
        path = directory / name
        if not path.exists() or path.read_text("utf-8") != content:
            write_whole(path, content.encode(), mode)  # two replicas may be the first at once
    return directory / CONFIG


def _hard_limit(which: int, most: int) -> int:
    hard = resource.getrlimit(which)[1]
    return most if hard == resource.RLIM_INFINITY else min(hard, most)


def _may_raise_limits() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) & _MAY_RAISE_LIMITS)
    return False


def _which(name: str) -> str:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin:/sbin"
    return shutil.which(name, path=path) or ""
