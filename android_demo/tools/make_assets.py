"""Writes the app's assets from the zoo: `python android_demo/tools/make_assets.py --data DIR`.

    digits.edge/    a bundle of matmlp-mnist: the model for ExecuTorch, head, codes, cascades
    digits-core/    the same model's layers, which the core evaluates without an engine
    speech/         the spoken digits' FastGRNN
    codes/          the class codes of matvit-omniglot, 968 words of 20 bits, to decode words with

Everything but model.pte comes out of the core's exact arithmetic, so it is the same bytes on
every machine; tests/test_android_assets.py makes it again. No picture or recording of a data
set is in it: the model's golden inputs are noise, and the bundle has no cases.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from edge_sdk import zoo
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.cases import SPLIT, calibrating
from edge_sdk.bundle.folder import pack
from edge_sdk.bundle.reference import (
    DELTA,
    EPSILONS,
    GRANULARITIES,
    evaluate,
    held_out,
    known_distance,
    learn_all,
    reference_codes,
    reference_head,
)
from edge_sdk.cascade import CoreFFN
from edge_sdk.codes import CodeIndex
from edge_sdk.console import command, progress, say
from edge_sdk.source import Source, find_source

MODEL = "matmlp-mnist"
ASSETS = Path(__file__).resolve().parent.parent / "app" / "src" / "main" / "assets"
BUNDLE, CORE = "digits.edge", "digits-core"
SPEECH, CODES = "speech/digits.grnn", "codes/omniglot.llc"
SEED, N_NOISE = 0, 64
DEFAULT = "risk-0.01"
PICTURE = ("grey values in 0..1, ink 1 on black 0, 28 rows of 28; the digit's box scaled to 20 "
           "pixels at its longer side, its centre of mass in the middle, as in MNIST")

Report = Callable[[str], None]


def make(out: Path, *, data: Path | None = None, report: Report = lambda text: None) -> Bundle:
    """Write all assets below `out`, a folder that exists, and return the bundle.

    Args:
        out: The folder.
        data: Folder with data sets, or $EDGE_SDK_DATA; MNIST calibrates the cascades.
        report: Called with what is being done.

    Raises:
        DataError: MNIST is not there.
        OutputError: `out` can not be written.
    """
    from edge_sdk.zoo import matvit_codes
    from edge_sdk.zoo.fastgrnn import runtime_file

    source = find_source(MODEL, data=data, embedding_only=True)
    model: Any = source.universal
    ffn = CoreFFN.from_module(model.ffn, weights_sha256=source.weights_sha256())
    ffn.save(out / CORE)
    bundle = _bundle(out / BUNDLE, source, ffn, data, report)
    for name in (SPEECH, CODES):
        (out / name).parent.mkdir(exist_ok=True)
    shutil.copyfile(runtime_file(), out / SPEECH)
    CodeIndex.build(matvit_codes.load().codebook, decoders=("ed", "ord")).save(out / CODES)
    return bundle


def _bundle(out: Path, source: Source, ffn: CoreFFN, data: Path | None, report: Report) -> Bundle:
    from edge_sdk.export import export_all
    from edge_sdk.prove import Limits

    head, codes = reference_head(source), reference_codes(MODEL)
    cases = held_out(MODEL, data=data)
    mask = calibrating(len(cases))
    report("embedding MNIST's held-out digits on the core")
    pixels = cases.inputs["image"].reshape(len(cases), -1)
    known = {name: ffn.embed(pixels[mask], name) for name in ffn.granularities}
    unseen = {name: ffn.embed(pixels[~mask], name) for name in ffn.granularities}
    words = f"{cases.words}; {SPLIT}"
    with tempfile.TemporaryDirectory(prefix="edge_sdk-") as folder:
        (done,) = export_all(_without_pictures(source),
                             {"executorch": Path(folder) / "model.pte"}, granularity="XL",
                             elastic=GRANULARITIES, quantize="none", limits=Limits(),
                             report=report)
        report("learning thresholds")
        cascades, notes = learn_all(head, done.metadata, known, cases.labels[mask],
                                    epsilons=EPSILONS, delta=DELTA, seed=SEED, words=words)
        notes |= {"labels": list(source.labels), "preprocessing": {"image": PICTURE},
                  "evaluated": evaluate(head, cascades, unseen, cases.labels[~mask])}
        return pack(out, models=[done.path], head=head, cascades=cascades, default=DEFAULT,
                    codes=codes, notes=notes,
                    unknown_distance=None if codes is None else known_distance(codes, known))


def _without_pictures(source: Source) -> Source:
    """Return `source` with noise in place of the data set's pictures."""
    shape = (N_NOISE, *source.inputs["image"].shape[1:])
    noise = np.random.default_rng(SEED).random(shape, np.float32)
    return replace(source, inputs={"image": noise}, inputs_are="noise in 0..1", targets=None,
                   calibration={}, synthetic=True)


def main(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = ASSETS,
    data: Annotated[Path | None, typer.Option(
        help="Folder with data sets; or $EDGE_SDK_DATA.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Write the assets of the Android app."""
    if out == ASSETS:
        out.mkdir(parents=True, exist_ok=True)
    with progress(quiet) as report:
        bundle = make(out, data=data, report=report)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    for path in files:
        say(f"file    {path.relative_to(out).as_posix():<28} {path.stat().st_size:>8} B")
    say(f"wrote   {out}  {sum(path.stat().st_size for path in files)} B  "
        f"{zoo.load(MODEL).weights_sha256[:16]}  default {bundle.manifest.default}")


app = command(main)

if __name__ == "__main__":
    app()
