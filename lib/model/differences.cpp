// SPDX-License-Identifier: Apache-2.0
#include "model/differences.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/error.h"

namespace gradus {
namespace {

struct Number {
  const char* name;
  double (*value)(const ModelConfig& config);
  // What the values are called, by value; nullptr stands for none. Empty: they are numbers.
  std::span<const char* const> words = {};
};

// Where there is one or none, the row's name says it all.
constexpr const char* kYesOrNo[] = {nullptr, ""};
constexpr const char* kNorms[] = {"RMS", "RMS with 1 + weight", "mean and variance",
                                  "mean and variance without weights"};
constexpr const char* kOrders[] = {"one after the other", "side by side"};
constexpr const char* kPositionKinds[] = {"rotary", "learned", "ALiBi"};
constexpr const char* kQkNorms[] = {nullptr, "one weight for all heads", "a weight for each head",
                                    "all heads together"};
constexpr const char* kActivations[] = {"silu", "gelu", "gelu_tanh", "relu", "relu squared"};
constexpr const char* kScores[] = {"softmax", "sigmoid"};

template <class Value>
double number(Value value) {
  return static_cast<double>(value);
}

constexpr Number kNumbers[] = {
    {"width", [](const ModelConfig& c) { return number(c.hidden_size); }},
    {"feed-forward width", [](const ModelConfig& c) { return number(c.intermediate_size); }},
    {"number of layers", [](const ModelConfig& c) { return number(c.num_hidden_layers); }},
    {"number of heads", [](const ModelConfig& c) { return number(c.num_attention_heads); }},
    {"number of key/value heads",
     [](const ModelConfig& c) { return number(c.num_key_value_heads); }},
    {"width of heads", [](const ModelConfig& c) { return number(c.head_dim); }},
    {"vocabulary", [](const ModelConfig& c) { return number(c.vocab_size); }},
    {"kind of norm", [](const ModelConfig& c) { return number(c.norm); }, kNorms},
    {"bias of norms", [](const ModelConfig& c) { return number(c.norm_bias); }, kYesOrNo},
    {"epsilon of norms", [](const ModelConfig& c) { return c.norm_eps; }},
    {"order of attention and feed-forward parts",
     [](const ModelConfig& c) { return number(c.residual); }, kOrders},
    {"kind of positions", [](const ModelConfig& c) { return number(c.positions); }, kPositionKinds},
    {"bound of ALiBi", [](const ModelConfig& c) { return c.alibi.bias_max; }},
    {"scale of ALiBi", [](const ModelConfig& c) { return c.alibi.scale; }},
    {"norm of queries and keys", [](const ModelConfig& c) { return number(c.qk_norm); }, kQkNorms},
    {"bias of the norm of queries and keys",
     [](const ModelConfig& c) { return number(c.qk_norm_bias); }, kYesOrNo},
    {"bias of queries, keys and values", [](const ModelConfig& c) { return number(c.qkv_bias); },
     kYesOrNo},
    {"bias of the attention's output", [](const ModelConfig& c) { return number(c.o_bias); },
     kYesOrNo},
    {"bias of feed-forward projections", [](const ModelConfig& c) { return number(c.mlp_bias); },
     kYesOrNo},
    {"bias of the output projection", [](const ModelConfig& c) { return number(c.output_bias); },
     kYesOrNo},
    {"bound of queries, keys and values", [](const ModelConfig& c) { return c.clip_qkv; }},
    {"scale of attention scores", [](const ModelConfig& c) { return c.attention_scale; }},
    {"cap of attention scores", [](const ModelConfig& c) { return c.attention_softcap; }},
    {"gated feed-forward part", [](const ModelConfig& c) { return number(c.gated); }, kYesOrNo},
    {"activation", [](const ModelConfig& c) { return number(c.activation); }, kActivations},
    {"number of experts", [](const ModelConfig& c) { return number(c.moe.experts); }},
    {"number of experts of a token",
     [](const ModelConfig& c) { return number(c.moe.experts_per_token); }},
    {"width of experts", [](const ModelConfig& c) { return number(c.moe.intermediate_size); }},
    {"width of the shared expert",
     [](const ModelConfig& c) { return number(c.moe.shared_intermediate_size); }},
    {"normalisation of the experts' weights",
     [](const ModelConfig& c) { return number(c.moe.experts > 0 && c.moe.normalised); }, kYesOrNo},
    {"scale of the experts' weights", [](const ModelConfig& c) { return c.moe.scale; }},
    {"score of experts", [](const ModelConfig& c) { return number(c.moe.score); }, kScores},
    {"number of groups of experts", [](const ModelConfig& c) { return number(c.moe.groups); }},
    {"latent attention of width", [](const ModelConfig& c) { return number(c.latent.kv_rank); }},
    {"scale of embeddings", [](const ModelConfig& c) { return c.embedding_scale; }},
    {"scale of residuals", [](const ModelConfig& c) { return c.residual_scale; }},
    {"scale of logits", [](const ModelConfig& c) { return c.logits_scale; }},
    {"cap of logits", [](const ModelConfig& c) { return c.logits_softcap; }},
    {"normalised output projection",
     [](const ModelConfig& c) { return number(c.output_normalised); }, kYesOrNo},
};

bool same(double a, double b) {
  return std::abs(a - b) <= 1e-6 * std::max(std::abs(a), std::abs(b));
}

bool same(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return same(x, y); });
}

std::string text_of(const Number& row, double value) {
  if (row.words.empty()) return cat(row.name, ": ", value);
  const char* word = row.words[static_cast<size_t>(value)];
  if (!word) return cat("missing ", row.name);
  return *word ? cat(row.name, ": ", word) : row.name;
}

std::string difference_of_layers(const char* name, const std::vector<int64_t>& a,
                                 const std::vector<int64_t>& b) {
  const size_t layers = std::max(a.size(), b.size());
  const auto at = [](const std::vector<int64_t>& list, size_t i) {
    return i < list.size() ? list[i] : 0;
  };
  for (size_t i = 0; i < layers; ++i) {
    if (at(a, i) != at(b, i)) return cat(name, " in layer ", i, ": ", at(a, i));
  }
  return {};
}

bool same_rope(const RopeConfig& a, const RopeConfig& b) {
  if (a.type != b.type || a.dim != b.dim || !same(a.theta, b.theta) ||
      a.interleaved != b.interleaved)
    return false;
  switch (a.type) {
    case RopeType::kDefault:
      return true;
    case RopeType::kLinear:
      return same(a.factor, b.factor);
    case RopeType::kDynamic:
      return same(a.factor, b.factor) && a.max_position_embeddings == b.max_position_embeddings;
    case RopeType::kYarn:
      return same(a.factor, b.factor) && same(a.beta_fast, b.beta_fast) &&
             same(a.beta_slow, b.beta_slow) && a.truncate == b.truncate &&
             same(a.attention_factor, b.attention_factor) &&
             a.original_max_position_embeddings == b.original_max_position_embeddings;
    case RopeType::kLongRope:
      return same(a.short_factor, b.short_factor) && same(a.long_factor, b.long_factor) &&
             same(a.attention_factor, b.attention_factor) &&
             a.original_max_position_embeddings == b.original_max_position_embeddings;
    case RopeType::kLlama3:
      return same(a.factor, b.factor) && same(a.low_freq_factor, b.low_freq_factor) &&
             same(a.high_freq_factor, b.high_freq_factor) &&
             a.original_max_position_embeddings == b.original_max_position_embeddings;
  }
  return false;
}

// The number of rotary embeddings matters only where layers use them.
std::string difference_of_ropes(const ModelConfig& a, const ModelConfig& b) {
  if (a.positions != Positions::kRope) return {};
  for (size_t i = 0; i < std::min(a.layer_rope.size(), b.layer_rope.size()); ++i) {
    const int64_t x = a.layer_rope[i], y = b.layer_rope[i];
    if (x < 0 && y < 0) continue;
    if (x < 0 || y < 0) return cat(x < 0 ? "missing " : "", "rotation in layer ", i);
    if (!same_rope(a.ropes[static_cast<size_t>(x)], b.ropes[static_cast<size_t>(y)]))
      return cat("rotary embedding in layer ", i);
  }
  return {};
}

}  // namespace

std::string first_difference(const ModelConfig& a, const ModelConfig& b) {
  for (const Number& entry : kNumbers) {
    if (!same(entry.value(a), entry.value(b))) return text_of(entry, entry.value(a));
  }
  for (std::string found : {difference_of_layers("sliding window", a.layer_window, b.layer_window),
                            difference_of_layers("choice of experts", a.layer_moe, b.layer_moe),
                            difference_of_ropes(a, b)}) {
    if (!found.empty()) return found;
  }
  return {};
}

}  // namespace gradus
