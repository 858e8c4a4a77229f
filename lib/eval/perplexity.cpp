// SPDX-License-Identifier: Apache-2.0
#include "base/progress.h"
#include "eval/prompts.h"
#include "eval/tasks.h"
#include "text/unicode.h"

namespace gradus {
namespace {

struct Document {
  size_t first_request = 0, last_request = 0;
  int64_t tokens = 0;
};

RowScores score_row(const EvalRow& row, const std::string& text, const Document& document,
                    double log_prob) {
  const auto tokens = static_cast<double>(document.tokens);
  RowScores scores{.digest = row.digest, .cluster = row.cluster, .scores = {}};
  scores.scores = {{"nll", -log_prob},
                   {"tokens", tokens},
                   {"words", static_cast<double>(count_words(text))},
                   {"bytes", static_cast<double>(text.size())},
                   {"mean_nll", document.tokens > 0 ? -log_prob / tokens : 0.0}};
  return scores;
}

}  // namespace

int64_t TaskInput::context_length() const {
  return recipe.context_length.value_or(model.config().max_position_embeddings);
}

int64_t count_words(std::string_view text) {
  int64_t words = 1;
  bool in_space = false;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    const bool space = is_white_space(c.value) || (c.value >= 0x1c && c.value <= 0x1f);
    words += space && !in_space;
    in_space = space;
    at += c.bytes;
  }
  return words;
}

std::vector<ScoreRequest> rolling_windows(const std::vector<TokenId>& tokens, TokenId prefix,
                                          int64_t context_length) {
  const auto total = static_cast<int64_t>(tokens.size());
  std::vector<ScoreRequest> windows;
  for (int64_t predicted = 0; predicted < total;) {
    const int64_t count = std::min(total - predicted, context_length), end = predicted + count;
    const int64_t begin = predicted == 0 ? 0 : end - context_length - 1;
    ScoreRequest window;
    if (predicted == 0) window.prompt = {prefix};
    window.prompt.insert(window.prompt.end(), tokens.begin() + begin, tokens.begin() + predicted);
    window.continuations.emplace_back(tokens.begin() + predicted, tokens.begin() + end);
    windows.push_back(std::move(window));
    predicted = end;
  }
  return windows;
}

TaskOutput run_perplexity(const TaskInput& input) {
  const PairEncoder encoder(input.tools, PairEncoder::Mode::kText);
  std::vector<ScoreRequest> requests;
  std::vector<Document> documents;
  std::vector<std::string> texts;
  for (const EvalRow& row : input.rows) {
    texts.push_back(row_member(row, input.recipe.perplexity->text_key));
    const std::vector<TokenId> ids = encoder.encode_text(texts.back());
    const size_t first = requests.size();
    for (auto& window : rolling_windows(ids, encoder.prefix_token(), input.context_length()))
      requests.push_back(std::move(window));
    documents.push_back({first, requests.size(), static_cast<int64_t>(ids.size())});
  }
  TaskOutput output{
      .scores = {.name = input.recipe.name, .kind = TaskKind::kPerplexity, .rows = {}},
      .tokens = computed_tokens(requests, input.model.config())};
  Progress progress(input.recipe.name, output.tokens, "tokens");
  const auto scores = score_requests(
      input.model, requests, {.batch_tokens = input.batch_tokens, .progress = [&](int64_t tokens) {
                                progress.advance(tokens);
                              }});
  int64_t predicted = 0;
  for (size_t i = 0; i < documents.size(); ++i) {
    double log_prob = 0;
    for (size_t r = documents[i].first_request; r < documents[i].last_request; ++r)
      log_prob += scores[r].front().log_prob;
    output.scores.rows.push_back(score_row(input.rows[i], texts[i], documents[i], log_prob));
    predicted += documents[i].tokens;
  }
  output.facts = {{"context_length", input.context_length()},
                  {"tokens", predicted},
                  {"windows", requests.size()},
                  {"prefix_token", input.tools.tokenizer->id_to_token(encoder.prefix_token())}};
  return output;
}

}  // namespace gradus
