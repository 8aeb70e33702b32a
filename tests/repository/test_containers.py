"""Container files and workflows: what cannot be run here is at least read by the tools that know them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name(command[0])
    return subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True)


SCHEMAS = [("vendor.compose-spec", "docker/compose.yaml"), ("vendor.github-workflows", ".github/workflows/ci.yml")]


def test_hadolint_accepts_the_dockerfile():
    done = run("hadolint", "docker/Dockerfile")
    assert 0 == done.returncode, done.stdout


def test_hadolint_goes_red(tmp_path: Path):
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /tmp\n")
    assert 1 == run("hadolint", str(tmp_path / "Dockerfile")).returncode


@pytest.mark.parametrize(("schema", "path"), SCHEMAS)
def test_the_schema_accepts(schema: str, path: str):
    done = run("check-jsonschema", "--builtin-schema", schema, path)
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("schema", "path"), SCHEMAS)
def test_the_schema_goes_red(schema: str, path: str, tmp_path: Path):
    (tmp_path / "wrong.yaml").write_text((ROOT / path).read_text() + "\nservices_of: {}\njobs_of: []\n")
    assert 1 == run("check-jsonschema", "--builtin-schema", schema, str(tmp_path / "wrong.yaml")).returncode


def test_the_image_copies_what_exists():
    lines = (ROOT / "docker" / "Dockerfile").read_text().splitlines()
    sources = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    assert [] == [source for source in sources if not (ROOT / source).exists()]
    ignore = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{source}" for source in sources} == {line for line in ignore if line.startswith("!")}
