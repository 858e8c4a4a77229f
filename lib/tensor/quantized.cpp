// SPDX-License-Identifier: Apache-2.0
#include "tensor/quantized.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>

#include "base/error.h"
#include "tensor/cpu/kernels.h"
#include "tensor/cpu/quant_weight.h"
#include "tensor/views.h"

namespace gradus {
namespace {

// Integers as fp32 [N, K].
at::Tensor unpack_values(const at::Tensor& values, int bits, int64_t columns) {
  if (bits == 8) return values.to(at::kFloat);
  const at::Tensor shifts = at::arange(0, 32, 4, values.options());
  const at::Tensor nibbles =
      values.unsqueeze(2).bitwise_right_shift(shifts).bitwise_and(15);  // [N, K/8, 8]
  return nibbles.reshape({values.size(0), columns}).to(at::kFloat) - 8;
}

at::Tensor scaled(const at::Tensor& integers, const at::Tensor& scales, int64_t group_size) {
  const at::Tensor wide = scales.to(at::kFloat);
  return group_size == 0
             ? integers * wide
             : integers * wide.repeat_interleave(group_size, 1).narrow(1, 0, integers.size(1));
}

void check_stored(const QuantizedTensor& stored, int64_t columns, const std::string& where) {
  const int64_t rows = stored.values.size(0);
  const int64_t groups =
      stored.group_size == 0 ? 1 : (columns + stored.group_size - 1) / stored.group_size;
  const bool values_fit =
      stored.bits == 4
          ? stored.values.scalar_type() == at::kInt && stored.values.size(1) == columns / 8
          : stored.values.scalar_type() == at::kChar && stored.values.size(1) == columns;
  if (columns % 8 != 0) {
    throw Error({.what = "a quantised weight has a width that cannot be computed with",
                 .where = where,
                 .expected = "a multiple of 8 columns",
                 .found = cat(columns)});
  }
  if (!values_fit || stored.scales.dim() != 2 || stored.scales.size(0) != rows ||
      stored.scales.size(1) != groups) {
    throw Error({.what = "quantised weight and its scales do not fit together",
                 .where = where,
                 .expected = cat(stored.bits, " bit values of ", columns, " columns with ", groups,
                                 " scale(s) per row"),
                 .found = cat("values ", c10::str(stored.values.sizes()), ", scales ",
                              c10::str(stored.scales.sizes()))});
  }
}

cpu::QuantShape shape_of(const QuantizedWeight& weight) {
  return {.format = weight.bits == 4 ? cpu::QuantFormat::kInt4 : cpu::QuantFormat::kInt8,
          .n = weight.rows,
          .k = weight.columns,
          .group = weight.group_size == 0 ? weight.columns : weight.group_size,
          .scale_dtype =
              weight.scale_dtype == at::kBFloat16 ? cpu::DType::kBFloat16 : cpu::DType::kFloat32};
}

at::Tensor pack_for_cpu(const QuantizedWeight& weight, const QuantizedTensor& stored) {
  const cpu::QuantShape shape = shape_of(weight);
  const at::Tensor values = stored.values.contiguous(),
                   scales = stored.scales.to(weight.scale_dtype).contiguous();
  at::Tensor packed =
      at::empty({cpu::quant_packed_bytes(shape)}, at::kByte);  // libtorch aligns to 64 bytes
  auto* out = static_cast<std::byte*>(packed.data_ptr());
  if (weight.bits == 4) {
    cpu::pack_int4(shape, {.packed = values.data_ptr<int32_t>(), .scales = scales.data_ptr()}, out);
  } else {
    cpu::pack_int8(shape, {.values = values.data_ptr<int8_t>(), .scales = scales.data_ptr()}, out);
  }
  return packed;
}

at::Tensor cpu_quantized_linear(const at::Tensor& x, const QuantizedWeight& weight,
                                const at::Tensor& bias) {
  const at::Tensor input = x.contiguous();
  at::Tensor y = at::empty({x.size(0), weight.rows}, x.options());
  const at::Tensor wide_bias = bias.defined() ? bias.to(at::kFloat).contiguous() : at::Tensor();
  cpu::cpu_kernels().quant_matmul(
      {.weight = {.shape = shape_of(weight),
                  .data = static_cast<const std::byte*>(weight.values.data_ptr())},
       .x = cpu::const_rows(input),
       .y = cpu::rows(y),
       .bias = wide_bias.defined() ? wide_bias.data_ptr<float>() : nullptr,
       .rows = x.size(0)});
  return y;
}

}  // namespace

int64_t QuantizedWeight::bytes() const {
  return static_cast<int64_t>(values.nbytes() + (scales.defined() ? scales.nbytes() : 0));
}

std::shared_ptr<const QuantizedWeight> prepare_quantized(const QuantizedTensor& stored,
                                                         int64_t columns,
                                                         const std::string& where) {
  check_stored(stored, columns, where);
  auto weight = std::make_shared<QuantizedWeight>();
  weight->bits = stored.bits;
  weight->group_size = stored.group_size;
  weight->rows = stored.values.size(0);
  weight->columns = columns;
  const bool narrow = stored.scales.scalar_type() == at::kBFloat16;
  weight->scale_dtype = narrow ? at::kBFloat16 : at::kFloat;
  if (stored.values.is_cpu()) {
    weight->values = pack_for_cpu(*weight, stored);
  } else {
    weight->values = stored.values;
    weight->scales = stored.scales;
  }
  return weight;
}

at::Tensor dequantize(const QuantizedTensor& stored, int64_t columns) {
  return scaled(unpack_values(stored.values, stored.bits, columns), stored.scales,
                stored.group_size);
}

namespace ops {

at::Tensor quantized_linear(const at::Tensor& x, const QuantizedWeight& weight,
                            const at::Tensor& bias) {
  if (x.is_cpu()) return cpu_quantized_linear(x, weight, bias);
  const at::Tensor dense =
      dequantize({weight.bits, weight.group_size, weight.values, weight.scales}, weight.columns)
          .to(x.scalar_type());
  return bias.defined() ? at::linear(x, dense, bias) : at::linear(x, dense);
}

}  // namespace ops
}  // namespace gradus
