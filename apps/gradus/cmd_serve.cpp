// SPDX-License-Identifier: Apache-2.0
// gradus serve: an OpenAI-compatible server for one model.
#include "base/log.h"
#include "base/signals.h"
#include "commands.h"
#include "recipe_command.h"
#include "serve/recipe.h"
#include "serve/server.h"
#include "tensor/device.h"

namespace gradus {
namespace {

int run(const CommandLine& line) {
  const auto recipe = recipe_or_answer<ServeRecipe>(line, "serve");
  if (!recipe) return kExitOk;
  if (line.has("--check")) {
    check_serve_recipe(*recipe);
    return answer_checked(line);
  }
  set_compute_threads(static_cast<int>(recipe->threads));
  Server server(*recipe);
  log_info("serve", "loading " + recipe->model);
  server.load();
  log_info("serve", "ready: " + server.model_name() + " at " + server.url() + "/v1");
  server.run();
  return 128 + stop_signal();
}

}  // namespace

Command serve_command() {
  return {"serve",
          "serve a model over HTTP, with the OpenAI API",
          "recipe.yaml [key=value …]",
          recipe_flags,
          recipe_details<ServeRecipe>,
          run};
}

}  // namespace gradus
