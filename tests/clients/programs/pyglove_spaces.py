"""A user's script with pyglove (0.1.0 or newer): search spaces of every shape, and what the library says of them.

`describe` prints each space's text, size and sampled parameters as JSON; `accept FILE` materialises the parameters of
a JSON file {space: [parameters]} and fails at the first that the library does not take.
"""

import inspect
import json
import pathlib
import random
import sys

import pyglove as pg

IS_OLD = "choices_distinct" in str(inspect.signature(pg.sublist_of))
COUNTED = 500  # spaces of so many points are counted through
SAMPLES, FEW = 20, 6  # of these, and of larger ones: the library takes a tenth of a second for a sample
REPEATS, FILTERS = (1, 2, 3, 4, 3, 3, 1), (16, 24, 32, 64, 96, 160, 320)


def some(picks, candidates, distinct=True, is_sorted=False):
    names = ("choices_distinct", "choices_sorted") if IS_OLD else ("distinct", "sorted")
    return pg.sublist_of(picks, list(candidates), **dict(zip(names, (distinct, is_sorted), strict=True)))


def one(*candidates):
    return pg.one_of(list(candidates))


def pair_of(count, first=0):
    return some(2, range(first, count), is_sorted=True)


def pyramid():
    """Like a feature pyramid: merged pairs of what came before, and a permutation of levels."""
    middle = [pg.Dict(level=one(4, 5, 6, 7), fn=one("sum", "attention"), inputs=pair_of(5 + n)) for n in range(2)]
    last = [pg.Dict(fn=one("sum", "attention"), inputs=pair_of(7 + n)) for n in range(5)]
    return pg.Dict(middle=middle, last=last, levels=some(5, range(3, 8)))


def permuted_scales(kinds, middle, window):
    """Like a scale-permuted backbone: blocks that read two of the last few, and two permutations."""
    blocks = [
        pg.Dict(offset=one(-1, 0, 1, 2), fn=one(*kinds), inputs=pair_of(2 + n, max(2 + n - window, 0)))
        for n in range(middle)
    ]
    ends = [pg.Dict(fn=one(*kinds), inputs=pair_of(2 + middle)) for _ in range(5)]
    return pg.Dict(blocks=blocks, order=some(middle, range(middle)), ends=ends, levels=some(5, range(3, 8)))


def mobile(fns, ratios, **more):
    """Like a mobile network: the same decisions for each of seven blocks."""

    def block(repeats, filters):
        decisions = {
            "repeats": one(repeats, repeats - 1, repeats + 1) if repeats > 1 else one(1, 2),
            "fn": one(*fns),
            "ratio": one(*ratios),
            "kernel": one(3, 5),
            "se": one(0.0, 0.25),
            "filters": one(int(filters * 0.75), filters, int(filters * 1.25)),
        }
        return pg.Dict(**decisions, **{name: one(*values) for name, values in more.items()})

    return pg.Dict(blocks=[block(r, f) for r, f in zip(REPEATS, FILTERS, strict=True)])


SPACES = {
    "pyramid": pyramid(),
    "scales": permuted_scales(("residual", "bottleneck"), 11, 4),
    "scales_v2": permuted_scales(("residual", "bottleneck"), 10, 4),
    "scales_mobile": permuted_scales(("mbconv",), 11, 3),
    "mobile": mobile(("conv", "mbconv"), (1, 3, 6)),
    "mobile_v2": mobile(("mbconv", "fused"), (1, 2, 4, 6), act=("swish", "relu")),
    "points": pg.Dict(
        towers=[
            pg.Dict(n=one(1, 2, 3), act=one("relu", "swish"), kernel=one(3, 5), width=one(32, 64)) for _ in range(14)
        ]
    ),
    "augment_few": pg.Dict(num_ops=one(1, 2), magnitude=one(*range(1, 11))),
    "augment": pg.List([[some(2, range(n), distinct=False) for _ in range(5)] for n in (21, 11, 11)]),
    "scaling": pg.Dict(
        size=one(512, 640),
        filters=one(192, 256),
        scale=one(1.0, 1.2, 1.4),
        alpha=one(0.5, 1.0),
        repeats=one(1, 2),
        convs=one(3, 4, 5),
        head=one(128, 192, 256),
    ),
    "golden": pg.Dict(
        stem=one(8, 16),
        block=one("plain", pg.Dict(k=one(3, 5), se=one(0.0, 0.25))),
        pick=some(2, (10, 20, 30), True, True),
    ),
    "conditional": pg.Dict(a=one(1, pg.Dict(b=one("x", "y")), one(7, 8)), l=pg.List([some(2, (5, 6, 7))])),
    "root": one(1, None, True, 2.5, one(3, one(4, 5)), 'it\'s "q" é \\ 雪'),
    "bags": pg.Dict(
        a=some(3, (1, pg.Dict(q=one("m", "n")), 3), False, True),
        b=some(2, (1, pg.Dict(q=one("m", "n")), 3), False, False),
    ),
    "sets": pg.Dict(
        a=some(2, (1, pg.Dict(q=one("m", "n")), 3), True, True), b=some(3, (1, pg.Dict(q=one("m", "n")), 3))
    ),
}


def describe():
    told = {}
    for name, value in SPACES.items():
        spec = pg.search_space(value)
        is_small = spec.space_size <= COUNTED
        dnas = [pg.random_dna(spec, random.Random(seed)) for seed in range(SAMPLES if is_small else FEW)]
        told[name] = {
            "spec": spec.to_json_str(hide_default_values=True),
            "size": spec.space_size,
            "samples": [dna.parameters(use_literal_values=True) for dna in dnas],
            "all": all_of(spec) if is_small else None,
        }
    print(json.dumps(told))


def all_of(spec):
    return [dna.parameters(use_literal_values=True) for dna in spec.iter_dna()]


def accept(path):
    count = 0
    given = json.loads(pathlib.Path(path).read_text())
    for name, texts in given.items():
        # What `materialize` does, but for looking through the whole space anew for each sample.
        template = pg.template(SPACES[name])
        spec = template.dna_spec()
        built = [
            template.decode(pg.DNA.from_parameters(json.loads(text), spec, use_literal_values=True)) for text in texts
        ]
        if not pg.eq(built[0], pg.materialize(SPACES[name], json.loads(texts[0]))):
            raise ValueError(name)
        count += len(built)
    print(json.dumps({"accepted": count}))


if __name__ == "__main__":
    describe() if sys.argv[1] == "describe" else accept(sys.argv[2])
