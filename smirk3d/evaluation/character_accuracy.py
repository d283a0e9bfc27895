"""Measure expression weights on pictures of somebody else's head, whose truth is known.

    python smirk3d/evaluation/character_accuracy.py head.glb --eyes eyeLeft eyeRight --methods fit encoder refine

An encoder that learned from renders of the open head may know that head alone. Any character with ARKit's morph
targets tells: its geometry, its texture, its idea of each action. Expressions, poses, cameras, lights and backgrounds
are drawn as for `smirk3d evaluate --only truth`; the texture is tinted at random. Left out are actions that do not
move the character, and gaze where the nodes of its eyeballs are not named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.scene_sampling import (
    FACE_HEIGHT_M,
    FACE_SHARE,
    KIND_SHARES,
    Kind,
    SampleRanges,
    random_expression,
    uniform,
)
from smirk3d.detection.detector import Detection
from smirk3d.evaluation.character_mesh import CharacterMesh, load_character_mesh
from smirk3d.evaluation.method_under_test import SHIPPED, Checkpoint, MethodUnderTest, checkpoint_path
from smirk3d.evaluation.synthetic_accuracy import predict_all
from smirk3d.evaluation.synthetic_set import SyntheticTestSet
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES
from smirk3d.metrics.expression import expression_metrics
from smirk3d.progress import progress
from smirk3d.render.appearance.procedural_face import (
    REGION_CHANNELS,
    lit,
    perspective_view,
    random_background,
    random_light,
    with_sensor,
)
from smirk3d.render.fragments import interpolate
from smirk3d.render.rasterize import rasterize
from smirk3d.render.shading import vertex_normals

SIZE_PX, SUPERSAMPLE = 384, 2
GAZE_DEG = (30.0, 25.0)
"""Turn of an eye at full weight, to the side and up or down."""
FACE_CENTRE_M = 0.025
"""The middle of a face is so far below its eyes."""


@dataclass(frozen=True)
class Options:
    """Which character, which methods."""

    character: tyro.conf.Positional[Path]
    eyes: tuple[str, ...] = ()
    """Nodes of the two eyeballs, which gaze turns."""
    methods: tuple[Literal["fit", "encoder", "refine"], ...] = ("fit", "encoder", "refine")
    weights: str = SHIPPED
    """A checkpoint, or the packaged one."""
    count: int = 480
    seed: int = 5
    actions: bool = False
    """Print every action."""
    out: Path | None = None
    """Folder for a sheet of the first pictures."""


class CharacterPainter:
    """Draws random pictures of one character."""

    def __init__(self, mesh: CharacterMesh) -> None:
        self.mesh = mesh
        names = [name not in GAZE_NAMES or bool(mesh.eyes) for name in ARKIT_NAMES]
        self.known = mesh.moves & torch.tensor(names)

    def sample(self, kind: Kind, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return a picture (3, S, S) in [0, 1], the true weights (52,) and the rotation (3, 3)."""
        weights = random_expression(kind, generator) * self.known
        ranges = SampleRanges()
        angles = [uniform(-end, end, generator) for end in (ranges.yaw_deg, ranges.pitch_deg, ranges.roll_deg)]
        rotmat = torch.from_numpy(rotation_from_angles(*angles)).float()
        distance_m = uniform(*ranges.distance_m, generator)
        focal = 2 * FACE_SHARE * uniform(0.8, 1.15, generator) * distance_m / FACE_HEIGHT_M
        shift = 0.015 * torch.randn(3, generator=generator) * torch.tensor([1.0, 1.0, 0.0])
        middle = rotmat @ torch.tensor([0.0, -FACE_CENTRE_M, 0.0])
        vertices = self._posed(weights)
        view = perspective_view(vertices, rotmat, shift - middle - torch.tensor([0.0, 0.0, distance_m]), focal)
        side = SIZE_PX * SUPERSAMPLE
        assert view.w is not None
        fragments = rasterize(view.ndc[None], self.mesh.faces, side, w=view.w[None])
        normals = vertex_normals(view.camera_frame, self.mesh.faces)
        attributes = torch.cat([self.mesh.uv, normals, self.mesh.part[:, None].float()], dim=1)
        seen = interpolate(fragments, attributes[None], self.mesh.faces)[0][fragments.mask[0]]
        uv, normal, part = seen.split([2, 3, 1], dim=1)
        colour = self._texture(uv, part[:, 0].round().long()) * _tint(generator)
        image = torch.zeros(side, side, 4)
        no_marks = torch.zeros(len(colour), len(REGION_CHANNELS))
        shaded = lit(colour, normal, random_light(generator), no_marks)
        image[fragments.mask[0]] = torch.cat([shaded, torch.ones_like(colour[:, :1])], dim=1)
        image = F.avg_pool2d(image.permute(2, 0, 1)[None], SUPERSAMPLE)[0]
        behind = random_background(SIZE_PX, generator)
        return with_sensor((image[:3] + (1 - image[3:]) * behind).clamp(0, 1), generator), weights, rotmat

    def _posed(self, weights: Tensor) -> Tensor:
        vertices = self.mesh.vertices + torch.einsum("a,avc->vc", weights, self.mesh.directions)
        for (ball, middle), side, inward in zip(self.mesh.eyes, ("Left", "Right"), (-1.0, 1.0)):
            look = {
                way: float(weights[ARKIT_NAMES.index(f"eyeLook{way}{side}")]) for way in ("In", "Out", "Up", "Down")
            }
            yaw = math.radians(GAZE_DEG[0]) * inward * (look["In"] - look["Out"])
            pitch = math.radians(GAZE_DEG[1]) * (look["Down"] - look["Up"])
            cos, sin = (torch.tensor([f(yaw), f(pitch)]) for f in (math.cos, math.sin))
            across = torch.tensor([[cos[0], 0, sin[0]], [0, 1, 0], [-sin[0], 0, cos[0]]])
            down = torch.tensor([[1, 0, 0], [0, cos[1], -sin[1]], [0, sin[1], cos[1]]])
            vertices[ball] = (vertices[ball] - middle) @ (across @ down).T + middle
        return vertices

    def _texture(self, uv: Tensor, part: Tensor) -> Tensor:
        """Return the colours (N, 3) of points at uv (N, 2) of parts (N,)."""
        colour = uv.new_zeros(len(uv), 3)
        for number, texture in enumerate(self.mesh.textures):
            here = part == number
            grid = (2 * (uv[here] % 1.0) - 1)[None, None]
            colour[here] = F.grid_sample(texture[None], grid, padding_mode="border", align_corners=False)[0, :, 0].T
        return colour


def _tint(generator: torch.Generator) -> Tensor:
    """Return the factors (3,) of a random skin colour."""
    light, dark = torch.tensor([1.25, 1.08, 1.0]), torch.tensor([0.55, 0.40, 0.33])
    return light + torch.rand((), generator=generator) * (dark - light) + 0.05 * torch.randn(3, generator=generator)


def draw(painter: CharacterPainter, detector: MethodUnderTest, count: int, seed: int) -> SyntheticTestSet:
    """Return the pictures in which a face was found."""
    generator = torch.Generator().manual_seed(seed)
    turn: list[Kind] = [kind for kind, share in KIND_SHARES for _ in range(share)]
    rows: list[tuple[np.ndarray, np.ndarray, Kind, np.ndarray, Detection]] = []
    for index in range(count):
        kind = turn[index % len(turn)]
        image, weights, rotmat = painter.sample(kind, generator)
        pixels = np.ascontiguousarray((image.permute(1, 2, 0) * 255).round().byte().numpy())
        if found := detector.detect(pixels):
            rows.append((pixels, weights.numpy(), kind, rotmat.numpy(), found[0]))
    pixels, weights, kinds, rotmats, detections = zip(*rows)
    return SyntheticTestSet(
        pixels=np.stack(pixels),
        expression=np.stack(weights),
        kind=np.array(kinds),
        rotmat=np.stack(rotmats),
        landmarks_px=np.stack([found.landmarks_px for found in detections]),
        depth=np.stack([found.depth for found in detections]),
        scores=np.stack([found.blendshape_scores for found in detections]),
        score=np.array([found.score for found in detections], dtype=np.float32),
        missed=count - len(rows),
    )


def report(title: str, guess: np.ndarray, pictures: SyntheticTestSet, options: Options) -> None:
    """Print the figures of one method."""
    found = expression_metrics(guess, pictures.expression, pictures.kind == "neutral", ARKIT_NAMES)
    print(
        f"{title:8s} mean correlation {np.nanmean(found.correlation):.3f}, mean error {found.error.mean():.4f}, "
        f"asymmetry gain {found.asymmetry_slope:.2f} (smile {found.smile_asymmetry_slope:.2f}), calm faces {found.neutral_mean:.4f}",
        flush=True,
    )
    if options.actions:
        for name, correlation, error in zip(ARKIT_NAMES, found.correlation, found.error):
            print(f"    {name:20s} correlation {correlation:5.2f}  error {error:.3f}")


def main(options: Options) -> None:
    """Draw, detect, measure, compare."""
    head = load_head()
    painter = CharacterPainter(load_character_mesh(options.character, options.eyes))
    path = checkpoint_path(options.weights)
    assert path is not None
    pictures = draw(painter, MethodUnderTest("fit", head, "cpu"), options.count, options.seed)
    still = [name for name, known in zip(ARKIT_NAMES, painter.known.tolist()) if not known]
    print(
        f"{len(pictures)} pictures, {pictures.missed} without a face found; left out: {', '.join(still) or 'nothing'}"
    )
    if options.out:
        from smirk3d.viz.contact_sheet import contact_sheet
        from smirk3d.viz.overlay import save_png

        options.out.mkdir(parents=True, exist_ok=True)
        sheet = contact_sheet(list(pictures.pixels[:24]), [str(kind) for kind in pictures.kind[:24]], columns=8)
        save_png(options.out / "character_truth.png", sheet)
    report("scores", pictures.scores, pictures, options)
    for method in options.methods:
        subject = MethodUnderTest(method, head, "cpu", None if method == "fit" else Checkpoint.read(path, head))
        with progress(len(pictures)) as display:
            weights = predict_all(subject, pictures, display)
        report(method, weights, pictures, options)


if __name__ == "__main__":
    main(tyro.cli(Options))
