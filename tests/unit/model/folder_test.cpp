// SPDX-License-Identifier: Apache-2.0
// What model and adapter folders are refused for, before it can do harm.
#include "model/folder.h"

#include <ATen/TensorOperators.h>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "support/catch.h"
#include "support/tiny_model.h"

// Last: libtorch has a CHECK of its own.

using Catch::Matchers::Contains;

namespace gradus {
namespace {

void change(const fs::path& file, const std::function<void(Json&)>& edit) {
  Json json = read_json(file);
  edit(json);
  write_json(file, json);
}

std::string load_error(const std::function<void(Json&)>& edit, const LoadOptions& options = {}) {
  const TemporaryFolder folder;
  save_model(folder.path(), tiny_model());
  change(folder / "config.json", edit);
  try {
    load_model(folder.path(), options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

const auto kUnchanged = [](Json&) {};

}  // namespace

TEST_CASE("a saved model loads") { CHECK(load_error(kUnchanged) == ""); }

TEST_CASE("a configuration larger than the weights is refused before it is allocated") {
  CHECK_THAT(load_error([](Json& json) { json["intermediate_size"] = 1 << 24; }),
             Contains("larger model than the weights"));
  CHECK_THAT(load_error([](Json& json) {
               for (const char* key : {"hidden_size", "intermediate_size", "num_attention_heads",
                                       "vocab_size", "head_dim"})
                 json[key] = 1 << 24;
             }),
             Contains("too large"));
}

TEST_CASE("dtypes that cannot be computed with are refused") {
  for (const char* name : {"float64", "int8", "float8_e4m3fn"})
    CHECK_THAT(load_error([&](Json& json) { json["dtype"] = name; }),
               Contains("dtype is not supported"));
  CHECK(load_error([](Json& json) { json["dtype"] = "float16"; }) == "");
  CHECK_THAT(load_error(kUnchanged, {.dtype = at::kHalf}), Contains("float16"));
}

}  // namespace gradus
