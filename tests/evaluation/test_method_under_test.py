"""Methods under test, and photos without annotations."""

import tarfile
from io import BytesIO

import numpy as np
import pytest
from evaluation_faces import FakeMethod, Silent, face_points, record
from PIL import Image

from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.evaluation.method_under_test import DetectorScores, checkpoint_path
from smirk3d.evaluation.mirror import measure_mirror
from smirk3d.evaluation.photos import PhotoFiles, face_observation


class FakeDetector:
    """Detects one face with scores of a half, unless the top-left pixel is black."""

    def __init__(self) -> None:
        self.closed = False

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        return FakeMethod(lambda pixels: pixels).detect(pixels)

    def close(self) -> None:
        self.closed = True


def test_the_detector_as_a_method():
    detector = FakeDetector()
    method = DetectorScores(detector)  # type: ignore[arg-type]
    known = face_observation(record("a", 1))
    found = method.observe(known)
    assert found is not None and found.photo is known.photo
    assert method.weights([found, found]).tolist() == [[0.5] * 52] * 2
    assert np.array_equal(method.landmarks_px([found]), face_points()[None])
    assert np.array_equal(method.features([found]), method.weights([found]))
    assert method.observe(face_observation(record("b", 1, lost=True))) is None
    method.close()
    assert detector.closed


def test_words_in_place_of_a_checkpoint():
    assert checkpoint_path("fit") is None and checkpoint_path("detector") is None
    assert str(checkpoint_path("a/b.pt")) == "a/b.pt"


def write_photos(folder) -> None:
    folder.mkdir()
    for k in range(3):
        picture = Image.fromarray(np.full((20, 30, 3), 50 + k, np.uint8))
        if k == 1:
            picture.paste((0, 0, 0), (0, 0, 5, 5))
        picture.save(folder / f"{k}.png")


def test_photos_of_a_folder(tmp_path):
    write_photos(tmp_path / "photos")
    photos = PhotoFiles.read(tmp_path / "photos", 10, FakeDetector().detect)
    (batch,) = photos.batches()
    assert len(photos) == 3 and [int(face.photo.pixels[9, 9, 0]) for face in batch] == [50, 52]
    assert isinstance(batch[0], FaceObservation) and len(PhotoFiles.read(tmp_path / "photos", 2, photos.detect)) == 2


def test_photos_of_an_archive(tmp_path):
    path = tmp_path / "photos.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("a.jpg", "a.json", "b.jpg"):
            content = record(name, 1).jpeg
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
    photos = PhotoFiles.read(path, 10, FakeDetector().detect)
    assert len(photos) == 2 and sum(map(len, photos.batches())) == 2
    path.write_bytes(b"no archive")
    with pytest.raises(Smirk3dError, match="unreadable"):
        PhotoFiles.read(path, 10, photos.detect)


def test_mirror_images_of_plain_photos(tmp_path):
    write_photos(tmp_path / "photos")
    method = FakeMethod(lambda pixels: np.full(52, pixels.mean() / 255, np.float32))
    result = measure_mirror(method, PhotoFiles.read(tmp_path / "photos", 10, method.detect), Silent())
    assert (result.faces, result.left_out) == (2, 1) and result.figures["mean_difference"] == 0
