// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "text/jinja/parser_base.h"

namespace gradus::jinja {

class ExpressionParser : protected ParserBase {
 protected:
  using ParserBase::ParserBase;

  enum class Conditions { kAllowed, kExcluded };  // whether `a if b` may stand here

  ExprPtr parse_expression(Conditions conditions = Conditions::kAllowed);
  // One expression, or a tuple of several; ends also before the name `end`.
  ExprPtr parse_tuple(Conditions conditions = Conditions::kAllowed, std::string_view end = {});
  ExprPtr parse_target(std::string_view end, bool with_namespace);
  ExprPtr parse_filters(ExprPtr input, bool starts_inline);  // input may be null

 private:
  struct TupleRules;
  ExprPtr parse_tuple_by(const TupleRules& rules);
  bool at_tuple_end(std::string_view end) const;
  ExprPtr parse_conditional();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filters);
  ExprPtr parse_primary(bool with_namespace);
  ExprPtr parse_name(bool with_namespace);
  ExprPtr parse_strings();
  ExprPtr parse_number();
  ExprPtr parse_parenthesized();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr node);
  ExprPtr parse_filter_chain(ExprPtr node);
  ExprPtr parse_attribute(ExprPtr node);
  ExprPtr parse_item(ExprPtr node);
  ExprPtr parse_subscript();
  ExprPtr parse_slice(size_t offset, ExprPtr start);
  ExprPtr parse_call(ExprPtr callee);
  void parse_arguments(Expr& call);
  Argument parse_argument(const Expr& call, size_t offset);
  ExprPtr parse_test(ExprPtr value);
  std::string parse_dotted_name();
  ExprPtr binary_node(Operator op, size_t offset, ExprPtr left, ExprPtr right) const;
  ExprPtr constant(Value value, size_t offset) const;
  void check_target(const Expr& target) const;
};

}  // namespace gradus::jinja
