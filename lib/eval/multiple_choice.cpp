// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/progress.h"
#include "eval/prompts.h"
#include "eval/tasks.h"
#include "text/unicode.h"

namespace gradus {
namespace {

std::vector<std::string> texts_of(const Json& list, const std::string& where) {
  if (!list.is_array() || list.empty())
    throw Error({.what = "must be a list of texts", .where = where});
  std::vector<std::string> texts;
  for (const Json& entry : list) {
    texts.push_back(entry.is_object()   ? json_get<std::string>(entry, "label", where)
                    : entry.is_string() ? entry.get<std::string>()
                                        : "");
    if (texts.back().empty()) throw Error({.what = "holds an empty choice", .where = where});
  }
  return texts;
}

std::vector<std::string> shared_labels(const MultipleChoiceRecipe& recipe) {
  std::vector<std::string> labels =
      recipe.labels_file.empty() ? recipe.labels
                                 : texts_of(read_json(recipe.labels_file), recipe.labels_file);
  std::vector<std::string> sorted = labels;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end())
    throw Error({.what = "a label is listed twice", .where = "labels", .found = *twice});
  return labels;
}

// The answer's position among the choices.
size_t gold_position(const Json& answer, const std::vector<std::string>& choices,
                     const std::string& where) {
  if (answer.is_number_integer()) {
    const auto position = answer.get<int64_t>();
    if (position >= 0 && position < static_cast<int64_t>(choices.size()))
      return static_cast<size_t>(position);
  }
  if (answer.is_string()) {
    const auto found = std::find(choices.begin(), choices.end(), answer.get<std::string>());
    if (found != choices.end()) return static_cast<size_t>(found - choices.begin());
  }
  throw Error({.what = "the answer is none of the choices",
               .where = where,
               .found = printable(answer.dump(-1, ' ', false, Json::error_handler_t::replace))});
}

struct Question {
  std::string prompt_digest;
  std::vector<std::string> choices;
  size_t gold = 0;
  size_t first_request = 0, last_request = 0;  // one for all choices, or one for each
};

// The position of the largest value; the first of equals.
size_t first_best(const std::vector<double>& values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

// Mean squared distance between softmax(log-likelihoods) and the answer.
double brier(const std::vector<double>& log_probs, size_t gold) {
  const double most = *std::max_element(log_probs.begin(), log_probs.end());
  double total = 0, sum = 0;
  for (const double value : log_probs) total += std::exp(value - most);
  for (size_t i = 0; i < log_probs.size(); ++i) {
    const double distance = std::exp(log_probs[i] - most) / total - (i == gold ? 1.0 : 0.0);
    sum += distance * distance;
  }
  return sum;
}

PairEncoder::Mode encoder_mode(const MultipleChoiceRecipe& recipe) {
  if (!recipe.prompt.chat) return PairEncoder::Mode::kText;
  return recipe.end_of_turn ? PairEncoder::Mode::kTurn : PairEncoder::Mode::kChat;
}

class MultipleChoice {
 public:
  explicit MultipleChoice(const TaskInput& input)
      : input_(input),
        recipe_(*input.recipe.multiple_choice),
        maker_(recipe_.prompt, input.tools),
        encoder_(input.tools, encoder_mode(recipe_)),
        labels_(shared_labels(recipe_)),
        suffix_(recipe_.end_of_turn ? maker_.end_of_turn() : "") {}

  TaskOutput run() {
    for (const EvalRow& row : input_.rows) add_question(row);
    TaskOutput output{.scores = {.name = input_.recipe.name,
                                 .kind = TaskKind::kMultipleChoice,
                                 .rows = {},
                                 .labels = labels_},
                      .tokens = computed_tokens(requests_, input_.model.config())};
    Progress progress(input_.recipe.name, output.tokens, "tokens");
    const auto scores =
        score_requests(input_.model, requests_,
                       {.batch_tokens = input_.batch_tokens,
                        .progress = [&](int64_t tokens) { progress.advance(tokens); }});
    for (size_t i = 0; i < questions_.size(); ++i)
      output.scores.rows.push_back(score_row(input_.rows[i], questions_[i], scores));
    output.facts = facts();
    return output;
  }

 private:
  std::vector<std::string> choices_of(const EvalRow& row) const {
    if (!labels_.empty()) return labels_;
    if (!row.value.contains(recipe_.choices_key)) json_missing(recipe_.choices_key, row.where);
    return texts_of(row.value.at(recipe_.choices_key), row.where + ": " + recipe_.choices_key);
  }

  void add_question(const EvalRow& row) {
    const std::string prompt = maker_.prompt(row);
    Question question{.prompt_digest = sha256_hex(prompt).substr(0, 16),
                      .choices = choices_of(row),
                      .first_request = requests_.size()};
    question.gold = gold_position(maker_.answer(row), question.choices, row.where);
    ScoreRequest request;
    size_t longest = 0;
    for (const std::string& choice : question.choices) {
      PairEncoder::Pair pair = encoder_.encode(prompt, maker_.delimiter() + choice + suffix_);
      if (pair.continuation.empty())
        throw Error({.what = "a choice has no tokens of its own",
                     .where = row.where,
                     .found = printable(choice)});
      longest = std::max(longest, pair.continuation.size());
      request.prompt = std::move(pair.prompt);
      request.continuations.push_back(std::move(pair.continuation));
    }
    if (static_cast<int64_t>(request.prompt.size() + longest) <= input_.context_length() + 1) {
      requests_.push_back(std::move(request));
    } else {
      add_truncated(request);
    }
    question.last_request = requests_.size();
    questions_.push_back(std::move(question));
  }

  // Each choice keeps as much of the prompt's end as fits beside it.
  void add_truncated(const ScoreRequest& request) {
    ++truncated_;
    const auto most = static_cast<size_t>(input_.context_length()) + 1;
    for (const auto& continuation : request.continuations) {
      if (continuation.size() >= most)
        throw Error({.what = "a choice does not fit the context",
                     .where = input_.recipe.name,
                     .expected = cat("fewer than ", most, " tokens"),
                     .found = cat(continuation.size())});
      const size_t kept = std::min(request.prompt.size(), most - continuation.size());
      requests_.push_back(
          {{request.prompt.end() - static_cast<ptrdiff_t>(kept), request.prompt.end()},
           {continuation}});
    }
  }

  RowScores score_row(const EvalRow& row, const Question& question,
                      const std::vector<std::vector<SequenceScore>>& scores) const {
    std::vector<SequenceScore> choices;
    for (size_t r = question.first_request; r < question.last_request; ++r)
      choices.insert(choices.end(), scores[r].begin(), scores[r].end());
    std::vector<double> sums, per_character, per_byte;
    for (size_t i = 0; i < choices.size(); ++i) {
      const std::string& text = question.choices[i];
      sums.push_back(choices[i].log_prob);
      per_character.push_back(sums[i] / static_cast<double>(count_code_points(text)));
      per_byte.push_back(sums[i] / static_cast<double>(text.size()));
    }
    const size_t gold = question.gold, predicted = first_best(sums);
    const auto right = [&](bool yes) { return yes ? 1.0 : 0.0; };
    RowScores result{.digest = row.digest, .cluster = row.cluster, .scores = {}};
    result.scores = {{"acc", right(predicted == gold)},
                     {"acc_norm", right(first_best(per_character) == gold)},
                     {"acc_bytes", right(first_best(per_byte) == gold)},
                     {"exact_match", right(choices[gold].greedy)},
                     {"brier", brier(sums, gold)},
                     {"gold", static_cast<double>(gold)},
                     {"predicted", static_cast<double>(predicted)}};
    result.details = {{"prompt", question.prompt_digest},
                      {"answer", question.choices[gold]},
                      {"predicted_answer", question.choices[predicted]},
                      {"log_likelihoods", sums}};
    return result;
  }

  Json facts() const {
    return {{"prompt", maker_.description()},
            {"context_length", input_.context_length()},
            {"truncated_prompts", truncated_},
            {"end_of_turn", suffix_.empty() ? Json(nullptr) : Json(suffix_)}};
  }

  const TaskInput& input_;
  const MultipleChoiceRecipe& recipe_;
  PromptMaker maker_;
  PairEncoder encoder_;
  std::vector<std::string> labels_;
  std::string suffix_;
  std::vector<Question> questions_;
  std::vector<ScoreRequest> requests_;
  int64_t truncated_ = 0;
};

}  // namespace

TaskOutput run_multiple_choice(const TaskInput& input) { return MultipleChoice(input).run(); }

}  // namespace gradus
