"""Lists: one page of jobs, newest first, of one scope, that match a filter, cut down to a read mask."""

from __future__ import annotations

from typing import Any

from trainyard.core.filters import parse_filter
from trainyard.core.names import Scope
from trainyard.core.paging import page_size, read_token, write_token
from trainyard.kind import Kind
from trainyard.service.read_masks import prune, read_tree
from trainyard.service.rendering import snake, stored_message
from trainyard.store import Desk


async def page(desk: Desk, kind: Kind, request: Any) -> Any:
    """The List…Response of the stored version. Raises InvalidArgument on a bad filter, token, size or mask."""
    scope = Scope.parse(request.parent)
    wanted = parse_filter(request.filter)
    size = page_size(request.page_size)
    context = (str(scope), kind.collection, request.filter)
    after = read_token(request.page_token, *context)
    answer = stored_message(f"List{kind.message_name}sResponse")
    field = answer.DESCRIPTOR.fields_by_name[snake(kind.collection)]
    tree = read_tree(request.read_mask.paths, field.message_type, field)
    found = await desk.page(scope, kind.collection, wanted, size, after)
    items = getattr(answer, field.name)
    for job in found.jobs:
        item = kind.render(job)
        if tree is not None:
            prune(item, tree)
        items.append(item)
    answer.next_page_token = write_token(found.next_after, *context)
    return answer
