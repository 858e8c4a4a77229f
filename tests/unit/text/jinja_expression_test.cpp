// SPDX-License-Identifier: Apache-2.0
// Expressions, filters, tests and methods: values that Python prints for the same template. The
// long table is compared with jinja2 itself in tests/interop/test_chat_template.py.
#include "base/error.h"
#include "support/catch.h"
#include "text/chat_template.h"

using gradus::ChatInput;
using gradus::ChatTemplate;
using gradus::Json;

namespace {

std::string render(const std::string& source) {
  ChatInput input;
  input.messages = Json::parse(R"([{"role": "user", "content": "Hé"}])");
  input.extra = Json::parse(R"({"big": 18446744073709551615, "half": 0.5, "d": {"b": 1, "a": 2}})");
  return ChatTemplate(source, "t").render(input);
}

struct Case {
  const char* source;
  const char* expected;
};

void check(std::initializer_list<Case> cases) {
  for (const Case& one : cases) {
    INFO(one.source);
    CHECK(render(one.source) == one.expected);
  }
}

}  // namespace

TEST_CASE("numbers behave as Python's") {
  check({{"{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ -2 ** 2 }}", "-4 2 3.5 1024 4"},
         {"{{ 0.1 + 0.2 }} {{ 1e16 }} {{ 1e15 }} {{ 1e-5 }}",
          "0.30000000000000004 1e+16 "
          "1000000000000000.0 1e-05"},
         {"{{ big }} {{ big + 1 }} {{ half }}", "18446744073709551615 18446744073709551616 0.5"},
         {"{{ 1 == 1.0 == true }} {{ true + 1 }}", "True 2"},
         {"{{ 2.5|round }} {{ 2.675|round(2) }} {{ '4.7'|int }}", "2.0 2.67 4"}});
}

TEST_CASE("values print as Python's repr") {
  check({{R"({{ ['a', "it's", none, true, 1.0, {'k': (1,)}] }})",
          R"(['a', "it's", None, True, 1.0, {'k': (1,)}])"},
         {R"({{ ['\n\x00', 'é'] }} {{ range(2) }})", R"(['\n\x00', 'é'] range(0, 2))"}});
}

TEST_CASE("strings are counted in code points") {
  check({{"{{ messages[0].content|length }}{{ messages[0].content[1] }}", "2é"},
         {"{{ 'añ🙂b'[1:3] }}{{ 'añ🙂b'[::-1] }}", "ñ🙂b🙂ña"},
         {"{{ 'straße'.upper() }} {{ 'ΑΣ'.lower() }}", "STRASSE ας"}});
}

TEST_CASE("undefined prints nothing and refuses to be used") {
  check({{"[{{ nope }}{{ d.nope }}{{ nope|length }}]", "[0]"},
         {"{{ nope is defined }}{{ nope|default('x') }}", "Falsex"}});
  CHECK_THROWS_WITH(render("{{ nope.x }}"), Catch::Contains("'nope' is undefined"));
  CHECK_THROWS_WITH(render("{{ nope + 1 }}"), Catch::Contains("'nope' is undefined"));
  CHECK_THROWS_WITH(render("{{ nope|tojson }}"), Catch::Contains("not JSON serializable"));
}

TEST_CASE("tojson writes what json.dumps writes") {
  check({{"{{ d|tojson }}", R"({"b": 1, "a": 2})"},
         {"{{ d|tojson(sort_keys=true, separators=(',', ':')) }}", R"({"a":2,"b":1})"},
         {"{{ [1, {}]|tojson(indent=2) }}", "[\n  1,\n  {}\n]"},
         {"{{ '<é>'|tojson }}{{ 'é🙂'|tojson(ensure_ascii=true) }}",
          "\"<é>\"\"\\u00e9\\ud83d\\ude42\""}});
}

TEST_CASE("lazy filters can be walked once and have no length") {
  check({{"{% set g = [1, 2]|map('string') %}{{ g|list }}{{ g|list }}", "['1', '2'][]"}});
  CHECK_THROWS_WITH(render("{{ [1]|map('string')|length }}"), Catch::Contains("has no len()"));
}

TEST_CASE("the sandbox refuses mutation, reflection and what is not there") {
  CHECK_THROWS_WITH(render("{{ [].append(1) }}"), Catch::Contains("'append' of 'list' object"));
  CHECK_THROWS_WITH(render("{{ d.pop('a') }}"), Catch::Contains("unsafe"));
  CHECK_THROWS_WITH(render("{{ ''.__class__.__mro__ }}"), Catch::Contains("unsafe"));
  CHECK_THROWS_WITH(render("{{ [1]|random }}"), Catch::Contains("No filter named 'random'"));
  CHECK_THROWS_WITH(render("{% include 'x' %}"), Catch::Contains("another template"));
}

TEST_CASE("formatting follows Python's mini-languages") {
  check({{"{{ '%s|%5.1f|%-4d|%04x|%%' % ('a', 2.25, 3, 255) }}", "a|  2.2|3   |00ff|%"},
         {"{{ '{:>4}|{:,}|{0}' }}", "{:>4}|{:,}|{0}"},
         {"{{ '{:>4}|{:,}|{:.2f}|{x!r}'.format('é', 1234567, 3.14159, x='q') }}",
          "   é|1,234,567|3.14|'q'"}});
  CHECK_THROWS_WITH(render("{{ '%s %s' % 'a' }}"), Catch::Contains("not enough arguments"));
}

TEST_CASE("filters that lay out text stay inside the budget") {
  const auto refuses = [](const std::string& source, const char* what) {
    CHECK_THROWS_WITH(render(source), Catch::Contains(what));
  };
  refuses("{% set s = 'ab ' * 1000 %}{{ s|wordwrap(1, wrapstring='x' * 100000) }}", "exceeds");
  refuses("{% set s = ('a.com ' * 1000) * 3000 %}{{ s|urlize }}", "more than");
  refuses("{% set s = ('x' * 10000) * 4000 %}{{ {'k': s}|xmlattr ~ {'k': s}|xmlattr }}", "exceeds");
  refuses(
      "{% set ns = namespace(v=[]) %}{% for i in range(300) %}{% set ns.v = {'key' * 99: ns.v} %}"
      "{% endfor %}{{ ns.v|pprint }}",
      "more than");
}

TEST_CASE("numbers have Python's methods") {
  check({{"{{ 3.is_integer() }}{{ (0.5).is_integer() }}{{ (0.5).as_integer_ratio() }}",
          "TrueFalse(1, 2)"}});
  CHECK_THROWS_WITH(render("{{ (1e-300).as_integer_ratio() }}"), Catch::Contains("overflow"));
  CHECK_THROWS_WITH(render("{{ 3.bit_length(1) }}"), Catch::Contains("bit_length() takes"));
}
