# SPDX-License-Identifier: Apache-2.0
"""Chat templates made at random out of Jinja's language: expressions, filters, tests, methods and
statements, with arguments that fit and with some that do not."""

import json
import random

# By type: s text, n number, l list, d mapping, b truth, a anything. An entry "x:t" has a result of type t.
VALUES = {
    "s": ["''", "'a'", "' b c '", "'Hello, World'", "'añ🙂'", "'a\\nb\\n\\n c'", "'3'", "'4.50'", "'<b>&'", "'AbC'", "'x,y,,z'", "'ß ı'", "'it\\'s \"q\"'", "s", "'see https://a.org/p_(q)?r=1, (www.x.net) <me@y.com>. mailto:b@c.de ftp:z'",
          "'a long-winded sentence--with dashes, well-known hyphens and e-mail; it goes on and on until a line of eighty characters is full'"],
    "n": ["0", "1", "2", "-3", "7", "12", "0.5", "-2.75", "1e3", "100000.0", "3.0", "1e-7", "2.5", "true", "1e16", "123456789012", "n"],
    "l": ["[]", "()", "[1, 2, 3]", "['b', 'A', 'c', 'a']", "[3, 1.5, 2, true]", "(1, 'x')", "[[1, 2], [3]]", "range(4)", "range(9, 1, -3)", "['', 0, none, 'v']", "'x y'.split()",
          "[{'n': 2, 'r': 'x'}, {'n': 1, 'r': 'X'}, {'n': 2, 'r': 'y'}]", "messages", "tools", "l"],
    "d": ["{}", "{'k': 1, 'B': [2]}", "messages[0]", "{1: 'one', none: 'no', 'z': {'y': 0}}", "dict(a=1, b='q')", "{'n': 2, 'r': 'x', 'b': none}", "d",
          "{'title': 'a & b', 'list': [1, 2, ['three', {'four': 4.0}], ('five', none)], 'text': 'words that are far too many for a line of eighty characters, so that they are broken', 'id': 7}"],
    "b": ["true", "false", "1", "''", "none"],
    "a": ["none", "nope", "messages[-1].content", "x", "ns.v", "[nope, 1]", "messages[0].nope"],
}
FILTERS = {
    "s": ["attr('role'):a", "batch(2)|list:l", "capitalize:s", "center(9):s", "count:n", "default('e', true):s", "d('q'):s", "e:s", "escape:s", "first:s", "float:n", "float(1.5):n", "forceescape:s",
          "indent:s", "indent(2, true):s", "indent('>>', blank=true):s", "int:n", "int(5):n", "int(0, 16):n", "join('-'):s", "last:s", "length:n", "list:l", "lower:s", "map('upper')|list:l", "max:s", "min:s",
          "replace('a', 'bb'):s", "replace('l', '', 1):s", "replace(1, 2):s", "reverse:s", "safe:s", "select('string')|list:l", "slice(2)|list:l", "sort:l", "string:s", "striptags:s", "title:s", "tojson:s",
          "tojson(ensure_ascii=true):s", "trim:s", "trim('a'):s", "truncate(6):s", "truncate(5, true, ''):s", "unique|list:l", "upper:s", "urlencode:s", "wordcount:n", "format(1, 'q'):s",
          "select('in', 'abc')|list:l", "reject('equalto', 'a')|join:s", "truncate(4, false, '..', 1):s",
          "wordwrap:s", "wordwrap(5):s", "wordwrap(7, false):s", "wordwrap(9, wrapstring='|'):s", "wordwrap(4, true, '~', false):s", "wordwrap(2.5, false):s", "wordwrap(0):s", "wordwrap(6, break_on_hyphens=1):s", "wordwrap(8, wrapstring='<'|e):s",
          "urlize:s", "urlize(8):s", "urlize(-2):s", "urlize(nofollow=true):s", "urlize(5, target='_b\"', rel='x nofollow'):s", "urlize(extra_schemes=['ftp:', 'x-y://']):s", "urlize(extra_schemes=['q']):s", "filesizeformat:s", "pprint:s", "xmlattr:s"],
    "n": ["abs:n", "default(5, true):n", "float:n", "int:n", "round:n", "round(1):n", "round(1, 'ceil'):n", "round(-1, 'floor'):n", "round(2, method='common'):n", "string:s", "tojson:s", "d(1):n", "e:s", "trim:s", "upper:s", "center(5):s", "replace('1', 'x'):s", "format:s", "length:n",
          "filesizeformat:s", "filesizeformat(true):s", "filesizeformat(binary=false):s", "pprint:s", "urlize:s", "wordwrap:s"],
    "l": ["batch(2)|list:l", "batch(3, 'f')|list:l", "count:n", "default(['d'], true):l", "first:a", "last:a", "join:s", "join('-'):s", "join(',', 'r'):s", "length:n", "list:l", "map('upper')|list:l",
          "map(attribute='n')|list:l", "map(attribute='n', default='?')|join('.'):s", "map('default', 'w')|list:l", "map('length')|list:l", "max:a", "min:a", "max(attribute='n'):d", "reject|list:l",
          "rejectattr('n', 'eq', 2)|list:l", "reverse|list:l", "select|list:l", "select('string')|list:l", "select('>', 1)|list:l", "selectattr('r')|list:l", "selectattr('r', 'defined')|map(attribute='n')|list:l",
          "slice(2)|list:l", "slice(2, '-')|list:l", "sort:l", "sort(reverse=true):l", "sort(attribute='n'):l", "sort(attribute='r,n'):l", "sort(case_sensitive=true):l", "string:s", "sum:n",
          "sum(attribute='n'):n", "sum(start=1):n", "tojson:s", "tojson(indent=2):s", "unique|list:l", "unique(attribute='n')|list:l", "unique(case_sensitive=true)|list:l", "groupby('n')|list:l",
          "groupby('r')|map('first')|list:l", "groupby('r', default='z')|map(attribute='list')|list:l", "map('trim')|map('length')|sum:n", "map('int', 3)|list:l", "map(attribute='content')|list:l",
          "groupby('r', case_sensitive=true)|length:n", "map('string')|join('/'):s", "tojson(separators=(',', ':')):s", "map(attribute='function.name')|list:l", "map(attribute='0')|list:l",
          "selectattr('role', 'in', ['user', 'system'])|list|length:n", "map('tojson')|join('\\n'):s", "select('mapping')|list:l", "selectattr('n', '>', 1)|map(attribute='r')|first:a", "dictsort:l",
          "pprint:s", "pprint:s", "urlize:s", "map('filesizeformat')|list:l", "map('wordwrap', 3)|list:l", "map('pprint')|join:s", "map('xmlattr')|join:s", "xmlattr:s"],
    "d": ["dictsort:l", "dictsort(true):l", "dictsort(false, 'value'):l", "dictsort(reverse=true):l", "items|list:l", "items|first:l", "length:n", "list:l", "first:a", "tojson:s", "tojson(indent=2):s",
          "tojson(sort_keys=true):s", "string:s", "default({'z': 1}, true):d", "attr('role'):a", "urlencode:s", "map('string')|list:l", "join(','):s", "sort:l", "e:s", "last:a", "xmlattr:s", "xmlattr(false):s", "pprint:s", "pprint:s"],
    "b": ["string:s", "int:n", "tojson:s", "default('e', true):a", "e:s", "float:n", "abs:n", "filesizeformat:s", "pprint:s"],
    "a": ["default('dd'):a", "default('e', true):a", "string:s", "length:n", "list:l", "tojson:s", "first:a", "join(','):s", "upper:s", "int(9):n", "e:s", "trim:s", "nope:a", "items|list:l", "float(2.5):n", "pprint:s", "urlize:s", "wordwrap:s", "xmlattr:s", "filesizeformat:s"],
}
TESTS = {
    "s": ["string", "lower", "upper", "in 'abc'", "in ['a', 'AbC']", "eq 'a'", "==('a')", "iterable", "sequence", "filter", "test", "escaped", "gt 'a'", "lessthan('b')"],
    "n": ["number", "integer", "float", "odd", "even", "divisibleby 2", "divisibleby(3)", "eq 1", "lt 2", "ge(1)", "in [1, 7]", "sameas(true)", "true", "boolean", "ne 2", "greaterthan 0"],
    "l": ["sequence", "iterable", "mapping", "eq [1]", "in [[1, 2]]", "string", "callable", "filter", "test"], "d": ["mapping", "iterable", "sequence", "eq {}", "sameas none", "test"],
    "b": ["true", "false", "boolean", "number", "none"], "a": ["defined", "undefined", "none", "string", "mapping", "iterable", "callable", "nope", "sameas none", "filter", "test"],
}
METHODS = {
    "s": ["strip():s", "strip('a '):s", "lstrip():s", "rstrip('c'):s", "split():l", "split(','):l", "split(' ', 1):l", "rsplit(',', 1):l", "rsplit(none, 1):l", "split('a', maxsplit=1):l", "splitlines():l", "splitlines(true):l",
          "upper():s", "lower():s", "title():s", "capitalize():s", "swapcase():s", "casefold():s", "startswith('a'):b", "endswith(('c', 'd')):b", "startswith('e', 1):b", "find('o'):n", "rfind('l'):n", "find('l', 3):n",
          "index('b'):n", "rindex('l'):n", "count('l'):n", "replace('l', 'L'):s", "replace(' ', '', 1):s", "join(['x', 'y']):s", "join('abc'):s", "isdigit():b", "isalpha():b", "isalnum():b", "isspace():b",
          "isupper():b", "islower():b", "isnumeric():b", "isdecimal():b", "isascii():b", "istitle():b", "isprintable():b", "isidentifier():b", "zfill(6):s", "center(7, '*'):s", "ljust(5):s", "rjust(5, '.'):s", "partition(','):l", "rpartition(' '):l",
          "format(1, 'z'):s", "expandtabs(2):s", "removeprefix('a'):s", "removesuffix('d'):s", "format_map({'a': 1}):s", "__class__:a", "nope:a"],
    "n": ["nope:a", "bit_length():n", "bit_count():n", "as_integer_ratio():l", "conjugate():n", "numerator:n", "denominator:n", "real:n", "imag:n", "hex():s"],
    "l": ["index(2):n", "count(1):n", "append(4):a", "pop():a", "extend([9]):a", "copy():l", "insert(0, 'i'):a", "0:a", "1:a", "nope:a", "sort():a", "reverse():a", "clear():a", "remove(1):a"],
    "d": ["get('k'):a", "get('q', 'dflt'):s", "items():l", "items()|list:l", "keys()|list:l", "values()|list:l", "keys():a", "values():a", "copy():d", "k:a", "n:a", "role:s", "content:a", "nope:a", "pop('k'):a", "update({'n': 1}):a",
          "setdefault('k', 3):a", "items()|list|length:n", "clear():a", "popitem():a"],
    "b": ["nope:a"], "a": ["nope:a", "upper():s", "get('k'):a", "strip():s", "items():l"],
}
SLICES = {
    "s": ["[0]:s", "[-1]:s", "[1:]:s", "[:2]:s", "[::-1]:s", "[1:-1]:s", "[::2]:s", "[-2:]:s", "[3:1:-1]:s", "[9]:a", "['k']:a", "[n:]:s"],
    "l": ["[0]:a", "[-1]:a", "[1:]:l", "[:2]:l", "[::-1]:l", "[1:-1]:l", "[9]:a", "['k']:a", "[none]:a", "[true]:a", "[:]:l", "[::0]:l", "[1.0]:a", "[-3::2]:l"],
    "d": ["['k']:a", "['role']:a", "['nope']:a", "[1]:a", "[none]:a", "[[1]]:a", "['n']:a"], "n": ["[0]:a"], "b": ["['k']:a"], "a": ["[0]:a", "['k']:a"],
}
FORMATS = ["'%d'", "'%5.2f'", "'%-6s|'", "'%x'", "'%r'", "'%s'", "'%e'", "'%g'", "'%c'", "'%+d'", "'%05d'", "'%i%%'", "'%.3s'", "'%(k)s'", "'%o'", "'% d'", "'%#x'", "'%*d'", "'%u'", "'%a'", "'%G'", "'%.0f'", "'%08.3f'", "'%X'"]
BRACES = ["'{}'", "'{:>6}'", "'{:05}'", "'{:.2f}'", "'{!r}'", "'{:,}'", "'{:x}'", "'{0}{0}'", "'{:^7}|'", "'{:e}'", "'{:%}'", "'{:+}'", "'{:s}'", "'{:d}'", "'{:g}'", "'{0[0]}'", "'{:*<5}'", "'{!s:>4}'", "'{:#b}'", "'{:_}'", "'{:c}'",
          "'{:.1f}'", "'{:08.3f}'", "'{:.3}'", "'{:,.1f}'", "'{:<4}|'", "'{:.0%}'", "'{!a}'", "'{:G}'", "'{:n}'", "'{{{}}}'", "'{:.4g}'", "'{:o}'", "'{:X}'", "'{: d}'"]


PIECES = ["http://", "https://", "HTTPS://", "www.", "a", "bc", "word", "x-y", "e-", "-", "--", "---", ".", ",", ", ", "(", ")", "<", ">", "&lt;", "&gt;", "&", " ", " ", " ", "  ", "\t", "@", "mailto:", "com", "org", "de", "example.com", "example.de",
          "a@b.cd", "é", "ſ", "K", "ı", "_", "7", "٣", "½", "%", "xn--", "[::1]", "[ab:cd:", "127.0.0.1", "1.2.3", ":80", ":123456", "/p", "?q=1", "#f", "ftp:", "//", "'", "\"", "\\", "\n", "\r\n", "\u00a0", "\u2028", "\u0301", "\u200b", "🙂", "!", ";", "]"]


class TemplateMaker:
    def __init__(self, seed):
        self.source, self.macros = random.Random(seed), 0

    def pick(self, *options):
        return self.source.choice(options)

    def type(self):
        return self.pick("s", "s", "s", "n", "n", "l", "l", "l", "d", "b", "a")

    def text(self):
        """A literal of words, addresses and punctuation in any order."""
        return json.dumps("".join(self.source.choices(PIECES, k=self.source.randrange(1, 25))), ensure_ascii=False)

    def nested(self, depth=4):
        """A value that may be wide and deep."""
        count = self.source.choice((0, 1, 2, 3, 5, 9)) if depth else 0
        kind = self.source.randrange(7)
        if kind < 2 or not count:
            return self.pick(self.text(), self.value("s"), self.value("n"), "none", "nope", "true")
        if kind < 4:
            keys = self.source.choice((["'k'", "'a key of some length'", "'B'", "'é'", self.text()], ["3", "1.5", "none", "'z'", "(1, 'x')"]))
            return "{" + ", ".join(f"{key}: {self.nested(depth - 1)}" for key in self.source.sample(keys, min(count, 5))) + "}"
        items = [self.nested(depth - 1) for _ in range(count)]
        return f"[{', '.join(items)}]" if kind < 6 else f"({', '.join(items)},)"

    def text_filters(self):
        """A template of the filters that lay out text."""
        text, flag = self.text(), lambda: self.pick("true", "false")  # noqa: E731
        wrapped = f"{text}|wordwrap({self.pick(1, 2, 3, 5, 8, 13, 30)}, {flag()}, {self.pick('none', repr('/'))}, {flag()})"
        linked = f"{text}|urlize({self.pick('none', 3, 10)}, extra_schemes={self.pick('none', '[]', repr(['ftp:', 'a://']))})"
        return f"{{{{ {wrapped} }}}}|{{{{ {linked} }}}}|{{{{ {self.nested()}|pprint }}}}|{{{{ {text}|wordcount }}}}"

    def value(self, type=None):
        type = type or self.type()
        return self.source.choice(VALUES[self.type() if self.source.random() < 0.02 else type])

    def steps(self, table, type):
        """An entry of a table for a type, seldom of another one."""
        wrong = self.source.random() < 0.03
        return self.source.choice(table[self.type() if wrong else type]).rsplit(":", 1)

    def expression(self, depth=3, type=None):
        """Text of an expression that begins with a value of some type and goes on from there."""
        type = type or self.type()
        text = self.value(type)
        for _ in range(self.source.randrange(depth + 1)):
            text, type = self.step(text, type, depth)
        return text

    def step(self, text, type, depth):
        inner = lambda wanted=None: self.expression(max(0, depth - 2), wanted)  # noqa: E731
        kind = self.source.randrange(18)
        if kind < 4:
            name, after = self.steps(FILTERS, type)
            return f"({text})|{name}", after
        if kind < 8:
            name, after = self.steps(METHODS, type)
            return f"({text}).{name}", after
        if kind == 8:
            name, after = self.source.choice(SLICES[type]).rsplit(":", 1)
            return f"({text}){name}", after
        if kind == 9:
            return f"({text} is {self.pick('', 'not ')}{self.source.choice(TESTS[type])})", "b"
        if kind == 10:
            return f"({text} {self.pick('==', '!=', '<', '<=', '>', '>=')} {inner(type)})", "b"
        if kind == 11:
            return f"({text} {self.pick('and', 'or')} {inner()})", "a"
        if kind == 12:
            return self.pick((f"({inner('b')} and {text})", "a"), (f"({text} if {inner()} else {inner(type)})", type), (f"({text} if {inner()})", "a"), (f"(not {text})", "b"),
                             (f"({inner()} in {text})", "b"), (f"({text} not in {inner('l')})", "b"))
        if kind == 13:
            return self.pick((f"[{text}, {inner()}]", "l"), (f"{{'k': {text}, 'n': {inner()}}}", "d"), (f"({text},)", "l"), (f"dict(a={text})", "d"), (f"namespace(v={text}).v", type))
        if kind == 14:
            return f"({self.source.choice(FORMATS)} % {self.pick(f'({text})', f'({text},)')})", "s"
        if kind == 15:
            return f"{self.source.choice(BRACES)}.format({text})", "s"
        if kind == 16:
            return f"({text} ~ {inner()})", "s"
        if type == "n":
            return self.pick((f"(-{text})", "n"), (f"(+{text})", "n"), (f"({text} {self.pick('+', '-', '*', '/', '//', '%')} {inner('n')})", "n"), (f"(2 ** ({self.pick(0, 3, -1, 10, 0.5)}))", "n"))
        return (f"({text} * {self.pick(0, 1, 2)})", type) if type in "sl" and self.source.random() < 0.3 else (f"({text} + {inner(type)})", type)

    def block(self, depth=2):
        return "".join(self.statement(depth) for _ in range(self.pick(1, 1, 2, 3)))

    def tag(self, text):
        """A statement with or without signs that trim."""
        left, right = self.pick("{%", "{%", "{%-", "{%+"), self.pick("%}", "%}", "-%}", "+%}")
        return f"{left} {text} {right}"

    def statement(self, depth):
        space = self.pick("", " ", "\n", "  \n ", "t", "{# c #}\n", "{#- c -#} ")
        kind = self.source.randrange(14) if depth else 0
        if kind < 6:
            return f"{space}{self.pick('{{', '{{', '{{-')} {self.expression(2)} {self.pick('}}', '}}', '-}}')}{self.pick('', space)}"
        inner, more = self.block(depth - 1), self.block(depth - 1)
        if kind == 6:
            return space + self.tag(f"if {self.expression(2)}") + inner + self.pick("", self.tag(f"elif {self.expression(1)}") + more, self.tag("else") + more) + self.tag("endif")
        if kind in (7, 8):
            what = self.pick("x in", "x in", "x, y in", "(x, y), z in")
            over = self.pick("[1, 2, 3]", "'abc'", "messages", "{'p': 1, 'q': [2]}.items()", "range(5)", "[(1, 2), (3, 4)]", self.expression(1))
            guard = self.pick("", "", f" if {self.expression(1)}")
            jump = self.pick("", "", self.tag(f"if {self.expression(1)}") + self.tag(self.pick("break", "continue")) + self.tag("endif"))
            show = self.pick("", "{{ loop.index }}{{ loop.last }}", "{{ loop.revindex0 }}{{ loop.previtem }}", "{{ loop.cycle('o', 'e') }}", "{{ loop.changed(x) }}{{ loop.nextitem }}", "{{ loop.length }}")
            return space + self.tag(f"for {what} {over}{guard}") + inner + jump + show + self.pick("", self.tag("else") + more) + self.tag("endfor")
        if kind == 9:
            return space + self.pick(self.tag(f"set x = {self.expression(2)}"), self.tag(f"set x, y = {self.expression(1)}, {self.expression(1)}"),
                                     self.tag(f"set ns = namespace(v={self.expression(1)})") + self.tag(f"set ns.v = {self.expression(1)}"),
                                     self.tag("set x") + inner + self.tag("endset"), self.tag("set y | trim | upper") + inner + self.tag("endset"))
        if kind == 10:
            self.macros += 1
            name = f"m{self.macros}"
            made = self.tag(f"macro {name}(x, y={self.value()})") + inner + self.pick("", "{{ varargs }}", "{{ kwargs }}", "{{ caller is defined }}") + self.tag("endmacro")
            return space + made + "{{ " + name + self.pick("(1)", "(1, 2)", "(y=3)", "('p', x=2)", "()", "(1, 2, 3)", "(1, z=4)", "(*[1, 2])", "(**{'x': 5})") + " }}"
        if kind == 11:
            return space + self.tag(f"filter {self.pick('upper', 'trim', 'indent', 'length', 'replace(1, 2)')}") + inner + self.tag("endfilter")
        if kind == 12:
            return space + self.tag(f"with x = {self.expression(1)}, y = 2") + inner + self.tag("endwith")
        self.macros += 1
        return (space + self.tag(f"macro c{self.macros}(x)") + "<{{ caller(x) }}>" + self.tag("endmacro") + self.tag(f"call(y) c{self.macros}({self.value()})") + inner
                + self.tag("endcall"))

    def template(self):
        """Half of them are some expressions only."""
        start = "{% set ns = namespace(v=1) %}{% set s, n, l, d = 'a\u0301 tail', 5, [2, 1], {'k': 'v', 'n': 3} %}"
        if self.source.random() < 0.6:
            return start + "".join("{{ " + self.expression(4) + " }}|" for _ in range(self.pick(1, 2)))
        return start + self.block(self.pick(1, 2))
