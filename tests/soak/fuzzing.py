"""What the fuzzing programs share: instrumented imports where atheris is, corpora, one main."""

import contextlib
import sys
from pathlib import Path

try:
    import atheris
except ImportError:  # the targets themselves are Python, and run without it
    atheris = None

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/corpus"
"""What is kept: small inputs, one folder a target, that reach what others do not, or once broke."""


def instrumented(package):
    if atheris is None:
        return contextlib.nullcontext()
    return atheris.instrument_imports(include=[package])


def run(arguments, targets, seeds, *, ignored=()):
    """Fuzz one target; what it finds grows in build/fuzz, beside what is kept in tests/corpus."""
    target = arguments.pop(1) if len(arguments) > 1 else ""
    if target not in targets:
        sys.exit(f"usage: {arguments[0]} {'|'.join(targets)} [libFuzzer options]")
    grown = ROOT / "build/fuzz" / target
    grown.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds(target)):
        (grown / f"seed{number}").write_bytes(data)
    kept = [str(CORPUS / target)] if (CORPUS / target).is_dir() else []

    def one(data):
        with contextlib.suppress(*([ignored] if ignored else [])):
            targets[target](data)

    atheris.Setup([*arguments, str(grown), *kept], one)
    atheris.Fuzz()
