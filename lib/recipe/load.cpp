// SPDX-License-Identifier: Apache-2.0
// From the YAML tree into the struct: types and keys here, rules in validate.cpp.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "recipe/overrides.h"
#include "recipe/recipe.h"
#include "recipe/validate.h"
#include "recipe/yaml_node.h"

namespace gradus {
namespace {

using Kind = YamlNode::Kind;

// The value of an untyped scalar: plain text by the core schema, quoted text as text.
Json scalar_json(const YamlNode& node, const std::string& key, Problems& problems) {
  if (node.kind == Kind::kQuoted) return node.text;
  if (const auto value = yaml_bool(node.text)) return *value;
  if (const auto value = yaml_int(node.text)) return *value;
  const auto value = yaml_double(node.text);
  if (value && !yaml_is_int(node.text)) return *value;
  if (!yaml_is_number(node.text)) return node.text;
  problems.add_at(node.place, key,
                  expected_found("number out of range", "64 bits", describe(node)));
  return nullptr;
}

Json node_json(const YamlNode& node, const std::string& key, Problems& problems) {
  if (node.kind == Kind::kNull) return nullptr;
  if (node.is_text()) return scalar_json(node, key, problems);
  if (node.kind == Kind::kList) {
    Json list = Json::array();
    for (const YamlPtr& item : node.items) {
      list.push_back(node_json(*item, join_key(key, std::to_string(list.size())), problems));
    }
    return list;
  }
  // Keys are unique by construction: operator[] of the ordered map would search each time.
  Json::object_t map;
  for (const YamlEntry& entry : node.entries) {
    map.emplace_back(entry.key, node_json(*entry.value, join_key(key, entry.key), problems));
  }
  return map;
}

class Loader {
 public:
  explicit Loader(Problems& problems) : problems_(problems) {}

  void load(void* object, const TypeInfo& type, const YamlPtr& node, const std::string& key) {
    switch (type.kind) {
      case TypeKind::kBool:
        return load_bool(*static_cast<bool*>(object), *node, key);
      case TypeKind::kInt:
        return load_int(*static_cast<int64_t*>(object), *node, key);
      case TypeKind::kDouble:
        return load_double(*static_cast<double*>(object), *node, key);
      case TypeKind::kText:
        return load_text(*static_cast<std::string*>(object), *node, key);
      case TypeKind::kEnum:
        return load_enum(object, type, *node, key);
      case TypeKind::kOptional:
        return load_optional(object, type, node, key);
      case TypeKind::kList:
        return load_list(object, type, *node, key);
      case TypeKind::kMap:
        return load_map(object, type, *node, key);
      case TypeKind::kStruct:
        return load_struct(object, type, *node, key);
      case TypeKind::kJson:
        *static_cast<Json*>(object) = node_json(*node, key, problems_);
        return;
      case TypeKind::kNode:
        *static_cast<RecipeNode*>(object) = RecipeNode(node, key);
        return;
    }
  }

 private:
  void wrong_type(const YamlNode& node, const std::string& key, const std::string& expected,
                  const std::string& hint = {}) {
    const std::string message = expected_found("wrong type", expected, describe(node));
    problems_.add_at(node.place, key, hint.empty() ? message : message + "; hint: " + hint);
  }

  void load_bool(bool& object, const YamlNode& node, const std::string& key) {
    const auto value = node.kind == Kind::kPlain ? yaml_bool(node.text) : std::nullopt;
    if (!value) return wrong_type(node, key, "true or false");
    object = *value;
  }

  void load_int(int64_t& object, const YamlNode& node, const std::string& key) {
    const bool plain = node.kind == Kind::kPlain;
    const auto value = plain ? yaml_int(node.text) : std::nullopt;
    if (value)
      object = *value;
    else if (plain && yaml_is_int(node.text))
      wrong_type(node, key, "an integer of 64 bits");
    else
      wrong_type(node, key, "an integer", plain ? integer_hint(node.text) : "");
  }

  // People write sizes as 2_000, 2,000 and 2e3: say how it is written here.
  static std::string integer_hint(std::string text) {
    std::erase_if(text, [](char c) { return c == '_' || c == ','; });
    const auto value = yaml_double(text);
    const bool whole = value && std::abs(*value) < 9e15 && *value == std::trunc(*value);
    return whole ? cat("write ", static_cast<int64_t>(*value)) : "";
  }

  void load_double(double& object, const YamlNode& node, const std::string& key) {
    const bool plain = node.kind == Kind::kPlain;
    const auto value = plain ? yaml_double(node.text) : std::nullopt;
    if (value)
      object = *value;
    else if (plain && yaml_is_number(node.text))
      wrong_type(node, key, "a number of 64 bits");
    else
      wrong_type(node, key, "a number");
  }

  // The type is known, so `revision: 15` and `language: no` are the texts "15" and "no".
  void load_text(std::string& object, const YamlNode& node, const std::string& key) {
    if (!node.is_text()) {
      return wrong_type(node, key, "text", node.kind == Kind::kNull ? "write \"\" for none" : "");
    }
    object = node.text;
  }

  void load_enum(void* object, const TypeInfo& type, const YamlNode& node, const std::string& key) {
    if (!node.is_text()) return wrong_type(node, key, "one of " + name_list(type.names));
    const auto found = std::find(type.names.begin(), type.names.end(), node.text);
    if (found != type.names.end()) {
      type.set_enum(object, static_cast<size_t>(found - type.names.begin()));
      return;
    }
    problems_.add_at(node.place, key, unknown_value(node.text, type.names));
  }

  void load_optional(void* object, const TypeInfo& type, const YamlPtr& node,
                     const std::string& key) {
    if (node->kind == Kind::kNull) return type.clear(object);
    const std::vector<Item> held = type.items(object);
    load(held.empty() ? type.append(object, "") : held[0].object, type.element(), node, key);
  }

  void load_list(void* object, const TypeInfo& type, const YamlNode& node, const std::string& key) {
    if (node.kind != Kind::kList) return wrong_type(node, key, "a list");
    type.clear(object);
    for (size_t i = 0; i < node.items.size(); ++i) {
      const std::string item_key = join_key(key, std::to_string(i));
      problems_.note_place(item_key, node.items[i]->place);
      load(type.append(object, ""), type.element(), node.items[i], item_key);
    }
  }

  void load_map(void* object, const TypeInfo& type, const YamlNode& node, const std::string& key) {
    if (node.kind != Kind::kMap) return wrong_type(node, key, "a map");
    type.clear(object);
    for (const YamlEntry& entry : node.entries) {
      const std::string entry_key = note_entry(entry, key);
      load(type.append(object, entry.key), type.element(), entry.value, entry_key);
    }
  }

  // Notes where the entry stands and returns its full key. Text is pointed at itself, for the sake
  // of an override that replaces it; a list or map starts at its key.
  std::string note_entry(const YamlEntry& entry, const std::string& parent) {
    std::string key = join_key(parent, entry.key);
    problems_.note_place(key, entry.value->is_text() ? entry.value->place : entry.place);
    return key;
  }

  // An empty value (`train:` with all its keys commented out) is a struct of defaults.
  void load_struct(void* object, const TypeInfo& type, const YamlNode& node,
                   const std::string& key) {
    if (node.kind != Kind::kMap && node.kind != Kind::kNull) return wrong_type(node, key, "a map");
    const std::vector<Field> fields = type.fields(object);
    std::vector<bool> given(fields.size());
    for (const YamlEntry& entry : node.entries) {
      const auto same = [&](const Field& field) { return field.name == entry.key; };
      const auto field = std::find_if(fields.begin(), fields.end(), same);
      if (field == fields.end()) {
        unknown_key(entry, fields, key);
        continue;
      }
      given[static_cast<size_t>(field - fields.begin())] = true;
      load(field->object, *field->type, entry.value, note_entry(entry, key));
    }
    for (size_t i = 0; i < fields.size(); ++i) {
      if (!given[i]) require_missing(fields[i], join_key(key, fields[i].name));
    }
  }

  void unknown_key(const YamlEntry& entry, const std::vector<Field>& fields,
                   const std::string& key) {
    if (key.empty() && entry.key.starts_with("x-")) return;
    const std::string full = join_key(key, entry.key);
    const std::string elsewhere = find_below(fields, entry.key, key, 4);
    std::vector<std::string> known;
    for (const Field& field : fields) known.push_back(field.name);
    problems_.add_at(entry.place, full,
                     elsewhere.empty() ? unknown_name("unknown key", entry.key, known)
                                       : "unknown key (did you mean " + elsewhere + "?)");
  }

  // The full key of a field called `name` in the structs below, for `lr=1` in place of
  // `train.lr=1`.
  static std::string find_below(const std::vector<Field>& fields, const std::string& name,
                                const std::string& key, int levels) {
    for (const Field& field : fields) {
      const std::string full = join_key(key, field.name);
      if (field.name == name) return full;
      const bool is_optional = field.type->kind == TypeKind::kOptional;
      const TypeInfo& type = is_optional ? field.type->element() : *field.type;
      if (type.kind != TypeKind::kStruct || levels == 0) continue;
      const std::shared_ptr<void> made = type.make();
      std::string found = find_below(type.fields(made.get()), name, full, levels - 1);
      if (!found.empty()) return found;
    }
    return {};
  }

  // A struct that is not written still has required keys of its own.
  void require_missing(const Field& field, const std::string& key) {
    if (field.rules.required)
      problems_.add(key, "required key is missing");
    else if (field.type->kind == TypeKind::kStruct) {
      for (const Field& inner : field.type->fields(field.object)) {
        require_missing(inner, join_key(key, inner.name));
      }
    }
  }

  Problems& problems_;
};

void load_tree(detail::AnyRecipe recipe, const RecipeNode& source, Problems& problems,
               const detail::LoadOptions& options) {
  YamlPtr root = source.node() ? source.node() : std::make_shared<const YamlNode>();
  const std::string& key = source.key();
  // What is missing from a whole file is missing at no line in particular.
  problems.note_place(key, key.empty() ? Place{root->place.source} : root->place);
  root = apply_overrides(std::move(root), options.overrides, problems);
  Loader(problems).load(recipe.object, recipe.type, root, key);
  validate(recipe, key, problems, options.inputs);
}

Place start_of(const std::string& where) {
  return {std::make_shared<const std::string>(where), 1, 1};
}

}  // namespace

RecipeNode::RecipeNode(std::shared_ptr<const YamlNode> node, std::string key)
    : node_(std::move(node)), key_(std::move(key)) {}

std::string RecipeNode::where() const { return node_ ? to_string(node_->place) : ""; }

Json RecipeNode::json() const {
  if (!node_) return Json::object();
  Problems problems;
  Json value = node_json(*node_, key_, problems);
  problems.throw_if_any();
  return value;
}

RecipeNode read_recipe(const fs::path& file) {
  if (file.empty()) return {};
  Problems problems;
  const YamlPtr root = parse_yaml(read_yaml_file(file), start_of(file.string()), problems);
  problems.throw_if_any();
  return {root, ""};
}

namespace detail {

void load_file(AnyRecipe recipe, const fs::path& file, const LoadOptions& options) {
  if (file.empty()) return load_node(recipe, {}, options);
  load_text(recipe, read_yaml_file(file), file.string(), options);
}

void load_text(AnyRecipe recipe, std::string_view yaml, const std::string& where,
               const LoadOptions& options) {
  Problems problems;
  const YamlPtr root = parse_yaml(yaml, start_of(where), problems);
  if (root)
    load_tree(recipe, {root, ""}, problems, options);
  else
    apply_overrides(std::make_shared<const YamlNode>(), options.overrides, problems);
  problems.throw_if_any();
}

void load_node(AnyRecipe recipe, const RecipeNode& node, const LoadOptions& options) {
  Problems problems;
  load_tree(recipe, node, problems, options);
  problems.throw_if_any();
}

}  // namespace detail
}  // namespace gradus
