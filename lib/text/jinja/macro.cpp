// SPDX-License-Identifier: Apache-2.0
// Macros and call blocks: parameters as jinja2.runtime.Macro binds them.
#include "base/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/print.h"

namespace gradus::jinja {
namespace {

const Value* find_named(const Arguments& arguments, const std::string& name) {
  for (const auto& [key, value] : arguments.named) {
    if (key == name) return &value;
  }
  return nullptr;
}

// The number of parameters when none has the name.
size_t parameter_index(const Signature& signature, const std::string& name) {
  size_t index = 0;
  for (const auto& parameter : signature.parameters) {
    if (parameter.second == name) break;
    ++index;
  }
  return index;
}

}  // namespace

Value MacroObject::attribute(std::string_view name) {
  const Signature& signature = stmt.signature;
  if (name == "name") return Value::string(stmt.text);
  if (name == "caller") return Value::boolean(signature.uses_caller);
  if (name == "catch_kwargs") return Value::boolean(signature.uses_kwargs);
  if (name == "catch_varargs") return Value::boolean(signature.uses_varargs);
  if (name != "arguments") return {};
  std::vector<Value> names;
  for (const auto& parameter : signature.parameters)
    names.push_back(Value::string(parameter.second));
  return Value::tuple(std::move(names));
}

Value Interpreter::make_macro(const Stmt& stmt, const ScopePtr& scope) {
  auto macro = std::make_shared<MacroObject>(*this, stmt, scope);
  macros_.push_back(macro);
  return Value::host(std::move(macro));
}

Value Interpreter::call_macro(const MacroObject& macro, const Arguments& arguments) {
  const DepthGuard guard;
  spend(1);
  if (!macro.closure) throw Failure("the macro is no longer callable");
  auto scope = std::make_shared<Scope>(macro.closure);
  for (const NameId id : macro.stmt.hidden) scope->set(id, Value());
  bind_parameters(macro, arguments, scope);
  bind_special(macro, arguments, scope);
  return Value::string(captured(macro.stmt.body, scope).first);
}

void Interpreter::bind_parameters(const MacroObject& macro, const Arguments& arguments,
                                  const ScopePtr& scope) {
  const Signature& signature = macro.stmt.signature;
  const size_t count = signature.parameters.size();
  const size_t first_default = count - signature.defaults.size();
  for (const auto& [id, name] : signature.parameters) scope->set(id, Value());
  for (size_t i = 0; i < count; ++i) {
    const auto& [id, name] = signature.parameters[i];
    if (i < arguments.positional.size()) {
      scope->set(id, arguments.positional[i]);
    } else if (const Value* named = find_named(arguments, name)) {
      scope->set(id, *named);
    }
  }
  for (size_t i = 0; i < count; ++i) {
    const auto& [id, name] = signature.parameters[i];
    if (!scope->find(id)->missing()) continue;
    scope->set(id, i >= first_default
                       ? evaluate(*signature.defaults[i - first_default], scope)
                       : Value::undefined(cat("parameter '", name, "' was not provided")));
  }
}

void Interpreter::bind_special(const MacroObject& macro, const Arguments& arguments,
                               const ScopePtr& scope) {
  const Signature& signature = macro.stmt.signature;
  const size_t count = signature.parameters.size();
  auto kwargs = std::make_shared<DictObject>();
  Value caller = Value::undefined("No caller defined");
  for (const auto& [name, value] : arguments.named) {
    const size_t index = parameter_index(signature, name);
    if (index < count && index >= arguments.positional.size()) continue;
    if (name == "caller" && signature.uses_caller) {
      if (!value.is(Kind::kNone)) caller = value;
    } else if (signature.uses_kwargs) {
      kwargs->set(Value::string(name), value);
    } else if (name == "caller") {
      throw Failure(cat("macro '", macro.stmt.text, "' takes no caller"));
    } else {
      throw Failure(cat("macro '", macro.stmt.text, "' takes no keyword argument '", name, "'"));
    }
  }
  if (signature.uses_caller) scope->set(caller_name_, caller);
  if (signature.uses_kwargs) scope->set(kwargs_name_, Value::dict(kwargs));
  const bool surplus = arguments.positional.size() > count;
  if (!signature.uses_varargs) {
    if (!surplus) return;
    throw Failure(cat("macro '", macro.stmt.text, "' takes not more than ", count, " argument(s)"));
  }
  std::vector<Value> rest;
  if (surplus) {
    rest.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(count),
                arguments.positional.end());
  }
  scope->set(varargs_name_, Value::tuple(std::move(rest)));
}

void Interpreter::execute_call_block(const Stmt& stmt, const ScopePtr& scope) {
  const Expr& expr = *stmt.exprs[0];
  const Value callee = evaluate(*expr.children[0], scope);
  Arguments arguments = evaluate_arguments(expr, scope);
  if (find_named(arguments, "caller") != nullptr) throw Failure("the call has a caller already");
  arguments.named.emplace_back("caller", make_macro(stmt, scope));
  out_->append(to_text(call(callee, arguments)));
}

}  // namespace gradus::jinja
