// SPDX-License-Identifier: Apache-2.0
// The syntax tree of a template. Two node types, both closed enums, so that the checker and the
// evaluator are plain switches. Names are interned: scopes compare integers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/jinja/operations.h"

namespace gradus::jinja {

inline constexpr uint32_t kMaxTreeDepth = 250;

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;
using NameId = int;

enum class ExprKind : uint8_t {
  kConstant,
  kName,
  kNamespaceField,  // ns.name as a target
  kTuple,
  kList,
  kDict,    // key, value, key, value…
  kUnary,   // operand
  kBinary,  // left, right
  kAnd,
  kOr,
  kCompare,      // a, b, c with operators between them
  kConcat,       // a ~ b ~ c
  kConditional,  // test, then, else or null
  kAttribute,    // object; name
  kItem,         // object, key
  kSlice,        // start, stop, step, each may be null; only below kItem
  kCall,         // callee; arguments
  kFilter,       // input (null inside a filter block); name, arguments
  kTest,         // value; name, arguments
};

struct Argument {
  enum class Kind : uint8_t { kPlain, kNamed, kSpread, kSpreadNamed };
  Kind kind = Kind::kPlain;
  std::string name;
  ExprPtr value;
};

struct Expr {
  ExprKind kind = ExprKind::kConstant;
  Operator op = Operator::kAdd;
  uint32_t depth = 1;
  size_t offset = 0;
  NameId id = 0;     // of names and namespace fields
  std::string name;  // attribute, filter, test
  Value constant;
  std::vector<ExprPtr> children;
  std::vector<Operator> operators;
  std::vector<Argument> arguments;
};

enum class StmtKind : uint8_t {
  kText,
  kOutput,       // exprs
  kIf,           // branches, otherwise
  kFor,          // target, iterable, filter or null; body, otherwise
  kSet,          // target, value
  kSetBlock,     // target, filter or null; body
  kMacro,        // signature, body
  kCallBlock,    // call; signature, body
  kFilterBlock,  // filter; body
  kGeneration,   // body
  kWith,         // target, value, target, value…; body
  kScope,        // body: block, autoescape false
  kBreak,
  kContinue,
  kRefused,  // needs other templates; an error when it is reached
};

struct Stmt;
using Body = std::vector<std::unique_ptr<Stmt>>;

struct Branch {
  ExprPtr test;
  Body body;
};

// Of a macro or call block. Defaults belong to the last parameters. The flags say whether the body
// mentions Jinja's special names.
struct Signature {
  std::vector<std::pair<NameId, std::string>> parameters;
  std::vector<ExprPtr> defaults;
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  bool recursive = false;
  uint32_t depth = 1;
  size_t offset = 0;
  NameId id = 0;     // of a macro
  std::string text;  // data, the macro's name, what is refused
  std::vector<ExprPtr> exprs;
  std::vector<Branch> branches;
  Body body, otherwise;
  Signature signature;
  // Names that this statement's body sets before it reads them and that no outer scope has: they
  // hide the template's input from the start, as in Jinja (see check.cpp).
  std::vector<NameId> hidden;
};

class Names {
 public:
  NameId id(const std::string& name);
  NameId find(const std::string& name) const;  // -1 when the template never mentions it
  size_t size() const { return names_.size(); }
  const std::string& name(NameId id) const { return names_[static_cast<size_t>(id)]; }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, NameId> ids_;
};

struct Program {
  Names names;
  Body body;
  std::vector<NameId> hidden;
};

}  // namespace gradus::jinja
