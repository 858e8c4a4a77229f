// SPDX-License-Identifier: Apache-2.0
// The values that templates compute with: Python's None, bool, int, float, str, list, tuple, dict,
// range, dict views and iterators as far as a sandboxed template can see them, plus Jinja's
// Undefined, namespaces and callables. Immutable, except namespaces and what iterators consume.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/jinja/budget.h"
#include "text/jinja/traced_text.h"

namespace gradus::jinja {

// Wide enough for every integer of a JSON document; arithmetic beyond it is refused.
using Int = __int128;

enum class Kind : uint8_t {
  kMissing,  // no value at all: an argument that was not given
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kView,      // dict.keys(), .values(), .items()
  kIterator,  // what Jinja's lazy filters return; consumed by its first use
  kNamespace,
  kHost,  // callables, loop, cycler, joiner
};

class Value;
struct Arguments;

// Counted against the render's budget; `depth` bounds the recursion of destructors and walks.
struct Object {
  explicit Object(size_t bytes, uint32_t nesting = 1);
  virtual ~Object();
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  void hold_more(size_t bytes);

  uint32_t depth;

 private:
  size_t held_;
  Budget* budget_;
};

struct ListObject;
struct DictObject;
struct RangeObject;
struct IteratorObject;
struct NamespaceObject;
struct HostObject;
struct UndefinedObject;

class Value {
 public:
  Value() : kind_(Kind::kMissing), int_(0) {}

  static Value none() { return Value(Kind::kNone); }
  static Value boolean(bool value);
  static Value integer(Int value);
  static Value real(double value);
  static Value string(Text text);
  static Value list(std::vector<Value> items);
  static Value tuple(std::vector<Value> items);
  static Value dict(std::shared_ptr<DictObject> object);
  static Value range(Int start, Int stop, Int step);
  static Value view(const char* type, std::vector<Value> items);
  static Value iterator(std::vector<Value> items);
  static Value name_space(std::shared_ptr<NamespaceObject> object);
  static Value host(std::shared_ptr<HostObject> object);
  // An Undefined that explains itself with `message` when it is used.
  static Value undefined(std::string message);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool missing() const { return kind_ == Kind::kMissing; }
  bool undefined() const { return kind_ == Kind::kUndefined; }
  bool is_integral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
  bool is_number() const { return is_integral() || kind_ == Kind::kFloat; }

  bool as_bool() const { return int_ != 0; }
  Int as_int() const { return int_; }
  double as_double() const;  // of any number
  const Text& text() const;
  const std::string& bytes() const { return text().bytes; }
  const std::vector<Value>& items() const;  // list, tuple, view
  const ListObject& list_object() const;
  const DictObject& dict_object() const;
  const RangeObject& range_object() const;
  IteratorObject& iterator_object() const;
  NamespaceObject& namespace_object() const;
  HostObject& host_object() const;
  const std::string& undefined_message() const;

  const std::shared_ptr<Object>& object() const { return object_; }
  uint32_t depth() const { return object_ ? object_->depth : 0; }
  const char* type_name() const;  // as Python names the type

 private:
  explicit Value(Kind kind) : kind_(kind), int_(0) {}
  Value(Kind kind, std::shared_ptr<Object> object)
      : kind_(kind), int_(0), object_(std::move(object)) {}

  Kind kind_;
  union {
    Int int_;
    double double_;
  };
  std::shared_ptr<Object> object_;
};

struct StringObject : Object {
  explicit StringObject(Text value);
  const Text text;
};

struct ListObject : Object {
  explicit ListObject(std::vector<Value> values);
  const std::vector<Value> items;
  const char* type = nullptr;  // of views: "dict_keys"
  bool group = false;          // a tuple of |groupby, with the fields grouper and list
};

// In order of insertion. Filled by set() while it is built, then shared and never changed.
struct DictObject : Object {
  DictObject() : Object(sizeof(DictObject)) {}
  void set(const Value& key, const Value& value);  // throws Failure for an unhashable key
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  const std::vector<std::pair<Value, Value>>& entries() const { return entries_; }

 private:
  template <class Equal>
  const Value* find_hashed(size_t hash, Equal equal) const;

  std::vector<std::pair<Value, Value>> entries_;
  std::unordered_multimap<size_t, size_t> index_;  // hash of the key -> entry
};

struct RangeObject : Object {
  RangeObject(Int first, Int last, Int by);
  Int size() const;
  const Int start, stop, step;
};

struct IteratorObject : Object {
  explicit IteratorObject(std::vector<Value> values);
  std::vector<Value> items;
  size_t next = 0;
};

struct NamespaceObject : Object {
  NamespaceObject() : Object(sizeof(NamespaceObject)) {}
  Value get(std::string_view name) const;  // missing when absent
  void set(const std::string& name, Value value);
  std::vector<std::pair<std::string, Value>> attributes;
};

struct UndefinedObject : Object {
  explicit UndefinedObject(std::string text);
  const std::string message;
};

// Callables and objects with attributes that are not Python containers.
struct HostObject : Object, std::enable_shared_from_this<HostObject> {
  explicit HostObject(uint32_t nesting = 1) : Object(64, nesting) {}
  virtual const char* type_name() const = 0;
  virtual std::string repr() const = 0;
  virtual Value attribute(std::string_view name);  // missing when absent
  virtual bool callable() const { return true; }
  virtual Value call(Arguments& arguments);
};

// A native function, a bound method.
struct FunctionObject : HostObject {
  using Body = std::function<Value(Arguments&)>;
  FunctionObject(std::string function_name, Body function_body, uint32_t nesting = 1)
      : HostObject(nesting), name(std::move(function_name)), body(std::move(function_body)) {}
  const char* type_name() const override { return "function"; }
  std::string repr() const override { return "<function " + name + ">"; }
  Value call(Arguments& arguments) override { return body(arguments); }

  const std::string name;
  const Body body;
};

// `holds` is a value that the body captured, if it is not a string: it counts as nested inside.
Value make_function(std::string name, FunctionObject::Body body, const Value& holds = {});

// The arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// One value per name, missing where not given; the first `required` must be given. Throws as
// Python does for surplus and unknown arguments.
std::vector<Value> bind_arguments(const std::string& function, const Arguments& arguments,
                                  std::initializer_list<const char*> names, size_t required);

// The nesting of a container of `items`; throws Failure beyond kMaxValueDepth.
uint32_t nesting_of(const std::vector<Value>& items);

}  // namespace gradus::jinja
