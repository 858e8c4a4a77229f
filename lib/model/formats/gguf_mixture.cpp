// SPDX-License-Identifier: Apache-2.0
#include "model/formats/gguf_mixture.h"

#include <cstdio>
#include <iterator>

#include "base/error.h"

namespace gradus {
namespace {

constexpr GgufFileType kFileTypes[] = {
    {"F32", 0, GgufType::kF32, false},     {"F16", 1, GgufType::kF16, false},
    {"BF16", 32, GgufType::kBF16, false},  {"Q8_0", 7, GgufType::kQ8_0, false},
    {"Q4_0", 2, GgufType::kQ4_0, false},   {"Q4_K_M", 15, GgufType::kQ4_K, true},
    {"Q5_K_M", 17, GgufType::kQ5_K, true}, {"Q6_K", 18, GgufType::kQ6_K, false},
};

bool is_float(GgufType type) {
  return type == GgufType::kF32 || type == GgufType::kF16 || type == GgufType::kBF16;
}

bool fits(GgufType type, int64_t columns) {
  return columns % gguf_type_info(type).block_elements == 0;
}

GgufType fallback(GgufType type, int64_t columns) {
  if (fits(type, columns)) return type;
  GgufType other = GgufType::kF16;
  if (type == GgufType::kQ4_K) other = GgufType::kQ5_0;
  if (type == GgufType::kQ5_K) other = GgufType::kQ5_1;
  if (type == GgufType::kQ6_K) other = GgufType::kQ8_0;
  return fits(other, columns) ? other : GgufType::kF16;
}

// The layers in which errors cost most: the first and last eighth, and every third between.
bool gets_more_bits(int64_t layer, int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

GgufType output_type(const GgufMixtureModel& model, GgufType base, int64_t columns) {
  if (model.falcon || !fits(base, columns) || base == GgufType::kQ8_0) return GgufType::kQ8_0;
  return GgufType::kQ6_K;
}

// RWKV-7's low-rank projections, blk.N.time_mix_a1.weight and the like, are kept; those of the
// decay, and how tokens are mixed, are F32 whatever the file's type.
bool is_rwkv_low_rank(std::string_view name) {
  const size_t at = name.find(".time_mix_");
  const std::string_view leaf = at == name.npos ? "" : name.substr(at + 10);
  return leaf.size() == 9 && (leaf[1] == '1' || leaf[1] == '2') && leaf.substr(2) == ".weight" &&
         std::string_view("wavg").find(leaf[0]) != leaf.npos;
}
bool is_rwkv_vector(std::string_view name) {
  return name.ends_with(".time_mix_lerp_fused.weight") ||
         (is_rwkv_low_rank(name) && name.find("_w") != name.npos);
}

// attn_v, and attn_qkv where it is fused.
GgufType value_type(const GgufFileType& file, const GgufMixtureModel& model, int64_t layer) {
  if (model.eight_experts) return GgufType::kQ8_0;
  if (file.more_bits && gets_more_bits(layer, model.layers)) return GgufType::kQ6_K;
  return model.grouped_70b && file.base == GgufType::kQ4_K ? GgufType::kQ5_K : file.base;
}

GgufType down_type(const GgufFileType& file, const GgufMixtureModel& model, int64_t layer) {
  if (!file.more_bits) return file.base;
  const bool more = gets_more_bits(layer, model.layers);
  if (!model.falcon || file.base != GgufType::kQ4_K) return more ? GgufType::kQ6_K : file.base;
  if (layer < model.layers / 16) return GgufType::kQ6_K;
  return more ? GgufType::kQ5_K : file.base;
}

GgufType wanted_type(const GgufFileType& file, const GgufMixtureModel& model,
                     const std::string& name, int64_t columns) {
  if (name == "output.weight" || (model.tied && name == "token_embd.weight"))
    return output_type(model, file.base, columns);
  long layer = 0;
  char part[48] = "";
  if (std::sscanf(name.c_str(), "blk.%ld.%47s", &layer, part) != 2) return file.base;
  const std::string_view leaf = part;
  if (leaf == "attn_v.weight" || leaf == "attn_qkv.weight") return value_type(file, model, layer);
  if (leaf.starts_with("ffn_down")) return down_type(file, model, layer);
  if (!model.eight_experts) return file.base;
  if (leaf == "attn_k.weight") return GgufType::kQ8_0;
  const bool output = leaf == "attn_output.weight" && file.more_bits;
  return output && file.base == GgufType::kQ4_K ? GgufType::kQ5_K : file.base;
}

}  // namespace

std::span<const GgufFileType> gguf_file_types() { return kFileTypes; }

const GgufFileType& gguf_file_type(const std::string& name) {
  std::string known;
  for (const GgufFileType& type : kFileTypes) {
    if (name == type.name) return type;
    known += (known.empty() ? "" : ", ") + std::string(type.name);
  }
  throw UsageError("GGUF type '" + printable(name) + "' is not known", "one of " + known);
}

GgufType gguf_tensor_type(const GgufFileType& file, const GgufMixtureModel& model,
                          const std::string& name, std::span<const int64_t> shape) {
  const bool matrix = shape.size() >= 2 && name.ends_with(".weight") &&
                      name.find("_norm.weight") == std::string::npos &&
                      !name.ends_with("ffn_gate_inp.weight") && name != "position_embd.weight";
  if (!matrix || is_rwkv_vector(name)) return GgufType::kF32;
  if (is_float(file.base)) return file.base;
  if (is_rwkv_low_rank(name)) return GgufType::kF16;
  return fallback(wanted_type(file, model, name, shape.back()), shape.back());
}

}  // namespace gradus
