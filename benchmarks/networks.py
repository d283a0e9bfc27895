"""Median milliseconds of the networks for one picture, by every engine that is installed.

Pictures have 224 × 224 pixels, those of the packaged encoder 160 × 160.

The engines alternate, so that a change of the machine's load affects all of them. Run with OMP_NUM_THREADS set to
the number of threads to measure, and with OMP_WAIT_POLICY=PASSIVE: threads that spin while they wait for one
engine's work slow down the next engine's. Without a checkpoint the weights are random, which costs the same time.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from timing import Cost, alternate, cost_of
from torch import Tensor, nn

from smirk3d.head.spec import Param, ParamSpec
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.networks.onnx_engine import OnnxEncoder
from smirk3d.networks.packaged import packaged_encoder

SIZE_PX = 224
FLAME = ParamSpec(
    (
        Param("shape", 300),
        Param("expression", 50),
        Param("eyelids", 2, 0.0, 1.0),
        Param("jaw", 3),
        Param("pose", 3),
        Param("camera", 3),
    )
)
Engines = dict[str, Callable[[], object]]


def interleaved_ms(engines: Engines, rounds: int) -> dict[str, list[float]]:
    """Return the wall-clock milliseconds of every engine in every round; each is warmed up once a round."""

    def warm(run: Callable[[], object]) -> Cost:
        run()
        return cost_of(run)

    costs = alternate({name: lambda run=run: warm(run) for name, run in engines.items()}, rounds, warm_up=0)
    return {name: [cost.wall_ms for cost in each] for name, each in costs.items()}


def torch_engines(network: Encoder | NeuralRenderer, inputs: tuple[Tensor, ...]) -> Engines:
    """Return the network in eager mode, and its copy for inference."""
    for_inference = network.for_inference()
    return {"torch eager": lambda: network(*inputs), "torch for_inference": lambda: for_inference(*inputs)}


def encoder_engines(encoder: Encoder) -> Engines:
    """Return torch and, where it is installed, ONNX Runtime, for one crop of the encoder's size."""
    crops = torch.rand(1, 3, encoder.size_px, encoder.size_px)
    engines = torch_engines(encoder, (crops,))
    if find_spec("onnx") and find_spec("onnxruntime"):
        onnx = OnnxEncoder(encoder, size_px=encoder.size_px, n_threads=torch.get_num_threads())
        engines["OnnxEncoder"] = lambda: onnx(crops)
    return engines


def onnx_file_engines(network: nn.Module, inputs: tuple[Tensor, ...], folder: Path) -> Engines:
    """Return the engines that run an ONNX export of a network with one output and fixed sizes."""
    if not (find_spec("onnx") and find_spec("onnxruntime")):
        return {}
    import onnxruntime  # pyright: ignore[reportMissingImports]

    path = folder / "network.onnx"
    torch.onnx.export(network, inputs, str(path), dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {node.name: tensor.numpy() for node, tensor in zip(session.get_inputs(), inputs)}
    engines: Engines = {"onnxruntime": lambda: session.run(None, feed)}
    if find_spec("openvino"):
        import openvino  # pyright: ignore[reportMissingImports]

        settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
        request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()
        engines["openvino"] = lambda: request.infer([tensor.numpy() for tensor in inputs])
    return engines


def report(title: str, engines: Engines, rounds: int) -> None:
    """Print median, minimum, and the median ratio to the first engine in the same round, one line an engine."""
    times = interleaved_ms(engines, rounds)
    eager = next(iter(times.values()))
    print(f"{title}, batch 1, {torch.get_num_threads()} threads, {rounds} rounds")
    for name, values in times.items():
        ratio = statistics.median(value / base for value, base in zip(values, eager))
        print(
            f"  {name:20s} median {statistics.median(values):7.1f} ms  min {min(values):7.1f} ms  {ratio:5.2f} of eager"
        )


@torch.no_grad()
def main() -> None:
    """Measure the encoders, then the neural renderer."""
    crops, photo = torch.rand(1, 3, SIZE_PX, SIZE_PX), torch.rand(1, 3, SIZE_PX, SIZE_PX)
    report("encoder", encoder_engines(Encoder(FLAME).eval()), 40)
    packaged = packaged_encoder()
    if packaged is not None:
        report("packaged encoder", encoder_engines(Encoder.from_checkpoint(packaged)), 40)
    renderer = NeuralRenderer().eval()
    with tempfile.TemporaryDirectory() as folder:
        exported = onnx_file_engines(renderer.for_inference(), (crops, photo), Path(folder))
        report("neural renderer", torch_engines(renderer, (crops, photo)) | exported, 12)


if __name__ == "__main__":
    main()
