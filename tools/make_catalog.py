"""Make the product's catalogue files from a folder of collected facts.

    python tools/make_catalog.py FACTS_FOLDER

Writes ``src/poolwright/model/data/*.json``. Each file names its source in ``_source``.
"""

import json
import sys
from pathlib import Path

_PRICE_FEED = "Azure pricing calculator's feed, 2026-08"
_SKU_LIST = "Azure resource SKUs as published in Aspire's list of AKS VM sizes, 2026-08"
MEMORY_GIB = {
    # What the collected facts leave open: memory in GiB, and where it is from. A sibling has the
    # same host and GPUs; only network, local disk or the number of offered cores differ.
    "Standard_ND112asr_A100_v4": (900, "sibling Standard_ND96asr_v4"),
    "Standard_ND120asr_A100_v4": (900, "sibling Standard_ND96asr_v4"),
    "Standard_ND112amsr_A100_v4": (1900, "sibling Standard_ND96amsr_A100_v4"),
    "Standard_ND120amsr_A100_v4": (1900, "sibling Standard_ND96amsr_A100_v4"),
    "Standard_ND96ams_v4": (1900, "sibling Standard_ND96amsr_A100_v4"),
    "Standard_ND96ams_A100_v4": (1900, _PRICE_FEED),
    "Standard_ND96ams_A100_flex_v4": (1900, "sibling Standard_ND96amsr_A100_v4"),
    "Standard_ND96amsf_A100_v4": (1900, "sibling Standard_ND96amsr_A100_v4"),
    "Standard_ND96amsrf_A100_v4": (1900, "sibling Standard_ND96amsr_A100_v4"),
    "Standard_ND40s_v3": (672, "sibling Standard_ND40rs_v2"),
    "Standard_NC24lds_xl_RTXPRO6000BSE_v6": (72, _SKU_LIST),
    "Standard_NC36ds_xl_RTXPRO6000BSE_v6": (132, _PRICE_FEED),
    "Standard_NC36lds_xl_RTXPRO6000BSE_v6": (72, _PRICE_FEED),
    "Standard_NC72ds_xl_RTXPRO6000BSE_v6": (264, _PRICE_FEED),
    "Standard_NC72lds_xl_RTXPRO6000BSE_v6": (132, _PRICE_FEED),
    "Standard_NC144ds_xl_RTXPRO6000BSE_v6": (516, _SKU_LIST),
    "Standard_NC144lds_xl_RTXPRO6000BSE_v6": (264, _SKU_LIST),
    "Standard_NC288ds_xl_RTXPRO6000BSE_v6": (1032, _SKU_LIST),
    "Standard_NC288lds_xl_RTXPRO6000BSE_v6": (516, _SKU_LIST),
}

OUT = Path(__file__).parent.parent / "src/poolwright/model/data"


def vm_sizes(facts: Path) -> dict:
    cpu = json.loads((facts / "cpu_vm_sizes.json").read_text())
    gpu = json.loads((facts / "gpu_vm_sizes.json").read_text())
    sizes = [
        {
            "name": s["name"],
            "family": s["family"],
            "vcpus": s["vcpus"],
            "memory_mib": int(s["memoryGiB"] * 1024),
            "architecture": "arm64" if s["arch"].lower().startswith("arm") else "amd64",
        }
        for s in cpu["sizes"]
    ]
    for s in gpu["sizes"]:
        mig = {
            name: {
                "profile": m["nvidiaProfile"],
                "per_gpu": m["instancesPerGpu"],
                "per_node": m["instancesPerNode"],
            }
            for name, m in (s.get("mig") or {}).items()
        }
        sizes.append(
            {
                "name": s["name"],
                "family": (s["quotaFamily"] or "").replace(" ", "")
                or "standard"
                + s["name"].removeprefix("Standard_").split("_")[0].rstrip("0123456789")
                + "Family",
                "vcpus": s["vCPUs"],
                **memory(s),
                "architecture": s["architecture"],
                "gpu": {
                    "vendor": s["vendor"],
                    "model": s["gpuModel"],
                    "count": s["kubernetesGpuCount"] or 0,
                    "memory_mib": int((s["gpuMemoryGiBPerGpu"] or 0) * 1024),
                    "resource": s["kubernetesResource"],
                    "driver_flavour": s["linuxDriverFlavour"],
                    "driver_version": s["linuxDriverVersion"],
                    "windows_driver_type": s["windowsDriverTypeDefault"],
                    "is_managed_supported": bool(s["managedGpuSupported"]),
                    "is_aks_listed": bool(s["aksAllowListed"]),
                    "aks_os": s.get("aksOs") or [],
                    "mig": mig,
                },
                **({"retired": s["retired"]} if s.get("retired") else {}),
            }
        )
    return {"_source": [cpu["source"], gpu["generatedFrom"]], "sizes": sizes}


def memory(size: dict) -> dict:
    """A size's memory; where it is not of the collected facts, with its source."""
    if size["memoryGiB"]:
        return {"memory_mib": int(size["memoryGiB"] * 1024)}
    gib, source = MEMORY_GIB[size["name"]]
    return {"memory_mib": gib * 1024, "memory_source": source}


def kubernetes_versions(facts: Path) -> dict:
    data = json.loads((facts / "kubernetes_versions.json").read_text())
    return {
        "_source": data["source"],
        "default": data["default"],
        "versions": data["versions"],
        "profiles": data["profiles"],
    }


def node_images(facts: Path) -> dict:
    data = json.loads((facts / "node_image_components.json").read_text())
    return {"_source": data["_meta"]["source"], "images": data["images"]}


def autoscaler_profile(facts: Path) -> dict:
    data = json.loads((facts / "autoscaler_profile_defaults.json").read_text())
    return {"_source": data["_meta"]["source"], "profile": data["profile"]}


def main() -> None:
    facts = Path(sys.argv[1])
    OUT.mkdir(parents=True, exist_ok=True)
    for make in (vm_sizes, kubernetes_versions, node_images, autoscaler_profile):
        (OUT / f"{make.__name__}.json").write_text(json.dumps(make(facts), indent=1) + "\n")


if __name__ == "__main__":
    main()
