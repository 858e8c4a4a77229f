// SPDX-License-Identifier: Apache-2.0
// The task kinds. Each turns rows into numbers per row; metrics.h turns those into metrics.
#pragma once

#include <string>
#include <vector>

#include "data/text_tools.h"
#include "eval/metrics.h"
#include "eval/recipe.h"
#include "eval/rows.h"
#include "eval/scoring.h"
#include "model/transformer.h"

namespace gradus {

// What every task gets.
struct TaskInput {
  const Transformer& model;
  const TextTools& tools;
  const TaskRecipe& recipe;
  const std::vector<EvalRow>& rows;
  const std::vector<TokenId>& stop_tokens;  // that end an answer
  int64_t batch_tokens = 1024;
  // The longest sequence the model sees at once.
  int64_t context_length() const;
};

struct TaskOutput {
  TaskScores scores;
  Json facts = Json::object();  // counts and settings for results.json
  int64_t tokens = 0;           // computed
};

// lm-evaluation-harness's rolling log-likelihood: each token is predicted once; the first window
// starts from BOS (else EOS), later ones from the token before, the last one reaches back as far as
// the context allows.
TaskOutput run_perplexity(const TaskInput& input);
// Its multiple-choice rules: acc by the sum of log-probabilities, acc_norm by that over the
// choice's characters, acc_bytes over its UTF-8 bytes; the first of equals wins.
TaskOutput run_multiple_choice(const TaskInput& input);
// Greedy answers up to a stop text or the end token; exact match and token F1 after SQuAD's
// normalisation, strict match without it.
TaskOutput run_generation(const TaskInput& input);

// Windows of one document of run_perplexity.
std::vector<ScoreRequest> rolling_windows(const std::vector<TokenId>& tokens, TokenId prefix,
                                          int64_t context_length);
// How many parts Python's re.split(r"\s+", text) makes.
int64_t count_words(std::string_view text);

// SQuAD: lower case, without punctuation and articles, single spaces.
std::string normalize_answer(std::string_view text);
double token_f1(std::string_view predicted, std::string_view gold);

}  // namespace gradus
