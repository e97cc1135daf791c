"""Long-running operations. Ours are done when they are made, and outlive the job that they tell of."""

from __future__ import annotations

from typing import Any

from trainyard.contract.pool import API_PACKAGE, message_class
from trainyard.core.errors import FieldViolation, InvalidArgument
from trainyard.core.names import JobName, OperationName, Scope
from trainyard.core.paging import page_size, read_token, write_token
from trainyard.service.call import Call
from trainyard.service.rendering import empty, message, pack, stamp
from trainyard.store import StoredOperation

_LIST = "operations"


async def get(call: Call, request: Any) -> Any:
    """The operation; raises NotFound."""
    return render(call.keepers.desk.operation(OperationName.parse(request.name)))


async def wait(call: Call, request: Any) -> Any:
    """The operation once it is done, which it is: whatever timeout is asked for, the answer comes at once."""
    return await get(call, request)


async def cancel(call: Call, request: Any) -> Any:
    """Nothing is left to cancel; raises NotFound where there is no such operation."""
    call.keepers.desk.operation(OperationName.parse(request.name))
    return empty()


async def delete(call: Call, request: Any) -> Any:
    """Forget the operation; what it did stays done."""
    await call.keepers.desk.delete_operation(OperationName.parse(request.name))
    return empty()


async def list_(call: Call, request: Any) -> Any:
    """Operations of a job or of a whole scope, newest first."""
    if request.filter:
        reason = "Filters are not supported on operations; leave it out, every operation here is done."
        raise InvalidArgument(reason, [FieldViolation("filter", reason)])
    scope, job = _place(request.name)
    context = (_LIST, str(job or scope))
    size = page_size(request.page_size)
    after = read_token(request.page_token, *context)
    found = call.keepers.desk.operations(scope, job, size + 1, after)
    answer = message("google.longrunning.ListOperationsResponse")
    answer.operations.extend(render(operation) for operation in found[:size])
    if len(found) > size:
        answer.next_page_token = write_token(found[size - 1].name.id, *context)
    return answer


def _place(name: str) -> tuple[Scope, JobName | None]:
    if name.count("/") == 3:
        return Scope.parse(name), None
    job = JobName.parse(name)
    return job.scope, job


def render(operation: StoredOperation) -> Any:
    """google.longrunning.Operation; its metadata is of the API version that the operation was asked in."""
    answer = message("google.longrunning.Operation")
    answer.name = str(operation.name)
    metadata: Any = message_class(f"{API_PACKAGE}.{operation.api_version}.{operation.kind}")()
    stamp(metadata.generic_metadata.create_time, operation.create_time_us)
    stamp(metadata.generic_metadata.update_time, operation.update_time_us)
    pack(answer.metadata, metadata)
    if operation.done:
        answer.done = True
        pack(answer.response, empty())
    return answer
