// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include "support/catch.h"

using gradus::printable;

TEST_CASE("text from outside is printed as well-formed UTF-8 on one line") {
  CHECK(printable("plain Ünïcode 漢字 🙂") == "plain Ünïcode 漢字 🙂");
  CHECK(printable("a\nb\x7f\x1b[0m") == "a\\x0ab\\x7f\\x1b[0m");
  CHECK(printable("\xff\xc3") == "\\xff\\xc3");
  CHECK(printable("\xc0\xaf") == "\\xc0\\xaf");                    // overlong
  CHECK(printable("\xe0\x80\xaf") == "\\xe0\\x80\\xaf");           // overlong
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");           // a surrogate
  CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
  CHECK(printable("\xc2\x9b") == "\\xc2\\x9b");                    // a control character of C1
  CHECK(printable("\xe6\xbc") == "\\xe6\\xbc");                    // cut off
}

TEST_CASE("printed text is cut between characters") {
  CHECK(printable("abcdef", 3) == "abc…");
  CHECK(printable("abc", 3) == "abc");
  CHECK(printable("漢字", 4) == "漢…");
}
