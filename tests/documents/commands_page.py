"""docs/cli.md: every command, argument and option, made of the typer applications."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

import deploy.local.cli
import processors.worker.commands
import producers.cli
import producers.gateway.commands
from tests.documents.markdown import table

APPS = {
    "foxstream": producers.cli.app,
    "foxstream-worker": processors.worker.commands.app,
    "foxstream-gateway": producers.gateway.commands.app,
    "foxstream-local": deploy.local.cli.app,
}

Command = TyperCommand | TyperGroup

_OF_ALL = {"--install-completion", "--show-completion", "--help"}


@cache
def commands() -> Mapping[str, Command]:
    """Every command by its words, as `foxstream-worker rejects list`; groups are there too."""
    return {
        name: command
        for program, application in APPS.items()
        for name, command in _below(program, get_command(application))
    }


def _below(name: str, command: Any) -> Iterator[tuple[str, Command]]:
    yield name, command
    if isinstance(command, TyperGroup):
        for word, inner in command.commands.items():
            yield from _below(f"{name} {word}", inner)


def options(command: Command) -> set[str]:
    """All options of a command as they are typed."""
    typed = set(_OF_ALL)
    for option in _options(command):
        typed |= {*option.opts, *option.secondary_opts}
    return typed


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for name, command in commands().items():
        if name in APPS:
            parts.append(f"## {name}\n\n{_help(command)}")
        if not isinstance(command, TyperGroup):
            parts.append(_section(name, command))
    return "\n\n".join(parts) + "\n"


def _section(name: str, command: Command) -> str:
    arguments = [each for each in command.params if isinstance(each, TyperArgument)]
    typed = [_name(each) if each.required else f"[{_name(each)}]" for each in arguments]
    some = ["[OPTIONS]"] if _options(command) else []
    lines = [f"### {name}", _help(command), f"```\n{' '.join([name, *some, *typed])}\n```"]
    rows = [_argument(each) for each in arguments if each.help]
    rows += [_option(each) for each in _options(command)]
    if rows:
        lines.append(table(("", "default", "meaning"), rows))
    return "\n\n".join(lines)


def _options(command: Command) -> list[TyperOption]:
    return [
        each
        for each in command.params
        if isinstance(each, TyperOption) and _OF_ALL.isdisjoint(each.opts)
    ]


def _name(argument: TyperArgument) -> str:
    return argument.metavar or (argument.name or "").upper()


def _help(command: Command) -> str:
    return " ".join((command.help or "").split())


def _argument(argument: TyperArgument) -> Sequence[str]:
    return f"`{_name(argument)}`", "required" if argument.required else "", argument.help or ""


def _option(option: TyperOption) -> Sequence[str]:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return names, "required" if option.required else _default(option), option.help or ""


def _default(option: TyperOption) -> str:
    default = option.default
    if default is True:
        return f"`{option.opts[0]}`"
    if default is None or default is False or callable(default):
        return ""
    return f"`{getattr(default, 'value', default)}`"


_HEAD = """# Commands

Made of the code by `python -m tests.documents`; do not edit. The texts are those of `--help`: French for `foxstream` and `foxstream-gateway`, whose users import files, English for the others, whose users run servers.

Exit codes of `foxstream` are listed in the [import guide](import-guide.md#codes-de-sortie), those of `foxstream-worker` in [operations](operations.md#exit-codes-of-foxstream-worker); `foxstream-local` ends with 5 if a server cannot be started or nothing is running. Settings: [settings.md](settings.md)."""
