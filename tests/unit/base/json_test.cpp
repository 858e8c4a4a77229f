// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <string>

#include "base/error.h"
#include "support/catch.h"

using namespace gradus;

TEST_CASE("a document keeps its order, types and nesting") {
  const char* text = R"({"b": [1, -2, 3.5, true, null, {"x": "y", "": []}], "a": {}})";
  CHECK(parse_json(text, "t").dump() == Json::parse(text).dump());
  CHECK(parse_json("7", "t") == 7);
  CHECK(parse_json(" \"s\" ", "t") == "s");
}

TEST_CASE("errors of JSON name the place") {
  CHECK_THROWS_WITH(parse_json("{\"a\":1,\n \"a\":2}", "f.json"),
                    Catch::Contains("duplicate key 'a'"));
  CHECK_THROWS_WITH(parse_json("{\"a\":\n tru}", "f.json"), Catch::Contains("f.json:2:"));
  CHECK_THROWS_AS(parse_json("", "t"), Error);
  CHECK_THROWS_AS(parse_json("[1", "t"), Error);
  CHECK_THROWS_AS(parse_json("1 2", "t"), Error);
  CHECK_THROWS_AS(parse_json("[1e999]", "t"), Error);
  CHECK_THROWS_AS(parse_json("\"\xff\"", "t"), Error);
  CHECK_THROWS_WITH(parse_json(std::string(100000, '['), "t"),
                    Catch::Contains("nested too deeply"));
  CHECK_NOTHROW(parse_json(std::string(200, '[') + std::string(200, ']'), "t"));
}

TEST_CASE("objects with very many keys are read in linear time") {
  std::string text = "{\"k\": 0";
  for (int i = 0; i < 200000; ++i) text += ", \"" + std::to_string(i) + "\": 1";
  CHECK(parse_json(text + "}", "t").size() == 200001);
}

TEST_CASE("a document's leaves are found under dotted keys") {
  const auto leaves =
      flatten_json(Json::parse(R"({"a": {"b": [1, {"c": null}], "d": {}}, "e": []})"));
  const std::map<std::string, Json> expected = {
      {"a.b.0", 1}, {"a.b.1.c", nullptr}, {"a.d", Json::object()}, {"e", Json::array()}};
  CHECK(leaves == expected);
}
