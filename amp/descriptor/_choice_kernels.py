"""The choice between triplets and moments for the angular functions of a center."""

from __future__ import annotations

from amp.descriptor._jit import inlined

__all__ = ["first_group"]


@inlined
def first_group(plan, work, s, lo, hi, species, second):
    """Give the first of the groups that go by triplets: 0, or n^3 if moments do what they can.

    It depends on how many neighbors of each species there are, and so is the same in all kernels.
    """
    is_open = int(plan.has_moments) * int(hi - lo >= plan.fewest)
    # Without a branch: numba would count the references to all arrays there.
    pays = int(spared(plan, work, s, lo, lo + (hi - lo) * is_open, species, second) > 0.0)
    return plan.n_elements**3 * is_open * pays


@inlined
def spared(plan, work, s, lo, hi, species, second):
    """Estimate the time that moments spare a center."""
    n, counts, triplet_costs, moment_costs = (
        plan.n_elements, work.ends, plan.triplet_costs, plan.moment_costs
    )  # fmt: skip
    for t in range(n):
        counts[t] = 0
    for p in range(lo, hi):
        counts[species[second[p]]] += 1
    total = -moment_costs[s, n]
    for t in range(n):
        total -= moment_costs[s, t] * counts[t]
        for u in range(t, n):
            n_pairs = counts[t] * (counts[u] - int(t == u)) / (1 + int(t == u))
            total += triplet_costs[(s * n + t) * n + u] * n_pairs
    return total
