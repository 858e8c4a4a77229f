// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/loop.h"

#include "text/jinja/print.h"

namespace gradus::jinja {

bool LoopObject::look_ahead() {
  if (!ahead_.empty()) return true;
  Value item;
  if (!pull_ || !pull_(item)) return false;
  ahead_.push_back(std::move(item));
  return true;
}

bool LoopObject::advance() {
  if (!look_ahead()) return false;
  previous_ = std::move(current_);
  current_ = std::move(ahead_.front());
  ahead_.pop_front();
  ++index0_;
  return true;
}

Int LoopObject::length() {
  if (length_) return *length_;
  Value item;
  while (pull_ && pull_(item)) {
    spend(1);
    ahead_.push_back(std::move(item));
  }
  length_ = index0_ + 1 + static_cast<Int>(ahead_.size());
  return *length_;
}

void LoopObject::finish() {
  finished_ = true;
  pull_ = nullptr;
  recurse_ = nullptr;
  ahead_.clear();
  previous_ = current_ = last_changed_ = Value();
}

std::string LoopObject::repr() const {
  return "<LoopContext " + int_repr(index0_ + 1) + "/" + int_repr(length_.value_or(0)) + ">";
}

Value LoopObject::attribute(std::string_view name) {
  if (name == "index") return Value::integer(index0_ + 1);
  if (name == "index0") return Value::integer(index0_);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "last") return Value::boolean(!look_ahead());
  if (name == "length") return Value::integer(length());
  if (name == "revindex") return Value::integer(length() - index0_);
  if (name == "revindex0") return Value::integer(length() - index0_ - 1);
  if (name == "depth") return Value::integer(recursion_ + 1);
  if (name == "depth0") return Value::integer(recursion_);
  if (name == "previtem") {
    return index0_ == 0 ? Value::undefined("there is no previous item") : previous_;
  }
  if (name == "nextitem") {
    return look_ahead() ? ahead_.front() : Value::undefined("there is no next item");
  }
  const auto self = std::static_pointer_cast<LoopObject>(shared_from_this());
  if (name == "cycle")
    return make_function("cycle", [self](Arguments& a) { return self->cycle(a); });
  if (name == "changed") {
    return make_function("changed", [self](Arguments& a) { return self->changed(a); });
  }
  return {};
}

Value LoopObject::cycle(const Arguments& arguments) const {
  if (arguments.positional.empty()) throw Failure("no items for cycling given");
  const auto count = static_cast<Int>(arguments.positional.size());
  return arguments.positional[static_cast<size_t>(index0_ % count)];
}

Value LoopObject::changed(const Arguments& arguments) {
  const Value now = Value::tuple(arguments.positional);
  if (!last_changed_.missing() && equal(last_changed_, now)) return Value::boolean(false);
  if (!finished_) last_changed_ = now;
  return Value::boolean(true);
}

Value LoopObject::call(Arguments& arguments) {
  if (!recurse_) {
    throw Failure("The loop must have the 'recursive' marker to be called recursively.");
  }
  return recurse_(bind_arguments("loop", arguments, {"iterable"}, 1)[0]);
}

}  // namespace gradus::jinja
