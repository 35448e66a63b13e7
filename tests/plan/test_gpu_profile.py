"""Every cell of the managed GPU design, spelled from its text (driver × management mode), the
preview gate, the Kubernetes gate and the upgrade over it.
"""

import pytest

from poolwright.model.catalog import vm_size
from poolwright.model.errors import FeatureNotRegistered, InvalidRequest
from poolwright.model.gpu import (
    GpuDriver,
    GpuProfile,
    InstallProfile,
    ManagementMode,
    MigProfile,
    MigStrategy,
)
from poolwright.model.version import KubernetesVersion
from poolwright.plan.gpu_profile import (
    GATE,
    GpuQuestion,
    check_cluster_default,
    decide_gpu,
    profile_after_upgrade,
)

FLAG = frozenset({"managedgpuexperiencepreview"})
V100 = "Standard_NC6s_v3"
A100 = "Standard_NC24ads_A100_v4"

EVERYTHING = InstallProfile.EVERYTHING  # "Install everything (drivers + added components)"
DRIVER = InstallProfile.DRIVER_ONLY  # "Install just GPU drivers"
NOTHING = InstallProfile.NOTHING  # "Do/install nothing"
BLOCK = None  # "Block this"


def ask(driver=None, mode=None, *, version="1.36.1", size=V100, features=FLAG, tag=False, **more):
    declared = None
    profile = {k: more.pop(k) for k in list(more) if k in GpuProfile.__dataclass_fields__}
    if driver or mode or profile:
        declared = GpuProfile(
            driver=GpuDriver(driver) if driver else None,
            management_mode=ManagementMode(mode) if mode else None,
            **profile,
        )
    return decide_gpu(
        GpuQuestion(
            declared=declared,
            size=vm_size(size),
            os_type=more.pop("os_type", "Linux"),
            os_sku=more.pop("os_sku", "Ubuntu"),
            version=KubernetesVersion.parse(version),
            features=features,
            has_tag=tag,
            **more,
        )
    )


CELLS = [
    # driver, nvidia.managementMode, result: the nine cells, row by row
    ("Install", "Managed", EVERYTHING),
    ("Install", "Unmanaged", DRIVER),
    ("Install", None, EVERYTHING),
    ("None", "Managed", BLOCK),
    ("None", "Unmanaged", NOTHING),
    ("None", None, BLOCK),
    (None, "Managed", EVERYTHING),
    (None, "Unmanaged", BLOCK),
    (None, None, EVERYTHING),
]
BELOW = [
    # the undeclared column below the gate is today's default
    ("Install", None, DRIVER),
    ("None", None, NOTHING),
    (None, None, DRIVER),
]


@pytest.mark.parametrize(("driver", "mode", "result"), CELLS)
def test_nine_cells_above_the_gate_without_any_flag(driver, mode, result):
    if result is BLOCK:
        with pytest.raises(InvalidRequest) as refused:
            ask(driver, mode, features=frozenset())
        assert refused.value.code == "InvalidParameter"
        assert "gpuProfile.driver" in refused.value.message
        assert "gpuProfile.nvidia.managementMode" in refused.value.message
    else:
        assert ask(driver, mode, features=frozenset()).install_profile is result


@pytest.mark.parametrize(
    ("driver", "mode", "result"), [c for c in CELLS if c[1] is not None] + BELOW
)
def test_cells_below_the_gate(driver, mode, result):
    if result is BLOCK:
        with pytest.raises(InvalidRequest):
            ask(driver, mode, version="1.35.4")
    else:
        assert ask(driver, mode, version="1.35.4").install_profile is result


GATE_ROWS = [
    # flag, API field, tag, result
    (False, None, False, "as undeclared"),
    (True, None, False, "as undeclared"),
    (True, "Managed", False, "managed"),
    (True, "Managed", True, "managed"),
    (True, None, True, "deprecated"),
    (False, "Managed", False, "refused"),
    (False, "Managed", True, "refused"),
    (False, None, True, "as undeclared"),
    (True, "Unmanaged", True, "unmanaged"),
]


@pytest.mark.parametrize(("flag", "mode", "tag", "result"), GATE_ROWS)
def test_preview_gate(flag, mode, tag, result):
    features = FLAG if flag else frozenset()

    def decide():
        return ask("Install", mode, version="1.35.4", features=features, tag=tag)

    if result == "refused":
        with pytest.raises(FeatureNotRegistered) as refused:
            decide()
        assert refused.value.code == "PreviewFeatureNotRegistered"
        assert "ManagedGPUExperiencePreview not registered" in refused.value.message
        assert "az feature register" in refused.value.message
        return
    answer = decide()
    expected = EVERYTHING if result in {"managed", "deprecated"} else DRIVER
    assert answer.install_profile is expected
    assert bool(answer.warnings) == (result == "deprecated")


def test_gate_table_is_total():
    modes = (None, ManagementMode.MANAGED, ManagementMode.UNMANAGED)
    assert set(GATE) == {(f, m, t) for f in (0, 1) for m in modes for t in (0, 1)}


@pytest.mark.parametrize(
    "name", ["managedgpuexperiencepreview", "managedgpuexperience", "managedgpu"]
)
def test_the_feature_has_three_names(name):
    answer = ask(None, "Managed", version="1.35.4", features=frozenset({name}))
    assert answer.install_profile is EVERYTHING


def test_tag_and_driver_none_contradict():
    with pytest.raises(InvalidRequest, match="EnableManagedGPUExperience"):
        ask("None", None, version="1.35.4", tag=True)
    assert ask("None", None, version="1.35.4", tag=True, features=frozenset()).install_profile is (
        NOTHING
    )


def test_old_api_versions_cannot_say_unmanaged():
    assert ask("None", None, can_say_nvidia=False).install_profile is NOTHING


@pytest.mark.parametrize(
    ("driver", "default", "result"),
    [
        ("Install", "Managed", EVERYTHING),
        (None, "Managed", EVERYTHING),
        ("Install", "Unmanaged", DRIVER),
        ("None", "Unmanaged", NOTHING),
    ],
)
def test_cluster_default_is_for_pools_that_declare_none(driver, default, result):
    answer = ask(driver, None, cluster_default=ManagementMode(default))
    assert answer.install_profile is result
    below = ask(driver, None, cluster_default=ManagementMode(default), version="1.35.4")
    assert below.install_profile is result


def test_pool_beats_cluster_default():
    answer = ask("Install", "Unmanaged", cluster_default=ManagementMode.MANAGED)
    assert answer.install_profile is DRIVER


def test_cluster_default_needs_the_flag_below_the_gate():
    below, above = KubernetesVersion(1, 35, 4), KubernetesVersion(1, 36, 1)
    with pytest.raises(FeatureNotRegistered):
        check_cluster_default(ManagementMode.MANAGED, below, frozenset())
    check_cluster_default(ManagementMode.MANAGED, below, FLAG)
    check_cluster_default(ManagementMode.MANAGED, above, frozenset())
    check_cluster_default(ManagementMode.UNMANAGED, below, frozenset())


@pytest.mark.parametrize(
    ("size", "os_type", "profile"),
    [
        ("Standard_DS2_v2", "Linux", {"mode": "Managed"}),
        ("Standard_DS2_v2", "Linux", {"mig_strategy": MigStrategy.SINGLE}),
        ("Standard_DS2_v2", "Linux", {"mig_profile": MigProfile.MIG1G}),
        (V100, "Windows", {"mode": "Managed"}),
        (V100, "Windows", {"mig_strategy": MigStrategy.MIXED}),
        ("Standard_ND96isr_MI300X_v5", "Linux", {"driver": "None", "mode": "Managed"}),
        (V100, "Linux", {"driver_type": "CUDA"}),
        (V100, "Linux", {"mode": "Managed", "mig_profile": MigProfile.MIG1G}),
        (A100, "Linux", {"mode": "Managed", "mig_strategy": MigStrategy.SINGLE}),
        (
            A100,
            "Linux",
            {
                "driver": "Install",
                "mode": "Unmanaged",
                "mig_strategy": MigStrategy.SINGLE,
                "mig_profile": MigProfile.MIG1G,
            },
        ),
        (
            A100,
            "Linux",
            {
                "mode": "Managed",
                "mig_profile": MigProfile.MIG1G,
                "mig_profiles": (MigProfile.MIG1G,),
            },
        ),
        (
            A100,
            "Linux",
            {
                "mode": "Managed",
                "mig_strategy": MigStrategy.MIXED,
                "mig_profiles": (MigProfile.MIG4G, MigProfile.MIG4G),
            },
        ),
        ("Standard_ND96isr_MI300X_v5", "Linux", {"driver": "Install"}),
        ("Standard_ND96isr_MI300X_v5", "Linux", {}),
        ("Standard_NCC40ads_H100_v5", "Linux", {"driver": "Install"}),
    ],
)
def test_settings_that_do_not_fit_the_size(size, os_type, profile):
    with pytest.raises(InvalidRequest) as refused:
        ask(
            profile.pop("driver", None),
            profile.pop("mode", None),
            size=size,
            os_type=os_type,
            **profile,
        )
    assert refused.value.code == "InvalidParameter"
    assert refused.value.target.startswith("agentPoolProfile.gpu")


def test_mixed_profiles_that_fit_are_fine():
    answer = ask(
        None,
        "Managed",
        size=A100,
        mig_strategy=MigStrategy.MIXED,
        mig_profiles=(MigProfile.MIG3G, MigProfile.MIG2G, MigProfile.MIG1G),
    )
    assert answer.install_profile is EVERYTHING


def test_windows_gets_driver_and_type_filled_in():
    answer = ask(size="Standard_NC4as_T4_v3", os_type="Windows")
    assert answer.install_profile is InstallProfile.NO_GPU
    assert answer.shown == GpuProfile(driver=GpuDriver.INSTALL, driver_type="CUDA")
    kept = ask(size="Standard_NC4as_T4_v3", os_type="Windows", driver_type="GRID")
    assert kept.shown.driver_type == "GRID"


def test_amd_with_driver_none_is_outside_the_table():
    answer = ask("None", size="Standard_ND96isr_MI300X_v5")
    assert answer.install_profile is InstallProfile.NO_GPU


def test_what_is_stored_is_what_was_said():
    assert ask().shown is None
    assert ask("Install").shown == GpuProfile(driver=GpuDriver.INSTALL)


FLIPS = [
    # before the upgrade, declared, cluster default, after crossing 1.36
    (DRIVER, None, None, EVERYTHING),
    (DRIVER, GpuProfile(driver=GpuDriver.INSTALL), None, EVERYTHING),
    (NOTHING, GpuProfile(driver=GpuDriver.NONE), None, NOTHING),
    (DRIVER, GpuProfile(mig_profile=MigProfile.MIG1G), None, DRIVER),
    (DRIVER, GpuProfile(management_mode=ManagementMode.UNMANAGED), None, DRIVER),
    (DRIVER, GpuProfile(driver=GpuDriver.INSTALL), ManagementMode.UNMANAGED, DRIVER),
    (EVERYTHING, GpuProfile(management_mode=ManagementMode.MANAGED), None, EVERYTHING),
    (InstallProfile.NO_GPU, None, None, InstallProfile.NO_GPU),
]


@pytest.mark.parametrize(("before", "declared", "default", "after"), FLIPS)
def test_upgrading_over_the_gate(before, declared, default, after):
    v135, v136 = KubernetesVersion(1, 35, 4), KubernetesVersion(1, 36, 1)

    def upgraded(old, new):
        return profile_after_upgrade(
            before, declared, before=old, after=new, cluster_default=default
        )

    assert upgraded(v135, v136) is after
    assert upgraded(v135, KubernetesVersion(1, 35, 9)) is before
    assert upgraded(v136, KubernetesVersion(1, 36, 3)) is before
