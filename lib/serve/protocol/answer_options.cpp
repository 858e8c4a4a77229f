// SPDX-License-Identifier: Apache-2.0
#include "serve/protocol/answer_options.h"

#include "base/error.h"
#include "serve/protocol/api_error.h"

namespace gradus {
namespace {

constexpr double kMaxCount = 1e9;

SamplingOptions read_sampling(FieldReader& fields) {
  SamplingOptions sampling;
  sampling.temperature = fields.number("temperature", {0, 2}).value_or(1.0);
  sampling.top_p = fields.number("top_p", {0, 1}).value_or(1.0);
  sampling.top_k = std::max<int64_t>(0, fields.integer("top_k", {-1, kMaxCount}).value_or(0));
  sampling.min_p = fields.number("min_p", {0, 1}).value_or(0.0);
  sampling.frequency_penalty = fields.number("frequency_penalty", {-2, 2}).value_or(0.0);
  sampling.presence_penalty = fields.number("presence_penalty", {-2, 2}).value_or(0.0);
  return sampling;
}

std::optional<uint64_t> read_seed(FieldReader& fields) {
  const Json* value = fields.take("seed");
  if (!value) return std::nullopt;
  if (!value->is_number_integer())
    throw bad_field("seed", "must be a 64-bit integer, found " + shown(*value));
  return value->is_number_unsigned() ? value->get<uint64_t>()
                                     : static_cast<uint64_t>(value->get<int64_t>());
}

void add_stop(const Json& value, std::vector<std::string>& stops) {
  const std::string text = value.is_string() ? value.get<std::string>() : std::string();
  if (text.empty() || text.size() > kMaxStopBytes)
    throw bad_field("stop", cat("must be strings of 1 to ", kMaxStopBytes, " bytes"));
  stops.push_back(text);
}

std::vector<std::string> read_stops(FieldReader& fields) {
  std::vector<std::string> stops;
  const Json* value = fields.take("stop");
  if (!value) return stops;
  if (!value->is_array()) {
    add_stop(*value, stops);
    return stops;
  }
  if (value->size() > kMaxStops)
    throw bad_field("stop", cat("at most ", kMaxStops, " strings, found ", value->size()));
  for (const Json& stop : *value) add_stop(stop, stops);
  return stops;
}

void read_stream(FieldReader& fields, AnswerOptions& answer) {
  answer.stream = fields.boolean("stream").value_or(false);
  const Json* options = fields.take("stream_options");
  if (!options) return;
  if (!answer.stream) throw bad_field("stream_options", "is only for stream: true");
  FieldReader inner(*options, "stream_options");
  answer.include_usage = inner.boolean("include_usage").value_or(false);
  inner.supports_only("include_obfuscation", {false});
  inner.finish();
}

}  // namespace

AnswerOptions read_answer_options(FieldReader& fields, const RequestLimits& limits) {
  AnswerOptions answer;
  answer.model = fields.text("model").value_or("");
  if (answer.model.empty()) throw bad_field("model", "is required");
  answer.max_tokens = fields.integer("max_tokens", {1, kMaxCount});
  answer.sampling = read_sampling(fields);
  answer.seed = read_seed(fields);
  answer.stop = read_stops(fields);
  answer.n = fields.integer("n", {1, static_cast<double>(limits.max_choices)}).value_or(1);
  read_stream(fields, answer);
  fields.text("user");  // names the end user; has no effect on an answer
  fields.supports_only("logit_bias", {Json::object()});
  return answer;
}

}  // namespace gradus
