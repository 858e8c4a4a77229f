// SPDX-License-Identifier: Apache-2.0
#include "quant/quantize_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/signals.h"
#include "model/folder.h"
#include "model/quantization_config.h"
#include "quant/ignore.h"
#include "quant/rtn.h"
#include "tensor/device.h"

namespace gradus {
namespace {

// Tensors to write, kept alive, and what the quantisation cost.
struct Output {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  int64_t projections = 0, bytes_before = 0;
  double squared_error = 0, squared_weight = 0;

  void add(const std::string& name, const at::Tensor& tensor) {
    tensors.emplace_back(name, tensor.contiguous());
  }
};

// RWKV-7's low-rank projections are small and steer the state: they stay as they are.
void ignore_low_rank(const Transformer& model, std::vector<std::string>& ignored) {
  for (const DecoderLayer& layer : model.layers()) {
    const RecurrentMixer& mixer = layer.recurrent;
    for (const LowRank* low :
         {&mixer.decay_low, &mixer.rate_low, &mixer.value_low, &mixer.gate_low}) {
      for (const Linear* linear : {&low->down, &low->up}) {
        for (const LinearPart& part : linear->parts) ignored.push_back(part.name);
      }
    }
  }
}

QuantizationConfig config_of(const QuantizeRecipe& recipe, const Transformer& model) {
  const bool int4 = recipe.scheme == QuantScheme::kInt4;
  QuantizationConfig config{.bits = int4 ? 4 : 8,
                            .group_size = int4 ? recipe.group_size.value_or(64) : 0,
                            .ignored = ignored_projections(model, recipe.ignore)};
  ignore_low_rank(model, config.ignored);
  // What transformers calls the output projection of any family.
  const std::string& output = model.config().names.output;
  const auto& ignored = config.ignored;
  if (output != "lm_head" && std::find(ignored.begin(), ignored.end(), output) != ignored.end())
    config.ignored.emplace_back("lm_head");
  return config;
}

// Families whose classes in transformers keep the projections in other modules than nn.Linear, or
// read their weights directly.
void warn_of_other_readers(const ModelConfig& config) {
  static constexpr std::array<std::string_view, 5> kOnlyHere = {"falcon", "gpt2", "granitemoe",
                                                                "rwkv", "rwkv7"};
  if (std::find(kOnlyHere.begin(), kOnlyHere.end(), config.model_type) == kOnlyHere.end()) return;
  log_warning("quantize", "Gradus runs a quantised " + config.model_type +
                              "; transformers cannot load one in this format");
}

void add_quantized(Output& output, const std::string& name, const at::Tensor& weight,
                   const RtnOptions& options) {
  const QuantizedTensor stored = quantize_rtn(weight, options, name);
  output.add(name + (options.bits == 4 ? ".weight_packed" : ".weight"), stored.values);
  output.add(name + ".weight_scale", stored.scales);
  if (options.bits == 4)
    output.add(name + ".weight_shape", at::tensor(weight.sizes().vec(), at::kLong));
  const at::Tensor wide = weight.to(at::kFloat);
  output.squared_error += (dequantize(stored, weight.size(1)) - wide).square().sum().item<double>();
  output.squared_weight += wide.square().sum().item<double>();
  ++output.projections;
}

// Parts of one fused projection are quantised together when it is run, so all or none of them.
void check_whole(const Linear& layer, const QuantizationConfig& config) {
  for (const LinearPart& part : layer.parts) {
    if (config.applies_to(part.name) == config.applies_to(layer.parts[0].name)) continue;
    throw Error({.what = part.name + " and " + layer.parts[0].name + " run as one product",
                 .where = "ignore",
                 .hint = "ignore both or neither"});
  }
}

// What is not quantised is written in `stored`.
Output quantize_tensors(const Transformer& model, const QuantizationConfig& config,
                        const QuantizeRecipe& recipe, c10::ScalarType stored) {
  std::set<std::string> quantised;
  model.for_each_linear([&](const Linear& layer) {
    for (const LinearPart& part : layer.parts) {
      if (config.applies_to(part.name)) quantised.insert(part.name + ".weight");
    }
  });
  if (quantised.empty())
    throw Error(ErrorParts{.what = "every projection is ignored: nothing would be quantised",
                           .where = "ignore"});
  const RtnOptions options{
      .bits = config.bits,
      .group_size = config.group_size,
      .scale_dtype = stored,
      .clip_search = recipe.search_clipping ? ClipSearch::kOn : ClipSearch::kOff};
  Output output;
  Progress progress("quantise", static_cast<int64_t>(quantised.size()), "projections");
  for (const NamedTensor& named : model.named_tensors()) {
    const c10::ScalarType to = named.is_buffer ? named.tensor.scalar_type() : stored;
    output.bytes_before += named.tensor.numel() * static_cast<int64_t>(c10::elementSize(to));
    if (!quantised.contains(named.name)) {
      output.add(named.name, named.tensor.to(to));
      continue;
    }
    add_quantized(output, named.name.substr(0, named.name.size() - std::string(".weight").size()),
                  named.rows(), options);
    throw_if_stopped();
    progress.advance();
  }
  return output;
}

int64_t write_tensors(const Output& output, const fs::path& folder) {
  std::vector<TensorToWrite> list;
  int64_t bytes = 0;
  for (const auto& [name, tensor] : output.tensors) {
    list.push_back(tensor_to_write(name, tensor));
    bytes += static_cast<int64_t>(tensor.nbytes());
  }
  write_safetensors_folder(folder, list);
  return bytes;
}

void check_groups(const Linear& layer, const QuantizationConfig& config) {
  if (!config.applies_to(layer.parts[0].name) || config.group_size == 0) return;
  if (layer.in_features % config.group_size == 0) return;
  throw Error({.what = "weight cannot be split into groups",
               .where = layer.parts[0].name,
               .expected = cat("a multiple of ", config.group_size, " columns"),
               .found = cat(layer.in_features),
               .hint = "another group_size, or leave it out with ignore"});
}

}  // namespace

void check_quantize(const QuantizeRecipe& recipe) {
  const std::string where = (fs::path(recipe.model) / "config.json").string();
  if (read_quantization_config(read_model_config(recipe.model).source, where)) {
    throw Error({.what = "the model is quantised already",
                 .where = recipe.model,
                 .hint = "quantise the model that it was made from"});
  }
  const Transformer shapes(read_model_config(recipe.model), at::kFloat, at::kMeta);  // no memory
  const QuantizationConfig config = config_of(recipe, shapes);
  shapes.for_each_linear([&](const Linear& layer) {
    check_whole(layer, config);
    check_groups(layer, config);
  });
}

Json quantize_model(const QuantizeRecipe& recipe, const fs::path& folder) {
  const at::NoGradGuard no_gradients;
  set_compute_threads(static_cast<int>(recipe.threads));
  check_quantize(recipe);
  const c10::ScalarType stored = stored_dtype(read_model_config(recipe.model), recipe.model);
  const Transformer model =
      load_model(recipe.model, {.dtype = stored == at::kHalf ? at::kFloat : stored});
  warn_of_other_readers(model.config());
  const QuantizationConfig config = config_of(recipe, model);
  const Output output = quantize_tensors(model, config, recipe, stored);
  const int64_t bytes = write_tensors(output, folder);
  Json json = model_config_to_json(model.config(), dtype_name(stored));
  json["quantization_config"] = quantization_config_to_json(config);
  write_json(folder / "config.json", json);
  return {{"projections", output.projections},
          {"weight_bytes_before", output.bytes_before},
          {"weight_bytes_after", bytes},
          {"relative_error", std::sqrt(output.squared_error / output.squared_weight)}};
}

}  // namespace gradus
