"""Make the trees of known property names from the published Python models.

Run with an interpreter that has azure-mgmt-containerservice::

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


def main() -> None:
    """Write the file named on the command line."""
    configuration = ContainerServiceClientConfiguration.__init__.__code__.co_consts
    version = next(c for c in configuration if re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", str(c)))
    content = {
        "_source": "azure-mgmt-containerservice, by tools/make_property_names.py",
        "version": version,
        **{root: tree(getattr(models, name), (name,)) for root, name in ROOTS.items()},
    }
    Path(sys.argv[1]).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
