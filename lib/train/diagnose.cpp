// SPDX-License-Identifier: Apache-2.0
#include "train/diagnose.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/isfinite.h>

#include "base/error.h"

namespace gradus {
namespace {

bool is_finite(const at::Tensor& x) { return at::isfinite(x).all().item<bool>(); }

// Looks at what passes through attention, the one place of the model that is open to a visitor.
class Probe : public Attention {
 public:
  explicit Probe(const Batch& batch) : attention_(batch.segment_starts) {}

  at::Tensor attend(int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const ops::AttentionOptions& options) override {
    note(layer, "queries", q);
    note(layer, "keys", k);
    note(layer, "values", v);
    at::Tensor out = attention_.attend(layer, q, k, v, options);
    note(layer, "attention output", out);
    return out;
  }
  std::vector<SequenceTokens> sequences() const override { return attention_.sequences(); }
  ops::SegmentStates past(int64_t layer, RecurrentPart part) override {
    return attention_.past(layer, part);
  }
  const std::optional<std::string>& found() const { return found_; }

 private:
  void note(int64_t layer, const char* what, const at::Tensor& x) {
    if (!found_ && !is_finite(x)) found_ = cat("the ", what, " of layer ", layer);
  }
  PackedAttention attention_;
  std::optional<std::string> found_;
};

}  // namespace

std::optional<std::string> first_non_finite(const Transformer& model, const Batch& batch) {
  const at::NoGradGuard no_gradients;
  for (const NamedTensor& named : model.named_tensors()) {
    if (!is_finite(named.tensor)) return "the weight " + named.name;
  }
  for (const NamedTensor& named : lora_tensors(model)) {
    if (!is_finite(named.tensor)) return "the adapter weight " + named.name;
  }
  Probe probe(batch);
  const at::Tensor hidden = forward(model, batch, probe);
  if (probe.found()) return probe.found();
  if (!is_finite(hidden)) return "the MLP of the last layer or the last norm";
  return std::nullopt;
}

std::optional<std::string> first_non_finite_gradient(
    const std::vector<TrainedParameter>& parameters, const std::vector<at::Tensor>& gradients) {
  for (size_t i = parameters.size(); i-- > 0;) {
    for (const ParameterPart& part : parameters[i].parts) {
      if (!is_finite(gradients[i].narrow(0, part.first, part.rows)))
        return "the gradient of " + part.name;
    }
  }
  return std::nullopt;
}

}  // namespace gradus
