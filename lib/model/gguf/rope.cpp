// SPDX-License-Identifier: Apache-2.0
#include "model/gguf/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace gradus {
namespace {

// The parameters of Llama 3's rule; all published models have these, and differ by the factor.
struct Llama3 {
  double factor = 1;
  double low = 1, high = 4;
  double context = 8192;
};

// The divisor of frequency i, as transformers' llama3 rule gives it.
double llama3_divisor(const Llama3& rule, double theta, int64_t i, int64_t width) {
  const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(width);
  const double wavelength = 2 * std::numbers::pi * std::pow(theta, exponent);
  if (wavelength < rule.context / rule.high) return 1;
  if (wavelength > rule.context / rule.low) return rule.factor;
  const double smooth = (rule.context / wavelength - rule.low) / (rule.high - rule.low);
  return 1 / ((1 - smooth) / rule.factor + smooth);
}

std::vector<double> values_of(const GgufTensor& tensor, int64_t width, const std::string& where) {
  if (tensor.elements() != width / 2) {
    throw Error({.what = "tensor has the wrong shape",
                 .where = where + ": tensor '" + tensor.name + "'",
                 .expected = cat("[", width / 2, "]"),
                 .found = cat(tensor.elements(), " elements")});
  }
  std::vector<float> values(static_cast<size_t>(tensor.elements()));
  dequantize_gguf(tensor, values);
  return {values.begin(), values.end()};
}

bool follows(const std::vector<double>& divisors, const Llama3& rule, double theta) {
  const auto half = static_cast<int64_t>(divisors.size());
  for (int64_t i = 0; i < half; ++i) {
    const double expected = llama3_divisor(rule, theta, i, 2 * half);
    if (!(std::abs(divisors[static_cast<size_t>(i)] - expected) <= 1e-5 * expected)) return false;
  }
  return true;
}

// The published context first, then other powers of two.
Json llama3_scaling(const GgufTensor& tensor, const GgufKeys& keys, int64_t width) {
  const auto divisors = values_of(tensor, width, keys.where());
  const double factor = *std::max_element(divisors.begin(), divisors.end());
  if (factor == 1 && *std::min_element(divisors.begin(), divisors.end()) == 1) return nullptr;
  const double theta = keys.has("rope.freq_base") ? keys.number("rope.freq_base") : 10000.0;
  Llama3 rule{.factor = factor};
  for (double other = 16; !follows(divisors, rule, theta); other *= 2) {
    rule.context = other;
    if (other <= 1 << 24) continue;
    throw Error({.what = "frequency factors do not follow Llama 3's rule",
                 .where = keys.where() + ": tensor '" + tensor.name + "'"});
  }
  return {{"rope_type", "llama3"},
          {"factor", shortest_decimal(factor)},
          {"low_freq_factor", rule.low},
          {"high_freq_factor", rule.high},
          {"original_max_position_embeddings", static_cast<int64_t>(rule.context)}};
}

Json factors_json(const GgufTensor& tensor, const GgufKeys& keys, int64_t width) {
  Json list = Json::array();
  for (const double value : values_of(tensor, width, keys.where()))
    list.push_back(shortest_decimal(value));
  return list;
}

double usual_longrope_magnitude(double context, double original) {
  return context <= original ? 1.0
                             : std::sqrt(1 + std::log(context / original) / std::log(original));
}

// Phi 3's two lists of divisors, for texts within the original context and beyond.
Json longrope_scaling(const GgufSource& source, int64_t width) {
  const GgufKeys& keys = source.keys();
  const GgufTensor* longer = source.find("rope_factors_long.weight");
  const GgufTensor* shorter = source.find("rope_factors_short.weight");
  if (!longer || !shorter)
    throw Error(
        {.what = cat("tensor 'rope_factors_", longer ? "short" : "long", ".weight' is missing"),
         .where = keys.where()});
  Json scaling = {{"rope_type", "longrope"},
                  {"short_factor", factors_json(*shorter, keys, width)},
                  {"long_factor", factors_json(*longer, keys, width)}};
  const auto context = static_cast<double>(keys.size("context_length"));
  const auto original = static_cast<double>(keys.size("rope.scaling.original_context_length"));
  const double usual = usual_longrope_magnitude(context, original);
  const double stored =
      keys.has("rope.scaling.attn_factor") ? keys.number("rope.scaling.attn_factor") : 1.0;
  if (std::abs(stored - usual) > 1e-6 * usual) scaling["attention_factor"] = stored;
  return scaling;
}

// Old files have only the divisor `rope.scale_linear`.
Json named_scaling(const GgufKeys& keys) {
  const bool old_linear = keys.has("rope.scale_linear") && keys.number("rope.scale_linear") != 1;
  if (!keys.has("rope.scaling.type")) {
    if (!old_linear) return nullptr;
    return {{"rope_type", "linear"}, {"factor", keys.number("rope.scale_linear")}};
  }
  const std::string type = keys.text("rope.scaling.type");
  if (type == "none") return nullptr;
  if (type != "linear" && type != "yarn")
    keys.refuse("rope.scaling.type", "is not supported", "none, linear or yarn");
  Json scaling{{"rope_type", type}, {"factor", keys.number("rope.scaling.factor")}};
  if (type == "yarn")
    scaling["original_max_position_embeddings"] =
        keys.size("rope.scaling.original_context_length", keys.size("context_length"));
  return scaling;
}

std::vector<float> narrowed(const std::vector<double>& values) {
  std::vector<float> narrow;
  for (const double value : values) narrow.push_back(static_cast<float>(value));
  return narrow;
}

uint32_t number(int64_t value) { return static_cast<uint32_t>(value); }

}  // namespace

Json gguf_rope_scaling(const GgufSource& source, int64_t width) {
  const GgufKeys& keys = source.keys();
  if (source.has_tensor("rope_factors_long.weight") ||
      source.has_tensor("rope_factors_short.weight"))
    return longrope_scaling(source, width);
  Json named = named_scaling(keys);
  const GgufTensor* divisors = source.find("rope_freqs.weight");
  if (!divisors) return named;
  Json llama3 = llama3_scaling(*divisors, keys, width);
  if (!named.is_null() && !llama3.is_null())
    keys.refuse("rope.scaling.type", "is given beside rope_freqs.weight");
  return named.is_null() ? llama3 : named;
}

GgufMetadata gguf_rope_keys(const ModelConfig& config) {
  GgufMetadata keys;
  if (config.ropes.empty()) return keys;
  const RopeConfig& rope = config.ropes.front();
  const bool yarn = rope.type == RopeType::kYarn, longrope = rope.type == RopeType::kLongRope;
  if (yarn || rope.type == RopeType::kLinear) {
    keys.emplace_back("rope.scaling.type", std::string(yarn ? "yarn" : "linear"));
    keys.emplace_back("rope.scaling.factor", static_cast<float>(rope.factor));
  }
  if ((yarn || config.model_type == "phi3") && rope.original_max_position_embeddings > 0)
    keys.emplace_back("rope.scaling.original_context_length",
                      number(rope.original_max_position_embeddings));
  if (longrope)
    keys.emplace_back("rope.scaling.attn_factor", static_cast<float>(rope.attention_factor));
  return keys;
}

std::vector<GgufRopeTensor> gguf_rope_tensors(const ModelConfig& config) {
  if (config.ropes.empty()) return {};
  const RopeConfig& rope = config.ropes.front();
  if (rope.type == RopeType::kLongRope)
    return {{"rope_factors_long.weight", narrowed(rope.long_factor)},
            {"rope_factors_short.weight", narrowed(rope.short_factor)}};
  if (rope.type != RopeType::kLlama3) return {};
  const Llama3 rule{.factor = rope.factor,
                    .low = rope.low_freq_factor,
                    .high = rope.high_freq_factor,
                    .context = static_cast<double>(rope.original_max_position_embeddings)};
  std::vector<double> divisors;
  for (int64_t i = 0; i < rope.dim / 2; ++i)
    divisors.push_back(llama3_divisor(rule, rope.theta, i, rope.dim));
  return {{"rope_freqs.weight", narrowed(divisors)}};
}

}  // namespace gradus
