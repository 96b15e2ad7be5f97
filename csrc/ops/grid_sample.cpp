#include "ops/grid_sample.h"

#include "ops/common.h"
#include "ops/layout.h"

namespace dnncore::ops {

namespace {

constexpr const char* kGridSample = "grid_sample";

// Sizes of x and of the outputs beside what the kernels take.
struct Sampling {
  GridShape shape;
  Shape x, y;
};

// Weights W of every element for every point, by the places; W' their derivative along a tangent. The three maps below are each other's
// derivatives:  y = W x,  dx = W^T dy,  dgrid = dy^T (dW / dplace) x,  each with W' in place of W where a tangent is given.
Tensor sampled(const Tensor& x, const Tensor& grid, const Tensor& tangent, const Sampling& s);
Tensor input_gradient(const Tensor& g, const Tensor& grid, const Tensor& tangent, const Sampling& s);
Tensor grid_gradient(const Tensor& x, const Tensor& g, const Tensor& grid, const Tensor& tangent, const Sampling& s);

Tensor sampled(const Tensor& x, const Tensor& grid, const Tensor& tangent, const Sampling& s) {
  const Tensor from = channels_last(x.detach(), kGridSample), places = dense(grid), along = dense(tangent);
  const Tensor y = empty_channels_last(s.y, x.dtype(), x.device(), kGridSample);
  if (y.numel() > 0)
    launch(kGridSample, kernel::grid_sample,
           GridSampleArgs{.x = from.data(), .grid = places.data(), .tangent = data_of(along), .y = y.data(), .shape = s.shape}, y.device());
  if (!any_requires_grad({&x, &grid, &tangent})) return y;
  record(kGridSample, y, {&x, &grid, &tangent},
         [s, x = Saved::input(x), grid = Saved::input(grid), tangent = saved(tangent)](const Node& node, const Tensor& g) -> Grads {
           const Tensor from = x.get(node), places = grid.get(node), along = tangent.get(node);
           return {node.needs(0) ? input_gradient(g, places, along, s) : Tensor(),
                   node.needs(1) ? grid_gradient(from, g, places, along, s) : Tensor(),
                   node.needs(2) ? grid_gradient(from, g, places, {}, s) : Tensor()};
         });
  return y;
}

Tensor input_gradient(const Tensor& g, const Tensor& grid, const Tensor& tangent, const Sampling& s) {
  const Tensor dy = channels_last(g.detach(), kGridSample), places = dense(grid), along = dense(tangent);
  const Tensor dx = empty_channels_last(s.x, g.dtype(), g.device(), kGridSample);
  if (dx.numel() > 0)
    launch(
        kGridSample, kernel::grid_sample_backward_input,
        GridSampleBackwardInputArgs{.dy = dy.data(), .grid = places.data(), .tangent = data_of(along), .dx = dx.data(), .shape = s.shape},
        dx.device());
  if (!any_requires_grad({&g, &grid, &tangent})) return dx;
  record(kGridSample, dx, {&g, &grid, &tangent},
         [s, g = Saved::input(g), grid = Saved::input(grid), tangent = saved(tangent)](const Node& node, const Tensor& gg) -> Grads {
           const Tensor dy = g.get(node), places = grid.get(node), along = tangent.get(node);
           return {node.needs(0) ? sampled(gg, places, along, s) : Tensor(),
                   node.needs(1) ? grid_gradient(gg, dy, places, along, s) : Tensor(),
                   node.needs(2) ? grid_gradient(gg, dy, places, {}, s) : Tensor()};
         });
  return dx;
}

Tensor grid_gradient(const Tensor& x, const Tensor& g, const Tensor& grid, const Tensor& tangent, const Sampling& s) {
  const Tensor from = channels_last(x.detach(), kGridSample), dy = channels_last(g.detach(), kGridSample), places = dense(grid),
               along = dense(tangent);
  const Tensor dgrid = Tensor::empty(grid.shape(), grid.dtype(), grid.device(), kGridSample);
  if (dgrid.numel() > 0)
    launch(
        kGridSample, kernel::grid_sample_backward_grid,
        GridSampleBackwardGridArgs{
            .x = from.data(), .dy = dy.data(), .grid = places.data(), .tangent = data_of(along), .dgrid = dgrid.data(), .shape = s.shape},
        dgrid.device());
  if (!any_requires_grad({&x, &g, &grid, &tangent})) return dgrid;
  record(kGridSample, dgrid, {&x, &g, &grid},
         [s, twice = tangent.defined(), x = Saved::input(x), g = Saved::input(g), grid = Saved::input(grid)](const Node& node,
                                                                                                             const Tensor& gg) -> Grads {
           DNN_CHECK(!twice, StateError, kGridSample, ": has first and second derivatives, not third ones");
           const Tensor from = x.get(node), dy = g.get(node), places = grid.get(node);
           return {node.needs(0) ? input_gradient(dy, places, gg, s) : Tensor(), node.needs(1) ? sampled(from, places, gg, s) : Tensor(),
                   node.needs(2) ? grid_gradient(from, dy, places, gg, s) : Tensor()};
         });
  return dgrid;
}

Sampling sampling_of(const Tensor& x, const Tensor& grid) {
  const int spatial = x.ndim() - 2;
  DNN_CHECK(is_floating(x.dtype()) && grid.dtype() == x.dtype(), TypeError, kGridSample,
            ": expected a floating input and a grid of its dtype, got ", x.dtype(), " and ", grid.dtype());
  DNN_CHECK((spatial == 2 || spatial == 3) && grid.ndim() == x.ndim() && grid.size(0) == x.size(0) && grid.size(grid.ndim() - 1) == spatial,
            ValueError, kGridSample,
            ": expected an input (N, C, H, W) with a grid (N, H', W', 2), or (N, C, D, H, W) with (N, D', H', W', 3), got shapes ",
            x.shape(), " and ", grid.shape());
  check_device(kGridSample, x, grid);
  Sampling s{.x = x.shape(), .y = {x.size(0), x.size(1)}};
  s.shape = {.n = x.size(0), .c = x.size(1), .points = 1, .spatial = spatial, .dtype = x.dtype()};
  for (int i = 0; i < spatial; ++i) {
    DNN_CHECK(x.size(2 + i) > 0 && x.size(2 + i) < 1 << 24, ValueError, kGridSample, ": expected an input of sizes from 1 to ",
              (1 << 24) - 1, ", got shape ", x.shape());
    s.y.push_back(grid.size(1 + i));
    s.shape.points *= grid.size(1 + i);
  }
  s.shape.in = {spatial == 3 ? x.size(2) : 1, x.size(spatial), x.size(spatial + 1)};
  return s;
}

}  // namespace

Tensor grid_sample(const Tensor& x, const Tensor& grid, GridMode mode, GridPadding padding, bool align_corners) {
  Sampling s = sampling_of(x, grid);
  DNN_CHECK(mode != GridMode::Cubic || s.shape.spatial == 2, ValueError, kGridSample,
            ": mode 'bicubic' expects an input (N, C, H, W), got shape ", x.shape());
  if (is_half(x.dtype()))
    return to_dtype(grid_sample(to_dtype(x, DType::Float32), to_dtype(grid, DType::Float32), mode, padding, align_corners), x.dtype());
  s.shape.mode = mode;
  s.shape.padding = padding;
  s.shape.align_corners = align_corners;
  return sampled(x, grid, {}, s);
}

}  // namespace dnncore::ops
