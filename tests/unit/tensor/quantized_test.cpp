// SPDX-License-Identifier: Apache-2.0
#include "tensor/quantized.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include "base/error.h"
#include "unit/tensor/autograd_support.h"

namespace gradus {
namespace {

// int8 weight [5, columns] with scales of the given dtype.
QuantizedTensor int8_weight(int64_t columns, c10::ScalarType scale_dtype) {
  const at::Tensor q = (values({5, columns}, 1) * 60).round().clamp(-127, 127).to(at::kChar);
  const at::Tensor scales = (values({5, 1}, 2).abs() * 0.01 + 0.001).to(at::kBFloat16);
  return {.bits = 8, .values = q, .scales = scales.to(scale_dtype)};
}

}  // namespace

TEST_CASE("bf16 scales stay bf16 in memory and give the product of the same numbers in fp32") {
  const auto narrow = prepare_quantized(int8_weight(24, at::kBFloat16), 24, "w");
  const auto wide = prepare_quantized(int8_weight(24, at::kFloat), 24, "w");
  CHECK(narrow->bytes() < wide->bytes());
  const at::Tensor x = values({3, 24}, 3);
  const at::Tensor y = ops::quantized_linear(x, *narrow, {});
  CHECK(y.isfinite().all().item<bool>());
  CHECK(y.equal(ops::quantized_linear(x, *wide, {})));
}

TEST_CASE("a width that the kernels cannot compute is refused by name") {
  CHECK_THROWS_WITH(prepare_quantized(int8_weight(28, at::kFloat), 28, "model.x"),
                    Catch::Contains("model.x") && Catch::Contains("28"));
}

}  // namespace gradus
