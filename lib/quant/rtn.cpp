// SPDX-License-Identifier: Apache-2.0
#include "quant/rtn.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/round.h>
#include <ATen/ops/where.h>

#include "base/error.h"

namespace gradus {
namespace {

// q of groups [N, G, g] for scales [N, G, 1]; zero where a group is all zero.
at::Tensor integers_for(const at::Tensor& groups, const at::Tensor& scales, int bits) {
  const double limit = bits == 4 ? 8 : 128;
  const at::Tensor divisor = at::where(scales > 0, scales, at::Scalar(1.0));
  return at::round(groups / divisor).clamp(-limit, limit - 1);
}

at::Tensor rounded_scales(const at::Tensor& scales, c10::ScalarType dtype) {
  return scales.to(dtype).to(at::kFloat);
}

// Per group, the scale with the least squared error among shrunken largest weights.
at::Tensor best_scales(const at::Tensor& groups, const at::Tensor& largest,
                       const RtnOptions& options) {
  const double half_range = options.bits == 4 ? 7.5 : 127.5;  // as compressed-tensors divides
  at::Tensor best = rounded_scales(largest / half_range, options.scale_dtype);
  if (options.clip_search == ClipSearch::kOff) return best;
  const auto error_of = [&](const at::Tensor& scales) {
    return (integers_for(groups, scales, options.bits) * scales - groups).square_().sum(-1, true);
  };
  at::Tensor best_error = error_of(best);
  for (double part = 0.975; part > 0.59; part -= 0.025) {
    const at::Tensor scales = rounded_scales(largest * (part / half_range), options.scale_dtype);
    const at::Tensor error = error_of(scales), better = error < best_error;
    best = at::where(better, scales, best);
    best_error = at::where(better, error, best_error);
  }
  return best;
}

// q [N, K] -> int32 [N, K/8], lowest nibble first, each stored +8.
at::Tensor pack_nibbles(const at::Tensor& integers) {
  const at::Tensor shifts = at::arange(0, 32, 4, at::kLong);
  const at::Tensor nibbles = (integers + 8).to(at::kLong).view({integers.size(0), -1, 8});
  const at::Tensor words = nibbles.bitwise_left_shift(shifts).sum(-1);  // below 2^32
  return at::where(words >= (int64_t{1} << 31), words - (int64_t{1} << 32), words).to(at::kInt);
}

}  // namespace

QuantizedTensor quantize_rtn(const at::Tensor& weight, const RtnOptions& options,
                             const std::string& where) {
  const int64_t N = weight.size(0), K = weight.size(1);
  const int64_t group = options.group_size == 0 ? K : options.group_size;
  if (K % group != 0 || K % 8 != 0) {
    throw Error({.what = "weight cannot be split into groups",
                 .where = where,
                 .expected = cat("a multiple of ", K % 8 != 0 ? 8 : group, " columns"),
                 .found = cat(K),
                 .hint = K % 8 != 0
                             ? "add the projection to `ignore`"
                             : "choose a group_size that divides it, or add it to `ignore`"});
  }
  const at::Tensor groups = weight.to(at::kFloat).reshape({N, K / group, group});
  const at::Tensor scales = best_scales(groups, groups.abs().amax(-1, true), options);
  const at::Tensor integers = integers_for(groups, scales, options.bits).reshape({N, K});
  QuantizedTensor result{.bits = options.bits, .group_size = options.group_size};
  result.values = options.bits == 4 ? pack_nibbles(integers) : integers.to(at::kChar);
  result.scales = scales.squeeze(-1).to(options.scale_dtype);
  return result;
}

}  // namespace gradus
