// SPDX-License-Identifier: Apache-2.0
// The quantised projections of a checkpoint, put into a model.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "model/quantized_weights.h"
#include "model/transformer.h"

namespace gradus {

// How tensors are taken out of a model folder. An empty shape means any; null was noted as a
// problem with the folder.
struct TensorAccess {
  std::function<bool(const std::string& name)> contains;
  std::function<const StoredTensor*(const std::string& name, const std::vector<int64_t>& shape)>
      take;
  std::function<std::string(const std::string& name)> place;  // for errors
};

class QuantizedLoader {
 public:
  // Finds out which projections are quantised and frees their dense weights, so that they are never
  // filled. `model` and `config` must outlive this.
  QuantizedLoader(Transformer& model, const QuantizationConfig& config, TensorAccess access);

  // Whether the tensor is the weight of a quantised projection.
  bool holds(const std::string& tensor) const { return weights_.contains(tensor); }
  // Takes the stored tensors; call build() once the whole folder is known to fit.
  void take();
  // Fills the model and says in the log what runs quantised and what was expanded.
  void build();

 private:
  struct Part {
    std::string name;
    int64_t rows = 0;
    StoredProjection stored;  // empty: this part is dense
  };
  struct Pending {
    Linear* layer;
    std::vector<Part> parts;
  };

  bool is_quantised(const std::string& projection) const;
  Part take_part(const Linear& layer, const LinearPart& part);
  void build_layer(const Pending& pending);
  void fill_dense(const Pending& pending, const std::vector<ProjectionWeight>& weights);
  void set_quantised(const Pending& pending, const std::vector<ProjectionWeight>& weights);
  std::string place(const Part& part) const;

  Transformer& model_;
  const QuantizationConfig& config_;
  TensorAccess access_;
  std::set<std::string> weights_;
  std::vector<Pending> pending_;
  int64_t kept_ = 0, expanded_ = 0;  // projections
};

}  // namespace gradus
