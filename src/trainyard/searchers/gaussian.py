"""A Gaussian process over points: how well, and how surely, is known of a point what its relatives have shown.

Two points are the more alike the more decisions they share, the more neighbouring pairs, and the more pairs at all:
that is, the value is a sum of effects of single options, of options side by side, of any two options, and of a quirk
of each point. The shares of these four and the noise are chosen by the evidence (marginal likelihood).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Shares:
    """How the variance of 1 is shared between the four kinds of effect, and the noise beside them."""

    single: float
    beside: float
    pairs: float
    quirk: float
    noise: float


MIXES = (
    (0.80, 0.05, 0.10, 0.05),
    (0.40, 0.40, 0.15, 0.05),
    (0.45, 0.20, 0.30, 0.05),
    (0.40, 0.05, 0.45, 0.10),
    (0.25, 0.05, 0.50, 0.20),
)
NOISES = (0.003, 0.02, 0.1)
CANDIDATES = tuple(Shares(*mix, noise) for mix in MIXES for noise in NOISES)
FIRST = Shares(0.40, 0.10, 0.40, 0.10, 0.05)


@dataclass(frozen=True, slots=True)
class Alike:
    """What two lists of points share: decisions, and pairs of neighbouring ones."""

    matches: Array
    beside: Array
    decisions: int

    def kernel(self, shares: Shares) -> Array:
        """The covariance of the values of the two lists."""
        matches, count = self.matches, self.decisions
        pairs = max(count * (count - 1), 1)
        found: Array = (shares.single / count) * matches
        found += (shares.beside / max(count - 1, 1)) * self.beside
        found += (shares.pairs / pairs) * (matches * (matches - 1))
        found += shares.quirk * (matches == count)
        return found


def alike(some: Codes, others: Codes) -> Alike:
    """Count what is shared; decision by decision, so that memory stays small. Arrays are decisions × points."""
    matches = np.zeros((some.shape[1], others.shape[1]), dtype=np.int32)
    beside = np.zeros_like(matches)
    before = None
    for ours, theirs in zip(some, others, strict=True):
        same = ours[:, None] == theirs[None, :]
        matches += same
        if before is not None:
            beside += same & before
        before = same
    return Alike(matches.astype(np.float64), beside.astype(np.float64), some.shape[0])


def evidence(likeness: Alike, values: Array, shares: Shares) -> float:
    """The log marginal likelihood of the values, their scale integrated out, up to a constant."""
    count = len(values)
    lower = np.linalg.cholesky(likeness.kernel(shares) + shares.noise * np.eye(count))
    solved = np.linalg.solve(lower, values)
    return float(-0.5 * count * math.log(solved @ solved / count + 1e-12) - np.log(np.diagonal(lower)).sum())


def best_shares(likeness: Alike, values: Array) -> Shares:
    """The candidate with the most evidence."""
    return max(CANDIDATES, key=lambda shares: evidence(likeness, values, shares))


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Where values are or will be known: `codes` (decisions × points), `precision` the inverse of their covariance."""

    shares: Shares
    codes: Codes
    precision: Array

    @classmethod
    def of(cls, shares: Shares, codes: Codes) -> Knowledge:
        """Of some points at once."""
        covariance = alike(codes, codes).kernel(shares) + shares.noise * np.eye(codes.shape[1])
        return cls(shares, codes, np.linalg.inv(covariance).astype(np.float64))

    def grown(self, more: Codes) -> Knowledge:
        """With further points, by the inverse of a bordered matrix."""
        cross = alike(self.codes, more).kernel(self.shares)
        carried = self.precision @ cross
        own = alike(more, more).kernel(self.shares) + self.shares.noise * np.eye(more.shape[1])
        corner = np.linalg.inv(own - cross.T @ carried)
        side = -carried @ corner
        count = self.codes.shape[1]
        precision = np.empty((count + more.shape[1],) * 2)
        precision[:count, :count] = self.precision - side @ carried.T
        precision[:count, count:] = side
        precision[count:, :count] = side.T
        precision[count:, count:] = corner
        return Knowledge(self.shares, np.concatenate([self.codes, more], axis=1), precision)

    def likeness(self, codes: Codes) -> Array:
        """The covariance of other points with these: others × these."""
        return alike(codes, self.codes).kernel(self.shares)

    def doubt(self, cross: Array) -> Array:
        """The standard deviation that is left at points with this likeness to these."""
        shares = self.shares
        whole = shares.single + shares.beside + shares.pairs + shares.quirk
        explained = ((cross @ self.precision) * cross).sum(axis=1)
        left: Array = np.sqrt(np.maximum(whole - explained, 1e-12))
        return left
