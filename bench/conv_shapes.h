// The convolutions of the benchmarks: C1-C21, depthwise and grouped ones.
#pragma once

#include "kernels/conv.h"

namespace dnncore::bench {

struct ConvCase {
  const char* name;
  int64_t n, c, h, w, k, filter_h, filter_w, stride, pad;
  bool has_data_gradient = true;  // a network's first layer has none
  int64_t groups = 1;
};

inline constexpr ConvCase kConvCases[] = {
    {"C1_lenet_1", 64, 1, 32, 32, 6, 5, 5, 1, 0, false},
    {"C2_lenet_2", 64, 6, 14, 14, 16, 5, 5, 1, 0},
    {"C3_alexnet_1", 16, 3, 224, 224, 64, 11, 11, 4, 2, false},
    {"C4_alexnet_2", 16, 64, 27, 27, 192, 5, 5, 1, 2},
    {"C5_alexnet_3", 16, 192, 13, 13, 384, 3, 3, 1, 1},
    {"C6_vgg_1_1", 8, 3, 224, 224, 64, 3, 3, 1, 1, false},
    {"C7_vgg_1_2", 8, 64, 224, 224, 64, 3, 3, 1, 1},
    {"C8_vgg_3_2", 8, 256, 56, 56, 256, 3, 3, 1, 1},
    {"C9_vgg_5", 8, 512, 14, 14, 512, 3, 3, 1, 1},
    {"C10_resnet_stem", 8, 3, 224, 224, 64, 7, 7, 2, 3, false},
    {"C11_resnet18_1", 8, 64, 56, 56, 64, 3, 3, 1, 1},
    {"C12_resnet18_2_0", 8, 64, 56, 56, 128, 3, 3, 2, 1},
    {"C13_resnet18_3", 8, 256, 14, 14, 256, 3, 3, 1, 1},
    {"C14_resnet18_4", 8, 512, 7, 7, 512, 3, 3, 1, 1},
    {"C15_resnet50_expand", 8, 64, 56, 56, 256, 1, 1, 1, 0},
    {"C16_resnet50_reduce", 8, 1024, 14, 14, 256, 1, 1, 1, 0},
    {"C17_resnet50_project", 8, 256, 56, 56, 512, 1, 1, 2, 0},
    {"C18_googlenet_3a", 16, 16, 28, 28, 32, 5, 5, 1, 2},
    {"C19_googlenet_4a", 16, 480, 14, 14, 192, 1, 1, 1, 0},
    {"C20_cifar_resnet20", 128, 16, 32, 32, 16, 3, 3, 1, 1},
    {"DW1_mobilenet", 8, 32, 112, 112, 32, 3, 3, 1, 1, true, 32},
    {"DW2_mobilenet", 8, 64, 112, 112, 64, 3, 3, 2, 1, true, 64},
    {"DW3_mobilenet", 8, 512, 14, 14, 512, 3, 3, 1, 1, true, 512},
    {"DW4_convnext", 8, 96, 56, 56, 96, 7, 7, 1, 3, true, 96},
    {"GR1_resnext", 8, 128, 28, 28, 128, 3, 3, 1, 1, true, 32},
    {"C21_speech", 4, 1, 161, 700, 32, 5, 20, 2, 0, false},
};

inline ConvShape shape_of(const ConvCase& c) {
  ConvShape s;
  s.n = c.n, s.c = s.x_pixel = c.c, s.k = s.y_pixel = c.k, s.groups = c.groups;
  s.in = {1, c.h, c.w}, s.filter = {1, c.filter_h, c.filter_w}, s.stride = {1, c.stride, c.stride}, s.pad = {0, c.pad, c.pad};
  s.out = {1, (c.h + 2 * c.pad - c.filter_h) / c.stride + 1, (c.w + 2 * c.pad - c.filter_w) / c.stride + 1};
  return s;
}

}  // namespace dnncore::bench
