"""Make the trees of known property names from the published Python models.

Run once for each release of azure-mgmt-containerservice whose api-version shall be known, with an
interpreter that has it; the file keeps the others::

    PYTHON tools/make_property_names.py src/poolwright/arm/properties/data/names.json

An object of the output maps each wire name to a tree (an object), ``"r"`` (read-only) or ``""``;
maps with free names and values of no model are leaves too.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from azure.mgmt.containerservice import models
from azure.mgmt.containerservice._configuration import ContainerServiceClientConfiguration

ROOTS = {
    "managedClusters": "ManagedCluster",
    "agentPools": "ManagedClusterAgentPoolProfileProperties",
}


def model_of(annotation: str) -> Any:
    """The model class that an annotation names outside of a map, or None."""
    if "dict[" in annotation:
        return None
    for name in re.findall(r"_models\.(\w+)", annotation):
        found = getattr(models, name, None)
        if hasattr(found, "as_dict"):
            return found
    return None


def tree(model: Any, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The wire names of a model, recursively."""
    model()
    annotations: dict[str, str] = {}
    for base in reversed(model.__mro__):
        annotations.update({k: str(v) for k, v in vars(base).get("__annotations__", {}).items()})
    names: dict[str, Any] = {}
    for attribute, rest in model._attr_to_rest_field.items():
        child = model_of(annotations.get(attribute, ""))
        if rest._visibility == ["read"]:
            names[rest._rest_name] = "r"
        elif child is not None and child.__name__ not in above:
            names[rest._rest_name] = tree(child, (*above, child.__name__))
        else:
            names[rest._rest_name] = ""
    return dict(sorted(names.items()))


def tree_of_map(model: Any, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """As `tree`, for releases whose models carry an attribute map."""
    names: dict[str, Any] = {}
    for attribute, row in model._attribute_map.items():
        here = names
        *parents, name = row["key"].split(".")
        for parent in parents:
            here = here.setdefault(parent, {})
        kind = row["type"]
        child = None if kind.startswith("{") else getattr(models, kind.strip("[]"), None)
        if model._validation.get(attribute, {}).get("readonly"):
            here[name] = "r"
        elif hasattr(child, "_attribute_map") and child.__name__ not in above:
            here[name] = tree_of_map(child, (*above, child.__name__))
        else:
            here[name] = ""
    return dict(sorted(names.items()))


def main() -> None:
    """Write the file named on the command line."""
    configuration = ContainerServiceClientConfiguration.__init__.__code__.co_consts
    version = next(c for c in configuration if re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", str(c)))
    path = Path(sys.argv[1])
    versions = json.loads(path.read_text())["versions"] if path.exists() else {}
    versions[version] = {}
    for root, name in ROOTS.items():
        model = getattr(models, name)
        walk = tree_of_map if hasattr(model, "_attribute_map") else tree
        versions[version][root] = walk(model, (name,))
    content = {
        "_source": "azure-mgmt-containerservice, by tools/make_property_names.py",
        "versions": dict(sorted(versions.items())),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
