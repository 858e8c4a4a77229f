// SPDX-License-Identifier: Apache-2.0
// Statements, whitespace control, scoping, errors and limits.
#include "base/error.h"
#include "support/catch.h"
#include "text/chat_template.h"

using gradus::ChatInput;
using gradus::ChatTemplate;
using gradus::Json;

namespace {

std::string render(const std::string& source) {
  ChatInput input;
  input.extra = Json::parse(R"({"xs": [1, 2, 3], "given": "g"})");
  return ChatTemplate(source, "t.jinja").render(input);
}

}  // namespace

TEST_CASE("blocks eat the newline after them and the indentation before them") {
  CHECK(render("a\n  {% if true %}\n  b\n  {% endif %}\n c\n") == "a\n  b\n c");
  CHECK(render("a\n  {%+ if true %}\n b{% endif %}") == "a\n   b");
  CHECK(render("a  {{- 1 -}}  b") == "a1b");
  CHECK(render("{# c #}\nx {#- d #}") == "x");
  CHECK(render("{% raw %}{{ x }}{% endraw %}") == "{{ x }}");
}

TEST_CASE("loops know their place, look ahead lazily and end early") {
  CHECK(
      render("{% for x in xs %}{{ loop.index }}{{ loop.last }}{{ loop.nextitem }};{% endfor %}") ==
      "1False2;2False3;3True;");
  CHECK(render("{% for x in xs if x != 2 %}{{ x }}{% else %}none{% endfor %}") == "13");
  CHECK(render("{% for x in xs %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}") == "1");
  CHECK(render("{% for n in [[1, []], [2, [[3, []]]]] recursive %}{{ n[0] }}{{ loop(n[1]) }}"
               "{% endfor %}") == "123");
  CHECK(render("{% set n = namespace(go=true) %}{% for x in xs if n.go %}{{ x }}"
               "{% set n.go = false %}{% endfor %}") == "1");
}

TEST_CASE("assignments stay in their scope, as Jinja compiles it") {
  CHECK(render("{% set a = 1 %}{% for x in xs %}{% set a = a + x %}{{ a }}{% endfor %}{{ a }}") ==
        "2341");
  CHECK(render("{% if true %}{% set a = 1 %}{% endif %}{{ a }}") == "1");
  CHECK(render("{% set n = namespace(a=0) %}{% for x in xs %}{% set n.a = n.a + x %}{% endfor %}"
               "{{ n.a }}") == "6");
  // A later top-level assignment hides the input from loops above it, unless it was read before.
  CHECK(render("{% for x in [1] %}[{{ given }}]{% endfor %}{% set given = 1 %}") == "[]");
  CHECK(render("{{ given }}{% for x in [1] %}[{{ given }}]{% endfor %}{% set given = 1 %}") ==
        "g[g]");
}

TEST_CASE("macros take defaults, keywords, surplus arguments and callers") {
  CHECK(render("{% macro f(a, b=a) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}"
               "{{ f(1, 2, 3, k=4) }}") == "12(3,){'k': 4}");
  CHECK(render("{% macro f(t) %}<{{ t }}>{{ caller(1) }}{% endmacro %}"
               "{% call(x) f('b') %}[{{ x }}]{% endcall %}") == "<b>[1]");
  CHECK_THROWS_WITH(render("{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}"),
                    Catch::Contains("takes not more than 1 argument"));
}

TEST_CASE("errors name the template, line and column") {
  CHECK_THROWS_WITH(render("a\n {{ 1 + }}"), Catch::StartsWith("t.jinja:2:9: template syntax"));
  CHECK_THROWS_WITH(render("é{{ xs.q.r }}"), Catch::StartsWith("t.jinja:1:9: "));
  CHECK_THROWS_WITH(render("{% if true %}"), Catch::Contains("'elif' or 'else' or 'endif'"));
  CHECK_THROWS_WITH(render("{% foo %}"), Catch::Contains("unknown tag 'foo'"));
  CHECK_THROWS_WITH(render("\n{{ raise_exception('no system role') }}"),
                    Catch::StartsWith("t.jinja:2:") && Catch::EndsWith("no system role"));
  CHECK_THROWS_WITH(render("{{ 1|nope }}"), Catch::Contains("No filter named 'nope'"));
  CHECK(render("{% if false %}{{ 1|nope }}{% endif %}") == "");
  CHECK_THROWS_WITH(render("{% break %}"), Catch::Contains("outside of a loop"));
  CHECK_THROWS_WITH(render("\xff"), Catch::Contains("not UTF-8"));
}

TEST_CASE("every resource is bounded") {
  const std::string loops =
      "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}"
      "{% endfor %}{% endfor %}{% endfor %}";
  CHECK_THROWS_WITH(render(loops), Catch::Contains("steps"));
  CHECK_THROWS_WITH(render("{{ range(100001) }}"), Catch::Contains("Range too big"));
  CHECK_THROWS_WITH(render("{{ 'aaaaaaaa' * 99999999 }}"), Catch::Contains("too long"));
  CHECK_THROWS_WITH(render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
                    Catch::Contains("levels deep"));
  CHECK_THROWS_WITH(render("{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}"),
                    Catch::Contains("nested too deeply"));
  CHECK_THROWS_WITH(render("{% set n = namespace(x=[]) %}{% for i in range(9999) %}"
                           "{% set n.x = [n.x] %}{% endfor %}"),
                    Catch::Contains("nested more than"));
  CHECK_THROWS_WITH(render("{% set n = namespace(x='a') %}{% for i in range(99) %}"
                           "{% set n.x = n.x ~ n.x %}{% endfor %}"),
                    Catch::Contains("exceeds"));
  CHECK_THROWS_WITH(render("{{ '%*d' % (99999999, 1) }}"), Catch::Contains("too large"));
}
