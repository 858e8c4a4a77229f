// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/error.h"
#include "base/system.h"
#include "store/inspect/inspect.h"

namespace gradus {
namespace {

std::string padded(std::string text, size_t width) {
  text.resize(std::max(width, text.size() + 1), ' ');
  return text;
}

std::string value_text(const Json& value) {
  if (value.is_null()) return "unknown";
  if (value.is_string()) return printable(value.get<std::string>(), 200);
  if (value.is_number_integer()) return with_commas(value.get<int64_t>());
  return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 200);
}

std::string line(const std::string& name, const std::string& value) {
  return padded(name, 20) + value + "\n";
}

std::string joined(const Json& list) {
  std::string text;
  for (const auto& [key, value] : list.items())
    text += (text.empty() ? "" : ", ") + value_text(value);
  return text.empty() ? "none" : text;
}

std::string parameters_text(const Json& parameters) {
  const auto total = parameters["total"].get<int64_t>();
  std::string out = line("parameters", with_commas(total));
  for (const auto& [part, count] : parameters["by_part"].items()) {
    const double share =
        100.0 * count.get<double>() / static_cast<double>(std::max<int64_t>(total, 1));
    out += line("  " + part,
                padded(value_text(count), 18) + cat(static_cast<int>(share * 10) / 10.0) + " %");
  }
  return out;
}

std::string kv_cache_text(const Json& cache) {
  if (cache.is_null()) return "";
  std::string out = line("KV cache", human_bytes(cache["bytes_per_1000_tokens"].get<int64_t>()) +
                                         " per 1,000 tokens in bf16");
  if (cache["context"].is_null()) return out;
  out += line("  in full", human_bytes(cache["bytes_at_context"].get<int64_t>()) + " at " +
                               value_text(cache["context"]) + " tokens");
  if (cache["window_layers"] == 0) return out;
  return out + line("  windows",
                    cat(value_text(cache["window_layers"]), " of ", value_text(cache["layers"]),
                        " layers keep ", value_text(cache["window"]), " tokens"));
}

std::string memory_text(const Json& report) {
  std::string out;
  for (const auto& [dtype, count] : report["dtypes"].items())
    out += line("on disk " + dtype, cat(human_bytes(count["bytes"].get<int64_t>()), " in ",
                                        count["tensors"].get<int64_t>(), " tensors"));
  if (report["memory"].is_object()) {
    for (const char* precision : {"float32", "bfloat16", "int8", "int4"})
      out +=
          line(cat("memory ", precision), human_bytes(report["memory"][precision].get<int64_t>()));
  }
  if (!report["state_bytes"].is_null())
    out += line("state",
                human_bytes(report["state_bytes"].get<int64_t>()) + " per sequence of any length");
  return out + kv_cache_text(report["kv_cache"]);
}

std::string adapter_text(const Json& adapter) {
  if (adapter.is_null()) return "";
  const bool here = !adapter["base_folder"].is_null();
  std::string out =
      line("base", value_text(adapter["base"]) + (here ? "" : ", which is not on this machine"));
  for (const auto& [key, value] : adapter.items()) {
    if (!key.starts_with("base"))
      out += line("  " + key, value.is_array() ? joined(value) : value_text(value));
  }
  return out;
}

std::string tokenizer_text(const Json& tokenizer) {
  if (tokenizer.is_null()) return line("tokenizer", "none");
  if (tokenizer.contains("problem")) return line("tokenizer", value_text(tokenizer["problem"]));
  std::string out = line("tokenizer", cat(value_text(tokenizer["type"]), ", ",
                                          value_text(tokenizer["vocab_size"]), " tokens"));
  out += line("  BOS, EOS",
              value_text(tokenizer["bos_token"]) + "  " + value_text(tokenizer["eos_token"]));
  std::string some;
  size_t shown = 0;
  for (const auto& [id, token] : tokenizer["special_tokens"].items()) {
    if (++shown > 12) break;
    some += (some.empty() ? "" : "  ") + value_text(token);
  }
  const size_t all = tokenizer["special_tokens"].size();
  return out + line(cat("  special (", all, ")"), some + (all > 12 ? "  …" : ""));
}

std::string template_text(const Json& chat_template) {
  if (chat_template.is_null()) return line("chat template", "none");
  if (chat_template.contains("problem"))
    return line("chat template", value_text(chat_template["problem"]));
  return line("chat template", cat(value_text(chat_template["characters"]), " characters")) +
         line("  roles", joined(chat_template["roles"])) +
         line("  uses", joined(chat_template["uses"]));
}

std::string ending_text(const Json& report) {
  std::string out;
  for (const auto& [input, licence] : report["licences"].items())
    out += line("licence of " + printable(input), value_text(licence));
  const auto lineage = report["lineage"].get<std::string>();
  return out + (lineage.empty() ? line("lineage", "none") : "lineage\n" + lineage);
}

}  // namespace

std::string inspect_text(const Json& report) {
  std::string out = line(report["kind"].get<std::string>(), value_text(report["path"])) +
                    line("family", value_text(report["family"])) +
                    parameters_text(report["parameters"]) + memory_text(report);
  if (!report["quantization"].is_null()) {
    out += "quantisation\n";
    for (const auto& [key, value] : report["quantization"].items())
      out += line("  " + key, value_text(value));
  }
  out += adapter_text(report["adapter"]);
  if (!report["shape"].empty() && report["kind"] != "adapter") out += "shape\n";
  if (report["kind"] == "adapter") return out + ending_text(report);
  for (const auto& [key, value] : report["shape"].items())
    out += padded("  " + printable(key), 34) + value_text(value) + "\n";
  return out + tokenizer_text(report["tokenizer"]) + template_text(report["chat_template"]) +
         ending_text(report);
}

}  // namespace gradus
