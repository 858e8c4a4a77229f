// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"
#include "text/tokenizer/oniguruma.h"

namespace gradus {
namespace {

constexpr size_t kMaxPatternBytes = 1 << 16;
constexpr uint32_t kMaxSteps = 50'000'000;
constexpr size_t kMaxStackBytes = 64 << 20;

std::string message_of(int code) {
  PCRE2_UCHAR buffer[256];
  if (pcre2_get_error_message(code, buffer, sizeof buffer) < 0) return "unknown error";
  return reinterpret_cast<const char*>(buffer);
}

// What PCRE2 needs per thread: room for a match, a stack for the compiled code, and the limits.
struct Workspace {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, kMaxStackBytes, nullptr);

  Workspace() {
    pcre2_set_match_limit(context, kMaxSteps);
    pcre2_set_depth_limit(context, kMaxSteps);
    pcre2_set_heap_limit(context, kMaxStackBytes >> 10);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Workspace() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
};

pcre2_code* compile(const std::string& pattern, const std::string& where) {
  const std::string translated = oniguruma_to_pcre2(pattern, where);
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  int code = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()),
                                       translated.size(), options, &code, &offset, context);
  pcre2_compile_context_free(context);
  if (compiled) return compiled;
  throw Error({.what = "regular expression cannot be used: " + message_of(code),
               .where = where,
               .found = printable(pattern, 200)});
}

}  // namespace

Regex::Regex(const std::string& pattern, const std::string& where) : where_(where) {
  if (pattern.size() > kMaxPatternBytes)
    throw Error({.what = "regular expression is too long",
                 .where = where,
                 .expected = cat("at most ", kMaxPatternBytes, " bytes"),
                 .found = cat(pattern.size())});
  pcre2_code* code = compile(pattern, where);
  code_ =
      std::shared_ptr<void>(code, [](void* p) { pcre2_code_free(static_cast<pcre2_code*>(p)); });
  compiled_ = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
}

std::optional<std::pair<size_t, size_t>> Regex::find(std::string_view text, size_t from) const {
  thread_local Workspace workspace;
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int found = compiled_
                        ? pcre2_jit_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                                          workspace.data, workspace.context)
                        : pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                                      workspace.data, workspace.context);
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found < 0)
    throw Error(
        {.what = "regular expression gave up on a text: " + message_of(found), .where = where_});
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(workspace.data);
  return std::pair<size_t, size_t>{bounds[0], bounds[1]};
}

}  // namespace gradus
