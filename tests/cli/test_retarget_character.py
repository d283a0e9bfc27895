"""`smirk3d retarget --character` on files: animation of a character by clips, photos and tables."""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from cli_runs import runner
from synthetic_track import synthetic_track

from smirk3d.export.tables.expression_file import write_arkit
from smirk3d.export.tables.track_table import write_track_table
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.track import Track

Json = dict[str, Any]


@pytest.fixture
def run(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    return runner("retarget", capsys)


def write_character(path: Path, names: Sequence[str] | None = ARKIT_NAMES, bones: Sequence[str] = ("Head",)) -> Path:
    """Write a triangle with morph targets, and bones beside it."""
    count = 52 if names is None else len(names)
    blob = np.concatenate([np.eye(3), *(np.full((3, 3), 0.01 * k) for k in range(count))]).astype(np.float32).tobytes()
    views = [{"buffer": 0, "byteOffset": 36 * k, "byteLength": 36} for k in range(count + 1)]
    accessors: list[Json] = [
        {"bufferView": k, "componentType": 5126, "count": 3, "type": "VEC3"} for k in range(count + 1)
    ]
    for k, accessor in enumerate(accessors):
        accessor |= {"min": [0.0 if k == 0 else 0.01 * (k - 1)] * 3, "max": [1.0 if k == 0 else 0.01 * (k - 1)] * 3}
    primitive = {"attributes": {"POSITION": 0}, "targets": [{"POSITION": k + 1} for k in range(count)]}
    mesh: Json = {"name": "Face", "primitives": [primitive]}
    if names is not None:
        mesh["extras"] = {"targetNames": list(names)}
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(bones) + 1))}],
        "nodes": [{"name": "FaceNode", "mesh": 0}, *({"name": bone} for bone in bones)],
        "meshes": [mesh],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(blob)}],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    content = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(blob), b"BIN\0") + blob
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(content)) + content)
    return path


def animation(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return times and, by property, the values (T, K) of the last animation of a file."""
    content = path.read_bytes()
    (size,) = struct.unpack_from("<I", content, 12)
    document, blob = json.loads(content[20 : 20 + size]), content[28 + size :]

    def numbers(index: int) -> np.ndarray:
        accessor = document["accessors"][index]
        width = {"SCALAR": 1, "VEC4": 4}[accessor["type"]]
        start = document["bufferViews"][accessor["bufferView"]]["byteOffset"]
        return np.frombuffer(blob, np.float32, accessor["count"] * width, start)

    last = document["animations"][-1]
    times = numbers(last["samplers"][0]["input"])
    found = {
        channel["target"]["path"]: numbers(last["samplers"][channel["sampler"]]["output"]).reshape(len(times), -1)
        for channel in last["channels"]
    }
    return times, found


def save_clip(track: Track, path: Path, **changes: np.ndarray) -> Path:
    """Write the arrays of a clip that the command reads."""
    names = ("arkit", "time_s", "status", "rotation_rotmat", "translation_m", "eyes", "jaw", "expression")
    arrays = {name: getattr(track, name) for name in names} | {"arkit_names": np.array(ARKIT_NAMES)}
    np.savez(path, **(arrays | {"rate_fps": np.array(25.0), "head": np.array("open")} | changes))  # type: ignore[arg-type]
    return path


@pytest.fixture
def clip(open_head: HeadModel, tmp_path: Path) -> Path:
    return save_clip(synthetic_track(open_head), tmp_path / "clip.npz")


@pytest.fixture
def character_path(tmp_path: Path) -> Path:
    return write_character(tmp_path / "hero.glb")


def test_a_clip_animates_a_character(run, clip: Path, character_path: Path, open_head: HeadModel) -> None:
    answer = run(clip, "--character", character_path)
    out = clip.with_name("hero_clip.glb")
    assert (answer.code, answer.err) == (0, []) and answer.out == [
        f"frames: 40; 1.56 s; 52 of 52 ARKit blendshapes drive 52 targets on 1 mesh; head rotated: node Head; {out}"
    ]
    track = synthetic_track(open_head)
    times, found = animation(out)
    assert np.allclose(times, track.time_s, atol=1e-6) and np.allclose(found["weights"], track.arkit, atol=1e-6)
    x, y, z, w = found["rotation"].T
    # The third column of the rotation: where the face looks.
    looks = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=1)
    assert np.allclose(looks, track.rotation_rotmat[:, :, 2], atol=1e-5)


def test_lost_frames_hold_the_last_values(run, character_path: Path, open_head: HeadModel, tmp_path: Path) -> None:
    track = synthetic_track(open_head, lost=slice(10, 20))
    answer = run(save_clip(track, tmp_path / "clip.npz"), "--character", character_path, "--out", "new/x.glb")
    assert answer.code == 0 and answer.out[0].startswith("frames: 40 (10 lost, held); 1.56 s;")
    times, found = animation(tmp_path / "new" / "x.glb")
    keys = [*range(10), 19, *range(20, 40)]
    assert np.allclose(times, track.time_s[keys], atol=1e-6)
    for values in found.values():
        assert np.isfinite(values).all() and (values[10] == values[9]).all() and (values[11] != values[10]).any()
    assert np.allclose(found["weights"][11:], track.arkit[20:], atol=1e-6)


@pytest.mark.parametrize(("lost", "keys"), [(slice(0, 3), range(3, 40)), (slice(36, 40), [*range(36), 39])])
def test_lost_frames_at_the_ends(lost, keys, run, character_path: Path, open_head: HeadModel, tmp_path: Path) -> None:
    track = synthetic_track(open_head, lost=lost)
    assert run(save_clip(track, tmp_path / "clip.npz"), "--character", character_path, "--out", "x.glb").code == 0
    times, found = animation(tmp_path / "x.glb")
    assert np.allclose(times, track.time_s[list(keys)], atol=1e-6) and np.isfinite(found["weights"]).all()


def test_weights_in_another_order(run, character_path: Path, open_head: HeadModel, tmp_path: Path) -> None:
    track = synthetic_track(open_head)
    turned = {"arkit": track.arkit[:, ::-1], "arkit_names": np.array(ARKIT_NAMES[::-1])}
    assert (
        run(save_clip(track, tmp_path / "clip.npz", **turned), "--character", character_path, "--out", "x.glb").code
        == 0
    )
    assert np.allclose(animation(tmp_path / "x.glb")[1]["weights"], track.arkit, atol=1e-6)


def test_a_photo_animates_a_character(
    run, character_path: Path, make_face: Callable[..., Face], tmp_path: Path
) -> None:
    face = make_face()
    face.save(tmp_path / "photo_0.npz")
    answer = run("photo_0.npz", "--character", character_path)
    assert answer.code == 0 and "frames: 1; 0.00 s" in answer.out[0] and "head rotated: node Head" in answer.out[0]
    times, found = animation(tmp_path / "hero_photo_0.glb")
    assert times.tolist() == [0] and np.allclose(found["weights"], [list(face.arkit.values())], atol=1e-6)
    assert abs(found["rotation"][0, 3]) < 0.999


def test_a_table_animates_a_character(run, character_path: Path, tmp_path: Path) -> None:
    weights = np.random.default_rng(0).uniform(0, 1, (7, 52))
    write_arkit(tmp_path / "clip.csv", tuple("abcdefg"), {"arkit": weights})
    for words, fps in ((), 30), (("--fps", 12.5), 12.5):
        answer = run("clip.csv", "--character", character_path, *words)
        assert answer.code == 0 and "head not rotated: no rotation in the input" in answer.out[0]
        times, found = animation(tmp_path / "hero_clip.glb")
        assert np.allclose(times, np.arange(7) / fps) and np.allclose(found["weights"], weights, atol=1e-5)
        assert list(found) == ["weights"]


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def test_time_stamps_of_a_table(run, character_path: Path, tmp_path: Path) -> None:
    """As `video` writes it: rows without weights are lost frames."""
    rows = [[k, 0.1 + k * k / 10, *([""] * 52 if k in (2, 3) else [k / 10] * 52)] for k in range(6)]
    _write_table(tmp_path / "clip.csv", ("frame", "time_s", *ARKIT_NAMES), rows)
    assert run("clip.csv", "--character", character_path).out[0].startswith("frames: 6 (2 lost, held); 2.50 s;")
    times, found = animation(tmp_path / "hero_clip.glb")
    assert np.allclose(times, [0.1, 0.2, 1.0, 1.7, 2.6])
    assert np.allclose(found["weights"][:, 0], [0, 0.1, 0.1, 0.4, 0.5])
    assert "has its own time stamps" in run("clip.csv", "--character", character_path, "--fps", 25).err[0]
    _write_table(tmp_path / "two.csv", ("frame", "time_s", *ARKIT_NAMES), rows[:2] * 2)
    refused = run("two.csv", "--character", character_path)
    assert refused.code == 1 and "two.csv: its times do not increase; name the .npz of one person" in refused.err[0]


def test_a_recording_of_live_link_face(run, character_path: Path, tmp_path: Path) -> None:
    angles = ("HeadYaw", "HeadPitch", "HeadRoll")
    columns = ["Timecode", "BlendshapeCount", *(name[0].upper() + name[1:] for name in ARKIT_NAMES), *angles]
    rows = [[f"10:20:30:{58 + k if k < 2 else k - 2:02d}.250", 61, *[k / 8] * 52, 0.5, 0, 0] for k in range(4)]
    _write_table(tmp_path / "take.csv", columns, rows)
    answer = run("take.csv", "--character", character_path)
    assert answer.code == 0 and "do not determine the frame rate; assuming 60" in answer.err[0]
    refused = run("take.csv", "--character", character_path, "--fps", 30)
    assert refused.code == 2 and "its time codes count to frame 59 of a second; give --fps 60" in refused.err[0]
    _write_table(tmp_path / "short.csv", columns, [["10:20:30:07.250", *row[1:]] for row in rows])
    answer = run("short.csv", "--character", character_path)
    assert answer.code == 0 and len(answer.err) == 1
    assert "short.csv: its time codes do not determine the frame rate; assuming 30" in answer.err[0]
    answer = run("take.csv", "--character", character_path, "--fps", 60)
    assert answer.code == 0 and "; head rotated: node Head; " in answer.out[0]
    times, found = animation(tmp_path / "hero_take.glb")
    assert np.allclose(times, np.arange(4) / 60) and np.allclose(found["weights"][:, 51], np.arange(4) / 8)
    assert np.allclose(found["rotation"], (0, -np.sin(0.25), 0, np.cos(0.25)))  # to the subject's right


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_of_a_clip_rotates_the_head(
    suffix: str, run, clip: Path, character_path: Path, open_head, tmp_path: Path
) -> None:
    write_track_table([synthetic_track(open_head)], tmp_path / f"table{suffix}")
    for source in (clip.name, f"table{suffix}"):
        assert "; head rotated: node Head; " in run(source, "--character", character_path).out[0]
    (times, found), (wanted_times, wanted) = (animation(tmp_path / f"hero_{name}.glb") for name in ("table", "clip"))
    assert np.allclose(times, wanted_times) and found.keys() == wanted.keys()
    assert all(np.allclose(found[name], wanted[name], atol=1e-5) for name in found)


def test_a_mapping_and_its_suggestion(run, clip: Path, tmp_path: Path, open_head: HeadModel) -> None:
    names = ("Basis", "Face_EYE_Close_L", "Face_EYE_Close_R", "Smile_Left", "aa")
    character_path = write_character(tmp_path / "stylised.glb", names, bones=())
    refused = run(clip, "--character", character_path)
    assert refused.code == 1 and not refused.out and len(refused.err) == 1
    assert "stylised.glb: none of its morph targets is named as an ARKit blendshape; similar: " in refused.err[0]
    assert "eyeBlinkLeft ~ Face_EYE_Close_L" in refused.err[0] and "--suggest FILE.yaml" in refused.err[0]
    answer = run(clip, "--character", character_path, "--suggest", "new/names.yaml")
    assert answer.code == 0 and not answer.err and answer.out[0].endswith("--mapping: new/names.yaml")
    assert not list(tmp_path.glob("stylised_*.glb"))
    mapping = yaml.safe_load((tmp_path / "new" / "names.yaml").read_text())
    assert list(mapping) == list(ARKIT_NAMES) and mapping["eyeBlinkLeft"] == "Face_EYE_Close_L"
    assert run(clip, "--character", character_path, "--suggest", "new/names.yaml").err[0].count("exists already") == 1
    driven = {"eyeBlinkLeft": "Face_EYE_Close_L", "mouthSmileLeft": {"Smile_Left": 0.5}, "eyeLookOutRight": ["aa"]}
    (tmp_path / "names.yaml").write_text(yaml.safe_dump(driven))
    answer = run(clip, "--character", character_path, "--mapping", "names.yaml")
    assert (
        answer.code == 0 and "3 of 52 ARKit blendshapes drive 3 targets on 1 mesh; not driven: eyeLook" in answer.out[0]
    )
    assert (
        len(answer.err) == 1
        and "only 3 of 52 ARKit blendshapes are driven, not eyeLookDown (both sides), " in answer.err[0]
    )
    assert "; similar: eyeBlinkRight ~ Face_EYE_Close_R; --suggest" in answer.err[0]
    assert "head not rotated: no single node named head" in answer.out[0]
    arkit = synthetic_track(open_head).arkit
    wanted = np.zeros((40, 5))
    wanted[:, 1], wanted[:, 3] = (arkit[:, ARKIT_NAMES.index(name)] for name in ("eyeBlinkLeft", "mouthSmileLeft"))
    wanted[:, 3] /= 2
    wanted[:, 4] = 0.5
    assert np.allclose(animation(tmp_path / "stylised_clip.glb")[1]["weights"], wanted, atol=1e-6)


def test_targets_without_names(run, clip: Path, tmp_path: Path) -> None:
    character_path = write_character(tmp_path / "nameless.glb", None)
    refused = run(clip, "--character", character_path)
    assert refused.code == 1 and "map them by number, as `jawOpen: 'Face[0]'`" in refused.err[0]
    (tmp_path / "names.yaml").write_text("mouthSmileLeft: Face[7]\n")
    assert run(clip, "--character", character_path, "--mapping", "names.yaml").code == 0
    weights = animation(tmp_path / "nameless_clip.glb")[1]["weights"]
    assert np.allclose(weights[:, 7], np.linspace(0, 1, 40)) and not np.delete(weights, 7, axis=1).any()


def test_the_summary_lists_what_is_not_animated(run, clip: Path, tmp_path: Path) -> None:
    bones = ("CC_Base_Head", "LeftEye", "eye_R", "Eyebrow")
    names = [name for name in ARKIT_NAMES if name not in (*GAZE_NAMES, "tongueOut")]
    character_path = write_character(tmp_path / "hero.glb", names, bones)
    answer = run(clip, "--character", character_path)
    assert answer.code == 0 and not answer.err
    assert (
        "; 43 of 52 ARKit blendshapes drive 43 targets on 1 mesh; not driven: the gaze, tongueOut; head "
        in answer.out[0]
    )
    assert "tongueOut; head not rotated: no single node named head, name one with --head-node; " in answer.out[0]
    assert "gaze not driven: eye bones (LeftEye, eye_R) are not rotated" in answer.out[0]
    assert "rotation" not in animation(tmp_path / "hero_clip.glb")[1]
    answer = run(clip, "--character", character_path, "--head-node", "CC_Base_Head")
    assert "head rotated: node CC_Base_Head" in answer.out[0]
    assert "rotation" in animation(tmp_path / "hero_clip.glb")[1]


def test_the_rotation_can_be_left_out(run, clip: Path, character_path: Path, tmp_path: Path) -> None:
    answer = run(clip, "--character", character_path, "--no-head-turn")
    assert answer.code == 0 and "head" not in answer.out[0].split(str(tmp_path))[0]
    assert list(animation(tmp_path / "hero_clip.glb")[1]) == ["weights"]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["clip.npz", "--mapping", "x.yaml"], 2, "--mapping: is about a character; name its file with --character"),
        (["clip.npz", "--no-head-turn"], 2, "--no-head-turn: is about a character"),
        (["clip.npz", "--character", "hero.glb", "--to", "open"], 2, "a character takes ARKit weights"),
        (["clip.npz", "--character", "hero.glb", "--out", "x.gltf"], 2, "--out x.gltf: must end in .glb"),
        (["clip.npz", "--character", "hero.glb", "--out", "./hero.glb"], 2, "is an input itself"),
        (["clip.npz", "--character", "hero.glb", "--fps", "0"], 2, "--fps 0: must be a positive number"),
        (["clip.npz", "--character", "hero.glb", "--fps", "25"], 2, "clip.npz has its own time stamps"),
        (
            ["clip.npz", "--character", "hero.glb", "--head-node", "Heda"],
            1,
            "no node is named 'Heda'; did you mean Head",
        ),
        (["clip.npz", "--character", "hero.glb", "--head-node", "Head", "--no-head-turn"], 2, "exclude each other"),
        (["t.csv", "--character", "hero.glb", "--head-node", "Head"], 2, "t.csv has no rotation of the head"),
        (["clip.npz", "--character", "hero.glb", "--suggest", "x.txt"], 2, "--suggest x.txt: must end in .yaml"),
        (["clip.npz", "--character", "hero.glb", "--suggest", "x.yaml", "--out", "y.glb"], 2, "leave --out out"),
        (["clip.npz", "--character", "none.glb"], 1, "none.glb: cannot be read (No such file"),
        (["none.npz", "--character", "hero.glb"], 1, "none.npz: cannot be read as expressions (No such file"),
        (["hero.glb", "--character", "hero.glb"], 1, "hero.glb: cannot be read as expressions"),
        (["clip.npz", "--character", "t.csv"], 1, "t.csv: is no glTF file"),
        (
            ["clip.npz", "--character", "hero.glb", "--mapping", "none.yaml"],
            1,
            "none.yaml: cannot be read as a mapping",
        ),
        (["lost.npz", "--character", "hero.glb"], 1, "lost.npz: the face was lost in all frames"),
        (["still.npz", "--character", "hero.glb"], 1, "still.npz: its times do not increase"),
        (["few.npz", "--character", "hero.glb"], 1, "few.npz: is no clip of 52 ARKit weights"),
        (["nan.npz", "--character", "hero.glb"], 1, "nan.npz: has weights that are no numbers"),
    ],
)
def test_refusals(
    words: list[str], code: int, reason: str, run, clip: Path, character_path: Path, open_head: HeadModel
) -> None:
    track, folder = synthetic_track(open_head), clip.parent
    write_arkit(folder / "t.csv", ("a",), {"arkit": np.zeros((1, 52))})
    save_clip(track, folder / "lost.npz", status=np.full(40, 2, dtype=np.uint8))
    save_clip(track, folder / "still.npz", time_s=np.zeros(40))
    save_clip(track, folder / "few.npz", arkit=track.arkit[:, 1:])
    save_clip(track, folder / "nan.npz", arkit=np.full((40, 52), np.nan))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    refused = run(*words)
    assert refused.code == code and not refused.out
    assert len(refused.err) == 1 and reason in refused.err[0]
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
