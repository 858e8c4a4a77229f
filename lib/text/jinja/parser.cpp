// SPDX-License-Identifier: Apache-2.0
// Statements. Expressions are in expression_parser.cpp.
#include "text/jinja/parser.h"

#include <algorithm>

#include "base/error.h"
#include "text/jinja/expression_parser.h"

namespace gradus::jinja {
namespace {

using EndTags = std::initializer_list<std::string_view>;

class Parser : ExpressionParser {
 public:
  Parser(const Source& source, Program& program) : ExpressionParser(source, program) {}

  void run() {
    program_.body = parse_body({});
    if (current().kind != TokenKind::kEnd) fail("Unexpected end of template.");
  }

 private:
  using StmtPtr = std::unique_ptr<Stmt>;
  using Rule = StmtPtr (Parser::*)(size_t offset);

  struct Tag {
    std::string_view name;
    Rule rule;
  };

  static StmtPtr statement(StmtKind kind, size_t offset) {
    auto node = std::make_unique<Stmt>();
    node->kind = kind;
    node->offset = offset;
    return node;
  }

  static std::string listed(EndTags tags) {
    std::string out;
    for (const std::string_view tag : tags) out += cat(out.empty() ? "'" : " or '", tag, "'");
    return out;
  }

  // Statements up to one of the end tags, which becomes the current token.
  Body parse_body(EndTags ends) {
    const Level level(*this);
    Body body;
    while (current().kind != TokenKind::kEnd) {
      if (current().kind == TokenKind::kData) {
        const Token token = next();
        body.push_back(statement(StmtKind::kText, token.offset));
        body.back()->text = token.text;
      } else if (current().kind == TokenKind::kVariableBegin) {
        body.push_back(statement(StmtKind::kOutput, next().offset));
        body.back()->exprs.push_back(parse_tuple());
        expect(TokenKind::kVariableEnd);
      } else {
        expect(TokenKind::kBlockBegin);
        const auto ended = [&](std::string_view tag) { return at_name(tag); };
        if (std::any_of(ends.begin(), ends.end(), ended)) return body;
        body.push_back(parse_statement(ends));
        expect(TokenKind::kBlockEnd);
      }
    }
    if (ends.size() > 0) {
      fail(cat("Unexpected end of template. Jinja was looking for the following tags: ",
               listed(ends)));
    }
    return body;
  }

  // The body of a block tag: from the rest of the tag to one of the end tags.
  Body parse_block(EndTags ends) {
    skip_operator(":");
    expect(TokenKind::kBlockEnd);
    return parse_body(ends);
  }

  Body parse_whole_block(std::string_view end) {
    Body body = parse_block({end});
    next();
    return body;
  }

  StmtPtr parse_statement(EndTags ends) {
    static constexpr Tag kTags[] = {
        {"for", &Parser::parse_for},
        {"if", &Parser::parse_if},
        {"set", &Parser::parse_set},
        {"macro", &Parser::parse_macro},
        {"call", &Parser::parse_call_block},
        {"filter", &Parser::parse_filter_block},
        {"with", &Parser::parse_with},
        {"generation", &Parser::parse_generation},
        {"print", &Parser::parse_print},
        {"break", &Parser::parse_break},
        {"continue", &Parser::parse_continue},
        {"block", &Parser::parse_named_block},
        {"autoescape", &Parser::parse_autoescape},
        {"include", &Parser::parse_refused},
        {"import", &Parser::parse_refused},
        {"from", &Parser::parse_refused},
        {"extends", &Parser::parse_refused},
    };
    if (current().kind != TokenKind::kName) fail("tag name expected");
    for (const Tag& tag : kTags) {
      if (!at_name(tag.name)) continue;
      const size_t offset = current().offset;
      return (this->*tag.rule)(offset);
    }
    const std::string unknown = cat("Encountered unknown tag '", current().text, "'.");
    if (ends.size() == 0) fail(unknown);
    fail(cat(unknown, " Jinja was looking for the following tags: ", listed(ends)));
  }

  StmtPtr parse_for(size_t offset) {
    next();
    StmtPtr node = statement(StmtKind::kFor, offset);
    node->exprs.push_back(parse_target("in", false));
    if (!skip_name("in")) fail(cat("expected token 'in', got '", describe(current()), "'"));
    node->exprs.push_back(parse_tuple(Conditions::kExcluded, "recursive"));
    node->exprs.push_back(skip_name("if") ? parse_expression() : nullptr);
    node->recursive = skip_name("recursive");
    node->body = parse_block({"endfor", "else"});
    if (next().text == "else") node->otherwise = parse_whole_block("endfor");
    return node;
  }

  StmtPtr parse_if(size_t offset) {
    next();
    StmtPtr node = statement(StmtKind::kIf, offset);
    while (true) {
      Branch branch;
      branch.test = parse_tuple(Conditions::kExcluded);
      branch.body = parse_block({"elif", "else", "endif"});
      node->branches.push_back(std::move(branch));
      const Token tag = next();
      if (tag.text == "elif") continue;
      if (tag.text == "else") node->otherwise = parse_whole_block("endif");
      return node;
    }
  }

  StmtPtr parse_set(size_t offset) {
    next();
    ExprPtr target = parse_target({}, true);
    if (skip_operator("=")) {
      StmtPtr node = statement(StmtKind::kSet, offset);
      node->exprs.push_back(std::move(target));
      node->exprs.push_back(parse_tuple());
      return node;
    }
    StmtPtr node = statement(StmtKind::kSetBlock, offset);
    node->exprs.push_back(std::move(target));
    node->exprs.push_back(parse_filters(nullptr, false));
    node->body = parse_whole_block("endset");
    return node;
  }

  void parse_signature(Signature& signature) {
    expect_operator("(");
    while (!at_operator(")")) {
      if (!signature.parameters.empty()) expect_operator(",");
      const Token name = expect_name();
      if (skip_operator("=")) {
        signature.defaults.push_back(parse_expression());
      } else if (!signature.defaults.empty()) {
        fail("non-default argument follows default argument");
      }
      signature.parameters.emplace_back(program_.names.id(name.text), name.text);
    }
    expect_operator(")");
  }

  StmtPtr parse_macro(size_t offset) {
    next();
    StmtPtr node = statement(StmtKind::kMacro, offset);
    node->text = expect_name().text;
    node->id = program_.names.id(node->text);
    parse_signature(node->signature);
    node->body = parse_whole_block("endmacro");
    return node;
  }

  StmtPtr parse_call_block(size_t offset) {
    next();
    StmtPtr node = statement(StmtKind::kCallBlock, offset);
    node->text = "caller";
    if (at_operator("(")) parse_signature(node->signature);
    node->exprs.push_back(parse_expression());
    if (node->exprs[0]->kind != ExprKind::kCall) source_.fail(offset, "expected call");
    node->body = parse_whole_block("endcall");
    return node;
  }

  StmtPtr parse_filter_block(size_t offset) {
    next();
    StmtPtr node = statement(StmtKind::kFilterBlock, offset);
    node->exprs.push_back(parse_filters(nullptr, true));
    node->body = parse_whole_block("endfilter");
    return node;
  }

  StmtPtr parse_generation(size_t offset) {
    next();
    StmtPtr node = statement(StmtKind::kGeneration, offset);
    node->body = parse_whole_block("endgeneration");
    return node;
  }

  StmtPtr parse_with(size_t offset) {
    next();
    StmtPtr node = statement(StmtKind::kWith, offset);
    while (current().kind != TokenKind::kBlockEnd) {
      if (!node->exprs.empty()) expect_operator(",");
      node->exprs.push_back(parse_target({}, false));
      expect_operator("=");
      node->exprs.push_back(parse_expression());
    }
    node->body = parse_whole_block("endwith");
    return node;
  }

  StmtPtr parse_print(size_t offset) {
    next();
    StmtPtr node = statement(StmtKind::kOutput, offset);
    while (current().kind != TokenKind::kBlockEnd) {
      if (!node->exprs.empty()) expect_operator(",");
      node->exprs.push_back(parse_expression());
    }
    return node;
  }

  StmtPtr parse_break(size_t offset) {
    next();
    return statement(StmtKind::kBreak, offset);
  }

  StmtPtr parse_continue(size_t offset) {
    next();
    return statement(StmtKind::kContinue, offset);
  }

  StmtPtr parse_named_block(size_t offset) {
    next();
    StmtPtr node = statement(StmtKind::kScope, offset);
    const std::string name = expect_name().text;
    skip_name("scoped");
    if (at_name("required")) fail("required blocks are not supported: there is no inheritance");
    node->body = parse_whole_block("endblock");
    skip_name(name);
    return node;
  }

  StmtPtr parse_autoescape(size_t offset) {
    next();
    StmtPtr node = statement(StmtKind::kScope, offset);
    const ExprPtr setting = parse_expression();
    if (setting->kind != ExprKind::kConstant || truthy(setting->constant)) {
      source_.fail(offset, "only autoescape false is supported");
    }
    node->body = parse_whole_block("endautoescape");
    return node;
  }

  // Other templates do not exist here. Jinja, too, notices only when the tag is reached.
  StmtPtr parse_refused(size_t offset) {
    StmtPtr node = statement(StmtKind::kRefused, offset);
    node->text = next().text;
    while (current().kind != TokenKind::kBlockEnd && current().kind != TokenKind::kEnd) next();
    return node;
  }
};

}  // namespace

Program parse(const Source& source) {
  Program program;
  Parser(source, program).run();
  check(program, source);
  return program;
}

}  // namespace gradus::jinja
