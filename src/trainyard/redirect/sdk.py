"""google-cloud-aiplatform: the one question that it asks of a service we are not, answered without asking."""

from __future__ import annotations

from functools import wraps

from .aim import NOWHERE, Aim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ASKED = "cloudresourcemanager.googleapis.com"


def patch_project_names(module: Any) -> None:
    """A project given by the environment is asked for its id, though it may be one; it is good enough as it is."""
    get_project_id = module.get_project_id

    @wraps(get_project_id)
    def local(project_number: str, *positional: Any, **options: Any) -> Any:
        if Aim().way(_ASKED) == NOWHERE:
            return project_number
        return get_project_id(project_number, *positional, **options)

    module.get_project_id = local
