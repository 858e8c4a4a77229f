// SPDX-License-Identifier: Apache-2.0
// The token stream and node construction that both halves of the parser share.
#pragma once

#include <initializer_list>
#include <string_view>

#include "text/jinja/parser.h"

namespace gradus::jinja {

class ParserBase {
 protected:
  ParserBase(const Source& source, Program& program)
      : source_(source), program_(program), tokens_(tokenize(source)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token next();
  bool at_operator(std::string_view text) const;
  bool at_name(std::string_view text) const;
  bool skip_operator(std::string_view text);
  bool skip_name(std::string_view text);
  Token expect_operator(std::string_view text);
  Token expect_name();
  void expect(TokenKind kind);
  [[noreturn]] void fail(const std::string& what) const { source_.fail(current().offset, what); }

  // Nested calls of the parser; refuses trees that the evaluator could not walk.
  class Level {
   public:
    explicit Level(ParserBase& parser) : parser_(parser) {
      if (++parser_.level_ > kMaxTreeDepth) parser_.fail("the template is nested too deeply");
    }
    ~Level() { --parser_.level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    ParserBase& parser_;
  };

  ExprPtr make(ExprKind kind, size_t offset) const;
  void adopt(Expr& parent, ExprPtr child) const;  // may be null

  const Source& source_;
  Program& program_;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  uint32_t level_ = 0;
};

// "end of statement block", "%}", a name…, as Jinja describes tokens in its messages.
std::string describe(const Token& token);

}  // namespace gradus::jinja
