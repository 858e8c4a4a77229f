// SPDX-License-Identifier: Apache-2.0
// The engine admits requests as they arrive, so what shares a pass depends on timing, and with it
// the last bit of a logit. Here rows are grouped in their order, so that answers can be repeated.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/hash.h"
#include "base/progress.h"
#include "base/signals.h"
#include "eval/prompts.h"
#include "eval/tasks.h"
#include "infer/pass.h"
#include "infer/sampler.h"
#include "text/stop_matcher.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr int64_t kGroup = 16;  // rows generated together

struct Answer {
  std::vector<TokenId> prompt;
  StreamDecoder decoder;
  StopMatcher stops;
  TokenId last = 0;     // of prompt and answer; not in the cache yet
  int64_t cached = 0;   // tokens before it
  int64_t written = 0;  // tokens of the answer
  std::string text = {};
  bool finished = false;  // by an end token or a stop text
};

int64_t prompt_length(const Answer& answer) { return static_cast<int64_t>(answer.prompt.size()); }
int64_t cached_prompt(const Answer& answer) { return prompt_length(answer) - 1; }

// How many tokens all prompts begin with, each keeping its last one; none, where their lengths make
// other keys of them.
int64_t common_tokens(std::span<const Answer> group, const ModelConfig& config) {
  const std::vector<TokenId>& first = group.front().prompt;
  for (const Answer& answer : group) {
    if (shortest_alike(config, prompt_length(answer)) !=
        shortest_alike(config, prompt_length(group.front())))
      return 0;
  }
  int64_t common = cached_prompt(group.front());
  for (const Answer& answer : group) {
    common = std::min(common, cached_prompt(answer));
    const auto end = first.begin() + common;
    common = std::mismatch(first.begin(), end, answer.prompt.begin()).first - first.begin();
  }
  return common;
}

class Generation {
 public:
  explicit Generation(const TaskInput& input)
      : input_(input),
        recipe_(*input.recipe.generation),
        maker_(recipe_.prompt, input.tools),
        encoder_(input.tools, maker_.chat() ? PairEncoder::Mode::kChat : PairEncoder::Mode::kText) {
  }

  TaskOutput run() {
    std::vector<Answer> answers;
    std::vector<std::string> prompts;
    for (const EvalRow& row : input_.rows) {
      prompts.push_back(maker_.prompt(row));
      answers.push_back(start(prompts.back()));
    }
    Progress progress(input_.recipe.name, static_cast<int64_t>(answers.size()), "rows");
    const auto together = static_cast<size_t>(std::min(kGroup, input_.batch_tokens));
    for (size_t first = 0; first < answers.size(); first += together) {
      const size_t count = std::min(together, answers.size() - first);
      generate_group({answers.data() + first, count});
      progress.advance(static_cast<int64_t>(count));
    }
    TaskOutput output{
        .scores = {.name = input_.recipe.name, .kind = TaskKind::kGeneration, .rows = {}}};
    int64_t generated = 0, unfinished = 0;
    for (size_t i = 0; i < answers.size(); ++i) {
      output.scores.rows.push_back(score_row(input_.rows[i], prompts[i], answers[i]));
      output.tokens += static_cast<int64_t>(answers[i].prompt.size()) + answers[i].written;
      generated += answers[i].written;
      unfinished += !answers[i].finished;
    }
    output.facts = {{"prompt", maker_.description()},
                    {"generated_tokens", generated},
                    {"unfinished_answers", unfinished},
                    {"truncated_prompts", truncated_}};
    return output;
  }

 private:
  // The end of the prompt, as much as leaves room for the answer.
  Answer start(const std::string& prompt) {
    Answer answer{.prompt = encoder_.encode_text(prompt),
                  .decoder = StreamDecoder(*input_.tools.tokenizer),
                  .stops = StopMatcher(recipe_.stop)};
    if (answer.prompt.empty()) answer.prompt = {encoder_.prefix_token()};
    const int64_t room = input_.context_length() - recipe_.max_tokens;
    if (room < 1)
      throw Error({.what = "leaves no room for a prompt",
                   .where = input_.recipe.name + ": generation.max_tokens",
                   .expected = cat("less than ", input_.context_length()),
                   .found = cat(recipe_.max_tokens)});
    const auto size = static_cast<int64_t>(answer.prompt.size());
    if (size > room) {
      ++truncated_;
      answer.prompt.erase(answer.prompt.begin(), answer.prompt.begin() + (size - room));
    }
    answer.last = answer.prompt.back();
    return answer;
  }

  void generate_group(std::span<Answer> group) const {
    int64_t longest = 0;
    for (const Answer& answer : group) longest = std::max(longest, prompt_length(answer));
    KvCache cache(
        input_.model.config(),
        {.slots = static_cast<int64_t>(group.size()), .capacity = longest + recipe_.max_tokens},
        input_.model.dtype(), input_.model.device());
    prefill(group, cache);
    while (step(group, cache)) throw_if_stopped();
    for (Answer& answer : group) {
      answer.text += answer.stops.push(answer.decoder.finish());
      answer.text += answer.stops.finish();
      answer.finished = answer.finished || answer.stops.stopped();
    }
  }

  // All but the last token of each prompt, in passes of batch_tokens; what the prompts begin with
  // is computed once.
  void prefill(std::span<Answer> group, KvCache& cache) const {
    const int64_t common = common_tokens(group, input_.model.config());
    std::vector<PassSegment> pass;
    fill(group[0], 0, common, pass, cache);
    flush(pass, cache);
    for (size_t slot = 1; slot < group.size() && common > 0; ++slot) {
      cache.copy_prefix(0, static_cast<int64_t>(slot), common);
      group[slot].cached = common;
    }
    for (size_t slot = 0; slot < group.size(); ++slot)
      fill(group[slot], static_cast<int64_t>(slot), cached_prompt(group[slot]), pass, cache);
    flush(pass, cache);
  }

  // Puts the prompt up to `end` into passes and runs those that are full.
  void fill(Answer& answer, int64_t slot, int64_t end, std::vector<PassSegment>& pass,
            KvCache& cache) const {
    while (answer.cached < end) {
      int64_t room = input_.batch_tokens;
      for (const PassSegment& segment : pass) room -= static_cast<int64_t>(segment.ids.size());
      const auto from = answer.prompt.begin() + answer.cached;
      const int64_t count = std::min(end - answer.cached, room);
      pass.push_back({.slot = slot,
                      .past = answer.cached,
                      .ids = {from, from + count},
                      .length = prompt_length(answer)});
      answer.cached += count;
      if (count == room) flush(pass, cache);
    }
  }

  void flush(std::vector<PassSegment>& pass, KvCache& cache) const {
    if (pass.empty()) return;
    throw_if_stopped();
    run_prefill(input_.model, cache, pass);
    pass.clear();
  }

  // One pass over the last token of each unfinished answer.
  bool step(std::span<Answer> group, KvCache& cache) const {
    std::vector<PassSegment> segments;
    std::vector<Answer*> owners;
    for (size_t slot = 0; slot < group.size(); ++slot) {
      Answer& answer = group[slot];
      if (answer.finished || answer.written >= recipe_.max_tokens) continue;
      segments.push_back(
          {.slot = static_cast<int64_t>(slot), .past = answer.cached, .ids = {answer.last}});
      owners.push_back(&answer);
    }
    if (segments.empty()) return false;
    const at::Tensor logits = run_pass(input_.model, cache, segments);
    for (size_t i = 0; i < owners.size(); ++i) {
      const float* row = logits.const_data_ptr<float>() + static_cast<int64_t>(i) * logits.size(1);
      Sampler greedy({.temperature = 0});
      take(*owners[i], greedy.next({row, static_cast<size_t>(logits.size(1))}));
    }
    return true;
  }

  void take(Answer& answer, TokenId id) const {
    ++answer.cached;
    answer.last = id;
    const std::vector<TokenId>& ends = input_.stop_tokens;
    answer.finished = std::find(ends.begin(), ends.end(), id) != ends.end();
    if (answer.finished) return;
    ++answer.written;
    answer.text += answer.stops.push(answer.decoder.push(id));
    answer.finished = answer.stops.stopped();
  }

  RowScores score_row(const EvalRow& row, const std::string& prompt, const Answer& answer) const {
    const Json gold = maker_.answer(row);
    const std::vector<std::string> accepted = accepted_answers(gold, row.where);
    double exact = 0, strict = 0, f1 = 0;
    for (const std::string& text : accepted) {
      exact = std::max(exact, normalize_answer(text) == normalize_answer(answer.text) ? 1.0 : 0.0);
      strict = std::max(strict, trimmed(text) == trimmed(answer.text) ? 1.0 : 0.0);
      f1 = std::max(f1, token_f1(answer.text, text));
    }
    RowScores result{.digest = row.digest, .cluster = row.cluster, .scores = {}};
    result.scores = {{"exact_match", exact}, {"strict_match", strict}, {"f1", f1}};
    result.details = {{"prompt", sha256_hex(prompt).substr(0, 16)},
                      {"answer", gold},
                      {"predicted_answer", answer.text}};
    return result;
  }

  // A text, or a list of texts of which the best match counts.
  static std::vector<std::string> accepted_answers(const Json& gold, const std::string& where) {
    std::vector<std::string> texts;
    for (const Json& text : gold.is_array() ? gold : Json::array({gold})) {
      if (!text.is_string())
        throw Error({.what = "the answer must be a text or a list of texts", .where = where});
      texts.push_back(text.get<std::string>());
    }
    if (texts.empty()) throw Error({.what = "has no answer", .where = where});
    return texts;
  }

  static std::string trimmed(const std::string& text) {
    const size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
  }

  const TaskInput& input_;
  const GenerationRecipe& recipe_;
  PromptMaker maker_;
  PairEncoder encoder_;
  int64_t truncated_ = 0;
};

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  bool fresh = true;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    const bool space = is_white_space(c.value) || (c.value >= 0x1c && c.value <= 0x1f);
    if (!space) {
      if (fresh) words.emplace_back();
      words.back().append(text.substr(at, c.bytes));
    }
    fresh = space;
    at += c.bytes;
  }
  return words;
}

bool is_ascii_punctuation(char32_t c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

// Articles are whole words by regex \b: a run of word characters.
std::string without_articles(const std::string& text) {
  std::string result, word;
  const auto flush = [&] {
    result += word == "a" || word == "an" || word == "the" ? " " : word;
    word.clear();
  };
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    const std::string_view bytes = std::string_view(text).substr(at, c.bytes);
    if (is_word(c.value)) {
      word += bytes;
    } else {
      flush();
      result += bytes;
    }
    at += c.bytes;
  }
  flush();
  return result;
}

}  // namespace

std::string normalize_answer(std::string_view text) {
  std::string lower, kept;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    if (!is_ascii_punctuation(c.value)) append_lower(lower, c.value);
    at += c.bytes;
  }
  for (const std::string& word : words_of(without_articles(lower)))
    kept += (kept.empty() ? "" : " ") + word;
  return kept;
}

double token_f1(std::string_view predicted, std::string_view gold) {
  const std::vector<std::string> left = words_of(normalize_answer(predicted));
  const std::vector<std::string> right = words_of(normalize_answer(gold));
  if (left.empty() || right.empty()) return left.empty() && right.empty() ? 1 : 0;
  std::map<std::string, int64_t> counts;
  for (const std::string& word : right) ++counts[word];
  int64_t common = 0;
  for (const std::string& word : left) common += counts[word]-- > 0;
  return 2.0 * static_cast<double>(common) / static_cast<double>(left.size() + right.size());
}

TaskOutput run_generation(const TaskInput& input) { return Generation(input).run(); }

}  // namespace gradus
