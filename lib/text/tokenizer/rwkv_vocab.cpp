// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/rwkv_vocab.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "text/tokenizer/added_tokens.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr size_t kMaxTokenBytes = 1 << 12;
constexpr int64_t kMaxId = 1 << 20;
constexpr const char* kEndOfText = "<|endoftext|>";

int hex_value(std::string_view digits) {
  int value = -1;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return parsed.ptr == digits.data() + digits.size() && !digits.empty() ? value : -1;
}

// The bytes of a Python literal: 'text', "text", b'bytes', with its escapes.
std::optional<std::string> read_literal(std::string_view literal) {
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

class RwkvTokenizer : public Tokenizer {
 public:
  RwkvTokenizer(std::string_view text, const std::string& where) {
    for (size_t line = 1; !text.empty(); ++line) {
      const std::string_view row = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), row.size() + 1));
      if (row.find_first_not_of(" \r") != std::string_view::npos)
        add_line(row, cat(where, ":", line));
    }
    if (tokens_.empty()) throw Error({.what = "vocabulary is empty", .where = where});
  }

  std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const override {
    return encode_with_spans(text, special).ids;
  }
  Encoding encode_with_spans(std::string_view text, SpecialTokens) const override;

  std::string decode(const std::vector<TokenId>& ids, DecodeSpecial special) const override {
    std::string out;
    for (const TokenId id : ids) {
      if (id == 0 && special == DecodeSpecial::kKeep) out += kEndOfText;
      out += token_bytes(id);
    }
    return utf8_lossy(out);
  }
  std::string token_bytes(TokenId id) const override {
    return id > 0 && has_token(id) ? tokens_[static_cast<size_t>(id)] : std::string();
  }
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }
  std::optional<TokenId> token_to_id(std::string_view token) const override {
    if (token == kEndOfText) return 0;
    const auto hit = finder_.next(token, 0);
    const bool whole = hit && hit->begin == 0 && hit->end == token.size();
    return whole ? std::optional<TokenId>(hit->id) : std::nullopt;
  }
  std::string id_to_token(TokenId id) const override {
    if (id == 0) return kEndOfText;
    if (has_token(id)) return utf8_lossy(tokens_[static_cast<size_t>(id)]);
    throw Error({.what = cat("no token has id ", id), .expected = cat("0 to ", vocab_size() - 1)});
  }
  bool has_token(TokenId id) const override {
    return id == 0 || (id > 0 && id < vocab_size() && !tokens_[static_cast<size_t>(id)].empty());
  }
  bool is_special(TokenId id) const override { return id == 0; }

 private:
  void add_line(std::string_view row, const std::string& where);

  std::vector<std::string> tokens_;  // by id; "" where there is none
  StringFinder finder_;
};

void RwkvTokenizer::add_line(std::string_view row, const std::string& where) {
  while (row.ends_with('\r') || row.ends_with(' ')) row.remove_suffix(1);
  const size_t first = row.find(' '), last = row.rfind(' ');
  int64_t id = -1;
  size_t bytes = 0;
  std::optional<std::string> token;
  if (first < last && last != std::string_view::npos) {
    std::from_chars(row.data(), row.data() + first, id);
    std::from_chars(row.data() + last + 1, row.data() + row.size(), bytes);
    token = read_literal(row.substr(first + 1, last - first - 1));
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

Encoding RwkvTokenizer::encode_with_spans(std::string_view text, SpecialTokens) const {
  if (const auto bad = find_invalid_utf8(text))
    throw Error({.what = "text is not valid UTF-8", .where = cat("byte ", *bad)});
  const auto inside = [&](size_t at) { return at < text.size() && (text[at] & 0xC0) == 0x80; };
  Encoding out;
  for (size_t at = 0; at < text.size();) {
    const auto hit = finder_.next(text, at);
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
  return out;
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_rwkv(std::string_view vocabulary,
                                               const std::string& where) {
  return std::make_unique<RwkvTokenizer>(vocabulary, where);
}

}  // namespace gradus
