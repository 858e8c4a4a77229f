// SPDX-License-Identifier: Apache-2.0
// The type-erased view of a recipe struct. Templates here only describe (which fields, of which
// type, how to reach them); loading, checking, dumping and help are plain code on TypeInfo, so a
// command that includes a recipe compiles little.
//
// A field is one of: bool, int64_t, double, std::string, an enum with a table, std::optional<T>,
// std::vector<T>, std::map<std::string, T>, a struct with visit(), Json (any value), RecipeNode
// (any value, kept with its place for a later load).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/json.h"
#include "recipe/problems.h"
#include "recipe/rules.h"

namespace gradus {

class RecipeNode;

// An enum becomes a field type by a table found next to it:
//   enum class Schedule { kCosine, kLinear };
//   inline std::span<const EnumName<Schedule>> enum_names(Schedule) {
//     static constexpr EnumName<Schedule> kNames[] = {{"cosine", Schedule::kCosine}, …};
//     return kNames;
//   }
template <class E>
struct EnumName {
  const char* name;
  E value;
};

enum class TypeKind {
  kBool,
  kInt,
  kDouble,
  kText,
  kEnum,
  kOptional,
  kList,
  kMap,
  kStruct,
  kJson,
  kNode,
};

struct Field;

// A value inside an optional ("" as key), list (its index) or map (its key).
struct Item {
  std::string key;
  void* object;
};

// How to use a `void*` of one type. Function members are null where the kind has no use for them.
struct TypeInfo {
  TypeKind kind;
  std::vector<std::string> names = {};                       // kEnum
  void (*set_enum)(void*, size_t name) = nullptr;            // kEnum
  size_t (*get_enum)(const void*) = nullptr;                 // kEnum
  const TypeInfo& (*element)() = nullptr;                    // optional, list, map
  void (*clear)(void*) = nullptr;                            // optional, list, map
  void* (*append)(void*, const std::string& key) = nullptr;  // optional, list, map
  std::vector<Item> (*items)(void*) = nullptr;               // optional, list, map
  std::vector<Field> (*fields)(void*) = nullptr;             // kStruct
  void (*check)(const void*, Problems&) = nullptr;           // kStruct with check()
  std::shared_ptr<void> (*make)() = nullptr;                 // default-made
};

struct Field {
  std::string name;
  std::string help;
  void* object;
  const TypeInfo* type;
  Rules rules;
};

// Throws std::logic_error when a rule does not fit the field's type (a bug in the recipe struct).
void require_sound(const Field& field);

template <class T>
const TypeInfo& type_info();

// The V of `template <class V> void visit(V& v)`.
class FieldVisitor {
 public:
  template <class T, class... AnyRule>
  void operator()(const char* name, T& member, const char* help, const AnyRule&... rules) {
    Field field{name, help, &member, &type_info<T>(), {}};
    (rules(field.rules), ...);
    require_sound(field);
    fields_.push_back(std::move(field));
  }
  std::vector<Field> take() { return std::move(fields_); }

 private:
  std::vector<Field> fields_;
};

namespace detail {

template <class T>
concept RecipeStruct = requires(T& object, FieldVisitor& v) {
  object.visit(v);
};
template <class T>
concept HasCheck = requires(const T& object, Problems& problems) {
  object.check(problems);
};

template <class T>
constexpr bool kIsOptional = false;
template <class T>
constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
constexpr bool kIsList = false;
template <class T>
constexpr bool kIsList<std::vector<T>> = true;
template <class T>
constexpr bool kIsMap = false;
template <class T>
constexpr bool kIsMap<std::map<std::string, T>> = true;

template <class T>
T& as(void* object) {
  return *static_cast<T*>(object);
}

template <class E>
TypeInfo enum_info() {
  TypeInfo info{.kind = TypeKind::kEnum};
  for (const auto& entry : enum_names(E{})) info.names.push_back(entry.name);
  info.set_enum = [](void* object, size_t name) { as<E>(object) = enum_names(E{})[name].value; };
  info.get_enum = [](const void* object) {
    const auto table = enum_names(E{});
    size_t i = 0;
    while (i < table.size() && table[i].value != *static_cast<const E*>(object)) ++i;
    return i;
  };
  return info;
}

template <class T>
TypeInfo struct_info() {
  TypeInfo info{.kind = TypeKind::kStruct};
  info.fields = [](void* object) {
    FieldVisitor visitor;
    as<T>(object).visit(visitor);
    return visitor.take();
  };
  if constexpr (HasCheck<T>) {
    info.check = [](const void* object, Problems& problems) {
      static_cast<const T*>(object)->check(problems);
    };
  }
  return info;
}

template <class T>
TypeInfo optional_info() {
  TypeInfo info{.kind = TypeKind::kOptional, .element = &type_info<typename T::value_type>};
  info.clear = [](void* object) { as<T>(object).reset(); };
  info.append = [](void* object, const std::string&) -> void* { return &as<T>(object).emplace(); };
  info.items = [](void* object) {
    return as<T>(object) ? std::vector<Item>{{"", &*as<T>(object)}} : std::vector<Item>{};
  };
  return info;
}

template <class T>
TypeInfo list_info() {
  static_assert(!std::is_same_v<typename T::value_type, bool>, "std::vector<bool> has no elements");
  TypeInfo info{.kind = TypeKind::kList, .element = &type_info<typename T::value_type>};
  info.clear = [](void* object) { as<T>(object).clear(); };
  info.append = [](void* object, const std::string&) -> void* {
    return &as<T>(object).emplace_back();
  };
  info.items = [](void* object) {
    std::vector<Item> items;
    for (auto& value : as<T>(object)) items.push_back({std::to_string(items.size()), &value});
    return items;
  };
  return info;
}

template <class T>
TypeInfo map_info() {
  TypeInfo info{.kind = TypeKind::kMap, .element = &type_info<typename T::mapped_type>};
  info.clear = [](void* object) { as<T>(object).clear(); };
  info.append = [](void* object, const std::string& key) -> void* { return &as<T>(object)[key]; };
  info.items = [](void* object) {
    std::vector<Item> items;
    for (auto& [key, value] : as<T>(object)) items.push_back({key, &value});
    return items;
  };
  return info;
}

template <class T>
TypeInfo make_info() {
  if constexpr (std::is_same_v<T, bool>)
    return {.kind = TypeKind::kBool};
  else if constexpr (std::is_same_v<T, int64_t>)
    return {.kind = TypeKind::kInt};
  else if constexpr (std::is_same_v<T, double>)
    return {.kind = TypeKind::kDouble};
  else if constexpr (std::is_same_v<T, std::string>)
    return {.kind = TypeKind::kText};
  else if constexpr (std::is_same_v<T, Json>)
    return {.kind = TypeKind::kJson};
  else if constexpr (std::is_same_v<T, RecipeNode>)
    return {.kind = TypeKind::kNode};
  else if constexpr (std::is_enum_v<T>)
    return enum_info<T>();
  else if constexpr (kIsOptional<T>)
    return optional_info<T>();
  else if constexpr (kIsList<T>)
    return list_info<T>();
  else if constexpr (kIsMap<T>)
    return map_info<T>();
  else {
    static_assert(RecipeStruct<T>, "a recipe field has one of the types listed in recipe/field.h");
    return struct_info<T>();
  }
}

}  // namespace detail

template <class T>
const TypeInfo& type_info() {
  static const TypeInfo info = [] {
    TypeInfo made = detail::make_info<T>();
    made.make = []() -> std::shared_ptr<void> { return std::make_shared<T>(); };
    return made;
  }();
  return info;
}

}  // namespace gradus
