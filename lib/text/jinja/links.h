// SPDX-License-Identifier: Apache-2.0
// Jinja's urlize: web and mail addresses in a text become HTML links.
#pragma once

#include <string>
#include <vector>

#include "text/jinja/value.h"

namespace gradus::jinja {

struct LinkStyle {
  Value shown;      // how many characters of an address are shown; missing: all
  Text attributes;  // of every link but those to mail addresses: ' rel="…" target="…"'
  std::vector<std::string> schemes;  // further beginnings of an address: "ftp:", "tel:"
};

// `text` is HTML-escaped; the result is plain text, as jinja2 gives it without autoescaping.
Text with_links(const Text& text, const LinkStyle& style);

}  // namespace gradus::jinja
