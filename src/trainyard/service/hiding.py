"""What a caller may not see of a resource that they may see: the values of environment variables, which hold secrets.

All values are hidden, whatever they look like: no rule tells a password from a batch size for sure.
"""

from __future__ import annotations

from typing import Any, Final

HIDDEN: Final = "(hidden)"
_ENV_VAR: Final = "EnvVar"


def hide_env(message: Any) -> None:
    """Blank the value of every EnvVar in a message, however deep; names stay."""
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for each in value if field.is_repeated else (value,):
            if field.message_type.name == _ENV_VAR:
                each.value = HIDDEN
            else:
                hide_env(each)
