"""What a report says of each results file of a device: figures, tables, and who measured them."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.report_pipeline import pipeline
from benchmarks.report_plot import Axis, DotRow, Dots, Guide, Mark, Plot, Series
from benchmarks.report_source import Node, shown
from benchmarks.report_tables import (
    Cell,
    Section,
    Table,
    all_rows,
    details,
    dots_figure,
    grid,
    leaves,
    measured_by,
    paragraph,
    plot_figure,
    rows_table,
    section,
    series_of,
    slug,
    table,
)

ENGINES = {"executorch": "ExecuTorch", "litert": "LiteRT", "onnx": "ONNX Runtime"}
SIZES = ("S", "M", "L", "XL")
ACCURACY = Axis("top-1, %", factor=100, form="percent")


def _name(node: Node, topic: str) -> str:
    """Return an id of a topic of the device that a file is of."""
    return slug(f"{node.source.partition('/')[0]} {topic}")


# ---- elastic -----------------------------------------------------------------------------------


def elastic(results: Node) -> str:
    """Return accuracy against latency of every zoo model, and one file beside several."""
    engines = [name for name in ENGINES if name in results]
    models = list(dict.fromkeys(model for name in engines for model in results[name]["zoo"].value))
    figures = [_zoo(results, engines, model) for model in models]
    return section(
        _name(results, "elastic"), "One file, every size",
        paragraph("S, M, L and XL lie over shared weights in one elastic file for each engine. ",
                  "Each mark is one size run alone, on held-out data, one thread."),
        measured_by([results]), grid(figures), _against_single(results, engines),
        _int8(results, engines, models))


def _zoo(results: Node, engines: list[str], model: str) -> str:
    series = []
    for place, name in enumerate(engines):
        if not results.has(name, "zoo", model):
            continue
        zoo = results[name]["zoo"][model]
        for latency, accuracy, words in (("latency_ms", "fp32", "fp32"),
                                         ("int8_latency_ms", "top1", "int8")):
            marks = [Mark(zoo[latency][size], zoo["int8"][size][accuracy],
                          f"{ENGINES[name]} {words}, {size}", size) for size in SIZES]
            series.append(Series(f"{ENGINES[name]} {words}", marks, color=place,
                                 shape=0 if words == "fp32" else 1, dashed=words == "int8"))
    plot = Plot(f"{model}: accuracy against latency", Axis("latency, ms", log=True), ACCURACY,
                series)
    return plot_figure(_name(results, f"zoo {model}"), plot)


def _against_single(results: Node, engines: list[str]) -> str:
    rows: list[list[Cell]] = []

    def add(what: str, form: str, *keys: str) -> None:
        rows.append([what, *((results[name].at(*keys), form) for name in engines)])

    for precision, words in (("none", "fp32"), ("int8", "int8")):
        add(f"elastic file, {words}, MB", "megabytes", precision, "elastic_bytes")
        add(f"... beside XL alone, {words}", "ratio", precision, "elastic_over_xl")
        for size in SIZES:
            add(f"{size} inside the elastic file, {words}, ms", "number", precision, "latency",
                size, "elastic_ms")
            add(f"... beside its own file, {words}", "ratio", precision, "latency", size, "ratio")
        add(f"peak RAM, all sizes used, {words}, MB", "number", precision, "ram", "all_mb")
        add(f"peak RAM of XL alone, {words}, MB", "number", precision, "ram", "xl_mb")
        add(f"largest difference from eager, {words}", "least", precision, "max_difference")
    add("int8 beside fp32 at XL, latency", "ratio", "int8_over_fp32", "latency_xl")
    add("cold inspect, s", "number", "cold_inspect_s")
    return table(Table("One elastic file beside one file a size: a MatViT of random weights, "
                       "peak RAM above the imported engine",
                       ("", *(ENGINES[name] for name in engines)), rows))


def _int8(results: Node, engines: list[str], models: list[str]) -> str:
    rows: list[list[Cell]] = []
    for model in models:
        for size in SIZES:
            cells: list[Cell] = [f"{model}, {size}"]
            for name in engines:
                found = results[name]["zoo"]
                cells.append((found[model]["int8"][size]["argmax_agreement"], "percent")
                             if model in found else "not measured")
            rows.append(cells)
    return table(Table("Held-out inputs on which int8 answers as fp32 does",
                       ("", *(ENGINES[name] for name in engines)), rows))


# ---- codes -------------------------------------------------------------------------------------


def codes(results: Node) -> str:
    """Return what ORD recovers and costs, the codebooks, and every row."""
    parts, figures, tables = results["parts"], list[str](), list[str]()
    if parts.has("omniglot", "codebooks"):
        study = parts["omniglot"]
        if study["pictured"].value in study["codebooks"]:
            name = str(study["pictured"].value)
            figures = _decoding(results, name, study["codebooks"][name])
        tables = [_codebooks(study["codebooks"])]
    return section(
        _name(results, "codes"), "Codes: decoding by look-up",
        paragraph("A word of bits is looked up in the order of its likelihood; what is not found ",
                  "in so many look-ups is decoded by a scan."),
        measured_by(parts), grid(figures), *tables, all_rows("codes", parts))


def _decoding(results: Node, name: str, book: Node) -> list[str]:
    axis = Axis("most look-ups", log=True, form="count")
    series = [series_of(words, [Mark(point["max_lookups"], point[key], words)
                                for point in book["curve"]], place)
              for place, (key, words) in enumerate((
                  ("right_soft", "right, then soft scan"), ("right_mhd", "right, then MHD"),
                  ("right_none", "right, no scan"), ("answered", "answered")))]
    guides = [Guide(f"{decoder} alone", book["top1"][decoder])
              for decoder in ("soft", "MHD", "ED") if decoder in book["top1"]]
    accuracy = Plot(f"{name}: what look-ups recover", axis,
                    Axis("held-out images, %", factor=100, form="percent"), series, guides)
    times = Plot(f"{name}: what look-ups cost", axis, Axis("time, µs a query", include=(0.0,)),
                 [series_of("look-ups, then soft scan",
                            [Mark(point["max_lookups"], point["us"], "look-ups, then soft scan")
                             for point in book["curve"]], 0)],
                 [Guide("soft scan of all classes", book["soft_us"])])
    return [plot_figure(_name(results, "look-ups right"), accuracy),
            plot_figure(_name(results, "look-ups time"), times)]


def _codebooks(books: Node) -> str:
    decoders = list(dict.fromkeys(key for book in books for key in book["top1"].value))
    rows: list[list[Cell]] = [
        [(book.key(), "text"), (book["classes"], "count"), (book["bits"], "count"),
         (book["images"], "count"),
         (book["wrong_bits"], "percent"),
         *((book["top1"][key], "percent") if key in book["top1"] else "" for key in decoders)]
        for book in books]
    return table(Table("Codebooks: top-1 on held-out images by decoder",
                       ("codebook", "classes", "bits", "images", "wrong bits", *decoders), rows))


# ---- adaptive ----------------------------------------------------------------------------------


def adaptive(results: Node) -> str:
    """Return plans, cascades through dims, the simulated day, and every row."""
    parts, figures, tables = results["parts"], list[str](), list[str]()
    if parts.has("levels", "plans"):
        figures.append(_plans(results, parts["levels"]["plans"]))
    if parts.has("dims", "cascades"):
        figures.append(_dims(results, parts["dims"]))
    if parts.has("guarantee", "promises"):
        tables.append(_promises(parts["guarantee"]["promises"]))
    if parts.has("day", "days"):
        tables.append(_days(parts["day"]["days"]))
    if parts.has("governor", "parts"):
        tables.append(_governor(parts["governor"]["parts"]))
    return section(
        _name(results, "adaptive"), "Adapting: cascades and the governor",
        paragraph("A cascade stops at the first level that is sure enough; the governor chooses a ",
                  "plan for a budget. Held-out drawers of omniglot."),
        measured_by(parts), grid(figures), *tables, all_rows("adaptive", parts))


def _plans(results: Node, plans: Node) -> str:
    fixed = [plan for plan in plans if plan["name"].value in SIZES]
    moving = [plan for plan in plans if plan["name"].value not in SIZES]

    def marks(found: list[Node]) -> list[Mark]:
        return [Mark(plan["mean_ms"], plan["accuracy"], plan["name"],
                     str(plan["name"].value)) for plan in found]

    plot = Plot("Plans of one bundle", Axis("mean latency, ms an image"), ACCURACY,
                [series_of("one size", marks(fixed), 0),
                 series_of("cascade", marks(moving), 1, line=False)])
    return plot_figure(_name(results, "plans"), plot)


def _dims(results: Node, part: Node) -> str:
    fixed = [Mark(node.number_of_key(), node, "one number of dims") for node in part["fixed"]]
    learnt = [Mark(one["mean_cost"], one["accuracy"], one["name"])
              for one in part["cascades"]]
    plot = Plot("Dims read of an embedding", Axis("mean dims", log=True), ACCURACY,
                [series_of("one number of dims", fixed, 0),
                 series_of("cascade through dims", learnt, 1, line=False)])
    return plot_figure(_name(results, "dims"), plot)


def _promises(promises: Node) -> str:
    rows: list[list[Cell]] = [
        [(one["cascade"], "text"), (one["epsilon"], "number"), (one["delta"], "number"),
         (one["draws"], "count"), (one["broken"], "count"), (one["mean_cost"], "percent")]
        for one in promises]
    return table(Table("Promises of risk control, tried on calibration sets drawn again and again",
                       ("cascade", "epsilon", "delta", "draws", "broken", "mean cost, of the full "
                        "model's"), rows))


def _days(days: Node) -> str:
    columns = {"answered": "answered_pct", "right, of all asked": "right_of_asked_pct",
               "late": "late_pct", "battery at the end": "battery_end_pct"}
    rows: list[list[Cell]] = [
        [(runs.key(), "text"), *((runs.mean(key), "percent of") for key in columns.values()),
         (runs.mean("switches"), "number")] for runs in days]
    return table(Table("A simulated day on an assumed phone, means over simulated days",
                       ("policy", *columns, "switches"), rows))


def _governor(parts: Node) -> str:
    rows: list[list[Cell]] = []
    for language in ("in C", "in Python"):
        if language in parts:
            rows += [[language, (one["choices"], "count"), (one["decide_us"], "number"),
                      (one["observe_us"], "number")] for one in parts[language]]
    return table(Table("What a decision of the governor costs",
                       ("", "choices", "decide, µs", "observe, µs"), rows))


# ---- fastgrnn ----------------------------------------------------------------------------------


def fastgrnn(results: Node) -> str:
    """Return the time of a frame in each engine, sizes, and every row."""
    parts, figures = results["parts"], list[str]()
    if parts.has("latency", "us_a_frame"):
        words = {"step": "one step", "frame": "a frame of a stream", "whole": "whole word"}
        for task, found in parts["latency"]["us_a_frame"].items():
            ours = [key for key in found.value if key.startswith("edge_sdk")]
            rows = [DotRow(node.key(), [(0 if key in ours else 1, node)])
                    for key, node in sorted(found.items(), key=lambda item: item[1].value)]
            figures.append(dots_figure(
                _name(results, f"fastgrnn {task}"),
                Dots(f"FastGRNN: {words.get(task, task)}", Axis("time, µs a frame", log=True),
                     ("this SDK", "others"), rows)))
    tables = [rows_table(title, parts[key]["rows"]) for key, title in
              (("sizes", "The shipped speech model in bytes"),
               ("early", "Deciding before a word ends")) if key in parts]
    return section(
        _name(results, "fastgrnn"), "FastGRNN: words on a small device",
        paragraph("One cell called from Python in every engine, each in a process of its own."),
        measured_by(parts), grid(figures), *tables, all_rows("fastgrnn", parts))


# ---- sparse ------------------------------------------------------------------------------------


def sparse(results: Node) -> str:
    """Return from how many zeros on layers are faster, the shipped model, and every row."""
    parts, figures, tables = results["parts"], list[str](), list[str]()
    if "crossover" in parts:
        figures = _crossover(results, parts["crossover"])
    if parts.has("model", "ms"):
        rows = [DotRow(node.key(), [(0, node)]) for node in parts["model"]["ms"]]
        figures.append(dots_figure(_name(results, "sparse model"), Dots(
            "The shipped sparse model, an image", Axis("latency, ms", include=(0.0,)),
            ("latency",), rows)))
    if "model" in parts:
        tables.append(rows_table("The shipped sparse model", parts["model"]["rows"]))
    return section(
        _name(results, "sparse"), "Sparse weights: from how many zeros on",
        paragraph("Above the line the sparse operator is faster than the dense layer of the same ",
                  "engine, ExecuTorch with XNNPACK. Solid float32, dashed int8 values."),
        measured_by(parts), grid(figures), *tables, all_rows("sparse", parts))


def _crossover(results: Node, part: Node) -> list[str]:
    groups: dict[str, list[Node]] = {}
    for made in part["rows"]:
        conv, n = made["conv"].value, made["columns"].value
        group = "convolutions" if conv else "one-column layers" if n == 1 else f"{n}-column layers"
        groups.setdefault(group, []).append(made)
    figures = []
    for group, rows in groups.items():
        layers = list(dict.fromkeys(str(made["layer"].value) for made in rows))
        series = []
        for made in rows:
            name, form = str(made["layer"].value), str(made["form"].value)
            curve = part["curves"][f"{name}, {form}"]
            marks = [Mark(node.number_of_key(), node, curve.key()) for node in curve]
            place = layers.index(name)
            series.append(Series(made["layer"], marks, color=place,
                                 shape=1 if form == "int8" else 0, dashed=form == "int8"))
        plot = Plot(f"Faster from how many zeros on: {group}", Axis("zeros, %"),
                    Axis("times as fast as dense", log=True), series,
                    [Guide("as fast as dense", at=1.0, left=True)])
        figures.append(plot_figure(_name(results, f"sparse {group}"), plot))
    return figures


# ---- others ------------------------------------------------------------------------------------


def bench(results: Node) -> str:
    """Return what `python -m edge_sdk.bench` measured of files; all its values are below."""
    rows: list[list[Cell]] = []

    def cell(node: Node, *keys: str) -> Cell:
        return (node.at(*keys), "number") if node.has(*keys) else "not measured"

    for file in results.entries("files"):
        for row in file.entries("rows"):
            rows.append([(file["name"], "text"), (file["engine"], "text"), (row["name"], "text"),
                         cell(row, "typical_ms", "value"), cell(row, "mean_ms"),
                         cell(row, "min_ms"), cell(row, "first_ms"), cell(file, "load_ms"),
                         cell(file, "ram", "peak_mb"), cell(file, "ram", "above_engine_mb"),
                         cell(row, "energy_mj")])
    found = table(Table("Files measured by edge_sdk.bench: times in ms, RAM in MB", (
        "file", "engine", "what", "typical", "mean", "least", "first call", "load",
        "peak of the process", "above the engine", "energy, mJ"), rows)) if rows else ""
    return section(_name(results, "bench"), "Exported files, one by one", measured_by([results]),
                   found, details("Every value", leaves("Every value of bench", results)))


def other(results: Node) -> str:
    """Return all values of a file that has no section of its own."""
    name = results.source.partition("/")[2].partition(".")[0]
    return section(_name(results, name), f"{name}: as measured", measured_by([results]),
                   leaves(f"Every value of {name}", results))


def fit(results: Node) -> str:
    """Return the accuracy of mixes chosen for budgets beside the uniform sizes."""
    model = str(results["command"].value).rpartition(" ")[2]
    rows = results["budgets"]
    plot = Plot(f"{model}: sizes chosen for a budget",
                Axis("budget, MMAC", factor=1e-6, form="count"), ACCURACY,
                [series_of("mix chosen by --fit-macs",
                           [Mark(row["budget_macs"], row["top1"], row["mix"])
                            for row in rows], 0),
                 series_of("largest uniform size below",
                           [Mark(row["budget_macs"], row["uniform_top1"], row["uniform"])
                            for row in rows], 1)])
    return plot_figure(slug(f"fit {model}"), plot,
                       "") + paragraph("On ", shown(results["n"], "count"), " cases, ",
                                       shown(results["split"], "text"), "; ", "by <code>",
                                       shown(results["command"], "text"), "</code>.")


SECTIONS: Mapping[str, Section] = {
    "pipeline": pipeline, "elastic": elastic, "codes": codes, "adaptive": adaptive,
    "fastgrnn": fastgrnn, "sparse": sparse, "bench": bench,
}
"""What is said of each results file, in this order; of others every value is shown."""
