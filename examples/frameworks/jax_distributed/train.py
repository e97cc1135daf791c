"""JAX over several processes: `jax.distributed.initialize` with what the service sets, then one sharded computation.

Linear regression by gradient descent; every process holds its own rows and the gradient is summed over all of them.
"""

import os

import jax

RANK, SIZE = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}", SIZE, RANK)

import jax.numpy as jnp  # noqa: E402 (after the processes have met)
import numpy as np  # noqa: E402 (as above)
from jax.sharding import Mesh, NamedSharding, PartitionSpec  # noqa: E402 (as above)

ROWS = 512


def main() -> None:
    print(f"process {jax.process_index()} of {jax.process_count()}, {jax.device_count()} devices in all", flush=True)
    truth = np.arange(1.0, 9.0, dtype=np.float32)
    own = np.random.default_rng(RANK).normal(size=(ROWS, 8)).astype(np.float32)
    by_rows = NamedSharding(Mesh(np.array(jax.devices()), ("rows",)), PartitionSpec("rows"))
    inputs = jax.make_array_from_process_local_data(by_rows, own)
    targets = jax.make_array_from_process_local_data(by_rows, own @ truth)

    @jax.jit
    def step(weights: jax.Array, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        return weights - 0.1 * jax.grad(lambda w: jnp.mean((inputs @ w - targets) ** 2))(weights)

    weights = jnp.zeros(8)
    for _ in range(200):
        weights = step(weights, inputs, targets)
    print("weights", [round(float(weight), 3) for weight in np.asarray(weights)], flush=True)
    jax.distributed.shutdown()


main()
