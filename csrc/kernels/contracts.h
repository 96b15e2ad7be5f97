// All contract headers.
#pragma once

#include "kernels/activation.h"
#include "kernels/along.h"
#include "kernels/conv.h"
#include "kernels/copy.h"
#include "kernels/cross_entropy.h"
#include "kernels/cumulate.h"
#include "kernels/dropout.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/index.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise_loss.h"
#include "kernels/random.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"
#include "kernels/sort.h"
