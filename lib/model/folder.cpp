// SPDX-License-Identifier: Apache-2.0
#include "model/folder.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "base/digest.h"
#include "base/error.h"
#include "base/log.h"
#include "model/copy_weights.h"
#include "model/load_quantized.h"
#include "model/quantization_config.h"
#include "model/stored_names.h"
#include "tensor/device.h"

namespace gradus {
namespace {

// Chat templates, what generation stops at, and the terms of use.
bool is_beside_tokenizer(const std::string& name) {
  if (name == "generation_config.json") return true;
  for (const char* start : {"chat_template", "LICENSE", "LICENCE", "NOTICE", "USE_POLICY"}) {
    if (name.starts_with(start)) return true;
  }
  return false;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

// Problems with single tensors, reported together.
class Problems {
 public:
  void add(const std::string& line) { lines_.push_back(line); }
  void raise_if_any(const fs::path& folder) const {
    if (lines_.empty()) return;
    constexpr size_t kShown = 12;
    std::string text = cat(lines_.size(), " tensor(s) do not fit config.json:");
    for (size_t i = 0; i < std::min(kShown, lines_.size()); ++i) text += "\n  " + lines_[i];
    if (lines_.size() > kShown) text += cat("\n  … and ", lines_.size() - kShown, " more");
    throw Error({.what = text, .where = folder.string()});
  }

 private:
  std::vector<std::string> lines_;
};

std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += cat(list.empty() ? "" : ", ", name, "*");
  return list;
}

// Takes tensors out of a folder by name, checking shapes and that everything is taken.
class Reader {
 public:
  Reader(const fs::path& folder, const TensorNames& names)
      : folder_(folder), files_(folder), names_(names) {
    name_stacked_parts(files_, names_.stacked);
  }

  bool contains(const std::string& name) const { return files_.contains(in_files(name)); }

  // The stored tensor of any shape, or null after noting that it is missing.
  const StoredTensor* take_any(const std::string& name) {
    const bool there = contains(name);
    return take(name, there ? files_.at(in_files(name)).shape : std::vector<int64_t>());
  }

  // The stored tensor, or null after noting what is wrong.
  const StoredTensor* take(const std::string& full_name, const std::vector<int64_t>& shape) {
    const std::string name = in_files(full_name);
    taken_.insert(name);
    if (!files_.contains(name)) {
      problems_.add(name + ": missing");
      return nullptr;
    }
    const StoredTensor& stored = files_.at(name);
    if (stored.shape == shape) return &stored;
    problems_.add(name + ": expected shape " + shape_text(shape) + ", found " +
                  shape_text(stored.shape));
    return nullptr;
  }

  void finish(const ModelConfig& config) {
    size_t left_out = 0;
    for (const std::string& name : files_.names()) {
      if (taken_.contains(name) || is_known_extra(name, config)) continue;
      if (is_left_out(name, names_)) {
        ++left_out;
        continue;
      }
      problems_.add(name + ": unexpected");
    }
    problems_.raise_if_any(folder_);
    if (left_out > 0)
      log_info("model", cat(left_out, " tensors are left out: they are no part of the ",
                            "language model (", listed(names_.ignored_prefixes), ")"));
  }

  // A file may repeat the embedding as the output projection where config.json ties them. Where the
  // two differ transformers does not tie, and nobody can tell which one is meant.
  void check_tied(const ModelConfig& config) const {
    const std::string output = config.names.output + ".weight";
    const std::string embedding = config.names.embedding + ".weight";
    if (!config.tie_word_embeddings || !contains(output) || !contains(embedding)) return;
    const StoredTensor &a = files_.at(in_files(output)), &b = files_.at(in_files(embedding));
    if (a.dtype == b.dtype && a.shape == b.shape && std::ranges::equal(a.bytes, b.bytes)) return;
    throw Error(
        {.what = "differs from " + embedding + ", but config.json ties them",
         .where = place(output),
         .expected = "the same numbers, or no such tensor",
         .hint = "\"tie_word_embeddings\": false in config.json if the projection is meant"});
  }

  // config.json decides what is allocated; it must not ask for more than the files can fill.
  void check_size(const ModelConfig& config) const {
    uintmax_t bytes = 0;
    for (const auto& file : files_.files()) bytes += fs::file_size(file->path());
    const auto most = static_cast<int64_t>(2 * bytes);  // 4 bit weights are the smallest
    if (parameter_count(config) <= most) return;
    throw Error({.what = "config.json describes a larger model than the weights are",
                 .where = folder_.string(),
                 .expected = cat("at most ", most, " parameters in ", bytes, " bytes"),
                 .found = cat(parameter_count(config))});
  }

  std::string place(const std::string& name) const { return files_.place(in_files(name)); }

 private:
  // The name as it is, or as the files have it.
  std::string in_files(const std::string& name) const { return stored_name(files_, names_, name); }

  fs::path folder_;
  SafetensorsFolder files_;
  TensorNames names_;
  std::set<std::string> taken_;
  Problems problems_;
};

TensorAccess access_of(Reader& reader) {
  return {.contains = [&reader](const std::string& name) { return reader.contains(name); },
          .take = [&reader](const std::string& name,
                            const std::vector<int64_t>& shape) -> const StoredTensor* {
            return shape.empty() ? reader.take_any(name) : reader.take(name, shape);
          },
          .place = [&reader](const std::string& name) { return reader.place(name); }};
}

c10::ScalarType compute_dtype(const ModelConfig& config, const LoadOptions& options,
                              const std::string& where) {
  if (options.dtype == at::kHalf && options.device.is_cpu())
    throw Error({.what = "the CPU does not compute in float16",
                 .where = "dtype",
                 .expected = "bfloat16 or float32"});
  if (options.dtype) return *options.dtype;
  const c10::ScalarType dtype = stored_dtype(config, where);
  if (dtype != at::kHalf) return dtype;
  log_warning("model", where +
                           ": float16 weights are rounded to bfloat16 to compute with them; "
                           "float32 is exact");
  return at::kBFloat16;
}

// Puts tensors together that files hold stacked; the name and number of each are in both lists.
void stack_tensors(const std::vector<StackedNames>& names, std::vector<std::string>& of,
                   std::vector<at::Tensor>& tensors) {
  for (const StackedNames& stacked : names) {
    if (!stacked.written) continue;
    std::map<std::string, size_t> places;
    for (size_t i = 0; i < of.size(); ++i) places.emplace(of[i], i);
    for (const auto& [name, first] : places) {
      if (!name.ends_with(stacked.parts.front())) continue;
      const std::string prefix = name.substr(0, name.size() - stacked.parts.front().size());
      std::vector<at::Tensor> parts;
      for (const std::string& part : stacked.parts) {
        at::Tensor& tensor = tensors[places.at(prefix + part)];
        parts.push_back(std::exchange(tensor, at::Tensor()));
      }
      tensors[first] = at::stack(parts, 0);
      of[first] = prefix + stacked.whole;
    }
  }
}

}  // namespace

c10::ScalarType stored_dtype(const ModelConfig& config, const std::string& where) {
  const auto old_name = json_get<std::string>(config.source, "torch_dtype", "float32", where);
  const auto name = json_get<std::string>(config.source, "dtype", old_name, where);
  if (name == "float32" || name == "bfloat16" || name == "float16") return dtype_from_name(name);
  throw Error({.what = "dtype is not supported",
               .where = where,
               .expected = "float32, bfloat16 or float16",
               .found = printable(name)});
}

void check_finite(const at::Tensor& tensor, const std::string& where) {
  if (!tensor.is_floating_point() || std::isfinite(at::sum(tensor, at::kDouble).item<double>()))
    return;
  throw Error({.what = "weights contain NaN or infinity",
               .where = where,
               .hint = "the file is damaged, or its training diverged"});
}

at::Tensor view_of(const StoredTensor& stored, const std::string& where) {
  const c10::ScalarType dtype = dtype_from_safetensors(stored.dtype, where);
  const size_t item = c10::elementSize(dtype);
  if (reinterpret_cast<uintptr_t>(stored.bytes.data()) % item != 0) {
    at::Tensor copy = at::empty(stored.shape, dtype);
    std::memcpy(copy.mutable_data_ptr(), stored.bytes.data(), stored.bytes.size());
    return copy;
  }
  return at::from_blob(const_cast<std::byte*>(stored.bytes.data()), stored.shape,
                       at::TensorOptions().dtype(dtype));
}

Transformer load_model(const fs::path& folder, const LoadOptions& options) {
  const std::string where = (folder / "config.json").string();
  ModelConfig config = read_model_config(folder);
  const auto quantization = read_quantization_config(config.source, where);
  const c10::ScalarType dtype = compute_dtype(config, options, where);
  Reader reader(folder, config.names);
  reader.check_size(config);
  reader.check_tied(config);
  Transformer model(config, dtype, options.device);
  std::optional<QuantizedLoader> quantized;
  if (quantization) quantized.emplace(model, *quantization, access_of(reader));

  const at::NoGradGuard no_gradients;
  std::vector<WeightCopy> copies;
  for (const NamedTensor& named : model.named_tensors()) {
    if (quantized && quantized->holds(named.name)) continue;
    const StoredTensor* stored = reader.take(named.name, named.tensor.sizes().vec());
    if (stored) copies.push_back({reader.place(named.name), stored, named.tensor});
  }
  if (quantized) quantized->take();
  reader.finish(config);
  copy_weights(copies);
  if (quantized) quantized->build();
  return model;
}

TensorToWrite tensor_to_write(const std::string& name, const at::Tensor& tensor) {
  TORCH_CHECK(tensor.is_cpu() && tensor.is_contiguous(),
              "tensor to write must be dense and on the CPU");
  StoredTensor stored;
  stored.dtype = safetensors_dtype(tensor.scalar_type());
  stored.shape = tensor.sizes().vec();
  stored.bytes = {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
  return {name, stored};
}

void save_model(const fs::path& folder, const Transformer& model,
                std::optional<c10::ScalarType> dtype) {
  const c10::ScalarType stored = dtype.value_or(model.dtype());
  require_dense(model, "written again");
  std::vector<std::string> names;
  std::vector<at::Tensor> keep;
  for (const NamedTensor& named : model.named_tensors()) {
    const c10::ScalarType to = named.is_buffer ? named.tensor.scalar_type() : stored;
    names.push_back(named.name);
    keep.push_back(named.tensor.to(at::kCPU, to).contiguous());
    check_finite(keep.back(), named.name);
  }
  stack_tensors(model.config().names.stacked, names, keep);
  std::vector<TensorToWrite> tensors;
  for (size_t i = 0; i < names.size(); ++i) {
    if (keep[i].defined()) tensors.push_back(tensor_to_write(names[i], keep[i]));
  }
  write_safetensors_folder(folder, tensors);
  Json config = model_config_to_json(model.config(), dtype_name(stored));
  config.erase("quantization_config");  // of a checkpoint that was expanded
  write_json(folder / "config.json", config);
}

void copy_text_files(const fs::path& from, const fs::path& to) {
  for (const auto& entry : fs::directory_iterator(from)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && (is_tokenizer_file(name) || is_beside_tokenizer(name)))
      write_file_atomic(to / name, read_file(entry.path()));
  }
}

}  // namespace gradus
