// SPDX-License-Identifier: Apache-2.0
// A model of any family can be quantised, and computes nearly the same.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>

#include "base/temporary_folder.h"
#include "model/folder.h"
#include "quant/quantize_model.h"
#include "support/catch.h"
#include "support/family_configs.h"
#include "support/tiny_model.h"

namespace gradus {
namespace {

at::Tensor logits_of(const Transformer& model) {
  const at::NoGradGuard no_gradients;
  PackedAttention attention({0, 12});
  const at::Tensor ids = at::arange(3, 15, at::kLong) * 7;
  return model.logits(model.forward(ids, at::arange(12, at::kLong), attention));
}

}  // namespace

TEST_CASE("in every family int8 weights give nearly the same logits") {
  for (const Json& json : family_configs()) {
    INFO(json.dump());
    const TemporaryFolder from, to;
    const Transformer model = model_by_formula(model_config_from_json(json, "test"));
    save_model(from.path(), model);
    QuantizeRecipe recipe;
    recipe.model = from.path().string();
    recipe.scheme = QuantScheme::kInt8;
    quantize_model(recipe, to.path());
    const Transformer quantised = load_model(to.path(), {});
    quantised.for_each_linear([&](const Linear& layer) {
      const std::string& name = layer.parts[0].name;
      const bool kept = name == model.config().names.output || layer.kept_dense ||
                        name.find("_lora.") != std::string::npos;
      CHECK((layer.quantized != nullptr) == !kept);
    });
    const at::Tensor exact = logits_of(model), near = logits_of(quantised);
    const double error = ((near - exact).norm() / exact.norm()).item<double>();
    CHECK(error > 0);
    CHECK(error < 0.1);
  }
}

}  // namespace gradus
