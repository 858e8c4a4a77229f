// SPDX-License-Identifier: Apache-2.0
#include "model/gguf/export.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "model/formats/gguf_mixture.h"
#include "model/formats/safetensors.h"
#include "model/gguf/convert.h"
#include "model/gguf/describe.h"
#include "model/gguf/places.h"
#include "model/gguf/rope.h"
#include "model/stored_names.h"
#include "text/tokenizer/gguf_vocab_write.h"

namespace gradus {
namespace {

const StoredTensor& stored_tensor(const SafetensorsFolder& files, const std::string& name,
                                  const GgufSlice& slice) {
  const StoredTensor& stored = files.at(name);
  const bool real = stored.dtype == "F32" || stored.dtype == "F16" || stored.dtype == "BF16";
  if (stored.shape == slice.hf_shape && real) return stored;
  throw Error({.what = "tensor cannot be written as GGUF",
               .where = files.place(name),
               .expected = cat("F32, F16 or BF16 ", Json(slice.hf_shape).dump()),
               .found = stored.dtype + " " + Json(stored.shape).dump()});
}

GgufMixtureModel mixture_of(const ModelConfig& config) {
  const bool large = config.model_type == "llama" || config.model_type == "qwen2";
  return {.layers = config.num_hidden_layers,
          .tied = config.tie_word_embeddings,
          .grouped_70b = large && config.num_hidden_layers == 80 &&
                         config.num_attention_heads != config.num_key_value_heads,
          .eight_experts = config.moe.experts == 8,
          .falcon = config.model_type == "falcon"};
}

// Checks that the folder holds each tensor in its shape and a float type, and nothing else.
std::vector<GgufTensorJob> plan(const SafetensorsFolder& files, const ModelConfig& config,
                                const std::vector<GgufPlace>& places, const GgufFileType& type) {
  const GgufMixtureModel mixture = mixture_of(config);
  std::vector<GgufTensorJob> jobs;
  std::set<std::string> known;
  for (const GgufPlace& place : places) {
    GgufTensorJob job{.place = &place,
                      .stored = {},
                      .type = gguf_tensor_type(type, mixture, place.gguf, place.shape)};
    for (const GgufSlice& slice : place.slices) {
      const std::string name = stored_name(files, config.names, slice.hf);
      job.stored.push_back(&stored_tensor(files, name, slice));
      job.where = files.place(name);
      known.insert(name);
    }
    jobs.push_back(std::move(job));
  }
  for (const std::string& name : files.names()) {
    if (!known.contains(name) && !is_known_extra(name, config) && !is_left_out(name, config.names))
      throw Error(
          {.what = "tensor has no place in llama.cpp's architecture", .where = files.place(name)});
  }
  return jobs;
}

// Those that nobody writes any more: the others have places as they are.
std::vector<StackedNames> old_stacks(const TensorNames& names) {
  std::vector<StackedNames> old = names.stacked;
  std::erase_if(old, [](const StackedNames& stacked) { return stacked.written; });
  return old;
}

void warn_of_windows(const ModelConfig& config, const GgufArchitecture& architecture,
                     const std::string& where) {
  const auto window = std::max_element(config.layer_window.begin(), config.layer_window.end());
  const bool reached = window != config.layer_window.end() && *window > 0 &&
                       *window < config.max_position_embeddings;
  if (reached && !architecture.windows)
    log_warning("gguf",
                cat(where, ": llama.cpp's ", architecture.name, " has no sliding window: beyond ",
                    *window, " tokens it computes another model than this"));
}

GgufMetadata general_keys(const ModelConfig& config, const GgufArchitecture& architecture,
                          const GgufExportOptions& options) {
  GgufMetadata keys{{"general.architecture", std::string(architecture.name)},
                    {"general.type", std::string("model")}};
  if (!options.name.empty()) keys.emplace_back("general.name", options.name);
  keys.emplace_back("general.size_label", gguf_size_label(parameter_count(config)));
  if (!options.licence.empty()) keys.emplace_back("general.license", options.licence);
  return keys;
}

void add_vocabulary(GgufVocabulary vocabulary, GgufMetadata& keys) {
  const std::string prefix = "tokenizer.ggml.";
  keys.emplace_back(prefix + "model", vocabulary.model);
  if (!vocabulary.pre.empty()) keys.emplace_back(prefix + "pre", vocabulary.pre);
  keys.emplace_back(prefix + "tokens", std::move(vocabulary.tokens));
  if (!vocabulary.scores.empty()) keys.emplace_back(prefix + "scores", vocabulary.scores);
  keys.emplace_back(prefix + "token_type", std::move(vocabulary.types));
  if (!vocabulary.merges.empty())
    keys.emplace_back(prefix + "merges", std::move(vocabulary.merges));
  for (const auto& [key, id] : vocabulary.special) keys.emplace_back(prefix + key, id);
  for (const auto& [key, value] : vocabulary.flags) keys.emplace_back(prefix + key, value);
  std::vector<std::string> names;
  for (const auto& [name, text] : vocabulary.chat_templates) {
    keys.emplace_back("tokenizer.chat_template" + (name.empty() ? "" : "." + name), text);
    if (!name.empty()) names.push_back(name);
  }
  if (!names.empty()) keys.emplace_back("tokenizer.chat_templates", names);
}

std::vector<GgufTensorSource> rope_sources(const std::vector<GgufRopeTensor>& tensors) {
  std::vector<GgufTensorSource> sources;
  for (const GgufRopeTensor& tensor : tensors)
    sources.push_back(
        {tensor.name, GgufType::kF32, {static_cast<int64_t>(tensor.values.size())}, [&tensor] {
           return std::as_bytes(std::span(tensor.values));
         }});
  return sources;
}

}  // namespace

void export_gguf(const fs::path& folder, const fs::path& file, const GgufExportOptions& options) {
  const GgufFileType& type = gguf_file_type(options.type);
  const ModelConfig config = read_model_config(folder);
  const std::string where = (folder / "config.json").string();
  if (!config.source.value("quantization_config", Json()).is_null())
    throw Error({.what = "a quantised model cannot be written as GGUF",
                 .where = where,
                 .hint = "use the model that it was quantised from"});
  const GgufArchitecture& architecture = gguf_architecture_of(config, where);
  check_gguf_can_say(config, architecture, where);
  warn_of_windows(config, architecture, where);
  SafetensorsFolder files(folder);
  name_stacked_parts(files, old_stacks(config.names));
  const std::vector<GgufPlace> places = gguf_places(config, architecture, nullptr);
  const std::vector<GgufTensorJob> jobs = plan(files, config, places, type);

  GgufMetadata keys = general_keys(config, architecture, options);
  for (auto& key : gguf_architecture_keys(config, architecture)) keys.push_back(std::move(key));
  keys.emplace_back("general.file_type", type.number);
  add_vocabulary(gguf_vocabulary(folder, config.vocab_size), keys);
  keys.emplace_back("general.quantization_version", uint32_t{2});

  const std::vector<GgufRopeTensor> ropes = gguf_rope_tensors(config);
  std::vector<GgufTensorSource> sources = rope_sources(ropes);
  for (GgufTensorSource& source : tensors_to_gguf(jobs)) sources.push_back(std::move(source));
  write_gguf(file, keys, sources);
}

}  // namespace gradus
