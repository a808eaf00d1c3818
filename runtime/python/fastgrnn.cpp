// FastGRNN cells: steps, whole sequences, streams.
#include <string>
#include <tuple>

#include "floats.h"

namespace {

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

    // Frames, (n_inputs,) or (n, n_inputs); and how many.
    Floats frames(nb::handle x, size_t &n) const {
        Floats view;
        if (!Floats::read(x, view) || view.shape[view.axes - 1] != cell_.n_inputs ||
            view.size() == 0)
            wrong("float32, C-contiguous, frames (" + std::to_string(cell_.n_inputs) +
                      ",) or (T, " + std::to_string(cell_.n_inputs) + "), T >= 1",
                  x, "`x`");
        n = view.axes == 1 ? 1 : view.shape[0];
        return view;
    }

    // An array (size,).
    static const float *vector(nb::handle array, size_t size, const char *name) {
        Floats view;
        if (!Floats::read(array, view) || view.axes != 1 || view.shape[0] != size)
            wrong("float32, contiguous, (" + std::to_string(size) + ",)", array, name);
        return view.data;
    }
    static float *room(nb::handle array, size_t size, const char *name) {
        Floats view;
        if (!Floats::read(array, view, true) || view.axes != 1 || view.shape[0] != size)
            wrong("writable float32, contiguous, (" + std::to_string(size) + ",)", array, name);
        return const_cast<float *>(view.data);
    }

    nb::object run(nb::handle x) const {
        size_t n;
        const Floats view = frames(x, n);
        State state(cell_);
        float *logits;
        if (!cell_.n_classes) check(EDGE_ERR_ABSENT);
        nb::object out = Floats::make(cell_.n_classes, logits);
        check(free_of_gil([&] {
            const edge_status status = state.run(view.data, n, nullptr);
            return status == EDGE_OK ? state.logits(logits) : status;
        }));
        return out;
    }

    Out<float, 2> states(nb::handle x) const {
        size_t n;
        const Floats view = frames(x, n);
        Buffer<float> out(n * cell_.n_hidden);
        State state(cell_);
        check(free_of_gil([&] { return state.run(view.data, n, out.get()); }));
        return out.array<2>({n, cell_.n_hidden});
    }

    // Of a cell in integers: the states after each frame, and the logits after the last.
    auto integers(In<int16_t, 2> x) const {
        const size_t n = x.shape(0), size = edge_fastgrnn_state_size(&cell_);
        if (x.shape(1) != cell_.n_inputs) check(EDGE_ERR_ARGUMENT);
        Buffer<int16_t> states(n * cell_.n_hidden);
        Buffer<int32_t> logits(cell_.n_classes);
        Buffer<float> state(size / sizeof(float) + 1);
        check(edge_fastgrnn_init(&cell_, state.get(), size));
        check(free_of_gil([&] {
            const edge_status status = edge_fastgrnn_run_i16(&cell_, state.get(), size, x.data(),
                                                             n, states.get());
            if (status != EDGE_OK || !cell_.n_classes) return status;
            return edge_fastgrnn_logits_i32(&cell_, state.get(), size, logits.get());
        }));
        return std::make_tuple(states.array<2>({n, cell_.n_hidden}),
                               logits.vector(cell_.n_classes));
    }

    // (h', logits) of a frame and h; in `out`, if it is given.
    nb::object step(nb::handle x, nb::handle h, nb::object out) {
        float *next, *logits;
        const float *from = vector(x, cell_.n_inputs, "`x`");
        const float *before = h.is_none() ? nullptr : vector(h, cell_.n_hidden, "`h`");
        if (out.is_none()) {
            nb::object first = Floats::make(cell_.n_hidden, next);
            out = nb::make_tuple(first, Floats::make(cell_.n_classes, logits));
        } else {
            if (!nb::isinstance<nb::tuple>(out) || nb::len(out) != 2)
                wrong("(h', logits)", out, "`out`");
            next = room(PyTuple_GET_ITEM(out.ptr(), 0), cell_.n_hidden, "`out`");
            logits = room(PyTuple_GET_ITEM(out.ptr(), 1), cell_.n_classes, "`out`");
        }
        if (!one_) one_.reset(new State(cell_));
        if (before)
            check(one_->set(before));
        else
            one_->init();
        check(one_->run(from, 1, nullptr));
        check(one_->logits(logits));
        check(one_->get(next));
        return out;
    }

    [[noreturn]] static void wrong(const std::string &expected, nb::handle got, const char *where) {
        const auto text = [](const nb::object &value) {
            return std::string(nb::str(nb::handle(value)).c_str());
        };
        std::string words = text(got.type().attr("__name__"));
        if (nb::hasattr(got, "dtype") && nb::hasattr(got, "shape"))
            words = text(got.attr("dtype")) + " " + text(got.attr("shape"));
        const nb::object error = nb::module_::import_("edge_sdk.errors")
                                     .attr("ShapeError")(
                                         expected, words, nb::arg("where") = where,
                                         nb::arg("hint") = "np.ascontiguousarray(x, np.float32)");
        PyErr_SetObject(reinterpret_cast<PyObject *>(Py_TYPE(error.ptr())), error.ptr());
        throw nb::python_error();
    }

  private:
    In<uint8_t, 1> bytes_; // keeps the Python buffer alive
    edge_fastgrnn cell_;
    std::unique_ptr<State> one_; // of `step`, which holds the GIL
};

class Stream {
  public:
    explicit Stream(const Cell &cell) : cell_(&cell), state_(cell.cell()) {}

    void reset() { state_.init(); }

    // The logits after frames; in `out`, if it is given.
    nb::object push(nb::handle x, nb::object out) {
        const size_t n_classes = cell_->cell().n_classes;
        size_t n;
        const Floats view = cell_->frames(x, n);
        float *logits;
        if (out.is_none())
            out = Floats::make(n_classes, logits);
        else
            logits = Cell::room(out, n_classes, "`out`");
        const auto work = [&] {
            const edge_status status = state_.run(view.data, n, nullptr);
            return status == EDGE_OK ? state_.logits(logits) : status;
        };
        // A few frames take less time than giving the lock away and getting it back.
        check(n > 16 ? free_of_gil(work) : work());
        return out;
    }

    nb::object h() const {
        float *to;
        nb::object out = Floats::make(cell_->cell().n_hidden, to);
        check(state_.get(to));
        return out;
    }

    void set_h(nb::handle h) {
        check(state_.set(Cell::vector(h, cell_->cell().n_hidden, "`h`")));
    }

  private:
    const Cell *cell_;
    State state_;
};

} // namespace

#define FLOATS "NDArray[numpy.float32]"

void bind_fastgrnn(nb::module_ &m) {
    nb::class_<Cell>(m, "FastGRNNCell", nb::is_weak_referenceable(), "An opened .grnn file.")
        .def(nb::init<In<uint8_t, 1>, bool>(), nb::arg("bytes"), nb::arg("verify") = true)
        .def_prop_ro("n_inputs", [](const Cell &self) { return self.cell().n_inputs; })
        .def_prop_ro("n_hidden", [](const Cell &self) { return self.cell().n_hidden; })
        .def_prop_ro("n_classes", [](const Cell &self) { return self.cell().n_classes; })
        .def_prop_ro("is_integer", [](const Cell &self) { return self.cell().integers != 0; })
        .def_prop_ro("rank_w", [](const Cell &self) { return self.cell().rank_w; })
        .def_prop_ro("rank_u", [](const Cell &self) { return self.cell().rank_u; })
        .def("run", &Cell::run, nb::arg("x").none(),
             nb::sig("def run(self, x: " FLOATS ") -> " FLOATS),
             "Return the logits (C,) after the last frame of x (T, D), all float32.\n\n"
             "Raises:\n"
             "    ShapeError: Another shape or dtype, or T is 0.\n"
             "    CodeError: NaN or infinity in x, a sum beyond float32, or no head.")
        .def("states", &Cell::states, nb::arg("x").none(),
             nb::sig("def states(self, x: " FLOATS ") -> " FLOATS),
             "Return the state after each frame of x (T, D), shape (T, H) float32; as `run`.")
        .def("integers", &Cell::integers, nb::arg("x").noconvert(),
             nb::sig("def integers(self, x: NDArray[numpy.int16]) -> "
                     "tuple[NDArray[numpy.int16], NDArray[numpy.int32]]"),
             "Return (states (T, H) int16, logits (C,) int32) of a model in integers.")
        .def("step", &Cell::step, nb::arg("x").none(), nb::arg("h") = nb::none(),
             nb::arg("out") = nb::none(),
             nb::sig("def step(self, x: " FLOATS ", h: " FLOATS " | None = None, out: tuple["
                     FLOATS ", " FLOATS "] | None = None) -> tuple[" FLOATS ", " FLOATS "]"),
             "Return (h' (H,), logits (C,)) of one frame x (D,) and a state h (H,), all float32.\n"
             "\n"
             "Args:\n"
             "    x: Features, before normalization.\n"
             "    h: The state before it; None: zeros.\n"
             "    out: Arrays for h' and logits, which are then returned; h' may be h.\n\n"
             "Raises:\n"
             "    ShapeError: Another shape or dtype.\n"
             "    CodeError: NaN or infinity in x or h, or a sum beyond float32.");

    nb::class_<Stream>(m, "FastGRNNStream", "A state, and what has been heard so far.")
        .def(nb::init<const Cell &>(), nb::keep_alive<1, 2>(), nb::arg("cell"))
        .def("push", &Stream::push, nb::arg("x").none(), nb::arg("out") = nb::none(),
             nb::sig("def push(self, x: " FLOATS ", out: " FLOATS " | None = None) -> " FLOATS),
             "Take a frame (D,) or frames (T, D) float32; return the logits (C,) after them.\n\n"
             "Args:\n"
             "    x: Features, before normalization.\n"
             "    out: An array for the logits, which is then returned.\n\n"
             "Raises:\n"
             "    ShapeError: Another shape or dtype.\n"
             "    CodeError: NaN or infinity; the state is then as it was.")
        .def("reset", &Stream::reset, "Start again with a state of zeros.")
        .def_prop_rw("h", &Stream::h, &Stream::set_h,
                     nb::for_getter(nb::sig("def h(self) -> " FLOATS)),
                     nb::for_setter(nb::sig("def h(self, value: " FLOATS ", /) -> None")),
                     "The state (H,) float32: a copy of it, and to be set.");
}
