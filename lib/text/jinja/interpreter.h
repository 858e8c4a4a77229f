// SPDX-License-Identifier: Apache-2.0
// Runs a parsed template. One Interpreter per render, under one Budget.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace gradus::jinja {

// The variables of a loop iteration, a macro call, a block or the template itself.
struct Scope {
  explicit Scope(std::shared_ptr<Scope> around) : outer(std::move(around)) {}
  Value* find(NameId id);
  void set(NameId id, Value value);

  std::vector<std::pair<NameId, Value>> variables;  // missing: set later, undefined until then
  std::shared_ptr<Scope> outer;
};
using ScopePtr = std::shared_ptr<Scope>;

class LoopObject;
class MacroObject;

class Interpreter {
 public:
  // `input` holds the template's variables and globals by NameId, missing where there is none.
  Interpreter(const Program& program, const Source& source, std::vector<Value> input);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  // Throws gradus::Error with the place of the failing statement or expression.
  Text run();
  Value call_macro(const MacroObject& macro, const Arguments& arguments);
  // The output of one level of a recursive loop.
  Value recurse(const Stmt& loop, const Value& iterable, const ScopePtr& scope, Int depth);
  void track(std::shared_ptr<NamespaceObject> space) { spaces_.push_back(std::move(space)); }

 private:
  enum class Flow : uint8_t { kNormal, kBreak, kContinue };

  // statements
  Flow execute(const Body& body, const ScopePtr& scope);
  Flow execute(const Stmt& stmt, const ScopePtr& scope);
  Flow execute_statement(const Stmt& stmt, const ScopePtr& scope);
  Flow execute_if(const Stmt& stmt, const ScopePtr& scope);
  Flow execute_for(const Stmt& stmt, const ScopePtr& scope);
  Flow execute_loop(const Stmt& stmt, LoopObject& loop, const ScopePtr& scope);
  Flow execute_set_block(const Stmt& stmt, const ScopePtr& scope);
  Flow execute_filter_block(const Stmt& stmt, const ScopePtr& scope);
  Flow execute_with(const Stmt& stmt, const ScopePtr& scope);
  void execute_generation(const Stmt& stmt, const ScopePtr& scope);
  void execute_output(const Stmt& stmt, const ScopePtr& scope);
  void execute_call_block(const Stmt& stmt, const ScopePtr& scope);
  ScopePtr inner_scope(const Stmt& stmt, const ScopePtr& scope) const;
  // Runs `body` into a text of its own.
  std::pair<Text, Flow> captured(const Body& body, const ScopePtr& scope);
  std::shared_ptr<LoopObject> make_loop(const Stmt& stmt, const Value& iterable,
                                        const ScopePtr& scope, Int depth);
  void assign(const Expr& target, const Value& value, const ScopePtr& scope);
  Value make_macro(const Stmt& stmt, const ScopePtr& scope);
  void bind_parameters(const MacroObject& macro, const Arguments& arguments, const ScopePtr& scope);
  void bind_special(const MacroObject& macro, const Arguments& arguments, const ScopePtr& scope);

  // expressions
  Value evaluate(const Expr& expr, const ScopePtr& scope);
  Value evaluate_expression(const Expr& expr, const ScopePtr& scope);
  std::vector<Value> evaluate_all(const std::vector<ExprPtr>& exprs, const ScopePtr& scope);
  Value evaluate_name(const Expr& expr, const ScopePtr& scope);
  Value evaluate_dict(const Expr& expr, const ScopePtr& scope);
  Value evaluate_unary(const Expr& expr, const ScopePtr& scope);
  Value evaluate_compare(const Expr& expr, const ScopePtr& scope);
  Value evaluate_concat(const Expr& expr, const ScopePtr& scope);
  Value evaluate_conditional(const Expr& expr, const ScopePtr& scope);
  Value evaluate_item(const Expr& expr, const ScopePtr& scope);
  Value evaluate_call(const Expr& expr, const ScopePtr& scope);
  Value evaluate_filter(const Expr& expr, Value input, const ScopePtr& scope);
  Value evaluate_test(const Expr& expr, const ScopePtr& scope);
  Value filter_chain(const Expr& expr, const Value& input, const ScopePtr& scope);
  Arguments evaluate_arguments(const Expr& expr, const ScopePtr& scope);
  Value call(const Value& callee, Arguments& arguments);

  const Program& program_;
  const Source& source_;
  std::vector<Value> input_;
  NameId loop_name_, caller_name_, kwargs_name_, varargs_name_;
  Text* out_ = nullptr;
  int64_t generations_ = 0;
  // Closures and namespaces can hold each other; they are taken apart when the render ends.
  std::vector<std::shared_ptr<MacroObject>> macros_;
  std::vector<std::shared_ptr<NamespaceObject>> spaces_;
};

class MacroObject : public HostObject {
 public:
  MacroObject(Interpreter& interpreter, const Stmt& definition, ScopePtr scope)
      : stmt(definition), closure(std::move(scope)), interpreter_(interpreter) {}
  const char* type_name() const override { return "Macro"; }
  std::string repr() const override { return "<Macro '" + stmt.text + "'>"; }
  Value attribute(std::string_view name) override;
  Value call(Arguments& arguments) override { return interpreter_.call_macro(*this, arguments); }

  const Stmt& stmt;
  ScopePtr closure;

 private:
  Interpreter& interpreter_;
};

}  // namespace gradus::jinja
