// SPDX-License-Identifier: Apache-2.0
#include "model/merge_models.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/progress.h"
#include "base/signals.h"
#include "model/differences.h"
#include "model/folder.h"
#include "model/merge_tensors.h"
#include "tensor/device.h"

namespace gradus {
namespace {

// Keys of config.json that do not change what weights compute.
constexpr std::array kNotes = {"_name_or_path",
                               "architectures",
                               "attention_dropout",
                               "auto_map",
                               "bos_token_id",
                               "dtype",
                               "eos_token_id",
                               "initializer_range",
                               "max_position_embeddings",
                               "pad_token_id",
                               "pretraining_tp",
                               "torch_dtype",
                               "transformers_version",
                               "unk_token_id",
                               "unsloth_version",
                               "use_cache"};

struct Part {
  fs::path path;
  double weight, density;
  SafetensorsFolder files;
  Json config;
};

void check_config(const Part& first, const Part& other) {
  const std::string where = (other.path / "config.json").string();
  for (const auto& [key, value] : other.config.items()) {
    if (std::find(kNotes.begin(), kNotes.end(), key) != kNotes.end()) continue;
    if (!first.config.contains(key) || first.config.at(key) == value) continue;
    throw Error({.what = "'" + printable(key) + "' is another than in " + first.path.string(),
                 .where = where,
                 .expected = printable(first.config.at(key).dump()),
                 .found = printable(value.dump())});
  }
  // What a key's absence means is known only once both are read.
  const std::string difference =
      first_difference(model_config_from_json(other.config, where),
                       model_config_from_json(first.config, (first.path / "config.json").string()));
  if (!difference.empty())
    throw Error({.what = "computes otherwise than " + first.path.string(),
                 .where = where,
                 .found = difference});
}

void check_tensors(const Part& first, const Part& other) {
  const auto names = first.files.names(), others = other.files.names();
  for (const auto& [part, wanted] : {std::pair{&first, &others}, std::pair{&other, &names}}) {
    for (const std::string& name : *wanted) {
      if (part->files.contains(name)) continue;
      throw Error({.what = "has no tensor " + printable(name) + ", which the other model has",
                   .where = part->path.string()});
    }
  }
  for (const std::string& name : names) {
    const auto &expected = first.files.at(name).shape, &found = other.files.at(name).shape;
    if (expected != found)
      throw Error({.what = "has another shape than in " + first.path.string(),
                   .where = other.files.place(name),
                   .expected = c10::str(c10::IntArrayRef(expected)),
                   .found = c10::str(c10::IntArrayRef(found))});
  }
}

Part open_part(const MergePartRecipe& recipe) {
  Part part{recipe.path, recipe.weight, recipe.density, SafetensorsFolder(recipe.path),
            read_model_config(recipe.path).source};
  if (part.config.contains("quantization_config"))
    throw Error({.what = "a quantised model cannot be merged",
                 .where = recipe.path,
                 .hint = "use the model that it was quantised from"});
  return part;
}

at::Tensor wide(const Part& part, const std::string& name) {
  const std::string where = part.files.place(name);
  const at::Tensor stored = view_of(part.files.at(name), where);
  if (!stored.is_floating_point())
    throw Error({.what = "is not a tensor of real numbers", .where = where});
  return stored.to(at::kFloat);
}

// The parts of the recipe, opened: the base (if there is one) first.
class Merge {
 public:
  explicit Merge(const MergeRecipe& recipe) : recipe_(recipe), based_(!recipe.base.empty()) {
    if (based_) parts_.push_back(open_part({.path = recipe.base}));
    for (const MergePartRecipe& model : recipe.models) parts_.push_back(open_part(model));
    for (const Part& part : parts_) {
      check_config(parts_[0], part);
      check_tensors(parts_[0], part);
    }
  }

  const Part& first() const { return parts_[0]; }

  at::Tensor merged(const std::string& name) const {
    const at::NoGradGuard no_gradients;
    std::vector<MergeTerm> terms;
    for (size_t i = based_ ? 1 : 0; i < parts_.size(); ++i)
      terms.push_back({wide(parts_[i], name), parts_[i].weight, parts_[i].density});
    if (recipe_.method == MergeMethod::kSlerp)
      return slerp(terms[0].tensor, terms[1].tensor, recipe_.t);
    const at::Tensor base = based_ ? wide(parts_[0], name) : at::Tensor();
    return combine_as_mergekit(recipe_, base, std::move(terms),
                               {static_cast<uint64_t>(recipe_.seed), name});
  }

  std::string dtype_of(const std::string& name) const {
    return recipe_.dtype ? safetensors_dtype(dtype_from_name(*recipe_.dtype))
                         : first().files.at(name).dtype;
  }

 private:
  const MergeRecipe& recipe_;
  bool based_;
  std::vector<Part> parts_;
};

void write_config(const MergeRecipe& recipe, const Part& first, const fs::path& folder) {
  Json config = first.config;
  if (recipe.dtype) {
    config.erase("torch_dtype");
    config["dtype"] = *recipe.dtype;
  }
  write_json(folder / "config.json", config);
}

}  // namespace

void check_mergeable(const MergeRecipe& recipe) { const Merge merge(recipe); }

void merge_models(const MergeRecipe& recipe, const fs::path& folder) {
  const Merge merge(recipe);
  const auto names = merge.first().files.names();
  Progress progress("merge", static_cast<int64_t>(names.size()), "tensors");
  std::vector<TensorSource> sources;
  at::Tensor held;
  for (const std::string& name : names) {
    const std::string dtype = merge.dtype_of(name);
    sources.push_back(
        {.name = name,
         .dtype = dtype,
         .shape = merge.first().files.at(name).shape,
         .bytes = [&, name, dtype]() -> std::span<const std::byte> {
           throw_if_stopped();
           held = merge.merged(name).to(dtype_from_safetensors(dtype, name));
           held = held.contiguous();
           check_finite(held, name);
           progress.advance();
           return {static_cast<const std::byte*>(held.const_data_ptr()), held.nbytes()};
         }});
  }
  stream_safetensors_folder(folder, std::move(sources));
  write_config(recipe, merge.first(), folder);
  copy_text_files(merge.first().path, folder);
}

}  // namespace gradus
