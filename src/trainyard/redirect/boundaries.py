"""google-auth: Google is not asked about accounts of the service's own metadata server, and is not shown their tokens.

Newer versions ask iamcredentials.googleapis.com, in a thread beside the program, where an account under
gserviceaccount.com may go ("regional access boundary"), with the account's token. Google knows nothing of ours.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OURS = "/trainyard/v1/runs/"  # edges/rest/metadata.py


def patch_lookup(module: Any) -> None:
    """Older versions have no such lookup, or it has to be switched on."""
    required = getattr(module.Credentials, "_is_regional_access_boundary_lookup_required", None)
    if required is None:
        return

    def asks(self: Any) -> bool:
        return _OURS not in os.environ.get("GCE_METADATA_HOST", "") and bool(required(self))

    module.Credentials._is_regional_access_boundary_lookup_required = asks
