"""Completion scripts for bash, zsh and fish, made from the parser: what it accepts is what is offered.

All three know the same table: per command path its subcommands, options, and for each value what it is
(`file`, `job`, `nas-job`, one of some words, or anything).
"""

from __future__ import annotations

import argparse
import re
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field

from trainyard.cli.parser import build_parser

_JOBS = "trainyard custom-jobs list --limit 50 --format='value(name.basename())' 2>/dev/null"
_NAS_JOBS = _JOBS.replace("custom-jobs", "nas-jobs")
_FILES = frozenset({"config", "program", "data_dir", "search_space", "output"})


@dataclass(frozen=True, slots=True)
class Node:
    """One command: how it is reached, what may follow. A value: `file`, `job`, `nas-job`, `any`, or some words."""

    path: tuple[str, ...]
    commands: dict[str, str] = field(default_factory=dict)  # name -> help
    switches: dict[str, str] = field(default_factory=dict)  # option without value -> help
    options: dict[str, tuple[str, str]] = field(default_factory=dict)  # option with value -> (kind, help)
    operand: str = ""  # kind of the positional value; empty: none


def completion(flags: Namespace) -> int:
    """Print the script of one shell; its first lines say how to install it."""
    print({"bash": bash, "zsh": zsh, "fish": fish}[flags.shell](), end="")
    return 0


def nodes() -> list[Node]:
    """Every command of the parser, parents first."""
    return list(_walk(build_parser({}), ()))


def _walk(parser: argparse.ArgumentParser, path: tuple[str, ...]) -> Iterator[Node]:
    node = Node(path)
    below: dict[str, argparse.ArgumentParser] = {}
    operand = ""
    for action in parser._actions:
        summary = re.split(r"[(:;]", action.help or "")[0].strip()
        if isinstance(action, argparse._SubParsersAction):
            below = dict(action.choices)
            for choice in action._choices_actions:
                node.commands[choice.dest] = choice.help or ""
        elif action.option_strings:
            for option in action.option_strings:
                if action.nargs == 0:
                    node.switches[option] = summary
                else:
                    node.options[option] = (_kind(action, path), summary)
        elif action.nargs != argparse.REMAINDER:
            operand = _kind(action, path)
    yield Node(path, node.commands, node.switches, node.options, operand)
    for name, child in below.items():
        yield from _walk(child, (*path, name))


def _kind(action: argparse.Action, path: tuple[str, ...]) -> str:
    if action.choices:
        return " ".join(str(choice) for choice in action.choices)
    if action.dest in _FILES:
        return "file"
    if action.dest == "format":
        return "json yaml table none"
    if action.dest in ("job", "resume"):
        return "nas-job" if "nas-jobs" in path else "job"
    return "any"


def bash() -> str:
    """For bash 4 and newer."""
    cases = []
    for node in nodes():
        words = " ".join([*node.commands, *(node.switches | node.options)])
        values = [f"{option}) kind='{kind}' ;;" for option, (kind, _) in node.options.items()]
        cases.append(f'    "{" ".join(node.path)}")')
        cases.append(f"      words='{words}' operand='{node.operand}'")
        if values:
            cases.append(f'      case "$previous" in {" ".join(values)} esac')
        cases.append("      ;;")
    return _filled(_BASH, cases)


def _filled(script: str, cases: list[str]) -> str:
    made = script.replace("@CASES@", "\n".join(cases)).replace("@PATHS@", _paths())
    return made.replace("@JOBS@", _JOBS).replace("@NAS_JOBS@", _NAS_JOBS)


def _paths() -> str:
    return " ".join(f"'{' '.join(node.path)}'" for node in nodes() if node.path)


_BASH = """\
# Completion of trainyard for bash. Now: source <(trainyard completion bash). For good:
#   trainyard completion bash > ~/.local/share/bash-completion/completions/trainyard
_trainyard() {
  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"
  # An option and its value may be joined by "=", which bash makes a word of its own.
  if [[ $current == "=" ]]; then current=""
  elif [[ $previous == "=" ]]; then previous="${COMP_WORDS[COMP_CWORD-2]}"
  fi
  local path="" word candidate i kind="" operand="" words=""
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${path:+$path }${COMP_WORDS[i]}"
    for candidate in @PATHS@; do
      [[ $candidate == "$word" ]] && path="$word" && break
    done
  done
  case "$path" in
@CASES@
  esac
  [[ -z $kind && $current != -* ]] && kind="$operand"
  case "$kind" in
    any) COMPREPLY=() ;;
    file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    job) mapfile -t COMPREPLY < <(compgen -W "$(@JOBS@)" -- "$current") ;;
    nas-job) mapfile -t COMPREPLY < <(compgen -W "$(@NAS_JOBS@)" -- "$current") ;;
    "") mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$kind" -- "$current") ;;
  esac
}
complete -F _trainyard trainyard
"""


def zsh() -> str:
    """For zsh with compinit loaded."""
    cases = []
    for node in nodes():
        specs = [f"{name}:{_quiet(text)}" for name, text in (node.commands | node.switches).items()]
        specs += [f"{name}:{_quiet(text)}" for name, (_, text) in node.options.items()]
        cases.append(f'    "{" ".join(node.path)}")')
        cases.append(f"      operand='{node.operand}'; choices=({' '.join(_quoted(spec) for spec in specs)})")
        values = [f"{option}) kind='{kind}' ;;" for option, (kind, _) in node.options.items()]
        if values:
            cases.append(f'      case "$previous" in {" ".join(values)} esac')
        cases.append("      ;;")
    return _filled(_ZSH, cases)


_ZSH = """\
#compdef trainyard
# Completion of trainyard for zsh. Now: source <(trainyard completion zsh). For good, in a directory of your fpath:
#   trainyard completion zsh > ~/.zfunc/_trainyard
_trainyard() {
  local spelled="" word kind="" operand="" previous="${words[CURRENT-1]}" i
  local -a given known
  given=("${words[@]}")
  known=(@PATHS@)
  for ((i = 2; i < CURRENT; i++)); do
    word="${spelled:+$spelled }${given[i]}"
    (( ${known[(Ie)$word]} )) && spelled="$word"
  done
  local -a choices
  case "$spelled" in
@CASES@
  esac
  [[ -z $kind && ${PREFIX} != -* ]] && kind="$operand"
  case "$kind" in
    any) _message value ;;
    file) _files ;;
    job) compadd -- ${(f)"$(@JOBS@)"} ;;
    nas-job) compadd -- ${(f)"$(@NAS_JOBS@)"} ;;
    "") _describe trainyard choices ;;
    *) compadd -- ${=kind} ;;
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _trainyard "$@"; else compdef _trainyard trainyard; fi
"""


def fish() -> str:
    """For fish 3 and newer."""
    lines = [
        "# Completion of trainyard for fish. Now: trainyard completion fish | source. For good:",
        "#   trainyard completion fish > ~/.config/fish/completions/trainyard.fish",
        "function __trainyard_at",
        "    set -l spelled (string join ' ' -- (commandline -opc)[2..] | string replace -ra -- '(^| )-\\S+' '')",
        '    test "$spelled" = "$argv[1]"; and return 0',
        '    test "$argv[2]" = deep; and string match -q -- "$argv[1] *" "$spelled"',
        "end",
        "complete -c trainyard -f",
    ]
    for node in nodes():
        condition = f"__trainyard_at '{' '.join(node.path)}'" + ("" if node.commands else " deep")
        at = f"complete -c trainyard -n {_quoted(condition)}"
        lines += [f"{at} -a {name} -d {_quoted(_quiet(text))}" for name, text in node.commands.items()]
        lines += [f"{at} {_fish_option(name)} -d {_quoted(_quiet(text))}" for name, text in node.switches.items()]
        lines += [
            f"{at} {_fish_option(name)} {_fish_value(kind, '-x')} -d {_quoted(_quiet(text))}"
            for name, (kind, text) in node.options.items()
        ]
        if node.operand not in ("", "any"):
            lines.append(f"{at} {_fish_value(node.operand, '')}")
    return "\n".join(lines) + "\n"


def _fish_option(option: str) -> str:
    return f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"


def _fish_value(kind: str, exclusive: str) -> str:
    match kind:
        case "file":
            return "-r -F" if exclusive else "-F"
        case "any":
            return exclusive
        case "job" | "nas-job":
            listed = _JOBS if kind == "job" else _NAS_JOBS
            return f"{exclusive} -a {_quoted('(' + listed + ')')}".strip()
    return f"{exclusive} -a {_quoted(kind)}".strip()


def _quiet(text: str) -> str:
    """A help text that can stand in a description: no colon, which zsh splits at."""
    return text.replace(":", " -").replace("\n", " ")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
