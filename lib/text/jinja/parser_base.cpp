// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/parser_base.h"

#include <algorithm>

#include "base/error.h"

namespace gradus::jinja {

NameId Names::id(const std::string& name) {
  const auto [entry, added] = ids_.emplace(name, static_cast<NameId>(names_.size()));
  if (added) names_.push_back(name);
  return entry->second;
}

NameId Names::find(const std::string& name) const {
  const auto found = ids_.find(name);
  return found == ids_.end() ? -1 : found->second;
}

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "template data / text";
    case TokenKind::kVariableBegin:
      return "begin of print statement";
    case TokenKind::kVariableEnd:
      return "end of print statement";
    case TokenKind::kBlockBegin:
      return "begin of statement block";
    case TokenKind::kBlockEnd:
      return "end of statement block";
    case TokenKind::kString:
      return "string";
    case TokenKind::kInteger:
      return "integer";
    case TokenKind::kFloat:
      return "float";
    case TokenKind::kEnd:
      return "end of template";
    default:
      return token.text;
  }
}

Token ParserBase::next() {
  const Token token = current();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool ParserBase::at_operator(std::string_view text) const {
  return current().kind == TokenKind::kOperator && current().text == text;
}

bool ParserBase::at_name(std::string_view text) const {
  return current().kind == TokenKind::kName && current().text == text;
}

bool ParserBase::skip_operator(std::string_view text) {
  const bool found = at_operator(text);
  if (found) next();
  return found;
}

bool ParserBase::skip_name(std::string_view text) {
  const bool found = at_name(text);
  if (found) next();
  return found;
}

Token ParserBase::expect_operator(std::string_view text) {
  if (!at_operator(text)) fail(cat("expected token '", text, "', got '", describe(current()), "'"));
  return next();
}

Token ParserBase::expect_name() {
  if (current().kind != TokenKind::kName) {
    fail(cat("expected token 'name', got '", describe(current()), "'"));
  }
  return next();
}

void ParserBase::expect(TokenKind kind) {
  if (current().kind != kind) {
    const std::string wanted = describe(Token{.kind = kind});
    fail(cat("expected token '", wanted, "', got '", describe(current()), "'"));
  }
  next();
}

ExprPtr ParserBase::make(ExprKind kind, size_t offset) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->offset = offset;
  return node;
}

void ParserBase::adopt(Expr& parent, ExprPtr child) const {
  if (child != nullptr) {
    parent.depth = std::max(parent.depth, child->depth + 1);
    if (parent.depth > kMaxTreeDepth) {
      source_.fail(parent.offset, "the expression is nested too deeply");
    }
  }
  parent.children.push_back(std::move(child));
}

}  // namespace gradus::jinja
