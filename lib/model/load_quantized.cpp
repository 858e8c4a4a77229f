// SPDX-License-Identifier: Apache-2.0
#include "model/load_quantized.h"

#include <ATen/ops/count_nonzero.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "model/copy_weights.h"
#include "model/folder.h"
#include "tensor/device.h"

namespace gradus {
namespace {

at::Tensor stack_rows(const std::vector<at::Tensor>& parts, c10::ScalarType dtype,
                      c10::Device device) {
  int64_t rows = 0;
  for (const at::Tensor& part : parts) rows += part.size(0);
  at::Tensor all =
      at::empty({rows, parts[0].size(1)}, at::TensorOptions().dtype(dtype).device(device));
  int64_t row = 0;
  for (const at::Tensor& part : parts) {
    all.narrow(0, row, part.size(0)).copy_(part);
    row += part.size(0);
  }
  return all;
}

// Parts of one product run quantised when all do, in the same way.
bool run_as_one(const std::vector<ProjectionWeight>& weights) {
  return std::all_of(weights.begin(), weights.end(), [&](const ProjectionWeight& weight) {
    return weight.exact && weights[0].exact && weight.exact->bits == weights[0].exact->bits &&
           weight.exact->group_size == weights[0].exact->group_size;
  });
}

}  // namespace

QuantizedLoader::QuantizedLoader(Transformer& model, const QuantizationConfig& config,
                                 TensorAccess access)
    : model_(model), config_(config), access_(std::move(access)) {
  model_.for_each_linear([&](Linear& layer) {
    size_t quantised = 0;
    for (const LinearPart& part : layer.parts) {
      if (!is_quantised(part.name)) continue;
      weights_.insert(part.name + ".weight");
      ++quantised;
    }
    if (quantised > 0) pending_.push_back({&layer, {}});
    if (quantised == layer.parts.size()) layer.weight.reset();
  });
}

bool QuantizedLoader::is_quantised(const std::string& projection) const {
  const bool listed = config_.layout == QuantLayout::kInt ||
                      config_.layout == QuantLayout::kPacked ||
                      config_.layout == QuantLayout::kFloat8;
  return listed ? config_.applies_to(projection)
                : access_.contains(projection + stored_mark(config_));
}

QuantizedLoader::Part QuantizedLoader::take_part(const Linear& layer, const LinearPart& part) {
  Part out{.name = part.name, .rows = part.rows, .stored = {}};
  if (!holds(part.name + ".weight")) return out;
  for (const StoredSpec& spec : stored_specs(config_, part.rows, layer.in_features)) {
    const std::string name = part.name + spec.suffix;
    if (spec.optional && !access_.contains(name)) continue;
    if (const StoredTensor* stored = access_.take(name, spec.shape))
      out.stored[spec.suffix] = stored;
  }
  // AutoGPTQ writes a bias of zeros where the model has none.
  const std::string bias = part.name + ".bias";
  if (config_.layout == QuantLayout::kGptq && !layer.bias.defined() && access_.contains(bias))
    out.stored[".bias"] = access_.take(bias, {part.rows});
  return out;
}

void QuantizedLoader::take() {
  for (Pending& pending : pending_) {
    for (const LinearPart& part : pending.layer->parts)
      pending.parts.push_back(take_part(*pending.layer, part));
  }
}

std::string QuantizedLoader::place(const Part& part) const {
  const bool plain = config_.layout == QuantLayout::kInt || config_.layout == QuantLayout::kFloat8;
  return access_.place(part.name + (plain ? ".weight" : stored_mark(config_)));
}

void QuantizedLoader::set_quantised(const Pending& pending,
                                    const std::vector<ProjectionWeight>& weights) {
  const QuantizedTensor& first = *weights[0].exact;
  std::vector<at::Tensor> values, scales;
  for (const ProjectionWeight& weight : weights) {
    values.push_back(weight.exact->values);
    scales.push_back(weight.exact->scales);
  }
  const bool narrow = std::all_of(scales.begin(), scales.end(), [](const at::Tensor& part) {
    return part.scalar_type() == at::kBFloat16;
  });
  QuantizedTensor stored{.bits = first.bits, .group_size = first.group_size};
  stored.values = stack_rows(values, first.values.scalar_type(), model_.device());
  stored.scales = stack_rows(scales, narrow ? at::kBFloat16 : at::kFloat, model_.device());
  pending.layer->quantized =
      prepare_quantized(stored, pending.layer->in_features, place(pending.parts[0]));
  kept_ += static_cast<int64_t>(weights.size());
}

void QuantizedLoader::fill_dense(const Pending& pending,
                                 const std::vector<ProjectionWeight>& weights) {
  Linear& layer = *pending.layer;
  if (!layer.weight.defined())
    layer.weight = at::empty({layer.out_features(), layer.in_features},
                             at::TensorOptions().dtype(model_.dtype()).device(model_.device()));
  for (size_t i = 0; i < weights.size(); ++i) {
    if (pending.parts[i].stored.empty()) continue;
    const at::Tensor dense = dense_weight(weights[i], layer.in_features);
    at::Tensor rows = layer.weight.narrow(0, layer.first_row(i), pending.parts[i].rows);
    rows.copy_(dense);
    check_finite(rows, place(pending.parts[i]));
    ++expanded_;
  }
}

void QuantizedLoader::build_layer(const Pending& pending) {
  std::vector<ProjectionWeight> weights;
  for (const Part& part : pending.parts) {
    weights.emplace_back();
    if (part.stored.empty()) continue;
    const auto bias = part.stored.find(".bias");
    if (bias != part.stored.end() &&
        read_stored(*bias->second, place(part)).count_nonzero().item<int64_t>() != 0)
      throw Error({.what = "has a bias, which this family does not", .where = place(part)});
    weights.back() =
        read_projection(config_, part.stored, part.rows, pending.layer->in_features, place(part));
  }
  if (run_as_one(weights) && !pending.layer->kept_dense)
    set_quantised(pending, weights);
  else
    fill_dense(pending, weights);
}

void QuantizedLoader::build() {
  for (const Pending& pending : pending_) build_layer(pending);
  const std::string expanded = expanded_ == 0 ? ""
                                              : cat(kept_ > 0 ? ", " : "", expanded_,
                                                    " expanded to ", dtype_name(model_.dtype()));
  const std::string kept = kept_ == 0 ? "" : cat(kept_, " run quantised");
  log_info("model", cat(config_.name(), " projections: ", kept, expanded,
                        config_.activations ? "; activations are not quantised" : ""));
}

}  // namespace gradus
