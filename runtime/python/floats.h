// float32 arrays of NumPy in a few nanoseconds, for calls that take no longer than a handshake.
//
// NumPy's own header is not at hand where this is built, so the beginning of its array object,
// the same in all of NumPy 1 and 2, is written down here, and tried on an array before it is
// believed. Arrays that are anything but plain go through nanobind.
#pragma once

#include "bind.h"

class Floats {
  public:
    const float *data;
    size_t axes, shape[2]; // axes from 1 to 2

    size_t size() const { return axes == 1 ? shape[0] : shape[0] * shape[1]; }

    // False if it is no C-contiguous float32 array of one or two axes (writable, if so asked).
    static bool read(nb::handle array, Floats &to, bool writable = false) {
        const NumPy &numpy = NumPy::get();
        const Fields *at = reinterpret_cast<const Fields *>(array.ptr());
        if (numpy.known && numpy.plain(at)) {
            if (at->axes < 1 || at->axes > 2 || (writable && !(at->flags & WRITABLE))) return false;
            to = {at->data, static_cast<size_t>(at->axes), {}};
            for (int i = 0; i < at->axes; i++) to.shape[i] = static_cast<size_t>(at->shape[i]);
            return true;
        }
        nb::ndarray<nb::numpy, nb::c_contig, nb::device::cpu> view;
        if (!nb::try_cast(array, view, false) || view.dtype() != nb::dtype<float>() ||
            view.ndim() < 1 || view.ndim() > 2)
            return false;
        if (writable && !nb::cast<bool>(array.attr("flags").attr("writeable"))) return false;
        to = {static_cast<const float *>(view.data()), view.ndim(), {}};
        for (size_t i = 0; i < view.ndim(); i++) to.shape[i] = view.shape(i);
        return true;
    }

    // A new array (size,), and where its numbers are.
    static nb::object make(size_t size, float *&data) {
        const NumPy &numpy = NumPy::get();
        nb::object array = numpy.empty(size, numpy.dtype);
        Floats view;
        if (!read(array, view)) nb::raise("numpy.empty gave no array");
        data = const_cast<float *>(view.data);
        return array;
    }

  private:
    enum { CONTIGUOUS = 0x1, ALIGNED = 0x100, WRITABLE = 0x400 };

    struct Fields {
        PyObject_HEAD
        const float *data;
        int axes;
        Py_ssize_t *shape, *strides;
        PyObject *base, *dtype;
        int flags;
    };

    struct NumPy {
        nb::object module, array, dtype, empty;
        bool known = false;

        NumPy() : module(nb::module_::import_("numpy")) {
            array = module.attr("ndarray");
            dtype = module.attr("dtype")("float32");
            empty = module.attr("empty");
            known = agrees(nb::make_tuple(3, 5)) && agrees(nb::make_tuple(7));
        }

        static const NumPy &get() {
            static const NumPy *one = new NumPy(); // never freed, as is NumPy itself
            return *one;
        }

        bool plain(const Fields *at) const {
            return Py_TYPE(reinterpret_cast<PyObject *>(const_cast<Fields *>(at))) ==
                       reinterpret_cast<PyTypeObject *>(array.ptr()) &&
                   at->dtype == dtype.ptr() && (at->flags & CONTIGUOUS) && (at->flags & ALIGNED);
        }

        // Whether an array of this shape says of itself what its fields say.
        bool agrees(nb::tuple shape) const {
            const nb::object probe = empty(shape, dtype);
            const Fields *at = reinterpret_cast<const Fields *>(probe.ptr());
            const size_t address = nb::cast<size_t>(probe.attr("ctypes").attr("data"));
            if (Py_TYPE(probe.ptr())->tp_basicsize < static_cast<Py_ssize_t>(sizeof(Fields)) ||
                !plain(at) || reinterpret_cast<size_t>(at->data) != address ||
                at->axes != static_cast<int>(shape.size()) ||
                at->flags != nb::cast<int>(probe.attr("flags").attr("num")))
                return false;
            for (size_t i = 0; i < shape.size(); i++)
                if (at->shape[i] != nb::cast<Py_ssize_t>(shape[i])) return false;
            probe.attr("flags").attr("writeable") = false;
            return !(at->flags & WRITABLE);
        }
    };
};
