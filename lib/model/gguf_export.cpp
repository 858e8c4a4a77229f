// SPDX-License-Identifier: Apache-2.0
#include "model/gguf_export.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/float16.h"
#include "base/parallel.h"
#include "model/formats/gguf_mixture.h"
#include "model/formats/gguf_quantize.h"
#include "model/formats/gguf_tensors.h"
#include "model/formats/safetensors.h"
#include "model/gguf_describe.h"
#include "text/tokenizer/gguf_vocab_write.h"

namespace gradus {
namespace {

using Buffer = std::vector<std::byte>;

// `out.size()` values from `first` on.
void widen(const StoredTensor& tensor, int64_t first, std::span<float> out) {
  const std::byte* in = tensor.bytes.data();
  if (tensor.dtype == "F32") {
    std::memcpy(out.data(), in + 4 * first, out.size_bytes());
    return;
  }
  const bool half = tensor.dtype == "F16";
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, in + 2 * (static_cast<size_t>(first) + i), sizeof bits);
    out[i] = half ? float_from_half(bits) : float_from_bfloat16(bits);
  }
}

// A tensor of the checkpoint and how it is stored.
struct Job {
  TensorPlace place;
  const StoredTensor* stored = nullptr;
  GgufType type = GgufType::kF32;
};

// The file's row, whose values come from another row of the checkpoint in heads that are
// interleaved. A vector is one row; there its values are moved.
void read_row(const Job& job, int64_t row, std::span<float> out) {
  const auto& shape = job.place.shape;
  const auto width = static_cast<int64_t>(out.size());
  const int64_t heads = job.place.interleaved_heads;
  const bool vector = shape.size() == 1;
  const int64_t head_dim = heads == 0 ? 0 : shape[0] / heads;
  const int64_t from = heads > 0 && !vector ? checkpoint_row(row, head_dim) : row;
  widen(*job.stored, from * width, out);
  if (heads == 0 || !vector) return;
  const std::vector<float> plain(out.begin(), out.end());
  for (int64_t i = 0; i < width; ++i)
    out[static_cast<size_t>(i)] = plain[static_cast<size_t>(checkpoint_row(i, head_dim))];
}

void convert(const Job& job, const std::string& where, Buffer& buffer) {
  const int64_t width = job.place.shape.back();
  const int64_t rows = job.place.shape.size() == 1 ? 1 : job.place.shape[0];
  const int64_t row_bytes = gguf_row_bytes(job.type, width);
  buffer.resize(static_cast<size_t>(rows * row_bytes));
  std::atomic<bool> good = true;
  parallel_for(rows, std::max<int64_t>(1, 65536 / width), [&](int64_t begin, int64_t end) {
    std::vector<float> values(static_cast<size_t>(width));
    for (int64_t row = begin; row < end; ++row) {
      read_row(job, row, values);
      if (!quantize_gguf_row(job.type, values, buffer.data() + row * row_bytes)) good = false;
    }
  });
  if (good) return;
  throw Error({.what = cat("holds values that are not finite in ", gguf_type_info(job.type).name),
               .where = where,
               .hint = "the weights are damaged, or the type is too narrow for them: try BF16"});
}

// Checks that the folder holds each tensor in its shape and a float type, and nothing else.
std::vector<Job> plan(const SafetensorsFolder& files, const GgufModel& model,
                      const GgufFileType& type) {
  const GgufMixtureModel mixture{
      .layers = model.num_hidden_layers,
      .tied = model.tie_word_embeddings,
      .grouped_70b = model.num_hidden_layers == 80 && std::string(model.model_type) != "qwen3" &&
                     model.num_attention_heads != model.num_key_value_heads};
  std::vector<Job> jobs;
  for (TensorPlace& place : gguf_tensor_places(model, model.num_hidden_layers)) {
    const StoredTensor& stored = files.at(place.hf);
    const bool real = stored.dtype == "F32" || stored.dtype == "F16" || stored.dtype == "BF16";
    if (stored.shape != place.shape || !real) {
      throw Error({.what = "tensor cannot be written as GGUF",
                   .where = files.place(place.hf),
                   .expected = cat("F32, F16 or BF16 ", Json(place.shape).dump()),
                   .found = stored.dtype + " " + Json(stored.shape).dump()});
    }
    const GgufType kind = gguf_tensor_type(type, mixture, place.gguf, place.shape);
    jobs.push_back({.place = std::move(place), .stored = &stored, .type = kind});
  }
  return jobs;
}

void check_nothing_left(const SafetensorsFolder& files, const std::vector<Job>& jobs,
                        const GgufModel& model) {
  std::set<std::string> known;
  for (const Job& job : jobs) known.insert(job.place.hf);
  if (model.tie_word_embeddings) known.insert("lm_head.weight");
  for (const std::string& name : files.names()) {
    if (known.contains(name) || name.ends_with("rotary_emb.inv_freq")) continue;
    throw Error(
        {.what = "tensor has no place in llama.cpp's architecture", .where = files.place(name)});
  }
}

GgufMetadata general_keys(const ModelConfig& config, const GgufExportOptions& options) {
  GgufMetadata keys{{"general.architecture", gguf_architecture(config)},
                    {"general.type", std::string("model")}};
  if (!options.name.empty()) keys.emplace_back("general.name", options.name);
  keys.emplace_back("general.size_label", gguf_size_label(parameter_count(config)));
  if (!options.licence.empty()) keys.emplace_back("general.license", options.licence);
  return keys;
}

void add_vocabulary(GgufVocabulary vocabulary, GgufMetadata& keys) {
  const std::string prefix = "tokenizer.ggml.";
  keys.emplace_back(prefix + "model", vocabulary.model);
  keys.emplace_back(prefix + "pre", vocabulary.pre);
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

std::vector<GgufTensorSource> sources_of(const std::vector<Job>& jobs,
                                         const SafetensorsFolder& files) {
  const auto buffer = std::make_shared<Buffer>();
  std::vector<GgufTensorSource> sources;
  for (const Job& job : jobs) {
    const auto make = [&job, &files, buffer]() -> std::span<const std::byte> {
      convert(job, files.place(job.place.hf), *buffer);
      return *buffer;
    };
    sources.push_back({job.place.gguf, job.type, job.place.shape, make});
  }
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
  const GgufModel model = gguf_model_of(config, where);
  const SafetensorsFolder files(folder);
  const std::vector<Job> jobs = plan(files, model, type);
  check_nothing_left(files, jobs, model);

  GgufMetadata keys = general_keys(config, options);
  for (auto& key : gguf_architecture_keys(config)) keys.push_back(std::move(key));
  keys.emplace_back("general.file_type", type.number);
  add_vocabulary(gguf_vocabulary(folder, config.vocab_size), keys);
  keys.emplace_back("general.quantization_version", uint32_t{2});

  std::vector<GgufTensorSource> sources = sources_of(jobs, files);
  const std::vector<float> divisors = gguf_rope_divisors(config);
  if (!divisors.empty()) {
    const auto half = static_cast<int64_t>(divisors.size());
    sources.insert(sources.begin(), {"rope_freqs.weight", GgufType::kF32, {half}, [&divisors] {
                                       return std::as_bytes(std::span(divisors));
                                     }});
  }
  write_gguf(file, keys, sources);
}

}  // namespace gradus
