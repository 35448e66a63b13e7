"""What a pod and its neighbours ask of each other: affinity between pods, and topology spread.

Nodes that are alike in all of this share a *place*: a tuple with, for every question, the node's
domain (or, where each node is a domain of its own, the count there). So a question is answered
once per place and not once per node, and scores are set in relation to each other exactly as
kube-scheduler does.

Source: k8s.io/kubernetes v1.36 pkg/scheduler/framework/plugins (interpodaffinity and
podtopologyspread).
Ours: pods of a Service without a controller are not spread by default.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import log

from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.model.pod_affinity import NO_PODS, PodTerm, SpreadConstraint
from poolwright.model.taint import TaintEffect, untolerated
from poolwright.plan.fit import Misfit, matches_selector
from poolwright.plan.kubernetes.crowd import Carried, Crowd, Eligible, Tallies, Tally

HOST_NAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
Place = tuple[str | int | None, ...]
_NOWHERE = -1

_SPREAD = Misfit(("node(s) didn't match pod topology spread constraints",), is_final=False)
_NO_TOPOLOGY = Misfit(
    ("node(s) didn't match pod topology spread constraints (missing required label)",),
    is_final=True,
)
_ALONE = Misfit(("node(s) didn't match pod affinity rules",), is_final=True)
_CROWDED = Misfit(("node(s) didn't match pod anti-affinity rules",), is_final=False)
_UNWELCOME = Misfit(("node(s) didn't satisfy existing pods anti-affinity rules",), is_final=False)

# plugin.go, systemDefaultConstraints: topology key and skew
_SYSTEM_SPREAD = ((HOST_NAME, 3), (ZONE, 5))
_SPREAD_OWNERS = frozenset({"ReplicaSet", "ReplicationController", "StatefulSet"})


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked about a pod's neighbours, as a key: pods with equal questions share answers."""

    namespace: str
    together: tuple[PodTerm, ...]
    apart: tuple[PodTerm, ...]
    preferred: tuple[tuple[int, PodTerm], ...]
    spread: tuple[SpreadConstraint, ...]
    fits_own: tuple[bool, ...]
    """Whether the pod belongs to its own crowds: those of ``together``, then each of ``spread``."""
    owner: str
    carried: tuple[Carried, ...]
    nodes: Hashable
    """What chooses the nodes over which the spread is counted; empty where nothing is spread."""


def questions_of(pod: Pod, tallies: Tallies) -> Questions | None:
    """What is to be asked about a pod; None for the many where it is nothing."""
    carried = tallies.carried_for(pod)
    owner = pod.controller
    group = "" if owner is None or owner.kind not in _SPREAD_OWNERS or pod.spread else owner.uid
    affinity = pod.affinity
    if affinity is NO_PODS and not pod.spread and not carried and not group:
        return None
    fits_own: tuple[bool, ...] = ()
    if affinity.together or pod.spread:
        crowd = tallies.crowd_of(*affinity.together)
        own = (_crowd_of_spread(pod.namespace, c) for c in pod.spread)
        fits_own = (
            crowd is not None and crowd.has(pod),
            *(each is not None and each.has(pod) for each in own),
        )
    return Questions(
        pod.namespace,
        affinity.together,
        affinity.apart,
        affinity.preferred,
        pod.spread,
        fits_own,
        group,
        carried,
        (tuple(sorted(pod.node_selector.items())), pod.node_terms, pod.tolerations)
        if pod.spread
        else (),
    )


def _crowd_of_spread(namespace: str, constraint: SpreadConstraint) -> Crowd | None:
    if constraint.selector is None:
        return None
    return Crowd(frozenset((namespace,)), (constraint.selector,), counts_leaving=False)


def _eligible(pod: Pod, constraint: SpreadConstraint) -> Eligible | None:
    """The nodes over which a spread is counted; None: all."""
    by_affinity = constraint.honors_affinity and (pod.node_selector or pod.node_terms is not None)
    effects = (TaintEffect.NO_SCHEDULE, TaintEffect.NO_EXECUTE)

    def eligible(node: Node) -> bool:
        if by_affinity and not matches_selector(pod, node):
            return False
        if not constraint.honors_taints:
            return True
        return untolerated(node.taints, pod.tolerations, effects) is None

    return eligible if by_affinity or constraint.honors_taints else None


class Answers:
    """The counts behind one pod's questions, and what they say about places."""

    def __init__(self, pod: Pod, questions: Questions, tallies: Tallies) -> None:
        self.users = 0
        self._tallies = tallies
        self._slots: list[Tally] = []
        self._asked: list[tuple[Crowd, Tally]] = []
        self._held: list[Carried] = []
        self._was_fine: tuple[bool, ...] = ()
        self._together: list[int] = []
        self._apart: list[int] = []
        self._unwelcome: list[int] = []
        self._wishes: list[tuple[int, int]] = []
        self._hard: list[tuple[int, SpreadConstraint, bool]] = []
        self._soft: list[tuple[int, str, int]] = []
        self._fits_own = questions.fits_own[:1] == (True,)
        self._needs_all_keys = bool(questions.spread)
        self._impossible = False
        self._ask_affinity(questions)
        self._ask_spread(pod, questions)
        self.settle()

    def _ask_affinity(self, questions: Questions) -> None:
        crowd = self._tallies.crowd_of(*questions.together) if questions.together else None
        self._impossible = bool(questions.together) and crowd is None
        if crowd is not None:
            for term in questions.together:
                self._together.append(self._slot(crowd, term.topology_key))
        for weight, term in (*((0, t) for t in questions.apart), *questions.preferred):
            crowd = self._tallies.crowd_of(term)
            if crowd is None:
                continue
            slot = self._slot(crowd, term.topology_key)
            if weight:
                self._wishes.append((slot, weight))
            else:
                self._apart.append(slot)
        for carried in questions.carried:
            self._held.append(carried)
            self._slots.append(self._tallies.hold(carried))
            if carried.weight:
                self._wishes.append((len(self._slots) - 1, carried.weight))
            else:
                self._unwelcome.append(len(self._slots) - 1)

    def _ask_spread(self, pod: Pod, questions: Questions) -> None:
        for constraint, own in zip(questions.spread, questions.fits_own[1:], strict=True):
            crowd = _crowd_of_spread(questions.namespace, constraint)
            crowd = crowd or Crowd(frozenset())
            slot = self._slot(crowd, constraint.topology_key, _eligible(pod, constraint))
            if constraint.is_hard:
                self._hard.append((slot, constraint, own))
            else:
                self._soft.append((slot, constraint.topology_key, constraint.max_skew))
        if questions.owner:
            crowd = Crowd(
                frozenset((questions.namespace,)), owner=questions.owner, counts_leaving=False
            )
            for key, skew in _SYSTEM_SPREAD:
                self._soft.append((self._slot(crowd, key), key, skew))

    def _slot(self, crowd: Crowd, key: str, eligible: Eligible | None = None) -> int:
        tally = self._tallies.ask(crowd, key, eligible)
        self._asked.append((crowd, tally))
        self._slots.append(tally)
        return len(self._slots) - 1

    def release(self) -> None:
        """Count for nobody any more."""
        for crowd, tally in self._asked:
            self._tallies.drop(crowd, tally)
        for carried in self._held:
            self._tallies.let_go(carried)

    @property
    def is_settled(self) -> bool:
        """Whether places mean what they meant: no domain became, or ceased to be, one node."""
        return self._was_fine == tuple(slot.is_fine for slot in self._slots)

    def settle(self) -> None:
        """Let places mean what they now should."""
        self._was_fine = tuple(slot.is_fine for slot in self._slots)

    def place_of(self, node: str) -> Place:
        """The place of a node."""
        return tuple(
            (slot.on_node.get(node, 0) if node in slot.domain_of else _NOWHERE)
            if fine
            else slot.domain_of.get(node)
            for slot, fine in zip(self._slots, self._was_fine, strict=True)
        )

    def _count(self, place: Place, slot: int) -> int | None:
        """The pods in a place's domain; None where it has none."""
        where = place[slot]
        if isinstance(where, int):
            return None if where == _NOWHERE else where
        return None if where is None else self._slots[slot].by_domain[where]

    def refusal(self, place: Place) -> Misfit | None:
        """Why the neighbours rule a place out."""
        for slot, constraint, own in self._hard:
            count = self._count(place, slot)
            if count is None:
                return _NO_TOPOLOGY
            if count + own - self._slots[slot].least(constraint.min_domains) > constraint.max_skew:
                return _SPREAD
        if self._impossible or (self._together and not self._has_company(place)):
            return _ALONE
        if any(self._count(place, slot) for slot in self._apart):
            return _CROWDED
        if any(self._count(place, slot) for slot in self._unwelcome):
            return _UNWELCOME
        return None

    def _has_company(self, place: Place) -> bool:
        counts = [self._count(place, slot) for slot in self._together]
        if None in counts:
            return False
        if all(counts):
            return True
        # The first of a group that wants to be together may go anywhere.
        return self._fits_own and not any(self._slots[s].is_populated for s in self._together)

    def scores(self, places: Mapping[Place, int]) -> dict[Place, float]:
        """What neighbours add to the score of each place that is not ruled out; ``places`` maps
        them to their numbers of nodes.
        """
        total = dict.fromkeys(places, 0.0)
        if self._soft:
            self._add_spread(places, total)
        if self._wishes:
            self._add_wishes(total)
        return total

    def _add_spread(self, places: Mapping[Place, int], total: dict[Place, float]) -> None:
        counts = {p: [self._count(p, slot) for slot, _, _ in self._soft] for p in places}
        scored = [p for p in places if not (self._needs_all_keys and None in counts[p])]
        raw = dict.fromkeys(scored, 0.0)
        for index, (slot, key, skew) in enumerate(self._soft):
            if key == HOST_NAME:
                size = sum(places[p] for p in scored)
            else:
                size = self._domains(scored, places, slot)
            weight = log(size + 2)
            for place in scored:
                count = counts[place][index]
                if count is not None:
                    raw[place] += count * weight + (skew - 1)
        most, least = max(raw.values(), default=0.0), min(raw.values(), default=0.0)
        for place, value in raw.items():
            total[place] += 200.0 * (most + least - value) / most if most else 200.0

    def _domains(self, scored: Sequence[Place], places: Mapping[Place, int], slot: int) -> int:
        if self._was_fine[slot]:
            return sum(places[p] for p in scored if p[slot] != _NOWHERE)
        return len(dict.fromkeys(p[slot] for p in scored if p[slot] is not None))

    def _add_wishes(self, total: dict[Place, float]) -> None:
        raw = {
            place: sum(weight * (self._count(place, slot) or 0) for slot, weight in self._wishes)
            for place in total
        }
        most, least = max(raw.values(), default=0), min(raw.values(), default=0)
        if most > least:
            for place, value in raw.items():
                total[place] += 200.0 * (value - least) / (most - least)
