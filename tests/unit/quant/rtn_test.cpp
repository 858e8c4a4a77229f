// SPDX-License-Identifier: Apache-2.0
#include "quant/rtn.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "support/catch.h"

using namespace gradus;

namespace {

at::Tensor random_weight(int64_t N, int64_t K) {
  at::Tensor weight = at::empty({N, K}, at::kFloat);
  for (int64_t i = 0; i < weight.numel(); ++i) {
    weight.data_ptr<float>()[i] =
        static_cast<float>(2 * random_uniform(5, 0, static_cast<uint64_t>(i)) - 1);
  }
  return weight;
}

double relative_error(const at::Tensor& weight, const RtnOptions& options) {
  const at::Tensor back = dequantize(quantize_rtn(weight, options, "w"), weight.size(1));
  return ((back - weight).norm() / weight.norm()).item<double>();
}

}  // namespace

TEST_CASE("every weight comes back within half a step of its group's scale") {
  const at::Tensor weight = random_weight(16, 128);
  for (const int bits : {4, 8}) {
    const RtnOptions options{.bits = bits, .group_size = bits == 4 ? 32 : 0};
    const QuantizedTensor stored = quantize_rtn(weight, options, "w");
    const at::Tensor step =
        bits == 4 ? stored.scales.repeat_interleave(32, 1) : stored.scales.expand({16, 128});
    // The largest positive weight of a group may be cut by half a step: 7.5 steps round to 7.
    const at::Tensor error = (dequantize(stored, 128) - weight).abs();
    CHECK((error <= step * 0.5001 + 1e-7).all().item<bool>());
  }
}

TEST_CASE("searching the clipping never makes the error larger") {
  at::Tensor weight = random_weight(8, 128);
  weight.select(1, 5).mul_(3);  // outliers make clipping worth while
  for (const int bits : {4, 8}) {
    RtnOptions options{.bits = bits, .group_size = 64};
    const double plain = relative_error(weight, options);
    options.clip_search = ClipSearch::kOn;
    CHECK(relative_error(weight, options) <= plain);
  }
}

TEST_CASE("packed nibbles follow the compressed-tensors layout") {
  // Scale 1: the largest weight is 7.5, so q equals the rounded weight.
  const at::Tensor weight = at::tensor({7.5f, -7.f, 0.f, 1.f, 2.f, -1.f, 3.f, -8.f}).view({1, 8});
  const QuantizedTensor stored = quantize_rtn(weight, {.bits = 4, .group_size = 8}, "w");
  const double scale = stored.scales.item<double>();
  CHECK(scale == Approx(8.0 / 7.5));
  const int expected[] = {7, -7, 0, 1, 2, -1, 3, -8};
  const auto word = static_cast<uint32_t>(stored.values.item<int32_t>());
  for (int i = 0; i < 8; ++i) {
    const int q = static_cast<int>((word >> (4 * i)) & 15) - 8;
    CHECK(std::abs(q - expected[i] / scale) <= 0.51);
  }
}

TEST_CASE("an all-zero group stays zero") {
  at::Tensor weight = random_weight(2, 16);
  weight.zero_();
  const at::Tensor back = dequantize(
      quantize_rtn(weight, {.bits = 4, .group_size = 8, .clip_search = ClipSearch::kOn}, "w"), 16);
  CHECK((back == 0).all().item<bool>());
}

TEST_CASE("a width that the group size does not divide is refused with the tensor's name") {
  CHECK_THROWS_WITH(quantize_rtn(random_weight(2, 24), {.bits = 4, .group_size = 16}, "model.x"),
                    Catch::Contains("model.x") && Catch::Contains("24"));
}

TEST_CASE("a width that is no multiple of 8 is refused, as it could not be loaded") {
  for (const int bits : {4, 8})
    CHECK_THROWS_WITH(
        quantize_rtn(random_weight(2, 28), {.bits = bits, .group_size = 0}, "model.x"),
        Catch::Contains("model.x") && Catch::Contains("multiple of 8"));
}
