"""Regenerates the committed stubs: ``python proto/generate.py``; ``--check`` exits 1 if they are not current."""

from __future__ import annotations

import filecmp
import pathlib
import sys
import tempfile

from grpc_tools import protoc

SRC = pathlib.Path(__file__).parent / "src"
PROTOS = sorted(SRC.rglob("*.proto"))


def generate(out: pathlib.Path) -> None:
    """Writes all stubs below ``out``. Raises SystemExit with protoc's status if it fails."""
    args = ["protoc", f"-I{SRC}", f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    status = protoc.main([*args, *(str(p) for p in PROTOS)])
    if status:
        raise SystemExit(status)


def main() -> int:
    if "--check" not in sys.argv:
        generate(SRC)
        return 0
    with tempfile.TemporaryDirectory() as tmp:
        out = pathlib.Path(tmp)
        generate(out)
        fresh = sorted(p.relative_to(out) for p in out.rglob("*_pb2*.py*"))
        stale = [str(p) for p in fresh if not (SRC / p).exists() or not filecmp.cmp(out / p, SRC / p, shallow=False)]
        extra = [
            str(p.relative_to(SRC))
            for p in SRC.rglob("*_pb2*.py*")
            if p.relative_to(SRC) not in fresh and "__pycache__" not in p.parts
        ]
    for name in stale:
        print(f"stale stub: {name} (run: python proto/generate.py)")
    for name in extra:
        print(f"stub without a .proto: {name}")
    return 1 if stale or extra else 0


if __name__ == "__main__":
    raise SystemExit(main())
