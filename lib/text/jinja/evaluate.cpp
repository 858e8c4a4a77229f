// SPDX-License-Identifier: Apache-2.0
// Expressions.
#include "base/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/library.h"
#include "text/jinja/print.h"

namespace gradus::jinja {

Value Interpreter::evaluate(const Expr& expr, const ScopePtr& scope) {
  try {
    const DepthGuard guard;
    spend(1);
    return evaluate_expression(expr, scope);
  } catch (const Failure& failure) {
    throw Error({.what = printable(failure.what(), 1000), .where = source_.place(expr.offset)});
  }
}

Value Interpreter::evaluate_expression(const Expr& expr, const ScopePtr& scope) {
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.constant;
    case ExprKind::kName:
    case ExprKind::kNamespaceField:
      return evaluate_name(expr, scope);
    case ExprKind::kTuple:
      return Value::tuple(evaluate_all(expr.children, scope));
    case ExprKind::kList:
      return Value::list(evaluate_all(expr.children, scope));
    case ExprKind::kDict:
      return evaluate_dict(expr, scope);
    case ExprKind::kUnary:
      return evaluate_unary(expr, scope);
    case ExprKind::kBinary: {
      const Value left = evaluate(*expr.children[0], scope);
      return binary(expr.op, left, evaluate(*expr.children[1], scope));
    }
    case ExprKind::kAnd: {
      Value left = evaluate(*expr.children[0], scope);
      return truthy(left) ? evaluate(*expr.children[1], scope) : left;
    }
    case ExprKind::kOr: {
      Value left = evaluate(*expr.children[0], scope);
      return truthy(left) ? left : evaluate(*expr.children[1], scope);
    }
    case ExprKind::kCompare:
      return evaluate_compare(expr, scope);
    case ExprKind::kConcat:
      return evaluate_concat(expr, scope);
    case ExprKind::kConditional:
      return evaluate_conditional(expr, scope);
    case ExprKind::kAttribute:
      return get_attribute(evaluate(*expr.children[0], scope), expr.name);
    case ExprKind::kItem:
      return evaluate_item(expr, scope);
    case ExprKind::kSlice:
      throw Failure("a slice stands only inside [ ]");
    case ExprKind::kCall:
      return evaluate_call(expr, scope);
    case ExprKind::kFilter:
      return evaluate_filter(expr, evaluate(*expr.children[0], scope), scope);
    case ExprKind::kTest:
      return evaluate_test(expr, scope);
  }
  return Value::none();
}

Value Interpreter::evaluate_name(const Expr& expr, const ScopePtr& scope) {
  const auto undefined = [&] {
    return Value::undefined(cat("'", program_.names.name(expr.id), "' is undefined"));
  };
  for (Scope* at = scope.get(); at != nullptr; at = at->outer.get()) {
    spend(at->variables.size() / 8);
    if (const Value* found = at->find(expr.id)) return found->missing() ? undefined() : *found;
  }
  const Value& value = input_[static_cast<size_t>(expr.id)];
  return value.missing() ? undefined() : value;
}

std::vector<Value> Interpreter::evaluate_all(const std::vector<ExprPtr>& exprs,
                                             const ScopePtr& scope) {
  std::vector<Value> values;
  values.reserve(exprs.size());
  for (const ExprPtr& expr : exprs) values.push_back(evaluate(*expr, scope));
  return values;
}

Value Interpreter::evaluate_dict(const Expr& expr, const ScopePtr& scope) {
  auto dict = std::make_shared<DictObject>();
  for (size_t i = 0; i < expr.children.size(); i += 2) {
    const Value key = evaluate(*expr.children[i], scope);
    dict->set(key, evaluate(*expr.children[i + 1], scope));
  }
  return Value::dict(std::move(dict));
}

Value Interpreter::evaluate_unary(const Expr& expr, const ScopePtr& scope) {
  const Value value = evaluate(*expr.children[0], scope);
  if (expr.op == Operator::kNot) return Value::boolean(!truthy(value));
  return expr.op == Operator::kNegate ? negate(value) : plus(value);
}

Value Interpreter::evaluate_compare(const Expr& expr, const ScopePtr& scope) {
  Value left = evaluate(*expr.children[0], scope);
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    Value right = evaluate(*expr.children[i + 1], scope);
    if (!compare(expr.operators[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::evaluate_concat(const Expr& expr, const ScopePtr& scope) {
  Text out;
  for (const ExprPtr& child : expr.children) out.append(to_text(evaluate(*child, scope)));
  return Value::string(std::move(out));
}

Value Interpreter::evaluate_conditional(const Expr& expr, const ScopePtr& scope) {
  if (truthy(evaluate(*expr.children[0], scope))) return evaluate(*expr.children[1], scope);
  if (expr.children[2] != nullptr) return evaluate(*expr.children[2], scope);
  return Value::undefined(
      "the inline if-expression evaluated to false and no else section was defined.");
}

Value Interpreter::evaluate_item(const Expr& expr, const ScopePtr& scope) {
  const Value object = evaluate(*expr.children[0], scope);
  const Expr& key = *expr.children[1];
  if (key.kind != ExprKind::kSlice) return get_item(object, evaluate(key, scope));
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    if (key.children[i] != nullptr) bounds[i] = evaluate(*key.children[i], scope);
  }
  const Value part = slice(object, bounds[0], bounds[1], bounds[2]);
  if (!part.missing()) return part;
  throw Failure(cat("'", object.type_name(), "' object is not subscriptable"));
}

Arguments Interpreter::evaluate_arguments(const Expr& expr, const ScopePtr& scope) {
  Arguments out;
  for (const Argument& argument : expr.arguments) {
    const Value value = evaluate(*argument.value, scope);
    if (argument.kind == Argument::Kind::kPlain) {
      out.positional.push_back(value);
    } else if (argument.kind == Argument::Kind::kNamed) {
      out.named.emplace_back(argument.name, value);
    } else if (argument.kind == Argument::Kind::kSpread) {
      for (Value& item : to_items(value)) out.positional.push_back(std::move(item));
    } else if (value.is(Kind::kDict)) {
      for (const auto& [key, item] : value.dict_object().entries()) {
        out.named.emplace_back(require_string(key, "a keyword").bytes, item);
      }
    } else {
      throw Failure(cat("argument after ** must be a mapping, not ", value.type_name()));
    }
  }
  return out;
}

Value Interpreter::evaluate_call(const Expr& expr, const ScopePtr& scope) {
  const Value callee = evaluate(*expr.children[0], scope);
  Arguments arguments = evaluate_arguments(expr, scope);
  return call(callee, arguments);
}

Value Interpreter::call(const Value& callee, Arguments& arguments) {
  require_defined(callee);
  if (!callee.is(Kind::kHost)) {
    throw Failure(cat("'", callee.type_name(), "' object is not callable"));
  }
  Value result = callee.host_object().call(arguments);
  if (result.is(Kind::kNamespace)) {
    track(std::static_pointer_cast<NamespaceObject>(result.object()));
  }
  return result;
}

Value Interpreter::evaluate_filter(const Expr& expr, Value input, const ScopePtr& scope) {
  const Filter filter = require_filter(expr.name);
  Arguments arguments = evaluate_arguments(expr, scope);
  return filter(input, arguments);
}

// The filters of a set or filter block; the innermost has no input of its own.
Value Interpreter::filter_chain(const Expr& expr, const Value& input, const ScopePtr& scope) {
  const Expr* inner = expr.children[0].get();
  return evaluate_filter(expr, inner == nullptr ? input : filter_chain(*inner, input, scope),
                         scope);
}

Value Interpreter::evaluate_test(const Expr& expr, const ScopePtr& scope) {
  const Value value = evaluate(*expr.children[0], scope);
  const Test test = require_test(expr.name);
  Arguments arguments = evaluate_arguments(expr, scope);
  return Value::boolean(test(value, arguments));
}

}  // namespace gradus::jinja
