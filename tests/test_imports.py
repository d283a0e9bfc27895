"""What importing costs, and which way imports go."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import smirk3d

PACKAGE = Path(smirk3d.__file__).parent
HEAVY = {"mediapipe", "warp", "cv2", "matplotlib", "pandas", "trimesh", "pygltflib", "pyarrow", "kornia", "pxr"}
# A module imports only from its own layer and from those before it. Imports inside functions count; those under
# TYPE_CHECKING do not.
LAYERS = (
    {"errors", "equality", "deferred", "bounded_io"},
    {"assets"},
    {"append_file", "output_lock", "safetensors_bytes"},
    {"progress"},
    {"params"},
    {"geometry", "metrics"},
    {"zoo"},
    {"media"},
    {"head"},
    {"render"},
    {"masking"},
    {"face_writers"},
    {"face"},
    {"track"},
    {"networks"},
    {"detection"},
    {"authoring"},
    {"export"},
    {"viz"},
    {"viewer"},
    {"estimation"},
    {"batch"},
    {"tracking"},
    {"fer", "reenactment"},
    {"datasets"},
    {"train"},
    {"evaluation"},
    {"scale"},
    {"cli"},
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# Upward imports that still exist; the list only shrinks.
ALLOWED: set[tuple[str, str]] = set()


def _layer(module: str) -> str:
    """Return the part of a dotted name below the package, "" for the package itself."""
    return [*module.split("."), ""][1]


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those that run under TYPE_CHECKING only."""
    for child in ast.iter_child_nodes(tree):
        if not _is_type_checking(child):
            yield child
            yield from _nodes(child)


def _imported(tree: ast.Module) -> list[str]:
    """List what a module imports from the package, anywhere in it."""
    names = []
    for node in _nodes(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            whole = MODULES & {f"{node.module}.{alias.name}" for alias in node.names}
            names += sorted(whole) or [node.module or ""]
    return [name for name in names if name.split(".")[0] == "smirk3d"]


def _modules() -> list[tuple[str, Path]]:
    files = sorted(PACKAGE.rglob("*.py"))
    dotted = [(".".join(("smirk3d", *path.relative_to(PACKAGE).with_suffix("").parts)), path) for path in files]
    return [(name.removesuffix(".__init__"), path) for name, path in dotted if name != "smirk3d.__init__"]


MODULES = {name for name, _ in _modules()}


def _is_upward(importer: str, imported: str) -> bool:
    own, other = _layer(importer), _layer(imported)
    if other in ("", "__version__"):  # the package itself imports nothing
        return False
    return RANK.get(other, len(LAYERS)) > RANK.get(own, -1)


@cache
def _imports() -> dict[str, list[str]]:
    return {module: _imported(_tree(path)) for module, path in _modules()}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", ["smirk3d", "smirk3d.cli.main"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not (HEAVY | {"torch", "numpy", "PIL", "rich"}) & set(result.stdout.split())


def test_imports_go_one_way() -> None:
    upward = {(module, name) for module, names in _imports().items() for name in names if _is_upward(module, name)}
    assert upward == ALLOWED


def test_every_part_has_a_layer() -> None:
    assert {_layer(module) for module in MODULES} <= set(RANK)


def test_no_circle_of_files() -> None:
    imports = {
        module: {name for name in names if name in MODULES and (module, name) not in ALLOWED}
        for module, names in _imports().items()
    }
    while leaves := {module for module, names in imports.items() if not names & imports.keys()}:
        imports = {module: names for module, names in imports.items() if module not in leaves}
    assert not imports


def test_deferred_imports_count_and_those_for_types_do_not() -> None:
    tree = ast.parse("""
if TYPE_CHECKING:
    from smirk3d.cli.main import main
def function():
    from smirk3d.face import Face
""")
    assert _imported(tree) == ["smirk3d.face"]


def test_upward_import_is_noticed() -> None:
    assert _is_upward("smirk3d.geometry.camera", "smirk3d.head.model")
    assert _is_upward("smirk3d.geometry.camera", "smirk3d.nowhere")
    assert not _is_upward("smirk3d.head.model", "smirk3d.geometry.camera")
    assert not _is_upward("smirk3d.cli.main", "smirk3d.__version__")


def test_no_heavy_import_at_the_top_of_a_module() -> None:
    for module, path in _modules():
        for node in _tree(path).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & (HEAVY - {"warp", "pygltflib"}), module


def test_public_names_are_found_where_they_are_defined() -> None:
    assert set(dir(smirk3d)) == set(smirk3d.__all__)
    for name in smirk3d.__all__:
        assert getattr(smirk3d, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        smirk3d.nonsense  # noqa: B018
