// SPDX-License-Identifier: Apache-2.0
// The text of `--help`, laid out as the YAML it describes: key, type and default, help.
#include <algorithm>
#include <sstream>

#include "recipe/recipe.h"
#include "recipe/validate.h"

namespace gradus {
namespace {

constexpr size_t kWidth = 100;
constexpr size_t kMaxKeyColumn = 30;
constexpr size_t kMaxTypeColumn = 26;

struct Row {
  std::string key;
  std::string type;
  std::string help;
};

bool is_container(TypeKind kind) { return kind == TypeKind::kList || kind == TypeKind::kMap; }

const TypeInfo& without_optional(const TypeInfo& type) {
  return type.kind == TypeKind::kOptional ? type.element() : type;
}

std::string type_name(const TypeInfo& type) {
  switch (type.kind) {
    case TypeKind::kBool:
      return "true|false";
    case TypeKind::kInt:
      return "integer";
    case TypeKind::kDouble:
      return "number";
    case TypeKind::kText:
      return "text";
    case TypeKind::kEnum:
      return "choice";
    case TypeKind::kOptional:
      return type_name(type.element());
    case TypeKind::kList:
      return "list of " + type_name(type.element());
    case TypeKind::kMap:
      return "map to " + type_name(type.element());
    case TypeKind::kStruct:
      return "map";
    case TypeKind::kJson:
      return "any value";
    case TypeKind::kNode:
      return "recipe";
  }
  return {};
}

std::string default_text(const Field& field) {
  if (field.rules.required) return ", required";
  const Json value = detail::value_json({field.object, *field.type});
  if (value.is_null()) return field.type->kind == TypeKind::kOptional ? ", optional" : "";
  if (value.is_string() && value.get_ref<const std::string&>().empty()) return "";
  if (value.is_structured() && (value.empty() || value.dump().size() > 24)) return "";
  return " = " + (value.is_string() ? value.get<std::string>() : value.dump());
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : "|") + name;
  return text;
}

// "[ms, > 0]": what may be written, beyond the type.
std::string rules_text(const Field& field) {
  const TypeInfo* leaf = field.type;
  while (leaf->element) leaf = &leaf->element();
  std::vector<std::string> parts;
  if (!field.rules.unit.empty()) parts.push_back(field.rules.unit);
  if (const std::string bounds = bounds_text(field.rules); !bounds.empty()) parts.push_back(bounds);
  if (!leaf->names.empty()) parts.push_back(joined(leaf->names));
  if (!field.rules.choices.empty()) parts.push_back(joined(field.rules.choices));
  if (field.rules.non_empty) parts.push_back("not empty");
  if (field.rules.reads_path()) parts.push_back("existing path");
  if (field.rules.path == PathKind::kOutput) parts.push_back("output path");
  if (field.rules.path == PathKind::kCache) parts.push_back("cache path");
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text.empty() ? "" : " [" + text + "]";
}

void add_fields(std::vector<Row>& rows, const std::vector<Field>& fields,
                const std::string& indent);

// The fields of a struct below: in place, inside an optional, or as "- " items or "NAME:" entries.
void add_nested(std::vector<Row>& rows, const Field& field, const std::string& indent) {
  const TypeInfo& type = without_optional(*field.type);
  if (type.kind == TypeKind::kStruct) {
    const bool in_place = field.type->kind == TypeKind::kStruct;
    const std::shared_ptr<void> made = in_place ? nullptr : type.make();
    add_fields(rows, type.fields(in_place ? field.object : made.get()), indent + "  ");
  } else if (is_container(type.kind) && type.element().kind == TypeKind::kStruct) {
    const std::shared_ptr<void> made = type.element().make();
    const bool is_list = type.kind == TypeKind::kList;
    if (!is_list) rows.push_back({indent + "  NAME:", "", ""});
    const size_t first = rows.size();
    add_fields(rows, type.element().fields(made.get()), indent + "    ");
    if (is_list && rows.size() > first) rows[first].key[indent.size() + 2] = '-';
  }
}

void add_fields(std::vector<Row>& rows, const std::vector<Field>& fields,
                const std::string& indent) {
  for (const Field& field : fields) {
    const bool in_place = field.type->kind == TypeKind::kStruct;
    const std::string type = in_place ? "" : type_name(*field.type) + default_text(field);
    rows.push_back(
        {indent + field.name + (in_place ? ":" : ""), type, field.help + rules_text(field)});
    add_nested(rows, field, indent);
  }
}

size_t column_width(const std::vector<Row>& rows, std::string Row::*column, size_t limit) {
  size_t width = 0;
  for (const Row& row : rows) {
    const size_t size = (row.*column).size();
    if (size <= limit) width = std::max(width, size);
  }
  return width + 2;
}

// Pads to the column, or goes on at the column of the next line when the text is too long for it.
void pad(std::string& line, std::string& out, size_t column) {
  if (line.size() + 2 > column) {
    out += line + "\n";
    line.clear();
  }
  line.resize(column, ' ');
}

void add_wrapped(std::string& out, std::string line, const std::string& text) {
  const size_t column = line.size();
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const bool at_start = line.size() == column;
    if (!at_start && line.size() + 1 + word.size() > kWidth) {
      out += line + "\n";
      line.assign(column, ' ');
    } else if (!at_start) {
      line += ' ';
    }
    line += word;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out += line + "\n";
}

}  // namespace

std::string detail::help_text(AnyRecipe recipe) {
  std::vector<Row> rows;
  add_fields(rows, recipe.type.fields(recipe.object), "  ");
  const size_t type_column = column_width(rows, &Row::key, kMaxKeyColumn);
  const size_t help_column = type_column + column_width(rows, &Row::type, kMaxTypeColumn);
  std::string out;
  for (const Row& row : rows) {
    std::string line = row.key;
    pad(line, out, type_column);
    line += row.type;
    pad(line, out, help_column);
    add_wrapped(out, line, row.help);
  }
  return out;
}

}  // namespace gradus
