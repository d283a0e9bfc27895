"""Measures of repair: exact blocks, fair comparisons, and the lines of a small run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from smirk3d.cli.main import main
from smirk3d.evaluation.latent_description import MahalanobisDescription
from smirk3d.evaluation.occluded_windows import (
    CONDITIONS,
    block_before,
    draw_condition,
    psnr_in,
    rebuilt_by_inpainting,
    rebuilt_by_mean_face,
)
from smirk3d.fer.occlusion.network import OcclusionNetwork
from smirk3d.metrics.classification import area_under_roc
from smirk3d.networks.half_file import save_half

FACE = np.asarray(Image.fromarray(astronaut()[:200, 130:330]).convert("L").resize((96, 96)))


@pytest.mark.parametrize("share", [0.25, 0.4])
def test_a_block_covers_its_share(share: float) -> None:
    for seed in range(5):
        drawn, coverage = block_before(FACE, share, np.random.default_rng(seed))
        assert coverage.mean() == pytest.approx(share, abs=0.01)
        assert len(np.unique(drawn[coverage > 0])) == 1 and np.array_equal(drawn[coverage == 0], FACE[coverage == 0])


def test_conditions_follow_their_seed() -> None:
    for name in CONDITIONS:
        one, other = (draw_condition(FACE[None], name, 3) for _ in range(2))
        assert np.array_equal(one.windows, other.windows) and one.shares.max() > 0.9
        assert not np.array_equal(one.windows, draw_condition(FACE[None], name, 4).windows)


def test_the_mean_face_is_fitted_to_what_is_visible() -> None:
    hidden = np.zeros((12, 12), dtype=bool)
    hidden[4:8, 4:8] = True
    rebuilt = rebuilt_by_mean_face(FACE, hidden, 0.5 * FACE + 20)
    assert psnr_in(rebuilt, FACE, hidden) > 40
    assert np.array_equal(rebuilt_by_inpainting(FACE, hidden)[:32], FACE[:32])
    assert 5 < psnr_in(rebuilt_by_inpainting(FACE, hidden), FACE, hidden) < 30
    assert psnr_in(FACE + 16.0, FACE, hidden) == pytest.approx(20 * np.log10(255 / 16))


def test_the_mahalanobis_distance_finds_what_is_unlike_the_clean_ones() -> None:
    random = np.random.default_rng(0)
    mix = random.normal(size=(8, 8))
    clean, odd = random.normal(size=(60, 144, 8)) @ mix, 4 * random.normal(size=(5, 144, 8))
    described = MahalanobisDescription.fit(clean)
    assert np.square(described.distances(clean)).mean() == pytest.approx(8, rel=1e-3)  # a chi-squared of 8 numbers
    assert area_under_roc(described.distances(odd).ravel(), described.distances(clean).ravel()) > 0.9


def test_the_command_prints_all_measures(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_half(OcclusionNetwork(), tmp_path / "network.safetensors", {})
    for name in ("happiness", "sadness"):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for k in range(3):
            Image.fromarray(FACE[:, k : 90 + k]).save(tmp_path / "faces" / name / f"{k}.png")
    command = ["fer", "evaluate", str(tmp_path / "network.safetensors"), "--only", "occlusion"]
    assert main([*command, "--ferplus", str(tmp_path / "faces")]) == 0
    out = capsys.readouterr().out
    assert all(out.count(f"\n  {name:<14} ") == 2 for name in CONDITIONS) and "6 faces" in out
    assert "Mahalanobis" in out and "AUROC of patches, page" in out and "cv2.inpaint" in out
    assert main(command) == 2
