"""What is where: per node the room that is left, per kind of pod the nodes that could take it.

Both are kept up to date change by change. Pods that ask for the same (a *shape*) share lists of
candidate nodes, ordered by score, one list for nodes alike in everything that is judged in
relation to other nodes; after a change only the nodes that changed are judged again, and only for
shapes that are asked about. So a pod costs O(log nodes) and the number of lists, not O(nodes).
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.model.taint import TaintEffect
from poolwright.plan.fit import Misfit, matches_any, refusal, shortage
from poolwright.plan.kubernetes.crowd import Tallies
from poolwright.plan.kubernetes.neighbours import Answers, Place, Questions, questions_of
from poolwright.plan.kubernetes.room import NodeRoom, resource_score

SHAPE_NODES_MAX = 320_000
"""Shapes kept times nodes: each candidate costs some 200 bytes."""
SHAPES_MIN = 32
SAMPLED_FROM = 256
"""Nodes from which on a shape is tried on a sample first: keeping candidates costs a look at each
node, which pays for shapes that are asked about often."""
SAMPLE = 128
"""Fitting nodes that a sample compares (kube-scheduler: 5 to 50 of a hundred, at least 100)."""
ASKED_FIRST = 8
"""How often a shape is asked about before its candidates are kept."""
ASKED_MAX = 4096
ANSWERS_MAX = 512
"""Sets of counts about neighbours that are kept though no shape uses them."""

Alike = tuple[int, int, Place]
"""Met preferences, disliked taints, and the place among neighbours."""


class Shape:
    """What pods have in common that fit the same nodes; made by `Placement.shape_of`."""

    __slots__ = ("_hash", "asks", "questions")

    def __init__(self, asks: Hashable, questions: Questions | None) -> None:
        self.asks = asks
        self.questions = questions
        self._hash = hash((asks, questions))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Shape):
            return NotImplemented
        return self is other or (
            self._hash == other._hash
            and self.asks == other.asks
            and self.questions == other.questions
        )


_Candidate = tuple[float, str, int]


@dataclass(slots=True)
class _Candidates:
    pod: Pod
    answers: Answers | None
    seen: int = 0
    heaps: dict[Alike, list[_Candidate]] = field(default_factory=dict[Alike, list[_Candidate]])
    sizes: Counter[Alike] = field(default_factory=Counter[Alike])
    where: dict[str, Alike | Misfit] = field(default_factory=dict[str, Alike | Misfit])
    reasons: Counter[Misfit] = field(default_factory=Counter[Misfit])


def asks_of(pod: Pod) -> Hashable:
    """What a pod asks of a node, neighbours apart."""
    return (
        tuple(pod.requests.items()),
        tuple(sorted(pod.node_selector.items())),
        pod.node_terms,
        pod.preferred_terms,
        pod.tolerations,
        pod.host_ports,
        pod.priority,
    )


def pinned_nodes(pod: Pod) -> tuple[str, ...] | None:
    """The nodes that the required affinity names, where every term names some (DaemonSets)."""
    if not pod.node_terms:
        return None
    names: list[str] = []
    for term in pod.node_terms:
        of_term = [r.values for r in term if r.on_field and r.operator == "In"]
        if not of_term:
            return None
        names.extend(of_term[0])
    return tuple(dict.fromkeys(names))


class Placement:
    """The rooms of all nodes and the candidates of recent shapes."""

    def __init__(self, *, taint_values: bool = False) -> None:
        self._values = taint_values
        self._rooms: dict[str, NodeRoom] = {}
        self._nodes = 0
        self._where: dict[str, str] = {}
        self._tallies = Tallies()
        self._shapes: OrderedDict[Shape, _Candidates] = OrderedDict()
        self._answers: OrderedDict[Questions, Answers] = OrderedDict()
        self._asked: OrderedDict[Shape, int] = OrderedDict()
        self._ring: list[str] | None = None
        self._ring_start = 0
        self._priorities: Counter[int] = Counter()
        self._log: list[str] = []
        self._log_start = 0

    # What is there

    @property
    def node_count(self) -> int:
        """How many nodes there are."""
        return self._nodes

    @property
    def revision(self) -> int:
        """Moves whenever anything does."""
        return self._log_start + len(self._log)

    @property
    def terms_version(self) -> int:
        """Moves when the terms that placed pods carry may have changed the shape of others."""
        return self._tallies.version

    @property
    def lowest_priority(self) -> int | None:
        """The least priority of a placed pod."""
        return min(self._priorities, default=None)

    def room(self, name: str) -> NodeRoom | None:
        """One node's room."""
        return self._rooms.get(name)

    def rooms(self) -> Iterator[NodeRoom]:
        """The rooms of all nodes, by name."""
        for name in sorted(self._rooms):
            if self._rooms[name].node is not None:
                yield self._rooms[name]

    def node_of(self, key: str) -> str | None:
        """The node that a pod is counted on."""
        return self._where.get(key)

    # Changes

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Take a namespace's labels; None: it is gone."""
        if self._tallies.selects_namespaces:
            self._shapes.clear()
            while self._answers:
                self._answers.popitem()[1].release()
        self._tallies.set_namespace(name, labels)

    def set_node(self, node: Node) -> None:
        """Take a node, or its new state."""
        room = self._room(node.name)
        if room.node is None:
            self._nodes += 1
            self._ring = None
        room.node = node
        self._tallies.set_node(node.name, node)
        self._touch(room)

    def remove_node(self, name: str) -> None:
        """Forget a node; pods that are still on it stay accounted for."""
        room = self._rooms.get(name)
        if room is None or room.node is None:
            return
        room.node = None
        self._nodes -= 1
        self._ring, self._ring_start = None, 0
        self._tallies.set_node(name, None)
        self._touch(room)
        self._drop_if_empty(room)

    def place(self, pod: Pod, node: str) -> bool:
        """Count a pod on a node; whether that made room for others somewhere."""
        where = self._where.get(pod.key)
        if where == node:
            room = self._rooms[node]
            if _counts_alike(room.pods[pod.key], pod):
                room.pods[pod.key] = pod
                return False
        if where is not None:
            self.take_off(pod.key)
        room = self._room(node)
        self._where[pod.key] = node
        room.pods[pod.key] = pod
        self._priorities[pod.priority] += 1
        room.count(pod, 1)
        self._tallies.place(pod, node)
        self._touch(room)
        return where is not None

    def take_off(self, key: str) -> str | None:
        """Stop counting a pod; the node it was counted on."""
        node = self._where.pop(key, None)
        if node is None:
            return None
        room = self._rooms[node]
        pod = room.pods.pop(key)
        self._priorities[pod.priority] -= 1
        if not self._priorities[pod.priority]:
            del self._priorities[pod.priority]
        room.count(pod, -1)
        self._tallies.take_off(pod, node)
        self._touch(room)
        self._drop_if_empty(room)
        return node

    def reserve(self, pod: Pod, node: str) -> None:
        """Keep a node's room for a pod, against all that do not rank above it."""
        room = self._room(node)
        room.reserved[pod.key] = pod
        self._touch(room)

    def unreserve(self, key: str, node: str) -> None:
        """The opposite of `reserve`."""
        room = self._rooms.get(node)
        if room is not None and room.reserved.pop(key, None) is not None:
            self._touch(room)
            self._drop_if_empty(room)

    def lift(self, pod: Pod, room: NodeRoom, sign: int) -> None:
        """For a trial, take a pod out of all numbers (-1), or put it back (1)."""
        room.count(pod, sign)
        self._tallies.count(pod, room.name, sign)

    # Questions

    def shape_of(self, pod: Pod) -> Shape:
        """The shape of a pod as things are."""
        return Shape(asks_of(pod), questions_of(pod, self._tallies))

    def best(self, pod: Pod, shape: Shape) -> str | None:
        """The fitting node of the highest score; among equals the first by name."""
        pinned = pinned_nodes(pod)
        if pinned is not None:
            fits = [r for r in map(self._rooms.get, pinned) if r and not self.misfit(pod, shape, r)]
            if not fits:
                return None
            return min(fits, key=lambda r: (-resource_score(pod, r), r.name)).name
        if self._is_rare(shape):
            return self._best_of_sample(pod, shape)
        found = self._current(pod, shape)
        tops: dict[Alike, _Candidate] = {}
        for alike, heap in list(found.heaps.items()):
            top = self._top(heap)
            if top is None:
                del found.heaps[alike]
            elif found.answers is None or found.answers.refusal(alike[2]) is None:
                tops[alike] = top
        return _best(found, tops)

    def _is_rare(self, shape: Shape) -> bool:
        """Whether a shape in a large cluster was not asked about often enough to be kept."""
        if self._nodes < SAMPLED_FROM or shape in self._shapes:
            return False
        asked = self._asked.pop(shape, 0) + 1
        if asked >= ASKED_FIRST:
            return False
        self._asked[shape] = asked
        if len(self._asked) > ASKED_MAX:
            self._asked.popitem(last=False)
        return True

    def _best_of_sample(self, pod: Pod, shape: Shape) -> str | None:
        """The best of the first nodes that fit, going round from where the last one ended."""
        if self._ring is None:
            self._ring = [name for name, room in self._rooms.items() if room.node is not None]
        ring, start = self._ring, self._ring_start
        asked = shape.questions
        found = _Candidates(pod, None if asked is None else self._answers_to(pod, asked))
        refused: dict[Place, bool] = {}
        tops: dict[Alike, _Candidate] = {}
        left = SAMPLE
        for step in range(len(ring)):
            room = self._rooms[ring[(start + step) % len(ring)]]
            self._ring_start = (start + step + 1) % len(ring)
            if room.node is None or self._judge(pod, room) is not None:
                continue
            alike = _alike(found, room.node)
            place = alike[2]
            if found.answers is not None and place not in refused:
                refused[place] = found.answers.refusal(place) is not None
            if refused.get(place):
                continue
            found.sizes[alike] += 1
            candidate = (-resource_score(pod, room), room.name, room.version)
            tops[alike] = min(tops.get(alike, candidate), candidate)
            left -= 1
            if not left:
                break
        return _best(found, tops)

    def fits(self, pod: Pod, shape: Shape, node: str) -> bool:
        """Whether one node could take the pod now."""
        room = self._rooms.get(node)
        return room is not None and self.misfit(pod, shape, room) is None

    def misfit(self, pod: Pod, shape: Shape, room: NodeRoom) -> Misfit | None:
        """Why one node cannot take the pod now."""
        found = self._judge(pod, room)
        if found is None and shape.questions is not None:
            answers = self._answers_to(pod, shape.questions)
            found = answers.refusal(answers.place_of(room.name))
        return found

    def reasons(self, pod: Pod, shape: Shape) -> Mapping[Misfit, int]:
        """Why which number of nodes cannot take the pod."""
        counted: Counter[Misfit] = Counter()
        pinned = pinned_nodes(pod)
        if pinned is None:
            found = self._current(pod, shape)
            counted.update(found.reasons)
            if found.answers is not None:
                for alike, size in found.sizes.items():
                    misfit = found.answers.refusal(alike[2])
                    if misfit is not None:
                        counted[misfit] += size
            return counted
        for room in map(self._rooms.get, pinned):
            misfit = self.misfit(pod, shape, room) if room and room.node else None
            if misfit:
                counted[misfit] += 1
        others = self._nodes - counted.total()
        if others:
            counted[_NOT_PINNED] = others
        return counted

    # Keeping candidates

    def _judge(self, pod: Pod, room: NodeRoom) -> Misfit | None:
        if room.node is None:
            return _NOT_PINNED
        misfit = refusal(pod, room.node, values=self._values)
        if misfit is not None:
            return misfit
        used, ports = room.used_before(pod) if room.reserved else (room.used, room.ports)
        return shortage(pod, room.node, used, ports)

    def _room(self, name: str) -> NodeRoom:
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = NodeRoom(name)
        return room

    def _drop_if_empty(self, room: NodeRoom) -> None:
        if room.node is None and not room.pods and not room.reserved:
            self._rooms.pop(room.name, None)

    def _touch(self, room: NodeRoom) -> None:
        # Versions come from the log's length, so a name that returns never repeats one.
        self._log.append(room.name)
        room.version = self._log_start + len(self._log)
        if len(self._log) > 4 * len(self._rooms) + 4096:
            cut = len(self._log) // 2
            del self._log[:cut]
            self._log_start += cut

    def _top(self, heap: list[_Candidate]) -> _Candidate | None:
        while heap:
            room = self._rooms.get(heap[0][1])
            if room is not None and room.node is not None and room.version == heap[0][2]:
                return heap[0]
            heapq.heappop(heap)
        return None

    def _answers_to(self, pod: Pod, questions: Questions) -> Answers:
        answers = self._answers.get(questions)
        if answers is None:
            answers = self._answers[questions] = Answers(pod, questions, self._tallies)
            if len(self._answers) > ANSWERS_MAX:
                unused = next((q for q, a in self._answers.items() if not a.users), questions)
                if unused is not questions:
                    self._answers.pop(unused).release()
        elif not answers.is_settled:
            for other in [s for s, c in self._shapes.items() if c.answers is answers]:
                self._forget(other)  # places mean something else now
            answers.settle()
        self._answers.move_to_end(questions)
        return answers

    def _current(self, pod: Pod, shape: Shape) -> _Candidates:
        """The shape's candidates, with every node that changed since judged again."""
        if shape.questions is not None and shape in self._shapes:
            self._answers_to(pod, shape.questions)  # it may forget the shape
        found = self._shapes.get(shape)
        if found is None or found.seen < self._log_start:
            found = self._new_candidates(pod, shape)
            changed = list(self._rooms)
        else:
            changed = self._log[found.seen - self._log_start :]
            if len(changed) > 1:
                changed = list(dict.fromkeys(changed))
        self._shapes.move_to_end(shape)
        found.seen = self.revision
        for name in changed:
            self._update(found, name)
        return found

    def _new_candidates(self, pod: Pod, shape: Shape) -> _Candidates:
        self._forget(shape)
        most = max(SHAPES_MIN, SHAPE_NODES_MAX // (self._nodes or 1))
        while len(self._shapes) >= most:
            self._forget(next(iter(self._shapes)))
        answers = None
        if shape.questions is not None:
            answers = self._answers_to(pod, shape.questions)
            answers.users += 1
        found = self._shapes[shape] = _Candidates(pod, answers)
        return found

    def _forget(self, shape: Shape) -> None:
        found = self._shapes.pop(shape, None)
        if found is not None and found.answers is not None:
            found.answers.users -= 1

    def _update(self, found: _Candidates, name: str) -> None:
        old = found.where.pop(name, None)
        if isinstance(old, Misfit):
            found.reasons[old] -= 1
            if not found.reasons[old]:
                del found.reasons[old]
        elif old is not None:
            found.sizes[old] -= 1
            if not found.sizes[old]:
                del found.sizes[old]
                found.heaps.pop(old, None)
        room = self._rooms.get(name)
        if room is None or room.node is None:
            return
        misfit = self._judge(found.pod, room)
        if misfit is not None:
            found.where[name] = misfit
            found.reasons[misfit] += 1
            return
        alike = _alike(found, room.node)
        found.where[name] = alike
        found.sizes[alike] += 1
        heap = found.heaps.setdefault(alike, [])
        heapq.heappush(heap, (-resource_score(found.pod, room), name, room.version))
        if len(heap) > 64 + 4 * found.sizes[alike]:
            rooms = self._rooms
            heap[:] = [e for e in heap if (r := rooms.get(e[1])) and r.version == e[2]]
            heapq.heapify(heap)


_NOT_PINNED = Misfit(("node(s) didn't satisfy plugin(s) [NodeAffinity]",), is_final=True)
_NO_PLACE: Place = ()


def _alike(found: _Candidates, node: Node) -> Alike:
    pod, met, disliked = found.pod, 0, 0
    if pod.preferred_terms:
        met = sum(w for w, term in pod.preferred_terms if matches_any((term,), node))
    if node.taints:
        disliked = sum(
            taint.effect is TaintEffect.PREFER_NO_SCHEDULE
            and not any(t.tolerates(taint) for t in pod.tolerations)
            for taint in node.taints
        )
    answers = found.answers
    return met, disliked, _NO_PLACE if answers is None else answers.place_of(node.name)


def _best(found: _Candidates, tops: Mapping[Alike, _Candidate]) -> str | None:
    """Of the best of each list the best: among equals the first by name."""
    if len(tops) <= 1:
        return next((top[1] for top in tops.values()), None)
    bonus = _in_relation(found, tops)
    return min((top[0] - bonus[alike], top[1]) for alike, top in tops.items())[1]


def _in_relation(found: _Candidates, tops: Mapping[Alike, _Candidate]) -> dict[Alike, float]:
    """What is added for preferences (2), disliked taints (3) and neighbours (2 and 2), in
    relation to the other nodes that fit.

    Source: k8s.io/kubernetes v1.36 pkg/scheduler/apis/config/v1/default_plugins.go (weights) and
    framework/plugins/helper/normalize_score.go.
    """
    met = max(alike[0] for alike in tops)
    disliked = max(alike[1] for alike in tops)
    total = {
        alike: (200.0 * alike[0] / met if met else 0.0)
        + (300.0 - 300.0 * alike[1] / disliked if disliked else 300.0)
        for alike in tops
    }
    if found.answers is not None:
        sizes: Counter[Place] = Counter()
        for alike in tops:
            sizes[alike[2]] += found.sizes[alike]
        scores = found.answers.scores(sizes)
        for alike in tops:
            total[alike] += scores[alike[2]]
    return total


def _counts_alike(old: Pod, new: Pod) -> bool:
    return (
        old.deleting == new.deleting
        and old.priority == new.priority
        and old.requests == new.requests
        and old.labels == new.labels
        and old.uid == new.uid
    )
