// SPDX-License-Identifier: Apache-2.0
// JSON Schema (https://json-schema.org/draft/2020-12), for editors. It is stricter than the loader
// in one point: text that looks like a number must be quoted.
#include <cmath>

#include "recipe/recipe.h"
#include "recipe/validate.h"

namespace gradus {
namespace {

Json number(double value) {
  if (value == std::trunc(value) && std::abs(value) < 9e15) return static_cast<int64_t>(value);
  return value;
}

void add_bounds(Json& schema, const Rules& rules) {
  if (rules.minimum) {
    schema[rules.excludes_minimum ? "exclusiveMinimum" : "minimum"] = number(*rules.minimum);
  }
  if (rules.maximum) {
    schema[rules.excludes_maximum ? "exclusiveMaximum" : "maximum"] = number(*rules.maximum);
  }
}

Json text_schema(const Rules& rules) {
  Json schema = {{"type", "string"}};
  if (rules.required || rules.non_empty) schema["minLength"] = 1;
  if (!rules.choices.empty()) schema["enum"] = rules.choices;
  return schema;
}

Json struct_schema(const std::vector<Field>& fields);

Json value_schema(const TypeInfo& type, const Rules& rules, void* object) {
  const auto inner = [&] {
    const std::shared_ptr<void> made = type.element().make();
    return value_schema(type.element(), rules_of_items(rules, type.kind), made.get());
  };
  Json schema = Json::object();
  switch (type.kind) {
    case TypeKind::kBool:
      schema["type"] = "boolean";
      break;
    case TypeKind::kInt:
      schema["type"] = "integer";
      add_bounds(schema, rules);
      break;
    case TypeKind::kDouble:
      schema["type"] = "number";
      add_bounds(schema, rules);
      break;
    case TypeKind::kText:
      return text_schema(rules);
    case TypeKind::kEnum:
      schema["enum"] = type.names;
      break;
    case TypeKind::kOptional:
      schema["anyOf"] = {inner(), {{"type", "null"}}};
      break;
    case TypeKind::kList:
      schema = {{"type", "array"}, {"items", inner()}};
      if (rules.non_empty) schema["minItems"] = 1;
      break;
    case TypeKind::kMap:
      schema = {{"type", "object"}, {"additionalProperties", inner()}};
      if (rules.non_empty) schema["minProperties"] = 1;
      break;
    case TypeKind::kStruct:
      return struct_schema(type.fields(object));
    case TypeKind::kJson:
      break;
    case TypeKind::kNode:
      schema["type"] = {"object", "null"};
      break;
  }
  return schema;
}

// A struct must be written when a key in it is required.
bool must_be_given(const Field& field) {
  if (field.rules.required) return true;
  if (field.type->kind != TypeKind::kStruct) return false;
  for (const Field& inner : field.type->fields(field.object)) {
    if (must_be_given(inner)) return true;
  }
  return false;
}

Json field_schema(const Field& field) {
  Json schema = value_schema(*field.type, field.rules, field.object);
  const std::string unit = field.rules.unit.empty() ? "" : " [" + field.rules.unit + "]";
  schema["description"] = field.help + unit;
  const bool is_struct = field.type->kind == TypeKind::kStruct;
  if (is_struct && !must_be_given(field)) schema["type"] = {"object", "null"};
  if (is_struct || field.rules.required) return schema;
  schema["default"] = detail::value_json({field.object, *field.type});
  return schema;
}

Json struct_schema(const std::vector<Field>& fields) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const Field& field : fields) {
    properties[field.name] = field_schema(field);
    if (must_be_given(field)) required.push_back(field.name);
  }
  Json schema = {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
  if (!required.empty()) schema["required"] = required;
  return schema;
}

}  // namespace

Json detail::schema_json(AnyRecipe recipe, const std::string& title) {
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", title}};
  schema.update(struct_schema(recipe.type.fields(recipe.object)));
  schema["patternProperties"] = {{"^x-", Json::object()}};  // left for anchors
  return schema;
}

}  // namespace gradus
