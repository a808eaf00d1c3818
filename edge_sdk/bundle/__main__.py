"""`python -m edge_sdk.bundle pack | verify | show`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge_sdk.bundle.folder import SUFFIX, Bundle
from edge_sdk.console import commands, progress, say

Folder = Annotated[Path, typer.Argument(help="A bundle, name.edge.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def pack(
    model: Annotated[str, typer.Argument(help="A zoo name.")] = "matvit-omniglot",
    data: Annotated[Path | None, typer.Option(
        help="Folder with data sets; or $EDGE_SDK_DATA.")] = None,
    target: Annotated[str, typer.Option(help="onnx, litert or executorch; several with commas.")]
    = "onnx",
    out: Annotated[Path | None, typer.Option(help="The folder; MODEL.edge by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of the risk control.")] = 0,
    with_profile: Annotated[bool, typer.Option(
        "--profile/--no-profile", help="Measure this device too.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Export a reference model, learn its cascades on held-out data, pack, and profile."""
    from edge_sdk import profile
    from edge_sdk.bundle.reference import pack_reference

    with progress(quiet) as report:
        bundle = pack_reference(model, out or Path(f"{model}{SUFFIX}"), data=data, seed=seed,
                                targets=[name.strip() for name in target.split(",")],
                                report=report)
        if with_profile:
            bundle.replace_profile(profile.measure(bundle, report=report))
    say(describe(bundle))


def verify(folder: Folder) -> None:
    """Read every file of FOLDER and compare its digest."""
    bundle = Bundle.open(folder)
    for name, entry in bundle.manifest.files.items():
        say(f"file    {name:<24} {entry.role:<9} {entry.n_bytes:>9} B  "
            f"sha256 {entry.sha256[:16]}  ok")


def show(folder: Folder, as_json: Json = False) -> None:
    """Verify FOLDER and show what it holds."""
    bundle = Bundle.open(folder)
    if as_json:
        say(json.dumps({
            **asdict(bundle.manifest), "profile": bundle.profile_content,
            "cascades": {name: cascade.to_dict() for name, cascade in bundle.cascades.items()},
        }))
    else:
        say(describe(bundle))


def describe(bundle: Bundle) -> str:
    """Return the aligned text that the commands print."""
    manifest = bundle.manifest
    size = sum(entry.n_bytes for entry in manifest.files.values())
    rows = [
        f"bundle  {bundle.path}  {size} B  {', '.join(bundle.targets)}",
        f"model   {manifest.model}  weights sha256 {manifest.weights_sha256[:16]}  "
        f"{bundle.head.n_classes} classes  dims {' '.join(map(str, bundle.head.dims))}",
    ]
    rows += [f"file    {name:<24} {entry.role:<9} {entry.n_bytes:>9} B"
             for name, entry in manifest.files.items()]
    if bundle.codes is not None:
        rows.append(f"codes   {bundle.codes.codes.bits} bits  unknown from distance "
                    f"{manifest.unknown_distance} on")
    evaluated = manifest.notes.get("evaluated", {})
    for name, cascade in bundle.cascades.items():
        origin = cascade.provenance
        promise = (f"epsilon {origin['epsilon']:g}  delta {origin['delta']:g}  "
                   if "epsilon" in origin else "")
        rows.append(f"cascade {name:<12} {' > '.join(map(str, cascade.levels))}  "
                    f"{origin['method']}  {promise}n {origin.get('n', 'unknown')}"
                    + ("  default" if name == manifest.default else ""))
        if name in evaluated.get("cascades", {}):
            found = evaluated["cascades"][name]
            shares = " ".join(f"{share:.1%}" for share in found["fractions"])
            rows.append(f"top-1   {name:<12} {found['accuracy']:.2%}  n {evaluated['n']}  "
                        f"leave {shares}")
    for name, by_dim in evaluated.get("levels", {}).items():
        rows.append(f"top-1   {name:<12} " + "  ".join(
            f"{dim}: {accuracy:.2%}" for dim, accuracy in by_dim.items()))
    rows += [f"missing {name:<12} {str(why).splitlines()[0]}"
             for name, why in manifest.notes.items() if name.startswith("risk-")]
    profile = bundle.profile_content
    if profile is None:
        rows.append("profile none: python -m edge_sdk.profile FOLDER measures this device")
    else:
        device = profile["device"]
        rows.append(f"profile {device['model'] or 'unknown model'}  "
                    f"{device['cpu'] or 'unknown cpu'}")
    return "\n".join(rows)


app = commands(interrupted="the bundle is as it was", pack=pack, verify=verify, show=show)

if __name__ == "__main__":
    app()
