"""What the documentation names exists: pages, headings, commands, flags, columns, keys, modules, files."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import fields
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml

import smirk3d
from smirk3d.cli.evaluate import Evaluate
from smirk3d.cli.fer_evaluate import FerEvaluate
from smirk3d.cli.main import main
from smirk3d.cli.reconstruct import Reconstruct
from smirk3d.cli.reenact import Reenact
from smirk3d.cli.video import Video
from smirk3d.export.tables.expression_file import ARRAY_NAMES
from smirk3d.export.tables.expressions_csv import TABLE_COLUMNS
from smirk3d.face import Face

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CARDS = ROOT / "smirk3d" / "zoo" / "files"
MADE = {
    "contributing.md": ROOT / "CONTRIBUTING.md",
    "changelog.md": ROOT / "CHANGELOG.md",
    "security.md": ROOT / "SECURITY.md",
    "flame-files.md": ROOT / "flame_assets" / "README.md",
    **{f"zoo/{card.name}": card for card in CARDS.glob("*.md")},
}
"""Pages of the site that `scripts/docs_pages.py` makes from other files, by their name in the site."""
PAGES = {path.relative_to(DOCS).as_posix(): path for path in DOCS.rglob("*.md")}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in {**PAGES, **MADE}.items()}
COMMANDS = sorted(set(re.findall(r"`smirk3d ((?:head |data |fer )?[a-z]+)", TEXTS["cli.md"])))
PYTHON_BLOCKS = [code for text in TEXTS.values() for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)]


def _table(page: str, title: str) -> list[str]:
    """Return the first cells of the rows of the table of a page under a header that starts with `title`."""
    lines = TEXTS[page][TEXTS[page].index(f"| {title} |") :].split("\n\n")[0].splitlines()[2:]
    return [line.split("|")[1].strip() for line in lines]


def _slug(heading: str) -> str:
    """Return the anchor of a heading as Python-Markdown makes it."""
    plain = unicodedata.normalize("NFKD", re.sub(r"[`*]", "", heading)).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def _links() -> Iterator[tuple[str, str, str]]:
    """Yield (page, target, anchor) of the links within the site, targets relative to its root."""
    for page, text in TEXTS.items():
        for link in re.findall(r"\]\((?!http)([^)\s]+)\)", text):
            name, _, anchor = link.partition("#")
            if page in MADE and name.startswith(("docs/", "../docs/")):
                name = name.split("docs/", 1)[1]
            elif page in MADE and (ROOT / name).is_file() and name.endswith(".md") and "/" not in page:
                name = name.lower()
            target = page if not name else (Path("/") / Path(page).parent / name).resolve().relative_to("/").as_posix()
            yield page, target, anchor


def test_links_lead_to_pages_and_headings() -> None:
    for page, target, anchor in _links():
        if target.startswith("api/"):  # made from the package
            module = target.removeprefix("api/").removesuffix(".md").removesuffix("/index")
            assert module == "index" or find_spec(f"smirk3d.{module.replace('/', '.')}"), (page, target)
            continue
        assert target in TEXTS or (DOCS / target).is_file(), (page, target)
        if anchor:
            headings = re.findall(r"^#+ (.*)$", TEXTS[target], flags=re.MULTILINE)
            assert anchor in {_slug(heading) for heading in headings}, (page, target, anchor)


def test_every_page_is_in_the_navigation_once() -> None:
    class Loader(yaml.SafeLoader):
        """Reads the file without what it says in MkDocs' own tags."""

    Loader.add_multi_constructor("", lambda loader, suffix, node: None)
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"]

    def leaves(entry: object) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        for part in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
            yield from leaves(part)

    named = list(leaves(nav))
    assert len(named) == len(set(named))
    assert {name for name in TEXTS if not name.startswith("zoo/")} | {"zoo/", "api/"} == set(named)


def test_the_site_fetches_nothing() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in text
    assert "extra_javascript" not in text
    assert not re.search(r"<(script|link|img)[^>]*https?://", "\n".join(TEXTS.values()))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist(command: str, capsys: pytest.CaptureFixture) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert "usage: smirk3d" in capsys.readouterr().out


def test_all_commands_are_described() -> None:
    heads = {"head build", "head info", "head convert"}
    heads |= {
        f"fer {name}" for name in ("predict", "features", "probe", "train", "evaluate", "export", "check", "repair")
    }
    heads |= {"fer vae"}
    training = {"data prepare", "data targets", "data check", "train", "evaluate"}
    assert (
        set(COMMANDS)
        == {"reconstruct", "video", "features", "retarget", "view", "reenact", "doctor"} | heads | training
    )


def test_commands_named_anywhere_exist() -> None:
    words = {command.split()[0] for command in COMMANDS}
    for page, text in TEXTS.items():
        used = set(re.findall(r"`smirk3d ([a-z]+)\b", text))
        for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
            used |= set(re.findall(r"^smirk3d ([a-z]+)\b", block, flags=re.MULTILINE))
        assert used <= words, (page, used - words)


def test_flags_are_those_of_the_command() -> None:
    described = {re.findall(r"--[a-z-]+", cell)[0] for cell in _table("cli.md", "Flag")}
    actual = {f"--{field.name.replace('_', '-')}" for field in fields(Reconstruct)} - {"--inputs", "--out"}
    assert described == actual


def test_flags_of_video_are_those_of_the_command() -> None:
    shared = {"--head", "--method", "--weights", "--engine", "--device", "--focal", "--no-scores", "--debug", "--out"}
    described = {re.findall(r"--[a-z-]+", cell)[0] for cell in _table("video.md", "Flag")}
    actual = {f"--{field.name.replace('_', '-')}" for field in fields(Video)} - {"--input"}
    assert described == actual - shared
    assert all(flag in TEXTS["video.md"] for flag in shared - {"--debug", "--out"})


def test_flags_of_reenact_are_those_of_the_command() -> None:
    described = {re.findall(r"--[a-z-]+", cell)[0] for cell in _table("reenactment.md", "Flag")}
    assert described == {f"--{field.name.replace('_', '-')}" for field in fields(Reenact)} - {"--debug"}


def test_table_columns_are_those_of_the_table() -> None:
    named = [name for cell in _table("formats.md", "Columns") for name in re.findall(r"`(\w+)`", cell)]
    assert set(named) <= set(TABLE_COLUMNS)
    assert named == sorted(named, key=TABLE_COLUMNS.index)
    assert (named[0], named[-1]) == (TABLE_COLUMNS[0], TABLE_COLUMNS[-1])


def test_npz_keys_are_those_of_the_archive(make_face: Callable[..., Face]) -> None:
    from smirk3d.export.tables.npz import face_arrays

    named = {name for cell in _table("formats.md", "Key") for name in re.findall(r"`([a-z_0-9]+)`", cell)}
    assert named == set(face_arrays(make_face()))


def test_arrays_that_retarget_reads_are_those_it_knows() -> None:
    text = TEXTS["flame.md"][TEXTS["flame.md"].index("**FLAME to ARKit.**") :].split("\n\n")[0]
    named = set(re.findall(r"`([a-z_]+)`", text)) - {command.split()[0] for command in COMMANDS}
    assert named >= set(ARRAY_NAMES) - {"arkit"}
    assert named <= set(sum(ARRAY_NAMES.values(), ()))


@pytest.mark.parametrize("code", PYTHON_BLOCKS)
def test_python_names_exist(code: str) -> None:
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            is_lazy = node.module in ("smirk3d", "smirk3d.fer")  # their names are imported at first use
            known = set(dir(import_module(node.module))) if node.module and is_lazy else _definitions(node.module or "")
            assert {alias.name for alias in node.names} <= known
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "face":
            assert node.attr in {*dir(Face), *(field.name for field in fields(Face))}


def test_public_names_are_shown_in_python() -> None:
    code = "\n".join(PYTHON_BLOCKS)
    assert all(name in code for name in set(smirk3d.__all__) - {"__version__", "Face"})


def test_attributes_of_a_face_exist() -> None:
    known = {*dir(Face), *(field.name for field in fields(Face))}
    named = [name for cell in _table("python.md", "Attribute of a face") for name in re.findall(r"`face\.(\w+)", cell)]
    assert named and set(named) <= known


def test_modules_and_their_names_exist() -> None:
    for page in set(TEXTS) - {"changelog.md"}:
        for dotted in sorted(set(re.findall(r"smirk3d(?:\.[a-z_0-9]\w*)+", TEXTS[page]))):
            parent, _, name = dotted.rpartition(".")
            assert find_spec(dotted) or (find_spec(parent) and name in _definitions(parent)), (page, dotted)


def _definitions(module: str) -> set[str]:
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return {getattr(node, "name", "") for node in tree.body}


def test_headings_of_the_method_that_the_code_cites_exist() -> None:
    headings = set(re.findall(r"^#+ (.*)$", TEXTS["method.md"], flags=re.MULTILINE))
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "smirk3d").rglob("*.py"))
    cited = re.findall(r'docs/method\.md,\s+"([^"]+)"', code) + re.findall(r'"([^"]+)"\s+in\s+docs/method\.md', code)
    assert cited
    assert set(cited) <= headings


def test_parts_of_the_architecture_exist() -> None:
    named = [
        name for cell in _table("architecture.md", "Folder in `smirk3d/`") for name in re.findall(r"`(.*?)`", cell)
    ]
    found = {f"{path.name}/" for path in (ROOT / "smirk3d").iterdir() if (path / "__init__.py").exists()}
    found |= {path.stem for path in (ROOT / "smirk3d").glob("*.py")} - {"__init__"}
    assert len(named) == len(set(named))
    assert set(named) == found
    steps = re.findall(r"\| `([a-z_.]+)`(?:, `([a-z_.]+)`)? \|", TEXTS["architecture.md"])
    assert all(find_spec(f"smirk3d.{name}") for pair in steps for name in pair if name)


def test_files_named_exist() -> None:
    pattern = r"(?<![\w/.])((?:smirk3d|tests|scripts|benchmarks|configs|examples)/[\w./-]*\.\w+)"
    for page in set(TEXTS) - {"changelog.md"}:
        for name in set(re.findall(pattern, TEXTS[page])) - {"benchmarks/NAME.py"}:
            assert (ROOT / name).exists(), (page, name)


def test_terms_of_the_glossary_are_in_order() -> None:
    terms = [term.lower() for term in _table("glossary.md", "Term")]
    assert terms == sorted(terms)


def test_measures_are_those_of_the_command() -> None:
    from smirk3d.evaluation.registry import MEASURES

    tables = TEXTS["evaluation.md"].split("| Measure |")[1:]
    cells = [line.split("|")[1] for table in tables for line in table.split("\n\n")[0].splitlines()[2:]]
    assert [cell.strip(" `") for cell in cells] == [measure.name for measure in MEASURES]
    used = [names for text in TEXTS.values() for names in re.findall(r"--only ([a-z_,-]+)", text)]
    known = {measure.name for measure in MEASURES} | {"truth"} | set(get_args(get_type_hints(FerEvaluate)["only"]))
    assert {name for names in used for name in names.split(",")} <= known


def test_flags_of_evaluate_exist() -> None:
    known = {f"--{field.name.replace('_', '-')}" for field in fields(Evaluate)}
    for page, text in TEXTS.items():
        for command in re.findall(r"smirk3d evaluate [^`\n]*", text):
            assert set(re.findall(r"--[a-z-]+", command)) <= known, (page, command)


def test_flags_of_recipes_exist() -> None:
    commands = re.findall(r"python -m (smirk3d\.train\.recipes\.\w+) ([^`]*)", "\n".join(TEXTS.values()))
    assert len(commands) > 3
    for module, arguments in commands:
        spec = find_spec(module)
        assert spec is not None and spec.origin is not None
        folder = Path(spec.origin).parent
        names = {
            node.target.id
            for path in folder.glob("*.py")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        flags = {flag.replace("-", "_") for flag in re.findall(r"--([a-z-]+)", arguments)}
        assert flags <= names, (module, flags - names)


def test_changelog_names_the_deprecated_keys() -> None:
    from smirk3d.train import renamed_keys

    for old, new in renamed_keys._RENAMED_KEYS.items():
        for name in (old.rsplit(".", 1)[-1], new):
            assert re.search(rf"[`.]{name}`", TEXTS["changelog.md"]), (old, new)


def test_figures_are_dated() -> None:
    recorded = re.findall(r"(\d{4}-\d\d-\d\d), ([0-9a-f]{7})\b", TEXTS["benchmarks.md"])
    assert len(recorded) > 20


def test_pages_do_not_speak_of_what_a_reader_cannot_have() -> None:
    for page, text in TEXTS.items():
        assert not re.search(r"(?<![\w.:/<])/[a-z]+/|METHOD section", text), page  # absolute paths of some machine
        above = set(re.findall(r"\.\./([\w-][\w.-]*)", text))
        assert all((ROOT / name).exists() or (ROOT / "docs" / name).exists() for name in above), page
