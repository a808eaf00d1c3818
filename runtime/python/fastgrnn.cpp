// FastGRNN cells: steps, whole sequences, streams.
#include <optional>
#include <string>

#include "bind.h"

namespace {

using Frames = nb::ndarray<const float, nb::numpy, nb::c_contig, nb::device::cpu>;
using Into = nb::ndarray<float, nb::numpy, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// A state of its own, 64-byte aligned.
class State {
  public:
    explicit State(const edge_fastgrnn &cell)
        : cell_(&cell), size_(edge_fastgrnn_state_size(&cell)), room_(size_ / sizeof(float) + 16) {
        const size_t off = reinterpret_cast<uintptr_t>(room_.get()) / sizeof(float) % 16;
        start_ = room_.get() + (off ? 16 - off : 0);
        init();
    }
    void init() { check(edge_fastgrnn_init(cell_, start_, size_)); }
    edge_status run(const float *x, size_t n, float *states) {
        return edge_fastgrnn_run(cell_, start_, size_, x, n, states);
    }
    edge_status logits(float *out) {
        return cell_->n_classes ? edge_fastgrnn_logits(cell_, start_, size_, out) : EDGE_OK;
    }
    edge_status get(float *h) const { return edge_fastgrnn_get(cell_, start_, size_, h); }
    edge_status set(const float *h) { return edge_fastgrnn_set(cell_, start_, size_, h); }

  private:
    const edge_fastgrnn *cell_;
    size_t size_;
    Buffer<float> room_;
    float *start_;
};

class Cell {
  public:
    Cell(In<uint8_t, 1> bytes, bool verify) : bytes_(bytes) {
        check(free_of_gil([&] {
            return edge_fastgrnn_open(bytes_.data(), bytes_.size(), verify ? 0 : EDGE_UNVERIFIED,
                                      &cell_);
        }));
    }

    const edge_fastgrnn &cell() const { return cell_; }

    // The frames in x, (n_inputs,) or (n, n_inputs).
    size_t frames(const Frames &x) const {
        const size_t axes = x.ndim();
        if (axes < 1 || axes > 2 || x.shape(axes - 1) != cell_.n_inputs) check(EDGE_ERR_ARGUMENT);
        return axes == 1 ? 1 : x.shape(0);
    }

    Out<float, 1> run(const Frames &x) const {
        const size_t n = frames(x);
        Buffer<float> out(cell_.n_classes);
        State state(cell_);
        if (!cell_.n_classes) check(EDGE_ERR_ABSENT);
        check(free_of_gil([&] {
            const edge_status status = state.run(x.data(), n, nullptr);
            return status == EDGE_OK ? state.logits(out.get()) : status;
        }));
        return out.vector(cell_.n_classes);
    }

    Out<float, 2> states(const Frames &x) const {
        const size_t n = frames(x);
        Buffer<float> out(n * cell_.n_hidden);
        State state(cell_);
        check(free_of_gil([&] { return state.run(x.data(), n, out.get()); }));
        return out.array<2>({n, cell_.n_hidden});
    }

  private:
    In<uint8_t, 1> bytes_; // keeps the Python buffer alive
    edge_fastgrnn cell_;
};

class Stream {
  public:
    explicit Stream(const Cell &cell) : cell_(&cell), state_(cell.cell()) {}

    void reset() { state_.init(); }

    // A few frames take less time than giving the lock away and getting it back.
    void push_into(const Frames &x, float *logits) {
        const size_t n = cell_->frames(x);
        const auto work = [&] {
            const edge_status status = state_.run(x.data(), n, nullptr);
            return status == EDGE_OK ? state_.logits(logits) : status;
        };
        check(n > 16 ? free_of_gil(work) : work());
    }

    Out<float, 1> push(const Frames &x) {
        const size_t n = cell_->cell().n_classes;
        Buffer<float> out(n);
        push_into(x, out.get());
        return out.vector(n);
    }

    void push_to(const Frames &x, Into out) {
        if (out.size() != cell_->cell().n_classes) check(EDGE_ERR_ARGUMENT);
        push_into(x, out.data());
    }

    Out<float, 1> h() const {
        Buffer<float> out(cell_->cell().n_hidden);
        check(state_.get(out.get()));
        return out.vector(cell_->cell().n_hidden);
    }

    void set_h(In<float, 1> h) {
        if (h.size() != cell_->cell().n_hidden) check(EDGE_ERR_ARGUMENT);
        check(state_.set(h.data()));
    }

    // A step from `h` to `next`; logits if the cell has a head.
    void step(In<float, 1> x, std::optional<In<float, 1>> h, Into next, Into logits) {
        const edge_fastgrnn &cell = cell_->cell();
        if (x.size() != cell.n_inputs || (h && h->size() != cell.n_hidden) ||
            next.size() != cell.n_hidden || logits.size() != cell.n_classes)
            check(EDGE_ERR_ARGUMENT);
        if (h)
            check(state_.set(h->data()));
        else
            state_.init();
        check(state_.run(x.data(), 1, nullptr));
        check(state_.logits(logits.data()));
        check(state_.get(next.data()));
    }

  private:
    const Cell *cell_;
    State state_;
};

} // namespace

void bind_fastgrnn(nb::module_ &m) {
    nb::class_<Cell>(m, "FastGRNNCell", nb::is_weak_referenceable(), "An opened .grnn file.")
        .def(nb::init<In<uint8_t, 1>, bool>(), nb::arg("bytes"), nb::arg("verify") = true)
        .def_prop_ro("n_inputs", [](const Cell &self) { return self.cell().n_inputs; })
        .def_prop_ro("n_hidden", [](const Cell &self) { return self.cell().n_hidden; })
        .def_prop_ro("n_classes", [](const Cell &self) { return self.cell().n_classes; })
        .def_prop_ro("rank_w", [](const Cell &self) { return self.cell().rank_w; })
        .def_prop_ro("rank_u", [](const Cell &self) { return self.cell().rank_u; })
        .def("logits_of", &Cell::run, nb::arg("x").noconvert())
        .def("states_of", &Cell::states, nb::arg("x").noconvert());

    nb::class_<Stream>(m, "FastGRNNStream", "A state, and what has been heard so far.")
        .def(nb::init<const Cell &>(), nb::keep_alive<1, 2>(), nb::arg("cell"))
        .def("push", &Stream::push, nb::arg("x").noconvert())
        .def("push", &Stream::push_to, nb::arg("x").noconvert(), nb::arg("out").noconvert())
        .def("reset", &Stream::reset)
        .def_prop_rw("h", &Stream::h, &Stream::set_h)
        .def("step_into", &Stream::step, nb::arg("x").noconvert(), nb::arg("h").none(),
             nb::arg("next").noconvert(), nb::arg("logits").noconvert());
}
