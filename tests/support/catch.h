// SPDX-License-Identifier: Apache-2.0
// Catch2, whichever of the two major versions is installed: Debian 12 has 2, Ubuntu 24.04 has 3.
// The tests are written for 2; what 3 calls otherwise gets its old name here.
#pragma once

// libtorch has a CHECK that ends the program; the tests' is Catch2's, whatever is included later.
#if __has_include(<c10/util/Logging.h>)
#include <c10/util/Logging.h>
#undef CHECK
#endif

#if __has_include(<catch2/catch_all.hpp>)

#include <catch2/catch_all.hpp>
#include <string>

// In 3, Contains() is about elements of ranges. A text in a text is the better match for texts.
namespace Catch::Matchers {
inline StringContainsMatcher Contains(const char* text) { return ContainsSubstring(text); }
inline StringContainsMatcher Contains(const std::string& text) { return ContainsSubstring(text); }
inline StringContainsMatcher Contains(std::string& text) { return ContainsSubstring(text); }
inline StringContainsMatcher Contains(std::string&& text) { return ContainsSubstring(text); }
}  // namespace Catch::Matchers

namespace Catch {
using Matchers::Contains;
using Matchers::EndsWith;
using Matchers::StartsWith;
}  // namespace Catch
using Catch::Approx;

#else

#include <catch2/catch.hpp>

#endif
