// SPDX-License-Identifier: Apache-2.0
#include "model/formats/gguf_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace gradus {
namespace {

// All published models with this scaling use these; only the factor differs.
constexpr double kLowFactor = 1.0, kHighFactor = 4.0, kOriginalContext = 8192.0;

// The divisor of frequency i, as transformers' llama3 rule gives it.
double llama3_divisor(double factor, double theta, int64_t i, int64_t head_dim) {
  const double frequency =
      std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < kOriginalContext / kHighFactor) return 1;
  if (wavelength > kOriginalContext / kLowFactor) return factor;
  const double smooth = (kOriginalContext / wavelength - kLowFactor) / (kHighFactor - kLowFactor);
  return 1 / ((1 - smooth) / factor + smooth);
}

Json llama3_scaling(const GgufTensor& divisors, const GgufKeys& keys, const GgufModel& model) {
  const std::string place = keys.where() + ": tensor 'rope_freqs.weight'";
  if (divisors.elements() != model.head_dim / 2) {
    throw Error({.what = "tensor has the wrong shape",
                 .where = place,
                 .expected = cat("[", model.head_dim / 2, "]"),
                 .found = cat(divisors.elements(), " elements")});
  }
  std::vector<float> values(static_cast<size_t>(divisors.elements()));
  dequantize_gguf(divisors, values);
  const double factor = *std::max_element(values.begin(), values.end());
  if (factor == 1 && *std::min_element(values.begin(), values.end()) == 1) return nullptr;
  const double theta = keys.has("rope.freq_base") ? keys.number("rope.freq_base") : 10000.0;
  for (int64_t i = 0; i < divisors.elements(); ++i) {
    const double expected = llama3_divisor(factor, theta, i, model.head_dim);
    const double found = values[static_cast<size_t>(i)];
    if (std::abs(found - expected) <= 1e-3 * expected) continue;
    throw Error({.what = "frequency factors do not follow Llama 3's rule",
                 .where = place,
                 .expected = cat(expected),
                 .found = cat(found, " at ", i)});
  }
  return {{"rope_type", "llama3"},
          {"factor", factor},
          {"low_freq_factor", kLowFactor},
          {"high_freq_factor", kHighFactor},
          {"original_max_position_embeddings", static_cast<int64_t>(kOriginalContext)}};
}

// "none" or "linear"; old files have only the divisor `rope.scale_linear`.
Json named_scaling(const GgufKeys& keys) {
  const bool old_linear = keys.has("rope.scale_linear") && keys.number("rope.scale_linear") != 1;
  if (!keys.has("rope.scaling.type")) {
    if (!old_linear) return nullptr;
    return {{"rope_type", "linear"}, {"factor", keys.number("rope.scale_linear")}};
  }
  const std::string type = keys.text("rope.scaling.type");
  if (type == "none") return nullptr;
  if (type == "linear")
    return {{"rope_type", "linear"}, {"factor", keys.number("rope.scaling.factor")}};
  keys.refuse("rope.scaling.type", "is not supported", "none or linear");
}

}  // namespace

Json gguf_rope_scaling(const GgufFile& file, const GgufKeys& keys, const GgufModel& model) {
  Json named = named_scaling(keys);
  const GgufTensor* divisors = file.find("rope_freqs.weight");
  if (!divisors) return named;
  Json llama3 = llama3_scaling(*divisors, keys, model);
  if (!named.is_null() && !llama3.is_null()) {
    keys.refuse("rope.scaling.type", "is given beside rope_freqs.weight");
  }
  return named.is_null() ? llama3 : named;
}

}  // namespace gradus
