// SPDX-License-Identifier: Apache-2.0
#include "data/shape.h"

#include "support/catch.h"
#include "toy.h"

namespace gradus {
namespace {

Json messages_of(const char* row, RowShape shape, const RowKeys& keys = {}) {
  return row_chat(Json::parse(row), shape, keys, "f:1").messages;
}

std::string error_for(const char* row, RowShape shape) {
  return error_of([&] { row_chat(Json::parse(row), shape, {}, "f:1"); });
}

}  // namespace

TEST_CASE("the three chat shapes of the same conversation give the same messages") {
  const Json expected = Json::parse(
      R"([{"role":"system","content":"S"},{"role":"user","content":"Q"},{"role":"assistant","content":"A"}])");
  CHECK(messages_of(R"({"system":"S","instruction":"Q","output":"A"})", RowShape::kAlpaca) ==
        expected);
  CHECK(messages_of(R"({"conversations":[{"from":"system","value":"S"},{"from":"human","value":"Q"},
                        {"from":"gpt","value":"A"}]})",
                    RowShape::kShareGpt) == expected);
  CHECK(messages_of(R"({"chat":[{"role":"system","content":"S"},{"role":"user","content":"Q"},
                        {"role":"assistant","content":"A"}]})",
                    RowShape::kMessages, {.messages_key = "chat"}) == expected);
}

TEST_CASE("alpaca joins instruction and input and keeps the history") {
  CHECK(messages_of(R"({"instruction":"I","input":"X","output":"A","history":[["q","a"]]})",
                    RowShape::kAlpaca) ==
        Json::parse(R"([{"role":"user","content":"q"},{"role":"assistant","content":"a"},
                        {"role":"user","content":"I\n\nX"},{"role":"assistant","content":"A"}])"));
}

TEST_CASE("tools come as a list or as JSON in a string") {
  const char* turns = R"("conversations":[{"from":"human","value":"Q"}])";
  const auto tools = [&](const std::string& value) {
    return row_chat(Json::parse(cat("{", turns, ", \"tools\": ", value, "}")), RowShape::kShareGpt,
                    {}, "f:1")
        .tools;
  };
  CHECK(tools("[1]") == Json::array({1}));
  CHECK(tools("\"[1]\"") == Json::array({1}));
  CHECK(tools("\"\"").is_null());
}

TEST_CASE("the shape is chosen by the keys of the first row") {
  const auto shape = [](const char* row) { return detect_shape(Json::parse(row), {}, "f:1"); };
  CHECK(shape(R"({"messages":[{"role":"user","content":"x"}]})").shape == RowShape::kMessages);
  CHECK(shape(R"({"conversations":[{"from":"human","value":"x"}]})").shape == RowShape::kShareGpt);
  const auto mixed = shape(R"({"conversations":[{"role":"user","content":"x"}]})");
  CHECK(mixed.shape == RowShape::kMessages);
  CHECK(mixed.messages_key == "conversations");
  CHECK(shape(R"({"instruction":"x","output":"y","text":"z"})").shape == RowShape::kAlpaca);
  CHECK(shape(R"({"text":"z"})").shape == RowShape::kText);
  CHECK(shape(R"({"text":"z"})").reason == "text: the first row has 'text'");
  const std::string error = error_of([&] { shape(R"({"prompt":"z","answer":"y"})"); });
  CHECK(contains(error, "fit no known shape"));
  CHECK(contains(error, "found prompt, answer"));
}

TEST_CASE("rows that do not fit their shape name the key and the turn") {
  CHECK(contains(error_of([] { row_text(Json::parse(R"({"a":1})"), {}, "f:9"); }),
                 "f:9: key 'text' is missing"));
  CHECK(contains(error_of([] { row_text(Json::parse(R"({"text":1})"), {}, "f:9"); }),
                 "expected a string"));
  CHECK(contains(error_for(R"({"messages":[]})", RowShape::kMessages), "has no turns"));
  CHECK(contains(error_for(R"({"messages":[{"role":"user"}]})", RowShape::kMessages),
                 "f:1: messages[0]: key 'content' is missing"));
  CHECK(contains(error_for(R"({"messages":[{"role":"user","content":3}]})", RowShape::kMessages),
                 "a string, a list of parts or null"));
  CHECK(
      contains(error_for(R"({"conversations":[{"from":"humn","value":"x"}]})", RowShape::kShareGpt),
               "unknown speaker 'humn'"));
  CHECK(
      contains(error_for(R"({"instruction":"x"})", RowShape::kAlpaca), "key 'output' is missing"));
}

}  // namespace gradus
