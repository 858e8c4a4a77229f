// SPDX-License-Identifier: Apache-2.0
// Tokens of a template, with trim_blocks and lstrip_blocks on as transformers sets them. Follows
// jinja2/lexer.py: newlines become \n, one trailing newline is dropped, - and + in tags control
// whitespace, raw blocks become data and comments vanish.
#pragma once

#include <string>
#include <vector>

#include "text/jinja/value.h"

namespace gradus::jinja {

inline constexpr size_t kMaxTemplateBytes = size_t{4} << 20;

// Names errors: the template and the place in it.
class Source {
 public:
  // Normalises newlines; throws gradus::Error when the text is too long or not UTF-8.
  Source(const std::string& text, std::string where);

  const std::string& text() const { return text_; }
  // "where:line:column", both from 1, the column in code points.
  std::string place(size_t offset) const;
  [[noreturn]] void fail(size_t offset, const std::string& what) const;  // a syntax error

 private:
  std::string text_;
  std::string where_;
};

enum class TokenKind : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  size_t offset = 0;
  std::string text = {};  // data, name, string content or operator
  Int integer = 0;
  double real = 0;
};

// The last token is kEnd.
std::vector<Token> tokenize(const Source& source);

}  // namespace gradus::jinja
