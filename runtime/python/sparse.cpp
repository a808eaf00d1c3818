// Sparse weights: packed bytes in, products out.
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "bind.h"

namespace {

// Opened once: a look at every column takes about as long as a product with one token. So
// the bytes are its own, which nobody else changes afterwards.
struct Sparse {
    explicit Sparse(const In<uint8_t, 1> &from)
        : bytes(new uint8_t[from.size() ? from.size() : 1]), size(from.size()) {
        std::copy_n(from.data(), size, bytes.get());
        check(edge_sparse_open(&w, bytes.get(), size));
    }
    std::unique_ptr<uint8_t[]> bytes;
    size_t size;
    edge_sparse w;
};

// The kernels of an instruction set for the length of a call; the GIL must be held.
class OnIsa {
  public:
    explicit OnIsa(const std::optional<std::string> &isa) : before_(isa ? edge_isa() : nullptr) {
        if (isa) check(edge_isa_use(isa->c_str()));
    }
    ~OnIsa() {
        if (before_) edge_isa_use(before_);
    }

  private:
    const char *before_;
};

// Where kernels were chosen for this call alone, nobody else may come in.
template <typename F>
edge_status run(bool alone, F &&work) {
    return alone ? work() : free_of_gil(work);
}

Out<uint8_t, 1> pack(In<float, 2> w, uint32_t values, uint32_t delta_bits) {
    if (w.shape(0) > EDGE_SPARSE_MAX || w.shape(1) > EDGE_SPARSE_MAX) check(EDGE_ERR_ARGUMENT);
    const uint32_t rows = static_cast<uint32_t>(w.shape(0));
    const uint32_t cols = static_cast<uint32_t>(w.shape(1));
    const auto kind = static_cast<edge_sparse_values>(values);
    size_t size;
    check(free_of_gil([&] {
        return edge_sparse_pack_size(w.data(), rows, cols, kind, delta_bits, &size);
    }));
    Buffer<uint8_t> bytes(size);
    check(free_of_gil([&] {
        return edge_sparse_pack(w.data(), rows, cols, kind, delta_bits, bytes.get(), size);
    }));
    return bytes.vector(size);
}

size_t pack_size(In<float, 2> w, uint32_t values, uint32_t delta_bits) {
    if (w.shape(0) > EDGE_SPARSE_MAX || w.shape(1) > EDGE_SPARSE_MAX) check(EDGE_ERR_ARGUMENT);
    size_t size;
    check(free_of_gil([&] {
        return edge_sparse_pack_size(w.data(), static_cast<uint32_t>(w.shape(0)),
                                     static_cast<uint32_t>(w.shape(1)),
                                     static_cast<edge_sparse_values>(values), delta_bits, &size);
    }));
    return size;
}

auto info(const Sparse &self) {
    const edge_sparse &w = self.w;
    return std::make_tuple(w.rows, w.cols, w.n_kept, w.n_stored, w.values, w.delta_bits);
}

nb::bytes packed(const Sparse &self) { return nb::bytes(self.bytes.get(), self.size); }

Out<float, 2> unpack(const Sparse &self) {
    const size_t rows = self.w.rows, cols = self.w.cols;
    Buffer<float> dense(rows * cols);
    check(free_of_gil([&] { return edge_sparse_unpack(&self.w, dense.get()); }));
    return dense.array<2>({rows, cols});
}

const float *bias_of(const std::optional<In<float, 1>> &bias, const edge_sparse &w) {
    if (bias && bias->shape(0) != w.rows) check(EDGE_ERR_ARGUMENT);
    return bias ? bias->data() : nullptr;
}

// (n, rows) of x (n, cols).
Out<float, 2> linear(const Sparse &self, In<float, 2> x, std::optional<In<float, 1>> bias,
                     float low, float high, std::optional<std::string> isa) {
    const edge_sparse &w = self.w;
    const size_t n = x.shape(0), rows = w.rows;
    const float *b = bias_of(bias, w);
    size_t size;
    if (n > EDGE_SPARSE_MAX || x.shape(1) != w.cols) check(EDGE_ERR_ARGUMENT);
    check(edge_sparse_linear_scratch_size(&w, static_cast<uint32_t>(n), &size));
    Buffer<float> y(n * rows);
    Buffer<uint8_t> scratch(size);
    const OnIsa chosen(isa);
    check(run(isa.has_value(), [&] {
        return edge_sparse_linear(&w, x.data(), static_cast<uint32_t>(n), b, low, high, y.get(),
                                  scratch.get(), size);
    }));
    return y.array<2>({n, rows});
}

using Pair = std::tuple<uint32_t, uint32_t>;

// (b, rows, out_height, out_width) of x (b, c, h, w).
Out<float, 4> conv2d(const Sparse &self, In<float, 4> x, Pair kernel, Pair stride, Pair padding,
                     std::optional<In<float, 1>> bias, float low, float high,
                     std::optional<std::string> isa) {
    const edge_sparse &w = self.w;
    for (size_t axis = 1; axis < 4; axis++)
        if (x.shape(axis) > EDGE_SPARSE_MAX) check(EDGE_ERR_ARGUMENT);
    const edge_conv2d s = {static_cast<uint32_t>(x.shape(1)), static_cast<uint32_t>(x.shape(2)),
                           static_cast<uint32_t>(x.shape(3)), std::get<0>(kernel),
                           std::get<1>(kernel), std::get<0>(stride), std::get<1>(stride),
                           std::get<0>(padding), std::get<1>(padding)};
    const float *b = bias_of(bias, w);
    size_t size;
    check(edge_sparse_conv2d_scratch_size(&w, &s, &size));
    const size_t h = (s.in_height + 2 * size_t{s.pad_h} - s.kernel_h) / s.stride_h + 1;
    const size_t v = (s.in_width + 2 * size_t{s.pad_w} - s.kernel_w) / s.stride_w + 1;
    const size_t from = x.shape(1) * x.shape(2) * x.shape(3), to = w.rows * h * v;
    Buffer<float> y(x.shape(0) * to);
    Buffer<uint8_t> scratch(size);
    const OnIsa chosen(isa);
    check(run(isa.has_value(), [&] {
        edge_status status = EDGE_OK;
        for (size_t i = 0; i < x.shape(0) && status == EDGE_OK; i++)
            status = edge_sparse_conv2d(&w, &s, x.data() + i * from, b, low, high,
                                        y.get() + i * to, scratch.get(), size);
        return status;
    }));
    return y.array<4>({x.shape(0), w.rows, h, v});
}

} // namespace

void bind_sparse(nb::module_ &m) {
    m.attr("SPARSE_MAX") = static_cast<uint32_t>(EDGE_SPARSE_MAX);
    m.def("sparse_pack_size", &pack_size, nb::arg("w").noconvert(), nb::arg("values"),
          nb::arg("delta_bits"), "Return the bytes that a matrix packs into.");
    m.def("sparse_pack", &pack, nb::arg("w").noconvert(), nb::arg("values"),
          nb::arg("delta_bits"), "Return a matrix packed; values: 0 float32, 1 int8.");
    nb::class_<Sparse>(m, "Sparse", "An opened weight; its bytes are a copy.")
        .def(nb::init<In<uint8_t, 1>>(), nb::arg("bytes").noconvert())
        .def_prop_ro("info", &info, "(rows, cols, n_kept, n_stored, values, delta_bits).")
        .def_prop_ro("size", [](const Sparse &self) { return self.size; }, "Bytes packed into.")
        .def("bytes", &packed, "Return the packed bytes.")
        .def("unpack", &unpack, "Return the matrix with its zeros.")
        .def("linear", &linear, nb::arg("x").noconvert(),
             nb::arg("bias").noconvert().none() = nb::none(), nb::arg("low") = -INFINITY,
             nb::arg("high") = INFINITY, nb::arg("isa") = nb::none(),
             "Return clamp(x W^T + bias), (n, rows); with `isa`, by its kernels and holding the "
             "GIL.")
        .def("conv2d", &conv2d, nb::arg("x").noconvert(), nb::arg("kernel"), nb::arg("stride"),
             nb::arg("padding"), nb::arg("bias").noconvert().none() = nb::none(),
             nb::arg("low") = -INFINITY, nb::arg("high") = INFINITY, nb::arg("isa") = nb::none(),
             "Return clamp(conv2d(x, W) + bias), (b, rows, out_height, out_width); `isa` as above.");
}
