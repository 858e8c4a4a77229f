// SPDX-License-Identifier: Apache-2.0
// The members of one JSON object, each asked for by name; what nobody asked for is refused. A field
// that is silently ignored is a defect, so there is no way to skip one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace gradus {

struct Range {
  double low, high;  // both allowed
};

// All functions throw ApiError (400) naming the field. null counts as absent. The object must
// outlive the reader.
class FieldReader {
 public:
  // `where` goes before the names of fields: "" or "messages[0]".
  FieldReader(const Json& object, std::string where);

  const Json* take(const std::string& name);  // null pointer when absent
  const Json& require(const std::string& name);
  std::optional<double> number(const std::string& name, Range range);
  std::optional<int64_t> integer(const std::string& name, Range range);
  std::optional<bool> boolean(const std::string& name);
  std::optional<std::string> text(const std::string& name);
  // A field that is known but not supported: only these values, which ask for nothing, pass.
  void supports_only(const std::string& name, const std::vector<Json>& values);
  void finish() const;  // refuses members that were never asked for

  std::string full_name(const std::string& name) const;

 private:
  const Json& object_;
  std::string where_;
  std::vector<std::string> known_;
};

// A value from outside, short and on one line, for messages.
std::string shown(const Json& value);

}  // namespace gradus
