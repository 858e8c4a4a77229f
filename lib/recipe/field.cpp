// SPDX-License-Identifier: Apache-2.0
#include "recipe/field.h"

#include <stdexcept>

namespace gradus {
namespace {

bool is_container(TypeKind kind) {
  return kind == TypeKind::kOptional || kind == TypeKind::kList || kind == TypeKind::kMap;
}

}  // namespace

void require_sound(const Field& field) {
  const TypeInfo* leaf = field.type;
  while (is_container(leaf->kind)) leaf = &leaf->element();
  const Rules& rules = field.rules;
  const bool is_number = leaf->kind == TypeKind::kInt || leaf->kind == TypeKind::kDouble;
  const bool is_text = leaf->kind == TypeKind::kText;
  const bool bounded = rules.minimum || rules.maximum;
  const bool for_text = !rules.choices.empty() || rules.path != PathKind::kNone;
  const bool can_be_empty = is_text || is_container(field.type->kind);
  if ((bounded && !is_number) || (for_text && !is_text) || (rules.non_empty && !can_be_empty)) {
    throw std::logic_error("recipe field " + field.name + " has a rule that does not fit its type");
  }
}

}  // namespace gradus
