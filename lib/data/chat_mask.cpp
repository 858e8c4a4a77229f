// SPDX-License-Identifier: Apache-2.0
#include "data/chat_mask.h"

#include <algorithm>

namespace gradus {
namespace {

// The hull of a message's spans, as long as no other message's text lies between them.
std::optional<TextSpan> content_hull(const RenderedChat& chat, size_t message) {
  std::optional<TextSpan> hull;
  for (const auto& span : chat.contents) {
    if (span.message != message) {
      if (hull) break;
    } else if (hull) {
      hull->end = std::max(hull->end, span.text.end);
    } else {
      hull = span.text;
    }
  }
  return hull;
}

bool overlap(TextSpan a, TextSpan b) { return a.begin < b.end && b.begin < a.end; }

// One block per assistant turn is the rule; otherwise the block that shows the turn's content.
std::optional<TextSpan> generation_of(const RenderedChat& chat, const AssistantTurn& turn,
                                      size_t order, size_t count) {
  if (chat.generations.size() == count) return chat.generations[order];
  for (const auto& block : chat.generations) {
    if (turn.content && overlap(block, *turn.content)) return block;
  }
  return std::nullopt;
}

class Masker {
 public:
  Masker(const std::string& text, const Encoding& encoding, const Tokenizer& tokenizer,
         const std::string& eos_token)
      : text_(text), encoding_(encoding), tokenizer_(tokenizer), eos_token_(eos_token) {
    mask_.supervised.assign(encoding.ids.size(), false);
  }

  void add(const AssistantTurn& turn) {
    if (!turn.content && !turn.generation) return;
    ++mask_.turns_found;
    if (turn.content) mark(*turn.content);
    if (turn.generation) mark(*turn.generation);
    mask_.turns_ended += ends_inside(turn) || mark_end(end_of(turn));
  }
  ChatMask take() { return std::move(mask_); }

 private:
  static size_t end_of(const AssistantTurn& turn) {
    return std::max(turn.content ? turn.content->end : 0,
                    turn.generation ? turn.generation->end : 0);
  }

  // Index of the first token that ends behind `offset`. Spans are in text order, inserted tokens
  // (empty spans) do not occur because nothing is inserted.
  size_t first_behind(size_t offset) const {
    const auto& spans = encoding_.spans;
    return static_cast<size_t>(
        std::partition_point(spans.begin(), spans.end(),
                             [&](const ByteSpan& span) { return span.end <= offset; }) -
        spans.begin());
  }

  void mark(TextSpan part) {
    for (size_t i = first_behind(part.begin); i < size() && begin(i) < part.end; ++i)
      mask_.supervised[i] = true;
  }

  // The block of the turn itself closes with the end-of-turn token.
  bool ends_inside(const AssistantTurn& turn) const {
    if (!turn.generation) return false;
    const size_t from = turn.content ? turn.content->end : turn.generation->begin;
    size_t i = first_behind(turn.generation->end > 0 ? turn.generation->end - 1 : 0);
    while (i > 0 && i < size() && begin(i) >= from && is_space(i)) --i;
    return i < size() && begin(i) >= from && begin(i) < turn.generation->end && ends_turn(i);
  }

  bool mark_end(size_t offset) {
    size_t i = first_behind(offset);
    if (i < size() && begin(i) < offset) ++i;  // straddles the end, marked with the content
    const size_t from = i;
    while (i < size() && is_space(i) && !ends_turn(i)) ++i;
    if (i == size()) mask_.open_end = from;
    if (i == size() || !ends_turn(i)) return false;
    std::fill(mask_.supervised.begin() + static_cast<ptrdiff_t>(from),
              mask_.supervised.begin() + static_cast<ptrdiff_t>(i) + 1, true);
    return true;
  }

  // Some vocabularies hold their turn markers as added tokens that are not special: a marker is
  // also a single token spelled <…> or […] in the text.
  bool ends_turn(size_t i) const {
    if (tokenizer_.is_special(encoding_.ids[i])) return true;
    const std::string_view token = trimmed(i);
    if (!eos_token_.empty() && token == eos_token_) return true;
    const bool bracketed = token.size() > 2 && ((token.front() == '<' && token.back() == '>') ||
                                                (token.front() == '[' && token.back() == ']'));
    return bracketed && token == tokenizer_.id_to_token(encoding_.ids[i]);
  }

  std::string_view trimmed(size_t i) const {
    std::string_view token = token_text(i);
    const size_t first = token.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) return {};
    return token.substr(first, token.find_last_not_of(" \t\r\n") + 1 - first);
  }
  bool is_space(size_t i) const { return trimmed(i).empty(); }
  std::string_view token_text(size_t i) const {
    return std::string_view(text_).substr(begin(i), encoding_.spans[i].end - begin(i));
  }
  size_t begin(size_t i) const { return encoding_.spans[i].begin; }
  size_t size() const { return encoding_.ids.size(); }

  const std::string& text_;
  const Encoding& encoding_;
  const Tokenizer& tokenizer_;
  const std::string& eos_token_;
  ChatMask mask_;
};

}  // namespace

std::vector<AssistantTurn> assistant_turns(const Json& messages, const RenderedChat& chat,
                                           TrainOn train_on) {
  std::vector<AssistantTurn> turns;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].value("role", "") == "assistant")
      turns.push_back({.message = i, .content = content_hull(chat, i), .generation = {}});
  }
  for (size_t k = 0; k < turns.size(); ++k)
    turns[k].generation = generation_of(chat, turns[k], k, turns.size());
  if (train_on == TrainOn::kLastAssistant && turns.size() > 1)
    turns.erase(turns.begin(), turns.end() - 1);
  return turns;
}

ChatMask mask_turns(const std::vector<AssistantTurn>& turns, const std::string& text,
                    const Encoding& encoding, const Tokenizer& tokenizer,
                    const std::string& eos_token) {
  Masker masker(text, encoding, tokenizer, eos_token);
  for (const auto& turn : turns) masker.add(turn);
  return masker.take();
}

}  // namespace gradus
