"""Prints the search space as Vertex AI takes it; search_space.json is what it printed. Only this program needs pyglove.

python examples/nas_digits/space.py > examples/nas_digits/search_space.json
"""

import pyglove as pg


def layer() -> pg.Dict:
    return pg.Dict(width=pg.oneof([4, 8, 16, 32]), activation=pg.oneof(["relu", "tanh", "sigmoid", "linear"]))


network = pg.Dict(
    layers=pg.oneof([pg.List([layer() for _ in range(depth)]) for depth in (1, 2, 3)]),
    skip=pg.oneof([False, True]),
)

if __name__ == "__main__":
    print(pg.search_space(network).to_json_str(hide_default_values=True))
