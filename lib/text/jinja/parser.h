// SPDX-License-Identifier: Apache-2.0
// Builds the syntax tree as jinja2/parser.py does, with its precedence, its quirks and its
// refusals.
#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace gradus::jinja {

// Throws gradus::Error with line and column.
Program parse(const Source& source);

// After parsing: refuses what Jinja's compiler refuses (unknown filters and tests outside of
// conditions, break outside of loops, assignments to loop) and fills the `hidden` lists.
void check(Program& program, const Source& source);

}  // namespace gradus::jinja
