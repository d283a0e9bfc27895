"""A FLAME-like file becomes a head with landmarks, masks and eyelids; where it has its own, those stay."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from flame_layout import FlameLayout, make_flame_layout, write_flame_layout
from flame_layout_files import MEDIAPIPE_105, write_companions

import smirk3d.authoring.flame_completion as complete
from smirk3d.authoring import load
from smirk3d.authoring.flame_completion import TRANSFERRED_REGIONS, transfer_annotations
from smirk3d.authoring.load import load_head
from smirk3d.errors import Smirk3dError
from smirk3d.head.data import HeadData
from smirk3d.head.flame.companion_files import FlameFiles, read_mediapipe_points
from smirk3d.head.flame.loader import read_flame
from smirk3d.head.landmark_indices import FACE_OVAL, IBUG68, MIRROR
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import save_pack
from smirk3d.params import FaceParams, LandmarkEmbedding


@pytest.fixture(scope="module")
def layout() -> FlameLayout:
    return make_flame_layout()


@pytest.fixture(scope="module")
def small(layout, tmp_path_factory) -> Path:
    """The file with a dozen components: quick to read and to write."""
    path = tmp_path_factory.mktemp("small") / "generic_model.pkl"
    names = ("f", "v_template", "posedirs", "J_regressor", "weights", "kintree_table")
    content = {name: getattr(layout, name) for name in names}
    path.write_bytes(pickle.dumps(content | {"shapedirs": layout.shapedirs[..., 294:306]}))
    return path


@pytest.fixture(scope="module")
def landmarks(layout) -> dict[str, LandmarkEmbedding]:
    """The landmarks where they belong, as if they had been detected on renders."""
    face_index, barycentric = (torch.from_numpy(np.array(part)) for part in vars(layout.mediapipe).values())
    mediapipe = LandmarkEmbedding(face_index, barycentric.float(), torch.full((478,), 0.5), torch.tensor(MIRROR))
    return {"mediapipe": mediapipe, "ibug68": mediapipe.take(torch.tensor(IBUG68))}


@pytest.fixture(scope="module")
def no_renders(landmarks) -> Iterator[None]:
    def embedded(data: HeadData, detector: object, report: object) -> HeadData:
        assert 500 < data.regions["face"].sum() < 4000  # the renders are framed on the face
        return replace(data, landmarks=landmarks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(complete, "embed_landmarks", embedded)
        yield


@pytest.fixture(scope="module")
def head(small, no_renders, open_head) -> HeadModel:
    return HeadModel(transfer_annotations(read_flame(small), None))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def messages() -> list[str]:
    return []


@pytest.fixture(scope="module")
def automatic(tmp_path_factory, open_head, messages) -> tuple[HeadModel, Path]:
    """A bare file of full size loaded as anyone would load it, and the cache that it is kept in."""
    path, heads = tmp_path_factory.mktemp("bare") / "generic_model.pkl", tmp_path_factory.mktemp("cache") / "heads"
    write_flame_layout(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMIRK3D_CACHE", str(heads.parent))
        whole = load_head(path, report=messages.append)
        patch.setattr(load, "transfer_annotations", lambda *args: pytest.fail("made again"))
        again = load_head(path, n_shape=20, n_expression=10)
        assert again.data.v_template.equal(whole.data.v_template) and again.data.meta == whole.data.meta
        assert (again.n_shape, again.n_expression) == (20, 10)
    return whole, heads


def true_points(layout: FlameLayout) -> torch.Tensor:
    corners = layout.v_template[layout.f[layout.mediapipe.face_index]]
    return torch.from_numpy(np.einsum("lk,lkc->lc", layout.mediapipe.barycentric, corners)).float()


@pytest.mark.slow
def test_a_bare_file_gets_its_landmarks_from_renders(automatic, layout, messages, capsys):
    head, heads = automatic
    distance = (head(FaceParams()).landmarks("mediapipe") - true_points(layout)).norm(dim=1)
    inner = torch.ones(478, dtype=torch.bool)
    inner[list(FACE_OVAL)] = False  # slides along the outline
    assert distance[inner].median() < 0.003 and distance[inner].mean() < 0.0035
    assert distance[inner].quantile(0.95) < 0.009
    assert distance[[33, 133, 362, 263, 1]].max() < 0.005
    assert distance[[61, 291]].max() < 0.006
    face_index = head.landmark_embedding("mediapipe").face_index
    assert head.landmark_embedding("ibug68").face_index.equal(face_index[list(IBUG68)]) and head.data.contour is None
    check_masks(head, layout)
    check_eyelids(head, layout)
    assert head.data.meta["landmarks"].startswith("automatic")
    assert messages[0] == "completing generic_model.pkl for its first use" and any(
        "open head" in line for line in messages
    )
    assert len(list(heads.iterdir())) == 1 and capsys.readouterr().out == ""


def check_masks(head: HeadModel, layout: FlameLayout) -> None:
    assert set(TRANSFERRED_REGIONS) <= set(head.data.regions)
    for theirs, least in (("face", 0.9), ("lips", 0.7), ("nose", 0.85), ("forehead", 0.8), ("left_eye_region", 0.8)):
        true = torch.zeros(len(head.v_template), dtype=torch.bool)
        true[layout.masks[theirs]] = True
        mask = head.region_mask(theirs)
        assert (mask & true).sum() / (mask | true).sum() > least, theirs
    eyeballs = head.region_mask("eyeballs")
    assert eyeballs.sum() == (torch.from_numpy(layout.weights[:, 3:]) > 0.5).sum()
    assert not any((head.region_mask(name) & eyeballs).any() for name in TRANSFERRED_REGIONS)


def check_eyelids(head: HeadModel, layout: FlameLayout) -> None:
    transferred = head.eyelid_dirs
    assert transferred is not None and not transferred[head.region_mask("eyeballs")].any()
    true = torch.from_numpy(layout.eyelids).permute(1, 2, 0).float()
    skin = head.region_mask("left_eye_region") | head.region_mask("right_eye_region")
    moving = skin & (true.norm(dim=1).amax(1) > 0.002)
    assert moving.sum() > 150
    error = (transferred - true).norm(dim=1).amax(1)[moving]
    assert error.mean() < 0.2 * true.norm(dim=1).amax(1)[moving].mean()
    middle, x = head(FaceParams()).joints[3:, 0].mean(), head.v_template[:, 0]
    assert not transferred[x < middle, :, 0].any() and not transferred[x > middle, :, 1].any()


def test_regions_are_transferred(head, layout):
    check_masks(head, layout)


def test_eyelids_are_transferred(head, layout):
    check_eyelids(head, layout)


def test_eyelids_of_one_side_fade_out_before_the_middle(small, no_renders, open_head, monkeypatch):
    everywhere = torch.full_like(open_head.data.eyelid_dirs, 0.01)
    monkeypatch.setattr(complete, "open_head_data", lambda: replace(open_head.data, eyelid_dirs=everywhere))
    data = transfer_annotations(read_flame(small), None)  # type: ignore[arg-type]
    transferred, x = data.eyelid_dirs, data.v_template[:, 0] - (data.J_regressor @ data.v_template)[3:, 0].mean()
    assert transferred is not None and transferred[data.regions["left_eye_region"] & (x > 0.012)].any()
    assert not transferred[x < 0, :, 0].any() and not transferred[x > 0, :, 1].any()
    assert transferred[x.abs() < 1e-3].norm(dim=1).max() < 0.002  # no step there that would tear the skin


def test_the_origin_of_each_part_is_recorded(head):
    meta = head.data.meta
    assert meta["landmarks"].startswith("automatic") and meta["landmarks ibug68"] == "automatic"
    assert meta["eyelids"] == meta["regions"] == "transferred from the open head"
    assert meta["jaw"] == "joint" and head.data.mirror_vertices is None


@pytest.fixture
def quick(monkeypatch, tmp_path, small) -> tuple[Path, list[str]]:
    """A model file in a folder of its own, an empty cache, and a completion that only counts."""
    made: list[str] = []

    def counted(data, detector, report, points):
        made.append(data.name)
        return data

    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(load, "transfer_annotations", counted)
    monkeypatch.setattr("smirk3d.detection.detector.Detector.__init__", lambda self, **options: None)
    monkeypatch.setattr("smirk3d.detection.detector.Detector.close", lambda self: None)
    path = tmp_path / "flame" / "generic_model.pkl"
    path.parent.mkdir()
    path.symlink_to(small)
    return path, made


def test_the_cache_follows_the_files(quick, layout):
    path, made = quick
    load_head(path)
    load_head(str(path))
    assert len(made) == 1
    write_companions(path.parent, layout)  # a new companion gives another head
    assert load_head(path).data.contour is not None and len(made) == 2
    np.save(path.parent / "l_eyelid.npy", np.zeros((5023, 3)))
    load_head(path)
    assert len(made) == 3
    (path.parent / "no_jaw.pkl").symlink_to(path)  # and so does another name of the same file
    assert load_head(path.parent / "no_jaw.pkl").data.jaw_readout is not None and len(made) == 4


def test_a_damaged_cached_head_is_made_again(quick):
    path, made = quick
    load_head(path)
    (pack,) = load.heads_cache_dir().glob("*.pack")
    files = sorted(pack.parent.iterdir())
    assert len(pack.stem) == 16
    pack.write_bytes(b"damaged")
    load_head(path)
    assert len(made) == 2 and sorted(pack.parent.iterdir()) == files


def test_pickles_and_packs_are_distinguished_by_content(quick, tmp_path, tiny_data):
    path, made = quick
    save_pack(tiny_data, tmp_path / "odd.pkl")
    assert load_head(tmp_path / "odd.pkl").data.name == "tiny" and not made
    starts = set()
    for padding in range(0, 256, 8):  # the first bytes are the length of the header, and look like a pickle's at times
        save_pack(replace(tiny_data, meta={"padding": "x" * padding}), tmp_path / "odd.pkl")
        starts.add((tmp_path / "odd.pkl").read_bytes()[:1])
        assert load_head(tmp_path / "odd.pkl").data.name == "tiny" and not made
    assert {b"(", b"\x80"} <= starts
    (tmp_path / "odd.pack").symlink_to(path)
    assert load_head(tmp_path / "odd.pack").data.name == "flame"
    (tmp_path / "evil").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(Smirk3dError, match=r"evil: refers to os\.system"):
        load_head(tmp_path / "evil")


# What the files have


def test_existing_annotations_are_kept(small, layout, tmp_path, no_renders, landmarks, monkeypatch):
    monkeypatch.setattr(complete, "register_surfaces", lambda *heads: pytest.fail("nothing is lacking"))
    write_companions(tmp_path, layout)
    companions = FlameFiles.beside(tmp_path / "x.pkl")
    assert companions.mediapipe is not None
    data = read_flame(small, companions)
    points = read_mediapipe_points(companions.mediapipe, len(data.faces))
    whole = transfer_annotations(data, None, points=points)  # type: ignore[arg-type]
    assert whole.regions is data.regions and whole.eyelid_dirs is data.eyelid_dirs and whole.contour is data.contour
    assert whole.landmarks["ibug68"] is data.landmarks["ibug68"]
    mediapipe, automatic = whole.landmarks["mediapipe"], landmarks["mediapipe"]
    chosen = torch.tensor(MEDIAPIPE_105)
    np.testing.assert_array_equal(mediapipe.face_index[chosen].numpy(), layout.mediapipe.face_index[chosen])
    assert mediapipe.weight[chosen].eq(1).all()
    rest = torch.ones(478, dtype=torch.bool)
    rest[chosen] = False
    for field in ("face_index", "barycentric", "weight"):
        assert getattr(mediapipe, field)[rest].equal(getattr(automatic, field)[rest])
    meta = whole.meta
    assert meta["eyelids"].startswith("from l_eyelid.npy") and meta["landmarks ibug68"] == "from landmark_embedding.npy"
    assert f"{len(MEDIAPIPE_105)} points from" in meta["landmarks"] and meta["regions"] == "from FLAME_masks.pkl"


def test_only_missing_parts_are_transferred(small, no_renders, head):
    own, mask = replace(read_flame(small), eyelid_dirs=torch.ones(5023, 3, 2)), torch.arange(5023) < 10
    own = replace(own, regions=own.regions | {"lips": mask}, meta={"regions": "from FLAME_masks.pkl"})
    whole = transfer_annotations(own, None)  # type: ignore[arg-type]
    assert whole.regions["lips"].equal(mask) and whole.eyelid_dirs is own.eyelid_dirs
    assert whole.regions["face"].equal(head.region_mask("face"))
    assert whole.meta["regions"].startswith("from FLAME_masks.pkl; transferred from the open head (face, ")
    assert "eyelids" not in whole.meta
