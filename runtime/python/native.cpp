// The Python face of the core: thin, no logic of its own.
#include <nanobind/nanobind.h>

#include "edge_runtime.h"

NB_MODULE(_native, m) {
    m.doc() = "The C99 core, bound with nanobind.";
    m.def("version", &edge_version, "Return the version that the core was compiled as.");
}
