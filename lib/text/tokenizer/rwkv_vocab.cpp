// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/rwkv_vocab.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/error.h"
#include "text/tokenizer/added_tokens.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr size_t kMaxTokenBytes = 1 << 12;
constexpr int64_t kMaxId = 1 << 20;
constexpr const char* kAddedKey = "added_tokens_decoder";

int hex_value(std::string_view digits) {
  int value = -1;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return parsed.ptr == digits.data() + digits.size() && !digits.empty() ? value : -1;
}

// "added_tokens_decoder": {"0": {"content": "<|rwkv_tokenizer_end_of_text|>", …}, …}.
std::map<TokenId, AddedToken> read_added(const Json& config) {
  const std::string where = cat("tokenizer_config.json: ", kAddedKey);
  const Json none = Json::object();
  const Json& listed =
      config.is_object() && config.contains(kAddedKey) ? config.at(kAddedKey) : none;
  if (!listed.is_object()) throw Error({.what = "is not an object", .where = where});
  std::map<TokenId, AddedToken> added;
  for (const auto& [key, entry] : listed.items()) {
    int64_t id = -1;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), id);
    if (parsed.ec != std::errc() || parsed.ptr != key.data() + key.size() || id < 0 || id > kMaxId)
      throw Error({.what = "token id is not a number that a vocabulary can have",
                   .where = where,
                   .found = printable(key, 60)});
    AddedToken token{.id = static_cast<TokenId>(id),
                     .content = json_get<std::string>(entry, "content", where),
                     .special = json_get<bool>(entry, "special", true, where)};
    for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
      if (json_get<bool>(entry, flag, false, where))
        throw Error({.what = cat("token ", id, " has the flag '", flag, "', which RWKV has not"),
                     .where = where});
    }
    if (token.content.empty() || token.content.size() > kMaxTokenBytes)
      throw Error({.what = cat("token ", id, " is empty or too long"), .where = where});
    added.emplace(token.id, std::move(token));
  }
  return added;
}

class RwkvTokenizer : public Tokenizer {
 public:
  RwkvTokenizer(std::string_view text, const Json& config, const std::string& where)
      : added_(read_added(config)) {
    for (size_t line = 1; !text.empty(); ++line) {
      const std::string_view row = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), row.size() + 1));
      if (row.find_first_not_of(" \r") != std::string_view::npos)
        add_line(row, cat(where, ":", line));
    }
    if (tokens_.empty()) throw Error({.what = "vocabulary is empty", .where = where});
    for (const auto& [id, token] : added_) {
      if (!added_finder_.add(token.content, id))
        throw Error({.what = cat("token ", id, " is written like another one"),
                     .where = cat("tokenizer_config.json: ", kAddedKey)});
    }
  }

  std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const override {
    return encode_with_spans(text, special).ids;
  }
  Encoding encode_with_spans(std::string_view text, SpecialTokens) const override {
    return encode_guarded(text, {});
  }
  Encoding encode_guarded(std::string_view text, const std::vector<ByteSpan>& data) const override;

  std::string decode(const std::vector<TokenId>& ids, DecodeSpecial special) const override {
    std::string out;
    for (const TokenId id : ids) {
      if (!is_special(id)) {
        out += token_bytes(id);
      } else if (special == DecodeSpecial::kKeep) {
        out += id_to_token(id);
      }
    }
    return utf8_lossy(out);
  }
  std::string token_bytes(TokenId id) const override {
    const auto added = added_.find(id);
    if (added != added_.end()) return added->second.content;
    return id > 0 && has_token(id) ? tokens_[static_cast<size_t>(id)] : std::string();
  }
  int64_t vocab_size() const override {
    const int64_t end = added_.empty() ? 0 : added_.rbegin()->first + 1;
    return std::max(static_cast<int64_t>(tokens_.size()), end);
  }
  std::optional<TokenId> token_to_id(std::string_view token) const override;
  std::string id_to_token(TokenId id) const override {
    if (const auto added = added_.find(id); added != added_.end()) return added->second.content;
    if (id == 0) return kRwkvEndOfText;
    if (has_token(id)) return utf8_lossy(tokens_[static_cast<size_t>(id)]);
    throw Error({.what = cat("no token has id ", id), .expected = cat("0 to ", vocab_size() - 1)});
  }
  bool has_token(TokenId id) const override {
    if (id == 0 || added_.contains(id)) return true;
    const bool listed = id > 0 && static_cast<size_t>(id) < tokens_.size();
    return listed && !tokens_[static_cast<size_t>(id)].empty();
  }
  bool is_special(TokenId id) const override {
    const auto added = added_.find(id);
    return added == added_.end() ? id == 0 : added->second.special;
  }

 private:
  void add_line(std::string_view row, const std::string& where);
  void encode_part(std::string_view text, ByteSpan part, Encoding& out) const;

  std::vector<std::string> tokens_;  // by id; "" where there is none
  StringFinder finder_;
  std::map<TokenId, AddedToken> added_;
  StringFinder added_finder_;
};

std::optional<TokenId> RwkvTokenizer::token_to_id(std::string_view token) const {
  const auto whole = [&](const StringFinder& finder) -> std::optional<TokenId> {
    if (finder.empty()) return std::nullopt;
    const auto hit = finder.next(token, 0);
    const bool all = hit && hit->begin == 0 && hit->end == token.size();
    return all ? std::optional<TokenId>(hit->id) : std::nullopt;
  };
  if (const auto added = whole(added_finder_)) return added;
  return token == kRwkvEndOfText && !added_.contains(0) ? std::optional<TokenId>(0)
                                                        : whole(finder_);
}

void RwkvTokenizer::add_line(std::string_view row, const std::string& where) {
  while (row.ends_with('\r') || row.ends_with(' ')) row.remove_suffix(1);
  const size_t first = row.find(' '), last = row.rfind(' ');
  int64_t id = -1;
  size_t bytes = 0;
  std::optional<std::string> token;
  if (first < last && last != std::string_view::npos) {
    std::from_chars(row.data(), row.data() + first, id);
    std::from_chars(row.data() + last + 1, row.data() + row.size(), bytes);
    token = read_python_literal(row.substr(first + 1, last - first - 1));
  }
  if (!token || id < 1 || id > kMaxId || token->size() != bytes || bytes > kMaxTokenBytes)
    throw Error({.what = "line is not an id, a Python string and its number of bytes",
                 .where = where,
                 .found = printable(row, 60)});
  if (static_cast<size_t>(id) >= tokens_.size()) tokens_.resize(static_cast<size_t>(id) + 1);
  if (!tokens_[static_cast<size_t>(id)].empty())
    throw Error({.what = cat("id ", id, " belongs to two tokens"), .where = where});
  if (!finder_.add(*token, static_cast<TokenId>(id)))
    throw Error({.what = "token is empty or there twice", .where = where});
  tokens_[static_cast<size_t>(id)] = std::move(*token);
}

// Cuts text[part] into the longest tokens.
void RwkvTokenizer::encode_part(std::string_view text, ByteSpan part, Encoding& out) const {
  const auto inside = [&](size_t at) { return at < text.size() && (text[at] & 0xC0) == 0x80; };
  const std::string_view visible = text.substr(0, part.end);
  for (size_t at = part.begin; at < part.end;) {
    const auto hit = finder_.next(visible, at);
    if (!hit || hit->begin != at)
      throw Error(
          {.what = cat("no token begins with byte ", int(static_cast<unsigned char>(text[at]))),
           .where = cat("byte ", at)});
    size_t begin = at, end = hit->end;
    while (inside(begin)) --begin;
    while (inside(end)) ++end;
    out.ids.push_back(hit->id);
    out.spans.push_back({begin, end});
    at = hit->end;
  }
}

Encoding RwkvTokenizer::encode_guarded(std::string_view text,
                                       const std::vector<ByteSpan>& data) const {
  if (const auto bad = find_invalid_utf8(text))
    throw Error({.what = "text is not valid UTF-8", .where = cat("byte ", *bad)});
  Encoding out;
  size_t done = 0, from = 0;
  while (!added_finder_.empty()) {
    const auto hit = added_finder_.next(text, from);
    if (!hit) break;
    from = hit->begin + 1;
    if (is_control(added_.at(hit->id)) && touches(data, hit->begin, hit->end)) continue;
    encode_part(text, {done, hit->begin}, out);
    out.ids.push_back(hit->id);
    out.spans.push_back({hit->begin, hit->end});
    done = from = hit->end;
  }
  encode_part(text, {done, text.size()}, out);
  return out;
}

}  // namespace

std::optional<fs::path> find_rwkv_vocabulary(const fs::path& folder) {
  std::optional<fs::path> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("rwkv_vocab_") && name.ends_with(".txt") &&
        (!found || entry.path() < *found))
      found = entry.path();
  }
  return found;
}

std::optional<std::string> read_python_literal(std::string_view literal) {
  const bool bytes = literal.starts_with('b');
  if (bytes) literal.remove_prefix(1);
  if (literal.size() < 2 || literal.front() != literal.back() ||
      (literal.front() != '\'' && literal.front() != '"'))
    return std::nullopt;
  literal = literal.substr(1, literal.size() - 2);
  std::string out;
  for (size_t at = 0; at < literal.size(); ++at) {
    if (literal[at] != '\\') {
      out += literal[at];
      continue;
    }
    if (++at == literal.size()) return std::nullopt;
    constexpr std::string_view kNames = "ntrabfv0\\'\"", kValues("\n\t\r\a\b\f\v\0\\'\"", 11);
    if (const size_t name = kNames.find(literal[at]); name != std::string_view::npos) {
      out += kValues[name];
      continue;
    }
    const size_t digits = literal[at] == 'x'   ? 2
                          : literal[at] == 'u' ? 4
                          : literal[at] == 'U' ? 8
                                               : 0;
    const int value = at + digits < literal.size() ? hex_value(literal.substr(at + 1, digits)) : -1;
    if (digits == 0 || value < 0 || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
      return std::nullopt;
    if (bytes && digits == 2)
      out += static_cast<char>(value);
    else
      append_utf8(out, static_cast<char32_t>(value));
    at += digits;
  }
  return out;
}

std::string python_literal(std::string_view bytes) {
  const bool single = bytes.find('\'') == bytes.npos || bytes.find('"') != bytes.npos;
  const char quote = single ? '\'' : '"';
  std::string out = std::string("b") + quote;
  for (const char byte : bytes) {
    constexpr std::string_view kHex = "0123456789abcdef", kNames = "\t\n\r", kLetters = "tnr";
    const auto value = static_cast<unsigned char>(byte);
    if (const size_t name = kNames.find(byte); name != kNames.npos)
      out += {'\\', kLetters[name]};
    else if (byte == '\\' || byte == quote)
      out += {'\\', byte};
    else if (value < 0x20 || value >= 0x7f)
      out += {'\\', 'x', kHex[value >> 4], kHex[value & 15]};
    else
      out += byte;
  }
  return out + quote;
}

std::unique_ptr<Tokenizer> tokenizer_from_rwkv(std::string_view vocabulary, const Json& config,
                                               const std::string& where) {
  return std::make_unique<RwkvTokenizer>(vocabulary, config, where);
}

}  // namespace gradus
