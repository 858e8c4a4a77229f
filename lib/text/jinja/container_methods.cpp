// SPDX-License-Identifier: Apache-2.0
// Attributes and items of values, as Jinja's immutable sandbox lets templates see them: what would
// change a list or dict is undefined with an explanation, and so is everything private.
#include <algorithm>

#include "base/error.h"
#include "text/jinja/library.h"
#include "text/jinja/operations.h"
#include "text/jinja/print.h"

namespace gradus::jinja {
namespace {

constexpr std::string_view kListMutators[] = {"append", "clear", "pop",    "reverse",
                                              "insert", "sort",  "extend", "remove"};
constexpr std::string_view kDictMutators[] = {"clear", "pop", "popitem", "setdefault", "update"};

template <class Names>
bool listed(const Names& names, std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool forbidden(const Value& object, std::string_view name) {
  if (object.is(Kind::kList) && listed(kListMutators, name)) return true;
  if (object.is(Kind::kDict) && listed(kDictMutators, name)) return true;
  return name.starts_with("__") && name.ends_with("__") && name.size() > 4;
}

std::string describe_type(const Value& object) {
  if (object.is(Kind::kNone)) return "None";
  return cat(object.type_name(), " object");
}

Value dict_items(const DictObject& dict) {
  std::vector<Value> items;
  for (const auto& [key, value] : dict.entries()) items.push_back(Value::tuple({key, value}));
  return Value::view("dict_items", std::move(items));
}

Value dict_part(const DictObject& dict, bool keys) {
  std::vector<Value> items;
  spend(dict.entries().size());
  for (const auto& [key, value] : dict.entries()) items.push_back(keys ? key : value);
  return Value::view(keys ? "dict_keys" : "dict_values", std::move(items));
}

Value dict_get(const DictObject& dict, const Arguments& arguments) {
  const auto bound = bind_arguments("get", arguments, {"key", "default"}, 1);
  if (const Value* found = dict.find(bound[0])) return *found;
  return bound[1].missing() ? Value::none() : bound[1];
}

Value dict_method(const Value& self, std::string_view name) {
  using Body = Value (*)(const Value&, Arguments&);
  static constexpr std::pair<std::string_view, Body> kMethods[] = {
      {"get", [](const Value& dict, Arguments& a) { return dict_get(dict.dict_object(), a); }},
      {"items", [](const Value& dict, Arguments&) { return dict_items(dict.dict_object()); }},
      {"keys", [](const Value& dict, Arguments&) { return dict_part(dict.dict_object(), true); }},
      {"values",
       [](const Value& dict, Arguments&) { return dict_part(dict.dict_object(), false); }},
      {"copy", [](const Value& dict, Arguments&) { return dict; }},
  };
  for (const auto& [known, body] : kMethods) {
    if (known != name) continue;
    return make_function(
        std::string(name), [self, run = body](Arguments& a) { return run(self, a); }, self);
  }
  return {};
}

Value sequence_index(const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("index", arguments, {"value", "start", "stop"}, 1);
  const std::vector<Value> items = to_items(self);
  const auto [from, to] = clamp_range(bound[1], bound[2], static_cast<Int>(items.size()));
  for (Int i = from; i < to; ++i) {
    if (equal(items[static_cast<size_t>(i)], bound[0])) return Value::integer(i);
  }
  throw Failure(cat(repr(bound[0]).bytes, " is not in ", self.type_name()));
}

Value sequence_count(const Value& self, const Arguments& arguments) {
  const Value wanted = bind_arguments("count", arguments, {"value"}, 1)[0];
  Int count = 0;
  for (const Value& item : to_items(self)) count += equal(item, wanted) ? 1 : 0;
  return Value::integer(count);
}

Value sequence_method(const Value& self, std::string_view name) {
  if (name == "index") {
    return make_function(
        "index", [self](Arguments& a) { return sequence_index(self, a); }, self);
  }
  if (name == "count") {
    return make_function(
        "count", [self](Arguments& a) { return sequence_count(self, a); }, self);
  }
  if (name == "copy" && self.is(Kind::kList)) {
    return make_function(
        "copy", [self](Arguments&) { return self; }, self);
  }
  if (self.is(Kind::kTuple) && self.list_object().group) {
    if (name == "grouper") return self.items()[0];
    if (name == "list") return self.items()[1];
  }
  return {};
}

Value range_attribute(const Value& self, std::string_view name) {
  const RangeObject& range = self.range_object();
  if (name == "start") return Value::integer(range.start);
  if (name == "stop") return Value::integer(range.stop);
  if (name == "step") return Value::integer(range.step);
  return sequence_method(self, name);
}

// What Python's getattr() finds; missing when nothing.
Value python_attribute(const Value& object, const std::string& name) {
  switch (object.kind()) {
    case Kind::kString:
      return string_method(object, name);
    case Kind::kDict:
      return dict_method(object, name);
    case Kind::kList:
    case Kind::kTuple:
      return sequence_method(object, name);
    case Kind::kRange:
      return range_attribute(object, name);
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return number_attribute(object, name);
    case Kind::kNamespace:
      return object.namespace_object().get(name);
    case Kind::kHost:
      return object.host_object().attribute(name);
    default:
      return {};
  }
}

Value unsafe(const Value& object, const std::string& name) {
  return Value::undefined(
      cat("access to attribute '", name, "' of '", object.type_name(), "' object is unsafe."));
}

Value no_attribute(const Value& object, const Value& key) {
  const std::string type = describe_type(object);
  if (key.is(Kind::kString)) {
    return Value::undefined(cat("'", type, "' has no attribute '", printable(key.bytes()), "'"));
  }
  return Value::undefined(cat(type, " has no element ", printable(repr(key).bytes)));
}

}  // namespace

Value get_attribute(const Value& object, const std::string& name) {
  require_defined(object);
  if (forbidden(object, name)) return unsafe(object, name);
  Value found = python_attribute(object, name);
  if (!found.missing()) return found;
  if (object.is(Kind::kDict)) {
    if (const Value* item = object.dict_object().find(std::string_view(name))) return *item;
  }
  return no_attribute(object, Value::string(name));
}

Value get_item(const Value& object, const Value& key) {
  require_defined(object);
  Value found = subscript(object, key);
  if (!found.missing()) return found;
  if (key.is(Kind::kString)) {
    if (forbidden(object, key.bytes())) return unsafe(object, key.bytes());
    found = python_attribute(object, key.bytes());
    if (!found.missing()) return found;
  }
  return no_attribute(object, key);
}

std::vector<Value> attribute_path(const Value& path) {
  if (path.missing() || path.is(Kind::kNone)) return {};
  if (!path.is(Kind::kString)) return {path};
  std::vector<Value> parts;
  const std::string& text = path.bytes();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const bool digits = !part.empty() && part.size() < 18 &&
                        part.find_first_not_of("0123456789") == std::string::npos;
    parts.push_back(digits ? Value::integer(std::stoll(part)) : Value::string(part));
    begin = end + 1;
  }
  return parts;
}

Value get_path(Value object, const std::vector<Value>& path) {
  for (const Value& part : path) object = get_item(object, part);
  return object;
}

Value without_case(const Value& value) {
  if (!value.is(Kind::kString)) return value;
  Arguments none;
  return string_method(value, "lower").host_object().call(none);
}

}  // namespace gradus::jinja
