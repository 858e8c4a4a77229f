// SPDX-License-Identifier: Apache-2.0
// The `loop` variable, and the iteration behind it: lazy, looking ahead only when asked, as
// jinja2.runtime.LoopContext does.
#pragma once

#include <deque>
#include <functional>

#include "text/jinja/operations.h"

namespace gradus::jinja {

class LoopObject : public HostObject {
 public:
  using Recurse = std::function<Value(const Value& iterable)>;

  LoopObject(Cursor items, std::optional<Int> length, Int outer_loops)
      : pull_(std::move(items)), length_(length), recursion_(outer_loops) {}

  bool advance();  // to the next item; false at the end
  const Value& item() const { return current_; }
  void set_recurse(Recurse recurse) { recurse_ = std::move(recurse); }
  void finish();  // drops what it holds, so that nothing refers to itself

  const char* type_name() const override { return "LoopContext"; }
  std::string repr() const override;
  Value attribute(std::string_view name) override;
  bool callable() const override { return true; }
  Value call(Arguments& arguments) override;

 private:
  Int length();
  bool look_ahead();
  Value cycle(const Arguments& arguments) const;
  Value changed(const Arguments& arguments);

  Cursor pull_;
  std::optional<Int> length_;
  Int recursion_;  // how many levels of the recursive loop are around this one
  Int index0_ = -1;
  bool finished_ = false;
  Value previous_, current_, last_changed_;
  std::deque<Value> ahead_;
  Recurse recurse_;
};

}  // namespace gradus::jinja
