// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/value.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "text/jinja/operations.h"

namespace gradus::jinja {
namespace {

uint32_t deeper_than(uint32_t depth) {
  if (depth >= kMaxValueDepth) {
    throw Failure(cat("values are nested more than ", kMaxValueDepth, " levels deep"));
  }
  return depth + 1;
}

}  // namespace

Object::Object(size_t bytes, uint32_t nesting)
    : depth(nesting), held_(bytes), budget_(Budget::current()) {
  if (budget_ != nullptr) budget_->hold(bytes);
}

Object::~Object() {
  if (budget_ != nullptr) budget_->release(held_);
}

void Object::hold_more(size_t bytes) {
  if (budget_ != nullptr) budget_->hold(bytes);
  held_ += bytes;
}

uint32_t nesting_of(const std::vector<Value>& items) {
  spend(1 + items.size() / 16);
  uint32_t depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return deeper_than(depth);
}

Value Value::boolean(bool value) {
  Value out(Kind::kBool);
  out.int_ = value ? 1 : 0;
  return out;
}

Value Value::integer(Int value) {
  Value out(Kind::kInt);
  out.int_ = value;
  return out;
}

Value Value::real(double value) {
  Value out(Kind::kFloat);
  out.double_ = value;
  return out;
}

Value Value::string(Text text) {
  return Value(Kind::kString, std::make_shared<StringObject>(std::move(text)));
}

Value Value::list(std::vector<Value> items) {
  return Value(Kind::kList, std::make_shared<ListObject>(std::move(items)));
}

Value Value::tuple(std::vector<Value> items) {
  return Value(Kind::kTuple, std::make_shared<ListObject>(std::move(items)));
}

Value Value::dict(std::shared_ptr<DictObject> object) {
  return Value(Kind::kDict, std::move(object));
}

Value Value::range(Int start, Int stop, Int step) {
  return Value(Kind::kRange, std::make_shared<RangeObject>(start, stop, step));
}

Value Value::view(const char* type, std::vector<Value> items) {
  auto object = std::make_shared<ListObject>(std::move(items));
  object->type = type;
  return Value(Kind::kView, std::move(object));
}

Value Value::iterator(std::vector<Value> items) {
  return Value(Kind::kIterator, std::make_shared<IteratorObject>(std::move(items)));
}

Value Value::name_space(std::shared_ptr<NamespaceObject> object) {
  return Value(Kind::kNamespace, std::move(object));
}

Value Value::host(std::shared_ptr<HostObject> object) {
  return Value(Kind::kHost, std::move(object));
}

Value Value::undefined(std::string message) {
  return Value(Kind::kUndefined, std::make_shared<UndefinedObject>(std::move(message)));
}

double Value::as_double() const {
  return kind_ == Kind::kFloat ? double_ : static_cast<double>(int_);
}

const Text& Value::text() const { return static_cast<const StringObject&>(*object_).text; }

const std::vector<Value>& Value::items() const { return list_object().items; }

const ListObject& Value::list_object() const { return static_cast<const ListObject&>(*object_); }

const DictObject& Value::dict_object() const { return static_cast<const DictObject&>(*object_); }

const RangeObject& Value::range_object() const { return static_cast<const RangeObject&>(*object_); }

IteratorObject& Value::iterator_object() const { return static_cast<IteratorObject&>(*object_); }

NamespaceObject& Value::namespace_object() const { return static_cast<NamespaceObject&>(*object_); }

HostObject& Value::host_object() const { return static_cast<HostObject&>(*object_); }

const std::string& Value::undefined_message() const {
  return static_cast<const UndefinedObject&>(*object_).message;
}

const char* Value::type_name() const {
  switch (kind_) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return text().markup ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kRange:
      return "range";
    case Kind::kView:
      return list_object().type;
    case Kind::kIterator:
      return "generator";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kHost:
      return host_object().type_name();
  }
  return "object";
}

StringObject::StringObject(Text value)
    : Object(sizeof(StringObject) + value.bytes.size() + value.traces.size() * sizeof(Trace)),
      text(std::move(value)) {}

ListObject::ListObject(std::vector<Value> values)
    : Object(sizeof(ListObject) + values.size() * sizeof(Value), nesting_of(values)),
      items(std::move(values)) {}

void DictObject::set(const Value& key, const Value& value) {
  constexpr size_t kBytesPerEntry = 2 * sizeof(Value) + 48;
  const size_t hash = hash_of(key);
  depth = std::max(depth, deeper_than(std::max(key.depth(), value.depth())));
  const auto same = [&](const Value& other) { return equal(other, key); };
  if (const Value* found = find_hashed(hash, same)) {
    *const_cast<Value*>(found) = value;
    return;
  }
  spend(1);
  hold_more(kBytesPerEntry);
  index_.emplace(hash, entries_.size());
  entries_.emplace_back(key, value);
}

template <class Equal>
const Value* DictObject::find_hashed(size_t hash, Equal same) const {
  const auto [begin, end] = index_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (same(entries_[it->second].first)) return &entries_[it->second].second;
  }
  return nullptr;
}

const Value* DictObject::find(const Value& key) const {
  return find_hashed(hash_of(key), [&](const Value& other) { return equal(other, key); });
}

const Value* DictObject::find(std::string_view key) const {
  return find_hashed(hash_of(key), [&](const Value& other) {
    return other.is(Kind::kString) && other.bytes() == key;
  });
}

RangeObject::RangeObject(Int first, Int last, Int by)
    : Object(sizeof(RangeObject)), start(first), stop(last), step(by) {
  if (step == 0) throw Failure("range() arg 3 must not be zero");
  if (size() > Int{kMaxRange}) {
    throw Failure(cat("Range too big. The sandbox blocks ranges larger than ", kMaxRange));
  }
}

Int RangeObject::size() const {
  if (step > 0) return start < stop ? (stop - start - 1) / step + 1 : 0;
  return start > stop ? (start - stop - 1) / -step + 1 : 0;
}

IteratorObject::IteratorObject(std::vector<Value> values)
    : Object(sizeof(IteratorObject) + values.size() * sizeof(Value), nesting_of(values)),
      items(std::move(values)) {}

Value NamespaceObject::get(std::string_view name) const {
  for (const auto& [key, value] : attributes) {
    if (key == name) return value;
  }
  return {};
}

void NamespaceObject::set(const std::string& name, Value value) {
  for (auto& [key, old] : attributes) {
    if (key != name) continue;
    old = std::move(value);
    return;
  }
  spend(1);
  hold_more(sizeof(Value) + name.size());
  attributes.emplace_back(name, std::move(value));
}

UndefinedObject::UndefinedObject(std::string text)
    : Object(sizeof(UndefinedObject) + text.size()), message(std::move(text)) {}

Value HostObject::attribute(std::string_view) { return {}; }

Value HostObject::call(Arguments&) {
  throw Failure(cat("'", type_name(), "' object is not callable"));
}

Value make_function(std::string name, FunctionObject::Body body, const Value& holds) {
  return Value::host(std::make_shared<FunctionObject>(std::move(name), std::move(body),
                                                      deeper_than(holds.depth())));
}

std::vector<Value> bind_arguments(const std::string& function, const Arguments& arguments,
                                  std::initializer_list<const char*> names, size_t required) {
  std::vector<Value> bound(names.size());
  if (arguments.positional.size() > names.size()) {
    throw Failure(cat(function, "() takes at most ", names.size(), " argument(s) but ",
                      arguments.positional.size(), " were given"));
  }
  std::copy(arguments.positional.begin(), arguments.positional.end(), bound.begin());
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      throw Failure(cat(function, "() got an unexpected keyword argument '", name, "'"));
    }
    Value& slot = bound[static_cast<size_t>(found - names.begin())];
    if (!slot.missing()) {
      throw Failure(cat(function, "() got multiple values for argument '", name, "'"));
    }
    slot = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound[i].missing()) {
      throw Failure(cat(function, "() missing required argument: '", names.begin()[i], "'"));
    }
  }
  return bound;
}

}  // namespace gradus::jinja
