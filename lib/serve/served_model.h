// SPDX-License-Identifier: Apache-2.0
// A model ready to answer: its engine, its text tools, and what requests may ask of it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/text_tools.h"
#include "infer/engine.h"
#include "serve/recipe.h"

namespace gradus {

struct ServedModel {
  std::string name;
  TextTools tools;
  std::vector<int32_t> stop_tokens =
      {};                        // end an answer: of the configs, the tokenizer, the template
  std::string fingerprint = {};  // changes with the model, its precision and the program
  int64_t created = 0;           // Unix time of the model's files
  int64_t max_position_embeddings = 0;
  int64_t max_prompt_tokens = 0, max_answer_tokens = 0;  // limits of the recipe
  std::unique_ptr<Engine> engine = {};  // last: its thread ends before the rest goes
};

// Without weights and engine: everything that can be wrong with the folder but the tensors.
// Throws gradus::Error.
std::unique_ptr<ServedModel> open_served_model(const ServeRecipe& recipe);
// Loads the weights and starts the engine.
void start_engine(ServedModel& model, const ServeRecipe& recipe);

}  // namespace gradus
