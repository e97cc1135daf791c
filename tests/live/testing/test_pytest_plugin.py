"""The pytest plugin as its users meet it: in a run of their own, from the installed package."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainyard.local_service import DidNotStart, LocalService

pytest_plugins = ["pytester"]


def test_a_service_for_each_test(pytester: pytest.Pytester) -> None:
    """Fresh and apart from each other; the session's is the same for all."""
    pytester.makepyfile(
        """
        seen = []

        def test_one(trainyard, trainyard_session):
            assert trainyard.run("sh", "-c", "true")["state"] == "JOB_STATE_SUCCEEDED"
            assert len(trainyard.jobs()) == 1 and trainyard_session.jobs() == []
            seen.extend([trainyard.endpoint, trainyard_session.endpoint])
            trainyard_session.run("true")

        def test_two(trainyard, trainyard_session):
            assert trainyard.jobs() == []
            assert len(trainyard_session.jobs()) == 1
            assert trainyard.endpoint not in seen and trainyard_session.endpoint in seen
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_what_the_fixture_offers(pytester: pytest.Pytester) -> None:
    """Wait, logs, outputs, buckets and environment, in the words of docs/testing.md."""
    pytester.makepyfile(
        '''
        import subprocess
        import sys
        import pytest

        def test_helpers(trainyard, tmp_path):
            script = tmp_path / "train.py"
            script.write_text("""
        import os, sys
        print("loss 0.5 $HOME", os.environ["WHO"])
        print("warn", file=sys.stderr)
        """)
            name = trainyard.submit(sys.executable, str(script), replicas=2, env={"WHO": "$me"})
            job = trainyard.wait(name, timeout=60)
            assert job["state"] == "JOB_STATE_SUCCEEDED", trainyard.account()
            assert "loss 0.5 $HOME $me" in trainyard.logs(name, "workerpool0-0").splitlines()
            assert trainyard.logs(job, "workerpool1-0").count("loss 0.5") == 1
            assert "warn" in trainyard.logs(job)
            assert trainyard.outputs(name) == trainyard.path(job["jobSpec"]["baseOutputDirectory"]["outputUriPrefix"])
            (trainyard.bucket("data") / "x.csv").write_text("1")
            assert trainyard.path("gs://data/x.csv").read_text() == "1"
            with pytest.raises(ValueError):
                trainyard.path("gs://data/../secret")
            assert "primary replica ended with 0" in trainyard.why(name)
            assert trainyard.env()["TRAINYARD_ENDPOINT"] == trainyard.endpoint

        def test_what_is_wrong(trainyard):
            name = trainyard.submit("sleep", "60")
            with pytest.raises(TimeoutError, match="Every replica is up|starting|waits|placed"):
                trainyard.wait(name, timeout=0.3)
        '''
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


@pytest.mark.clients
def test_code_for_the_real_cloud_runs_unedited(pytester: pytest.Pytester) -> None:
    """Inside redirect() the SDK reaches the service, here and in a child; outside nothing is changed."""
    pytester.makepyfile(
        """
        import os
        import subprocess
        import sys
        import pytest
        from google.cloud import aiplatform

        SPEC = [{"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1,
                 "container_spec": {"image_uri": "host", "command": ["true"]}}]
        CHILD = "import urllib.request as u; u.urlopen('https://aiplatform.googleapis.com/v1/projects/p/locations/us-central1/customJobs')"

        def test_unedited(trainyard):
            before = dict(os.environ)
            with trainyard.redirect():
                aiplatform.init(project="demo", location="us-central1", staging_bucket="gs://stg")
                job = aiplatform.CustomJob(display_name="x", worker_pool_specs=SPEC)
                job.submit()
                subprocess.run([sys.executable, "-c", CHILD], check=True)
                with pytest.raises(PermissionError, match="bigquery"):
                    import requests
                    requests.get("https://bigquery.googleapis.com")
            assert os.environ == before
            assert trainyard.wait(job)["state"] == "JOB_STATE_SUCCEEDED"

        def test_init(trainyard):
            sdk = trainyard.init(experiment=None)
            job = sdk.CustomJob(display_name="y", worker_pool_specs=SPEC)
            job.submit()
            assert trainyard.wait(job)["state"] == "JOB_STATE_SUCCEEDED"
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_a_failing_test_shows_why(pytester: pytest.Pytester) -> None:
    """Under the failure stands what became of each job, in a sentence, and what it printed; a passing test is quiet."""
    pytester.makepyfile(
        """
        def test_bad(trainyard):
            job = trainyard.run("sh", "-c", "echo no such column; exit 3")
            assert job["state"] == "JOB_STATE_SUCCEEDED"

        def test_good(trainyard):
            trainyard.run("true")
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*Trainyard (trainyard)*",
            "http://127.0.0.1:*, data in *",
            "sh FAILED: The replica workerpool0-0 exited with a non-zero status of 3.*",
            "  projects/*/locations/us-central1/customJobs/*",
            "  | no such column",
        ]
    )
    assert result.stdout.str().count("Trainyard (trainyard)") == 1


def test_nothing_is_left_behind(pytester: pytest.Pytester) -> None:
    """After the run no service and no job is alive, not even what is deaf to SIGTERM in a session of its own."""
    pytester.makepyfile(
        """
        import time

        def test_long(trainyard):
            deaf = "trap '' TERM; setsid sleep 987654 & echo up; while :; do sleep 1; done"
            name = trainyard.submit("sh", "-c", deaf)
            while "up" not in trainyard.logs(name):
                time.sleep(0.02)

        def test_fails(trainyard, trainyard_session):
            trainyard_session.submit("sleep", "987654")
            assert False

        def test_never_runs(trainyard):
            pass
        """
    )
    started = time.monotonic()
    pytester.runpytest_subprocess("-x").assert_outcomes(passed=1, failed=1)
    assert time.monotonic() - started < 25, "the end of a job that is deaf to SIGTERM is not waited for"
    mark = str(pytester.path).encode()
    left = [path for path in Path("/proc").glob("[0-9]*") if mark in commands_and_environment(path)]
    assert not left


def commands_and_environment(process: Path) -> bytes:
    """What a process was started with; it may be gone or another user's."""
    try:
        if process.name == str(os.getpid()):
            return b""
        return (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    except OSError:
        return b""


def test_the_import_is_light() -> None:
    """The plugin costs a run that does not use it next to nothing: none of our other modules (time: benchmarks/)."""
    ours = "sorted(name for name in sys.modules if name.startswith('trainyard'))"
    code = f"import sys, pytest, trainyard.pytest_plugin; print({ours})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['trainyard', 'trainyard.pytest_plugin']"


def test_the_next_service_comes_up_while_a_test_runs(pytester: pytest.Pytester) -> None:
    """Only the first test waits for one to start; the last one starts none in vain."""
    pytester.makepyfile(
        """
        import time
        from pathlib import Path
        import pytest

        def started(trainyard):
            return len(list(trainyard.directory.parent.glob("trainyard[0-9]*/serve.log")))

        @pytest.mark.parametrize("n", [1, 2, 3])
        def test_each(trainyard, n):
            deadline = time.monotonic() + 60
            while started(trainyard) < min(n + 1, 3) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert started(trainyard) == min(n + 1, 3)
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=3)


def test_a_service_that_can_not_start_says_why(tmp_path: Path) -> None:
    """The exception holds its last words; nothing is left running."""
    service = LocalService(tmp_path, flags=("--log-level", "chatty"))
    with pytest.raises(DidNotStart, match="--log-level is 'chatty'"):
        service.start()
    service.stop()


def test_a_killed_service_comes_back(tmp_path: Path) -> None:
    """kill() is a power cut: after start() it is at the same address, with the job that went on."""
    with LocalService(tmp_path) as service:
        name, endpoint = service.submit("sh", "-c", "sleep 0.5; echo done"), service.endpoint
        service.kill()
        service.start()
        assert service.endpoint == endpoint
        assert service.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
        assert service.logs(name) == "done"
