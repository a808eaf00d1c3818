// edge::sparse_linear and edge::sparse_conv2d for ExecuTorch, over the core's sparse weights.
//
// Built into a library of its own beside the Python extension, and only where ExecuTorch is
// installed. Nothing registers itself: the loader compares versions first, because the layout
// of ExecuTorch's C++ types changes between releases, and registering twice ends the process.
//
// The operators take their arguments boxed. Unboxing by templates would end the process on a
// program whose arguments are others; here everything wrong is an error of the call.
#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/kernel/kernel_includes.h>
#include <executorch/runtime/kernel/operator_registry.h>

#include <cstdint>
#include <limits>
#include <new>

#include "edge_runtime.h"

namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::Kernel;
using executorch::runtime::KernelRuntimeContext;
using executorch::runtime::Span;

using Stack = Span<EValue *>;

#define REQUIRE(ok, error, ...)        \
    do {                               \
        if (!(ok)) {                   \
            ET_LOG(Error, __VA_ARGS__); \
            return Error::error;       \
        }                              \
    } while (0)

// Memory of one thread that grows to the most a call asked for: large blocks taken from the
// system at each call would have to be mapped in again each time.
class Scratch {
  public:
    void *get(size_t size) {
        if (size > size_) {
            free();
            data_ = ::operator new(size, std::align_val_t(kAlignment), std::nothrow);
            size_ = data_ ? size : 0;
        }
        return data_;
    }
    ~Scratch() { free(); }

  private:
    static constexpr size_t kAlignment = 64;

    void free() {
        ::operator delete(data_, std::align_val_t(kAlignment));
        data_ = nullptr;
        size_ = 0;
    }

    void *data_ = nullptr;
    size_t size_ = 0;
};

thread_local Scratch scratch;

Error from_status(edge_status status) {
    if (status == EDGE_OK) return Error::Ok;
    ET_LOG(Error, "edge: %s", edge_status_text(status));
    return status == EDGE_ERR_FORMAT || status == EDGE_ERR_VERSION ? Error::InvalidProgram
                                                                   : Error::InvalidArgument;
}

bool is_contiguous(const Tensor &tensor, ScalarType type) {
    return tensor.scalar_type() == type &&
           executorch::runtime::is_contiguous_dim_order(tensor.dim_order().data(),
                                                        tensor.dim_order().size());
}

bool narrow(int64_t value, uint32_t *out) {
    *out = static_cast<uint32_t>(value);
    return value >= 0 && value <= std::numeric_limits<SizesType>::max();
}

// What both operators have in common: the weight, the bias, and the range of the outputs.
struct Layer {
    edge_sparse weight;
    const float *bias = nullptr;
    float low;
    float high;

    Error open(const Tensor &bytes, const EValue &bias_or_none, const EValue &rows,
               const EValue &lowest, const EValue &highest) {
        REQUIRE(rows.isInt() && lowest.isDouble() && highest.isDouble(), InvalidArgument,
                "edge: arguments of other types");
        REQUIRE(is_contiguous(bytes, ScalarType::Byte) && bytes.dim() == 1, InvalidArgument,
                "edge: the weight is not packed bytes");
        const edge_status status =
            edge_sparse_open(&weight, bytes.const_data_ptr(), bytes.nbytes());
        if (status != EDGE_OK) return from_status(status);
        REQUIRE(weight.rows > 0 && weight.cols > 0, InvalidProgram, "edge: an empty weight");
        REQUIRE(rows.toInt() == static_cast<int64_t>(weight.rows), InvalidProgram,
                "edge: the weight has %u rows, the layer %lld outputs",
                static_cast<unsigned>(weight.rows), static_cast<long long>(rows.toInt()));
        if (!bias_or_none.isNone()) {
            REQUIRE(bias_or_none.isTensor(), InvalidArgument, "edge: the bias is no tensor");
            const Tensor &tensor = bias_or_none.toTensor();
            REQUIRE(is_contiguous(tensor, ScalarType::Float) && tensor.dim() == 1 &&
                        tensor.size(0) == static_cast<ssize_t>(weight.rows),
                    InvalidArgument, "edge: the bias is not one float32 for each output");
            bias = tensor.const_data_ptr<float>();
        }
        low = static_cast<float>(lowest.toDouble());
        high = static_cast<float>(highest.toDouble());
        REQUIRE(low <= high, InvalidArgument, "edge: low is not below high");
        return Error::Ok;
    }
};

Error check_tensors(const Stack &stack, size_t count) {
    REQUIRE(stack.size() >= count, InvalidArgument, "edge: arguments are missing");
    REQUIRE(stack[0]->isTensor() && stack[1]->isTensor() && stack[count - 1]->isTensor(),
            InvalidArgument, "edge: arguments of other types");
    REQUIRE(is_contiguous(stack[0]->toTensor(), ScalarType::Float), InvalidArgument,
            "edge: the input is not contiguous float32");
    return Error::Ok;
}

Error resize(Tensor &out, const SizesType *sizes, size_t dims) {
    REQUIRE(out.scalar_type() == ScalarType::Float, InvalidArgument,
            "edge: the output is not float32");
    const Error error = executorch::runtime::resize_tensor(
        out, executorch::aten::ArrayRef<SizesType>(sizes, dims));
    if (error != Error::Ok) return error;
    REQUIRE(is_contiguous(out, ScalarType::Float) && (out.numel() == 0 || out.const_data_ptr()),
            InvalidArgument, "edge: the output is not contiguous, or has no memory");
    return Error::Ok;
}

// x (..., cols), weight, bias, out_features, low, high -> out (..., rows)
Error linear(const Stack &stack) {
    constexpr size_t kCount = 7;
    if (Error error = check_tensors(stack, kCount); error != Error::Ok) return error;
    Layer layer;
    if (Error error = layer.open(stack[1]->toTensor(), *stack[2], *stack[3], *stack[4], *stack[5]);
        error != Error::Ok)
        return error;
    const Tensor &x = stack[0]->toTensor();
    const size_t dims = x.dim();
    SizesType sizes[executorch::runtime::kTensorDimensionLimit];
    REQUIRE(dims >= 1 && dims <= executorch::runtime::kTensorDimensionLimit &&
                x.size(dims - 1) == static_cast<ssize_t>(layer.weight.cols),
            InvalidArgument, "edge::sparse_linear: the input does not end in %u features",
            static_cast<unsigned>(layer.weight.cols));
    for (size_t i = 0; i < dims; i++) sizes[i] = static_cast<SizesType>(x.size(i));
    sizes[dims - 1] = static_cast<SizesType>(layer.weight.rows);
    Tensor &out = stack[kCount - 1]->toTensor();
    if (Error error = resize(out, sizes, dims); error != Error::Ok) return error;
    uint32_t n;
    REQUIRE(narrow(x.numel() / static_cast<ssize_t>(layer.weight.cols), &n), InvalidArgument,
            "edge::sparse_linear: too many inputs");
    if (n == 0) return Error::Ok;

    size_t size = 0;
    const edge_status status = edge_sparse_linear_scratch_size(&layer.weight, n, &size);
    if (status != EDGE_OK) return from_status(status);
    void *room = scratch.get(size);
    REQUIRE(room || size == 0, MemoryAllocationFailed, "edge::sparse_linear: no memory");
    return from_status(edge_sparse_linear(&layer.weight, x.const_data_ptr<float>(), n, layer.bias,
                                          layer.low, layer.high, out.mutable_data_ptr<float>(),
                                          room, size));
}

Error two(const EValue &value, const char *what, uint32_t *vertical, uint32_t *horizontal) {
    const auto list = value.tryToIntList();
    REQUIRE(list.ok() && list->size() == 2 && narrow((*list)[0], vertical) &&
                narrow((*list)[1], horizontal),
            InvalidArgument, "edge::sparse_conv2d: the %s is not two lengths", what);
    return Error::Ok;
}

// The size of the output along one axis; 0 where the kernel is larger than the padded image.
int64_t positions(uint32_t length, uint32_t kernel, uint32_t stride, uint32_t pad) {
    const int64_t room = int64_t{length} + 2 * int64_t{pad} - int64_t{kernel};
    return room < 0 || stride == 0 ? 0 : room / stride + 1;
}

// x (n, c, h, w), weight, bias, out_channels, kernel, stride, padding, low, high -> out
Error conv2d(const Stack &stack) {
    constexpr size_t kCount = 10;
    if (Error error = check_tensors(stack, kCount); error != Error::Ok) return error;
    Layer layer;
    if (Error error = layer.open(stack[1]->toTensor(), *stack[2], *stack[3], *stack[7], *stack[8]);
        error != Error::Ok)
        return error;
    const Tensor &x = stack[0]->toTensor();
    edge_conv2d shape;
    if (Error error = two(*stack[4], "kernel", &shape.kernel_h, &shape.kernel_w);
        error != Error::Ok)
        return error;
    if (Error error = two(*stack[5], "stride", &shape.stride_h, &shape.stride_w);
        error != Error::Ok)
        return error;
    if (Error error = two(*stack[6], "padding", &shape.pad_h, &shape.pad_w); error != Error::Ok)
        return error;
    REQUIRE(x.dim() == 4 && narrow(x.size(1), &shape.in_channels) &&
                narrow(x.size(2), &shape.in_height) && narrow(x.size(3), &shape.in_width),
            InvalidArgument, "edge::sparse_conv2d: the input is not (n, c, h, w)");
    const int64_t height =
        positions(shape.in_height, shape.kernel_h, shape.stride_h, shape.pad_h);
    const int64_t width = positions(shape.in_width, shape.kernel_w, shape.stride_w, shape.pad_w);
    uint32_t h, w;
    REQUIRE(height > 0 && width > 0 && narrow(height, &h) && narrow(width, &w), InvalidArgument,
            "edge::sparse_conv2d: the kernel does not fit the image");

    Tensor &out = stack[kCount - 1]->toTensor();
    const SizesType sizes[] = {static_cast<SizesType>(x.size(0)),
                               static_cast<SizesType>(layer.weight.rows),
                               static_cast<SizesType>(h), static_cast<SizesType>(w)};
    if (Error error = resize(out, sizes, 4); error != Error::Ok) return error;

    size_t size = 0;
    edge_status status = edge_sparse_conv2d_scratch_size(&layer.weight, &shape, &size);
    if (status != EDGE_OK) return from_status(status);
    void *room = scratch.get(size);
    REQUIRE(room || size == 0, MemoryAllocationFailed, "edge::sparse_conv2d: no memory");
    const size_t image = size_t{shape.in_channels} * shape.in_height * shape.in_width;
    const size_t planes = size_t{layer.weight.rows} * h * w;
    for (ssize_t i = 0; i < x.size(0) && status == EDGE_OK; i++)
        status = edge_sparse_conv2d(&layer.weight, &shape, x.const_data_ptr<float>() + i * image,
                                    layer.bias, layer.low, layer.high,
                                    out.mutable_data_ptr<float>() + i * planes, room, size);
    return from_status(status);
}

template <Error (*call)(const Stack &)>
void operator_of(KernelRuntimeContext &context, Stack stack) {
    const Error error = call(stack);
    if (error != Error::Ok) context.fail(error);
}

}  // namespace

extern "C" {

// The release of ExecuTorch whose headers this was compiled with.
EDGE_API const char *edge_operators_built_for(void) { return EDGE_EXECUTORCH_VERSION; }

// Makes the operators known to this process's runtime. To be called once; 0 if it worked.
EDGE_API int edge_operators_register(void) {
    const Kernel kernels[] = {Kernel("edge::sparse_linear.out", operator_of<linear>),
                              Kernel("edge::sparse_conv2d.out", operator_of<conv2d>)};
    return static_cast<int>(executorch::runtime::register_kernels({kernels, 2}));
}
}
