"""Configuration: the files in configs/, every key, and refused values."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from smirk3d.datasets.config import AugmentConfig, DataConfig, SourceConfig
from smirk3d.errors import Smirk3dError
from smirk3d.networks.backbones import ARCHITECTURES
from smirk3d.train.config import EngineConfig, OptimizerConfig, StageConfig, TrainConfig
from smirk3d.train.config_file import load_config, to_yaml
from smirk3d.train.expression_augmentation import PerturbConfig
from smirk3d.train.loss_config import CycleConfig, LossWeights
from smirk3d.train.losses.losses import TargetWeights

CONFIGS = Path(__file__).parents[2] / "configs"
MINIMAL = (
    "data: {sources: [{path: faces, targets: faces.npz}]}\nemotion: net.safetensors\n"
    "stage: {name: core, trainable: [expression], losses: {landmark: 1}, steps: 5, cycle: {copies: 3}}\n"
)
OPTIMIZER = {
    "optimizer.lr": "1e-4",
    "optimizer.neural_renderer_lr": "1e-4",
    "optimizer.encoder_lr_scale": "1",
    "optimizer.neural_renderer_betas": "[0.9, 0.99]",
    "optimizer.cosine_floor": "0.1",
    "optimizer.cosine_samples": "1000",
    "optimizer.clip_norm": "1",
}
# Every key, with a value that is not the one of MINIMAL.
OTHER = {
    "head": "flame.pkl",
    "encoder.pose_backbone": "tf_efficientnet_lite0",
    "encoder.shape_backbone": "tf_efficientnet_lite0",
    "encoder.expression_backbone": "tf_efficientnet_lite0",
    "encoder.flip_tta": "true",
    "encoder.iterative_pose": "true",
    "encoder.zoom_tta": "0.9",
    "encoder.window.size_px": "96",
    "encoder.window.half_m": "0.1",
    "encoder.window.center_m": "[0, 0, 0.1]",
    "encoder.window.root_m": "[0, -0.1, 0]",
    "init": "weights.safetensors",
    "init_neural_renderer": "renderer.safetensors",
    "backbone_init": "imagenet",
    "neural_renderer_width": "16",
    "neural_renderer_fills_colors": "true",
    "perceptual": "vgg16.pth",
    "emotion": "other.safetensors",
    "mica": "mica.tar",
    "out_dir": "elsewhere",
    "data.sources": "[{path: other, weight: 2, kind: shards}]",
    "data.root": "photos",
    "data.size": "112",
    "data.crop_scale": "[1.1, 1.6]",
    "data.batch_size": "8",
    "data.workers": "2",
    "data.seed": "7",
    "data.max_per_person": "null",
    "data.person_pairs": "true",
    "data.fit_targets": "true",
    "augment.shift": "0.1",
    "augment.scale": "0",
    "augment.rotation_deg": "20",
    "augment.mirror": "0",
    "augment.color": "0.1",
    "augment.tint": "0.5",
    "augment.blur": "0.1",
    "augment.noise": "0.1",
    "augment.gamma": "0.1",
    "augment.clahe": "0.1",
    "masking.sample_share": "0.02",
    "masking.noise_std": "0",
    "masking.patch_px": "13",
    "masking.drop_probability": "0",
    "masking.cycle_drop_probability": "0",
    "masking.dilation_px": "5",
    **{f"{prefix}{name}": value for prefix in ("", "stage.") for name, value in OPTIMIZER.items()},
    "stage.name": "pretrain",
    "stage.trainable": "[neural_renderer, pose]",
    **{f"stage.losses.{name}": "3" for name in LossWeights.__dataclass_fields__},
    "stage.steps": "6",
    "stage.frozen_batch_norm": "[expression]",
    "stage.pairs": "2",
    "stage.published_losses": "true",
    "stage.data.sources": "[{kind: rendered}]",
    "stage.data.run_share": "0.5",
    "stage.data.size": "112",
    "stage.data.crop_scale": "[1.1, 1.6]",
    "stage.data.batch_size": "8",
    **{f"stage.data.augment.{name}": "0.3" for name in AugmentConfig.__dataclass_fields__},
    "stages": "[{name: core, trainable: [expression], losses: {landmark: 1}, steps: 5}]",
    "validation.every": "10",
    "validation.faces": "64",
    "validation.seed": "7",
    "validation.keep_best": "true",
    **{f"stage.target_fields.{name}": "3" for name in TargetWeights.__dataclass_fields__},
    "stage.templates": "templates.json",
    "stage.cycle": "null",
    "stage.cycle.copies": "2",
    "stage.cycle.perturb.noise": "[1, 2]",
    "stage.cycle.perturb.limit": "3",
    "stage.cycle.perturb.scale": "[1, 2]",
    "stage.cycle.perturb.small_noise": "[0, 0]",
    "stage.cycle.perturb.jaw_probability": "0.4",
    "stage.cycle.perturb.jaw_std_rad": "[0.1, 0, 0]",
    "stage.cycle.perturb.jaw_open_rad": "[0, 0.4]",
    "stage.cycle.perturb.jaw_side_rad": "[-0.1, 0.1]",
    "stage.cycle.perturb.eyelids": "[-0.1, 0.1]",
    "stage.cycle.perturb.arkit_blend": "[0.5, 1]",
    "stage.cycle.perturb.arkit_active": "0.5",
    "stage.cycle.perturb.arkit_small_noise": "[0, 0]",
    "stage.cycle.perturb.arkit_noise_probability": "0",
    "stage.cycle.perturb.arkit_jaw_std": "0.1",
    "stage.cycle.perturb.arkit_gaze_probability": "0",
    "stage.cycle.perturb.one_sided": "0",
    "stage.cycle.losses.expression": "2",
    "stage.cycle.losses.jaw": "2",
    "stage.cycle.losses.eyelids": "2",
    "stage.cycle.losses.shape": "2",
    "engine.accelerator": "cuda",
    "engine.devices": "2",
    "engine.nodes": "2",
    "engine.precision": "bf16-mixed",
    "engine.save_every": "10",
    "engine.keep_last": "1",
    "engine.preview_every": "0",
    "engine.gradients_every": "10",
    "seed": "3",
}


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "minimal.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path


def leaf_keys(record: Any, prefix: str = "") -> list[str]:
    keys = []
    for name, hint in get_type_hints(record).items():
        group = next((arg for arg in (hint, *get_args(hint)) if is_dataclass(arg)), None)
        keys += [prefix + name] if group in (None, SourceConfig) else leaf_keys(group, f"{prefix}{name}.")
    return keys


def override(key: str) -> list[str]:
    """Set a key to its other value, and empty what that excludes."""
    emptied = {"data.root": ["data.sources=[]"], "stage.name": ["stage.cycle="]}
    emptied["stages"] = ["stage=null"]
    emptied["stage.pairs"] = ["stage.losses.photo=1"]
    emptied["stage.data.sources"] = ["stage.data.run_share=0.7"]
    emptied["stage.data.run_share"] = ["stage.data.sources=[{kind: rendered}]"]
    emptied["validation.keep_best"] = ["validation.every=9"]
    for name in ("iterative_pose", "zoom_tta"):
        emptied[f"encoder.{name}"] = ["encoder.window.size_px=112"]  # which they need
    return [*emptied.get(key, []), f"{key}={OTHER[key]}"]


def value_at(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name, None)
    return config


def message(path: Path, *overrides: str) -> str:
    with pytest.raises(Smirk3dError) as caught:
        load_config(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_key_is_in_the_table() -> None:
    assert {*leaf_keys(TrainConfig), "stage.cycle"} - {"stage.task"} == set(OTHER)  # one task has these keys


@pytest.mark.parametrize("key", OTHER)
def test_every_key_can_be_set(key: str, minimal: Path) -> None:
    before, after = load_config(minimal), load_config(minimal, override(key))
    assert value_at(after, key) != value_at(before, key)
    text = yaml.safe_load(to_yaml(after))
    for name in key.split("."):
        text = text[name]
    assert text != value_at(before, key)


@pytest.mark.parametrize("key", OTHER)
def test_complete_yaml_loads_back_equal(key: str, minimal: Path, tmp_path: Path) -> None:
    config = load_config(minimal, override(key))
    (tmp_path / "complete.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert load_config(tmp_path / "complete.yaml") == config


@settings(max_examples=25, deadline=None)
@given(
    head=st.text(min_size=1),
    lr=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_value_survives_yaml(head: str, lr: float, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "config.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    minimal = load_config(path)
    config = replace(minimal, head=head, seed=seed, optimizer=OptimizerConfig(lr=lr))
    path.write_text(to_yaml(config), encoding="utf-8")
    assert load_config(path) == config


@pytest.mark.parametrize("text", ["1e-3", "1e5", "12", "yes", "null", "a: b", "2001-01-01", " x", "#"])
def test_texts_that_look_like_something_else_survive_yaml(text: str, minimal: Path) -> None:
    config = replace(load_config(minimal), head=text)
    minimal.write_text(to_yaml(config), encoding="utf-8")
    assert load_config(minimal) == config


def test_values_have_the_types_of_the_records(minimal: Path) -> None:
    config = load_config(minimal, ["optimizer.lr=1", "data.crop_scale=[1, 2]", "init=a/b.pt", "augment.shift=1e-2"])
    assert type(config.optimizer.lr) is float and config.augment.shift == 0.01
    assert config.data.crop_scale == (1.0, 2.0) and type(config.data.crop_scale[0]) is float
    assert config.init == Path("a/b.pt") and load_config(minimal, ["init="]).init is None
    assert config.data.sources == (SourceConfig(Path("faces"), targets=Path("faces.npz")),)
    assert hash(config) == hash(replace(config))  # frozen through and through


@pytest.mark.parametrize("name", ["a\nb.pt", "a\n\n b.pt", "a\r\nb.pt", "a\n", "\na", "a\u2028b", "a #1.pt", "a  b"])
def test_text_of_an_override_counts_letter_by_letter(name: str, minimal: Path) -> None:
    assert load_config(minimal, [f"init={name}"]).init == Path(name)
    assert load_config(minimal, [f"init= {name} "]).init == Path(name)
    assert f"not {name!r}" in message(minimal, f"seed={name}")


@pytest.mark.parametrize(
    "value", ["'a b'", "'a\n  b'", '"a\\x20b"', "!!str a b", "&x a b", ">-\n a\n b\n", "--- a b", "# c\na b"]
)
def test_quotes_and_blocks_of_an_override_are_those_of_yaml(value: str, minimal: Path) -> None:
    assert load_config(minimal, [f"init={value}"]).init == Path("a b")


def test_the_later_override_counts_and_lies_over_the_file(minimal: Path) -> None:
    assert load_config(minimal, ["seed=1", "seed=2", "stage.steps=9"]).seed == 2
    assert load_config(minimal, ["stage.steps=9"]).stage == replace(load_config(minimal).stage, steps=9)


@pytest.mark.skipif(find_spec("timm") is not None, reason="any name may be one of timm's")
def test_an_unknown_backbone_is_refused_with_its_key(minimal: Path) -> None:
    minimal.write_text(MINIMAL + "encoder: {pose_backbone: nonsense}\n", encoding="utf-8")
    assert f"{minimal}: encoder.pose_backbone must be one of" in message(minimal)


def test_keys_under_their_earlier_names_are_read_with_a_note(minimal: Path) -> None:
    minimal.write_text(MINIMAL + "backbones: {window: {}, mirrored: true, second_look: true}\n", encoding="utf-8")
    notes: list[str] = []
    encoder = load_config(minimal, ["backbones.zoom=0.9"], notes.append).encoder
    assert (encoder.flip_tta, encoder.iterative_pose, encoder.zoom_tta) == (True, True, 0.9)
    assert notes == [
        "the key backbones is deprecated; use encoder",
        "the key encoder.mirrored is deprecated; use encoder.flip_tta",
        "the key encoder.second_look is deprecated; use encoder.iterative_pose",
        "the key backbones.zoom is deprecated; use encoder.zoom_tta",
    ]
    assert "override backbones.zoom=2: encoder.zoom_tta must be" in message(minimal, "backbones.zoom=2")
    assert not load_config(minimal, ["encoder.flip_tta=false"]).encoder.flip_tta
    minimal.write_text(MINIMAL + "encoder: {window: {}, mirrored: true, flip_tta: true}\n", encoding="utf-8")
    assert "encoder.mirrored is no key" in message(minimal)


TRAIN_CONFIGS = [
    path for path in sorted(CONFIGS.rglob("*.yaml")) if not path.name.startswith(("fer_", "fsrt", "rdfer"))
]
"""Configurations of `smirk3d train`; those of other trainings have other keys."""


@pytest.mark.parametrize("path", TRAIN_CONFIGS, ids=lambda path: path.name)
def test_files_in_configs_load_and_hold_only_differences(path: Path, minimal: Path) -> None:
    config = load_config(path)
    defaults = load_config(minimal)
    for key, value in dict(_scalars(yaml.safe_load(path.read_text(encoding="utf-8")))).items():
        if not key.startswith(("data.root", "stage", "head")):
            assert value_at(defaults, key) != value, f"{key} is the default"
    names = [each.name for each in fields(config.encoder) if each.name.endswith("_backbone")]
    assert {value_at(config.encoder, name).removesuffix("_stride16") for name in names} <= set(ARCHITECTURES)


def _scalars(tree: Any, key: str = ""):
    for name, item in tree.items():
        yield from _scalars(item, f"{key}{name}.") if isinstance(item, dict) else [(f"{key}{name}", item)]


def test_the_files_in_configs_are_known() -> None:
    names = ["core.yaml", "pretrain.yaml", "small.yaml", "smoke.yaml"]
    assert [path.name for path in sorted(CONFIGS.glob("*.yaml"))] == names
    names = [
        "fer_emotions.yaml",
        "fer_occlusion.yaml",
        "fer_vae.yaml",
        "fer_vector.yaml",
        "flame.yaml",
        "fsrt.yaml",
        "neural_renderer.yaml",
        "open.yaml",
        "photo_textured.yaml",
        "rdfer.yaml",
    ]
    assert [path.name for path in sorted((CONFIGS / "recipes").glob("*.yaml"))] == names


def test_pretraining_is_stage_1_of_the_method() -> None:
    config = load_config(CONFIGS / "pretrain.yaml")
    assert config.stage.name == "pretrain" and config.stage.cycle is None
    assert config.stage.trainable == ("pose", "shape", "expression")
    assert config.stage.losses == LossWeights(landmark=100, identity=10, expression=1e-2)
    assert config.optimizer == OptimizerConfig(lr=2e-4)
    assert load_config(CONFIGS / "core.yaml").data == config.data


def test_core_is_stage_2_of_the_method() -> None:
    config = load_config(CONFIGS / "core.yaml")
    assert config.stage.name == "core" and config.stage.trainable == ("expression", "neural_renderer")
    assert config.stage.losses == LossWeights(
        landmark=100, photo=10, perceptual=0.05, expression=1e-3, jaw=1e-2
    )  # emotion needs a network, which does not come with the package
    optimizer, data, augment = config.optimizer, config.data, config.augment
    assert (optimizer.lr, optimizer.encoder_lr_scale, optimizer.neural_renderer_betas) == (1e-3, 0.25, (0.5, 0.999))
    assert (optimizer.cosine_floor, optimizer.cosine_samples, optimizer.clip_norm) == (0.01, 50_000, 0.1)
    assert (data.size, data.batch_size, data.crop_scale) == (224, 32, (1.2, 1.8))
    assert (augment.shift, augment.scale, augment.rotation_deg) == (0.05, 0.1, 10)
    assert config.masking.sample_count(data.size) == 501


def test_the_cycle_path_has_the_numbers_of_the_method() -> None:
    cycle = load_config(CONFIGS / "core.yaml").stage.cycle
    assert cycle is not None
    assert cycle.perturb == PerturbConfig() and cycle.copies == 1
    perturb = cycle.perturb
    assert (perturb.noise, perturb.limit, perturb.scale, perturb.small_noise) == ((1, 3), 4, (0.25, 1.5), (0, 0.2))
    assert (perturb.jaw_probability, perturb.jaw_open_rad, perturb.eyelids) == (0.5, (0, 0.5), (-0.25, 0.25))
    assert (cycle.losses.expression, cycle.losses.jaw, cycle.losses.eyelids, cycle.losses.shape) == (None, 10, 10, 1)
    assert [cycle.losses.in_use(is_arkit)["expression"] for is_arkit in (False, True)] == [1, 60]


def test_the_recipe_of_flame_is_the_published_one() -> None:
    config = load_config(CONFIGS / "recipes" / "flame.yaml")
    pretrain, core = config.stages
    assert isinstance(pretrain, StageConfig) and isinstance(core, StageConfig)
    faces = [stage.steps * config.data.batch_size for stage in (pretrain, core)]
    assert faces == [300 * 50_000, 50 * 50_000]
    assert pretrain.losses == LossWeights(landmark=100, identity=10, expression=1e-2)
    assert core.losses == LossWeights(landmark=100, photo=10, perceptual=10, expression=1e-3, jaw=1e-2)
    assert pretrain.published_losses and core.published_losses
    assert [config.for_stage(stage).optimizer.lr for stage in (pretrain, core)] == [2e-4, 1e-3]
    assert core.cycle is not None and core.cycle.losses.in_use(False)["expression"] == 1


def test_the_recipe_of_the_open_head_has_one_stage_after_the_other() -> None:
    config = load_config(CONFIGS / "recipes" / "open.yaml", ["data.root=photos"])
    assert [stage.task for stage in config.stages] == ["regression"] * 3 + ["neural_renderer", "synthesis", "finish"]
    data = config.for_stage(config.stages[0]).data
    assert [source.kind for source in data.all_sources] == ["auto", "rendered", "rendered"]
    assert [source.weight for source in data.all_sources] == pytest.approx([0.25, 0.25, 0.5])
    assert data.all_sources[0].path == Path("photos") and data.fit_targets and (data.size, data.batch_size) == (160, 32)
    core = config.for_stage(config.stages[4])
    assert (core.data.size, core.data.batch_size, core.optimizer.encoder_lr_scale) == (128, 8, 0.02)
    assert core.augment.tint == 0.8 and config.augment.tint == 0


def test_stages_are_changed_by_their_names() -> None:
    path = CONFIGS / "recipes" / "open.yaml"
    config = load_config(path, ["stages.shape.data.batch_size=12", "stages.finish.average=1"])
    sizes = [config.for_stage(stage).data.batch_size for stage in config.stages[:3]]
    assert sizes == [32, 12, 32]  # an anchor of the file is not one object
    assert config.total_steps == sum(stage.steps for stage in config.stages)
    found = message(path, "stages.nose.steps=1")
    assert "stages.nose is no item; there are pose, shape, expression, neural_renderer, core, finish" in found
    assert "override stages.pose.steps=0: stages.pose.steps must be at least 1" in message(path, "stages.pose.steps=0")


@pytest.mark.parametrize(
    ("stages", "fault"),
    [
        ("[{task: dance, name: a}]", "stages.a.task must be one of synthesis, regression, neural_renderer, finish"),
        ("[{task: finish}, {task: neural_renderer, name: a, steps: 1}]", "stages must be a list in which finish is"),
        (
            "[{task: neural_renderer, name: a, steps: 1}, {task: neural_renderer, name: a, steps: 2}]",
            "a is there twice",
        ),
        ("[{task: regression, name: a, branch: pose, steps: 1}]", "encoder.window must be given for the stage a"),
        ("[{task: neural_renderer, name: a, steps: 1, data: {run_share: 0.5}}]", "sources must be a list where run_sh"),
        ("[{task: regression, name: a, branch: pose, steps: 1, consistency_weight: 1}]", "0 for the branch pose"),
        ("[{task: regression, name: a, branch: pose, steps: 1, identity_weight: 1}]", "0 for the branch pose"),
        ("[{task: regression, name: a, branch: shape, steps: 1, labels: x}]", "null for the branch shape"),
    ],
)
def test_stages_that_do_not_fit_are_refused(stages: str, fault: str, minimal: Path) -> None:
    assert fault in message(minimal, "stage=", f"stages={stages}")


def test_stages_and_a_single_stage_exclude_each_other(minimal: Path) -> None:
    assert "stage must be null where stages are given" in message(minimal, f"stages={OTHER['stages']}")
    assert load_config(minimal).all_stages == (load_config(minimal).stage,)


def test_smoke_is_tiny_and_walks_through_everything() -> None:
    config = load_config(CONFIGS / "smoke.yaml")
    assert config.stage.steps * config.data.batch_size * config.data.size**2 < 4 * 224**2
    assert config.stage.cycle is not None and config.engine.accelerator == "cpu"
    assert config.engine.save_every * config.engine.keep_last < config.stage.steps
    assert 0 < config.engine.preview_every <= config.stage.steps


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("optimizer.learning_rate", "optimizer.lr"),
        ("lr", "optimizer.lr"),
        ("stage.lr", "stage.optimizer.lr"),
        ("stage.losses.landmarks", "stage.losses.landmark"),
        ("optimiser.lr", "optimizer"),
        ("data.sise", "data.size"),
    ],
)
def test_unknown_key_is_refused_and_the_nearest_named(key: str, nearest: str, minimal: Path) -> None:
    found = message(minimal, f"{key}=1")
    assert found.startswith(f"override {key}=1: {key.partition('.')[0]}") and found.endswith(
        f"nearest one is {nearest}"
    )
    tree: dict[str, Any] = yaml.safe_load(MINIMAL)
    *groups, last = key.split(".")
    inner = tree
    for name in groups:
        inner = inner.setdefault(name, {})
    inner[last] = 1
    minimal.write_text(yaml.safe_dump(tree), encoding="utf-8")
    found = message(minimal)
    assert found.startswith(f"{minimal}: ") and found.endswith(f"nearest one is {nearest}")


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("data.batch_size=true", "data.batch_size must be a whole number, not True"),
        ("data.batch_size=2.0", "data.batch_size must be a whole number, not 2.0"),
        ("optimizer.lr=fast", "optimizer.lr must be a finite number, not 'fast'"),
        ("optimizer.lr=false", "optimizer.lr must be a finite number, not False"),
        ("optimizer.lr=.nan", "optimizer.lr must be a finite number, not nan"),
        ("optimizer.lr=1" + "0" * 400, "optimizer.lr must be a finite number"),
        ("head=3", "head must be text, not 3"),
        ("out_dir=", "out_dir must be a path, not None"),
        ("out_dir=''", "out_dir must be a path, not ''"),
        ("data=3", "data must be a mapping of keys to values, not 3"),
        ("data.crop_scale=1.5", "data.crop_scale must be a list of 2, not 1.5"),
        ("data.crop_scale=[1, 2, 3]", "data.crop_scale must be a list of 2, not [1, 2, 3]"),
        ("data.crop_scale=[1, x]", "data.crop_scale.1 must be a finite number, not 'x'"),
        ("data.sources=faces", "data.sources must be a list, not 'faces'"),
        ("data.sources=[{path: a, kind: tar}]", "data.sources.0.kind must be one of auto, folder, shards, videos, "),
        ("data.sources.0.path=a", "data.sources has no keys below it; give it as a whole"),
        (
            "stage.trainable=[nose]",
            "stage.trainable.0 must be one of pose, shape, expression, neural_renderer, not 'nose'",
        ),
        ("stage.cycle=true", "stage.cycle must be a mapping"),
    ],
)
def test_wrong_types_are_refused(override: str, fault: str, minimal: Path) -> None:
    found = message(minimal, override)
    assert found.startswith("override ") and fault in found


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("data.sources=[]", "data.sources must be a list, or root be given for one source, not []"),
        ("data.root=a", "data.root must be null where sources are given, not "),
        ("data.sources=[{kind: folder}]", "data.sources.0.path must be given for every kind but rendered, not None"),
        ("data.sources=[{kind: rendered, targets: a.npz}]", "data.sources.0.targets must be null for rendered faces"),
        ("data.sources=[{kind: rendered, count: 0}]", "data.sources.0.count must be at least 1"),
        ("data.sources=[{kind: rendered, seed: -1}]", "data.sources.0.seed must be in"),
        ("data.sources=[{path: a, weight: 0}]", "data.sources.0.weight must be above 0, not 0.0"),
        ("data.size=100", "data.size must be a positive multiple of 16, not 100"),
        ("data.crop_scale=[2, 1]", "data.crop_scale must be two rising numbers in [0.1, 10], not [2.0, 1.0]"),
        ("data.batch_size=0", "data.batch_size must be at least 1, not 0"),
        ("data.max_per_person=0", "data.max_per_person must be at least 1, not 0"),
        ("engine.devices=3", "engine.devices must, times nodes, divide data.batch_size, 32"),
        ("neural_renderer_width=0", "neural_renderer_width must be at least 1"),
        ("perceptual=''", "perceptual must be lite0 or a path"),
        ("data.workers=-1", "data.workers must be at least 0, not -1"),
        ("data.seed=-1", "data.seed must be in"),
        ("augment.mirror=1.5", "augment.mirror must be in [0, 1], not 1.5"),
        ("augment.scale=1", "augment.scale must be in [0, 0.9], not 1.0"),
        ("augment.rotation_deg=181", "augment.rotation_deg must be in"),
        ("masking.patch_px=2", "masking.patch_px must be odd"),
        ("optimizer.lr=0", "optimizer.lr must be above 0"),
        ("optimizer.neural_renderer_betas=[0, 1]", "optimizer.neural_renderer_betas must be in [0, 1)"),
        ("optimizer.cosine_floor=2", "optimizer.cosine_floor must be in"),
        ("optimizer.cosine_samples=0", "optimizer.cosine_samples must be at least 1"),
        ("stage.losses.photo=-1", "stage.losses.photo must be at least 0, not -1.0"),
        ("stage.losses.landmark=0", "stage.losses must be weights of which one is above 0"),
        ("stage.trainable=[]", "stage.trainable must be a list of different networks"),
        ("stage.trainable=[pose, pose]", "stage.trainable must be a list of different networks"),
        ("stage.steps=0", "stage.steps must be at least 1"),
        ("stage.cycle.copies=0", "stage.cycle.copies must be at least 1"),
        ("stage.cycle.perturb.one_sided=2", "stage.cycle.perturb.one_sided must be in [0, 1], not 2.0"),
        ("stage.cycle.perturb.limit=0", "stage.cycle.perturb.limit must be above 0"),
        ("stage.cycle.perturb.noise=[3, 1]", "stage.cycle.perturb.noise must be two rising numbers"),
        ("stage.cycle.perturb.arkit_blend=[0, 2]", "stage.cycle.perturb.arkit_blend must be two rising numbers"),
        ("stage.cycle.perturb.eyelids=[-2, 0]", "stage.cycle.perturb.eyelids must be two rising numbers"),
        ("stage.cycle.perturb.arkit_jaw_std=-1", "stage.cycle.perturb.arkit_jaw_std must be in"),
        ("stage.cycle.perturb.jaw_std_rad=[-1, 0, 0]", "stage.cycle.perturb.jaw_std_rad must be in"),
        ("stage.cycle.perturb.jaw_open_rad=[0, 4]", "stage.cycle.perturb.jaw_open_rad must be two rising"),
        ("stage.target_fields.shape=-1", "stage.target_fields.shape must be at least 0"),
        ("stage.cycle.losses.jaw=-1", "stage.cycle.losses.jaw must be at least 0"),
        ("engine.save_every=0", "engine.save_every must be at least 1"),
        ("engine.preview_every=-1", "engine.preview_every must be at least 0"),
        ("head=''", "head must be open or a path"),
        ("seed=4294967296", "seed must be in"),
    ],
)
def test_values_out_of_range_are_refused(override: str, fault: str, minimal: Path) -> None:
    found = message(minimal, override)
    assert found.startswith("override ") and fault in found


@pytest.mark.parametrize(
    "overrides",
    [
        ["stage.trainable=[neural_renderer]"],
        ["stage.losses.photo=1"],
        ["stage.losses.perceptual=1"],
        ["stage.losses.emotion=1"],
        ["stage.cycle={}"],
    ],
)
def test_pretraining_draws_no_photos(overrides: list[str], minimal: Path) -> None:
    overrides = ["stage.cycle=null", *overrides]
    assert load_config(minimal, overrides).stage.name == "core"
    assert "in the stage pretrain" in message(minimal, *overrides, "stage.name=pretrain")


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["emotion=", "stage.losses.emotion=1"], "stage.losses.emotion must be 0 where the key emotion names no"),
        (["data.sources=[{path: a}]", "stage.losses.target=1"], "stage.losses.target must be 0 where no source"),
        (["stage.cycle=", "stage.templates=a"], "stage.templates must be null without the cycle path, not "),
    ],
)
def test_what_a_key_needs_is_asked_for(overrides: list[str], fault: str, minimal: Path) -> None:
    assert message(minimal, *overrides).startswith(f"override {overrides[1]}: {fault}")
    assert load_config(minimal, ["data.sources=[{kind: rendered}]", "stage.losses.target=1"]).stage.losses.target == 1


def test_root_stands_for_one_source_of_an_unknown_kind(minimal: Path) -> None:
    shipped = load_config(CONFIGS / "core.yaml", ["data.root=photos/"]).data
    assert shipped.all_sources == (SourceConfig(Path("photos"), "auto"),)
    listed = load_config(CONFIGS / "core.yaml", ["data.root=", "data.sources=[{path: a}, {kind: rendered}]"]).data
    assert listed.all_sources == listed.sources == (SourceConfig(Path("a")), SourceConfig(kind="rendered"))


@pytest.mark.parametrize("key", ["data", "stage", "stage.name", "stage.losses", "stage.steps"])
def test_missing_keys_are_named(key: str, minimal: Path) -> None:
    tree = yaml.safe_load(MINIMAL)
    *groups, last = key.split(".")
    del (tree[groups[0]] if groups else tree)[last]
    minimal.write_text(yaml.safe_dump(tree), encoding="utf-8")
    assert message(minimal) == f"{minimal}: {key} is missing; give it in the file or as an override"


def test_a_missing_key_may_come_as_an_override(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n", encoding="utf-8")
    assert f"{path}: data is missing" in message(path)
    stage = "stage={name: core, trainable: [pose], losses: {landmark: 1}, steps: 5}"
    config = load_config(path, ["data.sources=[{path: a}]", stage])
    assert config.data == DataConfig((SourceConfig(Path("a")),))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (MINIMAL + "seed: 1\nhead: open\nseed: 2\n", "key seed is given twice in line 6"),
        ("data: {size: 224, size: 224}\n", "key size is given twice in line 1"),
        ("- 1\n", "it is no mapping"),
        ("a: [\n", "in line 2"),
        ("a: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
        ("a: \x07\n", "special characters"),
        ("[" * 700, "nested more than"),
    ],
)
def test_files_that_are_no_clean_yaml_are_refused(text: str, fault: str, minimal: Path) -> None:
    minimal.write_text(text, encoding="utf-8")
    found = message(minimal)
    assert found.startswith(f"{minimal}: cannot be read as YAML: ") and fault in found


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    assert "No such file" in message(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as YAML" in message(tmp_path / "binary.yaml")


@pytest.mark.parametrize("override", ["seed", "=3", "data..size=1", ".seed=1"])
def test_overrides_of_another_form_are_refused(override: str, minimal: Path) -> None:
    assert "is no override; write it as a.b.c=value" in message(minimal, override)


def test_override_of_broken_yaml_is_refused(minimal: Path) -> None:
    assert message(minimal, "seed=[").startswith("override seed=[: seed is no YAML: ")
    assert "key a is given twice" in message(minimal, "data={a: 1, a: 2}")


def test_records_check_themselves_without_a_file() -> None:
    with pytest.raises(ValueError, match="size must be"):
        DataConfig((SourceConfig(Path("a")),), size=float("nan"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="copies must be"):
        CycleConfig(copies=0)
    with pytest.raises(ValueError, match="devices must be"):
        EngineConfig(devices=0)
    with pytest.raises(ValueError, match=r"losses\.photo must be 0"):
        StageConfig("pretrain", ("pose",), LossWeights(photo=1), steps=1)
    assert LossWeights(jaw=2, photo=1).in_use() == {"photo": 1, "jaw": 2}


def test_old_keys_are_read_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(
        "data: {root: faces, most_per_person: 5}\n"
        "stage: {name: core, trainable: [generator], losses: {landmark: 1}, steps: 5}\n"
    )
    notes: list[str] = []
    config = load_config(path, ["backbones.pose_backbone=tf_efficientnet_lite0", "augment={colour: 0.5}"], notes.append)
    assert (config.data.max_per_person, config.stage.trainable) == (5, ("neural_renderer",))
    assert (config.encoder.pose_backbone, config.augment.color) == ("tf_efficientnet_lite0", 0.5)
    assert len(notes) == 4 and "the key backbones.pose_backbone is deprecated; use encoder.pose_backbone" in notes
    with pytest.raises(
        Smirk3dError, match=r"^override backbones\.pose_backbone=3: encoder\.pose_backbone must be text"
    ):
        load_config(path, ["backbones.pose_backbone=3"])
    with pytest.raises(Smirk3dError, match=r"augment\.colour is no key; the nearest one is augment\.color$"):
        load_config(path, ["augment={colour: 0.5, color: 0.4}"])
