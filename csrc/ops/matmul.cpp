#include "ops/matmul.h"

#include "ops/elementwise_grad.h"

namespace dnncore::ops {

void run_gemm(const char* op, const GemmArgs& args, Device device) {
  if (args.m > 0 && args.n > 0 && args.batch > 0) launch_with_workspace(op, kernel::gemm, args, device);
}

Tensor activation_gradient(Activation activation, const Tensor& g, const Tensor& y) {
  switch (activation) {
    case Activation::Relu:
      return unary_gradient(UnaryOp::relu, g, y);
    case Activation::Tanh:
      return unary_gradient(UnaryOp::tanh, g, y);
    case Activation::Sigmoid:
      return unary_gradient(UnaryOp::sigmoid, g, y);
    default:
      return g;
  }
}

namespace {

// A 2-D operand the kernel can read: one of its strides is 1 (or its dimension has one element); else a copy.
Tensor readable(const Tensor& x) {
  const int rows = x.ndim() - 2, columns = x.ndim() - 1;
  const bool fits = x.stride(columns) == 1 || x.stride(rows) == 1 || x.size(columns) <= 1 || x.size(rows) <= 1;
  return fits ? x : copy_of(x, x.dtype(), "matmul");
}

struct Epilogue {
  Tensor bias;  // (n), contiguous, of the accumulation dtype; may be undefined
  Activation activation = Activation::None;
};

GemmArgs gemm_args(const Tensor& a, const Tensor& b, const Tensor& c) {
  const int r = a.ndim() - 2, s = b.ndim() - 2, t = c.ndim() - 2;
  return {.a = a.data(),
          .b = b.data(),
          .c = c.data(),
          .m = a.size(r),
          .n = b.size(s + 1),
          .k = a.size(r + 1),
          .a_row = a.stride(r),
          .a_col = a.stride(r + 1),
          .b_row = b.stride(s),
          .b_col = b.stride(s + 1),
          .c_row = c.stride(t),
          .dtype = a.dtype(),
          .out_dtype = c.dtype()};
}

// One row times a matrix that lies along k is that matrix times one column: dot products, and nothing to pack. Small matrices are packed
// sooner than the bias is copied.
bool is_transposed_column(const Tensor& x, const Tensor& z) {
  const bool narrow = x.dtype() != DType::Float32 && x.dtype() != DType::Float64;
  return x.size(0) == 1 && z.stride(0) == 1 && x.stride(1) == 1 && z.numel() >= 8192 && !narrow;
}

// y already holds the bias.
GemmArgs column_args(const Tensor& x, const Tensor& z, const Tensor& y, bool accumulate) {
  return {.a = z.data(),
          .b = x.data(),
          .c = y.data(),
          .m = z.size(1),
          .n = 1,
          .k = x.size(1),
          .a_row = z.stride(1),
          .a_col = 1,
          .b_row = 1,
          .b_col = 1,
          .c_row = 1,
          .dtype = x.dtype(),
          .out_dtype = y.dtype(),
          .accumulate = accumulate};
}

// a (m, k) times b (k, n); no gradient.
Tensor product(const char* op, const Tensor& a, const Tensor& b, const Epilogue& epilogue = {}) {
  const Tensor x = readable(a), z = readable(b);
  const Tensor y = Tensor::empty({x.size(0), z.size(1)}, x.dtype(), x.device(), op);
  GemmArgs args;
  if (is_transposed_column(x, z)) {
    if (epilogue.bias.defined()) launch_copy(op, reshape(epilogue.bias, y.shape()), y, false);
    args = column_args(x, z, y, epilogue.bias.defined());
  } else {
    args = gemm_args(x, z, y);
    args.bias = epilogue.bias.defined() ? epilogue.bias.data() : nullptr;
  }
  args.activation = epilogue.activation;
  run_gemm(op, args, x.device());
  return y;
}

void check_products(const char* op, const Tensor& a, const Tensor& b) {
  check_device(op, a, b);
  DNN_CHECK(a.dtype() == b.dtype(), TypeError, op, ": expected operands of one dtype, got ", a.dtype(), " and ", b.dtype());
  DNN_CHECK(is_floating(a.dtype()), TypeError, op, ": expected floating tensors, got ", a.dtype(), "; cast with .float()");
}

// (..., m, k) times (..., k, n) with the leading dimensions broadcast; both have at least two dimensions. No gradient.
Tensor batched_product(const Tensor& a, const Tensor& b) {
  const auto leading = [](const Shape& shape) {
    Shape result = shape;
    result.n -= 2;
    return result;
  };
  const Shape batch = broadcast_shapes("matmul", leading(a.shape()), leading(b.shape()));
  Shape shape = batch;
  shape.push_back(a.size(a.ndim() - 2));
  shape.push_back(b.size(b.ndim() - 1));
  const Tensor x = readable(a), z = readable(b);
  const Tensor y = Tensor::empty(shape, a.dtype(), a.device(), "matmul");

  Shape loop = batch;
  Strides sx = broadcast_strides(leading(x.shape()), leading(x.strides()), batch);
  Strides sz = broadcast_strides(leading(z.shape()), leading(z.strides()), batch);
  Strides sy = leading(y.strides());
  Strides* strides[] = {&sy, &sx, &sz};
  coalesce(loop, strides, 3);

  // The innermost joined dimension is the kernel's batch; any others are looped over here.
  const int last = loop.ndim() - 1;
  GemmArgs args = gemm_args(x, z, y);
  args.batch = loop[last];
  args.a_batch = sx[last];
  args.b_batch = sz[last];
  args.c_batch = sy[last];
  const auto size = static_cast<int64_t>(itemsize(a.dtype()));
  int64_t outer = 1;
  for (int i = 0; i < last; ++i) outer *= loop[i];
  for (int64_t at = 0; at < outer; ++at) {
    int64_t rest = at, ox = 0, oz = 0, oy = 0;
    for (int i = last - 1; i >= 0; --i) {
      const int64_t position = rest % loop[i];
      rest /= loop[i];
      ox += position * sx[i];
      oz += position * sz[i];
      oy += position * sy[i];
    }
    GemmArgs part = args;
    part.a = static_cast<const std::byte*>(args.a) + ox * size;
    part.b = static_cast<const std::byte*>(args.b) + oz * size;
    part.c = static_cast<std::byte*>(args.c) + oy * size;
    run_gemm("matmul", part, a.device());
  }
  return y;
}

// Both have at least two dimensions.
Tensor matmul_nd(const Tensor& a, const Tensor& b) {
  const int64_t k = a.size(a.ndim() - 1);
  DNN_CHECK(k == b.size(b.ndim() - 2), ValueError, "matmul: shapes ", a.shape(), " and ", b.shape(), " do not fit: ", k, " columns times ",
            b.size(b.ndim() - 2), " rows");
  // One matrix b for all: the rows of a are one tall matrix.
  if (a.ndim() > 2 && b.ndim() == 2 && a.numel() > 0) {
    Shape shape = a.shape();
    const Tensor y = matmul(reshape(a, {a.numel() / k, k}), b);
    shape[a.ndim() - 1] = b.size(1);
    return sole_name(reshape(y, shape));
  }
  const Tensor y = a.ndim() == 2 && b.ndim() == 2 ? product("matmul", a, b) : batched_product(a, b);
  if (any_requires_grad({&a, &b})) {
    const Saved saved_a = b.requires_grad() ? Saved::input(a) : Saved();
    const Saved saved_b = a.requires_grad() ? Saved::input(b) : Saved();
    record("matmul", y, {&a, &b}, [saved_a, saved_b, sa = a.shape(), sb = b.shape()](const Node& node, const Tensor& g) -> Grads {
      Grads grads(2);
      if (node.needs(0)) grads[0] = sum_to(matmul(g, transpose(saved_b.get(node), -1, -2)), sa);
      if (node.needs(1)) grads[1] = sum_to(matmul(transpose(saved_a.get(node), -1, -2), g), sb);
      return grads;
    });
  }
  return y;
}

void check_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  DNN_CHECK(weight.ndim() == 2, ValueError, "linear: expected a weight of shape (out, in), got ", weight.shape());
  DNN_CHECK(x.ndim() >= 1 && x.size(x.ndim() - 1) == weight.size(1), ValueError, "linear: expected input of shape (..., ", weight.size(1),
            ") to match weight ", weight.shape(), ", got ", x.shape());
  check_products("linear", x, weight);
  if (!bias.defined()) return;
  DNN_CHECK(bias.ndim() == 1 && bias.size(0) == weight.size(0), ValueError, "linear: expected a bias of shape (", weight.size(0),
            ",) to match weight ", weight.shape(), ", got ", bias.shape());
  DNN_CHECK(bias.dtype() == x.dtype(), TypeError, "linear: expected a bias of ", x.dtype(), ", got ", bias.dtype());
}

// x is (rows, in); y is (rows, out).
Tensor linear_2d(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation) {
  const DType accumulation = x.dtype() == DType::Float64 ? DType::Float64 : DType::Float32;
  Epilogue epilogue{.activation = activation};
  if (bias.defined()) epilogue.bias = contiguous(to_dtype(bias.detach(), accumulation));
  const Tensor y = product("linear", x, transpose(weight.detach(), 0, 1), epilogue);
  if (!any_requires_grad({&x, &weight, &bias})) return y;
  const Saved output = activation == Activation::None ? Saved() : Saved::output(y);
  record("linear", y, {&x, &weight, &bias},
         [x = Saved::input(x), weight = Saved::input(weight), output, activation](const Node& node, const Tensor& dy) -> Grads {
           const Tensor g = activation == Activation::None ? dy : activation_gradient(activation, dy, output.get(node));
           Grads grads(3);
           if (node.needs(0)) grads[0] = matmul(g, weight.get(node));
           if (node.needs(1)) grads[1] = matmul(transpose(g, 0, 1), x.get(node));
           if (node.needs(2)) grads[2] = reduce(ReduceOp::sum, g, {0}, false);
           return grads;
         });
  return y;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  check_products("matmul", a, b);
  DNN_CHECK(a.ndim() > 0 && b.ndim() > 0, ValueError, "matmul: expected tensors of at least one dimension, got shapes ", a.shape(), " and ",
            b.shape());
  if (a.ndim() >= 2 && b.ndim() >= 2) return matmul_nd(a, b);
  const Tensor x = a.ndim() == 1 ? unsqueeze(a, 0) : a;
  const Tensor z = b.ndim() == 1 ? unsqueeze(b, 1) : b;
  Tensor y = matmul_nd(x, z);
  if (b.ndim() == 1) y = squeeze(y, -1);
  if (a.ndim() == 1) y = squeeze(y, b.ndim() == 1 ? -1 : -2);
  return sole_name(y);
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation) {
  check_linear(x, weight, bias);
  // GELU's gradient needs its input, which the fused form does not keep.
  if (activation == Activation::Gelu && any_requires_grad({&x, &weight, &bias})) return unary(UnaryOp::gelu, linear(x, weight, bias));
  if (x.ndim() == 2) return linear_2d(x, weight, bias, activation);
  Shape shape = x.shape();
  shape[x.ndim() - 1] = weight.size(0);
  int64_t rows = 1;
  for (int i = 0; i + 1 < x.ndim(); ++i) rows *= x.size(i);
  return sole_name(reshape(linear_2d(reshape(x, {rows, weight.size(1)}), weight, bias, activation), shape));
}

}  // namespace dnncore::ops
