// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/expression_parser.h"

#include <algorithm>

#include "base/error.h"

namespace gradus::jinja {
namespace {

struct OperatorName {
  std::string_view text;
  Operator op;
};

constexpr OperatorName kComparisons[] = {
    {"==", Operator::kEqual},     {"!=", Operator::kNotEqual}, {"<", Operator::kLess},
    {"<=", Operator::kLessEqual}, {">", Operator::kGreater},   {">=", Operator::kGreaterEqual},
};
constexpr OperatorName kSums[] = {{"+", Operator::kAdd}, {"-", Operator::kSubtract}};
constexpr OperatorName kProducts[] = {{"*", Operator::kMultiply},
                                      {"/", Operator::kDivide},
                                      {"//", Operator::kFloorDivide},
                                      {"%", Operator::kModulo}};

template <class Table>
const OperatorName* find_operator(const Table& table, const Token& token) {
  if (token.kind != TokenKind::kOperator) return nullptr;
  for (const OperatorName& entry : table) {
    if (entry.text == token.text) return &entry;
  }
  return nullptr;
}

bool is_constant_name(const std::string& name) {
  return name == "true" || name == "True" || name == "false" || name == "False" || name == "none" ||
         name == "None";
}

}  // namespace

struct ExpressionParser::TupleRules {
  Conditions conditions = Conditions::kAllowed;
  std::string_view end = {};
  bool targets_only = false;
  bool with_namespace = false;
  bool parentheses = false;
};

ExprPtr ExpressionParser::constant(Value value, size_t offset) const {
  ExprPtr node = make(ExprKind::kConstant, offset);
  node->constant = std::move(value);
  return node;
}

ExprPtr ExpressionParser::binary_node(Operator op, size_t offset, ExprPtr left,
                                      ExprPtr right) const {
  ExprPtr node = make(ExprKind::kBinary, offset);
  node->op = op;
  adopt(*node, std::move(left));
  adopt(*node, std::move(right));
  return node;
}

ExprPtr ExpressionParser::parse_expression(Conditions conditions) {
  const Level level(*this);
  return conditions == Conditions::kAllowed ? parse_conditional() : parse_or();
}

ExprPtr ExpressionParser::parse_tuple(Conditions conditions, std::string_view end) {
  return parse_tuple_by({.conditions = conditions, .end = end});
}

ExprPtr ExpressionParser::parse_target(std::string_view end, bool with_namespace) {
  ExprPtr target =
      parse_tuple_by({.end = end, .targets_only = true, .with_namespace = with_namespace});
  check_target(*target);
  return target;
}

void ExpressionParser::check_target(const Expr& target) const {
  if (target.kind == ExprKind::kTuple) {
    for (const ExprPtr& child : target.children) check_target(*child);
  } else if (target.kind != ExprKind::kName && target.kind != ExprKind::kNamespaceField) {
    source_.fail(target.offset, "can't assign to this expression");
  }
}

bool ExpressionParser::at_tuple_end(std::string_view end) const {
  const TokenKind kind = current().kind;
  return kind == TokenKind::kVariableEnd || kind == TokenKind::kBlockEnd || at_operator(")") ||
         (!end.empty() && at_name(end));
}

ExprPtr ExpressionParser::parse_tuple_by(const TupleRules& rules) {
  const Level level(*this);
  ExprPtr tuple = make(ExprKind::kTuple, current().offset);
  bool is_tuple = false;
  while (true) {
    if (!tuple->children.empty()) expect_operator(",");
    if (at_tuple_end(rules.end)) break;
    adopt(*tuple, rules.targets_only ? parse_primary(rules.with_namespace)
                                     : parse_expression(rules.conditions));
    if (!at_operator(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return tuple;
  if (!tuple->children.empty()) return std::move(tuple->children[0]);
  if (!rules.parentheses) fail(cat("Expected an expression, got '", describe(current()), "'"));
  return tuple;
}

ExprPtr ExpressionParser::parse_conditional() {
  const size_t offset = current().offset;
  ExprPtr value = parse_or();
  while (skip_name("if")) {
    ExprPtr node = make(ExprKind::kConditional, offset);
    adopt(*node, parse_or());
    adopt(*node, std::move(value));
    const Level level(*this);
    adopt(*node, skip_name("else") ? parse_conditional() : nullptr);
    value = std::move(node);
  }
  return value;
}

ExprPtr ExpressionParser::parse_or() {
  const size_t offset = current().offset;
  ExprPtr left = parse_and();
  while (skip_name("or")) {
    ExprPtr node = make(ExprKind::kOr, offset);
    adopt(*node, std::move(left));
    adopt(*node, parse_and());
    left = std::move(node);
  }
  return left;
}

ExprPtr ExpressionParser::parse_and() {
  const size_t offset = current().offset;
  ExprPtr left = parse_not();
  while (skip_name("and")) {
    ExprPtr node = make(ExprKind::kAnd, offset);
    adopt(*node, std::move(left));
    adopt(*node, parse_not());
    left = std::move(node);
  }
  return left;
}

ExprPtr ExpressionParser::parse_not() {
  if (!at_name("not")) return parse_compare();
  const Level level(*this);
  ExprPtr node = make(ExprKind::kUnary, next().offset);
  node->op = Operator::kNot;
  adopt(*node, parse_not());
  return node;
}

ExprPtr ExpressionParser::parse_compare() {
  ExprPtr node = make(ExprKind::kCompare, current().offset);
  adopt(*node, parse_sum());
  while (true) {
    if (const OperatorName* found = find_operator(kComparisons, current())) {
      next();
      node->operators.push_back(found->op);
    } else if (skip_name("in")) {
      node->operators.push_back(Operator::kIn);
    } else if (at_name("not") && look().kind == TokenKind::kName && look().text == "in") {
      next();
      next();
      node->operators.push_back(Operator::kNotIn);
    } else {
      break;
    }
    adopt(*node, parse_sum());
  }
  return node->operators.empty() ? std::move(node->children[0]) : std::move(node);
}

ExprPtr ExpressionParser::parse_sum() {
  const size_t offset = current().offset;
  ExprPtr left = parse_concat();
  while (const OperatorName* found = find_operator(kSums, current())) {
    next();
    left = binary_node(found->op, offset, std::move(left), parse_concat());
  }
  return left;
}

ExprPtr ExpressionParser::parse_concat() {
  ExprPtr node = make(ExprKind::kConcat, current().offset);
  adopt(*node, parse_product());
  while (skip_operator("~")) adopt(*node, parse_product());
  return node->children.size() == 1 ? std::move(node->children[0]) : std::move(node);
}

ExprPtr ExpressionParser::parse_product() {
  const size_t offset = current().offset;
  ExprPtr left = parse_power();
  while (const OperatorName* found = find_operator(kProducts, current())) {
    next();
    left = binary_node(found->op, offset, std::move(left), parse_power());
  }
  return left;
}

ExprPtr ExpressionParser::parse_power() {
  const size_t offset = current().offset;
  ExprPtr left = parse_unary(true);
  while (skip_operator("**")) {
    left = binary_node(Operator::kPower, offset, std::move(left), parse_unary(true));
  }
  return left;
}

ExprPtr ExpressionParser::parse_unary(bool with_filters) {
  const Level level(*this);
  ExprPtr node;
  if (at_operator("-") || at_operator("+")) {
    const Token token = next();
    node = make(ExprKind::kUnary, token.offset);
    node->op = token.text == "-" ? Operator::kNegate : Operator::kPlus;
    adopt(*node, parse_unary(false));
  } else {
    node = parse_primary(false);
  }
  node = parse_postfix(std::move(node));
  return with_filters ? parse_filter_chain(std::move(node)) : std::move(node);
}

ExprPtr ExpressionParser::parse_primary(bool with_namespace) {
  switch (current().kind) {
    case TokenKind::kName:
      return parse_name(with_namespace);
    case TokenKind::kString:
      return parse_strings();
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return parse_number();
    default:
      break;
  }
  if (at_operator("(")) return parse_parenthesized();
  if (at_operator("[")) return parse_list();
  if (at_operator("{")) return parse_dict();
  fail(cat("unexpected '", describe(current()), "'"));
}

ExprPtr ExpressionParser::parse_name(bool with_namespace) {
  const Token token = next();
  if (is_constant_name(token.text)) {
    const char first = static_cast<char>(token.text[0] | 0x20);
    return constant(first == 'n' ? Value::none() : Value::boolean(first == 't'), token.offset);
  }
  const bool field = with_namespace && at_operator(".");
  ExprPtr node = make(field ? ExprKind::kNamespaceField : ExprKind::kName, token.offset);
  node->id = program_.names.id(token.text);
  if (field) {
    next();
    node->name = expect_name().text;
  }
  return node;
}

ExprPtr ExpressionParser::parse_strings() {
  const size_t offset = current().offset;
  std::string text;
  while (current().kind == TokenKind::kString) text += next().text;
  return constant(Value::string(std::move(text)), offset);
}

ExprPtr ExpressionParser::parse_number() {
  const Token token = next();
  return constant(
      token.kind == TokenKind::kInteger ? Value::integer(token.integer) : Value::real(token.real),
      token.offset);
}

ExprPtr ExpressionParser::parse_parenthesized() {
  next();
  ExprPtr node = parse_tuple_by({.parentheses = true});
  expect_operator(")");
  return node;
}

ExprPtr ExpressionParser::parse_list() {
  ExprPtr node = make(ExprKind::kList, next().offset);
  while (!at_operator("]")) {
    if (!node->children.empty()) expect_operator(",");
    if (at_operator("]")) break;
    adopt(*node, parse_expression());
  }
  expect_operator("]");
  return node;
}

ExprPtr ExpressionParser::parse_dict() {
  ExprPtr node = make(ExprKind::kDict, next().offset);
  while (!at_operator("}")) {
    if (!node->children.empty()) expect_operator(",");
    if (at_operator("}")) break;
    adopt(*node, parse_expression());
    expect_operator(":");
    adopt(*node, parse_expression());
  }
  expect_operator("}");
  return node;
}

ExprPtr ExpressionParser::parse_postfix(ExprPtr node) {
  while (true) {
    if (at_operator(".")) {
      node = parse_attribute(std::move(node));
    } else if (at_operator("[")) {
      node = parse_item(std::move(node));
    } else if (at_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::parse_filter_chain(ExprPtr node) {
  while (true) {
    if (at_operator("|")) {
      node = parse_filters(std::move(node), false);
    } else if (at_name("is")) {
      node = parse_test(std::move(node));
    } else if (at_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::parse_attribute(ExprPtr object) {
  const size_t offset = next().offset;
  const Token token = next();
  if (token.kind == TokenKind::kInteger) {
    ExprPtr node = make(ExprKind::kItem, offset);
    adopt(*node, std::move(object));
    adopt(*node, constant(Value::integer(token.integer), token.offset));
    return node;
  }
  if (token.kind != TokenKind::kName) source_.fail(token.offset, "expected name or number");
  ExprPtr node = make(ExprKind::kAttribute, offset);
  node->name = token.text;
  adopt(*node, std::move(object));
  return node;
}

ExprPtr ExpressionParser::parse_item(ExprPtr object) {
  ExprPtr node = make(ExprKind::kItem, next().offset);
  ExprPtr keys = make(ExprKind::kTuple, node->offset);
  while (!at_operator("]")) {
    if (!keys->children.empty()) expect_operator(",");
    adopt(*keys, parse_subscript());
  }
  expect_operator("]");
  adopt(*node, std::move(object));
  adopt(*node, keys->children.size() == 1 ? std::move(keys->children[0]) : std::move(keys));
  return node;
}

ExprPtr ExpressionParser::parse_subscript() {
  const size_t offset = current().offset;
  if (skip_operator(":")) return parse_slice(offset, nullptr);
  ExprPtr first = parse_expression();
  return skip_operator(":") ? parse_slice(offset, std::move(first)) : std::move(first);
}

ExprPtr ExpressionParser::parse_slice(size_t offset, ExprPtr start) {
  ExprPtr node = make(ExprKind::kSlice, offset);
  const auto at_end = [&] { return at_operator("]") || at_operator(","); };
  adopt(*node, std::move(start));
  adopt(*node, at_operator(":") || at_end() ? nullptr : parse_expression());
  const bool step = skip_operator(":") && !at_end();
  adopt(*node, step ? parse_expression() : nullptr);
  return node;
}

ExprPtr ExpressionParser::parse_call(ExprPtr callee) {
  ExprPtr node = make(ExprKind::kCall, current().offset);
  adopt(*node, std::move(callee));
  parse_arguments(*node);
  return node;
}

void ExpressionParser::parse_arguments(Expr& call) {
  const Level level(*this);
  const size_t offset = expect_operator("(").offset;
  while (!at_operator(")")) {
    if (!call.arguments.empty()) {
      expect_operator(",");
      if (at_operator(")")) break;
    }
    call.arguments.push_back(parse_argument(call, offset));
    call.depth = std::max(call.depth, call.arguments.back().value->depth + 1);
  }
  expect_operator(")");
}

Argument ExpressionParser::parse_argument(const Expr& call, size_t offset) {
  const auto seen = [&](Argument::Kind kind) {
    return std::any_of(call.arguments.begin(), call.arguments.end(),
                       [&](const Argument& argument) { return argument.kind == kind; });
  };
  const auto ensure = [&](bool valid) {
    if (!valid) source_.fail(offset, "invalid syntax for function call expression");
  };
  const bool no_spread_named = !seen(Argument::Kind::kSpreadNamed);
  ensure(no_spread_named);
  Argument argument;
  if (skip_operator("*")) {
    ensure(!seen(Argument::Kind::kSpread));
    argument.kind = Argument::Kind::kSpread;
  } else if (skip_operator("**")) {
    argument.kind = Argument::Kind::kSpreadNamed;
  } else if (current().kind == TokenKind::kName && look().kind == TokenKind::kOperator &&
             look().text == "=") {
    argument.kind = Argument::Kind::kNamed;
    argument.name = next().text;
    next();
  } else {
    ensure(!seen(Argument::Kind::kSpread) && !seen(Argument::Kind::kNamed));
  }
  argument.value = parse_expression();
  return argument;
}

std::string ExpressionParser::parse_dotted_name() {
  std::string name = expect_name().text;
  while (skip_operator(".")) name += "." + expect_name().text;
  return name;
}

ExprPtr ExpressionParser::parse_filters(ExprPtr input, bool starts_inline) {
  while (starts_inline || skip_operator("|")) {
    starts_inline = false;
    ExprPtr node = make(ExprKind::kFilter, current().offset);
    node->name = parse_dotted_name();
    adopt(*node, std::move(input));
    if (at_operator("(")) parse_arguments(*node);
    input = std::move(node);
  }
  return input;
}

ExprPtr ExpressionParser::parse_test(ExprPtr value) {
  const size_t offset = next().offset;
  const bool negated = skip_name("not");
  ExprPtr node = make(ExprKind::kTest, offset);
  node->name = parse_dotted_name();
  adopt(*node, std::move(value));
  const TokenKind kind = current().kind;
  const bool starts_value = kind == TokenKind::kName || kind == TokenKind::kString ||
                            kind == TokenKind::kInteger || kind == TokenKind::kFloat ||
                            at_operator("[") || at_operator("{");
  if (at_operator("(")) {
    parse_arguments(*node);
  } else if (starts_value && !at_name("else") && !at_name("or") && !at_name("and")) {
    if (at_name("is")) fail("You cannot chain multiple tests with is");
    const Level level(*this);
    Argument argument;
    argument.value = parse_postfix(parse_primary(false));
    node->depth = std::max(node->depth, argument.value->depth + 1);
    node->arguments.push_back(std::move(argument));
  }
  if (!negated) return node;
  ExprPtr inverted = make(ExprKind::kUnary, offset);
  inverted->op = Operator::kNot;
  adopt(*inverted, std::move(node));
  return inverted;
}

}  // namespace gradus::jinja
