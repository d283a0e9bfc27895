"""Small heads, networks and batches for the training steps."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.data import JOINT_NAMES, HeadData
from smirk3d.head.model import HeadModel
from smirk3d.masking import MaskingConfig
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.train.batch import TrainingBatch
from smirk3d.train.config import CycleConfig, LossWeights, StageConfig
from smirk3d.train.features import PerceptualFeatures
from smirk3d.train.scene import Networks, Scene
from smirk3d.types import FaceParams, LandmarkEmbedding

SIZE, SIDE = 48, 9
SMALL = "tf_mobilenetv3_small_minimal_100"
PAINTED_LOSSES = LossWeights(
    landmark=100, photo=10, perceptual=10, identity=1, emotion=1, expression=1e-3, jaw=1e-2, target=1
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_head(kind: str = "flame") -> HeadModel:
    """A bent sheet that faces the camera, with all that FLAME has ("flame") or with ARKit weights ("arkit")."""
    random, joints, vertices = seeded(), len(JOINT_NAMES), SIDE * SIDE
    names = ARKIT_NAMES if kind == "arkit" else tuple("abcdef")

    def normal(*size: int, scale: float) -> Tensor:
        return scale * torch.randn(*size, generator=random)

    x, y = torch.meshgrid(*[torch.linspace(-0.08, 0.08, SIDE)] * 2, indexing="xy")
    corner = torch.arange(vertices).view(SIDE, SIDE)
    a, b, c, d = (corner[i : SIDE - 1 + i, j : SIDE - 1 + j].flatten() for i, j in ((0, 0), (0, 1), (1, 1), (1, 0)))
    faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1)])
    barycentric = torch.rand(478, 3, generator=random).softmax(dim=1)
    points = LandmarkEmbedding(
        torch.randint(len(faces), (478,), generator=random), barycentric, torch.ones(478), torch.arange(478)
    )
    data = HeadData(
        name="small",
        v_template=torch.stack([x, y, -5 * (x**2 + y**2)], dim=-1).reshape(-1, 3),
        shapedirs=normal(vertices, 3, 4, scale=2e-3),
        expressiondirs=normal(vertices, 3, len(names), scale=1e-3),
        expression_rotvec=torch.zeros(len(names), joints, 3),
        J_regressor=torch.rand(joints, vertices, generator=random).softmax(dim=1),
        lbs_weights=normal(vertices, joints, scale=1.0).softmax(dim=1),
        faces=faces,
        uv=torch.rand(vertices, 2, generator=random),
        faces_uv=faces.clone(),
        expression_names=names,
        expression_low=float("-inf"),
        expression_high=float("inf"),
        regions={"face": torch.ones(vertices, dtype=torch.bool)},
        landmarks={"mediapipe": points, "ibug68": points.take(torch.arange(100, 168))},
        posedirs=normal(vertices, 3, 9 * (joints - 1), scale=1e-3),
        eyelid_dirs=normal(vertices, 3, 2, scale=1e-3),
        eyelids_after_skinning=True,
    )
    if kind == "arkit":
        readout = torch.zeros(len(names), 3)
        data = replace(data, expression_low=0.0, expression_high=1.0, eyelids_after_skinning=False, jaw_readout=readout)
    return HeadModel(data)


def small_networks(head: HeadModel) -> Networks:
    """Networks with random weights, the same at every call; two layers with statistics stand for each backbone."""
    made = _networks(head)
    return Networks(copy.deepcopy(made.encoder), copy.deepcopy(made.generator))


@lru_cache
def _networks(head: HeadModel) -> Networks:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = Encoder(head.spec, EncoderConfig(SMALL, SMALL, SMALL))
        for branch in (encoder.pose_encoder, encoder.shape_encoder, encoder.expression_encoder):
            branch.encoder = _backbone(branch.linear.in_features)  # pyright: ignore[reportAttributeAccessIssue]
        return Networks(encoder, NeuralRenderer(2))


def _backbone(channels: int) -> nn.Module:
    layers = [nn.Conv2d(3, 8, 5, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, channels, 3, 4)]
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.Hardswish())


class _Maps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3, stride=2)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.layer(image).tanh()]


def small_scene(head: HeadModel, *, masking: MaskingConfig | None = None, **changes) -> Scene:
    """A scene with every loss and the cycle path; `changes` are fields of its stage."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        perceptual, emotion = PerceptualFeatures(_Maps(), (0.5,) * 3, (0.5,) * 3), nn.Conv2d(3, 5, SIZE)
    emotion.requires_grad_(False)
    fields = {
        "name": "core",
        "trainable": ("expression", "generator"),
        "losses": PAINTED_LOSSES,
        "steps": 1,
        "cycle": CycleConfig(),
    } | changes
    templates = FaceParams(expression=torch.rand(3, head.n_expression, generator=seeded(5)))
    return Scene(
        head,
        StageConfig(**fields),
        masking or MaskingConfig(),
        perceptual,
        lambda image: emotion(image).flatten(1).tanh(),
        templates,
    )


def small_batch(head: HeadModel, count: int = 4, *, seed: int = 0) -> TrainingBatch:
    """Smooth colours as photos, and landmarks of random heads in them; the first face has a known target."""
    random = seeded(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=random)
    truth = FaceParams(
        shape=torch.randn(count, head.n_shape, generator=random),
        expression=torch.rand(count, head.n_expression, generator=random),
        pose=0.2 * torch.randn(count, 3, generator=random),
        camera=torch.tensor([[8.0, 0.01, -0.01]]).repeat(count, 1),
    )
    points = project_orthographic(head(truth).landmarks("mediapipe"), truth.camera)[..., :2]
    return TrainingBatch(
        image=nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear"),
        landmarks_ndc=points,
        landmark_weight=torch.ones(count, 478),
        person=torch.arange(count) // 2,
        target=truth,
        target_weight=(torch.arange(count) == 0).float(),
        contour_ndc=torch.zeros(count, 17, 2),
        contour_weight=torch.zeros(count),
    )


def learners(networks: Networks) -> set[str]:
    """Name the networks to any of whose parameters a gradient came."""
    gradients = {name: [p.grad for p in part.parameters()] for name, part in networks.parts().items()}
    return {name for name, found in gradients.items() if any(each is not None and each.any() for each in found)}
