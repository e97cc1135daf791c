"""PyTorch DistributedDataParallel over gloo: `env://` reads MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE, as on Vertex.

It keeps a checkpoint where AIP_CHECKPOINT_DIR points and goes on from there when the job is started again.
"""

import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

EPOCHS = int(os.environ.get("EPOCHS", "20"))


def local_path(uri: str) -> Path:
    """A gs:// address as the directory under which every replica sees it."""
    root = os.environ.get("TRAINYARD_GCS_ROOT", "/gcs")
    return Path(root, uri.removeprefix("gs://")) if uri.startswith("gs://") else Path(uri)


def shard(rank: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """This replica's share of 4,096 points on two interleaved spirals."""
    generator = torch.Generator().manual_seed(7)
    turn = torch.rand(4096, generator=generator) * 3
    label = torch.arange(4096) % 2
    angle = turn * 2 + label * torch.pi
    points = torch.stack([turn * angle.cos(), turn * angle.sin()], 1) + torch.randn(4096, 2, generator=generator) / 20
    return points[rank::size], label[rank::size]


def main() -> None:
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    print(f"rank {rank} of {size}", flush=True)
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(
        nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    )
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    checkpoint = local_path(os.environ.get("AIP_CHECKPOINT_DIR", ".")) / "last.pt"
    begun = 0
    if checkpoint.exists():
        kept = torch.load(checkpoint)
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        begun = kept["epoch"]
        print(f"going on after epoch {begun}", flush=True)
    points, labels = shard(rank, size)
    for epoch in range(begun + 1, EPOCHS + 1):
        for start in range(0, len(points), 128):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(points[start : start + 128]), labels[start : start + 128])
            loss.backward()
            optimizer.step()
        right = (model(points).argmax(1) == labels).sum()
        dist.all_reduce(right)
        if rank == 0:
            print(f"epoch {epoch} of {EPOCHS}: accuracy {right.item() / 4096:.4f}", flush=True)
            save(checkpoint, {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch})
    fingerprint = sum(parameter.double().sum() for parameter in model.parameters()).item()
    print(f"weights {fingerprint:.9f}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


def save(path: Path, kept: dict) -> None:
    """Whole or not at all: a job may be ended at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    torch.save(kept, unfinished)
    unfinished.replace(path)


main()
