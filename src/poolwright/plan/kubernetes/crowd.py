"""How many pods of which kind lie in which topology: kept as pods and nodes change.

A `Crowd` says which pods are counted, a `Tally` keeps the numbers per domain of a topology key, and
`Tallies` offers every pod to the tallies that could count it, found by one of its labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from poolwright.model.label_selector import LabelSelector
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.model.pod_affinity import NO_PODS, PodTerm

Eligible = Callable[[Node], bool]
_Anchor = tuple[str, str]
_ANY: _Anchor = ("", "")
_OWNER = "/owner"  # no label key begins so


@dataclass(frozen=True, slots=True)
class Crowd:
    """Pods of these namespaces (None: of all) that every selector selects, or those of an owner."""

    namespaces: frozenset[str] | None
    selectors: tuple[LabelSelector, ...] = ()
    owner: str = ""
    counts_leaving: bool = True

    def has(self, pod: Pod) -> bool:
        """Whether a pod belongs to it."""
        if self.namespaces is not None and pod.namespace not in self.namespaces:
            return False
        if pod.deleting and not self.counts_leaving:
            return False
        if self.owner:
            owner = pod.controller
            return owner is not None and owner.uid == self.owner
        return all(selector.matches(pod.labels) for selector in self.selectors)

    @property
    def anchor(self) -> _Anchor:
        """A label that each of its pods has, where there is one."""
        if self.owner:
            return (_OWNER, self.owner)
        for selector in self.selectors:
            for pair in selector.labels:
                return pair
            for rule in selector.rules:
                if rule.operator == "In" and len(rule.values) == 1:
                    return (rule.key, rule.values[0])
        return _ANY


class Tally:
    """Pods per domain of a topology key, over the nodes that count."""

    __slots__ = (
        "_eligible",
        "_levels",
        "by_domain",
        "domain_of",
        "key",
        "nodes_in",
        "on_node",
        "total",
    )

    def __init__(self, key: str, eligible: Eligible | None = None) -> None:
        self.key = key
        self.on_node: dict[str, int] = {}
        self.domain_of: dict[str, str] = {}
        self.by_domain: dict[str, int] = {}
        self.nodes_in: dict[str, int] = {}
        self.total = 0
        self._levels: Counter[int] = Counter()
        self._eligible = eligible

    @property
    def is_fine(self) -> bool:
        """Whether every domain is a single node, as with host names."""
        return len(self.domain_of) == len(self.nodes_in)

    @property
    def is_populated(self) -> bool:
        """Whether any domain has a pod."""
        return len(self._levels) > 1 or bool(self._levels and not self._levels[0])

    def least(self, min_domains: int) -> int:
        """The number of pods of the emptiest domain; 0 where there are too few domains."""
        if len(self.nodes_in) < min_domains:
            return 0
        return min(self._levels, default=0)

    def add(self, node: str, amount: int) -> None:
        """Count pods on a node, or no longer."""
        left = self.on_node.get(node, 0) + amount
        if left:
            self.on_node[node] = left
        else:
            self.on_node.pop(node, None)
        self.total += amount
        domain = self.domain_of.get(node)
        if domain is not None:
            self._shift(domain, amount)

    def set_node(self, name: str, node: Node | None) -> None:
        """Take a node's domain, or forget it."""
        new = None
        if node is not None and (self._eligible is None or self._eligible(node)):
            new = node.labels.get(self.key)
        old = self.domain_of.get(name)
        if old == new:
            return
        count = self.on_node.get(name, 0)
        if old is not None:
            del self.domain_of[name]
            self._shift(old, -count)
            self.nodes_in[old] -= 1
            if not self.nodes_in[old]:
                del self.nodes_in[old]
                self._level(self.by_domain.pop(old, 0), -1)
        if new is not None:
            self.domain_of[name] = new
            if new not in self.nodes_in:
                self.nodes_in[new] = 0
                self._level(self.by_domain.setdefault(new, 0), 1)
            self.nodes_in[new] += 1
            self._shift(new, count)

    def _shift(self, domain: str, amount: int) -> None:
        if not amount:
            return
        old = self.by_domain[domain]
        self._level(old, -1)
        self._level(old + amount, 1)
        self.by_domain[domain] = old + amount

    def _level(self, pods: int, amount: int) -> None:
        self._levels[pods] += amount
        if not self._levels[pods]:
            del self._levels[pods]


@dataclass(frozen=True, slots=True)
class Carried:
    """A term that placed pods carry: what it says holds for others that belong to its crowd.

    ``weight`` 0: they must stay out of the domain; else a wish about them.
    """

    crowd: Crowd
    topology_key: str
    weight: int = 0


HARD_AFFINITY_WEIGHT = 1
"""What a placed pod's required affinity counts for another one that it would like to have near
(apis/config/v1/defaults.go, HardPodAffinityWeight)."""


class Tallies:
    """The counts that somebody asks about, and the terms that placed pods carry."""

    def __init__(self) -> None:
        self.version = 0
        """Moves when a term is carried by the first pod, or by none any more."""
        self._nodes: dict[str, Node] = {}
        self._pods: dict[str, dict[str, tuple[str, Pod]]] = {}
        self._asked: dict[_Anchor, list[tuple[Crowd, Tally]]] = {}
        self._tallies: list[Tally] = []
        self._carried: dict[Carried, Tally] = {}
        self._carried_by: dict[_Anchor, list[Carried]] = {}
        self._held: Counter[Carried] = Counter()
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self.selects_namespaces = False
        """Whether some term has chosen namespaces by their labels."""

    # Asking

    def ask(self, crowd: Crowd, key: str, eligible: Eligible | None = None) -> Tally:
        """A new tally, kept until it is dropped."""
        tally = self._tally(key, eligible)
        self._asked.setdefault(crowd.anchor, []).append((crowd, tally))
        named = self._pods if crowd.namespaces is None else sorted(crowd.namespaces)
        for namespace in named:
            for node, pod in self._pods.get(namespace, {}).values():
                if crowd.has(pod):
                    tally.add(node, 1)
        return tally

    def drop(self, crowd: Crowd, tally: Tally) -> None:
        """Nobody asks for a tally any more."""
        self._tallies.remove(tally)
        kept = [each for each in self._asked[crowd.anchor] if each[1] is not tally]
        if kept:
            self._asked[crowd.anchor] = kept
        else:
            del self._asked[crowd.anchor]

    def carried_for(self, pod: Pod) -> tuple[Carried, ...]:
        """The terms of placed pods that speak about this one."""
        if not self._carried:
            return ()
        return tuple(
            carried
            for anchor in _anchors(pod)
            for carried in self._carried_by.get(anchor, ())
            if self._carried[carried].total and carried.crowd.has(pod)
        )

    def hold(self, carried: Carried) -> Tally:
        """Where the pods are that carry a term; the same tally until it is let go as often."""
        self._held[carried] += 1
        return self._tally_of(carried)

    def let_go(self, carried: Carried) -> None:
        """The opposite of `hold`."""
        self._held[carried] -= 1
        self._forget_unused(carried)

    def crowd_of(self, *terms: PodTerm) -> Crowd | None:
        """The pods that all the terms mean; None if one means none."""
        namespaces: frozenset[str] | None = None
        selectors: list[LabelSelector] = []
        for term in terms:
            if term.selector is None:
                return None
            selectors.append(term.selector)
            found = self._namespaces_of(term)
            if found is not None:
                namespaces = found if namespaces is None else namespaces & found
        return Crowd(namespaces, tuple(selectors))

    def _namespaces_of(self, term: PodTerm) -> frozenset[str] | None:
        chosen = term.namespace_selector
        if chosen is None:
            return frozenset(term.namespaces)
        if not chosen.labels and not chosen.rules:
            return None
        self.selects_namespaces = True
        found = [name for name, labels in self._namespaces.items() if chosen.matches(labels)]
        return frozenset((*term.namespaces, *found))

    # Changes

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Take a namespace's labels (None: it is gone); nothing may be asked or held meanwhile."""
        if labels is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = labels
        if not self.selects_namespaces:
            return
        self.version += 1
        for old in self._carried.values():
            self._tallies.remove(old)
        self._carried.clear()
        self._carried_by.clear()
        for pods in self._pods.values():
            for node, pod in pods.values():
                self._carry(pod, node, 1)

    def set_node(self, name: str, node: Node | None) -> None:
        """A node came, changed, or is gone (None)."""
        old = self._nodes.get(name)
        if node is None:
            self._nodes.pop(name, None)
        else:
            self._nodes[name] = node
            if old is not None and old.labels == node.labels and old.taints == node.taints:
                return
        for tally in self._tallies:
            tally.set_node(name, node)

    def place(self, pod: Pod, node: str) -> None:
        """A pod counts on a node from now on."""
        self._pods.setdefault(pod.namespace, {})[pod.key] = (node, pod)
        self.count(pod, node, 1)
        if pod.affinity is not NO_PODS:
            for carried in self._carries(pod):
                self.version += self._carried[carried].total == 1

    def take_off(self, pod: Pod, node: str) -> None:
        """A pod counts no longer."""
        del self._pods[pod.namespace][pod.key]
        if not self._pods[pod.namespace]:
            del self._pods[pod.namespace]
        self.count(pod, node, -1)
        if pod.affinity is not NO_PODS:
            for carried in self._carries(pod):
                if carried in self._carried:
                    self.version += not self._carried[carried].total
                    self._forget_unused(carried)

    def count(self, pod: Pod, node: str, amount: int) -> None:
        """Add a pod to the numbers, or take it out of them for a while."""
        if self._asked:
            for anchor in _anchors(pod):
                for crowd, tally in self._asked.get(anchor, ()):
                    if crowd.has(pod):
                        tally.add(node, amount)
        self._carry(pod, node, amount)

    def _carry(self, pod: Pod, node: str, amount: int) -> None:
        if pod.affinity is not NO_PODS:
            for carried in self._carries(pod):
                self._tally_of(carried).add(node, amount)

    def _tally_of(self, carried: Carried) -> Tally:
        tally = self._carried.get(carried)
        if tally is None:
            tally = self._carried[carried] = self._tally(carried.topology_key, None)
            self._carried_by.setdefault(carried.crowd.anchor, []).append(carried)
        return tally

    def _carries(self, pod: Pod) -> Iterable[Carried]:
        affinity = pod.affinity
        weighted = (
            *((0, term) for term in affinity.apart),
            *((HARD_AFFINITY_WEIGHT, term) for term in affinity.together),
            *affinity.preferred,
        )
        crowds = ((self.crowd_of(term), term.topology_key, weight) for weight, term in weighted)
        return dict.fromkeys(Carried(c, key, weight) for c, key, weight in crowds if c is not None)

    def _forget_unused(self, carried: Carried) -> None:
        tally = self._carried[carried]
        if tally.total or self._held[carried]:
            return
        del self._held[carried]
        del self._carried[carried]
        self._tallies.remove(tally)
        anchor = carried.crowd.anchor
        self._carried_by[anchor].remove(carried)
        if not self._carried_by[anchor]:
            del self._carried_by[anchor]

    def _tally(self, key: str, eligible: Eligible | None) -> Tally:
        tally = Tally(key, eligible)
        for name, node in self._nodes.items():
            tally.set_node(name, node)
        self._tallies.append(tally)
        return tally


def _anchors(pod: Pod) -> Iterator[_Anchor]:
    yield _ANY
    yield from pod.labels.items()
    owner = pod.controller
    if owner is not None:
        yield (_OWNER, owner.uid)
