// SPDX-License-Identifier: Apache-2.0
// gradus quantize: a smaller model in the compressed-tensors format, without calibration data.
#include "base/error.h"
#include "base/log.h"
#include "base/system.h"
#include "commands.h"
#include "model/folder.h"
#include "quant/quantize_model.h"
#include "recipe_command.h"
#include "store/lineage.h"

namespace gradus {
namespace {

int run(const CommandLine& line) {
  const auto recipe = recipe_or_answer<QuantizeRecipe>(line, "quantize");
  if (!recipe) return kExitOk;
  if (line.has("--check")) {
    refuse_existing(recipe->out);
    check_quantize(*recipe);
    return answer_checked(line);
  }
  AtomicFolder folder(recipe->out);
  const Json result = quantize_model(*recipe, folder.path());
  copy_text_files(recipe->model, folder.path());
  DigestCache cache;
  LineageBuilder(LineageKind::kQuantize, cache)
      .parent("base", recipe->model)
      .recipe(recipe_json(as_recorded(*recipe)))
      .training(result)
      .write(folder.path());
  folder.commit();
  log_info("quantize", recipe->out + ": " + human_bytes(result["weight_bytes_before"]) + " -> " +
                           human_bytes(result["weight_bytes_after"]));
  print_json_if_asked(line, result);
  return kExitOk;
}

}  // namespace

Command quantize_command() {
  return {"quantize",
          "float weights to int8 or int4, in a format that others load",
          "recipe.yaml [key=value …]",
          recipe_flags,
          recipe_details<QuantizeRecipe>,
          run};
}

}  // namespace gradus
