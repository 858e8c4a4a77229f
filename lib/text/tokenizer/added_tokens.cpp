// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr size_t kMaxContentBytes = 1 << 12;

AddedToken read_token(const Json& entry, const std::string& where) {
  AddedToken token{.id = 0,
                   .content = json_get<std::string>(entry, "content", where),
                   .single_word = json_get<bool>(entry, "single_word", where),
                   .lstrip = json_get<bool>(entry, "lstrip", where),
                   .rstrip = json_get<bool>(entry, "rstrip", where),
                   .normalized = json_get<bool>(entry, "normalized", where),
                   .special = json_get<bool>(entry, "special", where)};
  const int64_t id = json_get<int64_t>(entry, "id", where);
  if (id < 0 || id > INT32_MAX / 2)
    throw Error({.what = "token id is out of range", .where = where, .found = cat(id)});
  if (token.content.size() > kMaxContentBytes)
    throw Error({.what = "added token is too long",
                 .where = where,
                 .expected = cat("at most ", kMaxContentBytes, " bytes")});
  token.id = static_cast<TokenId>(id);
  return token;
}

bool same(const AddedToken& a, const AddedToken& b) {
  return a.content == b.content && a.single_word == b.single_word && a.lstrip == b.lstrip &&
         a.rstrip == b.rstrip && a.normalized == b.normalized && a.special == b.special;
}

std::string normal_form(const std::string& content, const Normalizer& normalizer) {
  AlignedText text(content, 0, Tracking::kOff);
  normalizer(text);
  return std::string(text.view());
}

size_t skip_space_left(std::string_view text, size_t end, size_t limit) {
  while (end > limit) {
    const CodePoint c = decode_utf8_before(text, end);
    if (!is_white_space(c.value)) break;
    end -= c.bytes;
  }
  return std::max(end, limit);
}

size_t skip_space_right(std::string_view text, size_t at) {
  while (at < text.size()) {
    const CodePoint c = decode_utf8(text, at);
    if (!is_white_space(c.value)) break;
    at += c.bytes;
  }
  return at;
}

}  // namespace

bool is_control(const AddedToken& token) {
  const std::string& text = token.content;
  const bool bracketed = text.size() > 2 && ((text.front() == '<' && text.back() == '>') ||
                                             (text.front() == '[' && text.back() == ']'));
  return token.special || bracketed;
}

bool touches(const std::vector<ByteSpan>& spans, size_t begin, size_t end) {
  const auto span = std::partition_point(spans.begin(), spans.end(),
                                         [&](const ByteSpan& part) { return part.end <= begin; });
  return span != spans.end() && span->begin < end;
}

uint32_t StringFinder::child_of(uint32_t node, char byte) const {
  if (node == 0) return first_[static_cast<unsigned char>(byte)];
  uint32_t child = nodes_[node].child;
  while (child != 0 && nodes_[child].byte != byte) child = nodes_[child].sibling;
  return child;
}

bool StringFinder::add(std::string_view text, TokenId id) {
  if (text.empty()) return false;
  uint32_t node = 0;
  for (const char byte : text) {
    uint32_t child = child_of(node, byte);
    if (child == 0) {
      child = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({.sibling = nodes_[node].child, .byte = byte});
      nodes_[node].child = child;
      if (node == 0) first_[static_cast<unsigned char>(byte)] = child;
    }
    node = child;
  }
  TokenId& held = nodes_[node].id;
  const bool is_new = held < 0;
  held = is_new ? id : std::min(held, id);
  return is_new;
}

std::optional<StringFinder::Hit> StringFinder::next(std::string_view text, size_t from) const {
  if (empty()) return std::nullopt;
  for (size_t begin = from; begin < text.size(); ++begin) {
    uint32_t node = first_[static_cast<unsigned char>(text[begin])];
    std::optional<Hit> longest;
    for (size_t end = begin + 1; node != 0; ++end) {
      if (nodes_[node].id >= 0) longest = {begin, end, nodes_[node].id};
      if (end >= text.size()) break;
      node = child_of(node, text[end]);
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

void AddedTokens::add(AddedToken token, const Normalizer& normalizer) {
  if (token.normalized && normalizer) {
    std::string form = normal_form(token.content, normalizer);
    if (form != token.content) normal_forms_[token.id] = std::move(form);
  }
  ids_[token.content] = token.id;
  if (token.special) special_.insert(token.content);
  end_id_ = std::max(end_id_, token.id + 1);
  tokens_.insert_or_assign(token.id, std::move(token));
}

void AddedTokens::read(const Json& list, const Vocab& vocab, const Normalizer& normalizer,
                       const std::string& where) {
  if (!list.is_array())
    throw Error({.what = "added tokens have the wrong type", .where = where, .expected = "a list"});
  auto next = static_cast<int64_t>(vocab.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string place = cat(where, "[", i, "]");
    AddedToken token = read_token(list[i], place);
    if (token.content.empty()) continue;
    const TokenId wanted = token.id;
    const TokenId known =
        find(token.content) >= 0 ? find(token.content) : vocab.find(token.content);
    token.id = known;
    if (const AddedToken* old = find(known); old && same(*old, token)) continue;
    // `tokenizers` counts on from the number of tokens, into the ids that a vocabulary with holes
    // has behind it.
    if (known < 0) token.id = static_cast<TokenId>(next++);
    if (token.id != wanted) {
      log_warning("tokenizer", cat(place, ": added token '", printable(token.content), "' has id ",
                                   token.id, ", the file says ", wanted));
    }
    add(std::move(token), normalizer);
  }
  build_finders();
}

void AddedTokens::build_finders() {
  for (const auto& [id, token] : tokens_) {
    if (token.normalized)
      normalized_.add(decoded_text(token), id);
    else
      raw_.add(token.content, id);
  }
}

const AddedToken* AddedTokens::find(TokenId id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : &found->second;
}

TokenId AddedTokens::find(std::string_view content) const {
  const auto found = ids_.find(std::string(content));
  return found == ids_.end() ? -1 : found->second;
}

const std::string& AddedTokens::decoded_text(const AddedToken& token) const {
  const auto form = normal_forms_.find(token.id);
  return form == normal_forms_.end() ? token.content : form->second;
}

bool AddedTokens::is_whole_word(std::string_view text, const StringFinder::Hit& hit) const {
  if (hit.begin > 0 && is_word(decode_utf8_before(text, hit.begin).value)) return false;
  return hit.end == text.size() || !is_word(decode_utf8(text, hit.end).value);
}

std::vector<AddedSplit> AddedTokens::split(std::string_view text, const StringFinder& finder,
                                           const Refuse& refuse) const {
  std::vector<AddedSplit> parts;
  size_t done = 0, from = 0;
  while (const auto hit = finder.next(text, from)) {
    const AddedToken& token = tokens_.at(hit->id);
    if (refuse && is_control(token) && refuse(hit->begin, hit->end)) {
      from = hit->begin + 1;
      continue;
    }
    from = hit->end;
    if (token.single_word && !is_whole_word(text, *hit)) continue;
    // Space that the token before took already stays with it.
    const size_t begin =
        token.lstrip ? std::max(done, skip_space_left(text, hit->begin, 0)) : hit->begin;
    const size_t end = token.rstrip ? skip_space_right(text, hit->end) : hit->end;
    if (begin >= end) continue;  // the token before took all of it
    if (done < begin) parts.push_back({done, begin, -1});
    parts.push_back({begin, end, hit->id});
    done = end;
  }
  if (done < text.size()) parts.push_back({done, text.size(), -1});
  return parts;
}

}  // namespace gradus
