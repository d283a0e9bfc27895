"""Train one small expression network on rendered heads, and tell what it has learned.

    python scripts/pilot_expression.py --out out/pilot --count 12000 --size 112 --steps 1200
    python scripts/pilot_expression.py --out out/pilot --evaluate-only --real ../shared/data/faces

An EfficientNet-Lite0 with ImageNet's weights learns the 52 ARKit weights by regression. Run again with the same
arguments it goes on where it stopped, and ends with the same numbers as in one go. The held-out pictures show other
people in other looks (another seed). `--real` compares the answers for photos with those of the landmark fit, and
trains a linear probe of emotions on both.
"""

from __future__ import annotations

import csv
import math
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from PIL import Image
from torch import Tensor, nn

from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.load import load_head
from smirk3d.head.model import HeadModel
from smirk3d.networks.backbones import create_backbone
from smirk3d.networks.bounded import bounded
from smirk3d.networks.pretrained import pretrained_efficientnet_lite0
from smirk3d.pipeline.crop import Crop
from smirk3d.pipeline.detect import Detection
from smirk3d.pipeline.images import Photo
from smirk3d.pipeline.landmark_fit import LandmarkFitter
from smirk3d.train.rendered import RenderedFaces

EMOTIONS = ("neutral", "happiness", "surprise", "anger", "sadness")
REAL_SCALE = 1.4
HELD_OUT_SEED = 1000
"""Added to the seed for the pictures that are not trained on."""


@dataclass(frozen=True)
class Options:
    """What is trained, on what, and for how long."""

    out: Path
    """Folder of the pictures and the checkpoint."""
    count: int = 12000
    """Rendered faces to learn from."""
    held_out: int = 600
    seed: int = 1
    size: int = 112
    """Pixels a side."""
    steps: int = 1200
    batch_size: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.02
    weighting: Literal["plain", "variance", "active"] = "variance"
    """Weight of an action's squared error: 1; one over the variance of its truth; or 1, and more where the truth is
    large (1 + 4 truth)."""
    activation: Literal["bounded", "linear", "sigmoid"] = "bounded"
    every: int = 100
    """Steps between evaluations."""
    threads: int = 1
    evaluate_only: bool = False
    real: Path | None = None
    """Folder of real photos: tar shards, labels.csv and landmarks.npz."""
    real_count: int = 1500
    """Photos for the probe, of the training part; half as many of the validation part judge."""


@dataclass(frozen=True)
class RealPhoto:
    """A photo, the face in it, and the emotion it is labelled with."""

    photo: Photo
    detection: Detection
    emotion: str


@dataclass(frozen=True)
class Features:
    """`values` (N, 52) weights, `emotion` (N,) rows of `EMOTIONS`."""

    values: np.ndarray
    emotion: np.ndarray


class ExpressionNet(nn.Module):
    """A backbone, averaged over the picture, and one linear layer: crops (B, 3, S, S) to weights (B, 52)."""

    def __init__(self, activation: str, mean_weights: Tensor) -> None:
        super().__init__()
        self.backbone = create_backbone("tf_efficientnet_lite0")
        self.backbone.load_state_dict(pretrained_efficientnet_lite0())
        self.linear = nn.Linear(self.backbone.out_channels, len(ARKIT_NAMES))
        self.activation = activation
        with torch.no_grad():
            self.linear.weight.mul_(0.1)
            # The mean of the truth: above the lower bound, so that every output starts with a gradient.
            self.linear.bias.copy_(mean_weights.logit(eps=1e-3) if activation == "sigmoid" else mean_weights)

    def forward(self, crops: Tensor) -> Tensor:
        """Return weights (B, 52); in [0, 1] except while a linear network is trained."""
        values = self.linear(self.backbone(crops.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3)))
        if self.activation == "sigmoid":
            return values.sigmoid()
        if self.activation == "linear" and self.training:
            return values
        return bounded(values, torch.zeros(values.shape[1]), torch.ones(values.shape[1]))


@dataclass(frozen=True)
class Figures:
    """How well weights were recovered.

    Attributes:
        correlation: (52,) over the pictures. error: mean absolute. neutral: mean answer for neutral faces.
        gain: slope of the answered on the true left-right difference, one-sided faces only.
    """

    correlation: np.ndarray
    error: float
    neutral: float
    gain: float

    def __str__(self) -> str:
        """Return the figures in one line, the five worst actions last."""
        worst = ", ".join(f"{ARKIT_NAMES[k]} {self.correlation[k]:.2f}" for k in np.argsort(self.correlation)[:5])
        return (
            f"correlation {self.correlation.mean():.3f}, error {self.error:.4f}, neutral {self.neutral:.4f}, "
            f"asymmetry gain {self.gain:.2f}; worst: {worst}"
        )


def correlations(guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the correlation of each column of (N, K) and (N, K); 0 where one never changes."""
    a, b = guess - guess.mean(0), truth - truth.mean(0)
    return (a * b).sum(0) / np.maximum(np.sqrt((a**2).sum(0) * (b**2).sum(0)), 1e-9)


def figures(guess: np.ndarray, truth: np.ndarray, kinds: np.ndarray) -> Figures:
    """Compare weights (N, 52) with the truth (N, 52) for pictures of these kinds (N,)."""
    left = [k for k, name in enumerate(ARKIT_NAMES) if name.endswith("Left") and name not in GAZE_NAMES]
    right = [ARKIT_MIRROR[k] for k in left]
    one_sided = kinds == "one_sided"
    d_truth, d_guess = ((w[:, left] - w[:, right])[one_sided] for w in (truth, guess))
    return Figures(
        correlation=correlations(guess, truth),
        error=float(np.abs(guess - truth).mean()),
        neutral=float(guess[kinds == "neutral"].mean()),
        gain=float((d_truth * d_guess).sum() / (d_truth**2).sum()),
    )


@torch.no_grad()
def answers(net: ExpressionNet, crops: Tensor) -> np.ndarray:
    """Return the network's weights (N, 52) for crops (N, 3, S, S), uint8 or float."""
    net.eval()
    parts = [net(part.float() / 255 if part.dtype == torch.uint8 else part) for part in crops.split(100)]
    return torch.cat(parts).numpy()


def action_weights(truth: Tensor, weighting: str) -> Tensor:
    """Return the weight (52,) of each action's squared error, mean 1."""
    if weighting != "variance":
        return torch.ones(truth.shape[1])
    weights = 1 / truth.var(0).clamp_min(1e-4)
    return weights / weights.mean()


def regression_loss(guess: Tensor, truth: Tensor, weights: Tensor, weighting: str) -> Tensor:
    """Return the weighted squared error of weights (B, 52)."""
    each = (guess - truth).square() * weights
    return (each * (1 + 4 * truth)).mean() if weighting == "active" else each.mean()


def training_batch(faces: RenderedFaces, options: Options, step: int) -> tuple[Tensor, Tensor]:
    """Return the crops and weights of a step, which depend on nothing but its number: runs may be cut anywhere."""
    per_epoch = len(faces) // options.batch_size
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(len(faces), generator=torch.Generator().manual_seed(options.seed * 1_000_003 + epoch))
    batch = faces.batch(order[place * options.batch_size : (place + 1) * options.batch_size])
    assert batch.target is not None and batch.target.expression is not None
    generator = torch.Generator().manual_seed(options.seed * 2_000_003 + step)
    flip = torch.rand(len(batch), generator=generator) < 0.5
    gain, offset = torch.rand(2, len(batch), 1, 1, 1, generator=generator)
    image = batch.image * (0.75 + 0.5 * gain) + 0.2 * (offset - 0.5)
    image = torch.where(flip[:, None, None, None], image.flip(3), image).clamp(0, 1)
    weights = batch.target.expression
    return image, torch.where(flip[:, None], weights[:, list(ARKIT_MIRROR)], weights)


def learning_rate(options: Options, step: int) -> float:
    """A short rise, then half a cosine to zero."""
    warm_up = max(options.steps // 20, 1)
    if step < warm_up:
        return options.lr * (step + 1) / warm_up
    return options.lr * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(options.steps - warm_up, 1)))


def train(net: ExpressionNet, faces: RenderedFaces, held_out: RenderedFaces, options: Options) -> None:
    """Train from the last checkpoint to the last step."""
    checkpoint = options.out / "pilot.pt"
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    weights = action_weights(truth_of(faces), options.weighting)
    start = 0
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        start = saved["step"]
    began_s, running = time.monotonic(), 0.0
    for step in range(start, options.steps):
        net.train()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(options, step)
        image, truth = training_batch(faces, options, step)
        loss = regression_loss(net(image), truth, weights, options.weighting)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        running = 0.95 * running + 0.05 * loss.item()
        if (step + 1) % options.every == 0 or step + 1 == options.steps:
            rate = (step + 1 - start) * options.batch_size / (time.monotonic() - began_s)
            epoch = (step + 1) * options.batch_size / len(faces)
            found = evaluate(net, held_out)
            print(
                f"step {step + 1} (epoch {epoch:.2f}), {rate:.1f} pictures/s, loss {running:.5f}: {found}", flush=True
            )
            save(checkpoint, {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1})


def save(path: Path, content: dict) -> None:
    """Write a checkpoint under its name only when it is complete."""
    partial = path.with_name(path.name + ".partial")
    torch.save(content, partial)
    partial.replace(path)


def truth_of(faces: RenderedFaces) -> Tensor:
    """Return the true weights (N, 52)."""
    parts = []
    for index in torch.arange(len(faces)).split(256):
        target = faces.batch(index).target
        assert target is not None and target.expression is not None
        parts.append(target.expression)
    return torch.cat(parts)


def evaluate(net: ExpressionNet, faces: RenderedFaces) -> Figures:
    """Judge the network on rendered faces."""
    parts = [answers(net, faces.batch(index).image) for index in torch.arange(len(faces)).split(100)]
    return figures(np.concatenate(parts), truth_of(faces).numpy(), np.array(faces.kinds))


def real_photos(folder: Path, split: str, count: int) -> list[RealPhoto]:
    """Return photos of a split with one of the five usual emotions, the same number of each as far as they go."""
    with open(folder / "labels.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split and row["source"] == "lfw"]
    chosen = {}
    for emotion in EMOTIONS:
        keys = sorted(row["key"] for row in rows if row["emotion"] == emotion)
        chosen |= dict.fromkeys(keys[: count // len(EMOTIONS)], emotion)
    with np.load(folder / "landmarks.npz", allow_pickle=False) as table:
        row_of = {key: row for row, key in enumerate(table["keys"].tolist())}
        names = table["blendshape_names"].tolist()
        order = [names.index(name) if name in names else -1 for name in ARKIT_NAMES]
        points, all_scores = table["lm"].astype(np.float32), table["blendshapes"].astype(np.float32)
    photos = []
    for tar in sorted(folder.glob(f"{split}-*.tar")):
        with tarfile.open(tar) as archive:
            for member in archive:
                key, suffix = member.name.rsplit(".", 1)
                if suffix != "jpg" or key not in chosen:
                    continue
                file = archive.extractfile(member)
                assert file is not None
                pixels = np.array(Image.open(file).convert("RGB"))
                xy, depth = points[row_of[key], :, :2], points[row_of[key], :, 2]
                scores = np.where(np.array(order) < 0, 0, all_scores[row_of[key]][order])
                box_px = np.concatenate([xy.min(0), xy.max(0)])
                photos.append(RealPhoto(Photo(pixels), Detection(xy, depth, scores, box_px, 1.0), chosen[key]))
    return photos


def probe(train_set: Features, test_set: Features) -> float:
    """Return the mean recall over emotions of multinomial logistic regression, every class weighted alike."""
    mean, std = train_set.values.mean(0), train_set.values.std(0) + 1e-6
    x, x_test = (torch.from_numpy((part.values - mean) / std).float() for part in (train_set, test_set))
    y, y_test = torch.from_numpy(train_set.emotion), torch.from_numpy(test_set.emotion)
    weight = torch.zeros(x.shape[1] + 1, len(EMOTIONS), requires_grad=True)
    class_weight = 1 / torch.bincount(y, minlength=len(EMOTIONS)).clamp_min(1)
    optimizer = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(x @ weight[1:] + weight[0], y, class_weight / class_weight.sum())
        loss = loss + 1e-3 * weight[1:].square().sum()
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)
    answer = (x_test @ weight[1:] + weight[0]).argmax(1)
    present = [k for k in range(len(EMOTIONS)) if (y_test == k).any()]
    return float(np.mean([(answer[y_test == k] == k).float().mean().item() for k in present]))


def judge_real(net: ExpressionNet, head: HeadModel, options: Options, folder: Path) -> None:
    """Compare with the landmark fit on real photos, and probe both for emotions."""
    fitter = LandmarkFitter(head)
    net_sets, fit_sets = [], []
    for split, count in (("train", options.real_count), ("val", options.real_count // 2)):
        photos = real_photos(folder, split, count)
        emotion = np.array([EMOTIONS.index(item.emotion) for item in photos])
        crops = [Crop.from_landmarks(p.detection.landmarks_px, REAL_SCALE, options.size) for p in photos]
        cut = torch.stack([crop.cut(p.photo.pixels, antialias=True) for crop, p in zip(crops, photos)])
        net_sets.append(Features(answers(net, cut), emotion))
        faces = fitter([(p.photo, p.detection) for p in photos], torch.arange(len(photos)))
        fit_sets.append(Features(np.stack([face.expression for face in faces]), emotion))
    each = correlations(net_sets[1].values, fit_sets[1].values)
    print(f"{len(net_sets[1].values)} real photos: correlation with the landmark fit {each.mean():.3f}")
    print("  " + ", ".join(f"{ARKIT_NAMES[k]} {each[k]:.2f}" for k in np.argsort(-each)))
    for name, (train_set, test_set) in (("network", net_sets), ("landmark fit", fit_sets)):
        print(f"  probe of {len(EMOTIONS)} emotions on the {name}: mean recall {probe(train_set, test_set):.3f}")


def main(options: Options) -> None:
    """Make pictures, train, evaluate."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    head = load_head()
    sets = [
        RenderedFaces(head, count, seed, options.size, folder=options.out / "faces")
        for count, seed in ((options.count, options.seed), (options.held_out, options.seed + HELD_OUT_SEED))
    ]
    began_s = time.monotonic()
    made = [count for faces in sets for count in faces.prepare()]
    print(f"{len(made)} shards ready after {time.monotonic() - began_s:.0f} s", flush=True)
    net = ExpressionNet(options.activation, truth_of(sets[0]).mean(0))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if options.evaluate_only:
        net.load_state_dict(torch.load(options.out / "pilot.pt", weights_only=True)["net"])
        found = evaluate(net, sets[1])
        print(found)
        for k, name in enumerate(ARKIT_NAMES):
            print(f"    {name:20s} {found.correlation[k]:5.2f}")
    else:
        train(net, sets[0], sets[1], options)
    if options.real is not None:
        judge_real(net, head, options, options.real)


if __name__ == "__main__":
    main(tyro.cli(Options))
