// SPDX-License-Identifier: Apache-2.0
// Statements. Expressions are in evaluate.cpp, macros in macro.cpp.
#include "text/jinja/interpreter.h"

#include "base/error.h"
#include "text/jinja/loop.h"
#include "text/jinja/print.h"

namespace gradus::jinja {
namespace {

// Takes a loop apart however its body ends.
class LoopEnd {
 public:
  explicit LoopEnd(LoopObject& loop) : loop_(loop) {}
  ~LoopEnd() { loop_.finish(); }
  LoopEnd(const LoopEnd&) = delete;
  LoopEnd& operator=(const LoopEnd&) = delete;

 private:
  LoopObject& loop_;
};

// Sends output to another text for a while.
class Redirect {
 public:
  Redirect(Text*& out, Text& target) : out_(out), saved_(out) { out_ = &target; }
  ~Redirect() { out_ = saved_; }
  Redirect(const Redirect&) = delete;
  Redirect& operator=(const Redirect&) = delete;

 private:
  Text*& out_;
  Text* saved_;
};

bool private_name(std::string_view name) { return !name.empty() && name[0] == '_'; }

}  // namespace

Value* Scope::find(NameId id) {
  for (auto& [name, value] : variables) {
    if (name == id) return &value;
  }
  return nullptr;
}

void Scope::set(NameId id, Value value) {
  if (Value* found = find(id)) {
    *found = std::move(value);
  } else {
    variables.emplace_back(id, std::move(value));
  }
}

Interpreter::Interpreter(const Program& program, const Source& source, std::vector<Value> input)
    : program_(program),
      source_(source),
      input_(std::move(input)),
      loop_name_(program.names.find("loop")),
      caller_name_(program.names.find("caller")),
      kwargs_name_(program.names.find("kwargs")),
      varargs_name_(program.names.find("varargs")) {}

Interpreter::~Interpreter() {
  for (const auto& macro : macros_) macro->closure.reset();
  for (const auto& space : spaces_) space->attributes.clear();
}

Text Interpreter::run() {
  Text out;
  const Redirect redirect(out_, out);
  const auto scope = std::make_shared<Scope>(nullptr);
  for (const NameId id : program_.hidden) scope->set(id, Value());
  execute(program_.body, scope);
  return out;
}

Interpreter::Flow Interpreter::execute(const Body& body, const ScopePtr& scope) {
  for (const auto& statement : body) {
    const Flow flow = execute(*statement, scope);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::execute(const Stmt& stmt, const ScopePtr& scope) {
  try {
    const DepthGuard guard;
    spend(1);
    return execute_statement(stmt, scope);
  } catch (const Failure& failure) {
    throw Error({.what = printable(failure.what(), 1000), .where = source_.place(stmt.offset)});
  }
}

Interpreter::Flow Interpreter::execute_statement(const Stmt& stmt, const ScopePtr& scope) {
  switch (stmt.kind) {
    case StmtKind::kText:
      out_->append(stmt.text);
      break;
    case StmtKind::kOutput:
      execute_output(stmt, scope);
      break;
    case StmtKind::kIf:
      return execute_if(stmt, scope);
    case StmtKind::kFor:
      return execute_for(stmt, scope);
    case StmtKind::kSet:
      assign(*stmt.exprs[0], evaluate(*stmt.exprs[1], scope), scope);
      break;
    case StmtKind::kSetBlock:
      return execute_set_block(stmt, scope);
    case StmtKind::kMacro:
      scope->set(stmt.id, make_macro(stmt, scope));
      break;
    case StmtKind::kCallBlock:
      execute_call_block(stmt, scope);
      break;
    case StmtKind::kFilterBlock:
      return execute_filter_block(stmt, scope);
    case StmtKind::kGeneration:
      execute_generation(stmt, scope);
      break;
    case StmtKind::kWith:
      return execute_with(stmt, scope);
    case StmtKind::kScope:
      return execute(stmt.body, inner_scope(stmt, scope));
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
    case StmtKind::kRefused:
      throw Failure(cat("'", stmt.text, "' needs another template; a chat template has none"));
  }
  return Flow::kNormal;
}

void Interpreter::execute_output(const Stmt& stmt, const ScopePtr& scope) {
  for (const ExprPtr& expr : stmt.exprs) {
    const Value value = evaluate(*expr, scope);
    if (value.is(Kind::kString)) {
      out_->append(value.text());
    } else {
      out_->append(to_text(value));
    }
  }
}

Interpreter::Flow Interpreter::execute_if(const Stmt& stmt, const ScopePtr& scope) {
  for (const Branch& branch : stmt.branches) {
    if (truthy(evaluate(*branch.test, scope))) return execute(branch.body, scope);
  }
  return execute(stmt.otherwise, scope);
}

ScopePtr Interpreter::inner_scope(const Stmt& stmt, const ScopePtr& scope) const {
  auto inner = std::make_shared<Scope>(scope);
  for (const NameId id : stmt.hidden) inner->set(id, Value());
  return inner;
}

std::pair<Text, Interpreter::Flow> Interpreter::captured(const Body& body, const ScopePtr& scope) {
  Text text;
  const Redirect redirect(out_, text);
  const Flow flow = execute(body, scope);
  return {std::move(text), flow};
}

std::shared_ptr<LoopObject> Interpreter::make_loop(const Stmt& stmt, const Value& iterable,
                                                   const ScopePtr& scope, Int depth) {
  Cursor items = iterate(iterable);
  if (stmt.exprs[2] == nullptr) {
    const auto length = length_of(iterable);
    return std::make_shared<LoopObject>(std::move(items), length, depth);
  }
  Cursor filtered = [this, &stmt, scope, items](Value& item) {
    while (items(item)) {
      const auto test = std::make_shared<Scope>(scope);
      assign(*stmt.exprs[0], item, test);
      if (truthy(evaluate(*stmt.exprs[2], test))) return true;
    }
    return false;
  };
  return std::make_shared<LoopObject>(std::move(filtered), std::nullopt, depth);
}

Interpreter::Flow Interpreter::execute_for(const Stmt& stmt, const ScopePtr& scope) {
  const Value iterable = evaluate(*stmt.exprs[1], scope);
  if (stmt.recursive) {
    out_->append(recurse(stmt, iterable, scope, 0).text());
    return Flow::kNormal;
  }
  const auto loop = make_loop(stmt, iterable, scope, 0);
  return execute_loop(stmt, *loop, scope);
}

Value Interpreter::recurse(const Stmt& stmt, const Value& iterable, const ScopePtr& scope,
                           Int depth) {
  const DepthGuard guard;
  Text text;
  const Redirect redirect(out_, text);
  const auto loop = make_loop(stmt, iterable, scope, depth);
  loop->set_recurse([this, &stmt, scope, depth](const Value& items) {
    return recurse(stmt, items, scope, depth + 1);
  });
  execute_loop(stmt, *loop, scope);
  return Value::string(std::move(text));
}

Interpreter::Flow Interpreter::execute_loop(const Stmt& stmt, LoopObject& loop,
                                            const ScopePtr& scope) {
  const LoopEnd end(loop);
  // As in Jinja, `else` runs unless one iteration came to its end.
  bool completed = false;
  while (loop.advance()) {
    spend(1);
    const ScopePtr inner = inner_scope(stmt, scope);
    if (loop_name_ >= 0) inner->set(loop_name_, Value::host(loop.shared_from_this()));
    assign(*stmt.exprs[0], loop.item(), inner);
    const Flow flow = execute(stmt.body, inner);
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNormal) completed = true;
  }
  if (completed || stmt.otherwise.empty()) return Flow::kNormal;
  return execute(stmt.otherwise, std::make_shared<Scope>(scope));
}

Interpreter::Flow Interpreter::execute_set_block(const Stmt& stmt, const ScopePtr& scope) {
  const ScopePtr inner = inner_scope(stmt, scope);
  auto [text, flow] = captured(stmt.body, inner);
  if (flow != Flow::kNormal) return flow;
  Value value = Value::string(std::move(text));
  if (stmt.exprs[1] != nullptr) value = filter_chain(*stmt.exprs[1], value, inner);
  assign(*stmt.exprs[0], value, scope);
  return flow;
}

Interpreter::Flow Interpreter::execute_filter_block(const Stmt& stmt, const ScopePtr& scope) {
  const ScopePtr inner = inner_scope(stmt, scope);
  auto [text, flow] = captured(stmt.body, inner);
  if (flow != Flow::kNormal) return flow;
  const Value result = filter_chain(*stmt.exprs[0], Value::string(std::move(text)), inner);
  if (!result.is(Kind::kString))
    throw Failure(cat("a filter block must give a string, not ", result.type_name()));
  out_->append(result.text());
  return flow;
}

Interpreter::Flow Interpreter::execute_with(const Stmt& stmt, const ScopePtr& scope) {
  const ScopePtr inner = inner_scope(stmt, scope);
  for (size_t i = 0; i + 1 < stmt.exprs.size(); i += 2) {
    assign(*stmt.exprs[i], evaluate(*stmt.exprs[i + 1], scope), inner);
  }
  return execute(stmt.body, inner);
}

void Interpreter::execute_generation(const Stmt& stmt, const ScopePtr& scope) {
  const size_t begin = out_->bytes.size();
  execute(stmt.body, inner_scope(stmt, scope));
  out_->mark(begin, -1 - generations_++);
}

void Interpreter::assign(const Expr& target, const Value& value, const ScopePtr& scope) {
  if (target.kind == ExprKind::kName) return scope->set(target.id, value);
  if (target.kind == ExprKind::kNamespaceField) {
    const Value space = evaluate_name(target, scope);
    if (!space.is(Kind::kNamespace)) {
      throw Failure("cannot assign attribute on non-namespace object");
    }
    if (private_name(target.name)) {
      throw Failure(
          cat("Chat templates cannot store underscore-prefixed attributes on a namespace, "
              "but got '",
              target.name, "'."));
    }
    return space.namespace_object().set(target.name, value);
  }
  if (!iterable(value))
    throw Failure(cat("cannot unpack non-iterable ", value.type_name(), " object"));
  const std::vector<Value> items = to_items(value);
  const size_t wanted = target.children.size();
  if (items.size() > wanted) {
    throw Failure(cat("too many values to unpack (expected ", wanted, ")"));
  }
  if (items.size() < wanted) {
    throw Failure(
        cat("not enough values to unpack (expected ", wanted, ", got ", items.size(), ")"));
  }
  for (size_t i = 0; i < wanted; ++i) assign(*target.children[i], items[i], scope);
}

}  // namespace gradus::jinja
