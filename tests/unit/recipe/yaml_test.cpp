// SPDX-License-Identifier: Apache-2.0
#include "recipe/yaml_node.h"
#include "support/catch.h"
#include "unit/recipe/sample_recipe.h"

using namespace gradus;
using namespace gradus::sample;

namespace {

struct Free {
  Json value;
  template <class V>
  void visit(V& v) {
    v("v", value, "anything");
  }
};

std::string free_json(const std::string& yaml) {
  return parse_recipe<Free>(yaml, "r.yaml").value.dump();
}
std::string free_error(const std::string& yaml) {
  return error_of([&] { free_json(yaml); });
}

}  // namespace

TEST_CASE("plain scalars follow the core schema of YAML 1.2") {
  CHECK(free_json("v: [yes, no, on, off, 1_0, 0b1, 12:30, 2020-01-01]") ==
        R"(["yes","no","on","off","1_0","0b1","12:30","2020-01-01"])");
  CHECK(free_json("v: [true, True, FALSE, null, ~, , tRUE]") ==
        R"([true,true,false,null,null,null,"tRUE"])");
  CHECK(free_json("v: [0, -0, 007, +3, 0x1F, 0o17, -0x1]") == R"([0,0,7,3,31,15,"-0x1"])");
  CHECK(free_json("v: [1., .5, -1.5e+3, 1e3, 1e, ., +, -, e1, +-1, 1.2.3]") ==
        R"([1.0,0.5,-1500.0,1000.0,"1e",".","+","-","e1","+-1","1.2.3"])");
  CHECK(free_json("v: ['1', \"true\", 'null']") == R"(["1","true","null"])");
}

TEST_CASE("block scalars, merge keys and aliases are expanded") {
  CHECK(free_json("v: |\n  a\n  b\n") == R"("a\nb\n")");
  CHECK(free_json("x-a: &a {p: 1, q: 2}\nx-b: &b {q: 3, r: 4}\nv: {<<: [*a, *b], p: 0}\n") ==
        R"({"p":0,"q":2,"r":4})");
  CHECK(free_json("x-a: &a [1]\nv: [*a, *a]\n") == "[[1],[1]]");
  CHECK(free_json("v: {'<<': 1}") == R"({"<<":1})");
}

TEST_CASE("an empty text is an empty recipe") {
  CHECK(free_json("") == "null");
  CHECK(free_json("# only a comment\n") == "null");
  CHECK(free_json("---\n") == "null");
}

TEST_CASE("syntax errors carry line and column") {
  CHECK(free_error("v:\n\tb: 1\n") ==
        "r.yaml:2:3: not YAML: illegal map value; hint: indent with spaces, not tabs");
  CHECK(free_error("v: a: b\n") ==
        "r.yaml:1:5: not YAML: illegal map value; hint: quote text that contains ': '");
  CHECK(free_error("v: [1\n").starts_with("r.yaml:2:1: not YAML: "));
  CHECK(free_error("v: *none\n") == "r.yaml:1:4: not YAML: the referenced anchor is not defined");
}

TEST_CASE("what recipes do not use is refused") {
  CHECK(free_error("v: 1\n---\nv: 2\n").find("a second document") != std::string::npos);
  CHECK(free_error("v: !!str 1\n") ==
        "r.yaml:1:4: tags are not used in recipes (found 'tag:yaml.org,2002:str')");
  CHECK(free_error("v: {[1]: 2}\n") ==
        "r.yaml:1:5: a key must be text, not a map or list; hint: is a bracket left open?");
  CHECK(free_error("v: {~: 2}\n").ends_with("a key must be text, found nothing"));
  CHECK(free_error("v: &a [*a]\n") == "r.yaml:1:8: an alias may not stand inside its own anchor");
  CHECK(free_error("v: {<<: 3}\n").ends_with("'<<' merges maps, found '3'"));
  CHECK(free_error("[1, 2]") == "r.yaml:1:1: wrong type (expected a map, found a list)");
}

TEST_CASE("bytes that are not text are refused with their place") {
  CHECK(free_error("v: 1\nw: \xff\n") ==
        "r.yaml:2:4: byte 0xff is not allowed (expected UTF-8 text)");
  CHECK(free_error(std::string("v: 1\x04\n")) ==
        "r.yaml:1:5: byte 0x04 is not allowed (expected UTF-8 text)");
  CHECK(free_error("v: \xc0\xaf\n").find("is not allowed") != std::string::npos);
  CHECK(free_error("v: \xed\xa0\x80\n").find("is not allowed") != std::string::npos);
  CHECK(free_json("v: \"\xe4\xb8\xad\xf0\x9f\x99\x82\"\n") == "\"\xe4\xb8\xad\xf0\x9f\x99\x82\"");
}

TEST_CASE("escapes give UTF-8 or are refused") {
  const char* refused =
      "r.yaml:1:4: the escapes \\N and \\_ are not supported; hint: write \\u0085 or \\u00a0";
  CHECK(free_error("v: \"a\\Nb\"\n") == refused);
  CHECK(free_error("v: \"a\\_b\"\n") == refused);
  CHECK(free_json("v: \"\\u0085\\u00a0\"\n") == "\"\xc2\x85\xc2\xa0\"");
  CHECK(free_json("v: \"\\x01\"\n") == "\"\\u0001\"");
}

TEST_CASE("a billion laughs are refused") {
  std::string yaml = "x-0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 12; ++i) {
    yaml += cat("x-", i, ": &a", i, " [");
    for (int j = 0; j < 9; ++j) yaml += cat(j ? ", " : "", "*a", i - 1);
    yaml += "]\n";
  }
  CHECK(free_error(yaml).find("more than 200000 values") != std::string::npos);
}

TEST_CASE("nesting is bounded, also through aliases") {
  const auto nested = [](size_t depth) {
    return "v: " + std::string(depth, '[') + std::string(depth, ']') + "\n";
  };
  CHECK(free_error(nested(63)).empty());
  CHECK(free_error(nested(64)) == "r.yaml:1:67: nested deeper than 64 levels");
  CHECK(free_error(nested(100'000)).find("nested deeper") != std::string::npos);
  CHECK(free_error("x-a: &a " + std::string(40, '[') + std::string(40, ']') +
                   "\nv: " + std::string(40, '[') + "*a" + std::string(40, ']'))
            .find("nested deeper") != std::string::npos);
}

TEST_CASE("size is bounded") {
  CHECK(free_error("v: " + std::string(kMaxYamlBytes, 'a')).find("larger than 10000000 bytes") !=
        std::string::npos);
}
