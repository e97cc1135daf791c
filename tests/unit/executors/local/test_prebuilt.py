"""Which images are known, and what stands in for each."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from trainyard.executors.local.image_tool import Answer, mapped
from trainyard.executors.local.prebuilt import read_overrides, recipe_of

US = "us-docker.pkg.dev/vertex-ai/training/"
OLD = "gcr.io/cloud-aiplatform/training/"


@pytest.mark.parametrize(
    ("uri", "first", "python"),
    [
        (US + "pytorch-gpu.2-4.py310:latest", "torch==2.4.*", "3.10"),
        ("europe-docker.pkg.dev/vertex-ai/training/pytorch-xla.2-4.py310", "torch==2.4.*", "3.10"),
        (US + "pytorch-tpu.2-1.cp310:latest", "torch==2.1.*", "3.10"),
        ("asia-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest", "tensorflow-cpu==2.17.*", "3.10"),
        (US + "tf-gpu.2-8:latest", "tensorflow-cpu==2.8.*", ""),
        ("gcr.io/deeplearning-platform-release/tf2-cpu.2-13.py310", "tensorflow-cpu==2.13.*", "3.10"),
        (
            "us-docker.pkg.dev/deeplearning-platform-release/gcr.io/pytorch-cu121.2-3.py310:m1",
            "torch==2.3.*",
            "3.10",
        ),
        (US + "tf-tpu.2-15-pod-cp310:latest", "tensorflow-cpu==2.15.*", "3.10"),
        (US + "sklearn-cpu.1-6:latest", "scikit-learn==1.6.*", ""),
        (US + "scikit-learn-cpu.0-23", "scikit-learn==0.23.*", ""),
        (US + "xgboost-cpu.2-1:latest", "xgboost==2.1.*", ""),
        (OLD + "tf-cpu.2-3:latest", "tensorflow-cpu==2.3.*", ""),
        ("eu.gcr.io/cloud-aiplatform/training/pytorch-gpu.1-13@sha256:" + "0" * 64, "torch==1.13.*", ""),
        (US + "pytorch-gpu.1-4.py37:latest", "torch==1.4.*", "3.7"),
    ],
)
def test_documented_images_are_known(uri: str, first: str, python: str) -> None:
    """Family, version and Python are read off the URI, old and new registries alike."""
    recipe = recipe_of(uri, {}, gpus=False)
    assert recipe is not None
    assert (recipe.exact[0], recipe.python) == (first, python)
    assert recipe.newest[0] == recipe.framework == first.partition("==")[0]


@pytest.mark.parametrize(
    "uri",
    [
        "img",
        "",
        "docker.io/library/python:3.11",
        US + "tf-cpu",
        US + "caffe-gpu.1-0:latest",
        US + "pytorch-gpu.2-4/../x",
        "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest",
        "evil/" + US + "tf-cpu.2-8",
        US + "tf-cpu.2-8:a b",
    ],
)
def test_other_images_are_not(uri: str) -> None:
    """Anything else is no prebuilt training image."""
    assert recipe_of(uri, {}, gpus=False) is None


def test_a_machine_with_gpus_gets_gpu_builds() -> None:
    """TensorFlow's CUDA libraries come along only where there is a GPU, and only for a GPU image."""
    assert recipe_of(US + "tf-gpu.2-17.py310:latest", {}, gpus=True).exact[0] == "tensorflow[and-cuda]==2.17.*"  # type: ignore[union-attr]  # known image
    assert recipe_of(US + "tf-gpu.2-17.py310:latest", {}, gpus=True).framework == "tensorflow"  # type: ignore[union-attr]  # known image
    assert recipe_of(US + "tf-cpu.2-17.py310:latest", {}, gpus=True).exact[0] == "tensorflow-cpu==2.17.*"  # type: ignore[union-attr]  # known image


@pytest.mark.parametrize(
    ("image", "old"),
    [("sklearn-cpu.1-3", True), ("sklearn-cpu.1-6", False), ("tf-cpu.2-8", False)],
)
def test_old_frameworks_get_the_old_numpy(image: str, old: bool) -> None:
    """What was built for NumPy 1 and does not say so would not import with NumPy 2."""
    recipe = recipe_of(US + image, {}, gpus=False)
    assert recipe is not None
    assert ("numpy<2" in recipe.exact) is old
    assert "numpy<2" not in recipe.newest


@pytest.mark.parametrize("named", ["registry.example:5000/team/train:v1", "registry.example:5000/team/train"])
def test_settings_name_images_of_their_own(named: str) -> None:
    """An override holds for the URI with or without its tag, and over the table."""
    recipe = recipe_of("registry.example:5000/team/train:v1", {named: ["torch==2.5.1", "einops"]}, gpus=False)
    assert recipe is not None
    assert (recipe.exact, recipe.newest, recipe.torch) == (("torch==2.5.1", "einops"), (), True)
    over = recipe_of(US + "tf-cpu.2-8:latest", {US + "tf-cpu.2-8": ["numpy"]}, gpus=False)
    assert over is not None
    assert (over.exact, over.torch) == (("numpy",), False)


def test_an_empty_list_is_kept_as_it_is_given() -> None:
    """No packages for one tag stay none, whatever is said of the other tags; the map tells it in words."""
    overrides = {"img": ["torch"], "img:bare": []}
    bare, other = (recipe_of(uri, overrides, gpus=False) for uri in ("img:bare", "img:v2"))
    assert bare is not None
    assert other is not None
    assert (bare.exact, other.exact) == ((), ("torch",))

    async def told() -> list[Answer]:
        return [each async for each in mapped(None, ["img:bare"], overrides)]

    (answer,) = asyncio.run(told())
    assert (answer["runs"], answer["packages"]) == ("in an environment of nothing but Python", [])


def test_without_an_engine_all_else_is_on_this_machine() -> None:
    """But for a runtime that runs nothing there."""

    async def told(runtime: str, uri: str) -> str:
        (answer,) = [each async for each in mapped(None, [uri], {}, runtime)]
        return str(answer["runs"])

    assert asyncio.run(told("auto", "r.example/img:1")) == "on this machine"
    assert asyncio.run(told("podman", "img:1")) == "in its image, which is pulled first"
    assert asyncio.run(told("auto", "host")) == "on this machine"
    assert asyncio.run(told("podman", "host")) == "nowhere: the setting runtime is podman"


def test_overrides_come_from_a_file(tmp_path: Path) -> None:
    """A JSON file maps images to requirement lines; what it is not is refused by name."""
    path = tmp_path / "images.json"
    path.write_text('{"my.example/img": ["torch==2.4"]}')
    assert read_overrides(str(path)) == {"my.example/img": ["torch==2.4"]}
    assert read_overrides("") == {}
    for wrong in ("{", "[]", '{"a": "torch"}', '{"a": [1]}'):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=r"images\.json"):
            read_overrides(str(path))
    with pytest.raises(ValueError, match="can't be read"):
        read_overrides(str(tmp_path / "none"))
