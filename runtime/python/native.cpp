// The Python face of the core: arrays in, arrays out, statuses as exceptions; no logic of its own.
#include <string>
#include <vector>

#include "bind.h"

namespace {

const char *status_name(edge_status status) {
    switch (status) {
#define NAME_(name, value, text) \
    case EDGE_##name:            \
        return #name;
        EDGE_STATUSES(NAME_)
#undef NAME_
    }
    return "unknown";
}

std::vector<std::string> isas() {
    std::vector<std::string> names;
    for (size_t i = 0; i < edge_isa_count(); i++) names.push_back(edge_isa_name(i));
    return names;
}

} // namespace

// errors.from_status names the exception; this module knows none of them.
void check(edge_status status) {
    if (status == EDGE_OK) return;
    nb::gil_scoped_acquire held;
    nb::object error = nb::module_::import_("edge_sdk.errors")
                           .attr("from_status")(status_name(status), edge_status_text(status));
    PyErr_SetObject(reinterpret_cast<PyObject *>(Py_TYPE(error.ptr())), error.ptr());
    throw nb::python_error();
}

uint32_t tag_of(std::string tag) {
    tag.resize(4, '\0');
    const auto at = [&](size_t i) { return static_cast<uint8_t>(tag[i]); };
    return EDGE_TAG(at(0), at(1), at(2), at(3));
}

NB_MODULE(_native, m) {
    m.doc() = "The C99 core, bound with nanobind.";
    m.def("version", &edge_version, "Return the version that the core was compiled as.");
    m.def("isa", &edge_isa, "Return the instruction set whose kernels are in use.");
    m.def("isas", &isas, "Return the instruction sets that can be used here, slowest first.");
    m.def("use_isa", [](const std::string &isa) { check(edge_isa_use(isa.c_str())); },
          nb::arg("isa"), "Use the kernels of `isa`; for tests and benchmarks.");

    bind_files(m);
    bind_codes(m);
    bind_mrl(m);
    bind_governor(m);
    bind_vectors(m);
    bind_audio(m);
    bind_fastgrnn(m);
    bind_sparse(m);
}
