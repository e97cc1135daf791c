"""A user's program for google-cloud-aiplatform, 1.x or 2.x, that knows of no Trainyard unless ENDPOINT is set."""

import json
import logging
import os

from google.cloud import aiplatform
from google.cloud.aiplatform import jobs

jobs._JOB_WAIT_TIME = 0.1  # five seconds between two looks is right for the cloud and long for a test
logging.disable(logging.WARNING)
told = {"version": aiplatform.__version__}


def pool(*command, count=1):
    return {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": count,
        "container_spec": {"image_uri": "host", "command": list(command)},
    }


def job(name, *pools, **more):
    return aiplatform.CustomJob(display_name=name, worker_pool_specs=list(pools), **more)


if os.environ.get("ENDPOINT"):
    from google.auth.credentials import AnonymousCredentials

    aiplatform.init(
        project=os.environ["PROJECT"],
        location="us-central1",
        staging_bucket="gs://stg",
        api_endpoint=os.environ["ENDPOINT"],
        api_transport="rest",
        credentials=AnonymousCredentials(),
    )
elif os.environ.get("PROJECT"):
    aiplatform.init(project=os.environ["PROJECT"], location="us-central1", staging_bucket="gs://stg")
else:
    aiplatform.init(staging_bucket="gs://stg")  # project and region come from the environment

good = job("good", pool("sh", "-c", "true"), labels={"team": "a"})
good.run(timeout=600, restart_job_on_worker_restart=True)
told["good"] = good.state.name

several = job("several", pool("sleep", "0.1"), pool("sleep", "60", count=2))
several.run()
told["several"] = [several.state.name, [int(each.replica_count) for each in several.job_spec.worker_pool_specs]]

bad = job("bad", pool("sh", "-c", "exit 4"))
try:
    bad.run()
except RuntimeError as error:
    told["bad"] = [str(error), bad.error.code]

long = job("long", pool("sleep", "300"))
long.submit()
told["before"] = long.state.name
again = aiplatform.CustomJob.get(long.resource_name)
again.cancel()
try:
    again.wait_for_completion()
except RuntimeError as error:
    told["cancelled"] = [again.state.name, str(error)]

told["newest first"] = [each.display_name for each in aiplatform.CustomJob.list(order_by="create_time desc")]
told["filtered"] = [each.display_name for each in aiplatform.CustomJob.list(filter='labels.team="a"')]
good.delete()
try:
    aiplatform.CustomJob.get(good.resource_name)
except Exception as error:
    told["gone"] = type(error).__name__
print(json.dumps(told))
