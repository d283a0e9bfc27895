"""Images beside a head: overlays of photos and videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_files import shades, write_video

from smirk3d.errors import Smirk3dError
from smirk3d.media import decoding
from smirk3d.viewer.side_images import open_side_images, overlay_beside


def test_the_photo_is_above_its_overlay(tmp_path: Path) -> None:
    strip = np.zeros((512, 2 * 300 + 768, 3), dtype=np.uint8)
    strip[:, :300], strip[:, 300:600], strip[:, 600:] = 50, 100, 200
    Image.fromarray(strip).save(tmp_path / "b_overlay.png")
    (tmp_path / "b_0.glb").touch()
    found = overlay_beside(tmp_path / "b_0.glb")
    assert found is not None and found == tmp_path / "b_overlay.png" and overlay_beside(tmp_path / "c_0.glb") is None
    loaded = open_side_images(found).at(0)
    assert loaded.shape == (1024, 300, 3) and loaded[:512].max() == 50 and (loaded[512:] == 100).all()


def test_frames_of_a_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "clip_overlay.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(40):
            pixels = np.full((48, 64, 3), 40 + 5 * number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    assert overlay_beside(tmp_path / "clip.glb") == path
    video = open_side_images(path)
    for time_s in (0.0, 0.1, 0.25, 3.0, 1.0, 1.5, 0.05, 9.0):
        number = min(int(time_s * 10 + 0.01), 39)
        assert abs(float(video.at(time_s).mean()) - (40 + 5 * number)) < 2.5, time_s
    video.close()
    path.write_bytes(b"nonsense")
    with pytest.raises(Smirk3dError, match="video"):
        open_side_images(path)


def test_sizes_are_checked_before_decoding(tmp_path: Path) -> None:
    Image.new("1", (40_000, 10_000)).save(tmp_path / "a_overlay.png")
    with pytest.raises(Smirk3dError, match=r"a_overlay\.png"):
        open_side_images(tmp_path / "a_overlay.png")


def test_an_overlay_of_too_large_frames_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a_overlay.mp4", shades(3))
    open_side_images(path).close()
    monkeypatch.setattr(decoding, "MAX_FRAME_PIXELS", 1000)
    with pytest.raises(Smirk3dError, match=r"a_overlay\.mp4: cannot be read as a video"):
        open_side_images(path)
