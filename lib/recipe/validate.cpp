// SPDX-License-Identifier: Apache-2.0
#include "recipe/validate.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace gradus {
namespace {

class Validator {
 public:
  Validator(Problems& problems, InputPaths inputs) : problems_(problems), inputs_(inputs) {}

  void value(void* object, const TypeInfo& type, const Rules& rules, const std::string& key) {
    switch (type.kind) {
      case TypeKind::kStruct:
        return record(object, type, key);
      case TypeKind::kOptional:
      case TypeKind::kList:
      case TypeKind::kMap:
        return container(object, type, rules, key);
      case TypeKind::kInt:
        return number(*static_cast<int64_t*>(object), rules, key);
      case TypeKind::kDouble:
        return number(*static_cast<double*>(object), rules, key);
      case TypeKind::kText:
        return text(*static_cast<std::string*>(object), rules, key);
      default:
        return;
    }
  }

 private:
  // A required key that is missing has been reported by the loader, as has a wrong type.
  bool reported(const std::string& key) const {
    return !problems_.empty() && problems_.any_under(key);
  }

  void record(void* object, const TypeInfo& type, const std::string& key) {
    for (const Field& field : type.fields(object)) {
      value(field.object, *field.type, field.rules, join_key(key, field.name));
    }
    if (!type.check || reported(key)) return;
    problems_.set_scope(key);
    type.check(object, problems_);
    problems_.set_scope("");
  }

  void container(void* object, const TypeInfo& type, const Rules& rules, const std::string& key) {
    const std::vector<Item> items = type.items(object);
    const bool is_optional = type.kind == TypeKind::kOptional;
    if (items.empty() && rules.non_empty && !is_optional && !reported(key)) {
      problems_.add(key, "may not be empty");
    }
    for (const Item& item : items) {
      value(item.object, type.element(), rules_of_items(rules, type.kind), join_key(key, item.key));
    }
  }

  template <class T>
  void number(T number, const Rules& rules, const std::string& key) {
    const auto value = static_cast<double>(number);
    const bool low = rules.minimum && (rules.excludes_minimum ? !(value > *rules.minimum)
                                                              : !(value >= *rules.minimum));
    const bool high = rules.maximum && (rules.excludes_maximum ? !(value < *rules.maximum)
                                                               : !(value <= *rules.maximum));
    if ((!low && !high) || reported(key)) return;
    problems_.add(key, expected_found("out of range", bounds_text(rules), cat(number)));
  }

  void text(const std::string& text, const Rules& rules, const std::string& key) {
    if (reported(key)) return;
    const auto& choices = rules.choices;
    if (text.empty() && (rules.non_empty || rules.required)) {
      problems_.add(key, "may not be empty");
    } else if (!choices.empty() &&
               std::find(choices.begin(), choices.end(), text) == choices.end()) {
      problems_.add(key, unknown_value(text, choices));
    } else if (rules.reads_path() && is_missing(text)) {
      problems_.add(key, "no such file or folder '" + printable(text, 200) + "'");
    }
  }

  bool is_missing(const std::string& path) const {
    if (inputs_ == InputPaths::kMayBeMissing || path.empty()) return false;
    if (path.find("://") != std::string::npos) return false;
    std::error_code ignored;
    return !fs::exists(path, ignored);
  }

  Problems& problems_;
  InputPaths inputs_;
};

std::string number_text(double bound) {
  const bool whole = std::abs(bound) < 1e12 && bound == std::floor(bound);
  return whole ? cat(static_cast<int64_t>(bound)) : cat(bound);
}

}  // namespace

void validate(detail::AnyRecipe recipe, const std::string& key, Problems& problems,
              InputPaths inputs) {
  Validator(problems, inputs).value(recipe.object, recipe.type, {}, key);
}

std::string bounds_text(const Rules& rules) {
  std::string text;
  if (rules.minimum) text = (rules.excludes_minimum ? "> " : ">= ") + number_text(*rules.minimum);
  if (rules.minimum && rules.maximum) text += " and ";
  if (rules.maximum) text += (rules.excludes_maximum ? "< " : "<= ") + number_text(*rules.maximum);
  return text;
}

Rules rules_of_items(const Rules& rules, TypeKind container) {
  Rules inner = rules;
  if (container == TypeKind::kOptional) return inner;
  inner.required = false;
  inner.non_empty = false;
  return inner;
}

}  // namespace gradus
