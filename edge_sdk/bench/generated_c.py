"""Generated C (NAME.c with NAME.h): compiled with this machine's compiler into a timing program.

The program is a process by itself, without Python: its peak memory is the model's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.compiler import compile_c, host_compiler, version
from edge_sdk.errors import ComparisonError, EngineError, FormatError, MissingDependency

FLAGS = ("-std=c99", "-O2")
PROGRAM = Path(__file__).with_name("timing.c")
N_FRAMES = 16

_ADAPTER = """\
#include <stdint.h>
#include "{header}"

#define ROW "{function}"
#define FRAMES "{frames}"
#define N_FRAMES {n_frames}

static {name}_state state;
static {name}_input frames[N_FRAMES][{upper}_INPUTS];

/* Numbers drawn at random, in -1..1, or as integers in -1024..1023. */
static int prepare(void)
{{
    uint32_t seed = 1;
    int i, j;
    for (i = 0; i < N_FRAMES; i++)
        for (j = 0; j < {upper}_INPUTS; j++) {{
            seed = seed * 1664525u + 1013904223u;
            frames[i][j] = ({name}_input){value};
        }}
    if ({selftest} != 0)
        return 1;
    {name}_init(&state);
    return 0;
}}

static int call(long turn)
{{
    return {name}_{function}(&state, frames[turn % N_FRAMES]);
}}
"""


@dataclass(frozen=True)
class GeneratedC:
    """A source that an exporter of ours wrote.

    Attributes:
        path, header: NAME.c and NAME.h.
        name: What its functions begin with.
        function: "step" of a FastGRNN, "run" of an MLP.
        is_integer: Whether its inputs are integers.
    """

    path: Path
    header: Path
    name: str
    function: str
    is_integer: bool

    @property
    def adapter(self) -> str:
        """What timing.c includes as edge_bench_model.h."""
        value = "((int)(seed >> 21) - 1024)" if self.is_integer else \
            "((float)((int)(seed >> 21) - 1024) / 1024.0f)"
        argument = "&state" if self.function == "run" else ""
        return _ADAPTER.format(
            header=self.header.name, n_frames=N_FRAMES, name=self.name, upper=self.name.upper(),
            value=value, function=self.function, frames=1 if self.function == "step" else "null",
            selftest=f"{self.name}_selftest({argument})")


def read(path: Path) -> GeneratedC:
    """Return what NAME.c and NAME.h hold.

    Raises:
        FormatError: One of them is missing, or they are not of our exporters.
    """
    header = path.with_suffix(".h")
    try:
        text = header.read_text(encoding="utf-8")
        path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError("NAME.c with its NAME.h beside it", str(error), where=str(path),
                          hint="python -m edge_sdk.export --target c writes both") from error
    functions = re.findall(r"^int (\w+)_(step|run)\(\1_state \*state, const \1_input \*x\);",
                           text, re.MULTILINE)
    inputs = re.findall(r"^typedef (\w+) \w+_input;", text, re.MULTILINE)
    if len(functions) != 1 or len(inputs) != 1 or "edge_sdk.exporters" not in text:
        raise FormatError("C that edge_sdk.exporters wrote", "a header without its one function",
                          where=str(header), hint="python -m edge_sdk.export --target c")
    name, function = functions[0]
    return GeneratedC(path, header, name, function, inputs[0] != "float")


def build(model: GeneratedC, folder: Path) -> tuple[Path, str]:
    """Compile the timing program into `folder` and return it with the compiler's words.

    Raises:
        MissingDependency: This machine has no C compiler.
        EngineError: The compiler refused the source.
    """
    command = host_compiler()
    if command is None:
        raise MissingDependency("a C compiler", "none of $CC, cc, gcc, clang",
                                where=str(model.path), hint="apt install gcc")
    (folder / "edge_bench_model.h").write_text(model.adapter, encoding="utf-8")
    program = folder / model.name
    flags = [*FLAGS, f"-I{folder}", f"-I{model.header.parent}"]
    try:
        compile_c(command, [PROGRAM, model.path], program, flags)
    except ComparisonError as error:
        raise EngineError("C that this compiler takes", error.got,
                          where=f"{model.path}, {error.where}",
                          hint="export the model again, or name another compiler in $CC"
                          ) from error
    return program, f"{version(command)} {' '.join(FLAGS)}"
