"""`python -m edge_sdk.zoo.cards NAME`: measure a reference model and write its card.

The figures go to `cards/NAME.json`, and `cards/NAME.md` is rendered from that
file alone, words included: what the text says follows from the comparisons.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_sdk.console import command, say
from edge_sdk.errors import CheckpointError
from edge_sdk.train import default_out

if TYPE_CHECKING:
    from edge_sdk.data import Dataset
    from edge_sdk.nn.matformer import ImageEncoder
    from edge_sdk.zoo.recipes import Recipe

Card = dict[str, Any]

TOLERATED_POINTS = 1.5
"""How far a nested model may lie below one trained alone before its card says why."""

WIDTHS = ("S", "M", "L", "XL")
NESTED = "nested"


# --- measuring ------------------------------------------------------------------------


@dataclass(frozen=True)
class Provenance:
    """Which training a weights file came from; None is not recorded."""

    path: Path
    width: str
    seed: int
    epochs: int | None = None
    threads: int | None = None
    torch: str | None = None

    def command(self, recipe: Recipe) -> str:
        """Return the command that trains such weights."""
        words = ["python -m edge_sdk.train", recipe.name, f"--seed {self.seed}"]
        if self.width != NESTED:
            words.append(f"--independent {self.width}")
        if self.epochs not in (None, recipe.epochs):
            words.append(f"--epochs {self.epochs}")
        if self.threads not in (None, 1):
            words.append(f"--threads {self.threads}")
        return " ".join(words)

    def default_path(self, recipe: Recipe) -> str:
        """Return where that command writes, so that a card names no folder of one machine."""
        width = None if self.width == NESTED else self.width
        return default_out(recipe.name, width, self.seed).as_posix()


def provenance(text: str, recipe: Recipe, *, nested: bool) -> Provenance:
    """Return what is known of a weights file, written FILE, FILE:SEED or FILE:WIDTH:SEED.

    What is written goes before what the file's metadata says.

    Raises:
        CheckpointError: No weights file, of another recipe or kind, or neither its
            metadata nor `text` tells width and seed.
    """
    from edge_sdk.checkpoint import read_metadata

    path, width, seed = text, None, None
    head, _, tail = text.rpartition(":")
    if head and tail.isdecimal():
        path, seed = head, int(tail)
        head, _, tail = path.rpartition(":")
        if head and tail in WIDTHS:
            path, width = head, tail
    metadata = read_metadata(path)
    made_for = metadata.get("recipe", recipe.name)
    width = width or metadata.get("width") or (NESTED if nested else None)
    if seed is None and "seed" in metadata:
        seed = int(metadata["seed"])
    if made_for != recipe.name or (width == NESTED) != nested or seed is None:
        raise CheckpointError(
            f"weights of {recipe.name}, {'nested' if nested else 'trained at one width'}",
            f"recipe {made_for}, width {width}, seed {seed}", where=path,
            hint="a file without metadata is named FILE:WIDTH:SEED, or FILE:SEED if nested: "
                 "m.safetensors:S:0",
        )
    epochs, threads = (int(metadata[key]) if key in metadata else None
                       for key in ("epochs", "threads"))
    return Provenance(Path(path), width or NESTED, seed, epochs, threads, metadata.get("torch"))


def measure(
    recipe: Recipe, data: Dataset, weights: Provenance, *,
    nested: Sequence[Provenance] = (), independent: Sequence[Provenance] = (),
    data_option: bool = False,
) -> Card:
    """Return the card of `weights`, with its peers measured on the same images.

    Args:
        recipe: What was trained.
        data: Its data set.
        weights: The shipped nested weights.
        nested: The same training from other seeds.
        independent: Models trained at one width alone.
        data_option: Whether the commands need --data.

    Raises:
        CheckpointError: A file does not fit the recipe.
    """
    import torch

    from edge_sdk.checkpoint import load_weights, model_digest
    from edge_sdk.nn.counting import count_parameters
    from edge_sdk.zoo import training
    from edge_sdk.zoo.evaluate import accuracies, by_name, evaluate

    model = recipe.build()
    load_weights(model, weights.path)
    figures = evaluate(recipe, data, model)
    images = training.normalize(data.test_images, recipe, data.pixel_max)
    labels = torch.from_numpy(data.test_labels)

    def peer(file: Provenance, fresh: ImageEncoder, names: Mapping[str, Sequence[int]]) -> Card:
        load_weights(fresh, file.path)
        accuracy = {name: by_name(accuracies(fresh, images, labels, widths))
                    for name, widths in names.items()}
        return {"seed": file.seed, "epochs": file.epochs, "sha256": model_digest(fresh),
                "accuracy": accuracy}

    widths = {name: row["widths"] for name, row in figures["trained"].items()}
    seeds = [{"seed": weights.seed, "epochs": weights.epochs, "sha256": model_digest(model),
              "accuracy": {name: row["accuracy"] for name, row in figures["trained"].items()}}]
    seeds += [peer(file, recipe.build(), widths) for file in nested]
    alone = [peer(file, training.independent(recipe.build(), file.width),
                  {file.width: widths[file.width]}) for file in independent]
    suffix = " --data DIR" if data_option else ""
    shipped = f"edge_sdk/zoo/weights/{recipe.name}.safetensors"
    card_command = " ".join([
        "python -m edge_sdk.zoo.cards", recipe.name, f"--weights {shipped}",
        *(f"--nested {file.default_path(recipe)}" for file in nested),
        *(f"--independent {file.default_path(recipe)}" for file in independent),
    ])
    return {
        "name": recipe.name,
        "kind": model.kind,
        "commands": [command + suffix for command in (
            *(file.command(recipe) for file in (weights, *nested, *independent)), card_command)],
        "environment": {"torch": torch.__version__, "threads": torch.get_num_threads(),
                        "device": "cpu"},
        "dataset": {"name": data.name, "license": data.license, "split": data.split,
                    "n_train": len(data.train_labels), "n_test": len(data.test_labels),
                    "n_classes": len(data.labels), "image": list(data.train_images.shape[1:]),
                    "pixel_max": data.pixel_max},
        "recipe": {key: getattr(recipe, key) for key in (
            "epochs", "batch_size", "lr", "weight_decay", "label_smoothing", "distill",
            "bfloat16_stem", "mean", "std", "restart")} | {"augment": asdict(recipe.augment)},
        "weights": {"file": Path(shipped).name, "bytes": weights.path.stat().st_size,
                    "sha256": model_digest(model), "parameters": count_parameters(model),
                    "seed": weights.seed, "epochs": weights.epochs, "threads": weights.threads,
                    "torch": weights.torch},
        **figures,
        "nested": seeds,
        "independent": alone,
        "comparison": compare(seeds, alone),
    }


def compare(nested: Sequence[Card], independent: Sequence[Card]) -> Card:
    """Return for each width trained alone: both means over seeds, and nested minus independent.

    Only seeds that both sides have are compared, unless they share none.
    """
    result: Card = {}
    for name in WIDTHS:
        alone = [peer for peer in independent if name in peer["accuracy"]]
        if not alone:
            continue
        common = {p["seed"] for p in alone} & {p["seed"] for p in nested}
        sides = [[p for p in side if p["seed"] in common or not common]
                 for side in (nested, alone)]
        dims = list(alone[0]["accuracy"][name])
        means = [{dim: sum(p["accuracy"][name][dim] for p in side) / len(side) for dim in dims}
                 for side in sides]
        result[name] = {
            "nested_seeds": [p["seed"] for p in sides[0]],
            "independent_seeds": [p["seed"] for p in sides[1]],
            "nested": {dim: round(mean, 6) for dim, mean in means[0].items()},
            "independent": {dim: round(mean, 6) for dim, mean in means[1].items()},
            "difference_points": {dim: round(100 * (means[0][dim] - means[1][dim]), 4)
                                  for dim in dims},
        }
    return result


# --- rendering ------------------------------------------------------------------------


def render(card: Card) -> str:
    """Return the model card as Markdown; the same figures always give the same words."""
    sections = [_header(card), _use(card), _data(card), _recipe(card), _accuracy(card),
                _mixes(card), _peers(card), _prediction(card), _limits(card), _made(card)]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def standard_error_points(accuracy: float, n: int) -> float:
    """Return the standard error of an accuracy in 0..1 on n images, in percentage points."""
    return 100 * math.sqrt(accuracy * (1 - accuracy) / n)


def _header(card: Card) -> list[str]:
    weights = card["weights"]
    return [
        f"# {card['name']}", "",
        f"A nested {_kind(card)} (MatFormer): one file of weights that runs at the trained",
        "sizes S, M, L and XL, and at any Mix'n'Match of widths between.", "",
        f"- weights: `{weights['file']}`, {weights['bytes']:,} bytes, "
        f"{weights['parameters']:,} parameters",
        f"- weights digest (sha256): `{weights['sha256']}`",
    ]


def _use(card: Card) -> list[str]:
    data = card["dataset"]
    shape = "×".join(str(size) for size in data["image"])
    return [
        "## Intended use", "",
        f"Classifies images of {shape} into {data['n_classes']} classes, as in {data['name']}.",
        "It is there to try, test and compare the export of elastic models and the choice of",
        "their size at run time. It is too small, and has seen too little, to be relied on for",
        "anything else.",
    ]


def _data(card: Card) -> list[str]:
    data = card["dataset"]
    return [
        "## Data and license", "",
        f"- data set: {data['name']}; license: {data['license']}",
        f"- split: {data['split']}; {data['n_train']:,} training and {data['n_test']:,} held-out"
        " images",
        f"- pixels: (pixel / {data['pixel_max']} - {card['recipe']['mean']}) / "
        f"{card['recipe']['std']}",
    ]


def _recipe(card: Card) -> list[str]:
    recipe, weights = card["recipe"], card["weights"]
    augment = ", ".join(f"{key} {value}" for key, value in recipe["augment"].items() if value)
    restart = recipe["restart"]
    cycles = "" if restart is None else (
        f", a second cycle of learning rate {restart[1]} from epoch {restart[0]} on")
    return [
        "## Recipe", "",
        "Each batch trains XL, S and one width between (the sandwich rule); the smaller two learn",
        f"from the labels and, with weight {recipe['distill']}, from XL's own answers.", "",
        f"- AdamW under OneCycle: {recipe['epochs']} epochs, batch {recipe['batch_size']}, "
        f"learning rate {recipe['lr']}, weight decay {recipe['weight_decay']}, "
        f"label smoothing {recipe['label_smoothing']}{cycles}",
        f"- augmentation: {augment or 'none'}",
        _arithmetic(card),
        f"- these weights: seed {_known(weights['seed'])}, {_known(weights['epochs'])} epochs, "
        f"threads {_known(weights['threads'])}, torch {_known(weights['torch'])}",
    ]


def _kind(card: Card) -> str:
    # Cards written before there was another kind do not say it.
    kind: str = card.get("kind", "vision transformer")
    return kind


def _arithmetic(card: Card) -> str:
    if _kind(card) != "vision transformer":
        return "- all in float32"
    kind = "bfloat16" if card["recipe"]["bfloat16_stem"] else "float32"
    return f"- convolutions in {kind}, all else in float32"


def _accuracy(card: Card) -> list[str]:
    return [
        "## Accuracy", "",
        f"Top-1 in % on the {card['n']:,} held-out images{_by_dim(card)}. Parameters and",
        "multiply-accumulates (MACs, one image, at the largest dim) are those of the extracted",
        "model.", "",
        *_rows(card, card["trained"]), "",
        *_width_matters(card),
    ]


def _width_matters(card: Card) -> list[str]:
    largest = _columns(card)[-1]
    pairs = [("", card["trained"]["S"]["accuracy"][largest],
              card["trained"]["XL"]["accuracy"][largest])]
    alone = card["comparison"]
    if "S" in alone and "XL" in alone:
        pairs.append(("Trained alone (mean over seeds), ", alone["S"]["independent"][largest],
                      alone["XL"]["independent"][largest]))
    lines = []
    for who, small, full in pairs:
        error = standard_error_points(full, card["n"])
        gap = 100 * (full - small)
        figures = f"{100 * small:.2f} % and {100 * full:.2f} %, standard error {error:.2f} points"
        if gap <= error:
            lines.append(f"**{who}S is as good as XL within one standard error** ({figures}): the "
                         "task is too easy to show what width buys.")
        else:
            lines.append(f"{who}XL is {gap:.2f} points above S ({figures}), "
                         f"{gap / error:.1f} standard errors.")
    return lines


def _mixes(card: Card) -> list[str]:
    return [
        "## Mix'n'Match", "",
        "No mix was trained as such. Widths are listed from the first layer to the last.", "",
        *_rows(card, card["mixes"]),
    ]


def _peers(card: Card) -> list[str]:
    lines = ["## Beside models trained alone", ""]
    if not card["comparison"]:
        return [*lines, "No width was trained alone: what nesting costs is unknown."]
    columns = _columns(card)
    lines += [f"The same recipe and epochs at one width, without nesting; top-1 in %"
              f"{_by_dim(card)}, means over seeds.", "",
              *_table(["width", "trained", "seeds", *_heads(columns)])]
    for name, row in card["comparison"].items():
        for side in ("nested", "independent"):
            seeds = ", ".join(str(seed) for seed in row[f"{side}_seeds"])
            lines.append(_line([name, side, seeds,
                                *(f"{100 * row[side][dim]:.2f}" for dim in columns)]))
        lines.append(_line([name, "difference, points", "",
                            *(f"{row['difference_points'][dim] + 0:+.2f}" for dim in columns)]))
    return [*lines, "", *_verdict(card), *_every_seed(card)]


def _verdict(card: Card) -> list[str]:
    comparison, columns = card["comparison"], _columns(card)
    cells = [(row["difference_points"][dim], name, dim)
             for name, row in comparison.items() for dim in columns]
    worst, name, dim = min(cells)
    below = [cell for cell in cells if cell[0] < -TOLERATED_POINTS]
    lines = []
    if not below:
        lines.append(f"Nested is nowhere more than {TOLERATED_POINTS} points below independent; "
                     f"the lowest difference is {worst:+.2f} points, {_at(name, dim)}.")
    else:
        listed = ", ".join(f"{points:+.2f} points {_at(name, dim)}" for points, name, dim in below)
        lines += [f"**Nested is more than {TOLERATED_POINTS} points below independent**: {listed}.",
                  "", "Why, as far as these figures tell:", "",
                  *(f"- {reason}" for reason in _reasons(card, below))]
    unknown = [name for name in card["trained"] if name not in comparison]
    if unknown:
        lines += ["", f"Not trained alone, so not compared: {', '.join(unknown)}."]
    return lines


def _reasons(card: Card, below: Sequence[tuple[float, str, str]]) -> list[str]:
    comparison, columns = card["comparison"], _columns(card)
    reasons = []
    chance = []
    for points, name, dim in below:
        error = math.sqrt(2) * standard_error_points(comparison[name]["independent"][dim],
                                                     card["n"])
        if -points < 2 * error:
            chance.append(f"{_at(name, dim)} (standard error {error:.2f} points)")
    if chance:
        reasons.append("within two standard errors of a difference of two models, so perhaps "
                       f"chance: {', '.join(chance)}")
    dims = {dim for _, _, dim in below}
    if len(columns) > 1 and columns[-1] not in dims:
        reasons.append(f"at the largest dim, {columns[-1]}, no width is below by that much: the "
                       "loss is in short prefixes, whose few coordinates serve every width at once")
    elif len(columns) > 1 and len(dims) == len(columns):
        reasons.append("every dim is affected, so the short prefixes are not the cause")
    means = {name: sum(row["difference_points"].values()) / len(columns)
             for name, row in comparison.items()}
    if len(means) > 1:
        listed = ", ".join(f"{name} {mean:+.2f}" for name, mean in means.items())
        if list(means.values()) == sorted(means.values()):
            reasons.append(f"the narrower the width, the greater the loss (mean over dims: "
                           f"{listed} points): its hidden units also serve every wider one")
        else:
            reasons.append(f"the loss does not follow the width (mean over dims: {listed} points)")
    reasons.append("nested training shares the same epochs among widths; whether more of them, or "
                   "another weight on the small widths, would close the gap was not tested")
    return reasons


def _every_seed(card: Card) -> list[str]:
    largest = _columns(card)[-1]
    lines = ["", f"Every training by itself, top-1 in %{_at_largest(card)}:", "",
             *_table(["trained", "seed", "epochs", *card["trained"], "weights digest"])]
    groups: dict[Any, Card] = {}
    for kind in ("nested", "independent"):
        for peer in card[kind]:
            for name, accuracy in peer["accuracy"].items():
                key = (kind, peer["seed"], _known(peer["epochs"]))
                group = groups.setdefault(key, {"figures": {}, "digests": []})
                group["figures"][name] = f"{100 * accuracy[largest]:.2f}"
                if peer["sha256"][:12] not in group["digests"]:
                    group["digests"].append(peer["sha256"][:12])
    for (kind, seed, epochs), group in groups.items():
        lines.append(_line([kind, _known(seed), epochs,
                            *(group["figures"].get(name, "") for name in card["trained"]),
                            " ".join(group["digests"])]))
    return lines


def _prediction(card: Card) -> list[str]:
    table, proxy = card["sensitivity"], card["proxy"]
    lines = [
        "## Predicting a mix", "",
        "KL(p_universal ‖ p_mix) in nats, where one layer alone has the width and all others stay",
        f"XL; mean over {table['n']} training images at even steps through the training split,",
        f"without augmentation{_at_largest(card)}. A mix is predicted by the sum over its layers.",
        "", *_table(["layer", *card["trained"]]),
        *(_line([str(layer), *(f"{row[name]:.5f}" for name in card["trained"])])
          for layer, row in enumerate(table["layers"])), "",
    ]
    rows = proxy["mixes"]
    if not rows:
        return [*lines, "One layer has no mixes of trained widths: there is nothing to predict."]
    figures = [row["accuracy"] for row in rows]
    spread = 100 * (max(figures) - min(figures))
    error = standard_error_points(sum(figures) / len(figures), card["n"])
    bound = 1.96 / math.sqrt(len(rows) - 1)
    predicted = proxy["spearman_predicted_accuracy"]
    lines += [
        f"Tried on {len(rows)} random mixes (seed {proxy['seed']}), Spearman's rank correlation:",
        "",
        f"- predicted KL with measured KL: {_rank(proxy['spearman_predicted_measured'])}",
        f"- minus predicted KL with held-out accuracy: {_rank(predicted)}",
        f"- minus measured KL with held-out accuracy: "
        f"{_rank(proxy['spearman_measured_accuracy'])}", "",
        f"Where there is no relation, it stays within ±{bound:.2f} in 95 of 100 cases.",
    ]
    if spread <= 2 * error:
        lines.append(f"The mixes lie within {spread:.2f} points of one another, standard error "
                     f"{error:.2f}: their order by accuracy is mostly chance, so this says little "
                     "about the prediction.")
    elif predicted is not None and predicted > bound:
        lines.append(f"The mixes spread over {spread:.2f} points (standard error {error:.2f}): the "
                     "sum ranks them better than chance.")
    else:
        lines.append(f"The mixes spread over {spread:.2f} points (standard error {error:.2f}): the "
                     "sum is not shown to rank them here. Measure the mixes you choose among.")
    return lines


def _limits(card: Card) -> list[str]:
    return [
        "## Limits", "",
        "- The hyper-parameters came from trials whose accuracy was read on this held-out split,",
        "  so all figures are slightly optimistic; no epoch was chosen by them.",
        f"- {len(card['nested'])} nested training(s); a standard error covers the choice of"
        " images, not of seeds.",
        "- Measured in float32 on a workstation's CPU. Not measured: phones, latency, energy,",
        "  other data than this data set's.",
    ]


def _made(card: Card) -> list[str]:
    environment = card["environment"]
    return ["## Made by", "",
            f"torch {environment['torch']}, {environment['threads']} thread(s), "
            f"{environment['device']}; figures: `{card['name']}.json`.", "",
            "```", *card["commands"], "```"]


def _columns(card: Card) -> list[str]:
    return [str(dim) for dim in card["dims"]] or ["full"]


def _heads(columns: Sequence[str]) -> list[str]:
    return ["top-1"] if columns == ["full"] else [f"dim {dim}" for dim in columns]


def _rows(card: Card, figures: Mapping[str, Card]) -> list[str]:
    columns = _columns(card)
    return [
        *_table(["granularity", "widths", "parameters", "MACs", *_heads(columns)]),
        *(_line([f"`{name}`", " ".join(str(width) for width in row["widths"]),
                 f"{row['parameters']:,}", f"{row['macs']:,}",
                 *(f"{100 * row['accuracy'][dim]:.2f}" for dim in columns)])
          for name, row in figures.items()),
    ]


def _table(heads: Sequence[str]) -> list[str]:
    return [_line(heads), _line(["---"] * len(heads))]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _by_dim(card: Card) -> str:
    return ", by dim of the representation" if card["dims"] else ""


def _at_largest(card: Card) -> str:
    return f", at dim {card['dims'][-1]}" if card["dims"] else ""


def _at(name: str, dim: str) -> str:
    return f"at {name}" if dim == "full" else f"at {name} with dim {dim}"


def _known(value: object) -> str:
    return "not recorded" if value is None else str(value)


def _rank(value: float | None) -> str:
    return "undefined, all are equal" if value is None else f"{value:+.2f}"


# --- command --------------------------------------------------------------------------


def main(
    name: Annotated[str, typer.Argument(help="Reference model, such as matvit-digits.")],
    *,
    weights: Annotated[str | None, typer.Option(
        help="Nested weights, FILE or FILE:SEED; default: the shipped ones.")] = None,
    nested: Annotated[list[str] | None, typer.Option(
        help="The same training from another seed, FILE or FILE:SEED; may be repeated.")] = None,
    independent: Annotated[list[str] | None, typer.Option(
        help="A width trained alone, FILE or FILE:WIDTH:SEED; may be repeated.")] = None,
    data: Annotated[Path | None, typer.Option(
        help="Folder with the data sets; default $EDGE_SDK_DATA. The digits need none.")] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Measure a reference model and write its card, NAME.json and NAME.md."""
    from edge_sdk import zoo
    from edge_sdk.artifact import publish

    recipe = zoo.recipe(name)
    import torch

    torch.set_num_threads(threads)
    shipped = weights or str(zoo.WEIGHTS / f"{name}.safetensors")
    card = measure(
        recipe, recipe.dataset(data), provenance(shipped, recipe, nested=True),
        nested=[provenance(text, recipe, nested=True) for text in nested or ()],
        independent=[provenance(text, recipe, nested=False) for text in independent or ()],
        data_option=recipe.name != "matvit-digits",
    )
    finals = [zoo.CARDS / f"{name}.{kind}" for kind in ("json", "md")]
    with publish(*finals) as (as_json, as_markdown):
        text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
        as_json.write_text(text, encoding="utf-8")
        # From what a reader of the JSON gets, not from what was measured.
        as_markdown.write_text(render(json.loads(text)), encoding="utf-8")
    for final in finals:
        say(f"wrote    {final}")
    say(f"weights  sha256 {card['weights']['sha256']}")


app = command(main)

if __name__ == "__main__":
    app()
