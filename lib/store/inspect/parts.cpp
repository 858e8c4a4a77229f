// SPDX-License-Identifier: Apache-2.0
#include "store/inspect/parts.h"

#include <array>
#include <map>

#include "store/inspect/inspect.h"

namespace gradus {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

template <size_t N>
bool contains_any(std::string_view text, const std::array<const char*, N>& parts) {
  for (const char* part : parts) {
    if (contains(text, part)) return true;
  }
  return false;
}

// The number of weights that one stored element stands for.
int64_t packed_in_one(const ContentTensor& tensor, const Json& config) {
  const std::string_view name = tensor.name;
  if (!name.ends_with(".weight_packed") && !name.ends_with(".qweight")) return 1;
  const Json quantization =
      config.is_object() ? config.value("quantization_config", Json::object()) : Json::object();
  int64_t bits =
      quantization.value("bits", Json(4)).is_number_integer() ? quantization.value("bits", 4) : 4;
  const Json groups = quantization.value("config_groups", Json::object());
  for (const auto& [group, scheme] : groups.items()) {
    if (!scheme.is_object() || !scheme.contains("weights")) continue;
    bits = scheme["weights"].value("num_bits", bits);
  }
  return bits >= 1 && bits <= 8 ? 32 / bits : 1;
}

int64_t parameters_of(const ContentTensor& tensor, const Json& config) {
  return part_of(tensor.name) == "quantisation" ? 0
                                                : tensor.elements() * packed_in_one(tensor, config);
}

bool is_projection(const std::string& part) {
  return part == "attention" || part == "mlp" || part == "experts";
}

}  // namespace

std::string part_of(const std::string& tensor) {
  static constexpr std::array<const char*, 8> kQuantisation = {
      "weight_scale", "weight_zero_point", "weight_shape", ".scales", ".qzeros",
      ".g_idx",       ".quant_state.",     "weight.absmax"};
  static constexpr std::array<const char*, 8> kEmbedding = {
      "embed_tokens", "word_embedding", "wte.",      "wpe.",
      "embed_in",     "token_embd",     "tok_embed", "embeddings."};
  static constexpr std::array<const char*, 5> kExperts = {"experts.", "_exps", "_shexp",
                                                          "moe.input_linear", "moe.output_linear"};
  static constexpr std::array<const char*, 7> kMlp = {"mlp",  "feed_forward", "ffn_", ".ffn.",
                                                      ".w1.", "fc1",          "fc2"};
  static constexpr std::array<const char*, 4> kAttention = {"attn", "attention", "self_att",
                                                            ".att."};
  const std::string& name = tensor;
  if (contains(name, "lora_")) return "adapter";
  if (contains_any(name, kQuantisation) || contains(name, "quant_map")) return "quantisation";
  if (contains(name, "norm") || contains(name, "ln_") || contains(name, "layernorm") ||
      contains(name, ".ln1.") || contains(name, ".ln2.") || contains(name, "pre_ln"))
    return "norms";
  if (name.starts_with("lm_head") || name.starts_with("output.") || contains(name, "embed_out") ||
      name.starts_with("head.") || contains(name, "output_layer"))
    return "output";
  if (contains_any(name, kEmbedding)) return "embedding";
  if (contains_any(name, kExperts)) return "experts";
  if (contains_any(name, kMlp)) return "mlp";
  if (contains_any(name, kAttention)) return "attention";
  return "other";
}

Json parameter_counts(const ModelContents& contents) {
  std::map<std::string, int64_t> parts;
  int64_t total = 0;
  for (const ContentTensor& tensor : contents.tensors) {
    const int64_t count = parameters_of(tensor, contents.config);
    total += count;
    if (count > 0) parts[part_of(tensor.name)] += count;
  }
  return {{"total", total}, {"by_part", parts}};
}

Json weight_memory(const ModelContents& contents) {
  if (contents.kind == ContentsKind::kAdapter) return nullptr;
  int64_t total = 0, files = 0, int8 = 0, int4 = 0;
  for (const ContentTensor& tensor : contents.tensors) {
    const int64_t count = parameters_of(tensor, contents.config);
    total += count;
    files += static_cast<int64_t>(tensor.bytes.size());
    const int64_t rows = tensor.elements() / std::max<int64_t>(tensor.row_elements(), 1);
    const bool kept = contains(tensor.name, "_lora.");  // RWKV-7's low-rank projections
    const bool projection = is_projection(part_of(tensor.name)) && rows > 1 && !kept;
    if (!projection) {
      int8 += 2 * count;
      int4 += 2 * count;
      continue;
    }
    int8 += count + 2 * rows;
    int4 += count / 2 + 2 * ((count + 63) / 64);
  }
  return {{"files", files},
          {"float32", 4 * total},
          {"bfloat16", 2 * total},
          {"int8", int8},
          {"int4", int4}};
}

}  // namespace gradus
