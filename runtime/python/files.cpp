// Files: their digests and heads.
#include <tuple>
#include <vector>

#include "bind.h"

namespace {

using Section = std::tuple<std::string, uint32_t, uint64_t, uint64_t>; // tag, width, size, digest

// (head, offset of each section, size of the file)
std::tuple<nb::bytes, std::vector<uint64_t>, uint64_t> write_head(
    int kind, uint32_t bits, uint64_t n, const std::vector<Section> &sections) {
    std::vector<edge_section> table;
    for (const auto &[tag, width, size, digest] : sections) {
        edge_section one = {};
        one.tag = tag_of(tag);
        one.width = width;
        one.size = size;
        one.digest = digest;
        table.push_back(one);
    }
    const uint32_t count = static_cast<uint32_t>(table.size());
    std::vector<uint8_t> head(edge_file_head_size(count));
    uint64_t size = 0;
    check(edge_file_write_head(static_cast<edge_kind>(kind), bits, n, table.data(), count,
                              head.data(), head.size(), &size));
    std::vector<uint64_t> offsets;
    for (const edge_section &one : table) offsets.push_back(one.offset);
    return {nb::bytes(head.data(), head.size()), offsets, size};
}

class Digest {
  public:
    Digest() { edge_digest_start(&state_); }
    void add(In<uint8_t, 1> bytes) {
        nb::gil_scoped_release free;
        edge_digest_add(&state_, bytes.data(), bytes.size());
    }
    uint64_t value() const { return edge_digest_value(&state_); }

  private:
    edge_digest state_;
};

} // namespace

void bind_files(nb::module_ &m) {
    nb::class_<Digest>(m, "Digest", "XXH64 of bytes that come in pieces.")
        .def(nb::init<>())
        .def("add", &Digest::add, nb::arg("bytes"))
        .def("value", &Digest::value);

    m.def("write_head", &write_head, nb::arg("kind"), nb::arg("bits"), nb::arg("n"),
          nb::arg("sections"));
}
