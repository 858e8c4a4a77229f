// SPDX-License-Identifier: Apache-2.0
// From the struct to JSON and YAML, and the paths in it.
#include <algorithm>
#include <array>
#include <stdexcept>

#include "base/error.h"
#include "recipe/recipe.h"
#include "recipe/validate.h"
#include "recipe/yaml_node.h"

namespace gradus {
namespace {

std::string enum_name(const void* object, const TypeInfo& type) {
  const size_t i = type.get_enum(object);
  if (i >= type.names.size()) throw std::logic_error("an enum value is not in its table of names");
  return type.names[i];
}

Json items_json(void* object, const TypeInfo& type) {
  Json list = Json::array();
  for (const Item& item : type.items(object)) {
    list.push_back(detail::value_json({item.object, type.element()}));
  }
  return list;
}

Json map_json(void* object, const TypeInfo& type) {
  Json::object_t map;
  for (const Item& item : type.items(object)) {
    map.emplace_back(item.key, detail::value_json({item.object, type.element()}));
  }
  return map;
}

Json struct_json(void* object, const TypeInfo& type) {
  Json map = Json::object();
  for (const Field& field : type.fields(object)) {
    map[field.name] = detail::value_json({field.object, *field.type});
  }
  return map;
}

// Text that every YAML reader, also one of YAML 1.1, takes for text without quotes.
bool is_plain_safe(const std::string& text) {
  static const std::vector<std::string> kWords = {"true", "false", "null", "yes", "no",
                                                  "on",   "off",   "y",    "n"};
  const auto is_letter = [](char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; };
  if (text.empty() || !(is_letter(text[0]) || text[0] == '_' || text[0] == '/')) return false;
  std::string lower;
  for (const char c : text) {
    if (!is_letter(c) && !(c >= '0' && c <= '9') &&
        std::string_view("_-./").find(c) == std::string_view::npos) {
      return false;
    }
    lower += is_letter(c) ? static_cast<char>(c | 32) : c;
  }
  return std::find(kWords.begin(), kWords.end(), lower) == kWords.end();
}

// Quoted JSON text is YAML too, but what YAML calls unprintable must be escaped: other readers
// refuse it, or fold it as a line break.
std::string quoted_text(const std::string& text) {
  static constexpr std::array<std::pair<const char*, const char*>, 6> kEscapes = {
      {{"\x7f", "\\u007f"},
       {"\u2028", "\\u2028"},
       {"\u2029", "\\u2029"},
       {"\ufeff", "\\ufeff"},
       {"\ufffe", "\\ufffe"},
       {"\uffff", "\\uffff"}}};
  std::string out = Json(text).dump();
  const auto replace_all = [&out](const std::string& from, const std::string& to) {
    for (size_t i = out.find(from); i != std::string::npos; i = out.find(from, i + to.size())) {
      out.replace(i, from.size(), to);
    }
  };
  for (const auto& [from, to] : kEscapes) replace_all(from, to);
  for (int c = 0x80; c < 0xa0; ++c) {  // U+0080 to U+009F
    const char hex[] = {"0123456789abcdef"[c >> 4], "0123456789abcdef"[c & 15], '\0'};
    replace_all(std::string("\xc2") + static_cast<char>(c), std::string("\\u00") + hex);
  }
  return out;
}

// "2.0e-05": without the dot, readers of YAML 1.1 take it for text.
std::string number_text(const Json& value) {
  std::string text = value.dump();
  const size_t exponent = text.find('e');
  if (exponent != std::string::npos && text.find('.') == std::string::npos) {
    text.insert(exponent, ".0");
  }
  return text;
}

std::string scalar_text(const Json& value) {
  if (value.is_number_float()) return number_text(value);
  if (!value.is_string()) return value.dump();
  const auto& text = value.get_ref<const std::string&>();
  return is_plain_safe(text) ? text : quoted_text(text);
}

void write_block(std::string& out, const Json& value, const std::string& indent);

// What follows "key:" or "-": a scalar on the same line, or a block below.
void write_value(std::string& out, const Json& value, const std::string& indent) {
  if (value.is_structured() && !value.empty()) {
    out += "\n";
    write_block(out, value, indent);
  } else {
    out +=
        " " +
        (value.is_structured() ? std::string(value.is_array() ? "[]" : "{}") : scalar_text(value)) +
        "\n";
  }
}

void write_block(std::string& out, const Json& value, const std::string& indent) {
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) {
      const std::string text = scalar_text(Json(key));
      // YAML ends the search for the ':' of a plain entry after 1024 characters.
      const bool is_long = text.size() > 1000;
      out += is_long ? cat(indent, "? ", text, "\n", indent, ":") : cat(indent, text, ":");
      write_value(out, member, indent + "  ");
    }
    return;
  }
  for (const Json& item : value) {
    if (item.is_structured() && !item.empty()) {
      std::string block;
      write_block(block, item, indent + "  ");
      out += indent + "- " + block.substr(indent.size() + 2);
    } else {
      out += indent + "-";
      write_value(out, item, indent);
    }
  }
}

using PathVisitor = std::function<void(const PathField&, std::string&)>;

void visit_paths_of(const Field& field, const std::string& key, const PathVisitor& visit) {
  const TypeInfo& type = *field.type;
  if (type.kind == TypeKind::kStruct) {
    for (const Field& inner : type.fields(field.object)) {
      visit_paths_of(inner, join_key(key, inner.name), visit);
    }
  } else if (type.kind == TypeKind::kText && field.rules.path != PathKind::kNone) {
    auto& path = *static_cast<std::string*>(field.object);
    if (!path.empty()) visit({key, path, field.rules.path}, path);
  } else if (type.items) {
    for (const Item& item : type.items(field.object)) {
      const Field inner{item.key, "", item.object, &type.element(), field.rules};
      visit_paths_of(inner, join_key(key, item.key), visit);
    }
  }
}

}  // namespace

std::string yaml_text(const Json& value) {
  std::string out;
  if (value.is_structured() && !value.empty()) {
    write_block(out, value, "");
  } else {
    write_value(out, value, "");
    out.erase(0, 1);
  }
  return out;
}

namespace detail {

Json value_json(AnyRecipe value) {
  void* object = value.object;
  switch (value.type.kind) {
    case TypeKind::kBool:
      return *static_cast<bool*>(object);
    case TypeKind::kInt:
      return *static_cast<int64_t*>(object);
    case TypeKind::kDouble:
      return *static_cast<double*>(object);
    case TypeKind::kText:
      return *static_cast<std::string*>(object);
    case TypeKind::kEnum:
      return enum_name(object, value.type);
    case TypeKind::kJson:
      return *static_cast<Json*>(object);
    case TypeKind::kNode:
      return static_cast<RecipeNode*>(object)->json();
    case TypeKind::kList:
      return items_json(object, value.type);
    case TypeKind::kMap:
      return map_json(object, value.type);
    case TypeKind::kStruct:
      return struct_json(object, value.type);
    case TypeKind::kOptional:
      break;
  }
  const std::vector<Item> held = value.type.items(object);
  return held.empty() ? Json() : value_json({held[0].object, value.type.element()});
}

std::string dump_text(AnyRecipe recipe) { return yaml_text(value_json(recipe)); }

void visit_paths(AnyRecipe recipe, const PathVisitor& visit) {
  visit_paths_of({"", "", recipe.object, &recipe.type, {}}, "", visit);
}

}  // namespace detail
}  // namespace gradus
