"""The Python half of the churn suite: the official client's watches and writers.

It runs in an environment of its own, with a kubeconfig, a file for its journal and a rate, and is
told by lines of its standard input to stop writing ("quiet") and to end once every watch has seen
the end ("finish"). What the lines of the journal mean is said in ``journal.py``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time

import urllib3
from kubernetes import client, config, watch

MARK = "churn/mark"
END = "end"
AWAY = (urllib3.exceptions.HTTPError, OSError)
"""No answer: the server is gone, or goes."""
PAGE = 7


class Journal:
    """Lines of JSON, one at a time."""

    def __init__(self, path):
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  open as long as we live
        self._lock = threading.Lock()

    def write(self, **line):
        text = json.dumps({name: value for name, value in line.items() if value})
        with self._lock:
            self._file.write(text + "\n")
            self._file.flush()


def pause():
    time.sleep(random.uniform(0.05, 0.25))


def is_away(error):
    """Whether an answer says that the server goes; without a status there was none (TLS ended)."""
    return not error.status or error.status in (429, 503)


def answered(function, *arguments, **named):
    """Call the client, which stumbles over the missing body when TLS ends without an answer.

    Raises:
        ConnectionError: it did.
    """
    try:
        return function(*arguments, **named)
    except AttributeError as error:
        if "'decode'" not in str(error):
            raise
        raise ConnectionError("TLS ended without an answer") from error


def tell_of_deaths(journal):
    """A thread that ends by an error is a fault: from then on it would see nothing."""

    def tell(death):
        name = getattr(death.thread, "watch", "") or getattr(death.thread, "writer", "")
        text = f"{death.exc_type.__name__}: {death.exc_value}"
        journal.write(**{"is": "refused", "watch": name, "verb": "died", "text": text})
        threading.__excepthook__(death)

    threading.excepthook = tell


def line_of(resource, about, node=""):
    labels, annotations = about.labels or {}, about.annotations or {}
    return {
        "key": f"{resource}/{about.namespace or ''}/{about.name}",
        "rv": int(about.resource_version),
        "mark": annotations.get(MARK, ""),
        "color": labels.get("color", ""),
        "node": node or "",
    }


class Watcher(threading.Thread):
    """Lists, then watches from where it is, over every end of a connection; a 410 lists anew."""

    def __init__(self, journal, name, resource, function, *, in_pages=False, seconds=0, **query):
        super().__init__(daemon=True)
        self.watch = f"python {name}"
        self.has_ended = threading.Event()
        self._journal = journal
        self._resource = resource
        self._function = function
        self._in_pages = in_pages
        self._seconds = seconds
        self._query = query

    def run(self):
        version = 0
        while True:
            try:
                version = version or self._list()
                version = self._watch(version)
            except AWAY:
                pause()
            except client.ApiException as error:
                if is_away(error):
                    pause()
                    continue
                self._journal.write(
                    **{"is": "refused", "watch": self.watch, "verb": "list", "text": str(error)}
                )
                raise

    def _list(self):
        began = time.time_ns()
        query = {"limit": PAGE} if self._in_pages else {}
        answer = answered(self._function, **self._query, **query)
        objects = list(answer.items)
        while answer.metadata._continue:
            try:
                answer = answered(
                    self._function,
                    **self._query,
                    limit=PAGE,
                    _continue=answer.metadata._continue,
                )
            except client.ApiException as error:
                if error.status == 410:
                    return self._list()
                raise
            objects += answer.items
        version = int(answer.metadata.resource_version)
        lines = [self._note(item) for item in objects]
        self._journal.write(
            **{"is": "list", "watch": self.watch, "rv": version, "verb": "pages" * self._in_pages},
            items=[
                [line["key"], str(line["rv"]), line["mark"], line["color"], line["node"]]
                for line in lines
            ],
            began=began,
            ended=time.time_ns(),
        )
        return version

    def _watch(self, version):
        """Until the connection ends; the version to go on from, 0 if that is too old."""
        stream = watch.Watch()
        query = dict(self._query)
        query["timeout_seconds"] = self._seconds or random.randint(2, 16)
        self._journal.write(
            **{"is": "watch", "watch": self.watch}, rv=version, began=time.time_ns()
        )
        events = stream.stream(
            self._function, resource_version=version, allow_watch_bookmarks=True, **query
        )
        try:
            while (event := answered(next, events, None)) is not None:
                self._tell(event)
        except client.ApiException as error:
            if error.status == 410:
                self._journal.write(**{"is": "gone", "watch": self.watch})
                return 0
            if not is_away(error):
                raise
        except AWAY:
            pause()
        return int(stream.resource_version)

    def _tell(self, event):
        if event["type"] == "BOOKMARK":
            version = int(event["raw_object"]["metadata"]["resourceVersion"])
            self._journal.write(**{"is": "bookmark", "watch": self.watch, "rv": version})
            return
        self._journal.write(
            **{"is": "event", "watch": self.watch, "type": event["type"]},
            **self._note(event["object"]),
            uid=event["object"].metadata.uid,
            ended=time.time_ns(),
        )

    def _note(self, item):
        line = line_of(
            self._resource,
            item.metadata,
            item.spec.node_name if self._resource == "pods" else "",
        )
        if line["mark"] == END:
            self.has_ended.set()
        return line


class Writer(threading.Thread):
    """Changes objects that nobody else writes, and a counter that others raise too."""

    def __init__(self, journal, core, name, namespace, every, seed, *, raises=False):
        super().__init__(daemon=True)
        self.writer = name
        self._journal = journal
        self._core = core
        self._namespace = namespace
        self._every = every
        self._random = random.Random(seed)
        self._count = 0
        self._held = [None] * 6
        self._step = self._raise if raises else self._change
        self.is_quiet = threading.Event()

    def run(self):
        while not self.is_quiet.is_set():
            self._step()
            self.is_quiet.wait(self._every * self._random.uniform(0.5, 1.5))

    def _mark(self):
        self._count += 1
        return f"{self.writer}/{self._count}"

    def _did(self, verb, name, call, mark="", color=""):
        """Make one call and write down how it ended; the object, or None."""
        line = {"is": "write", "by": self.writer, "verb": verb, "mark": mark, "color": color}
        line["key"] = f"configmaps/{self._namespace}/{name}"
        line["began"] = time.time_ns()
        answer = None
        try:
            answer = answered(call)
            line["out"] = "ok"
            if isinstance(answer, client.V1ConfigMap):
                line["rv"] = int(answer.metadata.resource_version)
                line["uid"] = answer.metadata.uid
        except client.ApiException as error:
            reason = "" if is_away(error) else json.loads(error.body).get("reason")
            outcomes = {"Conflict": "conflict", "NotFound": "missing", "AlreadyExists": "exists"}
            line["out"] = "doubt" if is_away(error) else outcomes.get(reason, "refused")
            line["text"] = "" if line["out"] in outcomes.values() else str(error)
        except AWAY as error:
            line["out"], line["text"] = "doubt", str(error)
        line["ended"] = time.time_ns()
        self._journal.write(**line)
        return line["out"], answer

    def _known(self, name):
        while True:
            try:
                return answered(self._core.read_namespaced_config_map, name, self._namespace)
            except client.ApiException as error:
                if error.status == 404:
                    return None
                if not is_away(error):
                    raise
            except AWAY:
                pass
            pause()

    def _change(self):
        index = self._random.randrange(len(self._held))
        name, held = f"{self.writer}-{index}", self._held[index]
        mark, color = self._mark(), self._random.choice(["red", "blue"])
        about = {"annotations": {MARK: mark}, "labels": {"color": color}}
        body = {"metadata": {"name": name, **about}, "data": {"mark": mark}}
        at = (name, self._namespace)
        if held is None:
            verb = "create"
            out, answer = self._did(
                verb,
                name,
                lambda: self._core.create_namespaced_config_map(self._namespace, body),
                mark,
                color,
            )
        elif (draw := self._random.random()) < 0.12:
            out, answer = self._did(
                "delete", name, lambda: self._core.delete_namespaced_config_map(*at)
            )
            answer = None
        elif draw < 0.4:
            verb = "stale" if draw < 0.25 else "update"
            version = int(held.metadata.resource_version) - (verb == "stale")
            body["metadata"]["resourceVersion"] = str(version)
            out, answer = self._did(
                verb,
                name,
                lambda: self._core.replace_namespaced_config_map(*at, body),
                mark,
                color,
            )
        else:
            verb, media, patch = self._patch(body, mark, color)
            options = {"field_manager": self.writer} if verb == "apply" else {}
            if verb == "apply":
                options["force"] = True
            out, answer = self._did(
                verb,
                name,
                lambda: self._core.patch_namespaced_config_map(
                    *at, patch, _content_type=media, **options
                ),
                mark,
                color,
            )
        self._held[index] = answer if out == "ok" else self._known(name)

    def _patch(self, body, mark, color):
        verb = self._random.choice(["merge", "strategic", "json", "apply"])
        media = {
            "merge": "application/merge-patch+json",
            "strategic": "application/strategic-merge-patch+json",
            "json": "application/json-patch+json",
            "apply": "application/apply-patch+yaml",
        }[verb]
        if verb == "apply":
            return verb, media, {"apiVersion": "v1", "kind": "ConfigMap", **body}
        if verb == "json":
            path = "/metadata/annotations/" + MARK.replace("/", "~1")
            return (
                verb,
                media,
                [
                    {"op": "replace", "path": path, "value": mark},
                    {"op": "add", "path": "/metadata/labels/color", "value": color},
                    {"op": "replace", "path": "/data/mark", "value": mark},
                ],
            )
        return verb, media, body

    def _raise(self):
        held = self._known("counter")
        value = str(int(held.data["count"]) + 1)
        mark = f"{value}|{self._mark()}"
        held.data["count"] = value
        held.metadata.annotations = {MARK: mark}
        self._did(
            "raise",
            "counter",
            lambda: self._core.replace_namespaced_config_map("counter", self._namespace, held),
            mark,
        )


def start_watchers(journal, core, node):
    everywhere = core.list_config_map_for_all_namespaces
    watchers = [
        Watcher(journal, "configmaps", "configmaps", everywhere, in_pages=True),
        Watcher(journal, "configmaps, long", "configmaps", everywhere, seconds=600),
        Watcher(
            journal,
            "configmaps in churn-b",
            "configmaps",
            core.list_namespaced_config_map,
            namespace="churn-b",
        ),
        Watcher(journal, "red configmaps", "configmaps", everywhere, label_selector="color=red"),
        Watcher(journal, "nodes", "nodes", core.list_node),
        Watcher(
            journal,
            f"pods on {node}",
            "pods",
            core.list_pod_for_all_namespaces,
            field_selector=f"spec.nodeName={node}",
        ),
    ]
    for each in watchers:
        each.start()
    return watchers


def start_writers(journal, core, rate, seed):
    shares = [("churn-a", 0.45, False), ("churn-b", 0.45, False), ("churn-b", 0.1, True)]
    writers = [
        Writer(
            journal,
            core,
            f"python-{index}",
            namespace,
            1 / (rate * share),
            seed + index,
            raises=raises,
        )
        for index, (namespace, share, raises) in enumerate(shares)
    ]
    for each in writers:
        each.start()
    return writers


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig")
    parser.add_argument("--journal")
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--node")
    parser.add_argument("--late", type=float, default=60)
    options = parser.parse_args()
    settings = client.Configuration()
    config.load_kube_config(options.kubeconfig, client_configuration=settings)
    settings.retries = False  # a call is made once: what became of it is to be known
    core = client.CoreV1Api(client.ApiClient(settings))
    journal = Journal(options.journal)
    tell_of_deaths(journal)
    watchers = start_watchers(journal, core, options.node)
    writers = start_writers(journal, core, options.rate, options.seed)
    print("ready", flush=True)
    for order in sys.stdin:
        if order.strip() == "quiet":
            for each in writers:
                each.is_quiet.set()
            for each in writers:
                each.join()
            print("quiet", flush=True)
        elif order.strip() == "finish":
            deadline = time.monotonic() + options.late
            for each in watchers:
                if not each.has_ended.wait(max(0.0, deadline - time.monotonic())):
                    journal.write(**{"is": "late", "watch": each.watch})
            print("finished", flush=True)
            return


if __name__ == "__main__":
    main()
