// SPDX-License-Identifier: Apache-2.0
// What jinja2/compiler.py and idtracking.py decide before anything runs.
//
// Scoping. Jinja compiles a template to Python functions, so a name that a scope sets (outside of
// a condition) before the scope itself reads it is local from the scope's start: loops and macros
// above the assignment see it undefined, although the template's input has such a name. The
// evaluator looks names up along a chain of scopes; the `hidden` lists collected here, which it
// enters as undefined, make the two agree.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "text/jinja/library.h"
#include "text/jinja/parser.h"

namespace gradus::jinja {
namespace {

using NameSet = std::set<NameId>;

// The names of one scope, in the order of jinja2's FrameSymbolVisitor.
class ScopeNames {
 public:
  explicit ScopeNames(const ScopeNames* outer) : outer_(outer) {}

  void load(const Expr* expr) {
    if (expr == nullptr) return;
    if (expr->kind == ExprKind::kName || expr->kind == ExprKind::kNamespaceField)
      known_.insert(expr->id);
    for (const ExprPtr& child : expr->children) load(child.get());
    for (const Argument& argument : expr->arguments) load(argument.value.get());
  }

  void store_target(const Expr& target) {
    if (target.kind == ExprKind::kName) {
      store(target.id);
    } else if (target.kind == ExprKind::kNamespaceField) {
      known_.insert(target.id);
    }
    for (const ExprPtr& child : target.children) store_target(*child);
  }

  void parameter(const Expr& target) {
    if (target.kind == ExprKind::kName) known_.insert(target.id);
    for (const ExprPtr& child : target.children) parameter(*child);
  }
  void parameter(NameId id) { known_.insert(id); }

  void visit(const Body& body) {
    for (const auto& statement : body) visit(*statement);
  }

  // Loads and stores of the scope that `stmt` stands in; nested scopes are not entered.
  void visit(const Stmt& stmt) {
    switch (stmt.kind) {
      case StmtKind::kOutput:
      case StmtKind::kCallBlock:
      case StmtKind::kFilterBlock:
        load_all(stmt);
        break;
      case StmtKind::kIf:
        visit_if(stmt);
        break;
      case StmtKind::kFor:
        load(stmt.exprs[1].get());
        break;
      case StmtKind::kSet:
        load(stmt.exprs[1].get());
        store_target(*stmt.exprs[0]);
        break;
      case StmtKind::kSetBlock:
        store_target(*stmt.exprs[0]);
        break;
      case StmtKind::kMacro:
        store(stmt.id);
        break;
      case StmtKind::kWith:
        for (size_t i = 1; i < stmt.exprs.size(); i += 2) load(stmt.exprs[i].get());
        break;
      default:
        break;
    }
  }

  std::vector<NameId> hidden() const { return {hidden_.begin(), hidden_.end()}; }

 private:
  void load_all(const Stmt& stmt) {
    for (const ExprPtr& expr : stmt.exprs) load(expr.get());
  }

  void store(NameId id) {
    if (!known_.insert(id).second || known_outside(id)) return;
    if (conditions_ == 0) hidden_.insert(id);
  }

  bool known_outside(NameId id) const {
    for (const ScopeNames* scope = outer_; scope != nullptr; scope = scope->outer_) {
      if (scope->known_.count(id) > 0) return true;
    }
    return false;
  }

  void visit_if(const Stmt& stmt) {
    for (const Branch& branch : stmt.branches) {
      load(branch.test.get());
      ++conditions_;
      visit(branch.body);
      --conditions_;
    }
    ++conditions_;
    visit(stmt.otherwise);
    --conditions_;
  }

  const ScopeNames* outer_;
  NameSet known_, hidden_;
  int conditions_ = 0;
};

class Checker {
 public:
  Checker(Program& program, const Source& source) : program_(program), source_(source) {}

  void run() {
    ScopeNames names(nullptr);
    names.visit(program_.body);
    program_.hidden = names.hidden();
    check_body(program_.body, {.names = &names});
  }

 private:
  struct State {
    const ScopeNames* names;
    bool soft = false;  // inside a condition of this scope: unknown filters wait until run time
    bool in_loop = false;
  };

  static bool exists(const Expr& expr) {
    return expr.kind == ExprKind::kFilter ? find_filter(expr.name) != nullptr
                                          : find_test(expr.name) != nullptr;
  }

  void check_expr(const Expr* expr, bool soft) const {
    if (expr == nullptr) return;
    const bool named = expr->kind == ExprKind::kFilter || expr->kind == ExprKind::kTest;
    if (named && !soft && !exists(*expr)) {
      const char* what = expr->kind == ExprKind::kFilter ? "filter" : "test";
      source_.fail(expr->offset, cat("No ", what, " named '", expr->name, "'."));
    }
    const bool inner = soft || expr->kind == ExprKind::kConditional;
    for (const ExprPtr& child : expr->children) check_expr(child.get(), inner);
    for (const Argument& argument : expr->arguments) check_expr(argument.value.get(), inner);
  }

  void check_exprs(const std::vector<ExprPtr>& exprs, bool soft) const {
    for (const ExprPtr& expr : exprs) check_expr(expr.get(), soft);
  }

  void check_body(Body& body, const State& state) {
    for (const auto& statement : body) check_statement(*statement, state);
  }

  // A body with a scope of its own.
  void check_scope(Stmt& stmt, ScopeNames& names, bool in_loop) {
    names.visit(stmt.body);
    stmt.hidden = names.hidden();
    check_body(stmt.body, {.names = &names, .in_loop = in_loop});
  }

  void check_statement(Stmt& stmt, const State& state) {
    ScopeNames names(state.names);
    switch (stmt.kind) {
      case StmtKind::kIf:
        return check_if(stmt, state);
      case StmtKind::kFor:
        return check_for(stmt, state);
      case StmtKind::kMacro:
      case StmtKind::kCallBlock:
        return check_callable(stmt, state);
      case StmtKind::kGeneration:
        return check_scope(stmt, names, false);
      case StmtKind::kWith:
        for (size_t i = 0; i < stmt.exprs.size(); i += 2) names.parameter(*stmt.exprs[i]);
        [[fallthrough]];
      case StmtKind::kSetBlock:
      case StmtKind::kFilterBlock:
      case StmtKind::kScope:
        check_exprs(stmt.exprs, state.soft);
        return check_scope(stmt, names, state.in_loop);
      case StmtKind::kBreak:
      case StmtKind::kContinue:
        if (!state.in_loop) source_.fail(stmt.offset, "break or continue outside of a loop");
        return;
      default:
        check_exprs(stmt.exprs, state.soft);
    }
  }

  void check_if(Stmt& stmt, State state) {
    state.soft = true;
    for (Branch& branch : stmt.branches) {
      check_expr(branch.test.get(), true);
      check_body(branch.body, state);
    }
    check_body(stmt.otherwise, state);
  }

  void check_for(Stmt& stmt, const State& state) {
    const NameId loop = program_.names.find("loop");
    if (loop >= 0 && assigns(stmt, loop)) {
      source_.fail(stmt.offset, "Can't assign to special loop variable in for-loop target");
    }
    check_expr(stmt.exprs[1].get(), state.soft);
    check_expr(stmt.exprs[2].get(), false);
    ScopeNames names(state.names);
    if (loop >= 0) names.parameter(loop);
    names.parameter(*stmt.exprs[0]);
    check_scope(stmt, names, true);
    ScopeNames otherwise(state.names);
    otherwise.visit(stmt.otherwise);
    check_body(stmt.otherwise, {.names = &otherwise, .in_loop = state.in_loop});
  }

  static bool targets(const Expr& expr, NameId id) {
    if (expr.kind == ExprKind::kName && expr.id == id) return true;
    const auto inside = [&](const ExprPtr& child) { return targets(*child, id); };
    return expr.kind == ExprKind::kTuple &&
           std::any_of(expr.children.begin(), expr.children.end(), inside);
  }

  static bool assigns_in(const Body& body, NameId id) {
    return std::any_of(body.begin(), body.end(),
                       [&](const auto& statement) { return assigns(*statement, id); });
  }

  static bool assigns(const Stmt& stmt, NameId id) {
    const bool sets = stmt.kind == StmtKind::kFor || stmt.kind == StmtKind::kSet ||
                      stmt.kind == StmtKind::kSetBlock;
    if (sets && targets(*stmt.exprs[0], id)) return true;
    const auto in_branch = [&](const Branch& branch) { return assigns_in(branch.body, id); };
    return assigns_in(stmt.body, id) || assigns_in(stmt.otherwise, id) ||
           std::any_of(stmt.branches.begin(), stmt.branches.end(), in_branch);
  }

  void check_callable(Stmt& stmt, const State& state) {
    check_exprs(stmt.exprs, state.soft);
    check_exprs(stmt.signature.defaults, false);
    ScopeNames names(state.names);
    for (const auto& [id, name] : stmt.signature.parameters) names.parameter(id);
    note_special(stmt, names);
    check_scope(stmt, names, false);
  }

  void note_special(Stmt& stmt, ScopeNames& names) const {
    Signature& signature = stmt.signature;
    const auto uses = [&](const char* name) {
      const NameId id = program_.names.find(name);
      if (id < 0 || !mentions_in(stmt.body, id)) return false;
      const auto same = [&](const auto& parameter) { return parameter.first == id; };
      const auto& parameters = signature.parameters;
      if (std::any_of(parameters.begin(), parameters.end(), same)) return false;
      names.parameter(id);
      return true;
    };
    signature.uses_caller = uses("caller");
    signature.uses_kwargs = uses("kwargs");
    signature.uses_varargs = uses("varargs");
    check_explicit_caller(stmt);
  }

  void check_explicit_caller(const Stmt& stmt) const {
    const auto& parameters = stmt.signature.parameters;
    const size_t required = parameters.size() - stmt.signature.defaults.size();
    const NameId caller = program_.names.find("caller");
    for (size_t i = 0; i < required; ++i) {
      if (parameters[i].first == caller && mentions_in(stmt.body, caller)) {
        source_.fail(stmt.offset,
                     "When defining macros or call blocks the special \"caller\" argument must be "
                     "omitted or be given a default.");
      }
    }
  }

  static bool mentions(const Expr* expr, NameId id) {
    if (expr == nullptr) return false;
    if (expr->kind == ExprKind::kName && expr->id == id) return true;
    const auto in_child = [&](const ExprPtr& child) { return mentions(child.get(), id); };
    const auto in_argument = [&](const Argument& a) { return mentions(a.value.get(), id); };
    return std::any_of(expr->children.begin(), expr->children.end(), in_child) ||
           std::any_of(expr->arguments.begin(), expr->arguments.end(), in_argument);
  }

  static bool mentions_in(const Body& body, NameId id) {
    return std::any_of(body.begin(), body.end(),
                       [&](const auto& statement) { return mentions(*statement, id); });
  }

  static bool mentions(const Stmt& stmt, NameId id) {
    const auto in_expr = [&](const ExprPtr& expr) { return mentions(expr.get(), id); };
    const auto in_branch = [&](const Branch& branch) {
      return mentions(branch.test.get(), id) || mentions_in(branch.body, id);
    };
    return std::any_of(stmt.exprs.begin(), stmt.exprs.end(), in_expr) ||
           std::any_of(stmt.signature.defaults.begin(), stmt.signature.defaults.end(), in_expr) ||
           std::any_of(stmt.branches.begin(), stmt.branches.end(), in_branch) ||
           mentions_in(stmt.body, id) || mentions_in(stmt.otherwise, id);
  }

  Program& program_;
  const Source& source_;
};

}  // namespace

void check(Program& program, const Source& source) { Checker(program, source).run(); }

}  // namespace gradus::jinja
