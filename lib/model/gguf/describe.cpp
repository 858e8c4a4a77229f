// SPDX-License-Identifier: Apache-2.0
#include "model/gguf/describe.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "model/differences.h"
#include "model/gguf/places.h"
#include "model/gguf/rope.h"

namespace gradus {
namespace {

// Keys with which llama.cpp would compute something that a family does not have; harmless only
// with the value given.
struct Neutral {
  const char* key;
  double value;
};

constexpr Neutral kNeutral[] = {
    {"expert_count", 0},
    {"expert_shared_count", 0},
    {"expert_weights_scale", 1},
    {"leading_dense_block_count", 0},
    {"logit_scale", 1},
    {"residual_scale", 1},
    {"embedding_scale", 1},
    {"attention.scale", 0},
    {"attention.clamp_kqv", 0},
    {"attention.sliding_window", 0},
    {"attn_logit_softcapping", 0},
    {"final_logit_softcapping", 0},
    {"attention.max_alibi_bias", 0},
    {"attention.output_scale", 1},
    {"attention.temperature_length", 0},
    {"token_shift_count", 2},
    {"rope.scaling.attn_factor", 1},
    {"rope.scaling.yarn_log_multiplier", 0},
    {"rope.scaling.yarn_ext_factor", 1},
    {"rope.scaling.yarn_attn_factor", 1},
    {"rope.scaling.yarn_beta_fast", 32},
    {"rope.scaling.yarn_beta_slow", 1},
};

bool nearly(double a, double b) { return std::abs(a - b) <= 1e-6 * std::abs(b); }

double number_of(const GgufKeys& keys, const std::string& key) {
  const Json& value = keys.value(key);
  return value.is_boolean() ? static_cast<double>(value.get<bool>()) : keys.number(key);
}

bool same_value(const GgufKeys& keys, const std::string& key, const GgufValue& ours) {
  if (const auto* text = std::get_if<std::string>(&ours)) return keys.text(key) == *text;
  const double found = number_of(keys, key);
  if (const auto* size = std::get_if<uint32_t>(&ours)) return found == *size;
  if (const auto* flag = std::get_if<bool>(&ours)) return found == (*flag ? 1 : 0);
  return nearly(found, std::get<float>(ours));
}

std::string value_text(const GgufValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* size = std::get_if<uint32_t>(&value)) return cat(*size);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  return cat(std::get<float>(value));
}

// The file must have the keys with which its model would be written. The vocabulary's size is that
// of the embedding: some files pad the matrix and leave the key unpadded.
void check_keys(const GgufSource& source, const GgufModel& model) {
  const GgufKeys& keys = source.keys();
  const std::string prefix = keys.architecture() + ".";
  std::vector<std::string> written;
  for (const auto& [full, value] : gguf_architecture_keys(model.config, *model.architecture)) {
    const std::string key = full.substr(full.find('.') + 1);
    written.push_back(key);
    if (key == "vocab_size") continue;
    if (!keys.has(key)) {
      if (key.ends_with("epsilon")) json_missing(prefix + key, keys.where());
      continue;
    }
    if (!same_value(keys, key, value))
      keys.refuse(key, "is not supported for this architecture", value_text(value));
  }
  for (const Neutral& neutral : kNeutral) {
    if (std::find(written.begin(), written.end(), neutral.key) != written.end()) continue;
    if (keys.has(neutral.key) && number_of(keys, neutral.key) != neutral.value)
      keys.refuse(neutral.key, "is not supported for this architecture", cat(neutral.value));
  }
}

void read_row(const GgufSource& source, const GgufKeyRow& row, const char* field, Json& config) {
  const GgufKeys& keys = source.keys();
  switch (row.kind) {
    case GgufKeyRow::kSize:
      config[field] = keys.size(row.gguf);
      break;
    case GgufKeyRow::kOptionalSize:
      config[field] = keys.number(row.gguf) == 0 ? Json() : Json(keys.size(row.gguf));
      break;
    case GgufKeyRow::kNumber:
      config[field] = keys.number(row.gguf);
      if (!(keys.number(row.gguf) > 0)) keys.refuse(row.gguf, "is out of range", "above 0");
      break;
    case GgufKeyRow::kOptionalNumber:
      config[field] = keys.number(row.gguf) == 0 ? Json() : Json(keys.number(row.gguf));
      break;
    case GgufKeyRow::kFlag:
      config[field] = keys.flag(row.gguf);
      break;
  }
}

// What the usual keys mean where a file lacks them.
void read_usual_keys(const GgufSource& source, const GgufArchitecture& architecture, Json& config) {
  const GgufKeys& keys = source.keys();
  for (const GgufKeyRow& row : gguf_usual_keys(architecture.layers)) {
    const char* field = gguf_field_name(architecture, row);
    if (!field) continue;
    const std::string_view key = row.gguf;
    if (keys.has(row.gguf)) {
      read_row(source, row, field, config);
    } else if (key == "attention.head_count_kv") {
      config[field] = keys.size("attention.head_count");
    } else if (key == "attention.key_length") {
      const int64_t heads = keys.size("attention.head_count");
      if (keys.size("embedding_length") % heads != 0)
        keys.refuse("embedding_length", "is not a multiple of attention.head_count");
      config[field] = keys.size("embedding_length") / heads;
    } else if (key == "rope.freq_base") {
      config[field] = 10000.0;
    } else if (row.kind == GgufKeyRow::kSize) {
      keys.size(row.gguf);  // throws that it is missing
    }
  }
}

void read_own_keys(const GgufSource& source, const GgufArchitecture& architecture, Json& config) {
  for (const GgufKeyRow& row : architecture.keys) {
    const char* field = gguf_field_name(architecture, row);
    if (!field) continue;
    const bool optional =
        row.kind == GgufKeyRow::kOptionalSize || row.kind == GgufKeyRow::kOptionalNumber;
    if (optional && !source.keys().has(row.gguf))
      config[field] = nullptr;
    else
      read_row(source, row, field, config);
  }
}

void check_counts(const GgufSource& source) {
  const int64_t layers = source.keys().size("block_count");
  if (layers > static_cast<int64_t>(source.image().tensors.size()))
    source.keys().refuse("block_count", "is more than the file's tensors",
                         cat("at most ", source.image().tensors.size()));
}

int64_t vocabulary_rows(const GgufSource& source) {
  const GgufTensor* embedding = source.find("token_embd.weight");
  if (!embedding)
    throw Error({.what = std::string("tensor 'token_embd.weight' is missing"),
                 .where = source.keys().where()});
  return embedding->shape.size() == 2 ? embedding->shape[0] : 0;
}

void read_rope_scaling(const GgufSource& source, Json& config) {
  const GgufKeys& keys = source.keys();
  const int64_t heads = keys.size("attention.head_count");
  const int64_t width =
      keys.size("rope.dimension_count",
                keys.size("attention.key_length",
                          std::max<int64_t>(1, keys.size("embedding_length") / heads)));
  Json scaling = gguf_rope_scaling(source, width);
  const bool rotates = config.contains("rope_theta");
  if (rotates || !scaling.is_null()) config["rope_scaling"] = std::move(scaling);
}

Json document_of(const GgufSource& source, const GgufArchitecture& architecture) {
  Json config = {{"architectures", {architecture.model_class}},
                 {"model_type", architecture.model_type},
                 {"vocab_size", vocabulary_rows(source)}};
  read_usual_keys(source, architecture, config);
  config.update(parse_json(architecture.constants, architecture.name));
  config["tie_word_embeddings"] = !source.has_tensor("output.weight");
  config["use_cache"] = true;
  read_own_keys(source, architecture, config);
  if (architecture.complete) architecture.complete(source, config);
  if (architecture.layers == GgufLayers::kAttention) read_rope_scaling(source, config);
  return config;
}

Json json_of(const GgufValue& value) {
  return std::visit(
      [](const auto& item) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(item)>, float>)
          return static_cast<double>(item);
        else
          return item;
      },
      value);
}

int64_t token_id(const Json& metadata, const std::string& key, int64_t vocab_size,
                 const std::string& where) {
  const auto id = json_get<int64_t>(metadata, key, where);
  if (id >= 0 && id < vocab_size) return id;
  throw Error({.what = "key '" + key + "' is not a token of this model",
               .where = where,
               .expected = cat("0 to ", vocab_size - 1),
               .found = cat(id)});
}

}  // namespace

GgufModel describe_gguf(const GgufImage& image, const std::string& where) {
  const GgufSource source(image, where);
  GgufModel model;
  model.architecture = &gguf_architecture_of(source);
  check_counts(source);
  model.document = document_of(source, *model.architecture);
  model.config = model_config_from_json(model.document, where);
  check_keys(source, model);
  model.document.update(
      gguf_token_ids(image.metadata, model.config.vocab_size, EndTokens::kFirst, where));
  return model;
}

GgufMetadata gguf_architecture_keys(const ModelConfig& config,
                                    const GgufArchitecture& architecture) {
  const std::string prefix = std::string(architecture.name) + ".";
  GgufMetadata keys;
  const auto add = [&](const GgufKeyRow& row) {
    const double value = row.value(config);
    const bool optional =
        row.kind == GgufKeyRow::kOptionalSize || row.kind == GgufKeyRow::kOptionalNumber;
    if (optional && value == 0) return;
    if (row.kind == GgufKeyRow::kFlag)
      keys.emplace_back(prefix + row.gguf, value != 0);
    else if (row.kind == GgufKeyRow::kSize || row.kind == GgufKeyRow::kOptionalSize)
      keys.emplace_back(prefix + row.gguf, static_cast<uint32_t>(value));
    else
      keys.emplace_back(prefix + row.gguf, static_cast<float>(value));
  };
  for (const GgufKeyRow& row : gguf_usual_keys(architecture.layers)) add(row);
  for (const GgufKeyRow& row : architecture.keys) add(row);
  for (auto& [key, value] : gguf_rope_keys(config)) keys.emplace_back(prefix + key, value);
  return keys;
}

void check_gguf_can_say(const ModelConfig& config, const GgufArchitecture& architecture,
                        const std::string& where) {
  const std::string name = architecture.name;
  const auto refuse = [&](const std::string& what) {
    throw Error({.what = "llama.cpp's " + name + " has no such " + what, .where = where});
  };
  if (config.tie_word_embeddings && architecture.output == GgufOutput::kOwn)
    refuse("tied output projection");
  if (!config.tie_word_embeddings && architecture.output == GgufOutput::kTied)
    refuse("output projection of its own");
  if (architecture.heads == GgufHeads::kShareWidth &&
      config.head_dim * config.num_attention_heads != config.hidden_size)
    refuse(cat("width of heads: ", config.head_dim, " in place of ", config.hidden_size, " / ",
               config.num_attention_heads));
  if (architecture.layers == GgufLayers::kRwkv7 && config.names.embedding_norm.empty())
    refuse("missing norm of the embeddings");
  const auto tensors = gguf_rope_tensors(config);
  const bool llama3 = !tensors.empty() && tensors[0].name == "rope_freqs.weight";
  if (llama3 && name != "llama" && name != "exaone4") refuse("rotary scaling: llama3");
  GgufImage image;
  image.metadata["general.architecture"] = name;
  for (const auto& [key, value] : gguf_architecture_keys(config, architecture))
    image.metadata[key] = json_of(value);
  for (const GgufPlace& place : gguf_places(config, architecture, nullptr))
    image.tensors.push_back(
        {.name = place.gguf, .type = GgufType::kF32, .shape = place.shape, .bytes = {}});
  for (const GgufRopeTensor& tensor : tensors)
    image.tensors.push_back({.name = tensor.name,
                             .type = GgufType::kF32,
                             .shape = {static_cast<int64_t>(tensor.values.size())},
                             .bytes = std::as_bytes(std::span(tensor.values))});
  const std::string difference = first_difference(config, describe_gguf(image, where).config);
  if (!difference.empty()) refuse(difference);
}

Json gguf_token_ids(const Json& metadata, int64_t vocab_size, EndTokens ends,
                    const std::string& where) {
  const auto read = [&](const char* name) {
    return token_id(metadata, cat("tokenizer.ggml.", name, "_token_id"), vocab_size, where);
  };
  const auto has = [&](const char* name) {
    return metadata.contains(cat("tokenizer.ggml.", name, "_token_id"));
  };
  Json ids = Json::object();
  if (has("bos")) ids["bos_token_id"] = read("bos");
  std::vector<int64_t> end_ids;
  for (const char* name : {"eos", "eot", "eom"}) {
    if (!has(name) || (ends == EndTokens::kFirst && !end_ids.empty())) continue;
    const int64_t id = read(name);
    if (std::find(end_ids.begin(), end_ids.end(), id) == end_ids.end()) end_ids.push_back(id);
  }
  if (!end_ids.empty())
    ids["eos_token_id"] = end_ids.size() == 1 ? Json(end_ids[0]) : Json(end_ids);
  if (has("padding")) ids["pad_token_id"] = read("padding");
  return ids;
}

std::string gguf_size_label(int64_t parameters) {
  struct Unit {
    double size;
    char letter;
  };
  static constexpr Unit kUnits[] = {{1e12, 'T'}, {1e9, 'B'}, {1e6, 'M'}, {1e3, 'K'}};
  const auto count = static_cast<double>(parameters);
  Unit unit = kUnits[3];
  for (const Unit& candidate : kUnits) {
    if (count > candidate.size) {
      unit = candidate;
      break;
    }
  }
  const double scaled = count / unit.size;
  char text[32];
  const int digits = std::round(scaled) >= 10 ? 0 : std::round(scaled) >= 1 ? 1 : 2;
  std::snprintf(text, sizeof text, "%.*f%c", digits, scaled, unit.letter);
  return text;
}

}  // namespace gradus
